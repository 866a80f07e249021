"""Commits that the endpoint ends before they are made, and may make later: each request names its parent, so it is in time or refused."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from aiohttp import web
from support.contents import BINARY
from support.faults import FAST, SHARD, UPLOAD, FaultProxy, answer

import pyxet
from pyxet.errors import CommitTimeoutError, ConflictError, RequestTimeoutError
from pyxet.testing import HubBehaviour, LocalEndpoint, local_endpoint

COMMIT = r"POST /api/.*/commit/"


@pytest.fixture
def fs(proxy: FaultProxy, shared_endpoint: LocalEndpoint) -> pyxet.XetFS:
    """A file system behind the proxy that tries again without much delay."""
    return pyxet.XetFS(proxy.url, "acme", shared_endpoint.token, retry=FAST, listings_expiry_time=0)


class Late:
    """Ends commit requests with 504, and completes them when it is told to."""

    def __init__(self) -> None:
        self.held: list[tuple[str, dict[str, str], bytes]] = []

    async def __call__(self, proxy: FaultProxy, request: web.Request) -> web.StreamResponse:
        self.held.append((request.raw_path, dict(request.headers), await request.read()))
        return web.Response(status=504)

    def complete(self, proxy: FaultProxy) -> list[int]:
        """The endpoint's answers, which nobody waits for any more."""

        async def send() -> list[int]:
            found = []
            for path, headers, body in self.held:
                async with proxy._session.post(proxy.upstream + path, headers=headers, data=body) as done:
                    found.append(done.status)
            return found

        return asyncio.run_coroutine_threadsafe(send(), proxy._loop).result()


def in_a_transaction(fs: pyxet.XetFS, main: str) -> None:
    with fs.transaction as tr:
        tr.pipe(f"{main}/old", b"ours")
        tr.pipe(f"{main}/new", BINARY)
        tr.rm(f"{main}/gone")


def staged(fs: pyxet.XetFS, main: str) -> None:
    fs.commit(main, [fs.stage(BINARY, f"{main}/old")], delete=[f"{main}/gone"])


def appended(fs: pyxet.XetFS, main: str) -> None:
    with fs.open(f"{main}/old", "ab") as file:
        file.write(b"ours")


WRITES: dict[str, Callable[[pyxet.XetFS, str], Any]] = {
    "pipe": lambda fs, main: fs.pipe(f"{main}/old", b"ours"),
    "pipe many": lambda fs, main: fs.pipe({f"{main}/old": BINARY, f"{main}/new": b"ours"}),
    "put": lambda fs, main: fs.put_file(__file__, f"{main}/old"),
    "rm": lambda fs, main: fs.rm(f"{main}/old"),
    "cp": lambda fs, main: fs.cp(f"{main}/gone", f"{main}/old"),
    "mv": lambda fs, main: fs.mv(f"{main}/gone", f"{main}/old"),
    "folder to file": lambda fs, main: fs.mv(f"{main}/old", f"{main}/old/below"),
    "append": appended,
    "staged": staged,
    "transaction": in_a_transaction,
    "guarded": lambda fs, main: fs.pipe_file(f"{main}/old", b"ours", if_match=fs.info(f"{main}/old")["blob_id"]),
}


@pytest.mark.parametrize("name", WRITES)
def test_a_commit_that_is_completed_after_others_wrote_changes_nothing(
    proxy: FaultProxy, fs: pyxet.XetFS, other: pyxet.XetFS, main: str, name: str
) -> None:
    other.pipe({f"{main}/old": b"old", f"{main}/gone": b"gone"})
    before = len(other.log(main))
    late = Late()
    proxy.rule(COMMIT, late, times=1)
    # 504, and the next try lands.
    WRITES[name](fs, main)
    assert proxy.count(COMMIT) == 2
    # Another one writes to the same file, or what is one of them now, and then the first request is carried out.
    place = f"{main}/old/below" if name == "folder to file" else f"{main}/old"
    other.pipe(place, b"theirs")
    assert late.complete(proxy) == [412]
    assert other.cat(place) == b"theirs"
    assert len(other.log(main)) == before + 2


def test_a_transaction_over_two_branches(
    proxy: FaultProxy, fs: pyxet.XetFS, other: pyxet.XetFS, repo: str
) -> None:  # fmt: skip
    other.make_branch(repo, "main", "second")
    late = Late()
    proxy.rule(rf"{COMMIT}second", late, times=1)
    with fs.transaction(message="both") as tr:
        tr.pipe({f"{repo}/main/a": b"ours", f"{repo}/second/a": b"ours"})
    other.pipe(f"{repo}/second/a", b"theirs")
    assert late.complete(proxy) == [412]
    assert other.cat(f"{repo}/second/a") == b"theirs"
    assert [commit.title for commit in other.log(f"{repo}/second")][:2] == ["Upload a", "both"]
    assert len(tr.commits) == 2


@pytest.mark.parametrize("name", WRITES)
def test_each_request_names_the_head_as_its_parent(
    proxy: FaultProxy, fs: pyxet.XetFS, other: pyxet.XetFS, main: str, name: str
) -> None:
    other.pipe({f"{main}/old": b"old", f"{main}/gone": b"gone"})
    head = other.log(main)[0].id
    parents = []

    async def look(proxy: FaultProxy, request: web.Request) -> web.StreamResponse:
        header = json.loads((await request.read()).splitlines()[0])
        parents.append(header["value"].get("parentCommit"))
        return await proxy.forward(request)

    proxy.rule(COMMIT, look)
    WRITES[name](fs, main)
    assert parents == [head]


def test_first_commits(fs: pyxet.XetFS, proxy: FaultProxy, other: pyxet.XetFS, repo: str) -> None:
    """To a repository that is made by several at once, and to a branch that is new."""
    name = f"{repo}-new"

    def make(number: int) -> None:
        fs.make_repo(name, exist_ok=True)
        fs.pipe(f"{name}/main/{number}", b"x")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(make, range(4)))
    assert len([path for path in other.find(f"{name}/main") if not path.endswith(".gitattributes")]) == 4
    fs.make_branch(name, "main", "new")
    late = Late()
    proxy.rule(COMMIT, late, times=1)
    fs.pipe(f"{name}/new/first", b"ours")
    other.pipe(f"{name}/new/first", b"theirs")
    assert late.complete(proxy) == [412]
    assert other.cat(f"{name}/new/first") == b"theirs"


async def test_commits_of_a_loop_follow_each_other(
    proxy: FaultProxy, shared_endpoint: LocalEndpoint, main: str
) -> None:  # fmt: skip
    """None of them is refused for its parent, which would cost a request each."""
    async with pyxet.AsyncXetFileSystem(proxy.url, "acme", shared_endpoint.token, asynchronous=True) as fs:
        await asyncio.gather(*(fs._pipe_file(f"{main}/{number}", b"x") for number in range(20)))
        assert len(await fs._find(main)) == 20
    assert proxy.count(COMMIT) <= 22


def test_writers_get_on_however_often_others_are_faster(
    proxy: FaultProxy, fs: pyxet.XetFS, other: pyxet.XetFS, main: str
) -> None:
    async def overtaken(proxy: FaultProxy, request: web.Request) -> web.StreamResponse:
        await asyncio.to_thread(other.pipe, f"{main}/other", b"%d" % proxy.count(COMMIT))
        return await proxy.forward(request)

    proxy.rule(COMMIT, overtaken, times=25)
    fs.pipe(f"{main}/a", b"ours")
    assert other.cat(f"{main}/a") == b"ours"
    assert proxy.count(COMMIT) == 26


def test_a_parent_that_is_refused_without_reason_is_an_error(proxy: FaultProxy, fs: pyxet.XetFS, main: str) -> None:
    proxy.rule(COMMIT, answer(412, b'{"error": "not your turn"}'))
    with pytest.raises(ConflictError, match="not your turn"):
        fs.pipe(f"{main}/a", b"ours")


@pytest.mark.filterwarnings("ignore:more than .* files in one commit:pyxet.PyxetWarning")
def test_ten_thousand_files_in_a_commit_that_is_completed_late() -> None:
    slow = HubBehaviour(commit_timeout=0.2, commit_seconds_per_file=0.0002)
    with local_endpoint(like_hub=slow) as endpoint:
        fs = pyxet.XetFS(endpoint.url, endpoint.user, endpoint.token)
        fs.make_repo("test/many")
        main = "test/many/main"
        with fs.transaction(message="all of them") as tr:
            tr.pipe({f"{main}/d{number % 100}/{number}": b"%d" % number for number in range(10_000)})
        assert [commit.title for commit in fs.log(main)].count("all of them") == 1
        assert [commit.id for commit in tr.commits] == [fs.log(main)[0].id]
        assert len(fs.find(f"{main}/d7")) == 100


def test_a_commit_that_never_completes() -> None:
    never = HubBehaviour(commit_timeout=0.02, commit_seconds_per_file=0.5, late_commits=False)
    with local_endpoint(like_hub=never) as endpoint:
        fs = pyxet.XetFS(endpoint.url, endpoint.user, endpoint.token, retry=FAST)
        fs.make_repo("test/never")
        with pytest.raises(
            CommitTimeoutError, match=r"test/never/main.*does not have the commit.*stays stored"
        ) as caught:
            fs.pipe({"test/never/main/a": BINARY, "test/never/main/b": b"text"})
        assert isinstance(caught.value, RequestTimeoutError)
        assert isinstance(caught.value, TimeoutError)
        assert len(fs.log("test/never/main")) == 1


def test_what_was_staged_for_it_is_not_sent_again(
    proxy: FaultProxy, fs: pyxet.XetFS, other: pyxet.XetFS, main: str
) -> None:
    pointers = fs.stage_many({f"{main}/a": BINARY * 1000, f"{main}/b": BINARY * 999})
    proxy.rule(COMMIT, answer(504))
    with pytest.raises(CommitTimeoutError):
        fs.commit(main, pointers)
    assert other.find(main) == []
    proxy.clear()
    fs.commit(main, pointers)
    assert other.cat(f"{main}/a") == BINARY * 1000
    assert (proxy.count(UPLOAD), proxy.count(SHARD)) == (0, 0)
