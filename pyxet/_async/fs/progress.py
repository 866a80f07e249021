"""The option ``progress=True`` of the coroutines that transfer files, see `pyxet._progress`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from fsspec.callbacks import Callback

from pyxet._async.runtime.threads import in_thread, surely

S = TypeVar("S")
T = TypeVar("T")
P = ParamSpec("P")


def shows_progress(
    verb: str, *, files: bool
) -> Callable[
    [Callable[Concatenate[S, P], Coroutine[Any, Any, T]]], Callable[Concatenate[S, P], Coroutine[Any, Any, T]]
]:
    """Decorate a method that has a ``callback``: if it is called with ``progress=True``, it shows a bar.

    Parameters
    ----------
    verb:
        What the method does, as the bar shows it: ``downloading``.
    files:
        Whether the method's callback counts files, and has a branched callback for the bytes of each.
    """

    def decorate(
        method: Callable[Concatenate[S, P], Coroutine[Any, Any, T]],
    ) -> Callable[Concatenate[S, P], Coroutine[Any, Any, T]]:
        signature = inspect.signature(method)
        # The index of ``progress`` among positional arguments, without ``self``.
        at = list(signature.parameters).index("progress") - 1

        @wraps(method)
        async def call(self: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
            if not (args[at] if len(args) > at else kwargs.get("progress")):
                return await method(self, *args, **kwargs)
            from pyxet._progress import Bar

            given = signature.bind(self, *args, **kwargs)
            inner = Callback.as_callback(given.arguments.get("callback"))
            # In a worker thread, as the bar starts or ends a thread and may draw.
            bar: Bar = await in_thread(Bar, verb)
            failed = True
            try:
                given.arguments["callback"] = bar.callback(inner, files=files)
                result = await method(*given.args, **given.kwargs)
                failed = False
                return result
            finally:
                await surely(lambda: bar.close(failed=failed))

        return call

    return decorate
