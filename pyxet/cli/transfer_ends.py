"""The ends of a transfer: a repository, this machine, another file system of fsspec's. What they have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from pyxet.content_ids import hash_like
from pyxet.patterns import MAGIC

Known: TypeAlias = Literal["file", "folder"]


@dataclass(frozen=True, slots=True)
class Entry:
    """A file at one end.

    Attributes
    ----------
    path:
        As its end names it.
    name:
        Below the folder that is transferred; its last part if it is alone.
    size:
        Bytes; ``None`` where that is not told.
    sha256, blob_id:
        Of its content, in hex, where its end tells them: of a repository at least the second.
    modified:
        When it last changed, in seconds since 1970, where that is known.
    linked:
        Whether a link to a folder leads to it.
    special:
        Whether it is no file that could be read: a pipe, a device, a link to nothing.
    """

    path: str
    name: str
    size: int | None
    sha256: str | None = None
    blob_id: str | None = None
    modified: float | None = None
    linked: bool = False
    special: bool = False


class End(ABC):
    """Where files come from, or go to.

    Attributes
    ----------
    kind:
        ``xet``, ``local`` or ``other``.
    typed:
        As the user wrote it.
    path:
        As the methods want it, without a slash at its end.
    """

    kind: Literal["xet", "local", "other"]

    def __init__(self, typed: str, path: str) -> None:
        self.typed = typed
        self.path = path

    @property
    def name(self) -> str:
        """The last part."""
        return self.path.rpartition("/")[2]

    @property
    def has_slash(self) -> bool:
        """Whether it is written with a slash at its end."""
        return self.typed.endswith("/")

    def label(self, path: str) -> str:
        """A path for messages."""
        return path

    @abstractmethod
    async def kind_of(self, path: str) -> Known | None:
        """What is at a path, if anything."""

    @abstractmethod
    def missing(self, path: str) -> Exception:
        """The error for a path with nothing there."""

    @abstractmethod
    async def entry(self, path: str) -> Entry:
        """The file at a path."""

    @abstractmethod
    def scan(self, path: str, *, dates: bool = False) -> AsyncIterator[list[Entry]]:
        """All files below a folder, page by page; ``dates``: also when they last changed, where that is dear."""

    @abstractmethod
    async def glob(self, pattern: str) -> list[tuple[str, Known]]:
        """What matches a pattern."""

    @abstractmethod
    async def delete(self, entries: Sequence[Entry]) -> None:
        """Delete files."""

    @abstractmethod
    async def digest(self, entry: Entry, like: Entry) -> str:
        """The digest of a file's content that another one has, in hex; for that it is read."""


class StreamEnd(End):
    """One whose files are read and written piece by piece."""

    @abstractmethod
    def pieces(self, entry: Entry) -> AsyncIterator[bytes]:
        """The content of a file."""

    @abstractmethod
    async def write(self, path: str, entry: Entry, pieces: AsyncIterator[bytes]) -> None:
        """Write a file: all of it, or nothing."""

    async def digest(self, entry: Entry, like: Entry) -> str:
        digest = hash_like(like.sha256, entry.size or 0)
        async for piece in self.pieces(entry):
            digest.update(piece)
        return digest.hexdigest()


def fixed_part(pattern: str) -> str:
    """The folder of a pattern that is no pattern itself."""
    found = MAGIC.search(pattern)
    return pattern[: found.start() if found else None].rpartition("/")[0]


def joined(folder: str, name: str) -> str:
    """The path of a name in a folder."""
    return f"{folder.rstrip('/')}/{name}" if folder else name
