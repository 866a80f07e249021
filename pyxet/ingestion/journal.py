"""Records what an ingest has stored, in a file that outlives its process, so that the next run continues from there.

It is an SQLite database, so that a million pointers need not be held in memory or be written again for each batch.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

import msgspec

from pyxet.errors import ConfigError
from pyxet.ingestion.plan import SourceFile
from pyxet.types import FilePointer

_TABLES: Final = """
CREATE TABLE IF NOT EXISTS about (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS files (
    name TEXT PRIMARY KEY, version TEXT NOT NULL, run INTEGER NOT NULL, size INTEGER NOT NULL, pointer BLOB NOT NULL
) WITHOUT ROWID;
"""
# Pointers that are read by one query.
_PART: Final = 1000


def default_place(about: Mapping[str, str]) -> Path:
    """The default path of an ingest's journal: in the user's folder for state, with a name made from ``about``."""
    import platformdirs

    name = hashlib.sha256(msgspec.json.encode(sorted(about.items()))).hexdigest()[:24]
    return Path(platformdirs.user_state_dir("xet", appauthor=False)) / "ingest" / f"{name}.sqlite"


class Journal:
    """The journal of one ingest. Only one process at a time can open it.

    Parameters
    ----------
    place:
        The file; it is made, with its folders, if it does not exist.
    about:
        Source, destination and endpoint. They are stored in the journal, which can be used for no others.

    Raises
    ------
    ConfigError
        The file is not a journal, is that of another ingest, is open in another process, or cannot be made.
    """

    def __init__(self, place: Path, about: Mapping[str, str]) -> None:
        self.place = place
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            # Several threads may use it, one after the other.
            self._database = sqlite3.connect(place, timeout=0.0, isolation_level=None, check_same_thread=False)
        except (OSError, sqlite3.OperationalError) as error:
            raise ConfigError(f"the journal {place} cannot be used: {error}") from error
        try:
            self._open(about)
        except BaseException:
            self._database.close()
            raise

    def _open(self, about: Mapping[str, str]) -> None:
        execute = self._database.execute
        try:
            # The lock is held until the journal is closed, or until the process is killed.
            execute("PRAGMA locking_mode=EXCLUSIVE")
            execute("PRAGMA journal_mode=WAL")
            execute("PRAGMA synchronous=NORMAL")
            execute("BEGIN EXCLUSIVE")
            for statement in _TABLES.split(";"):
                execute(statement)
            known = dict(execute("SELECT key, value FROM about WHERE key <> 'run'"))
            if known and known != dict(about):
                raise ConfigError(f"the journal {self.place} belongs to another ingest: {known}")
            executemany = self._database.executemany
            executemany("INSERT OR REPLACE INTO about VALUES (?, ?)", about.items())
            execute(
                "INSERT INTO about VALUES ('run', '1') ON CONFLICT(key) DO UPDATE SET value = CAST(value AS INTEGER) + 1"
            )
            [(run,)] = execute("SELECT value FROM about WHERE key = 'run'")
            self._run = int(run)
            execute("COMMIT")
        except sqlite3.OperationalError as error:
            raise ConfigError(
                f"the journal {self.place} cannot be used; is another ingest of the same source running? ({error})"
            ) from error
        except sqlite3.DatabaseError as error:
            raise ConfigError(f"{self.place} is not the journal of an ingest ({error})") from error

    def take(self, file: SourceFile) -> int | None:
        """Take over a file that an earlier run stored, if it has not changed since. Returns its size in bytes, or ``None``."""
        found = self._database.execute(
            "SELECT size FROM files WHERE name = ? AND version = ?", (file.name, file.version)
        ).fetchone()
        if found is None:
            return None
        self._database.execute("UPDATE files SET run = ? WHERE name = ?", (self._run, file.name))
        return int(found[0])

    def add(self, stored: Iterable[tuple[SourceFile, FilePointer]]) -> None:
        """Record what this run stored. Once this has returned, the record outlives a kill of the process."""
        rows = [
            (file.name, file.version, self._run, pointer.size, msgspec.json.encode(pointer)) for file, pointer in stored
        ]
        self._database.execute("BEGIN")
        self._database.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?)", rows)
        self._database.execute("COMMIT")

    def pointers(self) -> Iterator[FilePointer]:
        """The pointers of the files that this run stored or took over, ordered by name."""
        last = ""
        # Read in parts, because a query that is not read to its end would keep the database open.
        while rows := self._database.execute(
            "SELECT name, pointer FROM files WHERE name > ? AND run = ? ORDER BY name LIMIT ?", (last, self._run, _PART)
        ).fetchall():
            last = rows[-1][0]
            yield from (msgspec.json.decode(pointer, type=FilePointer) for _, pointer in rows)

    def close(self) -> None:
        """Close the file, which releases its lock."""
        self._database.close()
