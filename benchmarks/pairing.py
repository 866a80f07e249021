"""Paired timings: two sides run in turn (A B A B), each in a fresh process, and the ratio of each pair is taken.

Single timings on a shared machine say little; a pair from the same minute says more. A row reports the median of the
pairs' ratios.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from serving import Server
from watching import busy

WORKER = Path(__file__).with_name("worker.py")
_PIECE = 8 * 1024 * 1024
# The most of a core that the proxy of the simulated network may use; otherwise the proxy would be the bottleneck.
_MOST_OF_LINK = 0.7


@dataclass(frozen=True)
class Run:
    """One process: wall seconds and CPU seconds of the measured part, peak RSS, and what the server saw."""

    seconds: float
    cpu: float
    rss: int
    requests: Mapping[str, int] = field(default_factory=dict)
    sent: int = 0
    received: int = 0
    server_cpu: float = 0.0
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def total_requests(self) -> int:
        """Requests of all kinds."""
        return sum(self.requests.values())


@dataclass(frozen=True)
class Side:
    """What one side does, against which server, and with what setup. ``server`` is entered for each run."""

    job: Mapping[str, Any]
    server: Callable[[], AbstractContextManager[Server]]
    setup: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Pairs:
    """All runs of one row."""

    ours: list[Run] = field(default_factory=list)
    theirs: list[Run] = field(default_factory=list)
    limits: list[Run] = field(default_factory=list)

    @property
    def ratios(self) -> list[float]:
        """The peer's seconds divided by ours, for each pair: 2.0 means that pyxet needs half the time."""
        return [theirs.seconds / ours.seconds for ours, theirs in zip(self.ours, self.theirs, strict=True)]


@dataclass(frozen=True)
class Spread:
    """Median, least and greatest of some figures."""

    median: float
    least: float
    greatest: float

    @classmethod
    def of(cls, figures: list[float]) -> Spread:
        return cls(statistics.median(figures), min(figures), max(figures))


def run_side(side: Side, folder: Path) -> Run:
    """Run one job in a fresh process with empty client caches. Its outputs are in a folder that is removed afterwards.

    Raises
    ------
    RuntimeError
        The process failed; its standard error is in the message.
    """
    with side.server() as server, tempfile.TemporaryDirectory(prefix="run-", dir=folder) as home:
        server.control("setup", dict(side.setup) | ({"origin": server.url} if server.link else {}))
        before = 0.0

        def ready() -> None:
            nonlocal before
            server.control("reset")
            before = busy(server.link) if server.link else 0.0

        job = dict(side.job) | {"url": server.url, "token": server.token, "out": str(Path(home) / "out")}
        Path(job["out"]).mkdir()
        environment = {
            **{name: os.environ[name] for name in ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH") if name in os.environ},
            "HOME": home,
            "HF_HOME": str(Path(home) / "hf"),
            "HF_XET_CACHE": str(Path(home) / "xet"),
            "HF_ENDPOINT": server.url,
            "HF_TOKEN": server.token,
            "XET_ENDPOINT": server.url,
            "XET_USER_NAME": server.user,
            "XET_USER_TOKEN": server.token,
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        }
        answer = _converse(job, environment, ready)
        counters = server.control("counters")
        seconds, cpu, rss = (answer.pop(name) for name in ("seconds", "cpu", "rss"))
        if server.link:
            answer["link"] = (busy(server.link) - before) / seconds
            if answer["link"] > _MOST_OF_LINK:
                raise RuntimeError(f"the link took {answer['link']:.0%} of a core: it measured itself")
    told = answer | {name: counters[name] for name in ("round trips",) if name in counters}
    return Run(seconds, cpu, rss, counters["requests"], counters["sent"], counters["received"], counters["cpu"], told)


def _converse(job: Mapping[str, Any], environment: dict[str, str], ready: Callable[[], object]) -> dict[str, Any]:
    """Start a worker, call ``ready`` when it has warmed up, let it go, and take its answer."""
    # Standard error goes to a file: with a pipe, a worker that writes much would block once the pipe is full.
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            [sys.executable, str(WORKER)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment,
        )  # fmt: skip
        assert process.stdin
        assert process.stdout
        try:
            process.stdin.write(json.dumps(job) + "\n")
            process.stdin.flush()
            said = process.stdout.readline()
            if said == "ready\n":
                ready()
                process.stdin.write("go\n")
                process.stdin.flush()
            rest = process.stdout.read().splitlines()
            process.stdin.close()
        except BrokenPipeError:
            rest = []
        except BaseException:
            process.kill()
            raise
        finally:
            process.wait()
        if process.returncode or not rest:
            errors.seek(0)
            raise RuntimeError(
                f"{job['side']} {job['action']} ended with {process.returncode}: {errors.read()[-3000:]}"
            )
    answer: dict[str, Any] = json.loads(rest[-1])
    return answer


def run_pairs(
    ours: Side, theirs: Side, limit: Side | None, count: int, folder: Path, tell: Callable[[str], object]
) -> Pairs:
    """Run both sides in turn. The limit is measured once before them and, if there are several pairs, once after."""
    pairs = Pairs()
    if limit:
        pairs.limits.append(run_side(limit, folder))
    for number in range(count):
        pairs.ours.append(run_side(ours, folder))
        pairs.theirs.append(run_side(theirs, folder))
        first, second = pairs.ours[-1].seconds, pairs.theirs[-1].seconds
        tell(f"  pair {number + 1}: {first:.2f} s and {second:.2f} s, {second / first:.2f}x")
    if limit and count > 2:
        pairs.limits.append(run_side(limit, folder))
    return pairs


def read_once(paths: list[Path]) -> None:
    """Read files into the page cache, after everything that waits to be written is on the disk."""
    os.sync()
    buffer = bytearray(_PIECE)
    for path in paths:
        for part in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if part.is_file():
                with part.open("rb", buffering=0) as file:
                    while file.readinto(buffer):
                        pass


def check_space(folder: Path, needed: int) -> None:
    """Refuse to start if the disk would become full."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise SystemExit(f"{folder} has {free >> 30} GiB free, the content needs {needed >> 30} GiB: see --data")
