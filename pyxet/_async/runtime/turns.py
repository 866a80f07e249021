"""Lets tasks of one event loop act one after the other where they would only hinder each other."""

from __future__ import annotations

import asyncio
import threading
from weakref import WeakKeyDictionary


class Turns:
    """A lock for each event loop.

    A lock that loops share could cause a deadlock: a blocking call inside a running loop stops that loop, which may hold
    the lock, until another loop is done. So the work must also be correct if several loops do it at the same time.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._here: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()

    def here(self) -> asyncio.Lock:
        """The lock of the running loop."""
        loop = asyncio.get_running_loop()
        with self._lock:
            found = self._here.get(loop)
            if found is None:
                found = self._here[loop] = asyncio.Lock()
            return found
