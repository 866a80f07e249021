"""An endpoint's directory is for the user who runs it: its folders have mode 0700, its files 0600."""

from __future__ import annotations

import ctypes
import os
import stat
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

# What an endpoint makes in its directory.
_OURS: Final = frozenset({
    "repos", "xorbs", "shards", "secret", "lock", "holder", "index.sqlite", "index.sqlite-wal", "index.sqlite-shm",
    "people.json", "people.lock",
})  # fmt: skip
_CLONE_FS: Final = 0x200
_OTHERS: Final = 0o077


def make_root(root: Path) -> None:
    """Create the directory of an endpoint; if it exists already, deny others access to it.

    A directory that also holds other files keeps its mode; then only what the endpoint created in it becomes private.
    """
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = sorted(os.listdir(root))
    if _OURS.issuperset(name.removesuffix(".new") for name in found):
        _close(root)
    for name in found:
        path = root / name
        # The content of a folder that is private already was made private before.
        if name in _OURS and _is_open(path):
            _close(path)
            for place, folders, files in os.walk(path):
                for inner in (*folders, *files):
                    _close(Path(place, inner))


def own_umask() -> bool:
    """Give the calling thread, where the system can do that, a umask under which all that it makes is private.

    libgit2 takes the modes of what it makes from the umask, which the threads of a process share: changing that would
    change what the rest of the program makes. On Linux a thread may stop sharing it. Elsewhere, and in containers that do
    not allow this, files of git may have wider modes, and the closed folders above keep others out.

    Returns
    -------
    bool
        Whether the thread has such a umask now.
    """
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_FS) == 0:
                os.umask(_OTHERS)
                return True
    return False


def _is_open(path: Path) -> bool:
    """Whether others have any access to a file or folder; ``False`` if another process has removed it meanwhile."""
    try:
        return bool(path.stat().st_mode & _OTHERS)
    except FileNotFoundError:
        return False


def _close(path: Path) -> None:
    with suppress(PermissionError, FileNotFoundError):
        found = path.lstat()
        if found.st_mode & _OTHERS and not stat.S_ISLNK(found.st_mode):
            path.chmod(stat.S_IMODE(found.st_mode) & ~_OTHERS)
