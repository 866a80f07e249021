"""``progress=True``: a bar while a call transfers files, on a terminal or in a notebook; a line at its end everywhere.

A call tells a `Bar` what moves, through the callbacks of fsspec; `Watching` shows it.
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
    """How far a call is, from its beginning to `close`.

    Parameters
    ----------
    verb:
        What is done: ``downloading``.

    Attributes
    ----------
    files, found_files:
        Files that are done, and those that there are as far as is known.
    bytes:
        Bytes that have moved.
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
        """How much is done, from 0 to 1: each file counts alike, by the part of it that has moved."""
        return min(1.0, self._parts / self.found_files) if self.found_files else 0.0

    def callback(self, inner: Callback = DEFAULT_CALLBACK, *, files: bool) -> Callback:
        """What the call is given as its callback.

        Parameters
        ----------
        inner:
            A callback of the caller's own, which is told everything, too.
        files:
            Whether the call counts files, and branches off a callback for each; otherwise it counts bytes.
        """
        if files:
            return _Files(self, inner)
        self.found_files = 1
        return _Bytes(self, inner)

    def close(self, *, failed: bool = False) -> None:
        """Take the bar away and tell how it ended. From any thread; it takes no longer than one look at the counts."""
        seconds = time.monotonic() - self._began
        verb = f"{self.verb} failed after" if failed else _PAST.get(self.verb, self.verb)
        files = f"{self.files:,} files, " if self.found_files > 1 else ""
        self.watching.close(f"{verb} {files}{human_size(self.bytes)} in {seconds:.1f} s")

    def moved(self, count: int, part: float) -> None:
        """So many bytes have moved, which are such a part of their file."""
        with self._lock:
            self.bytes += count
            self._parts += part

    def done(self, count: int) -> None:
        """So many files are done."""
        with self._lock:
            self.files += count

    def _look(self) -> Look:
        files = f"{self.files:,}/{self.found_files:,} files" if self.found_files > 1 else ""
        return Look(self.verb, self.bytes, fraction=self.fraction, files=files)


class _Bytes(Callback):  # type: ignore[misc]  # fsspec has no types
    """For the bytes of one file."""

    def __init__(self, bar: Bar, inner: Callback, *, one_of_many: bool = False) -> None:
        super().__init__()
        self._bar = bar
        self._inner = inner
        self._one_of_many = one_of_many
        self._told = 0.0

    def set_size(self, size: int | None) -> None:
        """So many bytes there are."""
        self._inner.set_size(size)
        self.size = size
        self._tell(0)

    def relative_update(self, inc: int = 1) -> None:
        """So many more have moved."""
        self._inner.relative_update(inc)
        self.value += inc
        self._tell(inc)

    def close(self) -> None:
        """The file has come to its end."""
        self._inner.close()
        if self._one_of_many:
            self._bar.done(1)

    def _tell(self, count: int) -> None:
        # A file of no bytes is done with its size.
        part = 1.0 if self.size == 0 else min(1.0, self.value / self.size) if self.size else 0.0
        self._bar.moved(count, part - self._told)
        self._told = part


class _Files(Callback):  # type: ignore[misc]  # fsspec has no types
    """For the number of files; what it branches off is for the bytes of each."""

    def __init__(self, bar: Bar, inner: Callback) -> None:
        super().__init__()
        self._bar = bar
        self._inner = inner
        # What was counted as done, and what of that were folders.
        self._counted = self._folders = 0

    def set_size(self, size: int | None) -> None:
        """So many files there are."""
        self._inner.set_size(size)
        self._bar.found_files = size or 0

    def relative_update(self, inc: int = 1) -> None:
        """So many more are done. What was done without a callback of its own is a folder, and no file."""
        self._inner.relative_update(inc)
        self._counted += inc
        folders = self._counted - self._folders - self._bar.files
        if folders > 0:
            self._folders += folders
            self._bar.found_files -= folders

    def branched(self, path_1: Any, path_2: Any, **kwargs: Any) -> Callback:
        """For one of them."""
        return _Bytes(self._bar, self._inner.branched(path_1, path_2, **kwargs), one_of_many=True)

    def close(self) -> None:
        """All are done."""
        self._inner.close()
