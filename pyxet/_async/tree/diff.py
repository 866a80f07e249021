"""Finds the files that differ between two commits of a repository.

Folders with equal object ids have equal content and are not listed, however large they are. Of any other folder, the
listings of both commits are read at the same time, page by page, and entries that are equal in both are dropped at once.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Final, TypeAlias

from pyxet._async.endpoint.hub import Hub, TreePage
from pyxet._async.runtime.tasks import ordered_window, run_all
from pyxet.protocol.messages import TreeEntry
from pyxet.types import PathChange, RepoId

# The entries at one path in the old and in the new commit.
_Pair: TypeAlias = tuple[TreeEntry | None, TreeEntry | None]
# Folders that are listed ahead of the one whose changes are yielded.
_AHEAD: Final = 8


class Comparison:
    """Compares two commits of a repository.

    Parameters
    ----------
    old, new:
        Commit ids.
    """

    def __init__(self, hub: Hub, repo: RepoId, old: str, new: str) -> None:
        self._hub = hub
        self._repo = repo
        self._old = old
        self._new = new

    async def changes(self) -> AsyncGenerator[PathChange, None]:
        """The files that differ, folder by folder, sorted by name in each folder."""
        if self._old == self._new:
            return
        async with aclosing(self._below(await self._folder(""))) as changes:
            async for change in changes:
                yield change

    async def _below(self, pairs: list[_Pair]) -> AsyncGenerator[PathChange, None]:
        """All changes in and below a folder, for which `_folder` returned ``pairs``."""
        inner = [old.path for old, new in pairs if old is not None and new is not None and _both_folders(old, new)]
        async with ordered_window(inner, self._folder, limit=_AHEAD) as folders:
            for old, new in pairs:
                if old is not None and new is not None and _both_folders(old, new):
                    found = self._below(await anext(folders))
                elif old is not None and new is not None and old.type == new.type:
                    yield PathChange(old.path, "changed", _size(old), _size(new), old.oid, new.oid)
                    continue
                else:
                    found = self._replaced(old, new)
                async with aclosing(found) as changes:
                    async for change in changes:
                        yield change

    async def _replaced(self, old: TreeEntry | None, new: TreeEntry | None) -> AsyncGenerator[PathChange, None]:
        """Changes at a path that only one commit has, or that is a file in one and a folder in the other."""
        if old is not None:
            async for entry in self._files(self._old, old):
                yield PathChange(entry.path, "removed", old_size=_size(entry), old_blob_id=entry.oid)
        if new is not None:
            async for entry in self._files(self._new, new):
                yield PathChange(entry.path, "added", new_size=_size(entry), new_blob_id=entry.oid)

    async def _files(self, commit: str, entry: TreeEntry) -> AsyncIterator[TreeEntry]:
        """The entry if it is a file, or the files below it if it is a folder."""
        if entry.type == "file":
            yield entry
            return
        async for page in self._hub.tree(self._repo, commit, entry.path, recursive=True):
            for found in page.entries:
                if found.type == "file":
                    yield found

    async def _folder(self, path: str) -> list[_Pair]:
        """The entries directly in a folder that differ between the commits, sorted by name."""
        sides = [self._hub.tree(self._repo, commit, path) for commit in (self._old, self._new)]
        # Entries of each side that have not come from the other side yet; few, if both list in the same order.
        waiting: tuple[dict[str, TreeEntry], dict[str, TreeEntry]] = {}, {}
        pairs: list[_Pair] = []

        async def next_page(side: int) -> TreePage | None:
            return await anext(sides[side], None)

        open_sides = [0, 1]
        while open_sides:
            pages = await run_all(next_page, open_sides, limit=2)
            for side, page in zip(list(open_sides), pages, strict=True):
                if page is None:
                    open_sides.remove(side)
                    continue
                for entry in page.entries:
                    other = waiting[1 - side].pop(entry.path, None)
                    if other is None:
                        waiting[side][entry.path] = entry
                    elif (other.oid, other.type) != (entry.oid, entry.type):
                        pairs.append((entry, other) if side == 0 else (other, entry))
        pairs += [(entry, None) for entry in waiting[0].values()]
        pairs += [(None, entry) for entry in waiting[1].values()]
        return sorted(pairs, key=_name)


def _both_folders(old: TreeEntry, new: TreeEntry) -> bool:
    return old.type == new.type == "directory"


def _name(pair: _Pair) -> str:
    entry = pair[0] or pair[1]
    assert entry is not None
    return entry.path


def _size(entry: TreeEntry) -> int:
    return entry.lfs.size if entry.lfs else entry.size or 0
