"""Expands the paths that methods are called with: single paths, patterns, and folders with everything below them."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Sequence
from typing import Any

from pyxet._async.fs.calls import at_home
from pyxet._async.fs.lookup import Located, Lookup, expect
from pyxet._async.fs.names import Expansion, could_exist, listed_below, one_or_list
from pyxet.errors import NotFoundError, XetURLError
from pyxet.options import public
from pyxet.patterns import has_magic, unescaped


class Expanding(Lookup):
    """Base of the parts of the file system whose methods take patterns or folders."""

    @public()
    async def _expand_path(
        self, path: Any, recursive: bool = False, maxdepth: int | None = None, assume_literal: bool = False
    ) -> list[str]:
        """Return the paths that a path, a pattern or a list of them stands for; if ``recursive``, also those below them.

        A name that exists is not a pattern. A name that does not exist and has no wildcards is returned as it is, unless
        ``recursive``.

        Returns
        -------
        list of str
            Sorted, each once.

        Raises
        ------
        NotFoundError
            The list is empty, a pattern matches nothing, or, if ``recursive``, a path does not exist.
        """
        expansion = await self._expand(path, recursive, maxdepth, literal=assume_literal)
        expansion.raise_missing()
        if not expansion.names:
            raise NotFoundError("no paths were given", status=404)
        return expansion.names

    @at_home
    async def _expand(
        self, path: Any, recursive: bool = False, maxdepth: int | None = None, *, literal: bool = False
    ) -> Expansion:
        """Find out what a path or a list of paths means, see `names`.

        Parameters
        ----------
        recursive, maxdepth:
            Include paths below folders, down to this many levels. If ``recursive``, all given names are looked up, else only
            those that could be patterns.
        literal:
            Whether names are never patterns.
        """
        if maxdepth is not None and maxdepth < 1:
            raise ValueError("maxdepth must be at least 1")
        path = one_or_list(path)
        single = not isinstance(path, list)
        given: list[str] = list(dict.fromkeys(self._normalized([path] if single else path)))
        there = await self._find_named(name for name in given if recursive or (not literal and has_magic(name)))
        found: set[str] = set()
        result = Expansion()
        for name in given:
            named = there.get(name)
            if not literal and has_magic(name) and (named is None or isinstance(named, NotFoundError)):
                real = unescaped(name)
                if real is None:
                    matched = await self._glob(name, maxdepth=maxdepth)
                    result.is_pattern = single
                    if not matched:
                        result.missing[name] = NotFoundError(
                            f"there is nothing at {name}, and as a pattern it matches nothing", status=404
                        )
                    found.update(matched)
                    if recursive and maxdepth != 1:
                        inner = maxdepth - 1 if maxdepth is not None else None
                        for inside in matched:
                            found.update(await self._find(inside, maxdepth=inner, withdirs=True))
                    continue
                named = (await self._find_named([real])).get(real)
                if isinstance(named, NotFoundError):
                    result.missing[name] = named
                    continue
                name = real
            result.literals.add(name)
            if not recursive:
                found.add(name)
            elif named is not None and isinstance(named, NotFoundError):
                result.missing[name] = named
            elif named is not None and not expect(named)[1].is_folder:
                found.add(name)
            else:
                below = await self._find(name, maxdepth=maxdepth, withdirs=True)
                if not below:
                    # A name above branches was not looked up before: this raises if it does not exist.
                    await self._info(name)
                found.update((name, *below))
        result.names = sorted(found)
        return result

    async def _find_named(self, names: Iterable[str]) -> dict[str, Located | Exception]:
        """Look up those names that a file or folder of a branch could have."""
        wanted = []
        for name in names:
            try:
                url = self._parse(name)
            except XetURLError:
                # It may be a pattern with wildcards above the files. Names that are not valid are reported when they are
                # used.
                continue
            if could_exist(url):
                wanted.append(name)
        return await self._lookup_each(wanted) if wanted else {}

    async def _find_unescaped(self, paths: Iterable[str]) -> dict[str, Located | Exception]:
        """`_lookup_each` for reading. A name that does not exist may be an existing one that `glob.escape` was applied to."""
        names = list(dict.fromkeys(paths))
        found = await self._lookup_each(names, to_read=True)
        escaped = {
            name: real
            for name in names
            if isinstance(found[name], NotFoundError) and (real := unescaped(name)) is not None
        }
        real_ones = await self._lookup_each(list(escaped.values()), to_read=True) if escaped else {}
        return found | {name: real_ones[real] for name, real in escaped.items()}

    async def _with_folders(self, pairs: Sequence[tuple[str, str]], *, recursive: bool) -> list[tuple[str, str]]:
        """Return the given pairs of source and target; if ``recursive``, also pairs for the files below source folders.

        Raises
        ------
        IsADirectoryError
            A source is a folder, the call is not ``recursive``, and no other source is below that folder.
        """
        found = await self._find_named(source for source, _ in pairs)
        names = dict(pairs)
        result = list(pairs)
        for source, target in pairs:
            there = found.get(source)
            if isinstance(there, Exception) or (there is not None and not there[1].is_folder):
                continue
            if recursive:
                below = await self._find(source)
                if not below:
                    await self._info(source)
                result += [(name, target.rstrip("/") + name[len(source) :]) for name in below if name not in names]
            elif not listed_below(source, names):
                raise IsADirectoryError(errno.EISDIR, "it is a folder; give recursive=True for what is in it", source)
        return result
