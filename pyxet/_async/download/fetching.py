"""Fetches one range of a xorb. Worker threads decode and hash it while the next bytes arrive."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from typing import Final

from pyxet._async.endpoint.cas import Cas
from pyxet._async.runtime.memory import STRETCH, STRETCHES
from pyxet._async.runtime.tasks import stopped
from pyxet._async.runtime.threads import in_thread
from pyxet.errors import FormatError
from pyxet.protocol.constants import MIB
from pyxet.protocol.decoding import ChunkDecoder, Room
from pyxet.protocol.hashing import Buffer, Hash, chunk_hash
from pyxet.protocol.reconstruction import FetchRange

# Bytes that are handed to a worker thread at once.
_RUN: Final = 4 * MIB
# Up to this many chunks are decoded on the event loop, because handing them to a thread takes longer.
_FEW: Final = 2


async def fetch_chunks(cas: Cas, fetch: FetchRange, room: Room, verify: bool) -> list[tuple[Buffer, Hash]]:
    """The chunks of a fetch, with their hashes if ``verify`` is true."""
    decoder = ChunkDecoder(fetch.chunk_end - fetch.chunk_start, room, _memory)
    chunks: list[tuple[Buffer, Hash]] = []
    run: list[Buffer] = []
    size = 0
    decoding: asyncio.Task[list[tuple[Buffer, Hash]]] | None = None
    try:
        async with aclosing(cas.fetch(fetch)) as pieces:
            async for piece in pieces:
                run.append(piece)
                size += len(piece)
                if size >= _RUN:
                    if decoding is not None:
                        chunks += await decoding
                    decoding = asyncio.create_task(in_thread(_decode, decoder, run, verify))
                    run, size = [], 0
        if decoding is not None:
            chunks += await decoding
        if run and fetch.chunk_end - fetch.chunk_start <= _FEW:
            chunks += _decode(decoder, run, verify)
        elif run:
            chunks += await in_thread(_decode, decoder, run, verify)
    finally:
        if decoding is not None:
            # If something else failed, an error of the decoding task is ignored.
            await stopped(decoding)
    decoder.finish()
    if len(chunks) != fetch.chunk_end - fetch.chunk_start:
        raise FormatError(f"xorb: {len(chunks)} chunks came, {fetch.chunk_end - fetch.chunk_start} were announced")
    return chunks


def _memory(size: int) -> memoryview:
    """Memory to decode into: a whole stretch if at least half of it is needed, as the next piece can use the rest."""
    return STRETCHES.take(STRETCH if 2 * size >= STRETCH else size)


def _decode(decoder: ChunkDecoder, pieces: Sequence[Buffer], verify: bool) -> list[tuple[Buffer, Hash]]:
    """The chunks that a run of pieces completes, with their hashes.

    The pieces are not joined: chunks that are stored uncompressed are views of them, and only a chunk that crosses from one
    piece to the next is copied.
    """
    return [
        (chunk.data, chunk_hash(chunk.data) if verify else b"")
        for piece in pieces
        for chunk in decoder.feed(piece)
    ]  # fmt: skip
