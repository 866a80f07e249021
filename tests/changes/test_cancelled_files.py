"""Files that are being written in an anyio scope that is cancelled, which cancels each wait in it."""

from __future__ import annotations

import asyncio
from typing import Any

import anyio

from pyxet._async.changes.file_write import Appending, Begun, Writing
from pyxet._async.changes.guards import Watch


class Waiting:
    """A writer that takes nothing, and whose discarding waits; edits of which only the discarding counts."""

    size = 5
    discarded = 0

    def __init__(self) -> None:
        self.writing = asyncio.Event()

    async def read(self, start: int, end: int) -> bytes:
        return b"x" * (end - start)

    async def write(self, data: bytes) -> None:
        self.writing.set()
        await asyncio.Event().wait()

    async def discard(self) -> None:
        self.discarded += 1
        await asyncio.sleep(0)


async def test_a_file_is_discarded_with_its_edits() -> None:
    """Its content may have to be waited for, as a thread is at it."""
    content: Any = Waiting()
    edits: Any = Waiting()
    with anyio.CancelScope() as scope:
        scope.cancel()
        await Writing(content, edits=edits).discard()
    assert (content.discarded, edits.discarded) == (1, 1)


async def test_an_append_that_moves_behind_what_another_one_wrote() -> None:
    old: Any = Waiting()
    new: Any = Waiting()
    edits: Any = Waiting()

    async def begin() -> Begun:
        return Begun(new, edits, True, Watch())

    appending = Appending(Begun(old, None, True, Watch()), begin)
    old.size = 9
    with anyio.CancelScope() as scope:

        async def cancel() -> None:
            await new.writing.wait()
            scope.cancel()

        cancelling = asyncio.create_task(cancel())
        await appending.again()
    await cancelling
    assert scope.cancelled_caught
    assert (new.discarded, edits.discarded) == (1, 1)
