"""Reads a local file for upload, in worker threads and into a few buffers that are reused."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import IO, Any, Final

from pyxet._async.runtime.tasks import outlast, stopped
from pyxet._async.runtime.threads import is_wanted, post
from pyxet._async.upload.buffers import Buffers
from pyxet._async.upload.content import READ
from pyxet._async.upload.flow import Flow
from pyxet._async.upload.reservation import Reservation
from pyxet.errors import ConflictError

# Pieces of a file that are in the flow at the same time.
_BUFFERS: Final = 6


class LocalContent:
    """Reads a local file and feeds it to a `Flow`. One thread at a time reads, and also computes the SHA-256.

    At any time exactly one of these continues the reading: a thread that reads, a job in the queue of the threads, the
    return of a buffer that the reading waits for, or the task that waits for memory. So the reading ends exactly once.

    Parameters
    ----------
    source:
        The file.
    flow:
        Processes the content.
    reservation, buffers:
        Each piece reserves its memory in ``reservation`` and takes a buffer from ``buffers``.
    progress:
        Called on the event loop with the number of bytes that were read since the last call.

    Attributes
    ----------
    size:
        Bytes read so far.
    """

    def __init__(
        self,
        source: Path,
        flow: Flow,
        reservation: Reservation,
        buffers: Buffers,
        progress: Callable[[int], object],
    ) -> None:
        self._source = source
        self._flow = flow
        self._reservation = reservation
        self._all_buffers = buffers
        self._progress = progress
        self.size = 0
        self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._waiting: asyncio.Task[None] | None = None
        self._failure: BaseException | None = None
        # Used only by the thread or task that currently continues the reading.
        self._file: IO[bytes] | None = None
        self._before: os.stat_result | None = None
        # Bytes already reserved for the next piece.
        self._granted = 0
        # Guarded by the lock: buffers in use, whether the reading waits for one, and bytes read but not reported yet.
        # Reentrant: the garbage collector may end a coroutine, which calls `_stop`, while this thread has the lock.
        self._lock = threading.RLock()
        self._buffers = 0
        self._wants_buffer = False
        self._untold = 0
        self._stopped = False

    async def read(self) -> None:
        """Read the whole file. When this returns, the flow may still be processing some of it.

        Raises
        ------
        ConflictError
            The file changed while it was read.
        OSError
            The file cannot be read.
        """
        post(self._go_on)
        try:
            await asyncio.wait([self._ended])
        except BaseException:
            await self._stop()
            raise
        self._ended.result()
        if self._failure is not None:
            raise self._failure

    async def _stop(self) -> None:
        """End the reading, and wait until no thread uses the file."""
        with self._lock:
            self._stopped = True
            resume, self._wants_buffer = self._wants_buffer, False
        if resume:
            post(self._go_on)
        try:
            if self._waiting is not None:
                await stopped(self._waiting)
        finally:
            try:
                await outlast(self._ended)
            finally:
                # Marks the exception as retrieved: the caller raises the cancellation instead.
                if self._ended.done():
                    self._ended.exception()

    # -- in a worker thread --------------------------------------------------------------------------------------------

    def _go_on(self) -> None:
        """Read until no buffer or no memory is free, another job needs the thread, or the file ends."""
        try:
            while self._read_piece():
                if is_wanted():
                    post(self._go_on)
                    return
        except BaseException as error:  # noqa: BLE001  # raised by `read`
            self._end(error)

    def _read_piece(self) -> bool:
        """Read a piece and feed it to the flow. Returns whether to read the next one at once."""
        if self._failure is not None:
            raise self._failure
        if self._stopped or self._flow.is_over:
            self._end(None)
            return False
        if self._file is None or self._before is None:
            # Unbuffered: a buffer would add a copy of each piece.
            self._file = self._source.open("rb", buffering=0)
            self._before = os.fstat(self._file.fileno())
        wanted = min(READ, self._before.st_size - self.size)
        if wanted <= 0:
            self._finish(self._file, self._before)
            return False
        if not self._may_use_buffer():
            return False
        if not self._granted and not self._reservation.try_take(wanted):
            self._return_buffer()
            self._tell(self._wait_for_memory, wanted)
            return False
        self._granted = wanted
        buffer = self._all_buffers.take()
        size: int = self._file.readinto(memoryview(buffer)[:wanted])  # type: ignore[attr-defined]  # an unbuffered file has it
        if not size:
            self._finish(self._file, self._before)
            return False
        self._reservation.release(wanted - size)
        self._granted = 0
        self.size += size
        self._flow.feed(memoryview(buffer)[:size], partial(self._give_back, buffer), hash_here=True)
        self._note_progress(size)
        return True

    def _finish(self, file: IO[bytes], before: os.stat_result) -> None:
        """At the former end of the file, check that the file has not changed, and end the content."""
        more, after = file.read(1), os.fstat(file.fileno())
        if (
            more
            or (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns)
            or self.size != after.st_size
        ):
            raise ConflictError(
                f"{self._source} changed while it was uploaded: {self.size:,} bytes read, {after.st_size:,} there"
            )
        self._flow.feed(memoryview(b""), is_last=True, hash_here=True)
        self._end(None)

    def _end(self, error: BaseException | None) -> None:
        file, self._file = self._file, None
        if file is not None:
            try:
                file.close()
            except OSError as failed:
                error = error or failed
        granted, self._granted = self._granted, 0
        self._reservation.release(granted)
        self._tell(self._set_ended, error)

    def _may_use_buffer(self) -> bool:
        """Count one more buffer in use; false if all are in use, so that `_give_back` resumes the reading."""
        with self._lock:
            self._wants_buffer = self._buffers == _BUFFERS
            self._buffers += not self._wants_buffer
            return not self._wants_buffer

    def _return_buffer(self) -> None:
        with self._lock:
            self._buffers -= 1

    def _give_back(self, buffer: bytearray) -> None:
        self._all_buffers.give_back(buffer)
        with self._lock:
            self._buffers -= 1
            resume, self._wants_buffer = self._wants_buffer, False
        if resume:
            post(self._go_on)

    def _note_progress(self, size: int) -> None:
        with self._lock:
            is_told, self._untold = bool(self._untold), self._untold + size
        if not is_told:
            self._tell(self._tell_progress)

    def _tell(self, function: Callable[..., object], *arguments: Any) -> None:
        # If the loop is closed, nobody waits any more.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(function, *arguments)

    # -- on the loop ---------------------------------------------------------------------------------------------------

    def _wait_for_memory(self, size: int) -> None:
        if self._stopped:
            post(self._go_on)
        else:
            self._waiting = asyncio.create_task(self._take_memory(size))

    async def _take_memory(self, size: int) -> None:
        try:
            await self._reservation.take(size)
            self._granted = size
        except Exception as error:  # noqa: BLE001  # raised by `read`
            self._failure = error
        finally:
            post(self._go_on)

    def _tell_progress(self) -> None:
        with self._lock:
            size, self._untold = self._untold, 0
        try:
            self._progress(size)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:  # noqa: BLE001  # raised by `read`
            self._failure = self._failure or error

    def _set_ended(self, error: BaseException | None) -> None:
        if self._ended.done():
            return
        if error is None:
            self._ended.set_result(None)
        else:
            self._ended.set_exception(error)
