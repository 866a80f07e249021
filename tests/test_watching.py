"""Watching it work: hooks, counts and the log, on what real requests do."""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock

import pytest
from support.cancelling import by_task
from support.cli import Cli
from support.contents import content
from support.faults import FAST, MIB, WHOAMI, XORB, FaultProxy, answer, cut, ranged, silent, world
from support.liar import head, raw
from support.proxied import asynchronous, proxied

import pyxet
from pyxet._async.http import arriving
from pyxet._async.http.failures import error_of
from pyxet._async.http.limiter import Limiter
from pyxet.testing import LocalEndpoint

Events = tuple[list[pyxet.RequestEvent], list[pyxet.TransferEvent]]


@pytest.fixture
def events() -> Iterator[Events]:
    """What hooks get while the test runs."""
    requests: list[pyxet.RequestEvent] = []
    transfers: list[pyxet.TransferEvent] = []
    with pyxet.on_request(requests.append), pyxet.on_transfer(transfers.append):
        yield requests, transfers


def test_requests_and_transfers_of_a_round_trip(xet: pyxet.XetFS, main: str, events: Events) -> None:
    requests, transfers = events
    before = xet.metrics()
    data = os.urandom(3 * MIB)
    xet.pipe({f"{main}/large.bin": data, f"{main}/small.txt": b"few"})
    assert xet.cat_file(f"{main}/large.bin") == data
    assert xet.cat_file(f"{main}/large.bin", 100, 300) == data[100:300]

    done = [
        (event.direction, event.path.rpartition("/")[2], event.start, event.end, event.bytes) for event in transfers
    ]
    assert sorted(done) == [
        ("download", "large.bin", 0, 3 * MIB, 3 * MIB),
        ("download", "large.bin", 100, 300, 200),
        ("upload", "large.bin", 0, 3 * MIB, 3 * MIB),
        ("upload", "small.txt", 0, 3, 3),
    ]
    assert {(event.status, event.attempts, event.error) for event in transfers} == {("done", 1, None)}
    assert {event.path.startswith(f"{main}/") for event in transfers if event.direction == "upload"} == {True}
    assert min(event.seconds for event in requests) >= 0 <= min(event.seconds for event in transfers)
    assert {event.host for event in requests} == {xet.endpoint.removeprefix("http://")}
    assert sum(event.sent for event in requests) > 3 * MIB > max(event.sent for event in requests) // 2
    assert sum(event.received for event in requests) > 3 * MIB
    found = xet.metrics() - before
    assert found.requests == len(requests)
    assert found.bytes_sent == sum(event.sent for event in requests)
    assert found.bytes_received == sum(event.received for event in requests)
    assert (found.uploaded_bytes, found.retries) == (3 * MIB, 0)


async def test_asynchronous_calls_are_told_as_well(shared_endpoint: LocalEndpoint, main: str, events: Events) -> None:
    _, transfers = events
    async with asynchronous(shared_endpoint) as fs:
        names = [f"{main}/{number}.bin" for number in range(5)]
        await fs._pipe({name: content(number, 70_000) for number, name in enumerate(names)})
        await fs._cat(names)
        await fs._cat_ranges([names[0]] * 2, [0, 60_000], [5, 60_005])
        pieces = [piece async for piece in fs._stream(names[1])]
        async with fs.open_async(names[2]) as file:
            await file.read()
    assert sum(map(len, pieces)) == 70_000
    downloads = [event for event in transfers if event.direction == "download"]
    assert sorted(event.bytes for event in downloads) == [5, 5, *[70_000] * 7]
    assert {event.status for event in transfers} == {"done"}


def test_downloads_of_many_and_one(
    xet: pyxet.XetFS, main: str, events: Events, tmp_path: Path
) -> None:  # fmt: skip
    files = {f"{main}/in/{number}.bin": content(number, 3000) for number in range(3)}
    files[f"{main}/in/large.bin"] = content(9, 2 * MIB)
    xet.pipe(files)
    events[1].clear()
    xet.get(f"{main}/in/", f"{tmp_path}/", recursive=True)
    xet.get_file(f"{main}/in/large.bin", f"{tmp_path}/again.bin")
    assert sorted(event.bytes for event in events[1]) == [3000, 3000, 3000, 2 * MIB, 2 * MIB]


def test_retries_are_attempts_and_counts(
    through: tuple[FaultProxy, pyxet.XetFS], main: str, events: Events, caplog: pytest.LogCaptureFixture
) -> None:
    proxy, fs = through
    requests, transfers = events
    # Of nobody else's chunks, so that it is in one xorb.
    data = os.urandom(100_000)
    fs.pipe_file(f"{main}/a.bin", data)
    del requests[:], transfers[:]
    proxy.rule(XORB, answer(503), times=2)
    proxy.rule(XORB, cut(0.5), times=1)
    before = fs.metrics()
    with caplog.at_level(logging.DEBUG, "pyxet"):
        assert fs.cat_file(f"{main}/a.bin", 10, 99_000) == data[10:99_000]
    assert [event.attempts for event in transfers] == [4]
    xorbs = [event for event in requests if "xorb" in event.what]
    assert [(event.attempt, event.status, event.error) for event in xorbs] == [
        (1, 503, None), (2, 503, None), (3, 206, "ConnectionFailedError"), (4, 206, None),
    ]  # fmt: skip
    found = fs.metrics() - before
    assert (found.retries, found.waits, found.failed_requests) == (3, 3, 3)
    retries = [record for record in caplog.records if "trying again" in record.getMessage()]
    assert [vars(record)["reason"] for record in retries] == ["retry"] * 3
    debug = [record.name for record in caplog.records if record.levelno == logging.DEBUG]
    assert debug.count("pyxet.requests") == len(requests)
    assert debug.count("pyxet.transfers") == 1


def test_a_failure_is_told_as_one(through: tuple[FaultProxy, pyxet.XetFS], main: str, events: Events) -> None:
    proxy, fs = through
    fs.pipe_file(f"{main}/a.bin", content(3, 100_000))
    events[1].clear()
    proxy.rule(XORB, answer(403))
    with pytest.raises(pyxet.AccessDeniedError):
        fs.cat_file(f"{main}/a.bin", 5, 50)
    file = fs.open(f"{main}/b.bin", "wb")
    file.write(content(4, 3 * MIB))
    file.discard()
    [read, write] = events[1]
    assert (read.direction, read.status, read.bytes, read.error) == ("download", "failed", 0, "AccessDeniedError")
    assert (write.direction, write.path, write.bytes) == ("upload", f"{main}/b.bin", 3 * MIB)
    assert write.status != "done"


async def test_bodies_of_errors_are_counted_and_cancelled(events: Events, monkeypatch: pytest.MonkeyPatch) -> None:
    requests, _ = events
    begun = asyncio.Event()

    async def noted(*arguments: Any) -> pyxet.XetError:
        begun.set()
        return await error_of(*arguments)

    monkeypatch.setattr(arriving, "error_of", noted)
    async with world() as it:
        said = b'{"error": "not yours"}'
        it.proxy.rule("GET /data", answer(403, said), times=1)
        it.proxy.rule("GET /data", raw(head(403, Content_Length="100"), said, hang=True))
        with pytest.raises(pyxet.AccessDeniedError, match="not yours"):
            await ranged(it, 0, 10)
        before = pyxet.metrics()
        begun.clear()
        await by_task(ranged(it, 0, 10), begun.wait)
        assert (pyxet.metrics() - before).failed_requests == 1
    whole, cancelled = (event for event in requests if event.status == 403)
    assert (whole.received, whole.error) == (len(said), None)
    assert (cancelled.status, cancelled.error) == (403, "CancelledError")


async def test_a_cancelled_read_is_told(shared_endpoint: LocalEndpoint, main: str, events: Events) -> None:
    with proxied(shared_endpoint) as (proxy, _):
        async with asynchronous(shared_endpoint, proxy) as fs:
            await fs._pipe_file(f"{main}/a.bin", content(5, 100_000))
            events[0].clear()
            events[1].clear()
            proxy.rule(XORB, silent())

            async def begun() -> None:
                async with asyncio.timeout(30):
                    while not proxy.count(XORB):
                        await asyncio.sleep(0.01)

            await by_task(fs._cat_file(f"{main}/a.bin", 5, 50), begun)
    assert [(event.status, event.error) for event in events[1]] == [("cancelled", "CancelledError")]
    assert ("CancelledError", None) in [(event.error, event.status) for event in events[0]]


def test_a_hook_that_fails_breaks_nothing_and_is_told_once(
    xet: pyxet.XetFS, main: str, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(event: object) -> None:
        raise ZeroDivisionError("mine")

    def calls_back(event: object) -> None:
        xet.exists(f"{main}/x")

    with pyxet.on_request(broken), pyxet.on_transfer(broken), pyxet.on_request(calls_back):
        xet.pipe_file(f"{main}/a.txt", b"a")
        assert xet.cat_file(f"{main}/a.txt") == b"a"
    told = [record for record in caplog.records if record.name == "pyxet.watching"]
    assert [record.levelname for record in told] == ["WARNING"] * 3
    assert [record.exc_text.count("Error: mine") for record in told if record.exc_text] == [1, 0, 1]


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, asyncio.CancelledError, GeneratorExit])
def test_a_hook_that_wants_to_end_everything_breaks_nothing(
    xet: pyxet.XetFS, main: str, caplog: pytest.LogCaptureFixture, kind: type[BaseException]
) -> None:
    """The event loop's thread would be gone, and every later call would wait forever."""

    def ends(event: object) -> None:
        raise kind

    with pyxet.on_request(ends), pyxet.on_transfer(ends):
        xet.pipe_file(f"{main}/a.txt", b"a")
    assert xet.cat_file(f"{main}/a.txt") == b"a"
    assert sum(record.name == "pyxet.watching" for record in caplog.records) == 2


def test_ctrl_c_in_a_hook_on_the_main_thread_is_not_lost() -> None:
    def interrupted(event: pyxet.RequestEvent) -> None:
        raise KeyboardInterrupt

    event = pyxet.RequestEvent("GET", "x", "reading", 200, 0, 0, 0.0, 1, None)
    with pyxet.on_request(interrupted) as hook, pytest.raises(KeyboardInterrupt):
        hook(event)


def test_a_hook_that_returns_a_coroutine_is_told(xet: pyxet.XetFS, main: str, caplog: pytest.LogCaptureFixture) -> None:
    with pyxet.on_request(lambda event: coroutine_hook(event)):
        xet.ls(main, refresh=True)
    [told] = [record for record in caplog.records if record.name == "pyxet.watching"]
    assert "which is never awaited" in (told.exc_text or "")


def test_hooks_come_and_go_on_any_thread_and_in_themselves(xet: pyxet.XetFS, main: str) -> None:
    once: list[object] = []
    always: list[object] = []

    def only_one(event: object) -> None:
        once.append(event)
        first.close()

    def come_and_go() -> None:
        for _ in range(200):
            pyxet.on_request(always.append).close()

    first = pyxet.on_request(only_one)
    threads = [threading.Thread(target=come_and_go) for _ in range(4)]
    with pyxet.on_request(always.append):
        for thread in threads:
            thread.start()
        for _ in range(3):
            xet.ls(main, refresh=True)
        for thread in threads:
            thread.join()
    assert len(once) == 1
    assert len(always) >= 3
    del always[:]
    xet.ls(main, refresh=True)
    assert not always


def test_hooks_end(xet: pyxet.XetFS, main: str) -> None:
    seen: list[pyxet.RequestEvent] = []
    hook = pyxet.on_request(seen.append)
    xet.ls(main, refresh=True)
    assert seen
    hook.close()
    hook.close()
    del seen[:]
    xet.ls(main, refresh=True)
    assert not seen


async def coroutine_hook(event: object) -> None:
    pass


class CoroutineHook:
    async def __call__(self, event: object) -> None:
        pass


@pytest.mark.parametrize(
    ("hook", "text"),
    [
        (coroutine_hook, "would never be awaited"),
        (functools.partial(coroutine_hook), "would never be awaited"),
        (CoroutineHook(), "would never be awaited"),
        (AsyncMock(), "would never be awaited"),
        ("print", "not str"),
    ],
)
def test_what_is_no_hook_is_refused(hook: object, text: str) -> None:
    for register in (pyxet.on_request, pyxet.on_transfer):
        with pytest.raises(TypeError, match=text):
            register(hook)  # type: ignore[arg-type]


async def test_no_secret_is_in_an_event(events: Events, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "pyxet")
    async with world() as it:
        await it.client.hub.whoami()
        stored = await it.store(content(6, 200_000))
        await it.client.reader.read(stored)
        token = it.endpoint.token
    told = f"{events}{caplog.text}"
    assert token not in told
    assert "Signature" not in told
    assert "://" not in "".join(event.what + event.host for event in events[0])


def test_copies_between_repositories_that_move_content_are_told(
    through: tuple[FaultProxy, pyxet.XetFS], main: str, events: Events
) -> None:
    """An endpoint that does not share content between repositories has it read and sent again."""
    proxy, fs = through
    fs.make_repo(f"{main.removesuffix('/main')}-copy")
    copy = f"{main.removesuffix('/main')}-copy/main"
    fs.pipe({f"{main}/{number}.bin": content(number, 70_000 + number) for number in range(3)})
    transfers = events[1]
    transfers.clear()
    fs.copy(f"{main}/0.bin", f"{copy}/shared.bin")
    assert transfers == []
    proxy.rule(r"POST /api/.*/lfs-files/duplicate", answer(404))
    fs.copy([f"{main}/1.bin", f"{main}/2.bin"], [f"{copy}/1.bin", f"{copy}/2.bin"])
    told = sorted((event.direction, event.path.rpartition("/")[2], event.bytes, event.status) for event in transfers)
    assert told == [
        ("download", "1.bin", 70_001, "done"), ("download", "2.bin", 70_002, "done"),
        ("upload", "1.bin", 70_001, "done"), ("upload", "2.bin", 70_002, "done"),
    ]  # fmt: skip
    assert {event.path for event in transfers if event.direction == "upload"} == {f"{copy}/1.bin", f"{copy}/2.bin"}


def test_reads_from_memory_are_hits(xet: pyxet.XetFS, main: str, events: Events) -> None:
    xet.pipe_file(f"{main}/a.bin", content(7, 100_000))
    before = xet.metrics()
    with xet.open(f"{main}/a.bin", "rb") as file:
        first = [file.read(60_000), file.seek(1000), file.read(20_000)]
    assert first[2] == content(7, 100_000)[1000:21_000]
    assert (xet.metrics() - before).cache_hit_bytes >= 20_000


def test_content_that_is_there_is_deduplicated(xet: pyxet.XetFS, main: str) -> None:
    xet.pipe_file(f"{main}/a.bin", content(8, 2 * MIB))
    before = xet.metrics()
    xet.pipe_file(f"{main}/b.bin", content(8, 2 * MIB))
    found = pyxet.metrics() - before
    assert found.uploaded_bytes == found.deduplicated_bytes == 2 * MIB
    assert "deduplicated bytes" in found._repr_html_()
    assert "2,097,152" in found._repr_html_()


async def test_a_pause_is_said_to_those_who_wait_for_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = 1000.0

    async def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    limiter = Limiter(lambda: now, host="hub.example")
    permit = await limiter.enter("GET", 64)
    permit.answering(None)
    permit.refused(30.0)
    permit.end()
    monkeypatch.setattr(asyncio, "sleep", sleep)
    before = pyxet.metrics()
    for _ in range(2):
        (await limiter.enter("GET", 64)).end()
    [record] = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert "hub.example received too many requests" in record.getMessage()
    assert vars(record)["reason"] == "rate limit"
    assert (pyxet.metrics() - before).seconds_waited == pytest.approx(30.0)


async def test_a_rate_limit_is_the_reason(caplog: pytest.LogCaptureFixture) -> None:
    async with world(retry=FAST) as it:
        it.proxy.rule(WHOAMI, answer(429), times=1)
        with caplog.at_level(logging.INFO, "pyxet.requests"):
            await it.client.hub.whoami()
    [record] = [record for record in caplog.records if record.name == "pyxet.requests"]
    assert vars(record)["reason"] == "rate limit"


@pytest.mark.needs("fork")
def test_a_forked_child_counts_for_itself(xet: pyxet.XetFS, main: str) -> None:
    xet.ls(main)
    read, write = os.pipe()
    if (child := os.fork()) == 0:
        os.write(write, b"%d" % pyxet.metrics().requests)
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(read, 10) == b"0"
    os.close(read)
    os.close(write)


def test_the_command_is_verbose(cli: Cli, xet: pyxet.XetFS, main: str) -> None:
    xet.pipe_file(f"{main}/a.txt", b"a")
    quiet = cli("cat", f"{main}/a.txt")
    assert (quiet.out, quiet.err) == ("a", "")
    some = cli("-v", "cat", f"{main}/a.txt")
    assert some.out == "a"
    assert "requests, 0 retries" in some.err
    assert "DEBUG" not in some.err
    for options in (("-vv", "cat"), ("-v", "cat", "-v"), ("cat", "--verbose", "--verbose")):
        told = cli(*options, f"{main}/a.txt")
        assert told.out == "a"
        assert "DEBUG   pyxet.requests: " in told.err
        assert "DEBUG   pyxet.transfers: download of " in told.err
    assert "DEBUG" not in cli("cat", f"{main}/a.txt").err
