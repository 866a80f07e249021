"""Small files that only their owner may read, such as those of logins. They are replaced atomically."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from pyxet._platform import sync_folder
from pyxet._platform_files import remove, replace

# Seconds to wait for another process that changes a file, which takes milliseconds.
_PATIENCE: Final = 10


def replace_private(path: Path, text: str) -> None:
    """Replace or create a file with mode 0600. The file is complete at any time, also after a crash.

    On platforms without file modes, the rights of its folder decide. A folder that is made here is for its user only (on
    Windows: with the Pythons of 2024 and later, and in the user's profile in any case).

    Parameters
    ----------
    path:
        The file. If it is a link, for example because the user keeps such files elsewhere, its target is replaced.
    text:
        The new content, stored as UTF-8.

    Raises
    ------
    OSError
        It cannot be written; the old file is unchanged.
    """
    path = Path(os.path.realpath(path))
    # Other processes and threads may write the same file at the same time; the last one wins.
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
    """Hold a lock on a file, so that no other thread or process changes it between reading and writing.

    Parameters
    ----------
    path:
        The file, which need not exist. Its folder is made; the lock is a file beside it.

    Raises
    ------
    OSError
        The lock cannot be acquired: there is no right to write, or another process held it for 10 seconds.
    """
    # Imported here, as most programs do not change logins.
    import filelock

    path = Path(os.path.realpath(path))
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with filelock.FileLock(path.with_name(f".{path.name}.lock"), timeout=_PATIENCE, thread_local=False):
        yield


def version_of(path: Path) -> tuple[int, ...] | None:
    """A value that changes when a file is replaced or written to; ``None`` if it does not exist."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino
