"""Services make file systems with the tokens of their users: what belongs to them goes with them."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import Any

import aiohttp
import pytest
from fsspec.asyn import get_loop

import pyxet
from pyxet._async import client
from pyxet.testing import LocalEndpoint

KEPT = 3


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """So few are kept that are not used."""
    monkeypatch.setattr(client, "_KEPT", KEPT)
    client._latest.clear()


def made(endpoint: LocalEndpoint, number: int, **options: Any) -> pyxet.XetFS:
    """A file system of a user who has no other."""
    name = f"user-of-many-{number}"
    return pyxet.XetFS(endpoint.url, name, endpoint.token, skip_instance_cache=True, **options)


def session_of(fs: pyxet.XetFS) -> aiohttp.ClientSession:
    return fs._client().transport.sessions.by_loop[get_loop()].http


async def closed(session: aiohttp.ClientSession) -> None:
    async with asyncio.timeout(30):
        while not session.closed:
            await asyncio.sleep(0.001)


def test_what_nobody_uses_goes_with_its_connections(shared_endpoint: LocalEndpoint, main: str) -> None:
    known: list[weakref.ref[client.Client]] = []
    sessions = []
    for number in range(3 * KEPT):
        fs = made(shared_endpoint, number)
        assert fs.exists(main) is not None
        known.append(weakref.ref(fs._client()))
        sessions.append(session_of(fs))
        del fs
    gc.collect()
    assert [ref() is not None for ref in known] == [False] * 2 * KEPT + [True] * KEPT
    for session in sessions[: 2 * KEPT]:
        asyncio.run_coroutine_threadsafe(closed(session), get_loop()).result()
    assert not any(session.closed for session in sessions[2 * KEPT :])


def test_what_is_used_stays_and_is_shared(shared_endpoint: LocalEndpoint, main: str) -> None:
    used = made(shared_endpoint, 0)
    used.exists(main)
    session = session_of(used)
    for number in range(1, 2 * KEPT):
        made(shared_endpoint, number).exists(main)
    gc.collect()
    assert made(shared_endpoint, 0)._client() is used._client()
    assert session_of(used) is session
    assert not session.closed


async def test_on_a_loop_of_ones_own(shared_endpoint: LocalEndpoint, main: str) -> None:
    sessions = []
    for number in range(2 * KEPT):
        fs = pyxet.AsyncXetFileSystem(
            shared_endpoint.url, f"user-of-a-loop-{number}", shared_endpoint.token,
            asynchronous=True, skip_instance_cache=True,
        )  # fmt: skip
        await fs._exists(main)
        sessions.append(fs._client().transport.sessions.by_loop[asyncio.get_running_loop()].http)
        del fs
    gc.collect()
    for session in sessions[:KEPT]:
        await closed(session)
    # That of the others is closed with the loop.
    assert not sessions[-1].closed


def test_a_loop_that_stands_still_keeps_its_connections(shared_endpoint: LocalEndpoint, main: str) -> None:
    loop = asyncio.new_event_loop()
    fs = pyxet.AsyncXetFileSystem(
        shared_endpoint.url, "user-of-a-still-loop", shared_endpoint.token, asynchronous=True, skip_instance_cache=True
    )
    loop.run_until_complete(fs._exists(main))
    sessions = fs._client().transport.sessions
    http, gone = sessions.by_loop[loop].http, weakref.ref(sessions)
    del fs, sessions
    client._latest.clear()
    gc.collect()
    assert gone() is None
    assert not http.closed
    # As `asyncio.run` ends it.
    loop.run_until_complete(loop.shutdown_asyncgens())
    now: object = http.closed
    assert now
    loop.close()
