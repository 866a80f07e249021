"""Runs a check for each request; requests that arrive while one check runs share the next one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor


class Looks:
    """Calls a blocking function in a thread, for each caller after it asked. It belongs to one event loop.

    Handing the call to a thread takes ten times as long as the call itself, so callers that ask during one call share the next.

    Parameters
    ----------
    pool:
        Where the function is called.
    """

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self._pool = pool
        self._last: asyncio.Task[None] | None = None
        self._next: asyncio.Task[None] | None = None

    async def look(self, function: Callable[[], object]) -> None:
        """Wait for a call of the function that begins after this request; its error is raised to all who wait for it."""
        if self._next is None:
            self._next = asyncio.create_task(self._after(self._last, function))
            # If nobody waits any more, asyncio must not report the error as never retrieved.
            self._next.add_done_callback(lambda task: task.cancelled() or task.exception())
        await asyncio.shield(self._next)

    async def _after(self, last: asyncio.Task[None] | None, function: Callable[[], object]) -> None:
        if last is not None:
            await asyncio.wait([last])
        self._last, self._next = self._next, None
        await asyncio.get_running_loop().run_in_executor(self._pool, function)
