"""How content is read does not depend on who reads it: batches, ranges that are read as one, windows."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest
from support.batches import BATCH, stored
from support.contents import content
from support.faults import PLAN, World, world

from pyxet._async.download.batches import Placed
from pyxet._async.download.reader import Reader
from pyxet._async.download.verifier import Verifier
from pyxet.protocol.constants import MIB
from pyxet.types import RemoteFile

Whole = Callable[[Reader, RemoteFile], Awaitable[bytes]]


async def read(reader: Reader, file: RemoteFile) -> bytes:
    return await reader.read(file)


async def with_verifier(reader: Reader, file: RemoteFile) -> bytes:
    return await reader.read(file, 0, file.size, Verifier(file))


async def pieces(reader: Reader, file: RemoteFile) -> bytes:
    return b"".join(await reader.pieces(file, 0, file.size))


async def stream(reader: Reader, file: RemoteFile) -> bytes:
    return b"".join([piece async for piece in reader.stream(file)])


async def read_ranges(reader: Reader, file: RemoteFile) -> bytes:
    [found] = await reader.read_ranges(file, [(0, file.size)])
    assert isinstance(found, bytes)
    return found


async def read_all(reader: Reader, file: RemoteFile) -> bytes:
    [found] = await reader.read_all([(file, 0, file.size)])
    assert isinstance(found, bytes)
    return found


@pytest.mark.parametrize("way", [read, with_verifier, pieces, stream, read_ranges])
async def test_small_files_that_are_read_at_the_same_time_make_a_batch(way: Whole) -> None:
    async with world() as it:
        contents = [content(number) for number in range(5)]
        files = await stored(it, contents)
        it.proxy.clear()
        assert await asyncio.gather(*(way(it.client.reader, file) for file in files)) == contents
        assert (it.proxy.count(BATCH), it.proxy.count(PLAN)) == (1, 0)


@pytest.mark.parametrize("way", [read, with_verifier, pieces, stream, read_ranges, read_all])
async def test_large_files_have_plans_of_their_own(way: Whole) -> None:
    async with world() as it:
        data = content(1, 2 * MIB)
        file = await it.store(data)
        it.proxy.clear()
        assert await way(it.client.reader, file) == data
        assert (it.proxy.count(BATCH), it.proxy.count(PLAN)) == (0, 1)


async def _ranges_alone(it: World, file: RemoteFile, spans: Sequence[tuple[int, int]]) -> list[bytes]:
    return await asyncio.gather(*(it.client.reader.read(file, *span) for span in spans))


async def _ranges_of_many(it: World, file: RemoteFile, spans: Sequence[tuple[int, int]]) -> list[bytes]:
    found = await it.client.reader.read_all([(file, *span) for span in spans])
    return [item for item in found if isinstance(item, bytes)]


async def _ranges_of_one(it: World, file: RemoteFile, spans: Sequence[tuple[int, int]]) -> list[bytes]:
    return [item for item in await it.client.reader.read_ranges(file, spans) if isinstance(item, bytes)]


@pytest.mark.parametrize("way", [_ranges_alone, _ranges_of_many, _ranges_of_one])
async def test_ranges_near_each_other_are_read_as_one(
    way: Callable[[World, RemoteFile, Sequence[tuple[int, int]]], Awaitable[list[bytes]]],
) -> None:
    async with world() as it:
        data = content(2, 3 * MIB)
        file = await it.store(data)
        spans = [(100, 200), (5_000, 6_000), (300, 400)]
        it.proxy.clear()
        assert await way(it, file, spans) == [data[start:end] for start, end in spans]
        assert it.proxy.count(PLAN) == 1


async def test_downloads_take_batches_and_large_files_alike(tmp_path: Path) -> None:
    async with world() as it:
        contents = [content(number) for number in range(4)]
        large = content(9, 2 * MIB)
        items = [
            Placed(file, file.path, str(tmp_path / str(number)))
            for number, file in enumerate([*await stored(it, contents), await it.store(large)])
        ]
        reader = it.client.reader
        done: list[Placed] = []

        async def alone(item: Placed) -> None:
            await reader.download(item.file, Path(item.target), lambda amount: None)

        it.proxy.clear()
        await reader.download_all(items, alone, done.append)
        assert [(tmp_path / str(number)).read_bytes() for number in range(5)] == [*contents, large]
        assert done == items[:4]
        assert (it.proxy.count(BATCH), it.proxy.count(PLAN)) == (1, 1)
