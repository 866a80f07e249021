"""Compression of single chunks (Xet specification, ``xorb.md``, chunk compression schemes).

LZ4 payloads are *frames* of one independent block with no content size. Writing such a frame around `lz4.block` avoids
the set-up of a frame context, which for chunks of 64 KiB costs as much as the compression. Frames of that form are read
in the same way, and others by the general decoder.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Final, NamedTuple

import lz4.block
import lz4.frame

from pyxet.errors import FormatError
from pyxet.protocol import kernels
from pyxet.protocol.constants import MAX_CHUNK
from pyxet.protocol.hashing import Buffer

bg4_split = kernels.load(kernels.name).bg4_split
bg4_join = kernels.load(kernels.name).bg4_join


class Scheme(IntEnum):
    """How a chunk's payload is stored."""

    NONE = 0
    LZ4 = 1
    BG4_LZ4 = 2


class Compressed(NamedTuple):
    """A chunk's payload in consecutive parts, its size in bytes, and its scheme."""

    scheme: Scheme
    parts: tuple[Buffer, ...]
    size: int

    @property
    def payload(self) -> Buffer:
        """The payload in one piece."""
        return self.parts[0] if len(self.parts) == 1 else b"".join(self.parts)


_LENGTH = struct.Struct("<I")
# Magic, flags, block size 256 KiB and header checksum are the same in every frame we write.
_FRAME_HEADER: Final[bytes] = lz4.frame.LZ4FrameCompressor(
    block_size=lz4.frame.BLOCKSIZE_MAX256KB, block_linked=False
).begin()
_FRAME_END: Final = bytes(4)
_OVERHEAD: Final = len(_FRAME_HEADER) + _LENGTH.size + len(_FRAME_END)

_SAMPLE: Final = 4096
# If a sample does not shrink to this share of its size, compressing the chunk is not worth the time. Random bytes never
# shrink; the exponents of floating-point weights, one lane of four, shrink by a tenth in a kilobyte and by a fifth in a chunk.
_WORTHWHILE: Final = 0.99
# Number of chunks after a sampled one that are compressed with its scheme. If the compressed share of one of them differs
# from that of the sampled chunk by more than `_ALIKE`, the next chunk is sampled.
_UNSAMPLED: Final = 3
_ALIKE: Final = 0.1


def compress(data: Buffer) -> Compressed:
    """Compress a chunk with the scheme that a sample predicts to be smallest; store it as it is if that does not help."""
    return _compress_if_smaller(data, choose_scheme(data))


class StreamCompressor:
    """Compresses chunks that follow each other in one content.

    Chunks of one content are mostly alike, and a sample costs as much as hashing the chunk. So one chunk in four is sampled,
    and also the chunk after one that compressed differently from the last sampled one.
    """

    def __init__(self) -> None:
        self._scheme = Scheme.NONE
        self._unsampled = 0
        self._rate = 1.0

    def compress(self, data: Buffer) -> Compressed:
        """Compress the next chunk, like `compress`."""
        sampled = not self._unsampled
        if sampled:
            self._scheme, self._unsampled = choose_scheme(data), _UNSAMPLED
        else:
            self._unsampled -= 1
        found = _compress_if_smaller(data, self._scheme)
        rate = found.size / len(data)
        if sampled:
            self._rate = rate
        elif abs(rate - self._rate) > _ALIKE:
            self._unsampled = 0
        return found


def _compress_if_smaller(data: Buffer, scheme: Scheme) -> Compressed:
    if scheme is not Scheme.NONE:
        found = _compressed(data, scheme)
        if found.size < len(data):
            return found
    return Compressed(Scheme.NONE, (data,), len(data))


def choose_scheme(data: Buffer) -> Scheme:
    """Predict the best scheme from four kilobytes out of the middle: one kilobyte of each byte lane."""
    start = max(0, (len(data) - _SAMPLE) // 2 & ~3)
    sample = memoryview(data)[start : start + _SAMPLE]
    plain = _sample_size(sample)
    lanes = bg4_split(sample)
    # Each lane is compressed alone: in one piece, LZ4 would skip over the short last lane after three incompressible ones.
    lane = max(1, len(lanes) // 4)
    grouped = sum(_sample_size(lanes[at : at + lane]) for at in range(0, len(lanes), lane))
    if min(plain, grouped) > len(sample) * _WORTHWHILE:
        return Scheme.NONE
    return Scheme.BG4_LZ4 if grouped < plain else Scheme.LZ4


def _sample_size(sample: Buffer) -> int:
    return min(len(sample), len(lz4.block.compress(sample, store_size=False)))


def compress_as(data: Buffer, scheme: Scheme) -> Buffer:
    """The payload of a chunk under a given scheme (``xorb.md``, chunk compression schemes), however large it gets."""
    return _compressed(data, scheme).payload


def _compressed(data: Buffer, scheme: Scheme) -> Compressed:
    if scheme is Scheme.NONE:
        return Compressed(scheme, (data,), len(data))
    block = lz4.block.compress(bg4_split(data) if scheme is Scheme.BG4_LZ4 else data, store_size=False)
    parts = (_FRAME_HEADER, _LENGTH.pack(len(block)), block, _FRAME_END)
    return Compressed(scheme, parts, _OVERHEAD + len(block))


def decompress(payload: Buffer, scheme: int, raw_length: int) -> Buffer:
    """The raw content of a chunk: exactly ``raw_length`` bytes.

    Raises
    ------
    FormatError
        The scheme is unknown, the payload is damaged, it does not decode to exactly ``raw_length`` bytes, or a chunk
        cannot have that length. At most one byte more than that is decoded.
    """
    if not 0 < raw_length <= MAX_CHUNK:
        raise FormatError(f"chunk: a raw length of {raw_length:,} is out of range")
    if scheme == Scheme.NONE:
        if len(payload) != raw_length:
            raise FormatError(f"chunk: {len(payload):,} stored bytes, the header says {raw_length:,}")
        return payload
    if scheme not in (Scheme.LZ4, Scheme.BG4_LZ4):
        raise FormatError(f"chunk: compression scheme {scheme} is unknown")
    data = _decode_frame(payload, raw_length)
    if len(data) != raw_length:
        raise FormatError(f"chunk: decodes to {len(data):,} bytes, the header says {raw_length:,}")
    return bytes(bg4_join(data)) if scheme == Scheme.BG4_LZ4 else data


def _decode_frame(payload: Buffer, raw_length: int) -> bytes:
    view = memoryview(payload)
    try:
        if len(view) > _OVERHEAD and view[:7] == _FRAME_HEADER:
            (length,) = _LENGTH.unpack_from(view, 7)
            if length == len(view) - _OVERHEAD and view[-4:] == _FRAME_END:
                return bytes(lz4.block.decompress(view[11:-4], uncompressed_size=raw_length))
        decoder = lz4.frame.LZ4FrameDecompressor()
        # One byte more than announced is enough to detect a payload that decodes to more.
        data = bytes(decoder.decompress(view, max_length=raw_length + 1))
    except (RuntimeError, ValueError, EOFError, lz4.block.LZ4BlockError) as error:
        raise FormatError(f"chunk: damaged LZ4 payload ({error})") from error
    if not decoder.eof:
        raise FormatError(f"chunk: the LZ4 payload is cut off, or decodes to more than {raw_length:,} bytes")
    if decoder.unused_data:
        raise FormatError(f"chunk: {len(decoder.unused_data):,} bytes after the end of the LZ4 frame")
    return data
