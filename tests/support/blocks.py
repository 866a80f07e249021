"""The exception with which tests end a block, and the transaction that is open in a block."""

from __future__ import annotations

import pyxet


class Failure(Exception):
    """Raised by tests to end a block."""


def current(fs: pyxet.AsyncXetFileSystem) -> object:
    """The open transaction, as the file system returns it."""
    return fs.transaction
