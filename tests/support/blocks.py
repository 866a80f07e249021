"""What ends a block that tests have fail, and which transaction is open in one."""

from __future__ import annotations

import pyxet


class Failure(Exception):
    """What ends a block."""


def current(fs: pyxet.AsyncXetFileSystem) -> object:
    """What a transaction that is open is to the file system."""
    return fs.transaction
