"""``progress=True``: a bar on a terminal or in a notebook while a call transfers files, and always a line at its end.

A call reports to a `Bar` through fsspec's callbacks; `Watching` shows the counts.
"""

from __future__ import annotations

import threading
import time
from typing import Any, Final, Self

from fsspec.callbacks import DEFAULT_CALLBACK, Callback

from pyxet._displays import Look, Watching, display
from pyxet._shown import human_size

_PAST: Final = {"downloading": "downloaded", "uploading": "uploaded", "storing": "stored", "ingesting": "ingested"}


class Bar:
    """The progress of a call, from its beginning to `close`.

    Parameters
    ----------
    verb:
        What the call does: ``downloading``.

    Attributes
    ----------
    files, found_files:
        Number of files that are done, and of all files found so far.
    bytes:
        Bytes moved.
    """

    def __init__(self, verb: str) -> None:
        self.verb = verb
        self.files = self.found_files = self.bytes = 0
        self._parts = 0.0
        self._began = time.monotonic()
        self._lock = threading.Lock()
        self.watching = Watching(self._look, display())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self.close(failed=kind is not None)

    @property
    def fraction(self) -> float:
        """The share that is done, from 0 to 1: the mean of the shares of all files, whatever their sizes."""
        return min(1.0, self._parts / self.found_files) if self.found_files else 0.0

    def callback(self, inner: Callback = DEFAULT_CALLBACK, *, files: bool) -> Callback:
        """The callback to pass to the call.

        Parameters
        ----------
        inner:
            The caller's own callback, to which everything is forwarded.
        files:
            Whether the call counts files, and branches off a callback for each one; otherwise it counts bytes.
        """
        if files:
            return _Files(self, inner)
        self.found_files = 1
        return _Bytes(self, inner)

    def close(self, *, failed: bool = False) -> None:
        """Remove the bar and write how the call ended. Any thread may call this; it waits at most for one drawing."""
        seconds = time.monotonic() - self._began
        verb = f"{self.verb} failed after" if failed else _PAST.get(self.verb, self.verb)
        files = f"{self.files:,} files, " if self.found_files > 1 else ""
        self.watching.close(f"{verb} {files}{human_size(self.bytes)} in {seconds:.1f} s")

    def moved(self, count: int, part: float) -> None:
        """Add ``count`` bytes moved, which are the share ``part`` of their file."""
        with self._lock:
            self.bytes += count
            self._parts += part

    def done(self, count: int) -> None:
        """Add files that are done."""
        with self._lock:
            self.files += count

    def _look(self) -> Look:
        files = f"{self.files:,}/{self.found_files:,} files" if self.found_files > 1 else ""
        return Look(self.verb, self.bytes, fraction=self.fraction, files=files)


class _Bytes(Callback):  # type: ignore[misc]  # fsspec has no types
    """A callback for the bytes of one file."""

    def __init__(self, bar: Bar, inner: Callback, *, one_of_many: bool = False) -> None:
        super().__init__()
        self._bar = bar
        self._inner = inner
        self._one_of_many = one_of_many
        self._told = 0.0

    def set_size(self, size: int | None) -> None:
        """Set the size of the file."""
        self._inner.set_size(size)
        self.size = size
        self._tell(0)

    def relative_update(self, inc: int = 1) -> None:
        """Add bytes that have moved."""
        self._inner.relative_update(inc)
        self.value += inc
        self._tell(inc)

    def close(self) -> None:
        """Close the caller's callback, and count the file as done if it is one of many."""
        self._inner.close()
        if self._one_of_many:
            self._bar.done(1)

    def _tell(self, count: int) -> None:
        # An empty file is done as soon as its size is known.
        part = 1.0 if self.size == 0 else min(1.0, self.value / self.size) if self.size else 0.0
        self._bar.moved(count, part - self._told)
        self._told = part


class _Files(Callback):  # type: ignore[misc]  # fsspec has no types
    """A callback for the number of files; it branches off a `_Bytes` for each file."""

    def __init__(self, bar: Bar, inner: Callback) -> None:
        super().__init__()
        self._bar = bar
        self._inner = inner
        # Entries that were reported as done, and how many of those are folders.
        self._counted = self._folders = 0

    def set_size(self, size: int | None) -> None:
        """Set the number of files."""
        self._inner.set_size(size)
        self._bar.found_files = size or 0

    def relative_update(self, inc: int = 1) -> None:
        """Add entries that are done. One that was done without a callback of its own is a folder, not a file."""
        self._inner.relative_update(inc)
        self._counted += inc
        folders = self._counted - self._folders - self._bar.files
        if folders > 0:
            self._folders += folders
            self._bar.found_files -= folders

    def branched(self, path_1: Any, path_2: Any, **kwargs: Any) -> Callback:
        """The callback for one file."""
        return _Bytes(self._bar, self._inner.branched(path_1, path_2, **kwargs), one_of_many=True)

    def close(self) -> None:
        """Close the caller's callback: all files are done."""
        self._inner.close()
