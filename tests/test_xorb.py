"""Chunk compression and the xorb format: round trips, and bytes from strangers."""

from __future__ import annotations

import random

import lz4.frame
import pytest
from _vectors import content
from hypothesis import given, settings
from hypothesis import strategies as st

from pyxet.errors import FormatError
from pyxet.protocol.compression import Scheme, choose_scheme, compress, compress_as, decompress
from pyxet.protocol.constants import MAX_CHUNK, MAX_XORB_BYTES, MAX_XORB_CHUNKS
from pyxet.protocol.hashing import chunk_hash
from pyxet.protocol.xorb import (
    ChunkDecoder,
    ChunkHeader,
    EncodedChunk,
    Xorb,
    XorbBuilder,
    encode_chunk,
    parse_xorb,
    read_footer,
    write_footer,
)

KINDS = {
    "random": (content("random", 3, 70_000), Scheme.NONE),
    "text": (content("text", 3, 70_001), Scheme.LZ4),
    "float32": (content("float32", 3, 70_002), Scheme.BG4_LZ4),
    "zeros": (bytes(70_003), None),
    "tiny": (b"x", Scheme.NONE),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_sample_finds_the_scheme(kind: str) -> None:
    data, expected = KINDS[kind]
    scheme, payload = compress(data)
    assert expected in (None, scheme)
    assert decompress(payload, scheme, len(data)) == data
    # No scheme would have been much smaller.
    assert len(payload) <= min(len(compress_as(data, other)) for other in Scheme) * 1.01 + 20
    if kind == "random":
        assert choose_scheme(data) is Scheme.NONE


@pytest.mark.parametrize("scheme", [Scheme.LZ4, Scheme.BG4_LZ4])
def test_frames_of_other_writers(scheme: Scheme) -> None:
    data = content("text", 4, 100_000)
    plain = data if scheme is Scheme.LZ4 else b"".join(data[lane::4] for lane in range(4))
    for options in ({}, {"block_linked": True, "block_size": 4}, {"store_size": False}, {"content_checksum": True}):
        assert decompress(lz4.frame.compress(plain, **options), scheme, len(data)) == data
    # And ours is a frame that others can read.
    assert lz4.frame.decompress(compress_as(data, scheme)) == plain


@pytest.mark.parametrize("length", [99_999, 100_001, 1, 131_072])
def test_lying_lengths(length: int) -> None:
    data = content("text", 4, 100_000)
    for payload in (compress_as(data, Scheme.LZ4), lz4.frame.compress(data), data):
        with pytest.raises(FormatError):
            decompress(payload, Scheme.NONE if payload is data else Scheme.LZ4, length)


def test_a_bomb_stops_at_the_announced_length() -> None:
    for bomb in (lz4.frame.compress(bytes(50_000_000)), lz4.frame.compress(bytes(50_000_000), store_size=False)):
        with pytest.raises(FormatError, match="more than 1,000 bytes"):
            decompress(bomb, Scheme.LZ4, 1000)


def build(pieces: list[bytes]) -> Xorb:
    builder = XorbBuilder()
    for piece in pieces:
        builder.add(encode_chunk(piece, chunk_hash(piece)))
    return builder.build()


PIECES = [
    KINDS[kind][0][:size] for kind, size in (("random", 9000), ("text", 20_000), ("float32", 30_003), ("tiny", 1))
]


def test_round_trip_with_and_without_footer() -> None:
    xorb = build(PIECES)
    data = b"".join(xorb.slices)
    assert len(data) == xorb.info.size
    assert parse_xorb(data) == xorb.info
    assert parse_xorb(data + write_footer(xorb.info)) == xorb.info
    assert read_footer(data + write_footer(xorb.info)) == xorb.info
    assert [chunk.raw_length for chunk in xorb.info.chunks] == [len(piece) for piece in PIECES]


@given(st.lists(st.integers(1, 20_000), max_size=20))
@settings(deadline=None, max_examples=50)
def test_decoding_pieces_of_any_size(sizes: list[int]) -> None:
    data = b"".join(build(PIECES).slices)
    decoder = ChunkDecoder()
    found = []
    at = 0
    for size in [*sizes, len(data)]:
        found += decoder.feed(data[at : at + size])
        at += size
    decoder.finish()
    assert [bytes(chunk.data) for chunk in found] == PIECES
    assert sum(chunk.size for chunk in found) == len(data)


def test_a_cut_stream_is_an_error() -> None:
    decoder = ChunkDecoder()
    decoder.feed(b"".join(build(PIECES).slices)[:-1])
    with pytest.raises(FormatError, match="cut off"):
        decoder.finish()


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (b"\x01" + bytes(7), "version 1"),
        (ChunkHeader(5, 3, 5).pack(), "scheme 3"),
        (ChunkHeader(5, 0, 0).pack(), "raw length 0"),
        (ChunkHeader(5, 0, MAX_CHUNK + 1).pack(), "raw length 131,073"),
        (ChunkHeader(0, 0, 5).pack(), "payload length 0"),
        (ChunkHeader(1 << 23, 1, 5).pack(), "payload length 8,388,608"),
        (ChunkHeader(6, 0, 5).pack() + bytes(6), "6 stored bytes"),
        (ChunkHeader(5, 0, 5).pack() + bytes(4), "cut off"),
        (b"\x00\x01", "cut off"),
        (b"", "no chunks"),
    ],
)
def test_bad_xorbs(header: bytes, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        parse_xorb(header)


def test_a_footer_must_match() -> None:
    xorb, other = build(PIECES), build(PIECES[:2])
    data = b"".join(xorb.slices)
    for footer in (write_footer(other.info), write_footer(xorb.info)[:-1], write_footer(xorb.info) + b"x"):
        with pytest.raises(FormatError, match="footer"):
            parse_xorb(data + footer)
    with pytest.raises(FormatError, match="footer"):
        read_footer(data)


@given(st.data())
@settings(deadline=None, max_examples=300)
def test_mutations_give_a_typed_error_or_the_same_content(draw: st.DataObject) -> None:
    xorb = build([piece[:500] for piece in PIECES])
    data = bytearray(b"".join(xorb.slices) + (write_footer(xorb.info) if draw.draw(st.booleans()) else b""))
    for _ in range(draw.draw(st.integers(1, 3))):
        at = draw.draw(st.integers(0, len(data) - 1))
        action = draw.draw(st.sampled_from(["flip", "cut", "insert"]))
        if action == "flip":
            data[at] ^= 1 << draw.draw(st.integers(0, 7))
        elif action == "cut":
            del data[at : at + draw.draw(st.integers(1, 50))]
        else:
            data[at:at] = draw.draw(st.binary(min_size=1, max_size=20))
        if not data:
            break
    for parse in (parse_xorb, read_footer):
        try:
            info = parse(bytes(data))
        except FormatError:
            continue
        # A mutation that parses changed the content, and then the hash says so, or changed nothing that matters.
        assert info.hash != xorb.info.hash or [(c.hash, c.raw_length) for c in info.chunks] == [
            (c.hash, c.raw_length) for c in xorb.info.chunks
        ]


def test_limits_of_a_builder() -> None:
    builder = XorbBuilder()
    big = EncodedChunk(bytes(32), MAX_CHUNK, bytes(8), random.Random(1).randbytes(MAX_CHUNK))
    while builder.fits(big.size):
        builder.add(big)
    assert MAX_XORB_BYTES - big.size < builder.size <= MAX_XORB_BYTES
    builder = XorbBuilder()
    small = EncodedChunk(bytes(32), 1, bytes(8), b"x")
    while builder.fits(small.size):
        builder.add(small)
    assert len(builder) == MAX_XORB_CHUNKS
