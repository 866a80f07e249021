"""``fs.stream``: a file of any size in pieces, for whoever passes it on."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest
from aiohttp import ClientSession, web
from support.faults import MIB, XORB, FaultProxy, flipped
from support.settled import check_budgets, let_go, tasks_end

import pyxet
from pyxet import AsyncXetFileSystem, IntegrityError, NotFoundError, XetFS
from pyxet._async.runtime.budget import READ_MEMORY
from pyxet.testing import LocalEndpoint

SMALL = b"all of it"
# Several windows.
LARGE = random.Random(__name__).randbytes(80 * MIB)


@pytest.fixture(scope="module")
def large(shared_endpoint: LocalEndpoint) -> str:
    fs = XetFS(shared_endpoint.url, shared_endpoint.user, shared_endpoint.token)
    fs.make_repo("test/streams", exist_ok=True)
    fs.pipe_file("test/streams/main/large.bin", LARGE)
    return "test/streams/main/large.bin"


def asynchronous(endpoint: LocalEndpoint) -> AsyncXetFileSystem:
    return AsyncXetFileSystem(
        endpoint.url, endpoint.user, endpoint.token, asynchronous=True, skip_instance_cache=True
    )  # fmt: skip


@pytest.mark.parametrize(
    ("start", "end"),
    [(None, None), (0, 5), (3, None), (-5, None), (None, -3), (5, 5), (7, 3), (0, 10**12), (10**12, None)],
)
def test_ranges_are_those_of_slices(xet: XetFS, main: str, start: int | None, end: int | None) -> None:
    xet.pipe({f"{main}/small": SMALL, f"{main}/middle": LARGE[: 3 * MIB]})
    assert b"".join(xet.stream(f"{main}/small", start, end)) == SMALL[start:end]
    assert b"".join(xet.stream(f"{main}/middle", start, end)) == LARGE[: 3 * MIB][start:end]


def test_an_empty_file_has_no_pieces(xet: XetFS, main: str) -> None:
    xet.touch(f"{main}/empty")
    assert list(xet.stream(f"{main}/empty")) == []


def test_pieces_are_neither_small_nor_large(xet: XetFS, large: str) -> None:
    pieces = list(xet.stream(large))
    assert b"".join(pieces) == LARGE
    assert all(isinstance(piece, bytes) and MIB <= len(piece) < 2 * MIB for piece in pieces[:-1])
    assert b"".join(xet.stream(large, 7 * MIB + 1, 45 * MIB - 1)) == LARGE[7 * MIB + 1 : 45 * MIB - 1]


def test_what_is_wrong_is_told_as_by_other_reads(xet: XetFS, main: str) -> None:
    xet.pipe_file(f"{main}/folder/x", b"x")
    with pytest.raises(NotFoundError):
        next(xet.stream(f"{main}/missing"))
    with pytest.raises(IsADirectoryError):
        next(xet.stream(f"{main}/folder"))
    with pytest.raises(TypeError, match="did you mean 'start'"):
        xet.stream(f"{main}/folder/x", strat=3)  # type: ignore[call-arg]


def test_a_stream_stays_on_its_version(xet: XetFS, large: str, main: str) -> None:
    xet.cp_file(large, f"{main}/x")
    pieces = xet.stream(f"{main}/x")
    first = next(pieces)
    xet.pipe_file(f"{main}/x", b"another version")
    assert first + b"".join(pieces) == LARGE
    assert b"".join(xet.stream(f"{main}/x")) == b"another version"


def test_a_transaction_streams_what_is_pending(xet: XetFS, large: str, main: str) -> None:
    with xet.transaction as tr:
        xet.pipe({f"{main}/small": SMALL, f"{main}/large": LARGE[: 9 * MIB]})
        xet.cp_file(large, f"{main}/copy")
        for fs in (xet, tr.fs):
            assert b"".join(fs.stream(f"{main}/small", 2)) == SMALL[2:]
            assert b"".join(fs.stream(f"{main}/large")) == LARGE[: 9 * MIB]
            assert b"".join(fs.stream(f"{main}/copy", MIB, -MIB)) == LARGE[MIB:-MIB]
        # Another loop than the transaction's.
        assert asyncio.run(joined(tr.fs._stream(f"{main}/large"))) == LARGE[: 9 * MIB]


def test_what_is_pending_and_large_is_verified_as_a_whole(
    through: tuple[FaultProxy, XetFS], large: str, main: str, tmp_path: Path
) -> None:
    proxy, fs = through
    with fs.transaction:
        fs.cp_file(large, f"{main}/copy")
        proxy.rule(XORB, flipped(0.47))
        with pytest.raises(IntegrityError):
            list(fs.stream(f"{main}/copy"))
        with pytest.raises(IntegrityError):
            fs.get_file(f"{main}/copy", tmp_path / "copy")
        assert not list(tmp_path.iterdir())


async def joined(pieces: AsyncIterator[bytes]) -> bytes:
    return b"".join([piece async for piece in pieces])


def test_what_is_read_ahead_is_bounded(shared_endpoint: LocalEndpoint, large: str) -> None:
    limits = pyxet.Limits(memory=64 * MIB)
    fs = XetFS(shared_endpoint.url, shared_endpoint.user, shared_endpoint.token, limits=limits)
    most, size = 0, 0
    for piece in fs.stream(large):
        size += len(piece)
        most = max(most, READ_MEMORY.in_use)
    assert size == len(LARGE)
    assert 0 < most <= limits.memory
    check_budgets()


def test_a_stream_that_is_closed_leaves_nothing(xet: XetFS, large: str) -> None:
    pieces = xet.stream(large)
    assert LARGE.startswith(next(pieces))
    pieces.close()
    check_budgets()
    with pytest.raises(StopIteration):
        next(pieces)


async def test_a_consumer_that_stops_leaves_nothing(shared_endpoint: LocalEndpoint, large: str) -> None:
    async with asynchronous(shared_endpoint) as fs:
        async with aclosing(fs._stream(large)) as pieces:
            async for piece in pieces:
                assert LARGE.startswith(piece)
                break
        await let_go()
        await tasks_end()
    assert READ_MEMORY.in_use == 0


async def test_a_stream_is_the_body_of_a_web_answer(shared_endpoint: LocalEndpoint, large: str) -> None:
    async with asynchronous(shared_endpoint) as fs:

        async def answer(request: web.Request) -> web.Response:
            return web.Response(body=fs._stream(large, 5), content_type="application/octet-stream")

        app = web.Application()
        app.router.add_get("/", answer)
        runner = web.AppRunner(app)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            host, port = runner.addresses[0][:2]
            async with ClientSession() as session, session.get(f"http://{host}:{port}/") as response:
                assert await response.read() == LARGE[5:]
        finally:
            await runner.cleanup()
