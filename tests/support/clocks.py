"""The limits of dates on Windows, whose C library supports no times before 1970 or after the year 3000."""

from __future__ import annotations

import contextlib
import errno
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

import pytest

_FIRST = datetime(1970, 1, 1, tzinfo=UTC)
# About a day before the end of the supported range.
_LAST = datetime(3000, 12, 31, tzinfo=UTC)


class _Windows(datetime):
    """A `datetime` whose methods that use the C library fail as on Windows."""

    @classmethod
    def fromtimestamp(cls, timestamp: float, tz: tzinfo | None = None) -> Any:
        if not 0 <= timestamp <= (_LAST - _FIRST).total_seconds():
            raise OSError(errno.EINVAL, "Invalid argument")
        return super().fromtimestamp(timestamp, tz)

    def astimezone(self, tz: tzinfo | None = None) -> Any:
        if tz is None or self.tzinfo is None:
            moment = self if self.tzinfo else self.replace(tzinfo=UTC)
            if not _FIRST + timedelta(days=1) <= moment <= _LAST:
                raise OSError(errno.EINVAL, "Invalid argument")
        return super().astimezone(tz)

    def timestamp(self) -> float:
        if self.tzinfo is None and not _FIRST.replace(tzinfo=None) <= self <= _LAST.replace(tzinfo=None):
            raise OSError(errno.EINVAL, "Invalid argument")
        return super().timestamp()


@contextlib.contextmanager
def clock_of_windows(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[datetime]]:
    """Replace `datetime` in all loaded modules of pyxet by one with the limits of Windows; yields that class."""
    with monkeypatch.context() as patching:
        for name, module in list(sys.modules.items()):
            if name.startswith("pyxet.") and getattr(module, "datetime", None) is datetime:
                patching.setattr(module, "datetime", _Windows)
        yield _Windows
