"""Reports content that is lost: files and transactions that were dropped, or are still open when the interpreter exits.

No caller is left that an exception could reach, so the loss is reported by a `PyxetWarning`, which Python shows by
default, and a line in the log. Nothing here waits or makes requests, as it may run while objects are collected.
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
import tracemalloc
import warnings
from dataclasses import dataclass
from types import FrameType
from typing import Any, Final, Protocol
from weakref import WeakSet

from pyxet.errors import PyxetWarning

_log: Final = logging.getLogger("pyxet.writes")
# Warnings are not attributed to code of these packages: users would not recognise it.
_INSIDE: Final = frozenset({"pyxet", "fsspec", "contextlib"})


UNSEEN: Final = "the generator that contains its `with` block was closed before the block ended, which raises no error"


class Unended(Protocol):
    """A file or transaction whose content is lost unless it is closed or committed."""

    def report_lost(self) -> None:
        """Report the loss if it was not ended, at most once. Must change nothing else."""


def report(message: str, source: object = None, *, level: int = logging.ERROR) -> None:
    """Warn and log that something is not published; ``source`` is the object that the message is about."""
    _log.log(level, message)
    if not tracemalloc.is_tracing():
        # Without a trace, Python would only add a hint to turn tracemalloc on.
        source = None
    warnings.warn(message, PyxetWarning, stacklevel=_depth_of_user(), source=source)


def is_unseen(kind: type[BaseException] | None) -> bool:
    """Whether this is `GeneratorExit`: Python throws it into a generator that is closed early, and no caller sees it."""
    return kind is not None and issubclass(kind, GeneratorExit)


@dataclass(frozen=True)
class Caller:
    """Where a call came from, for warnings about a call that runs on another thread: the thread and the place in its code."""

    thread: threading.Thread
    filename: str
    line: int
    module: str
    seen: dict[Any, Any]

    @classmethod
    def here(cls) -> Caller:
        """The running thread, at the innermost frame that is neither ours nor fsspec's."""
        frame = user_frame() or sys._getframe(1)
        scope = frame.f_globals
        seen = scope.setdefault("__warningregistry__", {})
        name = scope.get("__name__", "?")
        return cls(threading.current_thread(), frame.f_code.co_filename, frame.f_lineno, name, seen)

    def warn(self, message: str) -> None:
        """Warn and log at the caller's place."""
        _log.warning(message)
        warnings.warn_explicit(message, PyxetWarning, self.filename, self.line, self.module, self.seen)


def watch(unended: Unended) -> None:
    """Make an object report its loss at interpreter exit, if it still exists then and has not ended."""
    _watched.add(unended)
    if _at_exit_in.get("pid") != os.getpid():
        _at_exit_in["pid"] = os.getpid()
        _report_at_exit_of_worker()


def user_frame() -> FrameType | None:
    """The innermost frame of the running thread that is neither ours nor fsspec's."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] in _INSIDE:
        frame = frame.f_back
    return frame


def _depth_of_user() -> int:
    """The stack level of `user_frame`, as seen by the caller."""
    found = user_frame()
    frame, depth = sys._getframe(1), 1
    while found is not None and frame is not found and frame.f_back is not None:
        frame, depth = frame.f_back, depth + 1
    return depth


_watched: WeakSet[Unended] = WeakSet()
_at_exit_in: Final = {"pid": os.getpid()}


@atexit.register
def _report_all() -> None:
    for unended in list(_watched):
        unended.report_lost()


def _report_at_exit_of_worker() -> None:
    """Register the report in a worker process of `multiprocessing`, which does not run the functions of `atexit`."""
    processes = sys.modules.get("multiprocessing.process")
    if processes is not None and processes.parent_process() is not None:
        from multiprocessing.util import Finalize

        Finalize(None, _report_all, exitpriority=0)
