"""How many calls one call of the file system makes on the event loop, and how often they cross from one file to another.

A profiler on the loop's thread counts calls of the package's own functions. A move is a call whose caller is in another
file. A coroutine is counted when it starts; how often it is resumed depends on the network, and is counted separately. Calls
in worker threads are not counted.
"""

from __future__ import annotations

import argparse
import dis
import os
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from fsspec.asyn import get_loop

import pyxet
from pyxet.testing import local_endpoint

_PACKAGE = str(Path(pyxet.__file__).parent) + os.sep
_MIB = 1024 * 1024
# How many calls of the same kind come before the one that is counted: after them connections, tokens and revisions are known.
_WARM = 3


@cache
def _start(code: CodeType) -> int:
    """The instruction at which a function starts; a coroutine that is resumed is at another one."""
    return next(step.offset for step in dis.get_instructions(code) if step.opname == "RESUME")


class Hops:
    """Calls and moves of one thread while the profiler is on."""

    def __init__(self) -> None:
        self.calls = 0
        self.resumed = 0
        self.moves: Counter[tuple[str, str]] = Counter()

    def note(self, frame: FrameType, event: str, _argument: Any) -> None:
        """Count one event of `sys.setprofile`."""
        if event != "call" or not frame.f_code.co_filename.startswith(_PACKAGE):
            return
        if frame.f_lasti != _start(frame.f_code):
            self.resumed += 1
            return
        self.calls += 1
        here, caller = frame.f_code.co_filename, frame.f_back
        # Functions of the standard library may be in between, such as those of context managers.
        while caller is not None and not caller.f_code.co_filename.startswith(_PACKAGE):
            caller = caller.f_back
        before = caller.f_code.co_filename if caller is not None else ""
        if before != here:
            self.moves[before.removeprefix(_PACKAGE), here.removeprefix(_PACKAGE)] += 1


def on_loop(profile: Callable[[FrameType, str, Any], object] | None) -> None:
    """Set the profiler of the thread that runs fsspec's event loop."""
    done = threading.Event()

    def switch() -> None:
        sys.setprofile(profile)
        done.set()

    get_loop().call_soon_threadsafe(switch)
    done.wait()


def counted(call: Callable[[int], object]) -> Hops:
    """Count what one call costs, after some calls of the same kind. Each call gets its own number."""
    for number in range(_WARM):
        call(number)
    hops = Hops()
    on_loop(hops.note)
    try:
        call(_WARM)
    finally:
        on_loop(None)
    return hops


def main() -> None:
    """Print a row for each kind of call."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--most", type=int, default=0, help="show so many of the most frequent moves of each call")
    options = parser.parse_args()
    with local_endpoint() as endpoint, tempfile.TemporaryDirectory() as folder:
        fs = pyxet.XetFS(endpoint=endpoint.url, user=endpoint.user, token=endpoint.token)
        base = "test/hops/main"
        fs.make_repo("test/hops")
        large = os.urandom(8 * _MIB)
        fs.pipe({f"{base}/{n}.txt": os.urandom(1000) for n in range(8)} | {f"{base}/{n}.bin": large for n in range(8)})
        for number in range(8):
            (Path(folder) / str(number)).write_bytes(os.urandom(3 * _MIB))
        # Each call has its own file, as content and plans are cached.
        cases: dict[str, Callable[[int], object]] = {
            "range read": lambda n: fs.cat_file(f"{base}/{n}.bin", _MIB, _MIB + 100_000),
            "small whole file": lambda n: fs.cat_file(f"{base}/{n}.txt"),
            "put_file of 3 MiB": lambda n: fs.put_file(str(Path(folder) / str(n)), f"{base}/up/{n}"),
        }
        print(f"{'call':20} {'calls':>6} {'moves':>6} {'resumed':>8}")
        for name, call in cases.items():
            hops = counted(call)
            print(f"{name:20} {hops.calls:6} {hops.moves.total():6} {hops.resumed:8}")
            for (before, here), count in hops.moves.most_common(options.most):
                print(f"    {count:4}  {before or '(event loop)'} -> {here}")


if __name__ == "__main__":
    main()
