"""Reads small local files in groups, because handing one to a worker thread costs more than reading it."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Final, TypeAlias

from pyxet._async.runtime.batching import Batches
from pyxet._async.runtime.threads import in_thread
from pyxet._platform import READ_FLAGS
from pyxet.local_tree import not_readable, special

# Files that a worker thread reads in one job. Few, because a slow disk serves several threads better than one.
_GROUP: Final = 8

Peeked: TypeAlias = tuple[int, bytes | None]


class LocalFiles:
    """Reads small files. Files requested within one turn of the event loop are read together.

    Parameters
    ----------
    small:
        Size in bytes of the largest small file.
    """

    def __init__(self, small: int) -> None:
        self._small = small
        self._batches: Batches[None, str, dict[str, Peeked | OSError]] = Batches(_GROUP)

    async def peek(self, source: Path) -> Peeked:
        """The size of a file in bytes, and its content if it is small. Raises `OSError` if it cannot be read."""
        name = str(source)
        found = await self._batches.run(None, name, self._read)
        result = found[name]
        if isinstance(result, OSError):
            raise result
        return result

    async def _read(self, sources: list[str]) -> dict[str, Peeked | OSError]:
        return await in_thread(_peeked, sources, self._small)


def _peeked(sources: Iterable[str], small: int) -> dict[str, Peeked | OSError]:
    found: dict[str, Peeked | OSError] = {}
    for source in sources:
        try:
            known = os.stat(source)
            if stat.S_ISDIR(known.st_mode):
                # Windows would say that access to it is denied.
                raise IsADirectoryError(
                    errno.EISDIR,
                    "it is a folder, and not a file to upload; put(…, recursive=True) uploads folders",
                    source,
                )
            what = special(known)
            if what is not None:
                # Reading a device or a pipe might never end.
                raise not_readable(source, what)
            size = known.st_size
            found[source] = size, _content(source, size) if size <= small else None
        except OSError as error:
            found[source] = error
    return found


def _content(source: str, size: int) -> bytes:
    """The content of a file that had ``size`` bytes when its status was read.

    `pathlib.Path.read_bytes` makes twice as many system calls, and during each one other threads can take the lock of the
    interpreter. With thousands of files, that took longer than any other step.
    """
    descriptor = os.open(source, READ_FLAGS)
    try:
        pieces = [os.read(descriptor, size + 1)]
        # Continue if the file has grown since, or if the system returned less than requested.
        while len(pieces[-1]) and (len(pieces) > 1 or len(pieces[0]) != size):
            pieces.append(os.read(descriptor, 1 << 20))
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)
    finally:
        os.close(descriptor)
