"""The bridge from blocking callers to coroutines, over `fsspec.asyn.sync`.

`sync` alone loses two things: if the coroutine ends in `CancelledError`, it returns ``None``, and a Ctrl-C or a time-out
in the waiting thread leaves the coroutine running. Here the caller gets every outcome of the coroutine, and the coroutine
is cancelled whenever the wait ends early.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Final, Generic, TypeVar
from weakref import WeakSet

from fsspec.asyn import get_loop, sync
from fsspec.exceptions import FSTimeoutError

from pyxet._async.runtime.tasks import outlast
from pyxet._platform import after_fork
from pyxet._traces import readable, unwrap

T = TypeVar("T")
# Seconds that a cancelled coroutine has to end before its caller goes on without it.
_GRACE: Final = 5.0

__all__ = ["blocking_call", "get_loop", "is_alive", "is_shutting_down", "on_loop"]

# Loops that blocking calls ran on, and those of them whose thread stayed behind in the parent of a fork.
_used: WeakSet[asyncio.AbstractEventLoop] = WeakSet()
_left_behind: WeakSet[asyncio.AbstractEventLoop] = WeakSet()


def is_alive(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether a loop that once ran may still run coroutines: it is not closed, and not from before a fork."""
    return loop not in _left_behind and not loop.is_closed()


def is_shutting_down() -> bool:
    """Whether the interpreter is finalizing: other threads no longer run, and neither do their event loops."""
    return sys.is_finalizing()


def _after_fork() -> None:
    # Such a loop reports that it is running, but the thread that ran it does not exist in this process.
    for loop in list(_used):
        _left_behind.add(loop)
    _used.clear()


after_fork(_after_fork)


class _Call(Generic[T]):
    """One coroutine on another thread's loop, and how it ended."""

    def __init__(self, function: Callable[..., Coroutine[Any, Any, T]], timeout: float | None) -> None:
        self._function = function
        self._timeout = timeout
        self._task: asyncio.Task[Any] | None = None
        self._cancelled = False
        self._ended = threading.Event()
        self.result: T
        self.error: BaseException | None = None

    async def run(self, *args: Any, **kwargs: Any) -> None:
        self._task = asyncio.current_task()
        try:
            if self._cancelled:
                raise asyncio.CancelledError
            async with asyncio.timeout(self._timeout) as deadline:
                self.result = await self._function(*args, **kwargs)
        except TimeoutError as error:
            # If the deadline has passed, it is the time-out of this call; a time-out of the endpoint has its own type.
            self.error = FSTimeoutError(f"not done after {self._timeout} s") if deadline.expired() else error
        except BaseException as error:  # noqa: BLE001  # raised in the calling thread
            self.error = unwrap(error)
        finally:
            self._ended.set()

    def cancel(self, loop: asyncio.AbstractEventLoop) -> None:
        """Cancel the coroutine, and wait for at most `_GRACE` seconds until it has ended."""
        self._cancelled = True

        def stop() -> None:
            if self._task is not None and not self._ended.is_set():
                self._task.cancel()

        loop.call_soon_threadsafe(stop)
        self._ended.wait(_GRACE)


def blocking_call(
    loop: asyncio.AbstractEventLoop,
    function: Callable[..., Coroutine[Any, Any, T]],
    *args: Any,
    timeout: float | None = None,
    **kwargs: Any,
) -> T:
    """Run a coroutine function on a loop of another thread and wait for it.

    Parameters
    ----------
    loop:
        The loop. If it is one that runs in the parent of a fork, the child uses fsspec's own loop instead.
    timeout:
        Seconds to wait; then the coroutine is cancelled and `FSTimeoutError` raised.

    Raises
    ------
    RuntimeError
        The calling thread runs this loop itself; or the interpreter is shutting down, and no other thread runs any more.
    BaseException
        Whatever the coroutine raised, `asyncio.CancelledError` included; of an exception group its first error.
    """
    if is_shutting_down():
        # The loop's thread is frozen, so a wait for it would never end.
        raise RuntimeError(
            "the interpreter is shutting down, so no request can be made any more; do this, or close the file, before "
            "the program ends"
        )
    if loop in _left_behind:
        loop = get_loop()
    _used.add(loop)
    call = _Call(function, timeout or None)
    try:
        sync(loop, call.run, *args, **kwargs)
    except NotImplementedError:
        raise RuntimeError(
            "this blocking call was made on the event loop that has to run it; await the coroutine instead"
        ) from None
    except BaseException:
        # Only the wait can raise: Ctrl-C, or whatever else a signal handler throws.
        call.cancel(loop)
        raise
    if call.error is not None:
        try:
            raise readable(call.error)
        finally:
            # The error's traceback holds this frame: without this they would keep each other alive.
            del call
    return call.result


async def on_loop(loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, T]) -> T:
    """Await a coroutine on another running loop. If the caller is cancelled, the coroutine is cancelled and waited for.

    Raises
    ------
    RuntimeError
        The loop is closed, or runs in the parent of a fork.
    """
    if not is_alive(loop):
        coroutine.close()
        raise RuntimeError("the event loop that this belongs to is closed, or runs in the process that forked this one")
    here = asyncio.get_running_loop()
    ended: asyncio.Future[None] = here.create_future()
    started: list[asyncio.Task[T]] = []

    def start() -> None:
        task = loop.create_task(coroutine)
        started.append(task)
        task.add_done_callback(lambda _: _tell(here, ended))

    loop.call_soon_threadsafe(start)
    try:
        await asyncio.wait([ended])
    except asyncio.CancelledError:
        loop.call_soon_threadsafe(lambda: started[0].cancel())
        grace = here.call_later(_GRACE, _end, ended)
        try:
            await outlast(ended)
        finally:
            grace.cancel()
        raise
    return started[0].result()


def _tell(loop: asyncio.AbstractEventLoop, ended: asyncio.Future[None]) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(_end, ended)


def _end(ended: asyncio.Future[None]) -> None:
    if not ended.done():
        ended.set_result(None)
