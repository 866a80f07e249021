"""Hub routes of discussions and pull requests, and who may commit where.

Whoever can see a repository may discuss it and propose changes, with a token for writing. The author of a discussion and
the repository's owner may change its title and status; only its author may edit a comment; only the owner may merge.
"""

from __future__ import annotations

import html
import time
from collections.abc import Callable
from typing import Any, Final, TypeVar

import msgspec
from aiohttp import web

from pyxet.errors import AccessDeniedError, BadRequestError, NotFoundError
from pyxet.protocol.dates import format_date
from pyxet.protocol.discussions import (
    CreateDiscussion,
    Discussion,
    DiscussionAuthor,
    DiscussionChanges,
    DiscussionCreated,
    DiscussionDetails,
    DiscussionEvent,
    DiscussionList,
    DiscussionRepo,
    EditedComment,
    Merge,
    NewComment,
    NewStatus,
    NewTitle,
)
from pyxet.protocol.messages import encode
from pyxet.server.bodies import read_message
from pyxet.server.discussions import Event, Head, Record, check_comment, check_title
from pyxet.server.git_objects import author_of, message_of
from pyxet.server.git_proposals import Proposals, UnmergeableError, number_of
from pyxet.server.git_repository import Repository
from pyxet.server.hub_repos import KIND, REPO, web_url
from pyxet.server.people import Right
from pyxet.server.state import in_worker, json_response, open_repo, query_number, requested_repo, right_over, writer_of
from pyxet.server.tokens import Account
from pyxet.types import RepoId

M = TypeVar("M")
_PAGE: Final = 50
_HIDDEN: Final = "This comment has been hidden"


class _Nothing(msgspec.Struct):
    """The body of a request whose URL says everything."""


def add_routes(app: web.Application) -> None:
    """Add the routes."""
    base = f"/api/{KIND}/{REPO}/discussions"
    one = f"{base}/{{num:[0-9]{{1,9}}}}"
    app.router.add_get(base, list_discussions)
    app.router.add_post(base, create_discussion)
    app.router.add_get(one, discussion)
    app.router.add_post(f"{one}/comment", add_comment)
    app.router.add_post(f"{one}/comment/{{comment}}/edit", edit_comment)
    app.router.add_post(f"{one}/comment/{{comment}}/hide", hide_comment)
    app.router.add_post(f"{one}/title", change_title)
    app.router.add_post(f"{one}/status", change_status)
    app.router.add_post(f"{one}/merge", merge)


def wants_pull_request(request: web.Request) -> bool:
    """Whether a commit or preupload request is for a new pull request."""
    return request.query.get("create_pr", "0") not in ("", "0", "false")


async def open_writable(request: web.Request) -> Repository:
    """The repository that the route names, if the caller may commit to its revision, or prepare to.

    Raises
    ------
    RepositoryNotFoundError, AuthenticationError, AccessDeniedError
        As in `open_repo`; also if the pull request belongs to somebody else.
    RevisionNotFoundError
        There is no such pull request.
    """
    if wants_pull_request(request):
        return await open_repo(request, propose=True)
    number = number_of(request.match_info["rev"])
    if number is None:
        return await open_repo(request, write=True)
    repo = await open_repo(request, propose=True)
    account = writer_of(request)
    if right_over(request, account, repo.id) < Right.WRITE:
        record = await in_worker(request, Proposals(repo).pull_request, number)
        if record.author != account.user:
            raise AccessDeniedError(f"{account.user} may not write to the pull request of {record.author}", status=403)
    return repo


async def list_discussions(request: web.Request) -> web.Response:
    """``GET …/discussions``: the newest first, in numbered pages; filtered by ``type``, ``status`` or ``author``."""
    repo = await open_repo(request)
    start = query_number(request, "p", 0, most=1 << 32) * _PAGE
    kind, status, author = (request.query.get(name) for name in ("type", "status", "author"))
    statuses = {"open": ("open", "draft"), "closed": ("closed", "merged")}
    if kind not in (None, "all", "discussion", "pull_request") or status not in (None, "all", *statuses):
        raise BadRequestError("type is all, discussion or pull_request, status is all, open or closed", status=400)

    def collect() -> bytes:
        found = [
            head
            for head in Proposals(repo).records.heads()
            if kind in (None, "all") or head.is_pull_request == (kind == "pull_request")
            if status in (None, "all") or head.status in statuses[status]
            if author is None or head.author == author
        ]
        page = [_summary(repo.id, head) for head in found[start : start + _PAGE]]
        return encode(DiscussionList(discussions=page, count=len(found), start=start))

    return json_response(await in_worker(request, collect))


async def create_discussion(request: web.Request) -> web.Response:
    """``POST …/discussions``: a discussion, or the draft of a pull request on main."""
    repo = await open_repo(request, propose=True)
    user = writer_of(request).user
    wanted = await read_message(request, CreateDiscussion, what="create discussion")
    title = check_title(wanted.title)

    def create() -> int:
        proposal = {"base": "main", "status": "draft"} if wanted.pull_request else {}
        return Proposals(repo).open(title, wanted.description, user, **proposal)  # type: ignore[arg-type]  # both are text

    number = await in_worker(request, create)
    return json_response(encode(DiscussionCreated(num=number, url=f"{web_url(request, repo.id)}/discussions/{number}")))


async def discussion(request: web.Request) -> web.Response:
    """``GET …/discussions/{num}``: all events of a discussion; with ``diff`` also the changes that it proposes."""
    repo = await open_repo(request)
    diff = request.query.get("diff", "0") not in ("", "0", "false")
    return json_response(await in_worker(request, lambda: encode(_details(repo, _number(request), diff=diff))))


async def add_comment(request: web.Request) -> web.Response:
    """``POST …/discussions/{num}/comment``."""

    def comment(wanted: NewComment, record: Record, account: Account) -> Event:
        if not wanted.comment.strip():
            raise BadRequestError("the comment is empty", status=400)
        return record.comment(account.user, wanted.comment)

    return await _changed(request, NewComment, comment, "newMessage", anybody=True)


async def edit_comment(request: web.Request) -> web.Response:
    """``POST …/discussions/{num}/comment/{id}/edit``: only for its author."""

    def edit(wanted: EditedComment, record: Record, account: Account) -> Event:
        check_comment(wanted.content)
        event = _comment(record, request.match_info["comment"])
        if event.author != account.user:
            raise AccessDeniedError(f"{account.user} may not edit the comment of {event.author}", status=403)
        if event.data["hidden"]:
            raise BadRequestError("the comment was hidden; write another one", status=400)
        event.data["history"].append({name: event.data[name] for name in ("raw", "updated", "by")})
        event.data |= {"raw": wanted.content, "updated": time.time(), "by": account.user}
        return event

    return await _changed(request, EditedComment, edit, "updatedComment", anybody=True)


async def hide_comment(request: web.Request) -> web.Response:
    """``POST …/discussions/{num}/comment/{id}/hide``: for ever; only for its author and the repository's owner."""

    def hide(_: _Nothing, record: Record, account: Account) -> Event:
        event = _comment(record, request.match_info["comment"])
        if event.author != account.user and right_over(request, account, requested_repo(request)) < Right.WRITE:
            raise AccessDeniedError(f"{account.user} may not hide the comment of {event.author}", status=403)
        event.data |= {"raw": _HIDDEN, "history": [], "hidden": True, "updated": time.time(), "by": account.user}
        return event

    return await _changed(request, _Nothing, hide, "updatedComment", anybody=True)


async def change_title(request: web.Request) -> web.Response:
    """``POST …/discussions/{num}/title``."""

    def rename(wanted: NewTitle, record: Record, account: Account) -> Event:
        old, record.title = record.title, check_title(wanted.title)
        return record.add("title-change", account.user, **{"from": old, "to": record.title})

    return await _changed(request, NewTitle, rename, "newTitle")


async def change_status(request: web.Request) -> web.Response:
    """``POST …/discussions/{num}/status``: close or reopen a discussion; opening a draft publishes it."""

    def change(wanted: NewStatus, record: Record, account: Account) -> Event:
        if record.status == "merged":
            raise BadRequestError(f"pull request {record.num} is merged; that stays", status=400)
        if wanted.comment and wanted.comment.strip():
            record.comment(account.user, wanted.comment)
        return record.change_status(account.user, wanted.status)

    return await _changed(request, NewStatus, change, "newStatus")


async def merge(request: web.Request) -> web.Response:
    """``POST …/discussions/{num}/merge``: one commit on the base branch; 409 with the files if there are conflicts."""
    repo = await open_repo(request, write=True)
    user = writer_of(request).user
    wanted = await read_message(request, Merge, what="merge", optional=True)
    comment = (wanted.comment or "").strip() or None
    try:
        made = await in_worker(request, Proposals(repo).merge, _number(request), user, comment)
    except UnmergeableError as error:
        body = {"error": error.message, "filesWithConflicts": error.files}
        return json_response(encode(body), status=409)
    return json_response(encode({"commitOid": made}))


async def _changed(
    request: web.Request,
    kind: type[M],
    change: Callable[[M, Record, Account], Event],
    name: str,
    *,
    anybody: bool = False,
) -> web.Response:
    """Change a discussion, and answer with the event.

    Parameters
    ----------
    kind:
        Type of the request's message.
    change:
        Function that changes the record for an account as the message says. It blocks.
    name:
        Key of the event in the answer.
    anybody:
        Whether all who can see the repository may do this, or only the discussion's author and the repository's owner.
    """
    repo = await open_repo(request, propose=True)
    account = writer_of(request)
    message = await read_message(request, kind, what=f"{name} of a discussion", optional=kind is _Nothing)

    def checked(record: Record) -> Event:
        if not anybody and account.user != record.author and right_over(request, account, repo.id) < Right.WRITE:
            raise AccessDeniedError(f"{account.user} may not change the discussion of {record.author}", status=403)
        return change(message, record, account)

    event = await in_worker(request, Proposals(repo).change, _number(request), checked)
    return json_response(encode({name: _event(event)}))


def _number(request: web.Request) -> int:
    return int(request.match_info["num"])


def _comment(record: Record, wanted: str) -> Event:
    for event in record.events:
        if event.id == wanted.lower() and event.type == "comment":
            return event
    raise NotFoundError(f"discussion {record.num} has no comment {wanted[:40]!r}", status=404)


def _summary(repo: RepoId, head: Head) -> Discussion:
    return Discussion(
        num=head.num,
        title=head.title,
        status=head.status,
        created_at=format_date(head.created),
        is_pull_request=head.is_pull_request,
        author=DiscussionAuthor(name=head.author),
        repo=DiscussionRepo(name=repo.full_name, type=repo.singular),
    )


def _details(repo: Repository, number: int, *, diff: bool) -> DiscussionDetails:
    proposals = Proposals(repo)
    record = proposals.read(number)
    summary = _summary(repo.id, record)
    events = [(event.created, _event(event)) for event in record.events]
    found = DiscussionDetails(**{name: getattr(summary, name) for name in summary.__struct_fields__})
    if record.is_pull_request:
        for commit in reversed(list(proposals.commits(record))):
            data = {"subject": message_of(commit).partition("\n")[0], "oid": str(commit.id)}
            # Git stores whole seconds, so the commit may seem older than the pull request that it opened.
            at = max(float(commit.commit_time), record.created)
            events.append((at, DiscussionEvent(
                id=str(commit.id)[:24], type="commit", created_at=format_date(at),
                author=DiscussionAuthor(name=author_of(commit)[0]), data=data,
            )))  # fmt: skip
        found.changes = DiscussionChanges(base=f"refs/heads/{record.base}", merge_commit_id=record.merged)
        found.files_with_conflicts = proposals.conflicts(record) if record.status in ("open", "draft") else []
        found.diff = proposals.diff(record) if diff else None
    found.events = [event for _, event in sorted(events, key=lambda item: item[0])]
    return found


def _event(event: Event) -> DiscussionEvent:
    data: dict[str, Any] = event.data
    if event.type == "comment":
        history = [_version(version) for version in data["history"]]
        data = {
            "edited": bool(history),
            "hidden": data["hidden"],
            "latest": _version(data),
            "numEdits": len(history),
            "history": history,
        }
    return DiscussionEvent(
        id=event.id,
        type=event.type,
        created_at=format_date(event.created),
        author=DiscussionAuthor(name=event.author),
        data=data,
    )


def _version(comment: dict[str, Any]) -> dict[str, Any]:
    return {
        "raw": comment["raw"],
        "html": html.escape(comment["raw"]),
        "updatedAt": format_date(comment["updated"]),
        "author": {"name": comment["by"]},
    }
