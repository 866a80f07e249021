r"""The entries of a git tree, and their paths.

A name that is not UTF-8 is listed with an escape for each invalid byte (``caf\xe9.txt``), and can be looked up that way.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from pyxet.errors import ServerError
from pyxet.server.git_objects import FOLDER

# An entry as git stores it, and the number of bytes of an object id.
_RECORD = re.compile(rb"[0-7]{5,6} [^\0]+\0.{20}", re.DOTALL)
_OID: Final = 20
# Git writes the mode of a folder without a leading zero; some programs have written one.
_FOLDER_MODES: Final = (b"40000 ", b"040000 ")
# All names are parsed at once if there is at least one change for this many entries.
_PER_CHANGE: Final = 50
# The number of folders that stay parsed for look-ups. A folder of 200,000 files is an object of 8 MB.
_KEPT: Final = 4


def path_name(raw: bytes) -> str:
    """The name of a tree entry as a part of a path."""
    return raw.decode(errors="backslashreplace")


def found_in(tree: Any, path: str) -> Any:
    """The object at a path below a tree, not read yet, or ``None``."""
    try:
        return tree[path]
    except (KeyError, ValueError):
        return _escaped(tree, path) if "\\x" in path else None


class PathFinder:
    """Looks up paths in commits. It keeps the last folders parsed: libgit2 parses a large one again for each path in it.

    Like the repository that has it, it must not be used by two threads at once.
    """

    def __init__(self) -> None:
        self._kept: dict[tuple[Any, str], Any] = {}

    def find(self, commit: Any, path: str) -> Any:
        """The object at a path of a commit, not read yet, or ``None``."""
        folder, _, name = path.rpartition("/")
        if path.startswith("/") or folder.endswith("/"):
            return None
        key = commit.tree_id, folder
        if key not in self._kept:
            if len(self._kept) == _KEPT:
                del self._kept[next(iter(self._kept))]
            self._kept[key] = found_in(commit.tree, folder) if folder else commit.tree
        tree = self._kept[key]
        return found_in(tree, name) if tree is not None and (not folder or tree.filemode == FOLDER) else None


def members(tree: Any, prefix: str, start: int = 0) -> Iterator[tuple[str, Any]]:
    """Paths and objects of a tree's entries, from index ``start`` on."""
    for found in (tree[index] for index in range(start, len(tree))):
        yield prefix + path_name(found.raw_name), found


class Member(NamedTuple):
    """An entry of a tree: its mode, and its object id in 20 bytes."""

    mode: int
    oid: bytes


class TreeEdit:
    """One git tree being changed, whose entries are named as in paths. It writes nothing: `data` gives the result.

    Unchanged entries keep their bytes and order: most of a large tree is copied as it is.

    Parameters
    ----------
    data:
        The original tree as git stores it; empty for a new one.
    changes:
        About how many changes will follow: if many, all names are parsed once, instead of a few names for each change.

    Raises
    ------
    ServerError
        The tree is damaged.
    """

    def __init__(self, data: bytes, changes: int) -> None:
        self._records = _RECORD.findall(data)
        if sum(map(len, self._records)) != len(data):
            raise ServerError("a tree of the repository is damaged", status=500)
        self._positions: dict[bytes, int] | None = None
        if len(self._records) <= changes * _PER_CHANGE:
            self._positions = {_name(record): position for position, record in enumerate(self._records)}
        # Name → the new entry, or ``None`` if the entry is removed.
        self._changes: dict[bytes, Member | None] = {}
        self._length = len(self._records)

    def __len__(self) -> int:
        return self._length

    def get(self, name: str) -> Member | None:
        """The entry of a name, or ``None``."""
        return self._get(self._stored_as(name))

    def insert(self, name: str, oid: bytes, mode: int) -> None:
        """Add or replace an entry. The caller must make sure that git accepts the name."""
        self._change(self._stored_as(name), Member(mode, oid))

    def remove(self, name: str) -> None:
        """Remove an entry."""
        self._change(self._stored_as(name), None)

    def data(self) -> bytes:
        """The tree as git stores it."""
        gone = [position for name in self._changes if (position := self._position(name)) is not None]
        put = sorted(
            (_order(record), record)
            for name, member in self._changes.items()
            if member is not None
            for record in [b"%o %s\0%s" % (member.mode, name, member.oid)]
        )
        merged: list[bytes] = []
        kept = self._records
        if gone:
            kept = []
            begin = 0
            for position in sorted(gone):
                kept += self._records[begin:position]
                begin = position + 1
            kept += self._records[begin:]
        begin = 0
        for order, record in put:
            end = bisect_left(kept, order, begin, key=_order)
            merged += kept[begin:end]
            merged.append(record)
            begin = end
        merged += kept[begin:]
        return b"".join(merged)

    def _change(self, name: bytes, member: Member | None) -> None:
        self._length += (member is not None) - (self._get(name) is not None)
        self._changes[name] = member

    def _get(self, name: bytes) -> Member | None:
        if name in self._changes:
            return self._changes[name]
        position = self._position(name)
        if position is None:
            return None
        record = self._records[position]
        return Member(int(record[: record.index(b" ")], 8), record[-_OID:])

    def _position(self, name: bytes) -> int | None:
        """The index of a name among the original entries, or ``None``."""
        if self._positions is not None:
            return self._positions.get(name)
        # Search for it as a file and as a folder: git sorts the two differently.
        for order in (name, name + b"/"):
            found = bisect_left(self._records, order, key=_order)
            if found < len(self._records) and _name(self._records[found]) == name:
                return found
        return None

    def _stored_as(self, name: str) -> bytes:
        """A name as the tree has it, which may have bytes that are not UTF-8."""
        stored = name.encode()
        if "\\x" in name and self._get(stored) is None:
            return next((raw for raw in map(_name, self._records) if path_name(raw) == name), stored)
        return stored


def _name(record: bytes) -> bytes:
    """The name in an entry: mode, space, name, a null byte, and the id."""
    return record[record.index(b" ") + 1 : -_OID - 1]


def _order(record: bytes) -> bytes:
    """The sort key of an entry in git: a folder sorts as if its name ended in a slash."""
    return _name(record) + b"/" if record.startswith(_FOLDER_MODES) else _name(record)


def position(tree: Any, name: str) -> int:
    """The index of an existing entry. Git sorts folders as if their names ended in a slash."""
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
    """Like `found_in`, for a path with escapes for bytes that are not UTF-8; a name that equals a part literally wins."""
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
