"""Waiting for the background work after a file or a transaction was dropped, and checking that nothing is left."""

from __future__ import annotations

import asyncio

from fsspec.asyn import get_loop

from pyxet._async.changes.file_write import _running
from pyxet._async.runtime.budget import READ_MEMORY, REQUESTS, WRITE_MEMORY


async def let_go() -> None:
    """Wait until all background tasks that discard files and transactions on the running loop have ended."""
    # Let tasks begin that other threads have handed to the loop.
    await asyncio.sleep(0)
    while mine := [task for task in _running if task.get_loop() is asyncio.get_running_loop()]:
        await asyncio.wait(mine)


async def tasks_end() -> None:
    """Wait until all other tasks on the running loop have ended; fail if one does not end."""
    async with asyncio.timeout(60):
        while len(asyncio.all_tasks()) > 1:
            await asyncio.sleep(0)


def check_budgets() -> None:
    """Fail if a part of a budget is still in use after everything that blocking callers dropped was discarded."""
    asyncio.run_coroutine_threadsafe(let_go(), get_loop()).result()
    budgets = {"read": READ_MEMORY, "write": WRITE_MEMORY, "requests": REQUESTS}
    assert {name: (budget.in_use, budget.idle) for name, budget in budgets.items()} == dict.fromkeys(budgets, (0, 0))
