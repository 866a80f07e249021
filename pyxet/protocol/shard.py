"""Shards: which files are made of which xorbs (Xet specification, ``shard.md``; Internet-Draft, shard format).

::

    shard  = header  file section  xorb section  [ file table  xorb table  chunk table  footer ]
    header = 32-byte tag | u64 version 2 | u64 footer size (0: no footer)
    file   = hash | u32 flags | u32 n | 8 unused;  n terms;  n verifications (flag 31);  metadata (flag 30)
    term   = xorb hash | u32 flags | u32 raw length | u32 first chunk | u32 chunk after the last
    xorb   = hash | u32 flags | u32 n | u32 raw size | u32 stored size;  n chunks
    chunk  = hash | u32 offset in the raw content | u32 raw length | u32 flags | u32 unused
    tables = rows in ascending order of their first word, the first 8 bytes of a hash:
             file and xorb table: u64 hash word | u32 record of the entry, counted from the section's start
             chunk table:         u64 hash word (of the keyed hash) | u32 record of the xorb | u32 chunk of the xorb
    footer = u64 version 1 | u64 offsets of files and xorbs | (u64 offset, u64 count) of the file, xorb and chunk tables
             | 32-byte key | u64 created | u64 key expiry | 72 bytes | u64 offset of the footer

Every record is 48 bytes; a section ends with a record of 32 bytes 0xFF and 16 bytes 0. Integers are little-endian.
The sha256 in the metadata is stored like a hash, each 8-byte group reversed. The footer's six table words follow the
Internet-Draft. Other clients allocate memory by them, and would read zeros as offsets.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from pyxet.errors import FormatError
from pyxet.protocol.constants import MAX_CHUNK, MAX_SHARD_BYTES, MAX_XORB_CHUNKS
from pyxet.protocol.hashing import HASH_SIZE, Buffer, Hash, hash_from_hex, hash_to_hex, is_eligible, keyed_chunk_hash

_TAG: Final = b"HFRepoMetaData\x00" + bytes.fromhex("556967456a7b815783a5bdd95ccdd14aa9")
_HEADER = struct.Struct("<32sQQ")
_RECORD: Final = 48
_FILE = struct.Struct("<32sII8x")
_TERM = struct.Struct("<32sIIII")
_HASH_ONLY = struct.Struct("<32s16x")
# A file of one term, with verification and metadata, in one piece. Most small files have this form, thousands in a shard.
_WHOLE_FILE = struct.Struct("<32sII8x 32sIIII 32s16x 32s16x")
_REST_OF_FILE = struct.Struct("<32s4xIII 32s16x 32s16x")
_XORB = struct.Struct("<32sIIII")
_CHUNK = struct.Struct("<32sIIII")
_BOOKEND: Final = b"\xff" * HASH_SIZE + bytes(16)
_FOOTER = struct.Struct("<QQQ6Q32sQQ72xQ")
_ENTRY_ROW, _CHUNK_ROW = struct.Struct("<QI"), struct.Struct("<QII")
_ROWS: Final = (_ENTRY_ROW, _ENTRY_ROW, _CHUNK_ROW)
_VERSION, _FOOTER_VERSION = 2, 1
_WITH_VERIFICATION, _WITH_METADATA = 1 << 31, 1 << 30
_ELIGIBLE: Final = 1 << 31


@dataclass(frozen=True, slots=True)
class Term:
    """A run of chunks of one xorb: ``chunk_end`` is the chunk after the last, ``raw_length`` in bytes."""

    xorb_hash: Hash
    chunk_start: int
    chunk_end: int
    raw_length: int


@dataclass(frozen=True, slots=True)
class FileEntry:
    """The terms and hashes of a file.

    Attributes
    ----------
    file_hash:
        The Xet file hash.
    terms:
        The terms in the order of the file.
    verification:
        One hash for each term, or empty if the shard has none.
    sha256:
        SHA-256 of the content in hex, if the shard has it.
    """

    file_hash: Hash
    terms: tuple[Term, ...]
    verification: tuple[Hash, ...] = ()
    sha256: str | None = None

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return sum(term.raw_length for term in self.terms)


class ShardChunk(NamedTuple):
    """A chunk of a xorb as a shard lists it; the hash may be keyed."""

    hash: Hash
    raw_length: int


@dataclass(frozen=True, slots=True)
class XorbEntry:
    """A xorb as a shard lists it; ``stored_size`` is 0 in shards that clients upload."""

    xorb_hash: Hash
    chunks: tuple[ShardChunk, ...]
    stored_size: int = 0


@dataclass(frozen=True, slots=True)
class Footer:
    """The fields of a footer that readers use; times in Unix seconds, an all-zero key means no key."""

    key: bytes = bytes(32)
    created: int = 0
    expires: int = 0


@dataclass(frozen=True, slots=True)
class Shard:
    """A parsed shard."""

    files: tuple[FileEntry, ...]
    xorbs: tuple[XorbEntry, ...]
    footer: Footer | None = None


def file_entry_size(terms: int) -> int:
    """Bytes of a file with ``terms`` terms in a shard, with verification and metadata."""
    return _RECORD * (2 + 2 * terms)


def xorb_entry_size(chunks: int) -> int:
    """Bytes of a xorb with ``chunks`` chunks in a shard."""
    return _RECORD * (1 + chunks)


# Header and the ends of both sections.
EMPTY_SHARD_SIZE: Final = 3 * _RECORD


def write_upload_shard(files: Sequence[FileEntry], xorbs: Sequence[XorbEntry]) -> bytes:
    """A shard as it is uploaded: no footer, nothing after the xorb section (``shard.md``, shard upload).

    Raises
    ------
    FormatError
        The shard would be larger than 64 MiB.
    """
    data = b"".join((_HEADER.pack(_TAG, _VERSION, 0), *_file_section(files), *_xorb_section(xorbs, bytes(32))))
    if len(data) > MAX_SHARD_BYTES:
        raise FormatError(f"shard: {len(data):,} bytes are more than the 64 MiB a shard may have")
    return data


def write_dedup_shard(xorbs: Sequence[XorbEntry], footer: Footer) -> bytes:
    """The answer to a chunk query: no files, chunk hashes under the footer's key, no lookup tables."""
    body = b"".join((_HEADER.pack(_TAG, _VERSION, _FOOTER.size), _BOOKEND, *_xorb_section(xorbs, footer.key)))
    # The offset of a table that does not exist is that of the footer.
    at = len(body)
    words = (_HEADER.size, _HEADER.size + _RECORD, at, 0, at, 0, at, 0)
    return body + _FOOTER.pack(_FOOTER_VERSION, *words, footer.key, footer.created, footer.expires, at)


def parse_shard(data: Buffer) -> Shard:
    """Read a shard of any form.

    Raises
    ------
    FormatError
        The shard is too large or cut off, its entries make no sense, or its sections, tables or footer are not at the
        offsets that it names.
    """
    view = memoryview(data)
    if len(view) > MAX_SHARD_BYTES + _FOOTER.size:
        raise FormatError(f"shard: {len(view):,} bytes are more than a shard may have")
    if len(view) < _HEADER.size:
        raise FormatError("shard header: cut off")
    tag, version, footer_size = _HEADER.unpack_from(view)
    if tag[15:] != _TAG[15:]:
        raise FormatError("shard header: this is not a shard", offset=0)
    if version != _VERSION:
        raise FormatError(f"shard header: version {version} is unknown", offset=32)
    if footer_size not in (0, _FOOTER.size):
        raise FormatError(f"shard header: a footer of {footer_size:,} bytes is unknown", offset=40)
    reader = _Reader(view, _HEADER.size, len(view) - footer_size)
    files = tuple(_read_files(reader))
    xorbs_at = reader.at
    xorbs = tuple(_read_xorbs(reader))
    if footer_size == 0:
        if reader.at != len(view):
            raise FormatError(f"shard: {len(view) - reader.at:,} bytes after its end", offset=reader.at)
        return Shard(files, xorbs)
    footer, tables = _read_footer(view, xorbs_at, reader.at)
    _check_tables(files, xorbs, tables)
    return Shard(files, xorbs, footer)


class _Reader:
    """Reads records of 48 bytes, and never beyond the end."""

    def __init__(self, view: memoryview, at: int, end: int) -> None:
        self._view = view
        self._end = end
        self.at = at

    def record(self, what: str) -> memoryview:
        if self._end - self.at < _RECORD:
            raise FormatError(f"shard: cut off in {what}", offset=self.at)
        self.at += _RECORD
        return self._view[self.at - _RECORD : self.at]

    def more(self, count: int) -> memoryview | None:
        """``count`` records in one piece; ``None`` if fewer are left."""
        return self.records(count) if count * _RECORD <= self._end - self.at else None

    def records(self, count: int) -> memoryview:
        """``count`` records in one piece. Callers check with `expect` that they are there."""
        self.at += count * _RECORD
        return self._view[self.at - count * _RECORD : self.at]

    def expect(self, count: int, what: str) -> None:
        """Raise `FormatError` if fewer records than ``count`` are left, before memory is allocated for them."""
        if count > (self._end - self.at) // _RECORD:
            raise FormatError(f"shard: {count:,} {what} do not fit into what is left of it", offset=self.at)


def _read_files(reader: _Reader) -> Iterator[FileEntry]:
    while (record := reader.record("the file section")) != _BOOKEND:
        value, flags, count = _FILE.unpack(record)
        if count == 1 and flags == _WITH_VERIFICATION | _WITH_METADATA and (whole := reader.more(3)) is not None:
            # Most small files have this form, and a shard may have thousands of them.
            xorb, length, start, end, check, sha256 = _REST_OF_FILE.unpack(whole)
            term = _checked_term(Term(xorb, start, end, length), reader.at - 3 * _RECORD)
            yield FileEntry(value, (term,), (check,), hash_to_hex(sha256))
            continue
        if flags & ~(_WITH_VERIFICATION | _WITH_METADATA):
            raise FormatError(f"shard file: flags {flags:#x} are unknown", offset=reader.at - _RECORD)
        reader.expect(count * (2 if flags & _WITH_VERIFICATION else 1), "terms")
        terms = tuple(_read_term(reader) for _ in range(count))
        verification: tuple[Hash, ...] = ()
        if flags & _WITH_VERIFICATION:
            verification = tuple(_HASH_ONLY.unpack(reader.record("a verification"))[0] for _ in range(count))
        told = None
        if flags & _WITH_METADATA:
            told = hash_to_hex(_HASH_ONLY.unpack(reader.record("a file's metadata"))[0])
        yield FileEntry(value, terms, verification, told)


def _read_term(reader: _Reader) -> Term:
    value, _, length, start, end = _TERM.unpack(reader.record("a term"))
    return _checked_term(Term(value, start, end, length), reader.at - _RECORD)


def _checked_term(term: Term, offset: int) -> Term:
    start, end, length = term.chunk_start, term.chunk_end, term.raw_length
    if not start < end <= MAX_XORB_CHUNKS or not 0 < length <= (end - start) * MAX_CHUNK:
        raise FormatError(
            f"shard term: chunks {start:,} to {end:,} of {length:,} bytes are not a valid range", offset=offset
        )
    return term


def _read_xorbs(reader: _Reader) -> Iterator[XorbEntry]:
    while (record := reader.record("the xorb section")) != _BOOKEND:
        at = reader.at - _RECORD
        value, _, count, raw_size, stored_size = _XORB.unpack(record)
        if count > MAX_XORB_CHUNKS:
            raise FormatError(f"shard xorb: {count:,} chunks are too many", offset=at)
        reader.expect(count, "chunks")
        first = reader.at
        chunks: list[ShardChunk] = []
        offset = 0
        # Read in one piece, for speed: a shard has thousands of chunks, and uploads read each shard that answers a query.
        for chunk, start, length, _flags, _unused in _CHUNK.iter_unpack(reader.records(count)):
            if start != offset:
                what = f"shard chunk: it starts at {start:,}, {offset:,} expected"
                raise FormatError(what, offset=first + _RECORD * len(chunks))
            if not 0 < length <= MAX_CHUNK:
                what = f"shard chunk: a length of {length:,} is out of range"
                raise FormatError(what, offset=first + _RECORD * len(chunks))
            offset += length
            chunks.append(ShardChunk(chunk, length))
        if offset != raw_size:
            raise FormatError(f"shard xorb: {raw_size:,} bytes announced, its chunks have {offset:,}", offset=at)
        yield XorbEntry(value, tuple(chunks), stored_size)


@dataclass(frozen=True, slots=True)
class _Table:
    """A lookup table that lies within the shard."""

    at: int
    rows: memoryview


def _read_footer(view: memoryview, xorbs_at: int, xorbs_end: int) -> tuple[Footer, list[_Table]]:
    at = len(view) - _FOOTER.size
    version, files_start, xorbs_start, *tables, key, created, expires, own = _FOOTER.unpack_from(view, at)
    if version != _FOOTER_VERSION:
        raise FormatError(f"shard footer: version {version} is unknown", offset=at)
    if (files_start, xorbs_start, own) != (_HEADER.size, xorbs_at, at):
        raise FormatError("shard footer: its offsets are not those of the sections", offset=at)
    end = xorbs_end
    found = []
    for start, count, row in zip(tables[::2], tables[1::2], _ROWS, strict=True):
        # Tables are optional; an existing one begins where the section or table before it ends.
        if count and (start != end or count * row.size > at - start):
            raise FormatError("shard footer: a lookup table lies outside its place", offset=at)
        found.append(_Table(end, view[end : end + count * row.size]))
        end += count * row.size
    if end != at:
        raise FormatError(f"shard: {at - end:,} bytes belong to no lookup table", offset=end)
    return Footer(key, created, expires), found


def _check_tables(files: Sequence[FileEntry], xorbs: Sequence[XorbEntry], tables: Sequence[_Table]) -> None:
    """Raise `FormatError` if the tables do not point to the entries of the sections: other readers search by them."""
    file_words: dict[tuple[int, ...], int] = {}
    record = 0
    for file in files:
        file_words[record,] = _low_word(file.file_hash)
        record += 1 + len(file.terms) + len(file.verification) + (file.sha256 is not None)
    xorb_words: dict[tuple[int, ...], int] = {}
    chunk_words: dict[tuple[int, ...], int] = {}
    record = 0
    for xorb in xorbs:
        xorb_words[record,] = _low_word(xorb.xorb_hash)
        if tables[2].rows:
            chunk_words.update(((record, index), _low_word(chunk.hash)) for index, chunk in enumerate(xorb.chunks))
        record += 1 + len(xorb.chunks)
    for table, row, words in zip(tables, _ROWS, (file_words, xorb_words, chunk_words), strict=True):
        before = 0
        for index, (word, *place) in enumerate(row.iter_unpack(table.rows)):
            if words.get(tuple(place)) != word or word < before:
                raise FormatError(
                    "shard: a row of a lookup table does not match its file, xorb or chunk",
                    offset=table.at + index * row.size,
                )
            before = word


def _file_section(files: Iterable[FileEntry]) -> Iterator[bytes]:
    for file in files:
        if file.verification and len(file.verification) != len(file.terms):
            raise FormatError("shard file: verifications and terms differ in number")
        flags = (_WITH_VERIFICATION if file.verification or not file.terms else 0) | (
            _WITH_METADATA if file.sha256 is not None else 0
        )
        if file.sha256 is not None and len(file.terms) == len(file.verification) == 1:
            (term,), (check,) = file.terms, file.verification
            place = (term.xorb_hash, 0, term.raw_length, term.chunk_start, term.chunk_end)
            yield _WHOLE_FILE.pack(file.file_hash, flags, 1, *place, check, hash_from_hex(file.sha256))
            continue
        yield _FILE.pack(file.file_hash, flags, len(file.terms))
        for term in file.terms:
            yield _TERM.pack(term.xorb_hash, 0, term.raw_length, term.chunk_start, term.chunk_end)
        for value in file.verification:
            yield _HASH_ONLY.pack(value)
        if file.sha256 is not None:
            yield _HASH_ONLY.pack(hash_from_hex(file.sha256))
    yield _BOOKEND


def _xorb_section(xorbs: Iterable[XorbEntry], key: bytes) -> Iterator[bytes]:
    for xorb in xorbs:
        yield _XORB.pack(
            xorb.xorb_hash, 0, len(xorb.chunks), sum(chunk.raw_length for chunk in xorb.chunks), xorb.stored_size
        )
        offset = 0
        for chunk in xorb.chunks:
            flags = _ELIGIBLE if is_eligible(chunk.hash) else 0
            yield _CHUNK.pack(keyed_chunk_hash(key, chunk.hash), offset, chunk.raw_length, flags, 0)
            offset += chunk.raw_length
    yield _BOOKEND


def _low_word(value: Hash) -> int:
    return int.from_bytes(value[:8], "little")


assert (
    _FILE.size == _TERM.size == _HASH_ONLY.size == _XORB.size == _CHUNK.size == len(_BOOKEND) == _HEADER.size == _RECORD
)
assert (_FOOTER.size, _WHOLE_FILE.size, _REST_OF_FILE.size) == (200, 4 * _RECORD, 3 * _RECORD)
assert (_ENTRY_ROW.size, _CHUNK_ROW.size) == (12, 16)
