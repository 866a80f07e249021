"""What storage says to a xorb that comes by an upload grant, and storage that is another server."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from support.faults import (
    DIRECT,
    FAST,
    GRANT,
    UPLOAD,
    FaultProxy,
    answer,
    answer_early,
    changed,
    forward_then,
    no_answer,
    silent,
    world,
)
from support.grants import Message, counts, fresh, granting, stored

from pyxet._async.http.limiter import limiter_of
from pyxet.config import Timeouts
from pyxet.errors import (
    ConnectionFailedError,
    ServerError,
)


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
        with pytest.raises(ServerError, match="every upload grant failed") as failed:
            await it.store(fresh())
        assert counts(it) == [3, 3, 0, 1]
        assert "token" not in str(failed.value)
        it.proxy.clear()
        it.proxy.rule(UPLOAD, answer(403))
        with pytest.raises(ServerError, match="every upload grant failed"):
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
