"""Downloads: content in order and verified, requests shared and merged, memory bounded."""

from __future__ import annotations

import asyncio
import hashlib
import random
import tracemalloc
from contextlib import aclosing

import pytest
from blockbuster import BlockBuster
from support.contents import content, texts
from support.faults import (
    MIB,
    PLAN,
    XORB,
    answer,
    check_clean,
    gated,
    silent,
    world,
)

from pyxet._async.download.in_memory import Target
from pyxet._async.download.reconstruct import WINDOW, Downloader
from pyxet._async.download.windows import FileChunk
from pyxet._async.runtime.budget import READ_MEMORY
from pyxet.config import Limits
from pyxet.errors import (
    BadRequestError,
)
from pyxet.protocol.hashing import ZERO_HASH, hash_to_hex
from pyxet.types import RemoteFile

SMALL = Limits(memory=16 * MIB)


# -- ranges ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [content, texts])
async def test_whole_files_and_ranges(make: object) -> None:
    async with world() as it:
        data = make(1, 3 * MIB + 17)  # type: ignore[operator]
        file = await it.store(data)
        reader = Downloader(it.client)
        assert await reader.read(file) == data
        source = random.Random(2)
        spans = [(0, 1), (len(data) - 1, len(data)), (5, 5), (9, 3), (len(data), len(data) + 5), (10, 10**9)]
        spans += [tuple(sorted((source.randrange(len(data)), source.randrange(len(data))))) for _ in range(10)]  # type: ignore[misc]
        for start, end in spans:
            assert await reader.read(file, start, end) == data[start:end]


async def test_files_of_several_windows() -> None:
    async with world() as it:
        data = content(3, 2 * WINDOW + 5 * MIB)
        file = await it.store(data)
        reader = Downloader(it.client)
        it.proxy.clear()
        assert await reader.read(file) == data
        assert it.proxy.count(PLAN) == 3
        start, end = WINDOW - 3, WINDOW + 3
        assert await reader.read(file, start, end) == data[start:end]
        start, end = WINDOW // 2, 2 * WINDOW + 1
        assert await reader.read(file, start, end) == data[start:end]


async def test_large_content_in_memory() -> None:
    async with world(limits=SMALL) as it:
        data = content(33, 2 * WINDOW + 12_345)
        file = await it.store(data)
        for start, end in ((0, None), (5, None), (0, len(data) - 7), (WINDOW - 1, 2 * WINDOW + 1)):
            found = await Downloader(it.client).read(file, start, end)
            assert type(found) is bytes
            assert found == data[start:end]


def test_content_in_memory_is_there_once() -> None:
    size = 32 * MIB
    chunk = FileChunk(0, bytes(MIB), b"")
    tracemalloc.start()
    try:
        target = Target("a.bin", 10, size - 10)
        for at in range(0, size, MIB):
            target.take([chunk._replace(offset=at)], None)
        found = target.whole()
        target.close()
        assert len(found) == size - 20
        assert tracemalloc.get_traced_memory()[1] < size + MIB
    finally:
        tracemalloc.stop()


async def test_empty_files() -> None:
    async with world() as it:
        file = await it.store(b"")
        it.proxy.clear()
        assert file.xet_hash == hash_to_hex(ZERO_HASH)
        assert await Downloader(it.client).read(file) == b""
        assert not it.proxy.seen


async def test_near_ranges_are_merged_and_distant_ones_are_not() -> None:
    async with world() as it:
        data = content(4, 8 * MIB)
        file = await it.store(data)
        it.proxy.clear()
        ranges = [(5 * MIB, 5 * MIB + 100), (100, 200), (250, 300), (0, 50), (180, 260), (7, 7)]
        found = await Downloader(it.client).read_ranges(file, ranges, max_gap=64)
        assert found == [data[start:end] for start, end in ranges]
        assert it.proxy.count(PLAN) == 2
        assert it.proxy.count(XORB) == 2


async def test_a_range_that_fails_leaves_the_others() -> None:
    async with world() as it:
        data = content(5, 8 * MIB)
        file = await it.store(data)
        it.proxy.rule(PLAN, answer(400), times=1)
        found = await Downloader(it.client).read_ranges(file, [(0, 10), (7 * MIB, 7 * MIB + 10)], max_gap=0)
        assert sum(isinstance(item, BadRequestError) for item in found) == 1
        assert sum(item in (data[:10], data[7 * MIB : 7 * MIB + 10]) for item in found) == 1


# -- sharing -----------------------------------------------------------------------------------------------------------


async def test_a_hundred_equal_reads_are_one() -> None:
    async with world() as it:
        data = content(6, MIB)
        file = await it.store(data)
        it.proxy.clear()
        reader = Downloader(it.client)
        found = await asyncio.gather(*(reader.read(file, 0, 100) for _ in range(100)))
        assert found == [data[:100]] * 100
        assert (it.proxy.count(PLAN), it.proxy.count(XORB)) == (1, 1)


async def test_reads_within_one_that_is_under_way_wait_for_it() -> None:
    async with world() as it:
        data = content(7, 4 * MIB)
        file = await it.store(data)
        it.proxy.clear()
        it.proxy.rule(XORB, gated())
        spans = [(0, 2 * MIB), (100, 200), (MIB, MIB + 1), (0, 2 * MIB)]
        # Different readers of one client, as file systems make them.
        reading = [asyncio.create_task(Downloader(it.client).read(file, *span)) for span in spans]
        await it.proxy.arrival()
        it.proxy.open_gate()
        assert await asyncio.gather(*reading) == [data[start:end] for start, end in spans]
        assert (it.proxy.count(PLAN), it.proxy.count(XORB)) == (1, 1)


async def test_what_overlaps_is_fetched_once() -> None:
    async with world() as it:
        data = content(8, 4 * MIB)
        file = await it.store(data)
        it.proxy.clear()
        spans = [(0, 2 * MIB), (MIB, 3 * MIB), (2 * MIB - 10, 2 * MIB + 10), (MIB, 4 * MIB)]
        reader = Downloader(it.client)
        found = await asyncio.gather(*(reader.read(file, *span) for span in spans))
        assert found == [data[start:end] for start, end in spans]
        asked = [
            item.headers["Range"].removeprefix("bytes=").split("-")
            for item in it.proxy.seen
            if item.line.startswith(XORB)
        ]
        total = sum(int(end) + 1 - int(start) for start, end in asked)
        # Each chunk once, with a header of eight bytes.
        assert total <= len(data) + 8 * len(data) // 8192
        assert len(asked) == it.proxy.count(XORB)


async def test_whole_readers_of_one_file_share_its_windows() -> None:
    async with world() as it:
        data = content(9, WINDOW + MIB)
        file = await it.store(data)
        it.proxy.clear()
        it.proxy.rule(PLAN, gated())
        reading = [asyncio.create_task(Downloader(it.client).read(file)) for _ in range(4)]
        await it.proxy.arrival()
        it.proxy.open_gate()
        assert await asyncio.gather(*reading) == [data] * 4
        assert it.proxy.count(PLAN) == 2


async def test_a_failed_read_is_not_shared_with_what_it_overlaps_in_part() -> None:
    async with world() as it:
        data = content(10, 4 * MIB)
        file = await it.store(data)
        it.proxy.rule(PLAN, answer(400), times=1)
        reader = Downloader(it.client)
        first, second = await asyncio.gather(
            reader.read(file, 0, 2 * MIB), reader.read(file, MIB, 3 * MIB), return_exceptions=True
        )
        assert isinstance(first, BadRequestError)
        assert second == data[MIB : 3 * MIB]


async def test_one_reader_that_is_cancelled_leaves_the_others() -> None:
    async with world() as it:
        data = content(11, MIB)
        file = await it.store(data)
        it.proxy.rule(XORB, gated())
        reader = Downloader(it.client)
        reading = [asyncio.create_task(reader.read(file, 0, 100)) for _ in range(3)]
        await it.proxy.arrival()
        reading[0].cancel()
        await asyncio.wait([reading[0]])
        it.proxy.open_gate()
        assert await asyncio.gather(*reading[1:]) == [data[:100]] * 2
        assert reading[0].cancelled()


# -- cancellation and memory -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", [PLAN, XORB])
async def test_cancelled_reads_leave_nothing(where: str) -> None:
    async with world() as it:
        file = await it.store(content(24, WINDOW + MIB))
        it.proxy.rule(where, silent())
        reading = [asyncio.create_task(Downloader(it.client).read(file)) for _ in range(3)]
        await it.proxy.arrival()
        for task in reading:
            task.cancel()
        await asyncio.wait(reading)
        assert all(task.cancelled() for task in reading)
        await check_clean()


async def test_a_stream_that_is_left_early_leaves_nothing() -> None:
    async with world() as it:
        data = content(25, 2 * WINDOW)
        file = await it.store(data)
        async with aclosing(Downloader(it.client).stream(file)) as pieces:
            async for piece in pieces:
                assert data.startswith(bytes(piece))
                break
        await check_clean()


async def test_streams_that_stand_still_do_not_keep_others_from_reading() -> None:
    async with world(limits=SMALL) as it:
        data = content(26, 3 * WINDOW)
        file = await it.store(data)
        reader = Downloader(it.client)
        standing = [reader.stream(file) for _ in range(3)]
        for stream in standing:
            await anext(stream)
        # More readers than the memory has room for, one inside the other.
        assert await reader.read(file, 0, 2 * WINDOW) == data[: 2 * WINDOW]
        for stream in standing:
            assert sum([len(piece) async for piece in stream]) > 2 * WINDOW
            await stream.aclose()


async def test_memory_stays_within_its_limit() -> None:
    highest = 0

    async with world(limits=Limits(memory=80 * MIB)) as it:
        data = content(27, 4 * WINDOW)
        files = [await it.store(data[start:]) for start in (0, 1000, 2000)]
        reader = Downloader(it.client)

        async def read(file: RemoteFile) -> bytes:
            nonlocal highest
            hasher = hashlib.sha256()
            async with aclosing(reader.chunks(file, 0, file.size, verify=True)) as runs:
                async for run in runs:
                    highest = max(highest, READ_MEMORY.in_use)
                    for chunk in run:
                        hasher.update(chunk.data)
            return hasher.digest()

        found = await asyncio.gather(*(read(file) for file in files))
        assert found == [hashlib.sha256(data[start:]).digest() for start in (0, 1000, 2000)]
    assert 0 < highest <= 40 * MIB + 2 * (WINDOW + MIB)


async def test_one_request_at_a_time_is_enough() -> None:
    async with world(limits=Limits(concurrency=1, memory=16 * MIB)) as it:
        data = content(28, 2 * WINDOW)
        file = await it.store(data)
        reader = Downloader(it.client)
        # A copy: what is read goes up again while it comes.
        uploader = it.uploader()
        writer = uploader.writer()
        async with aclosing(reader.stream(file)) as pieces:
            async for piece in pieces:
                await writer.write(piece)
        stored = await writer.close()
        await uploader.flush()
        await uploader.aclose()
        assert stored.xet_hash == file.xet_hash


async def test_the_loop_is_not_blocked() -> None:
    async with world() as it:
        data = content(29, 4 * MIB)
        file = await it.store(data)
        with_blocks = BlockBuster()
        with_blocks.activate()
        try:
            assert await Downloader(it.client).read(file) == data
        finally:
            with_blocks.deactivate()
