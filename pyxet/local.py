"""Embedded local endpoints. Only this module imports the server, and only when it is needed.

The processes of a user share a directory. The first process that uses the directory serves it. The others find that process
by the file that it writes beside its lock. When it ends, another process serves the directory; callers do not notice which.
"""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Final

from pyxet._platform import after_fork, at_exit, loopback_id
from pyxet.config import embedded_root
from pyxet.errors import ConfigError
from pyxet.secrets import Secret

if TYPE_CHECKING:
    from pyxet.server.holding import Holder
    from pyxet.server.running import LocalEndpoint

# Seconds to wait until the process that holds a directory publishes the URL at which it serves it, and between two checks.
PATIENCE: Final = 30.0
PAUSE: Final = 0.05


def server() -> ModuleType:
    """The module that runs endpoints.

    Raises
    ------
    ConfigError
        The packages that only the local endpoint needs are not installed.
    """
    try:
        import pyxet.server.running
    except ModuleNotFoundError as error:
        if error.name != "pygit2":
            raise
        raise ConfigError('the local endpoint needs pygit2: pip install "pyxet[local]"') from error
    return pyxet.server.running


# The last known holder of each directory, and the directories that this process serves itself.
_known: dict[Path, Holder] = {}
_own: set[Path] = set()
_lock = threading.Lock()


def find(endpoint: str) -> Holder | None:
    """Find the process that serves ``local`` or ``file:///dir``; if there is none, this process starts to. Blocks for a moment.

    Returns
    -------
    Holder or None
        ``None`` while another process holds the directory, but its URL is not published: not yet, or not any more.

    Raises
    ------
    ConfigError
        The directory cannot be used, or is served on a machine or in a container that this process cannot connect to; the
        packages of the ``local`` extra are missing.
    """
    from pyxet.server.holding import Holder, InUseError, is_held, published

    root = embedded_root(endpoint).resolve()
    with _lock:
        if root in _own:
            return _known[root]
        holder = published(root)
        if holder is not None and is_held(root):
            if holder.loopback != loopback_id():
                raise ConfigError(
                    f"{root} is served on another machine or in another container, for processes there; end that process, or "
                    "serve the directory with xet serve --host and connect to its URL"
                )
            if _known.get(root) != holder:
                _known[root] = holder
            return _known[root]
        user = os.environ.get("XET_USER_NAME") or "local"
        # Other users of the machine can reach its port as well, so nothing is served without the token.
        started: LocalEndpoint = server().LocalEndpoint(root, user=user, anonymous=False)
        try:
            started.start()
        except InUseError:
            return None
        at_exit(_close, started, os.getpid())
        _known[root] = Holder(root, started.url, started.user, Secret(started.token))
        _own.add(root)
        return _known[root]


def embedded(endpoint: str) -> Holder:
    """Like `find`, but wait until the process that holds the directory publishes its URL.

    Raises
    ------
    ConfigError
        As in `find`; or that process does not publish its URL in time.
    """
    until = time.monotonic() + PATIENCE
    while (found := find(endpoint)) is None:
        if time.monotonic() > until:
            raise silent(endpoint)
        time.sleep(PAUSE)
    return found


def silent(endpoint: str) -> ConfigError:
    """The error for a directory whose holder does not publish its URL."""
    root = embedded_root(endpoint).resolve()
    return ConfigError(f"another process holds {root} and does not say at which URL it serves it; end that process")


def _close(endpoint: LocalEndpoint, owner: int) -> None:
    if os.getpid() == owner:
        endpoint.close()


def _after_fork() -> None:
    # Another thread may have held the lock at the moment of the fork. To the child, its parent's endpoints are like those of
    # any other process.
    global _lock
    _lock = threading.Lock()
    _own.clear()


after_fork(_after_fork)
