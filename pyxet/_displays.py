"""Progress displays: a bar on a terminal or in a notebook, or one line at the end.

A thread reads the counts of a transfer and draws them. So the transfer itself only adds numbers, on whatever thread, and a
slow display does not delay it.
"""

from __future__ import annotations

import importlib
import logging
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final, NamedTuple, Protocol

from pyxet._shown import cell, human_size

# Seconds between two readings of the counts.
_EVERY: Final = 0.1
# Number of readings over which the speed is measured.
_LOOKS: Final = 50
# Width of the terminal, in columns, from which each part of the line is shown.
_WIDTHS: Final = {"verb": 32, "time": 40, "speed": 56, "bar": 76, "files": 104, "saved": 128}
_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


class Look(NamedTuple):
    """The progress at one moment.

    Attributes
    ----------
    verb:
        What is being done: ``downloading``.
    done, total:
        Bytes moved so far, and in all, if that is known.
    fraction:
        The share that is done, from 0 to 1; ``None`` if it is not known.
    files, saved:
        Texts: the number of files, and how much is not sent because it is stored already.
    """

    verb: str
    done: int
    total: int | None = None
    fraction: float | None = None
    files: str = ""
    saved: str = ""

    @property
    def amount(self) -> str:
        """Bytes as text: ``1.5/2.0 MiB``."""
        if self.total is None:
            return human_size(self.done)
        power = min((max(self.total, 1).bit_length() - 1) // 10, len(_UNITS) - 1)
        done, total = (f"{size / 1024**power:,.{1 if power else 0}f}" for size in (self.done, self.total))
        return f"{done}/{total} {_UNITS[power]}"


class Display(Protocol):
    """A place where progress is shown."""

    def show(self, look: Look, speed: str) -> None:
        """Show the progress, and the speed as text."""

    def close(self, line: str) -> None:
        """End the display and write a line about the result, unless the line is empty."""


class Watching:
    """A thread that shows progress until `close`.

    Parameters
    ----------
    look:
        Returns the progress to show; called once by the constructor, and then in the thread.
    """

    def __init__(self, look: Callable[[], Look], display: Display) -> None:
        self._look = look
        self.display = display
        self._waits = _Waits()
        self._samples: deque[tuple[float, int]] = deque(maxlen=_LOOKS)
        self._ended = threading.Event()
        if not isinstance(display, Line):
            self._waits.start()
        # Draw at once, so that work which ends before the thread draws is shown, too.
        self._draw()
        self._thread = threading.Thread(target=self._show, name="pyxet-progress", daemon=True)
        self._thread.start()

    def close(self, line: str = "") -> None:
        """Remove the bar and write a line, unless it is empty. Any thread may call this; a second call does nothing."""
        if self._ended.is_set():
            return
        self._ended.set()
        self._thread.join()
        self._waits.stop()
        self.display.close(line)

    def _show(self) -> None:
        while not self._ended.wait(_EVERY):
            self._draw()

    def _draw(self) -> None:
        look = self._look()
        self._samples.append((time.monotonic(), look.done))
        waits = self._waits.seconds
        if waits > 1:
            look = look._replace(verb=f"waiting {waits:.0f} s")
        self.display.show(look, self._speed())

    def _speed(self) -> str:
        """Bytes per second over the last readings, as text; empty if nothing has moved."""
        (began, before), (now, done) = self._samples[0], self._samples[-1]
        speed = int((done - before) / (now - began)) if now > began else 0
        return f"{human_size(speed)}/s" if speed > 0 else ""


class _Waits(logging.Handler):
    """Learns from the log how long requests wait for a quota to be renewed, or before they are tried again."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._until = 0.0

    @property
    def seconds(self) -> float:
        """Seconds until the last of these waits ends."""
        return max(0.0, self._until - time.monotonic())

    def emit(self, record: logging.LogRecord) -> None:
        wait = getattr(record, "wait", None)
        if isinstance(wait, float):
            self._until = max(self._until, time.monotonic() + wait)

    def start(self) -> None:
        """Start to read the log."""
        logging.getLogger("pyxet.requests").addHandler(self)

    def stop(self) -> None:
        """Stop reading the log."""
        logging.getLogger("pyxet.requests").removeHandler(self)


def display() -> Display:
    """The display for the place where this program runs: a notebook, a terminal, or output that is not a terminal."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    if shell is not None and getattr(shell, "kernel", None) is not None:
        return _Notebook()
    return Terminal() if sys.stderr.isatty() else Line()


class Line:
    """A display that only writes the line at the end, for output in which nothing can be drawn, such as a log."""

    def show(self, look: Look, speed: str) -> None:
        """Do nothing."""

    def close(self, line: str) -> None:
        _write(line)


class Terminal:
    """A bar on standard error."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn

        console = Console(stderr=True)
        # Only the columns that fit: a line that wraps cannot be overwritten. The narrowest terminals show only the amount.
        columns: list[ProgressColumn] = [TextColumn("{task.fields[amount]}")]
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
        # The thread of `Watching` refreshes it, so rich needs no thread of its own.
        self._shown = Progress(*columns, console=console, transient=True, auto_refresh=False)
        self._task = self._shown.add_task("", total=None, amount="", speed="", files="", saved="")
        self._shown.start()

    def show(self, look: Look, speed: str) -> None:
        known = look.fraction is not None
        self._shown.update(
            self._task, description=look.verb, completed=look.fraction or 0.0, total=1.0 if known else None,
            amount=look.amount, speed=speed, files=look.files, saved=look.saved,
        )  # fmt: skip
        self._shown.refresh()

    def close(self, line: str) -> None:
        self._shown.stop()
        _write(line)


class _Notebook:
    """A bar in the output of a cell, as an HTML ``progress`` element."""

    def __init__(self) -> None:
        shown: Any = importlib.import_module("IPython.display")  # it has no types
        self._html = shown.HTML
        self._handle = shown.display(shown.HTML(""), display_id=True)

    def show(self, look: Look, speed: str) -> None:
        told = ", ".join(filter(None, (look.files, look.amount, speed)))
        value = f' value="{look.fraction:.3f}"' if look.fraction is not None else ""
        self._handle.update(self._html(f'{cell(look.verb)} <progress{value} max="1"></progress> {cell(told)}'))

    def close(self, line: str) -> None:
        self._handle.update(self._html(f'<progress value="1" max="1"></progress> {cell(line)}'))


def _write(line: str) -> None:
    if line:
        sys.stderr.write(f"{line}\n")
