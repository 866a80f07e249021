"""Xorbs: runs of compressed chunks (Xet specification, ``xorb.md``; the footer is in the Internet-Draft).

::

    xorb   = chunk*  [ footer  u32 footer length ]
    chunk  = u8 version 0 | u24 payload length | u8 scheme | u24 raw length | payload
    footer = "XETBLOB" u8 1, xorb hash
             "XBLBHSH" u8 0, u32 n, n x chunk hash
             "XBLBBND" u8 1, u32 n, n x u32 end in the xorb, n x u32 end in the raw content
             u32 n, u32 hash section from the end, u32 boundary section from the end, 16 bytes

Integers are little-endian. Clients upload xorbs without a footer; readers accept both forms. We write zeros to the last 16
bytes of the footer. Other writers put a number there that tells equal xorbs apart, so readers ignore these bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, NamedTuple

from pyxet.errors import FormatError
from pyxet.protocol import compression, kernels
from pyxet.protocol.constants import (
    CHUNK_HEADER_SIZE,
    MAX_CHUNK,
    MAX_XORB_BYTES,
    MAX_XORB_BYTES_READ,
    MAX_XORB_CHUNKS,
)
from pyxet.protocol.hashing import HASH_SIZE, Buffer, Hash, chunk_hash, xorb_hash

# The longest payload a reader accepts: an incompressible chunk in an LZ4 frame of a foreign writer.
MAX_PAYLOAD: Final = MAX_CHUNK + MAX_CHUNK // 128 + 64
gather = kernels.load(kernels.name).gather
_MAIN, _HASHES, _BOUNDS = b"XETBLOB\x01", b"XBLBHSH\x00", b"XBLBBND\x01"
_COUNT = struct.Struct("<I")
_TRAILER = struct.Struct("<III16x")
_WORD = struct.Struct("<Q")
_UNUSED: Final = 16
_LAST_SCHEME: Final = int(max(compression.Scheme))


class ChunkHeader(NamedTuple):
    """The 8 bytes before a chunk's payload; sizes in bytes."""

    payload_length: int
    scheme: int
    raw_length: int

    def pack(self) -> bytes:
        """The header as it is stored."""
        low = self.payload_length << 8 | self.scheme << 32 | self.raw_length << 40
        return low.to_bytes(CHUNK_HEADER_SIZE, "little")

    @classmethod
    def unpack(cls, data: Buffer, offset: int = 0) -> ChunkHeader:
        """Read a header; `FormatError` if it is cut off, or its version, scheme or sizes are out of range."""
        if len(data) - offset < CHUNK_HEADER_SIZE:
            raise FormatError("xorb: cut off in a chunk header", offset=offset)
        (word,) = _WORD.unpack_from(data, offset)
        header = cls(word >> 8 & 0xFFFFFF, word >> 32 & 0xFF, word >> 40)
        if word & 0xFF:
            raise FormatError(f"xorb chunk header: version {word & 0xFF} is unknown", offset=offset)
        if header.scheme > _LAST_SCHEME:
            raise FormatError(f"xorb chunk header: compression scheme {header.scheme} is unknown", offset=offset)
        if not 0 < header.raw_length <= MAX_CHUNK:
            raise FormatError(f"xorb chunk header: raw length {header.raw_length:,} is out of range", offset=offset)
        if not 0 < header.payload_length <= MAX_PAYLOAD:
            raise FormatError(
                f"xorb chunk header: payload length {header.payload_length:,} is out of range", offset=offset
            )
        return header


class XorbChunk(NamedTuple):
    """A chunk of a xorb: its hash, raw length, and where it ends in the serialized xorb (header included)."""

    hash: Hash
    raw_length: int
    end: int


@dataclass(frozen=True, slots=True)
class XorbInfo:
    """The hash and the chunks of a xorb, without its bytes.

    Attributes
    ----------
    hash:
        The xorb hash.
    chunks:
        The chunks in order.
    size:
        Bytes of the serialized chunks, without a footer.
    """

    hash: Hash
    chunks: tuple[XorbChunk, ...]
    size: int


class Block:
    """Memory that holds consecutive chunks. It stays in use as long as anything refers to this block.

    Parameters
    ----------
    memory:
        The bytes.
    give_back:
        Called with ``memory``, from any thread, once nothing refers to the block any more.
    """

    __slots__ = ("_give_back", "memory")

    def __init__(self, memory: Buffer, give_back: Callable[[Any], object] | None = None) -> None:
        self.memory = memory
        self._give_back = give_back

    def __del__(self) -> None:
        if self._give_back is not None:
            self._give_back(self.memory)


@dataclass(frozen=True, slots=True)
class Xorb:
    """A finished xorb: its description, its serialized bytes as consecutive slices, and the blocks that the slices are in."""

    info: XorbInfo
    slices: tuple[Buffer, ...]
    blocks: tuple[Block, ...] = ()


class EncodedChunk(NamedTuple):
    """A chunk ready for a xorb: header and payload, with the hash and the length of the raw content.

    Header and payload are the bytes ``start`` to ``end`` of a block of consecutive chunks. Chunks that follow each other in
    a block and in a xorb are sent as one slice.
    """

    hash: Hash
    raw_length: int
    block: Block
    start: int
    end: int

    @property
    def size(self) -> int:
        """Bytes in the xorb."""
        return self.end - self.start


def encode_chunk(data: Buffer, value: Hash) -> EncodedChunk:
    """Compress a chunk's raw content for a xorb; ``value`` is its chunk hash."""
    return encode_chunks([(value, data)])[0]


def encode_chunks(chunks: Iterable[tuple[Hash, Buffer]], room: Block | None = None) -> list[EncodedChunk]:
    """Compress chunks that follow each other, given as (chunk hash, raw content), into one block.

    The content is copied, even if it does not compress, so that its memory can be used for other things afterwards.

    Parameters
    ----------
    room:
        An unused block whose memory is a `bytearray`. It is used if it is large enough.
    """
    given = list(chunks)
    memory, ends = (kernels.encode_kernel() or encode_slowly)([data for _, data in given], room and room.memory)  # type: ignore[arg-type]  # see `room`
    block = room if room is not None and memory is room.memory else Block(memory)
    return [
        EncodedChunk(value, len(data), block, start, end)
        for (value, data), (start, end) in zip(given, pairwise([0, *ends]), strict=True)
    ]


def encode_slowly(pieces: Iterable[Buffer], _room: bytearray | None = None) -> tuple[bytes, list[int]]:
    """Do the work of `encode_kernel` in Python, if that kernel is missing. The result is the same."""
    stream = compression.StreamCompressor()
    parts: list[Buffer] = []
    ends: list[int] = []
    end = 0
    for data in pieces:
        scheme, payload, size = stream.compress(data)
        parts.append(ChunkHeader(size, scheme, len(data)).pack())
        parts += payload
        end += CHUNK_HEADER_SIZE + size
        ends.append(end)
    return gather(parts), ends


class XorbBuilder:
    """Collects encoded chunks into one xorb."""

    def __init__(self) -> None:
        # Block, start and end of chunks that follow each other in a block.
        self._spans: list[tuple[Block, int, int]] = []
        self._chunks: list[XorbChunk] = []
        self.size = 0
        self.raw_size = 0

    def __len__(self) -> int:
        return len(self._chunks)

    def fits(self, size: int) -> bool:
        """Whether a chunk of ``size`` serialized bytes still fits."""
        return len(self._chunks) < MAX_XORB_CHUNKS and self.size + size <= MAX_XORB_BYTES

    def add(self, chunk: EncodedChunk) -> int:
        """Append a chunk, and return its index in the xorb. Raises `ValueError` if it does not fit, see `fits`."""
        value, length, block, start, end = chunk
        if not self.fits(end - start):
            raise ValueError(f"xorb: {chunk.size:,} bytes more do not fit into {self.size:,} of {len(self)} chunks")
        last = self._spans[-1] if self._spans else None
        if last is not None and last[0] is block and last[2] == start:
            self._spans[-1] = (block, last[1], end)
        else:
            self._spans.append((block, start, end))
        self.size += end - start
        self.raw_size += length
        self._chunks.append(XorbChunk(value, length, self.size))
        return len(self._chunks) - 1

    def build(self) -> Xorb:
        """The finished xorb."""
        chunks = tuple(self._chunks)
        value = xorb_hash([(chunk.hash, chunk.raw_length) for chunk in chunks])
        slices = tuple(memoryview(block.memory)[start:end] for block, start, end in self._spans)
        blocks = tuple({id(block): block for block, _, _ in self._spans}.values())
        return Xorb(XorbInfo(value, chunks, self.size), slices, blocks)


def decode_payload(view: memoryview, at: int, header: ChunkHeader, offset: int) -> Buffer:
    """The raw content of the chunk whose header is at ``at``; errors name ``offset``."""
    start = at + CHUNK_HEADER_SIZE
    try:
        return compression.decompress(view[start : start + header.payload_length], header.scheme, header.raw_length)
    except FormatError as error:
        raise FormatError(error.what, offset=offset) from error


def iter_headers(data: Buffer) -> Iterator[tuple[int, ChunkHeader]]:
    """The offset and header of each chunk, up to the end or a footer. Payloads are not read."""
    view = memoryview(data)
    at = 0
    while at < len(view):
        if view[at : at + len(_MAIN) - 1] == _MAIN[:-1]:
            return
        header = ChunkHeader.unpack(view, at)
        if at + CHUNK_HEADER_SIZE + header.payload_length > len(view):
            raise FormatError("xorb: cut off in a chunk's payload", offset=at)
        yield at, header
        at += CHUNK_HEADER_SIZE + header.payload_length


def parse_xorb(data: Buffer) -> XorbInfo:
    """Decode and hash every chunk of a serialized xorb, with or without a footer.

    Raises
    ------
    FormatError
        The xorb is empty, too large or damaged, or its footer disagrees with its chunks.
    """
    view = memoryview(data)
    if len(view) > MAX_XORB_BYTES_READ + _footer_size(MAX_XORB_CHUNKS) + _COUNT.size:
        raise FormatError(f"xorb: {len(view):,} bytes are more than a xorb may have")
    chunks: list[XorbChunk] = []
    end = 0
    for at, header in iter_headers(view):
        if len(chunks) == MAX_XORB_CHUNKS:
            raise FormatError(f"xorb: more than {MAX_XORB_CHUNKS:,} chunks", offset=at)
        end = at + CHUNK_HEADER_SIZE + header.payload_length
        raw = decode_payload(view, at, header, at)
        chunks.append(XorbChunk(chunk_hash(raw), header.raw_length, end))
    if not chunks:
        raise FormatError("xorb: no chunks")
    info = XorbInfo(xorb_hash([(chunk.hash, chunk.raw_length) for chunk in chunks]), tuple(chunks), end)
    if end < len(view) and not _is_footer(view[end:], info):
        # This raises a more exact error if the footer itself is damaged.
        read_footer(view)
        raise FormatError("xorb: the footer does not describe the chunks before it", offset=end)
    return info


def _is_footer(view: memoryview, info: XorbInfo) -> bool:
    expected = write_footer(info)
    unused = len(expected) - _COUNT.size - _UNUSED
    after = unused + _UNUSED
    return len(view) == len(expected) and view[:unused] == expected[:unused] and view[after:] == expected[after:]


def write_footer(info: XorbInfo) -> bytes:
    """The footer of a xorb, its length trailer included."""
    count = _COUNT.pack(len(info.chunks))
    hashes = _HASHES + count + b"".join(chunk.hash for chunk in info.chunks)
    raw_ends = []
    raw = 0
    for chunk in info.chunks:
        raw += chunk.raw_length
        raw_ends.append(raw)
    bounds = _BOUNDS + count + _words([chunk.end for chunk in info.chunks]) + _words(raw_ends)
    from_bounds = len(bounds) + _TRAILER.size
    trailer = _TRAILER.pack(len(info.chunks), len(hashes) + from_bounds, from_bounds)
    footer = b"".join((_MAIN, info.hash, hashes, bounds, trailer))
    return footer + _COUNT.pack(len(footer))


def read_footer(data: Buffer) -> XorbInfo:
    """Read the footer at the end of ``data``, without reading the chunks.

    Raises
    ------
    FormatError
        There is no footer, or it is damaged.
    """
    view = memoryview(data)
    if len(view) < _footer_size(0) + _COUNT.size:
        raise FormatError("xorb footer: too short")
    (length,) = _COUNT.unpack_from(view, len(view) - _COUNT.size)
    start = len(view) - _COUNT.size - length
    if start < 0 or length < _footer_size(0) or view[start : start + len(_MAIN) - 1] != _MAIN[:-1]:
        raise FormatError("xorb footer: not found", offset=max(start, 0))
    at = start + len(_MAIN)
    if view[at - 1] != _MAIN[-1]:
        raise FormatError(f"xorb footer: version {view[at - 1]} is unknown", offset=at - 1)
    name = bytes(view[at : at + HASH_SIZE])
    at += HASH_SIZE
    (count,) = _COUNT.unpack_from(view, at + len(_HASHES))
    if count > MAX_XORB_CHUNKS or length != _footer_size(count) or view[at : at + len(_HASHES)] != _HASHES:
        raise FormatError("xorb footer: the hash section is damaged", offset=at)
    at += len(_HASHES) + _COUNT.size
    hashes = [bytes(view[at + HASH_SIZE * index : at + HASH_SIZE * (index + 1)]) for index in range(count)]
    at += HASH_SIZE * count + len(_BOUNDS) + _COUNT.size
    ends = struct.unpack_from(f"<{count}I", view, at)
    raw_ends = struct.unpack_from(f"<{count}I", view, at + 4 * count)
    chunks = []
    end = raw_end = 0
    for value, next_end, next_raw in zip(hashes, ends, raw_ends, strict=True):
        size, raw_length = next_end - end, next_raw - raw_end
        sane = CHUNK_HEADER_SIZE < size <= CHUNK_HEADER_SIZE + MAX_PAYLOAD and 0 < raw_length <= MAX_CHUNK
        if not sane:
            raise FormatError(f"xorb footer: a chunk of {size:,} bytes for {raw_length:,} makes no sense", offset=at)
        chunks.append(XorbChunk(value, raw_length, next_end))
        end, raw_end = next_end, next_raw
    info = XorbInfo(name, tuple(chunks), end)
    if not _is_footer(view[start:], info):
        raise FormatError("xorb footer: the boundary section is damaged", offset=at)
    if not chunks or xorb_hash([(chunk.hash, chunk.raw_length) for chunk in chunks]) != name:
        raise FormatError("xorb footer: its chunks do not make its xorb hash", offset=start)
    return info


def _footer_size(chunks: int) -> int:
    sections = len(_HASHES) + len(_BOUNDS) + 2 * _COUNT.size
    return len(_MAIN) + HASH_SIZE + sections + chunks * (HASH_SIZE + 8) + _TRAILER.size


def _words(values: Sequence[int]) -> bytes:
    return struct.pack(f"<{len(values)}I", *values)
