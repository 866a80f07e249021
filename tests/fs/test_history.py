"""History as it is found: commits that come one by one, and what differs between two of them."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Iterator
from contextlib import aclosing
from itertools import islice
from pathlib import Path

import pytest
from support.faults import FaultProxy, answer
from support.proxied import proxied

import pyxet
from pyxet import PathChange, RepositoryNotFoundError, RevisionNotFoundError, ServerError, XetURLError
from pyxet.testing import LocalEndpoint

NOISE = random.Random(__name__).randbytes(300_000)


@pytest.fixture
def through(shared_endpoint: LocalEndpoint) -> Iterator[tuple[FaultProxy, pyxet.XetFS]]:
    with proxied(shared_endpoint, listings_expiry_time=3600) as found:
        yield found


def listed(fs: pyxet.XetFS, repo: str, old: str, new: str) -> list[tuple[str, str, int | None, int | None]]:
    return [(change.kind, change.path, change.old_size, change.new_size) for change in fs.diff(repo, old, new)]


# -- commits -----------------------------------------------------------------------------------------------------------


def test_commits_come_as_they_are_found(through: tuple[FaultProxy, pyxet.XetFS], main: str) -> None:
    proxy, fs = through
    for number in range(60):
        fs.pipe_file(f"{main}/x", str(number).encode(), message=f"number {number}")
    proxy.clear()
    commits = fs.iter_log(main)
    assert [commit.title for commit in islice(commits, 3)] == ["number 59", "number 58", "number 57"]
    assert proxy.count(r"GET /api/.*/commits/") == 1
    assert len(list(commits)) == 58
    assert proxy.count(r"GET /api/.*/commits/") == 2
    assert list(fs.iter_log(main)) == fs.log(main)
    assert [commit.title for commit in fs.iter_log(f"{main}/x")] == [f"number {number}" for number in range(59, -1, -1)]


def test_a_path_is_looked_up_in_several_commits_at_once_but_not_in_more_than_it_takes(
    through: tuple[FaultProxy, pyxet.XetFS], main: str
) -> None:
    proxy, fs = through
    fs.pipe_file(f"{main}/old", b"old", message="long ago")
    for number in range(30):
        fs.pipe_file(f"{main}/x", str(number).encode())
    proxy.clear()
    found = fs.iter_log(f"{main}/x")
    next(found)
    assert proxy.count(r"POST /api/.*/paths-info/") == 2
    assert [commit.title for commit in fs.iter_log(f"{main}/old")] == ["long ago"]
    # Each commit once.
    assert proxy.count(r"POST /api/.*/paths-info/") == 2 + 32


def test_the_log_of_what_is_not_there(xet: pyxet.XetFS, repo: str, main: str) -> None:
    assert list(xet.iter_log(f"{main}/nope")) == []
    for missing in (f"{repo}-nope", f"{repo}/nope", f"{repo}/nope/x"):
        with pytest.raises((RepositoryNotFoundError, RevisionNotFoundError)):
            next(xet.iter_log(missing))
    with pytest.raises(XetURLError):
        next(xet.iter_log("acme"))


async def test_commits_awaited(shared_endpoint: LocalEndpoint, xet: pyxet.XetFS, main: str) -> None:
    xet.pipe_file(f"{main}/x", b"x")
    async with pyxet.AsyncXetFileSystem(
        shared_endpoint.url, "acme", shared_endpoint.token, asynchronous=True
    ) as fs:  # fmt: skip
        async with aclosing(fs._iter_log(f"{main}/x")) as commits:
            assert [commit.title async for commit in commits] == ["Upload x"]
        assert [change.path async for change in fs._diff(main.rpartition("/")[0], "main@{now}", "main")] == []


# -- differences -------------------------------------------------------------------------------------------------------


def test_differences(xet: pyxet.XetFS, repo: str, main: str) -> None:
    xet.pipe(
        {f"{main}/{path}": data for path, data in {
            "a": b"1", "b/x": b"1", "b/y": b"1", "c/d/e/deep": b"1", "gone/1": b"1", "gone/2": b"22", "same/x": b"1",
            "to-folder": b"1", "to-file/x": b"1", "big.bin": NOISE, "z": b"1",
        }.items()}
    )  # fmt: skip
    xet.make_tag(repo, "before")
    with xet.transaction:
        xet.rm([f"{main}/gone", f"{main}/to-file", f"{main}/z"], recursive=True)
        xet.rm(f"{main}/to-folder")
        xet.pipe(
            {f"{main}/{path}": data for path, data in {
                "a": b"22", "b/y": b"2", "c/d/e/deep": b"333", "new/1": b"1", "new/2/3": b"1", "to-folder/x": b"1",
                "to-file": b"1", "big.bin": NOISE[:200_000], "b/n": b"",
            }.items()}
        )  # fmt: skip
        # What is not committed is in no revision.
        assert listed(xet, repo, "before", "main") == []
    found = listed(xet, repo, "before", "main")
    assert found == [
        ("changed", "a", 1, 2), ("added", "b/n", None, 0), ("changed", "b/y", 1, 1), ("changed", "big.bin", 300_000, 200_000),
        ("changed", "c/d/e/deep", 1, 3), ("removed", "gone/1", 1, None), ("removed", "gone/2", 2, None),
        ("added", "new/1", None, 1), ("added", "new/2/3", None, 1), ("removed", "to-file/x", 1, None),
        ("added", "to-file", None, 1), ("removed", "to-folder", 1, None), ("added", "to-folder/x", None, 1),
        ("removed", "z", 1, None),
    ]  # fmt: skip
    other = {"added": "removed", "removed": "added", "changed": "changed"}
    back = listed(xet, repo, "main", "before")
    assert sorted((other[kind], path, new, old) for kind, path, old, new in back) == sorted(found)
    change = next(change for change in xet.diff(f"xet://{repo}", "before", "main@{now}") if change.path == "a")
    blobs = [xet.info(f"{repo}/{revision}/a")["blob_id"] for revision in ("before", "main")]
    assert change == PathChange("a", "changed", 1, 2, *blobs)


def test_differences_are_those_of_git(
    shared_endpoint: LocalEndpoint, xet: pyxet.XetFS, repo: str, main: str
) -> None:  # fmt: skip
    source = random.Random(5)
    names = [f"{a}/{b}/{c}" for a in "pqr" for b in "st" for c in "uvwx"] + [f"{a}.{n}" for a in "pq" for n in range(8)]
    for _ in range(4):
        gone = [name for name in source.sample(names, 8) if xet.exists(f"{main}/{name}")]
        with xet.transaction:
            if gone:
                xet.rm([f"{main}/{name}" for name in gone])
            xet.pipe({f"{main}/{name}": source.randbytes(3).hex().encode() for name in source.sample(names, 12)})
    commits = [commit.id for commit in xet.log(main)]
    bare: Path = shared_endpoint.root / "repos" / "models" / f"{repo}.git"
    letters = {"A": "added", "D": "removed", "M": "changed"}
    for old in commits:
        for new in commits:
            command = ["git", "-C", str(bare), "diff", "--no-renames", "--name-status", old, new]
            lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
            expected = {(letters[line.split("\t")[0]], line.split("\t")[1]) for line in lines}
            assert {(kind, path) for kind, path, *_ in listed(xet, repo, old, new)} == expected


def test_what_is_the_same_is_not_looked_at(through: tuple[FaultProxy, pyxet.XetFS], repo: str, main: str) -> None:
    proxy, fs = through
    fs.pipe(
        {f"{main}/{folder}/{number}": f"{folder}{number}".encode() for folder in "abcdefgh" for number in range(20)}
    )
    fs.make_tag(repo, "before")
    fs.pipe_file(f"{main}/d/7", b"changed")
    fs.info(f"{repo}/before")
    fs.info(main)
    proxy.clear()
    assert listed(fs, repo, "before", "main") == [("changed", "d/7", 2, 7)]
    assert proxy.count("GET /api/.*/tree/") == 4
    proxy.clear()
    assert listed(fs, repo, "main", "main@{now}") == []
    assert proxy.count("GET /api/.*/tree/") == 0


def test_folders_of_many_pages(xet: pyxet.XetFS, repo: str, main: str) -> None:
    xet.pipe({f"{main}/d/{number:05}": b"1" for number in range(2500)})
    xet.make_branch(repo, "main", "other")
    with xet.transaction:
        xet.rm([f"{main}/d/{number:05}" for number in range(0, 2500, 500)])
        xet.pipe({f"{main}/d/{number:05}x": b"1" for number in range(0, 2500, 400)})
        xet.pipe_file(f"{main}/d/01234", b"22")
    found = listed(xet, repo, "other", "main")
    assert [path for kind, path, *_ in found if kind == "removed"] == [
        f"d/{number:05}" for number in range(0, 2500, 500)
    ]
    assert [path for kind, path, *_ in found if kind == "added"] == [
        f"d/{number:05}x" for number in range(0, 2500, 400)
    ]
    assert [path for kind, path, *_ in found if kind == "changed"] == ["d/01234"]
    assert [path for _, path, *_ in found] == sorted(path for _, path, *_ in found)


def test_a_listing_that_fails_is_no_difference(through: tuple[FaultProxy, pyxet.XetFS], repo: str, main: str) -> None:
    proxy, fs = through
    fs.pipe({f"{main}/{folder}/x": b"1" for folder in "abc"})
    fs.make_tag(repo, "before")
    fs.pipe({f"{main}/{folder}/x": b"2" for folder in "abc"})
    proxy.rule(r"GET /api/.*/tree/.*/b", answer(500))
    changes = fs.diff(repo, "before", "main")
    assert next(changes).path == "a/x"
    with pytest.raises(ServerError):
        list(changes)


def test_revisions_that_are_not_there(xet: pyxet.XetFS, repo: str) -> None:
    for old, new in (("main", "nope"), ("nope", "main"), ("main@{2001-01-01}", "main")):
        with pytest.raises(RevisionNotFoundError):
            next(xet.diff(repo, old, new))
    with pytest.raises(RepositoryNotFoundError):
        next(xet.diff(f"{repo}-nope", "main", "main"))
    with pytest.raises(XetURLError):
        next(xet.diff(f"{repo}/main", "main", "main"))
