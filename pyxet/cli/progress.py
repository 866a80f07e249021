"""How far a transfer is: shown on a terminal while it goes on, and counted everywhere for the line at its end."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Self

from pyxet._shown import human_size
from pyxet.cli.waiting import Waits

if TYPE_CHECKING:
    from rich.progress import Progress as Display

# Seconds between two looks at the counts.
_EVERY: Final = 0.2
# Columns of the terminal from which on a part of the line is shown.
_WIDTHS: Final = {"verb": 32, "time": 40, "speed": 56, "bar": 76, "files": 104, "saved": 128}


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
        self._display: Display | None = None
        self._showing: asyncio.Task[None] | None = None
        self._watching: threading.Thread | None = None
        self._ended = threading.Event()
        self._waits = Waits()

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.monotonic() - self._began

    async def __aenter__(self) -> Self:
        if self._wanted:
            self._start()
            self._showing = asyncio.create_task(self._show())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._showing is not None:
            self._showing.cancel()
            with suppress(asyncio.CancelledError):
                await self._showing
        self._stop()

    def __enter__(self) -> Self:
        """Like ``async with``, for what blocks: a thread looks at the counts."""
        if self._wanted:
            self._start()
            self._watching = threading.Thread(target=self._watch, daemon=True)
            self._watching.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        if self._watching is not None:
            self._watching.join()
        self._stop()

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

    # -- on a terminal -------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        self._waits.start()
        self._display = _display(self._verb)
        self._display.start()

    def _stop(self) -> None:
        self._waits.stop()
        if self._display is not None:
            self._display.stop()

    async def _show(self) -> None:
        while True:
            self._update()
            await asyncio.sleep(_EVERY)

    def _watch(self) -> None:
        self._update()
        while not self._ended.wait(_EVERY):
            self._update()

    def _update(self) -> None:
        display = self._display
        assert display is not None
        total = self.found_bytes if self._complete else None
        # Not known before something has moved for a while.
        speed = int(display.tasks[0].speed or 0)
        waits = self._waits.seconds
        verb = f"waiting {waits:.0f} s" if waits > 1 else self._verb
        display.update(
            display.tasks[0].id, description=verb, completed=min(max(self.moved_bytes, self.bytes), self.found_bytes),
            total=total, speed=f"{human_size(speed)}/s" if speed else "",
            files=self._files(), saved=self._saved(),
        )  # fmt: skip

    def _files(self) -> str:
        if not self.found_files:
            return ""
        return f"{self.files:,}/{self.found_files:,}{'' if self._complete else '+'} files"

    def _saved(self) -> str:
        saved = self.deduplicated()
        return f"{human_size(saved)} deduplicated" if saved else ""


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


def _display(verb: str) -> Display:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, ProgressColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Display

    console = Console(stderr=True)
    # What there is room for: a line that is broken cannot be drawn over. The narrowest says how much is done.
    columns: list[ProgressColumn] = [DownloadColumn(binary_units=True)]
    if console.width >= _WIDTHS["verb"]:
        columns.insert(0, TextColumn("{task.description}"))
    if console.width >= _WIDTHS["time"]:
        columns.append(TimeRemainingColumn(compact=True))
    if console.width >= _WIDTHS["speed"]:
        columns.insert(-1, TextColumn("{task.fields[speed]}"))
    if console.width >= _WIDTHS["bar"]:
        columns.insert(1, BarColumn(bar_width=24))
    if console.width >= _WIDTHS["files"]:
        columns.append(TextColumn("{task.fields[files]}"))
    if console.width >= _WIDTHS["saved"]:
        columns.append(TextColumn("{task.fields[saved]}"))
    display = Display(*columns, console=console, transient=True)
    display.add_task(verb, total=None, speed="", files="", saved="")
    return display
