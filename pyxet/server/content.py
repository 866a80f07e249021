"""The content-addressed store: keeps checked xorbs and shards, and reads files back from them.

Everything here blocks and belongs in worker threads.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from pyxet.errors import BadRequestError, FormatError, ServerError
from pyxet.protocol.constants import MAX_SHARD_BYTES
from pyxet.protocol.decoding import ChunkDecoder
from pyxet.protocol.hashing import (
    ZERO_HASH,
    Buffer,
    FileHasher,
    Hash,
    hash_from_hex,
    hash_to_hex,
    is_eligible,
    term_hash,
)
from pyxet.protocol.reconstruction import trim_terms
from pyxet.protocol.shard import (
    FileEntry,
    Shard,
    ShardChunk,
    Term,
    XorbEntry,
    parse_shard,
    write_upload_shard,
    xorb_entry_size,
)
from pyxet.protocol.xorb import XorbInfo
from pyxet.server.index import Index, held_as
from pyxet.server.layouts import Layouts
from pyxet.server.object_store import ObjectReader, ObjectStore

# Bytes sent at a time. With pieces below a mebibyte, the calls cost more than the copying.
PIECE: Final = 1024 * 1024
# The most bytes and chunks of the files of one shard. The store reads all of them before it accepts the shard: the chunks
# to check the file hashes, the bytes to check each new sha256.
MAX_SHARD_CONTENT: Final = 1024**4
MAX_SHARD_CONTENT_CHUNKS: Final = 32 * 1024 * 1024
# Empty content needs no xorb and no shard: every user counts as having it.
EMPTY_SHA256: Final = hashlib.sha256().hexdigest()


class FinishedXorb(Protocol):
    """A xorb that has arrived, in a temporary file; `XorbUpload` says what its members mean."""

    @property
    def temporary(self) -> Path: ...

    def sync(self) -> None: ...


@dataclass(frozen=True, slots=True)
class StoredContent:
    """A file in the store: its hashes as hex strings, its size in bytes."""

    xet_hash: str
    sha256: str
    size: int


class ContentStore:
    """Xorbs, shards and files under a directory."""

    def __init__(self, root: Path) -> None:
        self.xorbs = ObjectStore(root / "xorbs")
        self.shards = ObjectStore(root / "shards")
        self.index = Index(root / "index.sqlite")
        self._layouts = Layouts(self.stored)
        # One key for all answers of this process: a client has to hash each chunk that it looks for once for each key.
        self.query_key = secrets.token_bytes(32)
        self._keeping = threading.Lock()

    def close(self) -> None:
        """Close the index."""
        self.index.close()

    def find_by_sha256(self, sha256: str) -> StoredContent | None:
        """The content with this sha256, if it is stored."""
        if sha256 == EMPTY_SHA256:
            return StoredContent(hash_to_hex(ZERO_HASH), sha256, 0)
        found = self.index.file_of_content(sha256)
        return StoredContent(hash_to_hex(found[0]), sha256, found[1]) if found else None

    def find_all_by_sha256(self, contents: Iterable[str]) -> dict[str, StoredContent]:
        """Like `find_by_sha256`, for many at once: those that are stored, by sha256."""
        wanted = set(contents)
        found = {
            sha256: StoredContent(hash_to_hex(value), sha256, size)
            for sha256, (value, size) in self.index.files_of_contents(wanted).items()
        }
        if EMPTY_SHA256 in wanted:
            found[EMPTY_SHA256] = StoredContent(hash_to_hex(ZERO_HASH), EMPTY_SHA256, 0)
        return found

    def hold(self, stored: StoredContent, repo: str) -> None:
        """Record that a repository holds stored content, as if the content had just been uploaded to the repository."""
        file = self.index.file(hash_from_hex(stored.xet_hash))
        if file is not None:
            xorbs = list(dict.fromkeys(term.xorb_hash for term in file.terms))
            self.index.add_files([], xorbs, [], held=[file], repo=repo)

    def xorbs_with(self, chunk: Hash, may_use: Callable[[Hash], bool]) -> list[XorbInfo]:
        """The usable xorbs of the newest shard that has the chunk in a usable xorb; ``may_use`` says which are usable."""
        for named in self.index.xorbs_near(chunk):
            xorbs = [self.stored(value) for value in named if may_use(value)]
            if any(item.hash == chunk for info in xorbs for item in info.chunks):
                return xorbs
        return []

    def keep_xorb(self, upload: FinishedXorb, info: XorbInfo, user: str) -> None:
        """Keep an uploaded xorb under its hash unless it is there, and remember who sent it.

        Parameters
        ----------
        info:
            What the check of the upload found in the xorb. The caller checks an upload also if the xorb is already stored:
            to know its hash does not prove that the user has its content.
        """
        if self.index.xorb_size(info.hash) is None:
            upload.sync()
            # Two clients may compress the same chunks differently: the index must describe the bytes that are kept.
            with self._keeping:
                if self.index.xorb_size(info.hash) is None:
                    self.xorbs.keep(upload.temporary, hash_to_hex(info.hash))
                    self.index.add_xorb(info, user)
                    return
        self.index.add_sender(info.hash, user)

    def add_shard(self, data: bytes, repo: str, may_use: Callable[[Hash], bool]) -> bool:
        """Check an uploaded shard against the stored xorbs and remember its files.

        Parameters
        ----------
        repo:
            Path of the repository that the token is for; from now on it holds the files' content.
        may_use:
            Whether the shard may name a xorb.

        Returns
        -------
        bool
            Whether the shard brought something new for the repository.

        Raises
        ------
        BadRequestError, FormatError
            The shard is damaged, names xorbs or chunks that are not stored or that the sender may not use, or its hashes
            are not those of the content.
        """
        shard = parse_shard(data)
        named = list(
            dict.fromkeys(
                [entry.xorb_hash for entry in shard.xorbs]
                + [term.xorb_hash for file in shard.files for term in file.terms]
            )
        )
        for value in named:
            if not may_use(value):
                raise _not_stored(value)
        _check_size(shard.files)
        for entry in shard.xorbs:
            self._check_xorb_entry(entry)
        self._check_files(shard.files)
        names = {held_as(file) for file in shard.files}
        new = bool(names - self.index.held(names, repo))
        self._register(shard, data, named, repo)
        return new or bool(shard.xorbs)

    def add_file(self, file: FileEntry, xorbs: Iterable[Hash], repo: str) -> None:
        """Record a file that the endpoint itself hashed when it made its xorbs.

        Parameters
        ----------
        xorbs:
            The xorbs that were made for the file; they are already stored.
        repo:
            Path of the repository that holds the file from now on.
        """
        waiting: list[XorbEntry] = []
        size = 0
        for value in xorbs:
            chunks = self.stored(value).chunks
            size += xorb_entry_size(len(chunks))
            if size > MAX_SHARD_BYTES // 2:
                self._register_own((), waiting, repo)
                waiting, size = [], xorb_entry_size(len(chunks))
            waiting.append(XorbEntry(value, tuple(ShardChunk(item.hash, item.raw_length) for item in chunks)))
        self._register_own((file,), waiting, repo)

    def _register_own(self, files: tuple[FileEntry, ...], xorbs: list[XorbEntry], repo: str) -> None:
        named = [entry.xorb_hash for entry in xorbs] + [term.xorb_hash for file in files for term in file.terms]
        data = write_upload_shard(files, xorbs)
        self._register(Shard(files, tuple(xorbs)), data, list(dict.fromkeys(named)), repo)

    def _register(self, shard: Shard, data: bytes, named: list[Hash], repo: str) -> None:
        """Keep a shard that passed its checks, and record its files."""
        stored = self.index.files([file.file_hash for file in shard.files])
        fresh = []
        for file in shard.files:
            known = stored.get(file.file_hash)
            if known is None or (file.sha256 is not None and known.sha256 is None):
                fresh.append(file)
        if fresh or shard.xorbs:
            self.shards.put(hashlib.sha256(data).hexdigest(), data)
            queryable = self._queryable(shard.files, named)
        else:
            queryable = set()
        self.index.add_files(fresh, named, queryable, held=shard.files, repo=repo)

    def read(self, name: str, start: int, end: int) -> Iterator[bytes]:
        """Bytes ``start`` to before ``end`` of a file, in pieces of about a mebibyte; `ServerError` if they are damaged."""
        entry = self.file(hash_from_hex(name))
        if entry is None:
            raise FormatError(f"file {name} is not stored")
        try:
            yield from self.read_terms(*self.trim(entry, start, end), end - start)
        except (FormatError, FileNotFoundError) as error:
            # The content was correct when it was stored, so this is not an error of the client.
            raise ServerError(f"the stored content of {name} is damaged: {error}", status=500) from error

    def file(self, value: Hash) -> FileEntry | None:
        """The entry of a file with its terms, or ``None``; the empty file is always there."""
        return FileEntry(ZERO_HASH, ()) if value == ZERO_HASH else self.index.file(value)

    def size_of(self, entry: FileEntry) -> int:
        """The size of a file in bytes, from a cache: ``entry.size`` would add up the terms each time."""
        return self._layouts.of_file(entry)[-1] if entry.terms else 0

    def trim(self, entry: FileEntry, start: int, end: int) -> tuple[int, list[Term]]:
        """The terms of a file that overlap a byte range, see `trim_terms`."""
        return trim_terms(entry.terms, self._layouts.of_file(entry), self._layouts.of_xorb, start, end)

    def read_terms(self, skip: int, terms: list[Term], length: int) -> Iterator[bytes]:
        """The content of the terms without its first ``skip`` bytes, at most ``length`` bytes."""
        with closing(self.xorbs.reader()) as reader:
            for term in terms:
                for piece in self._decode(term, reader):
                    if skip or len(piece) > length:
                        piece = piece[skip : skip + length]
                        skip = 0
                    length -= len(piece)
                    yield piece

    def stored(self, value: Hash) -> XorbInfo:
        """What a stored xorb holds; `BadRequestError` if it is not stored."""
        info = self.index.xorb(value)
        if info is None:
            raise _not_stored(value)
        return info

    def _decode(self, term: Term, reader: ObjectReader) -> Iterator[bytes]:
        info = self.stored(term.xorb_hash)
        start, end = byte_range(info, term.chunk_start, term.chunk_end)
        decoder = ChunkDecoder()
        waiting: list[Buffer] = []
        length = 0
        name = hash_to_hex(term.xorb_hash)
        while start < end:
            data = reader.read(name, min(PIECE, end - start), start)
            if not data:
                raise FormatError(f"xorb {name} is shorter than its index says")
            start += len(data)
            for chunk in decoder.feed(data):
                waiting.append(chunk.data)
                length += len(chunk.data)
            if length >= PIECE:
                yield b"".join(waiting)
                waiting, length = [], 0
        decoder.finish()
        if waiting:
            yield b"".join(waiting)

    def _check_xorb_entry(self, entry: XorbEntry) -> None:
        stored = self.stored(entry.xorb_hash)
        said = [(chunk.hash, chunk.raw_length) for chunk in entry.chunks]
        if said != [(chunk.hash, chunk.raw_length) for chunk in stored.chunks]:
            raise BadRequestError(f"the shard lists other chunks for xorb {hash_to_hex(entry.xorb_hash)}", status=400)

    def _check_files(self, files: Sequence[FileEntry]) -> None:
        known = self.index.files_of_contents(file.sha256 for file in files if file.sha256 is not None)
        # Small files lie side by side in a few xorbs; the reader keeps a xorb open from one file to the next.
        with closing(self.xorbs.reader(PIECE)) as reader:
            for file in files:
                is_known = file.sha256 is None or known.get(file.sha256) == (file.file_hash, file.size)
                self._check_file(file, None if is_known else reader)

    def _check_file(self, file: FileEntry, reader: ObjectReader | None) -> None:
        """Check a file against its xorbs; if a ``reader`` is given, also check its sha256 against its content."""
        name = hash_to_hex(file.file_hash)
        if len(file.verification) != len(file.terms):
            raise BadRequestError(f"file {name}: the shard has no verification hashes", status=400)
        hasher = FileHasher()
        for term, verification in zip(file.terms, file.verification, strict=True):
            stored = self.stored(term.xorb_hash).chunks
            if term.chunk_end > len(stored):
                raise BadRequestError(f"file {name}: a term goes beyond its xorb's {len(stored):,} chunks", status=400)
            run = stored[term.chunk_start : term.chunk_end]
            if sum(chunk.raw_length for chunk in run) != term.raw_length:
                raise BadRequestError(f"file {name}: a term's length is not that of its chunks", status=400)
            if term_hash(chunk.hash for chunk in run) != verification:
                raise BadRequestError(f"file {name}: a verification hash is wrong", status=400)
            hasher.update([(chunk.hash, chunk.raw_length) for chunk in run])
        if hasher.digest() != file.file_hash:
            raise BadRequestError(f"file {name}: its terms make another file hash", status=400)
        if reader is not None:
            # The chunk hashes do not prove the sha256, and commits name content by it.
            digest = hashlib.sha256()
            for term in file.terms:
                for piece in self._decode(term, reader):
                    digest.update(piece)
            if digest.hexdigest() != file.sha256:
                raise BadRequestError(f"file {name}: its content has another sha256", status=400)

    def _queryable(self, files: tuple[FileEntry, ...], named: list[Hash]) -> set[Hash]:
        first = {
            self.stored(file.terms[0].xorb_hash).chunks[file.terms[0].chunk_start].hash for file in files if file.terms
        }
        return first | {chunk.hash for value in named for chunk in self.stored(value).chunks if is_eligible(chunk.hash)}


def _check_size(files: Iterable[FileEntry]) -> None:
    """Refuse a shard whose files take too long to check: a few bytes of it can name the same xorb many times."""
    terms = [term for file in files for term in file.terms]
    size = sum(term.raw_length for term in terms)
    chunks = sum(term.chunk_end - term.chunk_start for term in terms)
    if size > MAX_SHARD_CONTENT or chunks > MAX_SHARD_CONTENT_CHUNKS:
        raise BadRequestError(
            f"the files of the shard have {size:,} bytes in {chunks:,} chunks; at most {MAX_SHARD_CONTENT:,} bytes in "
            f"{MAX_SHARD_CONTENT_CHUNKS:,} chunks fit into one shard", status=413,
        )  # fmt: skip


def _not_stored(xorb: Hash) -> BadRequestError:
    return BadRequestError(f"xorb {hash_to_hex(xorb)} is not stored", status=400)


def byte_range(info: XorbInfo, chunk_start: int, chunk_end: int) -> tuple[int, int]:
    """Start and end, in bytes, of a run of chunks in a serialized xorb."""
    return (info.chunks[chunk_start - 1].end if chunk_start else 0), info.chunks[chunk_end - 1].end
