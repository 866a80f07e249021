"""Xorbs by upload grants: each thing that a CAS and its storage may say, and what a grant may name."""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from aiohttp import web
from support.faults import (
    DIRECT,
    FAST,
    GRANT,
    MIB,
    STORE,
    TOKEN,
    UPLOAD,
    Act,
    FaultProxy,
    World,
    answer,
    answer_early,
    changed,
    check_clean,
    forward_then,
    gated,
    no_answer,
    silent,
    world,
)

from pyxet._async.download.reconstruct import Downloader
from pyxet._async.http.limiter import limiter_of
from pyxet.config import Timeouts
from pyxet.errors import (
    AccessDeniedError,
    AuthenticationError,
    BadRequestError,
    ConflictError,
    ConnectionFailedError,
    FormatError,
    NotSupportedError,
    ServerError,
    XetError,
)
from pyxet.protocol.checksum import crc64_nvme

NOISE = random.Random(1402)
WAYS = (GRANT, UPLOAD, STORE, DIRECT)
Message = dict[str, Any]


def fresh(size: int = 200_000) -> bytes:
    return NOISE.randbytes(size)


def counts(it: World) -> list[int]:
    """Requests for grants, by them, to commit them, and without them."""
    return [it.proxy.count(pattern) for pattern in WAYS]


def granting(change: Callable[[Message], object]) -> Act:
    """A grant that is changed on its way."""

    def changes(body: bytes) -> bytes:
        message = json.loads(body)
        change(message)
        return json.dumps(message).encode()

    return changed(changes)


async def stored(it: World, data: bytes) -> None:
    """Store content, and see that it can be read."""
    file = await it.store(data)
    assert await Downloader(it.client).read(file) == data


# -- what is usual -----------------------------------------------------------------------------------------------------


async def test_a_xorb_takes_three_requests() -> None:
    bodies: list[bytes] = []
    asked: list[Message] = []

    async def noted(proxy: FaultProxy, request: web.Request) -> web.StreamResponse:
        (asked.append(await request.json()) if "grants" in request.path else bodies.append(await request.read()))
        return await proxy.forward(request)

    async with world() as it:
        it.proxy.rule(f"{GRANT}|{UPLOAD}", noted)
        for size in (1000, MIB):
            await stored(it, fresh(size))
        assert counts(it) == [2, 2, 2, 0]
        assert it.proxy.count(TOKEN) == 2
        for message, body in zip(asked, bodies, strict=True):
            checksum = {"algo": "crc64nvme", "value": str(crc64_nvme([body]))}
            assert message == {"length": len(body), "checksum": checksum}
        for seen in it.proxy.seen:
            if seen.line.startswith("PUT "):
                names = {name.lower() for name in seen.headers}
                assert not names & {"authorization", "content-type", "transfer-encoding"}
                assert {"content-length", "if-none-match", "x-checksum-crc64nvme"} <= names


async def test_what_is_stored_is_not_sent() -> None:
    """An upload that was interrupted had stored it; no shard tells of its chunks."""
    async with world() as it:
        data = fresh()
        uploader = it.uploader()
        await uploader.add(data)
        await uploader.packer.seal()
        await uploader.packer.sent()
        await uploader.aclose()
        it.proxy.clear()
        uploader = it.uploader()
        await uploader.add(data)
        await uploader.flush()
        await uploader.aclose()
        assert counts(it) == [1, 0, 0, 0]
        assert (uploader.stats.sent, uploader.stats.deduplicated) == (0, len(data))


@pytest.mark.parametrize("status", [404, 405, 410, 501])
async def test_a_cas_without_grants_is_asked_once(status: int) -> None:
    async with world() as it:
        it.proxy.rule(GRANT, answer(status))
        for _ in range(3):
            await stored(it, fresh())
        assert counts(it) == [1, 0, 0, 3]


@pytest.mark.parametrize("status", [404, 405, 410, 501])
async def test_a_cas_with_grants_only(status: int) -> None:
    async with world() as it:
        it.proxy.rule(DIRECT, answer(status))
        await stored(it, fresh())
        it.proxy.rule(UPLOAD, answer(403), times=2)
        await stored(it, fresh())
        assert counts(it) == [4, 4, 2, 0]


async def test_a_cas_that_goes_over_to_grants() -> None:
    async with world() as it:
        it.proxy.rule(GRANT, answer(404), times=1)
        it.proxy.rule(DIRECT, answer(410), skip=1)
        await stored(it, fresh())
        assert counts(it) == [1, 0, 0, 1]
        for _ in range(2):
            await stored(it, fresh())
        assert counts(it) == [3, 2, 2, 2]


async def test_a_cas_with_neither_says_so_each_time() -> None:
    async with world() as it:
        it.proxy.rule(GRANT, answer(404))
        it.proxy.rule(DIRECT, answer(410))
        for number in range(1, 3):
            with pytest.raises(NotSupportedError, match="neither by upload grants nor directly"):
                await it.store(fresh())
            assert counts(it) == [number, 0, 0, number]


async def test_a_missing_repository_is_no_missing_route() -> None:
    async with world() as it:
        it.proxy.rule(GRANT, answer(404, X_Error_Code="RepoNotFound"))
        with pytest.raises(XetError):
            await it.store(fresh())
        assert it.proxy.count(DIRECT) == 0


# -- what storage says -------------------------------------------------------------------------------------------------


async def test_412_is_there_already() -> None:
    async with world() as it:
        # What came is there, and the answer is lost; then it is said to be there.
        it.proxy.rule(UPLOAD, forward_then(500), times=1)
        uploader = it.uploader()
        await uploader.add(fresh())
        await uploader.flush()
        await uploader.aclose()
        assert counts(it) == [1, 2, 1, 0]


@pytest.mark.parametrize("status", [400, 401, 403, 411, 413, 307])
async def test_a_grant_that_is_refused_is_asked_for_again(status: int) -> None:
    async with world() as it:
        it.proxy.rule(UPLOAD, answer(status, Location="/elsewhere"), times=2)
        await stored(it, fresh())
        assert counts(it) == [3, 3, 1, 0]


async def test_three_grants_and_then_directly() -> None:
    async with world() as it:
        it.proxy.rule(UPLOAD, answer(403))
        await stored(it, fresh())
        assert counts(it) == [3, 3, 0, 1]


@pytest.mark.parametrize("status", [409, 500, 503])
async def test_what_may_help_is_tried_on_the_same_grant(status: int) -> None:
    async with world() as it:
        it.proxy.rule(UPLOAD, answer(status), times=FAST.attempts - 1)
        await stored(it, fresh())
        assert counts(it) == [1, FAST.attempts, 1, 0]
        it.proxy.clear()
        it.proxy.rule(UPLOAD, answer(status), times=FAST.attempts)
        await stored(it, fresh())
        assert counts(it) == [2, FAST.attempts + 1, 1, 0]


async def test_storage_that_is_down_is_gone_around() -> None:
    async with world() as it:
        it.proxy.rule(UPLOAD, no_answer())
        await stored(it, fresh())
        assert counts(it) == [3, 3 * FAST.attempts, 0, 1]


async def test_storage_that_does_not_answer() -> None:
    async with world(timeouts=Timeouts(connect=10, response=0.1, progress=0.1)) as it:
        it.proxy.rule(UPLOAD, silent(), times=1)
        it.proxy.rule(UPLOAD, answer_early(500), times=1)
        async with asyncio.timeout(60):
            await it.store(fresh(10_000))


async def test_404_leads_to_the_direct_route() -> None:
    async with world() as it:
        it.proxy.rule(UPLOAD, answer(404))
        await stored(it, fresh())
        assert counts(it) == [1, 1, 0, 1]


async def test_nobody_at_the_url_leads_to_the_direct_route(unused_port: int) -> None:
    nowhere = f"http://127.0.0.1:{unused_port}/x?signature=hidden-thing"
    async with world() as it:
        it.proxy.rule(GRANT, granting(lambda grant: grant.update(url=nowhere)))
        await stored(it, fresh())
        assert counts(it) == [1, 0, 0, 1]
        # Where there is no such route, it is waited for the other.
        it.proxy.clear()
        it.proxy.rule(GRANT, granting(lambda grant: grant.update(url=nowhere)))
        it.proxy.rule(DIRECT, answer(410))
        with pytest.raises(ConnectionFailedError) as failed:
            await it.store(fresh())
        assert counts(it) == [2, 0, 0, 1]
        assert "hidden-thing" not in f"{failed.value!r} {failed.value}"


async def test_grants_that_lead_nowhere_are_an_error() -> None:
    async with world() as it:
        it.proxy.rule(UPLOAD, answer(403))
        it.proxy.rule(DIRECT, answer(410))
        with pytest.raises(ServerError, match="no upload grant led anywhere") as failed:
            await it.store(fresh())
        assert counts(it) == [3, 3, 0, 1]
        assert "token" not in str(failed.value)
        it.proxy.clear()
        it.proxy.rule(UPLOAD, answer(403))
        with pytest.raises(ServerError, match="no upload grant led anywhere"):
            await it.store(fresh())
        assert counts(it) == [3, 3, 0, 0]


async def test_an_empty_web_page_is_an_answer() -> None:
    """Some storage says nothing, as a page."""
    async with world() as it:
        it.proxy.rule(UPLOAD, changed(lambda _: b"", Content_Type="text/html; charset=UTF-8"))
        await stored(it, fresh())
        assert counts(it) == [1, 1, 1, 0]
        it.proxy.clear()
        it.proxy.rule(UPLOAD, changed(lambda _: b"<html>log in", Content_Type="text/html"))
        await stored(it, fresh())
        assert counts(it) == [1, 1, 0, 1]


# -- what the CAS says -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [500, 503, 429])
async def test_a_grant_and_a_commit_are_asked_for_again(status: int) -> None:
    async with world() as it:
        it.proxy.rule(GRANT, answer(status), times=1)
        it.proxy.rule(STORE, answer(status), times=1)
        await stored(it, fresh())
        assert counts(it) == [2, 1, 2, 0]


@pytest.mark.parametrize("code", [None, "EntryNotFound"])
async def test_nothing_came_says_the_commit(code: str | None) -> None:
    says = answer(404, X_Error_Code=code) if code else answer(404)
    async with world() as it:
        it.proxy.rule(STORE, says, times=2)
        await stored(it, fresh())
        assert counts(it) == [3, 3, 3, 0]
        it.proxy.clear()
        it.proxy.rule(STORE, says)
        await stored(it, fresh())
        assert counts(it) == [3, 3, 3, 1]


@pytest.mark.parametrize("status", [200, 201, 204])
async def test_a_commit_without_a_word(status: int) -> None:
    async with world() as it:
        it.proxy.rule(STORE, changed(lambda _: b"", status))
        await stored(it, fresh())
        assert counts(it) == [1, 1, 1, 0]


@pytest.mark.parametrize(
    ("pattern", "status", "error", "tokens"),
    [
        (GRANT, 400, BadRequestError, 1), (GRANT, 401, AuthenticationError, 2), (GRANT, 403, AccessDeniedError, 2), (GRANT, 409, ConflictError, 1),
        (STORE, 400, BadRequestError, 1), (STORE, 401, AuthenticationError, 2), (STORE, 403, AccessDeniedError, 2), (STORE, 409, ConflictError, 1),
        (GRANT, 500, ServerError, 1), (STORE, 500, ServerError, 1),
    ],
)  # fmt: skip
async def test_a_cas_that_refuses(pattern: str, status: int, error: type[XetError], tokens: int) -> None:
    """Nothing else would be accepted either."""
    async with world() as it:
        it.proxy.rule(pattern, answer(status))
        with pytest.raises(error):
            await it.store(fresh())
        assert it.proxy.count(DIRECT) == 0
        assert it.proxy.count(TOKEN) == tokens


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[]", b"x", b'{"id":"1","method":"PUT","url":"http://a/"}', b'{"id":1}', b"[" * 10_000]
)
async def test_a_grant_that_is_none(body: bytes) -> None:
    async with world() as it:
        it.proxy.rule(GRANT, answer(201, body))
        await stored(it, fresh())
        assert counts(it) == [1, 0, 0, 1]


CHANGES: dict[str, Callable[[Message], object]] = {
    "delete": lambda grant: grant.update(method="DELETE"),
    "get": lambda grant: grant.update(method="GET"),
    "method": lambda grant: grant.update(method="PUT /x HTTP/1.1\r\nX: y\r\n\r\n"),
    "file": lambda grant: grant.update(url="file:///etc/passwd"),
    "relative": lambda grant: grant.update(url="/v1/x"),
    "user": lambda grant: grant.update(url="http://me:password@127.0.0.1:1/"),
    "line": lambda grant: grant.update(url=f"{grant['url']}\r\nX: y"),
    "long": lambda grant: grant.update(url=f"{grant['url']}&{'x' * 20_000}"),
    "no id": lambda grant: grant.update(id=""),
    "dots": lambda grant: grant.update(id=".."),
    "long id": lambda grant: grant.update(id="x" * 2000),
    "odd id": lambda grant: grant.update(id="a\r\nb"),
    "many": lambda grant: grant.update(headers={f"x-{number}": "y" for number in range(100)}),
    "name": lambda grant: grant["headers"].update({"a b": "c"}),
    "colon": lambda grant: grant["headers"].update({"a:b": "c"}),
    "no name": lambda grant: grant["headers"].update({"": "c"}),
    "value": lambda grant: grant["headers"].update({"a": "b\r\nAuthorization: Bearer x"}),
    "letters": lambda grant: grant["headers"].update({"a": "é"}),
    "long value": lambda grant: grant["headers"].update({"a": "b" * 10_000}),
    "host": lambda grant: grant["headers"].update({"Host": "elsewhere.example"}),
    "length": lambda grant: grant["headers"].update({"content-length": "5"}),
    "coding": lambda grant: grant["headers"].update({"Transfer-Encoding": "chunked"}),
    "proxy": lambda grant: grant["headers"].update({"Proxy-Authorization": "Basic x"}),
    "connection": lambda grant: grant["headers"].update({"CONNECTION": "close"}),
}


@pytest.mark.parametrize("change", CHANGES)
async def test_a_grant_that_asks_for_what_is_not_the_endpoints_to_say(change: str) -> None:
    async with world() as it:
        it.proxy.rule(GRANT, granting(CHANGES[change]))
        await stored(it, fresh())
        assert counts(it) == [1, 0, 0, 1]
        it.proxy.rule(DIRECT, answer(410))
        with pytest.raises(FormatError, match=r"the upload grant|the endpoint names"):
            await it.store(fresh())


async def test_an_answer_that_is_far_too_long_is_no_grant() -> None:
    async with world() as it:
        it.proxy.rule(GRANT, answer(201, b'{"id":"' + b"x" * (3 << 20) + b'"}'))
        await stored(it, fresh())
        assert counts(it) == [1, 0, 0, 1]


async def test_headers_that_are_sent_anyway_may_be_named() -> None:
    """Signed headers are often listed with the host and the length."""

    def change(grant: Message) -> None:
        host = urlsplit(grant["url"]).netloc
        length = grant["url"].partition("length=")[2].partition("&")[0]
        more = {
            "host": host,
            "Content-Length": length,
            "Content-Type": "application/x-xorb",
            "Authorization": "Storage abc",
        }
        grant["headers"].update(more)
        grant["method"] = "put"

    async with world() as it:
        it.proxy.rule(GRANT, granting(change))
        await stored(it, fresh())
        assert counts(it) == [1, 1, 1, 0]
        [sent] = [seen.headers for seen in it.proxy.seen if seen.line.startswith("PUT ")]
        assert (sent["Content-Type"], sent["Authorization"]) == ("application/x-xorb", "Storage abc")


async def test_an_id_is_named_as_it_is() -> None:
    paths: list[str] = []

    async def noted(proxy: FaultProxy, request: web.Request) -> web.StreamResponse:
        paths.append(request.raw_path)
        return web.Response()

    async with world() as it:
        it.proxy.rule(GRANT, granting(lambda grant: grant.update(id="a/b?c#d%e é")))
        it.proxy.rule(STORE, noted)
        it.proxy.rule("POST /v./shards", answer(200, b'{"type":"result"}'))
        await it.store(fresh())
        assert [path.rpartition("/grant/")[2] for path in paths] == ["a%2Fb%3Fc%23d%25e%20%C3%A9"]


# -- a server of its own -----------------------------------------------------------------------------------------------


async def test_storage_is_another_server(storage: FaultProxy) -> None:
    """Which gets no token, and has a pace of its own."""
    async with world() as it:
        target = f"{it.endpoint.url}"
        storage.upstream = target

        def change(grant: Message) -> None:
            grant["url"] = storage.url + grant["url"][len(it.proxy.url) :]

        it.proxy.rule(GRANT, granting(change))
        storage.rule(".*", answer(503), times=1)
        await stored(it, fresh())
        assert counts(it) == [1, 0, 1, 0]
        assert [seen.line.split()[0] for seen in storage.seen] == ["PUT", "PUT"]
        assert not [seen for seen in storage.seen if "Authorization" in seen.headers]
        origins = [("http", urlsplit(place.url).netloc) for place in (storage, it.proxy)]
        assert limiter_of(origins[0]) is not limiter_of(origins[1])
        # The one that was refused something goes slower, the other does not.
        assert limiter_of(origins[0]).controller.allowed < limiter_of(origins[1]).controller.allowed


async def test_nothing_of_a_grant_is_told(caplog: pytest.LogCaptureFixture) -> None:
    secrets = ("signature=", "hidden-header")
    caplog.set_level(logging.DEBUG)
    async with world() as it:
        it.proxy.rule(GRANT, granting(lambda grant: grant["headers"].update({"X-Token": "hidden-header"})))
        it.proxy.rule(UPLOAD, answer(500))
        it.proxy.rule(DIRECT, answer(410))
        with pytest.raises(ServerError) as failed:
            await it.store(fresh())
        told: list[str] = [record.getMessage() for record in caplog.records if record.name.startswith("pyxet")]
        error: BaseException | None = failed.value
        while error is not None:
            told += [str(error), repr(error)]
            error = error.__cause__ or error.__context__
        assert told
        for secret in secrets:
            assert not [text for text in told if secret in text]


# -- cancelled ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("phase", [GRANT, UPLOAD, STORE], ids=["grant", "upload", "commit"])
async def test_cancelled_in_each_phase(phase: str) -> None:
    """Nothing is left, and the next upload stores all of it."""
    async with world() as it:
        data = fresh()
        it.proxy.rule(phase, gated())
        task = asyncio.create_task(it.store(data))
        await it.proxy.arrival()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await check_clean()
        it.proxy.open_gate()
        it.proxy._rules.clear()
        await stored(it, data)


@pytest.fixture
def storage() -> Iterator[FaultProxy]:
    with FaultProxy("") as proxy:
        yield proxy


@pytest.fixture
def unused_port() -> Iterator[int]:
    import socket

    # Bound, and nobody listens: nobody else gets it meanwhile.
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield int(taken.getsockname()[1])
