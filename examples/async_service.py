"""A web service that answers from a Xet repository: records are byte ranges of one large file.

    python examples/async_service.py [--clients 200]

Each request awaits ``fs._cat_file(path, start, end)``; the event loop never blocks, and pyxet bounds what is in flight.
The example brings its own endpoint and data, starts the service on a free port, asks it with many clients at once,
checks every answer, and stops.
"""

from __future__ import annotations

import argparse
import asyncio
import random

from aiohttp import ClientSession, web

import pyxet
from pyxet.testing import local_endpoint

PATH = "acme/records/main/records.bin"
RECORD = 4096
RECORDS = 5000
FILE_SYSTEM = web.AppKey("file_system", pyxet.AsyncXetFileSystem)


async def get_record(request: web.Request) -> web.Response:
    """``GET /records/17``: the 4 KiB of record 17, or 404."""
    number = int(request.match_info["number"])
    if number >= RECORDS:
        raise web.HTTPNotFound(text=f"there are {RECORDS} records")
    fs = request.app[FILE_SYSTEM]
    data = await fs._cat_file(PATH, number * RECORD, (number + 1) * RECORD)
    return web.Response(body=data, content_type="application/octet-stream")


def make_app(fs: pyxet.AsyncXetFileSystem) -> web.Application:
    app = web.Application()
    app[FILE_SYSTEM] = fs
    app.router.add_get(r"/records/{number:\d+}", get_record)
    return app


async def ask(url: str, content: bytes, clients: int) -> int:
    """Many clients at once, each asking for a few random records; returns the number of right answers."""

    async def client(session: ClientSession, seed: int) -> int:
        right = 0
        for number in random.Random(seed).sample(range(RECORDS), 5):
            async with session.get(f"{url}/records/{number}") as answer:
                right += await answer.read() == content[number * RECORD : (number + 1) * RECORD]
        return right

    async with ClientSession() as session, asyncio.TaskGroup() as group:
        tasks = [group.create_task(client(session, seed)) for seed in range(clients)]
    return sum(task.result() for task in tasks)


async def main(clients: int) -> None:
    content = random.Random(0).randbytes(RECORD * RECORDS)
    async with local_endpoint() as endpoint:
        fs = pyxet.AsyncXetFileSystem(
            endpoint=endpoint.url, user=endpoint.user, token=endpoint.token, asynchronous=True
        )
        async with fs:
            await fs._make_repo("acme/records")
            await fs._pipe_file(PATH, content)
            runner = web.AppRunner(make_app(fs))
            await runner.setup()
            try:
                site = web.TCPSite(runner, "127.0.0.1", 0)
                await site.start()
                host, port = runner.addresses[0][:2]
                right = await ask(f"http://{host}:{port}", content, clients)
            finally:
                await runner.cleanup()
    print(f"{clients} clients at once: {right} of {clients * 5} answers right")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=200)
    asyncio.run(main(parser.parse_args().clients))
