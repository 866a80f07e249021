"""Requests with aiohttp alone, at the least cost: the client of the rows that measure servers."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

import aiohttp

Job = dict[str, Any]
_AT_ONCE = 32


class Bare:
    """One method for each action."""

    def __init__(self) -> None:
        self._xorbs: list[tuple[str, dict[str, str]]] = []

    def warm(self, job: Job) -> None:
        if job["action"] == "start":
            # The first run reads the imported files from disk, and writes their bytecode where it can.
            subprocess.run([sys.executable, "-c", job["code"]], check=True)
        elif job["action"] == "get_xorbs":
            self._run(job, lambda session: self._find_xorbs(session, job))

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

    def get_short(self, job: Job) -> dict[str, float]:
        """Read short ranges of one xorb; the job says how many at once."""

        async def receive(session: aiohttp.ClientSession) -> None:
            async def one(item: tuple[str, int, int]) -> None:
                # The position is taken modulo the size of the xorb, which is shorter than the file.
                start = item[1] % (1 << 20)
                span = f"{start}-{start + job['size'] - 1}"
                url = f"/xorbs/{job['xorb']}?ranges={span}"
                async with session.get(url, headers={"Range": f"bytes={span}"}) as answer:
                    answer.raise_for_status()
                    assert len(await answer.read()) == job["size"]

            await _each(one, job["ranges"], job["tasks"])

        began = time.perf_counter()
        self._run(job, receive)
        return {"a second": len(job["ranges"]) / (time.perf_counter() - began)}

    def start(self, job: Job) -> dict[str, float]:
        """Run some code in fresh interpreters, and return their CPU time."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        for _ in range(job["times"]):
            subprocess.run([sys.executable, "-c", job["code"]], check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return {"cpu": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime}

    def _run(self, job: Job, work: Callable[[aiohttp.ClientSession], Awaitable[None]]) -> None:
        async def run() -> None:
            headers = {"Authorization": f"Bearer {job['token']}"}
            async with aiohttp.ClientSession(
                job["url"], headers=headers, read_bufsize=1 << 20, connector=aiohttp.TCPConnector(limit=_AT_ONCE)
            ) as session:
                await work(session)

        asyncio.run(run())


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


async def _pieces(file: Any) -> AsyncIterator[bytes]:
    while piece := file.read(1 << 20):
        yield piece
