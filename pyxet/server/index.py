"""The index of the content-addressed store: one SQLite database in WAL mode.

Rows are written after the objects they name are durable, so the index never promises what is not there. Readers use a
connection of their thread, writers take turns.
"""

from __future__ import annotations

import sqlite3
import struct
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Final

from pyxet.errors import ConfigError
from pyxet.protocol.hashing import HASH_SIZE, Hash
from pyxet.protocol.shard import FileEntry, parse_shard, write_upload_shard
from pyxet.protocol.xorb import XorbChunk, XorbInfo

_VERSION: Final = 1
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS xorbs (hash BLOB PRIMARY KEY, size INTEGER NOT NULL, chunks BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS files (hash BLOB PRIMARY KEY, size INTEGER NOT NULL, entry BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS contents (sha256 TEXT PRIMARY KEY, file BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS shards (id INTEGER PRIMARY KEY, xorbs BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS chunks (hash BLOB PRIMARY KEY, shard INTEGER NOT NULL) WITHOUT ROWID;
"""
_CHUNK = struct.Struct("<32sII")


class Index:
    """Tables of xorbs, files, contents by sha256, and chunks that queries may find."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._local = threading.local()
        self._connections: list[sqlite3.Connection] = []
        self._writer = threading.Lock()
        connection = self._connection()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version not in (0, _VERSION):
            raise ConfigError(f"{path} was written by another version of pyxet (format {version}); use that one")
        with self._write() as writer:
            for statement in _SCHEMA.split(";\n"):
                writer.execute(statement)
            writer.execute(f"PRAGMA user_version = {_VERSION}")
        self.xorb = lru_cache(maxsize=256)(self._read_xorb)

    def close(self) -> None:
        """Close all connections."""
        for connection in self._connections:
            connection.close()
        self._connections.clear()

    def add_xorb(self, info: XorbInfo) -> None:
        """Remember a stored xorb."""
        packed = b"".join(_CHUNK.pack(chunk.hash, chunk.raw_length, chunk.end) for chunk in info.chunks)
        with self._write() as writer:
            writer.execute("INSERT OR IGNORE INTO xorbs VALUES (?, ?, ?)", (info.hash, info.size, packed))
        self.xorb.cache_clear()

    def _read_xorb(self, value: Hash) -> XorbInfo | None:
        row = self._connection().execute("SELECT size, chunks FROM xorbs WHERE hash = ?", (value,)).fetchone()
        if row is None:
            return None
        return XorbInfo(value, tuple(XorbChunk(*fields) for fields in _CHUNK.iter_unpack(row[1])), row[0])

    def add_files(self, files: Iterable[FileEntry], xorbs: Iterable[Hash], queryable: Iterable[Hash]) -> None:
        """Remember the files of one shard, all of them or none: with the xorbs a query for its chunks should tell."""
        with self._write() as writer:
            cursor = writer.execute("INSERT INTO shards (xorbs) VALUES (?)", (b"".join(xorbs),))
            shard = cursor.lastrowid
            for file in files:
                entry = write_upload_shard([file], [])
                writer.execute("INSERT OR IGNORE INTO files VALUES (?, ?, ?)", (file.file_hash, file.size, entry))
                if file.sha256 is not None:
                    writer.execute("INSERT OR IGNORE INTO contents VALUES (?, ?)", (file.sha256, file.file_hash))
            writer.executemany("INSERT OR REPLACE INTO chunks VALUES (?, ?)", ((value, shard) for value in queryable))

    def file(self, value: Hash) -> FileEntry | None:
        """How a file is put together."""
        row = self._connection().execute("SELECT entry FROM files WHERE hash = ?", (value,)).fetchone()
        return parse_shard(row[0]).files[0] if row else None

    def file_of_content(self, sha256: str) -> tuple[Hash, int] | None:
        """File hash and size in bytes of content with this sha256."""
        row = (
            self._connection()
            .execute(
                "SELECT f.hash, f.size FROM contents c JOIN files f ON f.hash = c.file WHERE c.sha256 = ?", (sha256,)
            )
            .fetchone()
        )
        return (row[0], row[1]) if row else None

    def xorbs_near(self, chunk: Hash) -> list[Hash] | None:
        """The xorbs of the newest shard with this chunk, or ``None`` if queries do not know it."""
        row = (
            self._connection()
            .execute("SELECT s.xorbs FROM chunks c JOIN shards s ON s.id = c.shard WHERE c.hash = ?", (chunk,))
            .fetchone()
        )
        return [row[0][at : at + HASH_SIZE] for at in range(0, len(row[0]), HASH_SIZE)] if row else None

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = sqlite3.connect(self._path, isolation_level=None, timeout=60, check_same_thread=False)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            self._local.connection = connection
            self._connections.append(connection)
        return connection

    @contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        connection = self._connection()
        with self._writer:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")
