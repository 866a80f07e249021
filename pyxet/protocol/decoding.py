"""Decodes serialized chunks as they arrive; the C kernel, if it was built, decodes a run of them in one call."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import NamedTuple

from pyxet.errors import FormatError
from pyxet.protocol import kernels
from pyxet.protocol.constants import CHUNK_HEADER_SIZE
from pyxet.protocol.hashing import Buffer
from pyxet.protocol.xorb import ChunkHeader, decode_payload


class DecodedChunk(NamedTuple):
    """The raw content of a chunk, and its serialized size in bytes."""

    data: Buffer
    size: int


class Room:
    """Limits the bytes that several decoders produce together. A few hundred bytes can decode to 128 KiB.

    Attributes
    ----------
    left:
        Bytes that may still be decoded.
    """

    def __init__(self, amount: int) -> None:
        self.left = amount

    def take(self, amount: int) -> None:
        """Count bytes that are about to be decoded. Raises `FormatError` if they are too many."""
        self.left -= amount
        if self.left < 0:
            raise FormatError("xorb: it decodes to much more than was asked for")


class ChunkDecoder:
    """Decodes serialized chunks from pieces of any size, as they arrive from the network.

    Decoded content may refer to the piece that it came from, so a piece must not be changed afterwards. After an error,
    the decoder cannot be used any more.

    Parameters
    ----------
    max_chunks:
        Maximum number of chunks in the stream. A few hundred bytes can decode to 128 KiB, so callers that know how many
        chunks they requested should set it.
    room:
        Limits the bytes that this decoder and others with the same room decode together.
    memory:
        Called with a number of bytes; returns memory of at least that size to decode into. With it, the C kernel (if it was
        built) decodes whole runs of chunks without the interpreter's lock. A chunk keeps the whole of its memory alive.
    """

    def __init__(
        self,
        max_chunks: int | None = None,
        room: Room | None = None,
        memory: Callable[[int], memoryview] | None = None,
    ) -> None:
        self._left = max_chunks
        self._room = room
        self._memory = memory
        self._kernel = kernels.decode_kernel() if memory is not None else None
        # The memory that is being decoded into, a read-only view of it for chunks, and how many bytes of it are used.
        self._target = self._readable = memoryview(bytearray())
        self._used = 0
        self._pending = bytearray()
        # Serialized size of the chunk in `_pending`: that of its header until the header is complete.
        self._needed = CHUNK_HEADER_SIZE
        self._offset = 0

    @property
    def pending(self) -> int:
        """Number of bytes of an unfinished chunk that have arrived."""
        return len(self._pending)

    def feed(self, data: Buffer) -> list[DecodedChunk]:
        """The chunks that this piece completes.

        Raises
        ------
        FormatError
            A chunk is damaged, or there are too many. The error's offset is that of the chunk in the stream.
        """
        view = memoryview(data)
        found: list[DecodedChunk] = []
        at = 0
        # Complete the chunk that began in an earlier piece. Only its bytes are copied, not the rest of this piece.
        while self._pending:
            taken = view[at : at + self._needed - len(self._pending)]
            self._pending += taken
            at += len(taken)
            if len(self._pending) < self._needed:
                return found
            if self._needed == CHUNK_HEADER_SIZE:
                self._needed += self._header(self._pending, 0).payload_length
            else:
                # The decoded chunk may refer to these bytes, so the next one gets a new buffer.
                whole, self._pending = self._pending, bytearray()
                found.append(self._decode(memoryview(whole), self._header(whole, 0)))
                self._needed = CHUNK_HEADER_SIZE
        while True:
            if self._kernel is not None:
                at = self._decode_run(self._kernel, view, at, found)
            if len(view) - at < CHUNK_HEADER_SIZE:
                break
            # The next chunk is not complete, or is of a kind that the kernel leaves to Python.
            header = self._header(view, at)
            end = at + CHUNK_HEADER_SIZE + header.payload_length
            if end > len(view):
                self._needed = end - at
                break
            found.append(self._decode(view[at:end], header))
            at = end
        self._pending = bytearray(view[at:])
        return found

    def _decode_run(self, kernel: kernels.Decode, view: memoryview, at: int, found: list[DecodedChunk]) -> int:
        """Decode chunks from an offset on with the kernel, and return the offset at which it stopped."""
        needed = 1
        while needed:
            most = sys.maxsize if self._left is None else self._left
            budget = sys.maxsize if self._room is None else max(0, self._room.left)
            chunks, end, self._used, needed = kernel(view, at, self._target, self._used, most, budget)
            raw = 0
            for where, length, stored in chunks:
                source, start = (self._readable, where) if where >= 0 else (view, -1 - where)
                found.append(DecodedChunk(source[start : start + length], stored))
                raw += length
            self._offset += end - at
            if self._left is not None:
                self._left -= len(chunks)
            if self._room is not None:
                self._room.take(raw)
            if needed and self._memory is not None:
                self._target, self._used = self._memory(needed), 0
                self._readable = self._target.toreadonly()
            elif chunks:
                # The kernel may have stopped because the number of chunks in one call is limited, so it is called again.
                needed = 1
            at = end
        return at

    def finish(self) -> None:
        """End the stream. Raises `FormatError` if a chunk is unfinished."""
        if self._pending:
            what = f"xorb: cut off, {len(self._pending):,} bytes of an unfinished chunk are left"
            raise FormatError(what, offset=self._offset)

    def _header(self, view: Buffer, at: int) -> ChunkHeader:
        if self._left == 0:
            raise FormatError("xorb: more chunks than were asked for", offset=self._offset)
        try:
            return ChunkHeader.unpack(view, at)
        except FormatError as error:
            raise FormatError(error.what, offset=self._offset) from error

    def _decode(self, chunk: memoryview, header: ChunkHeader) -> DecodedChunk:
        if self._room is not None:
            self._room.take(header.raw_length)
        raw = decode_payload(chunk, 0, header, self._offset)
        self._offset += len(chunk)
        if self._left is not None:
            self._left -= 1
        return DecodedChunk(raw, len(chunk))
