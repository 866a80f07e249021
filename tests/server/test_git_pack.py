"""Commits of many files are written as one git pack, which git itself accepts."""

from __future__ import annotations

import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pygit2
import pytest

from pyxet.server.git_pack import PackWriter, _size_header
from pyxet.testing import LocalEndpoint, local_endpoint


@pytest.fixture
def git(tmp_path: Path) -> pygit2.Repository:
    return pygit2.init_repository(tmp_path / "repo", bare=True)


def blobs() -> list[bytes]:
    source = random.Random(7)
    sizes = [0, 1, 15, 16, 17, 2047, 2048, 300_000, 2_000_000, *(source.randrange(300) for _ in range(500))]
    return [source.randbytes(size) for size in sizes]


def test_git_reads_what_is_in_a_pack(git: pygit2.Repository) -> None:
    contents = blobs()
    pack = PackWriter(Path(git.path) / "objects")
    names = [pack.add(data) for data in contents]
    assert len(pack) == len(set(names)) == len(set(contents))
    assert pack.add(contents[0]) == names[0]
    assert names == [str(pygit2.hash(data)) for data in contents]
    assert all(name not in git for name in names)
    pack.publish()
    pack.close()
    assert [git[name].read_raw() for name in names] == contents
    folder = Path(git.path) / "objects" / "pack"
    assert sorted(path.suffix for path in folder.iterdir()) == [".idx", ".pack"]
    if shutil.which("git"):
        subprocess.run(["git", "verify-pack", *map(str, folder.glob("*.idx"))], check=True, timeout=60)


def test_a_pack_that_is_not_published_leaves_nothing(git: pygit2.Repository) -> None:
    pack = PackWriter(Path(git.path) / "objects")
    pack.add(b"x")
    pack.close()
    assert not list((Path(git.path) / "objects" / "pack").iterdir())


def test_sizes_of_objects() -> None:
    assert _size_header(3, 0) == b"\x30"
    assert _size_header(3, 15) == b"\x3f"
    assert _size_header(3, 16) == b"\xb0\x01"
    assert _size_header(3, 2048) == b"\xb0\x80\x01"


@pytest.fixture
def endpoint(tmp_path: Path) -> Iterator[LocalEndpoint]:
    with local_endpoint(root=tmp_path, user="acme") as running:
        yield running


def test_a_commit_of_many_files_is_a_pack(endpoint: LocalEndpoint) -> None:
    import pyxet

    fs = pyxet.XetFS(endpoint=endpoint.url, user=endpoint.user, token=endpoint.token)
    fs.make_repo("acme/many")
    contents = {f"acme/many/main/d{number % 3}/{number}.txt": b"%d" % number for number in range(100)}
    contents |= {f"acme/many/main/{number}.bin": bytes([0, number]) for number in range(100)}
    fs.pipe(contents)
    assert fs.cat(list(contents)) == contents
    (packs,) = [list(path.iterdir()) for path in Path(endpoint.root).rglob("objects/pack") if any(path.iterdir())]
    assert len(packs) == 2
    fs.rm("acme/many/main/d1", recursive=True)
    assert len(fs.find("acme/many/main")) == 168
    if shutil.which("git"):
        repository = packs[0].parent.parent.parent
        subprocess.run(["git", "-C", str(repository), "fsck", "--strict"], check=True, timeout=60)
