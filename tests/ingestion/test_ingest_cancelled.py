"""A batch whose copying is cancelled closes what it reads from, whenever that lets go."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import anyio
import pytest

from pyxet.ingestion.copying import Copier
from pyxet.ingestion.plan import SourceFile

MIB = 1024 * 1024


class Source:
    """A source, and its open file, whose second read waits until it is told to go on."""

    def __init__(self) -> None:
        self.reads = 0
        self.go_on, self.closed = threading.Event(), threading.Event()

    def open(self, path: str, mode: str) -> Source:
        return self

    def read(self, size: int) -> bytes:
        self.reads += 1
        if self.reads > 1:
            self.go_on.wait(60)
        return b"x"

    def close(self) -> None:
        self.closed.set()


class Stuck:
    """A stage, and its writer, that takes nothing."""

    def __init__(self) -> None:
        self.writing = asyncio.Event()

    def writer(self, place: str) -> Stuck:
        return self

    async def write(self, data: bytes) -> None:
        self.writing.set()
        await asyncio.Event().wait()

    async def discard(self) -> None:
        await asyncio.sleep(0)


async def test_an_open_file_of_the_source_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    source, stage = Source(), Stuck()
    nowhere: Any = None
    copier = Copier(source, nowhere, nowhere)
    monkeypatch.setattr(copier, "_place", lambda file: file.name)
    with anyio.CancelScope() as scope:

        async def cancel() -> None:
            await stage.writing.wait()
            scope.cancel()

        cancelling = asyncio.create_task(cancel())
        await copier._copy_pieces(SourceFile("a.bin", "a.bin", 64 * MIB, ""), stage)  # type: ignore[arg-type]  # likewise
    await cancelling
    assert scope.cancelled_caught
    source.go_on.set()
    assert await asyncio.to_thread(source.closed.wait, 60)
