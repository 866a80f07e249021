"""The naming rule of `names` for the local side of an upload: which local files a given name means."""

from __future__ import annotations

import errno
import os
import re
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fsspec.implementations.local import LocalFileSystem, trailing_sep
from fsspec.utils import glob_translate

from pyxet._async.fs.names import Expansion
from pyxet._async.fs.paths import as_text
from pyxet._async.runtime.streams import is_stream
from pyxet.errors import PyxetWarning
from pyxet.local_tree import LocalEntry, not_readable, special, walk
from pyxet.patterns import has_magic, unescaped


@dataclass(slots=True, kw_only=True)
class LocalExpansion(Expansion):
    """An `Expansion` of local names.

    Attributes
    ----------
    maxdepth, chosen:
        As in `expand_local`.
    folders:
        The folders among ``names``.
    short:
        For names that are below a given folder or match a pattern: the path relative to it, which ``include`` and ``exclude``
        are applied to. For other names, they are applied to the last part.
    specials:
        Names of special files (pipes, devices), each with what it is, for messages.
    """

    maxdepth: int | None
    chosen: Callable[[str], bool]
    folders: set[str] = field(default_factory=set)
    short: dict[str, str] = field(default_factory=dict)
    specials: dict[str, str] = field(default_factory=dict)

    def is_wanted(self, name: str) -> bool:
        """Whether a name is that of a file, and ``chosen`` allows it."""
        return name not in self.folders and self.chosen(self.short.get(name) or name.rpartition("/")[2])

    def check_readable(self, names: Iterable[str]) -> None:
        """Raise `shutil.SpecialFileError` if one of some files is special (a pipe, a device): reading it might never end."""
        for name in names:
            if name in self.specials:
                raise not_readable(name, self.specials[name])


def expand_local(
    given: Iterable[Any], *, recursive: bool, maxdepth: int | None, follow_links: bool, chosen: Callable[[str], bool]
) -> LocalExpansion:
    """Expand local names and patterns; blocking. `Expanding._expand` does the same for paths in repositories.

    Parameters
    ----------
    recursive, maxdepth:
        Include what is below folders, down to this many levels.
    follow_links:
        Whether to include what is below folders that links lead to.
    chosen:
        Returns whether a name is wanted. Others are left out without a warning.
    """
    if maxdepth is not None and maxdepth < 1:
        raise ValueError("maxdepth must be at least 1")
    result = LocalExpansion(maxdepth=maxdepth, chosen=chosen)
    texts = [as_text(path) for path in given]
    warned: set[str] = set()

    def left_out(path: str, why: str) -> None:
        if path not in warned and chosen(path.rpartition("/")[2]):
            warned.add(path)
            warnings.warn(f"{path!a} is left out: {why}", PyxetWarning, stacklevel=2)

    def below(top: str, depth: int | None) -> list[LocalEntry]:
        return list(walk(top, left_out, follow_links=follow_links, maxdepth=depth))

    def add(entry: LocalEntry, short: str) -> None:
        result.short.setdefault(entry.path, short)
        _add(result, entry.path, entry.found)

    for text in texts:
        name = LocalFileSystem._strip_protocol(text)
        real = name if os.path.lexists(name) or not has_magic(name) else unescaped(name)
        if real is not None:
            if not os.path.lexists(real):
                result.missing[name] = FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), real)
                continue
            result.literals.add(real)
            _add(result, real, _stat(real))
            if recursive and real in result.folders:
                for entry in below(real, maxdepth):
                    add(entry, entry.name)
            continue
        result.is_pattern = len(texts) == 1
        matched = _matching(name, trailing_sep(text), maxdepth, below)
        if not matched:
            result.missing[name] = FileNotFoundError(
                errno.ENOENT, "there is no such file, and as a pattern it matches nothing", name
            )
        for entry in matched:
            add(entry, entry.name)
            if recursive and entry.is_folder and maxdepth != 1:
                for inside in below(entry.path, maxdepth - 1 if maxdepth is not None else None):
                    add(inside, f"{entry.name}/{inside.name}")
    result.names = sorted({*result.literals, *result.short})
    return result


def pairs_chosen(
    pairs: Iterable[tuple[Any, str]],
    find: Callable[..., LocalExpansion],
    chosen: Callable[[str], bool],
    recursive: bool,
) -> list[tuple[Any, str]]:
    """The pairs of a local file and the name of its copy that are chosen; blocking.

    Parameters
    ----------
    recursive:
        Replace folders by the chosen files in them. Otherwise they stay, and are refused later.
    """
    result: list[tuple[Any, str]] = []
    for source, target in pairs:
        is_named = not is_stream(source)
        wanted = not is_named or chosen(Path(as_text(source)).name)
        if is_named and (recursive or not wanted) and os.path.isdir(source):
            if recursive:
                expansion = find([source], recursive=True)
                inside = [name for name in expansion.names if expansion.is_wanted(name)]
                expansion.check_readable(inside)
                result += [(name, f"{str(target).rstrip('/')}/{expansion.short[name]}") for name in inside]
                continue
            wanted = True
        if wanted:
            result.append((source, target))
    return result


def _matching(
    pattern: str, has_slash: bool, maxdepth: int | None, below: Callable[[str, int | None], list[LocalEntry]]
) -> list[LocalEntry]:
    """The paths that match a pattern, by fsspec's rules."""
    fixed = re.split(r"[*?[]", pattern, maxsplit=1)[0].rpartition("/")[0]
    depth: int | None = pattern.count("/") - fixed.count("/")
    if "**" in pattern:
        stars = pattern[pattern.find("**") :].count("/") + 1
        depth = None if maxdepth is None or depth is None else depth - stars + maxdepth
    if not os.path.isdir(fixed or "/"):
        return []
    as_folder = has_slash or pattern.endswith("/**")
    matches = re.compile(glob_translate(pattern + ("/" if has_slash else ""))).match
    return [
        entry
        for entry in below(fixed or "/", depth)
        if matches(f"{entry.path}/" if as_folder and entry.is_folder else entry.path)
    ]


def _stat(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except FileNotFoundError:
        return None


def _add(result: LocalExpansion, path: str, found: os.stat_result | None) -> None:
    entry = LocalEntry(path, "", found)
    if entry.is_folder:
        result.folders.add(path)
    elif found is not None and (what := special(found)) is not None:
        result.specials[path] = what
