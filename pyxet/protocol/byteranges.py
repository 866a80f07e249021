"""Ranges in answers (RFC 9110, section 14): ``Content-Range``, and bodies of the type ``multipart/byteranges``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from pyxet.errors import FormatError, IntegrityError

# Maximum bytes before the content of a part: a boundary and header fields, after a preamble before the first part.
_MAX_HEAD: Final = 8 * 1024
# Maximum parts of an answer. One range was requested: a server may answer in blocks, but not in parts of a few bytes.
_MAX_PARTS: Final = 1000
# No file has a size of more than 19 digits.
_CONTENT_RANGE = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(\d{1,19}|\*)\Z", re.ASCII | re.IGNORECASE)
_TYPE = re.compile(r"\s*multipart/byteranges\s*(?:;|\Z)", re.ASCII | re.IGNORECASE)
_BOUNDARY = re.compile(r';\s*boundary=(?:"([^"\\]*)"|([^\s;"]*))\s*(?=;|\Z)', re.ASCII | re.IGNORECASE)
# RFC 2046, section 5.1.1.
_GOOD_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]", re.ASCII)
# Codings that leave the bytes of a part as they are in the resource.
_PLAIN: Final = frozenset({"identity", "binary", "8bit", "7bit"})


@dataclass(frozen=True, slots=True)
class ContentRange:
    """The content of a ``Content-Range``: bytes ``start`` to before ``end`` of a resource; ``total`` bytes if that is known."""

    start: int
    end: int
    total: int | None

    @classmethod
    def parse(cls, text: str, *, total: int | None, what: str) -> ContentRange:
        """Parse the value of a ``Content-Range`` header.

        Parameters
        ----------
        total:
            Bytes that the resource is expected to have, if that is known.
        what:
            What is being done, for error messages.

        Raises
        ------
        FormatError
            The value is not a range of bytes.
        IntegrityError
            The resource has another length.
        """
        match = _CONTENT_RANGE.match(text)
        if match is None or int(match[2]) < int(match[1]):
            raise FormatError(f"{what}: the answer is a part, and its Content-Range {text[:100]!r} does not say which")
        found = cls(int(match[1]), int(match[2]) + 1, None if match[3] == "*" else int(match[3]))
        if total is not None and found.total is not None and found.total != total:
            raise IntegrityError(f"{what}: it has {found.total:,} bytes, {total:,} were expected")
        return found


def boundary_of(content_type: str, *, what: str) -> bytes | None:
    """The boundary of a body that is ``multipart/byteranges``; ``None`` for another type.

    Raises
    ------
    FormatError
        The type has no boundary, several, or an invalid one.
    """
    if not _TYPE.match(content_type):
        return None
    found: list[str] = [quoted or plain for quoted, plain in _BOUNDARY.findall(content_type)]
    if len(found) != 1 or not _GOOD_BOUNDARY.fullmatch(found[0]):
        raise FormatError(f"{what}: the answer is in parts, and its type {content_type[:120]!r} has no valid boundary")
    return found[0].encode("ascii")


class PartsReader:
    """Reads one range of bytes out of a ``multipart/byteranges`` body while it arrives.

    Together, the parts have to be exactly the requested range, in order and without gaps. Content is passed on as it
    arrives; only the head of a part is ever kept.

    Parameters
    ----------
    boundary:
        The boundary in the answer's ``Content-Type``.
    start, end:
        The requested range: ``start`` to before ``end``.
    total:
        Bytes that the resource is expected to have, if that is known.
    what:
        What is being done, for error messages.

    Attributes
    ----------
    is_complete:
        Whether the last boundary has arrived. The rest of the body is ignored.
    """

    def __init__(self, boundary: bytes, start: int, end: int, *, total: int | None, what: str) -> None:
        self.is_complete = False
        self._delimiter = b"\r\n--" + boundary
        self._at = start
        self._end = end
        self._total = total
        # Length of the resource according to an earlier part.
        self._told: int | None = None
        self._what = what
        self._parts = 0
        # Bytes of the present part that have not arrived.
        self._left = 0
        # The first delimiter lacks its line break if it is at the very beginning of the body, so one is put before the body.
        self._head = bytearray(b"\r\n")

    def take(self, data: bytes) -> list[bytes]:
        """The content in the next bytes of the body, in pieces.

        Raises
        ------
        FormatError
            The body is not the requested range in parts.
        IntegrityError
            A part says that the resource does not have ``total`` bytes.
        """
        found = []
        at = 0
        while at < len(data) and not self.is_complete:
            if self._left:
                piece = data[at : at + self._left]
                self._left -= len(piece)
                at += len(piece)
                found.append(piece)
            else:
                at = self._read_head(data, at)
        return found

    def _read_head(self, data: bytes, at: int) -> int:
        """Read what precedes the next content, and return the offset in ``data`` at which that ends."""
        head = self._head
        known = len(head)
        head += data[at : at + _MAX_HEAD - known]
        size = self._head_size(head)
        if size is None:
            if len(head) >= _MAX_HEAD:
                raise self._error(f"part {self._parts + 1:,} has not begun after {_MAX_HEAD:,} bytes")
            return len(data)
        head.clear()
        return at + size - known

    def _head_size(self, head: bytearray) -> int | None:
        """Bytes up to the next content, or to the end of the last boundary; ``None`` as long as some are missing."""
        delimiter = self._delimiter
        if not self._parts:
            # Anything may stand before the first delimiter.
            begin = head.find(delimiter)
            if begin < 0:
                return None
        elif not head.startswith(delimiter[: len(head)]):
            raise self._error(f"part {self._parts:,} is longer than its Content-Range says")
        else:
            begin = 0
        after = begin + len(delimiter)
        if len(head) < after + 2:
            return None
        if head.startswith(b"--", after):
            if self._at != self._end:
                raise self._error(f"they end {self._end - self._at:,} bytes before what was asked for")
            self.is_complete = True
            return after + 2
        end = head.find(b"\r\n\r\n", after)
        if end < 0:
            return None
        self._begin_part(bytes(head[after:end]))
        return end + 4

    def _begin_part(self, head: bytes) -> None:
        """Begin a part. ``head`` is the rest of the line of its boundary, and its header fields."""
        self._parts += 1
        if self._parts > _MAX_PARTS:
            raise self._error(f"there are more than {_MAX_PARTS:,}")
        padding, *lines = head.decode("latin-1").split("\r\n")
        if padding.strip(" \t"):
            raise self._error(f"{padding[:80]!r} follows a boundary")
        fields: dict[str, str] = {}
        for line in lines:
            name, colon, value = line.partition(":")
            if not colon or fields.setdefault(name.lower(), value.strip(" \t")) != value.strip(" \t"):
                raise self._error(f"part {self._parts:,} has the header {line[:80]!r}")
        for name in ("content-encoding", "content-transfer-encoding"):
            coding = fields.get(name, "identity")
            if coding.lower() not in _PLAIN:
                raise self._error(f"part {self._parts:,} is encoded ({coding[:40]!r}), which was not asked for")
        part = ContentRange.parse(fields.get("content-range", ""), total=self._total, what=self._what)
        if part.start != self._at or part.end > self._end:
            asked = (
                f"{self._at:,} to {self._end - 1:,} were expected" if self._at < self._end else "no more were expected"
            )
            raise self._error(f"part {self._parts:,} has the bytes {part.start:,} to {part.end - 1:,}, {asked}")
        self._told = part.total if self._told is None else self._told
        if part.total not in (None, self._told):
            raise self._error(f"part {self._parts:,} is of {part.total:,} bytes, one before it of {self._told:,}")
        self._left = part.end - part.start
        self._at = part.end

    def _error(self, reason: str) -> FormatError:
        return FormatError(f"{self._what}: the answer's parts are not valid: {reason}")
