"""Paired timings: two sides, interleaved A B A B in fresh processes, and the ratio of each pair.

Single figures of a shared machine say little; a pair taken in the same minute says more, and the median of the pairs'
ratios is what a row reports.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

WORKER = Path(__file__).with_name("worker.py")


@dataclass(frozen=True)
class Run:
    """One process: wall seconds and CPU seconds of the measured part, peak RSS, and what the server saw."""

    seconds: float
    cpu: float
    rss: int
    requests: int = 0
    sent: int = 0
    received: int = 0


@dataclass
class Pairs:
    """All runs of one row."""

    ours: list[Run] = field(default_factory=list)
    theirs: list[Run] = field(default_factory=list)

    @property
    def ratios(self) -> list[float]:
        """Peer's seconds over ours, pair by pair: 2.0 means that pyxet needs half the time."""
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


def run_worker(job: Mapping[str, Any], endpoint: Mapping[str, str]) -> dict[str, Any]:
    """One job in a fresh process with empty client caches.

    Raises
    ------
    RuntimeError
        The process failed; its standard error is in the message.
    """
    with tempfile.TemporaryDirectory() as home:
        environment = {
            **{name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ},
            "HOME": home,
            "HF_HOME": str(Path(home) / "hf"),
            "HF_XET_CACHE": str(Path(home) / "xet"),
            "HF_ENDPOINT": endpoint["url"],
            "HF_TOKEN": endpoint["token"],
            "XET_ENDPOINT": endpoint["url"],
            "XET_USER_NAME": endpoint["user"],
            "XET_USER_TOKEN": endpoint["token"],
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        }
        done = subprocess.run(
            [sys.executable, str(WORKER), json.dumps(job)], capture_output=True, text=True, env=environment, check=False
        )
    if done.returncode:
        raise RuntimeError(f"{job}: {done.stderr[-3000:]}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer
