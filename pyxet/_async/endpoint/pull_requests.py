"""The Hub's HTTP interface for pull requests, which the Hub treats as a kind of discussion."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any, Final, Literal
from urllib.parse import urlencode

from pyxet._async.endpoint.hub import Hub, base_url, missing_pull_request
from pyxet._async.endpoint.listings import check_commit
from pyxet._async.http.messages import Body
from pyxet._async.http.transport import is_refused
from pyxet.errors import FormatError, NotFoundError, RepositoryNotFoundError
from pyxet.protocol.constants import MIB
from pyxet.protocol.discussions import (
    CreateDiscussion,
    Discussion,
    DiscussionCreated,
    DiscussionDetails,
    DiscussionList,
    Merge,
    NewComment,
    NewStatus,
)
from pyxet.protocol.messages import HubStruct, decode
from pyxet.types import RepoId

# Maximum sizes of sensible answers in bytes: a page of discussions; one discussion with its comments and its diff.
_MAX_PAGE: Final = 16 * MIB
_MAX_DETAILS: Final = 64 * MIB
_MAX_PAGES: Final = 100_000


class PullRequests:
    """The pull requests of the repositories at one endpoint."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    async def all(
        self, repo: RepoId, *, status: Literal["open", "closed", "all"] = "all", author: str | None = None
    ) -> AsyncGenerator[Discussion, None]:
        """Pull requests, newest first; pages are fetched as they are needed. Drafts are open, merged ones are closed."""
        what = f"listing pull requests of {repo}"
        query = {"type": "pull_request", "status": status} | ({"author": author} if author is not None else {})
        seen = 0
        for page in range(_MAX_PAGES):
            url = f"{base_url(repo)}/discussions?{urlencode(query | {'p': str(page)})}"
            answer = await self._hub.request("GET", url, what=what, most=_MAX_PAGE)
            found = decode(answer.body, DiscussionList, what=what)
            for discussion in found.discussions:
                if discussion.is_pull_request:
                    yield discussion
            seen += len(found.discussions)
            if not found.discussions or seen >= found.count:
                return
        raise FormatError(f"{what}: the endpoint's pages do not end")

    async def details(self, repo: RepoId, number: int, *, diff: bool = False) -> DiscussionDetails:
        """One pull request. Raises `NotFoundError`, also if the number belongs to another kind of discussion."""
        what = f"looking up pull request {number} of {repo}"
        url = f"{base_url(repo)}/discussions/{number}" + ("?diff=1" if diff else "")
        try:
            answer = await self._hub.request("GET", url, what=what, most=_MAX_DETAILS)
        except RepositoryNotFoundError:
            raise
        except NotFoundError:
            raise missing_pull_request(repo, number) from None
        found = decode(answer.body, DiscussionDetails, what=what)
        if not found.is_pull_request or found.changes is None:
            raise missing_pull_request(repo, number)
        check_commit(found.changes.merge_commit_id, what)
        return found

    async def create(self, repo: RepoId, title: str, description: str) -> int:
        """Open an empty draft of a pull request for ``main``, and return its number."""
        what = f"opening a pull request for {repo}"
        message = CreateDiscussion(title=title, description=description, pull_request=True)
        answer = await self._post(f"{base_url(repo)}/discussions", what, message)
        return decode(answer, DiscussionCreated, what=what).num

    async def comment(self, repo: RepoId, number: int, text: str) -> None:
        """Add a comment to a pull request."""
        await self._act(
            repo, number, "comment", f"commenting on pull request {number} of {repo}", NewComment(comment=text)
        )

    async def change_status(
        self, repo: RepoId, number: int, status: Literal["open", "closed"], comment: str | None
    ) -> None:  # fmt: skip
        """Close a pull request, or open one that is closed or a draft."""
        what = f"{'opening' if status == 'open' else 'closing'} pull request {number} of {repo}"
        await self._act(repo, number, "status", what, NewStatus(status=status, comment=comment))

    async def merge(self, repo: RepoId, number: int, comment: str | None) -> None:
        """Merge a pull request. Raises `ConflictError` if the target branch has other changes of the same lines."""
        await self._act(repo, number, "merge", f"merging pull request {number} of {repo}", Merge(comment=comment))

    async def _act(self, repo: RepoId, number: int, part: str, what: str, message: HubStruct) -> None:
        try:
            await self._post(f"{base_url(repo)}/discussions/{number}/{part}", what, message)
        except RepositoryNotFoundError:
            raise
        except NotFoundError as error:
            if error.code is not None:
                raise
            raise missing_pull_request(repo, number) from None

    async def _post(self, url: str, what: str, message: Any) -> bytes:
        """Send a request. It is repeated only if it certainly was not carried out, so that nothing is done twice."""
        answer = await self._hub.request(
            "POST", url, what=what, body=Body.json(message), retry=is_refused, most=_MAX_PAGE
        )
        return answer.body
