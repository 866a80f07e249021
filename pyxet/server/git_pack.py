"""Where a commit's objects are written: each to a file of its own, or all of them to one pack (git's ``gitformat-pack``).

Each loose object is a file that is made, synced and renamed, and its folder is synced too: ten thousand pointers keep a
disk busy for many seconds. A pack holds the pointers, trees and commit in one file with an index, with three syncs in all.
It stores objects whole, not as deltas; ``git gc`` can make deltas later. A commit of a few files gets loose objects,
because each look-up searches every pack.
"""

from __future__ import annotations

import hashlib
import os
import struct
import tempfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Protocol

import pygit2

from pyxet._platform import sync_folder, write_at
from pyxet._platform_files import closing, remove, replace
from pyxet.errors import BadRequestError
from pyxet.server.object_store import write_all

COMMIT, TREE, BLOB = pygit2.enums.ObjectType.COMMIT, pygit2.enums.ObjectType.TREE, pygit2.enums.ObjectType.BLOB
_NAMES: Final[Mapping[int, bytes]] = {COMMIT: b"commit", TREE: b"tree", BLOB: b"blob"}
# Objects up to this many bytes are stored uncompressed: compressing a pointer saves few bytes, and costs as much as all
# other work on it.
_STORED: Final = 200
_STORED_BLOCK = struct.Struct("<2sBHH")
_HEADER = struct.Struct(">4sII")
# Larger offsets have another form in the index; the content of a commit request is far smaller.
_MAX_OFFSET: Final = 2**31
_FLUSH: Final = 1024 * 1024


class NewObjects(Protocol):
    """Takes the objects of one commit."""

    def add(self, kind: int, data: bytes) -> str:
        """Add an object unless it exists; return its id in hex."""
        ...

    def publish(self) -> None:
        """Make all added objects durable and part of the repository."""
        ...


class LooseObjects:
    """Each object is written at once, to a file of its own."""

    def __init__(self, git: pygit2.Repository) -> None:
        self._git = git

    def add(self, kind: int, data: bytes) -> str:
        """Write an object unless it exists; return its id in hex."""
        return str(self._git.write(kind, data))

    def publish(self) -> None:
        """Do nothing: `add` has already written each object."""


class PackWriter:
    """Writes objects to a pack of a repository.

    Parameters
    ----------
    objects:
        The repository's ``objects`` folder.
    """

    def __init__(self, objects: Path) -> None:
        self._folder = objects / "pack"
        self._folder.mkdir(exist_ok=True)
        # After a crash, git removes left-over files with this prefix.
        self._descriptor, name = tempfile.mkstemp(prefix="tmp_pack_", dir=self._folder)
        self._is_open = True
        self._temporary = Path(name)
        # Object id → checksum of the packed bytes, offset in the pack.
        self._entries: dict[bytes, tuple[int, int]] = {}
        self._buffer = bytearray()
        self._size = 0
        # A placeholder: the header, which has the number of objects, is written at the end.
        self._write(bytes(_HEADER.size))

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, kind: int, data: bytes) -> str:
        """Add an object unless the pack has it; return its id in hex."""
        oid = hashlib.sha1(b"%s %d\0%s" % (_NAMES[kind], len(data), data)).digest()
        if oid not in self._entries:
            if self._size >= _MAX_OFFSET:
                raise BadRequestError("the files inside one commit are too large together", status=413)
            packed = _size_header(kind, len(data)) + _compressed(data)
            self._entries[oid] = (zlib.crc32(packed), self._size)
            self._write(packed)
        return oid.hex()

    def close(self) -> None:
        """Remove the temporary file of a pack that was not published."""
        if self._is_open:
            self._is_open = False
            os.close(self._descriptor)
        remove(self._temporary, missing_ok=True)

    def publish(self) -> None:
        """Make the pack durable and part of the repository. The index comes last: git ignores a pack without one.

        Call this only once; nothing can be added afterwards.
        """
        self._flush()
        write_at(self._descriptor, _HEADER.pack(b"PACK", 2, len(self._entries)), 0)
        checksum = self._checksum()
        write_all(self._descriptor, checksum)
        os.fsync(self._descriptor)
        target = self._folder / f"pack-{checksum.hex()}"
        with closing(self._descriptor):
            self._is_open = False
            replace(self._temporary, target.with_suffix(".pack"))
        descriptor, name = tempfile.mkstemp(prefix="tmp_idx_", dir=self._folder)
        try:
            try:
                write_all(descriptor, self._index(checksum))
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            replace(name, target.with_suffix(".idx"))
        finally:
            remove(name, missing_ok=True)
        sync_folder(self._folder)

    def _write(self, data: bytes) -> None:
        self._size += len(data)
        self._buffer += data
        if len(self._buffer) >= _FLUSH:
            self._flush()

    def _flush(self) -> None:
        write_all(self._descriptor, self._buffer)
        self._buffer.clear()

    def _checksum(self) -> bytes:
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        digest = hashlib.sha1()
        while piece := os.read(self._descriptor, _FLUSH):
            digest.update(piece)
        return digest.digest()

    def _index(self, checksum: bytes) -> bytes:
        """The index, version 2: how many ids begin with at most each byte, ids, checksums, offsets."""
        entries = sorted(self._entries.items())
        counts = [0] * 256
        for oid, _ in entries:
            counts[oid[0]] += 1
        total = 0
        for first, count in enumerate(counts):
            total += count
            counts[first] = total
        index = b"".join(
            (
                b"\xfftOc",
                struct.pack(">257I", 2, *counts),
                *(oid for oid, _ in entries),
                struct.pack(f">{total}I", *(crc for _, (crc, _) in entries)),
                struct.pack(f">{total}I", *(offset for _, (_, offset) in entries)),
                checksum,
            )
        )
        return index + hashlib.sha1(index).digest()


def _compressed(data: bytes) -> bytes:
    """A zlib stream of some bytes (RFC 1950). A single stored block takes less time than setting up a compressor."""
    size = len(data)
    if size > _STORED:
        return zlib.compress(data, 1)
    return b"".join(
        (_STORED_BLOCK.pack(b"\x78\x01", 1, size, size ^ 0xFFFF), data, zlib.adler32(data).to_bytes(4, "big"))
    )


def _size_header(kind: int, size: int) -> bytes:
    """An object's type and size: four bits of the size, then seven in each byte, the high bit says that more follow."""
    byte = kind << 4 | size & 15
    size >>= 4
    header = bytearray()
    while size:
        header.append(byte | 0x80)
        byte = size & 0x7F
        size >>= 7
    header.append(byte)
    return bytes(header)
