"""The way up through worker threads: faults and cancellations on it, and memory that is used again."""

from __future__ import annotations

import asyncio
import errno
import gc
import io
import itertools
import os
import random
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import pytest
from aiohttp import web
from support.cancelling import WAYS, Way, Work
from support.capabilities import has
from support.contents import content
from support.faults import (
    DIRECT,
    MIB,
    UPLOAD,
    Act,
    FaultProxy,
    answer,
    answer_early,
    check_clean,
    gated,
    no_answer,
    read_back,
    shared_endpoint,
    silent,
    world,
)
from support.settled import check_budgets

import pyxet
from pyxet._async.runtime.budget import WRITE_MEMORY
from pyxet._async.runtime.threads import Stage, in_thread
from pyxet._async.upload import flow
from pyxet._async.upload.buffers import Buffers
from pyxet._async.upload.content import READ
from pyxet._async.upload.packing import Packer
from pyxet.config import Limits
from pyxet.protocol.xorb import Block

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

QUERY = r"GET /v1/chunks/"
SMALL = Limits(memory=16 * MIB)


def made(folder: Path, number: int, size: int) -> tuple[Path, bytes]:
    path, data = folder / f"{number}", content(number, size)
    path.write_bytes(data)
    return path, data


def descriptors() -> set[str]:
    """The files of the test's folder that are open."""
    found = set()
    for name in os.listdir("/proc/self/fd") if has("proc") else ():
        try:
            found.add(os.readlink(f"/proc/self/fd/{name}"))
        except FileNotFoundError:
            continue
    return found


# -- sending fails and is done again -----------------------------------------------------------------------------------


def broken_off(after: int) -> Act:
    """Read some of the request's body, and reset the connection."""

    async def act(_: FaultProxy, request: web.Request) -> web.StreamResponse:
        left = after
        while left > 0 and (data := await request.content.readany()):
            left -= len(data)
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    return act


@pytest.mark.parametrize(
    ("number", "act"), list(enumerate([answer_early(500), answer(500), broken_off(MIB), no_answer()]))
)
async def test_what_is_sent_again_is_what_was_sent_before(number: int, act: Act, tmp_path: Path) -> None:
    """Each second request fails, while buffers of xorbs that came through are filled anew."""
    async with world(limits=SMALL) as it:
        # Content that the endpoint does not know yet.
        path, data = made(tmp_path, 3590 + number, 14 * MIB + 12345)
        tries = itertools.count()

        async def sometimes(proxy: FaultProxy, request: web.Request) -> web.StreamResponse:
            return await (act if next(tries) % 2 else FaultProxy.forward)(proxy, request)

        it.proxy.rule(f"{UPLOAD}|{DIRECT}", sometimes)
        uploader = it.uploader()
        stored = await uploader.add(path)
        await uploader.flush()
        assert next(tries) > 6
        assert await read_back(it, stored) == data
        await uploader.aclose()


@pytest.mark.soak
@pytest.mark.timeout(1800)
async def test_many_files_through_many_faults(tmp_path: Path) -> None:
    source = random.Random(77)
    acts = [answer_early(500), answer(503), broken_off(100_000), no_answer()]

    async def sometimes(proxy: FaultProxy, request: web.Request) -> web.StreamResponse:
        return await (source.choice(acts) if source.random() < 0.25 else FaultProxy.forward)(proxy, request)

    async with world(limits=Limits(memory=48 * MIB)) as it:
        it.proxy.rule(f"{UPLOAD}|{DIRECT}|{QUERY}", sometimes)
        for number in range(12):
            files = [made(tmp_path, 3600 + 10 * number + k, source.randrange(60 * MIB)) for k in range(4)]
            uploader = it.uploader()
            adding = [asyncio.create_task(uploader.add(path)) for path, _ in files]
            dropped = source.choice(adding)
            asyncio.get_running_loop().call_later(source.uniform(0, 1), dropped.cancel)
            await asyncio.wait(adding)
            await uploader.flush()
            for task, (path, data) in zip(adding, files, strict=True):
                assert task is dropped or not task.cancelled()
                if not task.cancelled():
                    assert await read_back(it, task.result()) == data
                path.unlink()
            await uploader.aclose()


# -- cancellation ------------------------------------------------------------------------------------------------------


@WAYS
@pytest.mark.parametrize("where", ["memory", "query", "encoding"])
async def test_a_cancelled_file_leaves_no_thread_and_no_memory_behind(
    way: Way, where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _ = made(tmp_path, 3501, 14 * MIB)
    begun = asyncio.Event()
    loop = asyncio.get_running_loop()
    go_on = threading.Event()
    async with world(limits=SMALL) as it:
        uploader = it.uploader()
        if where == "memory":
            # The xorbs do not come through, so there is soon no memory to read more into.
            it.proxy.rule(f"{UPLOAD}|{DIRECT}", silent())
        elif where == "query":
            it.proxy.rule(QUERY, silent())
        else:
            encode = flow.encode

            def slow(*arguments: Any) -> Any:
                loop.call_soon_threadsafe(begun.set)
                go_on.wait(30)
                return encode(*arguments)

            monkeypatch.setattr(flow, "encode", slow)

        async def at_it() -> None:
            if where == "encoding":
                await begun.wait()
                # The cancellation waits for the thread that is compressing.
                loop.call_soon(go_on.set)
            else:
                await it.proxy.arrival()

        work: Work = uploader.add(path)
        await way(work, at_it)
        assert str(path) not in descriptors()
        # Of this file nothing is on its way any more.
        assert all(not found._on_way for found in flows())
        await uploader.aclose()
        await check_clean()


def flows() -> list[flow.Flow]:
    return [found for found in gc.get_objects() if isinstance(found, flow.Flow)]


@pytest.mark.needs("signals")
def test_an_interrupt_of_a_blocking_call_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint = shared_endpoint()
    path, data = made(tmp_path, 3508, 24 * MIB)
    encode, calls = flow.encode, itertools.count()

    def interrupted(*arguments: Any) -> Any:
        if next(calls) == 1:
            os.kill(os.getpid(), signal.SIGINT)
        return encode(*arguments)

    with FaultProxy(endpoint.url) as proxy:
        fs = pyxet.XetFS(endpoint=proxy.url, user=endpoint.user, token=endpoint.token, limits=SMALL)
        fs.make_repo(f"{endpoint.user}/interrupted")
        # It cannot end before the interrupt has come.
        rule = proxy.rule(f"{UPLOAD}|{DIRECT}", silent())
        with monkeypatch.context() as patched:
            patched.setattr(flow, "encode", interrupted)
            with pytest.raises(KeyboardInterrupt):
                fs.put_file(str(path), f"{endpoint.user}/interrupted/main/a")
        check_budgets()
        assert str(path) not in descriptors()
        rule.times = 0
        fs.put_file(str(path), f"{endpoint.user}/interrupted/main/a")
        assert fs.cat_file(f"{endpoint.user}/interrupted/main/a") == data


async def test_a_cancelled_file_does_not_disturb_the_others_of_its_session(tmp_path: Path) -> None:
    async with world(limits=Limits(memory=64 * MIB)) as it:
        dropped, _ = made(tmp_path, 3502, 9 * MIB)
        kept, data = made(tmp_path, 3503, 9 * MIB)
        it.proxy.rule(f"{UPLOAD}|{DIRECT}", gated(), times=1)
        uploader = it.uploader()
        tasks = [asyncio.create_task(uploader.add(path)) for path in (dropped, kept)]
        await it.proxy.arrival()
        tasks[0].cancel()
        it.proxy.open_gate()
        await asyncio.wait(tasks)
        await uploader.flush()
        assert await read_back(it, tasks[1].result()) == data
        await uploader.aclose()


# -- what fails on the way ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["encode", "place", "hash"])
async def test_what_fails_in_a_thread_is_raised_and_leaves_nothing(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = itertools.count()

    def failing(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            if next(calls) == 2:
                raise MemoryError("no memory left")
            return function(*arguments)

        return call

    path, data = made(tmp_path, 3504, 14 * MIB)
    async with world(limits=Limits(memory=64 * MIB)) as it:
        uploader = it.uploader()
        with monkeypatch.context() as patched:
            if where == "encode":
                patched.setattr(flow, "encode", failing(flow.encode))
            elif where == "place":
                patched.setattr(Packer, "place", failing(Packer.place))
            else:
                patched.setattr(flow, "chunk_hash", failing(flow.chunk_hash))
            with pytest.raises(MemoryError, match="no memory left"):
                await uploader.add(path)
        assert str(path) not in descriptors()
        assert WRITE_MEMORY.in_use == WRITE_MEMORY.idle
        # The session goes on with others, and with the same content.
        stored = await uploader.add(path)
        await uploader.flush()
        assert await read_back(it, stored) == data
        await uploader.aclose()


def opened_as(kind: type[io.FileIO]) -> Callable[..., IO[Any]]:
    """`Path.open` for which unbuffered files are of another kind."""

    def opened(path: Path, mode: str = "r", buffering: int = -1) -> IO[Any]:
        return kind(path) if buffering == 0 else open(path, mode, buffering)

    return opened


async def test_a_disk_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Failing(io.FileIO):
        def readinto(self, buffer: WriteableBuffer, /) -> int:
            if self.tell() > 8 * MIB:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return super().readinto(buffer)

    path, _ = made(tmp_path, 3505, 14 * MIB)
    async with world() as it:
        uploader = it.uploader()
        with monkeypatch.context() as patched:
            patched.setattr(Path, "open", opened_as(Failing))
            with pytest.raises(OSError, match="Input/output error"):
                await uploader.add(path)
        assert str(path) not in descriptors()
        assert WRITE_MEMORY.in_use == WRITE_MEMORY.idle
        await uploader.aclose()


async def test_a_disk_that_fails_and_fails_again_as_the_file_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As that of a network file system does whose server is gone."""

    class Failing(io.FileIO):
        def readinto(self, buffer: WriteableBuffer, /) -> int:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        def close(self) -> None:
            was_open = not self.closed
            super().close()
            if was_open:
                raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    path, data = made(tmp_path, 3510, 5 * MIB)
    async with world() as it:
        uploader = it.uploader()
        with monkeypatch.context() as patched:
            patched.setattr(Path, "open", opened_as(Failing))
            with pytest.raises(OSError, match=os.strerror(errno.EIO)):
                await asyncio.wait_for(uploader.add(path), 60)
        # Its thread is there for others.
        stored = await uploader.add(path)
        await uploader.flush()
        assert await read_back(it, stored) == data
        await uploader.aclose()


async def test_a_cancelled_file_waits_for_a_thread_that_fails_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _ = made(tmp_path, 3511, 3 * MIB)
    loop = asyncio.get_running_loop()
    encoding, releasing = asyncio.Event(), asyncio.Event()
    fail, go_on = threading.Event(), threading.Event()

    def failing(*_: object) -> Any:
        loop.call_soon_threadsafe(encoding.set)
        fail.wait(30)
        raise MemoryError("no memory left")

    async with world() as it:
        uploader = it.uploader()
        monkeypatch.setattr(flow, "encode", failing)
        task = asyncio.create_task(uploader.add(path))
        await encoding.wait()
        release = uploader.reservation.release

        def slowly(amount: int) -> None:
            loop.call_soon_threadsafe(releasing.set)
            go_on.wait(30)
            release(amount)

        monkeypatch.setattr(uploader.reservation, "release", slowly)
        task.cancel()
        await asyncio.sleep(0)
        fail.set()
        await releasing.wait()
        # Whatever the failure has told the loop was told before.
        for _ in range(10):
            await asyncio.sleep(0)
        assert not task.done()
        go_on.set()
        await asyncio.wait([task])
        assert task.cancelled()
        await uploader.aclose()


async def test_reads_that_bring_less_than_there_is_room_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As those of network file systems may."""
    source = random.Random(8)

    class Slow(io.FileIO):
        def readinto(self, buffer: WriteableBuffer, /) -> int:
            return super().readinto(memoryview(buffer)[: source.randrange(1, 3 * MIB)])

    path, data = made(tmp_path, 3506, 9 * MIB + 7)
    async with world(limits=SMALL) as it:
        uploader = it.uploader()
        with monkeypatch.context() as patched:
            patched.setattr(Path, "open", opened_as(Slow))
            stored = await uploader.add(path)
        await uploader.flush()
        assert await read_back(it, stored) == data
        await uploader.aclose()


async def test_a_function_that_is_told_of_progress_and_fails(tmp_path: Path) -> None:
    def fail(_: int) -> None:
        raise LookupError("the caller's")

    path, _ = made(tmp_path, 3507, 9 * MIB)
    async with world(limits=SMALL) as it:
        uploader = it.uploader()
        with pytest.raises(LookupError, match="the caller's"):
            await uploader.add(path, progress=fail)
        assert uploader.stats.files == 0
        await uploader.aclose()


async def test_many_files_at_once_in_little_memory(tmp_path: Path) -> None:
    highest = 0

    def watch(_: int) -> None:
        nonlocal highest
        highest = max(highest, WRITE_MEMORY.in_use)

    async with world(limits=SMALL) as it:
        uploader = it.uploader()
        files = [made(tmp_path, 3510 + number, 4 * MIB + number) for number in range(6)]
        found = await asyncio.gather(*(uploader.add(path, progress=watch) for path, _ in files))
        await uploader.flush()
        for stored, (_, data) in zip(found, files, strict=True):
            assert await read_back(it, stored) == data
        await uploader.aclose()
    # Half of the limit, a piece that is granted while nothing moves, and what a piece's first chunk began before it.
    assert 0 < highest <= 8 * MIB + 2 * READ + 8 * 128 * 1024


# -- memory that is used again, and stages -----------------------------------------------------------------------------


def test_buffers_are_kept_while_somebody_needs_some() -> None:
    buffers = Buffers(1000)
    buffers.give_back(buffers.take())
    assert not buffers._free
    with buffers.used():
        first, second = buffers.take(), buffers.take()
        buffers.give_back(first)
        assert buffers.take() is first
        buffers.give_back(first)
        buffers.give_back(second)
        with buffers.used():
            pass
        assert len(buffers._free) == 2
    assert not buffers._free


def test_a_buffer_that_is_looked_at_is_not_used_again() -> None:
    buffers = Buffers(1000)
    with buffers.used():
        looked_at, left = buffers.take(), buffers.take()
        left[:] = b"x" * 1000
        view = memoryview(looked_at)[10:20]
        for memory in (looked_at, left):
            Block(memory, buffers.give_back_unless_viewed)
        assert buffers._free == [left]
        assert left == b"x" * 1000
        assert buffers.take() is left
        assert buffers.take() is not looked_at
        view.release()


async def test_a_stage_works_on_one_thing_after_the_other() -> None:
    stage: Stage[int] = Stage()
    done: list[int] = []
    busy = threading.Lock()
    finished = asyncio.Event()
    loop = asyncio.get_running_loop()

    def work(item: int) -> None:
        assert busy.acquire(blocking=False), "two threads at once"
        done.append(item)
        if item < 50:
            # From within, as one stage does with another.
            stage.put(item + 100, work)
        busy.release()
        if len(done) == 150:
            loop.call_soon_threadsafe(finished.set)

    for item in range(100):
        stage.put(item, work)
    # Others have their turn meanwhile.
    assert await in_thread(lambda: 5) == 5
    async with asyncio.timeout(30):
        await finished.wait()
    assert sorted(done) == list(range(150))
    assert [item for item in done if item < 100] == list(range(100))
