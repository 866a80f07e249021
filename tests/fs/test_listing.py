"""What is where: info, listings and searches at every level, and how many requests they take."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from support.faults import FaultProxy
from support.proxied import proxied
from support.raw_client import RawClient

import pyxet
from pyxet import NotFoundError
from pyxet.testing import LocalEndpoint

# -- info --------------------------------------------------------------------------------------------------------------


def test_info_of_a_file_tells_all_that_is_known(xet: pyxet.XetFS, tree: str) -> None:
    info = xet.info(f"{tree}/data/deep/er/c.bin", expand=True)
    assert (info["name"], info["size"], info["type"]) == (f"{tree}/data/deep/er/c.bin", 100_000, "file")
    assert len(info["xet_hash"]) == len(info["sha256"]) == 64
    assert len(info["blob_id"]) == len(info["commit"]) == 40
    assert info["commit"] == xet.log(tree, limit=1)[0].id
    assert datetime.now(UTC) - info["last_modified"] < timedelta(minutes=5)


def test_info_of_a_regular_file_has_no_xet_hash(xet: pyxet.XetFS, tree: str) -> None:
    info = xet.info(f"{tree}/top.txt")
    assert info["size"] == 3
    assert not {"xet_hash", "sha256", "last_modified"} & info.keys()


def test_info_of_what_is_above_files(xet: pyxet.XetFS, repo: str, tree: str) -> None:
    head = xet.branch_info(repo, "main")["commit"]
    kinds = {path: xet.info(path)["kind"] for path in ("", "acme", repo, tree, f"{tree}/data")}
    assert kinds == {"": "root", "acme": "owner", repo: "repo", tree: "branch", f"{tree}/data": "directory"}
    assert {xet.info(path)["type"] for path in kinds} == {"directory"}
    assert {xet.info(path)["commit"] for path in (repo, tree, f"{tree}/data")} == {head}
    assert xet.info("acme/")["name"] == "acme"


@pytest.mark.parametrize("path", ["nobody", "acme/nothing", "{repo}/nowhere", "{tree}/nope", "{tree}/top.txt/x"])
def test_what_is_not_there(xet: pyxet.XetFS, repo: str, tree: str, path: str) -> None:
    path = path.format(repo=repo, tree=tree)
    for look in (xet.info, xet.ls):
        with pytest.raises(NotFoundError):
            look(path)
    assert (xet.exists(path), xet.lexists(path), xet.isfile(path), xet.isdir(path)) == (False, False, False, False)
    assert xet.find(path) == []
    assert xet.du(path) == 0
    assert xet.glob(f"{path}/*") == []
    assert list(xet.walk(path)) == [(path, [], [])]
    with pytest.raises(NotFoundError):
        list(xet.walk(path, on_error="raise"))
    seen: list[Exception] = []
    list(xet.walk(path, on_error=seen.append))
    assert isinstance(seen[0], NotFoundError)


def test_sizes_keys_and_checksums(xet: pyxet.XetFS, tree: str) -> None:
    names = [f"{tree}/data/b.csv", f"{tree}/top.txt"]
    assert xet.sizes(names) == [5, 3]
    assert xet.size(names[0]) == 5
    with pytest.raises(NotFoundError):
        xet.sizes([*names, f"{tree}/nope"])
    key, number = xet.ukey(names[1]), xet.checksum(names[1])
    xet.cp(names[1], f"{tree}/copy.txt")
    assert xet.ukey(names[1]) == key != xet.ukey(f"{tree}/copy.txt")
    assert xet.checksum(f"{tree}/copy.txt") == number
    xet.pipe_file(names[1], b"other")
    assert xet.ukey(names[1]) != key
    assert xet.checksum(names[1]) != number


def test_keys_and_checksums_of_pending_content(xet: pyxet.XetFS, tree: str) -> None:
    large = os.urandom(100_000)
    with xet.transaction:
        keys, numbers = set(), {}
        for content in (b"1", b"2", large, large[::-1]):
            xet.pipe_file(f"{tree}/x", content)
            keys.add(xet.ukey(f"{tree}/x"))
            numbers[content] = xet.checksum(f"{tree}/x")
        assert len(keys) == len(set(numbers.values())) == 4
        xet.pipe_file(f"{tree}/y", b"2")
        assert xet.checksum(f"{tree}/y") == numbers[b"2"]
        now = datetime.now(UTC)
        assert now <= xet.modified(f"{tree}/y") < now + timedelta(minutes=1)
        assert now <= xet.created(f"{tree}/y") < now + timedelta(minutes=1)
    assert xet.checksum(f"{tree}/y") == numbers[b"2"]


# -- listings ----------------------------------------------------------------------------------------------------------


def test_ls_at_every_level(shared_endpoint: LocalEndpoint, xet: pyxet.XetFS, repo: str, tree: str) -> None:
    assert ("acme", "owner") in [(info["name"], info["kind"]) for info in xet.ls("")]
    repos = {info["name"]: info for info in xet.ls("acme")}
    assert repos[repo]["kind"] == "repo"
    assert [(info["name"], info["kind"]) for info in xet.ls(repo)] == [(tree, "branch")]
    assert xet.ls(tree, detail=False) == [f"{tree}/data", f"{tree}/top.txt"]
    assert xet.ls(f"{tree}/data", detail=False) == [f"{tree}/data/{name}" for name in ("a.csv", "b.csv", "deep")]
    assert xet.ls(f"{tree}/top.txt", detail=False) == [f"{tree}/top.txt"]
    empty = f"{repo}-empty"
    RawClient(shared_endpoint, shared_endpoint.token).make_repo(empty)
    assert xet.ls(f"{empty}/main") == []


def test_find_walk_and_du(xet: pyxet.XetFS, tree: str) -> None:
    files = [f"{tree}/{name}" for name in ("data/a.csv", "data/b.csv", "data/deep/er/c.bin", "top.txt")]
    folders = [tree, *(f"{tree}/{name}" for name in ("data", "data/deep", "data/deep/er"))]
    assert xet.find(tree) == files
    assert xet.find(tree, withdirs=True) == sorted(files + folders)
    assert xet.find(tree, maxdepth=1) == files[-1:]
    assert xet.find(tree, maxdepth=2) == [*files[:2], files[-1]]
    assert xet.find(files[0]) == [files[0]]
    assert xet.find(tree, detail=True)[files[1]]["size"] == 5
    assert xet.du(tree) == 100_011
    assert xet.du(f"{tree}/data", total=False) == dict(zip(files[:3], (3, 5, 100_000), strict=True))
    assert [(path.removeprefix(tree), dirs, names) for path, dirs, names in xet.walk(tree)] == [
        ("", ["data"], ["top.txt"]),
        ("/data", ["deep"], ["a.csv", "b.csv"]),
        ("/data/deep", ["er"], []),
        ("/data/deep/er", [], ["c.bin"]),
    ]
    assert [path for path, _, _ in xet.walk(tree, topdown=False)][-1] == tree
    assert [path for path, _, _ in xet.walk(tree, maxdepth=1)] == [tree]
    assert list(xet.walk(f"{tree}/top.txt")) == [(f"{tree}/top.txt", [], [""])]
    _, _, detailed = next(iter(xet.walk(tree, detail=True)))
    assert detailed["top.txt"]["size"] == 3
    for bad in (xet.find, lambda path, maxdepth: list(xet.walk(path, maxdepth))):
        with pytest.raises(ValueError, match="maxdepth"):
            bad(tree, maxdepth=0)


def test_a_walk_leaves_out_what_its_caller_takes_away(xet: pyxet.XetFS, tree: str) -> None:
    seen = []
    for path, folders, _ in xet.walk(tree):
        seen.append(path)
        if "deep" in folders:
            folders.remove("deep")
    assert seen == [tree, f"{tree}/data"]


def test_find_and_walk_above_branches(xet: pyxet.XetFS, repo: str, tree: str) -> None:
    xet.make_branch(repo, "main", "other")
    assert len(xet.find(repo)) == 8
    assert xet.find(repo, maxdepth=1) == []
    assert xet.find(repo, maxdepth=1, withdirs=True) == [repo, tree, f"{repo}/other"]
    walked = list(xet.walk(repo))
    assert walked[0] == (repo, ["main", "other"], [])
    assert len(walked) == 9


def test_a_walk_stays_on_the_commit_it_began_with(xet: pyxet.XetFS, tree: str) -> None:
    walk = xet.walk(tree, maxdepth=5)
    next(walk)
    xet.rm(f"{tree}/data", recursive=True)
    assert [names for _, _, names in walk] == [["a.csv", "b.csv"], [], ["c.bin"]]


def test_glob(xet: pyxet.XetFS, repo: str, tree: str) -> None:
    assert xet.glob(f"{tree}/data/*.csv") == [f"{tree}/data/a.csv", f"{tree}/data/b.csv"]
    assert xet.glob(f"{tree}/**/*.bin") == [f"{tree}/data/deep/er/c.bin"]
    assert xet.glob(f"{tree}/**", maxdepth=1) == [tree, f"{tree}/data", f"{tree}/top.txt"]
    assert xet.glob(f"{repo}/*") == [tree]
    assert xet.glob(f"{repo}/*/top.txt") == [f"{tree}/top.txt"]
    assert repo in xet.glob("acme/*")
    assert xet.glob(f"{tree}/*/") == [f"{tree}/data"]
    assert xet.glob(f"{tree}/top.txt") == [f"{tree}/top.txt"]
    assert xet.glob(f"{tree}/*.txt", detail=True)[f"{tree}/top.txt"]["size"] == 3
    # In other calls, too, where the owner or the repository is the pattern.
    found: Any = xet.cat(f"{repo}/*/top.txt")
    assert found == {f"{tree}/top.txt": b"top"}
    assert xet.expand_path(f"{tree}/data", recursive=True, maxdepth=1) == [
        f"{tree}/data", f"{tree}/data/a.csv", f"{tree}/data/b.csv", f"{tree}/data/deep",
    ]  # fmt: skip


def test_a_transaction_sees_what_will_be_there(xet: pyxet.XetFS, tree: str) -> None:
    def seen(fs: pyxet.XetFS) -> list[Any]:
        found: list[Any] = [fs.find(tree, withdirs=True), fs.glob(f"{tree}/**"), fs.du(tree, total=False)]
        found += [list(fs.walk(tree)), fs.ls(tree, detail=False), fs.ls(f"{tree}/data", detail=False)]
        found.append([fs.exists(f"{tree}/{name}") for name in ("data/deep", "data/deep/er/c.bin", "new", "data/new/x")])
        return [*found, fs.sizes([f"{tree}/data/a.csv", f"{tree}/data/new/x"])]

    with xet.transaction as transaction:
        xet.rm(f"{tree}/data/deep", recursive=True)
        xet.pipe({f"{tree}/new": b"1", f"{tree}/data/new/x": b"22", f"{tree}/data/a.csv": b"longer"})
        inside = seen(xet)
        assert seen(transaction.fs) == inside
    assert seen(xet) == inside
    assert inside[-2:] == [[False, False, True, True], [6, 2]]


# -- requests ----------------------------------------------------------------------------------------------------------


def test_one_request_for_each_thousand_entries(shared_endpoint: LocalEndpoint, many: str) -> None:
    # However long it takes, the listing is not too old to answer what is asked after it.
    with proxied(shared_endpoint, listings_expiry_time=3600) as (proxy, fs):
        assert len(fs.find(many)) == 2100
        # The commit, and three pages.
        assert len(proxy.seen) == 4
        proxy.clear()
        assert len(list(fs.walk(many))) == 3
        assert len(proxy.seen) <= 3
        proxy.clear()
        assert len(fs.sizes([f"{many}/d{number % 2}/{number:04}" for number in range(1200)])) == 1200
        assert proxy.seen == []


def test_many_lookups_are_batched(through: tuple[FaultProxy, pyxet.XetFS], many: str) -> None:
    proxy, fs = through
    proxy.clear()
    assert set(fs.sizes([f"{many}/d{number % 2}/{number:04}" for number in range(1200)])) == {1}
    # Three batches of 500; the first one tells the commit.
    assert len(proxy.seen) == 3


def test_a_cold_ls_takes_two_requests(shared_endpoint: LocalEndpoint, tree: str) -> None:
    with proxied(shared_endpoint, listings_expiry_time=3600) as (proxy, fs):
        fs.ls(f"{tree}/data")
        assert len(proxy.seen) == 2
        fs.info(f"{tree}/data/a.csv")
        assert fs.exists(f"{tree}/data/b.csv")
        assert len(proxy.seen) == 2
