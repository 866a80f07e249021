"""The Markdown table: a line for each row, found again by its name, so that a partial run can replace its own lines."""

from __future__ import annotations

import os
import platform
import re
import statistics
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from cases import Sizes
from checks import Verdict, median
from datasets import MIB
from growth import Grown, Growth
from pairing import Pairs, Run, Spread
from rows import Row

_GIB = 1024 * MIB
_LITTLE = 16 * MIB
_NAME = re.compile(r"\| `([\w-]+)` \|")
_PEERS = ("pyxet", "huggingface_hub", "hf_xet", "aiohttp", "fsspec", "pandas", "pyarrow")
_PAIRED = (
    "row", "what", "peer", "pyxet s", "peer s", "peer ÷ pyxet, pair by pair", "CPU s per GiB", "peak RSS MiB",
    "requests", "MB sent by server", "MB received", "ceiling s", "asked", "got", "met", "measured",
)  # fmt: skip
_GROWN = ("row", "what", "s", "per further unit", "peak RSS MiB", "asked", "got", "met", "measured")
_NOTES = """\
Times are median (least–greatest) in seconds, of fresh processes with empty client caches that ran one after the other,
pyxet, peer, pyxet, peer. A ratio above 1 means that pyxet was faster. Pairs of figures are pyxet's and the peer's,
medians. Bytes are those of bodies. A ceiling is a bare loop without retries, checks or bounds that does only what must
be done; it is named below. All rows are on server (b), the lean one of this folder, unless they say server (a), which is
the local endpoint. Both sides of a row compute what the Hub needs, the SHA-256 of uploads included."""


def machine() -> list[str]:
    """What the figures depend on."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / _GIB
    found = [f"{name} {version(name)}" for name in _PEERS]
    return [
        f"{cores} cores ({platform.machine()}, {platform.system()} {platform.release()}), {memory:.0f} GiB of memory",
        f"Python {platform.python_version()}, {', '.join(found)}",
    ]


def line(row: Row, pairs: Pairs, content: int, sizes: Sizes) -> str:
    """The line of a paired row."""
    verdicts = [check(pairs, content) for check in row.asked]
    ratios = f"{statistics.median(pairs.ratios):.2f} ({', '.join(f'{ratio:.2f}' for ratio in pairs.ratios)})"
    ceiling = f"{min(run.seconds for run in pairs.ceiling):.3g}" if pairs.ceiling else "–"
    cells = [
        f"`{row.name}`", row.title(sizes), row.peer, _times(pairs.ours), _times(pairs.theirs), ratios,
        _cpu(pairs, content),
        _both(pairs, lambda run: run.rss / MIB, ".0f"),
        _both(pairs, lambda run: run.total_requests, ".0f"),
        _both(pairs, lambda run: run.sent / 1e6, ".2f"),
        _both(pairs, lambda run: run.received / 1e6, ".2f"),
        ceiling, *_told(verdicts), _today(),
    ]  # fmt: skip
    return _cells(cells)


def grown_line(row: Growth, grown: Grown, sizes: Sizes) -> str:
    """The line of a growth row."""
    medians = [statistics.median(run.seconds for run in runs) for runs in grown.runs]
    unit = _GIB if row.unit == "GiB" else 1
    marginal = [
        (after - before) / (high - low) * unit
        for before, after, low, high in zip(medians, medians[1:], grown.steps, grown.steps[1:], strict=False)
    ]
    shown = ", ".join(f"{value:.3f} s" if unit > 1 else f"{value * 1000:.3f} ms" for value in marginal)
    memory = [statistics.median(run.rss for run in runs) / MIB for runs in grown.runs]
    cells = [
        f"`{row.name}`", row.title(sizes), ", ".join(_times(runs) for runs in grown.runs), f"{shown} per {row.unit}",
        ", ".join(f"{value:.0f}" for value in memory), *_told(grown.verdicts()), _today(),
    ]  # fmt: skip
    return _cells(cells)


def page(lines: dict[str, str], rows: Sequence[Row], growth: Sequence[Growth], partial: Sequence[str]) -> str:
    """The whole page; ``partial`` names the rows of a run that was not complete."""
    text = ["# Benchmarks", "", f"{_today()}, {machine()[0]}.", "", f"{machine()[1]}.", ""]
    if partial:
        names = ", ".join(f"`{name}`" for name in partial)
        text += [f"The last run measured only {names}; the other lines are of earlier runs, as their dates say.", ""]
    every: tuple[Row | Growth, ...] = (*rows, *growth)
    missing = [row.name for row in every if row.name not in lines]
    if missing:
        text += [f"Not measured yet: {', '.join(f'`{name}`' for name in missing)}.", ""]
    text += [_NOTES, "", *_head(_PAIRED), *(lines[row.name] for row in rows if row.name in lines), ""]
    text += ["## Growth", "", "pyxet beside itself; what each further byte or file costs between the sizes.", ""]
    text += [*_head(_GROWN), *(lines[row.name] for row in growth if row.name in lines), ""]
    text += ["## Ceilings", "", *(f"- `{row.name}`: {row.bare}" for row in rows if row.bare), ""]
    return "\n".join(text)


def lines_of(path: Path) -> dict[str, str]:
    """The lines of an earlier page, by the names of their rows."""
    if not path.exists():
        return {}
    found = path.read_text().splitlines()
    return {match[1]: text for text in found if (match := _NAME.match(text))}


def _cpu(pairs: Pairs, content: int) -> str:
    """CPU seconds per GiB, or in all where so little is moved that it is no measure."""
    if content < _LITTLE:
        return f"{_both(pairs, lambda run: run.cpu, '.2f')} in all"
    return _both(pairs, lambda run: run.cpu * _GIB / content, ".2f")


def _told(verdicts: list[Verdict]) -> tuple[str, str, str]:
    return (
        "; ".join(verdict.asked for verdict in verdicts),
        "; ".join(verdict.got for verdict in verdicts),
        "; ".join("yes" if verdict.met else "**no**" for verdict in verdicts),
    )


def _times(runs: list[Run]) -> str:
    spread = Spread.of([run.seconds for run in runs])
    return f"{spread.median:.3g} ({spread.least:.3g}–{spread.greatest:.3g})"


def _both(pairs: Pairs, figure: Callable[[Run], float], form: str) -> str:
    ours, theirs = (median(runs, figure) for runs in (pairs.ours, pairs.theirs))
    return f"{ours:{form}} / {theirs:{form}}"


def _head(names: Sequence[str]) -> list[str]:
    return [_cells(list(names)), "|" + "---|" * len(names)]


def _cells(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _today() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d")
