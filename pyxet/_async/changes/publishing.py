"""The interface through which edits publish the changes of one branch."""

from __future__ import annotations

from typing import Protocol

from pyxet.types import Commit


class Publisher(Protocol):
    """Publishes one change set, which must be prepared. Afterwards either all of it is visible or nothing.

    `Committer` makes a commit, `Proposer` a pull request. Each change set has a publisher of its own.
    """

    async def check(self) -> None:
        """Raise like `publish` if a guard would fail now. Called for all branches before the first one is published."""

    async def publish(self) -> Commit | None:
        """Make the changes visible. Update or drop what is cached about the branch, also if this fails.

        Returns
        -------
        Commit | None
            The commit; where there are no commits, its ``id`` is the name of the only state. ``None`` if nothing would
            change.

        Raises
        ------
        ConflictError
            A guarded path changed (`EditConflictError`), or exists (`AlreadyExistsError`).
        XetError
            The endpoint refused the changes, or cannot be reached.
        """
