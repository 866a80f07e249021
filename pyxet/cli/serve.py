"""``xet serve``: the local endpoint as a process of its own."""

from __future__ import annotations

import asyncio
import secrets
import signal
import sys
from pathlib import Path

import click

from pyxet.errors import ConfigError
from pyxet.local import server


def run(root: str, host: str, port: int, user: str, token: str | None) -> None:
    """Serve until SIGINT or SIGTERM; exit status 1 with one line where it cannot start."""
    try:
        asyncio.run(_serve(Path(root).absolute(), host, port, user, token or f"xet_{secrets.token_hex(16)}"))
    except ConfigError as error:
        click.echo(f"xet serve: {error}", err=True)
        sys.exit(1)


async def _serve(root: Path, host: str, port: int, user: str, token: str) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    running = server()
    runner = await running.start(root, user=user, token=token, address=(host, port))
    try:
        click.echo(f"serving {root} at {running.origin(runner)} for user {user} with token {token}")
        sys.stdout.flush()
        await stop.wait()
    finally:
        await running.stop(runner)
