"""Calls of the file system's methods: on which loop they run, and what is added to the errors that callers get."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Protocol, TypeVar

from pyxet._async.changes.transaction import Transaction
from pyxet._async.fs.hints import explain
from pyxet._async.runtime.streams import Stream, is_asynchronous
from pyxet._async.tree import moments
from pyxet._traces import readable
from pyxet.errors import XetError

if TYPE_CHECKING:
    from pyxet._async.client import Client


class Caller(Protocol):
    """The methods of a file system that calls of its other methods need."""

    def _client(self) -> Client:
        """The client for its endpoint."""

    def _open_transaction(self) -> Transaction | None:
        """The transaction that the call takes part in."""


P = ParamSpec("P")
T = TypeVar("T")
B = TypeVar("B", bound=Caller)


def at_home(
    method: Callable[Concatenate[B, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[B, P], Coroutine[Any, Any, T]]:
    """Run a call that takes part in a transaction on the event loop of that transaction.

    Also marks when the call began: it may report that a path does not exist only by answers requested since, see `moments`.
    """

    @wraps(method)
    async def call(self: B, /, *args: P.args, **kwargs: P.kwargs) -> T:
        if not _inside.get():
            try:
                return await _explaining(self, asyncio.get_running_loop(), call, (self, *args), kwargs)
            except XetError as error:
                readable(error)
                raise
        transaction = self._open_transaction()
        with moments.call():
            if transaction is None:
                return await method(self, *args, **kwargs)
            return await transaction.at_home(method, self, *args, **kwargs)

    return call


# Whether this call runs inside another one, which may handle its error: hints are added only to errors that the caller gets.
_inside: ContextVar[bool] = ContextVar("pyxet_inside", default=False)
# The event loop on which the outermost call is awaited; ``None`` for a blocking call.
_caller: ContextVar[asyncio.AbstractEventLoop | None] = ContextVar("pyxet_caller", default=None)


async def explaining(fs: Caller, function: Callable[..., Coroutine[Any, Any, T]], *args: Any, **kwargs: Any) -> T:
    """Run a whole blocking call. Hints are added to the error that its caller gets, not to errors of calls inside it."""
    return await _explaining(fs, None, function, args, kwargs)


async def _explaining(
    fs: Caller,
    loop: asyncio.AbstractEventLoop | None,
    function: Callable[..., Coroutine[Any, Any, T]],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> T:
    token, caller = _inside.set(True), _caller.set(loop)
    try:
        return await function(*args, **kwargs)
    except XetError as error:
        await explain(error, fs._client)
        raise
    finally:
        _caller.reset(caller)
        _inside.reset(token)


def opened(given: Any) -> Stream:
    """Wrap an open file or iterator that the caller passed to read from or write to, see `is_stream`.

    Raises
    ------
    TypeError
        The object is asynchronous and the call is blocking, or the object cannot be read in pieces.
    """
    if not is_asynchronous(given):
        return Stream(given, None)
    loop = _caller.get() if _inside.get() else asyncio.get_running_loop()
    if loop is None:
        raise TypeError(
            f"a blocking call cannot use this {type(given).__name__}, which is asynchronous: await the method with an "
            "underscore, such as fs._put_file, or give a blocking file"
        )
    return Stream(given, loop)
