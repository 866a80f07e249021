"""What pyxet does, for those who watch it: events that functions of the caller get, and the counts of the process."""

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

_INSTEAD: Final = "let a function put events into a queue that a task reads"
_ENDING: Final = (KeyboardInterrupt, SystemExit)


@dataclass(frozen=True, slots=True)
class RequestEvent:
    """One HTTP request that has ended: answered, failed or cancelled. Retries and redirects are requests of their own.

    No URL is in it, as those of the content store are signed, and no header.

    Attributes
    ----------
    method:
        ``GET``, ``POST``, …
    host:
        Where it went, with the port if there is one in the URL.
    what:
        What it was for, as error messages say it: ``reading acme/titanic/main/titanic.csv``.
    status:
        Of the answer; ``None`` if none came.
    sent, received:
        Bytes of the bodies of the request and of the answer, as far as they came.
    seconds:
        From the moment at which it might be sent to the end of the answer; waits before that are not in it.
    attempt:
        1 for the first time that this is asked for, 2 for the first retry, and so on.
    error:
        Name of the type of what ended it before the whole answer had come, such as ``ConnectionFailedError`` or
        ``CancelledError``, or ``None``. An answer with an error's status is a whole answer.
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
    """Content of one file that was read from an endpoint, or stored there, or failed to be.

    Attributes
    ----------
    direction:
        ``"download"`` or ``"upload"``.
    path:
        The file: ``acme/titanic/main/titanic.csv``. Of a download, with the commit instead of the branch.
    start, end:
        The range that was asked for, in bytes; of an upload, 0 and what was taken.
    bytes:
        Of content that came, or was taken. What travels is less where content is compressed, or known already.
    seconds:
        From the call to its end, waits and retries included.
    status:
        ``"done"``, ``"failed"`` or ``"cancelled"``.
    attempts:
        1, and one more for each retry of a request on the way. Where transfers share requests, as small files and
        ranges nearby do, the retry counts for the one that had the request sent.
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
    """Counts of this process, since it began: of all file systems, threads and event loops together.

    The difference of two of them is what happened in between: ``fs.metrics() - before``.

    Attributes
    ----------
    requests, failed_requests:
        HTTP requests that have ended, retries and redirects among them; those of them without a whole answer, or with
        one of status 400 or more.
    bytes_sent, bytes_received:
        Bytes of their bodies.
    retries:
        Requests that were sent again.
    waits, seconds_waited:
        How often, and how long in all, requests waited to be tried again, for a quota, or as an endpoint asked for a
        pause. Waits at the same time are added up.
    cache_hits, cache_hit_bytes:
        Reads that were answered, wholly or in part, from content in memory or on its way for another reader, and bytes of it.
    uploaded_bytes:
        Bytes of content that was stored by uploads. What goes inside of commits, as small text files do, is not in it.
    deduplicated_bytes:
        Those of them that were not sent, as they were stored already.
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
    """A function that gets events, until `close`, or to the end of a ``with`` block.

    Parameters
    ----------
    function:
        Gets each event, on whatever thread it happens.
    hooks:
        Where it is registered.
    """

    def __init__(self, function: Callable[[E], object], hooks: Hooks[E]) -> None:
        self._function = function
        self._hooks = hooks
        self._failed = False

    def close(self) -> None:
        """Get no more events; a second time does nothing."""
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
                raise TypeError(f"the hook returned a coroutine, which nobody awaits; {_INSTEAD}")
        except BaseException as error:
            # Ctrl-C comes while the main thread is in here, and is not the function's.
            if isinstance(error, _ENDING) and threading.current_thread() is threading.main_thread():
                raise
            # Whoever moves data is not to blame for who watches it. An event loop's thread would end with `sys.exit`, and
            # everybody who waits for it would wait forever.
            if not self._failed:
                self._failed = True
                _log.warning("%r failed at an event; its later failures are not told", self._function, exc_info=True)


class Hooks(Generic[E]):
    """All that get one kind of event.

    Attributes
    ----------
    all:
        The functions. Where there are none, nobody makes an event.
    """

    def __init__(self) -> None:
        # Replaced, never changed: whoever tells of an event goes through it without the lock.
        self.all: tuple[Hook[E], ...] = ()
        self._lock = threading.Lock()
        after_fork(self._renew_lock)

    def add(self, function: Callable[[E], object]) -> Hook[E]:
        """Register a function."""
        if not callable(function):
            raise TypeError(f"a hook is a function that takes an event, not {type(function).__name__}")
        # Whether an object is one is told by its call.
        if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__):
            raise TypeError(f"the hook {function!r} is a coroutine function, which nobody would await; {_INSTEAD}")
        hook = Hook(function, self)
        with self._lock:
            self.all = (*self.all, hook)
        return hook

    def remove(self, hook: Hook[E]) -> None:
        """Forget it."""
        with self._lock:
            self.all = tuple(other for other in self.all if other is not hook)

    def tell(self, event: E) -> None:
        """Give an event to everybody."""
        for hook in self.all:
            hook(event)

    def _renew_lock(self) -> None:
        self._lock = threading.Lock()


class Counts:
    """The counts of the process, which may be added to on any thread."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Begin again: in a forked child, which counts for itself."""
        # Reentrant: a file that the garbage collector ends adds what it has counted, perhaps on a thread that is in here.
        self._lock = threading.RLock()
        self._values = dict.fromkeys((field.name for field in fields(Metrics)), 0.0)

    def add(self, **amounts: float) -> None:
        """Add to the counts that are named."""
        with self._lock:
            for name, amount in amounts.items():
                self._values[name] += amount

    def wait(self, seconds: float) -> None:
        """Note that a request waits."""
        self.add(waits=1, seconds_waited=seconds)

    def metrics(self) -> Metrics:
        """All of them as they are now."""
        with self._lock:
            values = dict(self._values)
        seconds = values.pop("seconds_waited")
        return Metrics(seconds_waited=seconds, **{name: int(value) for name, value in values.items()})


@dataclass(slots=True)
class Retries:
    """How often requests of one transfer were sent again."""

    count: int = 0


# Those of the transfer that runs here, where somebody watches it.
RETRIES: Final[ContextVar[Retries | None]] = ContextVar("pyxet_retries", default=None)


def retried() -> None:
    """Note that a request of whatever runs here is sent again."""
    COUNTS.add(retries=1)
    running = RETRIES.get()
    if running is not None:
        running.count += 1


COUNTS: Final = Counts()
REQUESTS: Final = Hooks[RequestEvent]()
TRANSFERS: Final = Hooks[TransferEvent]()
after_fork(COUNTS.renew)


def on_request(function: Callable[[RequestEvent], object]) -> Hook[RequestEvent]:
    """Call a function after each HTTP request of this process, whatever file system, thread or event loop sends it.

    It is called where the request ends, mostly on the thread of an event loop, and everything there waits for it: let it
    be quick, and never call a blocking file system. An exception that it raises breaks nothing; the first one is logged.

    Parameters
    ----------
    function:
        Gets each `RequestEvent`.

    Returns
    -------
    Hook
        Ends it by ``close()``, or at the end of its ``with`` block.

    Raises
    ------
    TypeError
        It is no function, or one that has to be awaited.
    """
    return REQUESTS.add(function)


def on_transfer(function: Callable[[TransferEvent], object]) -> Hook[TransferEvent]:
    """Call a function after each read or upload of a file's content in this process. See `on_request`.

    Reads that are answered from memory are none.

    Parameters
    ----------
    function:
        Gets each `TransferEvent`.

    Returns
    -------
    Hook
        Ends it by ``close()``, or at the end of its ``with`` block.

    Raises
    ------
    TypeError
        It is no function, or one that has to be awaited.
    """
    return TRANSFERS.add(function)


def metrics() -> Metrics:
    """The counts of this process: requests, bytes, retries, waits, hits. The same as `fs.metrics()` of any file system.

    Returns
    -------
    Metrics
        As they are now; it does not change any more.
    """
    return COUNTS.metrics()
