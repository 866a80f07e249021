"""A first read takes three round trips: what is there and the token beside it, the plan, the bytes."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from support.faults import TOKEN, XORB, FaultProxy, answer, gated, silent
from support.proxied import asynchronous, proxied

import pyxet
from pyxet import NotFoundError
from pyxet.testing import LocalEndpoint

# Like no content of other tests on the same endpoint, which would be found there, and lie in two xorbs.
CONTENT = random.Random(__name__).randbytes(1_000_000)
LOOK = r"POST /api/.*/paths-info/"
PLAN = r"GET /v\d/reconstructions"

Read = Callable[[pyxet.XetFS, str, Path], bytes]


def opened(fs: pyxet.XetFS, path: str, _: Path) -> bytes:
    with fs.open(path, "rb") as file:
        return bytes(file.read())


def got(fs: pyxet.XetFS, path: str, folder: Path) -> bytes:
    fs.get(path, str(folder / "x"))
    return (folder / "x").read_bytes()


def got_file(fs: pyxet.XetFS, path: str, folder: Path) -> bytes:
    fs.get_file(path, str(folder / "x"))
    return (folder / "x").read_bytes()


def in_ranges(fs: pyxet.XetFS, path: str, _: Path) -> bytes:
    found = fs.cat_ranges([path], [0], [len(CONTENT)])[0]
    assert isinstance(found, bytes)
    return found


READS: dict[str, Read] = {
    "open": opened,
    "cat_file": lambda fs, path, _: fs.cat_file(path),
    "cat": lambda fs, path, _: fs.cat([path])[path],
    "cat_ranges": in_ranges,
    "stream": lambda fs, path, _: b"".join(fs.stream(path)),
    "get": got,
    "get_file": got_file,
}


@pytest.fixture
def first(shared_endpoint: LocalEndpoint, repo: str) -> Iterator[tuple[FaultProxy, pyxet.XetFS, str]]:
    """A file system that has read nothing yet, through a proxy, and a branch with a file in Xet and a text in git."""
    writer = pyxet.XetFS(shared_endpoint.url, shared_endpoint.user, shared_endpoint.token)
    writer.pipe({f"{repo}/main/x.bin": CONTENT, f"{repo}/main/notes.md": b"some words\n"})
    with proxied(shared_endpoint) as (proxy, fs):
        yield proxy, fs, f"{repo}/main"


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_the_token_is_asked_for_beside_the_look_up(
    first: tuple[FaultProxy, pyxet.XetFS, str], read: Read, tmp_path: Path
) -> None:
    proxy, fs, main = first
    proxy.rule(f"{LOOK}|{TOKEN}", gated())
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(read, fs, f"{main}/x.bin", tmp_path)
        # Neither of the two is answered before both were sent.
        proxy.wait_for_arrival()
        proxy.wait_for_arrival()
        assert proxy.count(PLAN) == 0
        proxy.open_gate()
        assert reading.result() == CONTENT
    assert [proxy.count(kind) for kind in (LOOK, TOKEN, PLAN, XORB)] == [1, 1, 1, 1]
    assert len(proxy.seen) == 4


def test_a_token_that_is_refused_beside_is_asked_for_again(first: tuple[FaultProxy, pyxet.XetFS, str]) -> None:
    proxy, fs, main = first
    proxy.rule(TOKEN, answer(503), times=2)
    assert fs.cat_file(f"{main}/x.bin") == CONTENT
    assert proxy.count(TOKEN) == 3


def test_what_is_not_in_xet_waits_for_no_token(first: tuple[FaultProxy, pyxet.XetFS, str]) -> None:
    proxy, fs, main = first
    proxy.rule(TOKEN, silent())
    assert "xet_hash" not in fs.info(f"{main}/notes.md")
    assert proxy.count(TOKEN) == 0
    fs.invalidate_cache()
    assert fs.cat_file(f"{main}/notes.md") == b"some words\n"
    fs.invalidate_cache()
    assert fs.cat_file(f"{main}/notes.md") == b"some words\n"
    # Who reads such files only does not ask again and again.
    assert proxy.count(TOKEN) <= 1


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500])
async def test_a_token_that_is_refused_and_not_needed_is_no_error(
    first: tuple[FaultProxy, pyxet.XetFS, str],
    shared_endpoint: Any,
    status: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    proxy, _, main = first
    refused = asyncio.Event()

    def note(event: pyxet.RequestEvent) -> None:
        if "token" in event.what:
            refused.set()

    proxy.rule(TOKEN, answer(status))
    proxy.rule(LOOK, gated())
    async with asynchronous(shared_endpoint, proxy) as fs:
        with pyxet.on_request(note):
            reading = asyncio.create_task(fs._cat_file(f"{main}/notes.md"))
            # The answer to the one is there before that to the other.
            await refused.wait()
            proxy.open_gate()
            assert await reading == b"some words\n"
        assert asyncio.all_tasks() == {asyncio.current_task()}
    assert proxy.count(TOKEN) == 1
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_nothing_is_left_of_a_token_for_what_is_not_there(
    first: tuple[FaultProxy, pyxet.XetFS, str], shared_endpoint: Any
) -> None:
    proxy, _, main = first
    proxy.rule(TOKEN, silent())
    async with asynchronous(shared_endpoint, proxy) as fs:
        with pytest.raises(NotFoundError):
            await fs._cat_file(f"{main}/nothing")
        assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_cancelled_first_read_leaves_no_task(
    first: tuple[FaultProxy, pyxet.XetFS, str], shared_endpoint: Any
) -> None:
    proxy, _, main = first
    proxy.rule(f"{LOOK}|{TOKEN}", silent())
    async with asynchronous(shared_endpoint, proxy) as fs:
        reading = asyncio.create_task(fs._cat_file(f"{main}/x.bin"))
        await proxy.arrival()
        await proxy.arrival()
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        assert asyncio.all_tasks() == {asyncio.current_task()}
