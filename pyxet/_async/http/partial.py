"""Finds the requested bytes in the body of an answer, which may be one part, several parts, or the whole resource."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from pyxet._async.http.messages import check_encoding
from pyxet.errors import FormatError, IntegrityError
from pyxet.protocol.byteranges import ContentRange, PartsReader, boundary_of


class RangeReader(Protocol):
    """Takes a range out of a body while it arrives."""

    @property
    def is_complete(self) -> bool:
        """Whether the rest of the body is of no interest."""

    def take(self, data: bytes) -> Sequence[bytes]:
        """Take the next bytes of the body; returns those that belong to the range."""


class PlainReader:
    """Takes ``size`` bytes out of a body, after ``skip`` others."""

    __slots__ = ("_left", "_skip")

    def __init__(self, skip: int, size: int) -> None:
        self._skip = skip
        self._left = size

    @property
    def is_complete(self) -> bool:
        """Whether all of them have come."""
        return not self._left

    def takes_all(self, length: int | None) -> bool:
        """Whether a body of this length is just the range, with nothing before or after it."""
        return not self._skip and self._left == length

    def take(self, data: bytes) -> Sequence[bytes]:
        """Take the next bytes of the body; returns those that belong to the range."""
        piece = data[self._skip : self._skip + self._left] if self._skip or len(data) > self._left else data
        self._skip = max(0, self._skip - len(data))
        self._left -= len(piece)
        return (piece,) if piece else ()


def reader_of(
    status: int, headers: Mapping[str, str], at: int, end: int, *, total: int | None, what: str
) -> RangeReader:  # fmt: skip
    """Choose what takes bytes ``at`` to before ``end`` of a resource out of an answer, which may be the whole resource.

    Raises
    ------
    FormatError
        The answer is not the range that was asked for.
    IntegrityError
        ``total`` is given, and the answer says that the resource has another number of bytes.
    """
    if "Content-Encoding" in headers:
        check_encoding(headers, what)
    if status == 206:
        kind = headers.get("Content-Type", "")
        boundary = boundary_of(kind, what=what) if "multipart" in kind.lower() else None
        if boundary is not None:
            return PartsReader(boundary, at, end, total=total, what=what)
        part = ContentRange.parse(headers.get("Content-Range", ""), total=total, what=what)
        if part.start != at:
            raise FormatError(f"{what}: the answer starts at byte {part.start:,}; {at:,} was asked for")
        return PlainReader(0, end - at)
    length = headers.get("Content-Length")
    if length is not None and int(length) == end - at:
        return PlainReader(0, end - at)
    if length is not None and total is not None and int(length) != total:
        raise IntegrityError(f"{what}: it has {int(length):,} bytes, {total:,} were expected")
    return PlainReader(at, end - at)
