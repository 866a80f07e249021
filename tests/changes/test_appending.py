"""Files that are appended to by several at once: whatever was acknowledged is there, once."""

from __future__ import annotations

import asyncio
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from support.history import commits, messages

from pyxet import AsyncXetFileSystem, EditConflictError, XetFS
from pyxet.testing import LocalEndpoint

MIB = 1024 * 1024


@pytest.fixture
def path(fresh: XetFS, main: str) -> str:
    fresh.pipe(f"{main}/log", b"first\n")
    return f"{main}/log"


def test_two_handles(fresh: XetFS, path: str) -> None:
    one, two = fresh.open(path, "ab"), fresh.open(path, "ab")
    one.write(b"one\n")
    two.write(b"two\n")
    two.close()
    one.close()
    assert fresh.cat(path) == b"first\ntwo\none\n"


def test_eight_threads_write_to_two_handles(fresh: XetFS, path: str) -> None:
    handles = [fresh.open(path, "ab"), fresh.open(path, "ab")]

    def write(number: int) -> None:
        handles[number % 2].write(b"line %d\n" % number)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(200)))
        list(pool.map(lambda handle: handle.close(), handles))
    assert sorted(fresh.cat(path).splitlines()) == sorted([b"first", *(b"line %d" % number for number in range(200))])


@pytest.mark.parametrize("there", [True, False])
def test_eight_threads_with_handles_of_their_own(fresh: XetFS, main: str, path: str, there: bool) -> None:
    path = path if there else f"{main}/new"
    start = threading.Barrier(8)

    def append(number: int) -> None:
        start.wait()
        for turn in range(2):
            with fresh.open(path, "ab") as file:
                file.write(b"%d %d\n" % (number, turn))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(append, range(8)))
    lines = fresh.cat(path).splitlines()
    expected = [b"%d %d" % (number, turn) for number in range(8) for turn in range(2)]
    assert sorted(lines) == sorted([*([b"first"] if there else []), *expected])
    for number in range(8):
        assert lines.index(b"%d 0" % number) < lines.index(b"%d 1" % number)


@pytest.mark.parametrize(("before", "added"), [(10, 10), (10, 3 * MIB), (3 * MIB, 10), (3 * MIB, 9 * MIB)])
def test_contents_of_any_size(fresh: XetFS, other: XetFS, path: str, before: int, added: int) -> None:
    base, ours, theirs = os.urandom(before), os.urandom(added), os.urandom(2 * MIB)
    fresh.pipe(path, base)
    with fresh.open(path, "ab") as file:
        file.write(ours)
        with other.open(path, "ab") as faster:
            faster.write(theirs)
    assert fresh.cat(path) == base + theirs + ours


def test_what_became_of_the_file_meanwhile(fresh: XetFS, other: XetFS, main: str, path: str) -> None:
    with fresh.open(path, "ab") as file:
        file.write(b"more\n")
        other.pipe(path, b"another\n")
    assert fresh.cat(path) == b"another\nmore\n"
    with fresh.open(path, "ab") as file:
        file.write(b"alone\n")
        other.rm(path)
    assert fresh.cat(path) == b"alone\n"
    with fresh.open(f"{main}/made", "ab") as file:
        file.write(b"more\n")
        other.pipe(f"{main}/made", b"theirs\n")
    assert fresh.cat(f"{main}/made") == b"theirs\nmore\n"
    with pytest.raises(IsADirectoryError), fresh.open(f"{main}/folder", "ab") as file:  # noqa: PT012
        file.write(b"more\n")
        other.pipe(f"{main}/folder/a", b"theirs\n")
    assert fresh.find(f"{main}/folder") == [f"{main}/folder/a"]


def test_layers_above(fresh: XetFS, other: XetFS, main: str, path: str) -> None:
    with fresh.open(path, "a") as text, other.open(path, "ab") as file:
        text.write("text\n")
        file.write(b"bytes\n")
    assert fresh.cat(path) == b"first\nbytes\ntext\n"
    packed = f"{main}/log.gz"
    with fresh.open(packed, "a", compression="gzip") as one, other.open(packed, "a", compression="gzip") as two:
        one.write("one\n")
        two.write("two\n")
    assert fresh.read_text(packed, compression="gzip") == "two\none\n"


@pytest.mark.parametrize("option", ["if_match", "parent_commit"])
def test_who_names_a_version_is_told(fresh: XetFS, other: XetFS, main: str, path: str, option: str) -> None:
    def guard() -> dict[str, Any]:
        return {option: fresh.info(path)["blob_id"] if option == "if_match" else fresh.info(main)["commit"]}

    with fresh.open(path, "ab", **guard()) as file:
        file.write(b"second\n")
    given = guard()
    with pytest.raises(EditConflictError), fresh.open(path, "ab", **given) as file:  # noqa: PT012
        file.write(b"third\n")
        other.pipe(path, b"theirs\n")
    assert fresh.cat(path) == b"theirs\n"


def test_nothing_appended_is_no_commit(fresh: XetFS, main: str, path: str) -> None:
    before = commits(fresh, main)
    fresh.open(path, "ab").close()
    assert commits(fresh, main) == before
    fresh.open(f"{main}/new", "ab").close()
    assert fresh.cat(f"{main}/new") == b""
    with fresh.open(path, "ab", message="said so") as file:
        file.write(b"x")
    assert messages(fresh, main)[-1] == "said so"


def test_in_a_transaction(fresh: XetFS, main: str, path: str) -> None:
    with fresh.transaction:
        one, two = fresh.open(path, "ab"), fresh.open(path, "ab")
        one.write(b"one\n")
        two.write(b"two\n")
        two.close()
        one.close()
        assert fresh.cat(path) == b"first\ntwo\none\n"
        late = fresh.open(path, "ab")
        late.write(b"late\n")
        fresh.rm(path)
        late.close()
        with fresh.open(f"{main}/a", "ab") as large:
            large.write(b"x" * 2 * MIB)
            fresh.pipe(f"{main}/a", b"y" * 2 * MIB)
    assert fresh.cat(path) == b"late\n"
    assert fresh.cat(f"{main}/a") == b"y" * 2 * MIB + b"x" * 2 * MIB


def test_somebody_outside_of_the_transaction(fresh: XetFS, other: XetFS, path: str) -> None:
    with pytest.raises(EditConflictError), fresh.transaction:  # noqa: PT012  # the end of the block is what raises
        with fresh.open(path, "ab") as file:
            file.write(b"ours\n")
        other.pipe(path, b"theirs\n")
    assert fresh.cat(path) == b"theirs\n"


async def test_asynchronous_handles(shared_endpoint: LocalEndpoint, path: str) -> None:
    async with AsyncXetFileSystem(
        shared_endpoint.url, shared_endpoint.user, shared_endpoint.token, asynchronous=True
    ) as fs:

        async def append(number: int) -> None:
            async with await fs.open_async(path, "ab") as file:
                await file.write(b"%d\n" % number)

        await asyncio.gather(*map(append, range(6)))
        fs.invalidate_cache()
        assert sorted((await fs._cat_file(path)).split()) == sorted([b"first", *(b"%d" % n for n in range(6))])


def test_the_version_that_is_read_is_the_one_that_is_guarded(xet: XetFS, other: XetFS, path: str) -> None:
    # What the branch was at a moment ago is still remembered here.
    assert xet.info(path)["size"] == 6
    other.pipe(path, b"another\n")
    with xet.open(path, "ab") as file:
        file.write(b"more\n")
    assert other.cat(path) == b"another\nmore\n"


def test_a_failed_append_leaves_nothing(fresh: XetFS, other: XetFS, path: str) -> None:
    with pytest.raises(RuntimeError, match="broke"), fresh.open(path, "ab") as file:  # noqa: PT012
        file.write(b"more\n")
        other.pipe(path, b"theirs\n")
        raise RuntimeError("the source broke off")
    assert fresh.cat(path) == b"theirs\n"
