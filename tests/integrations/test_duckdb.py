"""DuckDB, as its users write it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import pytest
from support.tools import COMMIT, LOOK, XORB, Tool, tool

import pyxet
from pyxet.duckdb import transaction
from pyxet.errors import EditConflictError, TransactionError
from pyxet.testing import LocalEndpoint

ROWS = 200_000
FAILING = f"SELECT CASE WHEN i = {ROWS - 1} THEN error('no such number') ELSE i END AS i FROM range({ROWS}) t(i)"


@pytest.fixture
def at(shared_endpoint: LocalEndpoint, main: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tool]:
    with tool(shared_endpoint, main, monkeypatch) as found:
        yield found


@pytest.fixture
def con(at: Tool) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(config={"threads": 4}) as connection:
        connection.register_filesystem(at.fs)
        connection.execute(f"CREATE TABLE numbers AS SELECT i, i % 4 AS part, hash(i) AS noise FROM range({ROWS}) t(i)")
        yield connection


def ask(con: duckdb.DuckDBPyConnection, query: str) -> tuple[object, ...]:
    row = con.execute(query).fetchone()
    assert isinstance(row, tuple)
    return row


@pytest.mark.parametrize("name", ["t.parquet", "t.csv", "t.csv.gz", "t.json"])
def test_a_copy_is_one_commit(at: Tool, con: duckdb.DuckDBPyConnection, name: str) -> None:
    con.execute(f"COPY numbers TO '{at.url}/{name}'")
    assert at.titles == [f"Upload {name}"]
    assert ask(con, f"SELECT count(*), sum(i) FROM '{at.url}/{name}'") == (ROWS, sum(range(ROWS)))


def test_partitions_and_globs(at: Tool, con: duckdb.DuckDBPyConnection) -> None:
    con.execute(f"COPY numbers TO '{at.url}/table' (FORMAT parquet, PARTITION_BY (part))")
    assert at.files() == [f"table/part={part}/data_0.parquet" for part in range(4)]
    assert len(at.titles) == 4
    for pattern in ("table/*/*.parquet", "table/**/*.parquet", "table/part=[01]/*.parquet"):
        count = ROWS // 2 if "[" in pattern else ROWS
        assert ask(con, f"SELECT count(*) FROM read_parquet('{at.url}/{pattern}')") == (count,)
    files = [f"{at.url}/table/part={part}/data_0.parquet" for part in (1, 2)]
    assert ask(con, f"SELECT count(*) FROM read_parquet({files})") == (ROWS // 2,)
    with pytest.raises(duckdb.IOException, match="No files found"):
        con.execute(f"SELECT * FROM '{at.url}/nothing/*.parquet'")
    with pytest.raises(duckdb.IOException, match="is not empty"):
        con.execute(f"COPY numbers TO '{at.url}/table' (FORMAT parquet, PARTITION_BY (part))")


def test_columns_and_rows_that_do_not_matter_are_not_read(at: Tool, con: duckdb.DuckDBPyConnection) -> None:
    con.execute(f"COPY (FROM numbers ORDER BY i) TO '{at.url}/t.parquet' (ROW_GROUP_SIZE 20480)")
    at.fresh()
    assert ask(con, f"SELECT sum(i) FROM '{at.url}/t.parquet' WHERE i < 1000") == (499_500,)
    # Where it is, and when it changed; the footer, and a column chunk of one row group of ten.
    assert at.count(LOOK) == 2
    assert at.count(XORB) == 2
    at.proxy.seen.clear()
    assert ask(con, f"SELECT count(*) FROM '{at.url}/t.parquet'") == (ROWS,)
    assert at.count() <= 2


def test_few_requests_for_many_files(at: Tool, con: duckdb.DuckDBPyConnection) -> None:
    with transaction(con, at.fs):
        con.execute(f"COPY (FROM numbers LIMIT 60) TO '{at.url}/table' (FORMAT parquet, PARTITION_BY (i))")
    at.fresh()
    assert ask(con, f"SELECT count(*) FROM '{at.url}/table/*/*.parquet'") == (60,)
    # One listing; dates are asked for in batches, perhaps by four threads at once. Not one look at each file, and another.
    assert at.count(LOOK) < 30


def test_what_was_read_is_not_what_is_there_now(at: Tool, con: duckdb.DuckDBPyConnection) -> None:
    """DuckDB keeps what it read by the time of the change, and a commit's time is in seconds."""
    for number in range(5):
        con.execute(f"COPY (SELECT {number} AS n) TO '{at.url}/t.parquet'")
        assert ask(con, f"SELECT n FROM '{at.url}/t.parquet'") == (number,)


def test_a_transaction_is_one_commit(at: Tool, con: duckdb.DuckDBPyConnection) -> None:
    con.execute(f"COPY numbers TO '{at.url}/t.parquet'")
    with transaction(con, at.fs, message="all of it") as tr:
        # Over one that is there: DuckDB writes another file, and moves it.
        con.execute(f"COPY (FROM numbers LIMIT 10) TO '{at.url}/t.parquet'")
        for _ in range(2):
            con.execute(f"COPY numbers TO '{at.url}/table' (FORMAT parquet, PARTITION_BY (part), OVERWRITE)")
        assert ask(con, f"SELECT count(*) FROM '{at.url}/table/*/*.parquet'") == (ROWS,)
        # Which leaves files unclosed.
        con.execute(f"EXPORT DATABASE '{at.url}/export' (FORMAT parquet)")
        assert at.titles == ["Upload t.parquet"]
    assert len(tr.commits) == 1
    assert at.titles == ["all of it", "Upload t.parquet"]
    assert at.files("table") == [f"table/part={part}/data_0.parquet" for part in range(4)]
    assert ask(con, f"SELECT count(*) FROM '{at.url}/t.parquet'") == (10,)
    with duckdb.connect() as other:
        other.register_filesystem(at.fs)
        other.execute(f"IMPORT DATABASE '{at.url}/export'")
        assert ask(other, "SELECT count(*) FROM numbers") == (ROWS,)


@pytest.mark.parametrize("options", ["", "(FORMAT parquet, PARTITION_BY (part))", "(FORMAT csv)"])
def test_a_copy_that_fails_is_nothing_in_a_transaction(at: Tool, con: duckdb.DuckDBPyConnection, options: str) -> None:
    with pytest.raises(duckdb.InvalidInputException, match="no such number"), transaction(con, at.fs):
        con.execute(f"COPY (SELECT *, i % 4 AS part FROM ({FAILING})) TO '{at.url}/t.parquet' {options}")
    assert at.count(COMMIT) == 0
    assert at.titles == []
    # The connection goes on with the file system that it had.
    con.execute(f"COPY numbers TO '{at.url}/t.parquet'")
    assert at.titles == ["Upload t.parquet"]


def test_a_copy_that_fails_is_deleted_again_outside(at: Tool, con: duckdb.DuckDBPyConnection) -> None:
    """DuckDB closes what it could not complete, and deletes it: nothing tells the file that it is not complete."""
    with pytest.raises(duckdb.InvalidInputException, match="no such number"):
        con.execute(f"COPY ({FAILING}) TO '{at.url}/t.parquet'")
    assert at.files() == []
    assert at.titles == ["Delete t.parquet", "Upload t.parquet"]


def test_a_transaction_that_cannot_begin_or_end(at: Tool, con: duckdb.DuckDBPyConnection) -> None:
    with pytest.raises(TransactionError, match="still open"), at.fs.transaction:
        begun = at.fs.start_transaction()
    assert not begun.active
    base = at.fs.branch_info(at.main.removesuffix("/main"), "main")["commit"]
    con.execute(f"COPY numbers TO '{at.url}/t.parquet'")
    with pytest.raises(EditConflictError), transaction(con, parent_commit=base):
        con.execute(f"COPY (FROM numbers LIMIT 10) TO '{at.url}/t.parquet'")
    assert ask(con, f"SELECT count(*) FROM '{at.url}/t.parquet'") == (ROWS,)


def test_a_connection_that_knew_no_file_system(at: Tool) -> None:
    with duckdb.connect() as con:
        with transaction(con, message="a number"):
            con.execute(f"COPY (SELECT 1 AS n) TO '{at.url}/t.csv'")
        assert ask(con, f"SELECT n FROM '{at.url}/t.csv'") == (1,)
    assert at.titles == ["a number"]


def test_from_many_threads(at: Tool, con: duckdb.DuckDBPyConnection) -> None:
    con.execute(f"COPY numbers TO '{at.url}/t.parquet' (ROW_GROUP_SIZE 20480)")

    def part(number: int) -> object:
        with con.cursor() as own:
            own.execute(f"COPY (FROM numbers WHERE part = {number % 4}) TO '{at.url}/out/{number}.parquet'")
            return ask(own, f"SELECT count(*), min(part) FROM '{at.url}/out/{number}.parquet'")

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(part, range(8))) == [(ROWS // 4, number % 4) for number in range(8)]
    assert len(at.titles) == 9


def test_a_database_is_attached(at: Tool, con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    with duckdb.connect(tmp_path / "small.duckdb") as small:
        small.execute("CREATE TABLE answers AS SELECT 42 AS answer")
    at.fs.put_file(tmp_path / "small.duckdb", f"{at.main}/small.duckdb")
    con.execute(f"ATTACH '{at.url}/small.duckdb' AS small (READ_ONLY)")
    assert ask(con, "SELECT answer FROM small.answers") == (42,)


def test_an_asynchronous_file_system_is_refused(at: Tool) -> None:
    with duckdb.connect() as con:
        con.register_filesystem(pyxet.AsyncXetFileSystem(asynchronous=True))
        with pytest.raises(duckdb.Error, match=r"NotSupportedError|pyxet\.XetFS"):
            con.execute(f"SELECT * FROM '{at.url}/t.parquet'")
