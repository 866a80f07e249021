"""Formats of output for people and for programs, conversions of dates, and the parsing of sizes."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any, Final

import click

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_UNITS: Final = "KMGTP"
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGTP]?)(?:i?B)?\Z", re.IGNORECASE)
# Control characters, which change what a terminal shows. Colours and styles (ESC [ … m) are matched apart and kept.
_CONTROL = re.compile(r"(\x1b\[[0-9;]*m)|[\x00-\x08\x0a-\x1f\x7f-\x9f]")


def printable(text: str) -> str:
    """Text with escaped control characters, so that no name in it can move the cursor, ring the bell or break the line."""
    return _CONTROL.sub(lambda match: match[1] or repr(match[0])[1:-1], text)


def parse_size(text: str) -> int:
    """Parse a size such as ``1000``, ``10K``, ``1.5M`` or ``2GiB`` into bytes; units are powers of 1024.

    Raises
    ------
    click.BadParameter
        The text is not a size.
    """
    match = _SIZE.match(text.strip())
    if match is None:
        raise click.BadParameter(f"{text!r} is not a size; expected 1000, 10K, 1.5M or 2G")
    power = _UNITS.index(match[2].upper()) + 1 if match[2] else 0
    return int(float(match[1]) * 1024**power) if "." in match[1] else int(match[1]) * 1024**power


def local_time(when: datetime) -> datetime:
    """A date in the local time zone; a date without a time zone is taken as local.

    Windows knows no time zones before 1970 and after 3000, and no platform knows them beyond the years 1 and 9999. For such
    dates, the current standard time of the local zone is used; a date that this would move out of range is returned unchanged.
    """
    try:
        return when.astimezone()
    except (OSError, OverflowError, ValueError):
        zone = timezone(timedelta(seconds=-time.timezone))
    if when.tzinfo is None:
        return when.replace(tzinfo=zone)
    with suppress(OverflowError):
        return when.astimezone(zone)
    return when


def moment_at(seconds: float) -> datetime:
    """The date of a Unix time, also before 1970 and after 3000, where `datetime.fromtimestamp` fails on Windows."""
    return _EPOCH + timedelta(seconds=seconds)


def seconds_of(when: datetime) -> float:
    """The Unix time of a date; a date without a time zone is taken as local."""
    return (local_time(when) - _EPOCH).total_seconds()


def moment(when: datetime) -> str:
    """A date and time of day in the local time zone: ``2026-11-24 23:08``."""
    return local_time(when).replace(tzinfo=None).isoformat(sep=" ", timespec="minutes")


def columns(rows: Iterable[Sequence[str]], right: Iterable[int] = ()) -> Iterator[str]:
    """Lines of aligned columns, two blanks apart."""
    found = [[str(cell) for cell in row] for row in rows]
    count = max(map(len, found), default=0)
    widths = [max((len(click.unstyle(row[at])) for row in found if at < len(row)), default=0) for at in range(count)]
    to_right = set(right)
    for row in found:
        cells = []
        for at, cell in enumerate(row):
            blanks = " " * (widths[at] - len(click.unstyle(cell)))
            cells.append(blanks + cell if at in to_right else cell + blanks)
        yield "  ".join(cells).rstrip()


def as_json(value: Any) -> str:
    """A value as JSON on one line, with dates in ISO 8601 and sets as lists.

    Characters beyond ASCII are escaped unless standard output has a Unicode encoding: what a stream writes in place of
    characters that its encoding lacks would not be valid JSON.
    """
    encoding = getattr(sys.stdout, "encoding", None) or "ascii"
    return json.dumps(value, default=_jsonable, ensure_ascii=not encoding.lower().startswith("utf"))


def _jsonable(value: object) -> object:
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")
