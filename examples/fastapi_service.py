"""A web service on FastAPI that sends and takes the files of a branch, of any size, without holding them in memory.

    python -m pip install "pyxet[local]" fastapi uvicorn
    xet repo make acme/films && XET_BRANCH=acme/films/main python -m uvicorn --app-dir examples fastapi_service:app

    curl -T film.mp4 localhost:8000/files/film.mp4              one commit for each complete upload
    curl -r 1000000-1999999 localhost:8000/files/film.mp4       a range, as players ask for

It answers like a server of files: whole files and single ranges, an ``ETag``, 304 to those who have that version already.
If a client disconnects, the read for it is cancelled. docs/howto/services.md explains each step.
"""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import Response, StreamingResponse

import pyxet


def asked_range(header: str, size: int) -> tuple[int, int] | None:
    """Start and end of a single range; `None`, which means the whole file, if the header is not a single range."""
    found = re.fullmatch(r"bytes=([0-9]{0,18})-([0-9]{0,18})", header, re.IGNORECASE)
    first, last = found.groups() if found else ("", "")
    if not first + last or (first and last and int(last) < int(first)):
        return None
    start = int(first) if first else max(0, size - int(last))
    end = min(size, int(last) + 1) if first and last else size
    if start >= end:
        raise HTTPException(416, headers={"Content-Range": f"bytes */{size}"})
    return start, end


def is_known(header: str, tag: str) -> bool:
    """Whether an ``If-None-Match`` names the version. Proxies that compress make the tag a weak one, which matches as well."""
    return header.strip() == "*" or tag in (known.strip().removeprefix("W/") for known in header.split(","))


def make_app(branch: str, fs: pyxet.AsyncXetFileSystem) -> FastAPI:
    """A service for the files of ``owner/repo/branch``."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with fs:  # connections stay open from one request to the next
            yield

    async def get_file(path: str, request: Request) -> Response:
        try:
            info = await fs._info(f"{branch}/{path}")
        except (FileNotFoundError, pyxet.XetURLError):
            raise HTTPException(404, "there is no such file") from None
        if info["type"] == "directory":
            raise HTTPException(404, "that is a folder")
        tag, size = f'"{info["blob_id"]}"', info["size"]
        headers = {"ETag": tag, "Accept-Ranges": "bytes", "Cache-Control": "no-cache"}
        if is_known(request.headers.get("If-None-Match", ""), tag):
            return Response(status_code=304, headers=headers)
        wanted = None
        if size and request.method == "GET" and request.headers.get("If-Range", tag) == tag:
            wanted = asked_range(request.headers.get("Range", ""), size)
        start, end = wanted or (0, size)
        headers["Content-Length"] = str(end - start)
        if wanted:
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
        if request.method == "HEAD" or not size:
            return Response(headers=headers, media_type="application/octet-stream")
        # Read at the commit, not the branch: the content is then the version in the ETag, even if the branch moves meanwhile.
        repo = branch.rpartition("/")[0]
        body = fs._stream(f"{repo}/{info['commit']}/{path}", start, end)
        return StreamingResponse(body, 206 if wanted else 200, headers, "application/octet-stream")

    async def put_file(path: str, request: Request) -> dict[str, str]:
        try:
            async with fs.transaction(message=f"Upload {path}") as transaction:
                await fs._put_file(request.stream(), f"{branch}/{path}")
        except (pyxet.XetURLError, pyxet.BadRequestError):
            raise HTTPException(400, "no file can have this name") from None
        return {"path": path, "commit": transaction.commits[0].id}

    async def busy(request: Request, error: Exception) -> Response:
        wait = error.retry_after if isinstance(error, pyxet.RateLimitedError) else None
        return Response("the storage is busy", 503, {"Retry-After": str(round(wait or 10))})

    app = FastAPI(lifespan=lifespan)
    app.add_api_route(
        "/files/{path:path}", get_file, methods=["GET", "HEAD"], response_class=StreamingResponse, response_model=None
    )
    app.add_api_route("/files/{path:path}", put_file, methods=["PUT"], status_code=201)
    app.add_exception_handler(pyxet.RateLimitedError, busy)
    return app


def __getattr__(name: str) -> FastAPI:
    """`app`, under the name that servers look for. The branch is in ``XET_BRANCH``; pyxet finds endpoint and token as usual."""
    if name != "app":
        raise AttributeError(name)
    return make_app(os.environ["XET_BRANCH"], pyxet.AsyncXetFileSystem(asynchronous=True))
