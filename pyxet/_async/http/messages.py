"""Contents of requests and answers, without any HTTP library."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from functools import cached_property
from typing import Any, Final

from pyxet.errors import (
    ConnectionFailedError,
    FormatError,
    RateLimitedError,
    RemoteError,
    RequestTimeoutError,
    ServerError,
)
from pyxet.protocol.rate_limit import RateLimit

SLICE: Final = 1024 * 1024
# The endpoint asks for fewer requests: it is busy as a whole.
OVERLOADED: Final = frozenset({429, 503, 504})
# The most characters of an explanation that go into a message.
_MAX_DETAIL: Final = 1000
# The endpoint is busy with this resource at the moment.
_BUSY: Final = frozenset({408, 423, 425})


@dataclass(frozen=True)
class Body:
    """The body of a request: slices in order, kept so that a retry can send them again.

    Without a content type, that header is not sent: storage signs the headers that it expects, and accepts no others.
    """

    slices: Sequence[bytes | bytearray | memoryview]
    content_type: str | None = "application/octet-stream"

    @cached_property
    def size(self) -> int:
        """Bytes in all."""
        return sum(len(piece) for piece in self.slices)

    @classmethod
    def json(cls, message: Any) -> Body:
        """A message as JSON."""
        from pyxet.protocol.messages import encode

        return cls((encode(message),), "application/json")


# A query of a URL.
Query = Mapping[str, str] | Sequence[tuple[str, str]]


@dataclass(slots=True)
class Request:
    """What is asked for, as it stays through redirects and retries; see `Transport.request`."""

    method: str
    url: str
    what: str
    bearer: str | None = None
    params: Query | None = None
    headers: Mapping[str, str] | None = None
    body: Body | None = None
    redirect: bool = False


@dataclass(frozen=True)
class Answer:
    """A whole answer; header names compare without case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


def sliced(pieces: Iterable[bytes | bytearray | memoryview], largest: int = SLICE) -> Iterator[bytes | memoryview]:
    """Cut or join pieces to slices of at most ``largest`` bytes, as sending each slice has a cost of its own."""
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


def check_encoding(headers: Mapping[str, str], what: str) -> None:
    """Refuse a compressed body: none was asked for, and its uncompressed size is not known."""
    encoding = headers.get("Content-Encoding", "identity")
    if encoding != "identity":
        raise FormatError(f"{what}: the answer is encoded ({encoding[:40]}), which was not asked for")


@dataclass(slots=True)
class SpeedCheck:
    """Notices a body that arrives too slowly: with less than the least speed over a span of waiting.

    Only time in which somebody waits for the body counts: the endpoint is not blamed for a slow reader.

    Attributes
    ----------
    least:
        Bytes per second.
    span:
        Seconds of waiting over which the speed is measured.
    """

    least: float
    span: float
    _moved: int = field(default=0, init=False)
    _waited: float = field(default=0.0, init=False)

    def note(self, moved: int, waited: float) -> None:
        """Note bytes that arrived and the seconds of waiting for them. Raises `TimeoutError` if that is too slow by now."""
        self._moved += moved
        self._waited += waited
        if self._waited < self.span:
            return
        moved, self._moved = self._moved, 0
        waited, self._waited = self._waited, 0.0
        if moved < self.least * waited:
            raise TimeoutError(f"{moved:,} bytes came in {waited:.0f} s, fewer than {self.least:,.0f} bytes a second")


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
    text = "; ".join(text for text in texts if isinstance(text, str) and text)
    if len(text) > _MAX_DETAIL:
        text = f"{text[:_MAX_DETAIL]}…"
    return text or None


def retry_after(text: str | None) -> float | None:
    """Seconds of a ``Retry-After`` header, given as seconds or as a date."""
    if not text or not text.isascii():
        return None
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(text).timestamp() - time.time()
        except (ValueError, OverflowError):
            # It is neither, or a date that does not exist.
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None


def rate_limit(headers: Mapping[str, str]) -> RateLimit | None:
    """The quota of requests that an answer tells."""
    return RateLimit.parse(headers.get("RateLimit"), headers.get("RateLimit-Policy"))


def is_quota(status: int, headers: Mapping[str, str]) -> bool:
    """Whether a request was refused only because a quota is used up."""
    limit = rate_limit(headers) if status == 429 and "Retry-After" not in headers else None
    return limit is not None and limit.remaining == 0


def wait_of(status: int, headers: Mapping[str, str]) -> float | None:
    """Seconds after which an answer asks for the next try: by ``Retry-After``, or because a quota is used up until then."""
    if not is_quota(status, headers):
        return retry_after(headers.get("Retry-After"))
    limit = rate_limit(headers)
    # The number is of whole seconds: 0 means less than one.
    return max(1.0, limit.reset) if limit is not None else None


def is_transient(error: BaseException) -> bool:
    """Whether another try may help."""
    if isinstance(error, ServerError):
        return error.status not in (501, 505, 507)
    if isinstance(error, RemoteError):
        return is_busy(error)
    return isinstance(error, (ConnectionFailedError, RequestTimeoutError))


def is_busy(error: RemoteError) -> bool:
    """Whether the endpoint was too busy for a request. A conflict (409) counts only if the answer says when to try again."""
    busy = error.status in _BUSY or (error.status == 409 and error.retry_after is not None)
    return isinstance(error, RateLimitedError) or busy


def never(error: BaseException) -> bool:
    """The answer for requests that are never repeated."""
    return False
