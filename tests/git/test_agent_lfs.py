"""Real git-lfs with pyxet's transfer agent against the local endpoint; git itself pushes to a plain folder beside it."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from support.faults import STORE, UPLOAD, FaultProxy, answer, gated
from support.gits import Git, git_at_home, lfs_url, working_copy
from support.proxied import above
from support.raw_client import RawClient

import pyxet
from pyxet.server.state import TOKENS
from pyxet.testing import LocalEndpoint, local_endpoint

pytestmark = pytest.mark.needs("git endpoint")

NOISE = random.Random(41)
MIB = 1024 * 1024
# An object that comes as it is.
PLAIN = r"PUT /v1/lfs/"
# Seconds until something must have happened.
PATIENCE = 30


@pytest.fixture(scope="module")
def endpoint() -> Iterator[LocalEndpoint]:
    with local_endpoint(user="acme") as running:
        yield running


@pytest.fixture
def repo(endpoint: LocalEndpoint) -> str:
    name = f"acme/r{NOISE.getrandbits(40):x}"
    RawClient(endpoint, endpoint.token).make_repo(name, private=True)
    return name


@pytest.fixture
def proxy(endpoint: LocalEndpoint) -> Iterator[FaultProxy]:
    with FaultProxy(endpoint.url) as running:
        yield running


@pytest.fixture
def git(tmp_path: Path, endpoint: LocalEndpoint) -> Git:
    found = git_at_home(tmp_path / "home")
    found.xet("git", "install", "--concurrency", "2")
    return found


def through(proxy: FaultProxy, endpoint: LocalEndpoint, repo: str) -> str:
    """The LFS server of a repository behind a proxy."""
    return lfs_url(endpoint, repo).replace(endpoint.url.removeprefix("http://"), proxy.url.removeprefix("http://"))


def sent(proxy: FaultProxy) -> int:
    """Bytes of content that were sent."""
    return sum(int(seen.headers.get("Content-Length", 0)) for seen in proxy.seen if re.match(UPLOAD, seen.line))


@pytest.mark.parametrize(
    "size", [24 * MIB, pytest.param(200_000_000, marks=[pytest.mark.soak, pytest.mark.timeout(900)])]
)
def test_chunks_are_pushed_and_pulled(
    endpoint: LocalEndpoint, repo: str, git: Git, proxy: FaultProxy, size: int
) -> None:
    """A second push of a large file with a mebibyte inserted sends little more than that."""
    first = working_copy(git, "first", through(proxy, endpoint, repo))
    first("lfs", "track", "*.bin")
    data = NOISE.randbytes(size)
    first.write({"a.bin": data, "small.bin": b"small"})
    told = first.says("push", "origin", "main", GIT_LFS_PROGRESS=str(git.folder / "progress"))
    assert "warning" not in told.lower()
    # What git-lfs shows of how far it is: for each file, all of it in the end, and steps on the way for a large one.
    done: dict[str, list[int]] = {}
    for line in (git.folder / "progress").read_text().splitlines():
        way, _, amount, name = line.split(" ", 3)
        assert way == "upload"
        done.setdefault(name, []).append(int(amount.partition("/")[0]))
    assert sorted(found[-1] for found in done.values()) == [5, size]
    assert max(map(len, done.values())) > 3
    assert all(found == sorted(found) for found in done.values())
    assert sent(proxy) > size
    assert not proxy.count(PLAIN)
    first.check()
    changed = data[: size // 2] + NOISE.randbytes(MIB) + data[size // 2 :]
    first.write({"a.bin": changed})
    proxy.clear()
    first("push", "--quiet", "origin", "main")
    assert MIB < sent(proxy) < 4 * MIB
    second = working_copy(git, "second", through(proxy, endpoint, repo))
    proxy.clear()
    second("lfs", "pull")
    assert (second.folder / "a.bin").read_bytes() == changed
    assert (second.folder / "small.bin").read_bytes() == b"small"
    assert proxy.count(r"GET /v2/reconstructions/") >= 2
    assert not proxy.count(r"GET /v1/lfs/")
    second.check()
    second("lfs", "fetch", "--all")
    second.check()
    assert not list((second.folder / ".git" / "lfs" / "tmp").glob("*xet*"))


@pytest.mark.parametrize("concurrency", ["as git-lfs does it", "1"])
def test_one_agent_or_several(
    endpoint: LocalEndpoint, repo: str, git: Git, proxy: FaultProxy, concurrency: str
) -> None:
    if concurrency == "1":
        git.xet("git", "install", "--concurrency", "1")
    else:
        git("config", "--global", "--unset", "lfs.concurrenttransfers")
    first = working_copy(git, "first", through(proxy, endpoint, repo))
    first("lfs", "track", "*.bin")
    files = {f"d/{number}.bin": NOISE.randbytes(10_000 * (number + 1)) for number in range(12)}
    first.write(files)
    first("push", "--quiet", "origin", "main")
    assert not proxy.count(PLAIN)
    second = working_copy(git, "second", through(proxy, endpoint, repo))
    second("lfs", "pull")
    assert {name: (second.folder / name).read_bytes() for name in files} == files
    second.check()


def test_after_uninstalling_it_is_as_before(endpoint: LocalEndpoint, repo: str, git: Git, proxy: FaultProxy) -> None:
    git.xet("git", "uninstall")
    first = working_copy(git, "first", through(proxy, endpoint, repo))
    first("lfs", "track", "*.bin")
    first.write({"a.bin": NOISE.randbytes(100_000)})
    first("push", "--quiet", "origin", "main")
    assert proxy.count(PLAIN) == 1


def test_an_object_that_fails_fails_alone(endpoint: LocalEndpoint, repo: str, git: Git, proxy: FaultProxy) -> None:
    git.xet("git", "install", "--concurrency", "1")
    first = working_copy(git, "first", through(proxy, endpoint, repo))
    first("lfs", "track", "*.bin")
    files = {f"{number}.bin": NOISE.randbytes(100_000) for number in range(3)}
    first.write(files)
    proxy.rule(STORE, answer(400, b'{"error": "no such luck"}'), times=1)
    first("config", "lfs.transfer.maxretries", "1")
    told = first.fails("push", "origin", "main")
    assert "no such luck" in told
    assert proxy.count(r"POST /v2/shards") == 2
    assert endpoint.token not in told.replace(lfs_url(endpoint, repo), "")
    proxy.clear()
    first("push", "--quiet", "origin", "main")
    assert proxy.count(r"POST /v2/shards") == 1


def test_a_damaged_object_is_not_pushed(endpoint: LocalEndpoint, repo: str, git: Git) -> None:
    first = working_copy(git, "first", lfs_url(endpoint, repo))
    first("lfs", "track", "*.bin")
    first.write({"a.bin": NOISE.randbytes(100_000)})
    [stored] = [path for path in (first.folder / ".git/lfs/objects").rglob("*") if path.is_file()]
    stored.chmod(0o644)
    stored.write_bytes(b"x" + stored.read_bytes()[1:])
    assert "damaged" in first.fails("push", "origin", "main")


def test_who_may_not_push(endpoint: LocalEndpoint, repo: str, git: Git) -> None:
    reader = endpoint.add_token("acme", "read")
    copy = working_copy(git, "copy", lfs_url(endpoint, repo, reader))
    copy("lfs", "track", "*.bin")
    copy.write({"a.bin": NOISE.randbytes(1000)})
    told = copy.fails("push", "origin", "main")
    assert "only reads" in told
    assert reader not in told.replace(lfs_url(endpoint, repo, reader), "")


def test_tokens_that_end_are_renewed(
    endpoint: LocalEndpoint, repo: str, git: Git, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what ``xet login`` has saved: git-lfs itself does not hand on how it logs in."""
    tokens = endpoint.start().app[TOKENS]
    git.xet("login", "--host", proxy.url, "--token", endpoint.token)
    first = working_copy(git, "first", through(proxy, endpoint, repo))
    first("lfs", "track", "*.bin")
    first.write({"a.bin": NOISE.randbytes(500_000)})
    monkeypatch.setattr(tokens, "token_life", 20)
    proxy.rule(r"GET /api/.*/xet-write-token/", answer_longer(endpoint, repo), times=1)
    first("push", "--quiet", "origin", "main")
    assert proxy.count(r"GET /api/.*/xet-write-token/") == 1
    assert not proxy.count(PLAIN)


def test_tokens_are_renewed_at_an_endpoint_below_a_path(git: Git, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    renewal = r"GET /xet/api/.*/xet-write-token/"
    with (
        FaultProxy(f"http://127.0.0.1:{port}") as proxy,
        LocalEndpoint(port=port, user="acme", public_url=f"{proxy.url}/xet") as endpoint,
    ):
        RawClient(endpoint, endpoint.token).make_repo("acme/below", private=True)
        git.xet("login", "--host", f"{proxy.url}/xet", "--token", endpoint.token, "--user", "acme", "--force")
        url = lfs_url(endpoint, "acme/below").replace(f":{port}/", f":{urlsplit(proxy.url).port}/xet/")
        copy = working_copy(git, "below", url)
        copy("lfs", "track", "*.bin")
        copy.write({"a.bin": NOISE.randbytes(500_000)})
        monkeypatch.setattr(endpoint.start().app[TOKENS], "token_life", 20)
        proxy.rule(renewal, answer_longer(endpoint, "acme/below"), times=1)
        proxy.rule(r"\w+ /xet/", above)
        copy("push", "--quiet", "origin", "main")
        assert proxy.count(renewal) == 1
        assert not proxy.count(r"PUT /xet/v1/lfs/")


def answer_longer(endpoint: LocalEndpoint, repo: str):  # type: ignore[no-untyped-def]
    token, expires = endpoint.start().app[TOKENS].mint(repo, "write", "acme")
    body = {"accessToken": token, "exp": expires + 10_000, "casUrl": endpoint.url}
    return answer(200, json.dumps(body).encode())


def test_an_interrupted_push_leaves_nothing_behind(
    endpoint: LocalEndpoint, repo: str, git: Git, proxy: FaultProxy
) -> None:
    """Ctrl-C ends git, git-lfs and its agents; the next push does what is left to do."""
    first = working_copy(git, "first", through(proxy, endpoint, repo))
    first("lfs", "track", "*.bin")
    data = NOISE.randbytes(3_000_000)
    first.write({"a.bin": data})
    proxy.rule(UPLOAD, gated(), times=1)
    running = first.start("push", "origin", "main")
    proxy.wait_for_arrival()
    os.killpg(running.pid, signal.SIGINT)
    running.communicate(timeout=PATIENCE)
    assert running.returncode
    wait_until(lambda: not processes(running.pid))
    proxy.open_gate()
    first("push", "--quiet", "origin", "main")
    second = working_copy(git, "second", lfs_url(endpoint, repo))
    second("lfs", "pull")
    assert (second.folder / "a.bin").read_bytes() == data
    second.check()


def processes(group: int) -> list[int]:
    """Those of a process group that are still there."""
    found = []
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            try:
                fields = (path / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[2]) == group and fields[0] != "Z":
                found.append(int(path.name))
    return found


def wait_until(holds) -> None:  # type: ignore[no-untyped-def]
    ends = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < ends
        time.sleep(0.01)


def test_what_is_pushed_is_a_file_like_any_other(endpoint: LocalEndpoint, repo: str, git: Git) -> None:
    first = working_copy(git, "first", lfs_url(endpoint, repo))
    first("lfs", "track", "*.bin")
    data = NOISE.randbytes(1_000_000)
    first.write({"a.bin": data})
    first("lfs", "push", "--all", "origin")
    pointer = first("show", "HEAD:a.bin").encode()
    client = RawClient(endpoint, endpoint.token)
    client.write(repo, {"a.bin": pointer})
    assert pyxet.XetFS(endpoint.url, "acme", endpoint.token).cat_file(f"{repo}/main/a.bin") == data
