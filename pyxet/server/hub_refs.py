"""Hub routes of references and history: branches, tags, commits."""

from __future__ import annotations

import html
from itertools import islice

import msgspec
from aiohttp import web

from pyxet.protocol.dates import format_date
from pyxet.protocol.messages import CommitAuthor, CommitInfo, CreateBranch, CreateTag, Ref, Refs, encode
from pyxet.server.bodies import read_message
from pyxet.server.git_objects import author_of, message_of
from pyxet.server.git_proposals import Proposals
from pyxet.server.git_repository import Repository
from pyxet.server.hosts import next_page
from pyxet.server.hub_repos import BRANCH, KIND, REPO, REV
from pyxet.server.state import SUSPENDED, in_worker, json_response, open_repo, query_number, writer_of
from pyxet.server.suspended import Suspended

_PAGE = 50


class _Formatted(msgspec.Struct):
    """Title and message as HTML."""

    title: str
    message: str


class _FormattedCommit(CommitInfo, kw_only=True):
    formatted: _Formatted | msgspec.UnsetType = msgspec.UNSET


class _Squash(msgspec.Struct):
    message: str = "Squash"


def add_routes(app: web.Application) -> None:
    """Add the routes."""
    base = f"/api/{KIND}/{REPO}"
    app.router.add_get(f"{base}/refs", refs)
    app.router.add_post(f"{base}/branch/{BRANCH}", create_branch)
    app.router.add_delete(f"{base}/branch/{BRANCH}", delete_branch)
    app.router.add_post(f"{base}/tag/{REV}", create_tag)
    app.router.add_delete(f"{base}/tag/{REV}", delete_tag)
    app.router.add_get(f"{base}/commits/{REV}", commits)
    app.router.add_post(f"{base}/super-squash/{BRANCH}", super_squash)


async def refs(request: web.Request) -> web.Response:
    """``GET …/refs``; with ``include_prs`` also those of pull requests."""
    repo = await open_repo(request)
    proposals = request.query.get("include_prs", "0") not in ("", "0", "false")

    def collect() -> Refs:
        return Refs(
            branches=[Ref(name=n, ref=f"refs/heads/{n}", target_commit=c) for n, c in repo.branches().items()],
            tags=[Ref(name=n, ref=f"refs/tags/{n}", target_commit=c) for n, c in repo.tags().items()],
            pull_requests=[
                Ref(name=n, ref=f"refs/pr/{n}", target_commit=c)
                for n, c in (Proposals(repo).references().items() if proposals else ())
            ],
        )

    return json_response(encode(await in_worker(request, collect)))


async def create_branch(request: web.Request) -> web.Response:
    """``POST …/branch/{branch}``; 409 if it exists."""
    repo = await open_repo(request, write=True)
    wanted = await read_message(request, CreateBranch, what="create branch", optional=True)
    await in_worker(request, repo.create_branch, request.match_info["branch"], wanted.starting_point)
    return json_response(b"{}")


async def delete_branch(request: web.Request) -> web.Response:
    """``DELETE …/branch/{branch}``."""
    repo = await open_repo(request, write=True)
    await in_worker(request, repo.delete_branch, request.match_info["branch"])
    return json_response(b"{}")


async def create_tag(request: web.Request) -> web.Response:
    """``POST …/tag/{rev}``; 409 if it exists."""
    repo = await open_repo(request, write=True)
    wanted = await read_message(request, CreateTag, what="create tag")
    user = writer_of(request).user
    await in_worker(request, repo.create_tag, wanted.tag, request.match_info["rev"], wanted.message, user)
    return json_response(b"{}")


async def delete_tag(request: web.Request) -> web.Response:
    """``DELETE …/tag/{tag}``."""
    repo = await open_repo(request, write=True)
    await in_worker(request, repo.delete_tag, request.match_info["rev"])
    return json_response(b"{}")


async def commits(request: web.Request) -> web.Response:
    """``GET …/commits/{rev}``: newest first, in pages."""
    repo = await open_repo(request)
    start = query_number(request, "p", 0)
    # Later pages continue from the commit of the first page, even if the branch has moved meanwhile.
    revision = request.query.get("at") or request.match_info["rev"]
    formatted = "formatted" in request.query.getall("expand[]", request.query.getall("expand", []))
    suspended = request.app[SUSPENDED]
    head, found, more = await in_worker(request, _history, repo, revision, start, formatted, suspended)
    headers = {}
    if more:
        headers["Link"] = next_page(request, p=start + _PAGE, at=head)
    return json_response(encode(found), headers=headers)


def _history(
    repo: Repository, revision: str, start: int, formatted: bool, suspended: Suspended
) -> tuple[str, list[CommitInfo], bool]:
    """The head, a page of commits, and whether there are more."""
    head = repo.resolve(revision)
    found: list[CommitInfo] = []
    listing = ("history", str(repo.path), str(head.id))
    commits, more = suspended.page(
        lambda: islice(repo.history(head), start, None), _PAGE, (*listing, start), lambda _: (*listing, start + _PAGE)
    )
    for commit in commits:
        title, _, message = message_of(commit).partition("\n")
        message = message.strip()
        info = _FormattedCommit(
            id=str(commit.id),
            title=title,
            message=message,
            date=format_date(commit.commit_time),
            authors=[CommitAuthor(user=author_of(commit)[0])],
            parents=[str(parent) for parent in commit.parent_ids],
        )
        if formatted:
            info.formatted = _Formatted(title=html.escape(title), message=html.escape(message))
        found.append(info)
    return str(head.id), found, more


async def super_squash(request: web.Request) -> web.Response:
    """``POST …/super-squash/{branch}``."""
    repo = await open_repo(request, write=True)
    wanted = await read_message(request, _Squash, what="super-squash", optional=True)
    user = writer_of(request).user
    await in_worker(request, repo.squash, request.match_info["branch"], wanted.message, user)
    return json_response(b"{}")
