"""One after another: those of a loop who would only be in each other's way."""

from __future__ import annotations

import asyncio
import threading
from weakref import WeakKeyDictionary


class Turns:
    """A lock for each event loop.

    One that loops share could be held by a loop whose thread waits for another: a blocking call inside a running loop
    does that. So what several loops do at once has to come out right without this.
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
