"""Transactions: one commit for each branch, or none; who takes part in one, and what is seen inside and outside."""

# ruff: noqa: PT012, PT031  # what has to raise is the end of a block

from __future__ import annotations

import asyncio
import gc
import gzip
import io
import json
import os
import threading
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import fsspec
import pandas as pd
import pyarrow as pa
import pyarrow.dataset
import pytest
from _faults import check_clean
from _settled import check_budgets

import pyxet
from pyxet.errors import (
    AlreadyExistsError,
    BadRequestError,
    EditConflictError,
    NotSupportedError,
    PartialCommitError,
    RevisionNotFoundError,
    TransactionError,
)
from pyxet.testing import LocalEndpoint, local_endpoint

MIB = 1024 * 1024
BINARY = b"\xff\x00binary"


def messages(fs: pyxet.XetFS, branch: str) -> list[str]:
    """Messages of the commits that were made on a branch, oldest first."""
    return [commit.message for commit in reversed(fs.log(branch))][1:]


def on_thread(job: Callable[[], Any]) -> Any:
    """Run a job on a thread that knows of no transaction."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(job).result()


@pytest.fixture
def other(shared_endpoint: LocalEndpoint) -> pyxet.XetFS:
    """Another user's view of the endpoint: what is in no transaction of ours, and always fresh."""
    return pyxet.XetFS(
        endpoint=shared_endpoint.url, user="somebody", token=shared_endpoint.token, listings_expiry_time=0
    )


@pytest.fixture
def url(shared_endpoint: LocalEndpoint, main: str) -> str:
    """The branch as a URL with the endpoint."""
    return f"xet://{shared_endpoint.url.removeprefix('http://')}:{main}"


@pytest.fixture
def options(shared_endpoint: LocalEndpoint) -> dict[str, str]:
    """Who connects, for libraries that make file systems from URLs."""
    return {"user": shared_endpoint.user, "token": shared_endpoint.token}


# -- one commit or none ------------------------------------------------------------------------------------------------


def test_many_files_are_one_commit(xet: pyxet.XetFS, main: str, tmp_path: Path) -> None:
    (tmp_path / "local.txt").write_text("local")
    xet.pipe({f"{main}/old.txt": b"old", f"{main}/moved.txt": b"moved"})
    with xet.transaction as tr:
        tr.set_commit_message("experiment 1\n\nwith a description")
        xet.pipe(f"{main}/a.txt", b"a")
        xet.put(str(tmp_path / "local.txt"), f"{main}/local.txt")
        with xet.open(f"{main}/large.bin", "wb") as file:
            file.write(BINARY * 300_000)
        xet.rm(f"{main}/old.txt")
        xet.cp(f"{main}/moved.txt", f"{main}/copy.txt")
        xet.mv(f"{main}/moved.txt", f"{main}/new.txt")
        assert tr.commits == ()
    assert [commit.message for commit in tr.commits] == ["experiment 1\n\nwith a description"]
    assert tr.commits[0].id == xet.branch_info(main.removesuffix("/main"), "main")["commit"]
    assert len(messages(xet, main)) == 2
    assert {name.removeprefix(f"{main}/"): len(data) for name, data in xet.cat(main, recursive=True).items()} == {
        "a.txt": 1, "copy.txt": 5, "large.bin": len(BINARY) * 300_000, "local.txt": 5, "new.txt": 5,
    }  # fmt: skip


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit, GeneratorExit])
def test_an_exception_leaves_nothing(xet: pyxet.XetFS, main: str, error: type[BaseException]) -> None:
    xet.pipe(f"{main}/old.txt", b"old")
    with pytest.raises(error), xet.transaction as tr:
        xet.pipe(f"{main}/a.txt", b"a")
        xet.rm(f"{main}/old.txt")
        left_open = xet.open(f"{main}/b.txt", "w")
        left_open.write("half")
        large = xet.open(f"{main}/large.bin", "wb")
        large.write(BINARY * 500_000)
        raise error
    assert tr.commits == ()
    assert left_open.closed
    assert large.closed
    assert xet.find(main) == [f"{main}/old.txt"]
    assert len(messages(xet, main)) == 1


def test_nothing_changed_is_no_commit(xet: pyxet.XetFS, main: str) -> None:
    xet.pipe({f"{main}/a.txt": b"a", f"{main}/b.bin": BINARY})
    with xet.transaction as tr:
        pass
    assert tr.commits == ()
    with xet.transaction as tr:
        xet.pipe({f"{main}/a.txt": b"a", f"{main}/b.bin": BINARY})
        xet.pipe(f"{main}/c.txt", b"c")
        xet.rm(f"{main}/c.txt")
    assert tr.commits == ()
    assert len(messages(xet, main)) == 1


def test_content_goes_up_while_it_is_written(main: str, shared_endpoint: LocalEndpoint) -> None:
    from _faults import SHARD, UPLOAD, FaultProxy

    with FaultProxy(shared_endpoint.url) as proxy:
        fs = pyxet.XetFS(
            endpoint=proxy.url, user="acme", token=shared_endpoint.token, limits=pyxet.Limits(memory=16 * MIB)
        )
        with fs.transaction, fs.open(f"{main}/large.bin", "wb") as file:
            for _ in range(12):
                file.write(os.urandom(MIB))
            assert proxy.count(UPLOAD) > 0
            assert proxy.count(SHARD) == proxy.count("POST .*/commit/") == 0
        assert proxy.count("POST .*/commit/main") == 1


@pytest.mark.parametrize("message", [None, "", "  \n "])
def test_default_message_tells_the_paths(xet: pyxet.XetFS, main: str, message: str | None) -> None:
    with xet.transaction(message=message):
        xet.pipe(f"{main}/a.txt", b"a")
    with xet.transaction(message=message):
        xet.pipe({f"{main}/b.txt": b"b", f"{main}/c.txt": b"c"})
        xet.rm(f"{main}/a.txt")
    assert messages(xet, main) == ["Upload a.txt", "Upload 2 files, Delete a.txt"]


def test_default_message_of_copies_and_moves(xet: pyxet.XetFS, main: str, repo: str) -> None:
    xet.pipe({f"{main}/{name}": name.encode() for name in ("a", "b", "d/1", "d/2")}, message="first")
    xet.cp(f"{main}/a", f"{main}/copy")
    xet.mv(f"{main}/a", f"{main}/moved")
    xet.mv(f"{main}/d", f"{main}/e", recursive=True)
    xet.make_branch(repo, "main", "other")
    xet.mv(f"{main}/b", f"{repo}/other/c")
    with xet.transaction:
        xet.pipe({f"{main}/new": b"new", f"{main}/again": b"new"})
        xet.mv(f"{main}/new", f"{main}/newer")
        xet.cp(f"{main}/copy", f"{main}/again")
        xet.mv(f"{main}/moved", f"{main}/x")
        xet.mv(f"{main}/x", f"{main}/y")
        xet.rm(f"{main}/e/1")
        xet.cp(f"{main}/copy", f"{main}/z")
        xet.pipe(f"{main}/z", b"not a copy")
    assert messages(xet, main)[:-1] == [
        "first", "Copy copy", "Move a to moved", "Move 2 files", "Delete b",
    ]  # fmt: skip
    assert messages(xet, main)[-1] == "Upload 2 files, Copy again, Move moved to y, Delete e/1"
    assert messages(xet, f"{repo}/other")[-1] == "Copy c"


def test_message_of_the_call_that_begins_it(xet: pyxet.XetFS, main: str) -> None:
    with xet.transaction(message="\n  given\n"):
        xet.pipe(f"{main}/a.txt", b"a", message="not this one")
    assert messages(xet, main) == ["given"]


def test_without_a_block(xet: pyxet.XetFS, main: str) -> None:
    tr = xet.start_transaction(message="by hand")
    assert xet.transaction is tr
    xet.pipe(f"{main}/a.txt", b"a")
    xet.end_transaction()
    assert messages(xet, main) == ["by hand"]
    xet.start_transaction()
    xet.pipe(f"{main}/b.txt", b"b")
    xet.cancel_transaction()
    assert xet.find(main) == [f"{main}/a.txt"]
    for end in (xet.end_transaction, xet.cancel_transaction):
        with pytest.raises(TransactionError, match="no transaction is open"):
            end()


def test_very_many_small_files(xet: pyxet.XetFS, main: str) -> None:
    names = [f"{main}/{number % 40}/{number}.txt" for number in range(800)]
    with xet.transaction as tr:
        for name in names:
            xet.pipe(name, name.encode())
        assert len(xet.find(main)) == 800
        assert len(list(xet.walk(main))) == 41
        xet.rm([name for name in names if name.endswith("7.txt")])
    assert len(tr.commits) == 1
    assert len(xet.find(main)) == 720
    assert xet.cat(names[799]) == names[799].encode()


def test_several_branches_are_a_commit_each(xet: pyxet.XetFS, repo: str) -> None:
    xet.make_branch(repo, "main", "second")
    with xet.transaction(message="both") as tr:
        xet.pipe(f"{repo}/main/a.txt", b"a")
        xet.pipe(f"{repo}/second/b.txt", b"b")
        xet.cp(f"{repo}/main/a.txt", f"{repo}/second/c.txt")
    assert len(tr.commits) == 2
    assert messages(xet, f"{repo}/main") == messages(xet, f"{repo}/second") == ["both"]
    assert xet.cat(f"{repo}/second/c.txt") == b"a"


def test_partial_commit_says_what_was_made(
    xet: pyxet.XetFS, other: pyxet.XetFS, repo: str, shared_endpoint: LocalEndpoint
) -> None:
    from _faults import FAST, FaultProxy, answer

    for name in ("second", "third"):
        xet.make_branch(repo, "main", name)
    with FaultProxy(shared_endpoint.url) as proxy:
        fs = pyxet.XetFS(endpoint=proxy.url, user="acme", token=shared_endpoint.token, retry=FAST)
        proxy.rule("POST .*/commit/second", answer(403))
        with pytest.raises(PartialCommitError) as caught, fs.transaction as tr:
            for name in ("main", "second", "third"):
                fs.pipe(f"{repo}/{name}/a.txt", b"a")
    head = other.branch_info(repo, "main")["commit"]
    assert [(path, commit.id) for path, commit in caught.value.made] == [(f"{repo}/main", head)]
    assert caught.value.failed == f"{repo}/second"
    assert f"{repo}/main at {head[:10]}" in str(caught.value)
    assert isinstance(caught.value.__cause__, PermissionError)
    assert [commit.id for commit in tr.commits] == [head]
    assert other.find(f"{repo}/second") == other.find(f"{repo}/third") == []


def test_conflict_on_any_branch_is_found_before_the_first_commit(
    xet: pyxet.XetFS, other: pyxet.XetFS, repo: str
) -> None:
    xet.make_branch(repo, "main", "second")
    with pytest.raises(AlreadyExistsError), xet.transaction as tr:
        xet.pipe(f"{repo}/main/a.txt", b"a")
        xet.pipe_file(f"{repo}/second/b.txt", b"b", mode="create")
        other.pipe(f"{repo}/second/b.txt", b"first")
    assert tr.commits == ()
    assert other.find(f"{repo}/main") == []


# -- what is seen ------------------------------------------------------------------------------------------------------


def test_inside_sees_pending_writes_and_deletions(
    xet: pyxet.XetFS, other: pyxet.XetFS, main: str, tmp_path: Path
) -> None:
    xet.pipe({f"{main}/kept/old.txt": b"old", f"{main}/gone/x.txt": b"x", f"{main}/gone/y.txt": b"y"})
    before = other.find(main)
    large = os.urandom(2 * MIB)
    with xet.transaction:
        xet.pipe({f"{main}/kept/new.txt": b"new", f"{main}/made/a.bin": BINARY, f"{main}/made/large.bin": large})
        xet.rm(f"{main}/gone/x.txt")
        assert xet.ls(f"{main}/gone", detail=False) == [f"{main}/gone/y.txt"]
        xet.rm(f"{main}/gone/y.txt")
        inside = [f"{main}/kept/new.txt", f"{main}/kept/old.txt", f"{main}/made/a.bin", f"{main}/made/large.bin"]
        assert xet.find(main) == inside
        assert sorted(xet.ls(main, detail=False)) == [f"{main}/kept", f"{main}/made"]
        assert [(top.removeprefix(main), sorted(folders), sorted(files)) for top, folders, files in xet.walk(main)] == [
            ("", ["kept", "made"], []), ("/kept", [], ["new.txt", "old.txt"]), ("/made", [], ["a.bin", "large.bin"]),
        ]  # fmt: skip
        assert xet.glob(f"{main}/*/*.txt") == inside[:2]
        assert xet.du(main) == 3 + 3 + len(BINARY) + len(large)
        assert xet.info(f"{main}/made/a.bin")["size"] == len(BINARY)
        assert xet.isdir(f"{main}/made")
        for path in (f"{main}/gone", f"{main}/gone/x.txt"):
            assert not xet.exists(path)
            with pytest.raises(FileNotFoundError):
                xet.info(path)
        with pytest.raises(FileNotFoundError):
            xet.cat(f"{main}/gone/x.txt")
        with pytest.raises(FileNotFoundError):
            xet.ls(f"{main}/gone")
        assert xet.cat([inside[0], inside[2]]) == {inside[0]: b"new", inside[2]: BINARY}
        assert xet.cat_ranges([inside[2], inside[3]], [1, MIB], [4, MIB + 9]) == [BINARY[1:4], large[MIB : MIB + 9]]
        with xet.open(inside[3]) as file:
            file.seek(MIB)
            assert file.read(10) == large[MIB : MIB + 10]
        xet.get(f"{main}/made", str(tmp_path / "got"), recursive=True)
        assert (tmp_path / "got" / "large.bin").read_bytes() == large
        xet.cp(f"{main}/made", f"{main}/copied", recursive=True)
        xet.mv(f"{main}/made/a.bin", f"{main}/moved.bin")
        assert xet.cat(f"{main}/copied/a.bin") == xet.cat(f"{main}/moved.bin") == BINARY
        assert not xet.exists(f"{main}/made/a.bin")
        assert other.find(main) == before
        assert on_thread(lambda: xet.find(main)) == before
        pending = xet.find(main)
    assert xet.find(main) == other.find(main) == pending
    assert xet.cat(f"{main}/copied/large.bin") == large


@pytest.mark.parametrize("text", [b"text", BINARY])
def test_the_last_operation_on_a_path_wins(xet: pyxet.XetFS, main: str, text: bytes) -> None:
    xet.pipe({f"{main}/again": text, f"{main}/deleted": text})
    with xet.transaction:
        xet.pipe(f"{main}/a", text)
        xet.pipe(f"{main}/a", text * 2)
        xet.rm(f"{main}/again")
        xet.pipe(f"{main}/again", text * 3)
        xet.pipe(f"{main}/deleted", text * 4)
        xet.rm(f"{main}/deleted")
        with pytest.raises(FileNotFoundError):
            xet.rm(f"{main}/deleted")
        xet.pipe(f"{main}/b", text * 5)
        xet.rm(f"{main}/b")
    assert xet.cat(main, recursive=True) == {f"{main}/a": text * 2, f"{main}/again": text * 3}


def test_a_chunk_written_twice_keeps_its_first_half(xet: pyxet.XetFS, main: str) -> None:
    chunk = bytearray(64)
    with xet.transaction:
        chunk[:32] = b"a" * 32
        xet.pipe(f"{main}/chunk", bytes(chunk))
        again = bytearray(xet.cat(f"{main}/chunk"))
        again[32:] = b"b" * 32
        xet.pipe(f"{main}/chunk", bytes(again))
    assert xet.cat(f"{main}/chunk") == b"a" * 32 + b"b" * 32


def test_append_within(xet: pyxet.XetFS, main: str) -> None:
    xet.pipe(f"{main}/log.txt", b"one\n")
    with xet.transaction:
        for line in ("two\n", "three\n"):
            with xet.open(f"{main}/log.txt", "a") as file:
                file.write(line)
    assert xet.cat(f"{main}/log.txt") == b"one\ntwo\nthree\n"


def test_file_and_folder_take_each_others_place(xet: pyxet.XetFS, main: str) -> None:
    xet.pipe({f"{main}/a": b"a", f"{main}/b/c": b"c", f"{main}/b/d/e": b"e"})
    with xet.transaction:
        xet.rm(f"{main}/a")
        xet.pipe(f"{main}/a/below", b"below")
        xet.rm(f"{main}/b", recursive=True)
        xet.pipe(f"{main}/b", b"file")
        assert xet.find(main) == [f"{main}/a/below", f"{main}/b"]
    assert xet.cat(main, recursive=True) == {f"{main}/a/below": b"below", f"{main}/b": b"file"}
    assert len(messages(xet, main)) == 2


def test_a_folder_with_somebody_elses_file_does_not_become_a_file(
    xet: pyxet.XetFS, other: pyxet.XetFS, main: str
) -> None:
    xet.pipe(f"{main}/a/b", b"b")
    with pytest.raises(BadRequestError, match="a cannot become a file: a/theirs is below it"), xet.transaction:
        xet.rm(f"{main}/a", recursive=True)
        xet.pipe(f"{main}/a", b"file")
        other.pipe(f"{main}/a/theirs", b"theirs")
    assert other.find(main) == [f"{main}/a/b", f"{main}/a/theirs"]


def test_a_path_cannot_be_a_file_and_a_folder(xet: pyxet.XetFS, main: str) -> None:
    xet.pipe(f"{main}/folder/file", b"x")
    for first, second in (("a", "a/b"), ("a/b", "a"), ("a/b/c", "a")):
        with pytest.raises(BadRequestError, match=f"{main}/a would be a file and a folder"), xet.transaction:
            xet.pipe(f"{main}/{first}", b"x")
            xet.pipe(f"{main}/{second}", b"x")
    with pytest.raises(BadRequestError, match="folder is a folder"):
        xet.pipe(f"{main}/folder", b"x")
    with pytest.raises(BadRequestError, match="folder/file is a file"):
        xet.pipe(f"{main}/folder/file/below", b"x")
    assert xet.find(main) == [f"{main}/folder/file"]


def test_a_file_read_inside_is_not_readable_afterwards(xet: pyxet.XetFS, main: str) -> None:
    with xet.transaction:
        xet.pipe(f"{main}/a.txt", b"pending")
        file = xet.open(f"{main}/a.txt")
    with pytest.raises(TransactionError):
        file.read()


# -- who takes part ----------------------------------------------------------------------------------------------------


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
        elsewhere.make_repo("acme/r")
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
    assert fresh.find("local/r/main") == []


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


def run_on_a_loop_of_its_own(job: Callable[[], Any]) -> Any:
    return on_thread(lambda: asyncio.run(job()))


@pytest.mark.parametrize("by_json", [False, True])
def test_bound_file_system_on_another_loop(xet: pyxet.XetFS, main: str, by_json: bool) -> None:
    def asynchronous(fs: Any) -> Any:
        # What zarr does with a blocking file system.
        return fsspec.AbstractFileSystem.from_json(json.dumps(json.loads(fs.to_json()) | {"asynchronous": True}))

    with xet.transaction as tr:
        fs = asynchronous(tr.fs) if by_json else tr.fs

        async def write() -> None:
            await asyncio.gather(*(fs._pipe_file(f"{main}/{number}", b"%d" % number) for number in range(10)))
            assert await fs._cat_file(f"{main}/3") == b"3"
            await fs._rm(f"{main}/9")

        run_on_a_loop_of_its_own(write)
    assert len(tr.commits) == 1
    assert len(xet.find(main)) == 9
    with pytest.raises(TransactionError):
        run_on_a_loop_of_its_own(lambda: fs._pipe_file(f"{main}/late", b"late"))


async def test_asynchronous_transaction(shared_endpoint: LocalEndpoint, xet: pyxet.XetFS, main: str) -> None:
    async with pyxet.AsyncXetFileSystem(
        endpoint=shared_endpoint.url, user="acme", token=shared_endpoint.token, asynchronous=True
    ) as fs:
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
    async with pyxet.AsyncXetFileSystem(
        endpoint=shared_endpoint.url, user="acme", token=shared_endpoint.token, asynchronous=True
    ) as fs:
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


# -- two at once, nested, after the end --------------------------------------------------------------------------------


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
    async with pyxet.AsyncXetFileSystem(
        endpoint=shared_endpoint.url, user="acme", token=shared_endpoint.token, asynchronous=True
    ) as fs:
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


def test_nested_ones_raise_and_the_outer_goes_on(xet: pyxet.XetFS, main: str) -> None:
    with xet.transaction as tr:
        for inner in (xet.transaction, xet.transaction(message="inner"), tr.fs.transaction, pyxet.Transaction(xet)):
            with pytest.raises(TransactionError, match="do not nest"), inner:
                pass
        with pytest.raises(TransactionError, match="do not nest"):
            xet.start_transaction()
        xet.pipe(f"{main}/a.txt", b"a")
    assert len(tr.commits) == 1


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
    for file, data in ((text, "late"), (binary, b"late")):
        with pytest.raises(ValueError, match="closed"):
            file.write(data)
    with pytest.raises(TransactionError, match="not begun"):
        xet.transaction.pipe(f"{main}/c.txt", b"c")
    assert xet.find(main) == [f"{main}/a.txt", f"{main}/b.bin"]
    assert xet.cat(f"{main}/a.txt") == b""


def test_a_thread_that_is_late_is_told(xet: pyxet.XetFS, main: str, shared_endpoint: LocalEndpoint) -> None:
    from _faults import FaultProxy, gated

    with FaultProxy(shared_endpoint.url) as proxy, ThreadPoolExecutor(1) as pool:
        fs = pyxet.XetFS(endpoint=proxy.url, user="acme", token=shared_endpoint.token)
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


def test_the_bound_file_system_stays_in_its_process(xet: pyxet.XetFS) -> None:
    import pickle

    with xet.transaction as tr, pytest.raises(TransactionError, match="cannot be pickled"):
        pickle.dumps(tr.fs)


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


def test_an_abandoned_one_is_let_go(xet: pyxet.XetFS, main: str) -> None:
    from pyxet._async.fanout import WRITE_MEMORY

    def begin() -> None:
        xet.start_transaction()
        xet.pipe(f"{main}/a.bin", BINARY)
        file = xet.open(f"{main}/b.bin", "wb")
        file.write(os.urandom(3 * MIB))
        assert WRITE_MEMORY.in_use > 0

    with pytest.warns(ResourceWarning, match=r"never ended|unclosed file"):
        on_thread(begin)
        gc.collect()
    check_budgets()
    assert xet.find(main) == []


# -- files that are left open ------------------------------------------------------------------------------------------


@pytest.fixture(params=["text", "gzip", "own text", "own gzip", "own zip", "fsspec", "fsspec gzip", "pandas", "bz2"])
def left_open(
    request: pytest.FixtureRequest, xet: pyxet.XetFS, main: str, url: str, options: dict[str, str]
) -> tuple[Callable[[], Any], Callable[[bytes], bytes]]:
    """Makes a text file that is written and left open; and how to decode what it wrote."""
    path = f"{main}/left.txt"

    def own(wrap: Callable[[Any], Any]) -> Any:
        return io.TextIOWrapper(wrap(xet.open(path, "wb")))

    def zipped(file: Any) -> Any:
        archive = zipfile.ZipFile(file, "w")
        return archive.open("member", "w")

    def unzipped(data: bytes) -> bytes:
        return zipfile.ZipFile(io.BytesIO(data)).read("member")

    def pandas() -> Any:
        from pandas.io.common import get_handle

        return get_handle(f"{url}/left.txt", "w", compression="gzip", storage_options=options).handle

    import bz2

    kinds: dict[str, tuple[Callable[[], Any], Callable[[bytes], bytes]]] = {
        "text": (lambda: xet.open(path, "w"), bytes),
        "gzip": (lambda: xet.open(path, "wt", compression="gzip"), gzip.decompress),
        "own text": (lambda: own(lambda file: file), bytes),
        "own gzip": (lambda: own(lambda file: gzip.GzipFile(fileobj=file, mode="wb")), gzip.decompress),
        "own zip": (lambda: own(zipped), unzipped),
        "fsspec": (lambda: fsspec.open(f"{url}/left.txt", "w", **options).open(), bytes),
        "fsspec gzip": (
            lambda: fsspec.open(f"{url}/left.txt", "w", compression="gzip", **options).open(), gzip.decompress,
        ),
        "pandas": (pandas, gzip.decompress),
        "bz2": (lambda: own(lambda file: bz2.BZ2File(file, "w")), bz2.decompress),
    }  # fmt: skip
    return kinds[request.param]


def test_left_open_files_are_closed_from_the_outside(
    left_open: tuple[Callable[[], Any], Callable[[bytes], bytes]], xet: pyxet.XetFS, main: str
) -> None:
    make, decode = left_open
    with xet.transaction as tr:
        file = make()
        file.write("all of the text")
        xet.pipe(f"{main}/a.txt", b"a")
    assert len(tr.commits) == 1
    assert file.closed
    assert decode(xet.cat(f"{main}/left.txt")) == b"all of the text"


def test_left_open_files_go_with_a_transaction_that_fails(
    left_open: tuple[Callable[[], Any], Callable[[bytes], bytes]], xet: pyxet.XetFS, main: str
) -> None:
    make, _ = left_open
    with pytest.raises(KeyError), xet.transaction:
        file = make()
        file.write("half of the te")
        raise KeyError
    with pytest.raises(ValueError):
        file.write("more")
    file.close()
    del file
    gc.collect()
    assert xet.find(main) == []


def test_many_left_open(xet: pyxet.XetFS, main: str) -> None:
    with xet.transaction as tr:
        files = [xet.open(f"{main}/{number}", "w") for number in range(200)]
        for file in files:
            file.write("x")
    assert len(tr.commits) == 1
    assert len(xet.find(main)) == 200


def test_file_closed_before_the_end_and_files_that_fail(xet: pyxet.XetFS, main: str) -> None:
    with xet.transaction:
        with xet.open(f"{main}/good.txt", "w") as file:
            file.write("good")
        try:
            with xet.open(f"{main}/bad.txt", "w") as file:
                file.write("half")
                raise KeyError
        except KeyError:
            pass
        assert xet.find(main) == [f"{main}/good.txt"]
    assert xet.find(main) == [f"{main}/good.txt"]


def test_a_file_that_cannot_be_closed_fails_the_transaction(xet: pyxet.XetFS, main: str) -> None:
    with pytest.raises(UnicodeEncodeError), xet.transaction as tr:
        xet.pipe(f"{main}/a.txt", b"a")
        file = xet.open(f"{main}/b.txt", "w", encoding="ascii")
        file.write("\N{SNOWMAN}")
    assert tr.commits == ()
    assert xet.find(main) == []


def test_ended_while_an_exception_is_handled(xet: pyxet.XetFS, main: str) -> None:
    tr = xet.start_transaction()
    file = xet.open(f"{main}/a.txt", "w")
    file.write("all")
    try:
        raise KeyError
    except KeyError:
        xet.end_transaction()
    assert len(tr.commits) == 1
    assert xet.cat(f"{main}/a.txt") == b"all"


def test_autocommit_off_waits_for_commit(xet: pyxet.XetFS, main: str) -> None:
    with xet.transaction:
        kept, dropped, forgotten = (xet.open(f"{main}/{name}", "wb", autocommit=False) for name in "abc")
        for file in (kept, dropped, forgotten):
            with file:
                file.write(BINARY)
        assert xet.find(main) == []
        kept.commit()
        dropped.discard()
        assert xet.find(main) == [f"{main}/a"]
    assert xet.find(main) == [f"{main}/a"]


# -- where one may write -----------------------------------------------------------------------------------------------


def test_missing_branch_is_found_at_once(xet: pyxet.XetFS, repo: str) -> None:
    with xet.transaction:
        for write in (
            lambda path: xet.open(path, "w"), lambda path: xet.pipe(path, b"x"), lambda path: xet.put(__file__, path),
        ):  # fmt: skip
            with pytest.raises(RevisionNotFoundError, match=rf"make_branch\('{repo}', 'main', 'nope'\)"):
                write(f"{repo}/nope/a.txt")


def test_only_branches_are_written_to(xet: pyxet.XetFS, repo: str) -> None:
    xet.pipe(f"{repo}/main/a.txt", b"a")
    xet.make_tag(repo, "v1")
    commit = xet.branch_info(repo, "main")["commit"]
    for revision in ("v1", commit, commit[:8], "main@{2026-11-01}"):
        for write in (
            lambda path: xet.open(path, "w"), lambda path: xet.pipe(path, b"x"), lambda path: xet.rm(path),
            lambda path: xet.mv(path, f"{repo}/main/b.txt"), lambda path: xet.cp(f"{repo}/main/a.txt", path),
        ):  # fmt: skip
            with pytest.raises((NotSupportedError, FileNotFoundError)) as caught:
                write(f"{repo}/{revision}/a.txt")
            if not revision.startswith("main@"):
                assert isinstance(caught.value, NotSupportedError)
    assert xet.find(f"{repo}/main") == [f"{repo}/main/a.txt"]


def test_parent_commit_of_a_transaction(xet: pyxet.XetFS, other: pyxet.XetFS, main: str) -> None:
    xet.pipe({f"{main}/a.txt": b"1", f"{main}/b.txt": b"1", f"{main}/c.txt": b"1"})
    parent = xet.info(main)["commit"]
    other.pipe(f"{main}/b.txt", b"theirs")
    with xet.transaction(parent_commit=parent) as tr:
        xet.pipe(f"{main}/a.txt", b"ours")
        xet.rm(f"{main}/c.txt")
    assert len(tr.commits) == 1
    for touch in (lambda: xet.pipe(f"{main}/b.txt", b"ours"), lambda: xet.rm(f"{main}/b.txt")):
        with pytest.raises(EditConflictError, match=r"b\.txt"), xet.transaction(parent_commit=parent) as tr:
            xet.pipe(f"{main}/new.txt", b"new")
            touch()
        assert tr.commits == ()
    assert xet.cat(main, recursive=True) == {f"{main}/a.txt": b"ours", f"{main}/b.txt": b"theirs"}


def test_parent_commit_of_a_call_inside_is_refused(xet: pyxet.XetFS, main: str) -> None:
    parent = xet.info(main)["commit"]
    with xet.transaction:
        for call in (
            lambda: xet.pipe(f"{main}/a", b"a", parent_commit=parent),
            lambda: xet.open(f"{main}/a", "wb", parent_commit=parent),
        ):
            with pytest.raises(TransactionError, match="whole transaction"):
                call()
    with xet.transaction(parent_commit=parent):
        xet.pipe(f"{main}/a", b"a", parent_commit=parent)
    assert xet.find(main) == [f"{main}/a"]


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """Budgets must be back at nothing after each test, and no transaction may still be open here."""
    from pyxet._async.transaction import _here

    yield
    check_budgets()
    assert not [found for found in _here() if found.active]


def test_a_transaction_that_is_cancelled_in_its_block_ends_there(xet: pyxet.XetFS, main: str) -> None:
    with xet.transaction as tr:
        xet.pipe(f"{main}/dropped.txt", b"dropped")
        xet.cancel_transaction()
        xet.pipe(f"{main}/kept.txt", b"kept")
    assert tr.commits == ()
    assert xet.ls(main, detail=False) == [f"{main}/kept.txt"]


# -- how much it holds ---------------------------------------------------------------------------------------------------


def test_totals_while_it_is_open_and_after_its_end(xet: pyxet.XetFS, main: str, tmp_path: Path) -> None:
    content = os.urandom(3 * MIB)
    (tmp_path / "x").write_bytes(content)
    xet.pipe({f"{main}/old": b"old", f"{main}/same.txt": b"same"})
    with xet.transaction as tr:
        assert tr.totals.written == tr.totals.deleted == tr.totals.content == 0
        xet.put_file(tmp_path / "x", f"{main}/x")
        xet.put_file(tmp_path / "x", f"{main}/y")
        xet.pipe_file(f"{main}/same.txt", b"same")
        xet.rm(f"{main}/old")
        assert (tr.totals.written, tr.totals.deleted) == (3, 1)
        assert tr.totals.content == 2 * len(content)
    # The unchanged one is left out of the commit; the second copy is no news.
    assert (tr.totals.written, tr.totals.deleted) == (2, 1)
    assert tr.totals.deduplicated == len(content)
    assert len(content) <= tr.totals.sent < len(content) * 1.01
    with xet.transaction as again:
        xet.put_file(tmp_path / "x", f"{main}/z")
    assert again.totals.deduplicated > 0.9 * again.totals.content
    assert again.totals.written == 1


def test_totals_of_one_that_was_thrown_away(xet: pyxet.XetFS, main: str) -> None:
    with pytest.raises(KeyError), xet.transaction as tr:
        xet.pipe_file(f"{main}/x", b"x")
        raise KeyError
    assert tr.totals.written == 1
    assert tr.commits == ()
