"""What an ingest has stored so far: a file that outlives its process, so that the next run goes on from there.

It is an SQLite database, as a million pointers are neither to be held in memory nor to be written again for each batch.
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
# Pointers that are read at once.
_PART: Final = 1000


def default_place(about: Mapping[str, str]) -> Path:
    """Where the journal of an ingest is, unless it is told: in the user's folder for state, by source and destination."""
    import platformdirs

    name = hashlib.sha256(msgspec.json.encode(sorted(about.items()))).hexdigest()[:24]
    return Path(platformdirs.user_state_dir("xet", appauthor=False)) / "ingest" / f"{name}.sqlite"


class Journal:
    """The journal of one ingest. Only one process at a time has it.

    Parameters
    ----------
    place:
        The file; it is made, with its folders, if it is not there.
    about:
        Source and destination. A journal tells of one pair of them.

    Raises
    ------
    ConfigError
        It is no journal, that of another ingest, or one that another process is writing; or it cannot be made.
    """

    def __init__(self, place: Path, about: Mapping[str, str]) -> None:
        self.place = place
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            # Threads take turns with it.
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
            # Held until the end, and let go of by the system if this process is killed.
            execute("PRAGMA locking_mode=EXCLUSIVE")
            execute("PRAGMA journal_mode=WAL")
            execute("PRAGMA synchronous=NORMAL")
            execute("BEGIN EXCLUSIVE")
            for statement in _TABLES.split(";"):
                execute(statement)
            known = dict(execute("SELECT key, value FROM about WHERE key <> 'run'"))
            if known and known != dict(about):
                raise ConfigError(f"the journal {self.place} is that of another ingest: {known}")
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
        """Take what an earlier run stored of a file, if the file has not changed since: its size in bytes, or ``None``."""
        found = self._database.execute(
            "SELECT size FROM files WHERE name = ? AND version = ?", (file.name, file.version)
        ).fetchone()
        if found is None:
            return None
        self._database.execute("UPDATE files SET run = ? WHERE name = ?", (self._run, file.name))
        return int(found[0])

    def add(self, stored: Iterable[tuple[SourceFile, FilePointer]]) -> None:
        """Note what this run stored; it is safe from a kill when this returns."""
        rows = [
            (file.name, file.version, self._run, pointer.size, msgspec.json.encode(pointer)) for file, pointer in stored
        ]
        self._database.execute("BEGIN")
        self._database.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?)", rows)
        self._database.execute("COMMIT")

    def pointers(self) -> Iterator[FilePointer]:
        """Pointers of the files that this run stored or took, ordered by name."""
        last = ""
        # In parts: a query that is not read to its end would keep the database open.
        while rows := self._database.execute(
            "SELECT name, pointer FROM files WHERE name > ? AND run = ? ORDER BY name LIMIT ?", (last, self._run, _PART)
        ).fetchall():
            last = rows[-1][0]
            yield from (msgspec.json.decode(pointer, type=FilePointer) for _, pointer in rows)

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()
