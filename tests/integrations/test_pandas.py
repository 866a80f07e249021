"""pandas, as its users write it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.tools import COMMIT, LOOK, Tool, tool

import pyxet
from pyxet.errors import ConfigError, EditConflictError, XetURLError
from pyxet.testing import LocalEndpoint

FRAME = pd.DataFrame({
    "number": range(2000),
    "share": np.random.default_rng(1).random(2000).round(6),
    "part": [number % 3 for number in range(2000)],
    "name": [f"name {number}" for number in range(2000)],
})  # fmt: skip

Write = Callable[[pd.DataFrame, Any], None]
Read = Callable[[Any], pd.DataFrame]
FORMATS: dict[str, tuple[Write, Read]] = {
    "table.csv": (lambda df, to: df.to_csv(to, index=False), pd.read_csv),
    "table.csv.gz": (lambda df, to: df.to_csv(to, index=False), pd.read_csv),
    "table.csv.zip": (lambda df, to: df.to_csv(to, index=False), pd.read_csv),
    "table.csv.bz2": (lambda df, to: df.to_csv(to, index=False), pd.read_csv),
    "table.csv.xz": (lambda df, to: df.to_csv(to, index=False), pd.read_csv),
    "table.json": (lambda df, to: df.to_json(to), pd.read_json),
    "lines.json.gz": (
        lambda df, to: df.to_json(to, orient="records", lines=True), lambda at: pd.read_json(at, lines=True)
    ),
    "table.parquet": (lambda df, to: df.to_parquet(to), pd.read_parquet),
    "table.feather": (lambda df, to: df.to_feather(to), pd.read_feather),
    "table.xlsx": (lambda df, to: df.to_excel(to, index=False), pd.read_excel),
    "table.pkl": (lambda df, to: df.to_pickle(to), pd.read_pickle),
    "table.pkl.xz": (lambda df, to: df.to_pickle(to), pd.read_pickle),
}  # fmt: skip


@pytest.fixture
def at(shared_endpoint: LocalEndpoint, main: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tool]:
    with tool(shared_endpoint, main, monkeypatch) as found:
        yield found


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_is_written_and_read(at: Tool, name: str) -> None:
    write, read = FORMATS[name]
    write(FRAME, f"{at.url}/{name}")
    pd.testing.assert_frame_equal(read(f"{at.url}/{name}"), FRAME)
    assert at.titles == [f"Upload {name}"]


def test_all_formats_in_one_transaction(at: Tool) -> None:
    with at.fs.transaction(message="all of them"):
        for name, (write, read) in FORMATS.items():
            write(FRAME, f"{at.url}/{name}")
            pd.testing.assert_frame_equal(read(f"{at.url}/{name}"), FRAME)
    assert at.titles == ["all of them"]
    for name, (_, read) in FORMATS.items():
        pd.testing.assert_frame_equal(read(f"{at.url}/{name}"), FRAME)


def test_storage_options(at: Tool, shared_endpoint: LocalEndpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("XET_ENDPOINT", "XET_USER_NAME", "XET_USER_TOKEN"):
        monkeypatch.delenv(name)
    options = {"endpoint": at.proxy.url, "user": shared_endpoint.user, "token": shared_endpoint.token}
    FRAME.to_csv(f"{at.url}/table.csv", index=False, storage_options=options)
    pd.testing.assert_frame_equal(pd.read_csv(f"{at.url}/table.csv", storage_options=options), FRAME)
    named = at.url.replace("xet://", f"xet://{at.proxy.url.removeprefix('http://')}:")
    credentials = {"user": shared_endpoint.user, "token": shared_endpoint.token}
    pd.testing.assert_frame_equal(pd.read_csv(f"{named}/table.csv", storage_options=credentials), FRAME)
    with pytest.raises(PermissionError):
        pd.read_csv(f"{at.url}/table.csv", storage_options=options | {"token": "xet_wrong"})


def test_in_pieces(at: Tool) -> None:
    FRAME.to_csv(f"{at.url}/table.csv", index=False, chunksize=300)
    FRAME.to_json(f"{at.url}/lines.json", orient="records", lines=True)
    assert len(at.titles) == 2
    with pd.read_csv(f"{at.url}/table.csv", chunksize=300) as pieces:
        assert [len(piece) for piece in pieces] == [300] * 6 + [200]
    with pd.read_json(f"{at.url}/lines.json", lines=True, chunksize=300) as pieces:
        pd.testing.assert_frame_equal(pd.concat(pieces), FRAME)


def test_a_frame_that_cannot_be_written_is_no_file(at: Tool) -> None:
    class Bad:
        def __str__(self) -> str:
            raise RuntimeError("it has no text")

    write: Any
    for write in (
        lambda to: pd.DataFrame({"a": ["x" * 10_000, Bad()]}).to_csv(to),
        lambda to: pd.DataFrame({"a": [1, object()]}).to_parquet(to),
        lambda to: pd.DataFrame({"a": [lambda: None]}).to_pickle(to),
        lambda to: pd.DataFrame({"a": ["x", Bad()]}).to_excel(to),
    ):
        with pytest.raises(Exception, match=r".") as raised:
            write(f"{at.url}/bad")
        assert not isinstance(raised.value, OSError)
    assert at.titles == []


def test_partitions_are_a_commit_each_or_one_in_a_transaction(at: Tool) -> None:
    FRAME.to_parquet(f"{at.url}/loose", partition_cols=["part"])
    assert len(at.titles) == 3
    with at.fs.transaction(message="by its URL"):
        FRAME.to_parquet(f"{at.url}/together", partition_cols=["part"])
    with at.fs.transaction(message="by its path") as tr:
        FRAME.to_parquet(f"{at.main}/bound", partition_cols=["part"], filesystem=tr.fs)
    assert at.titles[:2] == ["by its path", "by its URL"]
    assert len(at.titles) == 5
    for name in ("loose", "together", "bound"):
        found = pd.read_parquet(f"{at.url}/{name}", filters=[("part", "==", 1)], columns=["number"])
        assert sorted(found["number"]) == list(range(1, 2000, 3))


def test_columns_of_a_parquet_file_are_all_that_is_read(at: Tool) -> None:
    wide = pd.DataFrame(np.random.default_rng(2).random((100_000, 20)), columns=[f"c{number}" for number in range(20)])
    wide.to_parquet(f"{at.url}/wide.parquet")
    at.fresh()
    pd.testing.assert_frame_equal(pd.read_parquet(f"{at.url}/wide.parquet", columns=["c3"]), wide[["c3"]])
    assert at.count(LOOK) == 1
    # Of the footer, and of the column: a plan and its content each.
    assert at.count() <= 1 + 2 + 2


# -- pyxet.to_parquet --------------------------------------------------------------------------------------------------


def big(seed: int, rows: int = 400_000) -> pd.DataFrame:
    source = np.random.default_rng(seed)
    return pd.DataFrame({
        "number": np.arange(rows),
        "share": source.random(rows),
        "name": [f"name {number}" for number in source.integers(0, 10**6, rows)],
    })  # fmt: skip


@pytest.mark.parametrize("by", ["pyxet", "pandas"])
def test_a_row_less_sends_little(at: Tool, by: str) -> None:
    def write(frame: pd.DataFrame, name: str) -> int:
        at.fresh()
        if by == "pyxet":
            pyxet.to_parquet(frame, f"{at.url}/{name}")
        else:
            frame.to_parquet(f"{at.url}/{name}", use_content_defined_chunking=True)
        return at.sent

    frame = big(3 if by == "pyxet" else 4)
    whole = write(frame, "table.parquet")
    size = at.fs.size(f"{at.main}/table.parquet")
    assert whole > 0.7 * size > 4_000_000
    less = frame.drop(index=200_000).reset_index(drop=True)
    assert write(less, "table.parquet") < 0.15 * size
    pd.testing.assert_frame_equal(pd.read_parquet(f"{at.url}/table.parquet"), less)
    changed = less.copy()
    changed.loc[100_000, "share"] = -1.0
    assert write(changed, "table.parquet") < 0.1 * size
    # The same without content-defined chunks: everything behind the row.
    at.fresh()
    pyxet.to_parquet(frame, f"{at.url}/fixed.parquet", use_content_defined_chunking=False)
    at.fresh()
    pyxet.to_parquet(less, f"{at.url}/fixed.parquet", use_content_defined_chunking=False)
    assert at.sent > 0.3 * size


def test_to_parquet_takes_tables_of_all_kinds(at: Tool) -> None:
    for data in (FRAME, pl.from_pandas(FRAME), pa.Table.from_pandas(FRAME, preserve_index=False)):
        pyxet.to_parquet(data, f"{at.url}/table.parquet", message="a table", compression="zstd")
        pd.testing.assert_frame_equal(pd.read_parquet(f"{at.url}/table.parquet"), FRAME, check_dtype=False)
    pyxet.to_parquet(FRAME.set_index("name"), f"{at.main}/named.parquet", filesystem=at.fs)
    assert pd.read_parquet(f"{at.url}/named.parquet").index.name == "name"
    pyxet.to_parquet(FRAME.set_index("name"), f"{at.url}/unnamed.parquet", index=False)
    assert pd.read_parquet(f"{at.url}/unnamed.parquet").index.name is None
    assert at.titles[-1] == "a table"
    metadata = pq.read_metadata(f"{at.main}/table.parquet", filesystem=at.fs)
    assert metadata.row_group(0).column(0).compression == "ZSTD"


def test_to_parquet_replaces_partitions(at: Tool) -> None:
    pyxet.to_parquet(FRAME, f"{at.url}/table", partition_cols=["part"])
    assert at.titles == ["Upload 3 files"]
    names = [f"table/part={part}/part-0.parquet" for part in range(3)]
    assert at.files("table") == names
    with at.fs.transaction(message="one of them"):
        pyxet.to_parquet(FRAME[FRAME["part"] == 1][:10], f"{at.url}/table", partition_cols=["part"])
    assert at.titles[0] == "one of them"
    assert at.files("table") == names
    assert len(pd.read_parquet(f"{at.url}/table")) == 667 + 10 + 666
    # The same again changes nothing.
    pyxet.to_parquet(FRAME[FRAME["part"] == 1][:10], f"{at.url}/table", partition_cols=["part"])
    assert len(at.titles) == 2


def test_to_parquet_with_a_condition(at: Tool) -> None:
    base = at.fs.branch_info(at.fs._strip_protocol(at.main).rpartition("/")[0], "main")["commit"]
    pyxet.to_parquet(FRAME, f"{at.url}/table.parquet", parent_commit=base)
    for beside in (contextlib.nullcontext(), at.fs.transaction):
        with pytest.raises(EditConflictError), beside:
            pyxet.to_parquet(FRAME[1:], f"{at.url}/table.parquet", parent_commit=base)
    with at.fs.transaction:
        pyxet.to_parquet(FRAME[1:], f"{at.url}/other.parquet", parent_commit=base)
        # A folder is a transaction in this one, which guards its paths.
        pyxet.to_parquet(FRAME[1:], f"{at.url}/folder", parent_commit=base, partition_cols=["part"])
    assert len(at.titles) == 2
    assert len(pd.read_parquet(f"{at.url}/folder")) == len(pd.read_parquet(f"{at.url}/other.parquet")) == len(FRAME) - 1


def test_to_parquet_of_nothing_that_it_can_write(at: Tool, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(XetURLError, match="not a pyxet URL"):
        pyxet.to_parquet(FRAME, "/tmp/table.parquet")
    with pytest.raises(XetURLError, match="not the path of a file"):
        pyxet.to_parquet(FRAME, at.url)
    with pytest.raises(TypeError, match="dict is not a table"):
        pyxet.to_parquet({"a": [1]}, f"{at.url}/table.parquet")
    with pytest.raises(TypeError, match="index is for pandas"):
        pyxet.to_parquet(pl.from_pandas(FRAME), f"{at.url}/table.parquet", index=True)
    with pytest.raises(TypeError, match=r"expected a pyxet\.XetFS"):
        pyxet.to_parquet(FRAME, f"{at.url}/table.parquet", filesystem=pyxet.AsyncXetFileSystem(asynchronous=True))
    with pytest.raises(TypeError, match="storage_options"):
        pyxet.to_parquet(FRAME, f"{at.url}/table.parquet", filesystem=at.fs, storage_options={"token": "x"})
    with pytest.raises(FileNotFoundError, match="make_branch"):
        pyxet.to_parquet(FRAME, f"{at.url.removesuffix('main')}missing/table.parquet")
    with pytest.raises(TypeError, match="unknown_option"):
        pyxet.to_parquet(FRAME, f"{at.url}/table.parquet", unknown_option=True)
    with pytest.raises(Exception, match="nothing"):
        pyxet.to_parquet(FRAME, f"{at.url}/table", partition_cols=["nothing"])
    monkeypatch.setattr(pa, "__version__", "20.0.0")
    with pytest.raises(ConfigError, match=r"install pyarrow 21"):
        pyxet.to_parquet(FRAME, f"{at.url}/table.parquet")
    assert at.count(COMMIT) == 0
    pyxet.to_parquet(FRAME, f"{at.url}/table.parquet", use_content_defined_chunking=False)
    assert at.count(COMMIT) == 1
