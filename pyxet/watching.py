"""Observing pyxet: events that are passed to functions of the caller, and the counts of the process."""

from __future__ import annotations

import inspect
import logging
import threading
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import astuple, dataclass, fields
from types import TracebackType
from typing import Final, Generic, Literal, Self, TypeVar

from pyxet._platform import after_fork
from pyxet._shown import table

__all__ = ["Hook", "Metrics", "RequestEvent", "TransferEvent", "metrics", "on_request", "on_transfer"]

E = TypeVar("E")

_log: Final = logging.getLogger("pyxet.watching")
_requests: Final = logging.getLogger("pyxet.requests")

_INSTEAD: Final = "let a function put events into a queue that a task reads"
_ENDING: Final = (KeyboardInterrupt, SystemExit)


@dataclass(frozen=True, slots=True)
class RequestEvent:
    """One HTTP request that has ended: answered, failed or cancelled. Each retry and redirect is a separate request.

    It has no URL, as URLs of the content store are signed, and no headers.

    Attributes
    ----------
    method:
        ``GET``, ``POST``, …
    host:
        The host it was sent to, with the port if the URL has one.
    what:
        Its purpose, as in error messages: ``reading acme/titanic/main/titanic.csv``.
    status:
        Status of the answer; ``None`` if there was none.
    sent, received:
        Bytes of the bodies of the request and of the answer that were transferred.
    seconds:
        Time until the end of the answer, without the time for which the request had to wait before it was sent.
    attempt:
        1 for the first try, 2 for the first retry, and so on.
    error:
        Name of the type of the error that ended it before the answer was complete, such as ``ConnectionFailedError`` or
        ``CancelledError``, or ``None``. An answer with an error status is a complete answer.
    """

    method: str
    host: str
    what: str
    status: int | None
    sent: int
    received: int
    seconds: float
    attempt: int
    error: str | None


@dataclass(frozen=True, slots=True)
class TransferEvent:
    """A read of a file's content from an endpoint, or an upload of it, which has succeeded, failed or been cancelled.

    Attributes
    ----------
    direction:
        ``"download"`` or ``"upload"``.
    path:
        The file: ``acme/titanic/main/titanic.csv``; for downloads, with the commit instead of the branch.
    start, end:
        The requested range in bytes; for uploads, 0 and the number of bytes read from the source.
    bytes:
        Bytes of content that were received, or read from the source. Fewer bytes are transferred if content is
        compressed, or known already.
    seconds:
        Duration of the call, including waits and retries.
    status:
        ``"done"``, ``"failed"`` or ``"cancelled"``.
    attempts:
        1 plus the number of retries of its requests. If transfers share a request, as small files and nearby ranges do,
        a retry counts for the transfer that started the request.
    error:
        Name of the type of the error, or ``None``.
    """

    direction: Literal["download", "upload"]
    path: str
    start: int
    end: int
    bytes: int
    seconds: float
    status: Literal["done", "failed", "cancelled"]
    attempts: int
    error: str | None


@dataclass(frozen=True, slots=True)
class Metrics:
    """Counts of this process since its start, for all file systems, threads and event loops together.

    The difference of two values shows what happened between them: ``fs.metrics() - before``.

    Attributes
    ----------
    requests, failed_requests:
        HTTP requests that have ended, including retries and redirects; those of them without a complete answer, or with
        a status of 400 or more.
    bytes_sent, bytes_received:
        Bytes of their bodies.
    retries:
        Requests that were sent again.
    waits, seconds_waited:
        Number and total duration of waits: before a retry, for a quota, or for a pause that an endpoint asked for.
        Simultaneous waits are added up.
    cache_hits, cache_hit_bytes:
        Reads served, wholly or partly, from memory or from content in transit for another reader, and the bytes served so.
    uploaded_bytes:
        Bytes of content stored by uploads. Content that goes inside commits, such as small text files, is not counted.
    deduplicated_bytes:
        Bytes of that content that were not sent, as they were stored already.
    """

    requests: int = 0
    failed_requests: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    retries: int = 0
    waits: int = 0
    seconds_waited: float = 0.0
    cache_hits: int = 0
    cache_hit_bytes: int = 0
    uploaded_bytes: int = 0
    deduplicated_bytes: int = 0

    def __sub__(self, earlier: Metrics) -> Metrics:
        if not isinstance(earlier, Metrics):
            return NotImplemented
        return Metrics(*(now - then for now, then in zip(astuple(self), astuple(earlier), strict=True)))

    def _repr_html_(self) -> str:
        return table(
            (), [(field.name.replace("_", " "), getattr(self, field.name)) for field in fields(self)], right=[1]
        )


class Hook(Generic[E]):
    """A registered function that is called for events until `close`, or until the end of a ``with`` block.

    Parameters
    ----------
    function:
        Called with each event, on the thread where it happens.
    hooks:
        The collection in which it is registered.
    """

    def __init__(self, function: Callable[[E], object], hooks: Hooks[E]) -> None:
        self._function = function
        self._hooks = hooks
        self._failed = False

    def close(self) -> None:
        """Stop calling the function; a second call does nothing."""
        self._hooks.remove(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:  # fmt: skip
        self.close()

    def __call__(self, event: E) -> None:
        try:
            result = self._function(event)
            if inspect.iscoroutine(result):
                result.close()
                raise TypeError(f"the hook returned a coroutine, which is never awaited; {_INSTEAD}")
        except BaseException as error:
            # In the main thread this can be a Ctrl-C that arrived while the function ran.
            if isinstance(error, _ENDING) and threading.current_thread() is threading.main_thread():
                raise
            # A failure of the function must not break the transfer that it observes. `SystemExit` in particular would end
            # the thread of an event loop, and calls that wait for that loop would wait forever.
            if not self._failed:
                self._failed = True
                _log.warning("%r failed at an event; its later failures are not logged", self._function, exc_info=True)


class Hooks(Generic[E]):
    """The hooks for one kind of event.

    Attributes
    ----------
    all:
        The hooks. If it is empty, no event objects are made.
    """

    def __init__(self) -> None:
        # The tuple is replaced, never changed, so `tell` can iterate over it without the lock.
        self.all: tuple[Hook[E], ...] = ()
        self._renew_lock()
        after_fork(self._renew_lock)

    def add(self, function: Callable[[E], object]) -> Hook[E]:
        """Register a function."""
        if not callable(function):
            raise TypeError(f"a hook is a function that takes an event, not {type(function).__name__}")
        # For a callable object, its `__call__` decides whether it is a coroutine function.
        if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__):
            raise TypeError(f"the hook {function!r} is a coroutine function, which would never be awaited; {_INSTEAD}")
        hook = Hook(function, self)
        self._replace(lambda hooks: (*hooks, hook))
        return hook

    def remove(self, hook: Hook[E]) -> None:
        """Remove a hook."""
        self._replace(lambda hooks: tuple(other for other in hooks if other is not hook))

    def _replace(self, changed: Callable[[tuple[Hook[E], ...]], tuple[Hook[E], ...]]) -> None:
        with self._lock:
            before = None
            while before is not self.all:
                before = self.all
                after = changed(before)
            self.all = after

    def tell(self, event: E) -> None:
        """Pass an event to all hooks."""
        for hook in self.all:
            hook(event)

    def _renew_lock(self) -> None:
        # Reentrant: the garbage collector may end a generator, which removes its hook, while this thread has the lock.
        self._lock = threading.RLock()


class Counts:
    """The counts of the process; any thread may add to them."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Reset the counts, in a forked child too, which has counts of its own."""
        # Reentrant: the garbage collector may close a file, which adds its counts, while this thread holds the lock.
        self._lock = threading.RLock()
        self._values = dict.fromkeys((field.name for field in fields(Metrics)), 0.0)

    def add(self, **amounts: float) -> None:
        """Add amounts to the named counts."""
        with self._lock:
            for name, amount in amounts.items():
                self._values[name] += amount

    def wait(self, seconds: float) -> None:
        """Count a wait of a request."""
        self.add(waits=1, seconds_waited=seconds)

    def metrics(self) -> Metrics:
        """The present counts."""
        with self._lock:
            values = dict(self._values)
        seconds = values.pop("seconds_waited")
        return Metrics(seconds_waited=seconds, **{name: int(value) for name, value in values.items()})


@dataclass(slots=True)
class Retries:
    """The number of retries in one transfer."""

    count: int = 0


# The retries of the current transfer, if there are hooks for transfers.
RETRIES: Final[ContextVar[Retries | None]] = ContextVar("pyxet_retries", default=None)


def retried() -> None:
    """Count a retry, for the process and for the current transfer."""
    COUNTS.add(retries=1)
    running = RETRIES.get()
    if running is not None:
        running.count += 1


COUNTS: Final = Counts()
REQUESTS: Final = Hooks[RequestEvent]()
TRANSFERS: Final = Hooks[TransferEvent]()
after_fork(COUNTS.renew)


def on_request(function: Callable[[RequestEvent], object]) -> Hook[RequestEvent]:
    """Call a function after each HTTP request of this process, whichever file system, thread or event loop sends it.

    The function is called where the request ends, usually on the thread of an event loop, which waits for it. So it must be
    quick, and must not call a blocking file system. Its exceptions do not affect the request; the first one is logged.

    Parameters
    ----------
    function:
        Called with each `RequestEvent`.

    Returns
    -------
    Hook
        Its ``close()``, or the end of its ``with`` block, ends the calls.

    Raises
    ------
    TypeError
        ``function`` is not callable, or is a coroutine function.
    """
    return REQUESTS.add(function)


def on_transfer(function: Callable[[TransferEvent], object]) -> Hook[TransferEvent]:
    """Call a function after each read or upload of a file's content in this process. See `on_request`.

    It is not called for reads that are served from memory.

    Parameters
    ----------
    function:
        Called with each `TransferEvent`.

    Returns
    -------
    Hook
        Its ``close()``, or the end of its ``with`` block, ends the calls.

    Raises
    ------
    TypeError
        ``function`` is not callable, or is a coroutine function.
    """
    return TRANSFERS.add(function)


def metrics() -> Metrics:
    """The counts of this process: requests, bytes, retries, waits, cache hits. `fs.metrics()` of any file system is the same.

    Returns
    -------
    Metrics
        The present counts; the object does not change later.
    """
    return COUNTS.metrics()


def request_ended(
    method: str, host: str, what: str, attempt: int, seconds: float, *, status: int | None, sent: int, received: int,
    error: BaseException | None,
) -> None:  # fmt: skip
    """Tell that a request has ended: to the counts, and to those who watch. See `RequestEvent`.

    Parameters
    ----------
    error:
        What ended it before the whole answer had come.
    """
    failed = error is not None or status is None or status >= 400
    COUNTS.add(requests=1, failed_requests=failed, bytes_sent=sent, bytes_received=received)
    debugging = _requests.isEnabledFor(logging.DEBUG)
    if not (debugging or REQUESTS.all):
        return
    name = None if error is None else type(error).__name__
    if debugging:
        line = "%s to %s, %s: %s; %d bytes sent, %d received, %.3f s, attempt %d"
        result = name if status is None else status if name is None else f"{status}, then {name}"
        _requests.debug(line, method, host, what, result, sent, received, seconds, attempt)
    REQUESTS.tell(RequestEvent(method, host, what, status, sent, received, seconds, attempt, name))
