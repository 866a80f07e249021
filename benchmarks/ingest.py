"""An ingest at scale: generated files, a dask cluster of two workers, one commit; time and memory of all processes.

python benchmarks/ingest.py --files 50000 --gigabytes 20 --root /tmp

The content is random, so nothing of it is saved. A second run over the same journal shows what resuming costs. The store
takes as much room as the content, and is deleted at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any

import distributed
from fsspec.callbacks import Callback
from generated import GeneratedFileSystem
from watching import MB, Endpoint, Memory, busy, endpoint

import pyxet


class Progress(Callback):  # type: ignore[misc]  # fsspec has no types
    """Print a line every ten seconds, and remember when the last content was stored: the time after that is the commit's."""

    printed = 0.0
    moved = 0.0

    def call(self, *args: Any, **kwargs: Any) -> None:
        self.moved = now = time.monotonic()
        if now - self.printed > 10:
            self.printed = now
            print(f"{self.value / MB:,.0f} of {(self.size or 0) / MB:,.0f} MB", file=sys.stderr, flush=True)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--files", type=int, default=1000)
    arguments.add_argument("--gigabytes", type=float, default=0.4)
    arguments.add_argument("--workers", type=int, default=2)
    arguments.add_argument("--root", type=Path, default=None)
    options = arguments.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="pyxet-ingest-", dir=options.root) as folder,
        endpoint(Path(folder) / "store") as at,
    ):
        print(json.dumps(measured(options, at, Path(folder) / "journal.sqlite"), indent=2))


def measured(options: argparse.Namespace, at: Endpoint, journal: Path) -> dict[str, Any]:
    """Ingest, ingest again, list."""
    fs = pyxet.XetFS(endpoint=at.url, token=at.token)
    fs.make_repo("acme/corpus")
    source = GeneratedFileSystem(options.files, int(options.gigabytes * 1000 * MB))
    progress = Progress()
    moments: dict[str, float] = {}
    with (
        distributed.LocalCluster(n_workers=options.workers, threads_per_worker=1, dashboard_address=":0") as cluster,
        distributed.Client(cluster) as client,
    ):
        workers = {f"worker {number}": process for number, process in enumerate(client.run(os.getpid).values(), 1)}
        processes = {"driver and scheduler": os.getpid(), "endpoint": at.process} | workers
        memory = Memory(processes)
        before = {name: busy(process) for name, process in processes.items()}
        began = time.monotonic()
        report = pyxet.ingest(
            "tree", "acme/corpus/main", source_fs=source, fs=fs, engine="dask", client=client, journal=journal,
            callback=progress,
        )  # fmt: skip
        moments["all"] = time.monotonic() - began
        moments["commit"] = time.monotonic() - progress.moved
        peaks = memory.summary()
        cpu = {name: round(busy(process) - before[name], 1) for name, process in processes.items()}
        began = time.monotonic()
        again = pyxet.ingest(
            "tree", "acme/corpus/main", source_fs=source, fs=fs, engine="dask", client=client, journal=journal
        )
        moments["again"] = time.monotonic() - began
    began = time.monotonic()
    found = len(fs.find("acme/corpus/main"))
    moments["find"] = time.monotonic() - began
    assert found == report.files == again.resumed_files == options.files
    assert len(report.commits) == 1
    assert not again.commits
    return {
        "date": date.today().isoformat(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "files": report.files,
        "GB": round(report.bytes / 1e9, 2),
        "stored GB": round(report.stored_bytes / 1e9, 2),
        "seconds": {name: round(value, 1) for name, value in moments.items()},
        "MB/s": round(report.bytes / MB / moments["all"], 1),
        "journal MB": round(sum(path.stat().st_size for path in journal.parent.glob("journal*")) / MB, 1),
        "CPU seconds": cpu,
        "peak MB of each quarter": peaks,
    }


if __name__ == "__main__":
    main()
