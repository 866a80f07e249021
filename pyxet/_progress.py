"""``progress=True``: a bar while a call transfers files, on a terminal or in a notebook; a line at its end everywhere.

A call tells a `Bar` what moves, through the callbacks of fsspec; a thread looks at the counts and shows them. So what is told
costs an addition, on whatever thread it is told, and a display that is slow holds no transfer up.
"""

from __future__ import annotations

import importlib
import sys
import threading
import time
from typing import Any, Final, Protocol, Self

from fsspec.callbacks import DEFAULT_CALLBACK, Callback

from pyxet._shown import cell, human_size

# Seconds between two looks at the counts.
_EVERY: Final = 0.1
_PAST: Final = {"downloading": "downloaded", "uploading": "uploaded", "storing": "stored", "ingesting": "ingested"}


class _Display(Protocol):
    """Where a bar is shown."""

    def show(self, bar: Bar) -> None:
        """Show how far it is."""

    def close(self, line: str) -> None:
        """Show the line that tells how it ended in place of the bar."""


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
        self._failed = False
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._display = _display()
        self._watching = threading.Thread(target=self._watch, name="pyxet-progress", daemon=True)
        self._watching.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self.close(failed=kind is not None)

    @property
    def fraction(self) -> float:
        """How much is done, from 0 to 1: each file counts alike, by the part of it that has moved."""
        return min(1.0, self._parts / self.found_files) if self.found_files else 0.0

    @property
    def speed(self) -> float:
        """Bytes a second, from the beginning."""
        return self.bytes / max(time.monotonic() - self._began, 1e-3)

    @property
    def told(self) -> str:
        """Files, bytes and speed as text."""
        files = f"{self.files:,}/{self.found_files:,} files, " if self.found_files > 1 else ""
        return f"{files}{human_size(self.bytes)}, {human_size(int(self.speed))}/s"

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
        """Take the bar away and tell how it ended. From whatever thread; it takes no longer than one look at the counts."""
        if self._ended.is_set():
            return
        self._failed = failed
        self._ended.set()
        self._watching.join()

    def moved(self, count: int, part: float) -> None:
        """So many bytes have moved, which are such a part of their file."""
        with self._lock:
            self.bytes += count
            self._parts += part

    def done(self, count: int) -> None:
        """So many files are done."""
        with self._lock:
            self.files += count

    def _watch(self) -> None:
        while not self._ended.wait(_EVERY):
            self._display.show(self)
        seconds = time.monotonic() - self._began
        verb = f"{self.verb} failed after" if self._failed else _PAST.get(self.verb, self.verb)
        files = f"{self.files:,} files, " if self.found_files > 1 else ""
        self._display.close(f"{verb} {files}{human_size(self.bytes)} in {seconds:.1f} s")


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


def _display() -> _Display:
    """Where this program is looked at."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    if shell is not None and getattr(shell, "kernel", None) is not None:
        return _Notebook()
    return _Terminal() if sys.stderr.isatty() else _Line()


class _Line:
    """Where nothing can be drawn, as in a log: a line at the end."""

    def show(self, bar: Bar) -> None:
        """Nothing yet."""

    def close(self, line: str) -> None:
        sys.stderr.write(f"{line}\n")


class _Terminal:
    """A bar that makes room for a line."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        console = Console(stderr=True)
        bar = [BarColumn(bar_width=24)] if console.width >= 76 else []
        columns = [TextColumn("{task.description}"), *bar, TextColumn("{task.fields[told]}")]
        # Drawn by the thread that looks at the counts.
        self._shown = Progress(*columns, console=console, transient=True, auto_refresh=False)
        self._task = self._shown.add_task("", total=1.0, told="")
        self._shown.start()

    def show(self, bar: Bar) -> None:
        self._shown.update(self._task, description=bar.verb, completed=bar.fraction, told=bar.told)
        self._shown.refresh()

    def close(self, line: str) -> None:
        self._shown.stop()
        sys.stderr.write(f"{line}\n")


class _Notebook:
    """A bar in the output of a cell, by the element that browsers have for it."""

    def __init__(self) -> None:
        shown: Any = importlib.import_module("IPython.display")  # it has no types
        self._html = shown.HTML
        self._handle = shown.display(shown.HTML(""), display_id=True)

    def show(self, bar: Bar) -> None:
        self._handle.update(
            self._html(f'{cell(bar.verb)} <progress value="{bar.fraction:.3f}" max="1"></progress> {cell(bar.told)}')
        )

    def close(self, line: str) -> None:
        self._handle.update(self._html(f'<progress value="1" max="1"></progress> {cell(line)}'))
