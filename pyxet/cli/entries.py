"""Entries for listings: what a typed path or pattern stands for, and how the entries are named in output."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import pyxet
from pyxet import XetURL
from pyxet.cli.paths import beginning, remote
from pyxet.cli.transfer_ends import fixed_part
from pyxet.patterns import has_magic

if TYPE_CHECKING:
    from pyxet import XetFS

Info: TypeAlias = Mapping[str, Any]


def anchor(typed: str) -> str:
    """The folder in front of the first name with wildcards in a pattern; a path without wildcards is returned unchanged."""
    if not has_magic(typed):
        return typed
    start = beginning(typed)
    return start + fixed_part(typed[len(start) :])


def meant(fs: XetFS, typed: str, *, folders: bool = True) -> list[str]:
    """The paths that a typed path stands for: what it matches if it is a pattern and nothing has this name, else itself.

    The paths begin with the scheme and endpoint that were typed.

    Parameters
    ----------
    folders:
        Whether a pattern also matches folders.

    Raises
    ------
    EntryNotFoundError
        Nothing matches the pattern. Whether a path without wildcards exists is not checked.
    """
    if not has_magic(typed):
        return [typed]
    try:
        if fs.exists(typed):
            return [typed]
    except pyxet.XetURLError:
        # No owner or repository can have this name, so it can only be a pattern.
        pass
    found: list[str] = fs.glob(typed, withdirs=folders)
    if not found:
        raise pyxet.EntryNotFoundError(f"nothing matches {typed}", status=404)
    return [beginning(typed) + name for name in found]


def everything(fs: XetFS, path: str, *, folders: bool = False, dates: bool = False) -> Iterator[list[Info]]:
    """All files below a path, page by page as they are found.

    Parameters
    ----------
    folders:
        Include the path and the folders below it, each before its content.
    dates:
        Include the dates of the last changes.

    Raises
    ------
    NotFoundError
        There is nothing at the path.
    """
    url, top = remote(path), fs.info(path)
    if folders and url.full_path and top["type"] != "file":
        yield [top]
    if url.level not in ("branch", "path"):
        for info in fs.ls(path):
            yield from everything(fs, beginning(path) + info["name"], folders=folders, dates=dates)
        return
    seen = {url.full_path}
    for page in fs.scan(path, dates=dates):
        found: list[Info] = []
        for info in page:
            if folders and top["type"] != "file":
                found += _new_folders(info, seen)
            found.append(info)
        yield found


def _new_folders(info: Info, seen: set[str]) -> list[Info]:
    """The folders above a file that are not in ``seen`` yet, from the top down; they are added to it."""
    new: list[Info] = []
    folder: str = info["name"].rpartition("/")[0]
    while folder not in seen:
        seen.add(folder)
        new.append({"name": folder, "size": 0, "type": "directory", "kind": "directory", "commit": info["commit"]})
        folder = folder.rpartition("/")[0]
    return new[::-1]


def below(info: Info, top: XetURL) -> str:
    """The name of an entry relative to a path: ``data/a.csv``; its last part if the entry is the path itself."""
    name: str = info["name"]
    start = top.full_path
    if name == start:
        return name.rpartition("/")[2]
    return name[len(start) + 1 :] if start else name


def as_typed(info: Info, top: XetURL, typed: str) -> str:
    """The path of an entry with the beginning that the user typed, so that it can be given to other commands."""
    name: str = info["name"]
    rest = name[len(top.full_path) :]
    return f"{typed.rstrip('/')}{rest}" if top.full_path else name


def is_folder(info: Info) -> bool:
    """Whether an entry is a folder inside a branch."""
    return info["type"] == "directory" and info.get("kind") == "directory"


def for_json(info: Info) -> dict[str, Any]:
    """An entry for JSON output, where only files have a size."""
    return {name: value for name, value in info.items() if name != "size" or info["type"] == "file"}
