"""Content that arrives as plain bytes: cut into chunks, deduplicated and packed into xorbs while it comes.

Content is stored only when all of it has arrived and has the announced size and sha256. Until then its xorbs are temporary
files, and only a small part of the content is in memory.
"""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

from pyxet._platform_files import remove
from pyxet.errors import BadRequestError
from pyxet.protocol.chunking import Chunker
from pyxet.protocol.constants import MAX_XORB_BYTES, MAX_XORB_CHUNKS
from pyxet.protocol.dedup import FileAssembler, Place, Places
from pyxet.protocol.hashing import Hash, chunk_hash, is_eligible, xorb_hash
from pyxet.protocol.shard import Shard, ShardChunk, XorbEntry
from pyxet.protocol.xorb import EncodedChunk, XorbChunk, XorbInfo, encode_chunks
from pyxet.server.content import ContentStore
from pyxet.server.object_store import ObjectStore, write_all

# Chunks whose places are remembered at once, about 300 bytes each, and of the xorbs that one known chunk leads to.
_MAX_PLACES: Final = 64 * 1024
_MAX_LEARNED: Final = 16 * 1024
_PACKED = struct.Struct("<32sII")
Chunk = tuple[Hash, memoryview]


class PlainUpload:
    """Content that is arriving. Its methods block; one thread at a time uses it.

    Parameters
    ----------
    content:
        Where it is stored in the end.
    may_use:
        Which stored xorbs the content may share.
    """

    def __init__(self, content: ContentStore, may_use: Callable[[Hash], bool]) -> None:
        self._content = content
        self._may_use = may_use
        self._chunker = Chunker()
        self._sha256 = hashlib.sha256()
        self._places = Places()
        self._assembler = FileAssembler()
        # The bytes of the chunk that is not complete yet, and where it begins in the content.
        self._tail = b""
        self._begins = 0
        self._placed = 0
        self._begun = False
        self._open: _OpenXorb | None = None
        self._sealed: list[_SealedXorb] = []
        self.size = 0

    def write(self, pieces: list[bytes]) -> None:
        """The next bytes."""
        data = b"".join(pieces)
        self.size += len(data)
        self._sha256.update(data)
        self._add(list(self._cut(data, self._chunker.feed(data))))

    def finish(self, sha256: str, size: int, *, repo: str, user: str) -> None:
        """Store what has arrived.

        Parameters
        ----------
        sha256, size:
            What it must be.
        repo, user:
            Path of the repository that holds it from now on, and who has sent it.

        Raises
        ------
        BadRequestError
            422: the content has another size or sha256. Nothing is stored.
        """
        if self.size != size:
            raise BadRequestError(f"{self.size:,} bytes came of the {size:,} of {sha256}", status=422)
        if self._sha256.hexdigest() != sha256:
            raise BadRequestError(f"the content has the sha256 {self._sha256.hexdigest()}, not {sha256}", status=422)
        end = self._chunker.finish()
        self._add(list(self._cut(b"", [] if end is None else [end])))
        if not size:
            # Empty content needs no storage.
            return
        self._seal()
        for sealed in self._sealed:
            self._content.keep_xorb(sealed, sealed.info, user)
        file = self._assembler.entry(self._places, sha256)
        self._content.add_file(file, [sealed.hash for sealed in self._sealed], repo)

    def close(self) -> None:
        """Remove what is not stored."""
        if self._open is not None:
            self._open.close()
        for sealed in self._sealed:
            remove(sealed.temporary, missing_ok=True)

    def _cut(self, data: bytes, ends: list[int]) -> Iterator[Chunk]:
        """The chunks that ``data`` completes."""
        data = self._tail + data
        for start, end in pairwise([0, *(end - self._begins for end in ends)]):
            piece = memoryview(data)[start:end]
            yield chunk_hash(piece), piece
        if ends:
            self._tail = data[ends[-1] - self._begins :]
            self._begins = ends[-1]
        else:
            self._tail = data

    def _add(self, chunks: list[Chunk]) -> None:
        for value, _ in chunks:
            if not self._begun or is_eligible(value):
                self._begun = True
                self._look_for(value)
        new = {value: data for value, data in chunks if self._places.find(value) is None}
        encoded = {item.hash: item for item in encode_chunks(new.items())}
        values = [value for value, _ in chunks]
        at = 0
        while at < len(chunks):
            run = self._places.find_run(values, at)
            if run and self._assembler.takes(run):
                for place in run:
                    self._assembler.add(values[at], len(chunks[at][1]), place)
                    at += 1
                continue
            value, data = chunks[at]
            self._assembler.add(value, len(data), self._place(encoded.get(value) or encode_chunks([(value, data)])[0]))
            at += 1
        if self._open is not None:
            self._open.flush()
        if self._placed > _MAX_PLACES:
            self._places.forget()
            self._placed = 0

    def _look_for(self, value: Hash) -> None:
        """Look for a stored chunk, and remember the chunks of the xorbs stored with it for later lookups."""
        if self._places.find(value) is not None:
            return
        found = self._content.xorbs_with(value, self._may_use)
        at = next((at for at, info in enumerate(found) if any(item.hash == value for item in info.chunks)), 0)
        entries: list[XorbEntry] = []
        learned = 0
        # What follows in the stored file follows here, too, most of the time.
        for info in found[at:] + found[:at]:
            entries.append(XorbEntry(info.hash, tuple(ShardChunk(item.hash, item.raw_length) for item in info.chunks)))
            learned += len(info.chunks)
            if learned > _MAX_LEARNED:
                break
        self._placed += learned
        self._places.add_shard(Shard((), tuple(entries)))

    def _place(self, chunk: EncodedChunk) -> Place:
        """Put a chunk into the open xorb."""
        if self._open is not None and not self._open.fits(chunk):
            self._seal()
        if self._open is None:
            self._open = _OpenXorb(self._content.xorbs, self._places.open_xorb())
        place = Place(self._open.number, self._open.add(chunk))
        self._places.add(chunk.hash, place)
        self._placed += 1
        return place

    def _seal(self) -> None:
        if self._open is not None:
            sealed = self._open.seal()
            self._places.seal(self._open.number, sealed.hash)
            self._sealed.append(sealed)
            self._open = None


class _OpenXorb:
    """A xorb that is being filled, in a temporary file."""

    def __init__(self, store: ObjectStore, number: int) -> None:
        self.number = number
        self._descriptor, self._temporary = store.temporary()
        self._chunks: list[XorbChunk] = []
        self._size = 0
        self._waiting: list[memoryview] = []

    def fits(self, chunk: EncodedChunk) -> bool:
        return len(self._chunks) < MAX_XORB_CHUNKS and self._size + chunk.size <= MAX_XORB_BYTES

    def add(self, chunk: EncodedChunk) -> int:
        """Append a chunk; returns its index."""
        self._waiting.append(memoryview(chunk.block.memory)[chunk.start : chunk.end])
        self._size += chunk.size
        self._chunks.append(XorbChunk(chunk.hash, chunk.raw_length, self._size))
        return len(self._chunks) - 1

    def flush(self) -> None:
        """Write the added chunks to the file, which frees their memory."""
        write_all(self._descriptor, b"".join(self._waiting))
        self._waiting.clear()

    def seal(self) -> _SealedXorb:
        """Sync the xorb to the disk. It has no name yet."""
        self.flush()
        os.fsync(self._descriptor)
        os.close(self._descriptor)
        value = xorb_hash([(chunk.hash, chunk.raw_length) for chunk in self._chunks])
        packed = b"".join(_PACKED.pack(*chunk) for chunk in self._chunks)
        return _SealedXorb(self._temporary, value, self._size, packed)

    def close(self) -> None:
        os.close(self._descriptor)
        remove(self._temporary, missing_ok=True)


@dataclass(slots=True)
class _SealedXorb:
    """A whole xorb that waits for the rest of its content: content of hundreds of gigabytes has thousands of them.

    Its file is closed.
    """

    temporary: Path
    hash: Hash
    size: int
    packed: bytes

    @property
    def info(self) -> XorbInfo:
        """What it holds, which was hashed when it was written."""
        return XorbInfo(self.hash, tuple(XorbChunk(*item) for item in _PACKED.iter_unpack(self.packed)), self.size)

    def sync(self) -> None:
        """Nothing to do: it is on the disk."""
