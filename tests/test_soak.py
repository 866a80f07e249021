"""Memory: a file of a gibibyte up and down within 500 MiB. Slow; run by ``nox -s soak``."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pyxet.testing import local_endpoint

pytestmark = pytest.mark.soak

MIB = 1024 * 1024
SIZE = 1024 * MIB
LIMIT = 500 * MIB
# The client runs in a process of its own, so that its peak is its own: the endpoint has the parent's.
CLIENT = """
import hashlib, resource, sys, pyxet
direction, local = sys.argv[1:]
fs = pyxet.XetFS()
if direction == "up":
    fs.put_file(local, "acme/soak/main/big.bin")
elif direction == "down":
    fs.get_file("acme/soak/main/big.bin", local)
else:
    with fs.open("acme/soak/main/big.bin", "rb") as file, open(local, "rb") as expected:
        while data := file.read(1 << 20):
            assert data == expected.read(len(data))
        assert not expected.read(1)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


def test_a_gibibyte_up_and_down(tmp_path: Path) -> None:
    source, target = tmp_path / "source.bin", tmp_path / "target.bin"
    with source.open("wb") as file:
        for _ in range(SIZE // MIB):
            file.write(os.urandom(MIB))
    with local_endpoint(root=tmp_path / "endpoint", user="acme") as endpoint:
        environment = {
            "PATH": os.environ["PATH"], "HOME": str(tmp_path), "XET_ENDPOINT": endpoint.url,
            "XET_USER_NAME": endpoint.user, "XET_USER_TOKEN": endpoint.token,
        }  # fmt: skip
        subprocess.run(
            [sys.executable, "-c", "import pyxet; pyxet.XetFS().make_repo('acme/soak')"], env=environment, check=True
        )
        peaks = {}
        for direction, local in (("up", source), ("down", target), ("read", source)):
            done = subprocess.run(
                [sys.executable, "-c", CLIENT, direction, str(local)],
                env=environment, cwd=tmp_path, capture_output=True, text=True, check=False,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
            peaks[direction] = int(done.stdout)
        figures = " ".join(f"{direction}: peak {peak / MIB:.0f} MiB" for direction, peak in peaks.items())
        print(figures)  # noqa: T201  # they are what this test is run for
    with source.open("rb") as one, target.open("rb") as other:
        while data := one.read(8 * MIB):
            assert data == other.read(8 * MIB)
    assert max(peaks.values()) < LIMIT, peaks
