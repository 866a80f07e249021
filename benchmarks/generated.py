"""A source of any size whose files are generated when they are read. It is its own module so that workers can import it."""

from __future__ import annotations

import random
from typing import Any

from fsspec import AbstractFileSystem
from fsspec.implementations.memory import MemoryFile

_PER_FOLDER = 1000
# One file in fifty is large; the large files together have half of the bytes.
_LARGE = 50


class GeneratedFileSystem(AbstractFileSystem):  # type: ignore[misc]  # fsspec has no types
    """Files of random bytes that are made when they are read, the same ones each time."""

    protocol = "generated"

    def __init__(self, files: int, total: int, **options: Any) -> None:
        super().__init__(files=files, total=total, **options)
        self.count = files
        large = files // _LARGE
        self.large_size = total // 2 // max(1, large) if large else 0
        self.small_size = (total - large * self.large_size) // (files - large)

    def _size(self, number: int) -> int:
        return self.large_size if number % _LARGE == _LARGE - 1 else self.small_size

    def _entry(self, number: int) -> dict[str, Any]:
        folder = number // _PER_FOLDER
        return {
            "name": f"tree/{folder:05}/{number:09}.bin",
            "type": "file",
            "size": self._size(number),
            "version_id": 1,
        }

    def info(self, path: str, **kwargs: Any) -> dict[str, Any]:
        parts = self._strip_protocol(path).split("/")
        return self._entry(int(parts[-1][:9])) if len(parts) == 3 else {"name": path, "type": "directory", "size": 0}

    def ls(self, path: str, detail: bool = True, **kwargs: Any) -> list[Any]:
        parts = self._strip_protocol(path).split("/")
        if len(parts) == 1:
            folders = range(-(-self.count // _PER_FOLDER))
            found = [{"name": f"tree/{folder:05}", "type": "directory", "size": 0} for folder in folders]
        else:
            start = int(parts[1]) * _PER_FOLDER
            found = [self._entry(number) for number in range(start, min(self.count, start + _PER_FOLDER))]
        return found if detail else [entry["name"] for entry in found]

    def _content(self, path: str) -> bytes:
        number = int(path.rpartition("/")[2][:9])
        return random.Random(number).randbytes(self._size(number))

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **kwargs: Any) -> bytes:
        return self._content(path)[start:end]

    def _open(self, path: str, mode: str = "rb", **kwargs: Any) -> Any:
        return MemoryFile(self, path, self._content(path))
