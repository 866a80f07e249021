"""Plans of windows to come are asked for once, as windows begin, and none is left under way."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from pyxet._async.download.plans_ahead import plans_ahead
from pyxet._async.endpoint.cas import Cas
from pyxet.errors import ServerError
from pyxet.protocol.hashing import Hash

VALUE: Hash = bytes(32)
SPANS = [(at, at + 10) for at in range(0, 100, 10)]


class Plans:
    """Notes which plans are asked for; they come when `open` is set, or fail."""

    def __init__(self, *, fail: bool = False) -> None:
        self.asked: list[tuple[int, int]] = []
        self.open = asyncio.Event()
        self._fail = fail

    async def reconstruction(self, _: Hash, start: int, end: int) -> None:
        self.asked.append((start, end))
        if self._fail:
            raise ServerError("no plan")
        await self.open.wait()


def started(plans: Plans) -> Any:
    return plans_ahead(cast(Cas, plans), VALUE, iter(SPANS))


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_three_windows_behind_those_that_have_begun() -> None:
    plans = Plans()
    async with started(plans) as ahead:
        for _ in range(2):
            ahead.begin()
        await settle()
        # The first asks by itself, and the second was asked for as the first one began.
        assert plans.asked == SPANS[1:5]
        for _ in SPANS[2:]:
            ahead.begin()
        await settle()
        assert plans.asked == SPANS[1:]
        plans.open.set()


@pytest.mark.parametrize("fail", [False, True])
async def test_none_is_left_at_the_end(fail: bool) -> None:
    plans = Plans(fail=fail)
    async with started(plans) as ahead:
        ahead.begin()
        await settle()
    assert plans.asked == SPANS[1:4]
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_cancelled_reader_leaves_none() -> None:
    plans = Plans()

    async def read() -> None:
        async with started(plans) as ahead:
            ahead.begin()
            await asyncio.Event().wait()

    reading = asyncio.create_task(read())
    await settle()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert asyncio.all_tasks() == {asyncio.current_task()}
