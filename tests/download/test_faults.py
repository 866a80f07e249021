"""Downloads over connections that break and from answers that are wrong: continued, asked for again, or an error."""

from __future__ import annotations

from dataclasses import replace

import pytest
from aiohttp import web
from support.contents import content, texts
from support.faults import (
    MIB,
    PLAN,
    XORB,
    FaultProxy,
    answer,
    changed,
    cut,
    flipped,
    no_answer,
    world,
)

from pyxet._async.download.reconstruct import Downloader
from pyxet.config import Timeouts
from pyxet.errors import (
    AccessDeniedError,
    ConnectionFailedError,
    FormatError,
    IntegrityError,
    RemoteError,
    RepositoryNotFoundError,
)


async def test_a_body_that_breaks_off_is_continued() -> None:
    async with world() as it:
        data = content(12, 4 * MIB)
        file = await it.store(data)
        it.proxy.clear()
        it.proxy.rule(XORB, cut(0.4), times=1)
        it.proxy.rule(XORB, answer(503, Retry_After="0"), times=1)
        it.proxy.rule(XORB, cut(0.5), times=1)
        assert await Downloader(it.client).read(file) == data
        starts = [int(item.headers["Range"][6:].split("-")[0]) for item in it.proxy.seen if item.line.startswith(XORB)]
        assert len(starts) == 4
        assert starts == sorted(starts)
        assert starts[-1] > 2 * MIB


async def test_a_body_that_stalls_is_continued() -> None:
    async with world(timeouts=Timeouts(progress=0.3)) as it:
        data = content(13, MIB)
        file = await it.store(data)
        it.proxy.rule(XORB, cut(0.5, stall=True), times=1)
        assert await Downloader(it.client).read(file) == data


async def test_a_connection_that_is_reset_in_the_body() -> None:
    async with world() as it:
        data = content(32, 4 * MIB)
        file = await it.store(data)
        it.proxy.rule(XORB, cut(0.5, reset=True), times=3)
        assert await Downloader(it.client).read(file) == data


async def test_a_xorb_that_never_comes() -> None:
    async with world() as it:
        file = await it.store(content(14, MIB))
        it.proxy.rule(XORB, no_answer())
        with pytest.raises(ConnectionFailedError):
            await Downloader(it.client).read(file)


@pytest.mark.parametrize("status", [401, 403])
async def test_an_expired_url_fetches_a_new_plan(status: int) -> None:
    async with world() as it:
        data = content(15, MIB)
        file = await it.store(data)
        reader = Downloader(it.client)
        it.proxy.clear()
        it.proxy.rule(XORB, answer(status), times=2)
        assert await reader.read(file, 0, 10) == data[:10]
        assert it.proxy.count(PLAN) == 3
        # So does one that expires while its plan is kept.
        it.proxy.clear()
        it.proxy.rule(XORB, answer(status), times=1)
        assert await reader.read(file, 0, 10) == data[:10]
        assert it.proxy.count(PLAN) == 1


async def test_urls_that_are_never_accepted() -> None:
    async with world() as it:
        file = await it.store(content(16, MIB))
        it.proxy.clear()
        it.proxy.rule(XORB, answer(403))
        with pytest.raises(AccessDeniedError):
            await Downloader(it.client).read(file)
        assert it.proxy.count(PLAN) == 3


@pytest.mark.parametrize("at", [0.0, 0.3, 0.999])
async def test_damaged_content_is_never_returned(at: float) -> None:
    async with world() as it:
        for number, make in enumerate((content, texts)):
            file = await it.store(make(17, MIB), f"{number}")
            it.proxy.clear()
            it.proxy.rule(XORB, flipped(at))
            with pytest.raises((IntegrityError, FormatError)):
                await Downloader(it.client).read(file)
            it.proxy._rules.clear()


async def test_a_plan_for_other_content() -> None:
    async with world() as it:
        one, other = await it.store(content(18, MIB)), await it.store(content(19, MIB))
        assert one.size == other.size
        mixed = replace(one, xet_hash=other.xet_hash, size=one.size)
        assert await Downloader(it.client).read(mixed) == content(19, MIB)
        it.proxy.rule(
            PLAN, changed(lambda body: body.replace(b'"offset_into_first_range":0', b'"offset_into_first_range":9'))
        )
        with pytest.raises(IntegrityError):
            await Downloader(it.client).read(replace(one, size=one.size - 1))


@pytest.mark.parametrize("change", [-1, 1, 100_000])
async def test_content_of_another_length(change: int) -> None:
    async with world() as it:
        file = await it.store(content(20, MIB))
        with pytest.raises(IntegrityError):
            await Downloader(it.client).read(replace(file, size=file.size + change))
        with pytest.raises(IntegrityError):
            await Downloader(it.client).read(replace(file, size=file.size + 100_000), file.size + 5, file.size + 50)


async def test_a_xorb_with_more_chunks_than_announced() -> None:
    async with world() as it:
        file = await it.store(texts(21, MIB))
        it.proxy.rule(PLAN, changed(lambda body: body.replace(b'"end":', b'"end":1')))
        with pytest.raises((FormatError, IntegrityError, RemoteError)):
            await Downloader(it.client).read(file)


async def test_content_that_is_gone_is_not_a_missing_file() -> None:
    async with world() as it:
        file = await it.store(content(22, MIB))
        reader = Downloader(it.client)
        for number, rule in enumerate((XORB, "GET /v[12]/reconstructions/")):
            it.proxy.clear()
            it.proxy.rule(rule, answer(404))
            with pytest.raises(IntegrityError, match="not stored") as caught:
                await reader.read(file, number, 100)
            assert not isinstance(caught.value, FileNotFoundError)
        it.client.cas(it.repo)._tokens.clear()
        it.proxy.rule("GET /api/", answer(404, X_Error_Code="RepoNotFound"))
        with pytest.raises(RepositoryNotFoundError):
            await reader.read(file, 3, 9)


async def test_redirected_xorbs() -> None:
    async with world() as it:
        data = content(23, MIB)
        file = await it.store(data)

        async def redirect(proxy: FaultProxy, request: web.Request) -> web.StreamResponse:
            return await answer(302, Location=it.endpoint.url + request.raw_path)(proxy, request)

        it.proxy.rule(XORB, redirect)
        assert await Downloader(it.client).read(file) == data
