"""The local endpoint as ``xet serve`` runs it, in a process of its own, with counters: ``local_server.py ROOT TOKEN``.

The first line of standard output is its URL; it ends when its standard input does.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

from aiohttp import web
from counting import add_control

from pyxet.server import running
from pyxet.server.app import create_app


async def serve(root: Path, token: str) -> None:
    """Serve until standard input ends."""

    def counted(*arguments: Any, **options: Any) -> web.Application:
        app = create_app(*arguments, **options)
        add_control(app)
        return app

    # Everything else is as in the package, including the settings of the runner.
    vars(running)["create_app"] = counted
    runner = await running.start(root, user="bench", token=token, address=("127.0.0.1", 0))
    print(running.origin(runner), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), sys.argv[2]))
