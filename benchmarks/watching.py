"""An endpoint in a process of its own, and the memory of processes while they work."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

MB = 1_000_000
_SERVER = """
import sys, pyxet
with pyxet.testing.local_endpoint(root=sys.argv[1], user="acme") as endpoint:
    print(endpoint.url, endpoint.token, flush=True)
    sys.stdin.read()
"""


class Endpoint(NamedTuple):
    """A local endpoint."""

    url: str
    token: str
    process: int


@contextmanager
def endpoint(root: Path) -> Iterator[Endpoint]:
    """An endpoint over a folder."""
    with subprocess.Popen(
        [sys.executable, "-c", _SERVER, str(root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        url, token = server.stdout.readline().split()
        yield Endpoint(url, token, server.pid)
        # Leaving the block closes its input, which ends it.


class Memory(threading.Thread):
    """Resident memory of processes, in MB, once a second."""

    def __init__(self, processes: dict[str, int]) -> None:
        super().__init__(daemon=True)
        self._processes = processes
        self._samples: dict[str, list[int]] = {name: [resident(process)] for name, process in processes.items()}
        self._ended = threading.Event()
        self.start()

    def run(self) -> None:
        while not self._ended.wait(1.0):
            for name, process in self._processes.items():
                self._samples[name].append(resident(process))

    def summary(self, parts: int = 4) -> dict[str, list[int]]:
        """The peaks of each process, in equal parts of the time."""
        self._ended.set()
        found = {}
        for name, values in self._samples.items():
            step = -(-len(values) // parts)
            found[name] = [max(values[at : at + step]) for at in range(0, len(values), step)]
        return found


def busy(process: int) -> float:
    """Seconds of CPU time that a process has used."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident(process: int) -> int:
    """Resident memory of a process in MB."""
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") // MB
