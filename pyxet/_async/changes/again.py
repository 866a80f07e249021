"""An open transaction as ``fs.transaction`` gives it.

Each ``with fs.transaction`` has an object of its own, so that its end is the end of its own block: a generator that was left
in the middle keeps a block open, which is not the one that ends next.
"""

from __future__ import annotations

from pyxet._async.changes.transaction import F, Transaction


class OpenTransaction(Transaction[F]):
    """Another object for an open transaction, equal to it and sharing its state. Its blocks are nested in that transaction."""

    def __init__(self, of: Transaction[F]) -> None:
        self.__dict__ = of.__dict__

    def __del__(self) -> None:
        """Do nothing: the transaction continues without this object."""
