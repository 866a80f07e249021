"""One file that is open for writing, from its opening to its publication."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from pyxet._async.changes.edits import Edits
from pyxet._async.changes.guards import Watch
from pyxet._async.changes.layers import Closable, Held
from pyxet._async.runtime.bridge import on_loop
from pyxet.errors import AlreadyExistsError, EditConflictError, IntegrityError
from pyxet.protocol.hashing import Buffer

if TYPE_CHECKING:
    from pyxet._async.changes.changeset import PendingWriter

# How often an append that lost to another writer starts again from the newer content. Of several appends at the same
# time one succeeds in each round.
_APPENDS: Final = 100
# Bytes at a time when appended content is copied to the end of the newer content.
_PIECE: Final = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Begun:
    """A file to append to, as it was when it was opened.

    Attributes
    ----------
    writer:
        A writer that holds the existing content.
    edits:
        The edits of this file alone, or ``None`` in a transaction.
    exists:
        Whether the file existed.
    watch:
        Tells whether the path has been written to since in the same transaction.
    """

    writer: PendingWriter
    edits: Edits | None
    exists: bool
    watch: Watch


class Appending:
    """The content that an append builds on. If somebody else writes the file first, the append moves to that content.

    Parameters
    ----------
    begun:
        The file as it was when it was opened.
    begin:
        Opens the file again as it is now.
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
        """Whether the file existed and nothing was appended to it."""
        return self._begun.exists and self._begun.writer.size == self._start

    async def again(self) -> Begun:
        """Append the bytes to the content that the file has now. Called once the appended bytes are complete."""
        old, start = self._begun.writer, self._start
        begun = await self._begin()
        try:
            first = begun.writer.size
            for at in range(start, old.size, _PIECE):
                await begun.writer.write(await old.read(at, min(old.size, at + _PIECE)))
            await begun.writer.complete()
        except BaseException:
            await _discarded(begun.writer, begun.edits)
            raise
        self._begun, self._start = begun, first
        return begun


class Holder(Protocol):
    """The part of a transaction that a file in it uses."""

    def check(self) -> None:
        """Raise `TransactionError` unless it is active."""

    def hold(self, writing: Writing, outermost: Closable, file: Held) -> None:
        """Keep a file and its outermost wrapper until `release` or the end of the transaction."""

    def release(self, writing: Writing) -> None:
        """Stop keeping a file, because it is closed."""

    def note_message(self, message: str | None) -> None:
        """Record the commit message that the file was opened with."""


class Writing:
    """Takes the content of one file, and publishes it: with its transaction, or by a commit of its own.

    Parameters
    ----------
    writer:
        Receives the content.
    edits:
        The edits of this file alone, or ``None`` in a transaction.
    transaction:
        The transaction it belongs to, if any.
    message:
        Message of the file's own commit; in a transaction, used if the transaction has no message.
    appending:
        Given for an append, so that what somebody else writes to the file meanwhile is not lost.
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
        # Pieces are written one at a time, and the end comes after all of them, from whichever tasks they come.
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
        """Path of the file, with repository and branch."""
        return self._writer.path

    def note_loss(self, *, at_end: bool = False) -> bool:
        """Whether the content would be lost now and this was not reported yet. It counts as reported from then on.

        Parameters
        ----------
        at_end:
            Whether the file's transaction is ending. Before that, its transaction still has the content.
        """
        lost = not (self.done or self.is_inherited or self._reported or (self.transaction is not None and not at_end))
        self._reported = self._reported or lost
        return lost

    async def write(self, data: Buffer) -> None:
        """Write a piece. Raises `TransactionError` if the transaction has ended, `ValueError` if the file is closed."""
        if self.transaction is not None:
            self.transaction.check()
        try:
            await self._at_home(self._write, data)
        except BaseException:
            # Some of the piece may have been taken. Publishing what is written later would publish a file with a hole.
            self._incomplete = True
            raise

    async def _write(self, data: Buffer) -> None:
        async with self._turn:
            if self.done:
                raise ValueError("I/O operation on closed file")
            await self._writer.write(data)

    async def publish(self) -> None:
        """End the content, and add it to the transaction or commit this file alone.

        Raises
        ------
        IntegrityError
            An earlier write failed or was cancelled, so that the content may have a hole.
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
        """Commit this file. If somebody else wrote it first, append our bytes to their content and try again."""
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
        """Discard the content."""
        if self.done:
            return
        self.done = True
        if self.transaction is not None:
            self.transaction.release(self)
        await self._at_home(self._discard)

    async def _discard(self) -> None:
        await _discarded(self._writer, self._edits)

    async def _at_home(self, function: Callable[..., Coroutine[Any, Any, object]], *arguments: Any) -> None:
        """Await a coroutine function on the loop where the file was opened."""
        if self._loop is asyncio.get_running_loop():
            await function(*arguments)
        else:
            await on_loop(self._loop, function(*arguments))

    def discard_nowait(self) -> None:
        """Discard the content without waiting, from any thread. No request is started; running ones are cancelled."""
        if self.transaction is not None:
            self.transaction.release(self)
        if not self.done and not self.is_inherited:
            start_on(self._loop, self.discard)


async def _discarded(writer: PendingWriter, edits: Edits | None) -> None:
    """Discard a file and, if it has its own edits, these too: also if discarding the file fails or is cancelled."""
    try:
        await writer.discard()
    finally:
        if edits is not None:
            await edits.discard()


def start_on(loop: asyncio.AbstractEventLoop, function: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Start a coroutine function on a loop from any thread, without waiting. Does nothing if the loop is not running."""

    def start() -> None:
        task = loop.create_task(function())
        _running.add(task)
        task.add_done_callback(_running.discard)

    if loop.is_running() and not loop.is_closed():
        loop.call_soon_threadsafe(start)


# Keeps the tasks alive: the loop itself only holds weak references to them.
_running: set[asyncio.Task[None]] = set()
