"""Opens a pull request with the pending changes of a branch.

The endpoint refuses a second commit on the same parent, but not a second pull request. So if an answer is lost, the list
of pull requests is searched for ours before anything is sent again, and nothing is sent while the endpoint may still be
carrying out the first request.
"""

from __future__ import annotations

import asyncio
import logging
import random
import re
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from datetime import UTC, datetime
from typing import Final

from pyxet._async.changes.commit import Committer, commit_lines, may_be_late
from pyxet._async.changes.pull_request import pull_request
from pyxet._async.http.messages import is_transient
from pyxet._async.http.transport import is_refused
from pyxet.errors import (
    ConnectionFailedError,
    EntryNotFoundError,
    FormatError,
    NotSupportedError,
    RequestTimeoutError,
    RevisionNotFoundError,
    ServerError,
    XetError,
)
from pyxet.protocol.discussions import Discussion
from pyxet.types import Commit, PullRequest

_URL = re.compile(r"/discussions/([1-9][0-9]{0,8})/?\Z")
# How many of the user's newest pull requests are searched for the one whose answer was lost.
_MAX_LOOK_BACK: Final = 20
_log: Final = logging.getLogger("pyxet.writes")
# Seconds to keep looking for a pull request after a lost answer, and after a time-out.
_SETTLING: Final = 2.0
_SETTLING_AFTER_TIMEOUT: Final = 60.0
_SHORTEST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 5.0
_TRIES: Final = 20


class Proposer(Committer):
    """Opens a pull request with one set of changes, which must be prepared. See `Committer`."""

    async def commit(self) -> Commit | None:
        """Open the pull request. Raises like `Committer.commit`.

        Returns
        -------
        Commit | None
            Its commit, with the pull request; ``None`` if nothing would change.

        Raises
        ------
        NotSupportedError
            The endpoint has no pull requests, and committed to the branch.
        """
        changes, failures = self._changes, 0
        newest = None
        for _ in range(_TRIES):
            if not changes.files:
                return None
            head = await self._hub.branch_head(changes.repo, changes.branch)
            await self._check_guards(head)
            replaced = await self._replaced_folders(head)
            if newest is None:
                # A pull request with a higher number than this one may be ours.
                newest = await self._newest()
            lines = commit_lines(changes, self._summary, self._description, head, replaced)
            try:
                answer = await self._hub.commit(changes.repo, changes.branch, lines, propose=True)
            except (ConnectionFailedError, RequestTimeoutError, ServerError, FormatError) as error:
                if is_refused(error) or not (is_transient(error) or isinstance(error, FormatError)):
                    raise
                failures += 1
                made = await self._await_lost(newest, error)
                if made is not None:
                    return made
                # If the endpoint may still be at the first request, a second one could open a second pull request.
                if may_be_late(error) or failures >= self._retry.attempts:
                    raise
            except EntryNotFoundError:
                if not await self._discard_gone_deletions():
                    raise
            else:
                return self._opened(answer.commit_oid, answer.pull_request_url)
        raise ServerError(
            f"{changes.path}: opening a pull request: files that it deletes were deleted from the branch meanwhile, again and again"
        )

    def _note(self, commit: Commit) -> None:
        """Remember nothing: a pull request does not move the branch."""

    def _opened(self, commit: str, url: str | None) -> Commit:
        match = _URL.search(url or "")
        if url is None or match is None:
            raise NotSupportedError(
                f"{self._changes.path}: the endpoint has no pull requests; it committed to the branch instead, as {commit[:10]}"
            )
        now = datetime.now(UTC)
        made = PullRequest(self._changes.repo.path, int(match[1]), self._summary, "open", self._user, now, url)
        return self._with(commit, made)

    def _with(self, commit: str, made: PullRequest) -> Commit:
        _log.info("opened pull request %d of %s: %s", made.number, made.repo, made.url)
        message = f"{self._summary}\n\n{self._description}".strip()
        return Commit(commit, message, self._user, made.created, None, made)

    # -- what there is -------------------------------------------------------------------------------------------------

    async def _newest(self) -> int:
        """The number of the newest pull request, 0 if there is none."""
        async with aclosing(self._pull_requests()) as found:
            async for discussion in found:
                return discussion.num
        return 0

    def _pull_requests(self, author: str | None = None) -> AsyncGenerator[Discussion, None]:
        return self._changes.client.pull_requests.all(self._changes.repo, author=author)

    async def _await_lost(self, newest: int, doubt: XetError) -> Commit | None:
        """Look for our pull request for a while. ``None`` if it does not appear, or the endpoint cannot be asked."""
        left, pause = (_SETTLING_AFTER_TIMEOUT if may_be_late(doubt) else _SETTLING), _SHORTEST_PAUSE
        while True:
            with suppress(ConnectionFailedError, RequestTimeoutError, ServerError):
                made = await self._find_lost(newest)
                if made is not None:
                    return made
            if left <= 0:
                return None
            await asyncio.sleep(random.uniform(pause / 2, pause))
            left, pause = left - pause, min(2 * pause, _LONGEST_PAUSE)

    async def _find_lost(self, newest: int) -> Commit | None:
        count = 0
        async with aclosing(self._pull_requests(self._user)) as found:
            async for discussion in found:
                count += 1
                if discussion.num <= newest or count > _MAX_LOOK_BACK:
                    break
                # Endpoints shorten long titles.
                title = discussion.title.rstrip("….")
                if not title or not self._summary.startswith(title):
                    continue
                with suppress(RevisionNotFoundError):
                    commit = await self._hub.pull_request_head(self._changes.repo, discussion.num)
                    if await self._is_ours(commit):
                        return self._with(commit, await self._described(discussion))
        return None

    async def _described(self, discussion: Discussion) -> PullRequest:
        return pull_request(self._changes.repo, discussion, await self._changes.client.address())
