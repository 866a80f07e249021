"""Commits of many staged files: how long they take, and how much memory, by the number of files and of those that were there.

python benchmarks/commits.py --files 10000 50000 200000
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from watching import Memory, busy, endpoint, resident

import pyxet

_AT_ONCE = 5000
_PER_FOLDER = 1000


class Clock:
    """Seconds of each step: on the wall, and of CPU in the driver and in the endpoint."""

    def __init__(self, server: int) -> None:
        self._processes = {"driver": os.getpid(), "endpoint": server}
        self.steps: dict[str, dict[str, float]] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Measure a block."""
        before = {who: busy(process) for who, process in self._processes.items()}
        began = time.monotonic()
        yield
        cpu = {f"{who} CPU": busy(process) - before[who] for who, process in self._processes.items()}
        self.steps[name] = {what: round(value, 2) for what, value in ({"wall": time.monotonic() - began} | cpu).items()}


def measured(fs: pyxet.XetFS, server: int, count: int) -> dict[str, Any]:
    """A commit of so many new files, the same again, and one file more."""
    repo = f"acme/files-{count}"
    fs.make_repo(repo)
    branch = f"{repo}/main"
    pointers: list[pyxet.FilePointer] = []
    clock = Clock(server)
    with clock.step("stage"):
        for start in range(0, count, _AT_ONCE):
            numbers = range(start, min(count, start + _AT_ONCE))
            pointers += fs.stage_many({_path(branch, number): b"\0" + number.to_bytes(8, "big") for number in numbers})
    memory = Memory({"driver": os.getpid(), "endpoint": server})
    before = {"driver": resident(os.getpid()), "endpoint": resident(server)}
    with clock.step("commit"):
        fs.commit(branch, pointers)
    with clock.step("the same again"):
        fs.commit(branch, pointers)
    one = fs.stage(b"\0one more", f"{branch}/one more.bin")
    with clock.step("one more"):
        fs.commit(branch, [one])
    with clock.step("find"):
        assert len(fs.find(branch)) == count + 1
    peaks = {name: max(values) for name, values in memory.summary().items()}
    return {"files": count, "seconds": clock.steps, "MB before": before, "peak MB": peaks}


def _path(branch: str, number: int) -> str:
    return f"{branch}/{number // _PER_FOLDER:05}/{number:09}.bin"


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--files", type=int, nargs="+", default=[1000, 10_000])
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder, endpoint(Path(folder)) as at:
        fs = pyxet.XetFS(endpoint=at.url, token=at.token)
        for count in options.files:
            print(json.dumps(measured(fs, at.process, count)), flush=True)


if __name__ == "__main__":
    main()
