"""Asynchronous files: opened with ``async with`` at once, read and written by awaiting, and clear about what they cannot."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from typing import Any

import pytest

from pyxet import AsyncXetFileSystem, NotFoundError, XetFS
from pyxet._async.files.read import AsyncXetReadFile
from pyxet._async.files.write import AsyncXetWriteFile
from pyxet.testing import LocalEndpoint

LINES = [b"one\n", b"two\n", b"three"]


@pytest.fixture
async def fs(shared_endpoint: LocalEndpoint) -> AsyncIterator[AsyncXetFileSystem]:
    access = (shared_endpoint.url, shared_endpoint.user, shared_endpoint.token)
    async with AsyncXetFileSystem(*access, asynchronous=True, skip_instance_cache=True) as found:
        yield found


@pytest.fixture
def path(xet: XetFS, main: str) -> str:
    xet.pipe_file(f"{main}/lines.txt", b"".join(LINES))
    return f"{main}/lines.txt"


async def test_a_block_opens_and_closes_the_file(fs: AsyncXetFileSystem, path: str) -> None:
    async with fs.open_async(path) as file:
        assert isinstance(file, AsyncXetReadFile)
        assert [line async for line in file] == LINES
        assert file.seek(0) == 0
        assert await file.readline() == LINES[0]
        assert file.tell() == 4
        assert await file.readlines() == LINES[1:]
        buffer = bytearray(3)
        file.seek(-5, 2)
        assert await file.readinto(buffer) == 3
        assert bytes(buffer) == b"thr"
        assert await file.read(1) == b"e"
    assert file.closed
    async with fs.open_async(f"{path}.new", "wb") as written:
        assert isinstance(written, AsyncXetWriteFile)
        assert await written.write(b"0123") == 4
        await written.writelines([b"45", bytearray(b"6")])
        async with fs.open_async(path) as source:
            await written.writelines(source)
        assert written.tell() == 7 + len(b"".join(LINES))
    assert written.closed
    assert await fs._cat_file(f"{path}.new") == b"0123456" + b"".join(LINES)


async def test_awaiting_first_still_works(fs: AsyncXetFileSystem, path: str) -> None:
    file = await fs.open_async(path)
    assert await file.read() == b"".join(LINES)
    await file.close()
    async with await fs.open_async(path) as file:
        assert await file.read(3) == b"one"
    # Those who make tasks of coroutines, or wait for them.
    for opened in (asyncio.create_task(fs.open_async(path)), asyncio.wait_for(fs.open_async(path), 60)):
        async with await opened as file:
            assert await file.read(3) == b"one"
    async with asyncio.TaskGroup() as group:
        task = group.create_task(fs.open_async(path))
    await task.result().close()


async def test_a_block_that_raises_publishes_nothing(fs: AsyncXetFileSystem, path: str) -> None:
    async def fail() -> None:
        async with fs.open_async(path, "wb") as file:
            await file.write(b"half of")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert await fs._cat_file(path) == b"".join(LINES)
    async with fs.transaction as tr:
        async with tr.open(f"{path}.new", "wb") as file:
            await file.write(b"new")
        async with tr.fs.open_async(path, "ab") as file:
            await file.write(b" four")
    assert len(tr.commits) == 1
    assert await fs._cat_file(path) == b"".join(LINES) + b" four"


async def test_errors_come_when_the_file_is_opened(fs: AsyncXetFileSystem, path: str) -> None:
    with pytest.raises(NotFoundError):
        async with fs.open_async(f"{path}.missing"):
            raise AssertionError
    with pytest.raises(ValueError, match="binary"):
        await fs.open_async(path, "r")
    with pytest.raises(TypeError, match="did you mean 'message'"):
        fs.open_async(path, "wb", mesage="x")  # type: ignore[call-overload]


async def test_a_file_that_is_not_open_yet_says_so(fs: AsyncXetFileSystem, path: str) -> None:
    opening: Any = fs.open_async(path)
    with pytest.raises(AttributeError, match=r"async with fs\.open_async"):
        opening.read(3)
    await (await opening).close()
    with pytest.raises(TypeError, match="async with"), fs.open_async(path):  # type: ignore[attr-defined]
        raise AssertionError


async def test_who_forgets_to_open_it_hears_of_it(fs: AsyncXetFileSystem, path: str) -> None:
    with pytest.warns(RuntimeWarning, match=r"'open_async' was never awaited"):
        fs.open_async(path)


async def test_what_is_written_cannot_be_read_or_sought_in(fs: AsyncXetFileSystem, path: str) -> None:
    async with fs.open_async(f"{path}.new", "wb") as file:
        assert (file.readable(), file.writable(), file.seekable()) == (False, True, False)
        call: Any
        for call in (file.read, file.readline, file.readlines, lambda: file.readinto(bytearray(1))):
            with pytest.raises(io.UnsupportedOperation, match="open for writing"):
                await call()
        with pytest.raises(io.UnsupportedOperation, match="cannot seek"):
            file.seek(0)
    for closed in (file.tell, file.writable, lambda: file.seek(0)):
        with pytest.raises(ValueError, match="closed file"):
            closed()
    with pytest.raises(ValueError, match="closed file"):
        await file.write(b"x")
