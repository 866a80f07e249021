"""Hashes of chunks, xorbs, files and terms (Xet specification, ``hashing.md``).

Inside the code a hash is its 32 raw bytes. The string form, used in JSON, URLs and for people, writes each of the four
little-endian 64-bit words as 16 hex digits, so it is not the hex of the raw bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import Final, TypeAlias

from blake3 import blake3

from pyxet.errors import FormatError
from pyxet.protocol.constants import DATA_KEY, ELIGIBLE_MODULUS, INTERNAL_NODE_KEY, VERIFICATION_KEY

Hash: TypeAlias = bytes
# Contiguous bytes; a memoryview is one of single bytes (``view.cast("B")``).
Buffer: TypeAlias = bytes | bytearray | memoryview

HASH_SIZE: Final = 32
ZERO_HASH: Final[Hash] = bytes(HASH_SIZE)
_WORDS = struct.Struct("<4Q")
_BIG_WORDS = struct.Struct(">4Q")
_ZERO_KEY: Final = bytes(HASH_SIZE)

# Children of an internal node: at least 3 unless fewer are left, at most 9, 4 on average.
_MIN_CHILDREN: Final = 3
_MAX_CHILDREN: Final = 9
_BRANCHING: Final = 4


def hash_to_hex(value: Hash) -> str:
    """The string form of a hash, in lower case (``api.md``, converting hashes to strings)."""
    return _BIG_WORDS.pack(*_WORDS.unpack(value)).hex()


def hash_from_hex(text: str) -> Hash:
    """The hash of a string form (``api.md``, converting hashes to strings); digits of either case.

    Raises
    ------
    FormatError
        ``text`` is not 64 hex digits.
    """
    try:
        raw = bytes.fromhex(text) if len(text) == 2 * HASH_SIZE else b""
    except ValueError:
        raw = b""
    if len(raw) != HASH_SIZE:
        raise FormatError(f"a hash is 64 hex digits, not {text[:80]!r}")
    return _WORDS.pack(*_BIG_WORDS.unpack(raw))


def chunk_hash(data: Buffer) -> Hash:
    """Hash of one chunk's raw content (``hashing.md``, chunk hashes)."""
    return blake3(data, key=DATA_KEY).digest()


def chunk_hashes(data: Buffer, ends: Sequence[int]) -> list[Hash]:
    """Hashes of consecutive chunks of a buffer; ``ends`` are their end offsets in it, the first starts at 0."""
    view = memoryview(data)
    hashes = []
    start = 0
    for end in ends:
        hashes.append(blake3(view[start:end], key=DATA_KEY).digest())
        start = end
    return hashes


def keyed_chunk_hash(key: bytes, value: Hash) -> Hash:
    """A chunk hash as a deduplication shard with a 32-byte key stores it; unchanged if the key is all zeros."""
    return value if key == _ZERO_KEY else blake3(value, key=key).digest()


def term_hash(hashes: Iterable[Hash]) -> Hash:
    """Verification hash of a term: over the raw hashes of its chunks, in order (``hashing.md``, term verification)."""
    return blake3(b"".join(hashes), key=VERIFICATION_KEY).digest()


def is_eligible(value: Hash) -> bool:
    """Whether the endpoint may be queried for this chunk (for the first chunk of a file, it always may)."""
    return int.from_bytes(value[24:], "little") % ELIGIBLE_MODULUS == 0


def xorb_hash(chunks: Sequence[tuple[Hash, int]]) -> Hash:
    """Hash of a xorb (``hashing.md``, xorb hashes): the Merkle root over its chunks, given as (hash, raw length).

    One chunk is its own root; no chunks give 32 zero bytes.
    """
    nodes = list(chunks)
    while len(nodes) > 1:
        nodes, _ = _merge_level(nodes, at_end=True)
    return nodes[0][0] if nodes else ZERO_HASH


class FileHasher:
    """The hash of a file from its chunks in order, without keeping them: memory grows with the tree's height.

    An internal node depends only on its children, so each level is folded as soon as it holds enough children for a node
    to be certain. Only the nodes that may still change at the end of the file are kept.
    """

    def __init__(self) -> None:
        self._levels: list[list[tuple[Hash, int]]] = [[]]

    def update(self, chunks: Iterable[tuple[Hash, int]]) -> None:
        """Add chunks, as (hash, raw length in bytes)."""
        self._levels[0].extend(chunks)
        level = 0
        while level < len(self._levels) and len(self._levels[level]) > 4 * _MAX_CHILDREN:
            folded, rest = _merge_level(self._levels[level], at_end=False)
            self._levels[level] = rest
            if level + 1 == len(self._levels):
                self._levels.append([])
            self._levels[level + 1].extend(folded)
            level += 1

    def digest(self) -> Hash:
        """The file hash of what was added so far; 32 zero bytes for an empty file. More may be added afterwards."""
        nodes: list[tuple[Hash, int]] = []
        for level, waiting in enumerate(self._levels):
            nodes = nodes + waiting if level == 0 else waiting + nodes
            if level + 1 < len(self._levels):
                nodes, _ = _merge_level(nodes, at_end=True)
        if not nodes:
            return ZERO_HASH
        return blake3(xorb_hash(nodes), key=_ZERO_KEY).digest()


def file_hash(chunks: Iterable[tuple[Hash, int]]) -> Hash:
    """Hash of a file from its chunks in order, given as (hash, raw length in bytes)."""
    hasher = FileHasher()
    hasher.update(chunks)
    return hasher.digest()


def _merge_level(
    nodes: list[tuple[Hash, int]], *, at_end: bool
) -> tuple[list[tuple[Hash, int]], list[tuple[Hash, int]]]:
    """Fold one level of the tree. Returns the parents, and the nodes whose parent may depend on later nodes."""
    parents = []
    start = 0
    while start < len(nodes):
        if not at_end and len(nodes) - start < _MAX_CHILDREN:
            break
        end = _node_end(nodes, start)
        parents.append(_parent(nodes[start:end]))
        start = end
    return parents, nodes[start:]


def _node_end(nodes: list[tuple[Hash, int]], start: int) -> int:
    """End of the node that begins at ``start``; two or fewer nodes that are left form one node."""
    limit = min(start + _MAX_CHILDREN, len(nodes))
    for index in range(start + _MIN_CHILDREN - 1, limit):
        if nodes[index][0][24] % _BRANCHING == 0:
            return index + 1
    return limit


def _parent(children: list[tuple[Hash, int]]) -> tuple[Hash, int]:
    lines = "".join(f"{hash_to_hex(value)} : {size}\n" for value, size in children)
    return blake3(lines.encode(), key=INTERNAL_NODE_KEY).digest(), sum(size for _, size in children)
