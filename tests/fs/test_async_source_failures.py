"""Asynchronous sources that fail, break off, never end or are cancelled: nothing is published, and nothing is left."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiofiles
import aiohttp
import anyio
import pytest
from aiohttp import web
from support.async_sources import WAYS, served
from support.cancelling import WAYS as CANCELLED
from support.cancelling import Way
from support.faults import UPLOAD, FaultProxy, gated
from support.proxied import asynchronous
from support.settled import check_budgets

import pyxet
from pyxet._async.runtime.budget import WRITE_MEMORY
from pyxet.testing import LocalEndpoint

MIB = 1024 * 1024


@pytest.fixture
async def fs(shared_endpoint: LocalEndpoint) -> AsyncIterator[pyxet.AsyncXetFileSystem]:
    async with asynchronous(shared_endpoint) as made:
        yield made


class Failing:
    """Fails after some pieces, and says whether anybody ended it."""

    def __init__(self, then: Callable[[], bytes | None]) -> None:
        self.ended = False
        self.then = then

    async def pieces(self) -> AsyncIterator[Any]:
        try:
            for _ in range(4):
                yield os.urandom(MIB)
            yield self.then()
            yield b"never asked for"
        finally:
            self.ended = True

    def file(self) -> Any:
        source, pieces = self, self.pieces()

        class File:
            async def read(self, size: int) -> Any:
                piece = await anext(pieces)
                source.ended = source.ended or not isinstance(piece, bytes)
                return piece

        return File()


def broken() -> bytes:
    raise OSError("the disk is on fire")


@pytest.mark.parametrize("as_file", [True, False])
@pytest.mark.parametrize(
    ("then", "error", "words"),
    [
        (broken, OSError, "on fire"),
        (lambda: "text", TypeError, "encode it"),
        (lambda: 5, TypeError, "not int"),
        (lambda: [1], TypeError, "not list"),
        (lambda: None, (BlockingIOError, TypeError), "does not wait|NoneType"),
    ],
)
async def test_a_source_that_fails_publishes_nothing_and_leaves_nothing(
    fs: pyxet.AsyncXetFileSystem, main: str, as_file: bool, then: Any, error: Any, words: str
) -> None:
    await fs._pipe_file(f"{main}/there", b"there")
    for call in WAYS.values():
        source = Failing(then)
        with pytest.raises(error, match=words):
            await call(fs, source.file() if as_file else source.pieces(), f"{main}/a.bin")
        assert source.ended
    assert await fs._ls(main, detail=False) == [f"{main}/there"]
    check_budgets()
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_file_that_is_closed_under_way_fails_the_upload(
    fs: pyxet.AsyncXetFileSystem, main: str, tmp_path: Path
) -> None:
    await fs._pipe_file(f"{main}/there", b"there")
    local = tmp_path / "local"
    await anyio.Path(local).write_bytes(os.urandom(7 * MIB))
    file = await aiofiles.open(local, "rb")

    class Closing:
        async def read(self, size: int) -> bytes:
            data: bytes = await file.read(size)
            await file.close()
            return data

    with pytest.raises(ValueError, match="closed file"):
        await fs._put_file(Closing(), f"{main}/a.bin")
    assert await fs._ls(main, detail=False) == [f"{main}/there"]


async def test_an_answer_that_breaks_off_is_no_whole_file(fs: pyxet.AsyncXetFileSystem, main: str) -> None:
    await fs._pipe_file(f"{main}/there", b"there")

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": str(8 * MIB)})
        await response.prepare(request)
        await response.write(os.urandom(3 * MIB))
        assert request.transport is not None
        request.transport.close()
        return response

    async with served(answer) as url, aiohttp.ClientSession() as session, session.get(url) as found:
        with pytest.raises(aiohttp.ClientError):
            await fs._put_file(found.content, f"{main}/a.bin")
    assert await fs._ls(main, detail=False) == [f"{main}/there"]


async def test_an_endless_source_waits_for_what_it_gave(shared_endpoint: LocalEndpoint, main: str) -> None:
    memory = 16 * MIB
    most = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal most
        while True:
            yield os.urandom(MIB)
            most = max(most, WRITE_MEMORY.in_use)

    with FaultProxy(shared_endpoint.url) as proxy:
        async with asynchronous(shared_endpoint, proxy, limits=pyxet.Limits(memory=memory)) as fs:
            proxy.rule(UPLOAD, gated())
            task = asyncio.create_task(fs._put_file(endless(), f"{main}/a.bin"))
            await proxy.arrival()
            # Everything stands now: nothing that was given has been taken off.
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
    # Half of it is for writing, and a run that is granted while nothing else is in flight comes on top.
    assert MIB < most <= memory // 2 + 4 * MIB
    check_budgets()


@CANCELLED
@pytest.mark.parametrize("in_transaction", [False, True])
async def test_an_upload_that_is_cancelled_while_its_source_has_nothing_ends_the_source(
    fs: pyxet.AsyncXetFileSystem, main: str, way: Way, in_transaction: bool
) -> None:
    await fs._pipe_file(f"{main}/there", b"there")
    waits = asyncio.Event()
    ended: list[str] = []

    async def pieces() -> AsyncIterator[bytes]:
        try:
            yield os.urandom(3 * MIB)
            waits.set()
            await asyncio.Event().wait()
        finally:
            ended.append("iterator")

    async def upload() -> None:
        if not in_transaction:
            await fs._put_file(pieces(), f"{main}/a.bin")
            return
        async with fs.transaction:
            await fs._put_file(pieces(), f"{main}/a.bin")

    await way(upload(), waits.wait)
    assert ended == ["iterator"]
    assert await fs._ls(main, detail=False) == [f"{main}/there"]
    check_budgets()


@CANCELLED
async def test_a_call_that_is_cancelled_while_the_other_loop_reads_ends_the_source(
    xet: pyxet.XetFS, main: str, way: Way
) -> None:
    waits = asyncio.Event()
    ended: list[str] = []

    async def pieces() -> AsyncIterator[bytes]:
        try:
            yield os.urandom(3 * MIB)
            waits.set()
            await asyncio.Event().wait()
        finally:
            ended.append("iterator")

    with xet.transaction as tr:
        await way(tr.fs._put_file(pieces(), f"{main}/a.bin"), waits.wait)
        assert ended == ["iterator"]
        await tr.fs._pipe_file(f"{main}/there", b"there")
    assert await asyncio.to_thread(xet.ls, main, detail=False) == [f"{main}/there"]
    check_budgets()


async def test_an_iterator_that_gives_nothing_for_ever_can_be_cancelled(
    fs: pyxet.AsyncXetFileSystem, main: str
) -> None:
    async def nothing() -> AsyncIterator[bytes]:
        while True:
            yield b""

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await fs._put_file(nothing(), f"{main}/a.bin")
    check_budgets()
