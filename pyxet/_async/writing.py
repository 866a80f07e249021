"""One file that is being written, from its opening to its publication."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from pyxet._async.bridge import on_loop
from pyxet._async.changes import PendingWriter
from pyxet._async.edits import Edits
from pyxet.protocol.hashing import Buffer

if TYPE_CHECKING:
    from pyxet._async.transaction import Transaction


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
        Message of its own commit.
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
        self._done = False

    @property
    def size(self) -> int:
        """Bytes so far."""
        return self._writer.size

    async def write(self, data: Buffer) -> None:
        """Take a piece. `TransactionError` if the transaction has ended."""
        if self.transaction is not None:
            self.transaction.check()
        await self._at_home(self._writer.write, data)

    async def close(self, *, publish: bool = True) -> None:
        """The content is complete; outside a transaction it is published unless that comes later."""
        if self.transaction is not None:
            self.transaction.check()
            self.transaction.release(self)
        await self._at_home(self._writer.close)
        if publish:
            await self.publish()

    async def publish(self) -> None:
        """Make the commit of this file alone; in a transaction there is nothing to do."""
        if self._edits is not None and not self._done:
            self._done = True
            await self._at_home(self._edits.commit, self._message)

    async def discard(self) -> None:
        """Forget the content."""
        if self._done:
            return
        self._done = True
        if self.transaction is not None:
            self.transaction.release(self)
        await self._at_home(self._writer.discard)
        if self._edits is not None:
            await self._at_home(self._edits.discard)

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
        if self._loop.is_running() and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._start_discarding)

    def _start_discarding(self) -> None:
        task = asyncio.create_task(self.discard())
        _discarding.add(task)
        task.add_done_callback(_discarding.discard)


# The loop itself holds tasks weakly.
_discarding: set[asyncio.Task[None]] = set()
