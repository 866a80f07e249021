"""The processes of a user share an embedded directory: one serves it, and another one goes on when that one has ended."""

from __future__ import annotations

import inspect
import json
import os
import random
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from support.raw_client import RawClient, Served

import pyxet
from pyxet import local
from pyxet.errors import ConfigError
from pyxet.local import embedded
from pyxet.secrets import Secret
from pyxet.server.holding import Holder, hold, publish, published, release
from pyxet.testing import local_endpoint

PEER = """
import json, os, sys
import pyxet
from pyxet.local import embedded
root = sys.argv[1]
fs = pyxet.XetFS(endpoint=f"file://{root}", listings_expiry_time=0)
for line in sys.stdin:
    print(json.dumps(eval(line)), flush=True)
"""


class Peer:
    """Another process with a file system at a directory: it tells what expressions are there."""

    def __init__(self, root: Path, **environment: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", PEER, str(root)], env=os.environ | environment,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def tells(self, expression: str) -> object:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{expression}\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def end(self) -> None:
        """As programs end."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        assert self.process.wait() == 0


@contextmanager
def peer(root: Path, **environment: str) -> Iterator[Peer]:
    started = Peer(root, **environment)
    try:
        yield started
    finally:
        started.kill()
        for pipe in (started.process.stdin, started.process.stdout):
            assert pipe is not None
            pipe.close()


# -- who serves it -----------------------------------------------------------------------------------------------------


def test_another_process_uses_what_one_serves(root: Path) -> None:
    with peer(root) as first:
        first.tells("fs.make_repo('local/r')")
        first.tells("fs.pipe('local/r/main/a.txt', b'from the first')")
        fs = pyxet.XetFS(endpoint=root.as_uri())
        assert fs.cat("local/r/main/a.txt") == b"from the first"
        fs.pipe("local/r/main/b.txt", b"from here")
        assert first.tells("fs.cat('local/r/main/b.txt').decode()") == "from here"
        assert embedded(root.as_uri()).pid == first.process.pid
        assert first.tells("embedded(fs.endpoint).url") == embedded(root.as_uri()).url
        command = [sys.executable, "-m", "pyxet", "--endpoint", root.as_uri(), "ls", "local/r/main"]
        told = subprocess.run(command, capture_output=True, text=True, check=True)
        assert "a.txt" in told.stdout
        assert "b.txt" in told.stdout


@pytest.mark.needs("modes")
def test_what_the_holder_leaves_is_for_its_user_and_goes_with_it(root: Path) -> None:
    with local_endpoint(root) as endpoint:
        assert stat.S_IMODE((root / "holder").stat().st_mode) == 0o600
        assert published(root) == Holder(root, endpoint.url, endpoint.user, Secret(endpoint.token))
        assert endpoint.token not in repr(published(root))
        # Also one that was started for others to connect to.
        assert embedded(root.as_uri()).url == endpoint.url
        with pytest.raises(ConfigError, match=rf"serves .* at {endpoint.url} \(process {os.getpid()}\)"):
            local_endpoint(root).__enter__()
    assert not (root / "holder").exists()


@pytest.mark.needs("links", "modes")
def test_what_another_user_left_is_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a directory where all may write, anybody could leave the URL of a server of their own."""
    with local_endpoint(root):
        looked = os.fstat

        def stranger(descriptor: int) -> os.stat_result:
            found = looked(descriptor)
            return os.stat_result([*found[:4], os.geteuid() + 1, *found[5:]])

        monkeypatch.setattr(os, "fstat", stranger)
        with pytest.raises(ConfigError, match="left there by another user"):
            pyxet.XetFS(endpoint=root.as_uri()).ls("")
        monkeypatch.setattr(os, "fstat", looked)
        # Nor is a link followed, to wherever somebody wants.
        (root / "holder").rename(root / "elsewhere")
        (root / "holder").symlink_to("elsewhere")
        assert published(root) is None


def test_what_a_killed_holder_left_is_not_believed(root: Path) -> None:
    """Whoever listens there now gets no token and is not asked for content."""
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        os.close(hold(root))
        publish(Holder(root, f"http://127.0.0.1:{stranger.getsockname()[1]}", "local", Secret("xet_old"), 1))
        fs = pyxet.XetFS(endpoint=root.as_uri())
        fs.make_repo("local/r")
        stranger.setblocking(False)
        with pytest.raises(BlockingIOError):
            stranger.accept()


def test_a_holder_that_says_nothing(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "PATIENCE", 0.2)
    held = hold(root)
    try:
        with pytest.raises(ConfigError, match="does not say at which URL"):
            pyxet.XetFS(endpoint=root.as_uri()).ls("")
        with pytest.raises(ConfigError, match="does not say at which URL"):
            embedded(root.as_uri())
    finally:
        release(held)
    fs = pyxet.XetFS(endpoint=root.as_uri())
    assert fs.get_username() == "local"


def test_a_holder_that_cannot_be_reached(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory that other machines have mounted: their loopback addresses are not ours."""
    with local_endpoint(root) as endpoint:
        publish(Holder(root, endpoint.url, endpoint.user, Secret(endpoint.token), loopback="another machine"))
        with pytest.raises(ConfigError, match="another machine or in another container"):
            pyxet.XetFS(endpoint=root.as_uri()).ls("")


# -- it goes on --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", [Peer.kill, Peer.end], ids=["killed", "ended"])
def test_open_instances_go_on(root: Path, end: Callable[[Peer], object]) -> None:
    data = random.Random(1).randbytes(30_000_000)
    with peer(root) as first, peer(root) as second:
        first.tells("fs.make_repo('local/r')")
        assert second.tells("embedded(fs.endpoint).pid") == first.process.pid
        fs = pyxet.XetFS(endpoint=root.as_uri(), listings_expiry_time=0)
        fs.pipe({"local/r/main/a.bin": data, "local/r/main/b.txt": b"b"})
        with fs.open("local/r/main/a.bin") as reading, fs.transaction as tr:
            assert reading.read(100_000) == data[:100_000]
            with fs.open("local/r/main/written.bin", "wb") as writing:
                writing.write(data[:9_000_000])
                end(first)
                writing.write(data[9_000_000:])
            # Nothing says who goes on, but that it is one of us, with all there was.
            assert reading.read() == data[100_000:]
            fs.pipe("local/r/main/c.txt", b"c")
        assert len(tr.commits) == 1
        assert second.tells("fs.cat('local/r/main/c.txt').decode()") == "c"
        assert second.tells("fs.info('local/r/main/written.bin')['size']") == len(data)
        holder = embedded(root.as_uri())
        assert holder.pid in (os.getpid(), second.process.pid)
        assert second.tells("embedded(fs.endpoint).url") == holder.url
        assert fs.url("local/r/main/b.txt").startswith(holder.url)


def test_another_user_name_takes_over(root: Path) -> None:
    """The holder's name is that of all, so it may change: what somebody has begun goes on."""
    with peer(root, XET_USER_NAME="acme") as first:
        first.tells("fs.make_repo('acme/r', private=True)")
        fs = pyxet.XetFS(endpoint=root.as_uri(), listings_expiry_time=0)
        data = random.Random(2).randbytes(20_000_000)
        fs.pipe("acme/r/main/a.bin", data)
        with fs.open("acme/r/main/a.bin") as file:
            assert file.read(10) == data[:10]
            first.kill()
            assert file.read() == data[10:]
        assert embedded(root.as_uri()).user == "local"
        fs.pipe("acme/r/main/b.bin", data[:100_000])
        assert fs.cat("acme/r/main/b.bin") == data[:100_000]


@pytest.mark.needs("fork")
def test_a_forked_child_goes_on_without_its_parent(root: Path) -> None:
    code = f"""
import os, pyxet, signal, sys, time
fs = pyxet.XetFS(endpoint="{root.as_uri()}")
fs.make_repo("local/r")
fs.pipe("local/r/main/a.txt", b"a")
read, write = os.pipe()
if os.fork():
    os.kill(os.getpid(), signal.SIGKILL)
while os.getppid() == {os.getpid()}:
    pass
fs.pipe("local/r/main/b.txt", b"b")
print(sorted(fs.ls("local/r/main", detail=False)), flush=True)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "['local/r/main/.gitattributes', 'local/r/main/a.txt', 'local/r/main/b.txt']\n", done.stderr


@pytest.mark.needs("fork")
def test_a_forked_child_keeps_no_sockets(root: Path) -> None:
    """Clients of a killed endpoint learn that it has gone, and a new one may use its port."""
    code = f"""
import os, sys
from pyxet.testing import local_endpoint
with local_endpoint({str(root)!r}, token="t") as endpoint:
    print(endpoint.url, flush=True)
    sys.stdin.readline()
    if not os.fork():
        print("forked", flush=True)
        sys.stdin.read()
        os._exit(0)
    sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        host, port = url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=60) as connected:
            connected.sendall(
                b"GET /api/agent-harnesses HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer t\r\n\r\n"
            )
            assert connected.recv(12) == b"HTTP/1.1 200"
            process.stdin.write("\n")
            process.stdin.flush()
            assert process.stdout.readline() == "forked\n"
            # The parent serves on.
            assert RawClient(Served(url), "t").get("/api/whoami-v2").status == 200
            process.kill()
            process.wait()
            with suppress(ConnectionResetError):
                while connected.recv(1000):
                    pass
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((host, int(port)), timeout=60)
        with local_endpoint(root, token="t") as endpoint:
            assert RawClient(endpoint, "t").get("/api/whoami-v2").status == 200
        process.stdin.close()


WORKER = """
import os, random, sys
import pyxet
sys.path.insert(0, os.path.dirname(__file__))
from shared import content
root, number, rounds, log = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
fs = pyxet.XetFS(endpoint=f"file://{root}", listings_expiry_time=0)
with open(log) as file:
    start = len(file.readlines())
for turn in range(start, rounds):
    path = f"local/r/main/{number}/{turn}"
    fs.pipe_file(path, content(number, turn))
    with open(log, "a") as file:
        file.write(f"{turn}\\n")
    assert fs.cat_file(path) == content(number, turn)
    found = random.choice(fs.find("local/r/main"))
    assert fs.cat_file(found) == content(*map(int, found.split("/")[-2:])), found
"""


def content(number: int, turn: int) -> bytes:
    """Inside the commit, stored apart, and several chunks of it."""
    size = (30, 50_000, 3_000_000)[turn % 3]
    return random.Random(f"{number}/{turn}").randbytes(size) if turn % 3 else f"{number}/{turn}".encode()


@pytest.mark.timeout(300)
def test_many_processes_and_a_holder_that_is_killed_again_and_again(root: Path, tmp_path: Path) -> None:
    """Nothing is lost, and nobody sees an error: also who began a commit at the moment in which the endpoint went."""
    processes, rounds, kills = 8, 5, 7
    with peer(root) as first:
        first.tells("fs.make_repo('local/r')")
        first.tells("fs.rm('local/r/main/.gitattributes')")
    script = tmp_path / "worker.py"
    script.write_text(WORKER)
    (tmp_path / "shared.py").write_text(f"import random\n{inspect.getsource(content)}")
    logs = [tmp_path / f"log-{number}" for number in range(processes)]

    def started(number: int) -> subprocess.Popen[bytes]:
        logs[number].touch()
        command = [sys.executable, str(script), str(root), str(number), str(rounds), str(logs[number])]
        with (tmp_path / "errors").open("ab") as errors:
            return subprocess.Popen(command, stderr=errors)

    def progress() -> int:
        return sum(len(log.read_text().splitlines()) for log in logs)

    running = {number: started(number) for number in range(processes)}
    seen = killed = 0
    try:
        while any(process.poll() is None for process in running.values()):
            holder = published(root)
            if holder is not None and killed < kills and progress() >= seen + 4:
                hit = next((number for number, process in running.items() if process.pid == holder.pid), None)
                if hit is not None and running[hit].poll() is None:
                    running[hit].kill()
                    running[hit].wait()
                    killed, seen = killed + 1, progress()
                    running[hit] = started(hit)
            time.sleep(0.01)
        assert (tmp_path / "errors").read_text() == ""
        assert [process.returncode for process in running.values()] == [0] * processes
    finally:
        for process in running.values():
            process.kill()
            process.wait()
    assert killed >= kills // 2
    fs = pyxet.XetFS(endpoint=root.as_uri())
    assert len(fs.find("local/r/main")) == processes * rounds
    for number in range(processes):
        for turn in range(rounds):
            assert fs.cat_file(f"local/r/main/{number}/{turn}") == content(number, turn)
    # No commit was made twice, however its answer was lost: the first two are what the repository was made with, and without.
    assert len(fs.log("local/r/main")) == processes * rounds + 2
