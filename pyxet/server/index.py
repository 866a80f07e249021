"""The index of the content-addressed store: one SQLite database in WAL mode.

Rows are written after the objects they name are durable, so the index never names a missing object. Each thread reads
with its own connection; writers take turns.
"""

from __future__ import annotations

import errno
import logging
import os
import sqlite3
import struct
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from weakref import WeakSet

from pyxet.errors import ConfigError
from pyxet.protocol.hashing import HASH_SIZE, Hash, hash_to_hex
from pyxet.protocol.shard import FileEntry, parse_shard, write_upload_shard
from pyxet.protocol.xorb import XorbChunk, XorbInfo
from pyxet.server.kept import Kept

_VERSION: Final = 2
# Offset of the format number in a database file (https://sqlite.org/fileformat.html, 1.3).
_VERSION_AT: Final = 60
_SCHEMA: Final = """
CREATE TABLE xorbs (hash BLOB PRIMARY KEY, size INTEGER NOT NULL, chunks BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE files (hash BLOB PRIMARY KEY, size INTEGER NOT NULL, entry BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE contents (sha256 TEXT PRIMARY KEY, file BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE holders (sha256 TEXT, repo TEXT, until INTEGER, PRIMARY KEY (sha256, repo)) WITHOUT ROWID;
CREATE TABLE xorb_holders (xorb BLOB, repo TEXT, PRIMARY KEY (xorb, repo)) WITHOUT ROWID;
CREATE TABLE senders (xorb BLOB, user TEXT, PRIMARY KEY (xorb, user)) WITHOUT ROWID;
CREATE TABLE shards (id INTEGER PRIMARY KEY, xorbs BLOB NOT NULL);
CREATE TABLE chunks (hash BLOB, shard INTEGER, PRIMARY KEY (hash, shard)) WITHOUT ROWID;
"""
# Upgrade from the first format, which kept one shard for each chunk and did not record who holds or sent a xorb.
_FROM_1: Final = """
ALTER TABLE holders ADD COLUMN until INTEGER;
CREATE TABLE xorb_holders (xorb BLOB, repo TEXT, PRIMARY KEY (xorb, repo)) WITHOUT ROWID;
CREATE TABLE senders (xorb BLOB, user TEXT, PRIMARY KEY (xorb, user)) WITHOUT ROWID;
ALTER TABLE chunks RENAME TO chunks_1;
CREATE TABLE chunks (hash BLOB, shard INTEGER, PRIMARY KEY (hash, shard)) WITHOUT ROWID;
INSERT INTO chunks SELECT hash, shard FROM chunks_1;
DROP TABLE chunks_1;
"""
# Seconds for which a repository holds content that was uploaded for it but not committed.
GRACE: Final = 7 * 24 * 3600
# A chunk query examines this many shards with the chunk, newest first, to find one whose xorbs the user may use.
_MAX_SHARDS: Final = 32
# Maximum number of values in one query.
_MANY: Final = 500
_HOLD: Final = "INSERT INTO holders VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET until = max(until, excluded.until)"
# Limits of the caches of xorbs and of files: a chunk takes about 200 bytes, a term 400.
_MAX_CACHED_CHUNKS: Final = 256 * 1024
_MAX_CACHED_TERMS: Final = 64 * 1024
_log: Final = logging.getLogger("pyxet.server")
_CHUNK = struct.Struct("<32sII")


# Connections of the parent process after a fork: SQLite allows only the parent to close them.
_inherited: Final[list[sqlite3.Connection]] = []


class _Opened:
    """The connection of one thread, which is closed when the thread ends: it holds files that a process may not have many of."""

    def __init__(self, connection: sqlite3.Connection, immutable: bool) -> None:
        self.connection = connection
        self.immutable = immutable
        self._pid = os.getpid()

    def __del__(self, process: Callable[[], int] = os.getpid) -> None:
        # The function is a default, because at the end of the interpreter the module's names may be gone.
        if self._pid == process():
            self.connection.close()
        else:
            _inherited.append(self.connection)


class Index:
    """Tables of xorbs, files, contents by sha256, chunks that queries may find, and of who holds or has sent what."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._clock = clock
        self._local = threading.local()
        self._opened: WeakSet[_Opened] = WeakSet()
        self._writer = threading.Lock()
        # Nobody can write, so it is read as a file that does not change.
        self._immutable = False
        self._xorbs: Kept[Hash, XorbInfo] = Kept(_MAX_CACHED_CHUNKS)
        self._files: Kept[Hash, FileEntry] = Kept(_MAX_CACHED_TERMS)
        # SQLite gives the files beside it the same mode.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        # Check the version before SQLite opens the file, as SQLite may write to it.
        _check_version(path, _version_in(path))
        try:
            (version,) = self._connection().execute("PRAGMA user_version").fetchone()
            _check_version(path, version)
            # Write only if something has to change, so that a full disk does not prevent reading.
            if version != _VERSION:
                self._create(version)
        except sqlite3.DatabaseError as error:
            self.close()
            raise ConfigError(f"{path} cannot be used: {error}") from error
        except BaseException:
            self.close()
            raise

    def _create(self, version: int) -> None:
        with self._write() as writer:
            for statement in (_FROM_1 if version else _SCHEMA).split(";\n"):
                writer.execute(statement)
            if version:
                for (entry,) in writer.execute("SELECT entry FROM files"):
                    file = parse_shard(entry).files[0]
                    for repo in self.holders_of_file(file):
                        _hold_xorbs(writer, (term.xorb_hash for term in file.terms), repo)
            writer.execute(f"PRAGMA user_version = {_VERSION}")

    def close(self) -> None:
        """Close all connections."""
        for opened in list(self._opened):
            opened.connection.close()

    def add_xorb(self, info: XorbInfo, sender: str) -> None:
        """Remember a stored xorb and who sent it, in one change, as each change of the index waits for the disk."""
        packed = b"".join(_CHUNK.pack(chunk.hash, chunk.raw_length, chunk.end) for chunk in info.chunks)
        with self._write() as writer:
            writer.execute("INSERT OR IGNORE INTO xorbs VALUES (?, ?, ?)", (info.hash, info.size, packed))
            writer.execute("INSERT OR IGNORE INTO senders VALUES (?, ?)", (info.hash, sender))

    def xorb(self, value: Hash) -> XorbInfo | None:
        """What a stored xorb holds, or ``None``. Absence is not cached, as a xorb may be added at any moment."""
        known = self._xorbs.get(value)
        if known is not None:
            return known
        row = self._connection().execute("SELECT size, chunks FROM xorbs WHERE hash = ?", (value,)).fetchone()
        if row is None:
            return None
        info = XorbInfo(value, tuple(XorbChunk(*fields) for fields in _CHUNK.iter_unpack(row[1])), row[0])
        self._xorbs.put(value, info, len(info.chunks))
        return info

    def xorb_size(self, value: Hash) -> int | None:
        """Bytes of a stored xorb, or ``None``."""
        row = self._connection().execute("SELECT size FROM xorbs WHERE hash = ?", (value,)).fetchone()
        return row[0] if row else None

    def add_sender(self, xorb: Hash, user: str) -> None:
        """Remember that a user sent all bytes of a xorb."""
        if not self.is_sender(xorb, user):
            with self._write() as writer:
                writer.execute("INSERT OR IGNORE INTO senders VALUES (?, ?)", (xorb, user))

    def is_sender(self, xorb: Hash, user: str) -> bool:
        """Whether a user has sent a xorb."""
        query = "SELECT 1 FROM senders WHERE xorb = ? AND user = ?"
        return self._connection().execute(query, (xorb, user)).fetchone() is not None

    def add_files(
        self,
        files: Iterable[FileEntry],
        xorbs: Collection[Hash],
        queryable: Iterable[Hash],
        *,
        held: Iterable[FileEntry],
        repo: str,
    ) -> None:
        """Remember the files of one shard, all of them or none: with the xorbs a query for its chunks should tell.

        Parameters
        ----------
        files:
            Those that are new; a shard without new ones adds no chunks.
        held, repo:
            All files of the shard, and the path of the repository that it came for: it holds them for a while, see `GRACE`.
        """
        new = list(files)
        # In the order of their keys, so that neighbours go to the same pages.
        with self._write() as writer:
            shard = _add_shard(writer, xorbs) if new else None
            # An entry with a sha256 replaces one without.
            for verb, told in (("IGNORE", False), ("REPLACE", True)):
                writer.executemany(
                    f"INSERT OR {verb} INTO files VALUES (?, ?, ?)",
                    sorted(
                        (file.file_hash, file.size, write_upload_shard([file], []))
                        for file in new
                        if (file.sha256 is not None) == told
                    ),
                )
            writer.executemany(
                "INSERT OR IGNORE INTO contents VALUES (?, ?)",
                sorted((file.sha256, file.file_hash) for file in new if file.sha256 is not None),
            )
            chunks = list(queryable)
            if chunks:
                shard = shard or _add_shard(writer, xorbs)
                writer.executemany(
                    "INSERT OR IGNORE INTO chunks VALUES (?, ?)", ((value, shard) for value in sorted(chunks))
                )
            until = int(self._clock()) + GRACE
            writer.executemany(_HOLD, ((name, repo, until) for name in sorted(map(held_as, held))))
            _hold_xorbs(writer, xorbs, repo)
        self._files.forget(file.file_hash for file in new)

    def add_holders(self, contents: Iterable[str], repo: str) -> None:
        """Remember that a repository holds contents for good, given by sha256 or as `held_as` says."""
        wanted = list(dict.fromkeys(contents))
        known = dict(self._all("SELECT sha256, until FROM holders WHERE repo = ? AND sha256 IN", wanted, repo))
        rows = [sha256 for sha256 in wanted if known.get(sha256, 0) is not None]
        if not rows:
            return
        with self._write() as writer:
            writer.executemany(_HOLD, ((sha256, repo, None) for sha256 in sorted(rows)))
            for sha256 in rows:
                if sha256 not in known and (file := self.file_of_content(sha256)) is not None:
                    entry = self.file(file[0])
                    _hold_xorbs(writer, {term.xorb_hash for term in entry.terms} if entry else (), repo)

    def holders(self, sha256: str) -> list[str]:
        """Paths of the repositories that content was committed to, or uploaded for a short while ago."""
        query = "SELECT repo FROM holders WHERE sha256 = ? AND (until IS NULL OR until > ?)"
        return [repo for (repo,) in self._connection().execute(query, (sha256, int(self._clock())))]

    def holders_of_file(self, file: FileEntry) -> set[str]:
        """Paths of the repositories that hold a file, by its sha256 or by its file hash."""
        names = {hash_to_hex(file.file_hash), held_as(file)}
        return {repo for name in names for repo in self.holders(name)}

    def holders_of_xorb(self, xorb: Hash) -> list[str]:
        """Paths of the repositories that hold files of a xorb, or that it was uploaded for."""
        return [repo for (repo,) in self._connection().execute("SELECT repo FROM xorb_holders WHERE xorb = ?", (xorb,))]

    def copy_holder(self, repo: str, other: str) -> None:
        """Remember that another repository holds all that a first one does. This looks at all holders, as it is rare."""
        with self._write() as writer:
            writer.execute(
                "INSERT INTO holders SELECT sha256, ?, until FROM holders WHERE repo = ? "
                "ON CONFLICT DO UPDATE SET until = max(until, excluded.until)",
                (other, repo),
            )
            writer.execute(
                "INSERT OR IGNORE INTO xorb_holders SELECT xorb, ? FROM xorb_holders WHERE repo = ?", (other, repo)
            )

    def forget_holder(self, repo: str) -> None:
        """Forget all that a deleted or renamed repository held under this path. As slow as `copy_holder`."""
        with self._write() as writer:
            writer.execute("DELETE FROM holders WHERE repo = ?", (repo,))
            writer.execute("DELETE FROM xorb_holders WHERE repo = ?", (repo,))

    def release(self, contents: Iterable[str], repo: str) -> None:
        """A repository does not hold some contents any more, by sha256."""
        with self._write() as writer:
            writer.executemany("DELETE FROM holders WHERE sha256 = ? AND repo = ?", ((name, repo) for name in contents))

    def file(self, value: Hash) -> FileEntry | None:
        """The reconstruction of a file, or ``None``."""
        known = self._files.get(value)
        if known is not None:
            return known
        moment = self._files.now
        row = self._connection().execute("SELECT entry FROM files WHERE hash = ?", (value,)).fetchone()
        if row is None:
            return None
        entry = parse_shard(row[0]).files[0]
        self._files.put(value, entry, len(entry.terms) + 1, since=moment)
        return entry

    def files(self, values: Iterable[Hash]) -> dict[Hash, FileEntry]:
        """The reconstructions of those files that are stored."""
        moment = self._files.now
        known = {value: entry for value in values if (entry := self._files.get(value)) is not None}
        rows = self._all(
            "SELECT hash, entry FROM files WHERE hash IN", [value for value in values if value not in known]
        )
        for value, stored in rows:
            known[value] = entry = parse_shard(stored).files[0]
            self._files.put(value, entry, len(entry.terms) + 1, since=moment)
        return known

    def files_of_contents(self, contents: Iterable[str]) -> dict[str, tuple[Hash, int]]:
        """Like `file_of_content`, for many at once: those that are stored, by sha256."""
        rows = self._all(
            "SELECT c.sha256, f.hash, f.size FROM contents c JOIN files f ON f.hash = c.file WHERE c.sha256 IN",
            contents,
        )
        return {sha256: (value, size) for sha256, value, size in rows}

    def held(self, contents: Iterable[str], repo: str) -> set[str]:
        """Which of some contents a repository holds: see `holders`."""
        query = "SELECT sha256 FROM holders WHERE repo = ? AND (until IS NULL OR until > ?) AND sha256 IN"
        return {sha256 for (sha256,) in self._all(query, contents, repo, int(self._clock()))}

    def _all(self, query: str, values: Iterable[Any], *before: object) -> Iterator[tuple[Any, ...]]:
        """The rows of a query that ends in ``IN``, asked for many values at a time."""
        wanted = list(dict.fromkeys(values))
        for at in range(0, len(wanted), _MANY):
            part = wanted[at : at + _MANY]
            yield from self._connection().execute(f"{query} ({','.join('?' * len(part))})", (*before, *part))

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

    def xorbs_near(self, chunk: Hash) -> Iterator[list[Hash]]:
        """The xorbs of each shard with this chunk, as far as queries know it, the newest first."""
        rows = self._connection().execute(
            "SELECT s.xorbs FROM chunks c JOIN shards s ON s.id = c.shard WHERE c.hash = ? ORDER BY s.id DESC LIMIT ?",
            (chunk, _MAX_SHARDS),
        )
        for (xorbs,) in rows.fetchall():
            yield [xorbs[at : at + HASH_SIZE] for at in range(0, len(xorbs), HASH_SIZE)]

    def _connection(self) -> sqlite3.Connection:
        opened: _Opened | None = getattr(self._local, "opened", None)
        if opened is None or (opened.immutable and not self._immutable):
            return self._open()
        return opened.connection

    def _open(self) -> sqlite3.Connection:
        """A connection of this thread: for reading only, if the disk has no room for what SQLite needs for more."""
        if not self._immutable:
            try:
                return self._keep(self._open_for_writing(), immutable=False)
            except sqlite3.OperationalError as error:
                # In the log beside the database is what a killed process had committed; with it there is room enough.
                log = self._path.with_name(f"{self._path.name}-wal")
                if not _may_be_full(error) or (log.exists() and log.stat().st_size):
                    raise
                _log.warning("%s is open for reading only: %s; the disk may be full", self._path, error)
                self._immutable = True
        uri = f"{self._path.absolute().as_uri()}?immutable=1"
        return self._keep(sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False), immutable=True)

    def _open_for_writing(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, isolation_level=None, timeout=60, check_same_thread=False)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
        except BaseException:
            connection.close()
            raise
        return connection

    def _keep(self, connection: sqlite3.Connection, *, immutable: bool) -> sqlite3.Connection:
        self._local.opened = opened = _Opened(connection, immutable)
        self._opened.add(opened)
        return connection

    def _writable(self) -> None:
        """After the disk was full, check whether there is room again."""
        try:
            connection = self._open_for_writing()
        except sqlite3.OperationalError as error:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path)) from error
        self._keep(connection, immutable=False)
        self._immutable = False

    @contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        with self._writer:
            if self._immutable:
                self._writable()
            connection = self._connection()
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                # A full disk makes SQLite roll back by itself.
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise


def _version_in(path: Path) -> int:
    """The format as the head of a database's file says it; 0 in one that is new, or none."""
    with path.open("rb") as file:
        head = file.read(_VERSION_AT + 4)
    return int.from_bytes(head[_VERSION_AT:], "big") if head.startswith(b"SQLite format 3\0") else 0


def _check_version(path: Path, version: int) -> None:
    if version > _VERSION:
        raise ConfigError(
            f"{path} was written by a newer pyxet (format {version}, and this one knows {_VERSION}): update pyxet; nothing was "
            "changed"
        )


def _add_shard(writer: sqlite3.Connection, xorbs: Iterable[Hash]) -> int | None:
    return writer.execute("INSERT INTO shards (xorbs) VALUES (?)", (b"".join(xorbs),)).lastrowid


def _hold_xorbs(writer: sqlite3.Connection, xorbs: Iterable[Hash], repo: str) -> None:
    writer.executemany("INSERT OR IGNORE INTO xorb_holders VALUES (?, ?)", ((xorb, repo) for xorb in xorbs))


def _may_be_full(error: sqlite3.OperationalError) -> bool:
    """Whether a full disk may be why a database was not opened: SQLite just says that writing failed."""
    return error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN)


def held_as(file: FileEntry) -> str:
    """The key under which holders of a file are stored: its sha256, or its file hash in hex if the sha256 is not known."""
    return file.sha256 or hash_to_hex(file.file_hash)
