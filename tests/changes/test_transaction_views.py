"""What is seen of a transaction, inside of it and outside, and what its operations on one path come to."""

# ruff: noqa: PT012  # what has to raise is the end of a block

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.contents import BINARY
from support.history import messages
from support.threads import on_thread

import pyxet
from pyxet.errors import BadRequestError, TransactionError

pytestmark = pytest.mark.usefixtures("nothing_left_behind")

MIB = 1024 * 1024


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


def test_a_file_read_inside_is_not_readable_afterwards(xet: pyxet.XetFS, main: str) -> None:
    with xet.transaction:
        xet.pipe(f"{main}/a.txt", b"pending")
        file = xet.open(f"{main}/a.txt")
    with pytest.raises(TransactionError):
        file.read()


# -- several operations on a path --------------------------------------------------------------------------------------


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
