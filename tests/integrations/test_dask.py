"""dask, as its users write it, on threads, processes and a cluster; and the writer that commits once."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask
import dask.bag as db
import dask.dataframe as dd
import pandas as pd
import pyarrow as pa
import pytest
from distributed import Client, LocalCluster
from support.tools import COMMIT, LOOK, Tool, tool

from pyxet.dask import to_parquet
from pyxet.errors import AlreadyExistsError, ConfigError, EditConflictError, XetURLError
from pyxet.testing import LocalEndpoint

pytestmark = [
    # dask writes its index with an argument of pandas that pandas has come to dislike.
    pytest.mark.filterwarnings("ignore:The inplace keyword in DataFrame"),
]

FRAME = pd.DataFrame({
    "number": range(2000),
    "part": [number % 3 for number in range(2000)],
    "name": [f"name {number}" for number in range(2000)],
})  # fmt: skip


@pytest.fixture
def at(shared_endpoint: LocalEndpoint, main: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tool]:
    with tool(shared_endpoint, main, monkeypatch) as found:
        yield found


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as running:
        yield running


@pytest.fixture
def client(cluster: LocalCluster) -> Iterator[Client]:
    with Client(cluster) as connected:
        yield connected


def frame(partitions: int = 4) -> Any:
    return dd.from_pandas(FRAME, npartitions=partitions)


def same(found: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(found.sort_values("number", ignore_index=True), FRAME, check_dtype=False)


def test_files_are_a_commit_each(at: Tool) -> None:
    frame().to_parquet(f"{at.url}/t")
    assert len(at.titles) == 4
    frame().to_csv(f"{at.url}/c/*.csv", index=False)
    assert len(at.titles) == 8
    same(dd.read_parquet(f"{at.url}/t").compute())
    same(dd.read_csv(f"{at.url}/c/*.csv").compute())


def test_a_length_from_the_footers(at: Tool) -> None:
    """dask opens the files with an option of another file system."""
    frame().to_parquet(f"{at.url}/t", partition_on=["part"])
    assert len(dd.read_parquet(f"{at.url}/t")) == len(FRAME)
    frame(1).to_parquet(f"{at.url}/t", partition_on=["part"], append=True, ignore_divisions=True)
    assert len(dd.read_parquet(f"{at.url}/t")) == 2 * len(FRAME)


@pytest.mark.parametrize("scheduler", ["threads", "sync", "processes"])
def test_schedulers(at: Tool, scheduler: str) -> None:
    with dask.config.set(scheduler=scheduler):
        to_parquet(frame(), f"{at.url}/t", message="at once")
        assert at.titles == ["at once"]
        assert dd.read_parquet(f"{at.url}/t")["number"].sum().compute() == FRAME["number"].sum()
        at.fs.pipe({f"{at.main}/x/{number}.txt": b"one\ntwo\n" for number in range(3)})
        assert db.read_text(f"{at.url}/x/*.txt").map(str.strip).frequencies().compute() == [("one", 3), ("two", 3)]


def test_a_cluster(at: Tool, client: Client) -> None:
    to_parquet(frame(), f"{at.url}/t", message="by workers", storage_options=at.options)
    assert at.titles == ["by workers"]
    same(dd.read_parquet(f"{at.url}/t", storage_options=at.options).compute())
    found = dd.read_parquet(
        f"{at.url}/t", columns=["number"], filters=[("number", "<", 10)], storage_options=at.options
    )
    assert len(found.compute()) == 10
    frame(2).to_parquet(f"{at.url}/loose", storage_options=at.options)
    assert len(at.titles) == 3


def test_a_worker_that_dies(at: Tool, client: Client, tmp_path: Path) -> None:
    marker = str(tmp_path / "died")

    def once(part: pd.DataFrame) -> pd.DataFrame:
        if len(part) and part["number"].iloc[0] == 0:
            try:
                os.close(os.open(marker, os.O_CREAT | os.O_EXCL))
            except FileExistsError:
                return part
            os.kill(os.getpid(), signal.SIGKILL)
        return part

    mapped = frame().map_partitions(once, meta=FRAME[:0])
    to_parquet(mapped, f"{at.url}/t", message="in spite of it", storage_options=at.options)
    assert Path(marker).exists()
    assert at.titles == ["in spite of it"]
    same(dd.read_parquet(f"{at.url}/t").compute(scheduler="sync"))


def test_one_that_fails_is_nothing(at: Tool) -> None:
    def fail(part: pd.DataFrame) -> pd.DataFrame:
        if 1999 in set(part["number"]):
            raise ZeroDivisionError
        return part

    with pytest.raises(ZeroDivisionError):
        to_parquet(frame().map_partitions(fail, meta=FRAME[:0]), f"{at.url}/t")
    assert at.count(COMMIT) == 0
    assert at.files() == []


def test_folders_names_and_what_is_there_already(at: Tool) -> None:
    to_parquet(frame(), f"{at.url}/t", partition_on=["part"], write_index=False)
    assert at.files()[:2] == ["t/part=0/part-00000-0-0.parquet", "t/part=0/part-00001-0-0.parquet"]
    assert len(at.files()) == 12
    with pytest.raises(AlreadyExistsError, match="overwrite=True"):
        to_parquet(frame(), f"{at.url}/t")
    commit = to_parquet(frame(2), f"{at.url}/t", overwrite=True, name_function="p{}".format)
    assert commit is not None
    assert commit.title == "Upload 2 files, Delete 12 files"
    assert at.files() == ["t/p0.parquet", "t/p1.parquet"]
    assert to_parquet(frame(2), f"{at.url}/t", overwrite=True, name_function="p{}".format) is None
    same(dd.read_parquet(f"{at.url}/t").compute())


def test_a_part_of_a_transaction(at: Tool) -> None:
    with at.fs.transaction(message="two tables") as tr:
        assert to_parquet(frame(2), f"{at.url}/a") is None
        to_parquet(frame(3), f"{at.main}/b", filesystem=at.fs)
        tr.pipe(f"{at.main}/README.md", b"# Tables")
    assert at.titles == ["two tables"]
    assert len(at.files()) == 2 + 3 + 1


def test_a_schema_for_all(at: Tool) -> None:
    part = pd.DataFrame({"a": [1, 2], "b": pd.Series([None, None], dtype=object)})
    other = pd.DataFrame({"a": [3, 4], "b": ["x", "y"]})
    parts = dd.from_map(lambda number: (part, other)[number], [0, 1], meta=other[:0])
    schema = pa.schema([("a", pa.int32()), ("b", pa.string())])
    to_parquet(parts, f"{at.url}/t", schema=schema, write_index=False)
    assert pd.read_parquet(f"{at.url}/t")["b"].fillna("none").tolist() == ["none", "none", "x", "y"]


def test_what_cannot_be_written(at: Tool) -> None:
    base = at.fs.branch_info(at.main.removesuffix("/main"), "main")["commit"]
    with pytest.raises(TypeError, match="not a dask data frame"):
        to_parquet(FRAME, f"{at.url}/t")
    with pytest.raises(XetURLError):
        to_parquet(frame(), "/tmp/t")
    with pytest.raises(ConfigError, match="the same name"):
        to_parquet(frame(), f"{at.url}/t", name_function=lambda number: "same")
    for name in ("../part-{}", "below/{}"):
        # The first one would be written beside the worker's folder, and no part of the commit.
        with pytest.raises(ConfigError, match="not a file name"):
            to_parquet(frame(), f"{at.url}/t", name_function=name.format)
    with pytest.raises(FileNotFoundError, match=r"revision|branch"):
        to_parquet(frame(), f"{at.url.removesuffix('main')}missing/t")
    assert at.count(COMMIT) == 0
    to_parquet(frame(), f"{at.url}/t", parent_commit=base)
    with pytest.raises(EditConflictError):
        to_parquet(frame(), f"{at.url}/t", write_index=False, overwrite=True, parent_commit=base)


def test_few_requests(at: Tool) -> None:
    to_parquet(frame(16), f"{at.url}/t", compute_kwargs={"scheduler": "threads"})
    # Nobody looks whether a commit has moved, as is done for a branch each second.
    at_commit = f"xet://{at.main.removesuffix('main')}{at.fs.log(at.main)[0].id}"
    at.fresh()
    lazy = dd.read_parquet(f"{at_commit}/t", columns=["number"])
    assert lazy["number"].sum().compute(scheduler="threads") == FRAME["number"].sum()
    # The folder, what is in it, and no look at each file.
    assert at.count(LOOK) <= 4
