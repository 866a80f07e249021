"""Several writers of one branch, conditions on paths, and commits whose answers are lost."""

# what has to raise is the end of a block

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from aiohttp import web
from support.contents import BINARY
from support.faults import FAST, FaultProxy, answer, changed, forward_then, no_answer

import pyxet
from pyxet.errors import (
    AlreadyExistsError,
    ConflictError,
    ConnectionFailedError,
    EditConflictError,
    RateLimitedError,
    RequestTimeoutError,
    ServerError,
)
from pyxet.testing import LocalEndpoint

COMMIT = "POST .*/commit/"
REFS = "GET .*/refs"
MIB = 1024 * 1024


@pytest.fixture
def fs(proxy: FaultProxy, shared_endpoint: LocalEndpoint) -> pyxet.XetFS:
    """A file system behind the proxy that tries again without much delay."""
    return pyxet.XetFS(
        endpoint=proxy.url, user="acme", token=shared_endpoint.token, retry=FAST, listings_expiry_time=0
    )  # fmt: skip


def titles(fs: pyxet.XetFS, branch: str) -> list[str]:
    """Titles of the commits of a branch, oldest first, without the one that made the repository."""
    return [commit.title for commit in reversed(fs.log(branch))][1:]


def check_linear(shared_endpoint: LocalEndpoint, repo: str, count: int) -> None:
    """History has one line of so many commits, says git itself."""
    [bare] = list(shared_endpoint.root.rglob(f"{repo.partition('/')[2]}.git"))
    said = subprocess.run(
        ["git", "-C", str(bare), "log", "--format=%P", "main"], capture_output=True, text=True, check=True
    )
    parents = said.stdout.splitlines()
    assert len(parents) == count + 1
    assert all(len(line.split()) == 1 for line in parents[:-1])


# -- guards ------------------------------------------------------------------------------------------------------------


def test_the_last_writer_wins(fs: pyxet.XetFS, fresh: pyxet.XetFS, main: str) -> None:
    file = fs.open(f"{main}/a", "wb")
    file.write(b"ours")
    fresh.pipe(f"{main}/a", b"theirs")
    fresh.pipe(f"{main}/b", b"theirs")
    file.close()
    assert fresh.cat(main, recursive=True) == {f"{main}/a": b"ours", f"{main}/b": b"theirs"}


def test_deleting_what_somebody_else_deleted_first(fs: pyxet.XetFS, fresh: pyxet.XetFS, main: str) -> None:
    fresh.pipe({f"{main}/a": b"a", f"{main}/b": b"b", f"{main}/c": b"c", f"{main}/d": b"d"})
    with fs.transaction as tr:
        fs.rm([f"{main}/a", f"{main}/b", f"{main}/d"])
        fresh.rm(f"{main}/a")
        fresh.mv(f"{main}/d", f"{main}/d/e")
    assert len(tr.commits) == 1
    assert fresh.find(main) == [f"{main}/c", f"{main}/d/e"]
    with fs.transaction as tr:
        fs.rm(f"{main}/c")
        fresh.rm(f"{main}/c")
    assert tr.commits == ()


CALLS: dict[str, Callable[..., Any]] = {
    "pipe": lambda fs, path, **options: fs.pipe(path, b"ours", **options),
    "pipe_file": lambda fs, path, **options: fs.pipe_file(path, b"ours", **options),
    "put": lambda fs, path, **options: fs.put(__file__, path, **options),
    "put_file": lambda fs, path, **options: fs.put_file(__file__, path, **options),
    "open": lambda fs, path, **options: fs.open(path, "wb", **options).close(),
    "touch": lambda fs, path, **options: fs.touch(path, **options),
    "rm": lambda fs, path, **options: fs.rm(path, **options),
    "cp": lambda fs, path, **options: fs.cp(f"{path}.source", path, **options),
    "mv": lambda fs, path, **options: fs.mv(path, f"{path}.moved", **options),
}


@pytest.mark.parametrize("name", CALLS)
def test_parent_commit_of_each_call(fs: pyxet.XetFS, fresh: pyxet.XetFS, main: str, name: str) -> None:
    fresh.pipe({f"{main}/a": b"1", f"{main}/b": b"1", f"{main}/a.source": b"s", f"{main}/b.source": b"s"})
    parent = fresh.info(main)["commit"]
    fresh.pipe(f"{main}/a", b"theirs")
    with pytest.raises(EditConflictError, match=rf"changed since {parent[:10]}: a") as caught:
        CALLS[name](fs, f"{main}/a", parent_commit=parent)
    assert isinstance(caught.value, ConflictError)
    assert fresh.cat(f"{main}/a") == b"theirs"
    CALLS[name](fs, f"{main}/b", parent_commit=parent)
    assert not fresh.exists(f"{main}/b") or fresh.cat(f"{main}/b") != b"1"
    assert len(titles(fresh, main)) == 3


@pytest.mark.parametrize("change", ["written", "deleted", "made"])
def test_parent_commit_sees_every_change(fs: pyxet.XetFS, fresh: pyxet.XetFS, main: str, change: str) -> None:
    if change != "made":
        fresh.pipe(f"{main}/a", b"1")
    parent = fresh.info(main)["commit"]
    if change == "deleted":
        fresh.rm(f"{main}/a")
    else:
        fresh.pipe(f"{main}/a", b"2")
    with pytest.raises(EditConflictError):
        fs.pipe(f"{main}/a", b"ours", parent_commit=parent)


def test_parent_commit_that_is_none(fs: pyxet.XetFS, main: str) -> None:
    with pytest.raises(FileNotFoundError):
        fs.pipe(f"{main}/a", b"x", parent_commit="0" * 40)


@pytest.mark.parametrize("content", [b"text", BINARY, BINARY * 200_000])
@pytest.mark.parametrize("name", ["pipe_file", "pipe", "put_file", "open"])
def test_if_match(fs: pyxet.XetFS, fresh: pyxet.XetFS, main: str, name: str, content: bytes) -> None:
    fresh.pipe(f"{main}/a", content)
    version = fs.info(f"{main}/a")["blob_id"]
    CALLS[name](fs, f"{main}/a", if_match=version)
    for wrong in (version, "0" * 40):
        with pytest.raises(EditConflictError, match=f"not the version {wrong}"):
            CALLS[name](fs, f"{main}/a", if_match=wrong)
    with pytest.raises(EditConflictError, match="it is missing"):
        CALLS[name](fs, f"{main}/nope", if_match=version)


@pytest.mark.parametrize("change", ["written", "deleted", "folder"])
def test_if_match_lost_at_the_commit(fs: pyxet.XetFS, fresh: pyxet.XetFS, main: str, change: str) -> None:
    fresh.pipe({f"{main}/a": b"1", f"{main}/other": b"1"})
    file = fs.open(f"{main}/a", "wb", if_match=fs.info(f"{main}/a")["blob_id"])
    file.write(b"ours")
    if change == "written":
        fresh.pipe(f"{main}/a", b"theirs")
    elif change == "deleted":
        fresh.rm(f"{main}/a")
    else:
        fresh.mv(f"{main}/a", f"{main}/a/b")
    with pytest.raises(EditConflictError, match="any more"):
        file.close()
    assert file.closed
    assert len(titles(fresh, main)) == 2


def test_other_paths_do_not_matter_to_guards(fs: pyxet.XetFS, fresh: pyxet.XetFS, main: str) -> None:
    fresh.pipe(f"{main}/a", b"1")
    with fs.open(f"{main}/a", "wb", if_match=fs.info(f"{main}/a")["blob_id"]) as file:
        file.write(b"2")
        fresh.pipe(f"{main}/other", b"theirs")
    with fs.open(f"{main}/new", "xb") as file:
        file.write(b"new")
        fresh.pipe(f"{main}/other", b"again")
    assert fresh.cat(main, recursive=True) == {f"{main}/a": b"2", f"{main}/new": b"new", f"{main}/other": b"again"}


@pytest.mark.parametrize("mode", ["x", "xb"])
def test_exclusive_creation(fs: pyxet.XetFS, fresh: pyxet.XetFS, main: str, mode: str) -> None:
    data: Any = "ours" if mode == "x" else b"ours"
    with fs.open(f"{main}/a", mode) as file:
        file.write(data)
    for name in ("a", "folder"):
        fresh.pipe(f"{main}/folder/b", b"b")
        with pytest.raises(FileExistsError, match=name):
            fs.open(f"{main}/{name}", mode)
    with pytest.raises(FileExistsError):
        fs.pipe_file(f"{main}/a", b"x", mode="create")
    file = fs.open(f"{main}/lost", mode)
    file.write(data)
    fresh.pipe(f"{main}/lost", b"theirs")
    with pytest.raises(AlreadyExistsError, match="somebody else") as caught:
        file.close()
    assert isinstance(caught.value, ConflictError)
    assert isinstance(caught.value, FileExistsError)
    assert fresh.cat(f"{main}/lost") == b"theirs"


def test_exclusive_creation_within_a_transaction(fs: pyxet.XetFS, fresh: pyxet.XetFS, main: str) -> None:
    fresh.pipe(f"{main}/old", b"old")
    with fs.transaction:
        fs.pipe_file(f"{main}/a", b"a", mode="create")
        with pytest.raises(FileExistsError):
            fs.pipe_file(f"{main}/a", b"a", mode="create")
        fs.rm(f"{main}/old")
        fs.pipe_file(f"{main}/old", b"new", mode="create")
    assert fresh.cat(main, recursive=True) == {f"{main}/a": b"a", f"{main}/old": b"new"}


# -- many writers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("guarded", [False, True])
def test_many_threads(fresh: pyxet.XetFS, repo: str, shared_endpoint: LocalEndpoint, guarded: bool) -> None:
    def write(number: int) -> None:
        if guarded:
            fresh.pipe_file(f"{repo}/main/own/{number}", b"%d" % number, mode="create", message=f"{number}")
        else:
            fresh.pipe({f"{repo}/main/own/{number}": b"%d" % number, f"{repo}/main/same": b"%d" % number})

    count = 12 if guarded else 30
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(count)))
    check_linear(shared_endpoint, repo, count)
    assert len(fresh.find(f"{repo}/main/own")) == count


async def test_many_tasks(repo: str, shared_endpoint: LocalEndpoint) -> None:
    async with pyxet.AsyncXetFileSystem(
        endpoint=shared_endpoint.url, user="acme", token=shared_endpoint.token, asynchronous=True
    ) as fs:

        async def write(number: int) -> None:
            async with fs.transaction(message=f"task {number}"):
                await fs._pipe_file(f"{repo}/main/own/{number}", BINARY + b"%d" % number)
                await fs._pipe_file(f"{repo}/main/same", b"%d" % number)

        await asyncio.gather(*map(write, range(30)))
        assert len(await fs._find(f"{repo}/main/own")) == 30
    check_linear(shared_endpoint, repo, 30)


def test_one_of_many_creators_wins(fresh: pyxet.XetFS, main: str) -> None:
    def create(number: int) -> bool:
        try:
            with fresh.open(f"{main}/lock", "xb") as file:
                file.write(b"%d" % number)
        except FileExistsError:
            return False
        return True

    with ThreadPoolExecutor(6) as pool:
        won = list(pool.map(create, range(6)))
    assert sum(won) == 1
    assert fresh.cat(f"{main}/lock") == b"%d" % won.index(True)


# -- lost answers ------------------------------------------------------------------------------------------------------


def forward_then_drop(proxy: FaultProxy, request: web.Request) -> Any:
    async def act() -> web.StreamResponse:
        await proxy.fetched(request)
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    return act()


async def forward_then_silence(proxy: FaultProxy, request: web.Request) -> web.StreamResponse:
    await proxy.fetched(request)
    await asyncio.Event().wait()
    raise AssertionError


LOST = {
    "reset": forward_then_drop,
    "500": forward_then(500),
    "502": forward_then(502),
    "503": forward_then(503),
    "504": forward_then(504),
    "garbled": changed(lambda body: b"<html>an answer of a gateway</html>"),
}
WRITES: dict[str, Callable[[pyxet.XetFS, str], Any]] = {
    "text": lambda fs, main: fs.pipe(f"{main}/new", b"new"),
    "binary": lambda fs, main: fs.pipe({f"{main}/new": BINARY, f"{main}/large": BINARY * 200_000}),
    "exclusive": lambda fs, main: fs.pipe_file(f"{main}/new", b"new", mode="create"),
    "delete": lambda fs, main: fs.rm(f"{main}/old"),
    "move": lambda fs, main: fs.mv(f"{main}/old", f"{main}/old/below"),
}


@pytest.mark.parametrize(
    ("write", "how"),
    [("text", how) for how in LOST]
    + [(write, how) for write in WRITES if write != "text" for how in ("reset", "500", "503", "garbled")],
)
def test_nothing_is_committed_twice(
    proxy: FaultProxy, fs: pyxet.XetFS, fresh: pyxet.XetFS, main: str, write: str, how: str
) -> None:
    fresh.pipe(f"{main}/old", b"old")
    proxy.rule(COMMIT, LOST[how], times=1)
    with fs.transaction(message="once") as tr:
        WRITES[write](tr.fs, main)
    assert titles(fresh, main) == ["Upload old", "once"]
    assert [commit.id for commit in tr.commits] == [fresh.log(main)[0].id]
    assert proxy.count(COMMIT) == 1


def test_nothing_is_committed_twice_after_a_time_out(
    proxy: FaultProxy, fresh: pyxet.XetFS, main: str, shared_endpoint: LocalEndpoint
) -> None:
    fs = pyxet.XetFS(
        endpoint=proxy.url, user="acme", token=shared_endpoint.token, retry=FAST,
        timeouts=pyxet.Timeouts(connect=0.5, response=0.5),
    )  # fmt: skip
    proxy.rule(COMMIT, forward_then_silence, times=1)
    with fs.transaction(message="once") as tr:
        fs.pipe(f"{main}/a", b"a")
    assert titles(fresh, main) == ["once"]
    assert [commit.id for commit in tr.commits] == [fresh.log(main)[0].id]


@pytest.mark.parametrize("how", ["reset", "500"])
def test_a_commit_that_was_not_carried_out_is_sent_again(
    proxy: FaultProxy, fs: pyxet.XetFS, fresh: pyxet.XetFS, main: str, how: str
) -> None:
    proxy.rule(COMMIT, no_answer() if how == "reset" else answer(500), times=2)
    refs = proxy.count(REFS)
    fs.pipe(f"{main}/a", b"a", message="once")
    assert titles(fresh, main) == ["once"]
    assert proxy.count(COMMIT) == 3
    # The head is looked at before each of the other tries.
    assert proxy.count(REFS) - refs >= 3


def test_a_lost_commit_under_commits_of_others(
    proxy: FaultProxy, fs: pyxet.XetFS, fresh: pyxet.XetFS, main: str
) -> None:
    async def act(proxy: FaultProxy, request: web.Request) -> web.StreamResponse:
        await proxy.fetched(request)
        await asyncio.to_thread(fresh.pipe, f"{main}/after", b"x")
        # Over the same path, and under the same title.
        await asyncio.to_thread(fresh.pipe, f"{main}/a", b"theirs", message="once")
        return web.Response(status=500)

    proxy.rule(COMMIT, act, times=1)
    with fs.transaction(message="once") as tr:
        fs.pipe(f"{main}/a", b"ours")
    assert titles(fresh, main) == ["once", "Upload after", "once"]
    assert [commit.id for commit in tr.commits] == [fresh.log(main)[2].id]
    assert fresh.cat(f"{main}/a") == b"theirs"


def test_another_commit_with_our_title_is_not_ours(
    proxy: FaultProxy, fs: pyxet.XetFS, fresh: pyxet.XetFS, main: str
) -> None:
    async def act(proxy: FaultProxy, request: web.Request) -> web.StreamResponse:
        await request.read()
        await asyncio.to_thread(fresh.pipe, f"{main}/a", b"theirs", message="same")
        return web.Response(status=500)

    proxy.rule(COMMIT, act, times=1)
    fs.pipe(f"{main}/a", b"ours", message="same")
    assert titles(fresh, main) == ["same", "same"]
    assert fresh.cat(f"{main}/a") == b"ours"


def test_a_commit_that_arrives_late_is_not_made_again(
    proxy: FaultProxy, fs: pyxet.XetFS, fresh: pyxet.XetFS, main: str
) -> None:
    """The first try is still on its way when the head is looked at: the second one names its parent, and is refused."""
    late: list[Any] = []

    async def first(proxy: FaultProxy, request: web.Request) -> web.StreamResponse:
        late.append((request.raw_path, dict(request.headers), await request.read()))
        return web.Response(status=500)

    async def second(proxy: FaultProxy, request: web.Request) -> web.StreamResponse:
        path, headers, body = late.pop()
        async with proxy._session.post(proxy.upstream + path, headers=headers, data=body) as answer:
            assert answer.status == 200
        await asyncio.to_thread(fresh.pipe, f"{main}/a", b"theirs", message="later")
        return await proxy.forward(request)

    proxy.rule(COMMIT, first, times=1)
    proxy.rule(COMMIT, second, times=1)
    with fs.transaction(message="once") as tr:
        fs.pipe(f"{main}/a", b"a")
    assert titles(fresh, main) == ["once", "later"]
    assert [commit.id for commit in tr.commits] == [fresh.log(main)[1].id]
    assert fresh.cat(f"{main}/a") == b"theirs"
    assert proxy.count(COMMIT) == 2


@pytest.mark.parametrize(
    ("how", "error"), [("500", ServerError), ("reset", ConnectionFailedError), ("garbled", ValueError)]
)
def test_an_endpoint_that_stays_broken(
    proxy: FaultProxy, fs: pyxet.XetFS, fresh: pyxet.XetFS, main: str, how: str, error: type[Exception]
) -> None:
    acts = {"500": answer(500), "reset": no_answer(), "garbled": answer(200, b"nonsense")}
    proxy.rule(COMMIT, acts[how])
    with pytest.raises(error):
        fs.pipe(f"{main}/a", b"a")
    assert proxy.count(COMMIT) == FAST.attempts
    assert titles(fresh, main) == []


def test_an_endpoint_that_is_gone_after_the_commit(
    proxy: FaultProxy, fs: pyxet.XetFS, fresh: pyxet.XetFS, main: str
) -> None:
    def cut_off(proxy: FaultProxy, request: web.Request) -> Any:
        proxy.rule(".*", no_answer())
        return no_answer()(proxy, request)

    proxy.rule(COMMIT, cut_off, times=1)
    with pytest.raises(ConnectionFailedError, match="committing to"):
        fs.pipe(f"{main}/a", b"a")


# -- an endpoint that is busy ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [409, 423, 429, 503])
def test_retry_after_is_waited_for(
    proxy: FaultProxy, fs: pyxet.XetFS, fresh: pyxet.XetFS, main: str, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    sleep = asyncio.sleep

    async def no_sleep(delay: float, result: Any = None) -> Any:
        if delay:
            waited.append(delay)
        return await sleep(0, result)

    monkeypatch.setattr(asyncio, "sleep", no_sleep)
    proxy.rule(COMMIT, answer(status, Retry_After="7"), times=2)
    fs.pipe(f"{main}/a", b"a", message="once")
    assert waited.count(7.0) == 2
    assert titles(fresh, main) == ["once"]
    # It was refused, so there is nothing to look for.
    assert proxy.count("GET .*/commits/") == 0


@pytest.mark.parametrize(("status", "error"), [(423, ConflictError), (429, RateLimitedError), (503, ServerError)])
def test_waits_that_are_too_long_are_refused(
    proxy: FaultProxy, fs: pyxet.XetFS, main: str, status: int, error: type[Exception]
) -> None:
    proxy.rule(COMMIT, answer(status, Retry_After="86400"))
    with pytest.raises(error) as caught:
        fs.pipe(f"{main}/a", b"a")
    assert getattr(caught.value, "retry_after", None) == 86400
    assert proxy.count(COMMIT) == 1


def test_a_head_that_moves_under_a_guarded_commit(
    proxy: FaultProxy, fs: pyxet.XetFS, fresh: pyxet.XetFS, main: str
) -> None:
    async def act(proxy: FaultProxy, request: web.Request) -> web.StreamResponse:
        await asyncio.to_thread(fresh.pipe, f"{main}/other", os.urandom(8).hex().encode())
        return await proxy.forward(request)

    proxy.rule(COMMIT, act, times=3)
    fs.pipe_file(f"{main}/a", b"a", mode="create")
    assert fresh.cat(f"{main}/a") == b"a"
    assert proxy.count(COMMIT) == 4


def test_errors_that_are_final(proxy: FaultProxy, fs: pyxet.XetFS, main: str) -> None:
    for status, error in ((400, ValueError), (403, PermissionError), (507, ServerError)):
        proxy.clear()
        proxy.rule(COMMIT, answer(status))
        with pytest.raises(error):
            fs.pipe(f"{main}/a", b"a")
        assert proxy.count(COMMIT) == 1


def test_a_time_out_names_the_commit(proxy: FaultProxy, shared_endpoint: LocalEndpoint, main: str) -> None:
    from support.faults import silent

    fs = pyxet.XetFS(
        endpoint=proxy.url, user="acme", token=shared_endpoint.token, timeouts=pyxet.Timeouts(connect=0.1, response=0.2),
        retry=pyxet.RetryPolicy(attempts=1),
    )  # fmt: skip
    proxy.rule(COMMIT, silent())
    with pytest.raises(RequestTimeoutError, match="committing to"):
        fs.pipe(f"{main}/a", b"a")
