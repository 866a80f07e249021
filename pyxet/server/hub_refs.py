"""Hub routes of references and history: branches, tags, commits."""

from __future__ import annotations

from itertools import islice

import msgspec
from aiohttp import web

from pyxet.protocol.messages import CommitAuthor, CommitInfo, CreateBranch, CreateTag, Ref, Refs, decode, encode
from pyxet.server.git_store import Repository
from pyxet.server.hub_repos import KIND, REPO, timestamp
from pyxet.server.state import in_worker, json_response, open_repo, writer_of

_PAGE = 50


class _Squash(msgspec.Struct):
    message: str = "Squash"


def add_routes(app: web.Application) -> None:
    """Add the routes."""
    base = f"/api/{KIND}/{REPO}"
    app.router.add_get(f"{base}/refs", refs)
    app.router.add_post(f"{base}/branch/{{branch}}", create_branch)
    app.router.add_delete(f"{base}/branch/{{branch}}", delete_branch)
    app.router.add_post(f"{base}/tag/{{rev}}", create_tag)
    app.router.add_delete(f"{base}/tag/{{rev}}", delete_tag)
    app.router.add_get(f"{base}/commits/{{rev}}", commits)
    app.router.add_post(f"{base}/super-squash/{{branch}}", super_squash)


async def refs(request: web.Request) -> web.Response:
    """``GET …/refs``."""
    repo = open_repo(request)

    def collect() -> Refs:
        return Refs(
            branches=[Ref(name=n, ref=f"refs/heads/{n}", target_commit=c) for n, c in repo.branches().items()],
            tags=[Ref(name=n, ref=f"refs/tags/{n}", target_commit=c) for n, c in repo.tags().items()],
        )

    return json_response(encode(await in_worker(request, collect)))


async def create_branch(request: web.Request) -> web.Response:
    """``POST …/branch/{branch}``; 409 if it exists."""
    repo = open_repo(request, write=True)
    wanted = decode(await request.read() or b"{}", CreateBranch, what="create branch")
    await in_worker(request, repo.create_branch, request.match_info["branch"], wanted.starting_point)
    return json_response(b"{}")


async def delete_branch(request: web.Request) -> web.Response:
    """``DELETE …/branch/{branch}``."""
    repo = open_repo(request, write=True)
    await in_worker(request, repo.delete_branch, request.match_info["branch"])
    return json_response(b"{}")


async def create_tag(request: web.Request) -> web.Response:
    """``POST …/tag/{rev}``; 409 if it exists."""
    repo = open_repo(request, write=True)
    wanted = decode(await request.read(), CreateTag, what="create tag")
    user = writer_of(request).user
    await in_worker(request, repo.create_tag, wanted.tag, request.match_info["rev"], wanted.message, user)
    return json_response(b"{}")


async def delete_tag(request: web.Request) -> web.Response:
    """``DELETE …/tag/{tag}``."""
    repo = open_repo(request, write=True)
    await in_worker(request, repo.delete_tag, request.match_info["rev"])
    return json_response(b"{}")


async def commits(request: web.Request) -> web.Response:
    """``GET …/commits/{rev}``: newest first, in pages."""
    repo = open_repo(request)
    start = int(request.query.get("p", "0"))
    found = await in_worker(request, _history, repo, request.match_info["rev"], start)
    headers = {}
    if len(found) > _PAGE:
        found = found[:_PAGE]
        headers["Link"] = f'<{request.url.update_query(p=start + _PAGE)}>; rel="next"'
    return json_response(encode(found), headers=headers)


def _history(repo: Repository, revision: str, start: int) -> list[CommitInfo]:
    history = repo.history(repo.resolve(revision))
    return [
        CommitInfo(
            id=str(commit.id),
            title=commit.message.partition("\n")[0],
            message=commit.message.partition("\n")[2].strip(),
            date=timestamp(commit.commit_time),
            authors=[CommitAuthor(user=commit.author.name)],
            parents=[str(parent) for parent in commit.parent_ids],
        )
        for commit in islice(history, start, start + _PAGE + 1)
    ]


async def super_squash(request: web.Request) -> web.Response:
    """``POST …/super-squash/{branch}``."""
    repo = open_repo(request, write=True)
    wanted = decode(await request.read() or b"{}", _Squash, what="super-squash")
    user = writer_of(request).user
    await in_worker(request, repo.squash, request.match_info["branch"], wanted.message, user)
    return json_response(b"{}")
