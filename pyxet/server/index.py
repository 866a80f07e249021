"""The index of the content-addressed store: one SQLite database in WAL mode.

Rows are written after the objects they name are durable, so the index never promises what is not there. Readers use a
connection of their thread, writers take turns.
"""

from __future__ import annotations

import os
import sqlite3
import struct
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from pyxet.errors import ConfigError
from pyxet.protocol.hashing import HASH_SIZE, Hash, hash_to_hex
from pyxet.protocol.shard import FileEntry, parse_shard, write_upload_shard
from pyxet.protocol.xorb import XorbChunk, XorbInfo

_VERSION: Final = 1
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS xorbs (hash BLOB PRIMARY KEY, size INTEGER NOT NULL, chunks BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS files (hash BLOB PRIMARY KEY, size INTEGER NOT NULL, entry BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS contents (sha256 TEXT PRIMARY KEY, file BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS holders (sha256 TEXT, repo TEXT, PRIMARY KEY (sha256, repo)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS shards (id INTEGER PRIMARY KEY, xorbs BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS chunks (hash BLOB PRIMARY KEY, shard INTEGER NOT NULL) WITHOUT ROWID;
"""
# Of what is cached of xorbs, about 200 bytes a chunk.
_MAX_CACHED_CHUNKS: Final = 256 * 1024
_CHUNK = struct.Struct("<32sII")


class Index:
    """Tables of xorbs, files, contents by sha256, and chunks that queries may find."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._local = threading.local()
        self._connections: list[sqlite3.Connection] = []
        self._writer = threading.Lock()
        self._xorbs: OrderedDict[Hash, XorbInfo] = OrderedDict()
        self._cached_chunks = 0
        self._cache = threading.Lock()
        # SQLite gives the files beside it the same mode.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        try:
            (version,) = self._connection().execute("PRAGMA user_version").fetchone()
            if version not in (0, _VERSION):
                raise ConfigError(f"{path} was written by another version of pyxet (format {version}); use that one")
            with self._write() as writer:
                for statement in _SCHEMA.split(";\n"):
                    writer.execute(statement)
                writer.execute(f"PRAGMA user_version = {_VERSION}")
        except sqlite3.DatabaseError as error:
            self.close()
            raise ConfigError(f"{path} cannot be used: {error}") from error
        except BaseException:
            self.close()
            raise

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

    def xorb(self, value: Hash) -> XorbInfo | None:
        """What a stored xorb holds, or ``None``. Only what is there is cached: absence may end at any moment."""
        with self._cache:
            known = self._xorbs.get(value)
            if known is not None:
                self._xorbs.move_to_end(value)
                return known
        row = self._connection().execute("SELECT size, chunks FROM xorbs WHERE hash = ?", (value,)).fetchone()
        if row is None:
            return None
        info = XorbInfo(value, tuple(XorbChunk(*fields) for fields in _CHUNK.iter_unpack(row[1])), row[0])
        with self._cache:
            if value not in self._xorbs:
                self._xorbs[value] = info
                self._cached_chunks += len(info.chunks)
            while self._cached_chunks > _MAX_CACHED_CHUNKS and len(self._xorbs) > 1:
                self._cached_chunks -= len(self._xorbs.popitem(last=False)[1].chunks)
        return info

    def xorb_size(self, value: Hash) -> int | None:
        """Bytes of a stored xorb, or ``None``."""
        row = self._connection().execute("SELECT size FROM xorbs WHERE hash = ?", (value,)).fetchone()
        return row[0] if row else None

    def add_files(
        self, files: Iterable[FileEntry], xorbs: Iterable[Hash], queryable: Iterable[Hash], *, repo: str
    ) -> None:
        """Remember the files of one shard, all of them or none: with the xorbs a query for its chunks should tell.

        ``repo`` is the path of the repository whose token brought the shard, see `holders`.
        """
        with self._write() as writer:
            cursor = writer.execute("INSERT INTO shards (xorbs) VALUES (?)", (b"".join(xorbs),))
            shard = cursor.lastrowid
            for file in files:
                entry = write_upload_shard([file], [])
                # One that tells the sha256 takes the place of one that does not.
                verb = "IGNORE" if file.sha256 is None else "REPLACE"
                writer.execute(f"INSERT OR {verb} INTO files VALUES (?, ?, ?)", (file.file_hash, file.size, entry))
                if file.sha256 is not None:
                    writer.execute("INSERT OR IGNORE INTO contents VALUES (?, ?)", (file.sha256, file.file_hash))
                writer.execute("INSERT OR IGNORE INTO holders VALUES (?, ?)", (held_as(file), repo))
            writer.executemany("INSERT OR REPLACE INTO chunks VALUES (?, ?)", ((value, shard) for value in queryable))

    def add_holders(self, contents: Iterable[str], repo: str) -> None:
        """Remember that a repository holds contents, given by sha256 or as `held_as` says."""
        rows = [(sha256, repo) for sha256 in contents if repo not in self.holders(sha256)]
        if rows:
            with self._write() as writer:
                writer.executemany("INSERT OR IGNORE INTO holders VALUES (?, ?)", rows)

    def holders(self, sha256: str) -> list[str]:
        """Paths of the repositories that content was uploaded for or committed to."""
        rows = self._connection().execute("SELECT repo FROM holders WHERE sha256 = ?", (sha256,))
        return [repo for (repo,) in rows]

    def holders_of_file(self, file: FileEntry) -> set[str]:
        """Paths of the repositories that hold a file, whatever they know it by."""
        names = {hash_to_hex(file.file_hash), held_as(file)}
        return {repo for name in names for repo in self.holders(name)}

    def copy_holder(self, repo: str, other: str) -> None:
        """Remember that another repository holds all that a first one does. This looks at all holders, as it is rare."""
        with self._write() as writer:
            writer.execute("INSERT OR IGNORE INTO holders SELECT sha256, ? FROM holders WHERE repo = ?", (other, repo))

    def forget_holder(self, repo: str) -> None:
        """Forget what a repository held that is not there any more, or not by this name. As slow as `copy_holder`."""
        with self._write() as writer:
            writer.execute("DELETE FROM holders WHERE repo = ?", (repo,))

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
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = FULL")
            except BaseException:
                connection.close()
                raise
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
                connection.execute("COMMIT")
            except BaseException:
                # A full disk makes SQLite roll back by itself.
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise


def held_as(file: FileEntry) -> str:
    """What holders of a file are remembered by: its sha256, or its own hash in hex where nobody told that."""
    return file.sha256 or hash_to_hex(file.file_hash)
