"""The three ways in which callers cancel: a task, a time-out, and a scope of anyio, which cancels repeatedly."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import anyio
import pytest

Work = Coroutine[Any, Any, object]


async def by_task(work: Work, begun: Callable[[], Awaitable[object]]) -> None:
    task = asyncio.create_task(work)
    await begun()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def by_timeout(work: Work, begun: Callable[[], Awaitable[object]]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(None) as scope:
            scopes.append(scope)
            await work

    scopes: list[asyncio.Timeout] = []
    task = asyncio.create_task(limited())
    await begun()
    scopes[0].reschedule(asyncio.get_running_loop().time())
    with pytest.raises(TimeoutError):
        await task


async def by_scope(work: Work, begun: Callable[[], Awaitable[object]]) -> None:
    async def limited() -> None:
        with anyio.CancelScope() as scope:
            scopes.append(scope)
            await work
        assert scope.cancelled_caught

    scopes: list[anyio.CancelScope] = []
    task = asyncio.create_task(limited())
    await begun()
    scopes[0].cancel()
    await task


WAYS = pytest.mark.parametrize("way", [by_task, by_timeout, by_scope])
Way = Callable[[Work, Callable[[], Awaitable[object]]], Awaitable[None]]
