"""Reading ahead: exact bytes whatever the order of reads, little traffic on sparse access, and memory that is returned."""

from __future__ import annotations

import asyncio
import gc
import io
import random
from collections.abc import Iterator
from typing import Any

import anyio
import pytest
from fsspec.exceptions import FSTimeoutError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.faults import XORB, FaultProxy, answer, silent
from support.proxied import proxied
from support.settled import tasks_end

import pyxet
from pyxet import ServerError
from pyxet._async.files.readahead import ALLOWANCE, Allowance, Content, ReadAhead, _Stretch
from pyxet._async.runtime.bridge import blocking_call
from pyxet._async.runtime.memory import STRETCHES
from pyxet.testing import LocalEndpoint

KIB = 1024
MIB = 1024 * KIB
CONTENT = random.Random(__name__).randbytes(8 * MIB)
CAP = 64 * MIB


class Source:
    """Content that notes what is fetched of it."""

    def __init__(self, content: bytes = CONTENT) -> None:
        self.content = content
        self.fetched: list[tuple[int, int]] = []
        self.failing = False

    async def fetch(self, start: int, end: int) -> bytes:
        assert 0 <= start < end <= len(self.content)
        self.fetched.append((start, end))
        await asyncio.sleep(0)
        if self.failing:
            raise ServerError("it fails")
        return self.content[start:end]

    def ahead(self, cap: int = CAP) -> ReadAhead:
        return ReadAhead(self.fetch, len(self.content), cap)


@pytest.fixture(autouse=True)
def nothing_is_kept() -> Iterator[None]:
    """Whatever a test does, it returns what it took."""
    gc.collect()
    before = ALLOWANCE.in_use
    yield
    gc.collect()
    assert ALLOWANCE.in_use == before


reads = st.lists(
    st.tuples(st.sampled_from(["seek", "skip", "read", "read", "read"]), st.integers(0, 400 * KIB)), max_size=30
)


async def replay(ahead: ReadAhead, content: bytes, actions: list[tuple[str, int]]) -> None:
    """Do what a file does, beside a file in memory."""
    model = io.BytesIO(content)
    for action, number in actions:
        at = model.tell()
        if action == "seek":
            model.seek(number * 20 % (len(content) + 10))
        elif action == "skip":
            model.seek(max(0, at + number % 1000 - 500))
        else:
            stop = min(at + number, len(content))
            held = ahead.held(at, stop) if at < stop else b""
            found = held if held is not None else await ahead.read(at, stop)
            assert found == model.read(number)
    await ahead.aclose()


@settings(deadline=None, max_examples=40)
@given(
    actions=reads,
    size=st.sampled_from([0, 1, 100 * KIB, 128 * KIB, 128 * KIB + 1, 8 * MIB]),
    cap=st.sampled_from([0, MIB, CAP]),
)
def test_any_order_of_reads_gives_exact_bytes(actions: list[tuple[str, int]], size: int, cap: int) -> None:
    content = CONTENT[:size]
    before = ALLOWANCE.in_use
    asyncio.run(replay(Source(content).ahead(cap), content, actions))
    assert ALLOWANCE.in_use == before


async def test_sequential_reads_fetch_each_byte_once_and_more_and_more_at_once() -> None:
    source = Source()
    ahead = source.ahead()
    found = [await ahead.read(at, at + 10 * KIB) for at in range(0, len(CONTENT), 10 * KIB)]
    assert b"".join(found) == CONTENT
    ends = [0, *(end for _, end in source.fetched)]
    assert [start for start, _ in source.fetched] == ends[:-1]
    sizes = [end - start for start, end in source.fetched]
    assert sizes[:4] == [10 * KIB, 256 * KIB, 512 * KIB, 1024 * KIB]
    assert len(sizes) < 8
    await ahead.aclose()


async def test_the_next_window_is_on_its_way_before_it_is_asked_for() -> None:
    source = Source()
    ahead = source.ahead()
    at = 0
    # Through `held` where that can, as files do.
    while len(source.fetched) < 3:
        if ahead.held(at, at + 4 * KIB) is None:
            await ahead.read(at, at + 4 * KIB)
        at += 4 * KIB
        await asyncio.sleep(0)
    (_, here), (start, end) = source.fetched[-2:]
    assert start == here > at
    assert end - start == 512 * KIB
    await ahead.aclose()


class Planned(Source):
    """A source that tells which plans were asked for, and how much had been fetched by then."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self.plans: list[tuple[int, int]] = []

    async def pieces(self, start: int, end: int) -> list[bytes]:
        data = await self.fetch(start, end)
        return [data[at : at + 70_000] for at in range(0, len(data), 70_000)]

    async def plan(self, start: int, end: int) -> None:
        self.plans.append((start, end))

    def planning(self) -> ReadAhead:
        return ReadAhead(Content(self.fetch, self.pieces, self.plan), len(self.content), CAP)


async def read_through(ahead: ReadAhead, source: Source, start: int, end: int) -> None:
    for at in range(start, end, MIB):
        held = ahead.held(at, at + MIB)
        assert (held if held is not None else await ahead.read(at, at + MIB)) == source.content[at : at + MIB]
        await asyncio.sleep(0)


async def test_a_long_sequence_is_fetched_in_windows_and_planned_one_further() -> None:
    source = Planned(CONTENT * 10)
    before = ALLOWANCE.in_use
    ahead = source.planning()
    await read_through(ahead, source, 0, 33 * MIB)
    assert ALLOWANCE.in_use <= before + 32 * MIB
    assert source.fetched[-1] == (48 * MIB, 64 * MIB)
    assert source.plans[-1] == (64 * MIB, 80 * MIB)
    await read_through(ahead, source, 33 * MIB, 80 * MIB)
    assert source.fetched[-4:] == [(at * MIB, (at + 16) * MIB) for at in (16, 32, 48, 64)]
    assert source.plans == source.fetched[-len(source.plans) :], "what is planned is what is fetched then"
    await ahead.aclose()
    assert ALLOWANCE.in_use == before


async def test_what_was_read_of_a_large_window_is_let_go_but_for_its_end() -> None:
    source = Planned(CONTENT * 6)
    ahead = source.planning()
    await read_through(ahead, source, 0, 25 * MIB)
    known = len(source.fetched)
    assert ahead.held(25 * MIB - 60 * KIB, 25 * MIB) == source.content[25 * MIB - 60 * KIB : 25 * MIB]
    assert ahead.held(17 * MIB, 17 * MIB + 10) is None
    assert await ahead.read(25 * MIB, 32 * MIB) == source.content[25 * MIB : 32 * MIB]
    assert len(source.fetched) == known
    await ahead.aclose()


async def test_a_plan_that_fails_or_is_cancelled_is_nobodys_error() -> None:
    class Failing(Planned):
        async def plan(self, start: int, end: int) -> None:
            await super().plan(start, end)
            if len(self.plans) % 2:
                raise ServerError("no plan now")
            await asyncio.Event().wait()

    source = Failing(CONTENT * 8)
    ahead = source.planning()
    await read_through(ahead, source, 0, 50 * MIB)
    assert len(source.plans) >= 2
    await ahead.aclose()
    await tasks_end()


async def test_memory_is_kept_between_the_windows_of_a_file_and_not_after_it() -> None:
    source = Planned(CONTENT * 6)
    ahead = source.planning()
    await read_through(ahead, source, 0, 20 * MIB)
    assert STRETCHES.is_wanted()
    await ahead.aclose()
    assert STRETCHES.is_wanted() == (ALLOWANCE.in_use > 0)


async def test_sparse_reads_fetch_what_is_asked_for() -> None:
    source = Source()
    ahead = source.ahead()
    spans = [(at, at + 100) for at in (5 * MIB, MIB, 3 * MIB, 7 * MIB)]
    for start, end in spans:
        assert await ahead.read(start, end) == CONTENT[start:end]
    assert source.fetched == spans


async def test_a_small_file_is_fetched_once() -> None:
    source = Source(CONTENT[: 100 * KIB])
    ahead = source.ahead()
    for at in (90 * KIB, 5, 60 * KIB):
        assert await ahead.read(at, at + 10) == CONTENT[at : at + 10]
    assert source.fetched == [(0, 100 * KIB)]
    await ahead.aclose()


async def test_a_read_that_fails_can_be_made_again() -> None:
    source = Source()
    ahead = source.ahead()
    await ahead.read(0, 10 * KIB)
    await ahead.read(10 * KIB, 200 * KIB)  # the next window is on its way
    source.failing = True
    with pytest.raises(ServerError):
        await ahead.read(200 * KIB, 900 * KIB)
    with pytest.raises(ServerError):
        await ahead.read(200 * KIB, 900 * KIB)
    source.failing = False
    assert await ahead.read(200 * KIB, 900 * KIB) == CONTENT[200 * KIB : 900 * KIB]
    await ahead.aclose()


def test_the_process_holds_no_more_than_it_may() -> None:
    allowance = Allowance()
    assert allowance.take(6, 10)
    assert not allowance.take(5, 10)
    assert allowance.take(4, 10)
    allowance.release(10)
    assert allowance.in_use == 0


async def test_many_open_files_share_the_allowance() -> None:
    cap = ALLOWANCE.in_use + 2 * MIB
    ahead = [Source().ahead(cap) for _ in range(5)]
    for item in ahead:
        for at in range(0, MIB, 100 * KIB):
            assert await item.read(at, at + 100 * KIB) == CONTENT[at : at + 100 * KIB]
        assert ALLOWANCE.in_use <= cap
    for item in ahead:
        await item.aclose()


async def test_dropping_leaves_no_task() -> None:
    source = Source()
    ahead = source.ahead()
    await ahead.read(0, 10)
    await ahead.read(10, 200 * KIB)
    assert len(asyncio.all_tasks()) == 2
    ahead.close()
    await tasks_end()


async def test_closing_in_a_cancelled_scope_lets_go_of_everything() -> None:
    """A scope cancels each wait in it, also the second one of a file that has two kinds of reads on their way."""
    ahead = Source().ahead()
    with anyio.CancelScope() as scope:
        for at in range(0, 3 * MIB, 200 * KIB):
            await ahead.read(at, at + 200 * KIB)
        assert ahead._ahead
        ahead._columns._ahead[7, 9] = asyncio.create_task(asyncio.sleep(3600, b""))
        await asyncio.sleep(0)
        scope.cancel()
        await ahead.aclose()
    assert not ahead._ahead
    await tasks_end()


def test_a_file_that_goes_to_another_loop() -> None:
    ahead = Source().ahead()

    async def some(*spans: tuple[int, int]) -> None:
        for start, end in spans:
            assert await ahead.read(start, end) == CONTENT[start:end]

    loop = asyncio.new_event_loop()
    loop.run_until_complete(some((0, 10), (10, 200 * KIB)))  # a window is on its way
    asyncio.run(some((200 * KIB, 300 * KIB), (300 * KIB, MIB)))
    loop.run_until_complete(ahead.aclose())
    loop.close()


# -- through the file system -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def large(shared_endpoint: LocalEndpoint) -> tuple[str, bytes]:
    """A file of 50 MiB that compression and deduplication make no smaller."""
    fs = pyxet.XetFS(shared_endpoint.url, shared_endpoint.user, shared_endpoint.token)
    fs.make_repo("acme/large", exist_ok=True)
    content = random.Random(__name__).randbytes(50 * MIB)
    fs.pipe_file("acme/large/main/x", content)
    return "acme/large/main/x", content


def counted(proxy: FaultProxy) -> list[int]:
    """Sizes of the xorb ranges that are fetched from now on."""
    sizes: list[int] = []

    async def act(found: FaultProxy, request: Any) -> Any:
        from aiohttp import web

        status, headers, body = await found.fetched(request)
        sizes.append(len(body))
        return web.Response(status=status, headers=headers, body=body)

    proxy.rule(XORB, act)
    return sizes


def test_twenty_reads_of_a_large_file_fetch_little(shared_endpoint: LocalEndpoint, large: tuple[str, bytes]) -> None:
    path, content = large
    with proxied(shared_endpoint) as (proxy, fs), fs.open(path) as file:
        sizes = counted(proxy)
        for number in range(20):
            at = number * len(content) // 20 + 12_345
            file.seek(at)
            assert file.read(100) == content[at : at + 100]
        assert sum(sizes) < 10 * MIB
        assert len(sizes) <= 40


def test_reading_a_large_file_through(shared_endpoint: LocalEndpoint, large: tuple[str, bytes]) -> None:
    path, content = large
    with proxied(shared_endpoint) as (proxy, fs), fs.open(path) as file:
        sizes = counted(proxy)
        at = 0
        while piece := file.read(100_000):
            assert piece == content[at : at + 100_000]
            at += len(piece)
        assert at == len(content)
        # Windows begin within chunks: a chunk at each border is fetched twice.
        assert sum(sizes) < 1.1 * len(content)
        assert len(sizes) < 40


@settings(deadline=None, max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    actions=st.lists(st.tuples(st.integers(0, 3 * MIB + 10), st.integers(-1, 300 * KIB), st.booleans()), max_size=12)
)
def test_files_are_like_files_in_memory(
    shared_endpoint: LocalEndpoint, xet: pyxet.XetFS, main: str, actions: list[tuple[int, int, bool]]
) -> None:
    path, content = f"{main}/x", CONTENT[: 3 * MIB]
    if not xet.exists(path):
        xet.pipe_file(path, content)
    model = io.BytesIO(content)
    with xet.open(path) as file:
        for at, size, seeks in actions:
            if seeks:
                assert file.seek(at) == model.seek(at)
            assert file.read(size) == model.read(size)
            assert file.tell() == model.tell()

    async def replayed() -> None:
        access = (shared_endpoint.url, shared_endpoint.user, shared_endpoint.token)
        model = io.BytesIO(content)
        async with (
            pyxet.AsyncXetFileSystem(*access, asynchronous=True) as fs,
            await fs.open_async(path) as file,
        ):
            for at, size, seeks in actions:
                if seeks:
                    assert file.seek(at) == model.seek(at)
                assert await file.read(size) == model.read(size)
                assert file.tell() == model.tell()

    asyncio.run(replayed())


def test_closed_and_dropped_files_return_their_memory(xet: pyxet.XetFS, main: str) -> None:
    xet.pipe_file(f"{main}/x", CONTENT)
    before = ALLOWANCE.in_use
    closed, dropped = xet.open(f"{main}/x"), xet.open(f"{main}/x")
    for file in (closed, dropped):
        file.read(10)
        file.read(200 * KIB)
    del file
    assert ALLOWANCE.in_use > before
    closed.close()
    del dropped
    gc.collect()
    assert ALLOWANCE.in_use == before


async def test_an_asynchronous_file_that_is_dropped_leaves_nothing(shared_endpoint: LocalEndpoint, main: str) -> None:
    access = (shared_endpoint.url, shared_endpoint.user, shared_endpoint.token)
    async with pyxet.AsyncXetFileSystem(*access, asynchronous=True) as fs:
        await fs._pipe_file(f"{main}/x", CONTENT)
        before = ALLOWANCE.in_use
        file = await fs.open_async(f"{main}/x")
        await file.read(10)
        await file.read(200 * KIB)
        assert ALLOWANCE.in_use > before
        del file
        gc.collect()
        assert ALLOWANCE.in_use == before
        await tasks_end()


def test_a_read_that_times_out_leaves_the_file_usable(shared_endpoint: LocalEndpoint, main: str) -> None:
    with proxied(shared_endpoint) as (proxy, fs):
        fs.pipe_file(f"{main}/x", CONTENT)
        with fs.open(f"{main}/x") as file:
            file.read(10)
            # Every request: the one for the first bytes may go on with more of them in the background.
            proxy.rule(XORB, silent())
            with pytest.raises(FSTimeoutError):
                blocking_call(fs.loop, file.cache._ahead.read, 10, MIB, timeout=0.2)
            proxy.clear()
            # However many are asked, so that nothing in the background can take the answer of the read.
            proxy.rule(XORB, answer(404))
            with pytest.raises(Exception, match="404"):
                file.read(MIB)
            proxy.clear()
            assert file.read(MIB) == CONTENT[10 : 10 + MIB]


async def test_what_a_thread_lets_go_of_takes_no_place_of_the_next_window(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader's thread lets go of a part of a window while the event loop, for another reader, goes on to the next one."""
    source = Source(bytes(96 * MIB))

    async def pieces(start: int, end: int) -> list[bytes]:
        return [bytes(min(MIB, end - at)) for at in range(start, end, MIB)]

    async def plan(start: int, end: int) -> None:
        assert start < end

    ahead = ReadAhead(Content(source.fetch, pieces, plan), len(source.content), CAP)
    without = _Stretch.without
    following: list[_Stretch] = []

    def interrupted(stretch: _Stretch, before: int) -> _Stretch:
        following.append(_Stretch(stretch.end, [bytes(MIB)]))
        ahead._go_on_with(following[0])
        return without(stretch, before)

    monkeypatch.setattr(_Stretch, "without", interrupted)
    at = 0
    while not following:
        if ahead.held(at, at + MIB) is None:
            await ahead.read(at, at + MIB)
        at += MIB
    assert ahead._buffer.end == following[0].end
    await ahead.aclose()
