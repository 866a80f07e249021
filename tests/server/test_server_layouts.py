"""What the endpoint keeps of files and xorbs for the next plans is bounded."""

from __future__ import annotations

import sys

from pyxet.protocol.shard import FileEntry, Term
from pyxet.protocol.xorb import XorbChunk, XorbInfo
from pyxet.server.layouts import Layouts


def hash_of(number: int) -> bytes:
    return number.to_bytes(32, "little")


def test_terms_of_files_are_kept_as_there_is_room() -> None:
    """The index may have forgotten a file long ago: then its terms are in memory for this alone."""

    def never(value: bytes) -> XorbInfo:
        raise AssertionError(value)

    layouts = Layouts(never)
    entries = [FileEntry(hash_of(number), (Term(hash_of(0), 0, 1, 10),) * 1000, (), None) for number in range(200)]
    free = sys.getrefcount(entries[0].terms)
    for entry in entries:
        assert layouts.of_file(entry)[-1] == 10_000
    kept = [entry for entry in entries if sys.getrefcount(entry.terms) > free]
    assert kept == entries[-len(kept) :]
    assert 0 < sum(len(entry.terms) for entry in kept) <= 64 * 1024


def test_tiny_xorbs_are_kept_as_there_is_room() -> None:
    """A xorb of one chunk takes ten times what its one number does."""
    asked: list[bytes] = []

    def stored(value: bytes) -> XorbInfo:
        asked.append(value)
        return XorbInfo(value, (XorbChunk(value, 10, 18),), 18)

    layouts = Layouts(stored)
    for number in [*range(40_000), 39_999, 0]:
        assert layouts.of_xorb(hash_of(number)) == [10]
    assert asked == [hash_of(number) for number in [*range(40_000), 0]]
