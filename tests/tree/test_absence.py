"""That something is not there is a claim about now, whatever is remembered of branches; and what that costs."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from support.faults import TOKEN, FaultProxy, answer, changed
from support.proxied import asynchronous, proxied

import pyxet
from pyxet import NotFoundError
from pyxet.testing import LocalEndpoint

# How long branches are remembered here: for the whole test.
NEVER = 1000.0
LOOK = r"POST /api/.*/paths-info/"
HEAD = r"GET /api/.*/revision/"


@pytest.fixture
def slow(shared_endpoint: LocalEndpoint) -> Iterator[tuple[FaultProxy, pyxet.XetFS]]:
    """A file system that would not look at a branch again by itself."""
    with proxied(shared_endpoint, listings_expiry_time=NEVER) as found:
        yield found


async def told(generator: Any) -> list[Any]:
    return [item async for item in generator]


Call = Callable[[Any, str, Path], object]

# Each fails with NotFoundError, or says nothing, where there is no file ``new/x``, and says something where there is one.
CALLS: dict[str, Call] = {
    "exists": lambda fs, main, tmp: fs.exists(f"{main}/new/x"),
    "lexists": lambda fs, main, tmp: fs.lexists(f"{main}/new/x"),
    "exists, folder": lambda fs, main, tmp: fs.exists(f"{main}/new"),
    "isfile": lambda fs, main, tmp: fs.isfile(f"{main}/new/x"),
    "isdir": lambda fs, main, tmp: fs.isdir(f"{main}/new"),
    "info": lambda fs, main, tmp: fs.info(f"{main}/new/x"),
    "info, dates": lambda fs, main, tmp: fs.info(f"{main}/new/x", expand=True),
    "size": lambda fs, main, tmp: fs.size(f"{main}/new/x"),
    "sizes": lambda fs, main, tmp: fs.sizes([f"{main}/new/x"]),
    "modified": lambda fs, main, tmp: fs.modified(f"{main}/new/x"),
    "created": lambda fs, main, tmp: fs.created(f"{main}/new/x"),
    "url": lambda fs, main, tmp: fs.url(f"{main}/new/x"),
    "ukey": lambda fs, main, tmp: fs.ukey(f"{main}/new/x"),
    "checksum": lambda fs, main, tmp: fs.checksum(f"{main}/new/x"),
    "ls": lambda fs, main, tmp: fs.ls(f"{main}/new"),
    "ls, file": lambda fs, main, tmp: fs.ls(f"{main}/new/x"),
    "ls, dates": lambda fs, main, tmp: fs.ls(f"{main}/new", expand=True),
    "find": lambda fs, main, tmp: fs.find(f"{main}/new"),
    "scan": lambda fs, main, tmp: list(fs.scan(f"{main}/new")),
    "walk": lambda fs, main, tmp: [files for _, _, files in fs.walk(f"{main}/new") if files],
    "walk, raising": lambda fs, main, tmp: list(fs.walk(f"{main}/new", on_error="raise")),
    "glob": lambda fs, main, tmp: fs.glob(f"{main}/new/*"),
    "glob, in part": lambda fs, main, tmp: fs.glob(f"{main}/*/x"),
    "glob, a name": lambda fs, main, tmp: fs.glob(f"{main}/new/x"),
    "glob, anywhere": lambda fs, main, tmp: fs.glob(f"{main}/**/x"),
    "du": lambda fs, main, tmp: fs.du(f"{main}/new"),
    "cat": lambda fs, main, tmp: fs.cat(f"{main}/new/x"),
    "cat, list": lambda fs, main, tmp: fs.cat([f"{main}/old", f"{main}/new/x"]),
    "cat, pattern": lambda fs, main, tmp: fs.cat(f"{main}/new/*"),
    "cat, folder": lambda fs, main, tmp: fs.cat(f"{main}/new", recursive=True),
    "cat_file": lambda fs, main, tmp: fs.cat_file(f"{main}/new/x"),
    "cat_file, part": lambda fs, main, tmp: fs.cat_file(f"{main}/new/x", 0, 1),
    "cat_ranges": lambda fs, main, tmp: fs.cat_ranges([f"{main}/new/x"], 0, 1, on_error="raise"),
    "head": lambda fs, main, tmp: fs.head(f"{main}/new/x", 1),
    "read_text": lambda fs, main, tmp: fs.read_text(f"{main}/new/x"),
    "open": lambda fs, main, tmp: fs.open(f"{main}/new/x").read(),
    "get_file": lambda fs, main, tmp: fs.get_file(f"{main}/new/x", io.BytesIO()) or True,
    "get": lambda fs, main, tmp: fs.get(f"{main}/new/x", str(tmp / "x")) or True,
    "get, folder": lambda fs, main, tmp: fs.get(f"{main}/new", str(tmp / "new"), recursive=True) or True,
    "get, pattern": lambda fs, main, tmp: fs.get(f"{main}/new/*", f"{tmp}/new/") or True,
    "get, list": lambda fs, main, tmp: fs.get([f"{main}/old", f"{main}/new/x"], [str(tmp / "1"), str(tmp / "2")]) or True,
    "log": lambda fs, main, tmp: fs.log(f"{main}/new/x"),
    "XetPath": lambda fs, main, tmp: fs.exists(f"xet://{fs.endpoint.removeprefix('http://')}:{main}/new/x"),
    "cp_file": lambda fs, main, tmp: fs.cp_file(f"{main}/new/x", f"{main}/copy") or True,
    "cp": lambda fs, main, tmp: fs.cp(f"{main}/new", f"{main}/copy", recursive=True) or True,
    "mv": lambda fs, main, tmp: fs.mv(f"{main}/new/x", f"{main}/moved") or True,
    "mv, folder": lambda fs, main, tmp: fs.mv(f"{main}/new", f"{main}/moved", recursive=True) or True,
    "rm": lambda fs, main, tmp: fs.rm(f"{main}/new/x") or True,
    "rm, folder": lambda fs, main, tmp: fs.rm(f"{main}/new", recursive=True) or True,
    "rm_file": lambda fs, main, tmp: fs.rm_file(f"{main}/new/x") or True,
}  # fmt: skip


def says(call: Call, fs: Any, main: str, tmp: Path) -> bool:
    """Whether a call says that it is there."""
    try:
        return bool(call(fs, main, tmp))
    except NotFoundError:
        return False


@pytest.mark.parametrize("name", CALLS)
def test_what_others_have_committed_just_now_is_there(
    slow: tuple[FaultProxy, pyxet.XetFS], xet: pyxet.XetFS, main: str, tmp_path: Path, name: str
) -> None:
    proxy, fs = slow
    call = CALLS[name]
    xet.pipe_file(f"{main}/old", b"old")
    assert fs.ls(main, detail=False) == [f"{main}/old"]
    proxy.clear()
    # The branch's commit is known, and that it does not have it.
    assert not says(call, fs, main, tmp_path)
    cost = len(proxy.seen)
    # The history of a path is looked for in each commit.
    assert cost <= (
        9
        if name == "log"
        else 4
        if name in ("cat, list", "get, list")
        else 3
        if name.startswith(("rm", "mv", "cp"))
        else 2
    )
    xet.pipe_file(f"{main}/new/x", b"new")
    assert says(call, fs, main, tmp_path)


@pytest.mark.parametrize("name", [name for name in CALLS if not name.startswith(("cp", "mv", "rm"))])
def test_in_a_transaction_as_well(
    slow: tuple[FaultProxy, pyxet.XetFS], xet: pyxet.XetFS, main: str, tmp_path: Path, name: str
) -> None:
    _, fs = slow
    call = CALLS[name]
    xet.pipe_file(f"{main}/old", b"old")
    with fs.transaction:
        fs.pipe_file(f"{main}/pending", b"pending")
        assert not says(call, fs, main, tmp_path)
        xet.pipe_file(f"{main}/new/x", b"new")
        assert says(call, fs, main, tmp_path)
        assert fs.exists(f"{main}/pending")


def test_what_a_transaction_deletes_is_not_there(
    slow: tuple[FaultProxy, pyxet.XetFS], xet: pyxet.XetFS, main: str
) -> None:
    _, fs = slow
    xet.pipe({f"{main}/d/x": b"1", f"{main}/d/y": b"1"})
    with fs.transaction:
        fs.rm(f"{main}/d", recursive=True)
        xet.pipe_file(f"{main}/d/x", b"2")
        assert not fs.exists(f"{main}/d/x")
        assert not fs.exists(f"{main}/d")


def test_a_file_of_others_is_moved_and_removed_in_a_transaction(
    slow: tuple[FaultProxy, pyxet.XetFS], xet: pyxet.XetFS, fresh: pyxet.XetFS, main: str
) -> None:
    _, fs = slow
    with fs.transaction:
        fs.pipe_file(f"{main}/pending", b"pending")
        xet.pipe({f"{main}/{name}": name.encode() for name in "abc"})
        fs.rm(f"{main}/a")
        fs.mv(f"{main}/b", f"{main}/moved")
        fs.cp_file(f"{main}/c", f"{main}/copy")
    assert fresh.cat(fresh.find(main)) == {
        f"{main}/c": b"c", f"{main}/copy": b"c", f"{main}/moved": b"b", f"{main}/pending": b"pending"
    }  # fmt: skip


@pytest.mark.parametrize("call", ["ls", "find", "glob", "walk", "scan", "du"])
def test_an_empty_branch_is_looked_at_again(
    slow: tuple[FaultProxy, pyxet.XetFS], xet: pyxet.XetFS, main: str, call: str
) -> None:
    proxy, fs = slow
    reads: dict[str, Callable[[], Any]] = {
        "ls": lambda: fs.ls(main, detail=False),
        "find": lambda: fs.find(main),
        "glob": lambda: fs.glob(f"{main}/*"),
        "walk": lambda: [f"{path}/{name}" for path, _, files in fs.walk(main) for name in files],
        "scan": lambda: [info["name"] for page in fs.scan(main) for info in page],
        "du": lambda: [*fs.du(main, total=False)],
    }
    assert fs.ls(main) == []
    proxy.clear()
    assert reads[call]() == []
    # At most the listing, and one question more.
    assert len(proxy.seen) <= 3
    assert proxy.count(HEAD) == 1
    xet.pipe_file(f"{main}/x", b"x")
    assert reads[call]() == [f"{main}/x"]


# -- one question ------------------------------------------------------------------------------------------------------


async def test_many_that_miss_at_the_same_time_ask_once(
    shared_endpoint: LocalEndpoint, xet: pyxet.XetFS, main: str
) -> None:
    xet.pipe_file(f"{main}/old", b"old")
    with FaultProxy(shared_endpoint.url) as proxy:
        async with asynchronous(shared_endpoint, proxy, listings_expiry_time=NEVER) as fs:
            assert await fs._ls(main, detail=False) == [f"{main}/old"]
            proxy.clear()
            # Single ones, and many of one call.
            assert not any(await asyncio.gather(*(fs._exists(f"{main}/no/{number}") for number in range(100))))
            assert len(proxy.seen) == 1
            proxy.clear()
            paths = [f"{main}/no/{number}" for number in range(400)]
            assert await fs._cat([f"{main}/old", *paths], on_error="omit") == {f"{main}/old": b"old"}
            assert proxy.count(LOOK) == 1
            # Empty listings, which ask for the commit.
            xet.make_repo(f"{main.removesuffix('/main')}-empty")
            xet.rm(f"{main.removesuffix('/main')}-empty/main/.gitattributes")
            empty = f"{main.removesuffix('/main')}-empty/main"
            assert await fs._find(empty) == []
            proxy.clear()
            assert not any(await asyncio.gather(*(fs._ls(empty) for _ in range(50))))
            assert len(proxy.seen) == 1


def test_a_call_that_asks_itself_does_not_ask_again(
    slow: tuple[FaultProxy, pyxet.XetFS], xet: pyxet.XetFS, main: str
) -> None:
    proxy, fs = slow
    xet.pipe({f"{main}/{name}": b"" for name in "abc"})
    for call in (lambda: fs.exists(f"{main}/no"), lambda: fs.isdir(f"{main}/no"), lambda: fs.find(f"{main}/no")):
        fs.invalidate_cache()
        proxy.clear()
        assert not call()
        assert len(proxy.seen) == 1
    fs.invalidate_cache()
    proxy.clear()
    assert isinstance(fs.cat_ranges([f"{main}/a", f"{main}/no"], 0, 1)[1], NotFoundError)
    # The token to read with is asked for beside it.
    assert proxy.count(LOOK) == len(proxy.seen) - proxy.count(TOKEN) == 1


def test_commits_are_what_they_are(
    slow: tuple[FaultProxy, pyxet.XetFS], xet: pyxet.XetFS, repo: str, main: str
) -> None:
    proxy, fs = slow
    xet.pipe_file(f"{main}/x", b"x")
    commit = fs.info(main)["commit"]
    for revision in (commit, commit[:10]):
        fs.ls(f"{repo}/{revision}")
        proxy.clear()
        assert not fs.exists(f"{repo}/{revision}/no")
        assert fs.glob(f"{repo}/{revision}/n*") == []
        assert proxy.seen == []


def test_an_endpoint_that_does_not_tell_the_commit(
    slow: tuple[FaultProxy, pyxet.XetFS], xet: pyxet.XetFS, main: str
) -> None:
    proxy, fs = slow
    proxy.rule(LOOK, changed(lambda body: body, X_Repo_Commit=None))
    xet.pipe_file(f"{main}/old", b"old")
    assert fs.exists(f"{main}/old")
    assert not fs.exists(f"{main}/new")
    proxy.seen.clear()
    assert not fs.exists(f"{main}/new")
    assert len(proxy.seen) == proxy.count(HEAD) == 1
    xet.pipe_file(f"{main}/new", b"new")
    assert fs.cat(f"{main}/new") == b"new"
    proxy.seen.clear()
    assert fs.exists(f"{main}/old")
    assert proxy.count(HEAD) == 0


def test_a_point_in_time_that_is_now(
    slow: tuple[FaultProxy, pyxet.XetFS], xet: pyxet.XetFS, repo: str, main: str
) -> None:
    _, fs = slow
    assert not fs.exists(f"{repo}/main@{{0.seconds.ago}}/x")
    xet.pipe_file(f"{main}/x", b"x")
    assert fs.exists(f"{repo}/main@{{now}}/x")
    fs.ls(f"{repo}/main@{{now}}")
    xet.pipe_file(f"{main}/y", b"y")
    # Commits have whole seconds.
    assert fs.exists(f"{repo}/main@{{2100-01-01}}/y")


def test_a_failure_is_not_an_absence(slow: tuple[FaultProxy, pyxet.XetFS], xet: pyxet.XetFS, main: str) -> None:
    proxy, fs = slow
    xet.pipe_file(f"{main}/old", b"old")
    fs.ls(main)
    proxy.rule(r"\w+ /api/", answer(500))
    for name, call in CALLS.items():
        if name not in ("get", "get, folder", "get, list", "get, pattern"):
            with pytest.raises(pyxet.ServerError):
                call(fs, main, Path())


# -- what always asks --------------------------------------------------------------------------------------------------


def test_history_and_references_are_those_of_now(
    slow: tuple[FaultProxy, pyxet.XetFS], xet: pyxet.XetFS, repo: str, main: str
) -> None:
    proxy, fs = slow
    xet.pipe_file(f"{main}/x", b"1")
    old = fs.info(main)["commit"]

    def all_of_it() -> list[Any]:
        return [
            [commit.title for commit in fs.log(main)],
            [commit.title for commit in fs.iter_log(main)],
            [commit.title for commit in fs.log(repo, limit=1)],
            [commit.title for commit in fs.log(f"{main}/x")],
            fs.list_branches(repo),
            fs.list_branches(repo, detail=True),
            fs.list_tags(repo),
            fs.branch_info(repo, "main")["commit"],
            fs.find_ref(repo, "main")["commit"],
            [change.kind for change in fs.diff(repo, old, "main")],
            [change.kind for change in fs.diff(repo, "main", old)],
            fs.ls(repo),
            fs.list_repos("acme"),
        ]

    before = all_of_it()
    xet.pipe({f"{main}/x": b"2", f"{main}/y": b""}, message="another one")
    xet.make_branch(repo, "main", "b")
    xet.make_tag(repo, "t", "main")
    xet.make_repo(f"{repo}-2")
    after = all_of_it()
    assert all(one != other for one, other in zip(before, after, strict=True))
    assert after[0][0] == after[1][0] == after[2][0] == after[3][0] == "another one"
    proxy.clear()
    assert list(fs.diff(repo, "main", "main")) == []
    assert len(proxy.seen) == 1
    proxy.clear()
    fs.log(main)
    assert len(proxy.seen) == 2


# -- instances of one endpoint -----------------------------------------------------------------------------------------


def test_what_one_instance_changes_others_know(
    slow: tuple[FaultProxy, pyxet.XetFS], shared_endpoint: LocalEndpoint, repo: str, main: str
) -> None:
    proxy, fs = slow
    others = [
        pyxet.XetFS(fs.endpoint, "somebody", shared_endpoint.token, listings_expiry_time=NEVER),
        pyxet.XetFS(fs.endpoint, token="", listings_expiry_time=NEVER),
        pyxet.XetFS(fs.endpoint, fs.credential.user, shared_endpoint.token, limits={"concurrency": 3}, listings_expiry_time=NEVER),
    ]  # fmt: skip
    changes: list[Callable[[], object]] = [
        lambda: fs.pipe_file(f"{main}/x", b"1"),
        lambda: fs.pipe_file(f"{main}/x", b"22"),
        lambda: fs.cp_file(f"{main}/x", f"{main}/y"),
        lambda: fs.rm(f"{main}/x"),
        lambda: others[0].pipe_file(f"{main}/z", b"22"),
        lambda: fs.make_tag(repo, "t"),
        lambda: (fs.delete_tag(repo, "t"), fs.pipe_file(f"{main}/x", b"333"), fs.make_tag(repo, "t")),
        lambda: (fs.make_branch(repo, "main", "b"), fs.delete_branch(repo, "b")),
    ]

    def seen(one: Any) -> list[Any]:
        states: list[Any] = [one.find(main, detail=True)]
        with suppress(NotFoundError):
            states.append(one.find(f"{repo}/t", detail=True))
        return states

    for change in changes:
        for one in (fs, *others):
            seen(one)
        change()
        now = seen(pyxet.XetFS(shared_endpoint.url, fs.credential.user, shared_endpoint.token, listings_expiry_time=0))
        for one in (fs, *others):
            assert seen(one) == now
    # Nobody is told what is there: that stays between each credential and the endpoint.
    closed = f"{repo}-closed"
    fs.make_repo(closed, private=True)
    fs.pipe_file(f"{closed}/main/x", b"x")
    proxy.clear()
    assert not others[1].exists(f"{closed}/main")
    assert not others[1].exists(f"{closed}/main/x")
    assert len(proxy.seen) >= 2
