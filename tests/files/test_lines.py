"""Lines that iterators of an open file give: its position and content are the file's, whatever else is done in between."""

from __future__ import annotations

import io
import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import pyxet
from pyxet.testing import LocalEndpoint

KIB = 1024
RANDOM = random.Random(__name__)
# Blocks of 64 KiB with many lines and with few, empty lines, one longer than a block, no newline at the end.
LINES = [
    *[RANDOM.randbytes(RANDOM.randrange(60)).hex().encode() + b"\n" for _ in range(3000)],
    *[RANDOM.randbytes(RANDOM.randrange(9000)).hex().encode() + b"\n" for _ in range(40)],
    b"x" * 200 * KIB + b"\n",
    *[b"%d\n" % number for number in range(2000)],
    b"the end",
]
CONTENT = b"".join(LINES)


@pytest.fixture(scope="module")
def path(shared_endpoint: LocalEndpoint) -> str:
    fs = pyxet.XetFS(shared_endpoint.url, shared_endpoint.user, shared_endpoint.token)
    fs.make_repo("acme/lines", exist_ok=True)
    fs.pipe_file("acme/lines/main/x", CONTENT)
    return "acme/lines/main/x"


STEPS = st.one_of(
    st.tuples(st.sampled_from(["first", "second"]), st.integers(1, 3000)),
    st.tuples(st.sampled_from(["next", "line", "tell", "new"]), st.just(0)),
    st.tuples(st.sampled_from(["read", "lines", "peek"]), st.integers(0, 5000)),
    st.tuples(st.just("seek"), st.integers(0, len(CONTENT) + 5)),
    st.tuples(st.just("loc"), st.integers(0, len(CONTENT))),
)


def replay(file: Any, steps: list[tuple[str, int]]) -> list[Any]:
    """What a file gives when steps are taken on it and two of its iterators."""
    found: list[Any] = []
    iterators = {"first": iter(file), "second": iter(file)}
    for step, number in steps:
        if step in iterators:
            # An iterator that has come to an end stays there, unlike one of Python's files.
            some = [line for _, line in zip(range(number), iterators[step], strict=False)]
            found.append(some)
            if len(some) < number:
                iterators[step] = iter(file)
        elif step == "new":
            iterators["first"] = iter(file)
        elif step == "next":
            found.append(next(file, None))
        elif step == "line":
            found.append(file.readline())
        elif step == "tell":
            found.append(file.tell())
        elif step == "read":
            found.append(file.read(number))
        elif step == "lines":
            found.append(file.readlines(number))
        elif step == "peek":
            found.append(file.peek(1)[:1])
        elif step == "seek":
            found.append(file.seek(number))
        elif hasattr(file, "loc"):
            file.loc = number
        else:
            file.seek(number)
    return found


class Model(io.BytesIO):
    """A file in memory that can be looked into."""

    def peek(self, _: int) -> bytes:
        return self.getbuffer()[self.tell() : self.tell() + 1].tobytes()


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEPS, max_size=25))
def test_iterators_and_everything_else_share_one_position(
    xet: pyxet.XetFS, path: str, steps: list[tuple[str, int]]
) -> None:
    with xet.open(path) as file:
        assert replay(file, steps) == replay(Model(CONTENT), steps)


def test_a_loop_that_seeks_goes_on_from_there(xet: pyxet.XetFS, path: str) -> None:
    with xet.open(path) as file:
        seen = []
        for line in file:
            seen.append(line)
            assert file.tell() == len(b"".join(LINES[: len(seen)])) or len(seen) > 5
            if len(seen) == 5:
                file.seek(len(CONTENT) - 7)
        assert seen == [*LINES[:5], b"the end"]
        file.seek(0)
        assert list(file) == LINES
        assert list(file) == []


def test_a_file_that_is_closed_in_a_loop_says_so(xet: pyxet.XetFS, path: str) -> None:
    with xet.open(path) as file:
        lines = iter(file)
        next(lines)
        file.close()
        with pytest.raises(ValueError, match="closed"):
            next(lines)


def test_no_line_comes_twice_or_gets_lost_among_threads(xet: pyxet.XetFS, path: str) -> None:
    for shared in (True, False):
        with xet.open(path) as file, ThreadPoolExecutor(8) as pool:
            one = iter(file)
            begun = threading.Barrier(8)

            def take(_: int, lines: Iterator[bytes] | None = one if shared else None, file: Any = file) -> list[bytes]:
                begun.wait(30)  # noqa: B023
                return list(lines if lines is not None else file)

            found = [line for lines in pool.map(take, range(8)) for line in lines]
            assert sorted(found) == sorted(LINES)
