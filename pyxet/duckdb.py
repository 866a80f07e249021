"""`transaction`: what a DuckDB connection writes to ``xet://`` as one commit, or none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from pyxet._async.changes.transaction import Transaction
from pyxet.fs import XetFS
from pyxet.options import public
from pyxet.urls import SCHEME

# What `transaction` has registered, for one inside of it to register again.
_registered: ContextVar[XetFS | None] = ContextVar("pyxet_registered_with_duckdb", default=None)


@public()
@contextmanager
def transaction(
    connection: Any, fs: XetFS | None = None, *, message: str | None = None, parent_commit: str | None = None
) -> Iterator[Transaction]:
    """A transaction that a DuckDB connection takes part in, whichever of its threads writes.

    DuckDB writes from threads of its own, closes a file that it could not complete like any other, and deletes it
    afterwards. In this block that is nobody's business: what the block leaves becomes one commit, and a block that raises
    leaves nothing. Inside of an open transaction it is nested in that. Other connections and cursors of the same database take part meanwhile, as they share its file systems.

    Parameters
    ----------
    connection:
        A ``duckdb.DuckDBPyConnection``. Afterwards ``fs`` is registered with it.
    fs:
        The file system to write to; ``pyxet.XetFS()`` if ``None``.
    message, parent_commit:
        As in ``fs.transaction``.

    Raises
    ------
    ConflictError, TransactionError
        As with ``fs.transaction``.
    """
    fs = XetFS() if fs is None else fs
    with fs.transaction(message=message, parent_commit=parent_commit) as own:
        around = _registered.get()
        _register(connection, own.fs)
        _registered.set(own.fs)
        try:
            yield own
        finally:
            _registered.set(around)
            _register(connection, around or fs)


def _register(connection: Any, fs: Any) -> None:
    """Have a connection use a file system for ``xet://``, instead of the one it uses now."""
    if connection.filesystem_is_registered(SCHEME):
        connection.unregister_filesystem(SCHEME)
    connection.register_filesystem(fs)
