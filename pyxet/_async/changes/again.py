"""An open transaction as ``fs.transaction`` gives it.

Each ``with fs.transaction`` gets its own object, so that its ``__exit__`` ends exactly its own block. Blocks need not end in the
reverse order of their beginnings: a generator that is suspended inside a block keeps that block open while others end.
"""

from __future__ import annotations

from pyxet._async.changes.transaction import F, Transaction


class OpenTransaction(Transaction[F]):
    """Another object for an open transaction, equal to it and sharing its state. Its blocks are nested in that transaction."""

    def __init__(self, of: Transaction[F]) -> None:
        self.__dict__ = of.__dict__

    def __del__(self) -> None:
        """Do nothing: the transaction continues without this object."""
