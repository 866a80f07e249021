"""Several at once: tasks, threads, loops and forks that share a client, a file or a transaction."""

from __future__ import annotations

import asyncio
import gc
import io
import os
import random
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from support.children import in_child
from support.contents import content
from support.faults import MIB, FaultProxy, gated, world
from support.proxied import asynchronous
from support.threads import held_by_a_thread
from yarl import URL

from pyxet import Limits, ServerError, Transaction, TransactionError, XetFS
from pyxet._async.download import leftovers
from pyxet._async.download.reconstruct import Downloader
from pyxet._async.files.readahead import ReadAhead
from pyxet._async.runtime.budget import READ_MEMORY, WRITE_MEMORY
from pyxet.protocol.hashing import hash_from_hex
from pyxet.testing import LocalEndpoint

# From Python 3.12 on, a fork of a process with threads warns: here they are what is tested.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")

WHOAMI = "GET /api/whoami-v2"


# -- one client --------------------------------------------------------------------------------------------------------


async def test_a_request_that_waits_for_its_turn_outlives_the_connections() -> None:
    """Who leaves ``async with`` closes the loop's connections; others may be about to send."""
    async with world(limits=Limits(concurrency=1)) as it:
        it.proxy.rule(WHOAMI, gated(), times=1)
        first = asyncio.create_task(it.client.hub.whoami())
        await it.proxy.arrival()
        second = asyncio.create_task(it.client.hub.whoami())
        await asyncio.sleep(0)
        await it.client.transport.aclose()
        assert (await second).name == it.endpoint.user
        it.proxy.open_gate()
        assert (await first).name == it.endpoint.user


async def test_a_reader_does_not_fail_for_bytes_that_only_another_one_asked_for() -> None:
    async with world() as it:
        # Two sessions, so two xorbs.
        one, two = content(1, 2 * MIB), content(2, 2 * MIB)
        await it.store(one)
        await it.store(two)
        file = await it.store(one + two)
        reader = Downloader(it.client)
        plan = await it.client.cas(it.repo).reconstruction(hash_from_hex(file.xet_hash or ""), 0, file.size - 1)
        # The xorb of the second half cannot be had.
        lost = re.escape(URL(plan.terms[-1].fetch.url.reveal()).path)
        assert lost != re.escape(URL(plan.terms[0].fetch.url.reveal()).path)
        it.proxy.rule(f"GET {lost}", refused_later)
        wide = asyncio.create_task(reader.read(file, 0, file.size - 1))
        await it.proxy.arrival()
        narrow = asyncio.create_task(reader.read(file, 0, 100))
        await asyncio.sleep(0)
        it.proxy.open_gate()
        with pytest.raises(ServerError):
            await wide
        assert await narrow == one[:100]


async def refused_later(proxy: FaultProxy, request: web.Request) -> web.StreamResponse:
    """Fail when the gate opens."""
    proxy._arrived.release()
    assert proxy._gate is not None
    await proxy._gate.wait()
    return web.Response(status=500)


async def test_a_commit_that_was_found_again_is_not_taken_for_the_head(
    shared_endpoint: LocalEndpoint, xet: XetFS, main: str
) -> None:
    with FaultProxy(shared_endpoint.url) as proxy:

        async def overtaken(it: FaultProxy, request: web.Request) -> web.StreamResponse:
            """Make the commit, have somebody else make another one, and lose the answer."""
            await it.fetched(request)
            await asyncio.to_thread(xet.pipe_file, f"{main}/y", b"theirs")
            return web.Response(status=500)

        async with asynchronous(shared_endpoint, proxy, listings_expiry_time=3600, retry={"base_delay": 0.001}) as fs:
            proxy.rule(r"POST /api/.*/commit/main", overtaken, times=1)
            await fs._pipe_file(f"{main}/x", b"ours")
            assert proxy.count(r"POST /api/.*/commit/main") == 1
            assert await fs._find(main) == [f"{main}/x", f"{main}/y"]


async def test_the_age_of_an_own_commit_counts_from_when_it_was_sent(
    shared_endpoint: LocalEndpoint, xet: XetFS, main: str
) -> None:
    with FaultProxy(shared_endpoint.url) as proxy:

        async def slow(it: FaultProxy, request: web.Request) -> web.StreamResponse:
            """Make the commit, have somebody else make another one, and answer when the first one is old."""
            status, headers, body = await it.fetched(request)
            await asyncio.to_thread(xet.pipe_file, f"{main}/y", b"theirs")
            await asyncio.sleep(0.6)
            return web.Response(status=status, headers=headers, body=body)

        async with asynchronous(shared_endpoint, proxy, listings_expiry_time=0.5) as fs:
            proxy.rule(r"POST /api/.*/commit/main", slow, times=1)
            await fs._pipe_file(f"{main}/x", b"ours")
            assert await fs._find(main) == [f"{main}/x", f"{main}/y"]


# -- one file ----------------------------------------------------------------------------------------------------------


async def test_what_several_tasks_write_to_a_file_is_not_mixed(shared_endpoint: LocalEndpoint, main: str) -> None:
    parts = [content(seed, 12 * MIB) for seed in (1, 2)]
    async with asynchronous(shared_endpoint, limits=Limits(memory=16 * MIB)) as fs:
        async with await fs.open_async(f"{main}/x", "wb") as file:
            await asyncio.gather(*map(file.write, parts))
        assert await fs._cat_file(f"{main}/x") in (parts[0] + parts[1], parts[1] + parts[0])


async def test_closing_a_file_waits_for_what_is_being_written(shared_endpoint: LocalEndpoint, main: str) -> None:
    part = content(3, 12 * MIB)
    async with asynchronous(shared_endpoint, limits=Limits(memory=16 * MIB)) as fs:
        file = await fs.open_async(f"{main}/x", "wb")
        writing = asyncio.create_task(file.write(part))
        await asyncio.sleep(0)
        await file.close()
        await writing
        assert await fs._cat_file(f"{main}/x") == part


async def test_a_file_that_is_closed_twice_at_once_is_one_commit(shared_endpoint: LocalEndpoint, main: str) -> None:
    async with asynchronous(shared_endpoint) as fs:
        before = len(await fs._log(main))
        file = await fs.open_async(f"{main}/x", "wb")
        await file.write(content(4, 3 * MIB))
        await asyncio.gather(file.close(), file.close())
        assert await fs._cat_file(f"{main}/x") == content(4, 3 * MIB)
        assert len(await fs._log(main)) == before + 1


class Watched(bytearray):
    """What a file collects; it can be stopped while that is taken out."""

    def __init__(self) -> None:
        super().__init__()
        self.being_taken, self.go_on = threading.Event(), threading.Event()

    def __bytes__(self) -> bytes:
        found = bytes(memoryview(self))
        self.being_taken.set()
        self.go_on.wait()
        return found


def test_what_one_thread_writes_while_another_one_hands_on_is_not_lost(xet: XetFS, main: str) -> None:
    large = content(5, 3 * MIB)
    with xet.open(f"{main}/x", "wb") as file, ThreadPoolExecutor(2) as pool:
        watched = file._waiting = Watched()
        file.write(b"before ")
        first = pool.submit(file.write, large)
        watched.being_taken.wait()
        second = pool.submit(file.write, b" after")
        # It may be done by now, or wait for its turn.
        wait([second], timeout=0.2)
        watched.go_on.set()
        first.result()
        second.result()
    assert xet.cat_file(f"{main}/x") == b"before " + large + b" after"


def test_a_file_that_threads_close_at_once_is_one_commit(xet: XetFS, main: str) -> None:
    before = len(xet.log(main))
    file = xet.open(f"{main}/x", "wb")
    file.write(content(6, 3 * MIB))
    with ThreadPoolExecutor(2) as pool:
        for closing in [pool.submit(file.close) for _ in range(2)]:
            closing.result()
    assert xet.cat_file(f"{main}/x") == content(6, 3 * MIB)
    assert len(xet.log(main)) == before + 1


async def test_what_is_held_is_what_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another thread reads on between the look at what is here and its use."""
    data = random.Random(5).randbytes(4 * MIB)

    async def fetch(start: int, end: int) -> bytes:
        return data[start:end]

    ahead = ReadAhead(fetch, len(data), 64 * MIB)
    await ahead.read(0, 1000)
    await ahead.read(1000, 2000)
    assert ahead.held(1200, 1500) == data[1200:1500]
    other = ReadAhead(fetch, len(data), 64 * MIB)
    await other.read(0, 1)
    await other.read(2 * MIB, 2 * MIB + 1)
    await other.read(2 * MIB + 1, 2 * MIB + 1000)
    wants_more = ReadAhead._wants_more

    def meanwhile(self: ReadAhead, start: int, end: int) -> bool:
        found = wants_more(self, start, end)
        self._here = other._here
        return found

    monkeypatch.setattr(ReadAhead, "_wants_more", meanwhile)
    assert ahead.held(1200, 1500) == data[1200:1500]
    monkeypatch.undo()
    await ahead.aclose()
    await other.aclose()


# -- one transaction ---------------------------------------------------------------------------------------------------


class Indexed(io.TextIOWrapper):
    """Text with an index beside it, which is written when the text ends, and left open."""

    def __init__(self, transaction: Transaction, path: str) -> None:
        super().__init__(transaction.open(path, "wb"))
        self._transaction, self._path = transaction, path
        self.index: Any = None

    def close(self) -> None:
        if not self.closed:
            super().close()
            self.index = self._transaction.open(f"{self._path}.index", "wb")
            self.index.write(b"0")


def test_a_file_that_is_opened_while_a_transaction_closes_others_is_part_of_it(xet: XetFS, main: str) -> None:
    with xet.transaction as transaction:
        file = Indexed(transaction, f"{main}/x")
        file.write("text")
    assert xet.cat_file(f"{main}/x") == b"text"
    assert xet.cat_file(f"{main}/x.index") == b"0"


# -- forks -------------------------------------------------------------------------------------------------------------


def download(fs: XetFS, path: str, target: Path) -> bytes:
    fs.get_file(path, target)
    return target.read_bytes()


def test_a_fork_while_another_thread_looks_for_leftovers(xet: XetFS, main: str, tmp_path: Path) -> None:
    xet.pipe_file(f"{main}/x", b"x" * 100)
    xet.pipe_file(f"{main}/y", content(6, MIB + 1))
    with held_by_a_thread(leftovers._lock):
        assert in_child("fork", download, xet, f"{main}/x", tmp_path / "x") == b"x" * 100
        assert in_child("fork", download, xet, f"{main}/y", tmp_path / "y") == content(6, MIB + 1)


def dropped(held: list[Any]) -> list[int]:
    with pytest.raises(TransactionError):
        held[0].close()
    held.clear()
    gc.collect()
    return [budget.in_use for budget in (READ_MEMORY, WRITE_MEMORY)] + [WRITE_MEMORY.idle]


def test_a_fork_gives_back_nothing_that_its_parent_holds(xet: XetFS, main: str) -> None:
    # Files that other tests dropped have parts of the budget until they are collected.
    gc.collect()
    # Stored by no other test: of what is known already, nothing would wait.
    data = os.urandom(3 * MIB)
    files = [xet.open(f"{main}/x", "wb")]
    files[0].write(data)
    # What was written waits for more, and nothing goes on.
    while not 0 < WRITE_MEMORY.in_use == WRITE_MEMORY.idle:
        time.sleep(0.01)
    assert in_child("fork", dropped, files) == [0, 0, 0]
    files[0].close()
    assert xet.cat_file(f"{main}/x") == data
