"""The heads of branches that this process commits to. Commits of one loop are made one by one, each on top of the last."""

from __future__ import annotations

from typing import Final
from weakref import WeakValueDictionary

from pyxet._async.runtime.turns import Turns
from pyxet.types import RepoId

# Maximum number of our commits to a branch that are remembered, for changes that are based on an older one.
_MAX_MOVES: Final = 1000


class Head:
    """The newest commit of a branch, as far as it follows from our own commits.

    Every commit request names its parent. Requests at the same time would name the same parent, and all but one would be
    refused. So commits on one event loop wait for each other, by the lock ``turns.here()``.
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
        """Remember that we made a commit on top of ``parent``."""
        if len(self._moves) >= _MAX_MOVES:
            del self._moves[next(iter(self._moves))]
        self._moves[parent] = made


class Heads:
    """The `Head` of each branch that is being committed to."""

    def __init__(self) -> None:
        # A `Head` lives as long as the commits that are being made, or wait to be made, refer to it.
        self._known: WeakValueDictionary[tuple[RepoId, str], Head] = WeakValueDictionary()

    def of(self, repo: RepoId, branch: str) -> Head:
        """The `Head` of a branch."""
        return self._known.setdefault((repo, branch), Head())
