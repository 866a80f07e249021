"""Moments as the Hub writes them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from pyxet.errors import FormatError

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST: Final = datetime.min.replace(tzinfo=UTC)
_LAST: Final = datetime.max.replace(microsecond=0, tzinfo=UTC)


def parse_date(text: str) -> datetime:
    """A moment as the Hub writes it; `FormatError` if it is none."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise FormatError(f"{text[:80]!r} is not a date") from error
    # Moments are compared, and one without a time zone would compare with no other.
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def from_seconds(seconds: float) -> datetime:
    """The moment at a Unix time in seconds; beyond what `datetime` can express, the first or last moment that it can.

    Git commits may have any number as their time, and on Windows `datetime.fromtimestamp` refuses times before 1970.
    """
    try:
        return _EPOCH + timedelta(seconds=seconds)
    except OverflowError:
        return _FIRST if seconds < 0 else _LAST


def format_date(seconds: float) -> str:
    """A moment, in seconds after the beginning of 1970, as the Hub writes it; clients insist on the ``Z``."""
    return from_seconds(seconds).replace(microsecond=0, tzinfo=None).isoformat() + ".000Z"
