"""Asynchronous files and iterators as sources and targets, wherever a blocking file is one."""

from __future__ import annotations

import asyncio
import io
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiofiles
import aiohttp
import anyio
import pytest
from aiohttp import web
from support.cancelling import WAYS as CANCELLED
from support.cancelling import Way
from support.contents import content
from support.faults import UPLOAD, FaultProxy, gated
from support.proxied import asynchronous
from support.settled import check_budgets

import pyxet
from pyxet._async.runtime.budget import WRITE_MEMORY
from pyxet.testing import LocalEndpoint

MIB = 1024 * 1024
# In the commit, and content of its own.
SIZES = pytest.mark.parametrize("size", [0, 1000, 5 * MIB + 17])


class Upload:
    """What web frameworks give of a form's file: it has no ``tell``, and a library of theirs reads for it."""

    def __init__(self, data: bytes) -> None:
        self.file = io.BytesIO(data)

    async def read(self, size: int = -1) -> bytes:
        return await asyncio.to_thread(self.file.read, size)

    async def write(self, data: bytes) -> None:
        self.file.write(data)


class Pieces:
    """An iterator that is no generator."""

    def __init__(self, data: bytes, size: int) -> None:
        self.left, self.size = memoryview(data), size

    def __aiter__(self) -> Pieces:
        return self

    async def __anext__(self) -> memoryview:
        if not self.left:
            raise StopAsyncIteration
        piece, self.left = self.left[: self.size], self.left[self.size :]
        return piece


@asynccontextmanager
async def served(handle: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[str]:
    """A web service, as users write them."""
    app = web.Application(client_max_size=0)
    app.router.add_route("*", "/", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


async def source_of(kind: str, data: bytes, folder: Path, stack: AsyncExitStack) -> Any:
    """The content as an asynchronous source of some kind."""
    local = folder / f"source of {kind}"
    await anyio.Path(local).write_bytes(data)
    if kind == "aiofiles":
        return await stack.enter_async_context(aiofiles.open(local, "rb"))
    if kind == "aiofiles without a buffer":
        return await stack.enter_async_context(aiofiles.open(local, "rb", buffering=0))
    if kind == "anyio":
        return await stack.enter_async_context(await anyio.open_file(local, "rb"))
    if kind == "upload of a form":
        return Upload(data)
    if kind == "stream of asyncio":
        reader = asyncio.StreamReader()
        reader.feed_data(data)
        reader.feed_eof()
        return reader
    if kind == "answer of aiohttp":

        async def answer(request: web.Request) -> web.Response:
            return web.Response(body=data)

        url = await stack.enter_async_context(served(answer))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        return (await stack.enter_async_context(session.get(url))).content
    if kind == "iterator":
        return Pieces(data, 70_001)

    async def generate() -> AsyncIterator[bytes]:
        yield b""
        for at in range(0, len(data), MIB):
            await asyncio.sleep(0)
            yield data[at : at + MIB]
        yield b""

    return generate()


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


WAYS: dict[str, Callable[[pyxet.AsyncXetFileSystem, Any, str], Awaitable[object]]] = {
    "put_file": lambda fs, source, path: fs._put_file(source, path),
    "put": lambda fs, source, path: fs._put(source, path),
    "put of several": lambda fs, source, path: fs._put([source, Pieces(b"other", 2)], [path, f"{path}.other"]),
    "pipe_file": lambda fs, source, path: fs._pipe_file(path, source),
    "pipe": lambda fs, source, path: fs._pipe({path: source, f"{path}.other": b"other"}),
}


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


class Failing:
    """Fails after some pieces, and says whether anybody ended it."""

    def __init__(self, then: Callable[[], bytes | None]) -> None:
        self.ended = False
        self.then = then

    async def pieces(self) -> AsyncIterator[Any]:
        try:
            for _ in range(4):
                yield os.urandom(MIB)
            yield self.then()
            yield b"never asked for"
        finally:
            self.ended = True

    def file(self) -> Any:
        source, pieces = self, self.pieces()

        class File:
            async def read(self, size: int) -> Any:
                piece = await anext(pieces)
                source.ended = source.ended or not isinstance(piece, bytes)
                return piece

        return File()


def broken() -> bytes:
    raise OSError("the disk is on fire")


@pytest.mark.parametrize("as_file", [True, False])
@pytest.mark.parametrize(
    ("then", "error", "words"),
    [
        (broken, OSError, "on fire"),
        (lambda: "text", TypeError, "encode it"),
        (lambda: 5, TypeError, "not int"),
        (lambda: [1], TypeError, "not list"),
        (lambda: None, (BlockingIOError, TypeError), "does not wait|NoneType"),
    ],
)
async def test_a_source_that_fails_publishes_nothing_and_leaves_nothing(
    fs: pyxet.AsyncXetFileSystem, main: str, as_file: bool, then: Any, error: Any, words: str
) -> None:
    await fs._pipe_file(f"{main}/there", b"there")
    for call in WAYS.values():
        source = Failing(then)
        with pytest.raises(error, match=words):
            await call(fs, source.file() if as_file else source.pieces(), f"{main}/a.bin")
        assert source.ended
    assert await fs._ls(main, detail=False) == [f"{main}/there"]
    check_budgets()
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_file_that_is_closed_under_way_fails_the_upload(
    fs: pyxet.AsyncXetFileSystem, main: str, tmp_path: Path
) -> None:
    await fs._pipe_file(f"{main}/there", b"there")
    local = tmp_path / "local"
    await anyio.Path(local).write_bytes(os.urandom(7 * MIB))
    file = await aiofiles.open(local, "rb")

    class Closing:
        async def read(self, size: int) -> bytes:
            data: bytes = await file.read(size)
            await file.close()
            return data

    with pytest.raises(ValueError, match="closed file"):
        await fs._put_file(Closing(), f"{main}/a.bin")
    assert await fs._ls(main, detail=False) == [f"{main}/there"]


async def test_an_answer_that_breaks_off_is_no_whole_file(fs: pyxet.AsyncXetFileSystem, main: str) -> None:
    await fs._pipe_file(f"{main}/there", b"there")

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": str(8 * MIB)})
        await response.prepare(request)
        await response.write(os.urandom(3 * MIB))
        assert request.transport is not None
        request.transport.close()
        return response

    async with served(answer) as url, aiohttp.ClientSession() as session, session.get(url) as found:
        with pytest.raises(aiohttp.ClientError):
            await fs._put_file(found.content, f"{main}/a.bin")
    assert await fs._ls(main, detail=False) == [f"{main}/there"]


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


async def test_an_endless_source_waits_for_what_it_gave(shared_endpoint: LocalEndpoint, main: str) -> None:
    memory = 16 * MIB
    most = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal most
        while True:
            yield os.urandom(MIB)
            most = max(most, WRITE_MEMORY.in_use)

    with FaultProxy(shared_endpoint.url) as proxy:
        async with asynchronous(shared_endpoint, proxy, limits=pyxet.Limits(memory=memory)) as fs:
            proxy.rule(UPLOAD, gated())
            task = asyncio.create_task(fs._put_file(endless(), f"{main}/a.bin"))
            await proxy.arrival()
            # Everything stands now: nothing that was given has been taken off.
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
    # Half of it is for writing, and a run that is granted while nothing else is in flight comes on top.
    assert MIB < most <= memory // 2 + 4 * MIB
    check_budgets()


@CANCELLED
@pytest.mark.parametrize("in_transaction", [False, True])
async def test_an_upload_that_is_cancelled_while_its_source_has_nothing_ends_the_source(
    fs: pyxet.AsyncXetFileSystem, main: str, way: Way, in_transaction: bool
) -> None:
    await fs._pipe_file(f"{main}/there", b"there")
    waits = asyncio.Event()
    ended: list[str] = []

    async def pieces() -> AsyncIterator[bytes]:
        try:
            yield os.urandom(3 * MIB)
            waits.set()
            await asyncio.Event().wait()
        finally:
            ended.append("iterator")

    async def upload() -> None:
        if not in_transaction:
            await fs._put_file(pieces(), f"{main}/a.bin")
            return
        async with fs.transaction:
            await fs._put_file(pieces(), f"{main}/a.bin")

    await way(upload(), waits.wait)
    assert ended == ["iterator"]
    assert await fs._ls(main, detail=False) == [f"{main}/there"]
    check_budgets()


@CANCELLED
async def test_a_call_that_is_cancelled_while_the_other_loop_reads_ends_the_source(
    xet: pyxet.XetFS, main: str, way: Way
) -> None:
    waits = asyncio.Event()
    ended: list[str] = []

    async def pieces() -> AsyncIterator[bytes]:
        try:
            yield os.urandom(3 * MIB)
            waits.set()
            await asyncio.Event().wait()
        finally:
            ended.append("iterator")

    with xet.transaction as tr:
        await way(tr.fs._put_file(pieces(), f"{main}/a.bin"), waits.wait)
        assert ended == ["iterator"]
        await tr.fs._pipe_file(f"{main}/there", b"there")
    assert await asyncio.to_thread(xet.ls, main, detail=False) == [f"{main}/there"]
    check_budgets()


async def test_an_iterator_that_gives_nothing_for_ever_can_be_cancelled(
    fs: pyxet.AsyncXetFileSystem, main: str
) -> None:
    async def nothing() -> AsyncIterator[bytes]:
        while True:
            yield b""

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await fs._put_file(nothing(), f"{main}/a.bin")
    check_budgets()


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
    with pytest.raises(BlockingIOError, match="takes no more"):
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


@CANCELLED
async def test_a_download_of_pending_content_that_is_cancelled_leaves_nothing(
    shared_endpoint: LocalEndpoint, main: str, tmp_path: Path, way: Way
) -> None:
    data = os.urandom(3 * MIB)  # the endpoint has none of it yet
    with FaultProxy(shared_endpoint.url) as proxy:
        async with asynchronous(shared_endpoint, proxy) as fs, fs.transaction:
            await fs._pipe_file(f"{main}/a.bin", data)
            rule = proxy.rule(UPLOAD, gated())
            await way(fs._get_file(f"{main}/a.bin", str(tmp_path / "new" / "a.bin")), proxy.arrival)
            assert [*(tmp_path / "new").iterdir()] == []
            proxy.open_gate()
            assert rule.used == 1
            await fs._get_file(f"{main}/a.bin", str(tmp_path / "new" / "a.bin"))
            assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.bin"]
            assert await anyio.Path(tmp_path / "new" / "a.bin").read_bytes() == data
