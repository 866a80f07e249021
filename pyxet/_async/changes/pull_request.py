"""Converts the endpoint's description of a pull request to a `PullRequest`."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

from pyxet.errors import FormatError
from pyxet.protocol.dates import parse_date
from pyxet.types import PullRequest, RepoId

if TYPE_CHECKING:
    from pyxet.protocol.discussions import Discussion


def pull_request(repo: RepoId, discussion: Discussion, endpoint: str) -> PullRequest:
    """A pull request from an item of the endpoint's lists. ``endpoint`` is the address of its web pages.

    Raises
    ------
    FormatError
        Its status is unknown, or its date is malformed.
    """
    from pyxet.protocol.discussions import Status

    if discussion.status not in get_args(Status):
        raise FormatError(f"pull request {discussion.num} of {repo} has the status {discussion.status[:40]!r}")
    return PullRequest(
        repo.path,
        discussion.num,
        discussion.title,
        discussion.status,  # type: ignore[arg-type]  # the comparison above is the check
        discussion.author.name,
        parse_date(discussion.created_at),
        f"{endpoint}/{repo.path}/discussions/{discussion.num}",
    )
