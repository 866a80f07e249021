"""Knows which transactions a thread or task takes part in, and which threads write outside of them or after their end.

A context variable holds the transactions. So a task, or a thread that copies the context, takes part in the transaction
that it was started in. Of several transactions for the same account, the innermost one is used.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final, Generic, Protocol, TypeVar
from weakref import WeakValueDictionary

from pyxet._async.changes.losses import Caller
from pyxet._async.changes.membership import Membership
from pyxet.config import Credential
from pyxet.errors import TransactionError

# Memberships, not transactions: tasks and threads keep copies of the context, and would keep the transactions alive.
_open_here: ContextVar[tuple[Membership, ...]] = ContextVar("pyxet_transactions", default=())
# Whether the call comes from a library's thread whose transaction has already ended.
_too_late: ContextVar[bool] = ContextVar("pyxet_too_late", default=False)
# The thread that made the blocking call which now runs on the loop. Only set while some transaction is open.
_caller: ContextVar[Caller | None] = ContextVar("pyxet_caller", default=None)


class Joinable(Protocol):
    """The part of a transaction that is used here."""

    membership: Membership

    @property
    def active(self) -> bool:
        """Whether it has begun and not ended."""

    @property
    def is_inherited(self) -> bool:
        """Whether this process is a fork of the one that it belongs to."""

    def check(self) -> None:
        """Raise `TransactionError` unless it is active."""

    def is_of(self, fs: object, made_in: Membership | None) -> bool:
        """Whether it was begun on a file system, or the file system was made in it."""


class Writer(Protocol):
    """The part of a file system that is used here."""

    credential: Credential


T = TypeVar("T", bound=Joinable)


class _Block:
    """A ``with`` block that was opened on an active transaction, and so began a new transaction nested in it."""

    def __init__(self, of: Joinable, inner: Joinable) -> None:
        # Both are set to None when the block ends, as contexts that hold this object may live longer.
        self.of: Any = of
        self.inner: Any = inner


_blocks: ContextVar[tuple[_Block, ...]] = ContextVar("pyxet_blocks", default=())


class _Begun(threading.local):
    """Keeps the transactions that a thread has begun alive while the thread lives: perhaps nothing else refers to them."""

    def __init__(self) -> None:
        self.transactions: list[Joinable] = []


class Members(Generic[T]):
    """All transactions of the process, and who is in them."""

    def __init__(self) -> None:
        self._by_id: WeakValueDictionary[str, T] = WeakValueDictionary()
        self._begun: Final = _Begun()

    # -- beginnings and ends -------------------------------------------------------------------------------------------

    def enter(self, transaction: T) -> None:
        """Note that the running thread or task has begun a transaction."""
        self._by_id[transaction.membership.id] = transaction
        transaction.membership.note_beginner(_who())
        _open_here.set((*self._lasting(), transaction.membership))
        self._begun.transactions = [*(found for found in self._begun.transactions if found.active), transaction]

    def leave(self, transaction: T) -> None:
        """Note that a transaction or its block has ended: the running thread or task no longer takes part in it."""
        _open_here.set(tuple(found for found in self._lasting() if found is not transaction.membership))
        self._begun.transactions = [found for found in self._begun.transactions if found.active]

    # -- blocks --------------------------------------------------------------------------------------------------------

    def begin_block(self, of: T, inner: T) -> None:
        """Note that a ``with`` block on the active transaction ``of`` begins here: the block of ``inner``, nested in it."""
        _blocks.set((*(block for block in _blocks.get() if block.inner is not None), _Block(of, inner)))

    def end_block(self, of: T) -> T:
        """The transaction whose block ends here: the last ``inner`` that `begin_block` noted, or else ``of`` itself."""
        blocks = [block for block in _blocks.get() if block.inner is not None]
        for block in reversed(blocks):
            if block.of is of:
                inner: T = block.inner
                block.of = block.inner = None
                _blocks.set(tuple(other for other in blocks if other is not block))
                return inner
        return of

    def _lasting(self) -> Iterator[Membership]:
        """The memberships of this context that still matter: of active transactions, and of undone ones inside active ones."""
        for membership in _open_here.get():
            found = self._by_id.get(membership.id)
            if (found is not None and found.active) or (membership.undone and self._open_around(membership)):
                yield membership

    # -- who is in which -----------------------------------------------------------------------------------------------

    def here(self) -> list[T]:
        """The transactions that the running thread or task, or whoever started it, began; some may have ended."""
        return [found for membership in _open_here.get() if (found := self._by_id.get(membership.id)) is not None]

    def current(self, credential: Credential) -> T | None:
        """The innermost transaction that the running thread or task has open for an endpoint and user, if any."""
        return next(
            (found for found in reversed(self.here()) if found.active and found.membership.covers(credential)), None
        )

    def innermost(self, transaction: T) -> T:
        """The innermost transaction that is open here inside the given one; the given one if there is none."""
        for found in reversed(self.here()):
            if found.active and found.membership.is_within(transaction.membership):
                return found
        return transaction

    def bound(self, identity: str) -> T:
        """The transaction with this id, to which a file system is bound, or the innermost one that is open here inside it.

        Raises
        ------
        TransactionError
            The transaction has ended, or is in another process.
        """
        transaction = self._by_id.get(identity)
        if transaction is None:
            raise TransactionError("this file system belongs to a transaction that has ended or is in another process")
        transaction.check()
        return self.innermost(transaction)

    def _open_around(self, membership: Membership) -> T | None:
        """The innermost active transaction around the given one, if any."""
        outer = membership.outer
        while outer is not None:
            found = self._by_id.get(outer.id)
            if found is not None and found.active:
                return found
            outer = outer.outer
        return None

    # -- who may not write, and who is warned --------------------------------------------------------------------------

    def check_writer(self, credential: Credential) -> None:
        """Check that the running thread or task may write, in a transaction or not.

        Raises
        ------
        TransactionError
            The thread or task was started in a nested transaction that was undone since, which it cannot know.
        """
        for membership in reversed(_open_here.get()):
            if not membership.covers(credential):
                continue
            found = self._by_id.get(membership.id)
            if found is not None and found.active:
                return
            if membership.undone and not membership.is_beginner(_who()) and self._open_around(membership):
                raise TransactionError(
                    "this task or thread was started in a nested transaction that was rolled back since, so it cannot "
                    "write any more; await or join it inside the block of that transaction"
                )

    def check_outside(self, credential: Credential) -> None:
        """Raise `TransactionError` in a process forked inside a transaction: each write would be a commit of its own."""
        if _too_late.get():
            raise TransactionError(
                "a thread of a library cannot write with this file system, which was made in a transaction that has "
                "ended; make another one with pyxet.XetFS()"
            )
        if any(found.is_inherited and found.membership.covers(credential) for found in self.here()):
            raise TransactionError(
                "this process was forked inside a transaction, which belongs to the parent process; to write here, begin "
                "another one"
            )

    def warn_outsider(self, fs: Writer, made_in: Membership | None) -> None:
        """Warn a caller that writes outside of any transaction although one of its file system is open, or its own has ended.

        Parameters
        ----------
        made_in:
            The transaction in whose block the file system was made.
        """
        for reference in self._by_id.valuerefs():
            found = reference()
            if found is not None and found.active and found.is_of(fs, made_in):
                found.membership.outermost.warn_beside(_caller.get() or Caller.here(), fs)
        for membership in _open_here.get():
            if membership.outer is None and membership.concerns(fs.credential):
                membership.warn_after(_caller.get() or Caller.here(), fs)

    @contextmanager
    def calling(self) -> Iterator[None]:
        """Record which thread makes a blocking call, for `warn_outsider` on the loop that runs the call."""
        if not self._by_id and not _open_here.get():
            yield
            return
        before = _caller.set(Caller.here())
        try:
            yield
        finally:
            _caller.reset(before)

    @contextmanager
    def taking_part(self, made_in: Membership) -> Iterator[None]:
        """Inside this block, calls of a native thread take part in the transaction that their file system was made in.

        If that transaction was nested and has been kept, they take part in the one around it. After its end, writing raises.
        """
        transaction = self._by_id.get(made_in.id)
        if transaction is None or not transaction.active:
            transaction = None if made_in.undone else self._open_around(made_in)
        if transaction is not None:
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


def is_native_thread() -> bool:
    """Whether the running thread was started by native code, not by Python's `threading`, and so has no context."""
    return isinstance(threading.current_thread(), threading._DummyThread)


def _who() -> object:
    """The thread or task that makes the current call."""
    caller = _caller.get()
    if caller is not None:
        return caller.thread
    try:
        return asyncio.current_task() or threading.current_thread()
    except RuntimeError:
        return threading.current_thread()
