"""The part of the file system that searches: `_find`, `_walk` and `_glob`.

Like a listing, a search is either complete or raises.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, suppress
from functools import partial
from typing import Any, Literal, TypeVar, overload

from fsspec.utils import stringify_path

from pyxet._async.changes.view import Entry, View
from pyxet._async.fs.calls import at_home
from pyxet._async.fs.lookup import Lookup, branch_info
from pyxet._async.fs.names import before_magic
from pyxet._async.tree.trees import MAX_ENTRIES
from pyxet.errors import NotFoundError
from pyxet.options import public
from pyxet.patterns import has_magic, unescaped
from pyxet.types import Info
from pyxet.urls import XetURL

T = TypeVar("T")


class Searching(Lookup):
    """See `AsyncXetFileSystem`."""

    @overload
    async def _find(
        self, /, path: str, maxdepth: int | None = None, withdirs: bool = False, detail: Literal[False] = False,
        expand: bool = False, prefix: str = "", refresh: bool = False,
    ) -> list[str]: ...  # fmt: skip
    @overload
    async def _find(
        self, /, path: str, maxdepth: int | None = None, withdirs: bool = False, *, detail: Literal[True],
        expand: bool = False, prefix: str = "", refresh: bool = False,
    ) -> dict[str, Info]: ...  # fmt: skip
    @overload
    async def _find(
        self, /, path: str, maxdepth: int | None = None, withdirs: bool = False, detail: bool = False,
        expand: bool = False, prefix: str = "", refresh: bool = False,
    ) -> dict[str, Info] | list[str]: ...  # fmt: skip
    @public()
    @at_home
    async def _find(
        self,
        /,
        path: str,
        maxdepth: int | None = None,
        withdirs: bool = False,
        detail: bool = False,
        expand: bool = False,
        prefix: str = "",
        refresh: bool = False,
    ) -> Any:
        """List all files below a path, sorted by name.

        Parameters
        ----------
        maxdepth:
            Number of folder levels to search.
        withdirs:
            Include folders, and the given path itself.
        detail:
            Return a dictionary of names to infos; otherwise a list of names.
        expand:
            Include ``last_modified`` of everything below the path, which is expensive for the endpoint.
        prefix:
            List only names that begin with the path, a slash and this: ``2026-11/a``. Only the folder that it names
            (``2026-11``) is searched.
        refresh:
            Ask the endpoint for the head of the branch, even if it was requested recently.

        Returns
        -------
        list or dict
            Names, or a dictionary of names to infos if ``detail`` is on.
        """
        if maxdepth is not None and maxdepth < 1:
            raise ValueError("maxdepth must be at least 1")
        search = partial(self._found_with, prefix or "", maxdepth, withdirs, expand)
        found = await self._searched(self._parse(path), partial(search, path), refresh)
        real = unescaped(stringify_path(path)) if not found else None
        if real is not None:
            found = await self._searched(self._parse(real), partial(search, real), refresh)
        return dict(sorted(found.items())) if detail else sorted(found)

    async def _searched(self, url: XetURL, search: Callable[[bool], Awaitable[T]], refresh: bool) -> T:
        """Run a search below a URL. If it finds nothing and the branch has got a newer commit, repeat it once.

        Parameters
        ----------
        search:
            Runs the search; its argument tells whether to request the branch's commit again.
        """
        repo, revision = url.repo_id, url.revision
        if refresh or repo is None or revision is None:
            return await search(refresh)
        trees = (await self._connect()).trees
        earlier = self._base(repo, revision) or trees.cached(repo, revision, self._max_age)
        found = await search(False)
        if found or earlier is None:
            return found
        with suppress(NotFoundError):
            if await trees.newest(repo, revision, earlier) != earlier:
                found = await search(True)
        return found

    async def _found_with(
        self, prefix: str, maxdepth: int | None, withdirs: bool, expand: bool, path: str, refresh: bool
    ) -> dict[str, Info]:
        top = self._parse(path).full_path
        folder, slash, _ = prefix.rpartition("/")
        inner, beginning = f"{top}/{folder}".strip("/") if slash else top, f"{top}/{prefix}" if top else prefix
        if maxdepth is not None:
            maxdepth -= prefix.count("/")
            if maxdepth < 1:
                return {}
        found = await self._found_below(self._parse(inner), maxdepth, withdirs, expand, refresh)
        return {name: info for name, info in found.items() if name.startswith(beginning)} if prefix else found

    async def _found_below(
        self, url: XetURL, maxdepth: int | None, withdirs: bool, expand: bool, refresh: bool
    ) -> dict[str, Info]:
        # By fsspec's rules, the result for a path that does not exist is empty. So `NotFoundError` is caught for the first
        # request only: if something exists, any error of a later request is raised.
        repo, revision = url.repo_id, url.revision
        found: dict[str, Info] = {}
        if repo is None or revision is None:
            try:
                listing = await self._ls(url.full_path)
            except NotFoundError:
                return {}
            if withdirs and url.full_path:
                found[url.full_path] = await self._info_above(url)
            for info in listing:
                if withdirs:
                    found[info["name"]] = info
                if maxdepth is None or maxdepth > 1:
                    inner = None if maxdepth is None else maxdepth - 1
                    found |= await self._found_below(XetURL.parse(info["name"]), inner, withdirs, expand, refresh)
            return found
        try:
            view, top = await self._top(url, repo, revision)
        except NotFoundError:
            return {}
        if refresh and (newer := await self._newer_view(view, revision)) is not None:
            view, looked = newer, await newer.lookup(url.path)
            if looked is None:
                return {}
            top = looked
        if withdirs or not top.is_folder:
            info = view.info(url.branch_path, top) if url.path else branch_info(url.branch_path, view.commit)
            found[info["name"]] = info
        if not top.is_folder:
            return found
        async for batch in _batches(view, url.path, maxdepth, expand):
            for item in batch:
                if withdirs or not item.is_folder:
                    info = view.info(url.branch_path, item)
                    found[info["name"]] = info
        return found

    @overload
    def _walk(
        self, /, path: str, maxdepth: int | None = None, topdown: bool = True,
        on_error: str | Callable[[Exception], object] = "omit", detail: Literal[False] = False, refresh: bool = False,
    ) -> AsyncIterator[tuple[str, list[str], list[str]]]: ...  # fmt: skip
    @overload
    def _walk(
        self, /, path: str, maxdepth: int | None = None, topdown: bool = True,
        on_error: str | Callable[[Exception], object] = "omit", *, detail: Literal[True], refresh: bool = False,
    ) -> AsyncIterator[tuple[str, dict[str, Info], dict[str, Info]]]: ...  # fmt: skip
    @overload
    def _walk(
        self, /, path: str, maxdepth: int | None = None, topdown: bool = True,
        on_error: str | Callable[[Exception], object] = "omit", detail: bool = False, refresh: bool = False,
    ) -> AsyncIterator[tuple[str, Any, Any]]: ...  # fmt: skip
    @public()
    async def _walk(
        self,
        /,
        path: str,
        maxdepth: int | None = None,
        topdown: bool = True,
        on_error: str | Callable[[Exception], object] = "omit",
        detail: bool = False,
        refresh: bool = False,
    ) -> AsyncIterator[tuple[str, Any, Any]]:
        """Walk through all folders below a path; each gives a tuple of its path, its folders and its files.

        Parameters
        ----------
        topdown:
            Yield a folder before the folders in it. Folders that the caller removes from a yielded tuple are not walked.
        on_error:
            What to do if the path does not exist: ``omit`` yields it without content, ``raise`` raises the error, a
            function is called with the error. Other errors are always raised, so that a walk is complete.
        detail:
            Yield folders and files as dictionaries of names to infos; otherwise as lists of names.
        refresh:
            Ask the endpoint for the head of the branch, even if it was requested recently.

        Returns
        -------
        AsyncIterator of tuple
            Path, folders and files: the last two as lists of names, or as dictionaries if ``detail`` is on.
        """
        if maxdepth is not None and maxdepth < 1:
            raise ValueError("maxdepth must be at least 1")
        if refresh:
            (await self._connect()).trees.invalidate_revisions(self._parse(path).repo_id)
        name = self._strip_protocol(path)
        url = self._parse(path)
        try:
            view = await self._pinned(url)
            listing = await self._listed(url, view)
        except NotFoundError as error:
            if on_error == "raise":
                raise
            if callable(on_error):
                on_error(error)
            yield (name, {}, {}) if detail else (name, [], [])
            return
        if view is not None and not listing and (newer := await self._newer_view(view, url.revision or "")) is not None:
            view, listing = newer, await self._listed(url, newer)
        if view is not None and maxdepth is None:
            await self._read_ahead_of_walk(url, view)
        async for item in self._walk_on(name, listing, view, maxdepth, topdown, detail):
            yield item

    async def _walk_on(
        self, name: str, listing: list[Info], view: View | None, maxdepth: int | None, topdown: bool, detail: bool
    ) -> AsyncIterator[tuple[str, Any, Any]]:
        folders: Any = {_last(info): info for info in listing if info["type"] == "directory"}
        files: Any = {
            "" if info["name"] == name else _last(info): info for info in listing if info["type"] != "directory"
        }
        if not detail:
            folders, files = list(folders), list(files)
        if topdown:
            yield name, folders, files
        if maxdepth is None or maxdepth > 1:
            for folder in list(folders):
                inner = f"{name}/{folder}" if name else folder
                url = self._parse(inner)
                inside = await self._pinned(url) if view is None else view
                if view is None and inside is not None and maxdepth is None:
                    await self._read_ahead_of_walk(url, inside)
                depth = None if maxdepth is None else maxdepth - 1
                async for item in self._walk_on(
                    inner, await self._listed(url, inside), inside, depth, topdown, detail
                ):  # fmt: skip
                    yield item
        if not topdown:
            yield name, folders, files

    @at_home
    async def _pinned(self, url: XetURL) -> View | None:
        """The view of the commit that a walk reads below this path; ``None`` above branches."""
        return (await self._top(url, url.repo_id, url.revision))[0] if url.repo_id and url.revision else None

    @at_home
    async def _listed(self, url: XetURL, view: View | None) -> list[Info]:
        """List a path, in the given view if there is one."""
        return await (self._ls(url.full_path) if view is None else self._ls_inside(view, url))

    @at_home
    async def _read_ahead_of_walk(self, url: XetURL, view: View) -> None:
        """Cache the folders below a path with one recursive listing, which stops if it has more entries than the cache."""
        count = 0
        try:
            async with aclosing(view.below(url.path)) as batches:
                async for batch in batches:
                    count += len(batch)
                    if count > MAX_ENTRIES:
                        break
        except NotFoundError:
            # The path is a file.
            return

    @overload
    async def _glob(
        self, /, path: str, maxdepth: int | None = None, detail: Literal[False] = False, withdirs: bool = True,
        expand: bool = False, prefix: str = "", refresh: bool = False,
    ) -> list[str]: ...  # fmt: skip
    @overload
    async def _glob(
        self, /, path: str, maxdepth: int | None = None, *, detail: Literal[True], withdirs: bool = True,
        expand: bool = False, prefix: str = "", refresh: bool = False,
    ) -> dict[str, Info]: ...  # fmt: skip
    @overload
    async def _glob(
        self, /, path: str, maxdepth: int | None = None, detail: bool = False, withdirs: bool = True,
        expand: bool = False, prefix: str = "", refresh: bool = False,
    ) -> dict[str, Info] | list[str]: ...  # fmt: skip
    @public()
    @at_home
    async def _glob(
        self,
        /,
        path: str,
        maxdepth: int | None = None,
        detail: bool = False,
        withdirs: bool = True,
        expand: bool = False,
        prefix: str = "",
        refresh: bool = False,
    ) -> Any:
        """List the paths that match a pattern, sorted by name.

        Parameters
        ----------
        path:
            Pattern with ``*``, ``?``, ``[…]`` inside parts, and ``**`` for any number of parts.
        maxdepth:
            Number of folder levels that ``**`` matches.
        detail, withdirs, expand:
            As in `_find`; folders are included unless ``withdirs`` is off.
        prefix:
            List only paths whose rest, from the first part with a wildcard on, begins with this.
        refresh:
            Ask the endpoint for the heads of branches, even if they were requested recently.

        Returns
        -------
        list or dict
            Names, or a dictionary of names to infos if ``detail`` is on.
        """
        pattern = self._normalized(path) + ("/" if stringify_path(path).endswith("/") else "")
        search = partial(self._globbed, pattern, maxdepth, detail, withdirs, expand, prefix)
        return await self._searched(self._parse(before_magic(pattern)), search, refresh)

    async def _globbed(
        self,
        pattern: str,
        maxdepth: int | None,
        detail: bool,
        withdirs: bool,
        expand: bool,
        prefix: str,
        refresh: bool,
    ) -> Any:
        found: Any
        if has_magic(pattern):
            found = await super()._glob(
                pattern, maxdepth, detail=detail, withdirs=withdirs, expand=expand, refresh=refresh
            )  # fmt: skip
        else:
            # fsspec looks up a plain name twice, and ignores these options then.
            if maxdepth is not None and maxdepth < 1:
                raise ValueError("maxdepth must be at least 1")
            found = {}
            with suppress(NotFoundError):
                info = await self._info(pattern, expand=expand, refresh=refresh)
                found = {pattern.rstrip("/"): info}
            if not detail:
                found = list(found)
        if not prefix:
            return found
        plain = re.split(r"[*?[]", pattern, maxsplit=1)[0]
        beginning = plain[: plain.rfind("/") + 1] + prefix
        if detail:
            return {name: info for name, info in found.items() if name.startswith(beginning)}
        return [name for name in found if name.startswith(beginning)]


def _last(info: Info) -> str:
    return str(info["name"].rpartition("/")[2])


async def _batches(view: View, path: str, maxdepth: int | None, expand: bool) -> AsyncIterator[list[Entry]]:
    if maxdepth == 1:
        yield await (view.dated_children(path) if expand else view.children(path))
        return
    top = path.count("/") + 1 if path else 0
    async for batch in view.below(path, expand=expand):
        yield [item for item in batch if maxdepth is None or item.path.count("/") - top < maxdepth]
