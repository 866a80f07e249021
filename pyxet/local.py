"""The embedded local endpoint: the one place that imports the server, and only when it is needed."""

from __future__ import annotations

import atexit
import os
import threading
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from pyxet.config import embedded_root
from pyxet.errors import ConfigError

if TYPE_CHECKING:
    from pyxet.server.running import LocalEndpoint

_running: dict[Path, LocalEndpoint] = {}
_lock = threading.Lock()
_owner = os.getpid()


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
    """The endpoint of this process for ``local`` or ``file:///dir``, started on first use.

    After a fork the child goes on with the endpoint that its parent runs.
    """
    root = embedded_root(endpoint)
    with _lock:
        if root not in _running:
            _running[root] = server().LocalEndpoint(root, user=os.environ.get("XET_USER_NAME") or "local")
        return _running[root]


@atexit.register
def _close_all() -> None:
    if os.getpid() == _owner:
        for endpoint in _running.values():
            endpoint.close()
