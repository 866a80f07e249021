"""Where a transaction ends: beside others at the same time, after its end, in a fork, when it is forgotten."""

# ruff: noqa: PT031  # what has to raise is the end of a block

from __future__ import annotations

import asyncio
import gc
import os
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from support.contents import BINARY
from support.faults import gated
from support.history import messages
from support.proxied import asynchronous, proxied
from support.settled import check_budgets
from support.threads import on_thread

import pyxet
from pyxet._async.runtime.budget import WRITE_MEMORY
from pyxet.errors import PyxetWarning, TransactionError
from pyxet.testing import LocalEndpoint

pytestmark = pytest.mark.usefixtures("nothing_left_behind")

MIB = 1024 * 1024


# -- two at once -------------------------------------------------------------------------------------------------------


def test_transactions_of_threads_do_not_touch(xet: pyxet.XetFS, main: str) -> None:
    together = threading.Barrier(4)

    def job(number: int) -> Any:
        try:
            with xet.transaction(message=f"thread {number}") as tr:
                xet.pipe(f"{main}/{number}/a", b"%d" % number)
                together.wait()
                assert xet.find(main) == [f"{main}/{number}/a"]
                together.wait()
                if number == 3:
                    raise ValueError
        except ValueError:
            pass
        return tr.commits

    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(job, range(4)))
    assert [len(commits) for commits in made] == [1, 1, 1, 0]
    assert sorted(messages(xet, main)) == ["thread 0", "thread 1", "thread 2"]
    assert xet.find(main) == [f"{main}/{number}/a" for number in range(3)]


async def test_transactions_of_tasks_do_not_touch(shared_endpoint: LocalEndpoint, main: str) -> None:
    async with asynchronous(shared_endpoint) as fs:
        together = asyncio.Barrier(5)

        async def job(number: int) -> int:
            async with fs.transaction as tr:
                await fs._pipe_file(f"{main}/{number}", b"x")
                await together.wait()
                assert await fs._find(main) == [f"{main}/{number}"]
                await together.wait()
            return len(tr.commits)

        assert await asyncio.gather(*map(job, range(5))) == [1] * 5
        assert len(await fs._find(main)) == 5


# -- after the end -----------------------------------------------------------------------------------------------------


def test_use_after_the_end_raises(xet: pyxet.XetFS, main: str) -> None:
    with xet.transaction as tr:
        bound = tr.fs
        text, binary = xet.open(f"{main}/a.txt", "w"), xet.open(f"{main}/b.bin", "wb")
    for call in (
        lambda: tr.fs,
        lambda: tr.open(f"{main}/c.txt", "w"),
        lambda: tr.pipe(f"{main}/c.txt", b"c"),
        lambda: tr.put(__file__, f"{main}/c.txt"),
        lambda: tr.rm(f"{main}/a.txt"),
        lambda: tr.cp(f"{main}/a.txt", f"{main}/c.txt"),
        lambda: tr.mv(f"{main}/a.txt", f"{main}/c.txt"),
        lambda: bound.pipe(f"{main}/c.txt", b"c"),
        lambda: bound.cat(f"{main}/a.txt"),
        lambda: bound.open(f"{main}/c.txt", "w"),
        lambda: tr.complete(),
        lambda: tr.__enter__(),
    ):
        with pytest.raises(TransactionError, match="ended"):
            call()
    file: Any
    for file, data in ((text, "late"), (binary, b"late")):
        with pytest.raises(ValueError, match="closed"):
            file.write(data)
    with pytest.raises(TransactionError, match="not begun"):
        xet.transaction.pipe(f"{main}/c.txt", b"c")
    assert xet.find(main) == [f"{main}/a.txt", f"{main}/b.bin"]
    assert xet.cat(f"{main}/a.txt") == b""


def test_a_thread_that_is_late_is_told(xet: pyxet.XetFS, main: str, shared_endpoint: LocalEndpoint) -> None:
    with proxied(shared_endpoint) as (proxy, fs), ThreadPoolExecutor(1) as pool:
        proxy.rule("POST .*/commit/", gated())
        with fs.transaction as tr:
            fs.pipe(f"{main}/a.txt", b"a")
            bound = tr.fs

            def late() -> None:
                asyncio.run(proxy.arrival())
                try:
                    bound.pipe(f"{main}/late.txt", b"late")
                finally:
                    proxy.open_gate()

            told = pool.submit(late)
        with pytest.raises(TransactionError):
            told.result()
    assert xet.find(main) == [f"{main}/a.txt"]


# -- processes ---------------------------------------------------------------------------------------------------------


def test_the_bound_file_system_stays_in_its_process(xet: pyxet.XetFS) -> None:
    with xet.transaction as tr, pytest.raises(TransactionError, match="cannot be pickled"):
        pickle.dumps(tr.fs)


@pytest.mark.needs("fork")
def test_a_fork_takes_no_part(xet: pyxet.XetFS, main: str) -> None:
    with xet.transaction as tr:
        xet.pipe(f"{main}/a.txt", b"a")
        file = xet.open(f"{main}/b.txt", "w")
        file.write("b")
        bound = tr.fs
        child = os.fork()
        if child == 0:
            code = 1
            try:
                for refused in (
                    lambda: xet.pipe(f"{main}/child.txt", b"x"),
                    lambda: xet.open(f"{main}/child.txt", "w"),
                    lambda: bound.pipe(f"{main}/child.txt", b"x"),
                    lambda: file.close(),
                    lambda: tr.complete(),
                ):
                    with pytest.raises(TransactionError, match="fork"):
                        refused()
                # It sees what is committed, and may write in a transaction of its own.
                assert xet.find(main) == []
                with xet.transaction(message="child"):
                    xet.pipe(f"{main}/own.txt", b"x")
                code = 0
            finally:
                os._exit(code)
        assert os.waitpid(child, 0)[1] == 0
    assert messages(xet, main) == ["child", "Upload 2 files"]
    assert xet.find(main) == [f"{main}/a.txt", f"{main}/b.txt", f"{main}/own.txt"]


# -- one that is forgotten ---------------------------------------------------------------------------------------------


def test_an_abandoned_one_is_let_go(xet: pyxet.XetFS, main: str) -> None:
    def begin() -> None:
        xet.start_transaction()
        xet.pipe(f"{main}/a.bin", BINARY)
        file = xet.open(f"{main}/b.bin", "wb")
        file.write(os.urandom(3 * MIB))
        assert WRITE_MEMORY.in_use > 0

    with pytest.warns(PyxetWarning, match="never ended"):
        on_thread(begin)
        gc.collect()
    check_budgets()
    assert xet.find(main) == []
