"""Many small files at once: in few requests, each verified, with errors that stay with the file they are about."""

from __future__ import annotations

import asyncio
import json

import pytest
from support.batches import BATCH, BATCH_GET, BATCH_POST, read, reader, stored
from support.contents import content
from support.faults import FAST, MIB, PLAN, TOKEN, XORB, Act, answer, changed, check_clean, cut, flipped, silent, world

from pyxet._async.download.batches import SMALL
from pyxet._async.download.reconstruct import Downloader
from pyxet.config import Limits
from pyxet.errors import AccessDeniedError, IntegrityError, RateLimitedError, ServerError
from pyxet.protocol.hashing import chunk_hash, hash_to_hex
from pyxet.types import RemoteFile

# -- few requests ------------------------------------------------------------------------------------------------------


async def test_a_hundred_files_cost_one_plan_and_one_request_for_what_lies_together() -> None:
    async with world() as it:
        contents = [content(number) for number in range(250)]
        files = await stored(it, contents)
        it.proxy.clear()
        assert await read(it, files) == contents
        assert it.proxy.count(BATCH) == 3
        assert it.proxy.count(XORB) == 3
        assert it.proxy.count(PLAN) == 0
        assert it.proxy.count(TOKEN) <= 1


async def test_order_duplicates_and_files_of_several_chunks() -> None:
    async with world() as it:
        contents = [content(1, 600_000), content(2), content(3, 200_000)]
        first, second, third = await stored(it, contents)
        it.proxy.clear()
        files = [third, second, first, second, third]
        assert await read(it, files) == [contents[2], contents[1], contents[0], contents[1], contents[2]]
        assert it.proxy.count(BATCH) == 1
        assert await read(it, []) == []


async def test_batches_are_bounded_by_their_content_and_by_the_memory() -> None:
    async with world(limits=Limits(memory=16 * MIB)) as it:
        contents = [content(number, SMALL) for number in range(6)]
        files = await stored(it, contents)
        it.proxy.clear()
        assert await read(it, files) == contents
        assert it.proxy.count(BATCH) == 3


async def test_equal_reads_at_the_same_time_share_their_requests() -> None:
    async with world() as it:
        contents = [content(number) for number in range(20)]
        files = await stored(it, contents)
        it.proxy.clear()
        found = await asyncio.gather(*(read(it, files) for _ in range(3)))
        assert found == [contents] * 3
        assert it.proxy.count(BATCH) == 1


# -- endpoints without batches -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [404, 405, 414, 501])
async def test_an_endpoint_without_batches_is_asked_once(status: int) -> None:
    async with world() as it:
        contents = [content(number) for number in range(5)]
        files = await stored(it, contents)
        it.proxy.rule(BATCH, answer(status))
        for _ in range(2):
            assert await read(it, files) == contents
        assert await it.client.reader.small.read(files[0], Downloader(it.client).read) == contents[0]
        assert (it.proxy.count(BATCH_GET), it.proxy.count(BATCH_POST)) == (1, 1)


@pytest.mark.parametrize("status", [400, 404, 405, 414, 500, 501])
async def test_an_endpoint_that_takes_batches_by_post_only(status: int) -> None:
    async with world() as it:
        contents = [content(number) for number in range(5)]
        files = await stored(it, contents)
        it.proxy.rule(BATCH_GET, answer(status))
        for _ in range(3):
            assert await read(it, files) == contents
        assert it.proxy.count(BATCH_GET) == (FAST.attempts if status == 500 else 1)
        assert (it.proxy.count(BATCH_POST), it.proxy.count(PLAN)) == (3, 0)


async def test_an_endpoint_that_takes_batches_by_get_is_asked_by_get() -> None:
    async with world() as it:
        contents = [content(number) for number in range(5)]
        files = await stored(it, contents)
        for _ in range(2):
            assert await read(it, files) == contents
        assert (it.proxy.count(BATCH_GET), it.proxy.count(BATCH_POST)) == (2, 0)


async def test_a_missing_file_is_not_taken_for_a_missing_route() -> None:
    async with world() as it:
        contents = [content(number) for number in range(3)]
        files = await stored(it, contents)
        absent = RemoteFile(it.repo, "main", "absent", 10, "", None, hash_to_hex(chunk_hash(b"absent")))
        it.proxy.rule(BATCH, answer(404), times=2)
        found = await read(it, [*files, absent])
        assert found[:3] == contents
        assert isinstance(found[3], IntegrityError)
        assert await read(it, files) == contents
        assert (it.proxy.count(BATCH_GET), it.proxy.count(BATCH_POST)) == (2, 1)


@pytest.mark.parametrize("status", [400, 500])
async def test_an_endpoint_that_fails_at_batches_is_asked_for_single_files(status: int) -> None:
    async with world() as it:
        contents = [content(number) for number in range(3)]
        files = await stored(it, contents)
        it.proxy.rule(BATCH, answer(status))
        assert await read(it, files) == contents


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[]", b'{"files":{"x":[]},"fetch_info":{}}', b'{"files":{},"fetch_info":{}}']
)
async def test_a_batch_that_makes_no_sense_is_not_used(body: bytes) -> None:
    async with world() as it:
        contents = [content(number) for number in range(3)]
        files = await stored(it, contents)
        it.proxy.rule(BATCH, answer(200, body))
        assert await read(it, files) == contents


@pytest.mark.parametrize(("status", "kind"), [(403, AccessDeniedError), (429, RateLimitedError), (503, ServerError)])
async def test_an_endpoint_that_refuses_is_not_asked_once_more_for_each_file(
    status: int, kind: type[Exception]
) -> None:
    async with world() as it:
        files = await stored(it, [content(number) for number in range(3)])
        it.proxy.rule(BATCH, answer(status))
        it.proxy.seen.clear()
        assert {type(item) for item in await read(it, files)} == {kind}
        assert it.proxy.count(PLAN) == 0
        assert it.proxy.count(BATCH) == (2 if status == 403 else FAST.attempts)


# -- errors stay with their files --------------------------------------------------------------------------------------


async def test_an_unknown_file_among_many() -> None:
    async with world() as it:
        contents = [content(number) for number in range(10)]
        files = await stored(it, contents)
        files.insert(5, RemoteFile(it.repo, "main", "absent", 10, "", None, hash_to_hex(chunk_hash(b"absent"))))
        it.proxy.clear()
        found = await read(it, files)
        assert isinstance(found.pop(5), IntegrityError)
        assert found == contents
        assert it.proxy.count(BATCH) == 1


async def test_a_corrupt_file_among_many() -> None:
    async with world() as it:
        contents = [content(number) for number in range(10)]
        files = await stored(it, contents)
        it.proxy.rule(XORB, changed(lambda body: body.replace(contents[4][:100], bytes(100))))
        found = await read(it, files)
        assert isinstance(found.pop(4), IntegrityError)
        assert found == contents[:4] + contents[5:]


async def test_a_size_that_the_plan_contradicts() -> None:
    async with world() as it:
        contents = [content(number) for number in range(3)]
        first, second, third = await stored(it, contents)
        wrong = RemoteFile(second.repo, "main", "wrong", second.size + 1, "", None, second.xet_hash)
        found = await read(it, [first, wrong, third])
        assert isinstance(found[1], IntegrityError)
        assert found[::2] == contents[::2]


async def test_a_hash_that_belongs_to_no_content_of_that_plan() -> None:
    async with world() as it:
        contents = [content(number) for number in range(2)]
        files = await stored(it, contents)
        names = [file.xet_hash or "" for file in files]

        def swap(body: bytes) -> bytes:
            told = json.loads(body)
            told["files"][names[0]], told["files"][names[1]] = told["files"][names[1]], told["files"][names[0]]
            return json.dumps(told).encode()

        it.proxy.rule(BATCH, changed(swap))
        assert await read(it, files) == contents
        assert it.proxy.count(PLAN) == 2


@pytest.mark.parametrize("act", [flipped(0.0), answer(403), answer(404), cut(0.5)])
async def test_a_piece_that_fails_once(act: Act) -> None:
    async with world() as it:
        contents = [content(number) for number in range(10)]
        files = await stored(it, contents)
        it.proxy.rule(XORB, act, times=1)
        assert await read(it, files) == contents
        assert it.client.cas(it.repo).batches


async def test_one_content_with_two_sizes() -> None:
    async with world() as it:
        (file, other) = await stored(it, [content(1), content(2)])
        wrong = RemoteFile(file.repo, "main", "wrong", file.size + 1, "", None, file.xet_hash)
        for files in ([file, wrong, other], [wrong, file, other]):
            found = await read(it, files)
            assert isinstance(found[files.index(wrong)], IntegrityError)
            assert [found[files.index(file)], found[2]] == [content(1), content(2)]
            found = await asyncio.gather(*map(reader(it), files), return_exceptions=True)
            assert isinstance(found[files.index(wrong)], IntegrityError)
            assert [found[files.index(file)], found[2]] == [content(1), content(2)]


async def test_a_piece_that_does_not_come() -> None:
    async with world() as it:
        files = await stored(it, [content(number) for number in range(3)])
        it.proxy.rule(XORB, answer(503))
        it.proxy.seen.clear()
        assert {type(item) for item in await read(it, files)} == {ServerError}
        assert it.proxy.count(PLAN) == 0


async def test_more_than_was_asked_for_is_not_fetched() -> None:
    """A plan that offers a whole xorb for a small file, or the same bytes as many chunks."""
    async with world() as it:
        contents = [content(number) for number in range(40)]
        files = (await stored(it, contents))[:2]

        def inflated(body: bytes) -> bytes:
            told = json.loads(body)
            for entries in told["fetch_info"].values():
                for entry in entries:
                    entry["range"]["end"] += 30
            return json.dumps(told).encode()

        it.proxy.rule(BATCH, changed(inflated))
        it.proxy.seen.clear()
        assert await read(it, files) == contents[:2]
        assert it.proxy.count(PLAN) == 2


# -- cancellation ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pattern", [BATCH, XORB])
async def test_cancelling_leaves_nothing(pattern: str) -> None:
    async with world() as it:
        files = await stored(it, [content(number) for number in range(200)])
        it.proxy.rule(pattern, silent())
        reading = asyncio.create_task(read(it, files))
        await it.proxy.arrival()
        reading.cancel()
        await asyncio.wait([reading])
        assert reading.cancelled()
        await check_clean()
