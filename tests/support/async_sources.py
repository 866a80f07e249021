"""Asynchronous sources and targets of each kind that users have, and the calls that take them."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiofiles
import aiohttp
import anyio
from aiohttp import web

import pyxet

MIB = 1024 * 1024


class Upload:
    """An uploaded file of a form, as web frameworks pass it: it has no ``tell``, and is read in a thread."""

    def __init__(self, data: bytes) -> None:
        self.file = io.BytesIO(data)

    async def read(self, size: int = -1) -> bytes:
        return await asyncio.to_thread(self.file.read, size)

    async def write(self, data: bytes) -> None:
        self.file.write(data)


class Pieces:
    """An asynchronous iterator that is not a generator."""

    def __init__(self, data: bytes, size: int) -> None:
        self.left, self.size = memoryview(data), size

    def __aiter__(self) -> Pieces:
        return self

    async def __anext__(self) -> memoryview:
        if not self.left:
            raise StopAsyncIteration
        piece, self.left = self.left[: self.size], self.left[self.size :]
        return piece


@asynccontextmanager
async def served(handle: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[str]:
    """Run a web service that answers with ``handle``; yields its URL."""
    app = web.Application(client_max_size=0)
    app.router.add_route("*", "/", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


async def source_of(kind: str, data: bytes, folder: Path, stack: AsyncExitStack) -> Any:
    """The content as an asynchronous source of some kind."""
    local = folder / f"source of {kind}"
    await anyio.Path(local).write_bytes(data)
    if kind == "aiofiles":
        return await stack.enter_async_context(aiofiles.open(local, "rb"))
    if kind == "aiofiles without a buffer":
        return await stack.enter_async_context(aiofiles.open(local, "rb", buffering=0))
    if kind == "anyio":
        return await stack.enter_async_context(await anyio.open_file(local, "rb"))
    if kind == "upload of a form":
        return Upload(data)
    if kind == "stream of asyncio":
        reader = asyncio.StreamReader()
        reader.feed_data(data)
        reader.feed_eof()
        return reader
    if kind == "answer of aiohttp":

        async def answer(request: web.Request) -> web.Response:
            return web.Response(body=data)

        url = await stack.enter_async_context(served(answer))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        return (await stack.enter_async_context(session.get(url))).content
    if kind == "iterator":
        return Pieces(data, 70_001)

    async def generate() -> AsyncIterator[bytes]:
        yield b""
        for at in range(0, len(data), MIB):
            await asyncio.sleep(0)
            yield data[at : at + MIB]
        yield b""

    return generate()


WAYS: dict[str, Callable[[pyxet.AsyncXetFileSystem, Any, str], Awaitable[object]]] = {
    "put_file": lambda fs, source, path: fs._put_file(source, path),
    "put": lambda fs, source, path: fs._put(source, path),
    "put of several": lambda fs, source, path: fs._put([source, Pieces(b"other", 2)], [path, f"{path}.other"]),
    "pipe_file": lambda fs, source, path: fs._pipe_file(path, source),
    "pipe": lambda fs, source, path: fs._pipe({path: source, f"{path}.other": b"other"}),
}
