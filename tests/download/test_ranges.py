"""Look-ups of single paths that are made at the same time: one request, and everybody gets what is theirs."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator

import pytest
from support.faults import FAST, FaultProxy, answer, check_clean, flipped, gated

import pyxet
from pyxet import AccessDeniedError, AsyncXetFileSystem, BadRequestError, NotFoundError
from pyxet.testing import LocalEndpoint

LOOK = r"POST /api/models/.*/paths-info/"
NAMES = [f"d/{number}" for number in range(12)]


@pytest.fixture
async def through(
    shared_endpoint: LocalEndpoint, xet: pyxet.XetFS, main: str
) -> AsyncIterator[tuple[FaultProxy, AsyncXetFileSystem]]:
    xet.pipe({f"{main}/{name}": name.encode() for name in NAMES})
    with FaultProxy(shared_endpoint.url) as proxy:
        async with AsyncXetFileSystem(
            proxy.url, "acme", shared_endpoint.token, retry=FAST, asynchronous=True, listings_expiry_time=0
        ) as fs:
            yield proxy, fs
            assert (await fs._connect()).catalog._lookups._batches.is_idle
        await check_clean()


async def test_one_request_for_what_is_asked_for_at_once(
    through: tuple[FaultProxy, AsyncXetFileSystem], main: str
) -> None:
    proxy, fs = through
    paths = [f"{main}/{name}" for name in (*NAMES, "nope", "d")]
    found = await asyncio.gather(*(fs._info(path) for path in paths), return_exceptions=True)
    assert proxy.count(LOOK) == 1
    assert [info["name"] for info in found if isinstance(info, dict)] == [*paths[:12], paths[13]]
    assert isinstance(found[12], NotFoundError)
    # Of one commit, as other tools read: the same, by its id.
    commit = found[0]["commit"]  # type: ignore[index]
    paths = [path.replace("/main/", f"/{commit}/") for path in [f"{main}/other/{number}" for number in range(5)]]
    fs.invalidate_cache()
    proxy.clear()
    assert await asyncio.gather(*map(fs._exists, paths)) == [False] * 5
    assert proxy.count(LOOK) == 1


async def test_one_after_another_nobody_waits(through: tuple[FaultProxy, AsyncXetFileSystem], main: str) -> None:
    proxy, fs = through
    proxy.rule(LOOK, gated(), times=1)
    first = asyncio.create_task(fs._info(f"{main}/{NAMES[0]}"))
    await proxy.arrival()
    # While it is under way, others are not held up by it.
    assert (await fs._info(f"{main}/{NAMES[1]}"))["size"] == 3
    assert not first.done()
    proxy.open_gate()
    assert (await first)["size"] == 3


async def test_what_is_wrong_with_one_is_not_the_others_error(
    through: tuple[FaultProxy, AsyncXetFileSystem], main: str
) -> None:
    proxy, fs = through
    paths = [f"{main}/{name}" for name in NAMES[:4]]
    proxy.rule(LOOK, answer(400), times=1)
    proxy.rule(LOOK, answer(400), times=1, skip=3)
    found = await asyncio.gather(*map(fs._info, paths), return_exceptions=True)
    assert sorted(type(info).__name__ for info in found) == ["BadRequestError", "dict", "dict", "dict"]
    assert proxy.count(LOOK) == 5
    proxy.clear()
    proxy.rule(LOOK, answer(403))
    found = await asyncio.gather(*map(fs._info, paths), return_exceptions=True)
    assert [type(info) for info in found] == [AccessDeniedError] * 4
    assert proxy.count(LOOK) == 1
    proxy.clear()
    proxy.rule(LOOK, answer(400))
    with pytest.raises(BadRequestError):
        await fs._info(paths[0])
    assert proxy.count(LOOK) == 1


async def test_cancelled_look_ups(through: tuple[FaultProxy, AsyncXetFileSystem], main: str) -> None:
    proxy, fs = through
    proxy.rule(LOOK, gated(), times=1)
    tasks = [asyncio.create_task(fs._info(f"{main}/{name}")) for name in NAMES[:3]]
    await proxy.arrival()
    tasks[0].cancel()
    await asyncio.wait(tasks[:1])
    proxy.open_gate()
    # The others get theirs.
    assert [info["size"] for info in await asyncio.gather(*tasks[1:])] == [3, 3]
    fs.invalidate_cache()
    # Before anything was asked.
    task = asyncio.create_task(fs._info(f"{main}/{NAMES[5]}"))
    for turns in range(4):
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        task = asyncio.create_task(fs._info(f"{main}/{NAMES[5]}"))
    assert (await task)["size"] == 3


# -- ranges ------------------------------------------------------------------------------------------------------------

PLANS = r"GET /v2/reconstructions/"
CONTENT = random.Random(__name__).randbytes(3_000_000)


async def test_ranges_of_a_file_that_are_near_each_other(
    through: tuple[FaultProxy, AsyncXetFileSystem], xet: pyxet.XetFS, main: str
) -> None:
    proxy, fs = through
    path = f"{main}/big"
    xet.pipe_file(path, CONTENT)
    spans = [(number * 1000, number * 1000 + 500) for number in range(20)]
    spans += [(2_000_000, 2_000_100), (2_000_050, 2_000_200), (-10, None), (0, 500), (7, 7)]  # type: ignore[list-item]
    parts = await asyncio.gather(*(fs._cat_file(path, *span) for span in spans))
    assert parts == [CONTENT[start:end] for start, end in spans]
    # One plan for what begins the file, one for what is in the middle, one for the end.
    assert proxy.count(PLANS) == 3
    assert proxy.count(LOOK) == 1
    proxy.clear()
    # Ranges far apart, and those of another file, are read on their own.
    xet.pipe_file(f"{main}/other", CONTENT[::-1])
    apart = await asyncio.gather(
        fs._cat_file(path, 100, 200), fs._cat_file(path, 1_000_000, 1_000_001), fs._cat_file(f"{main}/other", 100, 200)
    )
    assert list(apart) == [CONTENT[100:200], CONTENT[1_000_000:1_000_001], CONTENT[::-1][100:200]]
    assert proxy.count(PLANS) == 3


async def test_what_is_wrong_with_one_range_is_not_the_others_error(
    through: tuple[FaultProxy, AsyncXetFileSystem], xet: pyxet.XetFS, main: str
) -> None:
    proxy, fs = through
    path = f"{main}/big"
    xet.pipe_file(path, CONTENT)
    # The header of a chunk is damaged in the body of the merged range, and again when that is asked for once more.
    damaged = proxy.rule(r"GET /v1/xorbs/", flipped(0), times=2)
    spans = [(start, start + 50_000) for start in range(0, 500_000, 100_000)]
    parts = await asyncio.gather(*(fs._cat_file(path, *span) for span in spans))
    assert parts == [CONTENT[start:end] for start, end in spans]
    assert damaged.used == 2 + len(spans)


async def test_cancelled_ranges(
    through: tuple[FaultProxy, AsyncXetFileSystem], xet: pyxet.XetFS, main: str
) -> None:  # fmt: skip
    proxy, fs = through
    path = f"{main}/big"
    xet.pipe_file(path, CONTENT)
    proxy.rule(r"GET /v1/xorbs/", gated())
    tasks = [asyncio.create_task(fs._cat_file(path, number, number + 9)) for number in range(3)]
    await proxy.arrival()
    tasks[0].cancel()
    await asyncio.wait(tasks[:1])
    proxy.open_gate()
    assert await asyncio.gather(*tasks[1:]) == [CONTENT[1:10], CONTENT[2:11]]
