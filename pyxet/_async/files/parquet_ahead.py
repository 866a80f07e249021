"""Reads ahead in Parquet files: the columns that the reader uses, in the row groups that it has not reached yet.

A reader of some columns of a Parquet file reads pieces that are far from each other. It reads one after the other, each with
round trips of its own, as libraries lock a file object while they read from it. The footer, which every reader reads first,
says where the next pieces are. They are fetched ahead as soon as a read of a second row group shows that the reader goes
through the row groups: a few pieces at first, and more as long as they are used.
"""

from __future__ import annotations

import asyncio
import sys
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Protocol

from pyxet._async.runtime.bridge import is_alive
from pyxet._async.runtime.tasks import stopped
from pyxet._async.runtime.threads import in_thread

_MAGIC: Final = b"PAR1"
# After the footer come its length in four bytes and the magic number.
_TAIL: Final = 8
# Parsing a longer footer takes more time than reading ahead would save.
_MAX_FOOTER: Final = 4 * 1024 * 1024
_MAX_KNOWN: Final = 16
_FIRST_PIECES: Final = 6
_MAX_PIECES: Final = 16
_MAX_BYTES: Final = 16 * 1024 * 1024

Fetch = Callable[[int, int], Awaitable[bytes]]
Span = tuple[int, int]


class Allowing(Protocol):
    """See `pyxet._async.files.readahead.Allowance`."""

    def take(self, amount: int, cap: int) -> bool:
        """Take an amount if the sum stays within ``cap``."""

    def release(self, amount: int) -> None:
        """Return an amount."""


@dataclass(frozen=True)
class Layout:
    """The byte spans of the column chunks, by row group and column, in the order of the file."""

    groups: Sequence[Sequence[Span]]
    starts: Sequence[int]

    def place(self, start: int, end: int) -> tuple[int, int, int] | None:
        """The row group, first and last column that a read covers, if it begins and ends where column chunks do."""
        number = bisect_right(self.starts, start) - 1
        if number < 0:
            return None
        chunks = self.groups[number]
        first = bisect_right(chunks, (start, sys.maxsize)) - 1
        last = bisect_right(chunks, (end - 1, sys.maxsize)) - 1
        if first < 0 or chunks[first][0] != start or chunks[last][1] != end:
            return None
        return number, first, last


class ColumnsAhead:
    """The pieces of one open file that were fetched ahead.

    Parameters
    ----------
    fetch, size, cap:
        As in `ReadAhead`.
    allowance:
        The bytes that all open files together may hold.
    content:
        Names the content: a reader may open a file once for its footer and again for its columns.
    """

    def __init__(self, fetch: Fetch, size: int, cap: int, allowance: Allowing, content: str | None) -> None:
        self._fetch = fetch
        self._size = size
        self._cap = cap
        self._allowance = allowance
        self._content = content
        self._tail = b""
        self._layout: Layout | None = None
        # For each run of neighbouring columns: the row groups that were read or are being fetched.
        self._seen: dict[tuple[int, int], set[int]] = {}
        self._ahead: dict[Span, asyncio.Task[bytes]] = {}
        self._held = 0
        self._pieces = _FIRST_PIECES

    async def read(self, start: int, end: int) -> bytes:
        """Bytes ``start`` to before ``end``, from what was fetched ahead or by a fetch."""
        if self._layout is None and self._content is not None and self._content in _known:
            await self._learn(self._content)
        place = self._layout.place(start, end) if self._layout is not None else None
        ahead = self._piece(start, end)
        if ahead is not None:
            self._pieces = min(_MAX_PIECES, 2 * self._pieces)
        if place is not None:
            self._begin(*place)
        found = await self._taken(ahead, start, end) if ahead is not None else None
        if found is None:
            found = await self._fetch(start, end)
        if self._layout is None and self._content is not None:
            self._look(self._content, start, found)
        return found

    @property
    def knows_layout(self) -> bool:
        """Whether the positions of the columns are known."""
        return self._layout is not None

    def has(self, start: int, end: int) -> bool:
        """Whether the bytes were fetched ahead or are being fetched."""
        return self._piece(start, end) is not None

    async def aclose(self) -> None:
        """Release everything that was fetched ahead."""
        here = [task for task in self._ahead.values() if task.get_loop() is asyncio.get_running_loop()]
        self.close()
        await stopped(*here)

    def close(self) -> None:
        """Like `aclose`, without waiting; from any thread."""
        ahead, self._ahead = self._ahead, {}
        held, self._held = self._held, 0
        if held:
            self._allowance.release(held)
        for task in ahead.values():
            if is_alive(task.get_loop()):
                task.get_loop().call_soon_threadsafe(task.cancel)

    def _piece(self, start: int, end: int) -> Span | None:
        return next((span for span in self._ahead if span[0] <= start and end <= span[1]), None)

    async def _learn(self, content: str) -> None:
        known = _known.get(content)
        if isinstance(known, bytes):
            known = await in_thread(_understood, known)
            _remember(content, known)
        self._layout = known

    def _look(self, content: str, start: int, data: bytes) -> None:
        """Recognize the footer when it is read, together with the end of the file or after it."""
        end = start + len(data)
        if end == self._size and len(data) >= _TAIL and data.endswith(_MAGIC):
            self._tail = data[-_TAIL:]
        if not self._tail:
            return
        length = int.from_bytes(self._tail[:4], "little")
        first, last = self._size - _TAIL - length, self._size - _TAIL
        if length <= _MAX_FOOTER and 0 <= start <= first and last <= end:
            _remember(content, data[first - start : last - start] + self._tail)
            self._tail = b""

    async def _taken(self, span: Span, start: int, end: int) -> bytes | None:
        task = self._ahead.pop(span)
        try:
            if task.get_loop() is not asyncio.get_running_loop():
                if is_alive(task.get_loop()):
                    task.get_loop().call_soon_threadsafe(task.cancel)
                return None
            # If we are cancelled here, the task is cancelled, too, and waited for.
            return (await task)[start - span[0] : end - span[0]]
        except Exception:  # noqa: BLE001  # it is fetched again, and fails again if it must
            return None
        finally:
            self._release(span)

    def _begin(self, group: int, first: int, last: int) -> None:
        """Fetch the pieces that will probably be read after this one."""
        assert self._layout is not None
        self._seen.setdefault((first, last), set()).add(group)
        if all(len(groups) < 2 for groups in self._seen.values()):
            return
        for number, chunks in enumerate(self._layout.groups):
            for (begin, stop), groups in self._seen.items():
                if number in groups or stop >= len(chunks):
                    continue
                span = chunks[begin][0], chunks[stop][1]
                amount = span[1] - span[0]
                if len(self._ahead) >= self._pieces or self._held + amount > _MAX_BYTES:
                    return
                if not self._allowance.take(amount, self._cap):
                    return
                self._held += amount
                groups.add(number)
                task = self._ahead[span] = asyncio.create_task(self._get(*span))
                # Perhaps nobody will read it, so an error must not be reported as one that nobody looked at.
                task.add_done_callback(lambda task: task.cancelled() or task.exception())

    async def _get(self, start: int, end: int) -> bytes:
        return await self._fetch(start, end)

    def _release(self, span: Span) -> None:
        # If everything was released meanwhile, this piece has been returned already.
        amount = min(self._held, span[1] - span[0])
        self._held -= amount
        if amount:
            self._allowance.release(amount)


# By content: the footers that were read, and the positions in them (``None`` if they are of no use).
_known: OrderedDict[str, bytes | Layout | None] = OrderedDict()


def _remember(content: str, what: bytes | Layout | None) -> None:
    _known[content] = what
    while len(_known) > _MAX_KNOWN:
        # Another thread may do the same at this moment.
        with suppress(KeyError):
            _known.popitem(last=False)


def _understood(footer: bytes) -> Layout | None:
    """The positions of the column chunks, if pyarrow is loaded: only libraries that load it read columns through file objects."""
    arrow, parquet = sys.modules.get("pyarrow"), sys.modules.get("pyarrow.parquet")
    if arrow is None or parquet is None:
        return None
    try:
        told: Any = parquet.read_metadata(arrow.BufferReader(_MAGIC + footer))
        groups = [
            sorted(_span(group.column(column)) for column in range(group.num_columns))
            for group in map(told.row_group, range(told.num_row_groups))
            if group.num_columns
        ]
    except Exception:  # noqa: BLE001  # whatever is wrong with it, its reader says so
        return None
    groups.sort()
    return Layout(groups, [chunks[0][0] for chunks in groups])


def _span(chunk: Any) -> Span:
    start = chunk.data_page_offset
    if chunk.has_dictionary_page and 0 < chunk.dictionary_page_offset < start:
        start = chunk.dictionary_page_offset
    return start, start + chunk.total_compressed_size
