"""What ``--verbose`` shows on standard error: the log of pyxet, and the counts of the process at the end."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

import pyxet
from pyxet._shown import human_size

_LEVELS: Final = {1: logging.INFO, 2: logging.DEBUG}


class Verbose(logging.Handler):
    """Shows the log of pyxet until it is closed.

    Parameters
    ----------
    say:
        Called with each line, in any thread.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        super().__init__()
        self._say = say
        self._began = time.monotonic()
        self._before = pyxet.metrics()
        self._log = logging.getLogger("pyxet")
        self._level = self._log.level
        self._log.addHandler(self)

    def show(self, count: int) -> None:
        """Set how often ``-v`` was given: from twice on, each request and transfer is shown."""
        self._log.setLevel(_LEVELS[min(count, max(_LEVELS))])

    def emit(self, record: logging.LogRecord) -> None:
        seconds = time.monotonic() - self._began
        self._say(f"{seconds:8.3f} {record.levelname:7} {record.name}: {record.getMessage()}")
        if record.exc_info:
            self._say(logging.Formatter().formatException(record.exc_info))

    def close(self) -> None:
        """Show the counts if there were requests, and restore the level of the log."""
        found = pyxet.metrics() - self._before
        self._log.removeHandler(self)
        self._log.setLevel(self._level)
        if found.requests:
            self._say(
                f"{found.requests:,} requests, {found.retries:,} retries, {human_size(found.bytes_sent)} sent, "
                f"{human_size(found.bytes_received)} received, {human_size(found.deduplicated_bytes)} deduplicated, "
                f"{found.seconds_waited:.1f} s waited"
            )
        super().close()
