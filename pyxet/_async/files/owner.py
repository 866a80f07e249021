"""What a file object knows of the file system that opened it."""

from __future__ import annotations

from typing import Any, Protocol


class FileSystem(Protocol):
    """A file system that files are opened on, as far as they, and fsspec's parts of them, need to know it."""

    def open(self, path: str, mode: str = "rb", **kwargs: Any) -> Any:
        """Open a file again, as unpickling does."""

    def unstrip_protocol(self, name: str) -> str:
        """The URL of a path."""
