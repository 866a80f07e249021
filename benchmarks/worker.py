"""One measured job in a process of its own: ``worker.py '{"side": "pyxet", "action": "upload", …}'``.

Imports and connections to be warmed are outside the measured part, for both sides alike. The last line of standard
output is a JSON object with seconds, CPU seconds and peak RSS in bytes.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Job = dict[str, Any]


def measured(work: Callable[[], Any]) -> dict[str, Any]:
    """Run the work and say what it took."""
    before = resource.getrusage(resource.RUSAGE_SELF)
    started = time.perf_counter()
    extra = work()
    seconds = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    answer = {"seconds": seconds, "cpu": cpu, "rss": after.ru_maxrss * 1024}
    return answer | (extra if isinstance(extra, dict) else {})


class Pyxet:
    """The jobs as pyxet does them."""

    def __init__(self) -> None:
        import pyxet

        self.fs = pyxet.XetFS()

    def upload(self, job: Job) -> None:
        self.fs.put(job["paths"], [f"{job['repo']}/main/{Path(path).name}" for path in job["paths"]])

    def upload_folder(self, job: Job) -> None:
        self.fs.put(f"{job['folder']}/", f"{job['repo']}/main/up/", recursive=True)

    def download(self, job: Job) -> None:
        self.fs.get(f"{job['repo']}/main/{job['path']}", job["target"])

    def read(self, job: Job) -> None:
        self.fs.cat_file(f"{job['repo']}/main/{job['path']}")

    def ranges(self, job: Job) -> None:
        paths = [f"{job['repo']}/main/{path}" for path, _, _ in job["ranges"]]
        found = self.fs.cat_ranges(
            paths, [start for _, start, _ in job["ranges"]], [end for _, _, end in job["ranges"]]
        )
        check_lengths(found, job)

    def read_many(self, job: Job) -> dict[str, float]:
        """Concurrent reads of many small files on an event loop, with the lag of that loop."""
        import pyxet

        async def run() -> dict[str, float]:
            lags: list[float] = []

            async def watch() -> None:
                while True:
                    before = time.perf_counter()
                    await asyncio.sleep(0.005)
                    lags.append(time.perf_counter() - before - 0.005)

            async with pyxet.AsyncXetFileSystem(asynchronous=True) as fs:
                watcher = asyncio.create_task(watch())
                found = await fs._cat([f"{job['repo']}/main/{path}" for path in job["paths"]])
                watcher.cancel()
            assert len(found) == len(job["paths"])
            return {"lag_p99": sorted(lags)[int(len(lags) * 0.99)]}

        return asyncio.run(run())

    def find(self, job: Job) -> None:
        assert len(self.fs.find(f"{job['repo']}/main")) >= job["count"]

    def parquet(self, job: Job) -> None:
        import pandas as pd

        pd.read_parquet(f"xet://{job['repo']}/main/{job['path']}", columns=job["columns"])


class Peer:
    """The jobs as ``huggingface_hub`` with ``hf_xet`` does them."""

    def __init__(self) -> None:
        from huggingface_hub import HfApi, HfFileSystem

        self.api = HfApi()
        self.fs = HfFileSystem()

    def upload(self, job: Job) -> None:
        from huggingface_hub import CommitOperationAdd

        operations = [CommitOperationAdd(Path(path).name, path) for path in job["paths"]]
        self.api.create_commit(job["repo"], operations, commit_message="upload")

    def upload_folder(self, job: Job) -> None:
        self.api.upload_folder(repo_id=job["repo"], folder_path=job["folder"], path_in_repo="up")

    def download(self, job: Job) -> None:
        self.api.hf_hub_download(job["repo"], job["path"], local_dir=job["target"] + ".d")

    def read(self, job: Job) -> None:
        self.fs.cat_file(f"{job['repo']}/{job['path']}")

    def ranges(self, job: Job) -> None:
        found = self.fs.cat_ranges(
            [f"{job['repo']}/{path}" for path, _, _ in job["ranges"]],
            [start for _, start, _ in job["ranges"]],
            [end for _, _, end in job["ranges"]],
        )
        check_lengths(found, job)

    def ranges_threaded(self, job: Job) -> None:
        from concurrent.futures import ThreadPoolExecutor

        def one(item: tuple[str, int, int]) -> bytes:
            path, start, end = item
            content: bytes = self.fs.cat_file(f"{job['repo']}/{path}", start, end)
            return content

        with ThreadPoolExecutor(16) as pool:
            check_lengths(list(pool.map(one, job["ranges"])), job)

    def read_many(self, job: Job) -> None:
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(32) as pool:
            found = list(pool.map(lambda path: self.fs.cat_file(f"{job['repo']}/{path}"), job["paths"]))
        assert len(found) == len(job["paths"])

    def find(self, job: Job) -> None:
        assert len(self.fs.find(job["repo"])) >= job["count"]

    def parquet(self, job: Job) -> None:
        import pandas as pd

        pd.read_parquet(f"hf://{job['repo']}/{job['path']}", columns=job["columns"])


def check_lengths(found: list[bytes], job: Job) -> None:
    """Both sides must have read what was asked."""
    assert [len(piece) for piece in found] == [end - start for _, start, end in job["ranges"]]


def main() -> None:
    job: Job = json.loads(sys.argv[1])
    side = Pyxet() if job["side"] == "pyxet" else Peer()
    print(json.dumps(measured(lambda: getattr(side, job["action"])(job))))


if __name__ == "__main__":
    main()
