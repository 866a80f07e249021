"""Small files that are read one by one at the same time: they make batches, and each reader has its own end."""

from __future__ import annotations

import asyncio

from support.batches import BATCH, reader, stored
from support.contents import content
from support.faults import PLAN, answer, check_clean, gated, silent, world

from pyxet.errors import AccessDeniedError


async def test_single_reads_of_one_turn_make_a_batch() -> None:
    async with world() as it:
        contents = [content(number) for number in range(150)]
        files = await stored(it, contents)
        it.proxy.clear()
        assert await asyncio.gather(*map(reader(it), files)) == contents
        assert it.proxy.count(BATCH) == 2
        assert it.proxy.count(PLAN) == 0
        assert it.client.reader.small._together.is_idle


async def test_a_read_that_is_alone_does_not_wait_for_others() -> None:
    async with world() as it:
        (file,) = await stored(it, [content(1)])
        it.proxy.clear()
        assert await reader(it)(file) == content(1)
        assert it.proxy.count(BATCH) == 0
        assert it.proxy.count(PLAN) == 1


async def test_the_same_file_for_several_who_ask() -> None:
    async with world() as it:
        contents = [content(1), content(2)]
        first, second = await stored(it, contents)
        it.proxy.clear()
        found = await asyncio.gather(*map(reader(it), [first, second, first, first]))
        assert found == [contents[0], contents[1], contents[0], contents[0]]
        assert it.proxy.count(BATCH) == 1


async def test_reads_wait_for_each_other_while_many_go_on() -> None:
    async with world() as it:
        contents = [content(number) for number in range(40)]
        files = await stored(it, contents)
        it.proxy.rule(PLAN, gated())
        asking = []
        for file in files[:8]:
            # Each is on its way before the next one asks, so they go alone.
            asking.append(asyncio.create_task(reader(it)(file)))
            await it.proxy.arrival()
        asking += [asyncio.create_task(reader(it)(file)) for file in files[8:]]
        await asyncio.sleep(0)
        it.proxy.open_gate()
        assert await asyncio.gather(*asking) == contents
        assert it.proxy.count(PLAN) == 8
        assert it.proxy.count(BATCH) == 1


# -- giving up, errors -------------------------------------------------------------------------------------------------


async def test_one_of_a_batch_gives_up() -> None:
    async with world() as it:
        contents = [content(number) for number in range(3)]
        files = await stored(it, contents)
        it.proxy.rule(BATCH, gated())
        asking = [asyncio.create_task(reader(it)(file)) for file in files]
        await it.proxy.arrival()
        asking[1].cancel()
        await asyncio.wait([asking[1]])
        it.proxy.open_gate()
        assert [await asking[0], await asking[2]] == contents[::2]


async def test_all_of_a_batch_give_up() -> None:
    async with world() as it:
        files = await stored(it, [content(number) for number in range(3)])
        it.proxy.rule(BATCH, silent())
        asking = [asyncio.create_task(reader(it)(file)) for file in files]
        await it.proxy.arrival()
        for task in asking:
            task.cancel()
        await asyncio.wait(asking)
        assert all(task.cancelled() for task in asking)
        await check_clean()
        assert it.client.reader.small._together.is_idle


async def test_giving_up_before_the_batch_begins() -> None:
    async with world() as it:
        contents = [content(number) for number in range(2)]
        files = await stored(it, contents)
        asking = [asyncio.create_task(reader(it)(file)) for file in files]
        await asyncio.sleep(0)
        asking[0].cancel()
        assert await asking[1] == contents[1]


async def test_errors_of_a_batch_reach_each_of_those_who_wait() -> None:
    async with world() as it:
        files = await stored(it, [content(number) for number in range(3)])
        it.proxy.rule(BATCH, answer(403))
        found = await asyncio.gather(*map(reader(it), files), return_exceptions=True)
        assert {type(item) for item in found} == {AccessDeniedError}
