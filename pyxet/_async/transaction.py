"""Transactions: the writes of a block as one commit for each branch, or none.

A transaction belongs to the thread or task that opened it, which a context variable tells; every file system with the
same endpoint and user takes part there. Its state lives on one event loop, its home, to which calls from other threads
and loops are carried. On other threads `Transaction.fs` takes part, wherever it is.
"""

from __future__ import annotations

import asyncio
import gc
import io
import os
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar

from pyxet._async.bridge import blocking_call, on_loop
from pyxet._async.edits import Edits
from pyxet._async.writing import Writing
from pyxet.config import Credential
from pyxet.errors import TransactionError
from pyxet.types import Commit

if TYPE_CHECKING:
    from pyxet._async.filesystem import AsyncXetFileSystem

T = TypeVar("T")

_open_here: ContextVar[tuple[Transaction, ...]] = ContextVar("pyxet_transactions", default=())


class Closable(Protocol):
    """A file that is open for writing, or the wrapper around it."""

    @property
    def closed(self) -> bool: ...
    def close(self) -> object: ...


class Abandonable(Closable, Protocol):
    """A file that is open for writing."""

    def abandon(self) -> None: ...


def current_transaction(credential: Credential) -> Transaction | None:
    """The transaction that the running thread or task has open for an endpoint and user, if any."""
    for transaction in _open_here.get():
        if transaction.active and _same_account(transaction.credential, credential):
            return transaction
    return None


def _same_account(one: Credential, other: Credential) -> bool:
    if one.endpoint != other.endpoint:
        return False
    return one.user == other.user if one.user and other.user else one.token == other.token


class Transaction:
    """One atomic commit for each branch that is written to in a block.

    It is made by ``fs.transaction`` or ``fs.transaction(message=…, parent_commit=…)``, and used with ``with`` on a
    blocking file system or ``async with`` on an asynchronous one.

    Parameters
    ----------
    fs:
        The file system it belongs to.
    message:
        Commit message; one that tells the paths if ``None``.
    parent_commit:
        A full commit id: if one of the written or deleted paths changed since, the commit is a `ConflictError`.
    """

    def __init__(
        self, fs: AsyncXetFileSystem, message: str | None = None, parent_commit: str | None = None
    ) -> None:  # fmt: skip
        self._owner = fs
        self._message = message
        self._parent_commit = parent_commit
        self._state = "new"
        self._pid = os.getpid()
        self._edits: Edits | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._bound: AsyncXetFileSystem | None = None
        self._files: dict[Writing, tuple[Closable, Abandonable]] = {}
        self._commits: tuple[Commit, ...] = ()

    def __call__(self, message: str | None = None, parent_commit: str | None = None) -> Transaction:
        """A new transaction with a message, and a commit since which none of its paths may have changed."""
        return Transaction(self._owner, message, parent_commit)

    def __repr__(self) -> str:
        return f"<{self._state} transaction on {self._owner!r}>"

    # -- what it is ----------------------------------------------------------------------------------------------------

    @property
    def active(self) -> bool:
        """Whether it has begun and not ended."""
        return self._state == "active" and self._pid == os.getpid()

    @property
    def commits(self) -> tuple[Commit, ...]:
        """The commits that were made, in their order; none before the end, or where nothing changed."""
        return self._commits

    @property
    def credential(self) -> Credential:
        """Endpoint and user that it belongs to."""
        return self._owner.credential

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop where its state lives."""
        assert self._loop is not None
        return self._loop

    @property
    def edits(self) -> Edits:
        """Its pending changes; to be touched on its loop only. `TransactionError` before its start or after its end."""
        self.check()
        assert self._edits is not None
        return self._edits

    @property
    def fs(self) -> Any:
        """A file system that takes part in this transaction on any thread."""
        self.check()
        if self._bound is None:
            self._bound = self._owner.bound_to(self)
        return self._bound

    def check(self) -> None:
        """Raise `TransactionError` unless it is active."""
        if not self.active:
            raise TransactionError(
                "this transaction has not begun; use it with `with` or `async with`"
                if self._state == "new"
                else "this transaction has ended; begin another one with fs.transaction"
            )

    # -- its life ------------------------------------------------------------------------------------------------------

    def set_commit_message(self, message: str) -> None:
        """Set the message of the commit."""
        self._message = message

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.complete(commit=kind is None)

    async def __aenter__(self) -> Self:
        self._begin(asyncio.get_running_loop())
        try:
            self._edits = await self._owner.new_edits(self._parent_commit)
        except BaseException:
            self._end()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.acomplete(commit=kind is None)

    def start(self) -> None:
        """Begin, on a blocking file system."""
        if self._owner.asynchronous:
            raise TransactionError("an asynchronous file system has asynchronous transactions: use `async with`")
        self._begin(self._owner.loop)
        try:
            self._edits = blocking_call(self.loop, self._owner.new_edits, self._parent_commit)
        except BaseException:
            self._end()
            raise

    def complete(self, commit: bool = True) -> None:
        """End on a blocking file system: close the files that are left open, and commit, or throw everything away."""
        edits = self.edits
        try:
            if not commit:
                self._abandon_files()
                blocking_call(self.loop, edits.discard)
                return
            try:
                for file in self._left_open():
                    file.close()
                self._commits = blocking_call(self.loop, edits.commit, self._message)
            except BaseException as error:
                self._note_partial(error)
                self._abandon_files()
                blocking_call(self.loop, edits.discard)
                raise
        finally:
            self._end()

    async def acomplete(self, commit: bool = True) -> None:
        """End on an asynchronous file system, see `complete`."""
        edits = self.edits
        try:
            if not commit:
                self._abandon_files()
                await edits.discard()
                return
            try:
                for file in self._left_open():
                    closing = file.close()
                    if isinstance(closing, Coroutine):
                        await closing
                self._commits = await edits.commit(self._message)
            except BaseException as error:
                self._note_partial(error)
                self._abandon_files()
                await edits.discard()
                raise
        finally:
            self._end()

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._state != "new":
            raise TransactionError(
                "transactions do not nest; this one is active already" if self.active else "this transaction has ended"
            )
        other = current_transaction(self.credential)
        if other is not None:
            raise TransactionError("transactions do not nest; end the one that this thread or task has open first")
        self._loop = loop
        self._state = "active"
        _open_here.set((*(found for found in _open_here.get() if found.active), self))

    def _end(self) -> None:
        self._state = "ended"
        self._files.clear()
        _open_here.set(tuple(found for found in _open_here.get() if found.active))

    def _note_partial(self, error: BaseException) -> None:
        self._commits = tuple(commit for _, commit in getattr(error, "made", ()))

    # -- files and calls -----------------------------------------------------------------------------------------------

    def hold(self, writing: Writing, outermost: Closable, file: Abandonable) -> None:
        """Keep a file that was opened for writing, and its outermost wrapper, until `release` or the end."""
        self._files[writing] = (outermost, file)

    def release(self, writing: Writing) -> None:
        """A file is closed."""
        self._files.pop(writing, None)

    def _left_open(self) -> list[Closable]:
        """The files to close, each by its outermost wrapper."""
        return [_outermost(outermost) for outermost, _ in self._files.values()]

    def _abandon_files(self) -> None:
        for _, file in list(self._files.values()):
            file.abandon()
        self._files.clear()

    async def at_home(self, function: Callable[..., Coroutine[Any, Any, T]], *args: Any, **kwargs: Any) -> T:
        """Await a coroutine function on the transaction's loop."""
        if self.loop is asyncio.get_running_loop():
            return await function(*args, **kwargs)
        return await on_loop(self.loop, function(*args, **kwargs))

    def open(self, path: str, mode: str = "rb", **kwargs: Any) -> Any:
        """Open a file in this transaction, see ``fs.open``; ``open_async``, to be awaited, on an asynchronous one."""
        return getattr(self.fs, "open_async" if self._owner.asynchronous else "open")(path, mode, **kwargs)

    def put(self, lpath: Any, rpath: Any, recursive: bool = False, **kwargs: Any) -> Any:
        """Upload files in this transaction, see ``fs.put``; to be awaited on an asynchronous file system."""
        return self._call("put", lpath, rpath, recursive=recursive, **kwargs)

    def pipe(self, path: Any, value: bytes | None = None, **kwargs: Any) -> Any:
        """Write bytes in this transaction, see ``fs.pipe``; to be awaited on an asynchronous file system."""
        return self._call("pipe", path, value, **kwargs)

    def rm(self, path: Any, recursive: bool = False, **kwargs: Any) -> Any:
        """Delete files in this transaction, see ``fs.rm``; to be awaited on an asynchronous file system."""
        return self._call("rm", path, recursive=recursive, **kwargs)

    def cp(self, path1: Any, path2: Any, recursive: bool = False, **kwargs: Any) -> Any:
        """Copy files in this transaction, see ``fs.cp``; to be awaited on an asynchronous file system."""
        return self._call("copy", path1, path2, recursive=recursive, **kwargs)

    def mv(self, path1: Any, path2: Any, recursive: bool = False, **kwargs: Any) -> Any:
        """Move files in this transaction, see ``fs.mv``; to be awaited on an asynchronous file system."""
        return self._call("mv", path1, path2, recursive=recursive, **kwargs)

    def _call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        name = f"_{name}" if self._owner.asynchronous else name
        return getattr(self.fs, name)(*args, **kwargs)


def _outermost(file: Closable) -> Closable:
    """The text wrapper that somebody else put around a file and left open: closing the file beneath it would lose text.

    Wrappers that ``fs.open`` makes are held themselves; ``fsspec.open`` makes its own, and tells nobody.
    """
    for referrer in gc.get_referrers(file):
        if isinstance(referrer, io.TextIOWrapper) and not referrer.closed and referrer.buffer is file:
            return referrer
    return file
