"""Capabilities that tests need and not every platform has, and the checks for them, all in one place.

A test, or a whole module by ``pytestmark``, names what the test itself needs: ``@pytest.mark.needs("fork", "pty")``. No mark
is needed where only pyxet's own behaviour differs. If a capability is missing, the test is skipped with the reason; on Linux
none may be missing (`tests/test_project.py`). Tests name capabilities, not platforms.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Final

import pytest


def _has_module(name: str) -> bool:
    # ``None`` in `sys.modules` marks a module that cannot be imported.
    return sys.modules[name] is not None if name in sys.modules else importlib.util.find_spec(name) is not None


def _makes_links() -> bool:
    # On Windows it depends on the rights of the user who runs the tests.
    with tempfile.TemporaryDirectory() as folder:
        try:
            os.symlink("target", os.path.join(folder, "link"))
        except (AttributeError, NotImplementedError, OSError):
            return False
    return True


def _has_modes() -> bool:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "file")
        path.touch()
        path.chmod(0o640)
        return path.stat().st_mode & 0o777 == 0o640


def _keeps_names(*names: str) -> Callable[[], bool]:
    """A check whether files can have all of these names, with a file of its own for each."""

    def look() -> bool:
        with tempfile.TemporaryDirectory() as folder:
            try:
                for name in names:
                    Path(folder, name).touch()
                return sorted(os.listdir(folder)) == sorted(names)
            except (OSError, UnicodeError):
                return False

    return look


def _keeps_bytes() -> bool:
    with tempfile.TemporaryDirectory() as folder:
        try:
            with open(os.path.join(os.fsencode(folder), b"\xff"), "wb"):
                return os.listdir(os.fsencode(folder)) == [b"\xff"]
        except (OSError, UnicodeError):
            return False


_CHECKS: Final[dict[str, Callable[[], bool]]] = {
    "any names": _keeps_names("a", "A", 'a"b', "c:d", "e?", "f*", "g\\h", "i.", "aux", "j\n"),
    "fifos": lambda: hasattr(os, "mkfifo"),
    "fork": lambda: hasattr(os, "fork"),
    # The endpoint runs git's own program, with hooks that are scripts.
    "git endpoint": lambda: hasattr(os, "fork"),
    "limits": lambda: _has_module("resource"),
    "links": _makes_links,
    "locks of files": lambda: _has_module("fcntl"),
    "modes": _has_modes,
    "names in bytes": _keeps_bytes,
    # Pipes that can be non-blocking, and that `select` can wait for.
    "pipes": lambda: _has_module("fcntl"),
    "proc": lambda: hasattr(os, "fork") and os.path.isdir("/proc/self/fd"),
    "pty": lambda: hasattr(os, "openpty"),
    # Unix shells, and scripts that begin with ``#!``.
    "shells": lambda: hasattr(os, "fork") and shutil.which("sh") is not None,
    # Signals to other processes, and from a thread to the main one; the exit code of a killed process has the number.
    "signals": lambda: hasattr(signal, "SIGKILL"),
    # A user whom the system can refuse access: not root.
    "a plain user": lambda: hasattr(os, "geteuid") and os.geteuid() != 0,
    "unix sockets": lambda: hasattr(socket, "AF_UNIX"),
}

NAMES: Final = tuple(_CHECKS)


@cache
def has(name: str) -> bool:
    """Whether this machine has a capability.

    Raises
    ------
    KeyError
        The name is unknown.
    """
    return _CHECKS[name]()


def need(*names: str) -> None:
    """Skip the running test if a capability is missing: for single cases of a test, and for shared helpers."""
    if lacking := [name for name in dict.fromkeys(names) if not has(name)]:
        pytest.skip(f"not here: {', '.join(lacking)}")


def check(item: pytest.Item) -> None:
    """Skip a test whose marks name a missing capability; an unknown name is an error."""
    need(*(name for mark in item.iter_markers("needs") for name in mark.args))


def missing() -> list[str]:
    """The capabilities that this machine does not have."""
    return [name for name in _CHECKS if not has(name)]
