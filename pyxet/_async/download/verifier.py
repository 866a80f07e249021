"""Verifies the content of a file that is read in pieces.

The hash of a file covers all of its content, so one piece alone cannot be verified. A verifier records every piece that
is read of one file, in any order, and compares the hash once all pieces have come. A piece that is read twice must be the
same both times.
"""

from __future__ import annotations

import threading
from array import array
from bisect import bisect_left
from collections.abc import Iterable
from typing import Final

from pyxet._async.download.windows import FileChunk
from pyxet.content_ids import hash_like
from pyxet.errors import FormatError, IntegrityError
from pyxet.protocol.hashing import FileHasher, Hash, hash_to_hex
from pyxet.types import RemoteFile

# Chunks whose hashes are kept to compare what is read again: 16 GiB of content, in 6 MiB of memory.
_MAX_KEPT: Final = 256 * 1024
# Chunks that are kept because chunks before them are not read yet: 1 GiB of content, in about 4 MiB of memory.
_MAX_AHEAD: Final = 16 * 1024
# Bytes of each hash that are kept to compare a chunk that is read again.
_KEPT_HASH: Final = 16


class HashMismatchError(IntegrityError):
    """The whole content came, well-formed, but its hash is not the file's. Where possible, readers retry once."""


class DamagedContentError(IntegrityError, FormatError):
    """The content is malformed, so that it cannot be decoded."""

    def __reduce__(self) -> tuple[object, ...]:
        return (DamagedContentError, (self.what,))


class Verifier:
    """Verifies what is read of one version of one file.

    For a file in Xet storage, it takes the file's chunks. For other files, it takes pieces that always begin and end at the
    same offsets; their hash can only be computed in order, so pieces after a gap count only when they are read again.

    Parameters
    ----------
    file:
        The file, with its size and hash.
    """

    def __init__(self, file: RemoteFile) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._chunks = FileHasher() if file.xet_hash is not None else None
        self._bytes = hash_like(file.sha256, file.size)
        # Everything before this offset is part of the hash.
        self._end = 0
        # For the last chunks before `_end`, in order: the offset of each, and the first bytes of its hash.
        self._starts = array("Q")
        self._hashes = bytearray()
        # Chunks behind a gap: hash and length by offset.
        self._ahead: dict[int, tuple[Hash, int]] = {}
        self._verified = False
        self._failure: str | None = None

    def add(self, chunks: Iterable[FileChunk]) -> None:
        """Record chunks with their hashes.

        Raises
        ------
        IntegrityError
            The whole file has been read and its hash is wrong, or a chunk differs from when it was read before. From then
            on, every call raises this error.
        """
        with self._lock:
            if self._failure is not None:
                raise HashMismatchError(self._failure)
            for chunk in chunks:
                if chunk.offset < self._end:
                    self._compare(chunk)
                elif chunk.offset == self._end:
                    if chunk.offset in self._ahead:
                        self._keep(chunk)
                        del self._ahead[chunk.offset]
                    if self._chunks is None:
                        self._bytes.update(chunk.data)
                    self._append(chunk.hash, len(chunk.data))
                elif self._chunks is not None:
                    self._keep(chunk)
            while self._end in self._ahead:
                self._append(*self._ahead.pop(self._end))
            if not self._verified and self._end >= self._file.size:
                self._check()

    def _append(self, value: Hash, length: int) -> None:
        if self._chunks is not None:
            self._chunks.update([(value, length)])
        self._starts.append(self._end)
        self._hashes += value[:_KEPT_HASH]
        self._end += length
        if len(self._starts) > _MAX_KEPT:
            del self._starts[: _MAX_KEPT // 2]
            del self._hashes[: _MAX_KEPT // 2 * _KEPT_HASH]

    def _keep(self, chunk: FileChunk) -> None:
        known = self._ahead.setdefault(chunk.offset, (chunk.hash, len(chunk.data)))
        if known[0] != chunk.hash:
            self._fail(f"the chunk at byte {chunk.offset:,} differs from when it was read before")
        if len(self._ahead) > _MAX_AHEAD:
            del self._ahead[next(iter(self._ahead))]

    def _compare(self, chunk: FileChunk) -> None:
        if self._starts and chunk.offset < self._starts[0]:
            # Its hash is not kept any more.
            return
        place = bisect_left(self._starts, chunk.offset)
        kept = self._hashes[place * _KEPT_HASH : (place + 1) * _KEPT_HASH]
        if place == len(self._starts) or self._starts[place] != chunk.offset or kept != chunk.hash[:_KEPT_HASH]:
            self._fail(f"the chunk at byte {chunk.offset:,} differs from when it was read before")

    def _check(self) -> None:
        file = self._file
        if self._end > file.size:
            self._fail(f"{self._end:,} bytes came, {file.size:,} were expected")
        found = hash_to_hex(self._chunks.digest()) if self._chunks is not None else self._bytes.hexdigest()
        expected = file.xet_hash or file.sha256 or file.blob_id
        if found != expected:
            self._fail(f"the content read has the hash {found}, not {expected} as the repository says")
        self._verified = True

    def _fail(self, reason: str) -> None:
        self._failure = f"{self._file.full_path}: {reason}; discard what was read from it, and open it again"
        raise HashMismatchError(self._failure)
