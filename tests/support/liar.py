"""Endpoints that lie or exhaust their clients: acts for a `FaultProxy` that write arbitrary bytes to the socket."""

from __future__ import annotations

import asyncio
import gc
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path

from aiohttp import web

from support.capabilities import need
from support.faults import MIB, Act, FaultProxy

GIB = 1024 * MIB
PIECE = 256 * 1024


def head(status: int = 200, **headers: str) -> bytes:
    """The head of an answer; underscores in names become dashes, and values are not checked."""
    lines = [f"HTTP/1.1 {status} Indeed", *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode()


def raw(*parts: bytes | Iterable[bytes], hang: bool = False) -> Act:
    """Write bytes to the socket until they end or the client closes it; then close it, or ``hang``."""

    async def act(proxy: FaultProxy, request: web.Request) -> web.StreamResponse:
        await request.read()
        transport = request.transport
        assert transport is not None
        for part in parts:
            for piece in (part,) if isinstance(part, bytes) else part:
                transport.write(piece)
                try:
                    await request.protocol._drain_helper()
                except ConnectionError:
                    break
                if transport.is_closing():
                    break
        if hang and not transport.is_closing():
            proxy._arrived.release()
            await asyncio.Event().wait()
        transport.close()
        return web.Response()

    return act


def slowly(start: bytes, piece: bytes, pause: float) -> Act:
    """Write a piece every ``pause`` seconds, until the client closes the connection."""

    async def act(_: FaultProxy, request: web.Request) -> web.StreamResponse:
        await request.read()
        transport = request.transport
        assert transport is not None
        transport.write(start)
        while not transport.is_closing():
            transport.write(piece)
            await asyncio.sleep(pause)
        return web.Response()

    return act


def endless(piece: bytes, start: bytes = b"", *, status: int = 200, declared: int | None = None) -> Act:
    """A body without end: ``start``, then one piece repeatedly; optionally with a declared length."""
    length = {} if declared is None else {"Content_Length": str(declared)}
    many = piece * (PIECE // len(piece) or 1)
    return raw(head(status, Content_Type="application/json", **length) + start, repeat(many))


@dataclass
class Growth:
    """The growth of the process's memory to its peak, in bytes."""

    bytes: int = 0


@contextmanager
def memory_growth() -> Iterator[Growth]:
    """Measure how much the process's resident memory grows in a block, up to its peak."""
    need("proc")
    gc.collect()
    # Writing 5 makes Linux reset the peak to the present resident memory.
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    before = _status("VmRSS")
    growth = Growth()
    yield growth
    growth.bytes = _status("VmHWM") - before


def _status(name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"), re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024
