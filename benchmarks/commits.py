"""Commits of many staged files: how long they take, and how much memory, by the number of files and of those that were there.

python benchmarks/commits.py --files 10000 50000 200000
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from watching import Memory, endpoint, resident

import pyxet

_AT_ONCE = 5000
_PER_FOLDER = 1000


def measured(fs: pyxet.XetFS, server: int, count: int) -> dict[str, Any]:
    """A commit of so many new files, the same again, and one file more."""
    repo = f"acme/files-{count}"
    fs.make_repo(repo)
    branch = f"{repo}/main"
    pointers: list[pyxet.FilePointer] = []
    began = time.monotonic()
    for start in range(0, count, _AT_ONCE):
        numbers = range(start, min(count, start + _AT_ONCE))
        pointers += fs.stage_many({_path(branch, number): b"\0" + number.to_bytes(8, "big") for number in numbers})
    seconds = {"stage": time.monotonic() - began}
    memory = Memory({"driver": os.getpid(), "endpoint": server})
    before = {"driver": resident(os.getpid()), "endpoint": resident(server)}
    for name, wanted in (("commit", pointers), ("the same again", pointers), ("one more", None)):
        if wanted is None:
            wanted = [fs.stage(b"\0one more", f"{branch}/one more.bin")]
        began = time.monotonic()
        fs.commit(branch, wanted)
        seconds[name] = time.monotonic() - began
    began = time.monotonic()
    assert len(fs.find(branch)) == count + 1
    seconds["find"] = time.monotonic() - began
    return {
        "files": count,
        "seconds": {name: round(value, 2) for name, value in seconds.items()},
        "MB before": before,
        "peak MB": {name: max(peaks) for name, peaks in memory.summary().items()},
    }


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
