"""Known chunks, runs, and the fragmentation rule."""

from __future__ import annotations

from pyxet.protocol.dedup import MIN_AVERAGE_RUN, FileAssembler, Place, Places
from pyxet.protocol.hashing import chunk_hash, file_hash, term_hash
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


def test_short_runs_are_refused_only_in_a_fragmented_file() -> None:
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
