"""Moments as the Hub writes them."""

from __future__ import annotations

from datetime import UTC, datetime

from pyxet.errors import FormatError


def parse_date(text: str) -> datetime:
    """A moment as the Hub writes it; `FormatError` if it is none."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise FormatError(f"{text[:80]!r} is not a date") from error
    # Moments are compared, and one without a time zone would compare with no other.
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
