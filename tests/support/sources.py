"""A source for ingests that records its reads, and fails, waits or dies at given paths; and the check of what arrives."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path
from typing import Any

from fsspec import AbstractFileSystem
from fsspec.implementations.memory import MemoryFile


def content_of(path: str, size: int) -> bytes:
    """The content of a file of the source."""
    return random.Random(path).randbytes(size)


def source_tree(count: int = 30, *, large: int = 2) -> dict[str, int]:
    """Paths and sizes of small files in some folders, and of large ones."""
    small = {f"tree/{number % 3}/{number:03}.bin": 1000 + number for number in range(count)}
    return small | {f"tree/large/{number}.bin": 3 * 1024 * 1024 + number for number in range(large)}


def assert_copied(fs: AbstractFileSystem, files: dict[str, int], folder: str) -> None:
    """Fail unless a folder has exactly the files that are below ``tree`` in the source."""
    there = fs.find(folder, detail=True)
    assert {name.removeprefix(f"{folder}/"): info["size"] for name, info in there.items()} == {
        path.removeprefix("tree/"): size for path, size in files.items()
    }
    for name in there:
        path = "tree/" + name.removeprefix(f"{folder}/")
        assert fs.cat_file(name) == content_of(path, files[path]), path


class SourceFileSystem(AbstractFileSystem):
    """Files of random bytes, which are generated when they are read.

    Parameters
    ----------
    files:
        Sizes by path.
    notes:
        A folder on disk, shared by all processes that read. Each read appends a line to its file ``read``.
    trouble:
        By path, what happens when it is read: ``fails`` (also when a folder is listed), ``is cut`` (the last byte is missing),
        ``waits`` (until ``notes`` has a file ``go``), ``kills`` (the process), or ``kills once`` (then ``notes`` gets a file
        ``trouble-…``).
    """

    protocol = "counted"
    cachable = False

    def __init__(
        self,
        files: dict[str, int],
        notes: str,
        trouble: dict[str, str] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(files=files, notes=notes, trouble=trouble, **options)
        self.files = files
        self.notes = Path(notes)
        self.trouble = trouble or {}

    @property
    def reads(self) -> list[str]:
        """Paths that any process has read, in the order of the reads."""
        noted = self.notes / "read"
        return noted.read_text().split() if noted.exists() else []

    def info(self, path: str, **kwargs: Any) -> dict[str, Any]:
        path = self._strip_protocol(path)
        if path in self.files:
            return {"name": path, "type": "file", "size": self.files[path]}
        if any(name.startswith(f"{path}/") for name in self.files):
            return {"name": path, "type": "directory", "size": 0}
        raise FileNotFoundError(path)

    def ls(self, path: str, detail: bool = True, **kwargs: Any) -> list[Any]:
        path = self._strip_protocol(path)
        if self.trouble.get(path) == "fails":
            raise OSError(f"{path} cannot be listed")
        below = {name[len(path) + 1 :].partition("/")[0] for name in self.files if name.startswith(f"{path}/")}
        return [self.info(f"{path}/{name}") if detail else f"{path}/{name}" for name in sorted(below)]

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **kwargs: Any) -> bytes:
        path = self._strip_protocol(path)
        with (self.notes / "read").open("a") as noted:
            noted.write(f"{path}\n")
        self._meet_trouble(path)
        size = self.files[path] - (self.trouble.get(path) == "is cut")
        return content_of(path, self.files[path])[:size][start:end]

    def _open(self, path: str, mode: str = "rb", **kwargs: Any) -> Any:
        return MemoryFile(self, path, self.cat_file(path))

    def _meet_trouble(self, path: str) -> None:
        what = self.trouble.get(path)
        if what == "fails":
            raise OSError(f"{path} cannot be read")
        while what == "waits" and not (self.notes / "go").exists():
            time.sleep(0.01)
        if what == "kills":
            os.kill(os.getpid(), signal.SIGKILL)
        if what == "kills once":
            marker = self.notes / f"trouble-{path.replace('/', '-')}"
            try:
                marker.touch(exist_ok=False)
            except FileExistsError:
                return
            os.kill(os.getpid(), signal.SIGKILL)
