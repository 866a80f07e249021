"""The common interface of the ends of a transfer: a repository, this machine, or another file system of fsspec."""

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
        The path in the form that its end uses.
    name:
        The path relative to the folder that is transferred; the last part of the path if a single file is transferred.
    size:
        Size in bytes; ``None`` if the end does not report it.
    sha256, blob_id:
        SHA-256 and git blob id of the content, in hex, if the end reports them. Repositories report at least the second.
    modified:
        Unix time of the last change, if it is known.
    linked:
        Whether the path leads through a link to a folder.
    special:
        Whether it cannot be read as a file: it is a pipe, a device or a link to nothing.
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
    """One end of a transfer: where files come from, or go to.

    Attributes
    ----------
    kind:
        ``xet``, ``local`` or ``other``.
    typed:
        The path as the user typed it.
    path:
        The path as the methods take it, without a slash at its end.
    """

    kind: Literal["xet", "local", "other"]

    def __init__(self, typed: str, path: str) -> None:
        self.typed = typed
        self.path = path

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]

    @property
    def has_slash(self) -> bool:
        """Whether the path was typed with a slash at its end."""
        return self.typed.endswith("/")

    def label(self, path: str) -> str:
        """A path as it is shown in messages."""
        return path

    @abstractmethod
    async def kind_of(self, path: str) -> Known | None:
        """What is at a path; ``None`` if there is nothing."""

    @abstractmethod
    def missing(self, path: str) -> Exception:
        """The error for a path at which there is nothing."""

    @abstractmethod
    async def entry(self, path: str) -> Entry:
        """The file at a path."""

    @abstractmethod
    def scan(self, path: str, *, dates: bool = False) -> AsyncIterator[list[Entry]]:
        """All files below a folder, page by page; ``dates`` requests their dates of change even where that costs extra."""

    @abstractmethod
    async def glob(self, pattern: str) -> list[tuple[str, Known]]:
        """The files and folders that match a pattern."""

    @abstractmethod
    async def delete(self, entries: Sequence[Entry]) -> None:
        """Delete files."""

    @abstractmethod
    async def digest(self, entry: Entry, like: Entry) -> str:
        """Read a file and compute its SHA-256 or git blob id in hex: the one that the entry ``like`` has."""


class StreamEnd(End):
    """An end whose files are read and written piece by piece."""

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
    """The folder in front of the first name with wildcards in a pattern."""
    found = MAGIC.search(pattern)
    return pattern[: found.start() if found else None].rpartition("/")[0]


def joined(folder: str, name: str) -> str:
    """The path of a name in a folder."""
    return f"{folder.rstrip('/')}/{name}" if folder else name
