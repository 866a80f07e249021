"""The xorb format: what is written, and reading bytes from strangers."""

from __future__ import annotations

import random
import re
import struct
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.formats import xorb_footer
from support.kernels import KERNELS, needs_c
from support.vectors import content, refuse

from pyxet.errors import FormatError
from pyxet.protocol.compression import Scheme, compress_as
from pyxet.protocol.constants import MAX_CHUNK, MAX_XORB_BYTES, MAX_XORB_CHUNKS
from pyxet.protocol.decoding import ChunkDecoder
from pyxet.protocol.hashing import Buffer, chunk_hash, xorb_hash
from pyxet.protocol.kernels import Kernel, encode_kernel, load
from pyxet.protocol.xorb import (
    MAX_PAYLOAD,
    Block,
    ChunkHeader,
    EncodedChunk,
    Xorb,
    XorbBuilder,
    XorbChunk,
    encode_chunk,
    encode_chunks,
    encode_slowly,
    parse_xorb,
    read_footer,
    write_footer,
)


def build(pieces: list[bytes]) -> Xorb:
    builder = XorbBuilder()
    for piece in pieces:
        builder.add(encode_chunk(piece, chunk_hash(piece)))
    return builder.build()


PIECES = [
    content(kind, 3, size) for kind, size in (("random", 9000), ("text", 20_000), ("float32", 30_003), ("zeros", 1))
]
XORB = build(PIECES)
DATA = b"".join(XORB.slices)


def test_what_is_written() -> None:
    """The layout, taken apart by hand."""
    at = raw = 0
    schemes = []
    for piece, chunk in zip(PIECES, XORB.info.chunks, strict=True):
        version, low, high, scheme, raw_low, raw_high = struct.unpack_from("<BHBBHB", DATA, at)
        size, length = low | high << 16, raw_low | raw_high << 16
        assert (version, length) == (0, len(piece))
        assert DATA[at + 8 : at + 8 + size] == compress_as(piece, Scheme(scheme))
        at, raw = at + 8 + size, raw + length
        schemes.append(scheme)
        assert chunk == XorbChunk(chunk_hash(piece), len(piece), at)
    assert schemes == [0, 1, 2, 0]
    assert at == len(DATA) == XORB.info.size
    assert xorb_hash([(chunk_hash(piece), len(piece)) for piece in PIECES]) == XORB.info.hash
    assert write_footer(XORB.info) == xorb_footer(XORB.info)


def test_a_footer_may_carry_a_number_of_its_writer() -> None:
    footer = xorb_footer(XORB.info, unused=b"\x07" * 16)
    assert parse_xorb(DATA + footer) == read_footer(DATA + footer) == read_footer(footer) == XORB.info


@given(st.lists(st.integers(0, 20_000), max_size=20), st.sampled_from([bytes, bytearray, memoryview]))
@settings(deadline=None, max_examples=50)
def test_decoding_pieces_of_any_size(sizes: list[int], make: type) -> None:
    decoder = ChunkDecoder(max_chunks=4)
    found = []
    at = 0
    for size in [*sizes, len(DATA)]:
        found += decoder.feed(make(DATA[at : at + size]))
        at += size
    decoder.finish()
    assert [bytes(chunk.data) for chunk in found] == PIECES
    assert sum(chunk.size for chunk in found) == len(DATA)


def test_a_decoder_stops_at_the_chunks_that_were_asked_for() -> None:
    for pieces in ([DATA], [DATA[at : at + 100] for at in range(0, len(DATA), 100)]):
        decoder = ChunkDecoder(max_chunks=3)
        error, _ = refuse(lambda: [decoder.feed(piece) for piece in pieces])  # noqa: B023
        assert "more chunks than were asked for" in str(error)
        assert error.offset == XORB.info.chunks[2].end


@pytest.mark.parametrize("step", [1, 5000, 10**6])
def test_errors_in_a_stream_say_where(step: int) -> None:
    at = XORB.info.chunks[1].end
    for wrong in (b"\x01", ChunkHeader(5, 1, 5).pack() + b"wrong"):
        decoder = ChunkDecoder()
        data = DATA[:at] + wrong + bytes(20)
        error, _ = refuse(lambda: [decoder.feed(data[start : start + step]) for start in range(0, len(data), step)])  # noqa: B023
        assert error.offset == at


def test_a_cut_stream_is_an_error() -> None:
    decoder = ChunkDecoder()
    decoder.feed(DATA[:-1])
    assert decoder.pending == 8
    with pytest.raises(FormatError, match="cut off"):
        decoder.finish()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x01" + bytes(7), "version 1"),
        (ChunkHeader(5, 3, 5).pack(), "scheme 3"),
        (ChunkHeader(5, 0, 0).pack(), "raw length 0"),
        (ChunkHeader(5, 0, MAX_CHUNK + 1).pack(), "raw length 131,073"),
        (ChunkHeader(0, 0, 5).pack(), "payload length 0"),
        (ChunkHeader(MAX_PAYLOAD + 1, 1, 5).pack(), "payload length 132,161"),
        (ChunkHeader(0xFFFFFF, 1, 5).pack(), "payload length 16,777,215"),
        (ChunkHeader(6, 0, 5).pack() + bytes(6), "6 stored bytes"),
        (ChunkHeader(5, 0, 5).pack() + bytes(4), "cut off in a chunk's payload"),
        (ChunkHeader(6, 1, 5).pack() + b"broken", "LZ4"),
        (b"\x00\x01", "cut off in a chunk header"),
        (b"", "no chunks"),
        (xorb_footer(XORB.info), "no chunks"),
        (DATA + b"XETBLOB", "footer: not found"),
        (DATA + b"XETBLOB\x01" + bytes(200), "footer: not found"),
        (DATA + xorb_footer(XORB.info).replace(b"XETBLOB\1", b"XETBLOB\0"), "footer: version 0"),
        (DATA + xorb_footer(XORB.info).replace(b"XBLBHSH\0", b"XBLBHSH\1"), "the hash section is damaged"),
        (DATA + xorb_footer(XORB.info).replace(b"XBLBBND\1", b"XBLBBND\0"), "the boundary section is damaged"),
        (DATA + xorb_footer(XORB.info)[:-1], "footer"),
        (DATA + xorb_footer(XORB.info) + b"x", "footer"),
        (DATA + xorb_footer(build(PIECES[:2]).info), "does not describe the chunks"),
        ((ChunkHeader(1, 0, 1).pack() + b"x") * (MAX_XORB_CHUNKS + 1), "more than 8,192 chunks"),
    ],
)
def test_bad_xorbs(data: bytes, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        parse_xorb(data)


def test_a_xorb_that_is_too_large_is_not_looked_at() -> None:
    with pytest.raises(FormatError, match="more than a xorb may have"):
        parse_xorb(bytes(MAX_XORB_BYTES + 1_000_000))


def lying_footer(**wrong: int) -> bytes:
    """A footer in which words were replaced, by their offset from its end."""
    footer = bytearray(xorb_footer(XORB.info))
    for at, value in wrong.items():
        struct.pack_into("<I", footer, len(footer) + int(at.removeprefix("at")) * -1, value)
    return bytes(footer)


@pytest.mark.parametrize(
    ("footer", "message"),
    [
        (b"", "too short"),
        (bytes(200), "not found"),
        (lying_footer(at4=0xFFFF_FFFF), "not found"),
        (lying_footer(at4=4), "not found"),
        (lying_footer(at32=5), "damaged"),
        (lying_footer(at28=5), "damaged"),
        (lying_footer(at36=400_000), "makes no sense"),
        (lying_footer(at36=1), "makes no sense"),
        (lying_footer(at52=3), "makes no sense"),
        (lying_footer(at64=3), "makes no sense"),
        (lying_footer(at72=0xFFFF_FFFF), "boundary section is damaged|hash section|makes no sense"),
        (xorb_footer(XORB.info).replace(XORB.info.hash, b"x" * 32), "do not make its xorb hash"),
    ],
)
def test_bad_footers(footer: bytes, message: str) -> None:
    error, memory = refuse(lambda: read_footer(footer))
    assert re.search(message, str(error))
    assert memory < 50_000


@given(st.data())
@settings(deadline=None, max_examples=200)
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


@given(st.binary(max_size=300), st.integers(1, 40))
@settings(max_examples=100)
def test_garbage_in_a_stream(data: bytes, step: int) -> None:
    decoder = ChunkDecoder()
    size = 0
    try:
        for at in range(0, len(data), step):
            size += sum(chunk.size for chunk in decoder.feed(data[at : at + step]))
        decoder.finish()
    except FormatError:
        return
    assert size == len(data)


@pytest.mark.parametrize("kernel", KERNELS)
@given(st.lists(st.one_of(st.binary(), st.binary().map(bytearray), st.binary().map(lambda data: memoryview(data)))))
@settings(deadline=None)
def test_gathered_buffers_follow_each_other(kernel: Kernel, parts: list[Buffer]) -> None:
    assert load(kernel).gather(parts) == b"".join(parts)


@pytest.mark.parametrize("kernel", KERNELS)
@given(st.lists(st.one_of(st.binary(), st.binary().map(bytearray), st.binary().map(lambda data: memoryview(data)))))
@settings(deadline=None)
def test_memory_is_filled_with_buffers_and_no_further(kernel: Kernel, parts: list[Buffer]) -> None:
    whole = b"".join(parts)
    memory = bytearray(b"x" * (len(whole) + 3))
    assert load(kernel).fill(memoryview(memory)[1:], parts) == len(whole)
    assert memory == b"x" + whole + b"xx"
    with pytest.raises(ValueError, match="do not fit"):
        load(kernel).fill(memory[: len(whole)], [*parts, b"z"])


@pytest.mark.parametrize("kernel", KERNELS)
def test_only_bytes_are_gathered(kernel: Kernel) -> None:
    with pytest.raises(TypeError):
        load(kernel).gather([b"a", "b"])
    for target, parts in ((bytearray(9), [b"a", "b"]), (bytes(9), [b"a"])):
        with pytest.raises((TypeError, BufferError)):
            load(kernel).fill(target, parts)


def test_chunks_that_stay_together_are_one_slice() -> None:
    contents = [random.Random(number).randbytes(5000) + bytes(3000) for number in range(6)]
    chunks = encode_chunks((chunk_hash(data), data) for data in contents)
    builder = XorbBuilder()
    for index in (0, 1, 2, 4, 5, 3):
        builder.add(chunks[index])
    xorb = builder.build()
    assert [len(piece) for piece in xorb.slices] == [
        sum(chunks[index].size for index in together) for together in ((0, 1, 2), (4, 5), (3,))
    ]
    decoded = ChunkDecoder().feed(b"".join(xorb.slices))
    assert [bytes(chunk.data) for chunk in decoded] == [contents[index] for index in (0, 1, 2, 4, 5, 3)]


@needs_c
def test_the_kernel_makes_the_same_blocks_as_python() -> None:
    encode = encode_kernel()
    assert encode is not None, "the C kernel is older than its source (install again), or lz4 hides its library"
    source = random.Random(11)
    kinds: tuple[Callable[[int], bytes], ...] = (
        bytes,
        source.randbytes,
        lambda size: b"".join(b"%d,%d\n" % (n, n * n) for n in range(size // 8 + 1))[:size],
        lambda size: b"".join(source.randbytes(2) + b"\x3f\x80" for _ in range(size // 4 + 1))[:size],
    )
    sizes = (1, 2, 3, 4, 5, 15, 16, 17, 100, 4095, 4096, 4097, 4101, 8192, 70_001, MAX_CHUNK - 1, MAX_CHUNK)
    for _ in range(20):
        pieces = [source.choice(kinds)(source.choice(sizes)) for _ in range(source.randrange(12))]
        assert encode(pieces, None) == encode_slowly(pieces)
    runs = [memoryview(bytearray(kind(MAX_CHUNK))) for kind in kinds for _ in range(6)]
    block, ends = encode(runs, None)
    assert (block, ends) == encode_slowly(runs)
    assert [bytes(chunk.data) for chunk in ChunkDecoder().feed(block)] == [bytes(piece) for piece in runs]


@needs_c
@pytest.mark.parametrize(
    ("piece", "error"), [(b"", ValueError), (bytes(MAX_CHUNK + 1), ValueError), ("text", TypeError)]
)
def test_what_is_no_chunk_is_not_encoded(piece: Any, error: type[Exception]) -> None:
    encode = encode_kernel()
    assert encode is not None
    with pytest.raises(error):
        encode([b"a chunk", piece], None)


def test_limits_of_a_builder() -> None:
    builder = XorbBuilder()
    big = EncodedChunk(bytes(32), MAX_CHUNK, Block(bytes(MAX_CHUNK + 8)), 0, MAX_CHUNK + 8)
    while builder.fits(big.size):
        builder.add(big)
    assert MAX_XORB_BYTES - big.size < builder.size <= MAX_XORB_BYTES
    assert builder.fits(MAX_XORB_BYTES - builder.size)
    assert not builder.fits(MAX_XORB_BYTES - builder.size + 1)
    assert builder.raw_size == len(builder) * MAX_CHUNK
    builder = XorbBuilder()
    small = EncodedChunk(bytes(32), 1, Block(bytes(9)), 0, 9)
    while builder.fits(small.size):
        assert builder.add(small) == len(builder) - 1
    assert len(builder) == MAX_XORB_CHUNKS
    with pytest.raises(ValueError, match="do not fit"):
        builder.add(small)
