"""Small files that only their owner may read, such as those of logins: replaced as a whole, or not at all."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from pyxet._platform import sync_folder
from pyxet._platform_files import remove, replace

# Seconds to wait for another process that changes a file: it takes milliseconds.
_PATIENCE: Final = 10


def replace_private(path: Path, text: str) -> None:
    """Replace a file, or make it, with mode 0600. What is there is whole at any time, also after a crash.

    Where files have no modes it is the rights of its folder that count; one that is made here is for its user alone (on
    Windows: with the Pythons of 2024 and later, and in the user's profile in any case).

    Parameters
    ----------
    path:
        The file. A link, as those who keep such files elsewhere make it, stays one.
    text:
        All that it will hold, stored as UTF-8.

    Raises
    ------
    OSError
        It cannot be written; what was there is there still.
    """
    path = Path(os.path.realpath(path))
    # Other processes and threads may write it at the same time; the last one counts.
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        remove(unfinished, missing_ok=True)
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        # The same bytes everywhere: other programs read some of these files.
        with open(descriptor, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        replace(unfinished, path)
    except BaseException:
        with suppress(OSError):
            remove(unfinished, missing_ok=True)
        raise
    sync_folder(path.parent)


@contextmanager
def changing(path: Path) -> Iterator[None]:
    """Keep other threads and processes from changing a file between what this one reads of it and what it writes.

    Parameters
    ----------
    path:
        The file, which need not be there. Its folder is made; the lock is a file beside it.

    Raises
    ------
    OSError
        The lock cannot be had: there is no right to write, or another process has kept it for 10 seconds.
    """
    # Imported here, as most programs log nobody in.
    import filelock

    path = Path(os.path.realpath(path))
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with filelock.FileLock(path.with_name(f".{path.name}.lock"), timeout=_PATIENCE, thread_local=False):
        yield


def version_of(path: Path) -> tuple[int, ...] | None:
    """What changes when a file is replaced or written to; ``None`` without one."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino
