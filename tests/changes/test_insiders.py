"""File systems that libraries make from URLs inside a transaction, on threads that Python did not start."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pytest

import pyxet
from pyxet.errors import PyxetWarning, TransactionError
from pyxet.testing import LocalEndpoint

FRAME = pd.DataFrame({"number": range(1000), "part": [number % 4 for number in range(1000)]})


@pytest.fixture
def fs(shared_endpoint: LocalEndpoint, monkeypatch: pytest.MonkeyPatch) -> pyxet.XetFS:
    monkeypatch.setenv("XET_ENDPOINT", shared_endpoint.url)
    monkeypatch.setenv("XET_USER_NAME", shared_endpoint.user)
    monkeypatch.setenv("XET_USER_TOKEN", shared_endpoint.token)
    return pyxet.XetFS()


def write(fs: Any, path: str) -> None:
    table = pa.Table.from_pandas(FRAME)
    ds.write_dataset(
        table, path, format="parquet", partitioning=["part"], filesystem=fs, basename_template="{i}.parquet"
    )


def titles(fs: pyxet.XetFS, branch: str) -> list[str]:
    return [commit.title for commit in fs.log(branch)]


def test_pandas_writes_partitions_of_a_url_in_one_commit(fs: pyxet.XetFS, main: str) -> None:
    with fs.transaction(message="all of it") as tr:
        FRAME.to_parquet(f"xet://{main}/table", partition_cols=["part"])
        fs.pipe_file(f"{main}/more", b"x")
    assert len(tr.commits) == 1
    assert titles(fs, main) == ["all of it", "initial commit"]
    assert len(pd.read_parquet(f"xet://{main}/table")) == len(FRAME)


def test_nothing_of_it_where_the_block_raises(fs: pyxet.XetFS, main: str) -> None:
    def fail() -> None:
        with fs.transaction:
            FRAME.to_parquet(f"xet://{main}/table", partition_cols=["part"])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert titles(fs, main) == ["initial commit"]


def test_it_is_like_the_one_that_is_there(fs: pyxet.XetFS, main: str) -> None:
    with fs.transaction:
        inside = pyxet.XetFS()
        assert inside is not fs
        assert inside is pyxet.XetFS()
        assert inside == fs
        assert pickle.loads(pickle.dumps(inside)) == fs
    assert pyxet.XetFS() is fs


def test_after_the_end_it_reads_and_does_not_write_from_those_threads(fs: pyxet.XetFS, main: str) -> None:
    with fs.transaction:
        inside = pyxet.XetFS()
        write(inside, f"{main}/table")
    assert len(ds.dataset(f"{main}/table", filesystem=inside).to_table()) == len(FRAME)
    with pytest.raises(TransactionError, match="has ended"):
        write(inside, f"{main}/other")
    assert len(titles(fs, main)) == 2
    # On threads of Python it is a file system like any other, and so are others on all threads.
    inside.pipe_file(f"{main}/own", b"x")
    write(fs, f"{main}/other")
    assert len(titles(fs, main)) == 3 + 4


def test_threads_of_python_are_not_drawn_in(fs: pyxet.XetFS, main: str) -> None:
    with fs.transaction as tr:
        inside = pyxet.XetFS()
        with ThreadPoolExecutor(1) as pool, pytest.warns(PyxetWarning, match=r"tr\.fs"):
            pool.submit(inside.pipe_file, f"{main}/theirs", b"x").result()
        assert len(titles(fs, main)) == 2
        fs.pipe_file(f"{main}/ours", b"x")
    assert len(tr.commits) == 1
    assert len(titles(fs, main)) == 3


def test_one_of_another_user_stays_outside(fs: pyxet.XetFS, shared_endpoint: LocalEndpoint, main: str) -> None:
    with fs.transaction:
        other = pyxet.XetFS(user="other", token="other")
        assert other is pyxet.XetFS(user="other", token="other")
        assert other._made_in is None


async def test_asynchronous_transactions_draw_nobody_in(fs: pyxet.XetFS, shared_endpoint: LocalEndpoint) -> None:
    async with (
        pyxet.AsyncXetFileSystem(asynchronous=True, skip_instance_cache=True) as own,
        own.transaction,
    ):
        assert pyxet.XetFS()._made_in is None
