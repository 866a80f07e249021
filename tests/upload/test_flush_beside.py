"""What is complete is registered while more of it is added."""

from __future__ import annotations

import asyncio

import pytest
from support.contents import content
from support.faults import SHARD, answer, gated, read_back, world

from pyxet.errors import AccessDeniedError


def small(seed: int) -> list[bytes]:
    return [content(seed + number, 3000) for number in range(20)]


async def test_more_is_added_while_a_shard_is_checked() -> None:
    async with world() as it:
        uploader = it.uploader()
        it.proxy.rule(SHARD, gated(), times=1)
        first = await uploader.add_small(small(7100))
        uploader.flush_beside()
        await it.proxy.arrival()
        second = await uploader.add_small(small(7200))
        # One is going on; what came meanwhile waits for the next.
        uploader.flush_beside()
        assert it.proxy.count(SHARD) == 1
        it.proxy.open_gate()
        await uploader.flush()
        assert it.proxy.count(SHARD) == 2
        await uploader.aclose()
        for stored, data in zip([*first, *second], small(7100) + small(7200), strict=True):
            assert await read_back(it, stored) == data


async def test_a_failure_is_told_at_the_next_chance_and_flush_tries_again() -> None:
    async with world() as it:
        uploader = it.uploader()
        it.proxy.rule(SHARD, answer(403))
        [*first] = await uploader.add_small(small(7300))
        uploader.flush_beside()
        assert uploader._flushing_beside is not None
        await asyncio.wait([uploader._flushing_beside])
        with pytest.raises(AccessDeniedError):
            uploader.flush_beside()
        it.proxy.clear()
        await uploader.flush()
        await uploader.aclose()
        assert await read_back(it, first[0]) == small(7300)[0]


async def test_the_end_of_a_session_stops_it() -> None:
    async with world() as it:
        uploader = it.uploader()
        it.proxy.rule(SHARD, gated())
        await uploader.add_small(small(7400))
        uploader.flush_beside()
        await it.proxy.arrival()
        await uploader.aclose()
        task = uploader._flushing_beside
        assert task is not None
        assert task.cancelled()
        it.proxy.open_gate()
