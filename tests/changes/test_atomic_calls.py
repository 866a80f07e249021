"""Outside of a transaction each call is one commit, whatever it does to however many files, and what fails publishes nothing."""

# what has to raise, or to warn, is the end of a block

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.contents import BINARY
from support.faults import gated
from support.history import commits
from support.proxied import proxied

import pyxet
from pyxet.testing import LocalEndpoint

pytestmark = pytest.mark.usefixtures("nothing_left_behind")

MIB = 1024 * 1024


class Broken(Exception):
    """What goes wrong in these tests."""


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


def test_a_call_that_fails_in_a_transaction_leaves_nothing_in_it(xet: pyxet.XetFS, main: str, tmp_path: Path) -> None:
    """Also if the exception is handled and the transaction commits: a call is done whole, or not at all."""
    xet.pipe({f"{main}/old/{name}": name.encode() for name in "abc"})
    (tmp_path / "good").write_bytes(b"good")
    first = xet.stage(BINARY, f"{main}/staged")

    class Tape(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise Broken

    def pointers() -> Iterator[pyxet.FilePointer]:
        yield first
        raise Broken

    calls: list[Callable[[], Any]] = [
        lambda: xet.put([f"{tmp_path}/good", Tape(b"x")], [f"{main}/old/a", f"{main}/1"]),
        lambda: xet.put([f"{tmp_path}/good", f"{tmp_path}/nope"], [f"{main}/old/a", f"{main}/1"]),
        lambda: xet.pipe({f"{main}/new": b"1", f"{main}/new/below": b"2"}),
        lambda: xet.cp([f"{main}/old/a", f"{main}/old/b"], [f"{main}/new", f"{main}/new/below"]),
        lambda: xet.mv([f"{main}/old/a", f"{main}/old/b"], [f"{main}/new", f"{main}/new/below"]),
        lambda: xet.commit(main, pointers(), delete=[f"{main}/old/a"]),
        lambda: xet.commit(main, [first, first], delete=[f"{main}/old/b"]),
    ]
    with xet.transaction(message="what is left") as tr:
        xet.pipe_file(f"{main}/old/c", b"kept")
        for call in calls:
            with pytest.raises((Broken, OSError, pyxet.XetError)):
                call()
            assert tr.totals.written == 1
            assert xet.find(main) == [f"{main}/old/{name}" for name in "abc"]
        xet.cp([f"{main}/old/c"], [f"{main}/of-what-is-pending"])
    assert xet.cat(xet.find(main)) == {
        f"{main}/of-what-is-pending": b"kept", f"{main}/old/a": b"a", f"{main}/old/b": b"b", f"{main}/old/c": b"kept",
    }  # fmt: skip


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


def test_many_small_files_are_registered_while_others_are_still_coming(
    shared_endpoint: LocalEndpoint, main: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pyxet._async.changes.changeset._REGISTERED_AT_ONCE", 500)
    with proxied(shared_endpoint) as (proxy, fs):
        files = {f"{main}/{number}.bin": BINARY + os.urandom(10) for number in range(1100)}
        proxy.rule(r"POST /v\d/shards", gated())
        with fs.transaction as tr:
            fs.pipe(files)
            # The first of them are registered, although the transaction goes on.
            proxy.wait_for_arrival()
            proxy.open_gate()
            assert fs.cat_file(f"{main}/3.bin") == files[f"{main}/3.bin"]
        assert len(tr.commits) == 1
        assert fs.cat(main, recursive=True) == files
