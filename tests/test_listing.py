"""What is where: info, listings and searches at every level; and errors, which never read as "not there"."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import fsspec
import pytest
from _faults import FaultProxy, answer, no_answer, silent
from _proxied import proxied
from fsspec.core import url_to_fs

import pyxet
from pyxet import (
    AccessDeniedError,
    AuthenticationError,
    ConnectionFailedError,
    NotFoundError,
    NotSupportedError,
    RateLimitedError,
    RequestTimeoutError,
    ServerError,
    Timeouts,
    XetURLError,
)
from pyxet.testing import LocalEndpoint

MANY = 2100


@pytest.fixture
def tree(xet: pyxet.XetFS, main: str) -> str:
    xet.pipe({
        f"{main}/top.txt": b"top",
        f"{main}/data/a.csv": b"1,2",
        f"{main}/data/b.csv": b"3,4,5",
        f"{main}/data/deep/er/c.bin": random.Random(1).randbytes(100_000),
    })  # fmt: skip
    return main


@pytest.fixture(scope="module")
def many(shared_endpoint: LocalEndpoint) -> str:
    """A branch with more files than fit on two pages of a listing."""
    fs = pyxet.XetFS(shared_endpoint.url, shared_endpoint.user, shared_endpoint.token)
    fs.make_repo("acme/many", exist_ok=True)
    fs.pipe({f"acme/many/main/d{number % 2}/{number:04}": b"x" for number in range(MANY)})
    return "acme/many/main"


@pytest.fixture
def through(shared_endpoint: LocalEndpoint) -> Iterator[tuple[FaultProxy, pyxet.XetFS]]:
    with proxied(shared_endpoint) as found:
        yield found


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
    large = random.Random(2).randbytes(100_000)
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


def test_ls_at_every_level(xet: pyxet.XetFS, repo: str, tree: str) -> None:
    assert ("acme", "owner") in [(info["name"], info["kind"]) for info in xet.ls("")]
    repos = {info["name"]: info for info in xet.ls("acme")}
    assert repos[repo]["kind"] == "repo"
    assert [(info["name"], info["kind"]) for info in xet.ls(repo)] == [(tree, "branch")]
    assert xet.ls(tree, detail=False) == [f"{tree}/data", f"{tree}/top.txt"]
    assert xet.ls(f"{tree}/data", detail=False) == [f"{tree}/data/{name}" for name in ("a.csv", "b.csv", "deep")]
    assert xet.ls(f"{tree}/top.txt", detail=False) == [f"{tree}/top.txt"]
    empty = f"{repo}-empty"
    xet.make_repo(empty)
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
    assert xet.cat(f"{repo}/*/top.txt") == {f"{tree}/top.txt": b"top"}
    assert xet.expand_path(f"{tree}/data", recursive=True, maxdepth=1) == [
        f"{tree}/data", f"{tree}/data/a.csv", f"{tree}/data/b.csv", f"{tree}/data/deep",
    ]  # fmt: skip


def test_a_path_is_the_same_however_it_is_written(xet: pyxet.XetFS, shared_endpoint: LocalEndpoint, repo: str) -> None:
    xet.make_branch(repo, "main", "refs/x1")
    xet.pipe_file(f"{repo}/refs%2fx%31/a.csv", b"1")
    place = shared_endpoint.url.removeprefix("http://")
    name = f"{repo}/refs%2Fx1/a.csv"
    for folder in (f"{repo}/refs%2fx%31", f"models/{repo}/refs%2Fx1", f"xet://{place}:{repo}/refs%2fx1"):
        assert xet.glob(f"{folder}/*.csv") == xet.find(folder) == xet.ls(folder, detail=False) == [name]
        assert xet.cat(f"{folder}/*.csv") == {name: b"1"}
        assert xet.cat(f"{folder}/a.csv") == b"1"
        assert xet.info(f"{folder}/a.csv")["name"] == xet._strip_protocol(f"{folder}/a.csv") == name
    assert xet.ls(repo, detail=False) == [f"{repo}/main", f"{repo}/refs%2Fx1"]
    # Inside the repository a percent sign is a percent sign.
    xet.pipe_file(f"{repo}/main/50%25.txt", b"")
    assert xet.find(f"{repo}/main") == [f"{repo}/main/50%25.txt"]


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


# -- grammar, endpoints ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "wrong", "form"),
    [
        ("acme//main/x", "part 2 is empty", "owner/repo/branch/path"),
        ("acme/r/main/../x", "'..'", "owner/repo/branch/path"),
        ("ac me/r", "'ac me' is not a valid owner", "owner/repo/branch/path"),
        ("acme/r/-x/y", "'-x' is not a valid branch", "owner/repo/branch/path"),
        ("s3://acme/r", "scheme 's3'", "xet://"),
        ("xet://ho st:acme/r", "'ho st' is not a host", "xet://[endpoint:]"),
        ("xet://localhost:8787/acme/r", "colon is missing", "xet://localhost:8787:owner"),
        ("acme/r/main@{someday}/x", "@{someday}", "2026-11-01"),
    ],
)
def test_errors_name_what_is_wrong_and_what_was_expected(xet: pyxet.XetFS, url: str, wrong: str, form: str) -> None:
    with pytest.raises(XetURLError) as caught:
        xet.info(url)
    assert wrong in str(caught.value)
    assert form in str(caught.value)


def test_a_file_needs_a_path(xet: pyxet.XetFS, main: str) -> None:
    for call in (xet.cat_file, xet.open, lambda path: xet.pipe_file(path, b""), lambda path: xet.open(path, "wb")):
        with pytest.raises(XetURLError, match="owner/repo/branch/path"):
            call(main)


FOREIGN = "xet://elsewhere.example:acme/r/main/x"


@pytest.mark.parametrize(
    "call",
    [
        lambda fs, url, tmp: fs.info(url),
        lambda fs, url, tmp: fs.exists(url),
        lambda fs, url, tmp: fs.isdir(url),
        lambda fs, url, tmp: fs.ls(url),
        lambda fs, url, tmp: fs.find(url),
        lambda fs, url, tmp: list(fs.walk(url)),
        lambda fs, url, tmp: fs.glob(f"{url}*"),
        lambda fs, url, tmp: fs.glob("xet://elsewhere.example:*"),
        lambda fs, url, tmp: fs.expand_path(f"{url}/*"),
        lambda fs, url, tmp: fs.du(url),
        lambda fs, url, tmp: fs.cat(url),
        lambda fs, url, tmp: fs.cat([url]),
        lambda fs, url, tmp: fs.cat_file(url),
        lambda fs, url, tmp: fs.cat_ranges([url], 0, 1, on_error="raise"),
        lambda fs, url, tmp: fs.open(url),
        lambda fs, url, tmp: fs.open(url, "wb"),
        lambda fs, url, tmp: fs.pipe_file(url, b""),
        lambda fs, url, tmp: fs.pipe({url: b""}),
        lambda fs, url, tmp: fs.get_file(url, tmp / "x"),
        lambda fs, url, tmp: fs.get(url, str(tmp / "x")),
        lambda fs, url, tmp: fs.get([url], [str(tmp / "x")]),
        lambda fs, url, tmp: fs.put_file(__file__, url),
        lambda fs, url, tmp: fs.put(__file__, url),
        lambda fs, url, tmp: fs.put([__file__], [url]),
        lambda fs, url, tmp: fs.cp("acme/r/main/y", url),
        lambda fs, url, tmp: fs.cp([url], ["acme/r/main/y"]),
        lambda fs, url, tmp: fs.mv(url, "acme/r/main/y"),
        lambda fs, url, tmp: fs.rm(url),
        lambda fs, url, tmp: fs.rm(f"{url}*"),
        lambda fs, url, tmp: fs.rm_file(url),
        lambda fs, url, tmp: fs.mkdir(url),
        lambda fs, url, tmp: fs.touch(url),
        lambda fs, url, tmp: fs.log(url),
        lambda fs, url, tmp: fs.modified(url),
        lambda fs, url, tmp: fs.created(url),
        lambda fs, url, tmp: fs.ukey(url),
        lambda fs, url, tmp: fs.make_repo("xet://elsewhere.example:acme/new"),
        lambda fs, url, tmp: fs.delete_repo("xet://elsewhere.example:acme/many"),
        lambda fs, url, tmp: fs.list_branches("xet://elsewhere.example:acme/many"),
        lambda fs, url, tmp: fs.list_repos("xet://elsewhere.example:acme"),
    ],
)
def test_a_url_of_another_endpoint_makes_no_request(
    through: tuple[FaultProxy, pyxet.XetFS], tmp_path: Path, call: Any
) -> None:
    proxy, fs = through
    with pytest.raises(XetURLError, match=r"another endpoint|elsewhere"):
        call(fs, FOREIGN, tmp_path)
    assert proxy.seen == []


def test_buckets_are_understood_and_not_supported(xet: pyxet.XetFS) -> None:
    for path in ("buckets/acme/b/x.bin", "buckets/acme/b", "buckets"):
        with pytest.raises(NotSupportedError, match="buckets"):
            xet.ls(path)


def test_urls_with_an_endpoint(
    xet: pyxet.XetFS, shared_endpoint: LocalEndpoint, tree: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = shared_endpoint.url.removeprefix("http://")
    url = f"xet://{place}:{tree}/top.txt"
    assert xet.unstrip_protocol(f"{tree}/top.txt") == url
    assert xet._strip_protocol(url) == f"{tree}/top.txt"
    assert xet.cat(url) == b"top"
    access = {"user": shared_endpoint.user, "token": shared_endpoint.token}
    with fsspec.open(url, "rt", **access) as file:
        assert file.read() == "top"
    with xet.open(url, "rt", encoding="ascii") as file:
        assert file.read() == "top"
    # An endpoint that is given as well must be the same.
    for given in (shared_endpoint.url, place):
        fs, path = url_to_fs(url, endpoint=given, **access)
        assert (fs.endpoint, path) == (shared_endpoint.url, f"{tree}/top.txt")
    with pytest.raises(XetURLError, match="another endpoint"):
        fsspec.open(url, endpoint="elsewhere.example", **access).open()
    # Without one in the URL, it is that of the environment.
    monkeypatch.setenv("XET_ENDPOINT", shared_endpoint.url)
    monkeypatch.setenv("XET_USER_TOKEN", shared_endpoint.token)
    assert pyxet.open(f"xet://{tree}/top.txt").read() == b"top"
    monkeypatch.delenv("XET_ENDPOINT")
    pyxet.login(shared_endpoint.user, shared_endpoint.token, host=place)
    try:
        with pyxet.open(url) as file:
            assert file.read() == b"top"
    finally:
        pyxet.logout()


def test_urls_do_not_tell_http_from_https() -> None:
    fs = pyxet.XetFS("http://hub.internal:8080")
    url = fs.unstrip_protocol("acme/r/main/x")
    assert url == "xet://hub.internal:8080:acme/r/main/x"
    assert fs.parse(url).full_path == "acme/r/main/x"
    assert pyxet.XetFS("https://huggingface.co").unstrip_protocol("acme/r") == "xet://acme/r"
    assert pyxet.XetFS("file:///tmp/xet-nowhere").unstrip_protocol("acme/r") == "xet://acme/r"


@pytest.mark.parametrize("kind", ["datasets", "spaces"])
def test_other_kinds_of_repositories(xet: pyxet.XetFS, repo: str, kind: str) -> None:
    name = f"{kind}/{repo}"
    xet.make_repo(name)
    xet.pipe_file(f"{name}/main/d/x.bin", b"\xff" * 1000)
    assert xet.cat(f"xet://{name}/main/d/x.bin") == b"\xff" * 1000
    assert xet.find(name) == [f"{name}/main/d/x.bin"]
    assert name in xet.ls(f"{kind}/acme", detail=False)
    assert name in xet.list_repos(f"{kind}/acme")
    assert repo not in xet.ls(f"{kind}/acme", detail=False)
    assert f"{kind}/acme" in xet.ls(kind, detail=False)
    assert xet.info(f"{name}/main/d")["name"] == f"{name}/main/d"
    assert xet.find(f"{repo}/main") == []


# -- revisions ---------------------------------------------------------------------------------------------------------


def test_reading_from_every_kind_of_revision(xet: pyxet.XetFS, repo: str, main: str) -> None:
    xet.pipe_file(f"{main}/x", b"one")
    first = xet.info(main)["commit"]
    xet.make_tag(repo, "v1")
    xet.pipe_file(f"{main}/x", b"two")
    second = xet.info(main)["commit"]
    for revision in ("v1", first, first[:7], first[:12], first.upper()[:9]):
        assert xet.cat(f"{repo}/{revision}/x") == b"one", revision
        assert xet.info(f"{repo}/{revision}/x")["commit"] == first
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).date()
    for revision in (second[:7], f"main@{{{tomorrow}}}", "main@{now}"):
        assert xet.cat(f"{repo}/{revision}/x") == b"two", revision
        assert xet.find(f"{repo}/{revision}") == [f"{repo}/{revision}/x"]
    for revision in ("main@{2001-01-01}", "main@{5.minutes.ago}", "0000000", "0" * 40):
        with pytest.raises(NotFoundError):
            xet.cat(f"{repo}/{revision}/x")
        assert not xet.exists(f"{repo}/{revision}/x")


def test_a_short_commit_where_the_endpoint_knows_whole_ones_only(
    through: tuple[FaultProxy, pyxet.XetFS], repo: str, main: str
) -> None:
    proxy, fs = through
    fs.pipe_file(f"{main}/x", b"one")
    commit = fs.info(main)["commit"]
    proxy.rule(rf"GET /api/models/{repo}/revision/{commit[:8]}$", answer(404, X_Error_Code="RevisionNotFound"))
    proxy.rule(rf"POST /api/models/{repo}/paths-info/{commit[:8]}$", answer(404, X_Error_Code="RevisionNotFound"))
    assert fs.cat(f"{repo}/{commit[:8]}/x") == b"one"


# -- errors are never "not there" --------------------------------------------------------------------------------------

OPERATIONS: dict[str, Any] = {
    "exists": lambda fs, tree, tmp: fs.exists(f"{tree}/data/a.csv"),
    "exists branch": lambda fs, tree, tmp: fs.exists(tree),
    "exists owner": lambda fs, tree, tmp: fs.exists("acme"),
    "lexists": lambda fs, tree, tmp: fs.lexists(f"{tree}/data"),
    "isfile": lambda fs, tree, tmp: fs.isfile(f"{tree}/data/a.csv"),
    "isdir": lambda fs, tree, tmp: fs.isdir(f"{tree}/data"),
    "isdir_or_branch": lambda fs, tree, tmp: fs.isdir_or_branch(tree),
    "is_repo": lambda fs, tree, tmp: fs.is_repo(tree.rpartition("/")[0]),
    "branch_exists": lambda fs, tree, tmp: fs.branch_exists(tree.rpartition("/")[0], "main"),
    "info": lambda fs, tree, tmp: fs.info(f"{tree}/data/a.csv"),
    "ls": lambda fs, tree, tmp: fs.ls(f"{tree}/data"),
    "ls repos": lambda fs, tree, tmp: fs.ls("acme"),
    "find": lambda fs, tree, tmp: fs.find(tree),
    "find above": lambda fs, tree, tmp: fs.find(tree.rpartition("/")[0]),
    "walk": lambda fs, tree, tmp: list(fs.walk(tree)),
    "fsspec.walk": lambda fs, tree, tmp: list(fsspec.AbstractFileSystem.walk(fs, tree, on_error="raise")),
    "glob": lambda fs, tree, tmp: fs.glob(f"{tree}/data/*.csv"),
    "du": lambda fs, tree, tmp: fs.du(tree),
    "sizes": lambda fs, tree, tmp: fs.sizes([f"{tree}/top.txt"]),
    "cat": lambda fs, tree, tmp: fs.cat(f"{tree}/data", recursive=True),
    "cat_ranges": lambda fs, tree, tmp: fs.cat_ranges([f"{tree}/top.txt"], 0, 1, on_error="raise"),
    "get": lambda fs, tree, tmp: fs.get(f"{tree}/data", str(tmp), recursive=True),
    "get_file": lambda fs, tree, tmp: fs.get_file(f"{tree}/data", str(tmp)),
    "put": lambda fs, tree, tmp: fs.put(__file__, f"{tree}/data/"),
    "cp": lambda fs, tree, tmp: fs.cp(f"{tree}/data", f"{tree}/copy", recursive=True),
    "mv": lambda fs, tree, tmp: fs.mv(f"{tree}/data", f"{tree}/moved", recursive=True),
    "rm": lambda fs, tree, tmp: fs.rm(f"{tree}/data", recursive=True),
    "touch": lambda fs, tree, tmp: fs.touch(f"{tree}/top.txt", truncate=False),
    "xb": lambda fs, tree, tmp: fs.open(f"{tree}/top.txt", "xb"),
    "ab": lambda fs, tree, tmp: fs.open(f"{tree}/top.txt", "ab"),
}
FAULTS: dict[str, tuple[Any, type[Exception]]] = {
    "401": (answer(401), AuthenticationError),
    "403": (answer(403), AccessDeniedError),
    "429": (answer(429), RateLimitedError),
    "500": (answer(500), ServerError),
    "503": (answer(503), ServerError),
    "silence": (silent(), RequestTimeoutError),
    "no answer": (no_answer(), ConnectionFailedError),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_an_error_is_never_not_there(
    shared_endpoint: LocalEndpoint, xet: pyxet.XetFS, tree: str, tmp_path: Path, fault: str
) -> None:
    act, expected = FAULTS[fault]
    before = xet.log(tree)
    once = pyxet.RetryPolicy(attempts=1)
    timeouts = Timeouts(connect=0.02, response=0.02) if fault == "silence" else None
    with proxied(shared_endpoint, retry=once, timeouts=timeouts) as (proxy, fs):
        proxy.rule(r"\w+ /api/", act)
        for name, operation in OPERATIONS.items():
            target = tmp_path / name.replace(" ", "-")
            with pytest.raises(expected):
                operation(fs, tree, target)
            assert not target.exists(), name
    xet.invalidate_cache()
    assert xet.log(tree) == before


@pytest.mark.parametrize("status", [401, 403, 404])
def test_the_code_outranks_the_status(through: tuple[FaultProxy, pyxet.XetFS], tree: str, status: int) -> None:
    proxy, fs = through
    proxy.rule(r"\w+ /api/", answer(status, X_Error_Code="RepoNotFound"))
    assert not fs.exists(f"{tree}/top.txt")
    assert fs.find(tree) == []


@pytest.mark.parametrize("act", [answer(500), answer(403), answer(404), no_answer()])
def test_a_page_that_fails_in_the_middle(
    through: tuple[FaultProxy, pyxet.XetFS], xet: pyxet.XetFS, many: str, tmp_path: Path, act: Any
) -> None:
    proxy, fs = through
    before = xet.log(many)
    rule = proxy.rule(r"GET /api/models/acme/many/tree/", act, skip=1)
    target = tmp_path / "got"
    for operation in (
        lambda: fs.find(many),
        lambda: list(fs.walk(many)),
        lambda: fs.glob(f"{many}/**/*1"),
        lambda: fs.du(many),
        lambda: fs.cat(f"{many}/*/*"),
        lambda: fs.get(many, str(target), recursive=True),
        lambda: fs.cp(many, f"{many}/copy", recursive=True),
        lambda: fs.mv(f"{many}/d1", f"{many}/moved", recursive=True),
        lambda: fs.rm(f"{many}/*", recursive=True),
    ):
        # Each begins anew: the first page comes, the second does not.
        rule.used = 0
        fs.invalidate_cache()
        with pytest.raises(OSError):
            operation()
    assert not target.exists()
    assert xet.log(many) == before


# -- requests ----------------------------------------------------------------------------------------------------------


def test_one_request_for_each_thousand_entries(through: tuple[FaultProxy, pyxet.XetFS], many: str) -> None:
    proxy, fs = through
    proxy.clear()
    assert len(fs.find(many)) == MANY
    # The commit, and three pages.
    assert len(proxy.seen) == 4
    proxy.clear()
    assert len(list(fs.walk(many))) == 3
    assert len(proxy.seen) <= 4
    proxy.clear()
    assert len(fs.sizes([f"{many}/d{number % 2}/{number:04}" for number in range(1200)])) == 1200
    assert len(proxy.seen) <= 1


def test_many_lookups_are_batched(through: tuple[FaultProxy, pyxet.XetFS], many: str) -> None:
    proxy, fs = through
    proxy.clear()
    assert set(fs.sizes([f"{many}/d{number % 2}/{number:04}" for number in range(1200)])) == {1}
    # The commit, and three batches of 500.
    assert len(proxy.seen) == 4


def test_a_cold_ls_takes_two_requests(through: tuple[FaultProxy, pyxet.XetFS], tree: str) -> None:
    proxy, fs = through
    fs.ls(f"{tree}/data")
    assert len(proxy.seen) == 2
    fs.info(f"{tree}/data/a.csv")
    assert not fs.exists(f"{tree}/data/nope")
    assert len(proxy.seen) == 2


# -- without a token ---------------------------------------------------------------------------------------------------


def test_without_a_token(shared_endpoint: LocalEndpoint, tree: str) -> None:
    fs = pyxet.XetFS(shared_endpoint.url, token="")
    assert fs.cat(f"{tree}/top.txt") == b"top"
    assert not fs.exists("nobody-at-all")
    with pytest.raises(AuthenticationError):
        fs.ls("")


def test_what_is_not_there_cannot_be_expanded(xet: pyxet.XetFS, main: str) -> None:
    for call in (xet.rm, xet.cat):
        with pytest.raises(NotFoundError, match=f"there is nothing at {main}/gone"):
            call(f"{main}/gone", recursive=True)


def test_the_name_of_one_file_to_delete_is_no_pattern(xet: pyxet.XetFS, main: str) -> None:
    xet.pipe({f"{main}/{name}": b"x" for name in ("a*", "ab", "d/[x]", "d/x")})
    xet.rm_file(f"{main}/a*", message="only that one")
    xet.rm_file(f"{main}/d/[x]")
    assert xet.find(main) == [f"{main}/ab", f"{main}/d/x"]
    assert xet.log(main)[1].message == "only that one"
    with pytest.raises(NotFoundError):
        xet.rm_file(f"{main}/?b")
    with pytest.raises(IsADirectoryError):
        xet.rm_file(f"{main}/d")
    with pytest.raises(NotSupportedError, match="delete_branch"):
        xet.rm_file(main)
    with xet.transaction:
        xet.pipe_file(f"{main}/new", b"x")
        xet.rm_file(f"{main}/new")
    assert len(xet.find(main)) == 2
