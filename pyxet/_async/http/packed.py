"""Compressed answers: gzip reduces the JSON of listings and plans to a tenth. It is unpacked in bounded memory."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Final

from pyxet.errors import FormatError

# Headers of a request whose answer may be compressed.
PACKED: Final[Mapping[str, str]] = {"Accept-Encoding": "gzip"}
_GZIP: Final = frozenset({"gzip", "x-gzip"})
# The `wbits` by which zlib expects a gzip header.
_WINDOW: Final = 31
# A gzip may have several members, one after the other. Each costs a copy of the rest, so there is an end to them.
_MEMBERS: Final = 64


def is_packed(headers: Mapping[str, str]) -> bool:
    """Whether an answer is compressed in the way that was asked for."""
    return headers.get("Content-Encoding", "").strip().lower() in _GZIP


def unpacked(data: bytes, most: int, *, what: str) -> bytes:
    """The content of a compressed answer. Unpacks at most ``most`` bytes (plus one), however large the content would be.

    Raises
    ------
    FormatError
        It has more than ``most`` bytes, is damaged, cut off, or followed by something else.
    """
    content, rest = b"", data
    for _ in range(_MEMBERS):
        unpacker = zlib.decompressobj(_WINDOW)
        try:
            content += unpacker.decompress(rest, most + 1 - len(content))
        except zlib.error as error:
            raise FormatError(f"{what}: the answer is not valid gzip ({error})") from None
        if len(content) > most:
            raise FormatError(f"{what}: the answer has more than {most // 1024:,} KiB, the most that is read here")
        rest = unpacker.unused_data
        if not unpacker.eof or not rest:
            break
    if not unpacker.eof or rest:
        raise FormatError(f"{what}: the answer's gzip is cut off, or followed by something else")
    return content


def beginning(data: bytes | bytearray, most: int) -> bytes:
    """The beginning of compressed data that may be cut off: at most ``most`` bytes, empty if the data is damaged."""
    try:
        return zlib.decompressobj(_WINDOW).decompress(bytes(data), most)
    except zlib.error:
        return b""
