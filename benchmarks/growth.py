"""Rows that compare pyxet with itself: whether one more byte, file or entry costs more as their number grows."""

from __future__ import annotations

import math
import statistics
import subprocess
import tempfile
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import serving
from cases import REPO, SMALL, Bench, Sizes, download_job, in_folders, name_many, size_text, upload_job, xorb_files
from checks import Verdict
from datasets import MIB, file_name, make_small_files
from limits import write_only
from pairing import Run, Side, read_once, run_side

_MOST_RISE = 1.1
_MOST_MEMORY = 500 * MIB
# How many commits are timed together: one is too short to measure.
_COMMITS = 20


@dataclass(frozen=True)
class Growth:
    """A row of three sizes; ``side`` prepares the job of one of them."""

    name: str
    title: Callable[[Sizes], str]
    steps: Callable[[Sizes], tuple[int, ...]]
    side: Callable[[Bench, int], Side]
    unit: str
    # Whether a plain loop also writes as many bytes to the disk, so that the time of the disk can be discounted.
    disk: bool = False
    # Whether the job should take the same time at each size; otherwise each further unit should.
    constant: bool = False
    # The kind of content to remove at the end: a dozen gigabytes or more that no other row needs.
    kind: str = ""


@dataclass(frozen=True)
class Grown:
    """The runs of each size, and the seconds that the machine needs just to write as many bytes."""

    steps: tuple[int, ...]
    runs: tuple[list[Run], ...]
    disk: tuple[list[float], ...] = ()
    constant: bool = False

    def verdicts(self) -> list[Verdict]:
        """Whether the time per unit stays the same, and whether memory stays bounded."""
        seconds = [statistics.median(run.seconds for run in runs) for runs in self.runs]
        memory = statistics.median(run.rss for run in self.runs[-1])
        room = Verdict("RSS < 500 MiB", f"{memory / MIB:.0f} MiB", memory < _MOST_MEMORY)
        if self.constant:
            rise = seconds[-1] / seconds[0]
            return [Verdict("time rises ≤ 10 %", f"{rise - 1:+.0%}", rise <= _MOST_RISE), room]
        rise = self._rise(seconds)
        if not self.disk:
            return [Verdict("marginal time rises ≤ 10 %", f"{rise - 1:+.0%}", rise <= _MOST_RISE), room]
        disk = self._rise([statistics.median(found) for found in self.disk])
        told = f"{rise - 1:+.0%}, the disk {disk - 1:+.0%}"
        # If noise made the first step of the disk free, its rise is infinite and must not raise the bound.
        most = _MOST_RISE * (max(1.0, disk) if math.isfinite(disk) else 1.0)
        return [Verdict("marginal time rises ≤ 10 %, beyond the disk's", told, rise <= most), room]

    def _rise(self, seconds: list[float]) -> float:
        first, second, third = seconds
        early = (second - first) / (self.steps[1] - self.steps[0])
        late = (third - second) / (self.steps[2] - self.steps[1])
        # Noise can make the first step seem free; there is then nothing to compare with.
        return late / early if early > 0 else float("inf")


def _up(bench: Bench, size: int) -> Side:
    path = bench.file("random", size)
    read_once([path])
    return Side(upload_job([path]) | {"side": "pyxet"}, bench.lean, bench.setup())


def _down(bench: Bench, size: int) -> Side:
    manifest = bench.stored_file("random", size)
    read_once(list(xorb_files(manifest)))
    job = download_job(bench.sources / file_name("random", size), size=size)
    return Side(job | {"side": "pyxet"}, bench.lean, bench.setup(manifest))


def _files(bench: Bench, count: int) -> Side:
    folder = make_small_files(bench.sources, count, SMALL)
    read_once([folder])
    job = {"action": "upload_folder", "warm": "upload", "repo": REPO, "folder": str(folder), "side": "pyxet"}
    return Side(job, bench.lean, bench.setup())


def _named(bench: Bench, count: int, name: Callable[[int], str]) -> Callable[[], nullcontext[serving.Server]]:
    """A local endpoint with many names in one commit, for all runs."""
    server = bench.stack.enter_context(bench.fresh_local())
    name_many(bench, server, count, name)
    return lambda: nullcontext(server)


def _find(bench: Bench, count: int) -> Side:
    # One more than the files: a new repository has .gitattributes.
    job = {"action": "find", "side": "pyxet", "warm": "", "repo": REPO, "count": count + 1}
    return Side(job, _named(bench, count, in_folders))


def _list(bench: Bench, count: int) -> Side:
    job = {"action": "list_folder", "side": "pyxet", "warm": "", "repo": REPO, "path": "all", "count": count}
    return Side(job, _named(bench, count, lambda number: f"all/{number:06}.bin"))


def _commit(bench: Bench, count: int) -> Side:
    job = {"action": "commit_more", "side": "pyxet", "warm": "upload", "repo": REPO, "path": "d000", "times": _COMMITS}
    return Side(job, _named(bench, count, in_folders))


def _log(bench: Bench, count: int) -> Side:
    root = Path(bench.stack.enter_context(tempfile.TemporaryDirectory(prefix="endpoint-", dir=bench.data)))
    server = bench.stack.enter_context(serving.local(root))
    server.create_repo(REPO.partition("/")[2])
    [repository] = root.glob("repos/*/*/*.git")
    who = "committer bench <bench@localhost> 1700000000 +0000"
    commit = f"commit refs/heads/main\n{who}\ndata 2\nx\n\n"
    text = "reset refs/heads/main\n\n" + commit * count
    subprocess.run(["git", "fast-import", "--quiet", "--force"], cwd=repository, input=text.encode(), check=True)
    job = {"action": "log", "side": "pyxet", "warm": "", "repo": REPO, "count": count}
    return Side(job, lambda: nullcontext(server))


def run_growth(row: Growth, bench: Bench) -> Grown:
    """All sizes, one after the other, in each round."""
    steps = row.steps(bench.sizes)
    sides = [row.side(bench, step) for step in steps]
    runs: tuple[list[Run], ...] = tuple([] for _ in steps)
    disk: tuple[list[float], ...] = tuple([] for _ in steps)
    for number in range(bench.pairs):
        for step, side, found, written in zip(steps, sides, runs, disk, strict=True):
            found.append(run_side(side, bench.data))
            if row.disk:
                with tempfile.TemporaryDirectory(prefix="disk-", dir=bench.data) as folder:
                    written.append(write_only(Path(folder) / "disk", step))
        seconds = ", ".join(f"{found[-1].seconds:.2f} s" for found in runs)
        beside = f"; the disk: {', '.join(f'{found[-1]:.2f} s' for found in disk)}" if row.disk else ""
        bench.tell(f"  round {number + 1}: {seconds}{beside}")
    if row.kind:
        for step in steps:
            bench.discard(row.kind, step)
    grown = Grown(steps, runs, disk if row.disk else (), row.constant)
    for verdict in grown.verdicts():
        bench.tell(f"  {'met' if verdict.met else 'NOT MET'}: {verdict.asked}: {verdict.got}")
    return grown


def _counts(steps: tuple[int, ...]) -> str:
    return " → ".join(f"{step:,}" for step in steps)


def _sizes_text(sizes: Sizes) -> str:
    return " → ".join(map(size_text, sizes.growth))


GROWTH = (
    Growth("growth-up", lambda s: f"upload random: {_sizes_text(s)}", lambda s: s.growth, _up, "GiB", kind="random"),
    Growth(
        "growth-down",
        lambda s: f"download random: {_sizes_text(s)}",
        lambda s: s.growth,
        _down,
        "GiB",
        disk=True,
        kind="random",
    ),
    Growth(
        "growth-files",
        lambda s: f"upload {_counts(s.growth_files)} files of {size_text(SMALL)}, one commit",
        lambda s: s.growth_files,
        _files,
        "file",
    ),
    Growth(
        "growth-commit",
        lambda s: f"{_COMMITS} commits of a file in a tree of {_counts(s.growth_files)} files, server (a)",
        lambda s: s.growth_files,
        _commit,
        "file that is there",
        constant=True,
    ),
    Growth(
        "growth-find",
        lambda s: f"find over {_counts(s.growth_files)} files, a thousand in a folder, server (a)",
        lambda s: s.growth_files,
        _find,
        "file",
    ),
    Growth(
        "growth-ls",
        lambda s: f"ls of a folder of {_counts(s.growth_files)} files, server (a)",
        lambda s: s.growth_files,
        _list,
        "file",
    ),
    Growth(
        "growth-log",
        lambda s: f"log of {_counts(s.growth_log)} commits, server (a)",
        lambda s: s.growth_log,
        _log,
        "commit",
    ),
)
