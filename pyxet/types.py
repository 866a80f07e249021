"""The small frozen types that the public interface and the layers below it exchange."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from pyxet.urls import RepoId


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit.

    Attributes
    ----------
    id:
        40 hex digits.
    message:
        Title and, after an empty line, the description.
    author:
        User name of the first author.
    date:
        Moment of the commit, with a time zone.
    parents:
        Ids of the parents; ``None`` where the endpoint does not tell them (the Hub does not).
    """

    id: str
    message: str
    author: str
    date: datetime
    parents: tuple[str, ...] | None = None

    @property
    def title(self) -> str:
        """First line of the message."""
        return self.message.partition("\n")[0]


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """One version of one file: enough to read its content without asking again.

    Attributes
    ----------
    repo, revision, path:
        Where it is; ``revision`` is the commit id it was looked up in.
    size:
        Bytes of the content.
    blob_id:
        Git object id: SHA-1 of the content, or of the pointer file for LFS content.
    sha256:
        SHA-256 of the content in hex for LFS content, else ``None``.
    xet_hash:
        Xet file hash (string form) where the content is stored in Xet, else ``None``.
    """

    repo: RepoId
    revision: str
    path: str
    size: int
    blob_id: str
    sha256: str | None = None
    xet_hash: str | None = None

    @property
    def full_path(self) -> str:
        """Repository, revision and path, for messages."""
        return f"{self.repo.path}/{self.revision}/{self.path}"


@dataclass(frozen=True, slots=True)
class UploadedContent:
    """Content that is stored, or about to be, and that a commit can name.

    Attributes
    ----------
    size:
        Bytes of the content.
    sha256:
        SHA-256 of the content in hex.
    xet_hash:
        Xet file hash (string form).
    """

    size: int
    sha256: str
    xet_hash: str
