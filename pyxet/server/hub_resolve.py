"""Hub routes of content: resolve, which answers with a file, and Xet tokens for reading and writing content directly."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from aiohttp import web

from pyxet.errors import EntryNotFoundError
from pyxet.protocol.messages import XetToken, encode
from pyxet.secrets import Secret
from pyxet.server.content import PIECE, StoredContent
from pyxet.server.git_objects import Entry
from pyxet.server.git_repository import Repository
from pyxet.server.hosts import absolute
from pyxet.server.hub_discussions import open_writable
from pyxet.server.hub_repos import KIND, PATH, PREFIX, REPO, REV
from pyxet.server.ranges import send_part
from pyxet.server.state import (
    CONTENT,
    TOKENS,
    account_of,
    claims_of,
    error_response,
    in_worker,
    json_response,
    note_shown,
    open_repo,
)


def add_routes(app: web.Application) -> None:
    """Add the routes."""
    for scope in ("read", "write"):
        app.router.add_get(f"/api/{KIND}/{REPO}/xet-{{scope:{scope}}}-token/{REV}", xet_token)
    # aiohttp answers HEAD with the same handler.
    app.router.add_get(f"/{PREFIX}/{REPO}/resolve/{REV}/{PATH}", resolve)
    app.router.add_get(f"/{REPO}/resolve/{REV}/{PATH}", resolve)


async def xet_token(request: web.Request) -> web.Response:
    """``GET …/xet-read-token/{rev}``, ``…/xet-write-token/{rev}``: the same values as JSON and as headers."""
    scope = request.match_info["scope"]
    repo = await (open_writable(request) if scope == "write" else open_repo(request))
    claims = claims_of(request, account_of(request), repo.id, scope)  # type: ignore[arg-type]  # the route admits two
    token, expires = request.app[TOKENS].mint_for(claims)
    url = absolute(request, "")
    headers = {"X-Xet-Access-Token": token, "X-Xet-Token-Expiration": str(expires), "X-Xet-Cas-Url": url}
    return json_response(encode(XetToken(access_token=Secret(token), exp=expires, cas_url=url)), headers=headers)


async def resolve(request: web.Request) -> web.StreamResponse:
    """``GET`` and ``HEAD …/resolve/{rev}/{path}``: metadata in headers, content with single ranges (RFC 9110, 14)."""
    repo = await open_repo(request)
    path = request.match_info["path"].strip("/")
    commit, entry, stored = await in_worker(request, _find, request, repo, path)
    headers = {"X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
    if entry is None or not entry.is_file:
        return error_response(404, f"{repo.id} has no file {path!r} at {commit[:10]}", "EntryNotFound", headers)
    etag = entry.lfs.sha256 if entry.lfs else entry.oid
    headers |= {
        "ETag": f'"{etag}"',
        "X-Linked-ETag": f'"{etag}"',
        "X-Linked-Size": str(entry.size),
        "X-Blob-Id": entry.oid,
        "Content-Type": "application/octet-stream",
    }
    if stored is not None:
        token = absolute(request, f"/api/{repo.id.kind}/{repo.id.full_name}/xet-read-token/{commit}")
        plan = absolute(request, f"/v1/reconstructions/{stored.xet_hash}")
        headers["X-Xet-Hash"] = stored.xet_hash
        headers["Link"] = f'<{token}>; rel="xet-auth", <{plan}>; rel="xet-reconstruction-info"'
    if request.method == "HEAD":
        return web.Response(headers=headers | {"Content-Length": str(entry.size)})
    if stored is None:
        return await send_part(request, headers, entry.size, partial(_blob_pieces, repo, entry.oid))
    return await send_part(request, headers, entry.size, partial(request.app[CONTENT].read, stored.xet_hash))


def _blob_pieces(repo: Repository, oid: str, start: int, end: int) -> Iterator[bytes]:
    data = repo.blob(oid)
    for at in range(start, end, PIECE):
        yield data[at : min(end, at + PIECE)]


def _find(
    request: web.Request, repo: Repository, path: str
) -> tuple[str, Entry | None, StoredContent | None]:  # fmt: skip
    commit = repo.resolve(request.match_info["rev"])
    entry = repo.entry(commit, path)
    stored = request.app[CONTENT].find_by_sha256(entry.lfs.sha256) if entry and entry.lfs else None
    if entry and entry.lfs and stored is None:
        raise EntryNotFoundError(f"the content of {path!r} is not stored", status=404, code="EntryNotFound")
    if stored is not None:
        note_shown(request, repo, [stored.sha256])
    return str(commit.id), entry, stored
