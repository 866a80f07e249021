"""The entries of a git tree: in their order, from any one on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from pyxet.server.git_objects import FOLDER, SUBMODULE


def members(tree: Any, prefix: str, start: int = 0) -> Iterator[tuple[str, Any]]:
    """Paths and objects of a tree's entries, without submodules and names that are not UTF-8."""
    for found in (tree[index] for index in range(start, len(tree))):
        with suppress(UnicodeDecodeError):
            path = f"{prefix}{found.raw_name.decode()}"
            if found.filemode != SUBMODULE:
                yield path, found


def position(tree: Any, name: str) -> int:
    """The index of an entry that is there. Git sorts folders as if their names ended in a slash."""
    wanted = name.encode() + (b"/" if tree[name].filemode == FOLDER else b"")
    low, high = 0, len(tree)
    while low < high:
        middle = (low + high) // 2
        found = tree[middle]
        if found.raw_name + (b"/" if found.filemode == FOLDER else b"") < wanted:
            low = middle + 1
        else:
            high = middle
    return low
