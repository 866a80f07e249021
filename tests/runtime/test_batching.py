"""Calls that come together share one job."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar

import pytest

from pyxet._async.runtime.batching import Batches


class Jobs:
    """Notes what each job was for; jobs wait for `go` where it is not set."""

    def __init__(self, *, go: bool = True) -> None:
        self.asked: list[list[int]] = []
        self.ended: list[list[int]] = []
        self.go = asyncio.Event()
        self.begun = asyncio.Event()
        if go:
            self.go.set()

    async def __call__(self, items: list[int]) -> dict[int, str]:
        self.asked.append(items)
        self.begun.set()
        try:
            await self.go.wait()
            return {item: str(item) for item in items}
        finally:
            self.ended.append(items)


async def test_what_is_asked_for_in_one_turn_is_one_job() -> None:
    batches: Batches[str, int, dict[int, str]] = Batches()
    jobs = Jobs()
    found = await asyncio.gather(
        *(batches.run("key", item, jobs) for item in (3, 1, 3, 2)), batches.run("other", 1, jobs)
    )
    assert jobs.asked == [[3, 1, 2], [1]]
    assert [*map(len, found)] == [3, 3, 3, 3, 1]
    assert batches.is_idle


async def test_what_a_turn_asks_for_is_put_together_once() -> None:
    """However many wait for it: each of hundreds doing it for all of them stopped the event loop for a quarter of a second."""
    batches: Batches[str, int, list[int]] = Batches()
    made: list[list[int]] = []

    def together(items: list[int]) -> list[int]:
        made.append(sorted(items))
        return made[-1]

    found = await asyncio.gather(*(batches.join("key", item, together) for item in (3, 1, 3, 2)))
    assert made == [[1, 2, 3]]
    assert all(item is made[0] for item in found)
    assert await batches.join("key", 4, together) == [4]
    assert batches.is_idle


async def test_what_is_asked_for_while_others_go_on_gathers() -> None:
    batches: Batches[str, int, dict[int, str]] = Batches(4, at_once=1)
    jobs = Jobs(go=False)
    first = asyncio.create_task(batches.run("key", 0, jobs))
    await jobs.begun.wait()
    others = []
    for item in range(1, 7):
        others.append(asyncio.create_task(batches.run("key", item, jobs)))
        # Not in the same turn.
        await asyncio.sleep(0)
    # The same item again: its job has begun, so its answer may be from before this call.
    again = asyncio.create_task(batches.run("key", 0, jobs))
    await asyncio.sleep(0)
    jobs.go.set()
    await asyncio.gather(first, *others, again)
    assert jobs.asked == [[0], [1, 2, 3, 4], [5, 6, 0]]
    assert batches.is_idle


async def test_a_batch_has_a_weight() -> None:
    batches: Batches[str, int, dict[int, str]] = Batches(weigh=lambda item: item, most_weight=10)
    jobs = Jobs()
    await asyncio.gather(*(batches.run("key", item, jobs) for item in (4, 6, 99, 1)))
    assert jobs.asked == [[4, 6], [99], [1]]


async def test_who_gives_up_before_the_job_is_left_out() -> None:
    batches: Batches[str, int, dict[int, str]] = Batches(at_once=1)
    jobs = Jobs(go=False)
    tasks = [asyncio.create_task(batches.run("key", 0, jobs))]
    await jobs.begun.wait()
    tasks += [asyncio.create_task(batches.run("key", item, jobs)) for item in (1, 2, 2, 3)]
    await asyncio.sleep(0)
    for task in (tasks[1], tasks[2]):
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    jobs.go.set()
    assert [*await tasks[3]] == [2, 3]
    await asyncio.gather(tasks[0], tasks[4])
    assert jobs.asked == [[0], [2, 3]]
    assert batches.is_idle


async def test_a_job_that_nobody_waits_for_any_more_is_cancelled_and_waited_for() -> None:
    batches: Batches[str, int, dict[int, str]] = Batches(at_once=1)
    jobs = Jobs(go=False)
    tasks = [asyncio.create_task(batches.run("key", item, jobs)) for item in range(2)]
    await jobs.begun.wait()
    waiting = asyncio.create_task(batches.run("key", 5, jobs))
    await asyncio.sleep(0)
    tasks[0].cancel()
    with pytest.raises(asyncio.CancelledError):
        await tasks[0]
    assert jobs.ended == []
    tasks[1].cancel()
    with pytest.raises(asyncio.CancelledError):
        await tasks[1]
    assert jobs.ended == [[0, 1]]
    # Its place is free again.
    jobs.go.set()
    assert await waiting == {5: "5"}
    assert batches.is_idle


async def test_an_error_reaches_all_who_wait_and_nobody_else() -> None:
    batches: Batches[str, int, dict[int, str]] = Batches(at_once=1)

    async def fail(items: list[int]) -> dict[int, str]:
        raise ValueError(items)

    found = await asyncio.gather(*(batches.run("key", item, fail) for item in range(2)), return_exceptions=True)
    assert [*map(str, found)] == ["[0, 1]"] * 2
    assert await batches.run("key", 0, Jobs()) == {0: "0"}


async def test_a_job_has_the_context_of_whoever_began_its_batch() -> None:
    batches: Batches[str, int, str] = Batches(at_once=1)
    who: ContextVar[str] = ContextVar("who")
    go = asyncio.Event()

    async def job(items: list[int]) -> str:
        await go.wait()
        return who.get()

    async def ask(name: str) -> str:
        who.set(name)
        return await batches.run("key", 0, job)

    first = asyncio.create_task(ask("first"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    second = asyncio.create_task(ask("second"))
    await asyncio.sleep(0)
    go.set()
    assert [await first, await second] == ["first", "second"]


async def test_the_end_of_a_loop_leaves_nothing() -> None:
    batches: Batches[str, int, dict[int, str]] = Batches()

    def in_another_loop() -> None:
        async def main() -> None:
            jobs = Jobs(go=False)
            task = asyncio.create_task(batches.run("key", 0, jobs))
            await jobs.begun.wait()
            assert not task.done()

        asyncio.run(main())

    await asyncio.to_thread(in_another_loop)
    assert batches.is_idle
