"""Memory for the content of a range that is returned in one piece."""

from __future__ import annotations

import io
from collections.abc import Sequence

from pyxet._async.download.verifier import Verifier
from pyxet._async.download.windows import FileChunk, cut
from pyxet.protocol.hashing import Buffer
from pyxet.protocol.kernels import fill


class Target:
    """Memory for the content of a range, allocated once and filled in order by worker threads.

    Collecting pieces in a list and joining them would need twice the memory. Here, zeroed memory from the system is only
    touched when it is written to; `io.BytesIO` takes it without a copy, lets it be written to, and returns it as `bytes`
    without another copy.

    It is allocated when the first content arrives, so that a size which the endpoint merely claims costs nothing.
    """

    def __init__(self, name: str, start: int, end: int) -> None:
        self._name = name
        self._start, self._end = start, end
        self._bytes: io.BytesIO | None = None
        self._view = memoryview(b"")
        self._at = 0

    def _allocate(self) -> None:
        size = self._end - self._start
        try:
            self._bytes = io.BytesIO(bytes(size))
        except (MemoryError, OverflowError):
            raise MemoryError(
                f"{self._name}: {size:,} bytes do not fit into memory; read ranges or an open file, or download it"
            ) from None
        self._view = self._bytes.getbuffer()

    def take(self, chunks: Sequence[FileChunk], verifier: Verifier | None) -> None:
        """Append the part of some chunks that lies in the range, and show all of them to the verifier."""
        if verifier is not None:
            verifier.add(chunks)
        self.append(cut(chunks, self._start, self._end))

    def append(self, pieces: Sequence[Buffer]) -> None:
        """Append pieces; `ValueError` if they do not fit, `MemoryError` if the whole content would not."""
        if self._bytes is None:
            self._allocate()
        self._at += fill(self._view[self._at :], pieces)

    def whole(self) -> bytes:
        """The content, once all of it is there."""
        assert self._at == self._end - self._start, "chunks cover the range, or an error was raised"
        assert self._bytes is not None
        self._view.release()
        return self._bytes.getvalue()

    def close(self) -> None:
        """Release the memory, so that a traceback does not keep it alive."""
        self._view.release()
        if self._bytes is not None:
            self._bytes.close()
