"""The files that are open for writing in a transaction."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from inspect import iscoroutinefunction

from pyxet._async.changes.file_write import Writing
from pyxet._async.changes.layers import Closable, Held, Wrappers, close_layers
from pyxet._async.changes.losses import report


class HeldFiles:
    """The open files of a transaction with their outermost wrappers, until they are closed or the transaction ends."""

    def __init__(self) -> None:
        self._files: dict[Writing, tuple[Closable, Held]] = {}

    def hold(self, writing: Writing, outermost: Closable, file: Held) -> None:
        """Keep a file, and its outermost wrapper."""
        self._files[writing] = (outermost, file)

    def release(self, writing: Writing) -> None:
        """Stop keeping a file, because it is closed."""
        self._files.pop(writing, None)

    def clear(self) -> None:
        """Stop keeping any file."""
        self._files.clear()

    def close(self) -> None:
        """Close the files that are still open."""
        for layers in self._left_open():
            _close(layers)

    async def aclose(self) -> None:
        """Like `close`, for a transaction whose files may be asynchronous."""
        for layers in self._left_open():
            if iscoroutinefunction(layers[0].close):
                await layers[0].close()
            else:
                # Closing a blocking file waits for this loop, so it is done in a thread.
                await asyncio.to_thread(_close, layers)

    def report_uncommitted(self) -> None:
        """Warn about files that were closed but whose content is not part of the commit."""
        for writing in list(self._files):
            if writing.note_loss(at_end=True):
                report(f"{writing.path!r} was closed and never committed: the transaction's commit does not contain it")

    def mark_closed(self) -> None:
        """Close all files and discard their content; `discard` then releases what was already sent of it."""
        # Threads of a library may be closing some of the files at this moment.
        files = [file for _, file in list(self._files.values())]
        for file in files:
            file.mark_closed()
        close_layers(files)
        for file in files:
            file.settle()

    async def discard(self) -> None:
        """Release the content of the files that are left."""
        for writing in list(self._files):
            await writing.discard()

    def _left_open(self) -> Iterator[list[Closable]]:
        """Each file to close with the wrappers around it, outermost first. Includes files that are opened meanwhile."""
        seen: set[Writing] = set()
        while held := {writing: files for writing, files in list(self._files.items()) if writing not in seen}:
            seen.update(held)
            wrappers = Wrappers([outermost for outermost, _ in held.values()])
            for outermost, file in held.values():
                # The transaction may end inside an `except` block; the exception handled there did not interrupt the file.
                file.expect(sys.exception())
                yield [*wrappers.around(outermost), file]


def _close(layers: list[Closable]) -> None:
    for layer in layers:
        if not getattr(layer, "closed", False):
            layer.close()
