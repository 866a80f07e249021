"""Short tracebacks: the caller's code and the message, without the frames between them.

For whoever debugs pyxet itself, tracebacks stay complete if the logger ``pyxet`` is enabled for debug messages.
"""

from __future__ import annotations

import asyncio
import logging
import os
import traceback
from types import TracebackType
from typing import Final, TypeVar

E = TypeVar("E", bound=BaseException)

# Frames of the caller's own code that a notebook shows.
_FRAMES: Final = 5
_LIBRARIES: Final = f"{os.sep}site-packages{os.sep}"
_OWN: Final = os.path.dirname(os.path.abspath(__file__)) + os.sep
_ASYNCIO: Final = os.path.dirname(os.path.abspath(asyncio.__file__)) + os.sep
# Folders of packages whose frames can be between the caller's code and ours.
_BETWEEN: Final = tuple(f"{os.sep}site-packages{os.sep}{name}{os.sep}" for name in ("aiohttp", "anyio", "fsspec"))


def readable(error: E) -> E:
    """The error without the frames of pyxet and its dependencies, and without the internal errors that its message explains.

    Frames of the caller's code stay, also those of callbacks. Errors that are neither pyxet's nor an `OSError` are not
    changed: they point to a bug, whose place matters.
    """
    is_meant = _is_ours(error) or isinstance(error, OSError)
    if is_meant and not logging.getLogger("pyxet").isEnabledFor(logging.DEBUG):
        _shorten(error, set())
    return error


def unwrap(error: BaseException) -> BaseException:
    """The first error in an exception group, also a nested one; other errors unchanged."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def rendered(error: BaseException) -> list[str]:
    """The lines of a traceback for a notebook, without the many frames of the notebook itself and of libraries."""
    shown = readable(error)
    lines = ["Traceback (most recent call last):\n"]
    frames = traceback.extract_tb(shown.__traceback__)
    lines += traceback.format_list([frame for frame in frames if _LIBRARIES not in frame.filename][-_FRAMES:])
    lines += traceback.format_exception_only(shown)
    return "".join(lines).rstrip().splitlines()


def _shorten(error: BaseException, seen: set[int]) -> None:
    seen.add(id(error))
    error.__traceback__ = _filtered(error.__traceback__)
    behind = error.__cause__ if error.__cause__ is not None or error.__suppress_context__ else error.__context__
    if behind is None or id(behind) in seen:
        return
    _shorten(behind, seen)
    if behind.__traceback__ is None and not _is_ours(behind):
        # It was raised by internal code only, and the message of our error explains it.
        error.__suppress_context__ = True
        error.__cause__ = None


def _is_ours(error: BaseException) -> bool:
    return type(error).__module__.partition(".")[0] == "pyxet"


def _filtered(trace: TracebackType | None) -> TracebackType | None:
    kept = []
    while trace is not None:
        if not _is_internal(trace.tb_frame.f_code.co_filename):
            kept.append(trace)
        trace = trace.tb_next
    found: TracebackType | None = None
    for part in reversed(kept):
        found = TracebackType(found, part.tb_frame, part.tb_lasti, part.tb_lineno)
    return found


def _is_internal(filename: str) -> bool:
    return filename.startswith((_OWN, _ASYNCIO)) or any(name in filename for name in _BETWEEN)
