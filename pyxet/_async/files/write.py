"""Files that are open for writing, blocking and asynchronous.

A file uploads its content while it is written. It is published by its ``close``, or with the commit of its transaction. If the
block around it raises, it is discarded, also if it only gets a call of ``close``, as below text and compression wrappers: see
`pyxet._async.files.ending`. What wrappers still write to a discarded file is accepted and thrown away, and the wrappers are
closed, so that they report nothing when they are collected.
"""

from __future__ import annotations

import asyncio
import io
import logging
import sys
import threading
from collections.abc import AsyncIterable, Iterable
from types import TracebackType
from typing import Any, Final, NoReturn, Self

from fsspec.asyn import AbstractAsyncStreamedFile
from fsspec.spec import AbstractBufferedFile

from pyxet._async.changes.buffers import as_bytes
from pyxet._async.changes.file_write import Writing
from pyxet._async.changes.layers import close_layers
from pyxet._async.changes.losses import UNSEEN, is_unseen, report, watch
from pyxet._async.files.ending import Opening
from pyxet._async.files.owner import FileSystem
from pyxet._async.runtime.bridge import blocking_call, is_shutting_down
from pyxet.errors import TransactionError

# Bytes that a blocking file collects before it hands them to the event loop.
_PIECE: Final = 2 * 1024 * 1024


class TextBeneath:
    """Gives `io.TextIOWrapper` another answer to ``seekable`` than other callers.

    A text wrapper writes a byte-order mark if ``tell`` returns 0, and does so correctly only if the file beneath is seekable:
    otherwise the mark of utf-16 is missing, that of utf-8-sig lands in the middle of an appended file, and there is no
    ``tell``. All other callers must be told that the file is not seekable, as they would seek in it. The text wrapper is C
    code: it asks whether the file is writable and whether it is seekable within one bytecode instruction of its caller, which
    Python code never does.
    """

    closed: Any
    _asked_at: tuple[int, int] = (0, 0)

    def writable(self) -> bool:
        """Whether it is open."""
        frame = sys._getframe(1)
        self._asked_at = id(frame), frame.f_lasti
        return not self.closed

    def seekable(self) -> bool:
        """Return ``False``, but ``True`` to a text wrapper, which only wants to know whether ``tell`` works."""
        frame = sys._getframe(1)
        return not self.closed and self._asked_at == (id(frame), frame.f_lasti)


class XetWriteFile(TextBeneath, AbstractBufferedFile):  # type: ignore[misc]  # fsspec is not typed
    """A blocking file that is open for writing.

    Parameters
    ----------
    fs, path, mode:
        The arguments of the opening; the mode is ``wb``, ``xb`` or ``ab``.
    writing:
        Takes the content.
    autocommit:
        Whether ``close`` publishes; otherwise ``commit`` does.
    """

    def __init__(
        self,
        fs: FileSystem,
        path: str,
        mode: str,
        writing: Writing,
        *,
        loop: asyncio.AbstractEventLoop,
        autocommit: bool,
    ) -> None:
        # The base class's ``__init__`` is not called: it would set up buffers and caches for uploads in blocks.
        self.fs = fs
        self.path = path
        self.mode = mode
        self.autocommit = autocommit
        self.blocksize = _PIECE
        self.kwargs: dict[str, Any] = {}
        self.loc = self.began_at = writing.size
        self._writing = writing
        self._loop = loop
        self._waiting = bytearray()
        # Threads may share a file, as with Python's own files: writes do not mix, and ``close`` waits for a write.
        self._lock = threading.RLock()
        self._opening = Opening()
        # Discarded, while wrappers may still write when they end.
        self._ends_quietly = False
        self.closed = False
        watch(self)

    def join_transaction(self, outermost: Any) -> None:
        """Register the outermost wrapper of the file with the transaction, if there is one."""
        if self._writing.transaction is not None:
            self._writing.transaction.hold(self._writing, outermost, self)

    def expect(self, error: BaseException | None) -> None:
        """Note that the exception that is being handled now does not concern this file: ``close`` publishes."""
        self._opening.expect(error)

    def write(self, data: Any) -> int:
        """Write bytes; they are uploaded while more are written.

        Raises
        ------
        ValueError
            The file is closed.
        TransactionError
            Its transaction has ended, or this process is a fork of the one that opened it.
        """
        view = as_bytes(data)
        if self._ends_quietly:
            return len(view)
        # Checked before the lock is taken, which a thread of the parent process may have held at the moment of the fork.
        self._check_process()
        with self._lock:
            if self.closed:
                raise ValueError("I/O operation on closed file")
            self._take(view)
        return len(view)

    def _take(self, view: memoryview) -> None:
        if len(self._waiting) + len(view) >= _PIECE:
            self._push()
        if len(view) >= _PIECE:
            blocking_call(self._loop, self._writing.write, view)
        else:
            self._waiting += view
        self.loc += len(view)

    def flush(self, force: bool = False) -> None:
        """Do nothing: what is written becomes visible when the file is published."""
        if self.closed and not self._ends_quietly:
            raise ValueError("I/O operation on closed file")

    def close(self) -> None:
        """Complete the file. It is published now or with its transaction; it is discarded if the block around it raised.

        Outside of a ``with`` statement, an exception counts as raised by the block if it is being handled now and was not when
        the file was opened; this gives a `PyxetWarning`. Exceptions that only end an iteration or a queue do not count.
        """
        if self.closed:
            return
        if self._ends_quietly:
            # Called by a wrapper that was collected, after it has written what it held.
            self.closed = True
            self.settle()
            return
        published, error = self._opening.judge()
        if not published:
            if error is None:
                _note_unseen(self._writing, type(sys.exception()))
            self.discard()
            if error is not None:
                _report_discarded(self.path, error)
            return
        try:
            self._check_process()
            self._complete()
        except BaseException:
            self.discard()
            raise

    def _complete(self) -> None:
        with self._lock:
            if self.closed:
                return
            self._push()
            if self.autocommit:
                blocking_call(self._loop, self._writing.publish)
            self._release()
            self.closed = True

    def commit(self) -> None:
        """Publish a closed file that was opened with ``autocommit=False``; in a transaction, add it to the transaction."""
        if not self.closed:
            raise ValueError("close the file before its commit")
        self._check_process()
        blocking_call(self._loop, self._writing.publish)

    def discard(self) -> None:
        """Throw the content away; nothing is published."""
        was_open = not self.closed
        self.mark_closed()
        if was_open:
            close_layers([self])
        self.settle()
        if is_shutting_down():
            self._writing.discard_nowait()
        elif not self._writing.is_inherited:
            blocking_call(self._loop, self._writing.discard)

    def discard_nowait(self) -> None:
        """Like `discard`, without waiting; for files that nobody will close."""
        self.mark_closed()
        self._writing.discard_nowait()

    def mark_closed(self) -> None:
        """Become closed and throw the content away; until `settle`, wrappers can still write to the file, without effect."""
        self._ends_quietly = True
        self._release()
        self.closed = True

    def settle(self) -> None:
        """The wrappers are closed: from now on, writing raises an error."""
        self._ends_quietly = False

    def _release(self) -> None:
        self._opening.release()
        self._waiting.clear()

    def _check_process(self) -> None:
        if self._writing.is_inherited:
            raise TransactionError(f"{self.path!r} was opened in the process that this one was forked from")

    def tell(self) -> int:
        """Bytes of content so far, including those that an append found."""
        if self.closed and not self._ends_quietly:
            raise ValueError("I/O operation on closed file")
        return self.loc

    def seek(self, loc: int, whence: int = 0) -> int:
        """Refuse, also for the present position: `zipfile` would take the file for a seekable one."""
        raise io.UnsupportedOperation("a file that is open for writing cannot seek")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None and not self.closed:
            _note_unseen(self._writing, kind)
            self.discard()
        self.close()

    def _dealloc_warn(self, source: object) -> None:
        """Called by a text wrapper that is collected unclosed, before it closes this file; nothing is published then.

        The file must not be closed yet: the wrapper would fail to flush, and report that.
        """
        if self.closed or self._ends_quietly:
            return
        self._ends_quietly = True
        try:
            self.report_lost(source)
        finally:
            self._release()
            self._writing.discard_nowait()

    def report_lost(self, source: object = None) -> None:
        """Warn that the content is lost, if it is: nobody closed the file, or nobody committed it after that."""
        if self._writing.note_loss():
            state = "closed and never committed" if self.closed else "written and never closed"
            report(f"{self.path!r} was {state}: nothing of it is published", source)

    def __del__(self) -> None:
        try:
            if not self.closed:
                self._dealloc_warn(self)
            elif not self.autocommit:
                self.report_lost(self)
        finally:
            if not self.closed or not self.autocommit:
                # Closed and then neither committed nor discarded; or collected before its wrapper.
                self.discard_nowait()

    # The base class's method is not called, as it asks the endpoint.
    __hash__ = object.__hash__

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError("a file that is open for writing cannot be pickled")

    def _push(self) -> None:
        if self._waiting:
            data, self._waiting = bytes(self._waiting), bytearray()
            blocking_call(self._loop, self._writing.write, data)


def _report_discarded(path: str, error: BaseException) -> None:
    kind = type(error).__name__
    report(
        f"{path!r} is discarded, as it was closed while {kind} was being handled: its content may be incomplete. To "
        "publish it, write it in a `with` block, or close it after the except clause",
        level=logging.WARNING,
    )


def _note_unseen(writing: Writing, kind: type[Any]) -> None:
    """Warn if the file is discarded because of an exception that the caller does not see."""
    if is_unseen(kind) and writing.note_loss(at_end=True):
        report(f"{writing.path!r} is discarded: {UNSEEN}", level=logging.WARNING)


class AsyncXetWriteFile(AbstractAsyncStreamedFile):  # type: ignore[misc]  # fsspec is not typed
    """An asynchronous file that is open for writing."""

    def __init__(self, fs: FileSystem, path: str, mode: str, writing: Writing) -> None:
        self.fs = fs
        self.path = path
        self.mode = mode
        self.autocommit = True
        self.loc = writing.size
        self._writing = writing
        self._opening = Opening()
        self.closed = False
        watch(self)

    async def write(self, data: Any) -> int:
        """Write bytes; waits while earlier ones are being uploaded."""
        self._check_open()
        view = as_bytes(data)
        await self._writing.write(view)
        self.loc += len(view)
        return len(view)

    async def writelines(self, lines: Iterable[Any] | AsyncIterable[Any]) -> None:
        """Write the bytes of each item, with nothing between them."""
        if isinstance(lines, AsyncIterable):
            async for line in lines:
                await self.write(line)
        else:
            for line in lines:
                await self.write(line)

    def tell(self) -> int:
        """Bytes of content so far, including those that an append found."""
        self._check_open()
        return int(self.loc)

    def seek(self, loc: int, whence: int = 0) -> int:
        """Raise an error: the file is written from start to end."""
        self._check_open()
        raise io.UnsupportedOperation("a file that is open for writing cannot seek")

    def readable(self) -> bool:
        self._check_open()
        return False

    def writable(self) -> bool:
        self._check_open()
        return True

    def seekable(self) -> bool:
        self._check_open()
        return False

    async def read(self, length: int = -1) -> NoReturn:
        self._check_open()
        raise io.UnsupportedOperation("the file is open for writing; open it with 'rb' to read")

    async def readline(self, size: int = -1) -> NoReturn:
        await self.read()

    async def readlines(self, hint: int = -1) -> NoReturn:
        await self.read()

    async def readinto(self, b: Any) -> NoReturn:
        await self.read()

    def __iter__(self) -> NoReturn:
        self._check_open()
        raise io.UnsupportedOperation("the file is open for writing; open it with 'rb' to read")

    def _check_open(self) -> None:
        if self.closed:
            raise ValueError("I/O operation on closed file")

    async def flush(self, force: bool = False) -> None:
        """Do nothing: what is written becomes visible when the file is published."""

    async def close(self) -> None:
        """Complete the file. It is published now or with its transaction; when it is discarded, see `XetWriteFile.close`."""
        if self.closed:
            return
        published, error = self._opening.judge()
        if not published:
            if error is None:
                _note_unseen(self._writing, type(sys.exception()))
            await self.discard()
            if error is not None:
                _report_discarded(self.path, error)
            return
        try:
            await self._writing.publish()
        except BaseException:
            await self.discard()
            raise
        self.mark_closed()

    async def discard(self) -> None:
        """Throw the content away; nothing is published."""
        self.mark_closed()
        await self._writing.discard()

    def discard_nowait(self) -> None:
        """Like `discard`, without waiting."""
        self.mark_closed()
        self._writing.discard_nowait()

    def mark_closed(self) -> None:
        """Become closed, whatever happens to the content."""
        self.closed = True
        self._opening.release()

    def settle(self) -> None:
        """Do nothing: there are no wrappers."""

    def expect(self, error: BaseException | None) -> None:
        """Note that the exception that is being handled now does not concern this file: ``close`` publishes."""
        self._opening.expect(error)

    def report_lost(self, source: object = None) -> None:
        """Warn that the content is lost, if it is: nobody closed the file."""
        if not self.closed and self._writing.note_loss():
            report(f"{self.path!r} was written and never closed: nothing of it is published", source)

    def __enter__(self) -> NoReturn:
        raise TypeError("an asynchronous file: use `async with`")

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None and not self.closed:
            _note_unseen(self._writing, kind)
            await self.discard()
        await self.close()

    def __del__(self) -> None:
        if not self.closed:
            try:
                self.report_lost(self)
            finally:
                self.discard_nowait()

    __hash__ = object.__hash__

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError("a file that is open for writing cannot be pickled")
