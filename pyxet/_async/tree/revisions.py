"""Resolves revisions to commits: branches, tags, abbreviated commit ids and points in time.

The commit of a branch is cached for as long as the caller allows (``listings_expiry_time``). A commit of our own replaces
it at once; after one by other credentials of this process, it is requested again. Failures are not cached.
"""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final, NamedTuple

from pyxet._async.endpoint.hub import Hub, missing_branch
from pyxet._async.runtime.tasks import SingleFlight
from pyxet._async.tree import moments
from pyxet._async.tree.moments import Moment
from pyxet.errors import NotSupportedError, RevisionNotFoundError, XetURLError
from pyxet.types import RepoId
from pyxet.urls import PointInTime, is_commit_id, may_be_commit, point_in_time, pull_request_number

_AGO = re.compile(r"(\d+)\.(second|minute|hour|day|week)s?\.ago\Z")
_MAX_SCAN: Final = 10_000
# git's prefix for branches. A name with this prefix certainly means a branch, and no tag, pull request or commit.
_HEADS: Final = "refs/heads/"


class _Known(NamedTuple):
    """The cached commit of a revision.

    Attributes
    ----------
    commit:
        The commit id; ``""`` if it is not known any more.
    since:
        When the commit was requested; its age counts from here.
    heard:
        Monotonic time in seconds. Answers that were requested before it may be outdated, and are ignored.
    """

    commit: str
    since: Moment
    heard: float


_NOTHING: Final = _Known("", Moment(0.0, 0), 0.0)


class Mark(NamedTuple):
    """State of a branch before a commit to it is sent, for `Revisions.note_own`.

    Attributes
    ----------
    moment:
        When the mark was made.
    heard:
        Monotonic time in seconds at which the branch's commit had last been requested, made or forgotten.
    """

    moment: Moment
    heard: float


class _Asking:
    """A request for the commit of a revision. ``since`` is when it was sent, ``None`` before that."""

    since: Moment | None = None


class Revisions:
    """Commits of the revisions of one client's repositories.

    Parameters
    ----------
    others:
        Returns the `Revisions` of other clients for the same endpoint. A branch that one of them commits to is outdated in
        all of them.
    """

    def __init__(self, hub: Hub, others: Callable[[], Iterable[Revisions]] = tuple) -> None:
        self._hub = hub
        self._others = others
        # The loops of several threads share one client. Reentrant: the garbage collector may end a call that changes branches,
        # which calls `note_change`, while this thread has the lock.
        self._lock = threading.RLock()
        self._known: dict[tuple[RepoId, str], _Known] = {}
        # Monotonic time at which the commits of a repository (``None``: of all repositories) were last forgotten.
        self._forgotten: dict[RepoId | None, float] = {}
        self._branches: set[tuple[RepoId, str]] = set()
        # The last request on each loop that has no answer yet.
        self._asking: dict[tuple[asyncio.AbstractEventLoop, RepoId, str], _Asking] = {}
        self._flights: SingleFlight[_Asking, str] = SingleFlight()

    def cached(self, repo: RepoId, revision: str, max_age: float) -> str | None:
        """The commit of a revision, if it is cached and was requested less than ``max_age`` seconds ago."""
        if is_commit_id(revision):
            return revision
        known = self._known.get((repo, revision), _NOTHING)
        return known.commit if known.commit and time.monotonic() - known.since.time < max_age else None

    def is_current(self, repo: RepoId, revision: str, commit: str) -> bool:
        """Whether a revision certainly is at a commit: it was looked up since this call began, or can never change."""
        if is_commit_id(revision) or (may_be_commit(revision) and commit.startswith(revision.lower())):
            return True
        known = self._known.get((repo, revision), _NOTHING)
        return known.commit == commit and known.since.is_of_this_call

    @staticmethod
    def is_simple(revision: str) -> bool:
        """Whether the endpoint knows the revision by this name. Points in time and ``pr/1`` are resolved by us."""
        return point_in_time(revision) is None and not _is_short(revision)

    def full_name(self, repo: RepoId, branch: str) -> str:
        """The one name that stands for all names of a branch.

        It is ``main`` for ``refs/heads/main``, and ``refs/pr/1`` for ``pr/1`` unless there is a branch of that name; other names
        are returned as they are.
        """
        if branch.startswith(_HEADS):
            return branch.removeprefix(_HEADS)
        if not _is_short(branch) or (repo, branch) in self._branches:
            return branch
        return f"refs/{branch}"

    async def commit_of(self, repo: RepoId, revision: str, max_age: float) -> str:
        """The commit of a revision.

        Raises
        ------
        RevisionNotFoundError, RepositoryNotFoundError
            There is no such revision, or no such repository.
        """
        commit = self.cached(repo, revision, max_age)
        return commit if commit is not None else await self.commit_now(repo, revision)

    async def commit_now(self, repo: RepoId, revision: str) -> str:
        """The commit of a revision, requested since the current call of the file system began. Raises like `commit_of`."""
        if is_commit_id(revision):
            return revision
        known = self._known.get((repo, revision), _NOTHING)
        if known.commit and known.since.is_of_this_call:
            return known.commit
        key = (asyncio.get_running_loop(), repo, revision)
        asking = self._asking.get(key)
        if asking is None or not (asking.since is None or asking.since.is_of_this_call):
            asking = self._asking[key] = _Asking()
        try:
            return await self._flights.run(asking, partial(self._ask, repo, revision, asking))
        finally:
            # The key refers to its loop, so it must not be kept longer than the request runs.
            if self._asking.get(key) is asking:
                del self._asking[key]

    async def _ask(self, repo: RepoId, revision: str, asking: _Asking) -> str:
        # Wait for one turn of the loop, so that all calls in this turn share the request.
        await asyncio.sleep(0)
        since = asking.since = moments.now()
        moment = point_in_time(revision)
        commit = await (self._commit_at(repo, moment) if moment else self._looked_up(repo, revision))
        self.note(repo, revision, commit, since)
        return commit

    async def _looked_up(self, repo: RepoId, revision: str) -> str:
        """The commit of a branch, a tag or a commit id. The endpoint may know only full commit ids."""
        missing = RevisionNotFoundError(f"{repo} has no branch, tag or commit {revision!r}", status=404)
        if (number := pull_request_number(revision)) is not None:
            return await self._hub.pull_request_head(repo, number)
        try:
            commit = (await self._hub.repo_info(repo, revision)).sha
        except RevisionNotFoundError as error:
            commit, missing = None, error
        if commit is None and (number := pull_request_number(revision, short=True)) is not None:
            return await self._hub.pull_request_head(repo, number)
        if commit is None and may_be_commit(revision):
            commit = await self._expanded(repo, revision)
        if commit is None:
            raise missing
        return commit

    def note(self, repo: RepoId, revision: str, commit: str, asked: Moment) -> None:
        """Cache the commit of a revision, from an answer that was requested at the moment ``asked``.

        The answer is ignored if the commit was requested, made or forgotten later than that: the answer may be from before a
        commit of ours.
        """
        key, known = (repo, revision), _Known(commit, asked, asked.time)
        with self._lock:
            # Nothing is made between the two lines, so that no collection can outdate the answer there.
            if asked.time >= self._last_heard(repo, revision):
                self._known[key] = known

    def _last_heard(self, repo: RepoId, revision: str) -> float:
        """Monotonic time in seconds at which the revision's commit was last requested, made or forgotten."""
        return max(
            self._known.get((repo, revision), _NOTHING).heard,
            self._forgotten.get(repo, 0.0),
            self._forgotten.get(None, 0.0),
        )

    def mark(self, repo: RepoId, branch: str) -> Mark:
        """The state of a branch before a commit to it is sent, for `note_own`."""
        return Mark(moments.now(), self._last_heard(repo, branch))

    def note_own(self, repo: RepoId, branch: str, commit: str, before: Mark) -> None:
        """Cache a commit of ours as the branch's commit, here, and outdate the branch in other clients.

        Its age counts from the mark ``before`` its request, since others may have committed before the answer came. If the
        branch's commit was requested, made or forgotten meanwhile, for example by another commit of ours at the same time,
        it is uncertain which one is newer, so the branch's commit is requested the next time.
        """
        with self._lock:
            is_newest = self._last_heard(repo, branch) == before.heard
            self._outdate(repo, branch)
            self._known[repo, branch] = _Known(commit if is_newest else "", before.moment, time.monotonic())
        for other in self._others():
            other._invalidate_branch(repo, branch)

    def note_change(self, repo: RepoId) -> None:
        """Forget the commits of a repository, here and in other clients, because we have changed its branches or tags."""
        for revisions in (self, *self._others()):
            revisions.invalidate(repo)

    @contextmanager
    def changing(self, *repos: RepoId) -> Iterator[None]:
        """Call `note_change` after a block that changes branches or tags, also if it fails: the answer may have been lost."""
        try:
            yield
        finally:
            for repo in repos:
                self.note_change(repo)

    def invalidate(self, repo: RepoId | None = None) -> None:
        """Forget the commits of one repository, or of all."""
        with self._lock:
            self._forgotten[repo] = time.monotonic()
            # Copies, as a collection may change the originals meanwhile.
            for key in list(self._known):
                if repo in (None, key[0]):
                    self._known.pop(key, None)
            self._branches.difference_update([key for key in list(self._branches) if repo in (None, key[0])])

    def invalidate_branch(self, repo: RepoId, branch: str) -> None:
        """Forget which commit a branch is at, here and in other clients. Other branches and tags stay cached."""
        for revisions in (self, *self._others()):
            revisions._invalidate_branch(repo, branch)

    def _invalidate_branch(self, repo: RepoId, branch: str) -> None:
        with self._lock:
            self._outdate(repo, branch)

    def _outdate(self, repo: RepoId, branch: str) -> None:
        """Forget which commit a branch is at, by all of its names: one name may be used to read and another to write."""
        for name in _names(branch):
            self._known[repo, name] = _NOTHING._replace(heard=time.monotonic())

    async def check_branch(self, repo: RepoId, branch: str) -> None:
        """Raise like `head`, unless the branch is already known to exist."""
        if (repo, branch) not in self._branches:
            await self.head(repo, branch)

    async def head(self, repo: RepoId, branch: str) -> str:
        """The commit that a branch is at now, for writing to it.

        Raises
        ------
        NotSupportedError
            The revision is a tag, a commit or a point in time, which cannot be written to.
        RevisionNotFoundError
            There is no such branch; the message says how to make it.
        """
        if point_in_time(branch) is not None:
            raise NotSupportedError(f"{repo}/{branch} is a point in time and cannot be written to; write to a branch")
        in_full, branch = branch.startswith(_HEADS), branch.removeprefix(_HEADS)
        if (repo, branch) in self._branches:
            try:
                return await self.commit_of(repo, branch, 0.0)
            except RevisionNotFoundError:
                self.invalidate(repo)
        asked = moments.now()
        if pull_request_number(branch) is not None and not in_full:
            return await self._head_of_pull_request(repo, branch, asked)
        refs = await self._hub.refs(repo)
        for ref in refs.branches:
            if ref.name == branch:
                with self._lock:
                    self._branches.add((repo, branch))
                self.note(repo, branch, ref.target_commit, asked)
                return ref.target_commit
        if in_full:
            raise missing_branch(repo, branch)
        if _is_short(branch):
            return await self._head_of_pull_request(repo, f"refs/{branch}", asked)
        if any(branch in (ref.name, ref.ref) for ref in refs.tags) or await self._is_commit(repo, branch):
            raise NotSupportedError(f"{repo}/{branch} is a tag or commit and cannot be written to; write to a branch")
        raise missing_branch(repo, branch)

    async def _head_of_pull_request(self, repo: RepoId, reference: str, asked: Moment) -> str:
        commit = await self._hub.branch_head(repo, reference)
        with self._lock:
            self._branches.add((repo, reference))
        self.note(repo, reference, commit, asked)
        return commit

    async def _is_commit(self, repo: RepoId, revision: str) -> bool:
        if is_commit_id(revision) or not may_be_commit(revision):
            return is_commit_id(revision)
        try:
            return bool(await self.commit_of(repo, revision, 0.0))
        except RevisionNotFoundError:
            return False

    async def _commit_at(self, repo: RepoId, moment: PointInTime) -> str:
        when = parse_moment(moment.when)
        count = 0
        async for commit in self._hub.commits(repo, moment.branch):
            count += 1
            if commit.date <= when:
                return commit.id
            if count == _MAX_SCAN:
                raise NotSupportedError(
                    f"{repo}/{moment.branch}: more than {_MAX_SCAN:,} commits since {when:%Y-%m-%d %H:%M}"
                )
        raise RevisionNotFoundError(f"{repo}/{moment.branch} has no commit before {when:%Y-%m-%d %H:%M %Z}", status=404)

    async def _expanded(self, repo: RepoId, prefix: str) -> str | None:
        """The only commit in the history of ``main`` whose id begins with ``prefix``; ``None`` if there are none or several."""
        found: list[str] = []
        count = 0
        try:
            async for commit in self._hub.commits(repo, "main"):
                count += 1
                if commit.id.startswith(prefix.lower()):
                    found.append(commit.id)
                if count == _MAX_SCAN or len(found) > 1:
                    break
        except RevisionNotFoundError:
            return None
        return found[0] if len(found) == 1 else None


def _names(branch: str) -> Iterator[str]:
    """All names by which a branch can be read. Some of them may also be names of another branch."""
    yield branch
    if _is_short(branch):
        yield f"refs/{branch}"
    if pull_request_number(branch) is not None:
        yield branch.removeprefix("refs/")
    else:
        yield f"{_HEADS}{branch}"


def _is_short(revision: str) -> bool:
    """Whether a revision is the short name of a pull request (``pr/1``), which may also be the name of a branch."""
    return pull_request_number(revision, short=True) is not None and pull_request_number(revision) is None


def parse_moment(text: str) -> datetime:
    """Parse ``2026-11-01``, ``2026-11-01T12:30:00Z``, ``5.minutes.ago``, ``yesterday`` or ``now``.

    A date without a time means the start of that day; a time without a time zone is in UTC.

    Raises
    ------
    XetURLError
        The text is none of these.
    """
    now = datetime.now(UTC)
    match = _AGO.match(text)
    if match:
        return now - timedelta(**{f"{match[2]}s": int(match[1])})
    if text in ("now", "yesterday"):
        return now if text == "now" else now - timedelta(days=1)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise XetURLError(f"@{{{text}}} is not a point in time; expected 2026-11-01 or 5.minutes.ago") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
