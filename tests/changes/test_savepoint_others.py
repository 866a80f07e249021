"""Nested transactions beside threads, tasks, blocking code and other accounts: each has blocks of its own."""

# ruff: noqa: PT012, SIM117  # what has to raise is the end of a block, and which block is the point

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.blocks import Failure, current
from support.proxied import asynchronous
from support.threads import on_thread

import pyxet
from pyxet.errors import (
    TransactionError,
)
from pyxet.testing import LocalEndpoint

pytestmark = pytest.mark.usefixtures("nothing_left_behind")


def test_what_others_write_meanwhile_stays(xet: pyxet.XetFS, main: str) -> None:
    with xet.transaction as tr:
        xet.pipe({f"{main}/shared.txt": b"outer", f"{main}/covered.txt": b"outer"})
        bound = tr.fs
        with pytest.raises(Failure):
            with xet.transaction:
                xet.pipe({f"{main}/shared.txt": b"inner", f"{main}/covered.txt": b"inner", f"{main}/mine.txt": b"1"})
                # A thread without a context, which has the outer transaction's file system.
                on_thread(lambda: bound.pipe({f"{main}/shared.txt": b"theirs", f"{main}/theirs.txt": b"2"}))
                assert xet.cat(f"{main}/shared.txt") == b"theirs"
                raise Failure
        found = xet.cat(xet.find(main))
        assert found == {
            f"{main}/covered.txt": b"outer", f"{main}/shared.txt": b"theirs", f"{main}/theirs.txt": b"2",
        }  # fmt: skip
    assert xet.cat(xet.find(main)) == found


def test_threads_have_blocks_of_their_own(xet: pyxet.XetFS, main: str) -> None:
    together = threading.Barrier(4)

    def job(fs: pyxet.XetFS, number: int) -> None:
        try:
            with fs.transaction as inner:
                fs.pipe(f"{main}/{number}", b"by context")
                inner.fs.pipe(f"{main}/all", b"%d" % number)
                together.wait(30)
                if number % 2:
                    raise Failure
        except Failure:
            pass
        together.wait(30)

    with xet.transaction as tr, ThreadPoolExecutor(4) as pool:
        xet.pipe(f"{main}/all", b"outer")
        list(pool.map(job, [tr.fs] * 4, range(4)))
        assert xet.find(main) == [f"{main}/0", f"{main}/2", f"{main}/all"]
        assert xet.cat(f"{main}/all") in (b"0", b"2")
    assert len(tr.commits) == 1
    assert xet.find(main) == [f"{main}/0", f"{main}/2", f"{main}/all"]


async def test_tasks_have_blocks_of_their_own(shared_endpoint: LocalEndpoint, main: str) -> None:
    async with asynchronous(shared_endpoint) as fs:
        together = asyncio.Barrier(4)

        async def job(number: int) -> None:
            try:
                async with fs.transaction as inner:
                    assert current(fs) == inner
                    await fs._pipe_file(f"{main}/{number}", b"by context")
                    await inner.fs._pipe_file(f"{main}/all", b"%d" % number)
                    async with fs.open_async(f"{main}/file {number}", "wb") as file:
                        await file.write(b"file")
                    left_open = await inner.open(f"{main}/left {number}", "wb")
                    await left_open.write(b"left")
                    await together.wait()
                    if number % 2:
                        raise Failure
            except Failure:
                pass

        async with fs.transaction(message="tasks") as tr:
            await asyncio.gather(*map(job, range(4)))
            async with fs.transaction(message="unused"):
                pass
        assert len(tr.commits) == 1
        assert [name.removeprefix(f"{main}/") for name in await fs._find(main)] == [
            "0", "2", "all", "file 0", "file 2", "left 0", "left 2",
        ]  # fmt: skip
        assert (await fs._log(main))[0].message == "tasks"


async def test_a_cancelled_task_is_undone(shared_endpoint: LocalEndpoint, main: str) -> None:
    async with asynchronous(shared_endpoint) as fs:
        begun = asyncio.Event()

        async def job() -> None:
            async with fs.transaction:
                await fs._pipe_file(f"{main}/half", b"half")
                begun.set()
                await asyncio.Event().wait()

        async with fs.transaction:
            task = asyncio.create_task(job())
            await begun.wait()
            await fs._pipe_file(f"{main}/outer", b"outer")
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert await fs._find(main) == [f"{main}/outer"]


async def test_a_blocking_one_in_an_asynchronous_one(shared_endpoint: LocalEndpoint, main: str) -> None:
    blocking = pyxet.XetFS(shared_endpoint.url, shared_endpoint.user, shared_endpoint.token)

    def library(error: type[Exception] | None) -> None:
        with blocking.transaction as inner:
            assert inner.fs.asynchronous is False
            blocking.pipe(f"{main}/{error}", b"library")
            if error is not None:
                raise error

    async with asynchronous(shared_endpoint) as fs:
        async with fs.transaction as tr:
            await asyncio.to_thread(library, None)
            with pytest.raises(Failure):
                await asyncio.to_thread(library, Failure)
            with pytest.raises(TransactionError, match="async with"):
                with blocking.transaction:
                    pass
            assert current(fs) == tr
        assert await fs._find(main) == [f"{main}/None"]


def test_an_asynchronous_one_in_a_blocking_one(xet: pyxet.XetFS, main: str, shared_endpoint: LocalEndpoint) -> None:
    async def service() -> None:
        async with asynchronous(shared_endpoint) as fs:
            async with fs.transaction as inner:
                await inner.fs._pipe_file(f"{main}/kept", b"kept")
            with pytest.raises(Failure):
                async with fs.transaction:
                    await fs._pipe_file(f"{main}/undone", b"undone")
                    raise Failure

    with xet.transaction as tr:
        asyncio.run(service())
        assert xet.find(main) == [f"{main}/kept"]
    assert len(tr.commits) == 1


def test_two_accounts_do_not_nest(xet: pyxet.XetFS, main: str, shared_endpoint: LocalEndpoint) -> None:
    other = pyxet.XetFS(shared_endpoint.url, "another", shared_endpoint.token)
    with pytest.raises(Failure), xet.transaction:
        with other.transaction as theirs:
            other.pipe(f"{main}/theirs.txt", b"theirs")
            xet.pipe(f"{main}/mine.txt", b"mine")
        assert len(theirs.commits) == 1
        raise Failure
    assert xet.find(main) == [f"{main}/theirs.txt"]
