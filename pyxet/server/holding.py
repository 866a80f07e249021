"""The lock that lets only one process serve a directory, and the file that tells other processes how to reach it.

The operating system releases the lock however the process ends. Beside the lock the holder writes its URL and token for
processes of the same user: a file of mode 0600 that exists while the holder serves, and remains if it is killed.
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
# Tries to get the lock, and seconds between two: another process may take it for a moment to check whether it is free.
_TRIES: Final = 5
_PAUSE: Final = 0.05
# Maximum number of characters in the file of a holder.
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
        The URL where it listens, and the account that may do everything.
    pid:
        Its process id.
    loopback:
        Which processes can reach its URL, see `loopback_id`.
    """

    root: Path
    url: str
    user: str
    token: Secret
    pid: int = field(default_factory=os.getpid)
    loopback: str = field(default_factory=loopback_id)


def hold(root: Path) -> int:
    """Create the directory if needed, and lock it for this process; returns the descriptor to `release`.

    Raises
    ------
    ConfigError
        The path is not a directory; `InUseError`: another process serves it.
    """
    if root.exists() and not root.is_dir():
        raise ConfigError(f"{root} is not a directory")
    make_root(root)
    for attempt in range(_TRIES):
        if attempt:
            time.sleep(_PAUSE)
        descriptor = _locked(root, os.O_CREAT)
        if descriptor is not None:
            # The file of an earlier holder that was killed.
            with suppress(FileNotFoundError):
                remove(root / _HOLDER)
            return descriptor
    holder = published(root)
    where = f" at {holder.url} (process {holder.pid})" if holder else ""
    raise InUseError(f"another endpoint serves {root}{where}; connect to its URL instead")


def release(descriptor: int) -> None:
    """Release a directory. Further calls do nothing, nor do calls in a forked child, which has released it already."""
    if descriptor in _open:
        _open.remove(descriptor)
        os.close(descriptor)


def is_held(root: Path) -> bool:
    """Whether a process serves the directory now; ``False`` also if this process cannot open the lock."""
    try:
        descriptor = _locked(root)
    except OSError:
        # There is no lock, or this process may not open it; then `hold` reports the error.
        return False
    if descriptor is None:
        return True
    release(descriptor)
    return False


def publish(holder: Holder) -> None:
    """Write the file that describes this process as the holder of its directory. Without it others cannot find this process."""
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
    """Remove the file that `publish` wrote."""
    with suppress(OSError):
        remove(root / _HOLDER, missing_ok=True)


def published(root: Path) -> Holder | None:
    """The process that serves a directory, or that served it until it was killed: see `is_held`.

    Raises
    ------
    ConfigError
        The file belongs to another user.
    """
    try:
        with open(open_guarded(root / _HOLDER, os.O_RDONLY), encoding="utf-8") as file:
            owner = os.fstat(file.fileno()).st_uid
            told = json.loads(file.read(_MAX_HOLDER)) if owner in (user_number(), root.stat().st_uid) else None
        if told is None:
            # In a folder where all users may write (/tmp) anybody could create this file and would receive what clients send.
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
    """A descriptor that holds the lock, or ``None`` if another process holds it."""
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
