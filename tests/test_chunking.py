"""Chunk boundaries and hashes against the reference values, through both kernels."""

from __future__ import annotations

import random
from typing import Any

import pytest
from _vectors import CASES, NAMES, content
from hypothesis import given, settings
from hypothesis import strategies as st

from pyxet.errors import FormatError
from pyxet.protocol.chunking import Chunker, chunk_ends
from pyxet.protocol.constants import MAX_CHUNK, MIN_CHUNK
from pyxet.protocol.hashing import (
    FileHasher,
    chunk_hash,
    chunk_hashes,
    file_hash,
    hash_from_hex,
    hash_to_hex,
    is_eligible,
    keyed_chunk_hash,
    term_hash,
    xorb_hash,
)
from pyxet.protocol.kernels import Kernel, load

KERNELS: list[Kernel] = ["c", "numpy"]


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_vectors(case: dict[str, Any], kernel: Kernel) -> None:
    data = content(case["generator"], case["seed"], case["length"])
    ends = chunk_ends(data, kernel)
    hashes = chunk_hashes(data, ends)
    lengths = [end - start for start, end in zip([0, *ends], ends, strict=False)]
    assert [[hash_to_hex(value), length] for value, length in zip(hashes, lengths, strict=True)] == case["chunks"]
    chunks = list(zip(hashes, lengths, strict=True))
    assert hash_to_hex(file_hash(chunks)) == case["file_hash"]
    if len(case["xorbs"]) == 1 and case["generator"] not in ("zeros", "repeat"):  # those hold each chunk once
        assert hash_to_hex(xorb_hash(chunks)) == case["xorbs"][0]


@given(
    st.integers(0, 2**32), st.lists(st.integers(1, 300_000), max_size=8), st.sampled_from(["random", "zeros", "low"])
)
@settings(max_examples=40, deadline=None)
def test_any_pieces_give_the_same_chunks(seed: int, sizes: list[int], kind: str) -> None:
    source = random.Random(seed)
    length = sum(sizes) + source.randrange(100)
    data = {"random": source.randbytes, "zeros": bytes, "low": lambda n: bytes(source.choices(b"ab", k=n))}[kind](
        length
    )
    whole = chunk_ends(data)
    for kernel in KERNELS:
        chunker = Chunker(kernel)
        ends: list[int] = []
        at = 0
        for size in [*sizes, length]:
            ends += chunker.feed(memoryview(data)[at : at + size])
            at += size
        last = chunker.finish()
        assert [*ends, *([last] if last else [])] == whole
    assert all(MIN_CHUNK <= end - start <= MAX_CHUNK for start, end in zip([0, *whole], whole[:-1], strict=False))


def test_byte_by_byte() -> None:
    data = random.Random(6).randbytes(400_000)
    chunker = Chunker()
    ends = [end for index in range(len(data)) for end in chunker.feed(data[index : index + 1])]
    assert [*ends, chunker.finish()] == chunk_ends(data)


@given(st.binary(max_size=5000))
def test_byte_grouping(data: bytes) -> None:
    c, fallback = load("c"), load("numpy")
    grouped = b"".join(data[lane::4] for lane in range(4))
    for kernel in (c, fallback):
        assert kernel.bg4_split(data) == grouped
        assert kernel.bg4_join(grouped) == data


@given(st.lists(st.tuples(st.binary(min_size=32, max_size=32), st.integers(1, 2**17)), max_size=300), st.data())
@settings(deadline=None)
def test_a_file_hash_does_not_depend_on_how_chunks_arrive(chunks: list[tuple[bytes, int]], data: st.DataObject) -> None:
    hasher = FileHasher()
    at = 0
    while at < len(chunks):
        step = data.draw(st.integers(1, 120))
        hasher.update(chunks[at : at + step])
        at += step
    # The definition: the Merkle root of all chunks at once, hashed once more with a key of zeros.
    from blake3 import blake3

    expected = blake3(xorb_hash(chunks), key=bytes(32)).digest() if chunks else bytes(32)
    assert hasher.digest() == expected


def test_a_long_file_keeps_little_state() -> None:
    source = random.Random(1)
    hasher = FileHasher()
    chunks = [(source.randbytes(32), 65536) for _ in range(50_000)]
    for at in range(0, len(chunks), 1000):
        hasher.update(chunks[at : at + 1000])
    assert sum(len(level) for level in hasher._levels) < 300
    assert hasher.digest() == file_hash(chunks)


def test_published_values() -> None:
    """The test vectors of the Internet-Draft."""
    assert (
        hash_to_hex(chunk_hash(b"Hello World!")) == "d8d408e608fb9ca213b9909a65d86d725f2de4d8d540324be8a363e7a6e228cb"
    )
    assert hash_to_hex(bytes(range(32))) == "07060504030201000f0e0d0c0b0a090817161514131211101f1e1d1c1b1a1918"
    one = hash_from_hex("c28f58387a60d4aa200c311cda7c7f77f686614864f5869eadebf765d0a14a69")
    two = hash_from_hex("6e4e3263e073ce2c0e78cc770c361e2778db3b054b98ab65e277fc084fa70f22")
    assert hash_to_hex(xorb_hash([(one, 100), (two, 200)])) == (
        "be64c7003ccd3cf4357364750e04c9592b3c36705dee76a71590c011766b6c14"
    )
    assert hash_to_hex(term_hash([one, two])) == "eb06a8ad81d588ac05d1d9a079232d9c1e7d0b07232fa58091caa7bf333a2768"


def test_keyed_hashes_and_eligibility() -> None:
    value = chunk_hash(b"x")
    assert keyed_chunk_hash(bytes(32), value) == value
    assert keyed_chunk_hash(b"k" * 32, value) != value
    assert is_eligible(bytes(24) + (1024 * 7).to_bytes(8, "little"))
    assert not is_eligible(bytes(24) + (1024 * 7 + 1).to_bytes(8, "little"))


@pytest.mark.parametrize("text", ["", "00", "g" * 64, "0" * 63, "0" * 65, "é" * 64])
def test_bad_hash_strings(text: str) -> None:
    with pytest.raises(FormatError, match="64 hex digits"):
        hash_from_hex(text)
