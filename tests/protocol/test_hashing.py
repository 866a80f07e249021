"""Hashes and their strings against published figures and against the definition."""

from __future__ import annotations

import random
from typing import Any

import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st
from support.vectors import XET_CORE

from pyxet.errors import FormatError
from pyxet.protocol.constants import INTERNAL_NODE_KEY
from pyxet.protocol.hashing import (
    ZERO_HASH,
    FileHasher,
    Hash,
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

Nodes = list[tuple[Hash, int]]
HASH = st.binary(min_size=32, max_size=32)


def by_definition(nodes: Nodes) -> Hash:
    """The Merkle root, level by level over the whole list, as the specification words it."""
    while len(nodes) > 1:
        parents = []
        while nodes:
            cut = len(nodes[:9])
            for index in range(2, cut):
                if int.from_bytes(nodes[index][0][24:32], "little") % 4 == 0:
                    cut = index + 1
                    break
            lines = "".join(f"{hash_to_hex(value)} : {size}\n" for value, size in nodes[:cut])
            parents.append((blake3(lines.encode(), key=INTERNAL_NODE_KEY).digest(), sum(s for _, s in nodes[:cut])))
            nodes = nodes[cut:]
        nodes = parents
    return nodes[0][0] if nodes else ZERO_HASH


def test_internet_draft() -> None:
    """The test vectors of the Internet-Draft, in both of the forms it gives."""
    value = chunk_hash(b"Hello World!")
    assert value.hex() == "a29cfb08e608d4d8726dd8659a90b9134b3240d5d8e42d5fcb28e2a6e763a3e8"
    assert hash_to_hex(value) == "d8d408e608fb9ca213b9909a65d86d725f2de4d8d540324be8a363e7a6e228cb"
    assert hash_to_hex(bytes(range(32))) == "07060504030201000f0e0d0c0b0a090817161514131211101f1e1d1c1b1a1918"
    one = hash_from_hex("c28f58387a60d4aa200c311cda7c7f77f686614864f5869eadebf765d0a14a69")
    two = hash_from_hex("6e4e3263e073ce2c0e78cc770c361e2778db3b054b98ab65e277fc084fa70f22")
    assert one.hex() == "aad4607a38588fc2777f7cda1c310c209e86f564486186f6694aa1d065f7ebad"
    assert two.hex() == "2cce73e063324e6e271e360c77cc780e65ab984b053bdb78220fa74f08fc77e2"
    root = "be64c7003ccd3cf4357364750e04c9592b3c36705dee76a71590c011766b6c14"
    assert hash_to_hex(xorb_hash([(one, 100), (two, 200)])) == root
    assert hash_to_hex(term_hash([one, two])) == "eb06a8ad81d588ac05d1d9a079232d9c1e7d0b07232fa58091caa7bf333a2768"


@pytest.mark.parametrize("case", XET_CORE["merkle"], ids=lambda case: str(len(case["nodes"])))
def test_merkle_roots_of_xet_core(case: dict[str, Any]) -> None:
    nodes = [(hash_from_hex(XET_CORE["hashes"][index]), length) for index, length in case["nodes"]]
    root = xorb_hash(nodes)
    assert hash_to_hex(root) == case["root"]
    assert by_definition(nodes) == root
    for key, value in case["keyed"]:
        if key == hash_to_hex(ZERO_HASH):
            assert hash_to_hex(file_hash(nodes)) == value
        elif nodes:
            assert hash_to_hex(keyed_chunk_hash(hash_from_hex(key), root)) == value


# Hashes that cut early, late and never decide the shape of the tree, so they come often.
NODES = st.lists(st.tuples(st.integers(0, 2**32), st.sampled_from([None, 0, 1]), st.integers(1, 2**17)), max_size=400)


@given(NODES, st.lists(st.integers(1, 120), min_size=1, max_size=20))
@settings(deadline=None, max_examples=60)
def test_a_file_hash_does_not_depend_on_how_chunks_arrive(
    drawn: list[tuple[int, int | None, int]], steps: list[int]
) -> None:
    nodes: Nodes = []
    for seed, last, length in drawn:
        value = bytearray(random.Random(seed).randbytes(32))
        if last is not None:
            value[24] = last
        nodes.append((bytes(value), length))
    hasher = FileHasher()
    at = count = 0
    while at < len(nodes):
        hasher.update(nodes[at : at + steps[count % len(steps)]])
        at, count = at + steps[count % len(steps)], count + 1
        hasher.digest()  # looking early changes nothing
    expected = blake3(by_definition(nodes), key=bytes(32)).digest() if nodes else ZERO_HASH
    assert hasher.digest() == file_hash(nodes) == expected


@pytest.mark.parametrize("last", [None, 0, 1])
def test_every_count_of_chunks(last: int | None) -> None:
    """One by one up to several levels: as many nodes left over at each level as there can be, one and two among them."""
    source = random.Random(5)
    hasher = FileHasher()
    nodes: Nodes = []
    for count in range(1, 420):
        value = source.randbytes(24) + (source.randbytes(1) if last is None else bytes([last])) + source.randbytes(7)
        nodes.append((value, count))
        hasher.update(nodes[-1:])
        if count < 100 or count % 7 == 0:
            assert hasher.digest() == blake3(by_definition(nodes), key=bytes(32)).digest(), count


def test_a_long_file_keeps_little_state() -> None:
    source = random.Random(1)
    hasher = FileHasher()
    chunks = [(source.randbytes(32), 65536) for _ in range(20_000)]
    for at in range(0, len(chunks), 1000):
        hasher.update(chunks[at : at + 1000])
    assert sum(len(level) for level in hasher._levels) < 300
    assert hasher.digest() == file_hash(chunks)


def test_small_trees() -> None:
    value = chunk_hash(b"x")
    assert xorb_hash([(value, 1)]) == value, "one chunk is its own root"
    assert xorb_hash([]) == file_hash([]) == ZERO_HASH, "an empty file's hash is 64 zeros"
    assert file_hash([(value, 1)]) == blake3(value, key=bytes(32)).digest()


def test_hashes_of_a_run() -> None:
    data = random.Random(2).randbytes(1000)
    expected = [chunk_hash(data[:10]), chunk_hash(data[10:500]), chunk_hash(data[500:900])]
    for buffer in (data, bytearray(data), memoryview(data)):
        assert chunk_hashes(buffer, [10, 500, 900]) == expected
    assert chunk_hashes(b"", []) == []


@given(HASH, HASH)
def test_keyed_hashes(key: bytes, value: bytes) -> None:
    assert keyed_chunk_hash(bytes(32), value) == value
    if key != bytes(32):
        assert keyed_chunk_hash(key, value) == blake3(value, key=key).digest()


@given(st.binary(min_size=24, max_size=24), st.integers(0, 2**54 - 1), st.integers(0, 1023))
def test_eligible_chunks(start: bytes, high: int, low: int) -> None:
    assert is_eligible(start + (high * 1024 + low).to_bytes(8, "little")) == (low == 0)


@given(HASH)
def test_hash_strings(value: bytes) -> None:
    text = hash_to_hex(value)
    assert hash_from_hex(text) == hash_from_hex(text.upper()) == value
    assert [int(text[at : at + 16], 16) for at in range(0, 64, 16)] == [
        int.from_bytes(value[at : at + 8], "little") for at in range(0, 32, 8)
    ]


@pytest.mark.parametrize("text", ["", "00", "g" * 64, "0" * 63, "0" * 65, "é" * 64, "0 " * 32, " " + "0" * 63, "0x" + "0" * 62, "٠" * 64])  # fmt: skip
def test_bad_hash_strings(text: str) -> None:
    with pytest.raises(FormatError, match="64 hex digits"):
        hash_from_hex(text)


@given(st.text("0123456789abcdefF gx٠é", min_size=62, max_size=66))
@settings(max_examples=60)
def test_any_text_is_a_hash_or_a_typed_error(text: str) -> None:
    try:
        value = hash_from_hex(text)
    except FormatError:
        assert len(text) != 64 or any(digit not in "0123456789abcdefF" for digit in text)
    else:
        assert hash_to_hex(value) == text.lower()
