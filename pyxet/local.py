"""The embedded local endpoint: the one place that imports the server, and only when it is needed."""

from __future__ import annotations

import atexit
import os
import threading
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from pyxet._platform import after_fork
from pyxet.config import embedded_root
from pyxet.errors import ConfigError

if TYPE_CHECKING:
    from pyxet.server.running import LocalEndpoint

_running: dict[Path, LocalEndpoint] = {}
_lock = threading.Lock()


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


def embedded(endpoint: str) -> LocalEndpoint:
    """The endpoint of this process for ``local`` or ``file:///dir``, started on first use, with a token of its own.

    After a fork the child goes on with the endpoints that its parent runs, and ends only those that it started itself.

    Raises
    ------
    ConfigError
        The directory cannot be used, another process serves it, or the packages of the ``local`` extra are missing.
    """
    root = embedded_root(endpoint).resolve()
    with _lock:
        if root not in _running:
            # Other users of the machine reach its port as well: they get nothing without the token.
            started: LocalEndpoint = server().LocalEndpoint(
                root, user=os.environ.get("XET_USER_NAME") or "local", anonymous=False
            )
            started.start()
            _running[root] = started
            atexit.register(_close, started, os.getpid())
        return _running[root]


def _close(endpoint: LocalEndpoint, owner: int) -> None:
    if os.getpid() == owner:
        endpoint.close()


def _after_fork() -> None:
    # Another thread may have held the old one at the moment of the fork.
    global _lock
    _lock = threading.Lock()


after_fork(_after_fork)
