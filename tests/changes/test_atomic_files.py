"""Outside of a transaction a file is one commit, at its close, and one whose block raises publishes nothing."""

# ruff: noqa: PT012, PT031  # what has to raise, or to warn, is the end of a block

from __future__ import annotations

import asyncio
import gc
import io
import os
import zipfile
from collections.abc import Callable
from typing import Any

import fsspec
import numpy as np
import pandas as pd
import pytest
from support.contents import BINARY
from support.faults import check_clean
from support.history import commits
from support.proxied import asynchronous

import pyxet
from pyxet.errors import PyxetWarning
from pyxet.testing import LocalEndpoint

pytestmark = pytest.mark.usefixtures("nothing_left_behind")

MIB = 1024 * 1024


class Broken(Exception):
    """What goes wrong in these tests."""


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
    with pytest.warns(PyxetWarning, match="forgotten' was closed and never committed"):
        del file
        gc.collect()
    assert xet.find(main) == [f"{main}/kept"]


async def test_asynchronous_files(shared_endpoint: LocalEndpoint, main: str) -> None:
    async with asynchronous(shared_endpoint) as fs:
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
                with pytest.warns(PyxetWarning, match="bad' is discarded, as it was closed while Broken"):
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


# -- blocks that raise -------------------------------------------------------------------------------------------------


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
        with pytest.warns(PyxetWarning, match="file' is discarded, as it was closed while Broken"):
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


# -- files beside an exception -----------------------------------------------------------------------------------------


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
