"""One table of codecs, each run three ways: whole, byte by byte, and with trailing data; and cut off everywhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import pytest
from support.formats import shard, xorb_footer
from support.vectors import content

from pyxet.errors import FormatError
from pyxet.protocol.cas_messages import ReconstructionV1, ReconstructionV2
from pyxet.protocol.chunking import Chunker, chunk_ends
from pyxet.protocol.compression import Scheme, compress_as, decompress
from pyxet.protocol.decoding import ChunkDecoder
from pyxet.protocol.hashing import chunk_hash, hash_from_hex, hash_to_hex
from pyxet.protocol.messages import decode, encode
from pyxet.protocol.reconstruction import FetchRange, Plan, PlanTerm, plan_from_v1, plan_from_v2
from pyxet.protocol.shard import FileEntry, Footer, Shard, ShardChunk, Term, XorbEntry, parse_shard
from pyxet.protocol.xorb import ChunkHeader, XorbBuilder, encode_chunk, parse_xorb, read_footer
from pyxet.secrets import Secret

PIECES = [content("text", 5, 300), content("random", 5, 90), b"z"]
_BUILDER = XorbBuilder()
for _piece in PIECES:
    _BUILDER.add(encode_chunk(_piece, chunk_hash(_piece)))
XORB = _BUILDER.build()
CHUNKS = b"".join(XORB.slices)
FOOTER = xorb_footer(XORB.info)

FILES = (FileEntry(b"f" * 32, (Term(b"x" * 32, 0, 2, 10),), (b"v" * 32,), "ab" * 32),)
XORBS = (XorbEntry(b"x" * 32, (ShardChunk(b"a" * 32, 4), ShardChunk(b"b" * 32, 6))),)
TAIL = Footer(bytes(32), 1, 2)

NAME = hash_to_hex(b"x" * 32)
PLAN = Plan(3, (PlanTerm(Term(b"x" * 32, 1, 3, 50), FetchRange(Secret("u"), 1, 3, 10, 100)),))
_TERMS = [{"hash": NAME, "unpacked_length": 50, "range": {"start": 1, "end": 3}}]
V1 = {"offset_into_first_range": 3, "terms": _TERMS}
V1["fetch_info"] = {NAME: [{"url": "u", "range": {"start": 1, "end": 3}, "url_range": {"start": 10, "end": 99}}]}
V2 = {"offset_into_first_range": 3, "terms": _TERMS}
V2["xorbs"] = {NAME: [{"url": "u", "ranges": [{"chunks": {"start": 1, "end": 3}, "bytes": {"start": 10, "end": 99}}]}]}


@dataclass(frozen=True)
class Case:
    """``read`` takes the pieces of ``data`` and gives ``expected``."""

    name: str
    data: bytes
    read: Callable[[Iterable[bytes]], Any]
    expected: Any
    # Whether the codec can tell that something is missing or too much.
    sees_cuts: bool = True
    sees_trailing: bool = True


def whole(parse: Callable[[bytes], Any]) -> Callable[[Iterable[bytes]], Any]:
    return lambda pieces: parse(b"".join(pieces))


def read_chunks(pieces: Iterable[bytes]) -> list[bytes]:
    decoder = ChunkDecoder(max_chunks=len(PIECES))
    found = [bytes(chunk.data) for piece in pieces for chunk in decoder.feed(piece)]
    decoder.finish()
    if len(found) != len(PIECES):
        raise FormatError("a xorb that is cut between chunks is a shorter xorb")
    return found


def read_ends(pieces: Iterable[bytes]) -> list[int]:
    chunker = Chunker()
    ends = [end for piece in pieces for end in chunker.feed(piece)]
    last = chunker.finish()
    return ends if last is None else [*ends, last]


def payload(scheme: Scheme) -> Case:
    data = bytes(compress_as(PIECES[0], scheme))
    return Case(f"payload-{scheme.name}", data, whole(lambda data: bytes(decompress(data, scheme, 300))), PIECES[0])


CASES = [
    Case("chunk-ends", content("random", 6, 20_000), read_ends, chunk_ends(content("random", 6, 20_000)), False, False),
    payload(Scheme.NONE),
    payload(Scheme.LZ4),
    payload(Scheme.BG4_LZ4),
    Case("chunk-header", ChunkHeader(7, 1, 9).pack(), whole(ChunkHeader.unpack), ChunkHeader(7, 1, 9), True, False),
    Case("chunks", CHUNKS, read_chunks, PIECES),
    Case("xorb", CHUNKS, whole(parse_xorb), XORB.info),
    Case("xorb-with-footer", CHUNKS + FOOTER, whole(parse_xorb), XORB.info),
    Case("footer", FOOTER, whole(read_footer), XORB.info),
    Case("shard-uploaded", shard(FILES, XORBS), whole(parse_shard), Shard(FILES, XORBS)),
    Case("shard-stored", shard(FILES, XORBS, TAIL), whole(parse_shard), Shard(FILES, XORBS, TAIL)),
    Case("shard-dedup", shard((), XORBS, TAIL, tables=False), whole(parse_shard), Shard((), XORBS, TAIL)),
    Case("hash", NAME.encode(), whole(lambda data: hash_from_hex(data.decode())), b"x" * 32),
    Case("plan-v1", encode(V1), whole(lambda data: plan_from_v1(decode(data, ReconstructionV1, what="plan"))), PLAN),
    Case("plan-v2", encode(V2), whole(lambda data: plan_from_v2(decode(data, ReconstructionV2, what="plan"))), PLAN),
]
BY_NAME = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


@BY_NAME
def test_whole(case: Case) -> None:
    assert case.read([case.data]) == case.expected


@BY_NAME
def test_byte_by_byte(case: Case) -> None:
    assert case.read(case.data[at : at + 1] for at in range(len(case.data))) == case.expected
    # Empty pieces are pieces too.
    assert case.read([b"", case.data, b""]) == case.expected


@BY_NAME
@pytest.mark.parametrize("trailing", [b"\0", b"x", b"XETBLOB\x01" + bytes(100)], ids=["zero", "byte", "ident"])
def test_trailing_data(case: Case, trailing: bytes) -> None:
    if case.sees_trailing:
        with pytest.raises(FormatError):
            case.read([case.data, trailing])
        with pytest.raises(FormatError):
            case.read([case.data + trailing])
    else:
        case.read([case.data, trailing])


@BY_NAME
def test_cut_off(case: Case) -> None:
    if not case.sees_cuts:
        return
    for end in range(len(case.data)):
        try:
            found = case.read([case.data[:end]])
        except FormatError:
            continue
        # Only a xorb, cut where a chunk or its chunks end, is still one; with another hash unless it is whole.
        ends = [chunk.end for chunk in XORB.info.chunks]
        assert case.name.startswith("xorb")
        assert end in ends
        assert (found == XORB.info) == (end == ends[-1])
