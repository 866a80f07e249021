"""Text that is written has the bytes that it has in a local file: byte-order marks, appends, positions."""

from __future__ import annotations

import csv
import gzip
import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pandas as pd
import pytest

import pyxet

pytestmark = pytest.mark.usefixtures("nothing_left_behind")

ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "latin-1", "utf-7", "shift_jis"]
FRAME = pd.DataFrame({"a": ["x", "y"], "b": [1, 2]})


def opened(fs: Any, path: str, url: str, options: Any, local: Path) -> Callable[..., Any]:
    return lambda mode, **text: (fs.open(path, mode, **text), local.open(mode, **text))


def compressed(fs: Any, path: str, url: str, options: Any, local: Path) -> Callable[..., Any]:
    return lambda mode, **text: (
        fs.open(path, mode, compression="gzip", **text),
        gzip.open(local, mode + "t", **text),
    )  # fmt: skip


def opened_by_fsspec(fs: Any, path: str, url: str, options: Any, local: Path) -> Callable[..., Any]:
    return lambda mode, **text: (fsspec.open(url, mode, **options, **text).open(), local.open(mode, **text))


def wrapped(fs: Any, path: str, url: str, options: Any, local: Path) -> Callable[..., Any]:
    return lambda mode, **text: (io.TextIOWrapper(fs.open(path, mode + "b"), **text), local.open(mode, **text))


def buffered(fs: Any, path: str, url: str, options: Any, local: Path) -> Callable[..., Any]:
    return lambda mode, **text: (
        io.TextIOWrapper(io.BufferedWriter(fs.open(path, mode + "b")), **text), local.open(mode, **text)
    )  # fmt: skip


def content(data: bytes) -> bytes:
    return gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data


@pytest.mark.parametrize("kind", [opened, compressed, opened_by_fsspec, wrapped, buffered])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_the_bytes_of_a_local_file(
    xet: pyxet.XetFS, main: str, url: str, options: dict[str, str], tmp_path: Path, kind: Any, encoding: str
) -> None:
    both = kind(xet, f"{main}/a.txt", f"{url}/a.txt", options, tmp_path / "a.txt")
    steps = [("w", "first\n"), ("a", "second\n"), ("a", ""), ("w", ""), ("a", "third")]
    # Of compressed files the library writes a mark for each member; here it is one for the text.
    for mode, text in steps[:2] if kind is compressed else steps:
        here, there = both(mode, encoding=encoding, newline="\n")
        for file in (here, there):
            # By hand, as a ``with`` block of fsspec's would do more than the text layer.
            file.write(text)
            file.close()
        expected = content((tmp_path / "a.txt").read_bytes())
        if kind is compressed and mode == "a":
            expected = "first\nsecond\n".encode(encoding)
        assert content(xet.cat(f"{main}/a.txt")) == expected, (mode, text)


def test_positions(xet: pyxet.XetFS, main: str, tmp_path: Path) -> None:
    for mode in ("w", "a", "wb", "ab"):
        with xet.open(f"{main}/a", mode) as file, (tmp_path / "a").open(mode) as local:
            for piece in ("first", "second"):
                assert file.tell() == local.tell()
                each: Any
                for each in (file, local):
                    each.write(piece if "b" not in mode else piece.encode())
            assert file.tell() == local.tell()
        with pytest.raises(ValueError, match="closed"):
            file.tell()


def test_a_header_where_there_is_none(xet: pyxet.XetFS, main: str) -> None:
    for row in ("1", "2"):
        with xet.open(f"{main}/a.csv", "a", newline="") as file:
            writer = csv.writer(file)
            if file.tell() == 0:
                writer.writerow(["a"])
            writer.writerow([row])
    assert xet.cat(f"{main}/a.csv") == b"a\r\n1\r\n2\r\n"


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("suffix", ["csv", "csv.gz"])
def test_pandas(
    xet: pyxet.XetFS, main: str, url: str, options: dict[str, str], tmp_path: Path, encoding: str, suffix: str
) -> None:
    local = tmp_path / f"a.{suffix}"
    for mode in ("w", "a"):
        FRAME.to_csv(f"{url}/a.{suffix}", mode=mode, encoding=encoding, index=False, storage_options=options)
        FRAME.to_csv(local, mode=mode, encoding=encoding, index=False)
        assert content(xet.cat(f"{main}/a.{suffix}")) == content(local.read_bytes())
    with xet.open(f"{main}/b.csv", "w", encoding=encoding, newline="") as file:
        FRAME.to_csv(file, index=False)
    assert pd.read_csv(f"{url}/b.csv", encoding=encoding, storage_options=options).equals(FRAME)


def test_nobody_else_takes_it_for_a_file_to_seek_in(xet: pyxet.XetFS, main: str) -> None:
    with xet.open(f"{main}/a", "wb") as file:
        assert file.writable()
        assert not file.seekable()
        text = io.TextIOWrapper(file)
        assert not text.seekable()
        with pytest.raises(io.UnsupportedOperation):
            text.seek(0)
        text.detach()
        buffer = io.BufferedWriter(file)
        assert not buffer.seekable()
        with pytest.raises(io.UnsupportedOperation):
            buffer.seek(0)
        buffer.detach()
    with xet.open(f"{main}/a.zip", "wb") as file, zipfile.ZipFile(file, "w") as archive:
        archive.writestr("member", "text")
    with xet.open(f"{main}/a.zip") as file:
        assert zipfile.ZipFile(file).read("member") == b"text"
