"""A simulation of Windows: functions that Windows does not have are removed, and operations that it refuses fail.

`install` changes a whole process. It is called before pyxet is imported, and after other modules that need the functions
of this platform were imported. `pretended` is for single calls in the process of the tests.
"""

from __future__ import annotations

import builtins
import contextlib
import errno
import io
import os
import re
import shutil
import stat
import sys
import tempfile
import threading
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

_BINARY = 0x8000
ABSENT = [
    "O_CLOEXEC",
    "O_DIRECTORY",
    "O_NOFOLLOW",
    "O_NONBLOCK",
    "chown",
    "fchmod",
    "fchown",
    "fdatasync",
    "fork",
    "forkpty",
    "getegid",
    "geteuid",
    "getgid",
    "getpgid",
    "getuid",
    "killpg",
    "lchown",
    "mkfifo",
    "mknod",
    "pathconf",
    "pread",
    "pwrite",
    "readv",
    "register_at_fork",
    "sched_getaffinity",
    "sendfile",
    "setsid",
    "statvfs",
    "sysconf",
    "uname",
    "writev",
]
SIGNALS = ("SIGALRM", "SIGCHLD", "SIGHUP", "SIGKILL", "SIGPIPE", "SIGQUIT", "SIGUSR1", "SIGUSR2")
MODULES = ("fcntl", "grp", "pwd", "resource", "termios", "tty", "pty")
_FORBIDDEN = re.compile(r'[<>:"|?*\\\x00-\x1f]|[. ]\Z|\A(?:aux|con|nul|prn|com\d|lpt\d)(?:[ .]|\Z)', re.IGNORECASE)

_open, _close, _read, _write, _fsync = os.open, os.close, os.read, os.write, os.fsync
_replace, _rename, _unlink, _stat = os.replace, os.rename, os.unlink, os.stat


def in_use(path: Any) -> bool:
    """Whether this process has a file, or any file below a folder, open or mapped."""
    try:
        wanted = _stat(path, follow_symlinks=False)
    except OSError:
        return False
    top = f"{os.path.realpath(path)}/"
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            if os.path.samestat(wanted, _stat(f"/proc/self/fd/{name}")):
                return True
            if stat.S_ISDIR(wanted.st_mode) and os.readlink(f"/proc/self/fd/{name}").startswith(top):
                return True
    maps = Path("/proc/self/maps").read_text(encoding="utf-8")
    return any(line.endswith(top[:-1]) or top in line for line in maps.splitlines())


def _refuse(path: Any, code: int) -> None:
    error = PermissionError(errno.EACCES, "refused as Windows does", os.fspath(path))
    error.winerror = code  # type: ignore[attr-defined]  # on Windows it has one
    raise error


def _is_read_only(path: Any) -> bool:
    return os.path.isfile(path) and not _stat(path).st_mode & stat.S_IWRITE


def replace(source: Any, target: Any, **options: Any) -> None:
    if in_use(source):
        _refuse(source, 32)
    if in_use(target) or os.path.isdir(target) or _is_read_only(target):
        _refuse(target, 5)
    _replace(source, target, **options)


def rename(source: Any, target: Any, **options: Any) -> None:
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, "refused as Windows does", os.fspath(source), None, os.fspath(target))
    replace(source, target, **options)


def unlink(path: Any, **options: Any) -> None:
    if in_use(path):
        _refuse(path, 32)
    if _is_read_only(path):
        _refuse(path, 5)
    _unlink(path, **options)


@contextlib.contextmanager
def pretended(patience: float = 0.3) -> Iterator[None]:
    """Simulate the rules of Windows for open files and for names, for the length of a block."""
    from pyxet import _platform_files, local_rules

    changed: list[tuple[Any, str, Any]] = [
        (_platform_files, "MOVES_OPEN_FILES", False),
        (_platform_files, "_PATIENCE", patience),
        (local_rules, "PLATFORM", "win32"),
        (os, "replace", replace),
        (os, "rename", rename),
        (os, "unlink", unlink),
        (os, "remove", unlink),
    ]
    before = [(owner, name, getattr(owner, name)) for owner, name, _ in changed]
    try:
        for owner, name, value in changed:
            setattr(owner, name, value)
        yield
    finally:
        for owner, name, value in before:
            setattr(owner, name, value)


class _Text:
    """Replacements for functions of `os` that translate line ends for descriptors opened without ``O_BINARY``."""

    def __init__(self) -> None:
        self._numbers: set[int] = set()
        self._flags: Callable[[int], int] | None = None
        self._real_open = builtins.open

    def open(self, path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if os.path.isdir(path):
            _refuse(path, 5)
        number = _open(path, flags & ~_BINARY | 0o2000000, mode, dir_fd=dir_fd)
        (self._numbers.discard if flags & _BINARY else self._numbers.add)(number)
        return number

    def close(self, number: int) -> None:
        self._numbers.discard(number)
        _close(number)

    def read(self, number: int, size: int) -> bytes:
        data = _read(number, size)
        return data.partition(b"\x1a")[0].replace(b"\r\n", b"\n") if number in self._numbers else data

    def write(self, number: int, data: Any) -> int:
        if number in self._numbers:
            _write(number, bytes(data).replace(b"\n", b"\r\n"))
            return len(data)
        return _write(number, data)

    def built_in(self, file: Any, *arguments: Any, **options: Any) -> Any:
        if isinstance(file, int):
            # Python's own file objects make the descriptor binary.
            self._numbers.discard(file)
        return self._real_open(file, *arguments, **options)


def _fake_msvcrt(fcntl: Any) -> Any:
    fake: Any = types.ModuleType("msvcrt")
    fake.LK_UNLCK, fake.LK_LOCK, fake.LK_NBLCK = 0, 1, 2

    def locking(number: int, mode: int, size: int) -> None:
        place = os.lseek(number, 0, os.SEEK_CUR)
        if place >= 2**31:
            # The C library of Windows has positions of 31 bits here.
            raise OSError(errno.EINVAL, "Invalid argument")
        if place < os.fstat(number).st_size:
            raise AssertionError("this locks content, which nobody else could read")
        assert mode == fake.LK_NBLCK
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise PermissionError(errno.EACCES, "Permission denied") from None

    fake.locking = locking
    return fake


def _watch_names(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open":
        path, _, flags = arguments
        writes = isinstance(flags, int) and flags & os.O_CREAT
    elif event in ("os.mkdir", "os.rename"):
        path, writes = arguments[event == "os.rename"], True
    else:
        return
    if writes and isinstance(path, (str, os.PathLike)):
        for name in os.fspath(path).split("/"):
            if name not in ("", ".", "..") and _FORBIDDEN.search(name):
                error = OSError(errno.EINVAL, "no such name on Windows", os.fspath(path))
                error.winerror = 123  # type: ignore[attr-defined]  # on Windows it has one
                raise error


def install(*, alone: bool = True) -> None:
    """Make this process behave like one on Windows, as far as possible.

    Parameters
    ----------
    alone:
        Whether to check that no other thread runs, for tests that count pyxet's threads.
    """
    import asyncio
    import asyncio.unix_events
    import fcntl
    import signal
    import subprocess  # noqa: F401  # imported before the functions that these modules use are removed
    import zipfile  # noqa: F401

    import aiofiles  # noqa: F401
    import aiohttp.web  # noqa: F401
    import anyio.from_thread  # noqa: F401
    import blake3  # noqa: F401
    import click  # noqa: F401
    import filelock
    import fsspec.asyn
    import fsspec.implementations.local  # noqa: F401
    import lz4.frame  # noqa: F401
    import msgspec  # noqa: F401
    import numpy as np  # noqa: F401
    import pandas as pd  # noqa: F401
    import platformdirs
    import pygit2  # noqa: F401
    import rich.console
    import rich.progress  # noqa: F401

    platformdirs.user_data_path()
    loop: Any = asyncio.unix_events._UnixSelectorEventLoop

    def missing(*_: Any, **__: Any) -> Any:
        raise NotImplementedError

    for name in ("add_signal_handler", "remove_signal_handler", "connect_read_pipe", "connect_write_pipe"):
        setattr(loop, name, missing)
    del loop._sock_sendfile_native
    msvcrt = _fake_msvcrt(fcntl)
    for name in MODULES:
        sys.modules[name] = None  # type: ignore[assignment]  # makes its import fail
    # filelock chooses its lock for Windows when it is imported, and that needs system calls that are not simulated.
    filelock.FileLock = filelock.SoftFileLock
    for name in ABSENT:
        delattr(os, name)
    if hasattr(os, "process_cpu_count"):
        # Since Python 3.13; the original uses `sched_getaffinity`, which was just removed.
        os.process_cpu_count = os.cpu_count
    for name in SIGNALS:
        delattr(signal, name)
    text = _Text()
    get_flags = fcntl.fcntl
    access_mode, flags_command = os.O_ACCMODE, fcntl.F_GETFL

    def fsync(number: int) -> None:
        if get_flags(number, flags_command) & access_mode == os.O_RDONLY:
            raise OSError(errno.EBADF, "Bad file descriptor")
        _fsync(number)

    os.O_BINARY = _BINARY  # type: ignore[attr-defined]  # it exists on Windows
    tempfile._bin_openflags |= _BINARY  # type: ignore[attr-defined]  # as on Windows
    tempfile.TemporaryFile = tempfile.NamedTemporaryFile  # type: ignore[assignment]  # as on Windows
    shutil._use_fd_functions = False  # type: ignore[attr-defined]  # as on Windows
    shutil._USE_CP_SENDFILE = False  # type: ignore[attr-defined]  # as on Windows
    changed = {"open": text.open, "close": text.close, "read": text.read, "write": text.write, "fsync": fsync}
    changed |= {"replace": replace, "rename": rename, "unlink": unlink, "remove": unlink}
    for name, function in changed.items():
        setattr(os, name, function)
    for module in (builtins, io):
        module.open = text.built_in  # type: ignore[attr-defined,unused-ignore]  # behaves like `open` for the code under test
    sys.addaudithook(_watch_names)
    sys.modules["msvcrt"] = msvcrt
    assert "pyxet" not in sys.modules
    real = sys.platform
    sys.platform = "win32"
    try:
        from pyxet import _platform, _platform_files, local_rules
    finally:
        sys.platform = real
    for module in (_platform, _platform_files, local_rules):
        # For tests of the platform at run time.
        module.sys = _Sys()  # type: ignore[attr-defined]  # like the module, but with another platform
    assert threading.active_count() == 1 or not alone


class _Sys(types.ModuleType):
    def __init__(self) -> None:
        super().__init__("sys")
        self.platform = "win32"

    def __getattr__(self, name: str) -> Any:
        return getattr(sys, name)
