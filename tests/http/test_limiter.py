"""One limiter for each origin: who waits for it, and the pace that it keeps on real connections."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest
from aiohttp import web
from support.faults import MIB, FaultProxy, answer, check_clean, world

from pyxet._async.http import limiter as limiter_module
from pyxet._async.http.concurrency import FLOOR, Meter
from pyxet._async.http.limiter import Limiter, limiter_of, metered
from pyxet._async.http.messages import Body
from pyxet.config import Limits, RetryPolicy, Timeouts
from pyxet.errors import RequestTimeoutError

CAP = 64


# -- bandwidth ---------------------------------------------------------------------------------------------------------


async def test_a_cancelled_sender_pays_nothing_and_a_cancelled_reader_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limiter_module, "_shared", limiter_module._Shared())
    meter = limiter_module._shared.meter
    for spent, delay in ((False, 0.9), (True, 100.9)):
        task = asyncio.create_task(metered(100_000, 1000, spent=spent, clock=lambda: 0.0))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert meter.charge(1000, 1000, 0.0) == pytest.approx(delay)
        meter.refund(1000, 1000)


# -- waiting -----------------------------------------------------------------------------------------------------------


class Clock:
    """A clock that sleeping moves."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        self.slept: list[float] = []
        self._sleep = asyncio.sleep
        monkeypatch.setattr(asyncio, "sleep", self.sleep)

    def __call__(self) -> float:
        return self.now

    async def sleep(self, delay: float) -> None:
        self.slept.append(delay)
        self.now += delay
        await self._sleep(0)


async def test_all_requests_to_an_origin_wait_as_long_as_it_asks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    limiter = Limiter(clock)
    first, second = await limiter.enter("GET", CAP), await limiter.enter("GET", CAP)
    first.refused(7.0)
    first.end()
    second.end(200)
    third = await limiter.enter("GET", CAP)
    assert clock.slept == [7.0]
    third.end()
    assert limiter.slots.in_use == 0
    await check_clean()


async def test_whoever_gives_up_while_an_origin_pauses_leaves_nothing() -> None:
    limiter = Limiter()
    permit = await limiter.enter("GET", CAP)
    permit.refused(1000.0)
    permit.end()
    waiting = [asyncio.create_task(limiter.enter("GET", CAP)) for _ in range(5)]
    await asyncio.sleep(0)
    assert limiter.slots.in_use > 0
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert all(task.cancelled() for task in waiting)
    assert limiter.slots.in_use == 0
    await check_clean()


async def test_one_limiter_for_all_loops_and_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limiter_module, "_shared", limiter_module._Shared())
    highest = 0

    async def permit() -> None:
        nonlocal highest
        one = await limiter_of(("http", "somewhere")).enter("GET", 3)
        highest = max(highest, limiter_of(("http", "somewhere")).slots.in_use)
        await asyncio.sleep(0)
        one.end(200)

    async def several() -> None:
        await asyncio.gather(*(permit() for _ in range(50)))

    threads = [threading.Thread(target=lambda: asyncio.run(several())) for _ in range(2)]
    for thread in threads:
        thread.start()
    await several()
    for thread in threads:
        await asyncio.to_thread(thread.join)
    assert 0 < highest <= 3
    await check_clean()


def test_origins_that_nobody_asks_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limiter_module, "_shared", limiter_module._Shared())
    for number in range(1000):
        limiter_of(("https", f"host{number}"))
    assert len(limiter_module._shared.limiters) <= 256


# -- on real connections -----------------------------------------------------------------------------------------------


def origin_of(proxy: FaultProxy) -> tuple[str, str]:
    scheme, _, host = proxy.url.partition("://")
    return scheme, host


async def test_a_slow_link() -> None:
    active = highest = 0
    link = asyncio.Lock()

    async def throttled(_: FaultProxy, request: web.Request) -> web.StreamResponse:
        nonlocal active, highest
        active += 1
        highest = max(highest, active)
        try:
            async with link:
                await asyncio.sleep(0.003)
        finally:
            active -= 1
        return web.Response(body=b"x" * 1000)

    async with world(limits=Limits(concurrency=500)) as it:
        it.proxy.rule("GET /slow", throttled)
        asking = [it.client.transport.request("GET", "/slow", what="reading") for _ in range(500)]
        answers = await asyncio.gather(*asking)
        assert [len(item.body) for item in answers] == [1000] * 500
        # It neither floods the link, where all 500 were allowed, nor collapses.
        assert highest < 150
        assert limiter_of(origin_of(it.proxy)).controller.allowed >= FLOOR // 2
        assert limiter_of(origin_of(it.proxy)).slots.in_use == 0


async def test_an_endpoint_with_many_429s() -> None:
    active = refused = served = 0

    async def strict(_: FaultProxy, request: web.Request) -> web.StreamResponse:
        nonlocal active, refused, served
        if active >= 6:
            refused += 1
            return web.Response(status=429, headers={"Retry-After": "0.01"})
        active += 1
        try:
            await asyncio.sleep(0.003)
        finally:
            active -= 1
        served += 1
        return web.Response()

    async with world(retry=RetryPolicy(attempts=20, base_delay=0.001, max_delay=0.01)) as it:
        it.proxy.rule("GET /strict", strict)
        await asyncio.gather(*(it.client.transport.request("GET", "/strict", what="reading") for _ in range(400)))
        assert served == 400
        assert refused < served / 4
        assert 1 <= limiter_of(origin_of(it.proxy)).controller.allowed <= CAP / 2


async def test_a_time_out_makes_an_origin_get_less() -> None:
    async with world(timeouts=Timeouts(response=0.05, connect=0.05), retry=RetryPolicy(attempts=1)) as it:
        it.proxy.rule("GET /lost", lost)
        with pytest.raises(RequestTimeoutError):
            await it.client.transport.request("GET", "/lost", what="reading")
        assert limiter_of(origin_of(it.proxy)).controller.allowed == 1


async def lost(_: FaultProxy, request: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError


async def test_a_redirect_counts_where_it_leads() -> None:
    async with world(limits=Limits(concurrency=1)) as it:
        with FaultProxy(it.endpoint.url) as other:
            it.proxy.rule("GET /first", answer(302, Location=f"{other.url}/second"))
            other.rule("GET /second", answer(200))
            await it.client.transport.request("GET", "/first", what="reading", redirect=True)
            assert origin_of(other) in limiter_module._shared.limiters


@pytest.mark.parametrize("sending", [True, False])
async def test_a_bandwidth_is_kept(sending: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limiter_module, "_shared", limiter_module._Shared())
    data = bytes(MIB // 8)
    # Each waits longer for its turn than a body may stand still.
    async with world(limits=Limits(bandwidth=2 * MIB), timeouts=Timeouts(progress=0.05)) as it:
        it.proxy.rule("(GET|POST) /data", answer(200, b"" if sending else data))
        began = time.monotonic()
        await asyncio.gather(
            *(
                it.client.transport.request("POST", "/data", what="sending", body=Body((data,)))
                if sending
                else it.client.transport.request("GET", "/data", what="reading")
                for _ in range(8)
            )
        )
        # What is made up for counts as well. No cap is kept by being slow for other reasons, so there is no upper bound.
        assert time.monotonic() - began >= (MIB / (2 * MIB) - Meter.SLACK) * 0.9
