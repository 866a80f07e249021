"""Blocking files as sources and targets: used off the loop, written to their end, and never taken for at an end."""

from __future__ import annotations

import io
import os
import threading
from typing import Any

import pytest
from support.contents import content

import pyxet

MIB = 1024 * 1024


def test_blocking_files_that_take_less_than_they_are_given_get_the_rest(xet: pyxet.XetFS, main: str) -> None:
    data = content(11, 3 * MIB)
    xet.pipe_file(f"{main}/a.bin", data)

    class Slow(io.RawIOBase):
        """As pipes and sockets without a buffer do."""

        def __init__(self) -> None:
            self.got = bytearray()

        def writable(self) -> bool:
            return True

        def write(self, some: Any) -> int:
            self.got += memoryview(some)[:100_000]
            return min(len(some), 100_000)

    class Full(Slow):
        def write(self, some: Any) -> None:  # type: ignore[override]
            return None

    slow = Slow()
    xet.get_file(f"{main}/a.bin", slow)
    assert bytes(slow.got) == data
    with pytest.raises(BlockingIOError, match="is full and does not wait"):
        xet.get_file(f"{main}/a.bin", Full())


@pytest.mark.needs("pipes")
def test_a_blocking_file_that_does_not_wait_is_not_taken_for_its_end(xet: pyxet.XetFS, main: str) -> None:
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    with open(reading, "rb", buffering=0) as source, open(writing, "wb", buffering=0) as sink:
        sink.write(b"first")
        with pytest.raises(BlockingIOError, match="does not wait"):
            xet.put_file(source, f"{main}/a.bin")
    assert xet.find(main) == []


def test_blocking_files_are_read_off_the_loop(xet: pyxet.XetFS, main: str) -> None:
    threads: set[str] = set()

    class File(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            threads.add(threading.current_thread().name)
            return super().read(size)

    xet.put_file(File(b"content"), f"{main}/a.bin")
    assert xet.cat_file(f"{main}/a.bin") == b"content"
    assert threads
    assert not any("fsspec" in name.lower() or name == "MainThread" for name in threads)
