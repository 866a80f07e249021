"""Finds and removes what unfinished downloads left in a folder: ``.<name>.<hash>.part`` files and their journals.

A process lists a folder once, when its first download into that folder has finished, and then records the files that it
leaves there itself. Listing the folder after each of ten thousand files would read it ten thousand times.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
import threading
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path
from typing import Final

from pyxet._platform import after_fork, lock_descriptor, longest_names, open_guarded
from pyxet._platform_files import closing
from pyxet._platform_files import remove as remove_file

# What is put around a file name, in bytes: two dots, 16 digits, process and number, ".part.journal".
_AROUND: Final = 64
_MAX_NAME: Final = 255 - _AROUND
_MAX_FOLDERS: Final = 1024
_PART = re.compile(r"(\..+\.)[0-9a-f]{16}(?:\.\d+-[0-9a-f]+)?\.part\Z", re.DOTALL)

_folders: OrderedDict[Path, dict[str, set[Path]]] = OrderedDict()
# Reentrant: the garbage collector may end a download, which calls `note`, while this thread has the lock.
_lock = threading.RLock()


def _after_fork() -> None:
    # Another thread may have held the old lock at the moment of the fork.
    global _lock
    _lock = threading.RLock()


after_fork(_after_fork)


def check_names(target: Path) -> None:
    """Raise if a path cannot be created, before any folder is created for it.

    Raises
    ------
    OSError
        A name in the path is too long for its folder, or the whole path is too long.
    """
    there = next((folder for folder in target.parents if folder.is_dir()), target.parent)
    longest, whole = longest_names(there)
    names = map(os.fsencode, target.parts[len(there.parts) :])
    if any(len(name) > longest for name in names) or len(os.fsencode(target)) + _AROUND >= whole:
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), str(target))


def private_name(start: str, value: str) -> str:
    """A unique name for an unfinished download, which nobody can predict."""
    return f"{start}{value[:16]}.{os.getpid()}-{os.urandom(8).hex()}.part"


def open_part(path: Path, *, append: bool = False, new: bool = False) -> int | None:
    """Open or create an unfinished download or its journal; a descriptor, or ``None`` if we must not write to the file.

    In a folder that other users may write to, the name may be a link that one of them made. Following it would write the
    download to another file, or truncate that file.

    Parameters
    ----------
    append:
        Whether each write goes to the end of the file.
    new:
        Whether the file must not exist yet.
    """
    flags = os.O_RDWR | os.O_CREAT | (os.O_APPEND if append else 0) | (os.O_EXCL if new else 0)
    try:
        descriptor = open_guarded(path, flags)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EISDIR, errno.ENXIO, errno.EEXIST):
            return None
        raise
    found = os.fstat(descriptor)
    if stat.S_ISREG(found.st_mode) and found.st_nlink <= 1:
        return descriptor
    os.close(descriptor)
    return None


def prefix(name: str) -> str:
    """How the names of a file's unfinished downloads begin: ``.<name>.``, shortened if it would be too long."""
    raw = os.fsencode(name)
    if len(raw) > _MAX_NAME:
        kept = raw[: _MAX_NAME - 17].decode(errors="ignore")
        name = f"{kept}~{hashlib.sha256(raw).hexdigest()[:16]}"
    return f".{name}."


def note(folder: Path, start: str, part: Path) -> None:
    """Record an unfinished download that stays in its folder."""
    with _lock:
        known = _folders.get(folder)
        if known is not None:
            known.setdefault(start, set()).add(part)


def remove(folder: Path, start: str) -> None:
    """Remove the unfinished downloads of a file, except those that another download is using."""
    with _lock:
        known = _folders.get(folder)
        if known is None:
            known = _folders[folder] = _listed(folder)
            if len(_folders) > _MAX_FOLDERS:
                _folders.popitem(last=False)
        parts = known.pop(start, ())
    for part in parts:
        with suppress(OSError):
            _remove(part)


def _listed(folder: Path) -> dict[str, set[Path]]:
    found: dict[str, set[Path]] = {}
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            match = _PART.match(entry.name.removesuffix(".journal"))
            if match is not None:
                found.setdefault(match[1], set()).add(folder / match[0])
    return found


def _remove(part: Path) -> None:
    descriptor = open_part(part)
    if descriptor is None:
        return
    try:
        is_ours = lock_descriptor(descriptor)
    except BaseException:
        os.close(descriptor)
        raise
    with closing(descriptor):
        if is_ours:
            remove_file(part)
            remove_file(part.with_name(f"{part.name}.journal"), missing_ok=True)
