"""The kernels of ``_gear.c`` in numpy, for installations without a compiler: slower, the same results."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, Final

import numpy as np

from pyxet.protocol.hashing import Buffer

_WINDOW: Final = 64
_BLOCK: Final = 32 * 1024


def scan(
    data: Buffer, table: bytes, mask: int, min_chunk: int, max_chunk: int, tail: bytes, size: int
) -> tuple[list[int], bytes, int]:
    """Chunk ends in a piece of a stream, relative to the piece.

    ``tail`` holds the last bytes (at most 63) before the piece and ``size`` the length of the open chunk; the values for
    the next piece are returned after the ends.
    """
    words = np.frombuffer(table, dtype="<u8")
    piece = np.frombuffer(data, dtype=np.uint8)
    history = np.frombuffer(tail, dtype=np.uint8)
    ends: list[int] = []
    start = -size
    for at in range(0, len(piece), _BLOCK):
        block = piece[at : at + _BLOCK]
        for found in _candidates(words, history, block, np.uint64(mask)):
            end = at + int(found)
            while end - start > max_chunk:
                start += max_chunk
                ends.append(start)
            if end - start >= min_chunk:
                start = end
                ends.append(start)
        history = np.concatenate([history, block])[-(_WINDOW - 1) :]
    while len(piece) - start >= max_chunk:
        start += max_chunk
        ends.append(start)
    return ends, history.tobytes(), len(piece) - start


def _candidates(words: Any, history: Any, block: Any, mask: Any) -> Any:
    """Offsets after the positions of ``block`` whose window of 64 bytes hashes to a boundary."""
    values = words[np.concatenate([history, block])]
    # The hash over the last 2k bytes is the one over the last k plus that of the k before, shifted k bits.
    shift = 1
    while shift < _WINDOW:
        doubled = values.copy()
        doubled[shift:] += values[:-shift] << np.uint64(shift)
        values = doubled
        shift *= 2
    return np.flatnonzero((values[len(history) :] & mask) == 0) + 1


def bg4_split(data: Buffer) -> bytes:
    """Bytes grouped by their position modulo four."""
    array = np.frombuffer(data, dtype=np.uint8)
    return np.concatenate([array[lane::4] for lane in range(4)]).tobytes()


def bg4_join(data: Buffer) -> bytes:
    """The inverse of `bg4_split`."""
    array = np.frombuffer(data, dtype=np.uint8)
    joined = np.empty_like(array)
    start = 0
    for lane in range(4):
        count = (len(array) - lane + 3) // 4
        joined[lane::4] = array[start : start + count]
        start += count
    return joined.tobytes()


def gather(parts: Sequence[Buffer]) -> bytes:
    """Join buffers."""
    return b"".join(parts)


def fill(target: bytearray | memoryview, parts: Sequence[Buffer]) -> int:
    """Copy buffers one after the other into memory, and return the number of bytes."""
    view = memoryview(target).cast("B")
    at = 0
    for part in parts:
        if len(part) > len(view) - at:
            raise ValueError(f"{sum(map(len, parts))} bytes do not fit into {len(view)}")
        view[at : at + len(part)] = part
        at += len(part)
    return at


# The polynomial of CRC-64/NVME, with its bits reflected.
_POLYNOMIAL: Final = 0x9A6C9329AC4BC9B5
# Maximum number of parts of the content that are computed in parallel, and combined afterwards.
_LANES: Final = 65536


@cache
def _crc_table() -> Any:
    values = np.arange(256, dtype=np.uint64)
    for _ in range(8):
        values = (values >> np.uint64(1)) ^ np.where(values & np.uint64(1), np.uint64(_POLYNOMIAL), np.uint64(0))
    return values


def crc64(data: Buffer, register: int) -> int:
    """The register of CRC-64/NVME after some more bytes.

    The content is split into lanes of equal length. Zeros in front of it do not change an empty register, so they fill up
    the first lane. The register's present value is combined with the first eight bytes.
    """
    content = np.frombuffer(data, dtype=np.uint8)
    if len(content) < 8:
        for byte in content.tolist():
            register = (register >> 8) ^ int(_crc_table()[(register ^ byte) & 0xFF])
        return register
    lanes = min(_LANES, 1 << (len(content) // 64).bit_length())
    steps = -(-len(content) // lanes)
    filled = np.zeros(lanes * steps, dtype=np.uint8)
    filled[-len(content) :] = content
    first = len(filled) - len(content)
    filled[first : first + 8] ^= np.frombuffer(register.to_bytes(8, "little"), dtype=np.uint8)
    columns = np.ascontiguousarray(filled.reshape(lanes, steps).T)
    table, values = _crc_table(), np.zeros(lanes, dtype=np.uint64)
    for column in columns:
        values = (values >> np.uint64(8)) ^ table[(values & np.uint64(0xFF)) ^ column]
    # The linear map that moves a register over the bytes of one lane, given as the images of single bits.
    images = np.uint64(1) << np.arange(64, dtype=np.uint64)
    for _ in range(steps):
        images = (images >> np.uint64(8)) ^ table[images & np.uint64(0xFF)]
    while len(values) > 1:
        values = _moved(values[::2], images) ^ values[1::2]
        images = _moved(images, images)
    return int(values[0])


def _moved(values: Any, images: Any) -> Any:
    """Apply the map that ``images`` define to registers."""
    moved = np.zeros_like(values)
    for bit in range(64):
        moved ^= np.where((values >> np.uint64(bit)) & np.uint64(1), images[bit], np.uint64(0))
    return moved
