"""Pending changes of any number of branches, which become one commit each."""

from __future__ import annotations

import asyncio

from pyxet._async.changes import ChangeSet
from pyxet._async.client import Client
from pyxet.errors import PartialCommitError, XetError
from pyxet.types import Commit
from pyxet.urls import RepoId


class Edits:
    """The changes of one call, or of one transaction. It lives on the event loop where it is first used.

    Parameters
    ----------
    parent_commit:
        If given, a change to any of our paths since that commit is a conflict.
    """

    def __init__(self, client: Client, parent_commit: str | None = None) -> None:
        self._client = client
        self._parent_commit = parent_commit
        self._changes: dict[tuple[RepoId, str], ChangeSet] = {}
        self._opening = asyncio.Lock()

    def pending(self, repo: RepoId, branch: str) -> ChangeSet | None:
        """The changes of a branch, if there are any."""
        return self._changes.get((repo, branch))

    async def on(self, repo: RepoId, branch: str) -> ChangeSet:
        """The changes of a branch, begun if need be.

        Raises
        ------
        RevisionNotFoundError, NotSupportedError
            There is no such branch, or it is a tag, a commit or a point in time.
        """
        async with self._opening:
            found = self._changes.get((repo, branch))
            if found is None:
                base = await self._client.revisions.head(repo, branch)
                found = ChangeSet(self._client, repo, branch, base, self._parent_commit)
                self._changes[repo, branch] = found
            return found

    async def commit(self, message: str | None) -> tuple[Commit, ...]:
        """Commit one branch after the other, in the order of their first change.

        Raises
        ------
        PartialCommitError
            A commit failed after others were made; it says which.
        XetError
            The first commit failed.
        """
        made: list[tuple[str, Commit]] = []
        try:
            user = await self._client.user() if self._changes else ""
            for changes in self._changes.values():
                try:
                    commit = await changes.commit(message, user)
                except BaseException as error:
                    self._client.revisions.forget(changes.repo)
                    if not made or not isinstance(error, XetError):
                        raise
                    raise PartialCommitError(
                        f"the commit to {changes.path} failed ({error}) after these were made: "
                        + ", ".join(f"{path} at {done.id[:10]}" for path, done in made),
                        made=tuple(made),
                        failed=changes.path,
                    ) from error
                if commit is not None:
                    self._client.revisions.note(changes.repo, changes.branch, commit.id)
                    made.append((changes.path, commit))
        finally:
            await self.discard()
        return tuple(commit for _, commit in made)

    async def discard(self) -> None:
        """Let go of everything that is not committed."""
        changes, self._changes = list(self._changes.values()), {}
        # Shielded: whoever is being cancelled still leaves nothing behind.
        for item in changes:
            await asyncio.shield(item.discard())
