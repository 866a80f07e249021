"""HTTP: ranges of a resource, continued where they break off, and redirects."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import web
from support.faults import FAST, WHOAMI, FaultProxy, answer, get, ranged, shared_endpoint, world

from pyxet._async.http.messages import Body
from pyxet.errors import ConnectionFailedError, FormatError, IntegrityError, RemoteError

# -- ranges ------------------------------------------------------------------------------------------------------------

CONTENT = bytes(range(256)) * 40


def part(start: int, end: int, total: int | None = None) -> dict[str, str]:
    return {"Content_Range": f"bytes {start}-{end - 1}/{total or len(CONTENT)}"}


async def test_a_range() -> None:
    async with world() as it:
        it.proxy.rule("GET /data", answer(206, CONTENT[10:20], **part(10, 20)))
        assert await ranged(it, 10, 20) == CONTENT[10:20]
        assert it.proxy.seen[0].headers["Range"] == "bytes=10-19"


async def test_a_range_is_continued_where_it_broke_off() -> None:
    async with world() as it:
        it.proxy.rule("GET /data", answer(206, CONTENT[10:15], **part(10, 20)), times=1)
        it.proxy.rule("GET /data", answer(503, Retry_After="0"), times=1)
        it.proxy.rule("GET /data", answer(206, CONTENT[15:20], **part(15, 20)))
        assert await ranged(it, 10, 20) == CONTENT[10:20]
        assert [item.headers["Range"] for item in it.proxy.seen] == ["bytes=10-19", "bytes=15-19", "bytes=15-19"]


async def test_a_range_that_never_comes_to_its_end() -> None:
    async with world() as it:
        it.proxy.rule("GET /data", answer(206, b"", **part(10, 20)))
        with pytest.raises(ConnectionFailedError, match="10 bytes early"):
            await ranged(it, 10, 20)
        assert it.proxy.count("GET /data") == FAST.attempts


async def test_more_than_was_asked_for_is_not_taken() -> None:
    async with world() as it:
        it.proxy.rule("GET /data", answer(206, CONTENT[10:30], **part(10, 30)))
        assert await ranged(it, 10, 20) == CONTENT[10:20]


async def test_an_endpoint_without_ranges_sends_everything() -> None:
    async with world() as it:
        it.proxy.rule("GET /data", answer(200, CONTENT))
        assert await ranged(it, 10, 20) == CONTENT[10:20]
        assert await ranged(it, 0, len(CONTENT)) == CONTENT


async def test_a_range_as_a_plain_200() -> None:
    async with world() as it:
        it.proxy.rule("GET /data", answer(200, CONTENT[10:20]))
        assert await ranged(it, 10, 20) == CONTENT[10:20]


async def test_another_range_than_asked_for() -> None:
    async with world() as it:
        it.proxy.rule("GET /data", answer(206, CONTENT[11:21], **part(11, 21)))
        with pytest.raises(FormatError, match="starts at byte 11; 10 was asked for"):
            await ranged(it, 10, 20)


@pytest.mark.parametrize("status", [200, 206])
async def test_a_resource_of_another_size(status: int) -> None:
    async with world() as it:
        it.proxy.rule("GET /data", answer(status, CONTENT, **(part(10, 20) if status == 206 else {})))
        with pytest.raises(IntegrityError, match="99 were expected"):
            await ranged(it, 10, 20, total=99)


async def test_an_encoded_body_is_refused() -> None:
    async with world() as it:
        it.proxy.rule("GET /data", answer(206, CONTENT[10:20], Content_Encoding="gzip", **part(10, 20)))
        with pytest.raises(FormatError, match="encoded"):
            await ranged(it, 10, 20)


# -- redirects ---------------------------------------------------------------------------------------------------------


async def test_redirects_to_another_origin_carry_no_token() -> None:
    async with world() as it:
        with FaultProxy(shared_endpoint().url) as other:
            it.proxy.rule("GET /first", answer(302, Location="/second?x=1"))
            it.proxy.rule("GET /second", answer(307, Location=f"{other.url}/third"))
            other.rule("GET /third", answer(302, Location=f"{it.proxy.url}/fourth"))
            it.proxy.rule("GET /fourth", answer(200))
            assert await get(it.client.transport, "/first", redirect=True) == 200
            sent = [*it.proxy.seen[:2], *other.seen, it.proxy.seen[2]]
            assert ["Authorization" in item.headers for item in sent] == [True, True, False, False]


async def test_redirects_that_are_not_meant_are_errors() -> None:
    async with world() as it:
        it.proxy.rule(WHOAMI, answer(302, Location="/elsewhere"))
        with pytest.raises(RemoteError, match="302"):
            await it.client.hub.whoami()
        it.proxy.rule("GET /round", answer(302, Location="/round"))
        with pytest.raises(FormatError, match="redirects"):
            await get(it.client.transport, "/round", redirect=True)


async def test_a_name_that_changes_faster_than_it_is_followed_is_followed_again() -> None:
    """A repository that is renamed again and again redirects from each of its names to the next one, and comes to rest."""
    async with world() as it:
        for status in (307, 308):
            it.proxy.rule(f"GET /name{status}", answer(status, Location=f"/name{status}"), times=8)
            it.proxy.rule(f"GET /name{status}", answer(200, b"here"))
            assert await get(it.client.transport, f"/name{status}", redirect=True) == 200
            assert it.proxy.count(f"GET /name{status}") == 9
        it.proxy.rule("GET /restless", answer(307, Location="/restless"))
        with pytest.raises(ConnectionFailedError, match="more than 5 redirects"):
            await get(it.client.transport, "/restless", redirect=True)
        assert it.proxy.count("GET /restless") == 6 * FAST.attempts


async def test_a_request_that_changes_something_is_redirected_as_it_is_or_not_at_all() -> None:
    bodies: list[bytes] = []

    async def note(proxy: FaultProxy, request: web.Request) -> web.Response:
        bodies.append(await request.read())
        return web.Response()

    async def post(it: Any, path: str) -> int:
        body = Body((b"what ", b"is sent"))
        return int((await it.client.transport.request("POST", path, what="sending", body=body, redirect=True)).status)

    async with world() as it:
        with FaultProxy(shared_endpoint().url) as other:
            it.proxy.rule("POST /there", note)
            other.rule("POST /there", note)
            for status in (307, 308):
                it.proxy.rule(f"POST /{status}", answer(status, Location="/there"))
                assert await post(it, f"/{status}") == 200
            assert bodies == [b"what is sent"] * 2
            # A browser would go on with GET, and nothing would have been changed.
            for status in (301, 302, 303):
                it.proxy.rule(f"POST /{status}", answer(status, Location="/there"))
                with pytest.raises(RemoteError, match=str(status)):
                    await post(it, f"/{status}")
            it.proxy.rule("POST /away", answer(307, Location=f"{other.url}/there"))
            with pytest.raises(RemoteError, match="307"):
                await post(it, "/away")
            assert len(bodies) == 2
            assert other.seen == []
