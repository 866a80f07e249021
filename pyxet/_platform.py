"""Every difference between platforms, in one place: forks, file locks, signals, the machine's memory and processors.

The rest of the package runs alike everywhere. What a platform does not have is asked for here and nowhere else, so this
file also is what a port has to look at.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Final

_MIB: Final = 1024 * 1024
# Where a platform locks bytes, and not files, this one is locked: beyond all content, as nobody could read it otherwise.
_LOCKED_BYTE: Final = 2**62

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
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{os.stat('/proc/self/ns/net').st_ino}"
    except OSError:
        return ""


def lock_descriptor(descriptor: int) -> bool:
    """Lock an open file for this process, without waiting. The system unlocks it however the process ends.

    Returns
    -------
    bool
        Whether it is locked now; ``False`` if another descriptor holds the lock. Where a platform has no such locks
        nobody holds any, and the answer is ``True``.
    """
    try:
        import fcntl
    except ImportError:
        return _lock_byte(descriptor)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _lock_byte(descriptor: int) -> bool:
    try:
        import msvcrt
    except ImportError:
        return True
    before = os.lseek(descriptor, 0, os.SEEK_CUR)
    try:
        os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]  # Windows has it
    except PermissionError:
        return False
    finally:
        os.lseek(descriptor, before, os.SEEK_SET)
    return True


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
                signal.signal(number, handle)
        yield
    finally:
        for number, handler in before.items():
            with suppress(NotImplementedError):
                loop.remove_signal_handler(number)
            signal.signal(number, handler)


def machine_memory() -> int:
    """Bytes of memory that the machine has; a gibibyte where it does not tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 1024 * _MIB


def allowed_processors() -> int:
    """Processors that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
