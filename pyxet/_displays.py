"""How far something is, shown while it goes on: on a terminal, in a notebook, or by one line at its end.

A thread looks at the counts of whoever transfers and draws them. So a count is an addition, on whatever thread it is made, and a
display that is slow delays no transfer.
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

# Seconds between two looks at the counts.
_EVERY: Final = 0.1
# The speed is that of so many looks.
_LOOKS: Final = 50
# Columns of the terminal from which on a part of the line is shown.
_WIDTHS: Final = {"verb": 32, "time": 40, "speed": 56, "bar": 76, "files": 104, "saved": 128}
_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


class Look(NamedTuple):
    """What is to be seen at one moment.

    Attributes
    ----------
    verb:
        What is done: ``downloading``.
    done, total:
        Bytes that have moved, and all of them, if that is known.
    fraction:
        How much is done, from 0 to 1; ``None`` if that is not known.
    files, saved:
        The numbers of files, and how much is not sent because it is stored already, as text.
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
    """Where it is shown."""

    def show(self, look: Look, speed: str) -> None:
        """Show how far it is, and the speed as text."""

    def close(self, line: str) -> None:
        """End the display; the line, if it is not empty, tells how it ended."""


class Watching:
    """The thread that shows how far something is, until `close`.

    Parameters
    ----------
    look:
        Tells what is to be seen; called at once, and then in the thread.
    """

    def __init__(self, look: Callable[[], Look], display: Display) -> None:
        self._look = look
        self.display = display
        self._waits = _Waits()
        self._samples: deque[tuple[float, int]] = deque(maxlen=_LOOKS)
        self._ended = threading.Event()
        if not isinstance(display, Line):
            self._waits.start()
        # Something is to be seen at once, and of work that is done soon, too.
        self._draw()
        self._thread = threading.Thread(target=self._show, name="pyxet-progress", daemon=True)
        self._thread.start()

    def close(self, line: str = "") -> None:
        """Take the bar away and write a line, if there is one. From any thread; a second time does nothing."""
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
        """Bytes a second in the last seconds; nothing before something has moved."""
        (began, before), (now, done) = self._samples[0], self._samples[-1]
        speed = int((done - before) / (now - began)) if now > began else 0
        return f"{human_size(speed)}/s" if speed > 0 else ""


class _Waits(logging.Handler):
    """Knows how long requests wait: until a quota is renewed, or until they are tried again. The log tells it."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._until = 0.0

    @property
    def seconds(self) -> float:
        """How long some of them still wait."""
        return max(0.0, self._until - time.monotonic())

    def emit(self, record: logging.LogRecord) -> None:
        wait = getattr(record, "wait", None)
        if isinstance(wait, float):
            self._until = max(self._until, time.monotonic() + wait)

    def start(self) -> None:
        """Listen from now on."""
        logging.getLogger("pyxet.requests").addHandler(self)

    def stop(self) -> None:
        """Listen no longer."""
        logging.getLogger("pyxet.requests").removeHandler(self)


def display() -> Display:
    """A display where this program is looked at."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    if shell is not None and getattr(shell, "kernel", None) is not None:
        return _Notebook()
    return Terminal() if sys.stderr.isatty() else Line()


class Line:
    """For output where nothing can be drawn, as in a log: only the line at the end."""

    def show(self, look: Look, speed: str) -> None:
        """Show nothing yet."""

    def close(self, line: str) -> None:
        _write(line)


class Terminal:
    """A bar on standard error."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn

        console = Console(stderr=True)
        # Only what there is room for: a line that is broken cannot be drawn over. The narrowest says how much is done.
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
        # Drawn by the thread that looks at the counts.
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
    """A bar in the output of a cell, by the element that browsers have for it."""

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
