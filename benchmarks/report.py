"""The Markdown page: tables by topic, then the figures that were measured besides the times.

A row has a line in its table and one in the details; both are found again by its name, so that a partial run can replace
its own.
"""

from __future__ import annotations

import os
import platform
import re
import statistics
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from cases import Sizes
from checks import Verdict, median
from datasets import MIB
from growth import Grown, Growth
from limits import cores
from link import DELAY, RATE
from pairing import Pairs, Run, Spread
from rows import Row

_GIB = 1024 * MIB
_LITTLE = 16 * MIB
_NAME = re.compile(r"\| `([\w-]+)` \|")
_PEERS = ("pyxet", "huggingface_hub", "hf_xet", "aiohttp", "fsspec", "pandas", "pyarrow")
_GROWN_TABLE = "growth"
_DETAILS = "details"
_BASIC = ("row", "what", "peer", "pyxet s", "peer s", "peer ÷ pyxet")
_BULK = (*_BASIC, "limit s", "share")
_TOLD = ("asked", "got", "met", "measured")
_HEADS = {
    "up": (*_BULK, *_TOLD),
    "down": (*_BULK, "disk s", *_TOLD),
    "small": (*_BASIC, *_TOLD),
    "far": (*_BASIC, *_TOLD),
    "endpoint": (*_BASIC, *_TOLD),
    _GROWN_TABLE: ("row", "what", "s", "per further unit", "peak RSS MiB", *_TOLD),
    _DETAILS: ("row", "pair by pair", "CPU s per GiB", "peak RSS MiB", "requests", "MB sent", "MB received", "more"),
}
TABLES = {
    "up": (
        "Up",
        "**limit**: the CPU time of the stages (read, chunk boundaries, SHA-256, BLAKE3; of what is new also compress, "
        "frame, send), each measured in the same run in a loop that spends it in C, over all cores. **share**: limit ÷ "
        "pyxet's time, 75 % is the aim. The server's own time is in neither.",
    ),
    "down": (
        "Down",
        "**limit**: receive, decode, BLAKE3, and write or copy, in the same way. **disk**: as many bytes written to a file "
        "in the same run by a loop that does nothing else, first and last time.",
    ),
    "small": ("Small reads, lines and listings", ""),
    "far": (
        "Far away",
        f"Through a proxy that lets bytes arrive {DELAY * 1000:.0f} ms later in each direction, "
        f"{RATE * 8 / 1e9:.0f} Gbit/s for all connections together; a new one takes a round trip to be made and begins "
        f"with few bytes on their way, as TCP does. Both sides are {DELAY * 2000:.0f} ms from the server.",
    ),
    "endpoint": ("The local endpoint, and the start of a process", ""),
    _GROWN_TABLE: ("Growth", "pyxet beside itself; what each further byte or file costs between the sizes."),
    _DETAILS: (
        "Details",
        "Pairs of figures are pyxet's and the peer's, medians. Bytes are those of bodies. **more**: stages of the limit in "
        "CPU seconds, and what workers told of themselves (p99 and loop lag in seconds; link: the share of a core that the "
        "proxy took).",
    ),
}
_NOTES = """\
Times are median (least–greatest) in seconds, of fresh processes with empty client caches that ran one after the other,
pyxet, peer, pyxet, peer. A ratio is the median of the pairs; above 1 means that pyxet was faster. Rows are on the lean
server of this folder, which costs as little as it can, unless they say that they are on the local endpoint. Both sides of a
row compute what the Hub needs, the SHA-256 of uploads included. `python benchmarks/run.py` measures it all again."""

# The lines of a page: by table, then by the name of the row.
Lines = dict[str, dict[str, str]]


def machine() -> list[str]:
    """What the figures depend on."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / _GIB
    found = [f"{name} {version(name)}" for name in _PEERS]
    return [
        f"{cores()} cores ({platform.machine()}, {platform.system()} {platform.release()}), {memory:.0f} GiB of memory",
        f"Python {platform.python_version()}, {', '.join(found)}",
    ]


def put(lines: Lines, row: Row, pairs: Pairs, content: int, sizes: Sizes) -> None:
    """Set the lines of a paired row."""
    figures = {
        "row": f"`{row.name}`",
        "what": row.title(sizes),
        "peer": row.peer,
        "pyxet s": _times(pairs.ours),
        "peer s": _times(pairs.theirs),
        "peer ÷ pyxet": f"{statistics.median(pairs.ratios):.2f}",
        "limit s": _limit(pairs),
        "share": f"{limit / _seconds(pairs.ours):.0%}" if (limit := _least(pairs, "limit")) else "–",
        "disk s": ", ".join(f"{run.extra['disk']:.2g}" for run in pairs.limits if "disk" in run.extra) or "–",
        "pair by pair": ", ".join(f"{ratio:.2f}" for ratio in pairs.ratios),
        "CPU s per GiB": _cpu(pairs, content),
        "peak RSS MiB": _both(pairs, lambda run: run.rss / MIB, ".0f"),
        "requests": _both(pairs, lambda run: run.total_requests, ".0f"),
        "MB sent": _both(pairs, lambda run: run.sent / 1e6, ".2f"),
        "MB received": _both(pairs, lambda run: run.received / 1e6, ".2f"),
        "more": _more(pairs),
    } | _told(check(pairs, content) for check in row.asked)
    for table in (row.table, _DETAILS):
        lines.setdefault(table, {})[row.name] = _cells([figures[name] for name in _HEADS[table]])


def put_grown(lines: Lines, row: Growth, grown: Grown, sizes: Sizes) -> None:
    """Set the line of a growth row."""
    medians = [_seconds(runs) for runs in grown.runs]
    unit = _GIB if row.unit == "GiB" else 1
    marginal = [
        (after - before) / (high - low) * unit
        for before, after, low, high in zip(medians, medians[1:], grown.steps, grown.steps[1:], strict=False)
    ]
    shown = ", ".join(f"{value:.3f} s" if unit > 1 else f"{value * 1000:.3f} ms" for value in marginal)
    memory = [statistics.median(run.rss for run in runs) / MIB for runs in grown.runs]
    figures = {
        "row": f"`{row.name}`",
        "what": row.title(sizes),
        "s": ", ".join(_times(runs) for runs in grown.runs),
        "per further unit": f"{shown} per {row.unit}",
        "peak RSS MiB": ", ".join(f"{value:.0f}" for value in memory),
    } | _told(grown.verdicts())
    lines.setdefault(_GROWN_TABLE, {})[row.name] = _cells([figures[name] for name in _HEADS[_GROWN_TABLE]])


def page(lines: Lines, rows: Sequence[Row | Growth], partial: Sequence[str], spent: float) -> str:
    """The whole page.

    Parameters
    ----------
    partial:
        The rows of a run that was not complete.
    spent:
        Seconds that the run took.
    """
    text = ["# Benchmarks", "", f"{_today()}, {machine()[0]}.", "", f"{machine()[1]}.", ""]
    if partial:
        names = ", ".join(f"`{name}`" for name in partial)
        text += [f"The last run measured only {names}; the other lines are of earlier runs, as their dates say.", ""]
    else:
        text += [f"One run of all rows, {spent / 60:.0f} minutes.", ""]
    known = {name for found in lines.values() for name in found}
    if missing := [row.name for row in rows if row.name not in known]:
        text += [f"Not measured yet: {', '.join(f'`{name}`' for name in missing)}.", ""]
    text += [_NOTES, ""]
    for table, (title, note) in TABLES.items():
        found = lines.get(table, {})
        here = [found[row.name] for row in rows if row.name in found]
        if here:
            text += [f"## {title}", "", *([note, ""] if note else []), *_head(_HEADS[table]), *here, ""]
    return "\n".join(text)


def show(lines: Lines, names: Sequence[str]) -> str:
    """The lines of some rows, for the end of a run."""
    return "\n".join(found[name] for found in lines.values() for name in names if name in found)


def lines_of(path: Path) -> Lines:
    """The lines of an earlier page, for the tables that still exist."""
    lines: Lines = {}
    if not path.exists():
        return lines
    titles = {f"## {title}": table for table, (title, _) in TABLES.items()}
    table = None
    for text in path.read_text().splitlines():
        if text.startswith("## "):
            table = titles.get(text)
        elif table and text == _head(_HEADS[table])[0]:
            lines[table] = {}
        elif table in lines and (match := _NAME.match(text)):
            lines[table][match[1]] = text
    return lines


def measured_today(lines: Lines) -> set[str]:
    """The rows that were measured today."""
    ending = f"| {_today()} |"
    return {name for found in lines.values() for name, text in found.items() if text.endswith(ending)}


def _least(pairs: Pairs, figure: str) -> float:
    """The smallest value of a figure of the limit, as disturbances only make a loop slower. Zero if there is no limit."""
    return min((run.extra[figure] for run in pairs.limits), default=0.0)


def _limit(pairs: Pairs) -> str:
    return f"{_least(pairs, 'limit'):.2f}" if pairs.limits else "–"


def _more(pairs: Pairs) -> str:
    """The stages of the limit, and further figures of the workers."""
    parts = []
    if pairs.limits:
        best = min(pairs.limits, key=lambda run: run.extra["limit"])
        parts += [f"{stage} {spent:.2f}" for stage, spent in best.extra["stages"].items()]
    for figure in dict.fromkeys(name for run in (*pairs.ours[:1], *pairs.theirs[:1]) for name in run.extra):
        both = [
            f"{median(runs, lambda run: run.extra[figure]):.3g}" if figure in runs[0].extra else "–"  # noqa: B023  # used at once
            for runs in (pairs.ours, pairs.theirs)
        ]
        parts.append(f"{figure} {' / '.join(both)}")
    return ", ".join(parts) or "–"


def _cpu(pairs: Pairs, content: int) -> str:
    """CPU seconds per GiB, or in total if too little content is moved for a rate."""
    if content < _LITTLE:
        return f"{_both(pairs, lambda run: run.cpu, '.2f')} in all"
    return _both(pairs, lambda run: run.cpu * _GIB / content, ".2f")


def _told(verdicts: Iterable[Verdict]) -> dict[str, str]:
    found = list(verdicts)
    return {
        "asked": "; ".join(verdict.asked for verdict in found),
        "got": "; ".join(verdict.got for verdict in found),
        "met": "; ".join("yes" if verdict.met else "**no**" for verdict in found),
        "measured": _today(),
    }


def _seconds(runs: list[Run]) -> float:
    return statistics.median(run.seconds for run in runs)


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
