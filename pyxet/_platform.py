"""Differences between platforms, in one place: forks, files and their locks, signals, threads, memory and processors.

Other code for single platforms is only in `_platform_files`, `local_rules` and `server.privacy`. A port has to check these.
"""

from __future__ import annotations

import asyncio
import atexit
import errno
import gc
import operator
import os
import signal
import stat
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Final

if sys.platform == "win32":
    import msvcrt

_MIB: Final = 1024 * 1024
# Whether a child process can inherit open files besides its standard ones, and find them under ``/dev/fd``.
PASSES_FILES: Final = sys.platform != "win32"
# Windows locks bytes, not files, and other processes cannot read a locked byte. So this position is locked, behind the
# content of most files: the last that Windows' C library can lock, as its positions have 31 bits.
_LOCKED_BYTE: Final = 2**31 - 2
# Signals that ask a program to end. SIGBREAK is Windows' signal for Ctrl-Break and for the closing of the console.
ENDING_SIGNALS: Final = tuple(
    signal.Signals[name] for name in ("SIGTERM", "SIGBREAK") if name in signal.Signals.__members__
)

_hooks: list[Callable[[], object]] = []


def after_fork(hook: Callable[[], object]) -> None:
    """Register a function to be called in every forked child, in the order of registration.

    A child has only the thread that forked. Locks may be held by threads that the child does not have, and event loops
    are marked as running though no thread runs them. So modules that keep locks or loops register a function that renews them.
    """
    _hooks.append(hook)


def _run_hooks() -> None:
    for hook in _hooks:
        hook()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_run_hooks)


def at_exit(function: Callable[..., object], *arguments: object) -> None:
    """Register a function to be called at the program's end, while worker threads still accept work; `atexit` is too late."""
    try:
        register: Callable[..., object] = getattr(threading, "_register_atexit", atexit.register)
        register(function, *arguments)
    except RuntimeError:
        # The program is ending already.
        atexit.register(function, *arguments)


def loopback_id() -> str:
    """An id shared by the processes that can reach each other at loopback addresses; empty if it cannot be determined.

    Other machines, and containers with a network of their own, may have the same directory mounted.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}/{os.stat('/proc/self/ns/net').st_ino}"
    except OSError:
        return ""


def stop_group(leader: int, *, force: bool) -> None:
    """End a process that was started in a session of its own, and its children; with ``force`` they cannot clean up.

    On Windows only the process itself is ended, and it cannot clean up.
    """
    if sys.platform == "win32":
        os.kill(leader, signal.SIGTERM)
    else:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(leader, signal.SIGKILL if force else signal.SIGTERM)


def lock_descriptor(descriptor: int) -> bool:
    """Lock an open file for this process, without waiting. The system unlocks it however the process ends.

    Returns
    -------
    bool
        ``True`` if the file is locked now, and on platforms without such locks; ``False`` if another descriptor holds
        the lock.
    """
    if sys.platform == "win32":
        before = os.lseek(descriptor, 0, os.SEEK_CUR)
        try:
            os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return False
        finally:
            os.lseek(descriptor, before, os.SEEK_SET)
        return True
    else:
        try:
            import fcntl
        except ImportError:
            return True
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def _flag(name: str) -> int:
    return int(getattr(os, name, 0))


# Flags to open our files where others may have left a link, a pipe or a device of that name, as far as the platform can
# refuse those. ``O_BINARY`` keeps Windows from translating line ends.
GUARDED: Final = _flag("O_NOFOLLOW") | _flag("O_NONBLOCK") | _flag("O_CLOEXEC") | _flag("O_BINARY")
_REFUSES_LINKS: Final = hasattr(os, "O_NOFOLLOW")
# Flags to read a path that is known to be a file.
READ_FLAGS: Final = os.O_RDONLY | _flag("O_CLOEXEC") | _flag("O_BINARY")


def open_guarded(path: str | os.PathLike[str], flags: int, mode: int = 0o666) -> int:
    """Open one of our files where others may have left something else of that name; return its descriptor.

    Raises
    ------
    OSError
        As from `os.open`. On every platform the error is ``ELOOP`` for a link, and ``EISDIR`` for a folder that is not
        opened for reading.
    """
    if not _REFUSES_LINKS and os.path.islink(path):
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), os.fspath(path))
    try:
        return os.open(path, flags | GUARDED, mode)
    except PermissionError:
        # Windows raises this error for folders.
        if os.path.isdir(path):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path)) from None
        raise


_seeking = threading.Lock()


@contextmanager
def _standing(descriptor: int, offset: int) -> Iterator[None]:
    """Move a file's position for the length of a block, on platforms whose reads and writes take no offset."""
    with _seeking:
        before = os.lseek(descriptor, 0, os.SEEK_CUR)
        os.lseek(descriptor, offset, os.SEEK_SET)
        try:
            yield
        finally:
            os.lseek(descriptor, before, os.SEEK_SET)


def read_at(descriptor: int, size: int, offset: int) -> bytes:
    """Read up to ``size`` bytes at an offset; the file's position stays as it is."""
    if sys.platform == "win32":
        with _standing(descriptor, offset):
            return os.read(descriptor, size)
    else:
        return os.pread(descriptor, size, offset)


def write_at(descriptor: int, data: bytes, offset: int) -> int:
    """Write at an offset and return the number of bytes written; the file's position stays as it is."""
    if sys.platform == "win32":
        with _standing(descriptor, offset):
            return os.write(descriptor, data)
    else:
        return os.pwrite(descriptor, data, offset)


def write_vector(descriptor: int, buffers: Sequence[bytes | bytearray | memoryview]) -> int:
    """Write buffers one after the other at a file's position; return the number of bytes written, at least one."""
    if sys.platform == "win32":
        return os.write(descriptor, next(buffer for buffer in buffers if len(buffer)))
    else:
        return os.writev(descriptor, buffers)


def begin_to_sync(descriptor: int, start: int, size: int) -> None:
    """Ask the system to start writing a range of a file to the disk: a hint that does not wait, and only works on Linux.

    A sync while more of the file is written would make the writer wait, and the disk flush its cache each time.
    """
    if sys.platform == "linux":
        # Linux starts to write the dirty pages of the range. It drops only clean pages, and there are none yet.
        with suppress(OSError):
            os.posix_fadvise(descriptor, start, size, os.POSIX_FADV_DONTNEED)


def sync_file(path: str | os.PathLike[str]) -> None:
    """Sync a file that nobody has open to the disk."""
    if sys.platform == "win32":
        # Windows syncs only files that are open for writing, which read-only files, such as git's objects, cannot be.
        mode = os.stat(path).st_mode
        os.chmod(path, mode | stat.S_IWRITE)
        try:
            _sync(path, os.O_RDWR)
        finally:
            os.chmod(path, mode)
    else:
        _sync(path, os.O_RDONLY)


def _sync(path: str | os.PathLike[str], flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(folder: str | os.PathLike[str]) -> None:
    """Make names in a folder durable, where folders can be synced."""
    if sys.platform != "win32":
        _sync(folder, os.O_RDONLY | os.O_DIRECTORY)


def user_number() -> int:
    """The user id of this process, as in ``st_uid``; 0 on Windows, where files have no such ids."""
    if sys.platform == "win32":
        return 0
    else:
        return os.geteuid()


def longest_names(folder: str | os.PathLike[str]) -> tuple[int, int]:
    """The longest name that a folder allows, and the longest path: in bytes, on Windows in UTF-16 units."""
    if sys.platform != "win32":
        with suppress(ValueError, OSError):
            return os.pathconf(folder, "PC_NAME_MAX"), os.pathconf(folder, "PC_PATH_MAX")
    return 255, 4096


@contextmanager
def signals_to(loop: asyncio.AbstractEventLoop, callback: Callable[[], object], *numbers: int) -> Iterator[None]:
    """Call a function on a running loop when one of the given signals arrives, for the length of a block.

    Signals can be handled in the main thread only; in other threads the block runs without handlers.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in numbers}

    def handle(_number: int, _frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(callback)

    try:
        for number in numbers:
            try:
                loop.add_signal_handler(number, callback)
            except NotImplementedError:
                # Event loops on Windows cannot handle signals; the interpreter does, between two steps of the loop.
                signal.signal(number, handle)
        yield
    finally:
        for number, handler in before.items():
            with suppress(NotImplementedError):
                loop.remove_signal_handler(number)
            signal.signal(number, handler)


def frame_of(thread: int) -> FrameType | None:
    """What a thread of this process is executing, as its innermost frame; ``None`` if there is no such thread."""
    if sys.version_info >= (3, 12):
        return sys._current_frames().get(thread)
    # Python 3.11 makes the frames while it holds a lock of its own. A garbage collection at that moment can switch to another
    # thread, and if that thread then needs the lock (to start a thread, for example), both wait for ever. So no collection may
    # run. `map` calls the three functions one after the other without a switch of threads in between.
    restore = gc.enable if gc.isenabled() else gc.disable
    _, frames, _ = map(operator.call, (gc.disable, sys._current_frames, restore))
    assert isinstance(frames, dict)
    frame: FrameType | None = frames.get(thread)
    return frame


def is_broken_pipe(error: BaseException) -> bool:
    """Whether an error of standard output means that its reader has closed it."""
    # On Windows the error is `EINVAL`, without a file name.
    if sys.platform == "win32" and isinstance(error, OSError) and error.filename is None:
        return error.errno in (errno.EINVAL, errno.EPIPE)
    return isinstance(error, BrokenPipeError)


def machine_memory() -> int:
    """The machine's memory in bytes; 1 GiB if it cannot be determined."""
    if sys.platform != "win32":
        with suppress(AttributeError, ValueError, OSError):
            return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return 1024 * _MIB


def allowed_processors() -> int:
    """Processors that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
