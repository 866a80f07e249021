"""A directory is served by one process at a time: its lock, and where the others find that process.

The lock is the system's, which lets go of it however the process ends. Beside it the holder leaves its URL and token, for
processes of the same user: a file of mode 0600 that is there while the holder serves, or was killed.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from pyxet._platform import after_fork, lock_descriptor, loopback_id, open_guarded, user_number
from pyxet._platform_files import remove, replace
from pyxet.errors import ConfigError
from pyxet.secrets import Secret
from pyxet.server.privacy import make_root

_LOCK: Final = "lock"
_HOLDER: Final = "holder"
# Tries to get the lock, and seconds between two: another process may have it for a moment, to see whether anybody has.
_TRIES: Final = 5
_PAUSE: Final = 0.05
# Characters that a holder leaves at the most.
_MAX_HOLDER: Final = 16 * 1024
_log: Final = logging.getLogger("pyxet.server")

# Descriptors of locks. A forked child must not go on holding them after its parent has ended.
_open: set[int] = set()


class InUseError(ConfigError):
    """Another process serves the directory."""


@dataclass(frozen=True, slots=True)
class Holder:
    """The process that serves a directory.

    Attributes
    ----------
    root:
        The directory.
    url, user, token:
        Where it listens, and the account that may do everything.
    pid:
        Its number.
    loopback:
        Which processes reach it there, see `loopback_id`.
    """

    root: Path
    url: str
    user: str
    token: Secret
    pid: int = field(default_factory=os.getpid)
    loopback: str = field(default_factory=loopback_id)


def hold(root: Path) -> int:
    """Make the directory if need be, and hold it for this process; what to `release`.

    Raises
    ------
    ConfigError
        It is no directory; `InUseError`: another process serves it.
    """
    if root.exists() and not root.is_dir():
        raise ConfigError(f"{root} is not a directory")
    make_root(root)
    for attempt in range(_TRIES):
        if attempt:
            time.sleep(_PAUSE)
        descriptor = _locked(root, os.O_CREAT)
        if descriptor is not None:
            # Of an earlier one, that was killed.
            with suppress(FileNotFoundError):
                remove(root / _HOLDER)
            return descriptor
    holder = published(root)
    where = f" at {holder.url} (process {holder.pid})" if holder else ""
    raise InUseError(f"another endpoint serves {root}{where}; connect to its URL instead")


def release(descriptor: int) -> None:
    """Let go of a directory. Once is enough, and after a fork the child has done it already."""
    if descriptor in _open:
        _open.remove(descriptor)
        os.close(descriptor)


def is_held(root: Path) -> bool:
    """Whether a process serves the directory now, as far as can be seen."""
    try:
        descriptor = _locked(root)
    except OSError:
        # There is no lock, or none that this process may open; whoever tries to `hold` the directory is told.
        return False
    if descriptor is None:
        return True
    release(descriptor)
    return False


def publish(holder: Holder) -> None:
    """Leave word of who serves a directory that this process holds. Without it the others just do not find us."""
    path = holder.root / _HOLDER
    unfinished = path.with_name(f"{_HOLDER}.new")
    told = asdict(holder) | {"token": holder.token.reveal()}
    del told["root"]
    try:
        remove(unfinished, missing_ok=True)
        with open(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            json.dump(told, file)
        replace(unfinished, path)
    except OSError as error:
        _log.warning("other processes will not find the endpoint of %s: %s", holder.root, error)
        with suppress(OSError):
            remove(unfinished, missing_ok=True)


def withdraw(root: Path) -> None:
    """Take back what `publish` left."""
    with suppress(OSError):
        remove(root / _HOLDER, missing_ok=True)


def published(root: Path) -> Holder | None:
    """Who serves a directory, or did until it was killed: see `is_held`.

    Raises
    ------
    ConfigError
        It is a process of another user.
    """
    try:
        with open(open_guarded(root / _HOLDER, os.O_RDONLY), encoding="utf-8") as file:
            owner = os.fstat(file.fileno()).st_uid
            told = json.loads(file.read(_MAX_HOLDER)) if owner in (user_number(), root.stat().st_uid) else None
        if told is None:
            # In a folder that all may write to (/tmp) anybody could leave word, and would get what is sent there.
            raise PermissionError(errno.EPERM, f"{_HOLDER} was left there by another user, with uid {owner}")
        return Holder(
            root,
            str(told["url"]),
            str(told["user"]),
            Secret(str(told["token"])),
            int(told["pid"]),
            str(told["loopback"]),
        )
    except PermissionError as error:
        raise ConfigError(f"{root} is another user's: {error.strerror}; connect to the URL of its endpoint") from error
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _locked(root: Path, flags: int = 0) -> int | None:
    """A descriptor that holds the lock, or ``None`` if another one does."""
    descriptor = os.open(root / _LOCK, os.O_RDWR | flags, 0o600)
    _open.add(descriptor)
    try:
        if lock_descriptor(descriptor):
            return descriptor
    except BaseException:
        release(descriptor)
        raise
    release(descriptor)
    return None


def _release_all() -> None:
    for descriptor in list(_open):
        release(descriptor)


after_fork(_release_all)
