"""One open file on several threads: who seeks and reads in one go gets what it sought, and a position is handed on."""

from __future__ import annotations

import operator
import random
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import FrameType
from typing import Any

import pytest
from support.faults import PLAN, XORB, FaultProxy, gated

import pyxet
from pyxet._async.files.cursor import Cursor

MIB = 1024 * 1024
CONTENT = random.Random(__name__).randbytes(3 * MIB)


@pytest.fixture
def big(xet: pyxet.XetFS, main: str) -> str:
    xet.pipe_file(f"{main}/big.bin", CONTENT)
    return f"{main}/big.bin"


@pytest.fixture
def threads() -> Iterator[list[Callable[..., Any]]]:
    """Two threads, which run what they are given."""
    with ThreadPoolExecutor(1) as first, ThreadPoolExecutor(1) as second:
        yield [lambda *job, pool=pool: pool.submit(*job).result() for pool in (first, second)]


@pytest.fixture
def hurried() -> Iterator[None]:
    """Threads take turns wherever they can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(interval)


def read_from(file: Any, start: int, size: int) -> bytes:
    """Seek and read as libraries of native code do: nothing of Python's runs between the two."""
    seek, read = partial(file.seek, start), partial(file.read, size)
    return bytes(list(map(operator.call, (seek, read)))[1])


def fill_from(file: Any, start: int, size: int) -> bytes:
    buffer = bytearray(size)
    seek, fill = partial(file.seek, start), partial(file.readinto, buffer)
    return bytes(buffer[: list(map(operator.call, (seek, fill)))[1]])


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("take", [read_from, fill_from])
@pytest.mark.parametrize("cache", [None, "none", "all"])
def test_threads_that_seek_and_read_in_one_go(
    xet: pyxet.XetFS, big: str, cache: str | None, take: Callable[[Any, int, int], bytes]
) -> None:
    rounds = 50 if cache != "none" else 2

    def work(seed: int) -> None:
        source = random.Random(seed)
        for _ in range(rounds):
            start, size = source.randrange(len(CONTENT)), source.choice([1, 100, 5000, 100_000])
            assert take(file, start, size) == CONTENT[start : start + size]

    with xet.open(big, cache_type=cache) as file:
        if cache != "none":
            file.read()
        with ThreadPoolExecutor(6) as pool:
            list(pool.map(work, range(6)))


def test_a_seek_calls_nothing_once_its_place_is_set() -> None:
    """At a call the interpreter may switch to another thread, whose own seek would take the place of the read that follows."""
    cursor = Cursor(MIB)
    before = cursor.place
    before.make_ready(b"lines\nof a block\n")
    calls: list[tuple[str, bool]] = []

    def note(frame: FrameType, event: str, _: object) -> None:
        within = frame.f_code if event == "c_call" else frame.f_back and frame.f_back.f_code
        if event in ("call", "c_call") and within is Cursor.seek.__code__:
            calls.append((frame.f_code.co_name, cursor.place is before))

    sys.setprofile(note)
    try:
        cursor.seek(100)
    finally:
        sys.setprofile(None)
    assert ("settle", True) in calls
    assert all(before_it_is_set for _, before_it_is_set in calls)
    assert not before.ready.getvalue()
    assert cursor.at == 100


@pytest.mark.parametrize("about_to_read", [True, False])
def test_a_thread_that_loses_its_turn_as_it_calls_read(threads: list[Callable[..., Any]], about_to_read: bool) -> None:
    one, other = threads

    def take() -> tuple[int, int]:
        cursor.begin(cursor.place)
        return next(cursor.take(5))

    cursor = Cursor(MIB)
    one(cursor.seek, 10)
    other(partial(cursor.seek, 500, is_about_to_read=lambda _: about_to_read))
    assert one(take) == ((10, 15) if about_to_read else (500, 505))
    assert other(take) == (500, 505)
    assert one(take) == (500, 505)


def test_a_seek_while_another_thread_reads(through: tuple[FaultProxy, pyxet.XetFS], big: str) -> None:
    proxy, fs = through
    proxy.rule(f"{PLAN}|{XORB}", gated())
    with ThreadPoolExecutor(2) as pool, fs.open(big) as file:
        first = pool.submit(read_from, file, 4, 10)
        assert proxy._arrived.acquire(timeout=60)
        # The first one is not done yet: nobody waits for it to seek, and its end moves nobody.
        assert file.seek(2 * MIB) == 2 * MIB == file.tell()
        second = pool.submit(read_from, file, MIB, 10)
        proxy.open_gate()
        assert first.result() == CONTENT[4:14]
        assert second.result() == CONTENT[MIB : MIB + 10]
        assert file.tell() == MIB + 10


def test_a_position_is_handed_from_thread_to_thread(
    xet: pyxet.XetFS, big: str, threads: list[Callable[..., Any]]
) -> None:
    one, other = threads
    with xet.open(big) as file:
        assert one(file.seek, 0, 2) == len(CONTENT)
        assert other(file.seek, 10) == 10
        assert one(file.read, 5) == CONTENT[10:15]
        assert other(file.read, 5) == CONTENT[15:20]
        one(file.seek, 100)
        assert other(file.read, 5) == CONTENT[100:105]
        assert one(file.read, 5) == CONTENT[105:110]
        assert one(file.tell) == other(file.tell) == 110
        one(file.seek, 1000)
        other(file.seek, 10, 1)
        assert one(file.read, 5) == CONTENT[1010:1015]


@pytest.mark.usefixtures("hurried")
def test_no_two_threads_get_the_same_bytes(xet: pyxet.XetFS, big: str) -> None:
    def work(_: int) -> list[bytes]:
        return list(iter(partial(file.read, 10_000), b""))

    with xet.open(big) as file, ThreadPoolExecutor(4) as pool:
        pieces = [piece for found in pool.map(work, range(4)) for piece in found]
    assert sorted(pieces) == sorted(CONTENT[at : at + 10_000] for at in range(0, len(CONTENT), 10_000))


@pytest.mark.usefixtures("hurried")
def test_lines_and_reads_of_several_threads_bring_each_byte_once(xet: pyxet.XetFS, main: str) -> None:
    lines = [b"%07d\n" % number for number in range(60_000)]
    xet.pipe_file(f"{main}/lines", b"".join(lines))
    with xet.open(f"{main}/lines") as file, ThreadPoolExecutor(4) as pool:
        takers: list[Callable[[], list[bytes]]] = [
            lambda: list(file),
            lambda: list(iter(file.readline, b"")),
            lambda: [line for some in iter(lambda: file.readlines(4000), []) for line in some],
            lambda: [line for some in iter(lambda: file.read(800), b"") for line in some.splitlines(keepends=True)],
        ]
        found = [job.result() for job in [pool.submit(take) for take in takers]]
    assert sorted(line for some in found for line in some) == lines


def test_the_position_follows_lines(xet: pyxet.XetFS, main: str) -> None:
    lines = [b"%07d\n" % number for number in range(100)]
    xet.pipe_file(f"{main}/lines", b"".join(lines))
    with xet.open(f"{main}/lines") as file:
        for number, line in enumerate(file):
            assert file.tell() == 8 * (number + 1)
            if number == 10:
                assert line == lines[10]
                break
        assert file.read(3) == lines[11][:3]
        assert next(file) == lines[11][3:]
        assert file.seek(-8, 1) == 8 * 11
        assert next(file) == lines[11]
        assert file.peek(8)[:8] == lines[12]
        assert file.readline() == lines[12]
        file.close()
        with pytest.raises(ValueError, match="closed"):
            next(file)
        with pytest.raises(ValueError, match="closed"):
            file.readline()
