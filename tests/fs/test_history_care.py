"""Squashed histories, and the large files that a repository has in its history."""

from __future__ import annotations

import random

import pytest
from support.cli import Cli

import pyxet
from pyxet.errors import AccessDeniedError, NotSupportedError, RevisionNotFoundError, XetURLError
from pyxet.testing import LocalEndpoint


def made_of(size: int) -> bytes:
    return random.Random(size).randbytes(size)


@pytest.fixture
def main(xet: pyxet.XetFS, repo: str) -> str:
    for number in range(3):
        xet.pipe(
            {f"{repo}/main/a.bin": made_of(40_000 + number), f"{repo}/main/{number}.txt": b"x"}, message=f"{number}"
        )
    return f"{repo}/main"


def test_a_history_becomes_one_commit(xet: pyxet.XetFS, repo: str, main: str) -> None:
    xet.make_branch(repo, "main", "kept")
    names = xet.find(main)
    made = xet.squash(main, "All of it\n\nfrom the beginning")
    assert [commit.id for commit in xet.log(main)] == [made.id] == [xet.branch_info(main)["commit"]]
    assert (made.message, made.parents) == ("All of it\n\nfrom the beginning", ())
    assert xet.find(main) == names
    assert xet.cat(f"{main}/a.bin") == made_of(40_002)
    # What other branches have stays, and the branch is written to as before.
    assert len(xet.log(f"{repo}/kept")) == 4
    xet.pipe(f"{main}/new.txt", b"new")
    assert [commit.title for commit in xet.log(main)] == ["Upload new.txt", "All of it"]


def test_what_is_not_squashed(shared_endpoint: LocalEndpoint, xet: pyxet.XetFS, repo: str, main: str) -> None:
    xet.make_tag(repo, "v1")
    before = xet.log(main)
    for path, error in (
        (f"{repo}/v1", NotSupportedError),
        (f"{repo}/{before[1].id}", NotSupportedError),
        (f"{main}@{{1.hour.ago}}", NotSupportedError),
        (f"{repo}/nowhere", RevisionNotFoundError),
        (f"{main}/a.bin", XetURLError),
        (repo, XetURLError),
    ):
        with pytest.raises(error):
            xet.squash(path)
    guest = pyxet.XetFS(shared_endpoint.url, "guest", shared_endpoint.add_token("guest"))
    with pytest.raises(AccessDeniedError):
        guest.squash(main)
    assert xet.log(main) == before


def test_large_files_of_all_commits(xet: pyxet.XetFS, repo: str, main: str) -> None:
    xet.pipe(f"{main}/d/b.bin", made_of(70_000))
    found = xet.list_lfs_files(repo)
    assert sorted((file.path, file.size) for file in found) == [
        ("a.bin", 40_000), ("a.bin", 40_001), ("a.bin", 40_002), ("d/b.bin", 70_000),
    ]  # fmt: skip
    assert {file.sha256 for file in found} >= {xet.info(f"{main}/{name}")["sha256"] for name in ("a.bin", "d/b.bin")}
    assert all(file.ref == "refs/heads/main" and file.pushed.tzinfo is not None for file in found)
    xet.squash(main)
    assert sorted(file.size for file in xet.list_lfs_files(repo)) == [40_002, 70_000]


def test_in_a_terminal(cli: Cli, xet: pyxet.XetFS, repo: str, main: str) -> None:
    assert len(cli("repo", "lfs-files", repo).lines) == 3
    assert {file["path"] for file in cli("repo", "lfs-files", repo, "--json").json} == {"a.bin"}
    assert "--yes" in cli("repo", "squash", repo, "main", code=1).err
    cli("repo", "squash", repo, "main", "-m", "One", "--yes")
    assert [commit.title for commit in xet.log(main)] == ["One"]
    xet.pipe(f"{main}/b.txt", b"b")
    cli("repo", "squash", main, "--yes")
    assert [commit.title for commit in xet.log(main)] == ["Squash main"]
