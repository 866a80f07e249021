"""Known chunks, runs, and the fragmentation rule."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyxet.protocol import dedup
from pyxet.protocol.dedup import MIN_AVERAGE_RUN, FileAssembler, Place, Places
from pyxet.protocol.hashing import chunk_hash, file_hash, keyed_chunk_hash, term_hash
from pyxet.protocol.shard import Footer, ShardChunk, XorbEntry, parse_shard, write_dedup_shard

HASHES = [chunk_hash(bytes([number])) for number in range(40)]
XORB = XorbEntry(b"x" * 32, tuple(ShardChunk(value, 100) for value in HASHES))


def test_runs_are_found_under_a_key() -> None:
    places = Places()
    shard = parse_shard(write_dedup_shard([XORB], Footer(b"k" * 32)))
    assert all(chunk.hash not in HASHES for chunk in shard.xorbs[0].chunks)
    places.add_shard(shard)
    run = places.find_run([*HASHES[5:20], b"?" * 32, HASHES[0]], 0)
    assert [place.chunk for place in run] == list(range(5, 20))
    assert {places.hash_of(place.xorb) for place in run} == {XORB.xorb_hash}
    assert places.find_run([HASHES[3], HASHES[5]], 0) == [places.find(HASHES[3])]
    assert places.find(b"?" * 32) is None


def test_an_open_xorb_gets_its_hash_later() -> None:
    places = Places()
    number = places.open_xorb()
    assembler = FileAssembler()
    for index, value in enumerate(HASHES[:3]):
        places.add(value, Place(number, index))
        assembler.add(value, 10, Place(number, index))
    assembler.add(HASHES[0], 10, places.find(HASHES[0]) or Place(0, 0))
    places.seal(number, b"s" * 32)
    entry = assembler.entry(places, "ab" * 32)
    assert [(term.xorb_hash, term.chunk_start, term.chunk_end, term.raw_length) for term in entry.terms] == [
        (b"s" * 32, 0, 3, 30), (b"s" * 32, 0, 1, 10),
    ]  # fmt: skip
    assert entry.verification == (term_hash(HASHES[:3]), term_hash(HASHES[:1]))
    assert entry.file_hash == file_hash([(value, 10) for value in [*HASHES[:3], HASHES[0]]])
    assert entry.size == 40
    assert assembler.entry(places, None).verification == entry.verification


def test_short_runs_are_refused_where_a_file_falls_apart() -> None:
    fragmented, whole = FileAssembler(), FileAssembler()
    for number in range(100):
        fragmented.add(HASHES[0], 1, Place(number, 0))
        for index in range(20):
            whole.add(HASHES[0], 1, Place(number, index))
    short = [Place(7, 3)]
    assert whole.takes(short)
    assert not fragmented.takes(short)
    assert fragmented.takes([Place(99, 1)]), "it continues the last term"
    assert fragmented.takes([Place(7, index) for index in range(MIN_AVERAGE_RUN)])
    assert FileAssembler().takes(short), "a short file may be put together as it likes"
    # An even beginning is no licence for fragments at the end.
    refused = 0
    for number in range(200, 400):
        refused += not whole.takes([Place(number, 5)])
        whole.add(HASHES[0], 1, Place(number, 5))
    assert refused > 100


@given(st.lists(st.integers(1, 5), min_size=100, max_size=200))
@settings(max_examples=30, deadline=None)
def test_terms_stay_long_on_average(lengths: list[int]) -> None:
    """A file made of known runs of any lengths, far apart: what is refused is stored again, chunk by chunk."""
    assembler = FileAssembler()
    new = 0
    for number, length in enumerate(lengths):
        run = [Place(1000 + number, index) for index in range(length)]
        while run:
            if assembler.takes(run):
                for place in run:
                    assembler.add(HASHES[0], 1, place)
                break
            assembler.add(HASHES[0], 1, Place(0, new))
            new, run = new + 1, run[1:]
    assert assembler.size == sum(lengths)
    terms = [run.end - run.start for run in assembler._runs]
    # Of two terms in a row at most one is new chunks; the other was taken because the 32 before it were long enough.
    for at in range(33, len(terms)):
        assert max(sum(terms[at - 32 : at]), sum(terms[at - 33 : at - 1])) >= 32 * MIN_AVERAGE_RUN


def test_a_chunk_that_is_stored_again_is_found_in_its_new_place() -> None:
    places = Places()
    old, new = places.open_xorb(), places.open_xorb()
    for index, value in enumerate(HASHES[:10]):
        places.add(value, Place(old, index * 2))
    assert len(places.find_run(HASHES, 0)) == 1
    for index, value in enumerate(HASHES[:10]):
        places.add(value, Place(new, index))
    assert places.find_run(HASHES, 0) == [Place(new, index) for index in range(10)]


def test_what_was_missed_is_found_once_a_shard_brings_it() -> None:
    places = Places()
    for key in (b"k" * 32, b"k" * 32, b"l" * 32, bytes(32)):
        places = Places() if key == bytes(32) else places
        value = HASHES[7] if key == bytes(32) else chunk_hash(key + bytes([len(places._keyed)]))
        assert places.find(value) is None
        assert places.find(value) is None
        places.add_shard(parse_shard(write_dedup_shard([XorbEntry(b"y" * 32, (ShardChunk(value, 5),))], Footer(key))))
        place = places.find(value)
        assert place is not None
        assert places.hash_of(place.xorb) == b"y" * 32


def test_looking_again_costs_no_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    places = Places()
    for number in range(20):
        places.add_shard(parse_shard(write_dedup_shard([XORB], Footer(bytes([number + 1]) * 32))))
    hashed = []
    monkeypatch.setattr(
        dedup, "keyed_chunk_hash", lambda key, value: hashed.append(value) or keyed_chunk_hash(key, value)
    )
    for _ in range(3):
        assert places.find(b"?" * 32) is None
        assert places.find(HASHES[0]) is not None
    assert len(hashed) <= 40
    places.add(b"?" * 32, Place(5, 5))
    assert places.find(b"?" * 32) == (5, 5)


def test_an_open_xorb_has_no_hash() -> None:
    places = Places()
    number = places.open_xorb()
    assembler = FileAssembler()
    assembler.add(HASHES[0], 3, Place(number, 0))
    with pytest.raises(KeyError):
        assembler.entry(places, None)
    assert FileAssembler().entry(places, None).terms == ()
    assert FileAssembler().file_hash() == bytes(32)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 30), st.integers(1, 100)), max_size=40))
def test_an_entry_says_what_was_added(chunks: list[tuple[int, int, int]]) -> None:
    """Terms cover the chunks in order, as few as there can be, each with the verification hash of its chunks."""
    places = Places()
    numbers = [places.open_xorb() for _ in range(4)]
    for number in numbers:
        places.seal(number, bytes([number]) * 32)
    assembler = FileAssembler()
    for xorb, index, length in chunks:
        assembler.add(HASHES[index], length, Place(numbers[xorb], index))
    entry = assembler.entry(places, None)
    listed = [(term.xorb_hash, index) for term in entry.terms for index in range(term.chunk_start, term.chunk_end)]
    assert listed == [(bytes([numbers[xorb]]) * 32, index) for xorb, index, _ in chunks]
    assert entry.size == assembler.size == sum(length for _, _, length in chunks)
    assert assembler.terms == len(entry.terms)
    at = 0
    for before, after in pairwise(entry.terms):
        assert (before.xorb_hash, before.chunk_end) != (after.xorb_hash, after.chunk_start)
    for term, verification in zip(entry.terms, entry.verification, strict=True):
        run = chunks[at : at + term.chunk_end - term.chunk_start]
        assert verification == term_hash(HASHES[index] for _, index, _ in run)
        assert term.raw_length == sum(length for _, _, length in run)
        at += len(run)
