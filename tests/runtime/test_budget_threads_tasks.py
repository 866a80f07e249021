"""Budgets, single flights, bounded gathers and worker threads."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest
from support.faults import check_clean

from pyxet._async.runtime.budget import Budget
from pyxet._async.runtime.tasks import SingleFlight, ordered_window, run_all, run_each, run_together, stopped
from pyxet._async.runtime.threads import in_thread, to_end
from pyxet._workers import Workers


async def settle() -> None:
    """Let everything run that can."""
    for _ in range(10):
        await asyncio.sleep(0)


# -- budgets -----------------------------------------------------------------------------------------------------------


async def test_budget_hands_out_in_order_of_asking() -> None:
    budget = Budget()
    await budget.acquire(8, 10)
    order: list[str] = []

    async def ask(name: str, amount: int) -> None:
        async with budget.hold(amount, 10):
            order.append(name)

    tasks = [asyncio.create_task(ask("large", 5)), asyncio.create_task(ask("small", 1))]
    await settle()
    # The small one would fit, but must not starve the large one.
    assert order == []
    budget.release(8)
    await asyncio.gather(*tasks)
    assert order == ["large", "small"]
    assert budget.in_use == 0


async def test_budget_grants_more_than_the_cap_alone() -> None:
    budget = Budget()
    await budget.acquire(100, 10)
    second = asyncio.create_task(budget.acquire(1, 10))
    await settle()
    assert not second.done()
    budget.release(100)
    await second
    budget.release(1)
    assert budget.in_use == 0


async def test_budget_cancelled_while_waiting_and_while_granted() -> None:
    budget = Budget()
    await budget.acquire(10, 10)
    first, second = (asyncio.create_task(budget.acquire(10, 10)) for _ in range(2))
    await settle()
    first.cancel()
    await settle()
    assert first.cancelled()
    budget.release(10)
    # The grant is on its way to the second when it is cancelled.
    second.cancel()
    await asyncio.gather(second, return_exceptions=True)
    assert budget.in_use == 0


async def test_budget_whose_limit_changes() -> None:
    budget = Budget()
    budget.limit = 2
    tasks = [asyncio.create_task(budget.acquire(1, 10)) for _ in range(6)]
    await settle()
    assert [task.done() for task in tasks] == [True] * 2 + [False] * 4
    assert not budget.has_room(1, 10)
    budget.limit = 4
    await settle()
    assert [task.done() for task in tasks] == [True] * 4 + [False] * 2
    budget.limit = 1
    for _ in range(4):
        budget.release(1)
        await settle()
    # One proceeds as soon as no other does, and the last one after it.
    assert [task.done() for task in tasks] == [True] * 5 + [False]
    budget.release(1)
    await tasks[5]
    budget.release(1)
    assert budget.in_use == 0


async def test_budget_across_loops_and_threads() -> None:
    budget = Budget()
    highest = 0

    async def use() -> None:
        nonlocal highest
        for _ in range(50):
            async with budget.hold(1, 3):
                highest = max(highest, budget.in_use)
                await asyncio.sleep(0)

    async def several() -> None:
        await asyncio.gather(*(use() for _ in range(4)))

    threads = [threading.Thread(target=lambda: asyncio.run(several())) for _ in range(3)]
    for thread in threads:
        thread.start()
    await several()
    for thread in threads:
        await asyncio.to_thread(thread.join)
    assert highest <= 3
    assert budget.in_use == 0


async def test_budget_forgets_waiters_of_closed_loops() -> None:
    budget = Budget()
    await budget.acquire(1, 1)
    loop = asyncio.new_event_loop()

    def ask() -> asyncio.Task[None]:
        task = loop.create_task(budget.acquire(1, 1))
        loop.call_soon(loop.stop)
        loop.run_forever()
        return task

    task = await asyncio.to_thread(ask)
    loop.close()
    budget.release(1)
    assert budget.in_use == 0
    await asyncio.wait_for(budget.acquire(1, 1), 10)
    budget.release(1)
    # Not a leak of this test: its loop is gone before it could end.
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    # When its coroutine is collected, nothing is given back a second time.
    del task
    gc.collect()
    assert budget.in_use == 0


class Holder:
    """Rests until it is asked to give up."""

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.pressed = 0
        budget.on_pressure(self.press)

    def press(self) -> None:
        self.pressed += 1


async def test_budget_presses_holders_of_what_rests() -> None:
    budget = Budget()
    holder, gone = Holder(budget), Holder(budget)
    del gone
    await budget.acquire(10, 10)
    waiting = asyncio.create_task(budget.acquire(4, 10))
    await settle()
    # What is in use is in flight, so it will be released by itself.
    assert not waiting.done()
    assert holder.pressed == 0
    budget.mark_idle(10)
    await waiting
    assert holder.pressed == 1
    # One more is in flight now; the next one waits for it.
    third = asyncio.create_task(budget.acquire(4, 10))
    await settle()
    assert not third.done()
    budget.mark_idle(-10)
    budget.release(10)
    await third
    budget.release(8)
    assert (budget.in_use, budget.idle) == (0, 0)


@pytest.mark.needs("fork")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_forked_child_has_budgets_and_threads_of_its_own() -> None:
    script = (
        "import asyncio, os\n"
        "from pyxet._async.runtime.budget import REQUESTS\n"
        "from pyxet._async.runtime.threads import in_thread\n"
        "async def use():\n"
        "    await REQUESTS.acquire(1, 1)\n"
        "    return await in_thread(os.getpid)\n"
        "assert asyncio.run(use()) == os.getpid()\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    os._exit(0 if asyncio.run(asyncio.wait_for(use(), 20)) == os.getpid() else 1)\n"
        "assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


# -- worker threads ----------------------------------------------------------------------------------------------------


async def test_in_thread_returns_and_raises() -> None:
    assert await in_thread(sum, [1, 2]) == 3
    with pytest.raises(ZeroDivisionError):
        await in_thread(lambda: 1 / 0)


async def test_to_end_waits_for_work_that_has_begun() -> None:
    started, go = threading.Event(), threading.Event()
    undone: list[str] = []

    def work() -> str:
        started.set()
        go.wait()
        return "result"

    task = asyncio.create_task(to_end(work, undo=undone.append))
    await asyncio.to_thread(started.wait)
    task.cancel()
    await settle()
    assert not task.done()
    task.cancel()
    await settle()
    assert not task.done()
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert undone == ["result"]


async def test_to_end_does_not_start_what_is_cancelled_in_the_queue() -> None:
    go = threading.Event()
    blockers = [asyncio.create_task(in_thread(go.wait)) for _ in range(64)]
    ran: list[int] = []
    task = asyncio.create_task(to_end(ran.append, 1))
    await settle()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    go.set()
    await asyncio.gather(*blockers)
    assert ran == []


def test_interpreter_ends_while_a_worker_is_blocked() -> None:
    script = (
        "import asyncio, os, threading\n"
        "from pyxet._async.runtime.threads import in_thread\n"
        "reader, writer = os.pipe()\n"
        "begun = threading.Event()\n"
        "def block():\n"
        "    begun.set()\n"
        "    os.read(reader, 1)\n"
        "async def main():\n"
        "    task = asyncio.create_task(in_thread(block))\n"
        "    while not begun.is_set():\n"
        "        await asyncio.sleep(0)\n"
        "    task.cancel()\n"
        "asyncio.run(main())\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


# -- single flights ----------------------------------------------------------------------------------------------------


async def test_single_flight_runs_once_for_all_who_ask() -> None:
    flights: SingleFlight[str, int] = SingleFlight()
    runs = 0
    go = asyncio.Event()

    async def job() -> int:
        nonlocal runs
        runs += 1
        await go.wait()
        return runs

    tasks = [asyncio.create_task(flights.run("key", job)) for _ in range(5)]
    await settle()
    tasks[0].cancel()
    await settle()
    go.set()
    assert await asyncio.gather(*tasks[1:]) == [1, 1, 1, 1]
    assert await flights.run("key", job) == 2


async def test_single_flight_ends_with_the_last_who_waits() -> None:
    flights: SingleFlight[str, int] = SingleFlight()
    ended = asyncio.Event()

    async def job() -> int:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return 0

    tasks = [asyncio.create_task(flights.run("key", job)) for _ in range(2)]
    await settle()
    await stopped(*tasks)
    assert ended.is_set()
    await check_clean()


async def test_single_flight_shares_errors_and_does_not_remember_them() -> None:
    flights: SingleFlight[str, int] = SingleFlight()

    async def fail() -> int:
        await asyncio.sleep(0)
        raise ValueError

    results = await asyncio.gather(*(flights.run("key", fail) for _ in range(3)), return_exceptions=True)
    assert [type(result) for result in results] == [ValueError] * 3

    async def succeed() -> int:
        return 7

    assert await flights.run("key", succeed) == 7


# -- gathers -----------------------------------------------------------------------------------------------------------


async def test_run_all_is_ordered_bounded_and_lazy() -> None:
    running = highest = taken = 0

    def numbers() -> Iterator[int]:
        nonlocal taken
        for number in range(20):
            taken += 1
            yield number

    async def worker(number: int) -> int:
        nonlocal running, highest
        assert taken - number <= 3
        running += 1
        highest = max(highest, running)
        await asyncio.sleep(0)
        running -= 1
        return number

    assert await run_all(worker, numbers(), limit=3) == list(range(20))
    assert highest == 3


async def test_run_all_raises_the_first_error_as_it_is_and_cancels_the_rest() -> None:
    cause = OSError("cause")

    async def fail() -> None:
        raise ValueError("first") from cause

    cancelled = asyncio.Event()

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    with pytest.raises(ValueError, match="first") as caught:
        await run_together(wait, fail)
    assert caught.value.__cause__ is cause
    assert cancelled.is_set()


async def test_run_each_hands_errors_over() -> None:
    async def worker(number: int) -> int:
        return 6 // number

    results = await run_each(worker, (1, 0, 2), limit=2)
    assert results[0::2] == [6, 3]
    assert isinstance(results[1], ZeroDivisionError)


async def test_ordered_window_left_early_discards_what_nobody_took() -> None:
    discarded: list[int] = []

    async def job(number: int) -> int:
        if number == 3:
            await asyncio.Event().wait()
        return number

    async with ordered_window(range(10), job, limit=4, on_discard=discarded.append) as results:
        async for number in results:
            assert number == 0
            await settle()
            break
    assert discarded == [1, 2, 4]
    await check_clean()


async def test_ordered_window_asks_how_many_each_time() -> None:
    begun: list[int] = []
    most = 2

    async def job(number: int) -> int:
        begun.append(number)
        return number

    async with ordered_window(range(10), job, limit=lambda: most) as results:
        assert await anext(results) == 0
        assert begun == [0, 1]
        most = 4
        assert await anext(results) == 1
        assert await anext(results) == 2
        assert begun == [0, 1, 2, 3, 4, 5]
        assert [number async for number in results] == list(range(3, 10))


async def test_ordered_window_looks_ahead_only_where_there_is_room() -> None:
    started: list[int] = []

    async def job(number: int) -> int:
        started.append(number)
        return number

    async with ordered_window(range(4), job, limit=4, ahead=lambda number: number < 1) as results:
        found = []
        async for number in results:
            found.append(number)
            assert len(started) <= len(found) + 1
    assert found == [0, 1, 2, 3]


async def test_stopped_waits_for_stubborn_tasks() -> None:
    async def stubborn() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await in_thread(time.sleep, 0.01)

    task = asyncio.create_task(stubborn())
    await settle()
    await stopped(task)
    assert task.done()


async def test_workers_are_as_many_as_there_is_work_for_and_no_more() -> None:
    workers = Workers(2, "test-workers")

    def started() -> int:
        return sum(thread.name.startswith("test-workers") for thread in threading.enumerate())

    assert started() == 0
    go = threading.Event()
    waiting = [asyncio.create_task(workers.run(go.wait)) for _ in range(5)]
    await settle()
    assert started() == 2
    go.set()
    assert await asyncio.gather(*waiting) == [True] * 5


async def test_workers_hand_over_an_iterator_s_end_as_an_error() -> None:
    with pytest.raises(RuntimeError, match="StopIteration"):
        await Workers(1, "test-one-worker").run(next, iter(()))


@pytest.mark.parametrize("ending", [SystemExit(3), KeyboardInterrupt()], ids=repr)
async def test_workers_hand_over_what_would_end_the_loop_as_an_error(ending: BaseException) -> None:
    def end() -> None:
        raise ending

    with pytest.raises(RuntimeError, match=type(ending).__name__) as found:
        await Workers(1, "test-one-worker").run(end)
    assert found.value.__cause__ is ending


async def test_a_job_that_fails_as_nobody_waits_any_more_says_nothing() -> None:
    """Its failure and the end of its last waiter may come in the same round of the loop."""
    told: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    flights: SingleFlight[str, None] = SingleFlight()
    go = asyncio.Event()

    async def job() -> None:
        await go.wait()
        raise ValueError("it failed")

    for rounds in range(5):
        go.clear()
        waiter = asyncio.create_task(flights.run("key", job))
        for _ in range(5):
            await asyncio.sleep(0)
        go.set()
        for _ in range(rounds):
            await asyncio.sleep(0)
        waiter.cancel()
        with suppress(ValueError, asyncio.CancelledError):
            await waiter
        del waiter
        gc.collect()
        await asyncio.sleep(0)
    assert told == []
