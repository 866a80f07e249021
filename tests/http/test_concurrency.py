"""Pacing: its decisions on simulated links, exactly and without waiting."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
from support.faults import MIB

from pyxet._async.http.concurrency import FLOOR, START, ConcurrencyController, Meter, piece_size

CAP = 64


@dataclass
class Outcome:
    """How one request ends: after so many seconds, with or without being refused."""

    first_byte: float
    duration: float
    refused: bool = False
    pause: float = 0.0


# Outcome of a request that is sent at a time.
Link = Callable[[float], Outcome]


@dataclass
class Simulation:
    """As many requests as a controller allows for, on a link. Nothing but arithmetic."""

    link: Link
    size: int = 1000
    cap: int = CAP
    kind: str = "GET"
    controller: ConcurrencyController = field(default_factory=ConcurrencyController)
    now: float = 0.0
    done: int = 0
    refused: int = 0
    sent: int = 0
    latencies: list[float] = field(default_factory=list)
    windows: list[int] = field(default_factory=list)

    def run(self, requests: int) -> float:
        """Do so many requests (refused ones are made again); the seconds it took."""
        began, goal, flying = self.now, self.done + requests, [(0.0, 0, 0.0, Outcome(0.0, 0.0))][:0]
        while self.done < goal:
            while (
                len(flying) < min(self.controller.allowed, self.cap, goal - self.done)
                and self.now >= self.controller.paused_until
            ):
                outcome = self.link(self.now)
                self.sent += 1
                heapq.heappush(flying, (self.now + outcome.duration, self.sent, self.now, outcome))
            if not flying:
                self.now = self.controller.paused_until
                continue
            if len(flying) < self.controller.allowed and self.now < self.controller.paused_until < flying[0][0]:
                self.now = self.controller.paused_until
                continue
            in_flight = len(flying)
            self.now, _, sent, outcome = heapq.heappop(flying)
            if outcome.refused:
                self.refused += 1
                self.controller.refused(sent, self.now, in_flight=in_flight, pause=outcome.pause)
            else:
                self.done += 1
                self.latencies.append(self.now - sent)
                self.controller.answered(
                    sent, sent + outcome.first_byte, self.now,
                    kind=self.kind, size=self.size, in_flight=in_flight, cap=self.cap,
                )  # fmt: skip
            self.windows.append(self.controller.allowed)
        # What is left under way is waited for.
        self.now = max([self.now, *(item[0] for item in flying)])
        return self.now - began


def far(latency: float) -> Link:
    """Every request takes the same time."""
    return lambda now: Outcome(latency, latency)


def narrow(bandwidth: float, size: int, latency: float = 0.02) -> Link:
    """One answer after the other goes through a link of so many bytes per second."""
    free = 0.0

    def link(now: float) -> Outcome:
        nonlocal free
        begins = max(free, now + latency)
        free = begins + size / bandwidth
        return Outcome(begins - now, free - now)

    return link


def limited(rate: float, burst: int, *, pause: float, latency: float = 0.02) -> Link:
    """Takes so many requests a second, and refuses others."""
    left, at = float(burst), 0.0

    def link(now: float) -> Outcome:
        nonlocal left, at
        left, at = min(float(burst), left + (now - at) * rate), now
        if left < 1:
            return Outcome(latency, latency, True, pause)
        left -= 1
        return Outcome(latency, latency)

    return link


# -- decisions ---------------------------------------------------------------------------------------------------------


def test_a_burst_of_small_requests_is_hardly_held_back() -> None:
    it = Simulation(far(0.02))
    took = it.run(1000)
    assert it.controller.allowed == CAP
    # With all that is allowed from the beginning it takes 16 round trips.
    assert took <= 0.02 * 19
    assert START <= it.windows[0] <= it.windows[-1] <= CAP


def test_opening_connections_is_not_taken_for_slowness() -> None:
    free: list[float] = []

    def link(now: float) -> Outcome:
        # A connection that is free again, else one that takes three round trips to open.
        if free and free[0] <= now:
            heapq.heapreplace(free, now + 0.02)
            return Outcome(0.02, 0.02)
        heapq.heappush(free, now + 0.08)
        return Outcome(0.08, 0.08)

    it = Simulation(link)
    assert it.run(1000) <= 0.6
    assert it.controller.allowed == CAP


def test_the_cap_is_kept() -> None:
    it = Simulation(far(0.02), cap=5)
    it.run(500)
    assert max(it.windows) == START
    it = Simulation(far(0.02), cap=24)
    it.run(500)
    assert max(it.windows) == 24


def test_nothing_grows_that_is_not_used() -> None:
    it = Simulation(far(0.02))
    for _ in range(200):
        it.run(3)
    assert it.controller.allowed == START


@pytest.mark.parametrize("size", [8 * MIB, 256 * 1024, 4096])
@pytest.mark.parametrize("cap", [64, 1024])
def test_a_narrow_link_settles_without_collapse(size: int, cap: int) -> None:
    bandwidth = 12.5e6
    it = Simulation(narrow(bandwidth, size), size=size, cap=cap)
    took = it.run(3000)
    assert took <= 3000 * size / bandwidth * 1.05
    settled = it.windows[1500:]
    # Full: as many as the link has room for, of which the small ones that one latency has room for are the most.
    full = bandwidth * 0.02 / size
    assert min(settled) >= FLOOR
    assert max(settled) <= max(2 * FLOOR, 4 * full)


def test_a_rising_latency_that_requests_do_not_cause_takes_nothing_away() -> None:
    it = Simulation(far(0.02))
    it.run(1000)
    it.link = far(0.3)
    took = it.run(5000)
    # Few rounds pass in doubt.
    assert took <= 0.3 * 5000 / CAP * 1.15
    assert it.controller.allowed == CAP


def test_another_kind_of_request_is_not_a_slow_one() -> None:
    it = Simulation(far(0.01))
    it.run(1000)
    it.link, it.kind = far(0.5), "POST"
    it.run(1000)
    assert min(it.windows[-1000:]) == CAP
    it.link, it.kind, it.size = narrow(1e9, 4 * MIB, 0.01), "GET", 4 * MIB
    it.run(100)
    assert min(it.windows[-50:]) >= FLOOR


def test_large_answers_are_not_slow_ones() -> None:
    # Each connection brings 10 MB/s, whatever the others do.
    it = Simulation(lambda now: Outcome(0.02, 0.02 + 64 * MIB / 1e7), size=64 * MIB)
    it.run(500)
    assert it.controller.allowed == CAP


def test_a_link_that_gets_narrow_and_wide_again() -> None:
    size = 64 * 1024
    it = Simulation(narrow(1e9, size), size=size)
    it.run(2000)
    wide = it.windows[-1]
    it.link = narrow(2e6, size)
    it.run(2000)
    assert FLOOR <= it.windows[-1] <= 2 * FLOOR
    it.link = narrow(1e9, size)
    it.run(4000)
    assert it.windows[-1] >= wide / 2


@pytest.mark.parametrize("pause", [1.0, 0.0])
def test_many_refusals(pause: float) -> None:
    it = Simulation(limited(200, 50, pause=pause))
    took = it.run(4000)
    # It does not collapse: what the endpoint takes is sent. It does not flood: little is refused.
    assert took <= (4000 / 200) * (2.0 if pause else 1.3)
    assert it.refused <= it.done * 0.15
    # And when it takes more, it gets more.
    it.link = far(0.02)
    it.run(4000)
    assert it.controller.allowed == CAP


def test_an_endpoint_that_refuses_everything_for_a_while() -> None:
    it = Simulation(lambda now: Outcome(0.02, 0.02, now < 10.0, 2.0))
    it.run(1000)
    # One request after the other finds out whether it is over; those that were under way together count once.
    assert it.refused <= START + 8 + 4 + 2 + 1
    assert it.now <= 10.0 + 2.0 + 0.02 * 60


def test_refusals_of_one_moment_count_once() -> None:
    controller = ConcurrencyController()
    for _ in range(10):
        controller.refused(1.0, 1.5, in_flight=10)
    assert controller.allowed == 5
    controller.refused(2.0, 2.5, in_flight=4, pause=3.0)
    assert controller.allowed == 2
    assert controller.paused_until == 5.5
    controller.refused(3.0, 3.5, in_flight=1, pause=1.0)
    assert controller.allowed == 1
    assert controller.paused_until == 5.5


def test_time_outs_are_backed_off_from() -> None:
    # The endpoint works on ten at once; the others get no answer.
    working: list[float] = []

    def link(now: float) -> Outcome:
        working[:] = [end for end in working if end > now]
        if len(working) >= 10:
            return Outcome(1.0, 1.0, True)
        working.append(now + 0.02)
        return Outcome(0.02, 0.02)

    it = Simulation(link)
    took = it.run(20000)
    # A request that gets no answer takes a place for as long as fifty that do.
    assert it.refused <= it.done * 0.03
    assert took <= 20000 / 10 * 0.02 * 1.6


# -- bandwidth ---------------------------------------------------------------------------------------------------------


def used(meter: Meter, rate: int, sizes: Iterator[int], users: int, seconds: float) -> dict[int, int]:
    """Bytes that each of some users moves within so many seconds, each asking again as soon as it may."""
    moved = dict.fromkeys(range(users), 0)
    waiting: list[tuple[float, int, int]] = []
    for user in range(users):
        size = next(sizes)
        heapq.heappush(waiting, (meter.charge(size, rate, 0.0), user, size))
    while waiting[0][0] <= seconds:
        now, user, size = heapq.heappop(waiting)
        moved[user] += size
        size = next(sizes)
        heapq.heappush(waiting, (now + meter.charge(size, rate, now), user, size))
    return moved


@pytest.mark.parametrize("rate", [16 * 1024, 1_000_000, 300 * MIB])
@pytest.mark.parametrize("users", [1, 7, 64])
def test_a_bandwidth_is_kept_exactly_and_fairly(rate: int, users: int) -> None:
    piece = piece_size(rate, MIB)
    moved = used(Meter(), rate, iter(lambda: piece, 0), users, 5.0)
    assert 0.9 * rate * 5 <= sum(moved.values()) <= 1.03 * rate * 5
    assert max(moved.values()) - min(moved.values()) <= piece + rate * Meter.SLACK


def test_a_pause_is_made_up_for_by_little() -> None:
    meter = Meter()
    assert meter.charge(1000, 1000, 100.0) == pytest.approx(0.9)
    assert meter.charge(1000, 1000, 101.0) == pytest.approx(0.9)
    assert meter.charge(100, 1000, 1000.0) == pytest.approx(0.0)
    assert meter.charge(100, 1000, 1000.0) == pytest.approx(0.1)


def test_several_rates_share_one_bandwidth() -> None:
    meter = Meter()
    assert meter.charge(1100, 1000, 0.0) == pytest.approx(1.0)
    # The faster one waits for the slower one's bytes.
    assert meter.charge(1000, 10000, 0.0) == pytest.approx(1.1)
    meter.refund(1000, 10000)
    assert meter.charge(500, 1000, 0.0) == pytest.approx(1.5)


def test_pieces() -> None:
    assert piece_size(None, MIB) == MIB
    assert piece_size(1024 * MIB, MIB) == MIB
    assert piece_size(160_000, MIB) == 10_000
    assert piece_size(1, MIB) == 1024
