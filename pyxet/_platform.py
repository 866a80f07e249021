"""Every difference between platforms, in one place: forks, files and their locks, signals, memory and processors.

The rest of the package runs alike everywhere. What a platform does not have is asked for here and nowhere else, so this
file also is what a port has to look at.
"""

from __future__ import annotations

import asyncio
import atexit
import errno
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
# Whether a child process can be given more open files than its standard ones, and finds them under ``/dev/fd``.
PASSES_FILES: Final = sys.platform != "win32"
# Where a platform locks bytes, and not files, this one is locked, as nobody else can read a locked byte: the last that the
# C library of Windows can lock, which knows positions of 31 bits. Of files that are larger nobody reads it elsewhere.
_LOCKED_BYTE: Final = 2**31 - 2
# Signals that ask a program to end: of Windows Ctrl-Break as well, and the closing of its console.
ENDING_SIGNALS: Final = tuple(
    signal.Signals[name] for name in ("SIGTERM", "SIGBREAK") if name in signal.Signals.__members__
)

_hooks: list[Callable[[], object]] = []


def after_fork(hook: Callable[[], object]) -> None:
    """Call a function in every forked child, in the order of these calls; never where there are no forks.

    A child has only the thread that forked. Locks may be held by threads that it does not have, and event loops claim to
    run though nobody runs them, so whoever keeps either in a module renews it here.
    """
    _hooks.append(hook)


def _run_hooks() -> None:
    for hook in _hooks:
        hook()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_run_hooks)


def at_exit(function: Callable[..., object], *arguments: object) -> None:
    """Call a function when the program ends, while worker threads still take work: `atexit` calls when they do not."""
    try:
        register: Callable[..., object] = getattr(threading, "_register_atexit", atexit.register)
        register(function, *arguments)
    except RuntimeError:
        # It is ending already.
        atexit.register(function, *arguments)


def loopback_id() -> str:
    """What those processes have in common that reach each other at loopback addresses; empty where that cannot be told.

    Other machines may have the same directory mounted, and so may containers with a network of their own.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}/{os.stat('/proc/self/ns/net').st_ino}"
    except OSError:
        return ""


def stop_group(leader: int, *, force: bool) -> None:
    """End a process that was started with a session of its own, and its children; ``force`` does not let them clean up.

    On Windows only the process ends, and cannot clean up.
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
        Whether it is locked now; ``False`` if another descriptor holds the lock. Where a platform has no such locks
        nobody holds any, and the answer is ``True``.
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


# How files of ours are opened where others may have left a link, a pipe or a device of that name, as far as a platform
# can refuse those; and as bytes, where it would translate line ends otherwise.
GUARDED: Final = _flag("O_NOFOLLOW") | _flag("O_NONBLOCK") | _flag("O_CLOEXEC") | _flag("O_BINARY")
_REFUSES_LINKS: Final = hasattr(os, "O_NOFOLLOW")
# For reading what is known to be a file.
READ_FLAGS: Final = os.O_RDONLY | _flag("O_CLOEXEC") | _flag("O_BINARY")


def open_guarded(path: str | os.PathLike[str], flags: int, mode: int = 0o666) -> int:
    """Open a file of ours where others may have left something else of that name; a descriptor.

    Raises
    ------
    OSError
        As `os.open` does; ``ELOOP`` if a link has the name, ``EISDIR`` if a folder has it and is not to be read, on every
        platform.
    """
    if not _REFUSES_LINKS and os.path.islink(path):
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), os.fspath(path))
    try:
        return os.open(path, flags | GUARDED, mode)
    except PermissionError:
        # Which is what Windows says of folders.
        if os.path.isdir(path):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path)) from None
        raise


_seeking = threading.Lock()


@contextmanager
def _standing(descriptor: int, offset: int) -> Iterator[None]:
    """A file's only position, elsewhere for the length of a block: where positions cannot be given with the call."""
    with _seeking:
        before = os.lseek(descriptor, 0, os.SEEK_CUR)
        os.lseek(descriptor, offset, os.SEEK_SET)
        try:
            yield
        finally:
            os.lseek(descriptor, before, os.SEEK_SET)


def read_at(descriptor: int, size: int, offset: int) -> bytes:
    """At most so many bytes of a file from an offset on, wherever it stands."""
    if sys.platform == "win32":
        with _standing(descriptor, offset):
            return os.read(descriptor, size)
    else:
        return os.pread(descriptor, size, offset)


def write_at(descriptor: int, data: bytes, offset: int) -> int:
    """Write at an offset of a file; how many bytes were taken. It stands where it stood afterwards."""
    if sys.platform == "win32":
        with _standing(descriptor, offset):
            return os.write(descriptor, data)
    else:
        return os.pwrite(descriptor, data, offset)


def write_vector(descriptor: int, buffers: Sequence[bytes | bytearray | memoryview]) -> int:
    """Write buffers one behind the other where a file stands; how many bytes were taken, at least one."""
    if sys.platform == "win32":
        return os.write(descriptor, next(buffer for buffer in buffers if len(buffer)))
    else:
        return os.writev(descriptor, buffers)


def begin_to_sync(descriptor: int, start: int, size: int) -> None:
    """Have the disk begin to work on what was just written to a file, where the system can be told; a hint, that waits for nothing.

    To sync a file while more of it is written makes the writer wait, and the disk empty its cache each time.
    """
    if sys.platform == "linux":
        # Linux starts to write the dirty pages of the range; it forgets only clean ones, and there are none yet.
        with suppress(OSError):
            os.posix_fadvise(descriptor, start, size, os.POSIX_FADV_DONTNEED)


def sync_file(path: str | os.PathLike[str]) -> None:
    """Bring a file that nobody has open to the disk."""
    if sys.platform == "win32":
        # Which syncs only what is open to be written; that a file is read-only, as git's objects are, forbids opening it so.
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
    """The number of this process's user, as `os.stat` tells owners; 0 where files have no such numbers."""
    if sys.platform == "win32":
        return 0
    else:
        return os.geteuid()


def longest_names(folder: str | os.PathLike[str]) -> tuple[int, int]:
    """Bytes that a name in a folder may have, and a whole path."""
    if sys.platform != "win32":
        with suppress(ValueError, OSError):
            return os.pathconf(folder, "PC_NAME_MAX"), os.pathconf(folder, "PC_PATH_MAX")
    return 255, 4096


@contextmanager
def signals_to(loop: asyncio.AbstractEventLoop, callback: Callable[[], object], *numbers: int) -> Iterator[None]:
    """Call a function on a running loop when one of some signals comes, for the length of a block.

    Outside of the main thread signals cannot be handled, and nothing happens.
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
                # Loops of Windows take no signals; the interpreter does, between two steps of a loop.
                signal.signal(number, handle)
        yield
    finally:
        for number, handler in before.items():
            with suppress(NotImplementedError):
                loop.remove_signal_handler(number)
            signal.signal(number, handler)


def is_broken_pipe(error: BaseException) -> bool:
    """Whether an error of standard output says that nobody reads it any more."""
    # Windows calls it an invalid argument, of no file.
    if sys.platform == "win32" and isinstance(error, OSError) and error.filename is None:
        return error.errno in (errno.EINVAL, errno.EPIPE)
    return isinstance(error, BrokenPipeError)


def machine_memory() -> int:
    """Bytes of memory that the machine has; a gibibyte where it does not tell."""
    if sys.platform != "win32":
        with suppress(AttributeError, ValueError, OSError):
            return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return 1024 * _MIB


def allowed_processors() -> int:
    """Processors that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
