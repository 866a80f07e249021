"""An ingest at scale: generated files, a dask cluster of two workers, one commit; time and memory of all who take part.

python benchmarks/ingest.py --files 50000 --gigabytes 20 --root /tmp/store

The content is random, so nothing of it is saved. A second run over the same journal shows what resuming costs. The store
takes as much room as the content, and is deleted at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from datetime import date
from pathlib import Path
from typing import Any

from fsspec.callbacks import Callback
from generated import GeneratedFileSystem

import pyxet

MB = 1_000_000
_SERVER = """
import sys, pyxet
with pyxet.testing.local_endpoint(root=sys.argv[1], user="acme") as endpoint:
    print(endpoint.url, endpoint.token, flush=True)
    sys.stdin.read()
"""


class Memory(threading.Thread):
    """Resident memory of processes, in MB, once a second."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.processes: dict[str, int] = {}
        self.samples: dict[str, list[int]] = {}
        self._ended = threading.Event()

    def run(self) -> None:
        while not self._ended.wait(1.0):
            for name, process in list(self.processes.items()):
                try:
                    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
                except (OSError, IndexError):
                    continue
                self.samples.setdefault(name, []).append(pages * os.sysconf("SC_PAGESIZE") // MB)

    def summary(self) -> dict[str, dict[str, int]]:
        """Of each process: the peak of each quarter of the run."""
        self._ended.set()
        found = {}
        for name, values in self.samples.items():
            step = max(1, -(-len(values) // 4))
            found[name] = {
                f"quarter {at // step + 1}": max(values[at : at + step]) for at in range(0, len(values), step)
            }
        return found


class Progress(Callback):
    """A line every ten seconds."""

    last = 0.0

    def call(self, *args: Any, **kwargs: Any) -> None:
        now = time.monotonic()
        if now - self.last > 10:
            self.last = now
            print(f"{self.value / MB:,.0f} of {(self.size or 0) / MB:,.0f} MB", file=sys.stderr, flush=True)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--files", type=int, default=1000)
    arguments.add_argument("--gigabytes", type=float, default=0.4)
    arguments.add_argument("--workers", type=int, default=2)
    arguments.add_argument("--root", type=Path, default=None)
    options = arguments.parse_args()
    root = Path(tempfile.mkdtemp(prefix="pyxet-ingest-", dir=options.root))
    server = subprocess.Popen(
        [sys.executable, "-c", _SERVER, str(root / "store")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout is not None
        url, token = server.stdout.readline().split()
        print(json.dumps(measured(options, url, token, root / "journal.sqlite", server.pid), indent=2))
    finally:
        assert server.stdin is not None
        server.stdin.close()
        server.wait()
        shutil.rmtree(root, ignore_errors=True)


def measured(options: argparse.Namespace, url: str, token: str, journal: Path, server: int) -> dict[str, Any]:
    import distributed

    fs = pyxet.XetFS(endpoint=url, token=token)
    fs.make_repo("acme/corpus")
    source = GeneratedFileSystem(options.files, int(options.gigabytes * 1000 * MB))
    memory = Memory()
    memory.processes |= {"driver and scheduler": os.getpid(), "endpoint": server}
    moments: dict[str, float] = {}
    commit = pyxet.XetFS.commit.__get__(fs, type(fs))

    def timed_commit(*args: Any, **kwargs: Any) -> Any:
        began = time.monotonic()
        made = commit(*args, **kwargs)
        moments["commit"] = time.monotonic() - began
        return made

    fs.commit = timed_commit
    with (
        distributed.LocalCluster(n_workers=options.workers, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        memory.processes |= {f"worker {n}": pid for n, pid in enumerate(client.run(os.getpid).values(), 1)}
        memory.start()
        began = time.monotonic()
        report = pyxet.ingest(
            "tree", "acme/corpus/main", source_fs=source, fs=fs, engine="dask", client=client, journal=journal,
            callback=Progress(),
        )  # fmt: skip
        moments["all"] = time.monotonic() - began
        peaks = memory.summary()
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
        "peak MB": peaks,
    }


if __name__ == "__main__":
    main()
