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
    """Files with their outermost wrappers, until they are closed or their transaction ends."""

    def __init__(self) -> None:
        self._files: dict[Writing, tuple[Closable, Held]] = {}

    def hold(self, writing: Writing, outermost: Closable, file: Held) -> None:
        """Keep a file, and its outermost wrapper."""
        self._files[writing] = (outermost, file)

    def release(self, writing: Writing) -> None:
        """A file is closed."""
        self._files.pop(writing, None)

    def clear(self) -> None:
        """Keep none."""
        self._files.clear()

    def close(self) -> None:
        """Close those that are left open."""
        for layers in self._left_open():
            _close(layers)

    async def aclose(self) -> None:
        """Like `close`, with files that are asynchronous."""
        for layers in self._left_open():
            if iscoroutinefunction(layers[0].close):
                await layers[0].close()
            else:
                # A blocking file of another thread waits for this loop.
                await asyncio.to_thread(_close, layers)

    def report_uncommitted(self) -> None:
        """Of files that are closed and not committed, say that the commit is without them."""
        for writing in list(self._files):
            if writing.note_loss(at_end=True):
                report(f"{writing.path!r} was closed and never committed: the transaction's commit is without it")

    def mark_closed(self) -> None:
        """Close all, with their content thrown away; `discard` lets go of what was sent of it."""
        # Threads of a library may be closing some at this moment.
        files = [file for _, file in list(self._files.values())]
        for file in files:
            file.mark_closed()
        close_layers(files)
        for file in files:
            file.settle()

    async def discard(self) -> None:
        """Let go of the content of those that are left."""
        for writing in list(self._files):
            await writing.discard()

    def _left_open(self) -> Iterator[list[Closable]]:
        """The files to close, each with the wrappers around it, outermost first; those, too, that are opened meanwhile."""
        seen: set[Writing] = set()
        while held := {writing: files for writing, files in list(self._files.items()) if writing not in seen}:
            seen.update(held)
            wrappers = Wrappers([outermost for outermost, _ in held.values()])
            for outermost, file in held.values():
                # An exception that is being handled where the transaction ends is not one that interrupts it.
                file.expect(sys.exception())
                yield [*wrappers.around(outermost), file]


def _close(layers: list[Closable]) -> None:
    for layer in layers:
        if not getattr(layer, "closed", False):
            layer.close()
