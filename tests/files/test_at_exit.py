"""What still lives when the interpreter shuts down is collected without a wait: no loop of another thread runs any more."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

import pyxet
from pyxet.testing import LocalEndpoint

KEPT = {
    "a finalizer that closes": """
        class Kept:
            def __init__(self):
                self.file = fs.open(path, "wb")
                self.file.write(b"x")
            def __del__(self):
                self.file.close()
        kept = Kept()
    """,
    "a finalizer that reads": """
        class Kept:
            def __del__(self):
                fs.exists(path)
        kept = Kept()
    """,
    "a generator with a file": """
        def rows():
            with fs.open(path, "w", compression="gzip") as file:
                while True:
                    file.write((yield))
        kept = rows()
        next(kept)
        kept.send("x")
    """,
    "a generator with a transaction": """
        def rows():
            with fs.transaction:
                while True:
                    fs.pipe_file(path, (yield))
        kept = rows()
        next(kept)
        kept.send(b"x")
    """,
}


@pytest.mark.parametrize("kept", KEPT.values(), ids=KEPT.keys())
def test_nothing_waits_for_a_thread_that_is_gone(
    shared_endpoint: LocalEndpoint, xet: pyxet.XetFS, main: str, kept: str
) -> None:
    path = f"{main}/a"
    program = f"if True:\n        import pyxet\n        fs = pyxet.XetFS()\n        path = {path!r}\n{kept}"
    environment = {
        "XET_ENDPOINT": shared_endpoint.url,
        "XET_USER_NAME": shared_endpoint.user,
        "XET_USER_TOKEN": str(shared_endpoint.token),
    }
    ended = subprocess.run(
        [sys.executable, "-c", program], env=os.environ | environment, capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 0, ended.stderr
    # Who opened something was told at the exit, and a finalizer that asks for more is.
    assert ended.stderr.count(": PyxetWarning: ") == (0 if "exists" in kept else 1)
    assert ("RuntimeError: the interpreter is shutting down" in ended.stderr) == ("__del__" in kept)
    assert not xet.exists(path)
