"""Immutable objects as files: a name appears only when its content is on disk, whole."""

from __future__ import annotations

import errno
import os
import tempfile
import threading
from pathlib import Path
from typing import BinaryIO, cast

from pyxet._platform import read_at, sync_file, sync_folder
from pyxet._platform_files import remove, replace


class ObjectStore:
    """Objects of one kind under a directory, spread over 256 folders by the start of their names.

    Content is written to a temporary file, synced, and renamed, and the folder is synced: after a crash at any moment an
    object is there with all its bytes, or not at all. What a crash left unfinished is removed at start.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._unfinished = root / "unfinished"
        root.mkdir(mode=0o700, exist_ok=True)
        self._unfinished.mkdir(mode=0o700, exist_ok=True)
        sync_folder(root.parent)
        self._folders: set[Path] = set()
        self._guard = threading.Lock()
        for left in self._unfinished.iterdir():
            remove(left)

    def path(self, name: str) -> Path:
        """Where an object is, or would be."""
        return self._root / name[:2] / name

    def temporary(self) -> tuple[int, Path]:
        """An open descriptor and path for content that is still arriving."""
        descriptor, path = tempfile.mkstemp(dir=self._unfinished)
        return descriptor, Path(path)

    def scratch(self) -> BinaryIO:
        """A file without a name, gone when it is closed."""
        return cast(BinaryIO, tempfile.TemporaryFile(dir=self._unfinished))

    def reader(self, ahead: int = 0) -> ObjectReader:
        """Reads parts of objects. Close it.

        Parameters
        ----------
        ahead:
            Minimum bytes of each read, for callers that continue in the same object.
        """
        return ObjectReader(self, ahead)

    def keep(self, temporary: Path, name: str) -> None:
        """Give a temporary file, which is on the disk and closed, its name."""
        target = self.path(name)
        self._make_folder(target.parent)
        replace(temporary, target)
        sync_folder(target.parent)

    def put(self, name: str, data: bytes) -> None:
        """Store an object that fits into memory."""
        descriptor, path = self.temporary()
        try:
            with open(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(descriptor)
            self.keep(path, name)
        finally:
            remove(path, missing_ok=True)

    def _make_folder(self, folder: Path) -> None:
        """Create a folder and make it durable, even if it exists, before anything in it counts as stored."""
        with self._guard:
            if folder not in self._folders:
                folder.mkdir(mode=0o700, exist_ok=True)
                sync_folder(self._root)
                self._folders.add(folder)


class ObjectReader:
    """Reads parts of objects, of which the last one stays open: who reads many small parts mostly reads on in the same."""

    def __init__(self, store: ObjectStore, ahead: int = 0) -> None:
        self._store = store
        self._ahead = ahead
        self._name = ""
        self._file: BinaryIO | None = None
        # What was read last, and where that was.
        self._data = memoryview(b"")
        self._at = 0

    def read(self, name: str, size: int, offset: int) -> memoryview:
        """At most so many bytes of an object; `FileNotFoundError` if it is not there."""
        if self._file is None or name != self._name:
            self.close()
            self._file = self._store.path(name).open("rb", buffering=0)
            self._name = name
        if not self._at <= offset <= offset + size <= self._at + len(self._data):
            self._data = memoryview(read_at(self._file.fileno(), max(size, self._ahead), offset))
            self._at = offset
        return self._data[offset - self._at : offset - self._at + size]

    def close(self) -> None:
        """Close what is open."""
        if self._file is not None:
            self._file.close()
            self._file = None
            self._data = memoryview(b"")


def is_disk_full(error: BaseException) -> bool:
    """Whether the disk, or a quota of it, is full: as the system says it, SQLite, or libgit2, which has only words for it."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return True
    text = str(error).lower()
    return any(
        words in text for words in ("no space left on device", "quota exceeded", "disk is full", "file too large")
    )


def write_all(descriptor: int, data: bytes | bytearray | memoryview) -> None:
    """Write all of ``data``; a disk that fills up is an `OSError`, never a short file."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def sync_tree(folder: Path) -> None:
    """Make a folder with all it holds durable."""
    for place, _, names in os.walk(folder):
        for name in names:
            sync_file(os.path.join(place, name))
        sync_folder(Path(place))
