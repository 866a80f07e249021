r"""The entries of a git tree, and their paths.

A name that is not UTF-8 is listed with an escape for each byte that is none (``caf\xe9.txt``), and is found by it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pygit2

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


class TreeEdit:
    """One git tree being changed, whose entries are named as in paths.

    Parameters
    ----------
    tree:
        What it begins with; ``None`` for nothing.
    """

    def __init__(self, git: pygit2.Repository, tree: Any) -> None:
        self._git = git
        self._tree = tree
        self._builder: Any = git.TreeBuilder() if tree is None else git.TreeBuilder(tree)
        # `pygit2.TreeBuilder` takes names that are not UTF-8 out of a tree, and puts none in.
        self._raw: dict[bytes, tuple[Any, int]] = {}

    def __len__(self) -> int:
        return len(self._builder) + len(self._raw)

    def get(self, name: str) -> Any:
        """What is there of a name, if anything."""
        return self._builder.get(self._stored_as(name))

    def insert(self, name: str, oid: Any, mode: int) -> None:
        """Put something there; `pygit2.GitError` or `ValueError` for a name that git does not take."""
        stored = self._stored_as(name)
        if stored == name:
            self._builder.insert(name, oid, mode)
        else:
            self._builder.remove(stored)
            self._raw[stored.encode(errors="surrogateescape")] = oid, mode

    def remove(self, name: str) -> None:
        """Take away what is there."""
        self._builder.remove(self._stored_as(name))

    def write(self) -> Any:
        """Write the tree; its id."""
        written = self._builder.write()
        if not self._raw:
            return written
        made: Any = self._git[written]
        entries = {entry.raw_name: (entry.id, entry.filemode) for entry in made} | self._raw
        order = sorted(entries, key=lambda name: name + b"/" if entries[name][1] == FOLDER else name)
        data = b"".join(b"%o %s\0%s" % (entries[name][1], name, entries[name][0].raw) for name in order)
        return self._git.write(pygit2.enums.ObjectType.TREE, data)

    def _stored_as(self, name: str) -> str:
        """A name as the tree has it, with bytes that are not UTF-8 as surrogates."""
        if "\\x" in name and self._tree is not None and self._builder.get(name) is None:
            for entry in self._tree:
                if path_name(entry.raw_name) == name:
                    return str(entry.raw_name.decode(errors="surrogateescape"))
        return name


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
