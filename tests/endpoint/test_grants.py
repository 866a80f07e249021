"""Xorbs by upload grants: each thing that a CAS may say, and what a grant may name."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest
from aiohttp import web
from support.faults import (
    DIRECT,
    GRANT,
    MIB,
    STORE,
    TOKEN,
    UPLOAD,
    FaultProxy,
    answer,
    changed,
    check_clean,
    gated,
    world,
)
from support.grants import Message, counts, fresh, granting, stored

from pyxet.errors import (
    AccessDeniedError,
    AuthenticationError,
    BadRequestError,
    ConflictError,
    FormatError,
    NotSupportedError,
    ServerError,
    XetError,
)
from pyxet.protocol.checksum import crc64_nvme

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


# -- secrets -----------------------------------------------------------------------------------------------------------


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
