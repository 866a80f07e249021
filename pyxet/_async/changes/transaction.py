"""Transactions: the writes of a block as one commit for each branch, or none.

A transaction belongs to the thread or task that opened it, which a context variable tells; every file system with the
same endpoint and user takes part there. Its state lives on one event loop, its home, to which calls from other threads
and loops are carried. On other threads `Transaction.fs` takes part, wherever it is; and what is made inside the block, as
libraries make file systems from URLs, takes part on the threads that such a library has of its own.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from inspect import iscoroutinefunction
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar
from weakref import WeakValueDictionary

from pyxet._async.changes.edits import Edits
from pyxet._async.changes.file_write import Writing, start_on
from pyxet._async.changes.guards import check_parent_commit
from pyxet._async.changes.layers import Closable, Held, Wrappers, close_layers
from pyxet._async.changes.losses import UNSEEN, Caller, is_unseen, report, watch
from pyxet._async.changes.membership import Membership, same_account
from pyxet._async.changes.owner import Owner
from pyxet._async.runtime.bridge import blocking_call, is_shutting_down, on_loop
from pyxet.config import Credential
from pyxet.errors import TransactionError
from pyxet.options import public
from pyxet.types import Commit, PullRequest, Totals

if TYPE_CHECKING:
    from typing_extensions import TypeVar as DefaultTypeVar

    # Where nothing is said, the file system may be any.
    F = DefaultTypeVar("F", bound="Owner", default=Any)
else:
    F = TypeVar("F")

T = TypeVar("T")

# Not the transactions: whatever is started in one keeps a copy of its context, and with that all that is in it.
_open_here: ContextVar[tuple[Membership, ...]] = ContextVar("pyxet_transactions", default=())
_by_id: WeakValueDictionary[str, Transaction] = WeakValueDictionary()
# Whether a call comes from a library's thread after the transaction that it would have taken part in.
_too_late: ContextVar[bool] = ContextVar("pyxet_too_late", default=False)
# Who made the blocking call that is being carried out, while there are transactions that it might write beside.
_caller: ContextVar[Caller | None] = ContextVar("pyxet_caller", default=None)


class _Begun(threading.local):
    """Transactions that a thread began without a block, which nothing else might hold. They go with the thread."""

    def __init__(self) -> None:
        self.transactions: list[Transaction] = []


_begun = _Begun()


def current_transaction(credential: Credential) -> Transaction | None:
    """The transaction that the running thread or task has open for an endpoint and user, if any."""
    return next((found for found in _here() if found.active and found.covers(credential)), None)


def check_not_inherited(credential: Credential) -> None:
    """Raise `TransactionError` in a fork made inside a transaction: what it writes would be commits of their own."""
    if _too_late.get():
        raise TransactionError(
            "this file system was made in a transaction that has ended, and a thread of a library would write with it; "
            "make another one with pyxet.XetFS()"
        )
    if any(found.is_inherited and found.covers(credential) for found in _here()):
        raise TransactionError(
            "this process was forked inside a transaction, which stays with its parent; begin one here to write"
        )


def warn_outsider(fs: Owner, made_in: str | None) -> None:
    """Warn who writes in no transaction, though their file system's is open elsewhere, or the one they were started in ended.

    Parameters
    ----------
    made_in:
        The transaction in whose block the file system was made.
    """
    for reference in _by_id.valuerefs():
        found = reference()
        if found is not None and found.active and found.is_of(fs, made_in):
            found.membership.warn_beside(_caller.get() or Caller.here(), found._owner)
    for membership in _open_here.get():
        if membership.concerns(fs.credential):
            membership.warn_after(_caller.get() or Caller.here(), fs)


@contextmanager
def calling() -> Iterator[None]:
    """Keep in mind which thread makes a blocking call, for `warn_outsider` on the loop that carries it out."""
    if not _by_id and not _open_here.get():
        yield
        return
    before = _caller.set(Caller.here())
    try:
        yield
    finally:
        _caller.reset(before)


def is_native_thread() -> bool:
    """Whether the running thread was started by a library, not by Python: it has no context, and is nobody's in Python."""
    return isinstance(threading.current_thread(), threading._DummyThread)


@contextmanager
def taking_part(identity: str) -> Iterator[None]:
    """Have the calls of a native thread take part in a transaction; once that has ended, writing raises."""
    transaction = _by_id.get(identity)
    if transaction is not None and transaction.active:
        before = _open_here.set((transaction.membership,))
        try:
            yield
        finally:
            _open_here.reset(before)
        return
    late = _too_late.set(True)
    try:
        yield
    finally:
        _too_late.reset(late)


def _here() -> list[Transaction]:
    """The transactions that the running thread or task, or whoever started it, began; some may have ended."""
    return [found for membership in _open_here.get() if (found := _by_id.get(membership.id)) is not None]


def bound_transaction(identity: str) -> Transaction:
    """The transaction that a file system is bound to. `TransactionError` if it has ended or is in another process."""
    transaction = _by_id.get(identity)
    if transaction is None:
        raise TransactionError("this file system belongs to a transaction that has ended or is in another process")
    transaction.check()
    return transaction


class Transaction(Generic[F]):
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
    description:
        What is below the message: of a pull request, its description.
    pull_request:
        Whether it becomes a pull request for each branch, instead of a commit.
    """

    def __init__(
        self,
        fs: F,
        message: str | None = None,
        parent_commit: str | None = None,
        description: str | None = None,
        pull_request: bool = False,
    ) -> None:
        check_parent_commit(parent_commit)
        self._owner = fs
        self._message = message
        self._description = description
        self._proposes = pull_request
        # Messages of calls and files, for a commit that has none of its own.
        self._noted: dict[str, None] = {}
        self._parent_commit = parent_commit
        self._state = "new"
        self._pid = os.getpid()
        self._edits: Edits | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._bound: F | None = None
        self._insiders: dict[tuple[type, str], Any] = {}
        self._files: dict[Writing, tuple[Closable, Held]] = {}
        self._reported = False
        self.membership = Membership(fs.credential)
        self.id = self.membership.id

    @public(name="transaction")
    def __call__(
        self,
        message: str | None = None,
        parent_commit: str | None = None,
        description: str | None = None,
        pull_request: bool = False,
    ) -> Transaction[F]:
        """A new transaction.

        Parameters
        ----------
        message:
            Message of the commit; one that tells the paths if ``None``.
        parent_commit:
            A full commit id: a change since to one of its paths is a conflict.
        description:
            What is below the message: of a pull request, its description.
        pull_request:
            Whether it opens a pull request for each branch at its end, which is how those propose changes who may not write
            there. `pull_requests` tells which.
        """
        return Transaction(self._owner, message, parent_commit, description, pull_request)

    def __repr__(self) -> str:
        return f"<{self._state} transaction on {self._owner!r}>"

    def __del__(self) -> None:
        if getattr(self, "_state", "") == "active" and not self.is_inherited:
            try:
                self.report_lost()
            finally:
                self._state = "ended"
                if self._edits is not None and self._loop is not None:
                    start_on(self._loop, self._edits.discard)

    def report_lost(self) -> None:
        """Say that what was written in it is lost, if it is: nobody ended it."""
        if self.active and not self._reported:
            self._reported = True
            report(f"{self!r} was never ended: nothing that was written in it is published", self)

    # -- what it is ----------------------------------------------------------------------------------------------------

    @property
    def active(self) -> bool:
        """Whether it has begun and not ended."""
        return self._state == "active" and not self.is_inherited

    @property
    def is_inherited(self) -> bool:
        """Whether this process is a fork of the one that it belongs to."""
        return self._pid != os.getpid()

    @property
    def commits(self) -> tuple[Commit, ...]:
        """The commits that were made, in their order; none before the end, or where nothing changed."""
        return tuple(commit for _, commit in self._edits.made) if self._edits is not None else ()

    @property
    def pull_requests(self) -> tuple[PullRequest, ...]:
        """The pull requests that were opened, in their order; none before the end, or where nothing changed."""
        return tuple(commit.pull_request for commit in self.commits if commit.pull_request is not None)

    def check_proposing(self, pull_request: bool) -> None:
        """Raise `TransactionError` if a call asks for a pull request, and the transaction it is in does not open any."""
        if pull_request and not self._proposes:
            raise TransactionError(
                "a transaction is one pull request or none: begin it with fs.transaction(pull_request=True)"
            )

    @property
    def totals(self) -> Totals:
        """How much it holds so far, or held when it ended: files, and bytes of content, deduplicated and sent."""
        return self._edits.totals if self._edits is not None else Totals()

    def covers(self, credential: Credential) -> bool:
        """Whether a file system with this credential takes part, where the transaction is open."""
        return same_account(self.credential, credential)

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
    def fs(self) -> F:
        """A file system that takes part in this transaction on any thread."""
        self.check()
        if self._bound is None:
            self._bound = self._owner._bound_to(self.id)
        return self._bound

    def insider(self, fs: Any) -> Any:
        """A file system like one that is made in the block, see `FileSystemBase`. The same one each time."""
        if self._owner.asynchronous:
            return fs
        return self._insiders.setdefault((type(fs), fs._fs_token), fs._insider(self.id))

    def is_of(self, fs: Owner, made_in: str | None) -> bool:
        """Whether it was begun on a file system, or the file system was made in it."""
        return self._owner is fs or self.id == made_in

    def check(self) -> None:
        """Raise `TransactionError` unless it is active."""
        if self.active:
            return
        if self.is_inherited:
            raise TransactionError("this transaction belongs to another process, of which this one is a fork")
        raise TransactionError(
            "this transaction has not begun; use it with `with` or `async with`"
            if self._state == "new"
            else "this transaction has ended; begin another one with fs.transaction"
        )

    # -- its life ------------------------------------------------------------------------------------------------------

    def set_commit_message(self, message: str) -> None:
        """Set the message of the commit."""
        self._message = message

    def note_message(self, message: str | None) -> None:
        """The message that a call in the transaction was given: it is part of the commit's if that has none of its own."""
        if message is not None and (text := message.strip()):
            self._noted[text] = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._state == "ended" or (kind is not None and not self.active):
            # It was ended inside the block, or this is a fork: what the block raised says more.
            return
        self._note_unseen(kind)
        self.complete(commit=kind is None)

    async def __aenter__(self) -> Self:
        edits = await self._owner._new_edits(self._parent_commit, self._proposes)
        self._begin(asyncio.get_running_loop())
        self._edits = edits
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._state == "ended" or (kind is not None and not self.active):
            return
        self._note_unseen(kind)
        await self.acomplete(commit=kind is None)

    def _note_unseen(self, kind: type[BaseException] | None) -> None:
        """Say that the block ends by an exception that nobody sees, if it does."""
        if is_unseen(kind) and not self._reported:
            self._reported = True
            report(f"{self!r} is rolled back: {UNSEEN}", level=logging.WARNING)

    def _report_uncommitted(self) -> None:
        """Of files that are closed and not committed, say that the commit is without them."""
        for writing in list(self._files):
            if writing.note_loss(at_end=True):
                report(f"{writing.path!r} was closed and never committed: the transaction's commit is without it")

    def start(self) -> None:
        """Begin, on a blocking file system."""
        if self._owner.asynchronous:
            raise TransactionError("an asynchronous file system has asynchronous transactions: use `async with`")
        self._begin(self._owner.loop)
        try:
            self._edits = blocking_call(self.loop, self._owner._new_edits, self._parent_commit, self._proposes)
        except BaseException:
            self._end()
            raise

    def complete(self, commit: bool = True) -> None:
        """End on a blocking file system: close the files that are left open, and commit, or throw everything away."""
        edits = self.edits
        if self.loop is _running_loop():
            raise TransactionError("this is an asynchronous transaction: end its `async with` block")
        try:
            if commit:
                for files in self._left_open():
                    _close(files)
                self._report_uncommitted()
                self._state = "ending"
                blocking_call(self.loop, self._commit, edits)
        finally:
            try:
                self._state = "ending"
                self._discard_files()
                if not is_shutting_down():
                    blocking_call(self.loop, self._discard, edits)
            finally:
                self._end()

    async def acomplete(self, commit: bool = True) -> None:
        """End on an asynchronous file system, see `complete`."""
        edits = self.edits
        try:
            if commit:
                for files in self._left_open():
                    if iscoroutinefunction(files[0].close):
                        await files[0].close()
                    else:
                        # A blocking file of another thread waits for this loop.
                        await asyncio.to_thread(_close, files)
                self._report_uncommitted()
                self._state = "ending"
                await self._commit(edits)
        finally:
            try:
                self._state = "ending"
                self._discard_files()
                await self._discard(edits)
            finally:
                self._end()

    async def _commit(self, edits: Edits) -> None:
        parts = (self._message or "\n\n".join(self._noted), self._description)
        await edits.commit("\n\n".join(part for part in parts if part))

    async def _discard(self, edits: Edits) -> None:
        """Let go of what is not committed; nothing is left of it afterwards."""
        try:
            for writing in list(self._files):
                await writing.discard()
        finally:
            await edits.discard()

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._state != "new":
            raise TransactionError(
                "transactions do not nest; this one is active already" if self.active else "this transaction has ended"
            )
        if current_transaction(self.credential) is not None:
            raise TransactionError("transactions do not nest; end the one that this thread or task has open first")
        self._loop = loop
        self._state = "active"
        _by_id[self.id] = self
        watch(self)
        _open_here.set((*(found.membership for found in _here() if found.active), self.membership))
        _begun.transactions = [*(found for found in _begun.transactions if found.active), self]

    def _end(self) -> None:
        self._state = "ended"
        self._files.clear()
        self._bound = None
        self._insiders.clear()
        _open_here.set(tuple(found.membership for found in _here() if found.active))
        _begun.transactions = [found for found in _begun.transactions if found.active]

    # -- files and calls -----------------------------------------------------------------------------------------------

    def hold(self, writing: Writing, outermost: Closable, file: Held) -> None:
        """Keep a file that was opened for writing, and its outermost wrapper, until `release` or the end."""
        self._files[writing] = (outermost, file)

    def release(self, writing: Writing) -> None:
        """A file is closed."""
        self._files.pop(writing, None)

    def _left_open(self) -> Iterator[list[Closable]]:
        """The files to close, each with the wrappers around it, outermost first; those, too, that are opened meanwhile."""
        seen: set[Writing] = set()
        while held := {writing: files for writing, files in list(self._files.items()) if writing not in seen}:
            seen.update(held)
            wrappers = Wrappers([outermost for outermost, _ in held.values()])
            for outermost, file in held.values():
                # An exception that is being handled where the transaction ends is not one that interrupts it.
                file.expect(sys.exception())
                yield [*wrappers.around(outermost), file]

    def _discard_files(self) -> None:
        # Threads of a library may be closing some at this moment.
        files = [file for _, file in list(self._files.values())]
        for file in files:
            file.mark_closed()
        close_layers(files)
        for file in files:
            file.settle()

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


def _close(layers: list[Closable]) -> None:
    for layer in layers:
        if not getattr(layer, "closed", False):
            layer.close()


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
