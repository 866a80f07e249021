"""Small contents of a commit that is being prepared: in memory while they are few, then in a file without a name."""

from __future__ import annotations

import tempfile
import threading
from typing import Final, NamedTuple
from weakref import finalize

_IN_MEMORY: Final = 8 * 1024 * 1024


class Spooled(NamedTuple):
    """Where a content is in the spool, in bytes."""

    offset: int
    size: int


class Spool:
    """Contents, written once and read in any order."""

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115  # lives as long as the commit
        self._lock = threading.Lock()
        self._end = 0
        # Without a warning, also where nobody closes it: whoever dropped the last reference was warned already.
        self._closing = finalize(self, self._file.close)

    def append(self, data: bytes) -> Spooled:
        """Keep a content."""
        with self._lock:
            self._file.seek(self._end)
            self._file.write(data)
            kept = Spooled(self._end, len(data))
            self._end += len(data)
            return kept

    def read(self, kept: Spooled) -> bytes:
        """The content again."""
        with self._lock:
            self._file.seek(kept.offset)
            return self._file.read(kept.size)

    def close(self) -> None:
        """Let go of everything."""
        with self._lock:
            self._closing()
