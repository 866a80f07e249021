"""kill -9, of the client in mid-upload and of the endpoint in mid-commit: the old commit or the new one, never less."""

from __future__ import annotations

import os
import random
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

import pyxet
from pyxet.testing import local_endpoint

MIB = 1024 * 1024
REPO = "acme/kept"


def git(repository: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(repository), *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def serve(root: Path, port: int, token: str) -> subprocess.Popen[str]:
    """``xet serve`` in a process of its own, ready to answer."""
    server = subprocess.Popen(
        [sys.executable, "-m", "pyxet", "serve", "--root", str(root), "--port", str(port), "--user", "acme", "--token", token],
        stdout=subprocess.PIPE, text=True, cwd=root.parent,
    )  # fmt: skip
    assert server.stdout is not None
    assert "http://127.0.0.1" in server.stdout.readline()
    return server


def test_client_killed_in_mid_upload(tmp_path: Path) -> None:
    upload = (
        "import pyxet, random\n"
        "fs = pyxet.XetFS()\n"
        "with fs.transaction:\n"
        "    source = random.Random(2)\n"
        "    with fs.open('acme/kept/main/big.bin', 'wb') as file:\n"
        "        for _ in range(10_000):\n"
        "            file.write(source.randbytes(1 << 20))\n"
    )
    with local_endpoint(root=tmp_path / "root") as endpoint:
        fs = pyxet.XetFS(endpoint=endpoint.url, user=endpoint.user, token=endpoint.token)
        fs.make_repo(REPO)
        fs.pipe(f"{REPO}/main/old.bin", b"\xffold")
        before = fs.branch_info(REPO, "main")["commit"]
        environment = {
            "PATH": os.environ["PATH"], "HOME": str(tmp_path), "XET_ENDPOINT": endpoint.url,
            "XET_USER_NAME": endpoint.user, "XET_USER_TOKEN": endpoint.token,
        }  # fmt: skip
        client = subprocess.Popen([sys.executable, "-c", upload], env=environment, cwd=tmp_path)
        try:
            # The first xorb on disk means: in the middle of the upload.
            deadline = time.monotonic() + 60
            while not any(
                path.stat().st_size > MIB for path in (tmp_path / "root" / "xorbs").rglob("*") if path.is_file()
            ):
                assert client.poll() is None
                assert time.monotonic() < deadline
        finally:
            client.kill()
            client.wait()
        assert fs.branch_info(REPO, "main")["commit"] == before
        assert fs.ls(f"{REPO}/main", detail=False, refresh=True) == [
            path for path in fs.ls(f"{REPO}/main", detail=False) if not path.endswith("big.bin")
        ]
        assert not fs.exists(f"{REPO}/main/big.bin")
        git(next((tmp_path / "root").rglob("kept.git")), "fsck", "--strict")
        fs.pipe(f"{REPO}/main/new.bin", b"\xffnew")
        assert fs.cat(f"{REPO}/main/new.bin") == b"\xffnew"


@pytest.mark.parametrize("delay", [0.0, 0.02, 0.06, 0.15, 0.3])
def test_endpoint_killed_in_mid_commit(tmp_path: Path, delay: float) -> None:
    """The delays spread the kill over upload, shard, commit and the time after it; each run must end in old or new."""
    root, port, token = tmp_path / "root", free_port(), "xet_kill"
    content = random.Random(int(delay * 1000)).randbytes(MIB)
    environment = {
        "PATH": os.environ["PATH"], "HOME": str(tmp_path), "XET_ENDPOINT": f"http://127.0.0.1:{port}",
        "XET_USER_NAME": "acme", "XET_USER_TOKEN": token,
    }  # fmt: skip
    many = (
        "import pyxet, sys\n"
        "from pyxet import RetryPolicy\n"
        "fs = pyxet.XetFS(retry=RetryPolicy(attempts=1))\n"
        "print('ready', flush=True)\n"
        "number = 0\n"
        "while True:\n"
        "    number += 1\n"
        "    fs.pipe({f'acme/kept/main/a{number}.txt': b'text', f'acme/kept/main/b{number}.bin': b'\\xff' * 100_000})\n"
        "    print(number, flush=True)\n"
    )
    server = serve(root, port, token)
    fs = pyxet.XetFS(endpoint=f"http://127.0.0.1:{port}", user="acme", token=token, listings_expiry_time=0)
    fs.make_repo(REPO)
    fs.pipe(f"{REPO}/main/old.bin", content)
    client = subprocess.Popen(
        [sys.executable, "-c", many],
        env=environment,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert client.stdout is not None
        for _ in range(3):
            assert client.stdout.readline()
        time.sleep(delay)
        server.kill()
        server.wait()
        acknowledged = [int(line) for line in client.stdout.read().split()]
    finally:
        for process in (client, server):
            process.kill()
            process.wait()
            if process.stdout:
                process.stdout.close()
    git(next(root.rglob("kept.git")), "fsck", "--strict")
    with local_endpoint(root=root, user="acme", token=token) as endpoint:
        fs = pyxet.XetFS(endpoint=endpoint.url, user="acme", token=token)
        assert fs.cat(f"{REPO}/main/old.bin") == content
        names = {path.rpartition("/")[2] for path in fs.ls(f"{REPO}/main", detail=False)}
        numbers = {int(name[1:].partition(".")[0]) for name in names if name[0] in "ab" and name[1].isdigit()}
        # Each commit is whole, and what was acknowledged is there; one more may have been made without its answer.
        for number in numbers:
            assert {f"a{number}.txt", f"b{number}.bin"} <= names
            assert fs.cat(f"{REPO}/main/b{number}.bin") == b"\xff" * 100_000
        last = max([2, *acknowledged])
        assert numbers in ({*range(1, last + 1)}, {*range(1, last + 2)})
