"""pyxet beside its peers: ``python benchmarks/run.py [--quick] [--only ROW…] [--resume] [--pairs N] [--list]``.

A run of all rows with full sizes writes ``RESULTS.md``, after each row; with ``--only`` it replaces the lines of its rows
there, and ``--resume`` continues a run that was interrupted. Quick runs, and those of fewer than 5 pairs, show that
everything works, but write nothing, as their figures say little.
"""

from __future__ import annotations

import argparse
import platform
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import report
from cases import QUICK, Bench, Sizes
from growth import GROWTH, Growth, run_growth
from pairing import check_space, read_once, run_pairs
from rows import ROWS, Row

_RESULTS = Path(__file__).with_name("RESULTS.md")
_GIB = 1 << 30
_PAIRS = 5
ALL: tuple[Row | Growth, ...] = (*ROWS, *GROWTH)
# Free space (in bytes) for quick runs, for full sizes, and for rows with larger files: twice what they move.
_QUICK_SPACE, _SPACE, _LARGE_SPACE = 2 * _GIB, 16 * _GIB, 32 * _GIB
_LARGE = {"growth-up", "growth-down"}


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description="pyxet beside its peers")
    parser.add_argument("--quick", action="store_true", help="everything small, in under 3 minutes")
    parser.add_argument("--only", nargs="+", default=[], metavar="ROW", help="only these rows")
    parser.add_argument("--resume", action="store_true", help="not those that were measured today")
    parser.add_argument("--pairs", type=int, help="pairs of each row (5; 2 with --quick)")
    parser.add_argument("--list", action="store_true", help="name the rows and stop")
    parser.add_argument(
        "--data",
        type=Path,
        default=Path(tempfile.gettempdir()) / "pyxet-benchmarks",
        help="folder of the content, kept for the next run",
    )
    chosen = parser.parse_args()
    known = [row.name for row in ALL]
    if unknown := [name for name in chosen.only if name not in known]:
        parser.error(f"no such rows: {', '.join(unknown)}; --list names them")
    return chosen


def measure(row: Row, bench: Bench, lines: report.Lines) -> None:
    """Run a paired row, and set its lines of the tables."""
    with row.case(bench) as case:
        read_once(list(case.sources))
        count = min(bench.pairs, row.most_pairs)
        pairs = run_pairs(case.ours, case.theirs, case.limit, count, bench.data, bench.tell)
        if row.reads and any(run.requests.get("resolve") for run in pairs.ours):
            raise RuntimeError(f"{row.name}: pyxet read through /resolve: {pairs.ours[0].requests}")
        for side, runs in (("pyxet", pairs.ours), ("peer", pairs.theirs), ("limit", pairs.limits)):
            for run in runs[:1]:
                bench.tell(
                    f"  {side}: {run.seconds:.3f} s, CPU {run.cpu:.2f} s (server {run.server_cpu:.2f} s), RSS {run.rss >> 20} MiB, "
                    f"sent {run.sent:,}, received {run.received:,}, {dict(run.requests)} {dict(run.extra)}"
                )
        for check in row.asked:
            verdict = check(pairs, case.content)
            bench.tell(f"  {'met' if verdict.met else 'NOT MET'}: {verdict.asked}: {verdict.got}")
        report.put(lines, row, pairs, case.content, bench.sizes)


def main() -> None:
    chosen = arguments()
    if chosen.list:
        for row in ALL:
            print(f"{row.name:18} {row.title(Sizes())}")
        return
    chosen.data.mkdir(parents=True, exist_ok=True)
    large = not chosen.only or _LARGE.intersection(chosen.only)
    check_space(chosen.data, _QUICK_SPACE if chosen.quick else _LARGE_SPACE if large else _SPACE)
    sizes = QUICK if chosen.quick else Sizes()
    started = time.monotonic()
    pairs = chosen.pairs or (2 if chosen.quick else _PAIRS)
    # Only results with full sizes and enough pairs are published.
    written = not chosen.quick and pairs >= _PAIRS
    lines = report.lines_of(_RESULTS) if written else {}
    left_out = report.measured_today(lines) if chosen.resume else set()
    done: list[str] = []
    failed: list[str] = []
    with ExitStack() as stack:
        bench = Bench(sizes, chosen.data, pairs, stack)
        for row in ALL:
            if (chosen.only and row.name not in chosen.only) or row.name in left_out:
                continue
            print(f"[{time.monotonic() - started:.0f} s] {row.name}: {row.title(sizes)}", flush=True)
            try:
                if isinstance(row, Row):
                    measure(row, bench, lines)
                else:
                    report.put_grown(lines, row, run_growth(row, bench), sizes)
            except RuntimeError as error:
                failed.append(row.name)
                print(f"  FAILED: {error}", flush=True)
                continue
            done.append(row.name)
            if written:
                partial = done if len(done) < len(ALL) else []
                _RESULTS.write_text(report.page(lines, ALL, partial, time.monotonic() - started))
    print(f"{len(done)} rows in {time.monotonic() - started:.0f} s on Python {platform.python_version()}")
    print(report.show(lines, done))
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
