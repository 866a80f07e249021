"""One measured job in a process of its own: a JSON object on the first line of standard input says which.

Imports, connections and a small job of the same kind come before the measured part, for both sides alike; then the
worker says ``ready`` and waits for a line. The last line of standard output is a JSON object with seconds, CPU seconds
and peak RSS in bytes.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import resource
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from warming import WARM_FILE, WARM_REPO, import_pandas

Job = dict[str, Any]
_PIECE = 4 * 1024 * 1024


def measured(work: Callable[[], Any]) -> dict[str, Any]:
    """Run the work and say what it took."""
    before = resource.getrusage(resource.RUSAGE_SELF)
    started = time.perf_counter()
    extra = work()
    seconds = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    answer = {"seconds": seconds, "cpu": cpu, "rss": peak_memory()}
    return answer | (extra if isinstance(extra, dict) else {})


def peak_memory() -> int:
    """Peak RSS in bytes. The resource module's figure starts from that of the parent process, so it is a last resort."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


class Pyxet:
    """The jobs as pyxet does them."""

    def __init__(self) -> None:
        import pyxet

        self.fs = pyxet.XetFS()
        # A web service has its own event loop, which stays open between jobs.
        self.runner = asyncio.Runner()
        self.service = pyxet.AsyncXetFileSystem(asynchronous=True)

    def warm(self, job: Job) -> None:
        if job["warm"] == "imports":
            import_pandas(job)
            # Modules that pyxet imports with the first request; `startup` measures imports.
            importlib.import_module("pyxet._async.fs.remote")
            return
        self.fs.ls("")
        if job["action"] in ("ranges", "read_many", "serve"):
            self.runner.run(self.service._ls(""))
        if job["warm"] == "upload":
            self.fs.pipe(f"{WARM_REPO}/main/up.bin", os.urandom(64 * 1024))
        elif job["warm"] == "download":
            self.fs.get(f"{WARM_REPO}/main/{WARM_FILE}", f"{job['out']}/warm")
        elif job["warm"] == "pandas":
            import_pandas(job)

    def upload(self, job: Job) -> None:
        self.fs.put(job["paths"], [f"{job['repo']}/main/{Path(path).name}" for path in job["paths"]])

    def upload_folder(self, job: Job) -> None:
        self.fs.put(f"{job['folder']}/", f"{job['repo']}/main/up/", recursive=True)

    def download(self, job: Job) -> None:
        self.fs.get(f"{job['repo']}/main/{job['path']}", f"{job['out']}/{job['path']}")

    def read(self, job: Job) -> None:
        assert len(self.fs.cat_file(f"{job['repo']}/main/{job['path']}")) == job["size"]

    def stream(self, job: Job) -> None:
        size = 0
        with self.fs.open(f"{job['repo']}/main/{job['path']}", "rb") as file:
            while piece := file.read(_PIECE):
                size += len(piece)
        assert size == job["size"]

    def ranges(self, job: Job) -> None:
        paths = [f"{job['repo']}/main/{path}" for path, _, _ in job["ranges"]]
        starts, ends = [start for _, start, _ in job["ranges"]], [end for _, _, end in job["ranges"]]
        check_lengths(self.runner.run(self.service._cat_ranges(paths, starts, ends, on_error="raise")), job)

    def ranges_threaded(self, job: Job) -> dict[str, float]:
        return in_threads(32, job, lambda path, start, end: self.fs.cat_file(f"{job['repo']}/main/{path}", start, end))

    def serve(self, job: Job) -> dict[str, float]:
        """Act like a web service: many tasks on one loop, each of which reads one range after another."""
        left = iter(job["ranges"])
        times: list[float] = []

        async def client() -> None:
            for path, start, end in left:
                began = time.perf_counter()
                content = await self.service._cat_file(f"{job['repo']}/main/{path}", start, end)
                times.append(time.perf_counter() - began)
                assert len(content) == end - start

        async def run() -> dict[str, float]:
            with Lags() as lags:
                await asyncio.gather(*(client() for _ in range(job.get("tasks", 500))))
            return {"lag p99": lags.p99(), "p99": p99(times)}

        began = time.perf_counter()
        found = self.runner.run(run())
        return found | {"a second": len(times) / (time.perf_counter() - began)}

    def read_many(self, job: Job) -> dict[str, float]:
        """Concurrent reads of many small files on an event loop, with the lag of that loop."""

        async def run() -> dict[str, float]:
            with Lags() as lags:
                found = await self.service._cat([f"{job['repo']}/main/{path}" for path in job["paths"]])
            assert len(found) == len(job["paths"])
            return {"lag p99": lags.p99()}

        return self.runner.run(run())

    def lines(self, job: Job) -> None:
        with self.fs.open(f"{job['repo']}/main/{job['path']}", "rb") as file:
            assert sum(map(len, file)) == job["size"]

    def lines_of_text(self, job: Job) -> None:
        # Each character of the CSV file is one byte.
        with self.fs.open(f"{job['repo']}/main/{job['path']}", "r") as file:
            assert sum(map(len, file)) == job["size"]

    def local_lines(self, job: Job) -> None:
        with open(job["local"], "rb") as file:
            assert sum(map(len, file)) == job["size"]

    def csv(self, job: Job) -> None:
        import pandas as pd

        assert len(pd.read_csv(f"xet://{job['repo']}/main/{job['path']}", header=None))

    def find(self, job: Job) -> None:
        found = len(self.fs.find(f"{job['repo']}/main"))
        assert found == job["count"], found

    def list_folder(self, job: Job) -> None:
        found = len(self.fs.ls(f"{job['repo']}/main/{job['path']}"))
        assert found == job["count"], found

    def log(self, job: Job) -> None:
        found = len(self.fs.log(f"{job['repo']}/main"))
        assert found == job["count"], found

    def commit_more(self, job: Job) -> None:
        """Commits of one small file each, one after the other."""
        for number in range(job["times"]):
            self.fs.pipe_file(f"{job['repo']}/main/{job['path']}/more", str(number).encode() + os.urandom(8))

    def parquet(self, job: Job) -> None:
        import pandas as pd

        frame = pd.read_parquet(f"xet://{job['repo']}/main/{job['path']}", columns=job["columns"])
        assert len(frame) == job["rows"]

    def footers(self, job: Job) -> dict[str, float]:
        return footers(self.fs, [f"{job['repo']}/main/{path}" for path in job["paths"]], job)


class Peer:
    """The jobs as ``huggingface_hub`` with ``hf_xet`` does them."""

    def __init__(self) -> None:
        from huggingface_hub import HfApi, HfFileSystem

        self.api = HfApi()
        self.fs = HfFileSystem()

    def warm(self, job: Job) -> None:
        from huggingface_hub import CommitOperationAdd

        if job["warm"] == "imports":
            import_pandas(job)
            return
        self.api.whoami()
        if job["warm"] == "upload":
            operations = [CommitOperationAdd("up.bin", os.urandom(64 * 1024))]
            self.api.create_commit(WARM_REPO, operations, commit_message="warm")
        elif job["warm"] == "download":
            self.api.hf_hub_download(WARM_REPO, WARM_FILE, local_dir=f"{job['out']}/warm")
        elif job["warm"] == "pandas":
            import_pandas(job)

    def upload(self, job: Job) -> None:
        from huggingface_hub import CommitOperationAdd

        operations = [CommitOperationAdd(Path(path).name, path) for path in job["paths"]]
        self.api.create_commit(job["repo"], operations, commit_message="upload")

    def upload_folder(self, job: Job) -> None:
        self.api.upload_folder(repo_id=job["repo"], folder_path=job["folder"], path_in_repo="up")

    def download(self, job: Job) -> None:
        self.api.hf_hub_download(job["repo"], job["path"], local_dir=job["out"])

    def read(self, job: Job) -> None:
        assert len(b"".join(self._pieces(job))) == job["size"]

    def stream(self, job: Job) -> None:
        assert sum(map(len, self._pieces(job))) == job["size"]

    def _pieces(self, job: Job) -> Iterator[bytes]:
        """hf_xet's own ordered stream, with the metadata and token that it needs."""
        from hf_xet import XetFileInfo
        from huggingface_hub import get_hf_file_metadata, hf_hub_url
        from huggingface_hub.utils._headers import build_hf_headers
        from huggingface_hub.utils._xet import get_xet_session, refresh_xet_connection_info, xet_headers_without_auth

        headers = build_hf_headers()
        metadata = get_hf_file_metadata(hf_hub_url(job["repo"], job["path"]))
        data = metadata.xet_file_data
        assert data is not None, "the file is not in Xet"
        info = refresh_xet_connection_info(file_data=data, headers=headers)
        group = get_xet_session().new_download_stream_group(
            endpoint=info.endpoint,
            token=info.access_token,
            token_expiry_unix_secs=info.expiration_unix_epoch,
            token_refresh_url=data.refresh_route,
            token_refresh_headers=headers,
            custom_headers=xet_headers_without_auth(headers),
        )
        yield from group.download_stream(XetFileInfo(data.file_hash, metadata.size))

    def ranges(self, job: Job) -> None:
        found = self.fs.cat_ranges(
            [f"{job['repo']}/{path}" for path, _, _ in job["ranges"]],
            [start for _, start, _ in job["ranges"]],
            [end for _, _, end in job["ranges"]],
        )
        check_lengths(found, job)

    def ranges_threaded(self, job: Job) -> dict[str, float]:
        return in_threads(16, job, lambda path, start, end: self.fs.cat_file(f"{job['repo']}/{path}", start, end))

    def ranges_more_threaded(self, job: Job) -> dict[str, float]:
        return in_threads(32, job, lambda path, start, end: self.fs.cat_file(f"{job['repo']}/{path}", start, end))

    def serve(self, job: Job) -> dict[str, float]:
        return in_threads(64, job, lambda path, start, end: self.fs.cat_file(f"{job['repo']}/{path}", start, end))

    def csv(self, job: Job) -> None:
        import pandas as pd

        assert len(pd.read_csv(f"hf://{job['repo']}/{job['path']}", header=None))

    def read_many(self, job: Job) -> None:
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(32) as pool:
            found = list(pool.map(lambda path: self.fs.cat_file(f"{job['repo']}/{path}"), job["paths"]))
        assert len(found) == len(job["paths"])

    def find(self, job: Job) -> None:
        found = len(self.fs.find(job["repo"]))
        assert found == job["count"], found

    def parquet(self, job: Job) -> None:
        import pandas as pd

        frame = pd.read_parquet(f"hf://{job['repo']}/{job['path']}", columns=job["columns"])
        assert len(frame) == job["rows"]

    def footers(self, job: Job) -> dict[str, float]:
        return footers(self.fs, [f"{job['repo']}/{path}" for path in job["paths"]], job)


def footers(fs: Any, paths: list[str], job: Job) -> dict[str, float]:
    """Requests for the footer of a first file, and of a second one in the same process."""
    from pyarrow import parquet

    told = [0]
    for path in paths:
        with fs.open(path, "rb") as file:
            assert parquet.ParquetFile(file).metadata.num_rows
        with urllib.request.urlopen(f"{job['url']}/control/counters") as answer:
            told.append(sum(json.load(answer)["requests"].values()))
    return {"cold": told[1], "warm": told[2] - told[1]}


class Lags:
    """Measures the lag of an event loop: how much too late it wakes a task that sleeps."""

    def __enter__(self) -> Lags:
        self._found: list[float] = []
        self._task = asyncio.create_task(self._watch())
        return self

    def __exit__(self, *_: object) -> None:
        self._task.cancel()

    def p99(self) -> float:
        """The 99th percentile of the lag, in seconds."""
        return p99(self._found)

    async def _watch(self) -> None:
        while True:
            before = time.perf_counter()
            await asyncio.sleep(0.005)
            self._found.append(time.perf_counter() - before - 0.005)


def p99(figures: list[float]) -> float:
    """The 99th percentile."""
    return sorted(figures)[int(len(figures) * 0.99)] if figures else 0.0


def in_threads(count: int, job: Job, read: Callable[[str, int, int], bytes]) -> dict[str, float]:
    """Read ranges from several threads at once. Returns the 99th percentile of the seconds for one range."""
    from concurrent.futures import ThreadPoolExecutor

    def one(item: tuple[str, int, int]) -> tuple[bytes, float]:
        began = time.perf_counter()
        return read(*item), time.perf_counter() - began

    with ThreadPoolExecutor(count) as pool:
        found = list(pool.map(one, job["ranges"]))
    check_lengths([content for content, _ in found], job)
    return {"p99": p99([spent for _, spent in found])}


def check_lengths(found: list[bytes], job: Job) -> None:
    """Check that all requested bytes were read."""
    assert [len(piece) for piece in found] == [end - start for _, start, end in job["ranges"]]


def main() -> None:
    job: Job = json.loads(sys.stdin.readline())
    side: Any
    if job["side"] == "bare":
        from bare import Bare

        side = Bare()
    elif job["side"] == "limits":
        from limits import Limits

        side = Limits()
    else:
        side = Pyxet() if job["side"] == "pyxet" else Peer()
    side.warm(job)
    print("ready", flush=True)
    sys.stdin.readline()
    print(json.dumps(measured(lambda: getattr(side, job["action"])(job))), flush=True)


if __name__ == "__main__":
    main()
