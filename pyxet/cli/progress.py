"""The progress of a transfer: shown on a terminal while it runs, and counted in any case for the summary at its end."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any, Self

from pyxet._displays import Look, Terminal, Watching
from pyxet._shown import human_size


class Progress:
    """Counts files and bytes, and shows them on standard error where that is a terminal.

    Attributes
    ----------
    files, bytes:
        Complete files that were transferred, and their bytes.
    skipped:
        Files that needed no transfer.
    found_files, found_bytes:
        Files to transfer in total, and their bytes, as far as is known.
    moved_bytes:
        Bytes that were transferred, including those of incomplete files.
    """

    def __init__(self, verb: str, *, wanted: bool) -> None:
        self.files = self.bytes = self.skipped = 0
        self.found_files = self.found_bytes = self.moved_bytes = 0
        self.deduplicated: Callable[[], int] = lambda: 0
        self._complete = False
        self._verb = verb
        self._began = time.monotonic()
        self._wanted = wanted and sys.stderr.isatty()
        self._watching: Watching | None = None

    @property
    def seconds(self) -> float:
        """Seconds since the transfer began."""
        return time.monotonic() - self._began

    def __enter__(self) -> Self:
        if self._wanted:
            self._watching = Watching(self._look, Terminal())
        return self

    def __exit__(self, *_: object) -> None:
        if self._watching is not None:
            self._watching.close()

    # -- what happens --------------------------------------------------------------------------------------------------

    def found(self, size: int | None) -> None:
        """Count a file that is to be transferred."""
        self.found_files += 1
        self.found_bytes += size or 0

    def all_found(self) -> None:
        """Note that no more files will be found, so that the remaining time can be estimated."""
        self._complete = True

    def moved(self, count: int) -> None:
        """Count transferred bytes of a file that may be incomplete."""
        self.moved_bytes += count

    def skip(self, size: int | None) -> None:
        """Count a found file as one that needs no transfer."""
        self.skipped += 1
        self.found_files -= 1
        self.found_bytes -= size or 0

    def done(self, size: int | None) -> None:
        """Count a file as transferred."""
        self.files += 1
        self.bytes += size or 0

    def committing(self) -> None:
        """Show that the commit is being made, as all content is transferred."""
        self._verb = "committing"

    @property
    def callback(self) -> Any:
        """A callback for methods of fsspec that counts bytes."""
        return _Callback(self)

    def _look(self) -> Look:
        done = min(max(self.moved_bytes, self.bytes), self.found_bytes)
        total = self.found_bytes if self._complete else None
        saved, files = self.deduplicated(), f"{self.files:,}/{self.found_files:,}{'' if self._complete else '+'} files"
        return Look(
            self._verb, done, total, fraction=done / total if total else None, files=files if self.found_files else "",
            saved=f"{human_size(saved)} deduplicated" if saved else "",
        )  # fmt: skip


class _Callback:
    """A callback for methods of fsspec. It is not derived from fsspec's class, which would have to be imported first."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        return None

    def set_size(self, size: int) -> None:
        """Do nothing: sizes are known from the listing."""

    def relative_update(self, count: int = 1) -> None:
        """Count transferred bytes."""
        self._progress.moved(count)

    def branched(self, path_1: object, path_2: object, **_: object) -> _Callback:
        """Return the callback for one file of several."""
        return self

    def close(self) -> None:
        """Do nothing: there is nothing to release."""


class _Files(_Callback):
    """A callback for methods that report files to it, and the bytes of each file to a branched callback."""

    def relative_update(self, count: int = 1) -> None:
        """Do nothing: files are counted when their batch is complete."""

    def branched(self, path_1: object, path_2: object, **_: object) -> _Callback:
        return _Callback(self._progress)


class _Found(_Callback):
    """A callback for methods that find the files themselves, and branch a callback for each file that they transfer."""

    def relative_update(self, count: int = 1) -> None:
        """Do nothing: the branched callbacks count the files that are transferred."""

    def branched(self, path_1: object, path_2: object, **_: object) -> _Callback:
        return _FoundFile(self._progress)


class _FoundFile(_Callback):
    """The callback for one file, which was not counted as found before."""

    _size = 0

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self._progress.done(self._size)

    def set_size(self, size: int) -> None:
        """Count the file as found, with its size."""
        self._size = size
        self._progress.found(size)


class _Listed(_Callback):
    """A callback for methods that list the files themselves, and report their total size so far."""

    def set_size(self, size: int) -> None:
        """Set the bytes to transfer, as far as they are known."""
        self._progress.found_bytes = size
        self._progress.all_found()


def listed_callback(progress: Progress) -> Any:
    """A callback for methods that report the total size of the files they have found so far."""
    return _Listed(progress)


def found_callback(progress: Progress) -> Any:
    """A callback for methods that find the files themselves, and branch a callback for each."""
    return _Found(progress)


def files_callback(progress: Progress) -> Any:
    """A callback for methods that count files."""
    return _Files(progress)
