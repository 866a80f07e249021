"""Reading small local files in groups: handing one to a worker thread costs more than reading it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias

from pyxet._async.runtime.threads import in_thread
from pyxet.local_tree import not_readable, special

# Files that a worker thread reads in one go; few, as a slow disk answers several threads better than one.
_GROUP: Final = 8

Peeked: TypeAlias = tuple[int, bytes | None]


@dataclass(slots=True, eq=False)
class _Group:
    """Files that are asked for within one turn of the loop. The first one who asks reads for all."""

    done: asyncio.Future[list[Peeked | OSError] | None]
    sources: list[Path] = field(default_factory=list)


class LocalFiles:
    """Reads small files on one event loop.

    Parameters
    ----------
    small:
        Bytes up to which a file is small.
    """

    def __init__(self, small: int) -> None:
        self._small = small
        self._group: _Group | None = None

    async def peek(self, source: Path) -> Peeked:
        """The size of a file in bytes, and its content if it is small. Raises `OSError` where it cannot be read."""
        group = self._group
        if group is None or len(group.sources) == _GROUP:
            group = self._group = _Group(asyncio.get_running_loop().create_future())
        place = len(group.sources)
        group.sources.append(source)
        if place == 0:
            await self._read(group)
        else:
            await asyncio.wait([group.done])
        found = group.done.result()
        if found is None:
            # Who read for all was cancelled.
            found, place = await in_thread(_peeked, [source], self._small), 0
        result = found[place]
        if isinstance(result, OSError):
            raise result
        return result

    async def _read(self, group: _Group) -> None:
        try:
            # Others of this turn have time to join.
            await asyncio.sleep(0)
            if self._group is group:
                self._group = None
            group.done.set_result(await in_thread(_peeked, group.sources, self._small))
        except BaseException:
            if self._group is group:
                self._group = None
            group.done.set_result(None)
            raise


def _peeked(sources: Sequence[Path], small: int) -> list[Peeked | OSError]:
    found: list[Peeked | OSError] = []
    for source in sources:
        try:
            known = source.stat()
            what = special(known)
            if what is not None:
                # Reading it might never end.
                raise not_readable(str(source), what)
            size = known.st_size
            found.append((size, source.read_bytes() if size <= small else None))
        except OSError as error:
            found.append(error)
    return found
