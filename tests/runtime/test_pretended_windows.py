"""The flows of the package on a pretended Windows: what it lacks is gone, open files cannot be moved, text is translated."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from support.faults import FaultProxy, silent
from support.windows import pretended

import pyxet
from pyxet import _platform_files
from pyxet.testing import LocalEndpoint

TESTS = Path(__file__).parents[1]
START = """
import asyncio, os, sys
from support import windows
windows.install()
import pyxet
"""


def run(code: str, *arguments: str, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-X", "warn_default_encoding", "-W", "error", "-c", START + code, *arguments],
        capture_output=True, text=True, encoding="utf-8", cwd=folder, timeout=120, check=False,
        env=os.environ | {"PYTHONPATH": str(TESTS)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def test_files_up_and_down(tmp_path: Path) -> None:
    """Small and large ones, replaced while they are there, interrupted and resumed; and whole trees."""
    (tmp_path / "in").mkdir()
    for name, size in (("large.bin", 9_000_000), ("empty", 0), ("lines.txt", 0)):
        (tmp_path / "in" / name).write_bytes(os.urandom(size))
    (tmp_path / "in" / "lines.txt").write_bytes(b"a\nb\r\nc\x1ad\n" * 100)
    code = """
fs = pyxet.XetFS(f"file://{sys.argv[1]}/store")
fs.make_repo("local/r")
for _ in range(2):
    fs.put("in/", "local/r/main/in/", recursive=True)
    fs.get("local/r/main/in/", "out/", recursive=True)
    fs.get_file("local/r/main/in/large.bin", "alone.bin")
    fs.put_file("in/large.bin", "local/r/main/other.bin")
with fs.transaction as tr:
    fs.cp("local/r/main/in/large.bin", "local/r/main/copy.bin")
    with fs.open("local/r/main/written.txt", "w") as file:
        file.write("one\\ntwo\\n")
    tr.fs.get_file("local/r/main/written.txt", "pending.txt")
fs.rm("local/r/main/in/empty")
print(*fs.find("local/r/main"))
"""
    names = ["copy.bin", "in/large.bin", "in/lines.txt", "other.bin", "written.txt"]
    assert run(code, str(tmp_path), folder=tmp_path).split() == [
        f"local/r/main/{name}" for name in (".gitattributes", *names)
    ]
    for name in ("large.bin", "empty", "lines.txt"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "in" / name).read_bytes()
    assert (tmp_path / "alone.bin").read_bytes() == (tmp_path / "in" / "large.bin").read_bytes()
    assert (tmp_path / "pending.txt").read_bytes() == b"one\ntwo\n"
    assert {path.name for path in tmp_path.iterdir()} == {"in", "out", "store", "alone.bin", "pending.txt"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"large.bin", "empty", "lines.txt"}


def test_a_download_that_was_interrupted_is_resumed(tmp_path: Path) -> None:
    """Its part and journal were locked and open, and are opened again."""
    code = """
import asyncio
from pathlib import Path
fs = pyxet.XetFS(f"file://{sys.argv[1]}/store", limits={"memory": 16 << 20})
fs.make_repo("local/r")
data = os.urandom(30_000_000)
fs.pipe_file("local/r/main/a.bin", data)

async def get(stop):
    it = pyxet.AsyncXetFileSystem(f"file://{sys.argv[1]}/store", limits={"memory": 16 << 20}, asynchronous=True)
    async with it:
        arrived = asyncio.Event()
        class Count(fsspec.Callback):
            def relative_update(self, amount=1):
                sizes.append(amount)
                arrived.set()
        task = asyncio.create_task(it._get_file("local/r/main/a.bin", "a.bin", callback=Count()))
        if stop:
            await arrived.wait()
            task.cancel()
        await asyncio.wait([task])
        return task.cancelled()

import fsspec
sizes = []
assert asyncio.run(get(True))
left = sorted(name for name in os.listdir() if name != "store")
assert len(left) == 2 and left[0].endswith(".part") and left[1].endswith(".journal"), left
sizes.clear()
assert not asyncio.run(get(False))
assert sizes[0] > 0 and sum(sizes) == len(data)
assert Path("a.bin").read_bytes() == data
assert sorted(os.listdir()) == ["a.bin", "store"]
"""
    run(code, str(tmp_path), folder=tmp_path)


def test_the_command(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in "abc":
        (tmp_path / "in" / name).write_bytes(name.encode() * 1000)
    (tmp_path / "in" / "large").write_bytes(os.urandom(3_000_000))
    code = """
from pyxet.cli import run
os.environ["XET_ENDPOINT"] = f"file://{sys.argv[1]}/store"
for words in (
    ["repo", "make", "local/r"],
    ["cp", "-r", "in/", "local/r/main/in/"],
    ["sync", "in", "local/r/main/in"],
    ["sync", "local/r/main/in", "out"],
    ["cp", "local/r/main/in/large", "."],
    ["cp", "local/r/main/in/large", "."],
    ["rm", "local/r/main/in/a"],
    ["sync", "--delete", "--checksum", "local/r/main/in", "out"],
    ["cat", "local/r/main/in/b"],
    ["repo", "mv", "local/r", "local/s"],
    ["repo", "rm", "--yes", "local/s"],
):
    assert run(["--quiet", *words]) == 0, words
"""
    assert run(code, str(tmp_path), folder=tmp_path).count("b" * 1000) == 1
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"b", "c", "large"}
    assert (tmp_path / "large").read_bytes() == (tmp_path / "in" / "large").read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"in", "out", "store", "large"}


def test_logins_and_an_endpoint_that_another_process_holds(tmp_path: Path) -> None:
    code = """
os.environ |= {"XDG_CONFIG_HOME": os.getcwd(), "HOME": os.getcwd()}
for token in ("xet_first", "xet_second"):
    pyxet.login("somebody", token, host="http://localhost:1", save=True, check=False)
pyxet.logout("http://localhost:1")
here = f"file://{sys.argv[1]}/store"
pyxet.XetFS(here).make_repo("local/r")
import subprocess
other = "import pyxet, sys; pyxet.XetFS(sys.argv[1]).pipe_file('local/r/main/a', b'other')"
subprocess.run([sys.executable, "-c", other, here], check=True, timeout=60)
print(pyxet.XetFS(here).cat_file("local/r/main/a").decode())
"""
    assert run(code, str(tmp_path), folder=tmp_path).strip() == "other"


@pytest.mark.parametrize("size", [1000, 3_000_000])
def test_a_target_that_another_program_has_open(xet: pyxet.XetFS, main: str, tmp_path: Path, size: int) -> None:
    """It is waited for, for some seconds; then the error says which file it is, and nothing is left behind."""
    target = tmp_path / "a.bin"
    target.write_bytes(b"old")
    xet.pipe({f"{main}/a.bin": b"n" * size})
    with pretended(), target.open("rb"), pytest.raises(PermissionError) as caught:
        xet.get_file(f"{main}/a.bin", str(target))
    assert target.read_bytes() == b"old"
    assert str(target) in str(caught.value)
    file = target.open("rb")
    with pretended(patience=60):
        closing = threading.Timer(0.2, file.close)
        closing.start()
        xet.get_file(f"{main}/a.bin", str(target))
        closing.join()
    assert target.read_bytes() == b"n" * size
    assert os.listdir(tmp_path) == ["a.bin"]


@pytest.mark.parametrize("size", [1000, 3_000_000])
def test_a_target_that_is_read_only(xet: pyxet.XetFS, main: str, tmp_path: Path, size: int) -> None:
    """It is replaced, as on all platforms."""
    xet.pipe({f"{main}/a.bin": b"n" * size, f"{main}/b.bin": b"m" * size})
    for name in ("a.bin", "b.bin", "c.bin"):
        (tmp_path / name).write_bytes(b"old")
        (tmp_path / name).chmod(0o444)
    with pretended():
        xet.get_file(f"{main}/a.bin", str(tmp_path / "a.bin"))
        xet.get([f"{main}/a.bin", f"{main}/b.bin"], [str(tmp_path / "b.bin"), str(tmp_path / "c.bin")])
    assert [len((tmp_path / name).read_bytes()) for name in ("a.bin", "b.bin", "c.bin")] == [size] * 3
    assert sorted(os.listdir(tmp_path)) == ["a.bin", "b.bin", "c.bin"]


@pytest.mark.needs("signals")
@pytest.mark.parametrize("words", [["ls", "BRANCH"], ["sync", "BRANCH", "there"]])
def test_ctrl_c_of_a_command(
    shared_endpoint: LocalEndpoint, xet: pyxet.XetFS, main: str, tmp_path: Path, words: list[str]
) -> None:
    """Loops have no handlers of signals there: the interpreter's own one has to reach them."""
    xet.pipe_file(f"{main}/a.bin", os.urandom(3_000_000))
    code = "from pyxet.cli import run\nsys.exit(run(sys.argv[1:]))"
    with FaultProxy(shared_endpoint.url) as proxy:
        proxy.rule(".*", silent())
        child = subprocess.Popen(
            [sys.executable, "-c", START + code, *(word.replace("BRANCH", main) for word in words)], cwd=tmp_path,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=os.environ | {"PYTHONPATH": str(TESTS), "XET_ENDPOINT": proxy.url, "XET_USER_TOKEN": shared_endpoint.token},
        )  # fmt: skip
        try:
            proxy.wait_for_arrival()
            child.send_signal(signal.SIGINT)
            out, told = child.communicate(timeout=100)
        finally:
            child.kill()
    assert (child.returncode, out) == (130, ""), told
    assert "interrupted" in told
    assert "Traceback" not in told
    assert os.listdir(tmp_path) == []


def test_files_that_are_in_use_are_told_from_those_that_are_not_ours(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"")
    with pretended(), path.open("rb"), pytest.raises(pyxet.errors.FileInUseError, match=f"{path}.*another program"):
        _platform_files.remove(path)
    path.chmod(0o444)
    with pretended():
        _platform_files.remove(path)
    assert not path.exists()
    (tmp_path / "tree" / "inner").mkdir(parents=True)
    (tmp_path / "tree" / "inner" / "object").touch(mode=0o444)
    with pretended():
        _platform_files.remove_tree(tmp_path / "tree")
    assert not (tmp_path / "tree").exists()
