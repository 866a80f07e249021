"""The heads of branches that this process commits to. Commits of one loop take turns, and build on the one before."""

from __future__ import annotations

from typing import Final
from weakref import WeakValueDictionary

from pyxet._async.runtime.turns import Turns
from pyxet.types import RepoId

# Commits of ours that are remembered for those that are based on an older one.
_MAX_MOVES: Final = 1000


class Head:
    """Where a branch is, as far as our own commits tell.

    Every commit names its parent. Commits that are made at the same time would name the same one, and all but one of them
    would be refused; so those of a loop take turns.
    """

    def __init__(self) -> None:
        self.turns = Turns()
        self._moves: dict[str, str] = {}

    def newest(self, commit: str) -> str:
        """The newest of our commits on top of the given commit; the given commit if there is none."""
        seen = 0
        while commit in self._moves and seen < _MAX_MOVES:
            commit = self._moves[commit]
            seen += 1
        return commit

    def note(self, parent: str, made: str) -> None:
        """We have made a commit on top of another one."""
        if len(self._moves) >= _MAX_MOVES:
            del self._moves[next(iter(self._moves))]
        self._moves[parent] = made


class Heads:
    """Those of the branches that are being committed to."""

    def __init__(self) -> None:
        # Each is kept as long as somebody commits to its branch or waits to do so.
        self._known: WeakValueDictionary[tuple[RepoId, str], Head] = WeakValueDictionary()

    def of(self, repo: RepoId, branch: str) -> Head:
        """That of a branch."""
        return self._known.setdefault((repo, branch), Head())
