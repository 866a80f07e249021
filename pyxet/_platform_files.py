"""What platforms do differently when files are renamed and removed; `pyxet._platform` has the other differences.

Windows refuses both while anybody has the file open, also for the moment in which a virus scanner looks at it, and removes
and replaces no file that is read-only.
"""

from __future__ import annotations

import ntpath
import os
import shutil
import stat
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final, TypeAlias

from pyxet.errors import FileInUseError

AnyPath: TypeAlias = str | os.PathLike[str]

# Whether a file can be renamed, replaced and removed while it is open.
MOVES_OPEN_FILES: Final = sys.platform != "win32"
# Seconds that others have to close a file, and the longest pause between two tries.
_PATIENCE: Final = 3.0
_PAUSE: Final = 0.1
# What Windows says of a file that is open elsewhere: it is used by another process, a part of it is locked; and, without
# telling more, access is denied.
_IN_USE: Final = frozenset({32, 33})
_DENIED: Final = 5
# Characters from which on Windows may take no path as it is (260), less what unfinished files have beside their names.
_LONG: Final = 180


def replace(source: AnyPath, target: AnyPath) -> None:
    """Give a file, or a folder, another name. A file that has the name is replaced, also one that is read-only.

    Raises
    ------
    FileInUseError
        Another program has one of them open, and has not closed it within seconds.
    OSError
        It cannot be done.
    """

    def try_to() -> None:
        try:
            os.replace(source, target)
        except PermissionError:
            if not _make_writable(target):
                raise
            os.replace(source, target)

    _patiently(try_to, target)


def remove(path: AnyPath, *, missing_ok: bool = False) -> None:
    """Remove a file. ``missing_ok``: also if there is none. Raises as `replace` does."""

    def try_to() -> None:
        try:
            os.unlink(path)
        except FileNotFoundError:
            if not missing_ok:
                raise
        except PermissionError:
            if not _make_writable(path):
                raise
            os.unlink(path)

    _patiently(try_to, path)


def remove_tree(folder: AnyPath, *, ignore_errors: bool = False) -> None:
    """Remove a folder with all that is in it; what is read-only, as git's objects are, is no obstacle.

    Parameters
    ----------
    ignore_errors:
        Leave what cannot be removed.
    """
    if not MOVES_OPEN_FILES:
        for place, _, names in os.walk(folder):
            for name in names:
                _make_writable(os.path.join(place, name))
    _patiently(lambda: shutil.rmtree(folder, ignore_errors=ignore_errors), folder)


def reachable(path: str) -> str:
    """A path as calls of the system take it: on Windows one that is long is absolute, with a prefix that says so."""
    if sys.platform == "win32":
        return _prefixed(ntpath.abspath(path), path)
    else:
        return path


def _prefixed(whole: str, path: str) -> str:
    if len(whole) < _LONG or whole.startswith("\\\\?\\"):
        return path
    return f"\\\\?\\UNC\\{whole[2:]}" if whole.startswith("\\\\") else f"\\\\?\\{whole}"


@contextmanager
def closing(*descriptors: int) -> Iterator[None]:
    """Close files that a block gives other names, or removes.

    They are open, and their locks hold, until the end of the block where a platform can do that to open files; elsewhere
    they are closed before it.
    """
    if not MOVES_OPEN_FILES:
        _close(descriptors)
    try:
        yield
    finally:
        if MOVES_OPEN_FILES:
            _close(descriptors)


def _close(descriptors: tuple[int, ...]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


def _make_writable(path: AnyPath) -> bool:
    """Take away what keeps Windows from removing or replacing a file; whether there was such a thing."""
    if MOVES_OPEN_FILES:
        return False
    with suppress(OSError):
        mode = os.lstat(path).st_mode
        if stat.S_ISREG(mode) and not mode & stat.S_IWRITE:
            os.chmod(path, stat.S_IWRITE)
            return True
    return False


def _patiently(move: Callable[[], object], path: AnyPath) -> None:
    """Do it, and again for some seconds as long as somebody has a file open."""
    until: float | None = None
    pause = _PAUSE / 16
    while True:
        try:
            move()
            return
        except PermissionError as error:
            code = getattr(error, "winerror", None)
            if code not in _IN_USE and code != _DENIED:
                raise
            now = time.monotonic()
            until = until if until is not None else now + _PATIENCE
            if now >= until:
                if code == _DENIED and not (os.path.isfile(path) and os.access(path, os.W_OK)):
                    # Whoever may not write there has waited for nothing.
                    raise
                raise FileInUseError(
                    f"{os.fspath(path)} cannot be replaced or removed: another program has it open; close it there and "
                    "try again"
                ) from error
        time.sleep(pause)
        pause = min(_PAUSE, pause * 2)
