"""The requirements of rows, and whether their runs meet them."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass

from pairing import Pairs, Run


@dataclass(frozen=True)
class Verdict:
    """The requirement, the result, and whether the result meets the requirement."""

    asked: str
    got: str
    met: bool


# The arguments are the runs, and how many bytes the job moves.
Check = Callable[[Pairs, int], Verdict]


def median(runs: list[Run], figure: Callable[[Run], float]) -> float:
    """The median of a figure over some runs."""
    return statistics.median(map(figure, runs))


def faster(floor: float) -> Check:
    """At least ``floor`` times as fast as the peer, in the median of the pairs."""

    def judge(pairs: Pairs, _: int) -> Verdict:
        ratio = statistics.median(pairs.ratios)
        return Verdict(f"≥ {floor:g}×", f"{ratio:.2f}×", ratio >= floor)

    return judge


def memory(most: float) -> Check:
    """The peak RSS is at most ``most`` times the peer's."""

    def judge(pairs: Pairs, _: int) -> Verdict:
        part = median(pairs.ours, lambda run: run.rss) / median(pairs.theirs, lambda run: run.rss)
        return Verdict(f"RSS ≤ {most:g}×", f"{part:.2f}×", part <= most)

    return judge


def no_more_received() -> Check:
    """The server receives no more bytes from pyxet than from the peer."""

    def judge(pairs: Pairs, _: int) -> Verdict:
        ours, theirs = (median(runs, lambda run: run.received) for runs in (pairs.ours, pairs.theirs))
        return Verdict("no more bytes sent", f"{ours:,.0f} and {theirs:,.0f} B", ours <= theirs)

    return judge


def bytes_asked(most: float) -> Check:
    """The server sends at most ``most`` times the bytes that were requested."""

    def judge(pairs: Pairs, content: int) -> Verdict:
        part = median(pairs.ours, lambda run: run.sent) / content
        return Verdict(f"≤ {most:g}× the bytes asked for", f"{part:.2f}×", part <= most)

    return judge


def fewer_bytes(least: float) -> Check:
    """The server sends so many times fewer bytes than to the peer."""

    def judge(pairs: Pairs, _: int) -> Verdict:
        ratio = median(pairs.theirs, lambda run: run.sent) / max(1.0, median(pairs.ours, lambda run: run.sent))
        return Verdict(f"{least:g}× fewer bytes", f"{ratio:.1f}×", ratio >= least)

    return judge


def no_more_requests() -> Check:
    """The server gets no more requests than from the peer."""

    def judge(pairs: Pairs, _: int) -> Verdict:
        ours, theirs = (median(runs, lambda run: run.total_requests) for runs in (pairs.ours, pairs.theirs))
        return Verdict("no more requests", f"{ours:.0f} and {theirs:.0f}", ours <= theirs)

    return judge


def at_most(figure: str, most: float, unit: str) -> Check:
    """A figure that pyxet's worker tells is at most so much."""

    def judge(pairs: Pairs, _: int) -> Verdict:
        found = median(pairs.ours, lambda run: run.extra[figure])
        return Verdict(f"{figure} ≤ {most:g} {unit}", f"{found:.3g}", found <= most)

    return judge


def at_least(figure: str, least: float) -> Check:
    """A figure that pyxet's worker tells is at least so much; beside the peer's."""

    def judge(pairs: Pairs, _: int) -> Verdict:
        ours, theirs = (median(runs, lambda run: run.extra[figure]) for runs in (pairs.ours, pairs.theirs))
        return Verdict(f"≥ {least:,.0f} {figure}", f"{ours:,.0f} (peer {theirs:,.0f})", ours >= least)

    return judge


def at_most_more(most: float, times: int, what: str) -> Check:
    """At most so many CPU seconds more than the peer, for each of ``times``."""

    def judge(pairs: Pairs, _: int) -> Verdict:
        found = statistics.median(
            (ours.cpu - theirs.cpu) / times for ours, theirs in zip(pairs.ours, pairs.theirs, strict=True)
        )
        return Verdict(f"≤ {most * 1000:.0f} ms more CPU {what}", f"{found * 1000:+.0f} ms", found <= most)

    return judge


def cpu(most: float) -> Check:
    """At most so many CPU seconds for a GiB."""

    def judge(pairs: Pairs, content: int) -> Verdict:
        found = median(pairs.ours, lambda run: run.cpu) * (1 << 30) / content
        return Verdict(f"≤ {most:g} CPU s per GiB", f"{found:.2f}", found <= most)

    return judge


def no_more(figure: str) -> Check:
    """A figure that both workers tell is no greater than the peer's."""

    def judge(pairs: Pairs, _: int) -> Verdict:
        ours, theirs = (median(runs, lambda run: run.extra[figure]) for runs in (pairs.ours, pairs.theirs))
        return Verdict(f"{figure} ≤ the peer's", f"{ours:.3g} and {theirs:.3g} s", ours <= theirs)

    return judge
