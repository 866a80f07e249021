"""Tokens, plans, xorbs and shards: what the CAS client makes of the endpoint's answers."""

from __future__ import annotations

import asyncio
import json
import math
import random
import time
from types import SimpleNamespace

import pytest
from support.faults import (
    DIRECT,
    GRANT,
    MIB,
    PLAN,
    SHARD,
    STORE,
    TOKEN,
    UPLOAD,
    XORB,
    answer,
    changed,
    check_clean,
    cut,
    forward_then,
    gated,
    no_answer,
    silent,
    world,
)

from pyxet._async.download.reconstruct import Downloader
from pyxet.errors import (
    AuthenticationError,
    FormatError,
    NotFoundError,
    RemoteError,
    RepositoryNotFoundError,
    ServerError,
)
from pyxet.protocol.hashing import chunk_hash, hash_from_hex
from pyxet.types import RepoId

DATA = random.Random(1011).randbytes(200_000)


# -- tokens ------------------------------------------------------------------------------------------------------------


async def test_one_token_serves_many_requests() -> None:
    async with world() as it:
        await it.store(DATA)
        await it.store(DATA[::-1])
        assert it.proxy.count(TOKEN) == 1


async def test_concurrent_requests_ask_for_one_token() -> None:
    async with world() as it:
        cas = it.client.cas(it.repo)
        await asyncio.gather(*(cas.query_chunk(chunk_hash(bytes([number]))) for number in range(10)))
        assert it.proxy.count(TOKEN) == 1


@pytest.mark.parametrize(
    ("life", "passed", "tokens"),
    [(3600, 3560, 1), (3600, 3575, 2), (20, 10, 1), (20, 16, 2), (2, 0, 1), (-5, 0, 1), (-5, 3600, 1)],
)
async def test_tokens_are_renewed_before_their_end_and_not_with_every_request(
    monkeypatch: pytest.MonkeyPatch, life: int, passed: int, tokens: int
) -> None:  # fmt: skip
    now = time.time()
    ahead = 0

    def ending(body: bytes) -> bytes:
        return json.dumps({**json.loads(body), "exp": math.ceil(now) + life}).encode()

    monkeypatch.setattr("pyxet._async.endpoint.cas.time", SimpleNamespace(time=lambda: now + ahead))
    async with world() as it:
        it.proxy.rule(TOKEN, changed(ending))
        cas = it.client.cas(it.repo)
        await cas.query_chunk(chunk_hash(b"x"))
        ahead = passed
        for _ in range(3):
            await cas.query_chunk(chunk_hash(b"x"))
            # What came with the last one is good for longer.
            ahead = 0 if tokens == 2 else passed
        assert it.proxy.count(TOKEN) == tokens


async def test_a_token_that_ended_is_renewed_once_it_is_refused_whatever_the_clock_says() -> None:
    """A machine whose clock is an hour ahead: each token seems to have ended when it comes."""

    def ended(body: bytes) -> bytes:
        return json.dumps({**json.loads(body), "exp": int(time.time()) - 5}).encode()

    async with world() as it:
        it.proxy.rule(TOKEN, changed(ended))
        cas = it.client.cas(it.repo)
        await cas.query_chunk(chunk_hash(b"x"))
        it.proxy.rule("GET /v1/chunks/", answer(401), times=1)
        for _ in range(3):
            await cas.query_chunk(chunk_hash(b"x"))
        assert it.proxy.count(TOKEN) == 2


async def test_a_token_that_is_not_accepted_is_renewed_once() -> None:
    async with world() as it:
        file = await it.store(DATA)
        it.proxy.clear()
        it.proxy.rule(PLAN, answer(401), times=1)
        assert await Downloader(it.client).read(file) == DATA
        assert it.proxy.count(TOKEN) == 2 - 1 + 1
        it.proxy.rule("GET /v2/reconstructions/", answer(401))
        with pytest.raises(AuthenticationError):
            await it.client.cas(it.repo).reconstruction(hash_from_hex(file.xet_hash or ""), 5, 10)


async def test_the_hubs_refusal_of_a_token_is_raised() -> None:
    async with world() as it:
        it.proxy.rule(TOKEN, answer(404, X_Error_Code="RepoNotFound"))
        with pytest.raises(RepositoryNotFoundError):
            await it.store(DATA)


async def test_a_cancelled_caller_does_not_take_the_token_from_others() -> None:
    async with world() as it:
        cas = it.client.cas(it.repo)
        it.proxy.rule(TOKEN, gated())
        asking = [asyncio.create_task(cas.query_chunk(chunk_hash(b"x"))) for _ in range(3)]
        await it.proxy.arrival()
        asking[0].cancel()
        await asyncio.wait([asking[0]])
        it.proxy.open_gate()
        await asyncio.gather(*asking[1:])
        assert asking[0].cancelled()
        assert it.proxy.count(TOKEN) == 1


async def test_a_token_that_nobody_waits_for_any_more_leaves_no_task() -> None:
    async with world() as it:
        it.proxy.rule(TOKEN, silent())
        asking = asyncio.create_task(it.client.cas(it.repo).query_chunk(chunk_hash(b"x")))
        await it.proxy.arrival()
        asking.cancel()
        await asyncio.wait([asking])
        await check_clean()


async def test_tokens_of_a_repository_without_main() -> None:
    async with world() as it:
        it.proxy.rule(r"GET /api/.*-token/main", answer(404, X_Error_Code="RevisionNotFound"))
        it.proxy.rule(
            r"GET /api/.*/refs",
            answer(200, json.dumps({"branches": [{"name": "dev", "ref": "refs/heads/dev", "targetCommit": "0" * 40}]}).encode()),
        )  # fmt: skip
        token = {"accessToken": "t", "exp": int(time.time()) + 600, "casUrl": it.proxy.url}
        it.proxy.rule(r"GET /api/.*-token/dev", answer(200, json.dumps(token).encode()))
        it.proxy.rule("GET /v1/chunks", answer(404))
        await it.client.cas(it.repo).query_chunk(chunk_hash(b"x"))
        assert it.proxy.seen[-1].headers["Authorization"] == "Bearer t"


async def test_tokens_are_asked_for_with_the_revision_that_is_read() -> None:
    async with world() as it:
        file = await it.store(DATA)
        it.client.cas(it.repo)._tokens.clear()
        it.proxy.clear()
        await Downloader(it.client).read(file)
        assert it.proxy.count(rf"GET /api/.*/xet-read-token/{file.revision}\Z") == 1


async def test_tokens_of_buckets_have_no_revision() -> None:
    async with world() as it:
        token = {"accessToken": "t", "exp": int(time.time()) + 600, "casUrl": it.proxy.url}
        it.proxy.rule(r"GET /api/buckets/a/b/xet-write-token\Z", answer(200, json.dumps(token).encode()))
        it.proxy.rule("GET /v1/chunks", answer(404))
        assert await it.client.cas(RepoId("buckets", "a", "b")).query_chunk(chunk_hash(b"x")) is None


# -- plans -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [404, 501])
async def test_an_endpoint_without_v2_plans(status: int) -> None:
    async with world() as it:
        file = await it.store(DATA)
        it.proxy.rule("GET /v2/", answer(status))
        assert await Downloader(it.client).read(file) == DATA
        assert await Downloader(it.client).read(file, 10, 20) == DATA[10:20]
        # Asked for once, then remembered.
        assert it.proxy.count(PLAN) == 1


async def test_a_missing_file_does_not_switch_to_v1() -> None:
    async with world() as it:
        file = await it.store(DATA)
        cas = it.client.cas(it.repo)
        it.proxy.rule("GET /v2/", answer(404), times=1)
        with pytest.raises(NotFoundError):
            await cas.reconstruction(chunk_hash(b"missing"), 0, 10)
        it.proxy.clear()
        await cas.reconstruction(hash_from_hex(file.xet_hash or ""), 0, 10)
        assert it.proxy.count(PLAN) == 1
        # An endpoint that says what is missing has looked for it.
        it.proxy.clear()
        it.proxy.rule("GET /v2/", answer(404, X_Error_Code="EntryNotFound"))
        with pytest.raises(NotFoundError):
            await cas.reconstruction(chunk_hash(b"missing"), 0, 10)
        assert it.proxy.count("GET /v1/reconstructions") == 0


@pytest.mark.parametrize("status", [401, 403, 429, 500])
async def test_other_failures_of_plans_are_raised_as_they_are(status: int) -> None:
    async with world() as it:
        it.proxy.rule("GET /v2/", answer(status))
        with pytest.raises(RemoteError) as caught:
            await it.client.cas(it.repo).reconstruction(chunk_hash(b"x"), 0, 10)
        assert caught.value.status == status
        assert it.proxy.count("GET /v1/reconstructions") == 0


async def test_plans_are_kept_and_bounded() -> None:
    async with world() as it:
        file = await it.store(DATA)
        cas = it.client.cas(it.repo)
        value = hash_from_hex(file.xet_hash or "")
        it.proxy.clear()
        first = await cas.reconstruction(value, 0, 10)
        assert await cas.reconstruction(value, 0, 10) is first
        assert it.proxy.count(PLAN) == 1
        cas.invalidate_plan(value, 0, 10, first)
        assert await cas.reconstruction(value, 0, 10) is not first
        for end in range(11, 11 + 260):
            await cas.reconstruction(value, 0, end)
        assert len(cas._plans) == 256


@pytest.mark.parametrize("body", [b"", b"{}", b"null", b'{"offset_into_first_range": 0, "terms": [], "xorbs": 3}'])
async def test_plans_that_make_no_sense(body: bytes) -> None:
    async with world() as it:
        it.proxy.rule("GET /v2/", answer(200, body))
        with pytest.raises(FormatError):
            await it.client.cas(it.repo).reconstruction(chunk_hash(b"x"), 0, 10)


# -- uploads -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500])
async def test_failed_chunk_queries_count_as_no(status: int) -> None:
    async with world() as it:
        it.proxy.rule("GET /v1/chunks/", answer(status))
        await it.store(DATA)
        # Not worth waiting for; only a refused token is renewed.
        assert it.proxy.count("GET /v1/chunks/") == (2 if status in (401, 403) else 1)


async def test_chunk_queries_that_break_off_or_are_damaged_count_as_no() -> None:
    async with world() as it:
        await it.store(DATA)
        it.proxy.rule("GET /v1/chunks/", cut(100), times=1)
        it.proxy.rule("GET /v1/chunks/", changed(lambda body: body[:100]))
        for _ in range(2):
            assert (await it.store(DATA)).size == len(DATA)


async def test_a_xorb_whose_answer_is_lost_is_sent_again() -> None:
    async with world() as it:
        data = random.Random(1012).randbytes(MIB)
        it.proxy.rule(UPLOAD, forward_then(502), times=1)
        it.proxy.rule(STORE, no_answer(), times=1)
        it.proxy.rule(STORE, forward_then(502), times=1)
        file = await it.store(data)
        # The second time it is said to be there.
        assert (it.proxy.count(UPLOAD), it.proxy.count(STORE), it.proxy.count(GRANT)) == (2, 3, 1)
        assert await Downloader(it.client).read(file) == data


async def test_a_xorb_that_is_sent_directly_and_whose_answer_is_lost_is_sent_again() -> None:
    async with world() as it:
        data = random.Random(1013).randbytes(MIB)
        it.proxy.rule(GRANT, answer(404))
        it.proxy.rule(DIRECT, forward_then(502), times=1)
        it.proxy.rule(DIRECT, cut(1), times=1)
        file = await it.store(data)
        assert it.proxy.count(DIRECT) == 3
        assert await Downloader(it.client).read(file) == data


@pytest.mark.parametrize("status", [404, 501])
async def test_an_endpoint_without_v2_shards(status: int) -> None:
    async with world() as it:
        it.proxy.rule(SHARD, answer(status))
        for seed in (1013, 1014):
            data = random.Random(seed).randbytes(100_000)
            assert await Downloader(it.client).read(await it.store(data)) == data
        assert it.proxy.count(SHARD) == 1


async def test_a_shard_that_may_be_sent_again_is() -> None:
    lines = b'{"type":"validating","verified":0,"total":1}\n{"type":"error","message":"busy","retryable":true}\n'
    async with world() as it:
        it.proxy.rule(SHARD, answer(200, lines), times=1)
        it.proxy.rule(SHARD, changed(lambda body: body[: body.index(b"\n") + 1]), times=1)
        await it.store(DATA)
        assert it.proxy.count(SHARD) == 3


async def test_a_shard_that_is_refused() -> None:
    async with world() as it:
        it.proxy.rule(SHARD, answer(200, b'{"type":"error","message":"no such xorb"}\n'))
        with pytest.raises(RemoteError, match="no such xorb") as caught:
            await it.store(DATA)
        assert not isinstance(caught.value, ServerError)
        assert it.proxy.count(SHARD) == 1


async def test_signed_urls_get_no_token() -> None:
    async with world() as it:
        file = await it.store(DATA)
        it.proxy.clear()
        await Downloader(it.client).read(file)
        assert it.proxy.count(XORB) == 1
        assert all("Authorization" not in item.headers for item in it.proxy.seen if item.line.startswith(XORB))
