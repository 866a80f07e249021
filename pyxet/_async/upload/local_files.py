"""Reading small local files in groups: handing one to a worker thread costs more than reading it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final, TypeAlias

from pyxet._async.runtime.batching import Batches
from pyxet._async.runtime.threads import in_thread
from pyxet.local_tree import not_readable, special

# Files that a worker thread reads in one go; few, as a slow disk answers several threads better than one.
_GROUP: Final = 8

Peeked: TypeAlias = tuple[int, bytes | None]


class LocalFiles:
    """Reads small files; those that are asked for within one turn of the event loop are read together.

    Parameters
    ----------
    small:
        Bytes up to which a file is small.
    """

    def __init__(self, small: int) -> None:
        self._small = small
        self._batches: Batches[None, Path, dict[Path, Peeked | OSError]] = Batches(_GROUP)

    async def peek(self, source: Path) -> Peeked:
        """The size of a file in bytes, and its content if it is small. Raises `OSError` where it cannot be read."""
        found = await self._batches.run(None, source, lambda sources: in_thread(_peeked, sources, self._small))
        result = found[source]
        if isinstance(result, OSError):
            raise result
        return result


def _peeked(sources: Iterable[Path], small: int) -> dict[Path, Peeked | OSError]:
    found: dict[Path, Peeked | OSError] = {}
    for source in sources:
        try:
            known = source.stat()
            what = special(known)
            if what is not None:
                # Reading it might never end.
                raise not_readable(str(source), what)
            size = known.st_size
            found[source] = size, source.read_bytes() if size <= small else None
        except OSError as error:
            found[source] = error
    return found
