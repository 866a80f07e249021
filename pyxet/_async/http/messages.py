"""What requests send and answers say, without any HTTP library."""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from functools import cached_property
from typing import Any, Final

from pyxet.errors import (
    ConnectionFailedError,
    FormatError,
    IntegrityError,
    RateLimitedError,
    RemoteError,
    RequestTimeoutError,
    ServerError,
)

SLICE: Final = 1024 * 1024
# "not so many": the endpoint is busy as a whole.
OVERLOADED: Final = frozenset({429, 503, 504})
# "not now": the endpoint is busy with this resource.
_BUSY: Final = frozenset({408, 423, 425})
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)\Z")


@dataclass(frozen=True)
class Body:
    """What a request sends: slices in order, kept so that a retry can send them again."""

    slices: Sequence[bytes | bytearray | memoryview]
    content_type: str = "application/octet-stream"

    @cached_property
    def size(self) -> int:
        """Bytes in all."""
        return sum(len(piece) for piece in self.slices)

    @classmethod
    def json(cls, message: Any) -> Body:
        """A message as JSON."""
        from pyxet.protocol.messages import encode

        return cls((encode(message),), "application/json")


@dataclass(frozen=True)
class Answer:
    """A whole answer; header names compare without case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


def sliced(pieces: Iterable[bytes | bytearray | memoryview], largest: int = SLICE) -> Iterator[bytes | memoryview]:
    """Pieces cut, or put together, to slices of ``largest`` bytes, at the most: each one sent has its price."""
    group: list[bytes | bytearray | memoryview] = []
    size = 0
    for piece in pieces:
        if group and size + len(piece) > largest:
            yield b"".join(group)
            group, size = [], 0
        if len(piece) >= largest // 2 and not group:
            view = memoryview(piece)
            yield from (view[at : at + largest] for at in range(0, len(view), largest))
        else:
            group.append(piece)
            size += len(piece)
    if group:
        yield b"".join(group)


def skipped(status: int, headers: Mapping[str, str], at: int, end: int, *, total: int | None, what: str) -> int:
    """Bytes of an answer's body that come before what was asked for: an endpoint may send the whole resource."""
    if headers.get("Content-Encoding", "identity") != "identity":
        raise FormatError(f"{what}: the answer is encoded, which was not asked for")
    if status == 206:
        match = _CONTENT_RANGE.match(headers.get("Content-Range", ""))
        if match is not None:
            if int(match[1]) != at:
                raise FormatError(f"{what}: byte {int(match[1]):,} came, {at:,} was asked for")
            if total is not None and match[3] != "*" and int(match[3]) != total:
                raise IntegrityError(f"{what}: it has {int(match[3]):,} bytes, {total:,} were expected")
        return 0
    length = headers.get("Content-Length")
    if length is not None and int(length) == end - at:
        return 0
    if length is not None and total is not None and int(length) != total:
        raise IntegrityError(f"{what}: it has {int(length):,} bytes, {total:,} were expected")
    return at


def detail_of(data: bytes | bytearray) -> str | None:
    """The explanation in an error's JSON: ``{"error": …}`` or ``{"errors": [{"message": …}, …]}``."""
    try:
        answer: Any = json.loads(data)
    except (ValueError, RecursionError):
        return None
    if not isinstance(answer, dict):
        return None
    several = answer.get("errors")
    found = [answer.get("error"), *(several if isinstance(several, list) else ())]
    texts = [item.get("message") if isinstance(item, dict) else item for item in found]
    return "; ".join(text for text in texts if isinstance(text, str) and text) or None


def retry_after(text: str | None) -> float | None:
    """Seconds of a ``Retry-After`` header, given as seconds or as a date."""
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(text).timestamp() - time.time()
        except ValueError:
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None


def is_transient(error: BaseException) -> bool:
    """Whether trying again may help."""
    if isinstance(error, ServerError):
        return error.status not in (501, 505, 507)
    if isinstance(error, RemoteError):
        return is_busy(error)
    return isinstance(error, (ConnectionFailedError, RequestTimeoutError))


def is_busy(error: RemoteError) -> bool:
    """Whether the endpoint had no time for a request. A conflict is for good, unless it says when to come back."""
    busy = error.status in _BUSY or (error.status == 409 and error.retry_after is not None)
    return isinstance(error, RateLimitedError) or busy


def never(error: BaseException) -> bool:
    """For requests that are sent once."""
    return False
