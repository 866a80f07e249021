"""Discussions and pull requests of a repository: one file for each in its directory, always replaced as a whole.

Renaming or deleting the repository renames or deletes them too. A repository without the directory has none. Everything here
blocks and belongs in worker threads; writers hold the repository's lock (`Repository.turn`).
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from pyxet._platform import sync_folder
from pyxet._platform_files import replace
from pyxet.errors import BadRequestError, NotFoundError

FOLDER: Final = "xet-discussions"
# The most bytes of one record: a reader takes all of it into memory.
_MAX_RECORD: Final = 16 * 1024 * 1024
_MAX_COMMENT: Final = 65_536
_MAX_TITLE: Final = 200


class Event(msgspec.Struct):
    """Something that a user did. ``created`` is in Unix seconds."""

    type: str
    author: str
    data: dict[str, Any]
    id: str = msgspec.field(default_factory=lambda: secrets.token_hex(12))
    created: float = msgspec.field(default_factory=time.time)


class Head(msgspec.Struct, omit_defaults=True):
    """One discussion without its events, as lists show it."""

    num: int
    title: str
    author: str
    created: float
    status: str = "open"
    # Pull requests only: the base branch, and the commit it had when the pull request was opened.
    base: str | None = None
    start: str | None = None
    # The merge commit: as ``merging`` it is written before the branch moves, as ``merged`` afterwards.
    merging: str | None = None
    merged: str | None = None

    @property
    def is_pull_request(self) -> bool:
        """Whether this is a pull request, not only a discussion."""
        return self.base is not None


class Record(Head, omit_defaults=True):
    """One discussion, as it is stored."""

    events: list[Event] = []

    def add(self, kind: str, author: str, **data: Any) -> Event:
        """Append an event."""
        event = Event(kind, author, data)
        self.events.append(event)
        return event

    def comment(self, author: str, text: str) -> Event:
        """Append a comment."""
        check_comment(text)
        return self.add("comment", author, raw=text, updated=time.time(), by=author, history=[], hidden=False)

    def change_status(self, author: str, status: str) -> Event:
        """Set the status, such as open, closed or merged, and append an event for it."""
        self.status = status
        return self.add("status-change", author, status=status)


class Discussions:
    """The discussions and pull requests of the repository in one directory."""

    def __init__(self, repository: Path) -> None:
        self._folder = repository / FOLDER

    def numbers(self) -> list[int]:
        """Numbers of all of them, the newest first."""
        try:
            names = os.listdir(self._folder)
        except FileNotFoundError:
            return []
        found = (name.removesuffix(".json") for name in names if name.endswith(".json"))
        return sorted((int(name) for name in found if name.isdigit()), reverse=True)

    def heads(self) -> Iterator[Head]:
        """All of them, the newest first."""
        for number in self.numbers():
            yield msgspec.json.decode(self._path(number).read_bytes(), type=Head)

    def read(self, number: int) -> Record:
        """The record with this number; `NotFoundError` if there is none."""
        try:
            return msgspec.json.decode(self._path(number).read_bytes(), type=Record)
        except FileNotFoundError:
            raise NotFoundError(f"there is no discussion or pull request {number} here", status=404) from None

    def write(self, record: Record) -> None:
        """Store a record; a crash at any moment leaves the old record or the new one."""
        data = msgspec.json.encode(record)
        if len(data) > _MAX_RECORD:
            raise BadRequestError(f"discussion {record.num} is full; go on in another one", status=413)
        if not self._folder.is_dir():
            self._folder.mkdir(mode=0o700, exist_ok=True)
            sync_folder(self._folder.parent)
        path = self._path(record.num)
        temporary = path.with_suffix(".new")
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        replace(temporary, path)
        sync_folder(self._folder)

    def _path(self, number: int) -> Path:
        return self._folder / f"{number}.json"


def check_title(text: str, *, shortest: int = 3) -> str:
    """A title, with each run of white space as one space; `BadRequestError` if it is too short or too long."""
    title = " ".join(text.split())
    if not shortest <= len(title) <= _MAX_TITLE:
        raise BadRequestError(
            f"a title has {shortest} to {_MAX_TITLE} characters; this one has {len(title)}", status=400
        )
    return title


def title_of(summary: str) -> str:
    """The title of a pull request that is opened by a commit with this summary."""
    title = " ".join(summary.split())
    return title if len(title) <= _MAX_TITLE else f"{title[: _MAX_TITLE - 1]}…"


def check_comment(text: str) -> None:
    """Raise `BadRequestError` for a comment that is too long."""
    if len(text) > _MAX_COMMENT:
        raise BadRequestError(
            f"a comment has at most {_MAX_COMMENT:,} characters; this one has {len(text):,}", status=400
        )
