"""Uploads of xorbs by grants: counting their requests, and changing grants in transit."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

from pyxet._async.download.reconstruct import Downloader
from support.faults import DIRECT, GRANT, STORE, UPLOAD, Act, World, changed

NOISE = random.Random(1402)
WAYS = (GRANT, UPLOAD, STORE, DIRECT)
Message = dict[str, Any]


def fresh(size: int = 200_000) -> bytes:
    """Content that has not been uploaded before."""
    return NOISE.randbytes(size)


def counts(it: World) -> list[int]:
    """Numbers of requests: for grants, for uploads by grants, for commits of grants, and for uploads without grants."""
    return [it.proxy.count(pattern) for pattern in WAYS]


def granting(change: Callable[[Message], object]) -> Act:
    """An act that changes grants in transit."""

    def changes(body: bytes) -> bytes:
        message = json.loads(body)
        change(message)
        return json.dumps(message).encode()

    return changed(changes)


async def stored(it: World, data: bytes) -> None:
    """Store content, and check that it can be read."""
    file = await it.store(data)
    assert await Downloader(it.client).read(file) == data
