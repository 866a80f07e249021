"""Files that are open for reading do what an `io.BufferedReader` does, and ask for little whatever the pattern of reads."""

from __future__ import annotations

import asyncio
import bz2
import gzip
import io
import lzma
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import fsspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.faults import FaultProxy
from support.proxied import asynchronous, proxied

import pyxet
from pyxet.testing import LocalEndpoint

KIB = 1024
RANDOM = random.Random(__name__)
# Long lines and short ones, empty ones, one longer than a block, no newline at the end.
CONTENT = (
    b"".join(
        RANDOM.randbytes(RANDOM.randrange(900)).hex().encode() + b"\n" * RANDOM.randrange(1, 3) for _ in range(500)
    )
    + b"x" * 200 * KIB
    + b"\nthe end"
)


@pytest.fixture(scope="module")
def path(shared_endpoint: LocalEndpoint) -> str:
    fs = pyxet.XetFS(shared_endpoint.url, shared_endpoint.user, shared_endpoint.token)
    fs.make_repo("acme/contract", exist_ok=True)
    fs.pipe_file("acme/contract/main/x", CONTENT)
    return "acme/contract/main/x"


sizes = st.one_of(st.sampled_from([None, -1, 0, 1, 64 * KIB]), st.integers(0, 300 * KIB))
few = st.one_of(st.sampled_from([None, -1, 0, 1]), st.integers(0, 3000))
OPERATIONS = st.one_of(
    st.tuples(st.sampled_from(["read", "readinto"]), sizes),
    st.tuples(st.sampled_from(["read", "readline", "readline", "readlines", "peek"]), few),
    st.tuples(st.just("next"), st.none()),
    st.tuples(st.just("seek"), st.tuples(st.integers(-2000, 2000), st.just(1))),
    st.tuples(st.just("seek"), st.tuples(st.integers(0, len(CONTENT) + 10), st.just(0))),
    st.tuples(st.just("seek"), st.tuples(st.integers(-3000, 5), st.just(2))),
)


def model_of(model: Any, action: str, value: Any) -> Any:
    """What a file in memory does."""
    if action == "seek":
        at = value[0] + {0: 0, 1: model.tell(), 2: len(CONTENT)}[value[1]]
        return model.seek(*value) if at >= 0 else ValueError
    if action == "readinto":
        buffer = bytearray(max(0, value or 0))
        return model.readinto(buffer), buffer
    if action == "next":
        return model.readline()
    if action == "peek":
        at = model.tell()
        found = model.read(max(1, value or 0))
        model.seek(at)
        return found
    return getattr(model, action)(value)


def with_limit(expected: Any, found: Any, action: str) -> Any:
    """A peek may give more than it was asked for."""
    return found[: len(expected)] if action == "peek" and expected else found


SETTINGS = settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])


@SETTINGS
@given(actions=st.lists(OPERATIONS, max_size=25))
def test_any_mix_of_operations(xet: pyxet.XetFS, path: str, actions: list[tuple[str, Any]]) -> None:
    model = io.BufferedReader(io.BytesIO(CONTENT))
    with xet.open(path, "rb") as file:
        for action, value in actions:
            expected = model_of(model, action, value)
            if expected is ValueError:
                with pytest.raises(ValueError, match="before the start"):
                    file.seek(*value)
            elif action == "readinto":
                buffer = bytearray(max(0, value or 0))
                assert (file.readinto(buffer), buffer) == expected
            elif action == "next":
                assert next(file, b"") == expected
            elif action == "seek":
                assert file.seek(*value) == expected
            else:
                assert with_limit(expected, getattr(file, action)(value), action) == expected
            assert file.tell() == file.loc == model.tell()


@SETTINGS
@given(actions=st.lists(OPERATIONS, max_size=25))
def test_any_mix_of_awaited_operations(
    shared_endpoint: LocalEndpoint, path: str, actions: list[tuple[str, Any]]
) -> None:
    async def replayed() -> None:
        model = io.BufferedReader(io.BytesIO(CONTENT))
        async with asynchronous(shared_endpoint) as fs, await fs.open_async(path) as file:
            for action, value in actions:
                expected = model_of(model, action, value)
                if expected is ValueError:
                    with pytest.raises(ValueError, match="before the start"):
                        file.seek(*value)
                elif action == "readinto":
                    buffer = bytearray(max(0, value or 0))
                    assert (await file.readinto(buffer), buffer) == expected
                elif action == "next":
                    assert await anext(file, b"") == expected
                elif action == "seek":
                    assert file.seek(*value) == expected
                else:
                    assert with_limit(expected, await getattr(file, action)(value), action) == expected
                assert file.tell() == model.tell()

    asyncio.run(replayed())


def test_what_one_fetch_brings(xet: pyxet.XetFS, path: str) -> None:
    with xet.open(path) as file:
        found = bytearray()
        assert file.read1(0) == b""
        while piece := file.read1(1000):
            assert len(piece) <= 1000
            found += piece
            found += file.readline()
            found += file.read1()
            buffer = bytearray(10)
            found += buffer[: file.readinto1(buffer)]
        assert found == CONTENT


def test_marks_that_lie_across_blocks(xet: pyxet.XetFS, main: str) -> None:
    content = b"a" * (64 * KIB - 1) + b"<>" + b"b" * 100 + b"<>" + b"c"
    xet.pipe_file(f"{main}/x", content)
    with xet.open(f"{main}/x") as file:
        assert file.readuntil(b"<>") == content[: 64 * KIB + 1]
        assert file.readuntil(b"<>", 10) == b"b" * 100 + b"<>"
        assert file.readuntil(b"<>") == b"c"


def test_wrappers_of_the_standard_library(xet: pyxet.XetFS, path: str) -> None:
    with xet.open(path) as file:
        text = io.TextIOWrapper(file, encoding="latin-1", newline="")
        assert text.readline() == CONTENT.decode("latin-1").partition("\n")[0] + "\n"
        assert text.read().encode("latin-1") == CONTENT[CONTENT.index(b"\n") + 1 :]
        text.seek(0)
        assert text.read(10).encode("latin-1") == CONTENT[:10]
        text.detach()
    with io.BufferedReader(xet.open(path), 100) as buffered:
        assert buffered.readlines() == CONTENT.splitlines(keepends=True)


def test_what_reading_files_refuse(xet: pyxet.XetFS, path: str) -> None:
    file = xet.open(path)
    assert (file.readable(), file.seekable(), file.writable(), file.isatty()) == (True, True, False, False)
    for call in (lambda: file.write(b"x"), file.truncate, file.fileno, file.detach):
        with pytest.raises(io.UnsupportedOperation):
            call()
    wrong: Any
    for wrong in (1.5, "1"):
        with pytest.raises(TypeError):
            file.read(wrong)
        with pytest.raises(TypeError):
            file.readline(wrong)
    with pytest.raises(ValueError, match="whence"):
        file.seek(0, 3)
    file.close()
    file.close()
    calls: list[Callable[[], Any]] = [
        file.read, file.read1, file.readline, file.readlines, file.peek, file.tell, file.readable, file.seekable,
        lambda: file.seek(0), lambda: file.readinto(bytearray(1)), lambda: next(file), lambda: iter(file),
        file.__enter__,
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(ValueError, match="closed"):
            call()


async def test_asynchronous_files_say_how_they_are_used(shared_endpoint: LocalEndpoint, path: str) -> None:
    async with asynchronous(shared_endpoint) as fs:
        async with await fs.open_async(path) as file:
            assert [line async for line in file] == CONTENT.splitlines(keepends=True)
            with pytest.raises(TypeError, match="async for"):
                list(file)
            with pytest.raises(TypeError, match="async with"):
                file.__enter__()
        with pytest.raises(ValueError, match="closed"):
            await file.read()


def test_threads_share_a_file(xet: pyxet.XetFS, path: str) -> None:
    with xet.open(path) as file, ThreadPoolExecutor(8) as pool:

        def read(_: int) -> list[bytes]:
            return list(iter(lambda: file.read(1000), b""))

        parts = [part for found in pool.map(read, range(8)) for part in found]
        rows = [CONTENT[at : at + 1000] for at in range(0, len(CONTENT), 1000)]
        assert sorted(parts) == sorted(rows)
        file.seek(0)
        lines = [line for found in pool.map(lambda _: list(file), range(8)) for line in found]
        assert sorted(lines) == sorted(CONTENT.splitlines(keepends=True))


# -- requests ----------------------------------------------------------------------------------------------------------

LINES = [RANDOM.randbytes(300).hex().encode() + b"\n" for _ in range(1500)]


def lines(file: Any) -> None:
    assert list(file) == LINES


def calls_of_readline(file: Any) -> None:
    assert list(iter(file.readline, b"")) == LINES


def all_lines(file: Any) -> None:
    assert file.readlines() == LINES


def small_reads(file: Any) -> None:
    assert b"".join(iter(lambda: file.read(7), b"")) == b"".join(LINES)


def half_a_step_back(file: Any) -> None:
    while len(file.read(1000)) == 1000:
        file.seek(-500, 1)


def records_that_are_skipped(file: Any) -> None:
    while file.read(100):
        file.seek(1000, 1)


def lines_and_bytes(file: Any) -> None:
    while len(file.readline()) > 5:
        file.read(10)
        file.peek(5)
        file.seek(-5, 1)
        file.readline(3)
        file.read1(20)


def looks_at_the_start(file: Any) -> None:
    for size in (4, 16, 4, 512):
        file.seek(0)
        file.read(size)
    file.seek(0)
    while file.read(8192):
        pass


def with_a_buffer_of_its_own(file: Any) -> None:
    assert io.BufferedReader(file).readlines() == LINES


def the_end_backwards(file: Any) -> None:
    content = b"".join(LINES)
    at = file.seek(0, io.SEEK_END)
    for size in [100] * 500 + [4096] * 10 + [16 * 1024] * 10:
        at -= size
        file.seek(at)
        assert file.read(size) == content[at : at + size]


def steps_back(file: Any) -> None:
    content = b"".join(LINES)
    file.seek(-512, io.SEEK_END)
    for back in range(1, 200):
        assert file.read(512) == content[len(content) - 512 * back :][:512]
        file.seek(-1024, io.SEEK_CUR)


PATTERNS = [
    the_end_backwards, steps_back, lines, calls_of_readline, all_lines, small_reads, half_a_step_back, records_that_are_skipped, lines_and_bytes,
    looks_at_the_start, with_a_buffer_of_its_own,
]  # fmt: skip


@pytest.fixture
def counted(shared_endpoint: LocalEndpoint, repo: str) -> Any:
    with proxied(shared_endpoint) as (proxy, fs):
        fs.pipe_file(f"{repo}/main/lines", b"".join(LINES))
        yield proxy, fs, f"{repo}/main/lines"


@pytest.mark.parametrize("pattern", PATTERNS)
def test_few_requests(counted: tuple[FaultProxy, pyxet.XetFS, str], pattern: Callable[[Any], None]) -> None:
    proxy, fs, path = counted
    with fs.open(path) as file:
        # A plan, and two ranges of windows that grow; without windows it would be hundreds.
        proxy.clear()
        pattern(file)
        assert len(proxy.seen) <= 12


async def test_few_requests_for_awaited_lines(
    counted: tuple[FaultProxy, pyxet.XetFS, str], shared_endpoint: Any
) -> None:
    proxy, _, path = counted
    async with asynchronous(shared_endpoint, proxy) as fs, await fs.open_async(path) as file:
        proxy.clear()
        assert [line async for line in file] == LINES
        assert len(proxy.seen) <= 12


# -- fsspec's caches of whole files ------------------------------------------------------------------------------------


@pytest.mark.parametrize("codec", ["gzip", "bz2", "xz"])
@pytest.mark.parametrize("cache", ["filecache", "simplecache"])
def test_caches_that_decompress(
    counted: tuple[FaultProxy, pyxet.XetFS, str],
    tmp_path: Path,
    codec: str,
    cache: str,
) -> None:
    proxy, fs, path = counted
    suffix, compress = {"gzip": ("gz", gzip.compress), "bz2": ("bz2", bz2.compress), "xz": ("xz", lzma.compress)}[codec]
    fs.pipe_file(f"{path}.{suffix}", compress(b"".join(LINES)))  # type: ignore[operator]  # one of three functions
    cached = fsspec.filesystem(cache, fs=fs, cache_storage=str(tmp_path), compression="infer")
    for _ in range(2):
        proxy.clear()
        with cached.open(f"{path}.{suffix}") as file:
            assert file.read() == b"".join(LINES)
        assert len(proxy.seen) <= 12


@pytest.mark.parametrize("cache", ["filecache", "simplecache"])
def test_caches_that_decompress_what_a_url_names(
    xet: pyxet.XetFS, main: str, url: str, options: dict[str, str], tmp_path: Path, cache: str
) -> None:
    xet.pipe_file(f"{main}/x.gz", gzip.compress(b"".join(LINES)))
    with fsspec.open(
        f"{cache}::{url}/x.gz", "rb", compression="infer", xet=options, **{cache: {"cache_storage": str(tmp_path)}}
    ) as file:
        assert file.read() == b"".join(LINES)
