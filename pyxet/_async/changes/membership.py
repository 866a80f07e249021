"""Who takes part in a transaction, and whom it tells that they do not.

Whatever is started in a transaction, a task or a thread that copies the context, takes part until the end. If it lives on, its
writes are commits of their own from then on, and it is told once.
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
    """What contexts keep of a transaction: not the transaction itself, whose connections would live as long as they do.

    Parameters
    ----------
    credential:
        Endpoint and user of the transaction.

    Attributes
    ----------
    outer:
        That of the transaction which it is nested in.
    undone:
        Whether it was nested, and nothing of it is left.
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
        """That of the transaction which is nested in no other, and makes the commits."""
        found = self
        while found.outer is not None:
            found = found.outer
        return found

    def is_within(self, other: Membership) -> bool:
        """Whether it is that of another transaction, or of one inside of it."""
        found: Membership | None = self
        while found is not None and found is not other:
            found = found.outer
        return found is other

    def note_beginner(self, who: object) -> None:
        """A thread or task begins the transaction: it knows how it ends."""
        self._beginner = ref(who)

    def is_beginner(self, who: object) -> bool:
        """Whether a thread or task has begun the transaction."""
        return self._beginner is not None and self._beginner() is who

    def covers(self, credential: Credential) -> bool:
        """Whether a file system with this credential takes part, where the transaction is open."""
        return same_account(self._credential, credential)

    def concerns(self, credential: Credential) -> bool:
        """Whether the transaction is one of this process, for a user at an endpoint."""
        return self._pid == os.getpid() and self.covers(credential)

    def warn_beside(self, caller: Caller, fs: object) -> None:
        """Tell a thread, once, that it writes beside the transaction, which is open."""
        if caller.thread not in self._beside:
            self._beside.add(caller.thread)
            caller.warn(
                f"{caller.thread.name} writes with {fs!r} outside of the transaction that another thread or task has open "
                "there: that is committed at once, and stays if the transaction fails. To take part, write with tr.fs"
            )

    def warn_after(self, caller: Caller, fs: object) -> None:
        """Tell a thread, once, that it writes after the end of the transaction in which what it runs was started."""
        if caller.thread not in self._after:
            self._after.add(caller.thread)
            caller.warn(
                f"{caller.thread.name} writes with {fs!r} after the end of the transaction that it was started in: that is "
                "committed at once. To take part, it has to be awaited or joined inside the transaction's block"
            )
