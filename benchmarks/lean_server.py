"""A server with the interfaces of the Hub and the CAS that uses as little CPU time as possible. Both sides of a row use it.

Uploads are read, counted and dropped; shards are kept as they come. Downloads go out by sendfile. Plans are trimmed to
the chunks that overlap the range, and a xorb URL answers for exactly the byte ranges of its plan (403 for anything
else). The first line of standard output is its URL; it ends when its standard input does.
"""

from __future__ import annotations

import asyncio
import base64
import io
import os
import re
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import web
from counting import COUNTS, add_control
from lean_store import Item, Repository, Store

from pyxet.protocol.cas_messages import (
    BatchReconstruction,
    ReconstructionV1,
    ReconstructionV2,
    WireFetchRange,
    WireFetchV1,
    WireFetchV2,
    WireRange,
    WireTerm,
)
from pyxet.protocol.hashing import Hash, hash_from_hex, hash_to_hex
from pyxet.protocol.messages import encode
from pyxet.protocol.reconstruction import fetch_runs
from pyxet.protocol.shard import Term
from pyxet.secrets import Secret

STORE = web.AppKey("STORE", Store)
ORIGIN = web.AppKey("ORIGIN", list)
_RANGE = re.compile(r"bytes=(\d+)-(\d*)\Z")
# Bodies up to this size are cheaper to send with one write than with sendfile.
_SMALL = 128 * 1024
_READ_BUFFER = 1024 * 1024
_PAGE = 1000
_MAX_RUN = 16 * 1024 * 1024
_REPO = "{owner}/{name}"
_CREATED = "2026-01-01T00:00:00.000Z"
_MAX_BODY = 1 << 30


def create_app() -> web.Application:
    """The application. Its content is set through the control route."""
    app = web.Application(client_max_size=_MAX_BODY)
    store = app[STORE] = Store()
    app[ORIGIN] = ["", ""]

    def set_up(wanted: dict[str, Any]) -> None:
        # The public URL, for clients that reach the server through a proxy.
        app[ORIGIN][1] = wanted.pop("origin", None) or app[ORIGIN][0]
        store.set_up(wanted)

    add_control(app, set_up)
    add, api = app.router, f"/api/models/{_REPO}"
    add.add_get("/api/whoami-v2", whoami)
    add.add_get("/api/agent-harnesses", harnesses)
    add.add_get(api, repo_info)
    add.add_get(f"{api}/revision/{{rev}}", repo_info)
    add.add_get(f"{api}/refs", refs)
    add.add_get(f"{api}/tree/{{rev}}", tree)
    add.add_get(f"{api}/tree/{{rev}}/{{path:.+}}", tree)
    add.add_post(f"{api}/paths-info/{{rev}}", paths_info)
    add.add_post(f"{api}/preupload/{{rev}}", preupload)
    add.add_post(f"{api}/commit/{{rev}}", commit)
    add.add_get(f"{api}/{{scope:xet-read-token|xet-write-token}}/{{rev}}", token)
    # aiohttp answers HEAD with the handlers of GET.
    add.add_get(f"/{_REPO}/resolve/{{rev}}/{{path:.+}}", resolve)
    add.add_post("/v1/xorbs/default/{hash}", post_xorb)
    add.add_get("/xorbs/{hash}", get_xorb)
    add.add_get("/static/{hash}", get_static)
    add.add_post("/v2/shards", post_shard)
    add.add_get("/v1/chunks/default/{hash}", get_chunk)
    add.add_get("/v2/reconstructions/{hash}", plan_v2)
    add.add_get("/v1/reconstructions/{hash}", plan_v1)
    add.add_get("/v1/reconstructions", plan_batch)
    add.add_post("/v1/telemetry", telemetry)
    # Everything else, upload grants among it, is 404.
    return app


# -- the Hub -----------------------------------------------------------------------------------------------------------


def _json(body: Any, headers: dict[str, str] | None = None) -> web.Response:
    data = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return web.Response(body=data, content_type="application/json", headers=headers)


def _missing(code: str, commit: str = "") -> web.Response:
    headers = {"X-Error-Code": code} | ({"X-Repo-Commit": commit} if commit else {})
    return web.json_response({"error": code}, status=404, headers=headers)


def _repo(request: web.Request) -> Repository | None:
    return request.app[STORE].repos.get(f"{request.match_info['owner']}/{request.match_info['name']}")


async def whoami(_: web.Request) -> web.Response:
    return _json({"name": "bench", "type": "user", "fullname": "bench", "orgs": []})


async def harnesses(_: web.Request) -> web.Response:
    return _json({"standardEnvVars": [], "harnesses": {}})


async def telemetry(request: web.Request) -> web.Response:
    await request.read()
    return web.Response()


async def repo_info(request: web.Request) -> web.Response:
    repo = _repo(request)
    if repo is None:
        return _missing("RepoNotFound")
    name = f"{request.match_info['owner']}/{request.match_info['name']}"
    info = {
        "id": name, "author": "bench", "sha": repo.commit, "private": False, "gated": False, "disabled": False,
        "createdAt": _CREATED, "lastModified": _CREATED, "tags": [], "downloads": 0, "likes": 0,
    }  # fmt: skip
    return _json(info, {"X-Repo-Commit": repo.commit})


async def refs(request: web.Request) -> web.Response:
    repo = _repo(request)
    if repo is None:
        return _missing("RepoNotFound")
    main = {"name": "main", "ref": "refs/heads/main", "targetCommit": repo.commit}
    return _json({"branches": [main], "tags": [], "converts": [], "pullRequests": []})


async def tree(request: web.Request) -> web.Response:
    repo = _repo(request)
    if repo is None:
        return _missing("RepoNotFound")
    folder = request.match_info.get("path", "").strip("/")
    prefix = f"{folder}/" if folder else ""
    after = request.query.get("cursor", "")
    names: dict[str, Item | None] = {}
    for path, item in repo.files.items():
        if not path.startswith(prefix):
            continue
        inside = path.removeprefix(prefix)
        parts = inside.split("/")
        if request.query.get("recursive") == "true":
            names |= {prefix + "/".join(parts[:depth]): None for depth in range(1, len(parts))}
            names[path] = item
        else:
            names[prefix + parts[0]] = item if len(parts) == 1 else None
    if folder and not names:
        return _missing("EntryNotFound", repo.commit)
    found = [(name, item) for name, item in names.items() if name > after]
    headers = {"X-Repo-Commit": repo.commit}
    if len(found) > _PAGE:
        found = found[:_PAGE]
        headers["Link"] = f'<{request.url.update_query(cursor=found[-1][0])}>; rel="next"'
    return _json([_entry(name, item) for name, item in found], headers)


async def paths_info(request: web.Request) -> web.Response:
    repo = _repo(request)
    if repo is None:
        return _missing("RepoNotFound")
    if request.content_type == "application/json":
        paths = (await request.json())["paths"]
    else:
        paths = [str(path) for path in (await request.post()).getall("paths", [])]
    found = [_entry(path, repo.files[path]) for path in paths if path in repo.files]
    return _json(found, {"X-Repo-Commit": repo.commit})


def _entry(path: str, item: Item | None) -> dict[str, Any]:
    if item is None:
        return {"type": "directory", "path": path, "oid": "0" * 40, "size": 0}
    entry: dict[str, Any] = {"type": "file", "path": path, "oid": item.sha256[:40], "size": item.size}
    entry["lfs"] = {"oid": item.sha256, "size": item.size, "pointerSize": 130}
    if item.stored:
        entry["xetHash"] = item.stored.file_hash
    return entry


async def preupload(request: web.Request) -> web.Response:
    asked = await request.json()
    files = []
    for file in asked["files"]:
        base64.b64decode(file.get("sample", ""))
        files.append({"path": file["path"], "uploadMode": "lfs", "shouldIgnore": False})
    return _json({"files": files})


async def commit(request: web.Request) -> web.Response:
    repo = _repo(request)
    if repo is None:
        return _missing("RepoNotFound")
    for line in (await request.read()).splitlines():
        change = msgspec.json.decode(line)
        value = change["value"]
        if change["key"] == "lfsFile":
            repo.files[value["path"]] = Item(value.get("size") or 0, value["oid"])
        elif change["key"] == "file":
            repo.files[value["path"]] = Item(len(base64.b64decode(value["content"])), "0" * 64)
    made = repo.advance()
    name = f"{request.match_info['owner']}/{request.match_info['name']}"
    return _json({"commitOid": made, "commitUrl": f"{request.app[ORIGIN][1]}/{name}/commit/{made}"})


async def token(request: web.Request) -> web.Response:
    origin, expires = request.app[ORIGIN][1], int(time.time()) + 3600
    headers = {"X-Xet-Access-Token": "xet_bench", "X-Xet-Token-Expiration": str(expires), "X-Xet-Cas-Url": origin}
    return _json({"accessToken": "xet_bench", "exp": expires, "casUrl": origin}, headers)


async def resolve(request: web.Request) -> web.StreamResponse:
    """The original file, or a range of it, by sendfile."""
    repo = _repo(request)
    if repo is None:
        return _missing("RepoNotFound")
    item = repo.files.get(request.match_info["path"])
    if item is None or item.stored is None:
        return _missing("EntryNotFound", repo.commit)
    name = f"{request.match_info['owner']}/{request.match_info['name']}"
    route = f"{request.app[ORIGIN][1]}/api/models/{name}/xet-read-token/{repo.commit}"
    headers = {
        "X-Repo-Commit": repo.commit,
        "ETag": f'"{item.sha256}"',
        "X-Linked-ETag": f'"{item.sha256}"',
        "X-Linked-Size": str(item.size),
        "X-Xet-Hash": item.stored.file_hash,
        "Link": f'<{route}>; rel="xet-auth"',
        "Accept-Ranges": "bytes",
    }
    if request.method == "HEAD":
        return web.Response(headers=headers | {"Content-Length": str(item.size)})
    start, end, status = 0, item.size, 200
    if match := _RANGE.match(request.headers.get("Range", "")):
        start, end, status = int(match[1]), min(item.size, int(match[2] or item.size) + 1), 206
        if start >= end:
            return web.Response(status=416, headers={"Content-Range": f"bytes */{item.size}"})
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{item.size}"
    with io.FileIO(item.stored.source) as file:
        return await _send(request, file, start, end, status, headers)


async def _send(
    request: web.Request, file: io.FileIO, start: int, end: int, status: int, headers: dict[str, str]
) -> web.StreamResponse:
    headers["Content-Type"] = "application/octet-stream"
    if end - start <= _SMALL:
        return web.Response(body=os.pread(file.fileno(), end - start, start), status=status, headers=headers)
    response = web.StreamResponse(status=status, headers=headers)
    response.content_length = end - start
    await response.prepare(request)
    assert request.transport is not None
    await asyncio.get_running_loop().sendfile(request.transport, file, start, end - start)
    await response.write_eof()
    return response


# -- the CAS -----------------------------------------------------------------------------------------------------------


async def post_xorb(request: web.Request) -> web.Response:
    """Read a body and drop it."""
    size = 0
    async for piece in request.content.iter_any():
        size += len(piece)
    if request.content_length is None:
        request.app[COUNTS].received += size
    return _json(b'{"was_inserted":true}')


async def post_shard(request: web.Request) -> web.Response:
    request.app[STORE].shards.append(await request.read())
    return web.Response(body=b'{"type":"result"}\n', content_type="application/x-ndjson")


async def get_chunk(request: web.Request) -> web.Response:
    answer = request.app[STORE].known(hash_from_hex(request.match_info["hash"]))
    if answer is None:
        return _missing("EntryNotFound")
    return web.Response(body=answer, content_type="application/octet-stream")


async def plan_v2(request: web.Request) -> web.Response:
    return _plan(request, 2)


async def plan_v1(request: web.Request) -> web.Response:
    return _plan(request, 1)


def _plan(request: web.Request, version: int) -> web.Response:
    store, value = request.app[STORE], request.match_info["hash"]
    size = store.size(value)
    if size is None:
        return _missing("EntryNotFound")
    start, end = 0, size
    if match := _RANGE.match(request.headers.get("Range", "")):
        start, end = int(match[1]), min(size, int(match[2] or size) + 1)
    if start >= end:
        return web.Response(status=416)
    skip, terms, runs = store.plan(value, start, end)
    wire = _wire(terms)
    fetches = {hash_to_hex(xorb): _fetches(request, xorb, found) for xorb, found in runs.items()}
    if version == 2:
        xorbs = {name: [WireFetchV2(url=Secret(url), ranges=ranges)] for name, (url, ranges) in fetches.items()}
        return _json(encode(ReconstructionV2(offset_into_first_range=skip, terms=wire, xorbs=xorbs)))
    return _json(encode(ReconstructionV1(offset_into_first_range=skip, terms=wire, fetch_info=_fetch_info(fetches))))


async def plan_batch(request: web.Request) -> web.Response:
    """Plans of several whole files at once; files that are not stored are left out."""
    store = request.app[STORE]
    terms = {name: found for name in request.query.getall("file_id", []) if (found := store.terms(name)) is not None}
    runs = fetch_runs([term for found in terms.values() for term in found], max_raw=_MAX_RUN)
    fetches = {hash_to_hex(xorb): _fetches(request, xorb, found) for xorb, found in runs.items()}
    wire = {name: _wire(found) for name, found in terms.items()}
    return _json(encode(BatchReconstruction(files=wire, fetch_info=_fetch_info(fetches))))


def _wire(terms: list[Term]) -> list[WireTerm]:
    return [
        WireTerm(hash=hash_to_hex(term.xorb_hash), unpacked_length=term.raw_length,
                 range=WireRange(start=term.chunk_start, end=term.chunk_end))
        for term in terms
    ]  # fmt: skip


def _fetch_info(fetches: dict[str, tuple[str, list[WireFetchRange]]]) -> dict[str, list[WireFetchV1]]:
    return {
        name: [WireFetchV1(range=part.chunks, url=Secret(url), url_range=part.bytes) for part in ranges]
        for name, (url, ranges) in fetches.items()
    }


def _fetches(request: web.Request, value: Hash, runs: list[tuple[int, int]]) -> tuple[str, list[WireFetchRange]]:
    name = hash_to_hex(value)
    xorb = request.app[STORE].xorb(name)
    assert xorb is not None
    ranges = []
    for first, last in runs:
        start, end = xorb.span(first, last)
        chunks, span = WireRange(start=first, end=last), WireRange(start=start, end=end - 1)
        ranges.append(WireFetchRange(chunks=chunks, bytes=span))
    signed = ",".join(f"{part.bytes.start}-{part.bytes.end}" for part in ranges)
    return f"{request.app[ORIGIN][1]}/xorbs/{name}?ranges={signed}", ranges


async def get_xorb(request: web.Request) -> web.StreamResponse:
    """Exactly one of the ranges that the URL names."""
    xorb = request.app[STORE].xorb(request.match_info["hash"])
    if xorb is None:
        return _missing("EntryNotFound")
    wanted = request.headers.get("Range", "").removeprefix("bytes=")
    if wanted not in request.query.get("ranges", "").split(","):
        return web.json_response({"error": "the URL is good for other byte ranges"}, status=403)
    start, last = map(int, wanted.split("-"))
    headers = {"Content-Range": f"bytes {start}-{last}/{xorb.size}"}
    return await _send(request, xorb.file, start, last + 1, 206, headers)


async def get_static(request: web.Request) -> web.FileResponse:
    """A xorb as aiohttp serves any static file."""
    xorb = request.app[STORE].xorb(request.match_info["hash"])
    if xorb is None:
        raise web.HTTPNotFound
    return web.FileResponse(Path(str(xorb.file.name)))


async def serve() -> None:
    """Serve until standard input ends."""
    app = create_app()
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0, read_bufsize=_READ_BUFFER)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    app[ORIGIN][:] = [f"http://127.0.0.1:{runner.addresses[0][1]}"] * 2
    print(app[ORIGIN][0], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(serve())
