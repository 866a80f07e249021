"""Where there is no `fcntl`, no fork and no signal handler on loops, the package imports and its core flows run."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
from pathlib import Path
from types import FrameType

import pytest

from pyxet import _platform

# What other platforms do not have is taken away before anything of pyxet is imported.
BARE = """
import asyncio, os, sys
sys.modules["fcntl"] = None
for name in ("fork", "register_at_fork", "sched_getaffinity", "sysconf"):
    delattr(os, name)
if hasattr(os, "process_cpu_count"):  # since Python 3.13; it looks for what was just taken away
    os.process_cpu_count = os.cpu_count

def missing(loop, *arguments):
    raise NotImplementedError

asyncio.SelectorEventLoop.add_signal_handler = missing
asyncio.SelectorEventLoop.remove_signal_handler = missing
"""


def run(code: str, *arguments: str, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", BARE + code, *arguments],
        capture_output=True, text=True, cwd=folder, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def test_core_flows_of_a_bare_platform(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "large.bin").write_bytes(os.urandom(9_000_000))
    (tmp_path / "in" / "small.txt").write_text("small")
    code = """
import pyxet
fs = pyxet.XetFS(f"file://{sys.argv[1]}/store")
fs.make_repo("local/r")
with fs.transaction as tr:
    fs.put("in/", "local/r/main/in/", recursive=True)
    with fs.open("local/r/main/written.txt", "w") as file:
        file.write("written")
assert len(tr.commits) == 1
fs.get("local/r/main/in/", "out/", recursive=True)
fs.get_file("local/r/main/in/large.bin", "alone.bin")
print(*fs.find("local/r/main"), fs.cat_file("local/r/main/written.txt").decode())
"""
    names = [f"local/r/main/{name}" for name in (".gitattributes", "in/large.bin", "in/small.txt", "written.txt")]
    assert run(code, str(tmp_path), folder=tmp_path).split() == [*names, "written"]
    large = (tmp_path / "in" / "large.bin").read_bytes()
    assert (tmp_path / "out" / "large.bin").read_bytes() == (tmp_path / "alone.bin").read_bytes() == large
    assert {path.name for path in tmp_path.iterdir()} == {"in", "out", "store", "alone.bin"}


def test_the_command_on_a_bare_platform(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    code = """
from pyxet.cli import run
os.environ["XET_ENDPOINT"] = f"file://{sys.argv[1]}/store"
for words in (["repo", "make", "local/r"], ["cp", "a.txt", "local/r/main/a.txt"], ["cat", "local/r/main/a.txt"]):
    assert run(["--quiet", *words] if words[0] == "cp" else words) == 0, words
"""
    assert run(code, str(tmp_path), folder=tmp_path).endswith("a")


def test_a_lock_is_one_descriptors(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    first, second = (os.open(path, os.O_RDWR | os.O_CREAT) for _ in range(2))
    try:
        assert _platform.lock_descriptor(first)
        assert not _platform.lock_descriptor(second)
    finally:
        os.close(first)
    assert _platform.lock_descriptor(second)
    os.close(second)


def test_files_by_position(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    try:
        assert _platform.write_vector(descriptor, [b"", b"abc", memoryview(b"defg")]) == 7
        assert _platform.write_at(descriptor, b"XY", 1) == 2
        assert _platform.read_at(descriptor, 4, 1) == b"XYde"
        assert _platform.read_at(descriptor, 4, 7) == b""
        # What comes next goes where the file stood: a pack's checksum does, after its header was written again.
        with _platform._standing(descriptor, 2):
            assert os.read(descriptor, 2) == b"Yd"
        assert os.lseek(descriptor, 0, os.SEEK_CUR) == 7
        _platform.begin_to_sync(descriptor, 0, 7)
        _platform.sync_folder(tmp_path)
    finally:
        os.close(descriptor)


def test_names_may_be_so_long(tmp_path: Path) -> None:
    name, whole = _platform.longest_names(tmp_path)
    assert 14 <= name < whole
    with pytest.raises(OSError, match="too long"):
        (tmp_path / ("x" * (name + 1))).touch()


@pytest.mark.parametrize("collects", [True, False])
def test_no_garbage_is_collected_while_the_interpreter_makes_frames(
    collects: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python 3.11 holds a lock meanwhile, and a collection may let another thread run that waits for the lock for ever."""
    seen = []
    make = sys._current_frames

    def made() -> dict[int, FrameType]:
        seen.append(gc.isenabled() and sys.version_info < (3, 12))
        return make()

    monkeypatch.setattr(sys, "_current_frames", made)
    (gc.enable if collects else gc.disable)()
    try:
        frame = _platform.frame_of(threading.get_ident())
        assert gc.isenabled() == collects
    finally:
        gc.enable()
    assert seen == [False]
    assert frame is not None
    assert frame.f_code is made.__code__
    assert _platform.frame_of(-1) is None
