"""What unfinished downloads left in a folder: ``.<name>.<hash>.part`` and its journal.

A folder is listed once in a process, when a first download into it has finished, and what this process leaves is noted:
listing it after each of ten thousand files would read it ten thousand times.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import threading
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path
from typing import Final

from pyxet._platform import after_fork

# Longest file name, in bytes, less what is put around it: two dots, 16 digits, process and object, ".part.journal".
_MAX_NAME: Final = 255 - 64
_MAX_FOLDERS: Final = 1024
_PART = re.compile(r"(\..+\.)[0-9a-f]{16}(?:\.\d+-[0-9a-f]+)?\.part\Z", re.DOTALL)

_folders: OrderedDict[Path, dict[str, set[Path]]] = OrderedDict()
_lock = threading.Lock()


def _after_fork() -> None:
    # Another thread may have held the old one at the moment of the fork.
    global _lock
    _lock = threading.Lock()


after_fork(_after_fork)


def prefix(name: str) -> str:
    """How the names of a file's unfinished downloads begin: ``.<name>.``, shortened where it would get too long."""
    raw = os.fsencode(name)
    if len(raw) > _MAX_NAME:
        kept = raw[: _MAX_NAME - 17].decode(errors="ignore")
        name = f"{kept}~{hashlib.sha256(raw).hexdigest()[:16]}"
    return f".{name}."


def note(folder: Path, start: str, part: Path) -> None:
    """Remember an unfinished download that stays."""
    with _lock:
        known = _folders.get(folder)
        if known is not None:
            known.setdefault(start, set()).add(part)


def remove(folder: Path, start: str) -> None:
    """Remove what is left of unfinished downloads of a file, but not what another one is working on."""
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
    descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        part.unlink()
        part.with_name(f"{part.name}.journal").unlink(missing_ok=True)
    finally:
        os.close(descriptor)
