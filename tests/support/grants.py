"""Xorbs that go up by upload grants, the requests that it takes, and grants that are changed on their way."""

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
    """Content that nobody has sent yet."""
    return NOISE.randbytes(size)


def counts(it: World) -> list[int]:
    """Requests for grants, by them, to commit them, and without them."""
    return [it.proxy.count(pattern) for pattern in WAYS]


def granting(change: Callable[[Message], object]) -> Act:
    """A grant that is changed on its way."""

    def changes(body: bytes) -> bytes:
        message = json.loads(body)
        change(message)
        return json.dumps(message).encode()

    return changed(changes)


async def stored(it: World, data: bytes) -> None:
    """Store content, and see that it can be read."""
    file = await it.store(data)
    assert await Downloader(it.client).read(file) == data
