"""Transactions: the writes of a block become one commit for each branch, or nothing.

A transaction belongs to the thread or task that opened it; a context variable refers to it. In that thread or task, every
file system with the same endpoint and user takes part. The state of a transaction lives on one event loop, its home;
calls from other threads and loops run there. `Transaction.fs` takes part on every thread. A file system that is created
inside the block, as libraries do from URLs, also takes part on the library's own threads.

A transaction that begins inside another is nested in it: at its end nothing is committed, and an exception undoes what
was written in it.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Coroutine, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from pyxet._async.changes.edits import Edits, NestedEdits
from pyxet._async.changes.file_write import Writing, start_on
from pyxet._async.changes.guards import check_parent_commit
from pyxet._async.changes.held import HeldFiles
from pyxet._async.changes.layers import Closable, Held
from pyxet._async.changes.losses import UNSEEN, is_unseen, report, watch
from pyxet._async.changes.members import Members
from pyxet._async.changes.membership import Membership
from pyxet._async.changes.owner import Owner
from pyxet._async.changes.shortcuts import Shortcuts
from pyxet._async.runtime.bridge import blocking_call, is_shutting_down, on_loop
from pyxet.config import Credential
from pyxet.errors import TransactionError
from pyxet.options import public
from pyxet.reports import Totals
from pyxet.types import Commit, PullRequest

if TYPE_CHECKING:
    from typing_extensions import TypeVar as DefaultTypeVar

    # `Transaction` without a type argument is one of any file system.
    F = DefaultTypeVar("F", bound="Owner", default=Any)
else:
    F = TypeVar("F")

T = TypeVar("T")
G = TypeVar("G", bound="Owner")


class Transaction(Shortcuts, Generic[F]):
    """One atomic commit for each branch that is written to in a block.

    It is created by ``fs.transaction`` or ``fs.transaction(message=…, parent_commit=…)``, and used with ``with`` on a
    blocking file system or ``async with`` on an asynchronous one.

    Parameters
    ----------
    fs:
        The file system that the transaction belongs to.
    message:
        Commit message. If ``None``, it is made from the changed paths.
    parent_commit:
        A full commit id. If a written or deleted path has changed since that commit, the end raises `ConflictError`.
    description:
        Text below the message; the description of a pull request.
    pull_request:
        Whether to open a pull request for each branch instead of making a commit.

    Notes
    -----
    A transaction that begins inside an open one of the same endpoint and user is nested in it and makes no commit of its
    own. At the end of its block, its changes become part of the outer transaction. If the block raises, its changes are
    undone, and what others wrote meanwhile stays. Its message is used if the outer transaction has none. Its
    ``parent_commit`` applies to the paths that are written in it. The outer transaction must not end first.
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
        # Messages that were given to calls and files; used if the transaction has none.
        self._noted: dict[str, None] = {}
        self._parent_commit = parent_commit
        self._state = "new"
        self._pid = os.getpid()
        self._edits: Edits | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._bound: F | None = None
        self._insiders: dict[tuple[type, str], Any] = {}
        self._files = HeldFiles()
        self._reported = False
        # The transaction that it was created from, if any; the one that it is nested in; and those that are open inside it.
        self._within: Transaction[Any] | None = None
        self._outer: Transaction[Any] | None = None
        self._inner: dict[Transaction[Any], None] = {}
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
        """A new transaction; nested in this one if it is open.

        Parameters
        ----------
        message:
            Message of the commit. If ``None``, it is made from the changed paths.
        parent_commit:
            A full commit id. A change to one of the transaction's paths since that commit is a conflict.
        description:
            Text below the message; the description of a pull request.
        pull_request:
            Whether to open a pull request for each branch at the end instead of making a commit: users without write
            access propose changes in this way. `pull_requests` lists them.
        """
        return self.inside(self._owner, message, parent_commit, description, pull_request)

    def inside(
        self,
        fs: G,
        message: str | None = None,
        parent_commit: str | None = None,
        description: str | None = None,
        pull_request: bool = False,
    ) -> Transaction[G]:
        """A new transaction on a file system, nested in this one if it is open. See `__call__`."""
        made = Transaction(fs, message, parent_commit, description, pull_request)
        made._within = self if self._state != "new" else None
        return made

    def __repr__(self) -> str:
        return f"<{self._state} transaction on {self._owner!r}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Transaction) and other.membership is self.membership

    def __hash__(self) -> int:
        return hash(self.id)

    def __del__(self) -> None:
        if getattr(self, "_state", "") == "active" and not self.is_inherited:
            try:
                self.report_lost()
            finally:
                self._state = "ended"
                if self._edits is not None and self._loop is not None:
                    start_on(self._loop, self._edits.discard)

    def report_lost(self) -> None:
        """Report that what was written in the transaction is lost, if the transaction was never ended."""
        if self.active and not self._reported and self._outer is None:
            self._reported = True
            report(f"{self!r} was never ended: nothing written in it is published", self)

    # -- what it is ----------------------------------------------------------------------------------------------------

    @property
    def active(self) -> bool:
        """Whether it has begun, and neither it nor a transaction around it has ended."""
        return self._state == "active" and not self.is_inherited

    @property
    def is_inherited(self) -> bool:
        """Whether this process is a fork of the one that it belongs to."""
        return self._pid != os.getpid()

    @property
    def commits(self) -> tuple[Commit, ...]:
        """The commits that were made, in order; empty before the end, and if nothing changed.

        For a nested transaction that was kept, those of the outer transaction; for one that was undone, none.
        """
        if self._outer is not None:
            return () if self.membership.undone else self._outer.commits
        return tuple(commit for _, commit in self._edits.made) if self._edits is not None else ()

    @property
    def pull_requests(self) -> tuple[PullRequest, ...]:
        """The pull requests that were opened, in order; empty before the end, and if nothing changed."""
        return tuple(commit.pull_request for commit in self.commits if commit.pull_request is not None)

    def check_proposing(self, pull_request: bool) -> None:
        """Raise `TransactionError` if a call asks for a pull request and this transaction does not open any."""
        if pull_request and not self._proposes:
            raise TransactionError(
                "a transaction opens a pull request for all of its changes, or none: begin it with fs.transaction(pull_request=True)"
            )

    @property
    def totals(self) -> Totals:
        """How much the transaction holds, or held at its end: files, and bytes of content, deduplicated and sent.

        For a nested transaction, only the numbers of files.
        """
        return self._edits.totals if self._edits is not None else Totals()

    @property
    def credential(self) -> Credential:
        """Endpoint and user that the transaction belongs to."""
        return self._owner.credential

    @property
    def is_asynchronous(self) -> bool:
        """Whether it belongs to an asynchronous file system."""
        return self._owner.asynchronous

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop where its state lives."""
        assert self._loop is not None
        return self._loop

    @property
    def edits(self) -> Edits:
        """Its pending changes, to be used on its loop only. Raises `TransactionError` unless it is active."""
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
        """The equal of a file system that is created in the block, as `_insider` makes it; the same one each time."""
        if self._owner.asynchronous:
            return fs
        return self._insiders.setdefault((type(fs), fs._fs_token), fs._insider(self.membership))

    def is_of(self, fs: object, made_in: Membership | None) -> bool:
        """Whether it was begun on a file system, or the file system was made in it."""
        return self._owner is fs or self.membership is made_in

    def check(self) -> None:
        """Raise `TransactionError` unless it is active."""
        if self.active:
            return
        if self.is_inherited:
            raise TransactionError("this transaction belongs to the process that this one was forked from")
        raise TransactionError(
            "this transaction has not begun; use it with `with` or `async with`"
            if self._state == "new"
            else "the transaction that this one is nested in has ended, and this one with it: nothing of it is committed"
            if self._state == "lost"
            else "this transaction has ended; begin another one with fs.transaction"
        )

    # -- its life ------------------------------------------------------------------------------------------------------

    def set_commit_message(self, message: str) -> None:
        """Set the message of the commit."""
        self._message = message

    def note_message(self, message: str | None) -> None:
        """Record a message given to a call. If the transaction has no message, its commit message is made from these."""
        if message is not None and (text := message.strip()):
            self._noted[text] = None

    def __enter__(self) -> Transaction[F]:
        if self.active:
            # In the block of a transaction, `fs.transaction` is that transaction; `with` on it begins a nested one.
            inner = self.inside(self._owner)
            inner.start()
            members.begin_block(self, inner)
            return inner
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        ending = members.end_block(self)
        if ending._is_to_end(kind):
            ending.complete(commit=kind is None)

    async def __aenter__(self) -> Transaction[F]:
        if self.active:
            inner = self.inside(self._owner)
            await inner._start_async()
            members.begin_block(self, inner)
            return inner
        await self._start_async()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        ending = members.end_block(self)
        if ending._is_to_end(kind):
            await ending.acomplete(commit=kind is None)

    def _is_to_end(self, kind: type[BaseException] | None) -> bool:
        """Whether the end of the block has to end the transaction: not if it ended inside the block, and not in a fork."""
        if self._state in ("ended", "lost"):
            members.leave(self)
            if self._state == "lost" and kind is None:
                self.check()
            return False
        if kind is not None and not self.active:
            # The exception of the block is raised as it is; an error about the transaction would hide it.
            return False
        self._note_unseen(kind)
        return True

    def _note_unseen(self, kind: type[BaseException] | None) -> None:
        """Report the rollback if the block ends with an exception that no caller sees, see `is_unseen`."""
        if is_unseen(kind) and not self._reported:
            self._reported = True
            report(f"{self!r} is rolled back: {UNSEEN}", level=logging.WARNING)

    def start(self) -> None:
        """Begin the transaction, on a blocking file system."""
        outer = self._to_be_nested_in()
        if outer is None and self._owner.asynchronous:
            raise TransactionError("an asynchronous file system has asynchronous transactions: use `async with`")
        if outer is not None and outer.loop is _running_loop():
            raise TransactionError(
                "a blocking transaction in an asynchronous one would wait for the loop it blocks: use `async with`"
            )
        self._begin(outer, self._owner.loop if outer is None else outer.loop)
        try:
            self._edits = blocking_call(self.loop, self._new_edits)
        except BaseException:
            self._end()
            raise

    async def _start_async(self) -> None:
        outer = self._to_be_nested_in()
        self._begin(outer, asyncio.get_running_loop() if outer is None else outer.loop)
        try:
            self._edits = await self.at_home(self._new_edits)
        except BaseException:
            self._end()
            raise

    async def _new_edits(self) -> Edits:
        if self._outer is None:
            return await self._owner._new_edits(self._parent_commit, self._proposes)
        return self._outer.edits.nested(self._parent_commit)

    def complete(self, commit: bool = True) -> None:
        """End the transaction, on a blocking file system: close the files that are still open and commit, or discard all.

        A nested transaction commits nothing: its changes become part of the outer transaction, or are undone.
        """
        edits = self.edits
        if self.loop is _running_loop():
            raise TransactionError("this is an asynchronous transaction: end its `async with` block")
        try:
            if commit:
                self._check_inner()
                self._files.close()
                self._files.report_uncommitted()
                self._stop()
                blocking_call(self.loop, self._commit, edits)
        finally:
            try:
                self._stop()
                self._close_files()
                if not is_shutting_down():
                    blocking_call(self.loop, self._discard, edits)
            finally:
                self._end()

    async def acomplete(self, commit: bool = True) -> None:
        """End the transaction, on an asynchronous file system. See `complete`."""
        edits = self.edits
        try:
            if commit:
                self._check_inner()
                await self._files.aclose()
                self._files.report_uncommitted()
                self._stop()
                await self.at_home(self._commit, edits)
        finally:
            try:
                self._stop()
                self._close_files()
                await self.at_home(self._discard, edits)
            finally:
                self._end()

    async def _commit(self, edits: Edits) -> None:
        parts = (self._message or "\n\n".join(self._noted), self._description)
        message = "\n\n".join(part for part in parts if part)
        await edits.commit(message)
        if self._outer is not None:
            self._outer.note_message(message)

    async def _discard(self, edits: Edits) -> None:
        """Discard everything that is not committed, here and in the transactions inside."""
        try:
            for found in self._all_inside():
                await found._files.discard()
        finally:
            await edits.discard()

    def _check_inner(self) -> None:
        """Raise `TransactionError` if a nested transaction is still open: what was written in it may be incomplete."""
        if self._inner:
            raise TransactionError(
                "nothing is committed: a transaction nested in this one is still open. End it first: await or join the "
                "task or thread that began it"
            )

    def _all_inside(self) -> Iterator[Transaction[Any]]:
        """The transactions that are open inside, innermost first, then this one."""
        for inner in list(self._inner):
            yield from inner._all_inside()
        yield self

    def _close_files(self) -> None:
        for found in self._all_inside():
            found._files.mark_closed()

    def _to_be_nested_in(self) -> Transaction[Any] | None:
        """The transaction that this one will be nested in when it begins; ``None`` if there is none."""
        if self._state != "new":
            raise TransactionError("this transaction has ended; begin another one with fs.transaction")
        if self._within is not None:
            self._within.check()
            outer: Transaction[Any] | None = members.innermost(self._within)
        else:
            identity = self._owner._transaction_id
            outer = members.current(self.credential) if identity is None else members.bound(identity)
        if outer is not None:
            outer.check_proposing(self._proposes)
            self._proposes = outer._proposes
        return outer

    def _begin(self, outer: Transaction[Any] | None, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._outer = outer
        self._state = "active"
        if outer is None:
            watch(self)
        else:
            outer._inner[self] = None
            self.membership.outer = outer.membership
        members.enter(self)

    def _stop(self) -> None:
        """Take no more changes, here and in the transactions inside."""
        for found in self._all_inside():
            found._state = "lost"
        self._state = "ending"

    def _end(self, state: str = "ended") -> None:
        for inner in list(self._inner):
            inner._end("lost")
        self._state = state
        if self._outer is not None:
            self._outer._inner.pop(self, None)
            self.membership.undone = not (isinstance(self._edits, NestedEdits) and self._edits.kept)
        self._files.clear()
        self._bound = None
        self._insiders.clear()
        members.leave(self)

    def hold(self, writing: Writing, outermost: Closable, file: Held) -> None:
        """Keep a file that was opened for writing, and its outermost wrapper, until `release` or the end."""
        self._files.hold(writing, outermost, file)

    def release(self, writing: Writing) -> None:
        """Stop keeping a file, because it is closed."""
        self._files.release(writing)

    async def at_home(self, function: Callable[..., Coroutine[Any, Any, T]], *args: Any, **kwargs: Any) -> T:
        """Await a coroutine function on the transaction's loop."""
        if self.loop is asyncio.get_running_loop():
            return await function(*args, **kwargs)
        return await on_loop(self.loop, function(*args, **kwargs))


members: Final = Members[Transaction[Any]]()


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
