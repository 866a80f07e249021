"""Identifies content as repositories do: by its SHA-256, or small content inside a commit by git's id of a blob."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hashlib import _Hash


def blob_hash(size: int) -> _Hash:
    """A hash that gives git's object id of a blob, once the ``size`` bytes of its content were added."""
    return hashlib.sha1(b"blob %d\0" % size)


def blob_id(data: bytes) -> str:
    """Git's object id of a blob with this content, in hex."""
    digest = blob_hash(len(data))
    digest.update(data)
    return digest.hexdigest()


def hash_like(sha256: str | None, size: int) -> _Hash:
    """A hash of the kind that a repository tells of a file of ``size`` bytes.

    Parameters
    ----------
    sha256:
        The SHA-256 that the repository tells; ``None`` if it tells a blob id.
    """
    return hashlib.sha256() if sha256 else blob_hash(size)
