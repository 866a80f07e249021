"""Asynchronous files and iterators as sources and targets, wherever a blocking file is one."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiofiles
import aiohttp
import anyio
import pytest
from aiohttp import web
from support.async_sources import WAYS, Pieces, Upload, served, source_of
from support.contents import content
from support.proxied import asynchronous
from support.settled import check_budgets

import pyxet
from pyxet.testing import LocalEndpoint

MIB = 1024 * 1024
# In the commit, and content of its own.
SIZES = pytest.mark.parametrize("size", [0, 1000, 5 * MIB + 17])

KINDS = (
    "aiofiles", "aiofiles without a buffer", "anyio", "upload of a form", "stream of asyncio", "answer of aiohttp", "iterator",
    "generator",
)  # fmt: skip


@pytest.fixture
async def fs(shared_endpoint: LocalEndpoint) -> AsyncIterator[pyxet.AsyncXetFileSystem]:
    async with asynchronous(shared_endpoint) as made:
        yield made


@SIZES
@pytest.mark.parametrize("kind", KINDS)
async def test_any_asynchronous_source_is_uploaded(
    fs: pyxet.AsyncXetFileSystem, main: str, tmp_path: Path, kind: str, size: int
) -> None:
    data = content(3, size)
    async with AsyncExitStack() as stack:
        await fs._put_file(await source_of(kind, data, tmp_path, stack), f"{main}/a.bin")
    assert await fs._cat_file(f"{main}/a.bin") == data
    check_budgets()


@pytest.mark.parametrize("way", WAYS)
async def test_every_call_that_writes_takes_them(
    fs: pyxet.AsyncXetFileSystem, main: str, tmp_path: Path, way: str
) -> None:
    data = content(4, 3 * MIB)
    async with AsyncExitStack() as stack:
        for kind in ("aiofiles", "generator"):
            await WAYS[way](fs, await source_of(kind, data, tmp_path, stack), f"{main}/{kind}")
            assert await fs._cat_file(f"{main}/{kind}") == data


async def test_they_are_staged(fs: pyxet.AsyncXetFileSystem, main: str, tmp_path: Path) -> None:
    data = content(5, 3 * MIB)
    async with AsyncExitStack() as stack:
        pointers = [await fs._stage(await source_of("aiofiles", data, tmp_path, stack), f"{main}/one")]
        pointers += await fs._stage_many({
            f"{main}/two": await source_of("anyio", data, tmp_path, stack),
            f"{main}/three": await source_of("generator", data[:10], tmp_path, stack),
        })  # fmt: skip
    await fs._commit(main, pointers)
    assert await fs._cat([f"{main}/one", f"{main}/two", f"{main}/three"]) == {
        f"{main}/one": data, f"{main}/two": data, f"{main}/three": data[:10],
    }  # fmt: skip


async def test_in_a_transaction_they_are_part_of_its_commit(
    fs: pyxet.AsyncXetFileSystem, main: str, tmp_path: Path
) -> None:
    data = content(6, 2 * MIB)
    async with AsyncExitStack() as stack, fs.transaction(message="both") as tr:
        await tr.put(await source_of("aiofiles", data, tmp_path, stack), f"{main}/one")
        await fs._put_file(await source_of("generator", b"small", tmp_path, stack), f"{main}/two")
        assert await fs._cat_file(f"{main}/one") == data
    assert (await fs._log(main))[0].message == "both"
    assert await fs._cat_file(f"{main}/two") == b"small"


async def test_what_belongs_to_one_loop_is_read_there_by_a_transaction_of_another(xet: pyxet.XetFS, main: str) -> None:
    data = content(7, 9 * MIB)
    here = asyncio.get_running_loop()
    tasks: set[asyncio.Task[Any] | None] = set()
    reader = asyncio.StreamReader()
    reader.feed_data(data)
    reader.feed_eof()

    async def generate() -> AsyncIterator[bytes]:
        # A scope of anyio has to end in the task that it began in.
        with anyio.move_on_after(3600):
            for at in range(0, len(data), MIB):
                assert asyncio.get_running_loop() is here
                tasks.add(asyncio.current_task())
                yield data[at : at + MIB]

    written = Upload(b"")
    with xet.transaction as tr:
        await tr.fs._put_file(generate(), f"{main}/one")
        await tr.fs._put_file(reader, f"{main}/two")
        await tr.fs._get_file(f"{main}/one", written)
    assert len(tasks) == 1
    assert written.file.getvalue() == data
    async with pyxet.AsyncXetFileSystem(*xet.storage_args, **xet.storage_options | {"asynchronous": True}) as fs:
        assert await fs._cat_file(f"{main}/one") == await fs._cat_file(f"{main}/two") == data


@SIZES
@pytest.mark.parametrize("kind", ["aiofiles", "aiofiles without a buffer", "anyio", "upload of a form", "pyxet"])
async def test_any_asynchronous_file_is_downloaded_into(
    fs: pyxet.AsyncXetFileSystem, main: str, tmp_path: Path, kind: str, size: int
) -> None:
    data, local = content(8, size), tmp_path / "target"
    await fs._pipe_file(f"{main}/a.bin", data)
    if kind == "upload of a form":
        form = Upload(b"")
        await fs._get(f"{main}/a.bin", form)
        assert form.file.getvalue() == data
    elif kind == "pyxet":
        async with fs.open_async(f"{main}/b.bin", "wb") as file:
            await fs._get_file(f"{main}/a.bin", file)
        assert await fs._cat_file(f"{main}/b.bin") == data
    else:
        opened: Any
        if kind == "anyio":
            opened = await anyio.open_file(local, "wb")
        else:
            opened = aiofiles.open(local, "wb", buffering=0 if "without" in kind else -1)
        async with opened as file:
            await fs._get_file(f"{main}/a.bin", outfile=file)
            assert await file.tell() == size
        assert await anyio.Path(local).read_bytes() == data


async def test_a_web_service_streams_both_ways(fs: pyxet.AsyncXetFileSystem, main: str) -> None:
    data = content(9, 6 * MIB)

    async def handle(request: web.Request) -> web.StreamResponse:
        if request.method == "PUT":
            await fs._put_file(request.content, f"{main}/a.bin")
            return web.Response()
        response = web.StreamResponse()
        await response.prepare(request)
        await fs._get_file(f"{main}/a.bin", response)
        await response.write_eof()
        return response

    async with served(handle) as url, aiohttp.ClientSession() as session:
        async with session.put(url, data=io.BytesIO(data)) as answer:
            assert answer.status == 200
        async with session.get(url) as answer:
            assert await answer.read() == data


async def test_streams_of_asyncio_are_written_to_and_waited_for(fs: pyxet.AsyncXetFileSystem, main: str) -> None:
    data = content(10, 6 * MIB)
    await fs._pipe_file(f"{main}/a.bin", data)
    received: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def receive(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.set_result(await reader.read())
        writer.close()

    server = await asyncio.start_server(receive, "127.0.0.1", 0)
    async with server:
        _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        await fs._get_file(f"{main}/a.bin", writer)
        writer.close()
        assert await received == data


async def test_files_are_used_from_where_they_stand_and_stay_open(
    fs: pyxet.AsyncXetFileSystem, main: str, tmp_path: Path
) -> None:
    local = tmp_path / "local"
    await anyio.Path(local).write_bytes(b"head and content")
    async with aiofiles.open(local, "r+b") as file:
        await file.seek(5)
        await fs._put_file(file, f"{main}/a.txt")
        assert await file.tell() == 16
        await file.seek(4)
        await fs._get_file(f"{main}/a.txt", file)
        await file.write(b"!")
    assert await anyio.Path(local).read_bytes() == b"headand content!"
    assert await fs._cat_file(f"{main}/a.txt") == b"and content"


async def test_guards_and_modes_count(fs: pyxet.AsyncXetFileSystem, main: str) -> None:
    await fs._pipe_file(f"{main}/a.txt", b"first")
    version = (await fs._info(f"{main}/a.txt"))["blob_id"]
    with pytest.raises(pyxet.AlreadyExistsError):
        await fs._put_file(Pieces(b"second", 3), f"{main}/a.txt", mode="create")
    with pytest.raises(pyxet.ConflictError):
        await fs._pipe_file(f"{main}/a.txt", Pieces(b"second", 3), if_match="0" * 40)
    await fs._put_file(Pieces(b"second", 3), f"{main}/a.txt", if_match=version, message="by version")
    assert await fs._cat_file(f"{main}/a.txt") == b"second"
    assert (await fs._log(main))[0].message == "by version"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", ["aiofiles", "generator"])
async def test_blocking_calls_say_that_they_cannot_use_them(
    xet: pyxet.XetFS, main: str, tmp_path: Path, kind: str, way: str
) -> None:
    method = way.partition(" ")[0]
    async with AsyncExitStack() as stack:
        source = await source_of(kind, b"content", tmp_path, stack)
        calls: dict[str, tuple[Any, ...]] = {
            "put_file": (source, f"{main}/a"),
            "put": ([source], [f"{main}/a"]),
            "pipe_file": (f"{main}/a", source),
            "pipe": ({f"{main}/a": source},),
        }
        with pytest.raises(TypeError, match=r"blocking call cannot use this .* await"):
            await asyncio.to_thread(getattr(xet, method), *calls[method])
        with pytest.raises(TypeError, match="blocking call"):
            await asyncio.to_thread(xet.stage, source, f"{main}/a")
        with pytest.raises(TypeError, match="blocking call"):
            await asyncio.to_thread(xet.stage_many, {f"{main}/a": source})
        for get in (xet.get_file, xet.get):
            # It is refused before anything is looked for.
            with pytest.raises(TypeError, match="blocking call" if kind == "aiofiles" else "blocking call|written to"):
                await asyncio.to_thread(get, f"{main}/missing", source)
    assert await asyncio.to_thread(xet.find, main) == []


async def test_one_source_cannot_be_two_files(
    fs: pyxet.AsyncXetFileSystem, xet: pyxet.XetFS, main: str, tmp_path: Path
) -> None:
    source = Pieces(b"content", 3)
    with pytest.raises(ValueError, match="given for two files"):
        await fs._put([source, source], [f"{main}/a", f"{main}/b"])
    with pytest.raises(ValueError, match="given for two files"):
        await fs._pipe({f"{main}/a": source, f"{main}/b": source})
    with pytest.raises(ValueError, match="given for two files"):
        await fs._stage_many({f"{main}/a": source, f"{main}/b": source})
    blocking = io.BytesIO(b"content")
    with pytest.raises(ValueError, match="given for two files"):
        await asyncio.to_thread(xet.put, [blocking, blocking], [f"{main}/a", f"{main}/b"])
    assert await fs._find(main) == []


async def test_what_cannot_be_read_in_pieces_is_refused(fs: pyxet.AsyncXetFileSystem, main: str) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=b"content")

    async with served(answer) as url, aiohttp.ClientSession() as session, session.get(url) as found:
        with pytest.raises(TypeError, match="ClientResponse takes no size"):
            await fs._put_file(found, f"{main}/a.bin")
        await fs._put_file(found.content, f"{main}/a.bin")
    assert await fs._cat_file(f"{main}/a.bin") == b"content"

    class Sink:
        async def write(self, data: bytes) -> None: ...

    with pytest.raises(TypeError, match="not read from"):
        await fs._put_file(Sink(), f"{main}/b.bin")
    with pytest.raises(TypeError, match="cannot be written to"):
        await fs._get_file(f"{main}/a.bin", Pieces(b"", 1))
