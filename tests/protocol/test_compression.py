"""Chunk payloads: the choice of a scheme, frames of other writers, and bytes from strangers, with all kernels."""

from __future__ import annotations

import random
from typing import Any

import lz4.frame
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.kernels import KERNELS
from support.vectors import CASES, NAMES, content, refuse

from pyxet.errors import FormatError
from pyxet.protocol import compression
from pyxet.protocol.chunking import chunk_ends
from pyxet.protocol.compression import (
    Compressed,
    Scheme,
    StreamCompressor,
    choose_scheme,
    compress,
    compress_as,
    decompress,
)
from pyxet.protocol.constants import MAX_CHUNK
from pyxet.protocol.hashing import Buffer
from pyxet.protocol.kernels import load


def kept(found: Compressed) -> tuple[Scheme, Buffer]:
    """How a chunk is stored: scheme and payload."""
    assert found.size == len(found.payload)
    return found.scheme, found.payload


@pytest.fixture(params=KERNELS)
def kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    module = load(request.param)
    monkeypatch.setattr(compression, "bg4_split", module.bg4_split)
    monkeypatch.setattr(compression, "bg4_join", module.bg4_join)
    return str(request.param)


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_vectors_come_back(case: dict[str, Any], kernel: str) -> None:
    data = memoryview(content(case["generator"], case["seed"], case["length"]))
    ends = chunk_ends(data)
    for start, end in list(zip([0, *ends], ends, strict=False))[:6]:
        for scheme in Scheme:
            assert decompress(compress_as(data[start:end], scheme), scheme, end - start) == data[start:end]
        scheme, payload = kept(compress(data[start:end]))
        assert decompress(payload, scheme, end - start) == data[start:end]
        assert len(payload) < end - start or scheme is Scheme.NONE


KINDS = {
    "random": (content("random", 3, 70_000), Scheme.NONE),
    "text": (content("text", 3, 70_001), Scheme.LZ4),
    "float32": (content("float32", 3, 70_002), Scheme.BG4_LZ4),
    "zeros": (bytes(70_003), None),
    "tiny": (b"x", Scheme.NONE),
    "small": (b"xyz" * 30, Scheme.LZ4),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_sample_finds_the_scheme(kind: str, kernel: str) -> None:
    data, expected = KINDS[kind]
    scheme, payload = kept(compress(data))
    assert expected in (None, scheme)
    assert decompress(payload, scheme, len(data)) == data
    # No scheme would have been much smaller.
    assert len(payload) <= min(len(compress_as(data, other)) for other in Scheme) * 1.01 + 20


def test_what_does_not_compress_is_not_compressed(monkeypatch: pytest.MonkeyPatch) -> None:
    data = KINDS["random"][0]
    assert choose_scheme(data) is Scheme.NONE
    sizes = []
    block = compression.lz4.block.compress
    monkeypatch.setattr(
        compression.lz4.block, "compress", lambda data, **rest: sizes.append(len(data)) or block(data, **rest)
    )
    assert kept(compress(data)) == (Scheme.NONE, data)
    assert sum(sizes) <= 8192, "only the sample"


def test_a_sample_that_deceives() -> None:
    """A little repetition in the middle of noise: what came out larger is stored as it is."""
    noise = random.Random(4).randbytes(60_000)
    data = noise[:30_000] + bytes(120) + noise[30_000:]
    assert choose_scheme(data) is not Scheme.NONE
    assert kept(compress(data)) == (Scheme.NONE, data)


def test_a_stream_samples_one_chunk_in_four(monkeypatch: pytest.MonkeyPatch) -> None:
    data = KINDS["float32"][0]
    expected = compress(data)
    sampled = []
    choose = compression.choose_scheme
    monkeypatch.setattr(compression, "choose_scheme", lambda data: sampled.append(data) or choose(data))
    stream = StreamCompressor()
    assert [stream.compress(data) for _ in range(8)] == [expected] * 8
    assert len(sampled) == 2


def test_a_stream_whose_content_changes(kernel: str) -> None:
    kinds = [KINDS[name][0] for name in ("random", "text", "float32", "zeros", "tiny", "small")]
    source = random.Random(5)
    chunks = [data for data in source.choices(kinds, k=60) for _ in range(source.choice((1, 2, 9)))]
    stream = StreamCompressor()
    found = [stream.compress(data) for data in chunks]
    for data, (scheme, payload) in zip(chunks, map(kept, found), strict=True):
        assert decompress(payload, scheme, len(data)) == data
        assert len(payload) < len(data) or scheme is Scheme.NONE
    # After a change, the kind is found within four chunks.
    stream = StreamCompressor()
    for data in (KINDS["random"][0], KINDS["text"][0], KINDS["float32"][0]):
        assert [stream.compress(data) for _ in range(5)][-1] == compress(data)


OPTIONS: tuple[dict[str, Any], ...] = ({}, {"block_linked": True, "block_size": 4}, {"store_size": False}, {"content_checksum": True}, {"block_checksum": True}, {"block_size": 7})  # fmt: skip


@pytest.mark.parametrize("scheme", [Scheme.LZ4, Scheme.BG4_LZ4])
@pytest.mark.parametrize("kind", ["text", "random"])
def test_frames_of_other_writers(scheme: Scheme, kind: str, kernel: str) -> None:
    data = content(kind, 4, 100_001)
    plain = data if scheme is Scheme.LZ4 else b"".join(data[lane::4] for lane in range(4))
    for options in OPTIONS:
        assert decompress(lz4.frame.compress(plain, **options), scheme, len(data)) == data
    # And ours is a frame that others can read.
    assert lz4.frame.decompress(compress_as(data, scheme)) == plain


@pytest.mark.parametrize("length", [-1, 0, 1, 99_999, 100_001, MAX_CHUNK, MAX_CHUNK + 1, 1 << 40])
@pytest.mark.parametrize("scheme", [*Scheme, 3, 255])
def test_lying_lengths_and_schemes(length: int, scheme: int) -> None:
    data = content("text", 4, 100_000)
    for payload in (
        compress_as(data, Scheme.LZ4),
        lz4.frame.compress(data),
        lz4.frame.compress(data, store_size=False),
        data,
    ):
        with pytest.raises(FormatError, match="chunk"):
            decompress(payload, scheme, length)


def huge_frame(announced: int) -> bytes:
    """A frame whose header announces a size, and whose content is a few bytes."""
    writer = lz4.frame.LZ4FrameCompressor()
    return bytes(writer.begin(source_size=announced) + lz4.frame.compress(bytes(100), store_size=False)[7:])


@pytest.mark.parametrize("scheme", [Scheme.LZ4, Scheme.BG4_LZ4])
def test_bombs_stop_at_the_announced_length(scheme: Scheme) -> None:
    zeros = bytes(50_000_000)
    bombs: list[Any] = [lz4.frame.compress(zeros, store_size=stored) for stored in (True, False)]
    bombs += [
        lz4.frame.compress(zeros, block_linked=False, block_size=7),
        huge_frame(1 << 50),
        compress_as(zeros, Scheme.LZ4),
    ]
    for bomb in bombs:
        _, memory = refuse(lambda: decompress(bomb, scheme, 1000))  # noqa: B023
        assert memory < 100_000 + 3 * len(bomb), "not more is made than what was announced, and what came"


@given(st.binary(max_size=200), st.sampled_from([0, 1, 2, 3]), st.integers(0, 300), st.booleans())
@settings(max_examples=150)
def test_garbage_gives_a_typed_error(data: bytes, scheme: int, length: int, framed: bool) -> None:
    payload = bytes(compress_as(b"", Scheme.LZ4))[:7] + data if framed else data
    try:
        raw = decompress(payload, scheme, length)
    except FormatError:
        return
    assert len(raw) == length


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_any_content_comes_back(draw: st.DataObject) -> None:
    block = draw.draw(st.binary(min_size=1, max_size=40))
    data = (block * 2000)[: draw.draw(st.integers(1, 6000))] + draw.draw(st.binary(max_size=300))
    scheme, payload = kept(compress(draw.draw(st.sampled_from([bytes, bytearray, memoryview]))(data)))
    assert len(payload) < len(data) or scheme is Scheme.NONE
    assert decompress(payload, scheme, len(data)) == data
