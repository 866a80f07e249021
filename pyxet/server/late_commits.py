"""Commit requests that end before their commit is made: after a time the Hub answers 504, and may complete it later."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from pyxet.errors import ServerError
from pyxet.server.behaviour import HubBehaviour


class Attempt:
    """A commit that is being made, and may be given up.

    Parameters
    ----------
    seconds_per_file:
        How long it takes for each of its files, beside what it takes anyway.
    """

    def __init__(self, seconds_per_file: float = 0.0) -> None:
        self.has_arrived = asyncio.Event()
        self._seconds_per_file = seconds_per_file
        self._lock = threading.Lock()
        self._begun = self._given_up = False

    async def arrived(self, files: int) -> None:
        """Its request has been read. Waits as long as so many files take."""
        self.has_arrived.set()
        if self._seconds_per_file:
            await asyncio.sleep(self._seconds_per_file * files)

    def give_up(self) -> bool:
        """Prevent the commit from changing anything; returns whether that was still possible."""
        with self._lock:
            self._given_up = not self._begun
            return self._given_up

    def begin(self) -> None:
        """From now on the branch may move. Called in any thread; raises `ServerError` if it was given up."""
        with self._lock:
            if self._given_up:
                raise ServerError("the commit took too long and was given up", status=504)
            self._begun = True


class LateCommits:
    """The commits of an endpoint that ends their requests after a time, and those that go on then."""

    def __init__(self, behaviour: HubBehaviour) -> None:
        self._behaviour = behaviour
        self._late: set[asyncio.Task[str]] = set()

    async def make(self, work: Callable[[Attempt], Awaitable[str]]) -> str:
        """Make a commit in the time that it may take from its arrival.

        Raises
        ------
        ServerError
            504: it takes longer. It is completed later, or given up.
        """
        behaviour = self._behaviour
        attempt = Attempt(behaviour.commit_seconds_per_file)

        async def run() -> str:
            return await work(attempt)

        making = asyncio.create_task(run())
        arriving = asyncio.create_task(attempt.has_arrived.wait())
        try:
            await asyncio.wait([making, arriving], return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait([making], timeout=behaviour.commit_timeout)
            if not behaviour.late_commits and not attempt.give_up():
                await asyncio.wait([making])
        except BaseException:
            making.cancel()
            await asyncio.wait([making])
            raise
        finally:
            arriving.cancel()
        if making.done():
            return making.result()
        self._late.add(making)
        making.add_done_callback(self._ended)
        raise ServerError(
            f"the commit takes more than {behaviour.commit_timeout:g} s; it may be completed later", status=504
        )

    def _ended(self, making: asyncio.Task[str]) -> None:
        self._late.discard(making)
        if not making.cancelled():
            # The request has ended, so nobody can receive the error, for instance that the branch has moved.
            making.exception()

    async def aclose(self) -> None:
        """Give up those that are not complete."""
        late = list(self._late)
        for making in late:
            making.cancel()
        await asyncio.gather(*late, return_exceptions=True)


LATE_COMMITS: Final = web.AppKey("late_commits", LateCommits)


async def in_its_time(request: web.Request, work: Callable[[Attempt], Awaitable[str]]) -> str:
    """Make a commit, in the time that it may take where the endpoint ends its request."""
    late = request.app.get(LATE_COMMITS)
    return await (work(Attempt()) if late is None else late.make(work))
