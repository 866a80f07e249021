"""The least that a storing server does: each body is written to a file, synced and renamed. ``sink_server.py FOLDER``.

It checks nothing. The first line of standard output is its URL; it ends when its standard input does.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from tempfile import mkstemp

from aiohttp import web
from counting import add_control

_PIECE = 1024 * 1024


def create_app(folder: Path) -> web.Application:
    """The application: POST of a xorb, and the token that clients ask for first."""
    app = web.Application()
    add_control(app)

    async def token(_: web.Request) -> web.Response:
        return web.json_response({"accessToken": "xet_bench", "exp": 1 << 40, "casUrl": ""})

    async def post_xorb(request: web.Request) -> web.Response:
        descriptor, temporary = await asyncio.to_thread(mkstemp, dir=folder)
        try:
            waiting: list[bytes] = []
            size = 0
            # One piece is written while the next one arrives, as the endpoint does it.
            writing = asyncio.ensure_future(asyncio.sleep(0))
            async for piece in request.content.iter_any():
                waiting.append(piece)
                size += len(piece)
                if size >= _PIECE:
                    await writing
                    writing = asyncio.ensure_future(asyncio.to_thread(_write, descriptor, waiting))
                    waiting, size = [], 0
            await writing
            await asyncio.to_thread(_keep, descriptor, waiting, temporary, folder / request.match_info["hash"])
        finally:
            os.close(descriptor)
        return web.json_response({"was_inserted": True})

    app.router.add_get("/api/models/{owner}/{name}/{scope:xet-write-token}/{rev}", token)
    app.router.add_post("/v1/xorbs/default/{hash}", post_xorb)
    return app


def _write(descriptor: int, pieces: list[bytes]) -> None:
    data = memoryview(b"".join(pieces))
    while data:
        data = data[os.write(descriptor, data) :]


def _keep(descriptor: int, pieces: list[bytes], temporary: str, target: Path) -> None:
    _write(descriptor, pieces)
    os.fsync(descriptor)
    os.rename(temporary, target)
    opened = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


async def serve(folder: Path) -> None:
    """Serve until standard input ends."""
    runner = web.AppRunner(create_app(folder), handler_cancellation=False)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    print(f"http://{host}:{port}", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))
