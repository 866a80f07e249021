"""The limit of the machine: the CPU time of each stage of a transfer, in loops that spend it in C, divided by all cores.

A client that kept all cores busy with nothing but this work would take this long. So the figure is a bound for clients in
any language, as long as no server uses the same cores. Stages are measured on the first part of the content, in a separate
process, and extrapolated to its size.
"""

from __future__ import annotations

import hashlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

from blake3 import blake3
from prepare import StoredChunk, load

from pyxet.protocol.chunking import chunk_ends
from pyxet.protocol.compression import Scheme, choose_scheme, compress_as, decompress
from pyxet.protocol.constants import DATA_KEY, MIB

Job = dict[str, Any]
# How much content is measured; more would take longer and give the same figures.
_PART = 256 * MIB
_RUN = 4 * MIB
_WRITE = MIB // 2
_HEADER = 8


class Limits:
    """One method for each action; each returns the CPU seconds of its stages."""

    def warm(self, _: Job) -> None:
        """Do nothing: the loops need no warm-up."""

    def up(self, job: Job) -> dict[str, Any]:
        """Read, cut and hash (twice); compress, frame and send if the content is new."""
        paths = [Path(path) for path in job["paths"]]
        clock = _Clock(sum(path.stat().st_size for path in paths))
        with _Sink() as sink:
            for data in _runs(clock, paths):
                ends = clock.measure("chunk boundaries", chunk_ends, data)
                clock.measure("SHA-256", hashlib.sha256, data)
                chunks = [data[start:end] for start, end in pairwise([0, *ends])]
                clock.measure("BLAKE3", _hash, chunks)
                if not job["new"]:
                    continue
                scheme = choose_scheme(chunks[0])
                payloads: list[Any] = chunks
                if scheme is not Scheme.NONE:
                    payloads = clock.measure("compress", _compress, chunks, scheme)
                clock.measure("frame", sink.fill, payloads)
                clock.measure("send", sink.send)
        return clock.told()

    def down(self, job: Job) -> dict[str, Any]:
        """Receive, decode and hash; then write to a file, put into memory, or neither."""
        manifest = Path(job["manifest"])
        stored = load(manifest)
        clock = _Clock(sum(chunk.length for chunks in stored.xorbs.values() for chunk in chunks))
        memory = bytearray(min(clock.size, _PART)) if job["into"] == "memory" else bytearray()
        at = 0
        with (Path(job["out"]) / "limit").open("wb", buffering=0) as file, _Sink() as sink:
            for name, chunks in stored.xorbs.items():
                data = sink.received(clock, manifest.parent / "xorbs" / name)
                pieces = clock.measure("decode", _decode, data, chunks)
                clock.measure("BLAKE3", _hash, pieces)
                if job["into"] == "file":
                    clock.measure("write", _write, file.fileno(), pieces)
                elif job["into"] == "memory":
                    at = clock.measure("copy", _copy, memory, pieces, at)
                clock.done += sum(chunk.length for chunk in chunks)
                if clock.done >= _PART:
                    break
        disk = {"disk": write_only(Path(job["out"]) / "disk", clock.size)} if job["into"] == "file" else {}
        return clock.told() | disk


class _Clock:
    """CPU seconds of this thread by stage."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.done = 0
        self._stages: dict[str, float] = {}

    def measure(self, stage: str, work: Callable[..., Any], *arguments: Any) -> Any:
        """Call ``work``, and add its CPU time to a stage."""
        before = time.thread_time()
        found = work(*arguments)
        self._stages[stage] = self._stages.get(stage, 0.0) + time.thread_time() - before
        return found

    def told(self) -> dict[str, Any]:
        """The CPU seconds of each stage for the whole content, and how long all cores would be busy with them."""
        stages = {stage: spent * self.size / self.done for stage, spent in self._stages.items()}
        return {"stages": stages, "limit": sum(stages.values()) / cores()}


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _runs(clock: _Clock, paths: list[Path]) -> Iterator[memoryview]:
    buffer = bytearray(_RUN)
    for path in paths:
        with path.open("rb", buffering=0) as file:
            while size := clock.measure("read", file.readinto, buffer):
                clock.done += size
                yield memoryview(buffer)[:size]
                if clock.done >= _PART:
                    return


def _hash(chunks: list[Any]) -> None:
    for chunk in chunks:
        blake3(chunk, key=DATA_KEY).digest()


def _compress(chunks: list[Any], scheme: Scheme) -> list[Any]:
    return [compress_as(chunk, scheme) for chunk in chunks]


def _decode(data: memoryview, chunks: list[StoredChunk]) -> list[Any]:
    at = 0
    found: list[Any] = []
    for chunk in chunks:
        scheme, payload = data[at + 4], data[at + _HEADER : chunk.end]
        found.append(payload if scheme == Scheme.NONE else decompress(payload, scheme, chunk.length))
        at = chunk.end
    return found


def _write(file: int, pieces: list[Any]) -> None:
    group: list[Any] = []
    size = 0
    for piece in pieces:
        group.append(piece)
        size += len(piece)
        if size >= _WRITE:
            os.writev(file, group)
            group, size = [], 0
    if group:
        os.writev(file, group)


def _copy(memory: bytearray, pieces: list[Any], at: int) -> int:
    for piece in pieces:
        end = min(at + len(piece), len(memory))
        memory[at:end] = piece[: end - at]
        at = end
    return at


def write_only(path: Path, size: int) -> float:
    """The seconds that the machine needs just to write as many bytes to a file as a row does."""
    piece = bytes(_WRITE)
    began = time.perf_counter()
    with path.open("wb", buffering=0) as file:
        for _ in range(0, size, _WRITE):
            file.write(piece)
    return time.perf_counter() - began


class _Sink:
    """A connection to this process itself."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self._near = socket.create_connection(listener.getsockname())
            self._far, _ = listener.accept()
        self._buffer = bytearray(128 * MIB)
        self._size = 0

    def __enter__(self) -> _Sink:
        return self

    def __exit__(self, *_: object) -> None:
        self._near.close()
        self._far.close()

    def fill(self, parts: list[Any]) -> None:
        """Put parts together as they are sent."""
        at = 0
        for part in parts:
            self._buffer[at : at + len(part)] = part
            at += len(part)
        self._size = at

    def send(self) -> None:
        """Send them to a thread that receives and drops them."""
        taken = threading.Thread(target=self._take, args=(self._size,))
        taken.start()
        self._near.sendall(memoryview(self._buffer)[: self._size])
        taken.join()

    def _take(self, size: int) -> None:
        buffer = bytearray(MIB)
        while size:
            size -= self._far.recv_into(buffer, min(size, len(buffer)))

    def received(self, clock: _Clock, path: Path) -> memoryview:
        """A file as it comes through the connection."""
        view = memoryview(self._buffer)[: path.stat().st_size]

        def give() -> None:
            with path.open("rb") as file:
                self._far.sendfile(file)

        def take() -> None:
            at = 0
            while at < len(view):
                at += self._near.recv_into(view[at:])

        giving = threading.Thread(target=give)
        giving.start()
        clock.measure("receive", take)
        giving.join()
        return view
