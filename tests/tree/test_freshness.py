"""Reads are fresh and consistent: what may be remembered, for how long, and what ends it."""

from __future__ import annotations

import asyncio
import pickle
import random
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from support.faults import Act, FaultProxy, answer, forward_then
from support.proxied import proxied

import pyxet
from pyxet import NotFoundError, ServerError
from pyxet._async.tree import moments, revisions
from pyxet.testing import LocalEndpoint

CONTENT = [random.Random(f"{__name__} {seed}").randbytes(300_000) for seed in range(3)]


class Clock:
    """A monotonic clock that goes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    for module in (revisions, moments):
        monkeypatch.setattr(module, "time", found)
    return found


@pytest.fixture
def through(shared_endpoint: LocalEndpoint, clock: Clock) -> Iterator[tuple[FaultProxy, pyxet.XetFS]]:
    with proxied(shared_endpoint) as found:
        yield found


def version(fs: pyxet.XetFS, path: str) -> int:
    return CONTENT.index(fs.cat_file(path))


# -- an open file stays on its version ---------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [10, 300_000])
def test_an_open_file_stays_on_its_version(xet: pyxet.XetFS, main: str, size: int) -> None:
    path = f"{main}/x"
    xet.pipe_file(path, CONTENT[0][:size])
    first = xet.open(path)
    xet.pipe_file(path, CONTENT[1][:size])
    second = xet.open(path)
    pickled = pickle.dumps(first)
    xet.rm(path)
    with first, second, pickle.loads(pickled) as again:
        assert [file.read() for file in (first, second, again)] == [CONTENT[n][:size] for n in (0, 1, 0)]
    with pytest.raises(NotFoundError):
        xet.open(path)


async def test_an_open_asynchronous_file_stays_on_its_version(shared_endpoint: LocalEndpoint, main: str) -> None:
    access = (shared_endpoint.url, shared_endpoint.user, shared_endpoint.token)
    async with pyxet.AsyncXetFileSystem(*access, asynchronous=True) as fs:
        await fs._pipe_file(f"{main}/x", CONTENT[0])
        async with await fs.open_async(f"{main}/x") as file:
            assert await file.read(10) == CONTENT[0][:10]
            await fs._rm(f"{main}/x")
            assert await file.read() == CONTENT[0][10:]


# -- a branch's commit is reused for a while ---------------------------------------------------------------------------


def test_a_branch_is_looked_at_again_after_the_expiry_time(
    through: tuple[FaultProxy, pyxet.XetFS], xet: pyxet.XetFS, main: str, clock: Clock
) -> None:
    _, fs = through
    xet.pipe_file(f"{main}/x", CONTENT[0])
    assert version(fs, f"{main}/x") == 0
    xet.pipe_file(f"{main}/x", CONTENT[1])
    clock.now += 0.99
    assert version(fs, f"{main}/x") == 0
    clock.now += 0.02
    assert version(fs, f"{main}/x") == 1


def test_a_file_that_is_opened_is_looked_for_in_the_newest_commit_before_it_is_missing(
    through: tuple[FaultProxy, pyxet.XetFS], xet: pyxet.XetFS, main: str, clock: Clock
) -> None:
    # As in a worker, which is told the name of a file right after somebody else committed it.
    proxy, fs = through
    assert fs.find(main) == []
    xet.pipe_file(f"{main}/x", CONTENT[0])
    assert fs.open(f"{main}/x").read() == CONTENT[0]
    for requests in (2, 1):
        # With a commit that is known, and without.
        proxy.clear()
        with pytest.raises(NotFoundError):
            fs.open(f"{main}/y")
        assert len(proxy.seen) <= requests
        fs.invalidate_cache()


def test_who_staged_looks_at_the_branch_again(
    through: tuple[FaultProxy, pyxet.XetFS], xet: pyxet.XetFS, main: str, clock: Clock
) -> None:
    # Somebody else commits what workers staged, and then they are told to read it.
    _, fs = through
    pointers = [fs.stage(CONTENT[0], f"{main}/x"), *fs.stage_many({f"{main}/y": CONTENT[1]})]
    xet.commit(main, [replace(pointer, endpoint=xet.endpoint) for pointer in pointers])
    assert fs.find(main) == [f"{main}/x", f"{main}/y"]


@pytest.mark.parametrize("read", ["pr%2F1", "refs%2Fpr%2F1"])
@pytest.mark.parametrize("written", ["pr%2F1", "refs%2Fpr%2F1"])
def test_what_is_written_by_one_name_of_a_pull_request_is_read_by_the_other(
    through: tuple[FaultProxy, pyxet.XetFS], xet: pyxet.XetFS, repo: str, main: str, read: str, written: str
) -> None:
    _, fs = through
    xet.pipe_file(f"{main}/x", CONTENT[0], pull_request=True)
    read, written = f"{repo}/{read}", f"{repo}/{written}"
    assert version(fs, f"{read}/x") == 0
    fs.pipe_file(f"{written}/x", CONTENT[1])
    assert version(fs, f"{read}/x") == 1
    # What somebody else commits is news to who has staged it.
    xet.pipe_file(f"{written}/x", CONTENT[2])
    assert version(fs, f"{read}/x") == 1
    pointer = fs.stage(CONTENT[0], f"{written}/y")
    xet.commit(written, [replace(pointer, endpoint=xet.endpoint)])
    assert version(fs, f"{read}/x") == 2


def test_what_is_written_to_a_branch_is_read_by_its_full_name(
    through: tuple[FaultProxy, pyxet.XetFS], repo: str, main: str
) -> None:
    _, fs = through
    for number in range(2):
        fs.pipe_file(f"{main}/x", CONTENT[number])
        assert version(fs, f"{repo}/refs%2Fheads%2Fmain/x") == number


def test_a_merge_whose_answer_is_lost_has_the_branch_looked_at_again(
    through: tuple[FaultProxy, pyxet.XetFS], repo: str, main: str
) -> None:
    proxy, fs = through
    fs.pipe_file(f"{main}/x", CONTENT[0])
    fs.pipe_file(f"{main}/x", CONTENT[1], pull_request=True)
    assert version(fs, f"{main}/x") == 0
    proxy.rule(r"POST .*/merge", forward_then(502))
    with pytest.raises(ServerError):
        fs.merge_pull_request(repo, 1)
    assert version(fs, f"{main}/x") == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda fs, repo: fs.delete_branch(repo, "gone"),
        lambda fs, repo: fs.delete_repo(repo),
    ],
    ids=["delete_branch", "delete_repo"],
)
def test_what_goes_away_with_a_lost_answer_is_not_read_any_more(
    through: tuple[FaultProxy, pyxet.XetFS], repo: str, main: str, change: Callable[[pyxet.XetFS, str], object]
) -> None:
    proxy, fs = through
    fs.pipe_file(f"{main}/x", CONTENT[0])
    fs.make_branch(repo, "main", "gone")
    assert version(fs, f"{repo}/gone/x") == 0
    proxy.rule(r"(DELETE|POST) /api/.*(/branch/|/delete)", forward_then(502))
    # Tried once more it is not there.
    with pytest.raises((ServerError, NotFoundError)):
        change(fs, repo)
    proxy.clear()
    with pytest.raises(NotFoundError):
        fs.info(f"{repo}/gone/x")


@pytest.mark.parametrize(("expiry", "stale"), [(0, False), (3600, True), (None, True)])
def test_the_expiry_time_is_an_option(
    shared_endpoint: LocalEndpoint, xet: pyxet.XetFS, main: str, clock: Clock, expiry: float | None, stale: bool
) -> None:
    with proxied(shared_endpoint, listings_expiry_time=expiry) as (proxy, fs):
        xet.pipe_file(f"{main}/x", CONTENT[0])
        assert version(fs, f"{main}/x") == 0
        assert fs.ls(main, detail=False) == [f"{main}/x"]
        xet.pipe({f"{main}/x": CONTENT[1], f"{main}/y": b""})
        assert version(fs, f"{main}/x") == (0 if stale else 1)
        assert len(fs.find(main)) == (1 if stale else 2)
        # A look for this call only, and one for all.
        assert len(fs.ls(main, refresh=True)) == 2
        fs.invalidate_cache()
        assert version(fs, f"{main}/x") == 1
        xet.pipe_file(f"{main}/x", CONTENT[2])
        fs.invalidate_cache(f"{main}/x")
        assert version(fs, f"{main}/x") == 2
        proxy.clear()
        fs.info(f"{main}/x")
        assert bool(proxy.seen) is not stale


@pytest.mark.parametrize(
    "size",
    [
        lambda fs, path: fs.info(path, refresh=True)["size"],
        lambda fs, path: fs.ls(path, refresh=True)[0]["size"],
        lambda fs, path: fs.find(path, refresh=True, detail=True)[path]["size"],
        lambda fs, path: fs.glob(path, refresh=True, detail=True)[path]["size"],
        lambda fs, path: fs.glob(f"{path}*", refresh=True, detail=True)[path]["size"],
        lambda fs, path: fs.du(path, refresh=True),
    ],
)
def test_a_look_for_this_call_only_shows_the_newest_version(
    shared_endpoint: LocalEndpoint, xet: pyxet.XetFS, main: str, size: Callable[[pyxet.XetFS, str], int]
) -> None:
    with proxied(shared_endpoint, listings_expiry_time=3600) as (proxy, fs):
        xet.pipe_file(f"{main}/x", b"1")
        assert fs.info(f"{main}/x")["size"] == 1
        xet.pipe_file(f"{main}/x", b"22")
        assert fs.info(f"{main}/x")["size"] == 1
        proxy.clear()
        assert size(fs, f"{main}/x") == 2
        # The branch, and what is at the path or in its folder: nothing is looked up twice.
        assert len(proxy.seen) <= 2


def test_own_changes_are_seen_at_once(
    shared_endpoint: LocalEndpoint, through: tuple[FaultProxy, pyxet.XetFS], repo: str, main: str
) -> None:
    _, fs = through
    for number in (0, 1):
        fs.pipe_file(f"{main}/x", CONTENT[number])
        assert version(fs, f"{main}/x") == number
        # Through another instance as well, with the same endpoint and user.
        assert (
            version(pyxet.XetFS(fs.endpoint, fs.credential.user, shared_endpoint.token, retry=fs._retry), f"{main}/x")
            == number
        )
    fs.make_tag(repo, "t")
    assert version(fs, f"{repo}/t/x") == 1
    fs.pipe_file(f"{main}/x", CONTENT[2])
    fs.delete_tag(repo, "t")
    assert not fs.exists(f"{repo}/t/x")
    fs.make_tag(repo, "t")
    assert version(fs, f"{repo}/t/x") == 2
    fs.make_branch(repo, "main", "b")
    assert fs.exists(f"{repo}/b/x")
    fs.delete_branch(repo, "b")
    assert not fs.exists(f"{repo}/b/x")
    fs.rm(f"{main}/x")
    assert not fs.exists(f"{main}/x")
    fs.delete_repo(repo)
    assert not fs.exists(main)
    fs.make_repo(repo)
    assert fs.ls(main, detail=False) == [f"{main}/.gitattributes"]


def test_a_branch_made_anew_is_not_the_old_one(
    through: tuple[FaultProxy, pyxet.XetFS], xet: pyxet.XetFS, repo: str, main: str
) -> None:
    _, fs = through
    fs.pipe_file(f"{main}/x", CONTENT[0])
    fs.make_branch(repo, "main", "b")
    assert version(fs, f"{repo}/b/x") == 0
    fs.pipe_file(f"{main}/x", CONTENT[1])
    xet.delete_branch(repo, "b")
    fs.make_branch(repo, "main", "b")
    assert version(fs, f"{repo}/b/x") == 1


async def test_an_answer_from_before_a_commit_does_not_outlive_it(shared_endpoint: LocalEndpoint, main: str) -> None:
    with FaultProxy(shared_endpoint.url) as proxy:
        access = (proxy.url, shared_endpoint.user, shared_endpoint.token)
        async with pyxet.AsyncXetFileSystem(*access, listings_expiry_time=3600, asynchronous=True) as fs:
            await fs._pipe_file(f"{main}/x", b"old")
            fs.invalidate_cache()
            for forget in (False, True):
                # The endpoint looks before the commit, and its answer arrives after it.
                proxy.rule(r"POST /api/.*/paths-info/main", held_answer(), times=1)
                early = asyncio.create_task(fs._cat_file(f"{main}/x"))
                await proxy.arrival()
                new = b"newer" if forget else b"new"
                await fs._pipe_file(f"{main}/x", new)
                if forget:
                    fs.invalidate_cache()
                proxy.open_gate()
                await early
                assert await fs._cat_file(f"{main}/x") == new
                proxy.clear()
                proxy.close_gate()
                fs.invalidate_cache()


async def test_of_two_commits_at_once_the_newer_one_is_read(shared_endpoint: LocalEndpoint, main: str) -> None:
    with FaultProxy(shared_endpoint.url) as proxy:
        access = (proxy.url, shared_endpoint.user, shared_endpoint.token)
        async with pyxet.AsyncXetFileSystem(
            *access, listings_expiry_time=3600, timeouts={"response": 4}, asynchronous=True
        ) as fs:
            # The first commit is made before the second one, and its answer arrives after the other, which waits for its
            # turn until the first one is looked for in the branch.
            proxy.rule(r"POST /api/.*/commit/main", held_answer(), times=1)
            first = asyncio.create_task(fs._pipe_file(f"{main}/x", b"first"))
            await proxy.arrival()
            await fs._pipe_file(f"{main}/y", b"second")
            assert await fs._find(main) == [f"{main}/x", f"{main}/y"]
            proxy.open_gate()
            await first
            assert await fs._find(main) == [f"{main}/x", f"{main}/y"]


def held_answer() -> Act:
    """Ask the endpoint, and hold its answer until the gate opens."""
    from aiohttp import web

    async def act(proxy: FaultProxy, request: web.Request) -> web.StreamResponse:
        status, headers, body = await proxy.fetched(request)
        proxy._arrived.release()
        assert proxy._gate is not None
        await proxy._gate.wait()
        return web.Response(status=status, headers=headers, body=body)

    return act


# -- failures are not remembered ---------------------------------------------------------------------------------------


def test_failures_are_never_remembered(
    shared_endpoint: LocalEndpoint, xet: pyxet.XetFS, repo: str, clock: Clock
) -> None:
    with proxied(shared_endpoint, listings_expiry_time=3600, retry={"attempts": 1}) as (proxy, fs):
        for name in (f"{repo}-n/main/x", f"{repo}/new/x"):
            assert not fs.exists(name)
            assert fs.find(name.rpartition("/")[0]) == []
        xet.make_repo(f"{repo}-n")
        xet.pipe_file(f"{repo}-n/main/x", b"x")
        xet.make_branch(repo, "main", "new")
        xet.pipe_file(f"{repo}/new/x", b"x")
        assert fs.cat(f"{repo}-n/main/x") == fs.cat(f"{repo}/new/x") == b"x"
        proxy.rule(r"\w+ /api/", answer(500), times=1)
        with pytest.raises(ServerError):
            fs.info(f"{repo}/new/y")
        assert not fs.exists(f"{repo}/new/y")


def test_what_belongs_to_a_commit_is_remembered(
    through: tuple[FaultProxy, pyxet.XetFS], repo: str, main: str, clock: Clock
) -> None:
    proxy, fs = through
    fs.pipe({f"{main}/d/{number}": b"x" for number in range(5)})
    commit = f"{repo}/{fs.info(main)['commit']}"
    listing = fs.ls(f"{commit}/d")
    proxy.clear()
    clock.now += 10_000
    assert fs.ls(f"{commit}/d") == listing
    assert fs.info(f"{commit}/d/1") == listing[1]
    assert not fs.exists(f"{commit}/d/9")
    assert proxy.seen == []


def test_two_calls_at_once_make_no_more_requests_than_they_must(
    through: tuple[FaultProxy, pyxet.XetFS], main: str
) -> None:  # fmt: skip
    proxy, fs = through
    fs.pipe_file(f"{main}/x", CONTENT[0])
    proxy.clear()
    assert fs.cat_ranges([f"{main}/x"] * 9, list(range(9)), list(range(1, 10))) == [
        CONTENT[0][n : n + 1] for n in range(9)
    ]
    assert len(proxy.seen) <= 4
