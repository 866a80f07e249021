"""Code of others that opens transactions of its own, inside of a user's."""

# ruff: noqa: PT012, SIM117  # what has to raise is the end of a block, and which block is the point

from __future__ import annotations

import io
import json
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import fsspec
import pytest
from support.blocks import Failure
from support.history import messages
from support.threads import on_thread

import pyxet
from pyxet._async.changes.changeset import ChangeSet
from pyxet.errors import RevisionNotFoundError, TransactionError

pytestmark = pytest.mark.usefixtures("nothing_left_behind")

MIB = 1024 * 1024


def save_checkpoint(fs: Any, folder: str, shards: dict[str, bytes], *, fail: bool = False) -> None:
    """What checkpoint code does: a transaction, files in it one by one, an index at the end."""
    with fs.transaction:
        for name, data in shards.items():
            with fs.open(f"{folder}/{name}", "wb") as file:
                file.write(data[: MIB // 2])
                file.write(data[MIB // 2 :])
        if fail:
            raise Failure
        with fs.transaction, fs.open(f"{folder}/index.json", "w") as index:
            json.dump(sorted(shards), index)


SHARDS = {"0.bin": os.urandom(2 * MIB), "1.bin": b"\x00small", "config.txt": b"text"}


@pytest.mark.parametrize("way", ["itself", "bound", "another thread"])
def test_checkpoints(xet: pyxet.XetFS, main: str, way: str) -> None:
    with xet.transaction(message="epochs") as tr:
        fs = xet if way == "itself" else tr.fs

        def save(folder: str, *, fail: bool = False) -> None:
            save_checkpoint(fs, f"{main}/{folder}", SHARDS, fail=fail)

        def saved(folder: str, *, fail: bool = False) -> None:
            on_thread(lambda: save(folder, fail=fail)) if way == "another thread" else save(folder, fail=fail)

        saved("good")
        with pytest.raises(Failure):
            saved("bad", fail=True)
        with pytest.raises(Failure):
            saved("good", fail=True)
        xet.invalidate_cache()
        fs.invalidate_cache()
        saved("last")
        assert tr.active
    assert messages(xet, main) == ["epochs"]
    found = {name.removeprefix(f"{main}/"): data for name, data in xet.cat(xet.find(main)).items()}
    index = json.dumps(sorted(SHARDS)).encode()
    assert found == {
        f"{folder}/{name}": data
        for folder in ("good", "last")
        for name, data in {**SHARDS, "index.json": index}.items()
    }


def test_files_of_urls_inside(xet: pyxet.XetFS, main: str) -> None:
    options = {"endpoint": xet.endpoint, "user": xet.credential.user, "token": xet.credential.token}
    with xet.transaction as tr:
        fs, path = fsspec.url_to_fs(f"xet://{main}/a.txt.gz", **options)
        with fs.transaction:
            with fsspec.open(f"xet://{main}/a.txt.gz", "wt", compression="infer", **options) as file:
                file.write("text")
            assert fs.exists(path)
        with pytest.raises(Failure):
            with fs.transaction, fsspec.open(f"xet://{main}/b.txt", "wt", **options) as file:
                file.write("text")
                raise Failure
    assert len(tr.commits) == 1
    assert xet.find(main) == [f"{main}/a.txt.gz"]


def test_workers_that_write_chunks(xet: pyxet.XetFS, main: str) -> None:
    """Like stores of arrays: many small keys from a pool, by a mapping; one array of them fails."""

    def chunks(fs: Any, name: str, *, fail: bool = False) -> None:
        with fs.transaction as inner, ThreadPoolExecutor(4) as pool:
            store = inner.fs.get_mapper(f"{main}/{name}")

            def write(number: int) -> None:
                store[f"c/{number}"] = bytes([number]) * 100

            list(pool.map(write, range(20)))
            if fail:
                raise Failure

    with xet.transaction as tr:
        chunks(xet, "first")
        with pytest.raises(Failure):
            chunks(xet, "second", fail=True)
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda name: chunks(tr.fs, name), ["third", "fourth"]))
    assert len(tr.commits) == 1
    assert {name.removeprefix(f"{main}/").partition("/")[0] for name in xet.find(main)} == {"first", "third", "fourth"}
    assert len(xet.find(main)) == 60


def test_contents_that_are_undone_take_no_room(xet: pyxet.XetFS, main: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[ChangeSet] = []
    monkeypatch.setattr(ChangeSet, "__init__", _noting(made, ChangeSet.__init__))
    with xet.transaction:
        xet.pipe(f"{main}/kept.txt", b"kept")
        for turn in range(3):
            with pytest.raises(Failure):
                with xet.transaction:
                    # More of them than wait for the endpoint's decision.
                    xet.pipe({f"{main}/{number}.txt": b"%d %d " % (turn, number) * 2000 for number in range(300)})
                    [changes] = made
                    assert changes.spool.size > 256 * 2000
                    raise Failure
            # A worker thread may hold its last result for a moment.
            assert trimmed(changes, len(b"kept"))
            assert len(changes._small._waiting) <= 1
    assert xet.cat(f"{main}/kept.txt") == b"kept"


def trimmed(changes: ChangeSet, size: int) -> bool:
    """Whether a spool comes to be as small as that."""
    deadline = time.monotonic() + 30
    while changes.spool.size > size and time.monotonic() < deadline:
        time.sleep(0)
        changes.spool.trim()
    return changes.spool.size <= size


def _noting(made: list[ChangeSet], init: Any) -> Any:
    def noted(self: ChangeSet, *args: Any, **kwargs: Any) -> None:
        init(self, *args, **kwargs)
        made.append(self)

    return noted


def test_an_open_file_keeps_what_it_reads(xet: pyxet.XetFS, main: str) -> None:
    with xet.transaction:
        with pytest.raises(Failure):
            with xet.transaction:
                xet.pipe(f"{main}/outer.txt", b"outer")
                xet.pipe({f"{main}/{number}.txt": b"%d" % number * 100 for number in range(300)})
                reading = xet.open(f"{main}/7.txt", "rb")
                xet.pipe(f"{main}/7.txt", b"another")
                xet.pipe({f"{main}/more/{number}.txt": b"x" * 100 for number in range(300)})
                assert reading.read() == b"7" * 100
                raise Failure
        assert xet.find(main) == []


@contextmanager
def proposing(xet: pyxet.XetFS) -> Iterator[pyxet.Transaction[pyxet.XetFS]]:
    with xet.transaction(message="as a pull request", pull_request=True) as tr:
        yield tr


def test_pull_requests_are_of_the_outer_one(xet: pyxet.XetFS, main: str) -> None:
    with proposing(xet) as tr:
        with xet.transaction as inner:
            xet.pipe(f"{main}/a.txt", b"a")
        with xet.transaction(pull_request=True):
            xet.pipe(f"{main}/b.txt", b"b", pull_request=True)
        with pytest.raises(Failure), xet.transaction:
            xet.pipe(f"{main}/c.txt", b"c")
            raise Failure
        assert inner.pull_requests == ()
    [opened] = tr.pull_requests
    assert inner.pull_requests == tr.pull_requests
    assert xet.find(main) == []
    assert len(xet.find(f"{main.removesuffix('/main')}/refs%2Fpr%2F{opened.number}")) == 2
    with xet.transaction:
        xet.pipe(f"{main}/d.txt", b"d")
        with pytest.raises(TransactionError, match="pull_request=True"), xet.transaction(pull_request=True):
            raise AssertionError
        with pytest.raises(TransactionError, match="pull_request=True"):
            xet.start_transaction(pull_request=True)
    assert xet.find(main) == [f"{main}/d.txt"]


def test_a_branch_that_is_not_there(xet: pyxet.XetFS, main: str) -> None:
    repo = main.removesuffix("/main")
    with xet.transaction:
        with pytest.raises(RevisionNotFoundError):
            with xet.transaction:
                xet.pipe(f"{main}/a.txt", b"a")
                xet.pipe(f"{repo}/nope/a.txt", b"a")
        xet.pipe(f"{main}/b.txt", b"b")
    assert xet.find(main) == [f"{main}/b.txt"]


def test_tables_are_written_whole_or_not_at_all(xet: pyxet.XetFS, main: str) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    table = pyarrow.table({"part": ["a", "b"], "value": [1, 2]})
    base = xet.branch_info(main.removesuffix("/main"), "main")["commit"]
    with xet.transaction:
        pyxet.to_parquet(
            table, f"{main}/t", partition_cols=["part"], parent_commit=base, filesystem=xet, message="table"
        )
        with pytest.raises(pyarrow.ArrowException):
            pyxet.to_parquet(table, f"{main}/u.parquet", filesystem=xet, compression="no such")
    assert messages(xet, main) == ["table"]
    assert len(xet.find(main)) == 2
    assert io.BytesIO(xet.cat_file(xet.find(main)[0])).read(4) == b"PAR1"
