"""What edits ask of whoever makes the changes of one branch visible."""

from __future__ import annotations

from typing import Protocol

from pyxet.types import Commit


class Publisher(Protocol):
    """Publishes one change set, which must be prepared: all or nothing of it is visible afterwards.

    A commit (`Committer`) or a pull request (`Proposer`); one is made for each change set.
    """

    async def check(self) -> None:
        """Raise like `publish` if a guard would fail now. It is asked before anything of several branches is published."""

    async def publish(self) -> Commit | None:
        """Make the changes visible, and have what is remembered of the branch be newer than them, also if this fails.

        Returns
        -------
        Commit | None
            What was made, whose ``id`` a place without commits fills with the name of its only state; ``None`` where nothing
            would change.

        Raises
        ------
        ConflictError
            A guarded path changed (`EditConflictError`), or exists (`AlreadyExistsError`).
        XetError
            The endpoint refused, or cannot be asked.
        """
