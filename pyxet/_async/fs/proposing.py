"""The part of the file system that lists, opens, merges, closes and comments on pull requests."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import fields
from typing import TYPE_CHECKING, Literal

from pyxet._async.changes.pull_request import pull_request
from pyxet._async.fs.base import FileSystemBase
from pyxet._shown import Rows
from pyxet.errors import ConflictError, XetURLError
from pyxet.options import public
from pyxet.protocol.dates import parse_date
from pyxet.types import Comment, PullRequest, PullRequestInfo, RepoId
from pyxet.urls import pull_request_number

if TYPE_CHECKING:
    from pyxet.protocol.discussions import DiscussionDetails, DiscussionEvent


class Proposing(FileSystemBase):
    """See `AsyncXetFileSystem`."""

    @public()
    async def _list_pull_requests(
        self,
        repo: str,
        status: Literal["open", "closed", "all"] = "open",
        author: str | None = None,
        limit: int | None = None,
    ) -> list[PullRequest]:
        """Pull requests of a repository, the newest first.

        Parameters
        ----------
        repo:
            Path of the repository: ``acme/titanic``.
        status:
            ``open`` (includes drafts), ``closed`` (includes merged ones), or ``all``.
        author:
            List only pull requests that this user opened.
        limit:
            The greatest number to return.

        Returns
        -------
        list[PullRequest]
            Without comments, conflicts and diffs, which `_pull_request_info` returns.

        Raises
        ------
        RepositoryNotFoundError
            There is no such repository.
        """
        if status not in ("open", "closed", "all"):
            raise ValueError(f"status={status!r}: expected 'open', 'closed' or 'all'")
        _, repo_id = self._parse_repo(repo)
        client = await self._connect()
        address, found = await client.address(), Rows[PullRequest]()
        if limit is not None and limit <= 0:
            return found
        async with aclosing(client.pull_requests.all(repo_id, status=status, author=author)) as discussions:
            async for discussion in discussions:
                found.append(pull_request(repo_id, discussion, address))
                if len(found) == limit:
                    break
        return found

    @public()
    async def _pull_request_info(self, repo: str, number: int | None = None, diff: bool = False) -> PullRequestInfo:
        """Describe a pull request with its comments and conflicts.

        Parameters
        ----------
        repo:
            Path of the repository, or, without a number, of the pull request: ``acme/titanic/pr%2F3``.
        number:
            Number of the pull request.
        diff:
            Whether to request its changes in git's diff format.

        Returns
        -------
        PullRequestInfo
            Its status, branch, comments, conflicting files and more.

        Raises
        ------
        RepositoryNotFoundError, RevisionNotFoundError
            There is no such repository; it has no such pull request.
        """
        repo_id, number = self._proposal(repo, number)
        client = await self._connect()
        details = await client.pull_requests.details(repo_id, number, diff=diff)
        return _info(repo_id, details, await client.address())

    @public()
    async def _make_pull_request(self, repo: str, title: str, description: str = "") -> PullRequest:
        """Create an empty draft of a pull request for ``main``.

        Write its changes to its ``path``, then end the draft with `_open_pull_request`. To propose changes in one step, use a
        transaction with ``pull_request=True``.

        Parameters
        ----------
        repo:
            Path of the repository.
        title:
            Its title, one line; the Hub requires 3 to 200 characters.
        description:
            Its description, in Markdown.

        Returns
        -------
        PullRequest
            The draft.

        Raises
        ------
        RepositoryNotFoundError
            There is no such repository.
        BadRequestError
            The title is too short or too long.
        """
        _, repo_id = self._parse_repo(repo)
        client = await self._connect()
        number = await client.pull_requests.create(repo_id, title, description)
        return pull_request(repo_id, await client.pull_requests.details(repo_id, number), await client.address())

    @public()
    async def _merge_pull_request(
        self, repo: str, number: int | None = None, comment: str | None = None
    ) -> PullRequestInfo:  # fmt: skip
        """Merge a pull request into its branch. A draft has to be opened first, see `_open_pull_request`.

        Parameters
        ----------
        repo, number:
            As in `_pull_request_info`.
        comment:
            A comment to post with the merge, in Markdown.

        Returns
        -------
        PullRequestInfo
            The pull request as it is now; ``merge_commit`` is the commit on the branch.

        Raises
        ------
        ConflictError
            The branch has other changes of the same lines, or of the same large files; the message names the files.
        AccessDeniedError
            The user may not write to the branch.
        BadRequestError
            The pull request is a draft, closed, or merged already.
        RepositoryNotFoundError, RevisionNotFoundError
            There is no such repository; it has no such pull request.
        """
        repo_id, number = self._proposal(repo, number)
        client = await self._connect()
        # Discussions share the numbers of pull requests; this raises if the number is that of a discussion.
        await client.pull_requests.details(repo_id, number)
        try:
            with client.revisions.changing(repo_id):
                await client.pull_requests.merge(repo_id, number, comment)
        except ConflictError as error:
            conflicts = (await self._pull_request_info(repo_id.path, number)).conflicts
            if not conflicts:
                raise
            shown = ", ".join(conflicts[:5]) + (f" and {len(conflicts) - 5} more" if len(conflicts) > 5 else "")
            raise ConflictError(
                f"pull request {number} of {repo_id} cannot be merged: the target branch also changed {shown}; write "
                f"the right content to {repo_id.path}/pr%2F{number}, then merge it",
                status=error.status,
            ) from error
        return await self._pull_request_info(repo_id.path, number)

    @public()
    async def _close_pull_request(self, repo: str, number: int | None = None, comment: str | None = None) -> None:
        """Close a pull request without merging it.

        Parameters
        ----------
        repo, number:
            As in `_pull_request_info`.
        comment:
            A comment to post with the change, in Markdown.

        Raises
        ------
        AccessDeniedError
            The user neither opened the pull request nor may write to the repository.
        BadRequestError
            The pull request is merged.
        RepositoryNotFoundError, RevisionNotFoundError
            There is no such repository; it has no such pull request.
        """
        await self._change_status(repo, number, "closed", comment)

    @public()
    async def _open_pull_request(self, repo: str, number: int | None = None, comment: str | None = None) -> None:
        """Open a pull request that is closed or a draft.

        Parameters
        ----------
        repo, number:
            As in `_pull_request_info`.
        comment:
            A comment to post with the change, in Markdown.

        Raises
        ------
        AccessDeniedError, BadRequestError, RepositoryNotFoundError, RevisionNotFoundError
            As in `_close_pull_request`.
        """
        await self._change_status(repo, number, "open", comment)

    @public()
    async def _comment(self, repo: str, number: int, text: str) -> None:
        """Post a comment in a pull request.

        Parameters
        ----------
        repo, number:
            Path of the repository, and number of the pull request.
        text:
            The comment, in Markdown.

        Raises
        ------
        RepositoryNotFoundError, RevisionNotFoundError
            There is no such repository; it has no such pull request.
        BadRequestError
            The text is empty, or too long for the endpoint.
        """
        repo_id, number = self._proposal(repo, number)
        await (await self._connect()).pull_requests.comment(repo_id, number, text)

    async def _change_status(
        self, repo: str, number: int | None, status: Literal["open", "closed"], comment: str | None
    ) -> None:
        repo_id, number = self._proposal(repo, number)
        client = await self._connect()
        await client.pull_requests.details(repo_id, number)
        await client.pull_requests.change_status(repo_id, number, status, comment)

    def _proposal(self, path: str, number: int | None) -> tuple[RepoId, int]:
        """The repository and the number of a pull request.

        Raises
        ------
        XetURLError
            The number is invalid, or it is ``None`` and the path is not that of a pull request.
        """
        if number is not None:
            if not isinstance(number, int) or isinstance(number, bool) or number < 1:
                raise XetURLError(f"{number!r} is not the number of a pull request; they are 1, 2, 3 …")
            return self._parse_repo(path)[1], number
        url = self._parse(path)
        found = pull_request_number(url.revision or "", short=True)
        if url.repo_id is None or url.level != "branch" or found is None:
            raise XetURLError(f"{path!r} is not a pull request; give a repository and a number, or owner/repo/pr%2F1")
        return url.repo_id, found


def _info(repo: RepoId, details: DiscussionDetails, endpoint: str) -> PullRequestInfo:
    summary = pull_request(repo, details, endpoint)
    conflicts = details.files_with_conflicts
    assert details.changes is not None  # `PullRequests.details` raises without them
    return PullRequestInfo(
        **{item.name: getattr(summary, item.name) for item in fields(summary)},
        branch=details.changes.base.removeprefix("refs/heads/"),
        conflicts=tuple(conflicts) if isinstance(conflicts, list) else None if conflicts else (),
        merge_commit=details.changes.merge_commit_id,
        comments=tuple(_comment(event) for event in details.events if event.type == "comment"),
        diff=details.diff,
    )


def _comment(event: DiscussionEvent) -> Comment:
    latest = event.data.get("latest")
    text = latest.get("raw") if isinstance(latest, dict) else None
    return Comment(
        event.id,
        event.author.name,
        parse_date(event.created_at),
        text if isinstance(text, str) else "",
        event.data.get("hidden") is True,
    )
