"""What a file object needs to know of the file system that opened it."""

from __future__ import annotations

from typing import Any, Protocol


class FileSystem(Protocol):
    """The file system that opens files, with those attributes that the files, and fsspec's base classes of them, use."""

    def open(self, path: str, mode: str = "rb", **kwargs: Any) -> Any:
        """Open a file again, as unpickling does."""

    def unstrip_protocol(self, name: str) -> str:
        """The URL of a path."""
