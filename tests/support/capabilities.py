"""What tests need that not every platform has, and whether it is here: the one place that decides.

A test, or all of a module by ``pytestmark``, names what it needs itself, as ``@pytest.mark.needs("fork", "pty")``; what
only pyxet does differently needs no mark. Where something is not there the test is skipped with the reason, and on Linux
nothing may be missing (`tests/test_project.py`). Capabilities are asked for, not platforms.
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
    # What cannot be imported may stand there with nothing behind its name.
    return sys.modules[name] is not None if name in sys.modules else importlib.util.find_spec(name) is not None


def _makes_links() -> bool:
    # On Windows who runs the tests may be allowed to, or not.
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
    """Whether files can have names, each of them its own file."""

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
    # It is served by git's own program with hooks that are scripts.
    "git endpoint": lambda: hasattr(os, "fork"),
    "limits": lambda: _has_module("resource"),
    "links": _makes_links,
    "locks of files": lambda: _has_module("fcntl"),
    "modes": _has_modes,
    "names in bytes": _keeps_bytes,
    # That can be told not to wait, and waited for beside others.
    "pipes": lambda: _has_module("fcntl"),
    "proc": lambda: hasattr(os, "fork") and os.path.isdir("/proc/self/fd"),
    "pty": lambda: hasattr(os, "openpty"),
    # Shells as of Unix, and scripts that begin with the name of one.
    "shells": lambda: hasattr(os, "fork") and shutil.which("sh") is not None,
    # To another process, or from a thread to the main one; a process that is killed leaves its number.
    "signals": lambda: hasattr(signal, "SIGKILL"),
    # Somebody whom the system can refuse something: not root.
    "a plain user": lambda: hasattr(os, "geteuid") and os.geteuid() != 0,
    "unix sockets": lambda: hasattr(socket, "AF_UNIX"),
}

NAMES: Final = tuple(_CHECKS)


@cache
def has(name: str) -> bool:
    """Whether this machine has one of the things that tests can need.

    Raises
    ------
    KeyError
        There is no such thing.
    """
    return _CHECKS[name]()


def need(*names: str) -> None:
    """Skip the test that is running if it needs what is not here: for cases of a test, and what tests share."""
    if lacking := [name for name in dict.fromkeys(names) if not has(name)]:
        pytest.skip(f"not here: {', '.join(lacking)}")


def check(item: pytest.Item) -> None:
    """Skip a test whose marks name what is not here; a name that nobody knows is an error."""
    need(*(name for mark in item.iter_markers("needs") for name in mark.args))


def missing() -> list[str]:
    """Everything that is not here."""
    return [name for name in _CHECKS if not has(name)]
