"""`transaction`: everything that a DuckDB connection writes to ``xet://`` becomes one commit, or none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from pyxet._async.changes.transaction import Transaction
from pyxet.fs import XetFS
from pyxet.options import public
from pyxet.urls import SCHEME

# The file system that the innermost open `transaction` has registered; a nested one registers it again at its end.
_registered: ContextVar[XetFS | None] = ContextVar("pyxet_registered_with_duckdb", default=None)


@public()
@contextmanager
def transaction(
    connection: Any, fs: XetFS | None = None, *, message: str | None = None, parent_commit: str | None = None
) -> Iterator[Transaction]:
    """A transaction that a DuckDB connection takes part in, with all of its threads.

    DuckDB writes from threads of its own. It closes an incomplete file like a complete one, and deletes it afterwards. Inside
    this block that has no effect outside: the files that are left at its end become one commit, and if the block raises,
    nothing is committed. Inside an open transaction, this one is nested in it. Other connections and cursors of the same
    database take part as well, as they share its file systems.

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
    """Register a file system for ``xet://`` with a connection, in place of the one that is registered now."""
    if connection.filesystem_is_registered(SCHEME):
        connection.unregister_filesystem(SCHEME)
    connection.register_filesystem(fs)
