"""What differs between two commits of a repository.

Folders with the same object id hold the same, so they are not looked at, however much they hold. Of the others both
listings are read side by side, page by page, and what they have in common is forgotten at once.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Final, TypeAlias

from pyxet._async.endpoint.hub import Hub, TreePage
from pyxet._async.runtime.tasks import ordered_window, run_all
from pyxet.protocol.messages import TreeEntry
from pyxet.types import PathChange, RepoId

# Of one path: what the old commit has there, and the new one.
_Pair: TypeAlias = tuple[TreeEntry | None, TreeEntry | None]
# Folders whose listings are asked for before it is their turn.
_AHEAD: Final = 8


class Comparison:
    """Two commits of a repository.

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
        """The files that differ, folder by folder, by name within each."""
        if self._old == self._new:
            return
        async with aclosing(self._below(await self._folder(""))) as changes:
            async for change in changes:
                yield change

    async def _below(self, pairs: list[_Pair]) -> AsyncGenerator[PathChange, None]:
        """All that differs in and below a folder, of which `_folder` found this."""
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
        """What is only on one side; a file and a folder of one name have nothing in common."""
        if old is not None:
            async for entry in self._files(self._old, old):
                yield PathChange(entry.path, "removed", old_size=_size(entry), old_blob_id=entry.oid)
        if new is not None:
            async for entry in self._files(self._new, new):
                yield PathChange(entry.path, "added", new_size=_size(entry), new_blob_id=entry.oid)

    async def _files(self, commit: str, entry: TreeEntry) -> AsyncIterator[TreeEntry]:
        """A file, or those below a folder."""
        if entry.type == "file":
            yield entry
            return
        async for page in self._hub.tree(self._repo, commit, entry.path, recursive=True):
            for found in page.entries:
                if found.type == "file":
                    yield found

    async def _folder(self, path: str) -> list[_Pair]:
        """What differs directly in a folder of both commits, by name."""
        sides = [self._hub.tree(self._repo, commit, path) for commit in (self._old, self._new)]
        # What the other side has not shown yet; little, where both list in the same order.
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
