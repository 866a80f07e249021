"""One file that is being written, from its opening to its publication."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final, Protocol

from pyxet._async.changes.changeset import PendingWriter
from pyxet._async.changes.edits import Edits
from pyxet._async.changes.guards import Watch
from pyxet._async.changes.layers import Closable, Held
from pyxet._async.runtime.bridge import on_loop
from pyxet.errors import AlreadyExistsError, EditConflictError, IntegrityError
from pyxet.protocol.hashing import Buffer

# How often a file that is appended to is read again, as others are faster. One of those who append at a time succeeds.
_APPENDS: Final = 100
# Pieces in which what was appended is put behind other content, in bytes.
_PIECE: Final = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Begun:
    """A file to append to, as it was found.

    Attributes
    ----------
    writer:
        Has its content.
    edits:
        The edits of this file alone, or ``None`` in a transaction.
    exists:
        Whether there was one.
    watch:
        Tells whether the path is written meanwhile in the same transaction.
    """

    writer: PendingWriter
    edits: Edits | None
    exists: bool
    watch: Watch


class Appending:
    """What a file that is appended to builds on; if somebody else is faster, it builds on what that one wrote.

    Parameters
    ----------
    begun:
        The file as it was opened.
    begin:
        Reads it again, as it is now.
    """

    def __init__(self, begun: Begun, begin: Callable[[], Awaitable[Begun]]) -> None:
        self._begin = begin
        self._begun = begun
        self._start = begun.writer.size

    @property
    def is_outdated(self) -> bool:
        """Whether somebody wrote to the path in the same transaction since it was read."""
        return self._begun.watch.changed

    @property
    def is_nothing(self) -> bool:
        """Whether the file is as it was found."""
        return self._begun.exists and self._begun.writer.size == self._start

    async def again(self) -> Begun:
        """Put what was appended, which is complete, behind the content that there is now."""
        old, start = self._begun.writer, self._start
        begun = await self._begin()
        try:
            first = begun.writer.size
            for at in range(start, old.size, _PIECE):
                await begun.writer.write(await old.read(at, min(old.size, at + _PIECE)))
            await begun.writer.complete()
        except BaseException:
            await begun.writer.discard()
            if begun.edits is not None:
                await begun.edits.discard()
            raise
        self._begun, self._start = begun, first
        return begun


class Holder(Protocol):
    """The transaction that a file belongs to, as far as the file needs to know it."""

    def check(self) -> None:
        """Raise `TransactionError` unless it is active."""

    def hold(self, writing: Writing, outermost: Closable, file: Held) -> None:
        """Keep a file, and its outermost wrapper, until `release` or the end."""

    def release(self, writing: Writing) -> None:
        """The file is closed."""

    def note_message(self, message: str | None) -> None:
        """The file was given a message for its commit."""


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
    appending:
        Given if the content begins with what was there, so that an append is not lost which somebody else makes meanwhile.
    """

    def __init__(
        self,
        writer: PendingWriter,
        *,
        edits: Edits | None = None,
        transaction: Holder | None = None,
        message: str | None = None,
        appending: Appending | None = None,
    ) -> None:
        self._appending = appending
        self._writer = writer
        self._edits = edits
        self.transaction = transaction
        self._message = message
        self._loop = asyncio.get_running_loop()
        self._pid = os.getpid()
        # One piece after the other, and the end after all of them, whoever writes them.
        self._turn = asyncio.Lock()
        self.done = False
        self._incomplete = False
        self._reported = False

    @property
    def size(self) -> int:
        """Bytes so far."""
        return self._writer.size

    @property
    def is_inherited(self) -> bool:
        """Whether this process is a fork of the one that opened the file, to which the file belongs."""
        return self._pid != os.getpid()

    @property
    def path(self) -> str:
        """Where it is written."""
        return self._writer.path

    def note_loss(self, *, at_end: bool = False) -> bool:
        """Whether the content is lost if nothing more happens, and nobody was told before.

        That of a transaction is the transaction's, until ``at_end`` of it.
        """
        lost = not (self.done or self.is_inherited or self._reported or (self.transaction is not None and not at_end))
        self._reported = self._reported or lost
        return lost

    async def write(self, data: Buffer) -> None:
        """Take a piece. `TransactionError` if the transaction has ended, `ValueError` if the file has."""
        if self.transaction is not None:
            self.transaction.check()
        try:
            await self._at_home(self._write, data)
        except BaseException:
            # Perhaps a part of it is there, and nobody knows which. Whoever goes on all the same would publish a hole.
            self._incomplete = True
            raise

    async def _write(self, data: Buffer) -> None:
        async with self._turn:
            if self.done:
                raise ValueError("I/O operation on closed file")
            await self._writer.write(data)

    async def publish(self) -> None:
        """The content is complete: add it to the transaction, or make the commit of this file alone.

        Raises
        ------
        IntegrityError
            A write failed or was cancelled, so that nobody knows what of it is there.
        """
        if self.done:
            return
        if self._incomplete:
            raise IntegrityError(
                f"{self._writer.path!r} is not published: an earlier write to it failed; write it again"
            )
        if self.transaction is not None:
            self.transaction.check()
        await self._at_home(self._publish)

    async def _publish(self) -> None:
        async with self._turn:
            if self.done:
                return
            await self._writer.complete()
            unchanged = self._appending is not None and self._appending.is_nothing
            while self._appending is not None and self._appending.is_outdated and not unchanged:
                await self._append_again(self._appending)
            if not unchanged:
                await self._writer.put()
            self.done = True
            if self.transaction is not None:
                self.transaction.note_message(self._message)
                self.transaction.release(self)
            if self._edits is not None:
                await self._commit(self._edits)

    async def _commit(self, edits: Edits) -> None:
        """Make the commit of this file. What was appended is put behind the content of whoever was faster."""
        for left in reversed(range(_APPENDS)):
            try:
                await edits.commit(self._message)
            except (EditConflictError, AlreadyExistsError):
                if self._appending is None or not left:
                    raise
            else:
                return
            edits = await self._append_again(self._appending) or edits
            try:
                await self._writer.put()
            except BaseException:
                await edits.discard()
                raise

    async def _append_again(self, appending: Appending) -> Edits | None:
        begun = await appending.again()
        self._writer, self._edits = begun.writer, begun.edits
        return begun.edits

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

    def discard_nowait(self) -> None:
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
