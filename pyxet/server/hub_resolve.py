"""Hub routes of content: resolve a file, and the tokens for reading and writing content directly."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import quote

from aiohttp import web

from pyxet.errors import EntryNotFoundError, RangeNotSatisfiableError
from pyxet.protocol.messages import XetToken, encode
from pyxet.server.content import StoredContent
from pyxet.server.git_store import Entry, Repository
from pyxet.server.hub_repos import KIND, REPO
from pyxet.server.state import CONTENT, TOKENS, account_of, in_worker, json_response, open_repo, requested_repo

_RANGE = re.compile(r"bytes=(\d*)-(\d*)\Z")


def add_routes(app: web.Application) -> None:
    """Add the routes."""
    for scope in ("read", "write"):
        app.router.add_get(f"/api/{KIND}/{REPO}/xet-{{scope:{scope}}}-token/{{rev}}", xet_token)
    # aiohttp answers HEAD with the same handler.
    app.router.add_get(f"/{{kind:datasets|spaces}}/{REPO}/resolve/{{rev}}/{{path:.+}}", resolve)
    app.router.add_get(f"/{REPO}/resolve/{{rev}}/{{path:.+}}", resolve)


async def xet_token(request: web.Request) -> web.Response:
    """``GET …/xet-read-token/{rev}``, ``…/xet-write-token/{rev}``: the same values as JSON and as headers."""
    scope = request.match_info["scope"]
    repo = open_repo(request, write=scope == "write")
    account = account_of(request)
    user = account.user if account else "anonymous"
    token, expires = request.app[TOKENS].mint(repo.id.path, scope, user)  # type: ignore[arg-type]  # the route admits two
    url = str(request.url.origin())
    headers = {"X-Xet-Access-Token": token, "X-Xet-Token-Expiration": str(expires), "X-Xet-Cas-Url": url}
    return json_response(encode(XetToken(access_token=token, exp=expires, cas_url=url)), headers=headers)


async def resolve(request: web.Request) -> web.StreamResponse:
    """``GET`` and ``HEAD …/resolve/{rev}/{path}``: metadata in headers, content with single ranges."""
    repo = open_repo(request)
    path = request.match_info["path"].strip("/")
    commit, entry, stored = await in_worker(request, _find, request, repo, path)
    headers = {"X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
    if entry is None or entry.is_folder:
        headers["X-Error-Code"] = "EntryNotFound"
        headers["X-Error-Message"] = f"{repo.id} has no file {path!r} at {commit[:10]}"
        return web.Response(status=404, headers=headers)
    etag = entry.lfs.sha256 if entry.lfs else entry.oid
    headers |= {
        "ETag": f'"{etag}"',
        "X-Linked-ETag": f'"{etag}"',
        "X-Linked-Size": str(entry.size),
        "X-Blob-Id": entry.oid,
        "Content-Type": "application/octet-stream",
    }
    if stored is not None:
        origin = request.url.origin()
        kind = requested_repo(request).kind
        token = f"{origin}/api/{kind}/{repo.id.full_name}/xet-read-token/{quote(commit, safe='')}"
        headers["X-Xet-Hash"] = stored.xet_hash
        headers["Link"] = (
            f'<{token}>; rel="xet-auth", '
            f'<{origin}/v1/reconstructions/{stored.xet_hash}>; rel="xet-reconstruction-info"'
        )  # fmt: skip
    start, end = _requested(request, entry.size)
    status = 200
    if "Range" in request.headers:
        status = 206
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{entry.size}"
    headers["Content-Length"] = str(end - start)
    if request.method == "HEAD":
        return web.Response(status=status, headers=headers)
    if stored is None:
        data = await in_worker(request, repo.blob, entry.oid)
        return web.Response(body=data[start:end], status=status, headers=headers)
    response = web.StreamResponse(status=status, headers=headers)
    await response.prepare(request)
    pieces = request.app[CONTENT].read(stored.xet_hash, start, end)
    while (piece := await in_worker(request, _next, pieces)) is not None:
        await response.write(piece)
    return response


def _next(pieces: Iterator[bytes]) -> bytes | None:
    return next(pieces, None)


def _find(
    request: web.Request, repo: Repository, path: str
) -> tuple[str, Entry | None, StoredContent | None]:  # fmt: skip
    commit = repo.resolve(request.match_info["rev"])
    entry = repo.entry(commit, path)
    stored = request.app[CONTENT].find_by_sha256(entry.lfs.sha256) if entry and entry.lfs else None
    if entry and entry.lfs and stored is None:
        raise EntryNotFoundError(f"the content of {path!r} is not stored", status=404, code="EntryNotFound")
    return str(commit.id), entry, stored


def _requested(request: web.Request, size: int) -> tuple[int, int]:
    """Start and end of the requested range; the whole file without one."""
    match = _RANGE.match(request.headers.get("Range", ""))
    if match is None or not (match[1] or match[2]):
        return 0, size
    if not match[1]:
        return max(0, size - int(match[2])), size
    start = int(match[1])
    end = min(size, int(match[2]) + 1) if match[2] else size
    if start >= size or start >= end:
        raise RangeNotSatisfiableError(f"the file has {size:,} bytes", status=416)
    return start, end
