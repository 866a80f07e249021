"""Outside of a transaction: each call is one commit, each file is one at its close, and what fails publishes nothing."""

# ruff: noqa: PT012, PT031  # what has to raise, or to warn, is the end of a block

from __future__ import annotations

import asyncio
import gc
import io
import json
import os
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pandas as pd
import pytest
from _faults import UPLOAD, FaultProxy, check_clean, gated
from _proxied import proxied
from _settled import check_budgets, let_go

import pyxet
from pyxet.errors import TransactionError
from pyxet.testing import LocalEndpoint

MIB = 1024 * 1024
BINARY = b"\xff\x00binary"


class Broken(Exception):
    """What goes wrong in these tests."""


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    yield
    check_budgets()


def commits(fs: pyxet.XetFS, branch: str) -> int:
    return len(fs.log(branch)) - 1


@pytest.fixture
def url(shared_endpoint: LocalEndpoint, main: str) -> str:
    return f"xet://{shared_endpoint.url.removeprefix('http://')}:{main}"


@pytest.fixture
def options(shared_endpoint: LocalEndpoint) -> dict[str, str]:
    return {"user": shared_endpoint.user, "token": shared_endpoint.token}


# -- calls -------------------------------------------------------------------------------------------------------------


def test_each_call_is_one_commit(xet: pyxet.XetFS, main: str, tmp_path: Path) -> None:
    for name in ("a.txt", "b.bin", "in/c.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(BINARY if name == "b.bin" else name.encode())
    calls: list[Callable[[], Any]] = [
        lambda: xet.pipe({f"{main}/p/{number}": b"%d" % number for number in range(300)}),
        lambda: xet.put(f"{tmp_path}/", f"{main}/put/", recursive=True),
        lambda: xet.put([f"{tmp_path}/a.txt", f"{tmp_path}/b.bin"], [f"{main}/x", f"{main}/y"]),
        lambda: xet.put_file(io.BytesIO(b"of a file object"), f"{main}/object"),
        lambda: xet.cp(f"{main}/put", f"{main}/copy", recursive=True),
        lambda: xet.mv(f"{main}/copy", f"{main}/moved", recursive=True),
        lambda: xet.rm([f"{main}/x", f"{main}/y"]),
        lambda: xet.rm(f"{main}/p", recursive=True),
        lambda: xet.touch(f"{main}/empty"),
    ]
    for count, call in enumerate(calls, 1):
        call()
        assert commits(xet, main) == count
    names = [f"{folder}/{name}" for folder in ("moved", "put") for name in ("a.txt", "b.bin", "in/c.txt")]
    assert xet.find(main) == sorted(f"{main}/{name}" for name in [*names, "object", "empty"])
    assert xet.cat([f"{main}/moved/b.bin", f"{main}/object", f"{main}/empty"]) == {
        f"{main}/moved/b.bin": BINARY, f"{main}/object": b"of a file object", f"{main}/empty": b"",
    }  # fmt: skip


def test_a_call_on_two_branches_is_one_commit_each(xet: pyxet.XetFS, repo: str) -> None:
    xet.make_branch(repo, "main", "other")
    xet.pipe({f"{repo}/{branch}/{name}": b"x" for branch in ("main", "other") for name in "abc"})
    xet.mv(f"{repo}/main/a", f"{repo}/other/moved")
    assert commits(xet, f"{repo}/main") == commits(xet, f"{repo}/other") == 2
    assert xet.find(f"{repo}/other") == [f"{repo}/other/{name}" for name in ("a", "b", "c", "moved")]
    assert xet.find(f"{repo}/main") == [f"{repo}/main/b", f"{repo}/main/c"]


def test_a_call_that_fails_in_the_middle_publishes_nothing(xet: pyxet.XetFS, main: str, tmp_path: Path) -> None:
    (tmp_path / "good").write_bytes(b"good")

    class Tape(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise Broken

    sources = [f"{tmp_path}/good", Tape(b"x")]
    with pytest.raises(Broken):
        xet.put(sources, [f"{main}/{number}" for number in range(len(sources))])
    with pytest.raises(FileNotFoundError):
        xet.rm([f"{main}/0", f"{main}/nope"])
    with pytest.raises(FileNotFoundError):
        xet.put([f"{tmp_path}/good", f"{tmp_path}/nope"], [f"{main}/0", f"{main}/1"])
    assert commits(xet, main) == 0


def test_the_same_content_again_is_no_commit(xet: pyxet.XetFS, main: str) -> None:
    for _ in range(2):
        xet.pipe({f"{main}/a.txt": b"text", f"{main}/b.bin": BINARY, f"{main}/empty": b""})
        xet.pipe(f"{main}/large.bin", BINARY * 300_000)
    assert commits(xet, main) == 2


def test_moves_that_swap(xet: pyxet.XetFS, main: str) -> None:
    xet.pipe({f"{main}/a": b"a", f"{main}/b": BINARY})
    xet.mv([f"{main}/a", f"{main}/b"], [f"{main}/b", f"{main}/a"])
    assert xet.cat(main, recursive=True) == {f"{main}/a": BINARY, f"{main}/b": b"a"}
    xet.mv([f"{main}/a", f"{main}/b"], [f"{main}/b", f"{main}/c"])
    assert xet.cat(main, recursive=True) == {f"{main}/b": BINARY, f"{main}/c": b"a"}


def test_a_move_takes_the_newest_version(xet: pyxet.XetFS, main: str, shared_endpoint: LocalEndpoint) -> None:
    lazy = pyxet.XetFS(
        endpoint=shared_endpoint.url, user="other", token=shared_endpoint.token, listings_expiry_time=3600
    )
    xet.pipe(f"{main}/a", b"old")
    assert lazy.cat(f"{main}/a") == b"old"
    xet.pipe(f"{main}/a", b"new")
    lazy.mv(f"{main}/a", f"{main}/b")
    assert lazy.cat(f"{main}/b") == b"new"


@pytest.mark.parametrize("size", [0, 1, 1000, MIB - 1, MIB, MIB + 1, 5 * MIB])
@pytest.mark.parametrize("kind", ["text", "binary"])
def test_content_of_every_size(xet: pyxet.XetFS, main: str, size: int, kind: str) -> None:
    data = (b"a line of text\n" * (size // 15 + 1) if kind == "text" else os.urandom(size))[:size]
    with xet.open(f"{main}/file", "wb") as file:
        for at in range(0, size, 300_001):
            assert file.write(data[at : at + 300_001]) == min(300_001, size - at)
        assert file.tell() == size
    assert xet.cat(f"{main}/file") == data
    assert xet.size(f"{main}/file") == size
    with xet.open(f"{main}/file", "ab") as file:
        assert file.tell() == size
        file.write(b"more")
    assert xet.cat(f"{main}/file") == data + b"more"
    assert commits(xet, main) == 2


# -- files -------------------------------------------------------------------------------------------------------------


def test_one_commit_at_close(xet: pyxet.XetFS, main: str) -> None:
    file = xet.open(f"{main}/a.bin", "wb", message="by hand")
    file.write(BINARY)
    file.flush()
    assert not xet.exists(f"{main}/a.bin")
    file.close()
    file.close()
    assert [commit.message for commit in xet.log(main)][:-1] == ["by hand"]
    for call in (lambda: file.write(b"x"), file.flush):
        with pytest.raises(ValueError, match="closed"):
            call()
    with pytest.raises(io.UnsupportedOperation):
        file.seek(0)


def test_commit_and_discard_by_hand(xet: pyxet.XetFS, main: str) -> None:
    for name in ("kept", "dropped", "forgotten"):
        with xet.open(f"{main}/{name}", "wb", autocommit=False) as file:
            file.write(BINARY)
            with pytest.raises(ValueError, match="close"):
                file.commit()
        assert commits(xet, main) == (name != "kept")
        if name == "kept":
            file.commit()
            file.commit()
        elif name == "dropped":
            file.discard()
            file.commit()
    del file
    gc.collect()
    assert xet.find(main) == [f"{main}/kept"]


def in_text(xet: pyxet.XetFS, path: str, url: str, options: dict[str, str]) -> None:
    with xet.open(path, "w") as file:
        file.write("half")
        raise Broken


def in_binary(xet: pyxet.XetFS, path: str, url: str, options: dict[str, str]) -> None:
    with xet.open(path, "wb") as file:
        file.write(os.urandom(3 * MIB))
        raise Broken


def in_compressed(xet: pyxet.XetFS, path: str, url: str, options: dict[str, str]) -> None:
    with xet.open(path, "wt", compression="gzip") as file:
        file.write("half")
        raise Broken


def in_fsspec_open(xet: pyxet.XetFS, path: str, url: str, options: dict[str, str]) -> None:
    with fsspec.open(url, "wt", **options) as file:
        file.write("half")
        raise Broken


def in_fsspec_compression(xet: pyxet.XetFS, path: str, url: str, options: dict[str, str]) -> None:
    with fsspec.open(url, "wt", compression="bz2", **options) as file:
        file.write("half")
        raise Broken


class _Bad:
    def __str__(self) -> str:
        raise Broken


def in_pandas(xet: pyxet.XetFS, path: str, url: str, options: dict[str, str]) -> None:
    pd.DataFrame({"a": ["fine"] * 50_000 + [_Bad()]}).to_csv(url, storage_options=options)


def in_pandas_compression(xet: pyxet.XetFS, path: str, url: str, options: dict[str, str]) -> None:
    pd.DataFrame({"a": ["fine"] * 50_000 + [_Bad()]}).to_csv(url, compression="gzip", storage_options=options)


def in_finally(xet: pyxet.XetFS, path: str, url: str, options: dict[str, str]) -> None:
    file = xet.open(path, "w")
    try:
        file.write("half")
        raise Broken
    finally:
        file.close()


def in_a_handler(xet: pyxet.XetFS, path: str, url: str, options: dict[str, str]) -> None:
    try:
        raise KeyError
    except KeyError:
        with xet.open(path, "w") as file:
            file.write("half")
            raise Broken from None


def in_a_handler_again(xet: pyxet.XetFS, path: str, url: str, options: dict[str, str]) -> None:
    try:
        raise Broken
    except Broken:
        with xet.open(path, "w", compression="gzip") as file:
            file.write("half")
            raise


def in_a_handler_of_fsspec(xet: pyxet.XetFS, path: str, url: str, options: dict[str, str]) -> None:
    try:
        raise Broken
    except Broken:
        with fsspec.open(url, "w", **options) as file:
            file.write("half")
            raise


def in_a_handler_of_fsspec_by_name(xet: pyxet.XetFS, path: str, url: str, options: dict[str, str]) -> None:
    try:
        raise Broken
    except Broken as error:
        with fsspec.open(url, "wb", compression="gzip", **options) as file:
            file.write(b"half")
            raise error


WAYS = [
    in_text, in_binary, in_compressed, in_fsspec_open, in_fsspec_compression, in_pandas, in_pandas_compression,
    in_finally, in_a_handler, in_a_handler_again, in_a_handler_of_fsspec, in_a_handler_of_fsspec_by_name,
]  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_a_block_that_raises_publishes_nothing(
    way: Callable[..., None], xet: pyxet.XetFS, main: str, url: str, options: dict[str, str]
) -> None:
    xet.pipe(f"{main}/file", b"old")
    with pytest.raises(Broken):
        way(xet, f"{main}/file", f"{url}/file", options)
    assert xet.cat(f"{main}/file") == b"old"
    assert commits(xet, main) == 1


@pytest.mark.parametrize("mode", ["w", "wb"])
def test_writing_while_an_exception_is_handled(
    xet: pyxet.XetFS, main: str, url: str, options: dict[str, str], mode: str
) -> None:
    data: Any = "all" if mode == "w" else b"all"
    try:
        raise KeyError
    except KeyError:
        with xet.open(f"{main}/a", mode) as file:
            file.write(data)
        later = xet.open(f"{main}/b", mode)
        later.write(data)
        with fsspec.open(f"{url}/c", mode, **options) as file:
            file.write(data)
    later.close()
    assert xet.cat(main, recursive=True) == {f"{main}/{name}": b"all" for name in "abc"}


class _Reporting:
    """Writes a report where its block raised: that it is told of the error is nothing to the file."""

    def __init__(self, url: str, options: dict[str, str]) -> None:
        self.report = fsspec.open(url, "w", **options)

    def __enter__(self) -> None:
        pass

    def __exit__(self, *args: object) -> None:
        with self.report as file:
            file.write(f"{args[0]}")


def test_writing_in_the_exit_of_a_block_that_raises(
    xet: pyxet.XetFS, main: str, url: str, options: dict[str, str]
) -> None:
    with pytest.raises(Broken), _Reporting(f"{url}/a", options):
        raise Broken
    assert b"Broken" in xet.cat(f"{main}/a")


class _Both(io.RawIOBase):
    """Writes to two files."""

    def __init__(self, one: Any, two: Any) -> None:
        self.one, self.two = one, two

    def close(self) -> None:
        self.one.close()
        self.two.close()
        super().close()


def test_a_file_that_fails_does_not_take_others_along(xet: pyxet.XetFS, main: str) -> None:
    one, two = xet.open(f"{main}/a", "wb"), xet.open(f"{main}/b", "wb")
    both = _Both(one, two)
    with pytest.raises(Broken), one:
        raise Broken
    assert not both.closed
    two.write(b"fine")
    two.close()
    assert xet.cat(main, recursive=True) == {f"{main}/b": b"fine"}


ENDS = """
import bz2, gc, gzip, io, json, logging, lzma, sys, warnings, zipfile
import fsspec, pyxet

# How long things take is nothing to complain of here.
logging.getLogger("asyncio").setLevel(logging.ERROR)
url, path, how = sys.argv[1:]
fs = pyxet.XetFS()
options = {"user": fs.get_username()}
said = []
sys.unraisablehook = lambda what: said.append(f"{what.object!r}: {what.exc_value!r}")

CODECS = {
    "gzip": lambda raw: gzip.GzipFile(fileobj=raw, mode="wb"),
    "bz2": lambda raw: bz2.BZ2File(raw, "wb"),
    "xz": lambda raw: lzma.LZMAFile(raw, "wb"),
    "zip": lambda raw: zipfile.ZipFile(raw, "w").open("member", "w"),
    "buffer": io.BufferedWriter,
    "none": lambda raw: raw,
}

def make(kind, codec, mode):
    compression = None if codec == "none" else codec
    if kind == "fs.open":
        return fs.open(path, mode, compression=compression)
    if kind == "fsspec.open":
        return fsspec.open(url, mode, compression=compression, **options).open()
    wrapped = CODECS[codec](fs.open(path, "wb"))
    return wrapped if mode == "wb" else io.TextIOWrapper(wrapped)

def drop(*what):
    file = make(*what)
    file.write(data)

def drop_cycle(*what):
    file = make(*what)
    file.write(data)
    around = [file]
    around.append(around)

def block(*what):
    with make(*what) as file:
        file.write(data)
        raise KeyError(file)

def transaction(*what):
    with fs.transaction:
        file = make(*what)
        file.write(data)
        raise KeyError(file)

def block_beneath(*what):
    file = make(*what)
    file.write(data)
    raw, = (found for found in gc.get_objects() if type(found).__name__ == "XetWriteFile" and not found.closed)
    with raw:
        del raw
        raise KeyError(file)

kinds = [(kind, codec, mode) for mode in ("w", "wb") for codec in CODECS for kind in ("fs.open", "fsspec.open", "own")
    if kind == "own" or codec != "buffer"]
for kind in kinds:
    if how.startswith("drop") and kind[1] == "zip" and kind[0] != "fs.open":
        # An archive that is collected before its member complains, whatever the file.
        continue
    data = "half" * 100 if kind[2] == "w" else b"half" * 100
    late = "nothing"
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            globals()[how](*kind)
        except KeyError as error:
            file, = error.args
            try:
                file.write(data)
            except ValueError:
                late = "ValueError"
            del file
        gc.collect()
    print(json.dumps([kind, said, [f"{item.category.__name__}: {item.message}" for item in warned], late]))
    said.clear()
"""


@pytest.mark.parametrize("how", ["drop", "drop_cycle", "block", "transaction", "block_beneath"])
def test_layers_of_what_is_thrown_away_end_quietly(
    shared_endpoint: LocalEndpoint, xet: pyxet.XetFS, main: str, url: str, tmp_path: Path, how: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-c", ENDS, f"{url}/a", f"{main}/a", how],
        capture_output=True, text=True, check=False,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "XET_ENDPOINT": shared_endpoint.url,
             "XET_USER_NAME": shared_endpoint.user, "XET_USER_TOKEN": shared_endpoint.token},
    )  # fmt: skip
    assert (done.stderr, done.returncode) == ("", 0)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(found) >= 25
    for kind, said, warned, late in found:
        assert said == [], kind
        if how.startswith("drop"):
            assert warned == [f"ResourceWarning: unclosed file '{main}/a': nothing is published"], kind
        else:
            assert late == "ValueError", kind
        if how in ("transaction", "block_beneath"):
            assert warned == [], kind
    assert not xet.exists(f"{main}/a")


async def test_asynchronous_files(shared_endpoint: LocalEndpoint, main: str) -> None:
    async with pyxet.AsyncXetFileSystem(
        endpoint=shared_endpoint.url, user="acme", token=shared_endpoint.token, asynchronous=True
    ) as fs:
        async with await fs.open_async(f"{main}/good", "wb") as file:
            await file.write(BINARY)
        with pytest.raises(Broken):
            async with await fs.open_async(f"{main}/bad", "wb") as file:
                await file.write(os.urandom(3 * MIB))
                raise Broken
        file = await fs.open_async(f"{main}/bad", "wb")
        with pytest.raises(Broken):
            try:
                await file.write(BINARY)
                raise Broken
            finally:
                await file.close()
        try:
            raise KeyError
        except KeyError:
            async with await fs.open_async(f"{main}/handled", "wb") as file:
                await file.write(BINARY)
        with pytest.raises(ValueError, match="closed"):
            await file.write(b"x")
        with pytest.raises(ValueError, match="binary"):
            await fs.open_async(f"{main}/text", "w")
        assert await fs._find(main) == [f"{main}/good", f"{main}/handled"]
        # One file may be written from another loop.
        file = await fs.open_async(f"{main}/elsewhere", "wb")
        await asyncio.to_thread(asyncio.run, file.write(BINARY))
        await asyncio.to_thread(asyncio.run, file.close())
        assert await fs._cat_file(f"{main}/elsewhere") == BINARY
    await check_clean()


def test_archives(xet: pyxet.XetFS, main: str, url: str, options: dict[str, str]) -> None:
    with xet.open(f"{main}/a.zip", "wb") as file, zipfile.ZipFile(file, "w") as archive:
        archive.writestr("member", "text")
    with xet.open(f"{main}/a.npz", "wb") as file:
        np.savez(file, numbers=np.arange(1000))
    frame = pd.DataFrame({"a": range(3)})
    frame.to_csv(f"{url}/a.csv.zip", index=False, storage_options=options)
    frame.to_csv(f"{url}/a.csv.xz", index=False, storage_options=options)
    assert zipfile.ZipFile(io.BytesIO(xet.cat(f"{main}/a.zip"))).read("member") == b"text"
    with xet.open(f"{main}/a.npz") as file:
        assert np.load(file)["numbers"].sum() == 499_500
    for name in ("a.csv.zip", "a.csv.xz"):
        assert pd.read_csv(f"{url}/{name}", storage_options=options).equals(frame)
    assert commits(xet, main) == 4


# -- handles that are dropped ------------------------------------------------------------------------------------------


@pytest.fixture
def quiet_network(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Blocking calls that are made while objects are collected would wait for requests; there must be none."""
    from pyxet._async import file

    made: list[str] = []
    monkeypatch.setattr(file, "blocking_call", lambda *_, **__: made.append("called"))
    return made


@pytest.mark.parametrize("cycle", [False, True])
@pytest.mark.parametrize("kind", ["wb", "w", "large", "gzip", "fsspec"])
def test_a_dropped_handle_warns_and_publishes_nothing(
    xet: pyxet.XetFS, main: str, url: str, options: dict[str, str], kind: str, cycle: bool, request: Any
) -> None:
    files: list[Any] = []
    if kind == "fsspec":
        files.append(fsspec.open(f"{url}/a", "w", **options).open())
    elif kind == "gzip":
        files.append(xet.open(f"{main}/a", "wt", compression="gzip"))
    else:
        files.append(xet.open(f"{main}/a", "wb" if kind == "large" else kind))
    files[0].write({"wb": b"half", "large": os.urandom(3 * MIB)}.get(kind, "half"))
    network = request.getfixturevalue("quiet_network")
    if cycle:
        files.append(files)
    with pytest.warns(ResourceWarning, match="nothing is published") as warned:
        del files
        gc.collect()
    assert len(warned) == 1
    assert network == []
    request.getfixturevalue("monkeypatch").undo()
    assert xet.find(main) == []


async def test_a_dropped_asynchronous_handle(shared_endpoint: LocalEndpoint, main: str) -> None:
    async with pyxet.AsyncXetFileSystem(
        endpoint=shared_endpoint.url, user="acme", token=shared_endpoint.token, asynchronous=True
    ) as fs:
        file = await fs.open_async(f"{main}/a", "wb")
        await file.write(os.urandom(3 * MIB))
        with pytest.warns(ResourceWarning, match="nothing is published"):
            del file
            gc.collect()
        await let_go()
        assert await fs._find(main) == []
    await check_clean()


def test_a_fork_does_not_publish_files_of_its_parent(xet: pyxet.XetFS, main: str) -> None:
    file = xet.open(f"{main}/a.txt", "w")
    file.write("of the parent")
    child = os.fork()
    if child == 0:
        code = 1
        try:
            with pytest.raises(TransactionError, match="fork"):
                file.close()
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    assert not xet.exists(f"{main}/a.txt")
    file.close()
    assert xet.cat(f"{main}/a.txt") == b"of the parent"


# -- cancellation ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["small", "large", "commit"])
async def test_a_cancelled_put_leaves_nothing(
    shared_endpoint: LocalEndpoint, main: str, tmp_path: Path, what: str
) -> None:
    for number in range(20):
        (tmp_path / f"{number}").write_bytes(os.urandom(2 * MIB if what == "large" else 1000))
    stop_at = {"small": "POST .*/preupload/", "large": UPLOAD, "commit": "POST .*/commit/"}[what]
    with FaultProxy(shared_endpoint.url) as proxy:
        proxy.rule(stop_at, gated())
        async with pyxet.AsyncXetFileSystem(
            endpoint=proxy.url, user="acme", token=shared_endpoint.token, asynchronous=True,
            limits=pyxet.Limits(memory=16 * MIB),
        ) as fs:  # fmt: skip
            putting = asyncio.create_task(fs._put(f"{tmp_path}/", f"{main}/", recursive=True))
            await proxy.arrival()
            putting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await putting
            await check_clean()
            proxy.open_gate()
            assert await fs._find(main) == []


async def test_a_cancelled_pipe_of_large_content(shared_endpoint: LocalEndpoint, main: str) -> None:
    with FaultProxy(shared_endpoint.url) as proxy:
        proxy.rule("GET /v1/chunks/", gated())
        async with pyxet.AsyncXetFileSystem(
            endpoint=proxy.url, user="acme", token=shared_endpoint.token, asynchronous=True
        ) as fs:
            piping = asyncio.create_task(fs._pipe_file(f"{main}/a", os.urandom(8 * MIB)))
            await proxy.arrival()
            piping.cancel()
            with pytest.raises(asyncio.CancelledError):
                await piping
            await check_clean()
            proxy.open_gate()
            assert await fs._find(main) == []


def test_a_cancelled_write_does_not_take_others_of_the_transaction_along(
    shared_endpoint: LocalEndpoint, main: str
) -> None:
    with FaultProxy(shared_endpoint.url) as proxy:

        async def run() -> None:
            async with pyxet.AsyncXetFileSystem(
                endpoint=proxy.url, user="acme", token=shared_endpoint.token, asynchronous=True
            ) as fs:
                async with fs.transaction as tr:
                    for number in range(255):
                        await fs._pipe_file(f"{main}/{number}", b"%d" % number)
                    proxy.rule("POST .*/preupload/", gated(), times=1)
                    last = asyncio.create_task(fs._pipe_file(f"{main}/255", b"255"))
                    await proxy.arrival()
                    last.cancel()
                    with pytest.raises(asyncio.CancelledError):
                        await last
                    proxy.open_gate()
                assert len(tr.commits) == 1
                found = await fs._cat([f"{main}/{number}" for number in range(255)])
                assert found == {f"{main}/{number}": b"%d" % number for number in range(255)}

        asyncio.run(run())


def test_a_timed_out_call_publishes_nothing(shared_endpoint: LocalEndpoint, xet: pyxet.XetFS, main: str) -> None:
    with FaultProxy(shared_endpoint.url) as proxy:
        fs = pyxet.XetFS(endpoint=proxy.url, user="acme", token=shared_endpoint.token)
        # Before the commit: one that is on its way is the endpoint's to make or not.
        proxy.rule("POST .*/preupload/", gated())
        with pytest.raises(fsspec.exceptions.FSTimeoutError):
            fs.pipe(f"{main}/a", b"a", timeout=0.3)
        proxy.open_gate()
    assert xet.find(main) == []


def test_interrupted_in_the_middle(shared_endpoint: LocalEndpoint, xet: pyxet.XetFS, main: str) -> None:
    import signal

    with FaultProxy(shared_endpoint.url) as proxy:
        fs = pyxet.XetFS(endpoint=proxy.url, user="acme", token=shared_endpoint.token)
        proxy.rule(UPLOAD, gated())

        def interrupt() -> None:
            asyncio.run(proxy.arrival())
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

        helper = threading.Thread(target=interrupt)
        helper.start()
        with pytest.raises(KeyboardInterrupt), fs.transaction as tr:
            fs.pipe({f"{main}/{number}": os.urandom(MIB) for number in range(5)})
        helper.join()
        assert tr.commits == ()
        proxy.open_gate()
    assert xet.find(main) == []


def test_one_file_is_deleted_by_its_name_though_it_could_be_a_pattern(xet: pyxet.XetFS, main: str) -> None:
    xet.pipe({f"{main}/a[1].txt": b"named", f"{main}/a1.txt": b"matched", f"{main}/d/x": b"x"})
    xet.rm_file(f"{main}/a[1].txt")
    assert xet.find(main) == [f"{main}/a1.txt", f"{main}/d/x"]
    with pytest.raises(pyxet.EntryNotFoundError):
        xet.rm_file(f"{main}/a[1].txt")
    with pytest.raises(IsADirectoryError):
        xet.rm([f"{main}/d"], recursive=True, assume_literal=True)
    xet.rm([f"{main}/a1.txt", f"{main}/d/x"], assume_literal=True)
    assert xet.find(main) == []


def test_many_small_files_are_registered_while_others_are_still_coming(
    shared_endpoint: LocalEndpoint, main: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pyxet._async.changes._REGISTERED_AT_ONCE", 500)
    with proxied(shared_endpoint) as (proxy, fs):
        files = {f"{main}/{number}.bin": BINARY + b"%d" % number for number in range(1100)}
        with fs.transaction as tr:
            fs.pipe(files)
            assert proxy.count(r"POST /v\d/shards") >= 1
            assert fs.cat_file(f"{main}/3.bin") == files[f"{main}/3.bin"]
        assert len(tr.commits) == 1
        assert fs.cat(main, recursive=True) == files
