"""The part of the file system that begins and ends transactions."""

from __future__ import annotations

from typing import Self

from pyxet._async.changes.again import OpenTransaction
from pyxet._async.changes.transaction import Transaction
from pyxet._async.fs.base import FileSystemBase
from pyxet.errors import TransactionError
from pyxet.options import public


class Transacting(FileSystemBase):
    """See `AsyncXetFileSystem`."""

    @property
    def transaction(self) -> Transaction[Self]:
        """The open transaction of this thread or task, or a new one for ``with`` or ``async with``.

        ``with fs.transaction`` inside an open transaction begins a new one, which is nested in it. For an open
        transaction, each access returns a new object that equals it (``==``).
        """
        found = self._open_transaction()
        if found is None:
            return Transaction(self)
        # If only one of the file system and the open transaction is asynchronous, a nested transaction is created.
        return OpenTransaction(found) if found.is_asynchronous == self.asynchronous else found.inside(self)

    @transaction.setter
    def transaction(self, value: None) -> None:
        """Ignore the value: fsspec's constructor sets it to ``None``."""

    @public()
    def start_transaction(
        self,
        message: str | None = None,
        parent_commit: str | None = None,
        description: str | None = None,
        pull_request: bool = False,
    ) -> Transaction[Self]:
        """Begin a transaction without a block; `end_transaction` commits it, `cancel_transaction` does not.

        Parameters
        ----------
        message:
            Message of the commit; ``commit_message`` is accepted as well.
        parent_commit:
            A full commit id. A change to one of the paths since that commit is a conflict.
        description:
            The text below the message; for a pull request, its description.
        pull_request:
            Whether to open a pull request for each branch instead of making a commit.

        Returns
        -------
        Transaction
            The transaction that is now open in this thread or task.
        """
        transaction = Transaction(self, message, parent_commit, description, pull_request)
        transaction.start()
        return transaction

    @public()
    def set_commit_message(self, message: str) -> None:
        """Set the commit message of the transaction that is open in this thread."""
        self._open_one().set_commit_message(message)

    @public()
    def end_transaction(self) -> None:
        """Commit the transaction that is open in this thread."""
        self._open_one().complete()

    @public()
    def cancel_transaction(self) -> None:
        """Discard the transaction that is open in this thread, without a commit."""
        self._open_one().complete(commit=False)

    def _open_one(self) -> Transaction:
        transaction = self._open_transaction()
        if transaction is None:
            raise TransactionError("no transaction is open here; begin one with fs.transaction or fs.start_transaction")
        return transaction
