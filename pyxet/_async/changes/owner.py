"""The part of a file system that a transaction uses."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from pyxet._async.changes.edits import Edits
from pyxet.config import Credential


class Owner(Protocol):
    """The file system that a transaction was begun on; only what the transaction uses of it.

    Attributes
    ----------
    asynchronous:
        Whether its coroutines are awaited on the caller's loop.
    credential:
        Endpoint and user.
    """

    asynchronous: bool
    credential: Credential

    # Id of the transaction that the file system is bound to, if it takes part in one wherever it is used.
    _transaction_id: str | None

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop on which blocking calls run."""

    async def _new_edits(self, parent_commit: str | None = None, pull_request: bool = False) -> Edits:
        """New, empty edits."""

    def _bound_to(self, identity: str) -> Any:
        """A file system like this one that takes part in a transaction on any thread."""
