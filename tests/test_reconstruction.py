"""Plans, trimming and coalescing."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyxet.errors import FormatError
from pyxet.protocol.hashing import hash_to_hex
from pyxet.protocol.messages import (
    ReconstructionV1,
    ReconstructionV2,
    WireFetchRange,
    WireFetchV1,
    WireFetchV2,
    WireRange,
    WireTerm,
)
from pyxet.protocol.reconstruction import coalesce_ranges, fetch_runs, plan_from_v1, plan_from_v2, trim_terms
from pyxet.protocol.shard import Term

A, B = b"a" * 32, b"b" * 32
LENGTHS = {A: [10, 20, 30, 40], B: [5, 5, 5]}
TERMS = [Term(A, 1, 4, 90), Term(B, 0, 3, 15), Term(A, 0, 2, 30)]
SOURCE = random.Random(1)
CHUNKS = {value: [SOURCE.randbytes(length) for length in lengths] for value, lengths in LENGTHS.items()}


def decoded(terms: list[Term]) -> bytes:
    """What the terms decode to."""
    pieces = [b"".join(CHUNKS[term.xorb_hash][term.chunk_start : term.chunk_end]) for term in terms]
    assert [len(piece) for piece in pieces] == [term.raw_length for term in terms]
    return b"".join(pieces)


CONTENT = decoded(TERMS)


@given(st.integers(0, 134), st.integers(1, 135))
def test_trimming_keeps_just_the_chunks_of_the_range(start: int, length: int) -> None:
    end = min(start + length, 135)
    skip, terms = trim_terms(TERMS, LENGTHS, start, end)
    content = decoded(terms)[skip:]
    assert content[: end - start] == CONTENT[start:end]
    # Nothing more than whole chunks: what is over lies in the first and the last one.
    assert skip < 40
    assert len(content) - (end - start) < 40
    assert skip < terms[0].raw_length


def test_runs_of_a_xorb_are_fetched_once() -> None:
    assert fetch_runs(TERMS) == {A: [(0, 4)], B: [(0, 3)]}
    assert fetch_runs([Term(A, 0, 1, 1), Term(A, 2, 3, 1)]) == {A: [(0, 1), (2, 3)]}


def wire(
    skip: int = 3, start: int = 1, end: int = 3, length: int = 50, byte_end: int = 99
) -> tuple[ReconstructionV1, ReconstructionV2]:
    name = hash_to_hex(A)
    term = WireTerm(hash=name, unpacked_length=length, range=WireRange(start=start, end=end))
    chunks, span = WireRange(start=1, end=3), WireRange(start=10, end=byte_end)
    return (
        ReconstructionV1(
            offset_into_first_range=skip,
            terms=[term],
            fetch_info={name: [WireFetchV1(range=chunks, url="u", url_range=span)]},
        ),
        ReconstructionV2(
            offset_into_first_range=skip,
            terms=[term],
            xorbs={name: [WireFetchV2(url="u", ranges=[WireFetchRange(chunks=chunks, bytes=span)])]},
        ),
    )


def test_both_versions_give_the_same_plan() -> None:
    v1, v2 = wire()
    plan = plan_from_v1(v1)
    assert plan == plan_from_v2(v2)
    assert plan.skip == 3
    assert plan.raw_length == 50
    assert (plan.terms[0].fetch.byte_start, plan.terms[0].fetch.byte_end) == (10, 100)


@pytest.mark.parametrize(
    "wrong",
    [{"skip": 50}, {"skip": -1}, {"start": 0}, {"end": 4}, {"start": 3}, {"length": 0}, {"length": 3 * 2**20}, {"byte_end": 9_999_999_999}, {"byte_end": 5}],
)  # fmt: skip
def test_plans_that_make_no_sense(wrong: dict[str, int]) -> None:
    v1, v2 = wire(**wrong)
    with pytest.raises(FormatError, match="reconstruction"):
        plan_from_v1(v1)
    with pytest.raises(FormatError, match="reconstruction"):
        plan_from_v2(v2)


@pytest.mark.parametrize(
    ("ranges", "expected"),
    [
        ([], []),
        ([(5, 5)], []),
        ([(0, 10), (20, 30)], [(0, 10), (20, 30)]),
        ([(20, 30), (0, 10), (12, 18)], [(0, 30)]),
        ([(0, 10), (2, 5)], [(0, 10)]),
        ([(0, 90), (91, 120)], [(0, 90), (91, 120)]),
        ([(0, 500), (100, 200), (501, 510)], [(0, 500), (501, 510)]),
    ],
)
def test_coalescing(ranges: list[tuple[int, int]], expected: list[tuple[int, int]]) -> None:
    found = coalesce_ranges(ranges, max_gap=3, max_size=100)
    assert [(item.start, item.end) for item in found] == expected
    assert sorted(index for item in found for index in item.members) == [i for i, (a, b) in enumerate(ranges) if a < b]
