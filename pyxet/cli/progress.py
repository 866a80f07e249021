"""How far a transfer is: shown on a terminal while it goes on, and counted everywhere for the line at its end."""

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
        That were transferred.
    skipped:
        Files that needed no transfer.
    found_files, found_bytes:
        That are to be transferred, as far as is known.
    moved_bytes:
        That are on their way or there, of files that are not complete too.
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
        """Since it began."""
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
        """One more file is to be transferred."""
        self.found_files += 1
        self.found_bytes += size or 0

    def all_found(self) -> None:
        """There are no more: how long it will take can be told from now on."""
        self._complete = True

    def moved(self, count: int) -> None:
        """So many bytes of a file are on their way."""
        self.moved_bytes += count

    def skip(self, size: int | None) -> None:
        """A file that was found needs no transfer."""
        self.skipped += 1
        self.found_files -= 1
        self.found_bytes -= size or 0

    def done(self, size: int | None) -> None:
        """A file is transferred."""
        self.files += 1
        self.bytes += size or 0

    def committing(self) -> None:
        """All is transferred; the commit is made."""
        self._verb = "committing"

    @property
    def callback(self) -> Any:
        """A callback of fsspec's that counts bytes."""
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
    """What fsspec's methods call; its own class would have to be imported for it, before anything is transferred."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        return None

    def set_size(self, size: int) -> None:
        """Sizes are known from the listing."""

    def relative_update(self, count: int = 1) -> None:
        """So many bytes more."""
        self._progress.moved(count)

    def branched(self, path_1: object, path_2: object, **_: object) -> _Callback:
        """For one file of several."""
        return self

    def close(self) -> None:
        """Nothing is held."""


class _Files(_Callback):
    """For methods that count files, and branch off a callback for the bytes of each."""

    def relative_update(self, count: int = 1) -> None:
        """So many files more; they are counted when their batch is there."""

    def branched(self, path_1: object, path_2: object, **_: object) -> _Callback:
        return _Callback(self._progress)


class _Found(_Callback):
    """For a method that finds the files itself, and branches off a callback for each that it transfers."""

    def relative_update(self, count: int = 1) -> None:
        """So many files more; those that are transferred are counted by what is branched off for them."""

    def branched(self, path_1: object, path_2: object, **_: object) -> _Callback:
        return _FoundFile(self._progress)


class _FoundFile(_Callback):
    """For one file, which nobody has told of before."""

    _size = 0

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self._progress.done(self._size)

    def set_size(self, size: int) -> None:
        """So many bytes are to be transferred."""
        self._size = size
        self._progress.found(size)


class _Listed(_Callback):
    """For a method that lists what there is itself, and tells how much that is so far."""

    def set_size(self, size: int) -> None:
        """So many bytes are to be transferred, as far as is known."""
        self._progress.found_bytes = size
        self._progress.all_found()


def listed_callback(progress: Progress) -> Any:
    """A callback of fsspec's for methods that tell sizes as they find them."""
    return _Listed(progress)


def found_callback(progress: Progress) -> Any:
    """A callback of fsspec's for methods that find the files themselves, and branch off one for each."""
    return _Found(progress)


def files_callback(progress: Progress) -> Any:
    """A callback of fsspec's for methods that count files."""
    return _Files(progress)
