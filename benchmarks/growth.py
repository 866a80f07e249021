"""Rows that compare pyxet with itself: what a further byte or file costs as there are more of them."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass

from cases import REPO, SMALL, Bench, Sizes, download_job, size_text, upload_job, xorb_files
from checks import Verdict
from datasets import MIB, make_small_files
from pairing import Run, Side, read_once, run_side

_MOST_RISE = 1.2
_MOST_MEMORY = 500 * MIB


@dataclass(frozen=True)
class Growth:
    """A row of three sizes; ``side`` prepares the job of one of them."""

    name: str
    title: Callable[[Sizes], str]
    steps: Callable[[Sizes], tuple[int, ...]]
    side: Callable[[Bench, int], Side]
    unit: str


@dataclass(frozen=True)
class Grown:
    """The runs of each size."""

    steps: tuple[int, ...]
    runs: tuple[list[Run], ...]

    def verdicts(self) -> list[Verdict]:
        """Whether the marginal time stays, and memory as well."""
        first, second, third = (statistics.median(run.seconds for run in runs) for runs in self.runs)
        early = (second - first) / (self.steps[1] - self.steps[0])
        late = (third - second) / (self.steps[2] - self.steps[1])
        # Noise may make a small step free; then there is nothing to compare with.
        rise = late / early if early > 0 else float("inf")
        memory = statistics.median(run.rss for run in self.runs[-1])
        return [
            Verdict("marginal time rises ≤ 20 %", f"{rise - 1:+.0%}", rise <= _MOST_RISE),
            Verdict("RSS < 500 MiB", f"{memory / MIB:.0f} MiB", memory < _MOST_MEMORY),
        ]


def _up(bench: Bench, size: int) -> Side:
    path = bench.file("random", size)
    read_once([path])
    return Side(upload_job([path]) | {"side": "pyxet"}, bench.lean, bench.setup())


def _down(bench: Bench, size: int) -> Side:
    path = bench.file("random", size)
    manifest = bench.manifest(path)
    read_once(list(xorb_files(manifest)))
    return Side(download_job(path) | {"side": "pyxet"}, bench.lean, bench.setup(manifest))


def _files(bench: Bench, count: int) -> Side:
    folder = make_small_files(bench.sources, count, SMALL)
    read_once([folder])
    job = {"action": "upload_folder", "warm": "upload", "repo": REPO, "folder": str(folder), "side": "pyxet"}
    return Side(job, bench.lean, bench.setup())


def run_growth(row: Growth, bench: Bench) -> Grown:
    """All sizes, one after the other, in each round."""
    steps = row.steps(bench.sizes)
    sides = [row.side(bench, step) for step in steps]
    runs: tuple[list[Run], ...] = tuple([] for _ in steps)
    for number in range(bench.pairs):
        for side, found in zip(sides, runs, strict=True):
            found.append(run_side(side, bench.data))
        seconds = ", ".join(f"{found[-1].seconds:.2f} s" for found in runs)
        bench.tell(f"  round {number + 1}: {seconds}")
    grown = Grown(steps, runs)
    for verdict in grown.verdicts():
        bench.tell(f"  {'met' if verdict.met else 'NOT MET'}: {verdict.asked}: {verdict.got}")
    return grown


def _sizes_text(sizes: Sizes) -> str:
    return " → ".join(map(size_text, sizes.growth))


GROWTH = (
    Growth("growth-up", lambda s: f"upload random: {_sizes_text(s)}", lambda s: s.growth, _up, "GiB"),
    Growth("growth-down", lambda s: f"download random: {_sizes_text(s)}", lambda s: s.growth, _down, "GiB"),
    Growth(
        "growth-files",
        lambda s: f"upload {' → '.join(f'{n:,}' for n in s.growth_files)} files of {size_text(SMALL)}, one commit",
        lambda s: s.growth_files,
        _files,
        "file",
    ),
)
