"""Content as an endpoint stores it: xorb files on disk, and a manifest of the chunks in them and the terms of the files."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import msgspec

from pyxet.protocol.chunking import Chunker
from pyxet.protocol.hashing import FileHasher, chunk_hash, hash_to_hex
from pyxet.protocol.xorb import XorbBuilder, encode_chunk

_PIECE = 8 * 1024 * 1024


class StoredTerm(msgspec.Struct, array_like=True):
    """A run of chunks of a xorb, whose hash is in hex."""

    xorb: str
    start: int
    end: int
    length: int


class StoredFile(msgspec.Struct):
    """A file: the path of its original, its hashes and its terms."""

    path: str
    source: str
    size: int
    sha256: str
    file_hash: str
    terms: list[StoredTerm]


class StoredChunk(msgspec.Struct, array_like=True):
    """A chunk: hash, raw length, end in the serialized xorb."""

    hash: bytes
    length: int
    end: int


class Manifest(msgspec.Struct):
    """Some files, and the xorbs with their content."""

    files: list[StoredFile] = []
    xorbs: dict[str, list[StoredChunk]] = {}


def load(path: Path) -> Manifest:
    """Read a manifest."""
    return msgspec.json.decode(path.read_bytes(), type=Manifest)


def prepare(folder: Path, name: str, sources: Sequence[tuple[str, Path]]) -> Path:
    """The manifest of some files, (path in the repository, original). It is made, with its xorbs, unless it exists."""
    target = folder / f"{name}.json"
    if target.exists():
        return target
    xorbs = folder / "xorbs"
    xorbs.mkdir(parents=True, exist_ok=True)
    writer = _Writer(xorbs)
    for path, source in sources:
        writer.add(path, source)
    writer.finish()
    temporary = target.with_suffix(".new")
    temporary.write_bytes(msgspec.json.encode(writer.manifest))
    temporary.rename(target)
    return target


def discard(target: Path) -> None:
    """Remove a manifest, and its xorbs that are in no other manifest of the folder."""
    if not target.exists():
        return
    gone = set(load(target).xorbs)
    target.unlink()
    for other in target.parent.glob("*.json"):
        gone -= load(other).xorbs.keys()
    for name in gone:
        (target.parent / "xorbs" / name).unlink(missing_ok=True)


class _Writer:
    """Packs files into xorbs, one file after another; small files share a xorb."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._builder = XorbBuilder()
        # Terms of the open xorb, which get its name when it is full.
        self._open: list[StoredTerm] = []
        self.manifest = Manifest([], {})

    def add(self, path: str, source: Path) -> None:
        """Pack a file."""
        chunker, hasher, sha256 = Chunker(), FileHasher(), hashlib.sha256()
        terms: list[StoredTerm] = []
        begin = size = 0
        waiting = b""
        with source.open("rb") as file:
            while True:
                piece = file.read(_PIECE)
                sha256.update(piece)
                size += len(piece)
                ends = chunker.feed(piece) if piece else [last] if (last := chunker.finish()) is not None else []
                waiting += piece
                base = begin
                for end in ends:
                    data = waiting[begin - base : end - base]
                    begin = end
                    value = chunk_hash(data)
                    hasher.update([(value, len(data))])
                    self._place(data, value, terms)
                waiting = waiting[begin - base :]
                if not piece:
                    break
        found = hash_to_hex(hasher.digest())
        self.manifest.files.append(StoredFile(path, str(source), size, sha256.hexdigest(), found, terms))

    def _place(self, data: bytes, value: bytes, terms: list[StoredTerm]) -> None:
        chunk = encode_chunk(data, value)
        if not self._builder.fits(chunk.size):
            self.finish()
        index = self._builder.add(chunk)
        if terms and terms[-1].xorb == "" and terms[-1].end == index:
            terms[-1].end += 1
            terms[-1].length += len(data)
        else:
            terms.append(StoredTerm("", index, index + 1, len(data)))
            self._open.append(terms[-1])

    def finish(self) -> None:
        """Write the open xorb."""
        if not len(self._builder):
            return
        xorb = self._builder.build()
        name = hash_to_hex(xorb.info.hash)
        with (self._folder / name).open("wb") as file:
            for part in xorb.slices:
                file.write(part)
        self.manifest.xorbs[name] = [StoredChunk(item.hash, item.raw_length, item.end) for item in xorb.info.chunks]
        for term in self._open:
            term.xorb = name
        self._builder, self._open = XorbBuilder(), []
