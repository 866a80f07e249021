"""The shard format: round trips of all forms, and bytes from strangers."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.formats import shard
from support.vectors import refuse

from pyxet.errors import FormatError
from pyxet.protocol.constants import MAX_SHARD_BYTES
from pyxet.protocol.hashing import keyed_chunk_hash
from pyxet.protocol.shard import (
    EMPTY_SHARD_SIZE,
    FileEntry,
    Footer,
    Shard,
    ShardChunk,
    Term,
    XorbEntry,
    file_entry_size,
    parse_shard,
    write_dedup_shard,
    write_upload_shard,
    xorb_entry_size,
)

HASH = st.binary(min_size=32, max_size=32).filter(lambda value: value != b"\xff" * 32)
TERM = st.builds(
    lambda value, start, count, length: Term(value, start, start + count, length),
    HASH, st.integers(0, 8092), st.integers(1, 100), st.integers(1, 2**17),
)  # fmt: skip
FILE = st.lists(st.tuples(TERM, HASH), min_size=1, max_size=4).flatmap(
    lambda pairs: st.builds(
        FileEntry,
        HASH,
        st.just(tuple(term for term, _ in pairs)),
        st.just(tuple(value for _, value in pairs)),
        st.none() | HASH.map(bytes.hex),
    )
)
XORB = st.builds(
    XorbEntry,
    HASH,
    st.lists(st.builds(ShardChunk, HASH, st.integers(1, 2**17)), max_size=6).map(tuple),
    st.integers(0, 2**26),
)
FILES, XORBS = st.lists(FILE, max_size=4).map(tuple), st.lists(XORB, max_size=4).map(tuple)


@given(FILES, XORBS)
@settings(max_examples=60)
def test_upload_form(files: tuple[FileEntry, ...], xorbs: tuple[XorbEntry, ...]) -> None:
    data = write_upload_shard(files, xorbs)
    assert data == shard(files, xorbs)
    assert parse_shard(data) == Shard(files, xorbs)
    expected = EMPTY_SHARD_SIZE + sum(file_entry_size(len(file.terms)) for file in files)
    expected += sum(xorb_entry_size(len(xorb.chunks)) for xorb in xorbs)
    assert len(data) == expected - 48 * sum(file.sha256 is None for file in files)


@given(FILES, XORBS, st.sampled_from([bytes(32), b"k" * 32]))
@settings(max_examples=60)
def test_stored_and_dedup_forms(files: tuple[FileEntry, ...], xorbs: tuple[XorbEntry, ...], key: bytes) -> None:
    footer = Footer(key, 1_700_000_000, 1_800_000_000)
    keyed = tuple(
        XorbEntry(
            xorb.xorb_hash,
            tuple(ShardChunk(keyed_chunk_hash(key, chunk.hash), chunk.raw_length) for chunk in xorb.chunks),
            xorb.stored_size,
        )
        for xorb in xorbs
    )
    for tables in (True, False):
        assert parse_shard(shard(files, xorbs, footer, tables=tables)) == Shard(files, keyed, footer)
    data = write_dedup_shard(xorbs, footer)
    assert data == shard((), xorbs, footer, tables=False)
    assert parse_shard(data) == Shard((), keyed, footer)
    # Other clients allocate by these words: with no tables all three offsets are the footer's own, all counts 0.
    at = len(data) - 200
    assert struct.unpack_from("<6Q", data, at + 24) == (at, 0, at, 0, at, 0)


FILES_1 = (FileEntry(b"f" * 32, (Term(b"x" * 32, 0, 2, 10),), (b"v" * 32,), "ab" * 32),)
XORBS_1 = (XorbEntry(b"x" * 32, (ShardChunk(b"a" * 32, 4), ShardChunk(b"b" * 32, 6))),)
UPLOAD = write_upload_shard(FILES_1, XORBS_1)
STORED = shard(FILES_1, XORBS_1, Footer(bytes(32), 1, 2))
TABLES = len(UPLOAD)


def patched(data: bytes, at: int, new: bytes) -> bytes:
    return data[:at] + new + data[at + len(new) :]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "header: cut off"),
        (patched(UPLOAD, 20, b"?"), "not a shard"),
        (patched(UPLOAD, 32, b"\x03"), "version 3"),
        (patched(UPLOAD, 40, b"\x07"), "footer of 7 bytes"),
        (UPLOAD[:100], "do not fit"),
        (UPLOAD[:-1], "cut off"),
        (UPLOAD + b"x", "1 bytes after its end"),
        (patched(UPLOAD, 48 + 36, b"\xff\xff\xff\xff"), "8,589,934,590 terms do not fit"),
        (patched(UPLOAD, 48 + 32, b"\x01"), "flags"),
        (patched(UPLOAD, 96 + 40, b"\x05"), "are not a valid range"),
        (patched(UPLOAD, 96 + 44, b"\x01\x20"), "chunks 0 to 8,193 of 10 bytes are not a valid range"),
        (patched(UPLOAD, 96 + 36, b"\x01\x00\x04"), "chunks 0 to 2 of 262,145 bytes are not a valid range"),
        (patched(UPLOAD, 96 + 36, bytes(4)), "0 bytes are not a valid range"),
        (patched(UPLOAD, 48 * 6 + 36, b"\xff\xff"), "chunks are too many"),
        (patched(UPLOAD, 48 * 6 + 40, b"\x0b"), "11 bytes announced"),
        (patched(UPLOAD, 48 * 8 + 32, b"\x05"), "starts at 5"),
        (patched(UPLOAD, 48 * 7 + 36, bytes(4)), "length of 0"),
        (patched(UPLOAD, 48 * 7 + 36, b"\x01\x00\x02"), "length of 131,073"),
        (patched(STORED, len(STORED) - 200, b"\x02"), "footer: version 2"),
        (patched(STORED, len(STORED) - 192, b"\x02"), "offsets"),
        (patched(STORED, len(STORED) - 8, bytes(8)), "offsets"),
        (patched(STORED, len(STORED) - 176, b"\x00"), "lies outside its place"),
        (patched(STORED, len(STORED) - 168, b"\xff\xff\xff"), "lies outside its place"),
        (patched(STORED, len(STORED) - 168, b"\xff" * 8), "lies outside its place"),
        (patched(STORED, len(STORED) - 136, b"\xff" * 8), "lies outside its place"),
        (patched(STORED, len(STORED) - 136, b"\x01"), "16 bytes belong to no lookup table"),
        (patched(STORED, TABLES, b"?"), "row of a lookup table does not match"),
        (patched(STORED, TABLES + 8, b"\x01"), "row of a lookup table does not match"),
        (patched(STORED, TABLES + 12 + 8, b"\x01"), "row of a lookup table does not match"),
        (patched(STORED, TABLES + 24 + 8, b"\x01"), "row of a lookup table does not match"),
        (patched(STORED, TABLES + 24 + 12, b"\x01"), "row of a lookup table does not match"),
        (
            patched(STORED, TABLES + 24, STORED[TABLES + 40 : TABLES + 56] + STORED[TABLES + 24 : TABLES + 40]),
            "does not match",
        ),
    ],
)
def test_bad_shards(data: bytes, message: str) -> None:
    error, memory = refuse(lambda: parse_shard(data))
    assert message in str(error)
    assert memory < 50_000, "nothing is made for what is only announced"


def test_sizes_of_a_shard() -> None:
    with pytest.raises(FormatError, match="more than a shard may have"):
        parse_shard(bytes(MAX_SHARD_BYTES + 201))
    file = FileEntry(b"f" * 32, (Term(b"x" * 32, 0, 1, 1),) * (MAX_SHARD_BYTES // 48), ())
    with pytest.raises(FormatError, match="more than the 64 MiB"):
        write_upload_shard([file], [])


def test_what_a_writer_refuses() -> None:
    term = Term(b"x" * 32, 0, 1, 1)
    with pytest.raises(FormatError, match="differ in number"):
        write_upload_shard([FileEntry(b"f" * 32, (term, term), (b"v" * 32,))], [])
    with pytest.raises(FormatError, match="64 hex digits"):
        write_upload_shard([FileEntry(b"f" * 32, (term,), (b"v" * 32,), "no hash")], [])


def test_flags_and_words_of_an_upload() -> None:
    """The facts of shards that hf-xet uploads: flags, no size on disk, eligible chunks marked, sha256 by words."""
    eligible = bytes(24) + (1024 * 5).to_bytes(8, "little")
    sha256 = bytes(range(32)).hex()
    entry = FileEntry(b"f" * 32, (Term(b"x" * 32, 0, 1, 9),), (b"v" * 32,), sha256)
    data = write_upload_shard([entry], [XorbEntry(b"x" * 32, (ShardChunk(eligible, 9),))])
    assert struct.unpack_from("<II", data, 48 + 32) == (0xC000_0000, 1)
    assert data[48 * 4 : 48 * 4 + 8] == bytes(range(8))[::-1]
    assert struct.unpack_from("<IIII", data, 48 * 6 + 32) == (0, 1, 9, 0)
    assert struct.unpack_from("<IIII", data, 48 * 7 + 32) == (0, 9, 0x8000_0000, 0)
    bucket = write_upload_shard([FileEntry(b"f" * 32, entry.terms, entry.verification)], [])
    assert struct.unpack_from("<I", bucket, 48 + 32) == (0x8000_0000,)


@given(st.sampled_from([UPLOAD, STORED]), st.data())
@settings(max_examples=200)
def test_mutations_give_a_typed_error_or_a_shard(data: bytes, draw: st.DataObject) -> None:
    mutated = bytearray(data)
    for _ in range(draw.draw(st.integers(1, 4))):
        at = draw.draw(st.integers(0, len(mutated) - 1))
        mutated[at] ^= 1 << draw.draw(st.integers(0, 7))
    del mutated[draw.draw(st.integers(len(data) // 2, len(data))) :]
    try:
        found = parse_shard(mutated)
    except FormatError:
        return
    # What parses says in other words what it is made of: writing it gives the same sections, flags aside.
    assert len(found.files) <= 1
    assert len(found.xorbs) <= 1
    assert parse_shard(write_upload_shard(found.files, found.xorbs)) == Shard(found.files, found.xorbs)
