"""A pytest plugin that runs all tests on the simulated Windows (``PYTHONPATH=tests pytest -p support.as_windows``).

``xet`` commands that tests start run on it as well; other processes do not.
"""

from __future__ import annotations

import importlib
import os
import socket
import subprocess
from contextlib import suppress
from typing import Any

import pytest

# Modules besides those that pyxet needs which have to be imported before the simulation. Not all sessions have all of them.
_TOOLS = (
    "_pytest.tmpdir", "aioresponses", "blockbuster", "hf_xet", "huggingface_hub.hf_api", "hypothesis", "multiprocessing.pool",
    "multiprocessing.resource_tracker", "pyarrow.dataset", "pyarrow.parquet", "pytest_timeout", "sklearn.linear_model",
    "urllib.request",
)  # fmt: skip
_UNIX_SOCKETS = socket.AF_UNIX
_socketpair = socket.socketpair


def _send_signal(process: subprocess.Popen[Any], _number: int = 0) -> None:
    """Kill the process, whatever the signal: Windows can only end processes."""
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.kill(process.pid, 9)


def _pair(*_: Any, **__: Any) -> tuple[socket.socket, socket.socket]:
    return _socketpair(_UNIX_SOCKETS)


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests() -> None:
    """Install the simulation before tests, and pyxet, are imported."""
    import _pytest.tmpdir

    from support import windows

    for name in _TOOLS:
        with suppress(ImportError):
            importlib.import_module(name)
    windows.install(alone=False)
    _pytest.tmpdir.get_user_id = lambda: None
    subprocess.Popen.send_signal = _send_signal  # type: ignore[method-assign,assignment]  # as on Windows
    subprocess.Popen.kill = subprocess.Popen.terminate = _send_signal  # type: ignore[method-assign,assignment]  # as on Windows
    socket.socketpair = _pair
    for name in ("AF_UNIX", "recv_fds", "send_fds"):
        delattr(socket, name)
