"""Plans, trimming and coalescing."""

from __future__ import annotations

import random
from itertools import accumulate, pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyxet.errors import FormatError
from pyxet.protocol.cas_messages import (
    ReconstructionV1,
    ReconstructionV2,
    WireFetchRange,
    WireFetchV1,
    WireFetchV2,
    WireRange,
    WireTerm,
)
from pyxet.protocol.hashing import hash_to_hex
from pyxet.protocol.reconstruction import coalesce_ranges, fetch_runs, plan_from_v1, plan_from_v2, trim_terms
from pyxet.protocol.shard import Term
from pyxet.secrets import Secret

A, B = b"a" * 32, b"b" * 32
LENGTHS = {A: [10, 20, 30, 40], B: [5, 5, 5]}
TERMS = [Term(A, 1, 4, 90), Term(B, 0, 3, 15), Term(A, 0, 2, 30)]
TERM_ENDS = list(accumulate(term.raw_length for term in TERMS))
CHUNK_ENDS = {value: list(accumulate(lengths)) for value, lengths in LENGTHS.items()}
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
    skip, terms = trim_terms(TERMS, TERM_ENDS, CHUNK_ENDS.__getitem__, start, end)
    content = decoded(terms)[skip:]
    assert content[: end - start] == CONTENT[start:end]
    # Nothing more than whole chunks: what is over lies in the first and the last one.
    assert skip < LENGTHS[terms[0].xorb_hash][terms[0].chunk_start]
    assert len(content) - (end - start) < LENGTHS[terms[-1].xorb_hash][terms[-1].chunk_end - 1]


class Looked(list[int]):
    """Numbers that count how often one of them is looked at."""

    looks = 0

    def __getitem__(self, index: Any) -> Any:
        self.looks += 1
        return super().__getitem__(index)


def test_a_range_of_a_large_file_is_searched_for_and_not_walked_to() -> None:
    values = [number.to_bytes(32, "big") for number in range(1000)]
    terms = [Term(value, 0, 8000, 8_000_000) for value in values]
    term_ends = Looked(accumulate(term.raw_length for term in terms))
    chunks = Looked(accumulate([1000] * 8000))
    asked = []

    def chunk_ends(value: bytes) -> Looked:
        asked.append(value)
        return chunks

    at = 999 * 8_000_000 + 7_654_321
    skip, found = trim_terms(terms, term_ends, chunk_ends, at, at + 4096)
    assert (skip, found) == (321, [Term(values[999], 7654, 7659, 5000)])
    assert asked == [values[999]]
    assert term_ends.looks + chunks.looks < 60


def test_runs_of_a_xorb_are_fetched_once() -> None:
    assert fetch_runs(TERMS) == {A: [(0, 4)], B: [(0, 3)]}
    assert fetch_runs([Term(A, 0, 1, 1), Term(A, 2, 3, 1)]) == {A: [(0, 1), (2, 3)]}


def wire(
    skip: int = 3, start: int = 1, end: int = 3, length: int = 50, byte_end: int = 99, name: str = hash_to_hex(A)
) -> tuple[ReconstructionV1, ReconstructionV2]:
    term = WireTerm(hash=name, unpacked_length=length, range=WireRange(start=start, end=end))
    chunks, span = WireRange(start=1, end=3), WireRange(start=10, end=byte_end)
    return (
        ReconstructionV1(
            offset_into_first_range=skip,
            terms=[term],
            fetch_info={name: [WireFetchV1(range=chunks, url=Secret("u"), url_range=span)]},
        ),
        ReconstructionV2(
            offset_into_first_range=skip,
            terms=[term],
            xorbs={name: [WireFetchV2(url=Secret("u"), ranges=[WireFetchRange(chunks=chunks, bytes=span)])]},
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
    [
        {"skip": 50}, {"skip": -1}, {"start": 0}, {"end": 4}, {"start": 3}, {"start": -1}, {"end": 8193},
        {"length": 0}, {"length": -1}, {"length": 3 * 2**20}, {"length": 2 * 2**17 + 1},
        {"byte_end": 9_999_999_999}, {"byte_end": 5}, {"byte_end": 25}, {"byte_end": 300_000}, {"name": "x"}, {"name": "0" * 63 + "g"},
    ],
    ids=str,
)  # fmt: skip
def test_plans_that_make_no_sense(wrong: dict[str, Any]) -> None:
    v1, v2 = wire(**wrong)
    with pytest.raises(FormatError, match=r"reconstruction|64 hex digits"):
        plan_from_v1(v1)
    with pytest.raises(FormatError, match=r"reconstruction|64 hex digits"):
        plan_from_v2(v2)


def test_fetches_that_make_no_sense() -> None:
    for chunks in ((3, 3), (3, 1), (-1, 3), (0, 8193)):
        _, v2 = wire()
        v2.xorbs[hash_to_hex(A)][0].ranges[0].chunks = WireRange(start=chunks[0], end=chunks[1])
        with pytest.raises(FormatError, match="are not a range"):
            plan_from_v2(v2)


def test_plans_without_a_url_and_without_terms() -> None:
    v1, v2 = wire()
    v1.fetch_info, v2.xorbs = {}, {hash_to_hex(A): []}
    with pytest.raises(FormatError, match="no URL for chunks 1 to 3"):
        plan_from_v1(v1)
    with pytest.raises(FormatError, match="no URL for chunks 1 to 3"):
        plan_from_v2(v2)
    assert plan_from_v1(ReconstructionV1(offset_into_first_range=0, terms=[], fetch_info={})).terms == ()
    with pytest.raises(FormatError, match="outside the first term"):
        plan_from_v1(ReconstructionV1(offset_into_first_range=1, terms=[], fetch_info={}))


@given(
    st.lists(st.tuples(st.integers(0, 20), st.integers(1, 8)), max_size=12),
    st.lists(st.tuples(st.integers(0, 20), st.integers(1, 8)), min_size=1, max_size=6),
    st.integers(1, 3),
)
def test_each_term_finds_a_fetch_that_holds_it(
    fetches: list[tuple[int, int]], terms: list[tuple[int, int]], urls: int
) -> None:
    """Whatever the order and overlap of the fetches, and of the URLs they are spread over."""
    name = hash_to_hex(A)
    ranges = [
        WireFetchRange(chunks=WireRange(start=start, end=start + count), bytes=WireRange(start=0, end=20 * count))
        for start, count in fetches
    ]
    message = ReconstructionV2(
        offset_into_first_range=0,
        terms=[WireTerm(hash=name, unpacked_length=5, range=WireRange(start=s, end=s + n)) for s, n in terms],
        xorbs={name: [WireFetchV2(url=Secret(f"u{index}"), ranges=ranges[index::urls]) for index in range(urls)]},
    )
    if any(not any(s <= start and start + n <= s + count for s, count in fetches) for start, n in terms):
        with pytest.raises(FormatError, match="no URL"):
            plan_from_v2(message)
        return
    plan = plan_from_v2(message)
    for part, (start, count) in zip(plan.terms, terms, strict=True):
        fetch = part.fetch
        assert fetch.chunk_start <= start
        assert start + count <= fetch.chunk_end
        assert (fetch.chunk_start, fetch.chunk_end - fetch.chunk_start) in fetches[int(fetch.url.reveal()[1:]) :: urls]


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


RANGE = st.tuples(st.integers(0, 300), st.integers(0, 60)).map(lambda pair: (pair[0], pair[0] + pair[1]))


@given(st.lists(RANGE, max_size=12), st.integers(0, 20), st.integers(1, 150))
def test_coalesced_ranges_hold_what_was_asked_for(ranges: list[tuple[int, int]], gap: int, size: int) -> None:
    found = coalesce_ranges(ranges, max_gap=gap, max_size=size)
    members = [index for item in found for index in item.members]
    assert sorted(members) == [index for index, (start, end) in enumerate(ranges) if start < end]
    for item in found:
        spans = [ranges[index] for index in item.members]
        assert item.start == min(start for start, _ in spans)
        assert item.end == max(end for _, end in spans)
        assert item.end - item.start <= max(size, *(end - start for start, end in spans))
    for before, after in pairwise(found):
        assert before.start <= after.start


@given(st.lists(st.tuples(st.sampled_from([A, B]), st.integers(0, 30), st.integers(1, 9)), max_size=12))
def test_fetch_runs_are_apart_and_hold_all_terms(drawn: list[tuple[bytes, int, int]]) -> None:
    terms = [Term(value, start, start + count, count) for value, start, count in drawn]
    runs = fetch_runs(terms)
    for term in terms:
        assert any(start <= term.chunk_start and term.chunk_end <= end for start, end in runs[term.xorb_hash])
    for value, found in runs.items():
        covered = {index for t in terms if t.xorb_hash == value for index in range(t.chunk_start, t.chunk_end)}
        assert {index for start, end in found for index in range(start, end)} == covered
        assert all(before[1] < after[0] for before, after in pairwise(found))
