"""The ceilings: bare loops that do only what must be done, with aiohttp and the hash functions, and nothing else.

They do not retry, check answers, bound memory with care or report progress, so no client can be much faster in Python.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import aiohttp
from warming import import_pandas

from pyxet.protocol.chunking import chunk_ends
from pyxet.protocol.hashing import chunk_hash, chunk_hashes, file_hash, hash_to_hex, term_hash
from pyxet.protocol.shard import FileEntry, ShardChunk, Term, XorbEntry, write_upload_shard
from pyxet.protocol.xorb import ChunkDecoder, Xorb, XorbBuilder, encode_chunk, encode_chunks

Job = dict[str, Any]
_RUN = 2 * 1024 * 1024
_XORB = 60 * 1024 * 1024
_AT_ONCE = 32


class Bare:
    """One method for each action."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(8)
        self._xorbs: list[tuple[str, dict[str, str]]] = []

    def warm(self, job: Job) -> None:
        if job["warm"] == "pandas":
            import_pandas(job)
        elif job["action"] == "get_xorbs":
            self._run(job, lambda session: self._find_xorbs(session, job))

    def upload(self, job: Job) -> None:
        """Read, chunk, hash, compress where that is worth it, SHA-256, send; one file or several at once."""

        async def all_files(session: aiohttp.ClientSession) -> None:
            await asyncio.gather(*(self._upload_file(session, job, Path(path)) for path in job["paths"]))

        self._run(job, all_files)

    async def _upload_file(self, session: aiohttp.ClientSession, job: Job, path: Path) -> None:
        queue: asyncio.Queue[list[bytes] | None] = asyncio.Queue(2)

        async def produce() -> None:
            sha256 = hashlib.sha256()
            with path.open("rb", buffering=0) as file:
                reading, hashing = self._thread(file.read, _RUN), self._thread(sha256.update, b"")
                while data := await reading:
                    reading = self._thread(file.read, _RUN)
                    # SHA-256 is serial, but the rest need not wait for it.
                    await hashing
                    hashing = self._thread(sha256.update, data)
                    await queue.put(await self._thread(_encoded, data, job["compress"]))
                await hashing
            await queue.put(None)

        producer = asyncio.create_task(produce())
        ended = False

        async def body() -> AsyncIterator[bytes]:
            nonlocal ended
            size = 0
            while size < _XORB:
                parts = await queue.get()
                if parts is None:
                    ended = True
                    return
                for part in parts:
                    size += len(part)
                    yield part

        number = 0
        while not ended:
            number += 1
            async with session.post(f"{job['url']}/v1/xorbs/default/{number:064x}", data=body()) as answer:
                await answer.read()
        await producer

    def upload_folder(self, job: Job) -> None:
        """Read, hash, and send small files as xorbs, one shard and one commit."""
        names = sorted(path for path in Path(job["folder"]).rglob("*") if path.is_file())

        def pack() -> tuple[list[Xorb], list[FileEntry], list[bytes]]:
            builders = [XorbBuilder()]
            placed, lines = [], [_line("header", summary="upload", description="")]
            for path in names:
                data = path.read_bytes()
                value, sha256 = chunk_hash(data), hashlib.sha256(data).hexdigest()
                chunk = encode_chunk(data, value)
                if not builders[-1].fits(chunk.size):
                    builders.append(XorbBuilder())
                placed.append((value, len(data), len(builders) - 1, builders[-1].add(chunk), sha256))
                name = f"up/{path.relative_to(job['folder'])}"
                lines.append(_line("lfsFile", path=name, algo="sha256", oid=sha256, size=len(data)))
            xorbs = [builder.build() for builder in builders]
            entries = [
                FileEntry(
                    file_hash([(value, size)]),
                    (Term(xorbs[xorb].info.hash, index, index + 1, size),),
                    (term_hash([value]),),
                    sha256,
                )
                for value, size, xorb, index, sha256 in placed
            ]
            return xorbs, entries, lines

        async def send(session: aiohttp.ClientSession) -> None:
            async with session.get(f"/api/models/{job['repo']}/xet-write-token/main") as answer:
                token = (await answer.json())["accessToken"]
            headers = {"Authorization": f"Bearer {token}"}
            xorbs, entries, lines = await self._thread(pack)
            for xorb in xorbs:
                sized = headers | {"Content-Length": str(xorb.info.size)}
                name = hash_to_hex(xorb.info.hash)
                await _post(session, f"/v1/xorbs/default/{name}", _slices(xorb.slices, 1 << 20), sized)
            listed = [
                XorbEntry(item.info.hash, tuple(ShardChunk(chunk.hash, chunk.raw_length) for chunk in item.info.chunks))
                for item in xorbs
            ]
            await _post(session, "/v1/shards", write_upload_shard(entries, listed), headers)
            await _post(session, f"/api/models/{job['repo']}/commit/main", b"".join(lines), {})

        self._run(job, send)

    def download(self, job: Job) -> None:
        """Receive, decode, hash, write."""
        with open(f"{job['out']}/bare", "wb", buffering=0) as file:
            self._run(job, lambda session: self._receive(session, job, file.write))

    def read(self, job: Job) -> None:
        """Receive, decode, hash, keep."""
        found: list[bytes] = []

        def keep(data: bytes) -> None:
            found.append(data)

        self._run(job, lambda session: self._receive(session, job, keep))
        assert len(b"".join(found)) == job["size"]

    def stream(self, job: Job) -> None:
        """Receive, decode, hash, drop."""
        self._run(job, lambda session: self._receive(session, job, lambda _: None))

    async def _receive(self, session: aiohttp.ClientSession, job: Job, take: Callable[[bytes], object]) -> None:
        decoding: asyncio.Future[None] | None = None
        for url, span in await _plan(session, job["hashes"][job["path"]], 0, job["size"]):
            decoder = ChunkDecoder()
            async with session.get(url, headers={"Range": f"bytes={span}"}) as answer:
                parts: list[bytes] = []
                size = 0
                async for piece in answer.content.iter_any():
                    parts.append(piece)
                    size += len(piece)
                    if size >= _RUN:
                        if decoding:
                            await decoding
                        decoding = self._thread(_decoded, decoder, parts, take)
                        parts, size = [], 0
                if decoding:
                    await decoding
                decoding = self._thread(_decoded, decoder, parts, take)
        if decoding:
            await decoding

    def ranges(self, job: Job) -> None:
        """A plan and a fetch for each range, many at once."""

        async def one(session: aiohttp.ClientSession, item: tuple[str, int, int]) -> None:
            path, start, end = item
            await self._range(session, job["hashes"][path], start, end)

        self._run(job, lambda session: _each(lambda item: one(session, item), job["ranges"]))

    def read_many(self, job: Job) -> None:
        """A plan and a fetch for each file, many at once."""
        self._run(
            job,
            lambda session: _each(
                lambda path: self._range(session, job["hashes"][path], 0, job["size"]), job["paths"]
            ),
        )  # fmt: skip

    async def _range(self, session: aiohttp.ClientSession, name: str, start: int, end: int) -> None:
        for url, span in await _plan(session, name, start, end):
            async with session.get(url, headers={"Range": f"bytes={span}"}) as answer:
                for chunk in ChunkDecoder().feed(await answer.read()):
                    chunk_hash(chunk.data)

    def find(self, job: Job) -> None:
        """All pages of the tree."""

        async def pages(session: aiohttp.ClientSession) -> None:
            url: str | None = f"{job['url']}/api/models/{job['repo']}/tree/main?recursive=true"
            while url:
                async with session.get(url) as answer:
                    json.loads(await answer.read())
                    following = answer.links.get("next")
                    url = str(following["url"]) if following else None

        self._run(job, pages)

    def parquet(self, job: Job) -> None:
        """The local file, without any network."""
        import pandas as pd

        pd.read_parquet(job["local"], columns=job["columns"])

    def post_xorbs(self, job: Job) -> None:
        """Send xorbs, two at a time."""

        async def send(session: aiohttp.ClientSession) -> None:
            async with session.get(f"/api/models/{job['repo']}/xet-write-token/main") as answer:
                headers = {"Authorization": f"Bearer {(await answer.json())['accessToken']}"}

            async def one(path: str) -> None:
                with open(path, "rb", buffering=0) as file:
                    size = str(os.fstat(file.fileno()).st_size)
                    await _post(
                        session,
                        f"/v1/xorbs/default/{Path(path).name}",
                        _pieces(file),
                        headers | {"Content-Length": size},
                    )

            await _each(one, job["paths"], 2)

        self._run(job, send)

    async def _find_xorbs(self, session: aiohttp.ClientSession, job: Job) -> None:
        if "static" in job:
            base = job["static"] or f"{job['url']}/static"
            self._xorbs = [(f"{base}/{name}", {}) for name in job["xorbs"]]
            return
        async with session.get(f"/api/models/{job['repo']}/xet-read-token/main") as answer:
            session.headers["Authorization"] = f"Bearer {(await answer.json())['accessToken']}"
        plan = await _plan(session, job["hashes"][job["path"]], 0, job["size"])
        self._xorbs = [(url, {"Range": f"bytes={span}"}) for url, span in plan]

    def get_xorbs(self, job: Job) -> None:
        """Receive xorbs, two at a time, and drop them."""

        async def receive(session: aiohttp.ClientSession) -> None:
            async def one(item: tuple[str, dict[str, str]]) -> None:
                async with session.get(item[0], headers=item[1]) as answer:
                    answer.raise_for_status()
                    async for _ in answer.content.iter_any():
                        pass

            await _each(one, self._xorbs, 2)

        self._run(job, receive)

    def _run(self, job: Job, work: Callable[[aiohttp.ClientSession], Awaitable[None]]) -> None:
        async def run() -> None:
            headers = {"Authorization": f"Bearer {job['token']}"}
            async with aiohttp.ClientSession(
                job["url"], headers=headers, read_bufsize=1 << 20, connector=aiohttp.TCPConnector(limit=_AT_ONCE)
            ) as session:
                await work(session)

        asyncio.run(run())

    def _thread(self, function: Callable[..., Any], *arguments: Any) -> asyncio.Future[Any]:
        return asyncio.get_running_loop().run_in_executor(self._pool, function, *arguments)


async def _each(one: Callable[[Any], Awaitable[None]], items: Iterable[Any], at_once: int = _AT_ONCE) -> None:
    gate = asyncio.Semaphore(at_once)

    async def guarded(item: Any) -> None:
        async with gate:
            await one(item)

    await asyncio.gather(*map(guarded, items))


async def _plan(session: aiohttp.ClientSession, name: str, start: int, end: int) -> list[tuple[str, str]]:
    """URLs and byte ranges, in the order of the terms."""
    async with session.get(f"/v2/reconstructions/{name}", headers={"Range": f"bytes={start}-{end - 1}"}) as answer:
        plan = json.loads(await answer.read())
    order = dict.fromkeys(term["hash"] for term in plan["terms"])
    return [
        (fetch["url"], f"{part['bytes']['start']}-{part['bytes']['end']}")
        for xorb in order
        for fetch in plan["xorbs"][xorb]
        for part in fetch["ranges"]
    ]


async def _post(session: aiohttp.ClientSession, url: str, body: Any, headers: dict[str, str]) -> None:
    async with session.post(url, data=body, headers=headers) as answer:
        answer.raise_for_status()
        await answer.read()


async def _slices(slices: Iterable[Any], size: int) -> AsyncIterator[bytes]:
    data = memoryview(b"".join(slices))
    for at in range(0, len(data), size):
        yield bytes(data[at : at + size])


async def _pieces(file: Any) -> AsyncIterator[bytes]:
    while piece := file.read(1 << 20):
        yield piece


def _line(key: str, **value: Any) -> bytes:
    return json.dumps({"key": key, "value": value}).encode() + b"\n"


def _encoded(data: bytes, compress: bool) -> list[bytes]:
    """A run as it is sent: cut into chunks as if it were a file, hashed, and compressed where that is worth it."""
    ends = chunk_ends(data)
    values = chunk_hashes(data, ends)
    if not compress:
        return [data]
    view = memoryview(data)
    pieces = (view[start:end] for start, end in pairwise([0, *ends]))
    return [bytes(encode_chunks(zip(values, pieces, strict=True))[0].block.memory)]


def _decoded(decoder: ChunkDecoder, parts: list[bytes], take: Callable[[bytes], object]) -> None:
    chunks = decoder.feed(b"".join(parts))
    for chunk in chunks:
        chunk_hash(chunk.data)
    if chunks:
        take(b"".join(chunk.data for chunk in chunks))
