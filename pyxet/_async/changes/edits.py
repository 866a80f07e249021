"""Pending changes of several branches, one commit per branch, and parts of them that can be undone (nested edits)."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import TYPE_CHECKING, TypeAlias

from pyxet._async.changes.pending import Scope
from pyxet._async.changes.publishing import Publisher
from pyxet._async.runtime.tasks import finish
from pyxet.errors import NotSupportedError, PartialCommitError, TransactionError
from pyxet.reports import Totals
from pyxet.types import Commit, RepoId
from pyxet.urls import pull_request_number

if TYPE_CHECKING:
    from pyxet._async.changes.changeset import ChangeSet
    from pyxet._async.client import Client

_Branch: TypeAlias = tuple[RepoId, str]


class Edits:
    """The changes of one call, or of one transaction. It lives on the event loop where it is first used.

    Parameters
    ----------
    parent_commit:
        If given, the commit fails if any path that is changed here has changed since that commit.
    propose:
        Whether the changes of each branch become a pull request instead of a commit to it.

    Attributes
    ----------
    made:
        ``(branch path, commit)`` of the commits that were made so far.
    """

    def __init__(self, client: Client, parent_commit: str | None = None, *, propose: bool = False) -> None:
        self._client = client
        self._parent_commit = parent_commit
        self.propose = propose
        self._changes: dict[_Branch, ChangeSet] = {}
        self._opening = asyncio.Lock()
        self._ended = False
        # For each branch, which of these edits and the edits nested in them have changes of it.
        self._holders: defaultdict[_Branch, set[Edits]] = defaultdict(set)
        self._inner: set[NestedEdits] = set()
        self.made: list[tuple[str, Commit]] = []
        self._ended_with = Totals()

    @property
    def totals(self) -> Totals:
        """The sum of what is pending in all branches; after the end, what was pending then."""
        return sum((changes.totals for changes in list(self._changes.values())), self._ended_with)

    def since(self, parent_commit: str | None) -> frozenset[str]:
        """The commits to check a call's paths against, beyond the ``parent_commit`` of these edits."""
        if parent_commit is None or parent_commit == self._parent_commit:
            return frozenset()
        return frozenset((parent_commit,))

    def nested(self, parent_commit: str | None = None) -> NestedEdits:
        """A part of these edits, which is kept or undone as a whole.

        Parameters
        ----------
        parent_commit:
            If given, a change to any path of that part since that commit is a conflict.
        """
        self._check_open()
        return NestedEdits(self, parent_commit)

    def pending(self, repo: RepoId, branch: str) -> ChangeSet | None:
        """The changes of a branch, if there are any."""
        return self._changes.get((repo, self._client.trees.full_name(repo, branch)))

    async def on(self, repo: RepoId, branch: str) -> ChangeSet:
        """The changes of a branch; created at the first call.

        Raises
        ------
        RevisionNotFoundError
            There is no such branch.
        NotSupportedError
            It is a tag, a commit or a point in time; or it is a pull request, and ``propose`` would open one for it.
        TransactionError
            The changes are being committed, or have ended.
        """
        return await self._begun(repo, branch, self)

    async def _begun(self, repo: RepoId, branch: str, holder: Edits) -> ChangeSet:
        """The changes of a branch, for ``holder``. They exist as long as at least one holder has not discarded them."""
        async with self._opening:
            found = self.pending(repo, branch)
            if found is None:
                base = await self._client.trees.head(repo, branch)
                self._check_open()
                # A pull request has a short and a full name; its changes must become one commit.
                branch = self._client.trees.full_name(repo, branch)
                if self.propose and pull_request_number(branch) is not None:
                    raise NotSupportedError(
                        f"{repo}/{branch} is a pull request itself: write to it without pull_request=True"
                    )
                found = self._changes.get((repo, branch))
            holder._check_open()
            if found is None:
                # Imported with the first change, so that programs that only read do not load it.
                from pyxet._async.changes.changeset import ChangeSet

                found = ChangeSet(self._client, repo, branch, base, self._parent_commit, propose=self.propose)
                self._changes[repo, branch] = found
            self._holders[repo, found.branch].add(holder)
            return found

    def _check_open(self) -> None:
        if self._ended:
            raise TransactionError("too late: these changes are being committed, or have ended")

    async def commit(self, message: str | None) -> tuple[Commit, ...]:
        """Commit one branch after the other, in the order of their first change.

        Before the first commit, the content of all branches is stored and all guards are checked, so that these failures
        leave no branch committed.

        Raises
        ------
        PartialCommitError
            A commit failed after others were made. The error lists them.
        XetError
            The first commit failed.
        """
        self._ended = True
        for inner in list(self._inner):
            await inner.discard()
        branches = list(self._changes.values())
        try:
            user = await self._client.user() if branches else ""
            for changes in branches:
                await changes.prepare()
            publishers = [(changes, self._publisher(changes, message, user)) for changes in branches if changes.files]
            if len(publishers) > 1:
                for _, publisher in publishers:
                    await publisher.check()
            for changes, publisher in publishers:
                await self._publish(changes, publisher)
        finally:
            await self.discard()
        return tuple(commit for _, commit in self.made)

    def _publisher(self, changes: ChangeSet, message: str | None, user: str) -> Publisher:
        """The object that makes the changes of a branch visible. Only this method chooses it."""
        from pyxet._async.changes.commit import Committer
        from pyxet._async.changes.propose import Proposer

        return (Proposer if self.propose else Committer)(changes, message, user)

    async def _publish(self, changes: ChangeSet, publisher: Publisher) -> None:
        try:
            commit = await publisher.publish()
        except Exception as error:
            if not self.made:
                raise
            raise PartialCommitError(
                f"the commit to {changes.path} failed ({error}) after these were made: "
                + ", ".join(f"{path} at {done.id[:10]}" for path, done in self.made),
                made=tuple(self.made),
                failed=changes.path,
            ) from error
        if commit is not None:
            self.made.append((changes.path, commit))

    async def discard(self) -> None:
        """Discard everything that is not committed. Runs to its end even if the caller is cancelled."""
        self._end()
        self._ended_with, changes, self._changes = self.totals, list(self._changes.values()), {}
        if not changes:
            return
        await finish(_discard(changes))

    def _end(self) -> None:
        """Take no more changes, here and in all nested edits."""
        self._ended = True
        for inner in self._inner:
            inner._end()


class NestedEdits(Edits):
    """The changes of a nested transaction, which are kept or undone as a whole. See `Edits.nested`.

    Attributes
    ----------
    kept:
        Whether they were kept, and so belong to the outer edits now.
    """

    def __init__(self, outer: Edits, parent_commit: str | None) -> None:
        super().__init__(outer._client, parent_commit, propose=outer.propose)
        self._outer = outer
        self._whole: Edits = outer._whole if isinstance(outer, NestedEdits) else outer
        self.kept = False
        outer._inner.add(self)

    def since(self, parent_commit: str | None) -> frozenset[str]:
        return super().since(parent_commit) and self._outer.since(parent_commit)

    def pending(self, repo: RepoId, branch: str) -> ChangeSet | None:
        beneath = self._outer.pending(repo, branch)
        if beneath is None:
            return None
        key = repo, beneath.branch
        found = self._changes.get(key)
        if found is None or found.pending is not beneath.pending:
            found = self._changes[key] = beneath.within(Scope(beneath.scope, self._parent_commit))
        return found

    async def on(self, repo: RepoId, branch: str) -> ChangeSet:
        self._check_open()
        await self._whole._begun(repo, branch, self)
        found = self.pending(repo, branch)
        assert found is not None
        return found

    async def commit(self, message: str | None) -> tuple[Commit, ...]:
        """Keep the changes: they belong to the outer edits from now on. No commit is made."""
        self._check_open()
        for inner in list(self._inner):
            await inner.discard()
        self._ended_with = self.totals
        for key, holders in self._whole._holders.items():
            if self in holders:
                holders.discard(self)
                holders.add(self._outer)
                if found := self._changes.get(key):
                    found.keep()
        self.kept = True
        self._leave()
        return ()

    async def discard(self) -> None:
        """Undo all changes, unless they were kept. Changes by others to the same paths stay and become visible again."""
        if self not in self._outer._inner:
            return
        self._ended_with = self.totals
        changed, unneeded = self._undo()
        self._leave()
        await finish(_let_go(changed, unneeded))

    def _undo(self) -> tuple[list[ChangeSet], list[ChangeSet]]:
        """Undo without awaiting, so that no other task sees half of it.

        Returns
        -------
        tuple[list[ChangeSet], list[ChangeSet]]
            The changes that something was undone in, and the changes of branches that no other edits hold.
        """
        changed: list[ChangeSet] = []
        unneeded: list[ChangeSet] = []
        for inner in list(self._inner):
            theirs, alone = inner._undo()
            changed += theirs
            unneeded += alone
            inner._leave()
        for key, holders in self._whole._holders.items():
            if self not in holders:
                continue
            holders.discard(self)
            if found := self._changes.get(key):
                found.undo()
                changed.append(found)
            if not holders and key in self._whole._changes:
                unneeded.append(self._whole._changes.pop(key))
        return changed, unneeded

    def _leave(self) -> None:
        self._end()
        self._changes = {}
        self._outer._inner.discard(self)


async def _let_go(changed: list[ChangeSet], unneeded: list[ChangeSet]) -> None:
    await _discard(unneeded)
    for item in changed:
        await item.trim()


async def _discard(changes: list[ChangeSet]) -> None:
    for item in changes:
        await item.discard()
