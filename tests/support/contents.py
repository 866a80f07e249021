"""Content for files: the same for the same seed, and like nothing else."""

from __future__ import annotations

import random

BINARY = b"\xff\x00binary"
"""A few bytes that are no text."""


def content(seed: int, size: int = 3000) -> bytes:
    """Bytes in which nothing can be compressed and nothing recurs."""
    return random.Random(seed).randbytes(size)
