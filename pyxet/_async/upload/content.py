"""Uploads content piece by piece while the caller writes it."""

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

# Fewest bytes of a run, the unit passed to worker threads: each hand-over costs as much as hashing 100 KiB.
RUN: Final = 2 * MIB
# Most bytes of a run.
READ: Final = 4 * MIB
# Runs of one content that worker threads process at the same time while it is being written.
_AT_ONCE: Final = 4


class Session(Protocol):
    """The part of an upload session that a `ContentWriter` uses."""

    reservation: Reservation
    packer: Packer

    def check(self) -> None:
        """Raise if the session has ended or a part of it failed."""

    def finish(self, flow: Flow) -> UploadedContent:
        """Note that a file is complete."""


class ContentWriter:
    """Uploads content that arrives in pieces, without waiting for all of it; see `Flow`."""

    def __init__(self, session: Session, sha256: str | None, name: str | None = None) -> None:
        self._session = session
        # Set only if somebody watches transfers.
        self._transfer = Transfer("upload", Part(name, 0, 0)) if name is not None and is_watched() else None
        self._lock = asyncio.Lock()
        with self._transfer.counting() if self._transfer is not None else nullcontext():
            self._flow = Flow(session, sha256)
        self._waiting = bytearray()
        self.size = 0

    async def write(self, data: Buffer) -> None:
        """Write a piece. Waits while too many earlier runs are being processed.

        Runs of at least `RUN` bytes are used without a copy if ``data`` is `bytes`; everything else is copied.
        """
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
        """Process everything written so far, even if it is less than a run, and wait until that is done."""
        async with self._lock:
            if self._waiting:
                await self._feed_waiting()
            await self._flow.settle()

    async def close(self) -> UploadedContent:
        """End the content. A commit may refer to it only after the uploader's ``flush``."""
        self._session.check()
        async with self._lock:
            await self._feed_waiting(is_last=True)
            await self._flow.settle()
        if self._transfer is not None:
            self._transfer.came(self.size)
            self._transfer.end(None)
        return self._session.finish(self._flow)

    async def discard(self) -> None:
        """Discard the content. Chunks that were already sent are not registered as part of a file."""
        if self._transfer is not None:
            self._transfer.came(self.size)
            # The caller discards either while it handles an error, or because it no longer wants the content.
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
        """Pass a run to the flow. The caller has reserved its memory."""
        try:
            await self._flow.settle(_AT_ONCE - 1)
        except BaseException:
            self._session.reservation.release(len(data))
            raise
        self._flow.feed(data, is_last=is_last)
