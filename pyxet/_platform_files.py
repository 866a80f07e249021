"""Platform differences in renaming and removing files; `pyxet._platform` has the others.

Windows refuses to rename or remove a file while any process has it open, for example a virus scanner for a moment. It also
refuses to remove or replace read-only files.
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
# Seconds to wait until other processes close a file, and the longest pause between two tries.
_PATIENCE: Final = 3.0
_PAUSE: Final = 0.1
# Error codes of Windows for a file that is open elsewhere: used by another process, a part is locked; and access denied,
# which has other causes as well.
_IN_USE: Final = frozenset({32, 33})
_DENIED: Final = 5
# Length from which paths get the prefix for long paths: Windows' limit is 260 characters, and unfinished files have longer
# names than their targets.
_LONG: Final = 180


def replace(source: AnyPath, target: AnyPath) -> None:
    """Rename a file or a folder. An existing file at the target is replaced, even if it is read-only.

    Raises
    ------
    FileInUseError
        Another program has one of them open, and did not close it within 3 seconds.
    OSError
        Renaming fails for another reason.
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
    """Remove a file; with ``missing_ok`` it need not exist. Raises the errors of `replace`."""

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
    """Remove a folder and everything in it, including read-only files, such as git's objects.

    Parameters
    ----------
    ignore_errors:
        Leave what cannot be removed, and raise nothing.
    """
    if not MOVES_OPEN_FILES:
        for place, _, names in os.walk(folder):
            for name in names:
                _make_writable(os.path.join(place, name))
    _patiently(lambda: shutil.rmtree(folder, ignore_errors=ignore_errors), folder)


def reachable(path: str) -> str:
    r"""A path that system calls accept: on Windows, long paths become absolute and get the prefix ``\\?\``."""
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
    """Close files that a block renames or removes.

    Where a platform can rename and remove open files, they stay open and locked until the end of the block. On other
    platforms they are closed before it.
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
    """On Windows, make a read-only file writable, so that it can be removed or replaced; return whether it was read-only."""
    if MOVES_OPEN_FILES:
        return False
    with suppress(OSError):
        mode = os.lstat(path).st_mode
        if stat.S_ISREG(mode) and not mode & stat.S_IWRITE:
            os.chmod(path, stat.S_IWRITE)
            return True
    return False


def _patiently(move: Callable[[], object], path: AnyPath) -> None:
    """Call ``move``, and repeat it for up to 3 seconds while another program has the file open."""
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
                    # Access was denied for lack of rights, not because the file is open: waiting could not help.
                    raise
                raise FileInUseError(
                    f"{os.fspath(path)} cannot be replaced or removed: another program has it open; close it there and "
                    "try again"
                ) from error
        time.sleep(pause)
        pause = min(_PAUSE, pause * 2)
