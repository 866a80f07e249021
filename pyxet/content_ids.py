"""Identifiers of content, as repositories use them: its SHA-256, or git's blob id for small content inside a commit."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hashlib import _Hash


def blob_hash(size: int) -> _Hash:
    """A hash that gives git's object id of a blob after the ``size`` bytes of its content were added."""
    return hashlib.sha1(b"blob %d\0" % size)


def blob_id(data: bytes) -> str:
    """Git's object id of a blob with this content, in hex."""
    digest = blob_hash(len(data))
    digest.update(data)
    return digest.hexdigest()


def hash_like(sha256: str | None, size: int) -> _Hash:
    """A hash of the kind by which the repository identifies a file of ``size`` bytes.

    Parameters
    ----------
    sha256:
        The file's SHA-256 in the repository; ``None`` if the repository has only its blob id.
    """
    return hashlib.sha256() if sha256 else blob_hash(size)
