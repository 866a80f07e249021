"""The index of the endpoint's content: what it takes of the system."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from pyxet.server.index import Index


def descriptors(path: Path) -> int:
    """How many descriptors this process has of a database, its log included."""
    found = 0
    for name in os.listdir("/proc/self/fd"):
        try:
            found += os.readlink(f"/proc/self/fd/{name}").startswith(str(path))
        except FileNotFoundError:
            continue
    return found


@pytest.mark.needs("proc")
def test_threads_that_end_leave_no_connection(tmp_path: Path) -> None:
    """A process that embeds an endpoint may ask it on a new thread each time, and has a limit of files."""
    path = tmp_path / "index.sqlite"
    index = Index(path)
    index.forget_holder("models/acme/x")
    before = descriptors(path)
    assert before > 0
    for _ in range(20):
        asking = threading.Thread(target=index.forget_holder, args=("models/acme/x",))
        asking.start()
        asking.join()
    # While others have the database open, SQLite keeps a descriptor for the next one who opens it.
    assert descriptors(path) <= before + 1
    index.close()
    assert descriptors(path) == 0
