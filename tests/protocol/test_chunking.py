"""Chunk boundaries and byte grouping against reference values, through all kernels."""

from __future__ import annotations

import array
import random
import struct
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.kernels import KERNELS, needs_c
from support.vectors import CASES, NAMES, XET_CORE, content

from pyxet.protocol import kernels
from pyxet.protocol.chunking import Chunker, chunk_ends
from pyxet.protocol.constants import GEAR_MASK, GEAR_TABLE, MAX_CHUNK, MIN_CHUNK
from pyxet.protocol.hashing import chunk_hashes, file_hash, hash_to_hex, xorb_hash
from pyxet.protocol.kernels import Kernel, load

_TABLE = struct.unpack("<256Q", GEAR_TABLE)
# More than a block of the C kernel, of which each stream takes a third.
BLOCK = 3 * 128 * 1024


def by_definition(data: bytes) -> list[int]:
    """Chunk ends byte by byte, the hash begun anew in each chunk, as the specification words it."""
    ends = []
    value = start = 0
    for index, byte in enumerate(data):
        value = ((value << 1) + _TABLE[byte]) & 0xFFFF_FFFF_FFFF_FFFF
        size = index + 1 - start
        if size >= MIN_CHUNK and (size == MAX_CHUNK or not value & GEAR_MASK):
            ends.append(index + 1)
            value, start = 0, index + 1
    return ends if start == len(data) else [*ends, len(data)]


def triggering(zeros: int) -> bytes:
    """A content with a boundary in each repetition of a pattern, see ``xet_core_vectors.json``."""
    data = bytes.fromhex(XET_CORE["boundaries"]["pattern"]) + bytes(zeros)
    while len(data) < 65536:
        data += data[: 65536 - len(data)]
    return data


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


@pytest.mark.parametrize("kernel", KERNELS)
def test_boundaries_of_xet_core(kernel: Kernel) -> None:
    for zeros, (sample, ends) in enumerate(
        zip(XET_CORE["boundaries"]["sample"], XET_CORE["boundaries"]["ends"], strict=True)
    ):
        data = triggering(zeros)
        assert data[11_111] == sample
        assert chunk_ends(data, kernel) == ends
    assert chunk_ends(bytes([59]) * 1_000_000, kernel) == [*range(131_072, 1_000_000, 131_072), 1_000_000]


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("kind", ["random", "text", "dense"])
def test_by_definition(kind: str, kernel: Kernel) -> None:
    size = BLOCK + 20_000
    data = (triggering(7) * (size // 65536 + 1))[:size] if kind == "dense" else content(kind, 8, size)
    assert chunk_ends(data, kernel) == by_definition(data)


@given(
    st.integers(0, 2**32), st.lists(st.integers(0, 300_000), max_size=8), st.sampled_from(["random", "zeros", "dense"])
)
@settings(max_examples=40, deadline=None)
def test_any_pieces_give_the_same_chunks(seed: int, sizes: list[int], kind: str) -> None:
    source = random.Random(seed)
    length = sum(sizes) + source.randrange(100)
    make: dict[str, Callable[[int], bytes]] = {
        "random": source.randbytes,
        "zeros": bytes,
        "dense": lambda n: (triggering(seed % 128) * 40)[:n],
    }
    data = make[kind](length)
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


@pytest.mark.parametrize("kernel", KERNELS)
def test_byte_by_byte(kernel: Kernel) -> None:
    data = random.Random(6).randbytes(150_000) if kernel == "c" else triggering(3)[:20_000]
    chunker = Chunker(kernel)
    ends = [end for index in range(len(data)) for end in chunker.feed(data[index : index + 1])]
    assert [*ends, chunker.finish()] == chunk_ends(data)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("length", [0, 1, MIN_CHUNK - 1, MIN_CHUNK, MAX_CHUNK - 1, MAX_CHUNK, MAX_CHUNK + 1, BLOCK])
def test_lengths_at_the_edges(length: int, kernel: Kernel) -> None:
    expected = [*range(MAX_CHUNK, length, MAX_CHUNK), *([length] if length else [])]
    assert chunk_ends(bytes(length), kernel) == expected
    chunker = Chunker(kernel)
    assert chunker.feed(b"") == []
    assert chunker.feed(bytes(length)) == [end for end in expected if end % MAX_CHUNK == 0]
    assert chunker.feed(b"") == []
    assert chunker.finish() == (length if length % MAX_CHUNK else None)


@pytest.mark.parametrize("kernel", KERNELS)
def test_what_is_no_buffer(kernel: Kernel) -> None:
    module = load(kernel)
    chunker = Chunker(kernel)
    data = content("random", 3, 70_000)
    ends = chunker.feed(data[:40_000])
    strided = memoryview(data)[::2]
    functions: list[Callable[..., object]] = [chunker.feed, module.bg4_split, module.bg4_join]
    for function in functions:
        with pytest.raises((BufferError, ValueError)):
            function(strided)
        with pytest.raises(TypeError):
            function("text")
    # The refused pieces left no trace, and wider items count in bytes.
    ends += chunker.feed(memoryview(array.array("I", data[40_000:])))
    assert [*ends, chunker.finish()] == chunk_ends(data)


@needs_c
@pytest.mark.parametrize(
    "wrong",
    [{"table": b""}, {"table": GEAR_TABLE + b"x"}, {"min_chunk": 63}, {"max_chunk": 100}, {"size": -1}, {"size": MAX_CHUNK + 1}],
    ids=str,
)  # fmt: skip
def test_the_c_kernel_refuses_what_would_overflow(wrong: dict[str, Any]) -> None:
    arguments = {
        "table": GEAR_TABLE,
        "mask": GEAR_MASK,
        "min_chunk": MIN_CHUNK,
        "max_chunk": MAX_CHUNK,
        "hash": 0,
        "size": 0,
    }
    with pytest.raises(ValueError, match="out of range"):
        load("c").scan(b"data", *(arguments | wrong).values())


@needs_c
def test_the_c_kernel_survives_a_boundary_at_every_byte() -> None:
    ends, _, left = load("c").scan(bytes(BLOCK + 1000), GEAR_TABLE, 0, 64, 128, 0, 0)
    assert ends == list(range(64, BLOCK + 1000, 64))
    assert left == (BLOCK + 1000) % 64


@given(st.binary(max_size=5000))
@settings(max_examples=60)
def test_byte_grouping(data: bytes) -> None:
    grouped = b"".join(data[lane::4] for lane in range(4))
    for kernel in KERNELS:
        module = load(kernel)
        for make in (bytes, bytearray, memoryview):
            assert module.bg4_split(make(data)) == grouped
            assert module.bg4_join(make(grouped)) == data


@needs_c
def test_the_c_kernel_is_chosen() -> None:
    assert kernels.name == "c", "it could not be built"


def test_without_a_compiler_numpy_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_c_kernel(name: str) -> ModuleType:
        raise ImportError(name)

    monkeypatch.setattr(kernels.importlib, "import_module", no_c_kernel)
    assert kernels._choose() == "numpy"


def test_group_sizes_of_the_internet_draft() -> None:
    for kernel in KERNELS:
        assert load(kernel).bg4_split(bytes(range(10))) == bytes([0, 4, 8, 1, 5, 9, 2, 6, 3, 7])
