"""Content for files: within a test it depends only on the seed; in other tests it is different."""

from __future__ import annotations

import os
import random
import sys

BINARY = b"\xff\x00binary"
"""A few bytes that are not text."""


def content(seed: int, size: int = 3000) -> bytes:
    """Random bytes that cannot be compressed or deduplicated, different in each test.

    Tests share endpoints. If two tests had the same content, the second would send and fetch less, and its number of requests
    would depend on the tests before it. So the content depends on the running test (its fixtures included), or, outside of
    tests, for example for a constant, on the calling module.
    """
    test, _, _ = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" ")
    owner = test or sys._getframe(1).f_globals["__name__"]
    return random.Random(f"{owner} {seed}").randbytes(size)


class Large(bytes):
    """Content that is shown by its size. Hypothesis keeps what it shows of each step, which took gigabytes."""

    def __repr__(self) -> str:
        return f"Large({len(self):,} bytes)"


def texts(seed: int, size: int) -> bytes:
    """Content that compresses."""
    source = random.Random(seed)
    return b"".join(b"%d,%d,alpha\n" % (number, source.randrange(1000)) for number in range(size // 10))[:size]
