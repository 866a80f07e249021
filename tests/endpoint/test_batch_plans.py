"""Plans for many files in one answer: what they say, what is refused, and the route that gives them."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest
from support.batches import stored
from support.contents import content
from support.faults import World, world

from pyxet._async.download.batches import _decoded
from pyxet.errors import FormatError
from pyxet.protocol.cas_messages import BatchReconstruction, WireFetchV1, WireRange, WireTerm
from pyxet.protocol.hashing import ZERO_HASH, Hash, chunk_hash, hash_from_hex, hash_to_hex
from pyxet.protocol.reconstruction import FetchRange, Plan, fetch_runs, plans_from_batch
from pyxet.protocol.shard import Term
from pyxet.protocol.xorb import XorbBuilder, encode_chunk
from pyxet.secrets import Secret


def wire(start: int, end: int) -> WireRange:
    return WireRange(start=start, end=end)


def test_plans_of_a_batch_share_fetches() -> None:
    xorb, files = hash_to_hex(chunk_hash(b"xorb")), [hash_to_hex(chunk_hash(bytes([number]))) for number in range(3)]
    message = BatchReconstruction(
        files={
            files[0]: [WireTerm(hash=xorb, unpacked_length=10, range=wire(0, 1))],
            files[1]: [WireTerm(hash=xorb, unpacked_length=20, range=wire(1, 3))],
            files[2]: [],
        },
        fetch_info={xorb: [WireFetchV1(range=wire(0, 3), url=Secret("u"), url_range=wire(0, 99))]},
    )
    plans = plans_from_batch(message)
    first, second, third = (plans[hash_from_hex(name)] for name in files)
    assert isinstance(first, Plan)
    assert isinstance(second, Plan)
    assert first.terms[0].fetch == second.terms[0].fetch == FetchRange(Secret("u"), 0, 3, 0, 100)
    assert (first.raw_length, second.raw_length, third) == (10, 20, Plan(0, ()))


def test_what_makes_no_sense_in_a_batch_is_the_error_of_its_files() -> None:
    good, bad = hash_to_hex(chunk_hash(b"good")), hash_to_hex(chunk_hash(b"bad"))
    files = [hash_to_hex(chunk_hash(bytes([number]))) for number in range(4)]
    message = BatchReconstruction(
        files={
            files[0]: [WireTerm(hash=good, unpacked_length=10, range=wire(0, 1))],
            files[1]: [WireTerm(hash=bad, unpacked_length=10, range=wire(0, 1))],
            files[2]: [WireTerm(hash=good, unpacked_length=10, range=wire(5, 6))],
            files[3]: [WireTerm(hash=good, unpacked_length=0, range=wire(0, 1))],
        },
        fetch_info={
            good: [WireFetchV1(range=wire(0, 1), url=Secret("u"), url_range=wire(0, 50))],
            bad: [WireFetchV1(range=wire(3, 1), url=Secret("u"), url_range=wire(0, 50))],
        },
    )
    plans = [plans_from_batch(message)[hash_from_hex(name)] for name in files]
    assert [type(plan) for plan in plans] == [Plan, FormatError, FormatError, FormatError]


def test_runs_do_not_grow_beyond_what_is_asked() -> None:
    value: Hash = chunk_hash(b"xorb")
    terms = [Term(value, number, number + 1, 10) for number in range(5)]
    assert fetch_runs(terms) == {value: [(0, 5)]}
    assert fetch_runs(terms, max_raw=25) == {value: [(0, 2), (2, 4), (4, 5)]}
    assert fetch_runs([*terms, terms[1]], max_raw=25) == {value: [(0, 2), (2, 4), (4, 5)]}
    assert fetch_runs([Term(value, 0, 3, 90), *terms], max_raw=25) == {value: [(0, 3), (3, 5)]}


def test_what_chunks_decode_to_is_known_before_they_are_decoded() -> None:
    builder = XorbBuilder()
    data = bytes(100_000)
    builder.add(encode_chunk(data, chunk_hash(data)))
    builder.add(encode_chunk(data, chunk_hash(data)))
    body = b"".join(builder.build().slices)
    fetch = FetchRange(Secret(""), 0, 2, 0, len(body))
    assert len(_decoded(body, fetch, 200_000)) == 2
    with pytest.raises(FormatError):
        _decoded(body, fetch, 199_999)


# -- the local endpoint's route ----------------------------------------------------------------------------------------


async def ask(it: World, query: str) -> tuple[int, Any]:
    token = await it.client.hub.xet_token(it.repo, "main", "read")
    async with (
        aiohttp.ClientSession() as session,
        session.get(
            f"{it.endpoint.url}/v1/reconstructions{query}",
            headers={"Authorization": f"Bearer {token.access_token.reveal()}"},
        ) as response,
    ):
        return response.status, await response.json()


async def test_the_route_of_batches() -> None:
    async with world() as it:
        files = await stored(it, [content(number) for number in range(3)])
        names = [file.xet_hash or "" for file in files]
        status, told = await ask(
            it, "?" + "&".join(f"file_id={name}" for name in [*names, "f" * 64, hash_to_hex(ZERO_HASH)])
        )
        assert status == 200
        assert set(told["files"]) == {*names, hash_to_hex(ZERO_HASH)}
        assert told["files"][hash_to_hex(ZERO_HASH)] == []
        ((fetch,),) = told["fetch_info"].values()
        assert fetch["range"] == {"start": 0, "end": 3}
        assert await ask(it, "") == (200, {"files": {}, "fetch_info": {}})
        assert (await ask(it, "?file_id=x"))[0] == 400
        assert (await ask(it, "?file_id=" + "A" * 64))[0] in (200, 400)


async def test_the_route_needs_a_token() -> None:
    async with (
        world() as it,
        aiohttp.ClientSession() as session,
        session.get(f"{it.endpoint.url}/v1/reconstructions?file_id={'0' * 64}") as response,
    ):
        assert response.status == 401
