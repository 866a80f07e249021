"""Moments of commits, which may be any number of seconds before or after 1970, on every platform."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from support.clocks import clock_of_windows

from pyxet.protocol.dates import format_date, from_seconds, parse_date


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (-1, "1969-12-31T23:59:59.000Z"),
        (1.75, "1970-01-01T00:00:01.000Z"),
        (2**31, "2038-01-19T03:14:08.000Z"),
        (-(2**31) - 1, "1901-12-13T20:45:51.000Z"),
        (40_000_000_000, "3237-07-19T23:06:40.000Z"),
        (-62_000_000_000, "0005-04-19T09:46:40.000Z"),
        (2**63 - 1, "9999-12-31T23:59:59.000Z"),
        (-(2**63), "0001-01-01T00:00:00.000Z"),
    ],
)
def test_any_number_of_seconds(monkeypatch: pytest.MonkeyPatch, seconds: float, text: str) -> None:
    with clock_of_windows(monkeypatch):
        assert format_date(seconds) == text
        assert from_seconds(seconds).tzinfo is UTC
    assert parse_date(text) == datetime.fromisoformat(text)
