"""Real git-lfs against the local endpoint's LFS routes: git itself pushes to a plain folder beside it."""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.faults import FaultProxy, cut
from support.gits import Git, git_at_home, lfs_url, working_copy
from support.raw_client import RawClient

import pyxet
from pyxet.testing import LocalEndpoint, local_endpoint

pytestmark = pytest.mark.needs("git endpoint")

NOISE = random.Random(21)


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
def git(tmp_path: Path) -> Git:
    return git_at_home(tmp_path / "home")


def test_what_is_pushed_is_pulled(endpoint: LocalEndpoint, repo: str, git: Git) -> None:
    """Empty, small and large files, of which two share most of their content; stored once, and clean for both fscks."""
    url = lfs_url(endpoint, repo)
    first = working_copy(git, "first", url)
    first("lfs", "track", "*.bin")
    large = NOISE.randbytes(9_000_000)
    files = {
        "empty.bin": b"",
        "small.bin": b"small",
        "text.txt": b"text",
        "deep/er/a.bin": large,
        "again.bin": large,
    }
    before = stored_bytes(endpoint)
    first.write(files)
    # Nothing that it would have to complain of, as of locks.
    told = first.says("push", "origin", "main")
    assert "lock" not in told
    assert "warning" not in told.lower()
    files["b.bin"] = large[:4_000_000] + b"inserted" + large[4_000_000:]
    first.write(files)
    first("push", "--quiet", "origin", "main")
    assert 9_000_000 < stored_bytes(endpoint) - before < 9_400_000
    first.check()
    second = working_copy(git, "second", url)
    second("lfs", "pull")
    assert {name: (second.folder / name).read_bytes() for name in files} == files
    second.check()
    # Pushing again what is there sends nothing.
    second("lfs", "push", "--all", "origin")
    assert not list((endpoint.root / "xorbs" / "unfinished").iterdir())


def stored_bytes(endpoint: LocalEndpoint) -> int:
    return sum(path.stat().st_size for path in (endpoint.root / "xorbs").rglob("*") if path.is_file())


def test_a_broken_download_goes_on(endpoint: LocalEndpoint, repo: str, git: Git) -> None:
    """By a range from where it broke off, when it is pulled again."""
    first = working_copy(git, "first", lfs_url(endpoint, repo))
    first("lfs", "track", "*.bin")
    data = NOISE.randbytes(8_000_000)
    first.write({"a.bin": data})
    first("push", "--quiet", "origin", "main")
    with FaultProxy(endpoint.url) as proxy:
        url = lfs_url(endpoint, repo).replace(endpoint.url.removeprefix("http://"), proxy.url.removeprefix("http://"))
        second = working_copy(git, "second", url)
        proxy.rule(r"GET /v1/lfs/", cut(5_000_000), times=1)
        second("lfs", "pull")
        ranges = [seen.headers.get("Range", "") for seen in proxy.seen if seen.line.startswith("GET /v1/lfs/")]
        assert len(ranges) == 2
        assert 0 < int(ranges[1].removeprefix("bytes=").partition("-")[0]) <= 5_000_000
    assert (second.folder / "a.bin").read_bytes() == data
    second.check()


def test_what_was_written_by_other_clients_is_pulled(endpoint: LocalEndpoint, repo: str, git: Git) -> None:
    data = NOISE.randbytes(2_000_000)
    pyxet.XetFS(endpoint.url, "acme", endpoint.token).pipe(f"{repo}/main/a.bin", data)
    digest = hashlib.sha256(data).hexdigest()
    copy = working_copy(git, "copy", lfs_url(endpoint, repo))
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{digest}\nsize {len(data)}\n"
    copy("lfs", "track", "*.bin")
    copy.write({"a.bin": pointer.encode()})
    copy("lfs", "pull")
    assert (copy.folder / "a.bin").read_bytes() == data
    copy.check()


@pytest.mark.parametrize("who", ["nobody", "reader", "other"])
def test_who_may_not_is_told_so(endpoint: LocalEndpoint, repo: str, git: Git, who: str) -> None:
    tokens = {"nobody": "", "reader": endpoint.add_token("acme", "read"), "other": endpoint.add_token("eve")}
    copy = working_copy(git, "copy", lfs_url(endpoint, repo, tokens[who]))
    copy("lfs", "track", "*.bin")
    copy.write({"a.bin": os.urandom(1000)})
    told = copy.fails("push", "origin", "main")
    expected = {"nobody": "could not read Username", "reader": "this token only reads", "other": "does not exist"}
    assert expected[who] in told
    assert not tokens[who] or tokens[who] not in told.replace(lfs_url(endpoint, repo, tokens[who]), "")
