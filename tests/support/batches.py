"""Small files that lie side by side in a xorb, and ways to read them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pyxet._async.download.reconstruct import Downloader
from pyxet.config import Limits
from pyxet.types import RemoteFile
from support.faults import World

BATCH_GET = r"GET /v1/reconstructions\Z"
BATCH_POST = r"POST /v1/reconstructions\Z"
BATCH = f"{BATCH_GET}|{BATCH_POST}"


async def stored(it: World, contents: Sequence[bytes]) -> list[RemoteFile]:
    """Files that were uploaded together, so that they lie side by side in a xorb."""
    uploader = it.uploader(Limits())
    try:
        found = [await uploader.add(data) for data in contents]
        await uploader.flush()
    finally:
        await uploader.aclose()
    return [
        RemoteFile(it.repo, "main", f"{number}.bin", item.size, "", item.sha256, item.xet_hash)
        for number, item in enumerate(found)
    ]


async def read(it: World, files: Sequence[RemoteFile]) -> list[bytes | Exception]:
    """Read all of them with one call."""
    return await it.client.reader.small.read_all(files, Downloader(it.client).read)


def reader(it: World) -> Callable[[RemoteFile], Any]:
    """A function that reads one file."""
    return lambda file: it.client.reader.small.read(file, Downloader(it.client).read)
