"""Decides what ``close`` of a file for writing means: that the content is complete, or that the block around it failed.

A block that raises publishes nothing. That must hold even if our file only gets a call of ``close``, as happens below text and
compression wrappers, pandas, pyarrow and `contextlib.closing`. These rules are applied in this order:

1. If one of our callers is the ``__exit__`` of a ``with`` statement, its arguments decide: ``__exit__(None, None, None)``
   publishes, also inside of an ``except`` clause, and an exception discards.
2. If an exception is being handled that was already being handled when the file was opened, the file publishes.
3. If the exception only says that an iterator or a queue has no more items, the file publishes.
4. Any other exception discards. An ``except`` clause and a ``finally`` clause look the same here, so this case gives a
   warning.
"""

from __future__ import annotations

import dis
import inspect
import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any, Final

_EXITS: Final = frozenset({"__exit__", "__aexit__"})
# Compared by name, so that their modules need not be imported.
_ENDS: Final = frozenset({
    ("queue", "Empty"), ("_queue", "Empty"), ("queue", "ShutDown"), ("_queue", "ShutDown"),
    ("asyncio", "QueueEmpty"), ("asyncio", "QueueShutDown"),
    ("anyio", "EndOfStream"), ("trio", "EndOfChannel"),
})  # fmt: skip
_MISSING: Final = object()


class Opening:
    """The exception that was being handled when a file was opened."""

    def __init__(self) -> None:
        self._error = sys.exception()
        self._exits = sum(1 for frame in _stack() if _told(frame) is not None)

    def expect(self, error: BaseException | None) -> None:
        """Note that the exception that is being handled now does not concern the file."""
        self._error, self._exits = error, sys.maxsize

    def release(self) -> None:
        """Release the exception, and with it everything that its traceback refers to."""
        self._error = None

    def judge(self) -> tuple[bool, BaseException | None]:
        """Whether a file that is closed now is published; if not, the exception for which a warning is due, if one is."""
        told = self._told_by_block()
        if told is not None:
            return not told, None
        error = self._failure()
        return error is None, error

    def _told_by_block(self) -> bool | None:
        """Whether the ``with`` block that is ending around us raised.

        ``None`` if no block is ending, or if an exception came after its end.
        """
        error = sys.exception()
        handler = _handler(error)
        frames = list(_stack())
        exits = [frame for frame in frames if _told(frame) is not None]
        if len(exits) > self._exits:
            for frame in frames:
                told = _told(frame)
                if told is not None and frame is not handler:
                    return told
                if frame is handler:
                    # A generator of `contextlib`: the block's exception is thrown into it.
                    back = frame.f_back
                    if back is None or not (_told(back) and any(given is error for given in _arguments(back))):
                        break
        return _told_by_statement(frames, error) if error is not None and self._exits < sys.maxsize else None

    def _failure(self) -> BaseException | None:
        """The exception that is being handled, if it is one that a block of ours may have raised."""
        error = sys.exception()
        frames = list(_stack())
        while error is not None and not self._was_there(error):
            if not ends_iteration(error):
                return error
            # A queue may have been emptied inside an ``except`` clause: then the exception of that clause counts.
            error = error.__context__ if _handler(error.__context__) in frames else None
        return None

    def _was_there(self, error: BaseException) -> bool:
        seen: set[int] = set()
        known = self._error
        while known is not None and id(known) not in seen:
            if known is error:
                return True
            seen.add(id(known))
            known = known.__context__
        return False


def ends_iteration(error: BaseException) -> bool:
    """Whether an exception only says that there are no more items."""
    if isinstance(error, BaseExceptionGroup):
        return all(ends_iteration(inner) for inner in error.exceptions)
    if isinstance(error, StopIteration | StopAsyncIteration):
        return True
    return any((kind.__module__.partition(".")[0], kind.__name__) in _ENDS for kind in type(error).__mro__)


def _stack() -> Iterator[FrameType]:
    """Frames of the running thread outside of this module, innermost first."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_globals.get("__name__") != __name__:
            yield frame
        frame = frame.f_back


def _handler(error: BaseException | None) -> FrameType | None:
    """The frame that handles an exception: the last one that it came to."""
    return error.__traceback__.tb_frame if error is not None and error.__traceback__ is not None else None


def _arguments(frame: FrameType) -> tuple[Any, ...]:
    """The argument after ``self`` that a method was called with; its present value, if the method has assigned it since."""
    code = frame.f_code
    local = frame.f_locals
    found = [local.get(name, _MISSING) for name in code.co_varnames[1 : code.co_argcount]]
    if code.co_flags & inspect.CO_VARARGS:
        found += local.get(code.co_varnames[code.co_argcount + code.co_kwonlyargcount], ())
    return tuple(found)


def _told(frame: FrameType) -> bool | None:
    """Whether the ``__exit__`` that a frame runs was told of an exception; ``None`` if it runs none."""
    if frame.f_code.co_name not in _EXITS:
        return None
    arguments = _arguments(frame)
    if len(arguments) != 3 or _MISSING in arguments:
        return None
    return any(argument is not None for argument in arguments)


def _told_by_statement(frames: list[FrameType], error: BaseException) -> bool | None:
    """Like `_told`, for an ``__exit__`` that is written in C: found by the statement that calls it.

    Only our direct caller can have called it, with nothing but C code between the two.
    """
    outside = next((frame for frame in frames if not frame.f_globals.get("__name__", "").startswith("pyxet.")), None)
    if outside is None:
        return None
    before = [item for item in dis.get_instructions(outside.f_code) if item.offset <= outside.f_lasti]
    if before[-1:] and before[-1].opname == "WITH_EXCEPT_START":
        return True
    if not before or not before[-1].opname.startswith("CALL"):
        return None
    arguments = [item for item in before[:-1] if item.opname not in ("PRECALL", "CACHE", "EXTENDED_ARG", "NOP")][-3:]
    nothing = all(item.opname.startswith("LOAD_CONST") and item.argval is None for item in arguments)
    return False if nothing and len(arguments) == 3 else None
