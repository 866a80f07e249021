"""What a context keeps of a transaction: its account, its nesting, and the threads that were warned.

A task, or a thread that copies the context, takes part in the transaction that it was started in until its end. If it
writes after that, each write is a commit of its own, and the thread is warned once.
"""

from __future__ import annotations

import os
import threading
import uuid
from weakref import WeakSet, ref

from pyxet._async.changes.losses import Caller
from pyxet.config import Credential


def same_account(one: Credential, other: Credential) -> bool:
    """Whether two credentials are of one user at one endpoint."""
    if one.endpoint != other.endpoint:
        return False
    return one.user == other.user if one.user and other.user else one.identity == other.identity


class Membership:
    """Stands for a transaction in contexts. Contexts that held the transaction itself would keep its connections alive.

    Parameters
    ----------
    credential:
        Endpoint and user of the transaction.

    Attributes
    ----------
    outer:
        Membership of the transaction that this one is nested in, if any.
    undone:
        Whether the transaction was nested and has been undone.
    """

    def __init__(self, credential: Credential) -> None:
        self.id = uuid.uuid4().hex
        self.outer: Membership | None = None
        self.undone = False
        self._credential = credential
        self._beginner: ref[object] | None = None
        self._pid = os.getpid()
        self._beside: WeakSet[threading.Thread] = WeakSet()
        self._after: WeakSet[threading.Thread] = WeakSet()

    @property
    def outermost(self) -> Membership:
        """Membership of the outermost transaction around this one, which makes the commits."""
        found = self
        while found.outer is not None:
            found = found.outer
        return found

    def is_within(self, other: Membership) -> bool:
        """Whether this is ``other``, or nested in it."""
        found: Membership | None = self
        while found is not None and found is not other:
            found = found.outer
        return found is other

    def note_beginner(self, who: object) -> None:
        """Note which thread or task began the transaction: it knows whether the transaction was undone."""
        self._beginner = ref(who)

    def is_beginner(self, who: object) -> bool:
        """Whether a thread or task has begun the transaction."""
        return self._beginner is not None and self._beginner() is who

    def covers(self, credential: Credential) -> bool:
        """Whether a file system with this credential takes part in the transaction."""
        return same_account(self._credential, credential)

    def concerns(self, credential: Credential) -> bool:
        """Whether the transaction belongs to this process and covers the credential."""
        return self._pid == os.getpid() and self.covers(credential)

    def warn_beside(self, caller: Caller, fs: object) -> None:
        """Warn a thread, once, that it writes outside of the transaction while the transaction is open."""
        if caller.thread not in self._beside:
            self._beside.add(caller.thread)
            caller.warn(
                f"{caller.thread.name} writes with {fs!r} outside of the transaction that another thread or task has "
                "opened on it: the write is committed at once, even if the transaction fails. To write in it, use tr.fs"
            )

    def warn_after(self, caller: Caller, fs: object) -> None:
        """Warn a thread, once, that its code was started in the transaction and writes after the transaction's end."""
        if caller.thread not in self._after:
            self._after.add(caller.thread)
            caller.warn(
                f"{caller.thread.name} writes with {fs!r} after the end of the transaction that it was started in: the write "
                "is committed at once. To write in the transaction, await or join it inside the transaction's block"
            )
