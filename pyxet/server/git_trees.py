r"""The entries of a git tree, and their paths.

A name that is not UTF-8 is listed with an escape for each byte that is none (``caf\xe9.txt``), and is found by it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pyxet.server.git_objects import FOLDER


def path_name(raw: bytes) -> str:
    """A name of a tree as a part of a path."""
    return raw.decode(errors="backslashreplace")


def found_in(tree: Any, path: str) -> Any:
    """What is at a path below a tree, not read yet, or ``None``."""
    try:
        return tree[path]
    except (KeyError, ValueError):
        return _escaped(tree, path) if "\\x" in path else None


def members(tree: Any, prefix: str, start: int = 0) -> Iterator[tuple[str, Any]]:
    """Paths and objects of a tree's entries, from one on."""
    for found in (tree[index] for index in range(start, len(tree))):
        yield prefix + path_name(found.raw_name), found


def position(tree: Any, name: str) -> int:
    """The index of an entry that is there. Git sorts folders as if their names ended in a slash."""
    wanted = _sorted_as(found_in(tree, name))
    low, high = 0, len(tree)
    while low < high:
        middle = (low + high) // 2
        if _sorted_as(tree[middle]) < wanted:
            low = middle + 1
        else:
            high = middle
    return low


def _sorted_as(found: Any) -> bytes:
    name: bytes = found.raw_name
    return name + b"/" if found.filemode == FOLDER else name


def _escaped(tree: Any, path: str) -> Any:
    """As `found_in`, for a path with parts that may stand for names that are not UTF-8; a name that is just so comes first."""
    found = tree
    for part in path.split("/"):
        if found is not tree and found.filemode != FOLDER:
            return None
        try:
            found = found[part]
        except (KeyError, ValueError):
            found = (
                next((entry for entry in found if path_name(entry.raw_name) == part), None) if "\\x" in part else None
            )
        if found is None:
            return None
    return found
