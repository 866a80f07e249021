"""polars, as its users write it, and what takes the place of what it cannot do."""

from __future__ import annotations

import datetime as dt
import glob
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from support.tools import LOOK, XORB, Tool, tool

import pyxet
from pyxet.errors import NotFoundError, XetURLError
from pyxet.polars import _row_groups, pushed_down, scan_parquet
from pyxet.testing import LocalEndpoint

ROWS = 80_000
GROUP = 10_000
START = dt.datetime(2026, 1, 1)
NUMBERS = np.arange(ROWS)
FRAME = pl.DataFrame({
    "n": NUMBERS,
    "share": np.where(NUMBERS == 7, np.nan, np.random.default_rng(7).random(ROWS)),
    "gap": pl.Series(NUMBERS, dtype=pl.Int32).set(pl.Series(NUMBERS % 3 == 0), None),
    "name": [f"name {number:06}" for number in NUMBERS],
    "moment": pl.datetime_range(START, START + dt.timedelta(seconds=ROWS - 1), "1s", eager=True),
    "day": pl.Series([(START + dt.timedelta(days=int(number) // 1000)).date() for number in NUMBERS]),
    "even": NUMBERS % 2 == 0,
    "noise": np.random.default_rng(8).random(ROWS),
})  # fmt: skip
c = pl.col


@pytest.fixture
def at(shared_endpoint: LocalEndpoint, main: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tool]:
    with tool(shared_endpoint, main, monkeypatch) as found:
        yield found


@pytest.fixture
def stored(at: Tool) -> Tool:
    with at.fs.open(f"{at.main}/t.parquet", "wb") as file:
        FRAME.write_parquet(file, row_group_size=GROUP)
    return at


def test_files_are_read_and_written(at: Tool) -> None:
    small = FRAME.head(1000).drop("share")
    formats: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
        "t.parquet": (small.write_parquet, pl.read_parquet),
        "t.arrow": (small.write_ipc, pl.read_ipc),
        "t.ndjson": (small.select("n", "name").write_ndjson, pl.read_ndjson),
        "t.csv": (small.select("n", "name").write_csv, pl.read_csv),
    }
    for name, (write, read) in formats.items():
        with at.fs.open(f"{at.main}/{name}", "wb") as file:
            write(file)
        with at.fs.open(f"{at.main}/{name}", "rb") as file:
            found = read(file)
        assert found.equals(small.select(found.columns))
    assert len(at.titles) == len(formats)


def test_polars_knows_no_urls_of_ours(stored: Tool) -> None:
    """If this fails, the page tells too little."""
    for attempt in (pl.read_parquet, lambda url: pl.scan_parquet(url).collect(), FRAME.write_parquet):
        with pytest.raises((OSError, pl.exceptions.PolarsError)):
            attempt(f"{stored.url}/t.parquet")
    assert len(stored.titles) == 1


def test_sinks_stream_into_open_files(at: Tool) -> None:
    """More than a window of it has left before the sink is done, and a sink that fails publishes nothing."""
    left = threading.Event()

    def batches(columns: Any, predicate: Any, rows: Any, size: Any) -> Iterator[pl.DataFrame]:
        source = np.random.default_rng(9)
        for _ in range(11):
            yield pl.DataFrame({"x": source.random(1_000_000)})
        # The last one comes when content has left: with a sink that waits for all of it, never.
        for _ in range(1000):
            if at.sent:
                left.set()
                break
            time.sleep(0.05)
        yield pl.DataFrame({"x": source.random(1_000_000)})

    source = pl.io.plugins.register_io_source(batches, schema={"x": pl.Float64})
    with at.fs.open(f"{at.main}/big.parquet", "wb") as file:
        source.sink_parquet(file, row_group_size=100_000, compression="uncompressed")
    assert left.is_set()
    assert at.fs.size(f"{at.main}/big.parquet") > 90_000_000

    def failing(columns: Any, predicate: Any, rows: Any, size: Any) -> Iterator[pl.DataFrame]:
        yield pl.DataFrame({"x": [1.0]})
        raise ZeroDivisionError

    def write() -> None:
        with at.fs.open(f"{at.main}/bad.csv", "wb") as file:
            pl.io.plugins.register_io_source(failing, schema={"x": pl.Float64}).sink_csv(file)

    with pytest.raises((ZeroDivisionError, pl.exceptions.ComputeError)):
        write()
    assert at.titles == ["Upload big.parquet"]


def test_many_files_in_one_transaction(at: Tool) -> None:
    with at.fs.transaction(message="by evenness") as tr:
        for (even,), part in FRAME.group_by("even"):
            with tr.open(f"{at.main}/table/even={str(even).lower()}/part-0.parquet", "wb") as file:
                part.drop("even").write_parquet(file)
    assert at.titles == ["by evenness"]
    found = scan_parquet(f"{at.url}/table").filter(c("even") == "true").select("n").collect()
    assert found["n"].sort().to_list() == list(range(0, ROWS, 2))


# -- pyxet.polars.scan_parquet -----------------------------------------------------------------------------------------

# Predicates, and how many of eight row groups each leaves to be read; ``None`` where all of them are.
PREDICATES: list[tuple[pl.Expr, int | None]] = [
    (c("n") < 1000, 1),
    (c("n") > ROWS - 5, 1),
    (pl.lit(1000) > c("n"), 1),
    ((c("n") <= GROUP) & (c("share") < 0.5), 2),
    ((c("n") < 5) | (c("n") >= ROWS - 5), 2),
    (c("n") == 12_345, 1),
    (c("n").is_in([5, 77_000]), 2),
    (c("n").is_between(GROUP, 2 * GROUP, closed="left"), 1),
    (c("name") == "name 012345", 1),
    (c("moment") >= START + dt.timedelta(seconds=ROWS - 10), 1),
    (c("day").is_between(dt.date(2026, 1, 12), dt.date(2026, 1, 13)), 1),
    (c("gap").is_null() & (c("n") < 10), 1),
    (c("gap").is_not_null() & (c("gap") < 10), 1),
    (c("gap").is_in([GROUP + 1, 2 * GROUP - 1]), 1),
    ((c("n") < 10) & (c("n") % 2 == 0), 1),
    # What is not pushed down must be right all the same.
    (c("share") > 2, None),
    (c("share").is_between(0.5, 0.500001), None),
    ((c("n") < 10) | (c("share").sqrt() > 0.9999), None),
    (~(c("n") > 10), None),
    (c("n") == c("gap"), None),
    (c("n").cast(pl.Float64) < 10.5, None),
    (c("n").is_in([None, 5]), None),
    (c("gap").is_in([4, None], nulls_equal=True), None),
    (c("name").str.ends_with("99999"), None),
    (c("even"), None),
    (c("n") < 2**40, None),
    (c("gap") < 2**40, None),
]


@pytest.mark.parametrize(
    ("predicate", "groups"), PREDICATES, ids=lambda item: str(item) if isinstance(item, pl.Expr) else ""
)
def test_a_predicate_leaves_out_rows_and_what_needs_not_be_read(
    shared_endpoint: LocalEndpoint, tmp_path: Path, predicate: pl.Expr, groups: int | None
) -> None:
    dataset = local(tmp_path)
    pushed = pushed_down(predicate, dataset.schema)
    [fragment] = dataset.get_fragments()
    if pushed is None:
        assert groups is None
    else:
        # The filter alone loses nothing, and is worth it.
        kept = pl.from_arrow(dataset.to_table(filter=pushed.filter))
        assert kept.filter(predicate).equals(FRAME.filter(predicate))
        left = [group for group in fragment.subset(pushed.filter).row_groups if pushed.may_match(group.statistics)]
        assert len(left) == (groups or ROWS // GROUP)
        matching = FRAME.with_row_index("row").filter(predicate)["row"] // GROUP
        assert set(matching) <= {group.id for group in left}


def local(folder: Path) -> Any:
    path = folder / "t.parquet"
    FRAME.write_parquet(path, row_group_size=GROUP)
    return ds.dataset(path)


def test_predicates_in_queries(stored: Tool) -> None:
    lazy = scan_parquet(f"{stored.url}/t.parquet")
    assert lazy.collect().equals(FRAME)
    for predicate, _ in PREDICATES:
        assert lazy.filter(predicate).collect().equals(FRAME.filter(predicate)), predicate


QUERIES: list[Callable[[Any], Any]] = [
    lambda f: f.select("n"),
    lambda f: f.select("name", "n"),
    lambda f: f.filter(c("n") < 10).select("name"),
    lambda f: f.filter(c("n") < 10).select(pl.len()),
    lambda f: f.select(pl.len()),
    lambda f: f.head(5),
    lambda f: f.tail(5),
    lambda f: f.slice(GROUP - 3, 6),
    lambda f: f.head(10).filter(c("n") > 3),
    lambda f: f.filter(c("n") > 100).head(5),
    lambda f: f.group_by("even").agg(c("n").sum()).sort("even"),
    lambda f: f.join(f.head(10), on="n").select("n", "name_right").sort("n"),
    lambda f: f.filter(c("n") < 0),
    lambda f: f.with_columns(double=c("n") * 2).filter(c("double") > 2 * ROWS - 4),
]


@pytest.mark.parametrize("engine", ["in-memory", "streaming"])
def test_queries(stored: Tool, engine: Any) -> None:
    lazy = scan_parquet(f"{stored.url}/t.parquet")
    for number, query in enumerate(QUERIES):
        found = query(lazy).collect(engine=engine)
        assert found.equals(query(FRAME.lazy()).collect()), number


def test_rows_that_nobody_wants_any_more_are_not_waited_for() -> None:
    """Whoever waits may be the garbage collector, on a thread that holds what the reading threads wait for."""
    goes_on = threading.Event()

    class Fragment:
        row_groups = (SimpleNamespace(num_rows=1, statistics=None),)

        def __init__(self, number: int) -> None:
            self.number = number

        def split_by_row_group(self, *_: object) -> list[Fragment]:
            return [self]

        def to_table(self, **_: object) -> pa.Table:
            if self.number:
                goes_on.wait(120)
            return pa.table({"n": [self.number]})

    dataset = SimpleNamespace(schema=None, get_fragments=lambda _: [Fragment(0), Fragment(1)])
    tables = _row_groups(dataset, None, None, None)
    assert next(tables).num_rows == 1
    leaving = threading.Thread(target=tables.close)
    leaving.start()
    try:
        leaving.join(60)
        assert not leaving.is_alive()
    finally:
        goes_on.set()
        leaving.join()


def test_columns_and_row_groups_are_all_that_is_read(stored: Tool) -> None:
    stored.fresh()
    lazy = scan_parquet(f"{stored.url}/t.parquet")
    # What is where, and the footer; the commit that it was made from needs no second look.
    assert stored.count() <= 3
    stored.proxy.seen.clear()
    assert lazy.filter(c("n") < 10).select("noise").collect().height == 10
    assert stored.count(LOOK) <= 1
    # The footer again, and pieces of two columns in one row group.
    assert stored.count(XORB) <= 3
    stored.proxy.seen.clear()
    assert lazy.head(3).select("n").collect().height == 3
    assert stored.count(XORB) <= 3


def test_a_frame_stays_on_its_version(stored: Tool) -> None:
    lazy = scan_parquet(f"{stored.url}/t.parquet").select(pl.len())
    stored.fs.rm(f"{stored.main}/t.parquet")
    assert lazy.collect().item() == ROWS
    with pytest.raises(NotFoundError, match="no Parquet files"):
        scan_parquet(f"{stored.url}/t.parquet")


def test_folders_patterns_and_lists(at: Tool) -> None:
    with at.fs.transaction as tr:
        for number in range(4):
            pyxet.to_parquet(
                FRAME[number * 10 : (number + 1) * 10], f"{at.main}/f/k={number}/x.parquet", filesystem=tr.fs
            )
        tr.pipe(f"{at.main}/f/README.md", b"# Files")
        # Pending files are read as well.
        assert scan_parquet(f"{at.url}/f").select(pl.len()).collect().item() == 40
    at.fresh()
    lazy = scan_parquet(f"{at.url}/f")
    assert lazy.collect_schema()["k"] == pl.Int32
    assert lazy.filter(c("k") == 2).select("n").collect()["n"].to_list() == list(range(20, 30))
    assert lazy.filter(c("k") == 7).collect().height == 0
    assert at.count(XORB) <= 3
    for source, count in [
        (f"{at.url}/f/*/*.parquet", 40),
        (f"{at.url}/f/k=[01]/*.parquet", 20),
        ([f"{at.url}/f/k=1/x.parquet", f"{at.url}/f/k=3/x.parquet"], 20),
        (f"{at.url}/f/k=1/x.parquet", 10),
        (at.url, 40),
    ]:
        assert scan_parquet(source).select(pl.len()).collect().item() == count
    assert "k" not in scan_parquet(f"{at.url}/f", hive_partitioning=False).collect_schema()
    assert scan_parquet(f"{at.main}/f", filesystem=at.fs, batch_size=3).collect().height == 40


def test_a_name_that_is_there_is_no_pattern(at: Tool) -> None:
    for name, rows in (("data[1].parquet", 3), ("data1.parquet", 5)):
        pyxet.to_parquet(FRAME[:rows], f"{at.main}/{name}", filesystem=at.fs)
    for source, count in (
        ("data[1].parquet", 3), (glob.escape("data[1].parquet"), 3), ("data1.parquet", 5), ("data[12].parquet", 5)
    ):  # fmt: skip
        assert scan_parquet(f"{at.url}/{source}").select(pl.len()).collect().item() == count


def test_what_cannot_be_scanned(at: Tool) -> None:
    at.fs.pipe_file(f"{at.main}/x/README.md", b"# Nothing")
    for source, error, words in [
        (f"{at.url}/nothing.parquet", NotFoundError, "no Parquet files"),
        (f"{at.url}/*.parquet", NotFoundError, "no Parquet files"),
        (f"{at.url}/x", NotFoundError, "no Parquet files"),
        ("/tmp/x.parquet", XetURLError, "not a pyxet URL"),
        ([], XetURLError, "empty"),
    ]:
        with pytest.raises(error, match=words):
            scan_parquet(source)
    with pytest.raises(Exception, match=r"(?i)parquet"):
        scan_parquet(f"{at.url}/x/README.md")


def test_types_of_polars_survive(at: Tool) -> None:
    # pyarrow ends the process where it meets dictionaries of string views.
    frame = pl.DataFrame({
        "category": pl.Series(["x", "y", "x", None], dtype=pl.Categorical),
        "enum": pl.Series(["x", "y", None, "x"], dtype=pl.Enum(["x", "y"])),
        "text": ["a", None, "", "ü"],
        "bytes": [b"", None, b"\0", b"1"],
        "list": [["a"], [], None, ["b", None]],
        "struct": [{"q": "a"}, {"q": None}, {"q": ""}, {"q": "b"}],
        "decimal": pl.Series(["1.5", None, "2", "0"]).cast(pl.Decimal(10, 2)),
        "time": [dt.time(1), None, dt.time(2, 3), dt.time(4)],
    })  # fmt: skip
    pyxet.to_parquet(frame, f"{at.url}/types.parquet")
    found = scan_parquet(f"{at.url}/types.parquet").collect()
    assert found.cast({"category": pl.String, "enum": pl.String}).equals(
        frame.cast({"category": pl.String, "enum": pl.String})
    )
    assert found.schema["decimal"] == frame.schema["decimal"]
