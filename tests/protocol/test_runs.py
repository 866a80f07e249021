"""Runs of chunks that the C kernel decodes at once: the same content and the same refusals as chunk by chunk in Python."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import lz4.frame
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.kernels import needs_c
from support.vectors import content

from pyxet.errors import FormatError
from pyxet.protocol.compression import Scheme, compress_as
from pyxet.protocol.constants import MAX_CHUNK
from pyxet.protocol.decoding import ChunkDecoder, Room
from pyxet.protocol.kernels import decode_kernel
from pyxet.protocol.xorb import ChunkHeader

pytestmark = needs_c

PIECES = [
    content(kind, seed, size)
    for seed, (kind, size) in enumerate(
        [
            ("random", 9000),
            ("text", 20_000),
            ("float32", 30_003),
            ("zeros", 1),
            ("text", MAX_CHUNK),
            ("float32", 65_538),
            ("zeros", 70_001),
            ("text", 3),
            ("random", MAX_CHUNK),
        ]
    )
]


def stored(payload: Any, scheme: int, length: int) -> bytes:
    return ChunkHeader(len(payload), scheme, length).pack() + bytes(payload)


# Each piece in each scheme, and in frames as other clients make them.
CHUNKS = [stored(compress_as(data, scheme), scheme, len(data)) for data in PIECES for scheme in Scheme]
WHOLE = [data for data in PIECES for _ in Scheme]
for options in ({"block_size": 4}, {"block_size": 5}, {"block_size": 6}, {"block_size": 7}, {"content_checksum": True}):
    frames = [lz4.frame.compress(data, block_linked=False, store_size=False, **options) for data in PIECES]
    kept = [(data, frame) for data, frame in zip(PIECES, frames, strict=True) if len(frame) <= len(data) + 64]
    CHUNKS += [stored(frame, Scheme.LZ4, len(data)) for data, frame in kept]
    WHOLE += [data for data, _ in kept]
DATA = b"".join(CHUNKS)


def outcome(decoder: ChunkDecoder, pieces: list[Any]) -> tuple[list[tuple[bytes, int]], str | None, int | None]:
    """What a decoder makes of pieces, and how it ends."""
    found: list[tuple[bytes, int]] = []
    try:
        for piece in pieces:
            found += [(bytes(chunk.data), chunk.size) for chunk in decoder.feed(piece)]
        decoder.finish()
    except FormatError as error:
        return found, error.what, error.offset
    return found, None, None


def same(data: bytes, sizes: list[int], most: int | None = None, amount: int | None = None) -> list[tuple[bytes, int]]:
    """What both make of data that comes in pieces of some sizes; they must agree."""
    edges = [0]
    for size in sizes:
        edges.append(min(len(data), edges[-1] + size))
    pieces = [data[start:end] for start, end in pairwise([*edges, len(data)])]
    slow = outcome(ChunkDecoder(most, None if amount is None else Room(amount)), pieces)
    for least in (0, MAX_CHUNK, 3 * MAX_CHUNK + 5):
        fast = outcome(ChunkDecoder(most, None if amount is None else Room(amount), guarded(least)), pieces)
        assert fast[1:] == slow[1:]
        # Of a piece in which something is wrong neither returns what is before it.
        assert fast[0] == slow[0]
    return slow[0]


def guarded(least: int) -> Callable[[int], memoryview]:
    """Memory to decode into, as much as is asked for at least."""
    return lambda size: memoryview(bytearray(max(least, size)))


def test_there_is_a_kernel_here() -> None:
    assert decode_kernel() is not None, (
        "the C kernel is older than its source (install again), or lz4 hides its library"
    )


def test_all_schemes_and_frames_come_back() -> None:
    assert [data for data, _ in same(DATA, [])] == WHOLE
    assert [data for data, _ in same(DATA, [100_003] * 40)] == WHOLE


def test_many_small_chunks_in_one_piece() -> None:
    small = [content("text", number, 200) for number in range(3000)]
    data = b"".join(stored(compress_as(piece, Scheme.LZ4), Scheme.LZ4, 200) for piece in small)
    assert [piece for piece, _ in same(data, [])] == small


def test_what_compresses_is_decoded_by_the_kernel_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python looks at a chunk only where the kernel stops, or every one would be decoded twice."""
    looked: list[int] = []
    header = ChunkDecoder._header

    def look(decoder: ChunkDecoder, view: Any, at: int) -> ChunkHeader:
        looked.append(at)
        return header(decoder, view, at)

    monkeypatch.setattr(ChunkDecoder, "_header", look)
    count = len(PIECES) * len(Scheme)
    decoder = ChunkDecoder(memory=guarded(0))
    assert len(decoder.feed(b"".join(CHUNKS[:count]))) == count
    assert looked == []


@given(
    st.lists(st.integers(0, len(CHUNKS) - 1), min_size=1, max_size=6),
    st.lists(st.integers(0, 200_000), max_size=5),
    st.lists(st.tuples(st.integers(0, 1 << 30), st.integers(0, 255)), max_size=3),
    st.integers(0, 30),
    st.one_of(st.none(), st.integers(0, 7)),
    st.one_of(st.none(), st.integers(0, 400_000)),
)
@settings(deadline=None, max_examples=120)
def test_damage_is_refused_alike(
    which: list[int],
    sizes: list[int],
    wrong: list[tuple[int, int]],
    cut: int,
    most: int | None,
    amount: int | None,
) -> None:
    chosen = [CHUNKS[number] for number in which]
    data = bytearray(b"".join(chosen))
    starts = [sum(map(len, chosen[:number])) for number in range(len(chosen))]
    for place, value in wrong:
        # Most of them among the headers of a chunk and of its frame, where lengths are.
        start = starts[place % len(starts)]
        at = start + place // 7 % 24 if place % 3 else place
        data[at % len(data)] = value
    same(bytes(data[: len(data) - cut]), sizes, most, amount)


@pytest.mark.parametrize("scheme", [Scheme.LZ4, Scheme.BG4_LZ4])
def test_lying_lengths(scheme: Scheme) -> None:
    data = content("text", 4, 100_000)
    payload = bytes(compress_as(data, scheme))
    before = stored(b"before", Scheme.NONE, 6)
    for length in (1, 99_999, 100_001, MAX_CHUNK):
        assert same(before + stored(payload, scheme, length), []) == []
    for at in (7, 8, 9, 10):
        for value in (0, 1, 0x7F, 0x80, 0xFF):
            lie = bytearray(payload)
            lie[at] = value
            same(before + stored(lie, scheme, len(data)), [])
    # More than 128 KiB in the frames of one chunk, and blocks larger than their frame allows.
    for frame in (
        lz4.frame.compress(bytes(10_000_000), block_linked=False),
        b"\x04\x22\x4d\x18\x60\x40\x82" + (100_000).to_bytes(4, "little") + data + bytes(4),
        b"\x04\x22\x4d\x18\x60\x50\xfb" + (100_000 | 1 << 31).to_bytes(4, "little") + data + bytes(4),
        b"\x04\x22\x4d\x18\x60\x40\x82" + (1 << 31).to_bytes(4, "little") + bytes(4),
    ):
        same(before + stored(frame[:130_000], scheme, len(data)), [])


def test_nothing_is_written_behind_what_was_announced() -> None:
    decode = decode_kernel()
    assert decode is not None
    source = random.Random(3)
    for _ in range(300):
        number = source.randrange(len(CHUNKS))
        data = bytearray(CHUNKS[number])
        if source.random() < 0.8:
            for _ in range(source.randrange(4)):
                data[8 + source.randrange(min(60, len(data) - 8))] = source.randrange(256)
        memory = bytearray(b"\xa5" * (MAX_CHUNK + 64))
        used = source.randrange(40)
        room = memoryview(memory)[: used + len(WHOLE[number])]
        chunks, at, now, needed = decode(bytes(data), 0, room, used, 9, 1 << 40)
        assert memory[:used] == b"\xa5" * used
        assert set(memory[len(room) :]) == {0xA5}
        assert not needed
        assert (at, now) in {(0, used), (len(data), used), (len(data), len(room))}
        assert len(chunks) == (at > 0)


def test_offsets_that_are_not_in_it() -> None:
    decode = decode_kernel()
    assert decode is not None
    for at, used in ((-1, 0), (len(DATA) + 1, 0), (0, -1), (0, 11)):
        with pytest.raises(ValueError, match="out of range"):
            decode(DATA, at, bytearray(10), used, 1, 1)
    with pytest.raises((TypeError, BufferError)):
        decode(DATA, 0, bytes(10), 0, 1, 1)
