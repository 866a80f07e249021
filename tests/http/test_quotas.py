"""Quotas of requests: decisions with a clock of their own, then waits on real connections, by the endpoint's word."""

from __future__ import annotations

import asyncio
import heapq
import logging
import random
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest
from aiohttp import web
from support.faults import FAST, WHOAMI, FaultProxy, answer, check_clean, world

from pyxet._async.client import Client, Settings
from pyxet._async.http.limiter import Limiter
from pyxet._async.http.quotas import Quota
from pyxet.config import Credential, Limits, RetryPolicy, Timeouts
from pyxet.errors import RateLimitedError
from pyxet.protocol.rate_limit import RateLimit
from pyxet.secrets import Secret
from pyxet.server.quotas import QUOTAS, Quotas
from pyxet.testing import HubBehaviour, LocalEndpoint, local_endpoint

# -- decisions ---------------------------------------------------------------------------------------------------------


class Server:
    """A fixed window, counted when a request arrives; times are told in whole seconds, rounded as it likes."""

    def __init__(self, allowed: int, window: float, rounded: Callable[[float], float], policy: bool) -> None:
        self.allowed, self.window, self.rounded, self.policy = allowed, window, rounded, policy
        self.began, self.used, self.refused = float("-inf"), 0, 0

    def ask(self, now: float) -> RateLimit:
        if now >= self.began + self.window:
            self.began, self.used = now, 0
        self.used += 1
        self.refused += self.used > self.allowed
        reset = max(0.0, self.rounded(self.began + self.window - now))
        left = max(0, self.allowed - self.used)
        return RateLimit("api", left, reset, *((self.allowed, self.window) if self.policy else ()))


def simulated(server: Server, requests: int, *, at_once: int, seed: int = 1) -> tuple[float, list[float]]:
    """Send so many requests, as a quota allows for: the time at the end, and when each was sent."""
    chance, quota, now, done = random.Random(seed), Quota(), 100.0, 0
    flying: list[tuple[float, int, RateLimit]] = []
    sent: list[float] = []
    while done < requests:
        delay = quota.delay(now)
        if delay <= 0 and len(flying) < at_once and done + len(flying) < requests:
            quota.sent(now)
            there = now + chance.uniform(0.005, 0.03)
            heapq.heappush(flying, (there + chance.uniform(0.005, 0.03), len(sent), server.ask(there)))
            sent.append(now)
            continue
        # Either the first answer comes, or the wait is over.
        wait = now + min(delay, 0.25) if delay > 0 else float("inf")
        if flying and flying[0][0] <= wait:
            now, _, limit = heapq.heappop(flying)
            quota.answered(now, limit)
            done += 1
        else:
            assert wait < float("inf")
            now = max(wait, now)
    return now, sent


ROUNDED = {"up": lambda seconds: float(-(-seconds // 1)), "down": lambda seconds: float(seconds // 1), "not": float}


@pytest.mark.parametrize("policy", [True, False])
@pytest.mark.parametrize("rounded", [*ROUNDED])
@pytest.mark.parametrize(
    ("allowed", "window", "at_once"), [(200, 5.0, 16), (1000, 300.0, 64), (50, 60.0, 8), (3, 10.0, 4)]
)
def test_few_requests_run_into_the_wall(
    allowed: int, window: float, at_once: int, rounded: str, policy: bool
) -> None:  # fmt: skip
    server = Server(allowed, window, ROUNDED[rounded], policy)
    requests = allowed * 5
    ended, _ = simulated(server, requests, at_once=at_once)
    # A single one at the border of each window may ask too early.
    assert server.refused <= max(6, requests * 0.02)
    # And hardly any time is lost: four windows have to end.
    assert ended - 100.0 <= 6 * window + 5


def test_what_is_left_is_spread_over_the_rest_of_the_window() -> None:
    server = Server(1000, 300.0, float, True)
    _, sent = simulated(server, 990, at_once=16)
    # The first three quarters go as they come, the others one by one until the window ends.
    assert sent[700] - sent[0] < 10
    assert 200 < sent[-1] - sent[760] < 300
    assert max(after - before for before, after in pairwise(sent)) < 5


def test_a_call_of_a_few_requests_is_not_spread() -> None:
    quota = Quota()
    quota.sent(0.0)
    quota.answered(0.0, RateLimit("api", 100, 300.0, 1000, 300.0))
    for _ in range(4):
        assert quota.delay(50.0) == 0.0
        quota.sent(50.0)
    quota.sent(50.0)
    assert 0.0 < quota.delay(50.0) < 5.0


def test_nothing_is_known_of_a_quota_until_it_is_told() -> None:
    quota = Quota()
    for _ in range(10_000):
        assert quota.delay(0.0) == 0.0
        quota.sent(0.0)
    for _ in range(10_000):
        quota.answered(1.0, None)
    assert quota.delay(1.0) == 0.0


@pytest.mark.parametrize("told", [RateLimit("api", 0, 10.0), RateLimit("api", 0, 10.0, 1000, 10.0)])
def test_a_quota_that_is_told_with_refusals_alone_holds_until_its_window_ends(told: RateLimit) -> None:
    quota = Quota()
    quota.sent(0.0)
    quota.answered(0.0, told)
    assert quota.delay(9.0) == pytest.approx(1.0)
    now = 10.0
    for _ in range(1000):
        now += quota.delay(now)
        quota.sent(now)
        quota.answered(now, None)
    assert now < 15.0
    # And the next refusal counts again.
    quota.sent(now)
    quota.answered(now, told)
    assert quota.delay(now) == pytest.approx(10.0)


def test_requests_without_an_answer_do_not_end_a_quota() -> None:
    quota = Quota()
    quota.sent(0.0)
    quota.answered(0.0, RateLimit("api", 0, 10.0))
    for _ in range(10):
        quota.sent(10.0)
        quota.lost()
    assert quota.delay(10.0) > 0.0


def test_answers_that_overtake_each_other() -> None:
    quota = Quota()
    for _ in range(3):
        quota.sent(0.0)
    quota.answered(0.1, RateLimit("api", 0, 50.0, 3, 60.0))
    quota.answered(0.1, RateLimit("api", 2, 50.0, 3, 60.0))
    quota.answered(0.1, RateLimit("api", 1, 50.0, 3, 60.0))
    assert quota.delay(0.1) == pytest.approx(50.0)


# -- on real connections -----------------------------------------------------------------------------------------------


@asynccontextmanager
async def like_hub(
    behaviour: HubBehaviour, *, retry: RetryPolicy | None = None
) -> AsyncIterator[tuple[LocalEndpoint, Client, Quotas]]:
    """An endpoint with quotas, a client, and what the endpoint counts."""
    with local_endpoint(like_hub=behaviour) as endpoint:
        credential = Credential(endpoint.url, endpoint.user, Secret(endpoint.token))
        client = Client(Settings(credential, Limits(), retry or RetryPolicy(), Timeouts()))
        try:
            yield endpoint, client, endpoint.start().app[QUOTAS]
        finally:
            await client.transport.aclose()
        await check_clean()


async def test_a_thousand_tasks_and_a_quota_for_two_hundred() -> None:
    async with like_hub(HubBehaviour(api=200, window=5)) as (endpoint, client, quotas):
        names = await asyncio.gather(*(client.hub.whoami() for _ in range(1000)))
        assert {found.name for found in names} == {endpoint.user}
        assert quotas.counted["api"] == 1000 + quotas.refused["api"]
        assert quotas.refused["api"] <= 0.02 * quotas.counted["api"]


async def test_several_instances_share_what_is_left() -> None:
    behaviour = HubBehaviour(api=40, window=3)
    async with like_hub(behaviour) as (endpoint, client, quotas):
        credential = Credential(endpoint.url, endpoint.user, Secret(endpoint.token))
        other = Client(Settings(credential, Limits(), RetryPolicy(), Timeouts()))
        await asyncio.gather(*(found.hub.whoami() for _ in range(60) for found in (client, other)))
        await other.transport.aclose()
        assert quotas.refused["api"] <= 0.05 * quotas.counted["api"]


async def test_a_quota_that_is_used_up_is_waited_for_and_said(caplog: pytest.LogCaptureFixture) -> None:
    async with world(retry=RetryPolicy()) as it:
        refusal = answer(429, RateLimit='"api";r=0;t=3', RateLimit_Policy='"fixed window";"api";q=1000;w=300')
        it.proxy.rule(WHOAMI, refusal, times=1)
        with caplog.at_level(logging.INFO, "pyxet.requests"):
            assert (await it.client.hub.whoami()).name == it.endpoint.user
        assert it.proxy.count(WHOAMI) == 2
    [record] = [found for found in caplog.records if found.levelno == logging.WARNING]
    assert "trying again in 3.0 s" in record.getMessage()
    assert vars(record)["wait"] == 3.0


class Clock:
    """Time that passes by sleeping only."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(asyncio, "sleep", self.sleep)

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


async def test_only_routes_of_the_class_wait(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:  # fmt: skip
    clock = Clock(monkeypatch)
    limiter, elsewhere = Limiter(clock, host="hub.example"), Limiter(clock)
    permit = await limiter.enter("GET", 64, route="api")
    permit.answering(RateLimit("api", 0, 280.0, 1000, 300.0))
    permit.end()
    for other, route in ((limiter, "resolvers"), (limiter, None), (elsewhere, "api")):
        (await other.enter("GET", 64, route=route)).end()
        assert clock.now == 1000.0
    with caplog.at_level(logging.WARNING, "pyxet.requests"):
        (await limiter.enter("GET", 64, route="api", longest=330.0)).end()
    assert clock.now == pytest.approx(1280.0)
    [record] = caplog.records
    assert record.getMessage() == (
        "the quota of 1,000 requests for api routes of hub.example is used up; waiting 280 s"
    )  # fmt: skip
    assert vars(record)["wait"] == pytest.approx(280.0)


async def test_a_wait_that_is_too_long_is_left_to_the_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    limiter = Limiter(clock)
    permit = await limiter.enter("GET", 64, route="api")
    permit.answering(RateLimit("api", 0, 999_999_999_999.0))
    permit.end()
    (await limiter.enter("GET", 64, route="api", longest=330.0)).end()
    assert clock.now == 1000.0


async def test_too_long_a_wait_is_an_error_at_once() -> None:
    async with world() as it:
        it.proxy.rule(WHOAMI, answer(429, RateLimit='"api";r=0;t=331'))
        with pytest.raises(RateLimitedError) as caught:
            await it.client.hub.whoami()
        assert caught.value.retry_after == 331
        assert it.proxy.count(WHOAMI) == 1
    assert RetryPolicy().max_retry_after >= 330


@pytest.mark.parametrize(
    "text",
    ['"api";r=-1;t=-55', '"api";r=0;t=99999999999999', "nonsense", '"api";r=0', '"api";r=nan;t=1', '"api";r=0;t=,'],
)
async def test_headers_that_make_no_sense_are_no_reason_to_wait(text: str) -> None:
    async with world() as it:

        async def act(proxy: FaultProxy, request: web.Request) -> web.StreamResponse:
            status, headers, body = await proxy.fetched(request)
            return web.Response(status=status, headers=headers | {"RateLimit": text}, body=body)

        it.proxy.rule(WHOAMI, answer(429, RateLimit=text), times=1)
        it.proxy.rule(WHOAMI, act)
        for _ in range(20):
            await it.client.hub.whoami()
        assert it.proxy.count(WHOAMI) == 21


async def test_a_refusal_for_something_else_does_not_wait_for_the_window() -> None:
    """Commits have a limit of their own, of which the headers of requests say nothing."""
    async with world() as it:
        it.proxy.rule(WHOAMI, answer(429, b'{"error": "too many commits"}', RateLimit='"api";r=900;t=200'))
        with pytest.raises(RateLimitedError, match="too many commits") as caught:
            await it.client.hub.whoami()
        assert caught.value.retry_after is None
        assert it.proxy.count(WHOAMI) == FAST.attempts


async def test_those_who_are_cancelled_while_they_wait_leave_nothing() -> None:
    async with like_hub(HubBehaviour(api=1, window=600), retry=RetryPolicy(max_retry_after=1000)) as (
        _,
        client,
        quotas,
    ):
        await client.hub.whoami()
        waiting = [asyncio.create_task(client.hub.whoami()) for _ in range(5)]
        for _ in range(10):
            await asyncio.sleep(0)
        for task in waiting:
            task.cancel()
        ended = await asyncio.gather(*waiting, return_exceptions=True)
        assert all(isinstance(found, asyncio.CancelledError) for found in ended)
        assert quotas.counted["api"] == 1


async def test_loops_do_not_wait_for_each_other() -> None:
    """A loop whose thread is busy with something else may hold its own requests up, and no others."""
    async with like_hub(HubBehaviour(api=1, window=2)) as (_, client, _quotas):
        await client.hub.whoami()
        waiting = asyncio.create_task(client.hub.whoami())
        for _ in range(10):
            await asyncio.sleep(0)

        async def elsewhere() -> str:
            try:
                return (await client.hub.whoami()).name or ""
            finally:
                await client.transport.aclose()

        done: list[str] = []
        thread = threading.Thread(target=lambda: done.append(asyncio.run(elsewhere())))
        thread.start()
        # This loop does nothing until the other one has its answer.
        thread.join(timeout=60)
        assert done == ["test"]
        await waiting
