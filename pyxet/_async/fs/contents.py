"""Reads the content of files, stored or pending in a transaction."""

from __future__ import annotations

import errno
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING, Final

from pyxet._async.changes.view import Entry, View
from pyxet._async.download.verifier import Verifier
from pyxet.protocol.hashing import Buffer
from pyxet.types import RemoteFile

if TYPE_CHECKING:
    from pyxet._async.client import Client

# Bytes of pending content that are read at once.
PIECE: Final = 4 * 1024 * 1024


def file_of(path: str, found: Entry) -> Entry:
    """Return the entry that was found at a path if it is a file. Raises `IsADirectoryError` if it is a folder."""
    if found.is_folder:
        raise IsADirectoryError(errno.EISDIR, "it is a folder", path)
    return found


def bounds(size: int, start: int | None, end: int | None) -> tuple[int, int]:
    """Return the first position of a range and its end, by the rules of slices: negative numbers count from the end."""
    first, last, _ = slice(start, end).indices(size)
    return first, max(first, last)


async def content_at(
    client: Client, path: str, found: tuple[View, Entry], start: int | None, end: int | None
) -> bytes:  # fmt: skip
    """Read a range of the file that was found at a path, see `bounds`."""
    view, there = found
    file = file_of(path, there)
    return await content_of(client, view, file, *bounds(file.size, start, end))


async def content_of(
    client: Client, view: View, file: Entry, start: int, end: int, verifier: Verifier | None = None
) -> bytes:  # fmt: skip
    """Read bytes ``start`` to ``end`` (exclusive) of a file. The verifier checks content that is read in parts."""
    if isinstance(file.content, RemoteFile):
        return await client.reader.read(file.content, start, end, verifier)
    assert view.changes is not None
    assert file.content is not None
    return await view.changes.read(file.path, file.content, start, end, verifier)


async def pieces_of(client: Client, view: View, file: Entry) -> AsyncGenerator[Buffer, None]:
    """Iterate over the whole content of a file, in order."""
    if isinstance(file.content, RemoteFile):
        async with aclosing(client.reader.stream(file.content)) as pieces:
            async for piece in pieces:
                yield piece
        return
    stored = view.stored_content(file)
    verifier = Verifier(stored) if stored is not None else None
    for start in range(0, file.size, PIECE):
        yield await content_of(client, view, file, start, min(file.size, start + PIECE), verifier)
