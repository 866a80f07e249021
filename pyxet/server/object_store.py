"""Immutable objects as files: a name appears only when its content is on disk, whole."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


class ObjectStore:
    """Objects of one kind under a directory, spread over 256 folders by the start of their names.

    Content is written to a temporary file, synced, and renamed, and the folder is synced: after a crash at any moment an
    object is there with all its bytes, or not at all. What a crash left unfinished is removed at start.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._unfinished = root / "unfinished"
        self._unfinished.mkdir(parents=True, exist_ok=True)
        for left in self._unfinished.iterdir():
            left.unlink()

    def path(self, name: str) -> Path:
        """Where an object is, or would be."""
        return self._root / name[:2] / name

    def temporary(self) -> tuple[int, Path]:
        """An open descriptor and path for content that is still arriving."""
        descriptor, path = tempfile.mkstemp(dir=self._unfinished)
        return descriptor, Path(path)

    def keep(self, descriptor: int, temporary: Path, name: str) -> None:
        """Sync a temporary file and give it its name."""
        os.fsync(descriptor)
        target = self.path(name)
        fresh = not target.parent.exists()
        target.parent.mkdir(exist_ok=True)
        os.rename(temporary, target)
        sync_folder(target.parent)
        if fresh:
            sync_folder(self._root)

    def put(self, name: str, data: bytes) -> None:
        """Store an object that fits into memory."""
        descriptor, path = self.temporary()
        try:
            with open(descriptor, "wb", closefd=False) as file:
                file.write(data)
            self.keep(descriptor, path, name)
        finally:
            os.close(descriptor)
            path.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
