"""One range of a xorb: received into memory, decoded and hashed by worker threads while the next bytes arrive."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing

from pyxet._async.endpoint.cas import Cas
from pyxet._async.runtime.memory import STRETCHES
from pyxet._async.runtime.tasks import stopped
from pyxet._async.runtime.threads import in_thread
from pyxet.errors import FormatError
from pyxet.protocol.hashing import Buffer, Hash, chunk_hash
from pyxet.protocol.reconstruction import FetchRange
from pyxet.protocol.xorb import ChunkDecoder, Room


def places_of(fetches: Sequence[FetchRange]) -> dict[FetchRange, memoryview]:
    """Memory for what some fetches bring, and a byte more for each, in one stretch."""
    sizes = [fetch.byte_end - fetch.byte_start + 1 for fetch in fetches]
    memory = STRETCHES.take(sum(sizes))
    places = {}
    at = 0
    for fetch, size in zip(fetches, sizes, strict=True):
        places[fetch] = memory[at : at + size]
        at += size
    return places


async def fetch_chunks(
    cas: Cas, fetch: FetchRange, memory: memoryview, room: Room, verify: bool
) -> list[tuple[Buffer, Hash]]:  # fmt: skip
    """The chunks of a fetch, with their hashes if somebody verifies. Those that are stored as they are refer to the memory."""
    decoder = ChunkDecoder(fetch.chunk_end - fetch.chunk_start, room)
    chunks: list[tuple[Buffer, Hash]] = []
    content = memory.toreadonly()
    decoding: asyncio.Task[list[tuple[Buffer, Hash]]] | None = None
    at = 0
    try:
        async with aclosing(cas.fetch(fetch, memory)) as filling:
            async for filled in filling:
                if decoding is not None:
                    chunks += await decoding
                decoding = asyncio.create_task(in_thread(_decode, decoder, content[at:filled], verify))
                at = filled
        if decoding is not None:
            chunks += await decoding
    finally:
        if decoding is not None:
            # If something else failed, an error of the decoding task is ignored.
            await stopped(decoding)
    decoder.finish()
    if len(chunks) != fetch.chunk_end - fetch.chunk_start:
        raise FormatError(f"xorb: {len(chunks)} chunks came, {fetch.chunk_end - fetch.chunk_start} were announced")
    return chunks


def _decode(decoder: ChunkDecoder, run: memoryview, verify: bool) -> list[tuple[Buffer, Hash]]:
    """The chunks that a run completes, with their hashes. Only one that began in an earlier run is copied."""
    return [(data, chunk_hash(data) if verify else b"") for data, _ in decoder.feed(run)]
