"""Merges ranges of one file that are requested at the same time and lie near each other into one read."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from pyxet._async.runtime.batching import Batches
from pyxet._async.runtime.tasks import SingleFlight
from pyxet.errors import FormatError, IntegrityError
from pyxet.protocol.constants import MIB
from pyxet.protocol.reconstruction import coalesce_ranges
from pyxet.types import RemoteFile

# Ranges of one file that lie nearer to each other than this many bytes are fetched as one. Each end of a range costs half
# a chunk on average, so reading through a gap of two chunks costs no more bytes than a second plan would.
DEFAULT_GAP: Final = 128 * 1024
# Bytes of the longest merged range. A longer range is worth a request of its own.
_MAX_RANGE: Final = 4 * MIB

# First offset, and offset after the last byte.
Span = tuple[int, int]


class Ranges:
    """Reads ranges of files. Ranges of one file that are near each other are read as one."""

    def __init__(self) -> None:
        self._batches: Batches[RemoteFile, Span, dict[Span, Span]] = Batches()
        self._flights: SingleFlight[tuple[RemoteFile, int, int], bytes] = SingleFlight()

    async def read(
        self, file: RemoteFile, start: int, end: int, alone: Callable[[RemoteFile, int, int], Awaitable[bytes]]
    ) -> bytes:
        """Bytes ``start`` to before ``end`` of a file; ``alone`` reads one range."""
        if not 0 < end - start <= _MAX_RANGE:
            return await alone(file, start, end)
        merged = await self._batches.join(file, (start, end), _merged)
        first, last = merged[start, end]
        if (first, last) == (start, end):
            return await alone(file, start, end)

        async def read() -> bytes:
            return await alone(file, first, last)

        try:
            content = await self._flights.run((file, first, last), read)
        except (FormatError, IntegrityError):
            return await alone(file, start, end)
        return content[start - first : end - first]


def _merged(ranges: list[Span]) -> dict[Span, Span]:
    """For each range, the merged range that contains it."""
    if len(ranges) == 1:
        return {ranges[0]: ranges[0]}
    merged = coalesce_ranges(ranges, max_gap=DEFAULT_GAP, max_size=_MAX_RANGE)
    return {ranges[member]: (item.start, item.end) for item in merged for member in item.members}
