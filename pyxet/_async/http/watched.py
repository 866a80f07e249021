"""Reports transfers to the log and to hooks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import Token
from types import TracebackType
from typing import Final, Literal, NamedTuple, Self

from pyxet.watching import RETRIES, TRANSFERS, Retries, TransferEvent

_transfers: Final = logging.getLogger("pyxet.transfers")


class Part(NamedTuple):
    """A range of a file that is transferred: ``start`` to before ``end``."""

    path: str
    start: int
    end: int


def is_watched() -> bool:
    """Whether anybody wants to know of transfers."""
    return bool(TRANSFERS.all) or _transfers.isEnabledFor(logging.DEBUG)


class Transfer:
    """A transfer of some parts. Those that were not reported before are reported at the end of its block, with the block's error.

    Parameters
    ----------
    direction:
        Where to.
    parts:
        The parts that are transferred together.
    """

    def __init__(self, direction: Literal["download", "upload"], *parts: Part) -> None:
        self._direction = direction
        self._parts: list[Part | None] = list(parts)
        self._sizes = [0] * len(parts)
        self._retries = Retries()
        self._began = asyncio.get_running_loop().time()
        self._token: Token[Retries | None] | None = None

    def __enter__(self) -> Self:
        self._token = RETRIES.set(self._retries)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:  # fmt: skip
        assert self._token is not None
        RETRIES.reset(self._token)
        self.end(error)

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Count the retries in this block. For the steps of a generator, each of which runs in the context of its caller."""
        token = RETRIES.set(self._retries)
        try:
            yield
        finally:
            RETRIES.reset(token)

    def came(self, size: int, index: int = 0) -> None:
        """Note that content of a part has arrived."""
        self._sizes[index] += size

    def handled(self, index: int) -> None:
        """Leave a part to somebody else, who reports it."""
        self._parts[index] = None

    def tell(self, index: int, error: BaseException | None) -> None:
        """Report that a part is complete, or has failed. A second call does nothing."""
        part, self._parts[index] = self._parts[index], None
        if part is None:
            return
        cancelled = isinstance(error, (asyncio.CancelledError, GeneratorExit, KeyboardInterrupt))
        name = None if error is None else type(error).__name__
        status: Literal["done", "failed", "cancelled"] = "cancelled" if cancelled else "failed" if error else "done"
        if self._direction == "upload":
            # The size of an upload is not known before its end.
            part = part._replace(end=self._sizes[index])
        event = TransferEvent(
            self._direction, *part, self._sizes[index], asyncio.get_running_loop().time() - self._began, status,
            1 + self._retries.count, name,
        )  # fmt: skip
        line = "%s of %s, bytes %d to %d: %s, %d bytes, %.3f s, attempts: %d"
        _transfers.debug(
            line, event.direction, event.path, event.start, event.end, name or event.status, event.bytes,
            event.seconds, event.attempts,
        )  # fmt: skip
        TRANSFERS.tell(event)

    def end(self, error: BaseException | None) -> None:
        """Report all parts that are left."""
        for index in range(len(self._parts)):
            self.tell(index, error)
