"""Content for files: the same for the same seed in one test, and like nothing else."""

from __future__ import annotations

import os
import random
import sys

BINARY = b"\xff\x00binary"
"""A few bytes that are no text."""


def content(seed: int, size: int = 3000) -> bytes:
    """Bytes in which nothing can be compressed and nothing recurs, and which no other test has.

    Tests share endpoints. What one of them stored, another would find there, and send and fetch less: how many requests it makes
    would depend on which tests ran before. So content belongs to the test that runs, with its fixtures; outside of tests, as for a
    constant, to the module that asks for it.
    """
    test, _, _ = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" ")
    owner = test or sys._getframe(1).f_globals["__name__"]
    return random.Random(f"{owner} {seed}").randbytes(size)


def texts(seed: int, size: int) -> bytes:
    """Content that compresses."""
    source = random.Random(seed)
    return b"".join(b"%d,%d,alpha\n" % (number, source.randrange(1000)) for number in range(size // 10))[:size]
