"""Files that are not in Xet storage: read from the Hub itself, and verified by their git or SHA-256 hash."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace

import pytest
from support.contents import content
from support.faults import (
    FAST,
    MIB,
    RESOLVE,
    World,
    answer,
    world,
)

from pyxet._async.download.reconstruct import WINDOW, Downloader
from pyxet.config import Limits
from pyxet.errors import (
    IntegrityError,
    ServerError,
)
from pyxet.types import RemoteFile


@pytest.fixture
async def plain() -> AsyncIterator[tuple[World, RemoteFile, bytes]]:
    data = content(30, WINDOW + 100_000)
    blob = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()

    async def serve(_: object, request: object) -> object:
        start, _, end = request.headers["Range"].removeprefix("bytes=").partition("-")  # type: ignore[attr-defined]
        piece = data[int(start) : int(end) + 1]
        headers = {"Content_Range": f"bytes {start}-{end}/{len(data)}"}
        return await answer(206, piece, **headers)(_, request)  # type: ignore[arg-type]

    async with world() as it:
        it.proxy.rule("GET /served/", serve)  # type: ignore[arg-type]
        it.proxy.rule(RESOLVE, answer(302, Location="/served/it"), skip=0)
        yield it, RemoteFile(it.repo, "main", "folder/a b.bin", len(data), blob), data


async def test_regular_files(plain: tuple[World, RemoteFile, bytes]) -> None:
    it, file, data = plain
    reader = Downloader(it.client)
    assert await reader.read(file) == data
    assert await reader.read(file, WINDOW - 5, WINDOW + 5) == data[WINDOW - 5 : WINDOW + 5]
    assert await reader.read(replace(file, sha256=hashlib.sha256(data).hexdigest())) == data
    assert it.proxy.seen[0].line.endswith("/resolve/main/folder/a b.bin")


async def test_regular_files_are_verified(plain: tuple[World, RemoteFile, bytes]) -> None:
    it, file, _ = plain
    reader = Downloader(it.client)
    for wrong in (replace(file, blob_id="0" * 40), replace(file, sha256="0" * 64), replace(file, size=file.size - 1)):
        with pytest.raises(IntegrityError):
            await reader.read(wrong)
    with pytest.raises(IntegrityError):
        await reader.read(replace(file, size=file.size + 1), 0, 5)


async def test_a_regular_file_that_is_shorter() -> None:
    async with world() as it:
        it.proxy.rule(RESOLVE, answer(416))
        with pytest.raises(IntegrityError, match="shorter"):
            await Downloader(it.client).read(RemoteFile(it.repo, "main", "a", 10, "0" * 40))


async def test_regular_files_with_one_request_at_a_time() -> None:
    async with world(limits=Limits(concurrency=1, memory=16 * MIB)) as it:
        data = content(31, 100_000)
        it.proxy.rule(RESOLVE, answer(200, data))
        file = RemoteFile(it.repo, "main", "a", len(data), hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest())
        async with aclosing(Downloader(it.client).stream(file)) as pieces:
            async for _ in pieces:
                await it.client.hub.whoami()


async def test_errors_of_regular_files_are_raised(plain: tuple[World, RemoteFile, bytes]) -> None:
    it, file, _ = plain
    it.proxy._rules.clear()
    it.proxy.rule(RESOLVE, answer(500))
    with pytest.raises(ServerError):
        await Downloader(it.client).read(file)
    assert it.proxy.count(RESOLVE) >= FAST.attempts
