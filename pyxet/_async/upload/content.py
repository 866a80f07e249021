"""A content that comes in pieces, as it is written."""

from __future__ import annotations

import asyncio
import sys
from contextlib import nullcontext
from typing import Final, Protocol

from pyxet._async.http.watched import Part, Transfer, is_watched
from pyxet._async.upload.flow import Flow
from pyxet._async.upload.packing import Packer
from pyxet._async.upload.reservation import Reservation
from pyxet.protocol.constants import MIB
from pyxet.protocol.hashing import Buffer
from pyxet.types import UploadedContent

# Bytes that are put on their way at once, at the least.
RUN: Final = 2 * MIB
# And at the most: handing a run to worker threads costs as much as hashing a hundred kibibytes.
READ: Final = 4 * MIB
# Runs of one content that are on their way while it is being written.
_AT_ONCE: Final = 4


class Session(Protocol):
    """The upload session that a content belongs to, as far as the content needs it."""

    reservation: Reservation
    packer: Packer

    def check(self) -> None:
        """Raise if the session has ended or a part of it failed."""

    def finish(self, flow: Flow) -> UploadedContent:
        """Note that a file is complete."""


class ContentWriter:
    """Stores content that comes in pieces, while it comes; see `Flow`."""

    def __init__(self, session: Session, sha256: str | None, name: str | None = None) -> None:
        self._session = session
        # For those who watch.
        self._transfer = Transfer("upload", Part(name, 0, 0)) if name is not None and is_watched() else None
        self._lock = asyncio.Lock()
        with self._transfer.counting() if self._transfer is not None else nullcontext():
            self._flow = Flow(session, sha256)
        self._waiting = bytearray()
        self.size = 0

    async def write(self, data: Buffer) -> None:
        """Write a piece; waits while earlier ones are on their way. Only `bytes` are not copied."""
        view = memoryview(data).cast("B")
        for at in range(0, len(view), READ):
            self._session.check()
            piece = view[at : at + READ]
            # Not under the lock: `push` needs the lock to send what this writer holds when others wait for memory.
            await self._session.reservation.take(len(piece))
            try:
                await self._lock.acquire()
            except BaseException:
                self._session.reservation.release(len(piece))
                raise
            try:
                self.size += len(piece)
                if not self._waiting and len(piece) >= RUN:
                    await self._feed(piece if isinstance(piece.obj, bytes) else memoryview(bytes(piece)))
                    continue
                self._waiting += piece
                self._session.reservation.mark_idle(len(piece))
                if len(self._waiting) >= RUN:
                    await self._feed_waiting()
            finally:
                self._lock.release()

    async def push(self) -> None:
        """Send what was written so far without waiting for a whole run."""
        async with self._lock:
            if self._waiting:
                await self._feed_waiting()
            await self._flow.settle()

    async def close(self) -> UploadedContent:
        """End the content. It is safe to commit after the uploader's ``flush``."""
        self._session.check()
        async with self._lock:
            await self._feed_waiting(is_last=True)
            await self._flow.settle()
        if self._transfer is not None:
            self._transfer.came(self.size)
            self._transfer.end(None)
        return self._session.finish(self._flow)

    async def discard(self) -> None:
        """Discard the content. Chunks that were already sent belong to no file."""
        if self._transfer is not None:
            self._transfer.came(self.size)
            # Whoever discards handles what kept the content from being complete, or does not want it any more.
            self._transfer.end(sys.exception() or asyncio.CancelledError())
        waiting, self._waiting = len(self._waiting), bytearray()
        self._session.reservation.mark_idle(-waiting)
        self._session.reservation.release(waiting)
        await self._flow.stop()

    async def _feed_waiting(self, *, is_last: bool = False) -> None:
        data, self._waiting = bytes(self._waiting), bytearray()
        self._session.reservation.mark_idle(-len(data))
        await self._feed(memoryview(data), is_last=is_last)

    async def _feed(self, data: memoryview, *, is_last: bool = False) -> None:
        """Put a run on its way. Its memory was reserved by the caller."""
        try:
            await self._flow.settle(_AT_ONCE - 1)
        except BaseException:
            self._session.reservation.release(len(data))
            raise
        self._flow.feed(data, is_last=is_last)
