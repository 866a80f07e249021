"""One file that is being written, from its opening to its publication."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from pyxet._async.changes.changeset import PendingWriter
from pyxet._async.changes.edits import Edits
from pyxet._async.runtime.bridge import on_loop
from pyxet.protocol.hashing import Buffer

if TYPE_CHECKING:
    from pyxet._async.changes.transaction import Transaction


class Writing:
    """Takes the content of one file, and publishes it: with its transaction, or by a commit of its own.

    Parameters
    ----------
    writer:
        Where the content goes.
    edits:
        The edits of this file alone, or ``None`` in a transaction.
    transaction:
        The transaction it belongs to, if any.
    message:
        Message of its own commit, or of its transaction's where that has none.
    """

    def __init__(
        self,
        writer: PendingWriter,
        *,
        edits: Edits | None = None,
        transaction: Transaction | None = None,
        message: str | None = None,
    ) -> None:
        self._writer = writer
        self._edits = edits
        self.transaction = transaction
        self._message = message
        self._loop = asyncio.get_running_loop()
        self._pid = os.getpid()
        # One piece after the other, and the end after all of them, whoever writes them.
        self._turn = asyncio.Lock()
        self.done = False

    @property
    def size(self) -> int:
        """Bytes so far."""
        return self._writer.size

    @property
    def is_inherited(self) -> bool:
        """Whether this process is a fork of the one that opened the file, to which the file belongs."""
        return self._pid != os.getpid()

    async def write(self, data: Buffer) -> None:
        """Take a piece. `TransactionError` if the transaction has ended, `ValueError` if the file has."""
        if self.transaction is not None:
            self.transaction.check()
        await self._at_home(self._write, data)

    async def _write(self, data: Buffer) -> None:
        async with self._turn:
            if self.done:
                raise ValueError("I/O operation on closed file")
            await self._writer.write(data)

    async def publish(self) -> None:
        """The content is complete: add it to the transaction, or make the commit of this file alone."""
        if self.done:
            return
        if self.transaction is not None:
            self.transaction.check()
        await self._at_home(self._publish)

    async def _publish(self) -> None:
        async with self._turn:
            if self.done:
                return
            await self._writer.close()
            self.done = True
            if self.transaction is not None:
                self.transaction.note_message(self._message)
                self.transaction.release(self)
            if self._edits is not None:
                await self._edits.commit(self._message)

    async def discard(self) -> None:
        """Forget the content."""
        if self.done:
            return
        self.done = True
        if self.transaction is not None:
            self.transaction.release(self)
        await self._at_home(self._discard)

    async def _discard(self) -> None:
        await self._writer.discard()
        if self._edits is not None:
            await self._edits.discard()

    async def _at_home(self, function: Callable[..., Coroutine[Any, Any, object]], *arguments: Any) -> None:
        """Await a coroutine function on the loop where the content's way up began."""
        if self._loop is asyncio.get_running_loop():
            await function(*arguments)
        else:
            await on_loop(self._loop, function(*arguments))

    def abandon(self) -> None:
        """Forget the content without waiting; on any thread. No request is made, those that run are cancelled."""
        if self.transaction is not None:
            self.transaction.release(self)
        if not self.done and not self.is_inherited:
            start_on(self._loop, self.discard)


def start_on(loop: asyncio.AbstractEventLoop, function: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a coroutine function on a loop, from any thread and without waiting; nothing if the loop does not run."""

    def start() -> None:
        task = loop.create_task(function())
        _running.add(task)
        task.add_done_callback(_running.discard)

    if loop.is_running() and not loop.is_closed():
        loop.call_soon_threadsafe(start)


# The loop itself holds tasks weakly.
_running: set[asyncio.Task[None]] = set()
