"""Reading ahead in Parquet files: each byte once, nothing that was not asked for, whatever the file says."""

from __future__ import annotations

import asyncio
import io
import random
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from support.proxied import proxied
from support.settled import check_budgets, tasks_end

from pyxet._async.files import parquet_ahead as columns
from pyxet._async.files.readahead import ALLOWANCE, ReadAhead
from pyxet.errors import ServerError
from pyxet.testing import LocalEndpoint

pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

MIB = 1024 * 1024
TAIL = 64 * 1024


def table(rows: int = 20_000, count: int = 10, **options: Any) -> bytes:
    source = random.Random(5)
    made = pa.table({f"c{number}": [source.random() for _ in range(rows)] for number in range(count)})
    out = io.BytesIO()
    parquet.write_table(made, out, row_group_size=rows // 8, use_dictionary=False, compression="none", **options)
    return out.getvalue()


DATA = table()
METADATA = parquet.read_metadata(io.BytesIO(DATA))


def span(group: int, column: int) -> tuple[int, int]:
    chunk = METADATA.row_group(group).column(column)
    return chunk.data_page_offset, chunk.data_page_offset + chunk.total_compressed_size


class Source:
    def __init__(self, data: bytes = DATA) -> None:
        self.data = data
        self.fetched: list[tuple[int, int]] = []
        self.failing: set[tuple[int, int]] = set()
        self.stalling = False

    async def fetch(self, start: int, end: int) -> bytes:
        self.fetched.append((start, end))
        await asyncio.sleep(1000 if self.stalling else 0)
        if (start, end) in self.failing:
            self.failing.remove((start, end))
            raise ServerError("it fails")
        return self.data[start:end]

    def ahead(self, content: str | None = "x", cap: int = 64 * MIB) -> ReadAhead:
        return ReadAhead(self.fetch, len(self.data), cap, content)


async def read(ahead: ReadAhead, source: Source, start: int, end: int) -> None:
    assert await ahead.read(start, end) == source.data[start:end]


async def read_footer(ahead: ReadAhead, source: Source) -> None:
    await read(ahead, source, max(0, len(source.data) - TAIL), len(source.data))


@pytest.fixture(autouse=True)
def nothing_is_kept() -> Iterator[None]:
    columns._known.clear()
    before = ALLOWANCE.in_use
    yield
    assert ALLOWANCE.in_use == before


@pytest.fixture
async def opened() -> AsyncIterator[tuple[Source, ReadAhead]]:
    """A source, and what reads ahead in it and has read the footer."""
    source = Source()
    ahead = source.ahead()
    await read_footer(ahead, source)
    yield source, ahead
    await ahead.aclose()


async def test_pieces_are_fetched_before_they_are_read_and_once(opened: tuple[Source, ReadAhead]) -> None:
    source, ahead = opened
    wanted = [span(group, column) for group in range(8) for column in (2, 7)]
    seen = []
    for piece in wanted:
        seen.append(piece in source.fetched)
        await read(ahead, source, *piece)
        await tasks_end()
    assert seen[:3] == [False] * 3
    assert all(seen[4:])
    assert sorted(source.fetched[1:]) == wanted


async def test_any_order_of_pieces(opened: tuple[Source, ReadAhead]) -> None:
    source, ahead = opened
    wanted = [span(group, column) for group in range(8) for column in (0, 3, 8)]
    random.Random(1).shuffle(wanted)
    for piece in wanted:
        await read(ahead, source, *piece)
    assert sorted(source.fetched[1:]) == sorted(wanted)


async def test_pieces_side_by_side_are_not_fetched_twice(opened: tuple[Source, ReadAhead]) -> None:
    source, ahead = opened
    for group in (0, 2, 1, 3):
        await read(ahead, source, *span(group, 0))
    await read(ahead, source, *span(4, 0))
    await read(ahead, source, *span(4, 9))
    await read(ahead, source, *span(5, 0))
    assert source.fetched.count(span(5, 0)) == 1
    assert all(
        piece in {span(group, column) for group in range(8) for column in range(10)} for piece in source.fetched[1:]
    )


async def test_columns_side_by_side_are_one_piece(opened: tuple[Source, ReadAhead]) -> None:
    source, ahead = opened
    for group in range(8):
        await read(ahead, source, span(group, 4)[0], span(group, 6)[1])
    assert len(source.fetched) == 9


async def test_one_row_group_brings_nothing_more(opened: tuple[Source, ReadAhead]) -> None:
    source, ahead = opened
    for column in (1, 5, 3):
        await read(ahead, source, *span(2, column))
    assert sorted(source.fetched[1:]) == [span(2, column) for column in (1, 3, 5)]


async def test_pieces_that_are_no_columns_bring_nothing_more(opened: tuple[Source, ReadAhead]) -> None:
    source, ahead = opened
    for group in range(8):
        start, end = span(group, 2)
        await read(ahead, source, start + 1, end)
        await read(ahead, source, start - 1, end - 1)
    assert len(source.fetched) == 17


async def test_a_second_open_file_knows_the_footer() -> None:
    source = Source()
    first, second, other = source.ahead(), source.ahead(), source.ahead("y")
    await read_footer(first, source)
    for ahead, expected in ((second, True), (other, False)):
        source.fetched.clear()
        for group in range(2):
            await read(ahead, source, *span(group, 0))
        await tasks_end()
        assert (len(source.fetched) > 2) == expected
        await ahead.aclose()
    await first.aclose()


async def test_a_footer_in_two_reads() -> None:
    source = Source()
    ahead = source.ahead()
    length = int.from_bytes(DATA[-8:-4], "little")
    await read(ahead, source, len(DATA) - 20, len(DATA))
    await read(ahead, source, len(DATA) - 8 - length, len(DATA) - 8)
    for group in range(2):
        await read(ahead, source, *span(group, 0))
    await tasks_end()
    assert len(source.fetched) > 4
    await ahead.aclose()


@pytest.mark.parametrize(
    "end", [b"PAR1", b"\xff\xff\xff\xff" + b"PAR1", bytes(4) + b"PAR1", b"\x10\0\0\0PAR1", (10**6).to_bytes(4, "little") + b"PAR1"]
)  # fmt: skip
async def test_what_only_looks_like_a_footer(end: bytes) -> None:
    source = Source(random.Random(2).randbytes(2 * MIB) + end)
    ahead = source.ahead()
    await read_footer(ahead, source)
    await read(ahead, source, 0, MIB + MIB // 2)
    for start in (100_000, 900_000, 1_500_000):
        await read(ahead, source, start, start + 1000)
    await ahead.aclose()


async def test_a_footer_that_names_places_beyond_the_file() -> None:
    footer = DATA[-8 - int.from_bytes(DATA[-8:-4], "little") :]
    source = Source(bytes(200_000) + footer)
    ahead = source.ahead()
    await read_footer(ahead, source)
    for group in range(3):
        start, end = span(group, 0)
        if end <= len(source.data):
            await read(ahead, source, start, end)
    assert all(end <= len(source.data) for _, end in source.fetched)
    await ahead.aclose()


async def test_what_fails_ahead_is_fetched_when_it_is_read(opened: tuple[Source, ReadAhead]) -> None:
    source, ahead = opened
    source.failing = {span(2, 0)}
    for group in range(8):
        await read(ahead, source, *span(group, 0))
    assert source.fetched.count(span(2, 0)) == 2
    source.failing = {span(0, 9)}
    with pytest.raises(ServerError):
        await ahead.read(*span(0, 9))


async def test_closing_and_dropping_leave_nothing() -> None:
    for close in (ReadAhead.aclose, lambda ahead: ahead.close()):
        source = Source()
        ahead = source.ahead()
        await read_footer(ahead, source)
        await read(ahead, source, *span(0, 0))
        reading = asyncio.create_task(ahead.read(*span(1, 0)))
        await asyncio.sleep(0)
        await reading
        ended = close(ahead)
        if ended is not None:
            await ended
        await tasks_end()


async def test_cancelling_a_read_of_what_is_on_its_way() -> None:
    source = Source()
    ahead = source.ahead()
    await read_footer(ahead, source)
    await read(ahead, source, *span(0, 0))
    reading = asyncio.create_task(ahead.read(*span(1, 0)))
    await asyncio.sleep(0)
    source.stalling = True
    await reading
    waiting = asyncio.create_task(ahead.read(*span(2, 0)))
    await asyncio.sleep(0.01)
    waiting.cancel()
    await asyncio.wait([waiting])
    source.stalling = False
    await read(ahead, source, *span(2, 0))
    await ahead.aclose()
    await tasks_end()


async def test_no_more_than_the_process_may_hold() -> None:
    source = Source()
    ahead = source.ahead(cap=0)
    await read_footer(ahead, source)
    for group in range(8):
        await read(ahead, source, *span(group, 0))
    assert len(source.fetched) == 9
    await ahead.aclose()


def test_a_file_that_goes_to_another_loop() -> None:
    source = Source()
    ahead = source.ahead()

    async def first() -> None:
        await read_footer(ahead, source)
        for group in range(2):
            await read(ahead, source, *span(group, 0))

    async def second() -> None:
        for group in range(2, 8):
            await read(ahead, source, *span(group, 0))
        await ahead.aclose()

    asyncio.run(first())
    asyncio.run(second())


def test_pandas_reads_columns(shared_endpoint: LocalEndpoint, main: str) -> None:
    pd = pytest.importorskip("pandas")
    with proxied(shared_endpoint) as (_, fs):
        fs.pipe_file(f"{main}/t.parquet", DATA)
        with fs.open(f"{main}/t.parquet", "rb") as file:
            found = pd.read_parquet(file, columns=["c2", "c7"])
        expected = pd.read_parquet(io.BytesIO(DATA), columns=["c2", "c7"])
        pd.testing.assert_frame_equal(found, expected)
        again = parquet.read_table(f"{main}/t.parquet", filesystem=fs, columns=["c2", "c7"]).to_pandas()
        pd.testing.assert_frame_equal(again, expected)
    check_budgets()
