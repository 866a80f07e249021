"""Threads and tasks that write beside a transaction which is open on their file system: not drawn in, and told so."""

# ruff: noqa: PT012  # what has to raise is the end of a block

from __future__ import annotations

import asyncio
import contextvars
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from support.proxied import asynchronous

import pyxet
from pyxet.errors import PyxetWarning
from pyxet.testing import LocalEndpoint

pytestmark = pytest.mark.usefixtures("nothing_left_behind")


@pytest.fixture
def said() -> Iterator[list[warnings.WarningMessage]]:
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("error")
        warnings.simplefilter("always", PyxetWarning)
        yield found


def write_all(fs: pyxet.XetFS, path: str) -> None:
    """Every way to write."""
    fs.pipe_file(path, b"x")
    fs.pipe({f"{path}1": b"x", f"{path}2": b"x"})
    with fs.open(f"{path}3", "w") as file:
        file.write("x")
    fs.cp_file(path, f"{path}4")
    fs.mv(f"{path}4", f"{path}5")
    fs.touch(f"{path}6")
    fs.rm(f"{path}1")


ONE_BY_ONE: list[Callable[[pyxet.XetFS, str], Any]] = [
    lambda fs, path: fs.pipe_file(f"{path}/a", b"x"),
    lambda fs, path: fs.pipe({f"{path}/a": b"x"}),
    lambda fs, path: fs.open(f"{path}/a", "wb").close(),
    lambda fs, path: fs.cp_file(f"{path}/there", f"{path}/a"),
    lambda fs, path: fs.mv(f"{path}/there", f"{path}/a"),
    lambda fs, path: fs.rm(f"{path}/there"),
    lambda fs, path: fs.put_file(__file__, f"{path}/a"),
    lambda fs, path: fs.put([__file__], [f"{path}/a"]),
    lambda fs, path: fs.touch(f"{path}/a"),
    lambda fs, path: fs.commit(path, fs.stage_many({f"{path}/a": b"x"})),
]


@pytest.mark.parametrize("number", range(len(ONE_BY_ONE)))
def test_every_way_to_write_warns(
    xet: pyxet.XetFS, main: str, said: list[warnings.WarningMessage], number: int
) -> None:
    xet.pipe_file(f"{main}/there", b"x")
    with ThreadPoolExecutor(1, thread_name_prefix="worker") as pool:
        with pytest.raises(ZeroDivisionError), xet.transaction:
            pool.submit(ONE_BY_ONE[number], xet, main).result()
            raise ZeroDivisionError
        # What it did stays, and later it is beside nothing.
        assert len(xet.log(main)) == 3
        pool.submit(xet.pipe_file, f"{main}/later", b"x").result()
    assert len(said) == 1
    text = str(said[0].message)
    assert "tr.fs" in text
    assert "worker_0" in text


def test_once_for_each_transaction_and_thread(
    xet: pyxet.XetFS, main: str, said: list[warnings.WarningMessage], caplog: pytest.LogCaptureFixture
) -> None:
    barrier = threading.Barrier(3)

    def work(number: int) -> None:
        barrier.wait()
        write_all(xet, f"{main}/{number}")

    with ThreadPoolExecutor(3) as pool:
        for count in (3, 6):
            with xet.transaction:
                list(pool.map(work, range(3)))
            assert len(said) == count
    assert {item.filename for item in said} == {__file__}
    assert [record.levelname for record in caplog.records if record.name == "pyxet.writes"] == ["WARNING"] * 6


def test_workers_that_were_started_before(xet: pyxet.XetFS, main: str, said: list[warnings.WarningMessage]) -> None:
    go, done = threading.Event(), threading.Event()

    def work() -> None:
        go.wait()
        xet.pipe_file(f"{main}/a", b"x")
        done.set()

    thread = threading.Thread(target=work)
    thread.start()
    with xet.transaction as tr:
        go.set()
        done.wait()
        xet.pipe_file(f"{main}/b", b"x")
    thread.join()
    assert len(said) == len(tr.commits) == 1


def test_native_threads_of_arrow(xet: pyxet.XetFS, main: str, said: list[warnings.WarningMessage]) -> None:
    table = pa.table({"a": list(range(100)), "part": [0, 1] * 50})
    with xet.transaction as tr:
        ds.write_dataset(table, f"{main}/bound", format="parquet", partitioning=["part"], filesystem=tr.fs)
        assert said == []
        ds.write_dataset(table, f"{main}/plain", format="parquet", partitioning=["part"], filesystem=xet)
    assert said
    assert all("tr.fs" in str(item.message) for item in said)


def test_a_file_system_that_is_made_inside(
    xet: pyxet.XetFS, main: str, url: str, options: dict[str, Any], said: list[warnings.WarningMessage]
) -> None:
    with xet.transaction, ThreadPoolExecutor(1) as pool:
        inside = pyxet.XetFS(xet.endpoint, **options)
        inside.pipe_file(f"{main}/a", b"x")
        assert said == []
        pool.submit(inside.pipe_file, f"{main}/b", b"x").result()
    assert len(said) == 1


def test_whoever_takes_part_or_is_somebody_else(
    xet: pyxet.XetFS, other: pyxet.XetFS, main: str, url: str, options: dict[str, Any], said: list[Any]
) -> None:
    def own_transaction() -> None:
        with xet.transaction:
            xet.pipe_file(f"{main}/own", b"x")

    with ThreadPoolExecutor(1) as pool, xet.transaction as tr:
        xet.pipe_file(f"{main}/here", b"x")
        for name, function in (("bound", tr.fs.pipe_file), ("method", tr.pipe)):
            pool.submit(function, f"{main}/{name}", b"x").result()
        pool.submit(contextvars.copy_context().run, xet.pipe_file, f"{main}/copied", b"x").result()
        file = xet.open(f"{main}/handed", "wb")
        pool.submit(file.write, b"x").result()
        pool.submit(file.close).result()
        # These are not in it, and nobody would think so.
        pool.submit(own_transaction).result()
        pool.submit(other.pipe_file, f"{main}/other", b"x").result()
        pool.submit(xet.cat, f"{main}/own").result()
        pool.submit(xet.stage, b"x", f"{main}/staged").result()
        pool.submit(
            lambda: pd.DataFrame({"a": [1]}).to_csv(f"{url}/instance-of-its-own", storage_options=options)
        ).result()
    assert said == []
    assert len(xet.log(main)) == 5
    assert {"here", "bound", "method", "copied", "handed"} <= {path.rpartition("/")[2] for path in xet.find(main)}


async def test_to_thread_takes_part_and_executors_do_not(
    shared_endpoint: LocalEndpoint, main: str, said: list[warnings.WarningMessage]
) -> None:
    xet = pyxet.XetFS(shared_endpoint.url, shared_endpoint.user, shared_endpoint.token)

    async def work() -> None:
        async with asynchronous(shared_endpoint) as fs, fs.transaction as tr:
            await asyncio.to_thread(asyncio.run, fs._pipe_file(f"{main}/a", b"x"))
            await asyncio.create_task(fs._pipe_file(f"{main}/b", b"x"))
            assert said == []
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(None, asyncio.run, fs._pipe_file(f"{main}/c", b"x"))
            assert len(said) == 1
        assert len(tr.commits) == 1

    await work()
    with xet.transaction as tr:
        await asyncio.to_thread(xet.pipe_file, f"{main}/d", b"x")
        assert len(said) == 1
        await asyncio.get_running_loop().run_in_executor(None, xet.pipe_file, f"{main}/e", b"x")
        assert len(said) == 2
    assert len(tr.commits) == 1


async def test_tasks_that_were_started_before(
    shared_endpoint: LocalEndpoint, main: str, said: list[warnings.WarningMessage]
) -> None:
    async with asynchronous(shared_endpoint) as fs:
        queue: asyncio.Queue[str] = asyncio.Queue()

        async def worker() -> None:
            while True:
                await fs._pipe_file(await queue.get(), b"x")
                queue.task_done()

        workers = [asyncio.create_task(worker()) for _ in range(3)]
        async with fs.transaction as tr:
            for number in range(6):
                queue.put_nowait(f"{main}/{number}")
            await queue.join()
            await tr.pipe(f"{main}/mine", b"x")
        for task in workers:
            task.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
        assert len(said) == len(tr.commits) == 1
        assert said[0].filename == __file__
        assert len(await fs._log(main)) == 8


def test_as_an_error_it_keeps_the_write_from_happening(xet: pyxet.XetFS, main: str) -> None:
    with xet.transaction, ThreadPoolExecutor(1) as pool, pytest.raises(PyxetWarning):
        pool.submit(xet.pipe_file, f"{main}/a", b"x").result()
    assert xet.find(main) == []
