"""Helpers for tests of ingests with dask and ray: whatever happens to the workers, the same tree has to arrive."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from fsspec.callbacks import Callback

import pyxet
from pyxet.testing import LocalEndpoint
from support.history import commits
from support.sources import SourceFileSystem, assert_copied

MIB = 1024 * 1024
# Some batches of small files, and a large one.
FILES = {f"tree/{number % 3}/{number:03}.bin": 2000 + number for number in range(60)} | {"tree/large.bin": 5 * MIB}
BATCH = 10

_DRIVER = """
import sys, pyxet
from pathlib import Path
from fsspec.callbacks import Callback
from support.ingests import BATCH, FILES
from support.sources import SourceFileSystem
engine, url, token, branch, notes, journal = sys.argv[1:]


class Told(Callback):
    def relative_update(self, inc=1):
        (Path(notes) / "noted").touch()


if __name__ == "__main__":
    source = SourceFileSystem(FILES, notes, {path: "waits" for path in FILES if path.startswith("tree/2/")})
    fs = pyxet.XetFS(endpoint=url, token=token)
    pyxet.ingest("tree", branch, source_fs=source, fs=fs, engine=engine, batch_files=BATCH, journal=journal, callback=Told())
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


def assert_arrived(fs: pyxet.XetFS, branch: str, *, without: frozenset[str] = frozenset()) -> None:
    """Fail unless all of the files have arrived, in one commit after the first one."""
    assert_copied(fs, {path: size for path, size in FILES.items() if path not in without}, branch)
    assert commits(fs, branch) == 1


def check_a_kill_of_the_driver(
    engine: str, endpoint: LocalEndpoint, fs: pyxet.XetFS, branch: str, notes: Path, journal: Path
) -> None:
    """Kill the driver during an ingest and continue in this process: files that were stored are not read again."""
    paths = [Path(__file__).parent.parent]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, paths))}
    script = notes / "driver.py"
    script.write_text(_DRIVER)
    arguments = [engine, endpoint.url, endpoint.token, branch, str(notes), str(journal)]
    driver = subprocess.Popen([sys.executable, str(script), *arguments], env=environment, start_new_session=True)
    try:
        # Wait until the journal has entries. It cannot have all: some files wait for ``go``.
        while not (notes / "noted").exists():
            assert driver.poll() is None
            time.sleep(0.01)
        driver.kill()
        driver.wait()
    finally:
        # End workers that outlive their driver; they are not our children, so we cannot wait for them.
        os.killpg(driver.pid, signal.SIGKILL)
        (notes / "go").touch()
    assert commits(fs, branch) == 0
    # Those workers may still read, so the reads of the second run are noted in another folder.
    (notes / "again").mkdir()
    again = SourceFileSystem(FILES, str(notes / "again"))
    report = ingest(again, fs, branch, journal=journal)
    # All files of a batch are noted in the journal together.
    assert BATCH <= report.resumed_files < len(FILES)
    assert len(again.reads) == len(FILES) - report.resumed_files
    assert_arrived(fs, branch)
