"""Long operations are cancelled in the three ways that callers have, and leave nothing behind: no task, no budget, no descriptor.

``task.cancel()`` and ``asyncio.timeout`` cancel once. An anyio scope, which Starlette, FastAPI and anyio's task groups use,
cancels again in each round of the loop, so code that waits for the end of something must not do so in rounds.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path

import anyio
import pytest
from support.cancelling import WAYS, Way, Work
from support.capabilities import has
from support.contents import content
from support.faults import PLAN, UPLOAD, XORB, FaultProxy, check_clean, gated
from support.proxied import asynchronous
from support.raw_client import RawClient

import pyxet
from pyxet._async.runtime.bridge import on_loop
from pyxet._async.runtime.tasks import finish, stopped
from pyxet._async.runtime.threads import to_end
from pyxet.testing import LocalEndpoint

pytestmark = pytest.mark.usefixtures("nothing_left_behind")

MIB = 1024 * 1024


@pytest.fixture
def rounds(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Counts the rounds of event loops; a loop that spins makes tens of thousands a second."""
    counted = [0]
    run_once = asyncio.BaseEventLoop._run_once  # type: ignore[attr-defined]

    def counting(loop: asyncio.BaseEventLoop) -> None:
        counted[0] += 1
        run_once(loop)

    monkeypatch.setattr(asyncio.BaseEventLoop, "_run_once", counting)
    return counted


def open_files(folder: Path) -> list[str]:
    """What this process has open below a folder."""
    found = []
    for name in os.listdir("/proc/self/fd") if has("proc") else ():
        with suppress(OSError):
            found.append(os.readlink(f"/proc/self/fd/{name}"))
    return [path for path in found if path.startswith(str(folder))]


async def _read_stream(fs: pyxet.AsyncXetFileSystem, path: str) -> None:
    async with await fs.open_async(path) as file:
        while await file.read(MIB):
            pass


async def _write_on(fs: pyxet.AsyncXetFileSystem, path: str) -> None:
    async with fs.open_async(path, "wb") as file:
        while True:
            await file.write(os.urandom(MIB))


async def _in_transaction(fs: pyxet.AsyncXetFileSystem, path: str) -> None:
    async with fs.transaction:
        await fs._pipe_file(path, os.urandom(3 * MIB))


async def _pieces() -> AsyncIterator[bytes]:
    while True:
        yield os.urandom(MIB)


class _Reading:
    async def read(self, size: int) -> bytes:
        return await asyncio.to_thread(os.urandom, size)


class _Writing:
    async def write(self, data: bytes) -> None:
        await asyncio.sleep(0)


Operation = Callable[[pyxet.AsyncXetFileSystem, str, Path], Work]
LARGE = "large.bin"
OPERATIONS: dict[str, tuple[str, Operation]] = {
    "read a whole file": (XORB, lambda fs, main, folder: fs._cat_file(f"{main}/{LARGE}")),
    "read a range": (XORB, lambda fs, main, folder: fs._cat_file(f"{main}/{LARGE}", 5, 3 * MIB)),
    "read ranges": (
        PLAN,
        lambda fs, main, folder: fs._cat_ranges([f"{main}/{LARGE}"] * 9, list(range(0, 9 * MIB, MIB)), [9 * MIB] * 9),
    ),
    "read through an open file": (XORB, lambda fs, main, folder: _read_stream(fs, f"{main}/{LARGE}")),
    "write through an open file": (UPLOAD, lambda fs, main, folder: _write_on(fs, f"{main}/up")),
    "read small files": ("GET /v1/reconstructions", lambda fs, main, folder: fs._cat(f"{main}/small", recursive=True)),
    "download": (XORB, lambda fs, main, folder: fs._get_file(f"{main}/{LARGE}", str(folder / "down"))),
    "download a folder": (
        "GET /v1/reconstructions",
        lambda fs, main, folder: fs._get(f"{main}/small/", str(folder / "all"), recursive=True),
    ),
    "list": ("GET /api/.*/tree/", lambda fs, main, folder: fs._find(main)),
    "upload": (UPLOAD, lambda fs, main, folder: fs._put_file(str(folder / LARGE), f"{main}/up")),
    "upload a folder": ("POST .*/preupload/", lambda fs, main, folder: fs._put(f"{folder}/", f"{main}/up/", recursive=True)),
    "write in a transaction": (UPLOAD, lambda fs, main, folder: _in_transaction(fs, f"{main}/up")),
    "commit": ("POST .*/commit/", lambda fs, main, folder: fs._pipe_file(f"{main}/up", b"small")),
    "upload from an iterator": (UPLOAD, lambda fs, main, folder: fs._put_file(_pieces(), f"{main}/up")),
    "upload from a file of asyncio": (UPLOAD, lambda fs, main, folder: fs._stage(_Reading(), f"{main}/up")),
    "download into a file of asyncio": (XORB, lambda fs, main, folder: fs._get_file(f"{main}/{LARGE}", _Writing())),
    "stage": (UPLOAD, lambda fs, main, folder: fs._stage(str(folder / LARGE), f"{main}/up")),
}  # fmt: skip


@pytest.fixture(scope="session")
def filled(shared_endpoint: LocalEndpoint) -> str:
    """A branch with a large file and small ones, which nobody changes."""
    fs = pyxet.XetFS(shared_endpoint.url, shared_endpoint.user, shared_endpoint.token)
    RawClient(shared_endpoint, shared_endpoint.token).make_repo("acme/cancelled")
    main = "acme/cancelled/main"
    files = {f"{main}/small/{number}.bin": content(number, 3000) for number in range(20)}
    fs.pipe(files | {f"{main}/{LARGE}": content(99, 20 * MIB)})
    return main


@WAYS
@pytest.mark.parametrize("what", OPERATIONS)
async def test_an_operation_that_is_cancelled(
    shared_endpoint: LocalEndpoint, filled: str, tmp_path: Path, what: str, way: Way, rounds: list[int]
) -> None:
    (tmp_path / LARGE).write_bytes(os.urandom(10 * MIB))
    (tmp_path / "small.txt").write_bytes(b"small")
    stop_at, operation = OPERATIONS[what]
    with FaultProxy(shared_endpoint.url) as proxy:
        async with asynchronous(shared_endpoint, proxy, limits=pyxet.Limits(memory=16 * MIB)) as fs:
            proxy.rule(stop_at, gated())
            await way(operation(fs, filled, tmp_path), proxy.arrival)
            await check_clean()
            assert open_files(tmp_path) == []
            proxy.open_gate()
            assert sorted(path.removeprefix(f"{filled}/").partition("/")[0] for path in await fs._ls(filled, detail=False)) == [
                LARGE, "small",
            ]  # fmt: skip


@WAYS
async def test_a_download_of_pending_content_that_is_cancelled_leaves_nothing(
    shared_endpoint: LocalEndpoint, main: str, tmp_path: Path, way: Way
) -> None:
    data = os.urandom(3 * MIB)  # the endpoint has none of it yet
    with FaultProxy(shared_endpoint.url) as proxy:
        async with asynchronous(shared_endpoint, proxy) as fs, fs.transaction:
            await fs._pipe_file(f"{main}/a.bin", data)
            rule = proxy.rule(UPLOAD, gated())
            await way(fs._get_file(f"{main}/a.bin", str(tmp_path / "new" / "a.bin")), proxy.arrival)
            assert [*(tmp_path / "new").iterdir()] == []
            proxy.open_gate()
            assert rule.used == 1
            await fs._get_file(f"{main}/a.bin", str(tmp_path / "new" / "a.bin"))
            assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.bin"]
            assert await anyio.Path(tmp_path / "new" / "a.bin").read_bytes() == data


@WAYS
@pytest.mark.parametrize("what", ["thread", "tasks", "closing", "other loop"])
async def test_what_outlasts_a_cancellation_costs_nothing_while_it_waits(
    what: str, way: Way, rounds: list[int]
) -> None:
    started, go, ended = threading.Event(), threading.Event(), threading.Event()

    def block() -> None:
        started.set()
        go.wait()
        ended.set()

    async def begun() -> None:
        await asyncio.to_thread(started.wait)
        threading.Timer(0.3, go.set).start()
        at_cancellation.append(rounds[0])

    async def stubborn() -> None:
        await to_end(block)

    async def stop() -> None:
        task = asyncio.create_task(stubborn())
        try:
            await asyncio.sleep(3600)
        finally:
            await stopped(task)

    at_cancellation: list[int] = []
    if what == "thread":
        await way(to_end(block), begun)
    elif what == "tasks":
        await way(stop(), begun)
    elif what == "closing":
        await way(finish(stubborn()), begun)
    else:
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever)
        thread.start()
        try:
            await way(on_loop(loop, stubborn()), begun)
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()
    assert ended.is_set()
    assert rounds[0] - at_cancellation[0] < 100
