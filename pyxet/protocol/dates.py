"""Dates and times in the form in which the Hub writes them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from pyxet.errors import FormatError

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST: Final = datetime.min.replace(tzinfo=UTC)
_LAST: Final = datetime.max.replace(microsecond=0, tzinfo=UTC)


def parse_date(text: str) -> datetime:
    """Parse a date and time of the Hub. Raises `FormatError` if the text is none."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise FormatError(f"{text[:80]!r} is not a date") from error
    # Python cannot compare a time without a time zone with one that has a time zone.
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def from_seconds(seconds: float) -> datetime:
    """The date and time of a Unix time in seconds, or the first or last that `datetime` can express if that is beyond them.

    Git commits may have any number as their time, and on Windows `datetime.fromtimestamp` refuses times before 1970.
    """
    try:
        return _EPOCH + timedelta(seconds=seconds)
    except OverflowError:
        return _FIRST if seconds < 0 else _LAST


def format_date(seconds: float) -> str:
    """Write a Unix time in seconds as the Hub does. Clients require the ``Z``."""
    return from_seconds(seconds).replace(microsecond=0, tzinfo=None).isoformat() + ".000Z"
