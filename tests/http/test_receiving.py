"""HTTP: bodies that come straight into memory, beside those that come through the library: the same bytes, errors and connections."""

from __future__ import annotations

import asyncio
import random
import ssl
from contextlib import aclosing
from itertools import repeat
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from support.cancelling import WAYS, Way
from support.faults import FAST, MIB, Act, FaultProxy, World, answer, get, ranged, world
from support.liar import head, raw, slowly
from support.stores import DATA

from pyxet._async.http import arriving, receiving
from pyxet._async.http.arriving import StreamAnswer
from pyxet._async.http.messages import Request
from pyxet._async.http.partial import PlainReader
from pyxet._async.http.receiving import Receiver
from pyxet._async.http.transport import Transport
from pyxet._async.runtime.memory import STRETCH, STRETCHES
from pyxet.config import Credential, Limits, RetryPolicy, Timeouts
from pyxet.errors import ConnectionFailedError, RequestTimeoutError

CONTENT = random.Random(16).randbytes(5 * MIB + 123)
SOON = Timeouts(progress=0.5, response=30.0)
TWICE = RetryPolicy(attempts=2, base_delay=0.001, max_delay=0.002)


class Ways:
    """Which way bodies take."""

    def __init__(self, straight: bool) -> None:
        self.straight = straight
        self.used: list[bool] = []

    def check(self) -> None:
        """Bodies took the way that the test is about; on other loops (uvloop, Windows') there is the ordinary one alone."""
        # What came together with its head never takes the straight one.
        lends = isinstance(asyncio.get_running_loop(), asyncio.SelectorEventLoop)
        assert any(self.used) == (self.straight and lends)


@pytest.fixture(params=[True, False], ids=["straight", "ordinary"])
def ways(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Ways:
    """Both ways, one after the other: the ordinary one is what other event loops have."""
    found = Ways(request.param)

    def noted(*arguments: Any) -> Receiver | None:
        receiver = receiving.receiver_of(*arguments)
        found.used.append(receiver is not None)
        return receiver

    monkeypatch.setattr(arriving, "receiver_of", noted)
    if not found.straight:
        monkeypatch.setattr(receiving, "_TRANSPORTS", frozenset())
    return found


def span_of(request: web.Request) -> tuple[int, int]:
    start, last = request.headers["Range"].removeprefix("bytes=").split("-")
    return int(start), int(last) + 1


def part(start: int, end: int, **more: str) -> bytes:
    """The head of an answer with these bytes."""
    length = {"Content_Length": str(end - start)}
    return head(206, Content_Range=f"bytes {start}-{end - 1}/{len(CONTENT)}", **(length | more))


def serving(connections: list[object] | None = None, **more: str) -> Act:
    """The range that is asked for; notes the connection of each request."""

    async def act(_: FaultProxy, request: web.Request) -> web.StreamResponse:
        if connections is not None:
            connections.append(request.transport)
        start, end = span_of(request)
        headers = {"Content-Range": f"bytes {start}-{end - 1}/{len(CONTENT)}"} | {
            name.replace("_", "-"): value for name, value in more.items()
        }
        return web.Response(status=206, body=CONTENT[start:end], headers=headers)

    return act


def broken(after: int, *, reset: bool = False, extra: bytes = b"", hang: bool = False) -> Act:
    """The head of the range, and so many bytes of it; then the end of the connection, or nothing more."""

    async def act(proxy: FaultProxy, request: web.Request) -> web.StreamResponse:
        start, end = span_of(request)
        body = CONTENT[start : min(end, start + after)] + extra
        if reset:
            assert request.transport is not None
            request.transport.write(part(start, end) + body)
            request.transport.abort()
            return web.Response()
        return await raw(part(start, end), body, hang=hang)(proxy, request)

    return act


def pooled(it: World) -> tuple[int, int]:
    """Open connections that wait for a request, and those that are in use."""
    connector = it.client.transport.sessions.by_loop[asyncio.get_running_loop()].http.connector
    assert connector is not None
    waiting = [protocol for kept in connector._conns.values() for protocol, _ in kept if protocol.is_connected()]
    return len(waiting), len(connector._acquired)


# -- bytes and connections -----------------------------------------------------------------------------------------------


async def test_bodies_of_all_lengths_on_one_connection(ways: Ways) -> None:
    connections: list[object] = []
    async with world() as it:
        it.proxy.rule("GET /data", serving(connections))
        for start, size in [(0, 1), (7, 2), (1, 65_535), (0, 65_536), (5, MIB), (9, 2 * MIB + 1), (0, len(CONTENT))]:
            assert await ranged(it, start, start + size) == CONTENT[start : start + size]
        assert pooled(it) == (1, 0)
    assert len({id(connection) for connection in connections}) == 1
    ways.check()


async def test_other_requests_follow_on_the_connection(ways: Ways) -> None:
    async with world() as it:
        it.proxy.rule("GET /data", serving())
        for _ in range(3):
            assert await ranged(it, 0, len(CONTENT)) == CONTENT
            assert await get(it.client.transport) == 200
        assert pooled(it) == (1, 0)


async def test_many_at_once(ways: Ways) -> None:
    async with world() as it:
        it.proxy.rule("GET /data", serving())
        spans = [(number * 1000, len(CONTENT) - number * 77_777) for number in range(12)]
        found = await asyncio.gather(*(ranged(it, *span) for span in spans))
        assert found == [CONTENT[start:end] for start, end in spans]
        assert pooled(it)[1] == 0
    ways.check()


async def test_a_connection_that_is_to_be_closed_is_not_used_again(ways: Ways) -> None:
    connections: list[object] = []
    async with world() as it:
        it.proxy.rule("GET /data", serving(connections, Connection="close"))
        for _ in range(2):
            assert await ranged(it, 0, len(CONTENT)) == CONTENT
            assert pooled(it) == (0, 0)
    assert connections[0] is not connections[1]
    ways.check()


@pytest.mark.parametrize("extra", [b"x", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"])
@pytest.mark.parametrize("size", [STRETCH, MIB + 10, 2 * STRETCH + 10, 5 * MIB])
@pytest.mark.parametrize("straight", [True, False], ids=["straight", "ordinary"])
async def test_more_than_was_said_is_nobodys_answer(
    monkeypatch: pytest.MonkeyPatch, extra: bytes, size: int, straight: bool
) -> None:
    """What comes with the last bytes of a body could be taken for the next answer."""
    come: list[tuple[Receiver | None, aiohttp.StreamReader]] = []

    def noted(response: aiohttp.ClientResponse) -> Receiver | None:
        receiver = receiving.receiver_of(response) if straight else None
        come.append((receiver, response.content))
        return receiver

    def left() -> int:
        """Bytes of the body that have not come."""
        if not come:
            return size
        receiver, content = come[0]
        return receiver._left if receiver is not None else size - content.total_bytes

    async def act(proxy: FaultProxy, request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        assert proxy._gate is not None
        request.transport.write(part(0, size) + CONTENT[: size - 10])
        await proxy._gate.wait()
        request.transport.write(CONTENT[size - 10 : size] + extra)
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(arriving, "receiver_of", noted)
    async with world() as it:
        it.proxy.rule("GET /data", act)
        task = asyncio.create_task(ranged(it, 0, size))
        # All but the last ten bytes are there, so that those come in one piece with what follows them.
        while left() != 10:
            assert not task.done()
            await asyncio.sleep(0.001)
        it.proxy.open_gate()
        assert await task == CONTENT[:size]
        assert pooled(it) == (0, 0)
        answer = await it.client.transport.request("GET", "/api/whoami-v2", what="asking")
        assert b'"name"' in answer.body


# -- faults ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
@pytest.mark.parametrize("after", [0, 1, 70_000, 2 * MIB, 4 * MIB + 1])
async def test_what_breaks_off_is_continued(ways: Ways, after: int, reset: bool) -> None:
    async with world() as it:
        it.proxy.rule("GET /data", broken(after, reset=reset), times=2)
        it.proxy.rule("GET /data", serving())
        assert await ranged(it, 3, len(CONTENT)) == CONTENT[3:]
        assert pooled(it) == (1, 0)
        asked = [int(item.headers["Range"].removeprefix("bytes=").partition("-")[0]) for item in it.proxy.seen]
        assert asked[0] == 3
        assert asked == sorted(asked)
        if not reset:
            # A reset takes with it what was on its way.
            assert asked == [3, 3 + after, min(3 + 2 * after, len(CONTENT))][: len(asked)]
    ways.check()


async def test_a_body_that_never_comes_to_its_end(ways: Ways) -> None:
    async with world() as it:
        it.proxy.rule("GET /data", broken(0))
        with pytest.raises(ConnectionFailedError, match="broke"):
            await ranged(it, 0, 10)
        assert it.proxy.count("GET /data") == FAST.attempts
        assert pooled(it) == (0, 0)


@pytest.mark.parametrize("after", [0, 10, 3 * MIB])
async def test_a_stall(ways: Ways, after: int) -> None:
    async with world(retry=TWICE, timeouts=SOON) as it:
        it.proxy.rule("GET /data", broken(after, hang=True), times=1)
        it.proxy.rule("GET /data", serving())
        assert await ranged(it, 0, len(CONTENT)) == CONTENT
        assert [item.headers["Range"].partition("-")[0] for item in it.proxy.seen] == ["bytes=0", f"bytes={after}"]
        it.proxy.clear()
        it.proxy.rule("GET /data", broken(0, hang=True))
        with pytest.raises(RequestTimeoutError, match="no progress"):
            await ranged(it, 0, 1000)
        assert pooled(it)[1] == 0
    ways.check()


async def test_one_byte_now_and_then(ways: Ways) -> None:
    async with world(retry=TWICE, timeouts=SOON) as it:
        it.proxy.rule("GET /data", slowly(part(0, len(CONTENT)), CONTENT[:1], 0.01), times=1)
        it.proxy.rule("GET /data", answer(404))
        with pytest.raises(Exception, match=r"404|not found"):
            await ranged(it, 0, len(CONTENT))
        # Some of it came, and the rest was asked for.
        assert int(it.proxy.seen[1].headers["Range"].removeprefix("bytes=").partition("-")[0]) > 0
    ways.check()


@pytest.mark.parametrize(
    ("act", "others"),
    [
        (answer(200, CONTENT), 0),
        (raw(head(206, Content_Range=f"bytes 10-{3 * MIB - 1}/*"), CONTENT[10 : 3 * MIB]), 0),
        (raw(head(206, Content_Range=f"bytes 10-{3 * MIB - 1}/*", Transfer_Encoding="chunked"),
             b"100000\r\n" + CONTENT[10 : MIB + 10] + b"\r\n",
             b"%x\r\n" % (2 * MIB - 10) + CONTENT[MIB + 10 : 3 * MIB] + b"\r\n0\r\n\r\n"), 0),
        (raw(part(10, len(CONTENT)), CONTENT[10:]), 0),
        # The rest comes straight.
        (raw(part(10, 40), CONTENT[10:40]), 1),
    ],
    ids=["whole", "until the end", "chunked", "more", "less"],
)  # fmt: skip
async def test_what_only_the_ordinary_way_takes(ways: Ways, act: Act, others: int) -> None:
    async with world() as it:
        it.proxy.rule("GET /data", act, times=1)
        it.proxy.rule("GET /data", serving())
        assert await ranged(it, 10, 3 * MIB) == CONTENT[10 : 3 * MIB]
        assert len(ways.used) == others
        assert await get(it.client.transport) == 200
        assert pooled(it)[1] == 0


async def test_over_tls(ways: Ways, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the bytes come through another transport then, by records; and are cut off, and cancelled."""
    monkeypatch.setenv("SSL_CERT_FILE", str(DATA / "tls" / "cert.pem"))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(DATA / "tls" / "cert.pem", DATA / "tls" / "key.pem")
    connections: list[object] = []
    breaks = iter([3 * MIB + 1, 100])

    async def handle(request: web.Request) -> web.StreamResponse:
        start, end = span_of(request)
        after = next(breaks, None) if start else None
        if after is None:
            return await serving(connections)(None, request)  # type: ignore[arg-type]
        assert request.transport is not None
        request.transport.write(part(start, end) + CONTENT[start : start + after])
        request.transport.close()
        return web.Response()

    app = web.Application()
    app.router.add_get("/data", handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.01, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    url = f"https://127.0.0.1:{runner.addresses[0][1]}"
    transport = Transport(url, Credential(url, "test", None), limits=Limits(), retry=FAST, timeouts=Timeouts())

    async def all_of(start: int) -> bytes:
        pieces = transport.ranged("/data", start, len(CONTENT), what="reading")
        return b"".join([piece async for piece in pieces])

    try:
        for _ in range(2):
            assert await all_of(0) == CONTENT
        assert len({id(connection) for connection in connections}) == 1
        assert await all_of(1) == CONTENT[1:]
        reading = transport.ranged("/data", 0, len(CONTENT), what="reading")
        await anext(reading)
        await reading.aclose()
        assert await all_of(0) == CONTENT
    finally:
        await transport.aclose()
        await runner.cleanup()
    ways.check()


async def test_a_limited_bandwidth_is_paid_piece_by_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arriving, "receiver_of", lambda *_: pytest.fail("this way has no brake"))
    async with world(limits=Limits(bandwidth=64 * MIB)) as it:
        it.proxy.rule("GET /data", serving())
        assert await ranged(it, 0, MIB) == CONTENT[:MIB]


# -- cancelled -----------------------------------------------------------------------------------------------------------


@WAYS
async def test_cancelled_in_the_body(ways: Ways, way: Way) -> None:
    """Its memory may be another's by then, while the endpoint still sends."""
    async with world() as it:
        it.proxy.rule("GET /data", raw(part(0, 64 * MIB), repeat(b"x" * MIB)), times=1)
        it.proxy.rule("GET /data", serving())
        some = asyncio.Event()

        async def read() -> None:
            async with aclosing(it.client.transport.ranged("/data", 0, 64 * MIB, what="reading")) as pieces:
                async for _ in pieces:
                    some.set()
                    await asyncio.Event().wait()

        await way(read(), some.wait)
        assert pooled(it) == (0, 0)
        others = [STRETCHES.take() for _ in range(40)]
        blank = bytes(STRETCH)
        for other in others:
            other[:] = blank
        assert await ranged(it, 0, len(CONTENT)) == CONTENT
        assert await get(it.client.transport) == 200
        assert all(other == blank for other in others)
    ways.check()


@WAYS
async def test_cancelled_while_it_waits_for_more(ways: Ways, way: Way) -> None:
    async with world() as it:
        it.proxy.rule("GET /data", broken(3 * MIB, hang=True), times=1)
        it.proxy.rule("GET /data", serving())
        await way(ranged(it, 0, len(CONTENT)), it.proxy.arrival)
        assert pooled(it) == (0, 0)
        assert await ranged(it, 0, len(CONTENT)) == CONTENT


async def test_a_session_that_is_closed_in_the_body() -> None:
    async with world(retry=TWICE) as it:
        it.proxy.rule("GET /data", broken(3 * MIB, hang=True), times=1)
        it.proxy.rule("GET /data", serving())
        reading = asyncio.create_task(ranged(it, 0, len(CONTENT)))
        await it.proxy.arrival()
        await it.client.transport.aclose()
        assert await reading == CONTENT


# -- what has come before anybody takes it -------------------------------------------------------------------------------


async def test_a_body_of_which_much_is_there_already() -> None:
    """The library stops reading, and its parser puts aside what it had: nothing of it is lost, or comes twice."""
    async with world() as it:
        it.proxy.rule("GET /data", serving())
        for _ in range(5):
            span = {"Range": f"bytes=0-{len(CONTENT) - 1}"}
            transport = it.client.transport
            found: StreamAnswer = await transport._open(
                Request("GET", "/data", "reading", headers=span), 1, transport._speed()
            )
            protocol = found._response.connection.protocol  # type: ignore[union-attr]
            while not protocol._reading_paused:  # type: ignore[union-attr]
                await asyncio.sleep(0)
            came = b"".join([piece async for piece in found.pieces(PlainReader(0, len(CONTENT)))])
            found.close()
            assert came == CONTENT
        assert pooled(it) == (1, 0)


@pytest.mark.soak
async def test_any_pieces_and_breaks(ways: Ways) -> None:
    source = random.Random(17)

    async def act(_: FaultProxy, request: web.Request) -> web.StreamResponse:
        start, end = span_of(request)
        transport = request.transport
        assert transport is not None
        stop = source.choice([end, end, end, source.randrange(start, end + 1)])
        transport.write(part(start, end))
        at = start
        while at < stop:
            size = source.choice([1, 100, 10_000, 300_000, 2 * MIB])
            transport.write(CONTENT[at : min(stop, at + size)])
            at += size
            await asyncio.sleep(source.choice([0, 0, 0.001]))
            await request.protocol._drain_helper()
        if stop < end:
            transport.close()
            return web.Response()
        # The answer that aiohttp would write is not wanted.
        transport.close()
        return web.Response()

    async with world(retry=RetryPolicy(attempts=100, base_delay=0.001, max_delay=0.002)) as it:
        it.proxy.rule("GET /data", act)
        for _ in range(60):
            start = source.randrange(len(CONTENT) - 1)
            end = source.randrange(start + 1, len(CONTENT))
            assert await ranged(it, start, end) == CONTENT[start:end]
