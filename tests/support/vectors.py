"""The reference values in ``vectors/`` and the content from which they were made."""

from __future__ import annotations

import json
import random
import struct
import tracemalloc
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from pyxet.errors import FormatError

_FOLDER = Path(__file__).parents[1] / "vectors"
CASES: list[dict[str, Any]] = json.loads((_FOLDER / "xet_vectors.json").read_text())
XET_CORE: dict[str, Any] = json.loads((_FOLDER / "xet_core_vectors.json").read_text())
NAMES = [f"{case['generator']}-{case['length']}" for case in CASES]
_WORDS = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta"]


@cache
def content(generator: str, seed: int, length: int) -> bytes:
    """The bytes that ``vectors/README.md`` describes."""
    source = random.Random(seed)
    if generator == "random":
        return source.randbytes(length)
    if generator == "zeros":
        return bytes(length)
    if generator == "float32":
        return struct.pack(f"<{-(-length // 4)}f", *(source.gauss(0, 0.02) for _ in range(-(-length // 4))))[:length]
    if generator == "repeat":
        block = source.randbytes(200_000)
        return (block * (length // len(block) + 1))[:length]
    assert generator == "text"
    rows = bytearray()
    while len(rows) < length:
        rows += f"{source.randrange(10**6)},{_WORDS[source.randrange(8)]},{source.random():.6f}\n".encode()
    return bytes(rows[:length])


def refuse(parse: Callable[[], object]) -> tuple[FormatError, int]:
    """Call a parser that must raise `FormatError`; return the error and the peak of its memory, in bytes."""
    tracemalloc.start()
    try:
        parse()
    except FormatError as error:
        return error, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    raise AssertionError("it was accepted")
