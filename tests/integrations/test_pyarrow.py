"""pyarrow, as its users write it."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pcsv
import pyarrow.dataset as ds
import pyarrow.feather as feather
import pyarrow.fs as pafs
import pyarrow.parquet as pq
import pytest
from support.tools import LOOK, XORB, Tool, tool

from pyxet.testing import LocalEndpoint

ROWS = 200_000
NUMBERS = np.arange(ROWS)
TABLE = pa.table({
    "number": NUMBERS,
    "part": NUMBERS % 4,
    "share": np.random.default_rng(5).random(ROWS),
    "noise": np.random.default_rng(6).random(ROWS),
})  # fmt: skip


@pytest.fixture
def at(shared_endpoint: LocalEndpoint, main: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tool]:
    with tool(shared_endpoint, main, monkeypatch) as found:
        yield found


def partitioned(at: Tool) -> str:
    """A table in four files of four row groups each, in one commit."""
    path = f"{at.main}/table"
    with at.fs.transaction(message="a table") as tr:
        ds.write_dataset(
            TABLE, path, format="parquet", filesystem=tr.fs, partitioning=["part"], partitioning_flavor="hive",
            max_rows_per_group=12_500, min_rows_per_group=12_500, use_threads=False,
        )  # fmt: skip
    return path


def test_tables_of_all_formats_with_the_filesystem_passed(at: Tool) -> None:
    small = TABLE.slice(0, 1000)
    pq.write_table(small, f"{at.main}/t.parquet", filesystem=at.fs)
    assert pq.read_table(f"{at.main}/t.parquet", filesystem=at.fs).equals(small)
    with at.fs.open(f"{at.main}/t.csv", "wb") as file:
        pcsv.write_csv(small, file)
    with at.fs.open(f"{at.main}/t.csv") as file:
        assert pcsv.read_csv(file).equals(small)
    with at.fs.open(f"{at.main}/t.arrow", "wb") as file:
        feather.write_feather(small, file)
    with at.fs.open(f"{at.main}/t.arrow") as file:
        assert feather.read_table(file).equals(small)
    assert len(at.titles) == 3
    arrow = pafs.PyFileSystem(pafs.FSSpecHandler(at.fs))
    assert {info.base_name for info in arrow.get_file_info(pafs.FileSelector(at.main))} == {
        "t.parquet",
        "t.csv",
        "t.arrow",
    }
    assert arrow.get_file_info(f"{at.main}/nothing").type == pafs.FileType.NotFound
    assert pickle.loads(pickle.dumps(arrow)).get_file_info(f"{at.main}/t.csv").is_file


def test_by_a_url_for_fsspec(at: Tool) -> None:
    url = f"fsspec+{at.url}/t.parquet"
    pq.write_table(TABLE, url)
    assert pq.read_table(url, columns=["part"]).num_rows == ROWS
    assert ds.dataset(url).count_rows() == ROWS
    filesystem, path = pafs.FileSystem.from_uri(url)
    assert filesystem.open_input_file(path).size() == at.fs.size(f"{at.main}/t.parquet")
    # pyarrow asks nobody about a scheme that it does not know.
    with pytest.raises(pa.ArrowInvalid, match="Unrecognized filesystem type"):
        pq.read_table(f"{at.url}/t.parquet")


def test_a_dataset_is_one_commit(at: Tool) -> None:
    path = partitioned(at)
    assert at.titles == ["a table"]
    assert at.files("table") == [f"table/part={part}/part-0.parquet" for part in range(4)]
    assert ds.dataset(path, filesystem=at.fs, partitioning="hive").count_rows() == ROWS


def test_a_dataset_that_fails_is_none(at: Tool) -> None:
    def batches() -> Iterator[pa.RecordBatch]:
        yield from TABLE.to_batches()
        raise ZeroDivisionError

    def write() -> None:
        with at.fs.transaction as tr:
            ds.write_dataset(batches(), f"{at.main}/table", schema=TABLE.schema, format="parquet", filesystem=tr.fs)

    with pytest.raises(ZeroDivisionError):
        write()
    assert at.titles == []


def test_filters_decide_what_is_read(at: Tool) -> None:
    path = partitioned(at)
    at.fresh()
    dataset = ds.dataset(path, filesystem=at.fs, partitioning="hive")
    # The folder, and the files in it; one of them for the columns.
    assert at.count(LOOK) == 2
    at.proxy.seen.clear()
    found = dataset.to_table(columns=["number"], filter=(pc.field("part") == 1) & (pc.field("number") < 40_000))
    assert found.num_rows == 10_000
    assert at.count(LOOK) == 0
    # One file of four, one of its row groups: the footer, and a column chunk of two columns at most.
    assert at.count(XORB) <= 1 + 2
    at.proxy.seen.clear()
    assert dataset.to_table(columns=["share"], filter=pc.field("part") > 4).num_rows == 0
    assert at.count() == 0


@pytest.mark.parametrize("read", [
    lambda at, path: pq.read_metadata(path, filesystem=at.fs),
    lambda at, path: pq.read_schema(path, filesystem=at.fs),
    lambda at, path: pq.ParquetFile(path, filesystem=at.fs).metadata,
    lambda at, path: pq.read_metadata(at.fs.open(path)),
    lambda at, path: ds.dataset(path, filesystem=at.fs).schema,
])  # fmt: skip
def test_a_footer_takes_three_requests(at: Tool, read: Callable[[Tool, str], object]) -> None:
    path = f"{at.main}/t.parquet"
    pq.write_table(TABLE, path, filesystem=at.fs, row_group_size=10_000)
    at.fresh()
    read(at, path)
    # What is where, the plan for the end of the file, and that end.
    assert 2 <= at.count() <= 3
