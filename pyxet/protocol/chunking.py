"""Content-defined chunking (Xet specification, ``chunking.md``)."""

from __future__ import annotations

from pyxet.protocol import kernels
from pyxet.protocol.constants import GEAR_MASK, GEAR_TABLE, MAX_CHUNK, MIN_CHUNK
from pyxet.protocol.hashing import Buffer
from pyxet.protocol.kernels import Kernel, load


class Chunker:
    """Finds the chunks of a stream that arrives in pieces of any size.

    The chunker does not keep the stream's bytes, but only a state of less than 64 bytes from one piece to the next.
    """

    def __init__(self, kernel: Kernel = kernels.name) -> None:
        self._scan = load(kernel).scan
        self._state: int | bytes = 0 if kernel == "c" else b""
        self._open = 0
        self._offset = 0

    def feed(self, data: Buffer) -> list[int]:
        """End offsets, in bytes from the start of the stream, of the chunks that this piece completes.

        Raises `BufferError` for a view that is not contiguous; the chunker is then unchanged.
        """
        ends, self._state, self._open = self._scan(
            data, GEAR_TABLE, GEAR_MASK, MIN_CHUNK, MAX_CHUNK, self._state, self._open
        )
        base = self._offset
        # In bytes, whatever the items of the view are.
        self._offset += memoryview(data).nbytes
        return [base + end for end in ends] if base else ends

    def finish(self) -> int | None:
        """End offset of the last chunk, or ``None`` if the stream ended with a completed one."""
        return self._offset if self._open else None


def chunk_ends(data: Buffer, kernel: Kernel = kernels.name) -> list[int]:
    """End offsets, in bytes, of all chunks of a whole content; an empty list if that is empty."""
    chunker = Chunker(kernel)
    ends = chunker.feed(data)
    last = chunker.finish()
    return ends if last is None else [*ends, last]
