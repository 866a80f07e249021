"""Who takes part in a transaction: other file systems, threads, loops, tasks."""

# ruff: noqa: PT012  # what has to raise is the end of a block

from __future__ import annotations

import asyncio
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import fsspec
import pandas as pd
import pyarrow as pa
import pyarrow.dataset
import pytest
from support.contents import BINARY
from support.faults import check_clean
from support.history import messages
from support.proxied import asynchronous
from support.raw_client import RawClient
from support.threads import on_another_loop

import pyxet
from pyxet.errors import TransactionError
from pyxet.testing import LocalEndpoint, local_endpoint

pytestmark = pytest.mark.usefixtures("nothing_left_behind")

MIB = 1024 * 1024


def test_file_systems_made_from_urls_take_part(
    xet: pyxet.XetFS, other: pyxet.XetFS, main: str, url: str, options: dict[str, str]
) -> None:
    frame = pd.DataFrame({"a": [1, 2]})
    with xet.transaction(message="frames"):
        frame.to_csv(f"{url}/a.csv", index=False, storage_options=options)
        frame.to_parquet(f"{url}/a.parquet", storage_options=options)
        assert pd.read_csv(f"{url}/a.csv", storage_options=options).equals(frame)
        with fsspec.open(f"{url}/b.txt", "w", **options) as file:
            file.write("b")
        assert other.find(main) == []
    assert messages(xet, main) == ["frames"]
    assert xet.find(main) == [f"{main}/a.csv", f"{main}/a.parquet", f"{main}/b.txt"]


def test_another_user_or_endpoint_does_not_take_part(xet: pyxet.XetFS, other: pyxet.XetFS, main: str) -> None:
    with local_endpoint(user="acme") as second, pytest.raises(ValueError), xet.transaction:
        elsewhere = pyxet.XetFS(endpoint=second.url, user="acme", token=second.token)
        RawClient(second, second.token).make_repo("acme/r")
        elsewhere.pipe("acme/r/main/a.txt", b"a")
        other.pipe(f"{main}/b.txt", b"b")
        with elsewhere.transaction as inner:
            elsewhere.pipe("acme/r/main/c.txt", b"c")
            xet.pipe(f"{main}/c.txt", b"c")
        assert len(inner.commits) == 1
        assert elsewhere.find("acme/r/main") == ["acme/r/main/a.txt", "acme/r/main/c.txt"]
        raise ValueError
    assert other.find(main) == [f"{main}/b.txt"]


def test_embedded_endpoint_before_its_first_use(tmp_path: Path) -> None:
    where = (tmp_path / "root").as_uri()
    fs = pyxet.XetFS(endpoint=where)
    fs.make_repo("local/r")
    with pytest.raises(ValueError), fs.transaction:
        fresh = pyxet.XetFS(endpoint=where, listings_expiry_time=0)
        fresh.pipe("local/r/main/a.txt", b"a")
        assert fresh.exists("local/r/main/a.txt")
        raise ValueError
    assert fresh.find("local/r/main") == ["local/r/main/.gitattributes"]


def test_bound_file_system_on_other_threads(xet: pyxet.XetFS, other: pyxet.XetFS, main: str) -> None:
    table = pa.table({"part": [0, 1, 2, 3] * 50, "value": list(range(200))})
    with xet.transaction(message="threads") as tr:
        pa.dataset.write_dataset(
            table, f"{main}/data", format="parquet", partitioning=["part"], partitioning_flavor="hive", filesystem=tr.fs
        )
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda number: tr.fs.pipe(f"{main}/t/{number}", b"%d" % number), range(40)))
            assert list(pool.map(lambda number: tr.fs.cat(f"{main}/t/{number}"), range(3))) == [b"0", b"1", b"2"]
            list(pool.map(lambda number: tr.fs.rm(f"{main}/t/{number}"), range(20)))
            pool.submit(tr.pipe, f"{main}/method", b"x").result()
        assert other.find(main) == []
    assert messages(xet, main) == ["threads"]
    assert len(xet.find(f"{main}/t")) == 20
    assert pa.dataset.dataset(f"{main}/data", filesystem=xet, partitioning="hive").to_table().num_rows == 200


@pytest.mark.parametrize("by_json", [False, True])
def test_bound_file_system_on_another_loop(xet: pyxet.XetFS, main: str, by_json: bool) -> None:
    def as_zarr_does(fs: Any) -> Any:
        # What zarr does with a blocking file system.
        return fsspec.AbstractFileSystem.from_json(json.dumps(json.loads(fs.to_json()) | {"asynchronous": True}))

    with xet.transaction as tr:
        fs = as_zarr_does(tr.fs) if by_json else tr.fs

        async def write() -> None:
            await asyncio.gather(*(fs._pipe_file(f"{main}/{number}", b"%d" % number) for number in range(10)))
            assert await fs._cat_file(f"{main}/3") == b"3"
            await fs._rm(f"{main}/9")

        on_another_loop(write)
    assert len(tr.commits) == 1
    assert len(xet.find(main)) == 9
    with pytest.raises(TransactionError):
        on_another_loop(lambda: fs._pipe_file(f"{main}/late", b"late"))


async def test_asynchronous_transaction(shared_endpoint: LocalEndpoint, xet: pyxet.XetFS, main: str) -> None:
    async with asynchronous(shared_endpoint) as fs:
        async with fs.transaction(message="ingest") as tr:
            await tr.pipe(f"{main}/a.txt", b"a")
            await asyncio.gather(*(fs._pipe_file(f"{main}/{number}", b"x") for number in range(20)))
            await asyncio.to_thread(asyncio.run, tr.fs._pipe_file(f"{main}/thread", b"x"))
            left_open = await tr.open(f"{main}/open.bin", "wb")
            await left_open.write(BINARY)
            async with await fs.open_async(f"{main}/large.bin", "wb") as large:
                await large.write(BINARY * 400_000)
            blocking = await asyncio.to_thread(xet.open, f"{main}/blocking.txt", "w")
            await asyncio.to_thread(blocking.write, "of a thread of this task")
            await tr.cp(f"{main}/a.txt", f"{main}/b.txt")
            await tr.mv(f"{main}/a.txt", f"{main}/c.txt")
            await tr.rm(f"{main}/0")
            with pytest.raises(TransactionError, match="await the _method"):
                xet.pipe(f"{main}/x", b"x")
            with pytest.raises(TransactionError, match="asynchronous transaction"):
                fs.end_transaction()
        assert len(tr.commits) == 1
        names = {name.removeprefix(f"{main}/") for name in await fs._find(main)}
        assert names == {"b.txt", "c.txt", "thread", "open.bin", "large.bin", "blocking.txt"} | {
            str(number) for number in range(1, 20)
        }
        assert await fs._cat_file(f"{main}/blocking.txt") == b"of a thread of this task"
        assert await fs._cat_file(f"{main}/open.bin") == BINARY
        with pytest.raises(TransactionError, match="use `async with`"):
            fs.start_transaction()
        with pytest.raises(ValueError):
            async with fs.transaction:
                await fs._pipe_file(f"{main}/never", b"x")
                raise ValueError
        assert not await fs._exists(f"{main}/never")
    await check_clean()


async def test_cancelled_task(shared_endpoint: LocalEndpoint, xet: pyxet.XetFS, main: str) -> None:
    async with asynchronous(shared_endpoint) as fs:
        inside = asyncio.Event()

        async def write() -> None:
            async with fs.transaction:
                await fs._pipe_file(f"{main}/a.bin", BINARY)
                file = await fs.open_async(f"{main}/b.bin", "wb")
                await file.write(os.urandom(5 * MIB))
                inside.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(write())
        await inside.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await check_clean()
        assert await fs._find(main) == []
        assert len(await fs._log(main)) == 1
