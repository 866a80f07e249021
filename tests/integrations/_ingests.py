"""What the ingests of dask and of ray have in common: the same tree has to arrive, whatever happens to the workers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from _sources import SourceFileSystem, content_of
from fsspec.callbacks import Callback

import pyxet
from pyxet.testing import LocalEndpoint

MIB = 1024 * 1024
# Some batches of small files, and a large one.
FILES = {f"tree/{number % 3}/{number:03}.bin": 2000 + number for number in range(60)} | {"tree/large.bin": 5 * MIB}
BATCH = 10

_DRIVER = """
import sys, pyxet
from _ingests import BATCH, FILES
from _sources import SourceFileSystem
engine, url, token, branch, notes, journal = sys.argv[1:]
if __name__ == "__main__":
    source = SourceFileSystem(FILES, notes, pause=0.05)
    fs = pyxet.XetFS(endpoint=url, token=token)
    pyxet.ingest("tree", branch, source_fs=source, fs=fs, engine=engine, batch_files=BATCH, journal=journal)
"""


class Deleting(Callback):
    """Deletes a repository as soon as the first file of the source is listed."""

    def __init__(self, fs: pyxet.XetFS, repo: str) -> None:
        super().__init__()
        self._fs = fs
        self._repo = repo

    def set_size(self, size: int) -> None:
        if self.size is None:
            self._fs.delete_repo(self._repo)
        super().set_size(size)


def ingest(source: SourceFileSystem, fs: pyxet.XetFS, branch: str, **options: Any) -> pyxet.IngestReport:
    return pyxet.ingest("tree", branch, source_fs=source, fs=fs, batch_files=BATCH, **options)


def assert_copied(fs: pyxet.XetFS, branch: str, *, without: frozenset[str] = frozenset()) -> None:
    """All of the files, in one commit after the first one."""
    there = fs.find(branch)
    assert {name.replace(branch, "tree") for name in there} == FILES.keys() - without
    for name, data in fs.cat(there).items():
        path = name.replace(branch, "tree")
        assert data == content_of(path, FILES[path]), path
    assert len(fs.log(branch)) == 2


def check_a_kill_of_the_driver(
    engine: str, endpoint: LocalEndpoint, fs: pyxet.XetFS, branch: str, notes: Path, journal: Path
) -> None:
    """Kill the driver in the middle, and go on in another process: what was stored is not read again."""
    paths = [Path(__file__).parent, Path(__file__).parent.parent]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, paths))}
    script = notes / "driver.py"
    script.write_text(_DRIVER)
    arguments = [engine, endpoint.url, endpoint.token, branch, str(notes), str(journal)]
    driver = subprocess.Popen([sys.executable, str(script), *arguments], env=environment, start_new_session=True)
    source = SourceFileSystem(FILES, str(notes))
    try:
        while len(source.reads) < 3 * BATCH:
            assert driver.poll() is None
            time.sleep(0.01)
        driver.send_signal(signal.SIGKILL)
        driver.wait()
        settled(source)
    finally:
        # Workers that outlive their driver are none of ours to wait for.
        os.killpg(driver.pid, signal.SIGKILL)
    first = source.reads
    assert len(fs.log(branch)) == 1
    report = ingest(source, fs, branch, journal=journal)
    assert BATCH <= report.resumed_files < len(FILES)
    assert len(source.reads[len(first) :]) == len(FILES) - report.resumed_files
    assert_copied(fs, branch)


def settled(source: SourceFileSystem) -> None:
    """Wait until nobody reads any more."""
    before = -1
    while before != len(source.reads):
        before = len(source.reads)
        time.sleep(1.0)
