"""``xet serve``: the local endpoint as a process of its own."""

from __future__ import annotations

import asyncio
import os
import secrets
import shlex
import signal
import sys
from pathlib import Path

import click

from pyxet._platform import signals_to
from pyxet.cli.command import command
from pyxet.cli.session import Session
from pyxet.local import server


@command(
    "serve",
    json=True,
    connects=False,
    examples=["xet serve --root ./store --user acme", "xet serve --root ./store --port 0 --token secret"],
)
@click.option("--root", metavar="DIR", required=True, help="Directory of repositories and content.")
@click.option("--host", metavar="HOST", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    metavar="PORT",
    default=8787,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="Port; 0 takes a free one.",
)
@click.option(
    "--user",
    metavar="USER",
    default="local",
    show_default=True,
    envvar="XET_USER_NAME",
    help="User who may do everything.",
)
@click.option("--token", metavar="TOKEN", envvar="XET_USER_TOKEN", help="That user's token; a random one if not given.")
@click.option(
    "--anonymous/--no-anonymous",
    default=True,
    show_default=True,
    help="Whether those without a token read the public repositories.",
)
def serve(
    session: Session, root: str, host: str, port: int, user: str, token: str | None, anonymous: bool
) -> None:  # fmt: skip
    """It runs until it is interrupted, or told to end by SIGTERM. The directory is made if it is not there. Its first
    lines say where it listens and how to try it; with --json one line of JSON does.
    """
    token = token or f"xet_{secrets.token_hex(16)}"
    # This process makes nothing but the store, which is for its user only.
    before = os.umask(0o077)
    try:
        asyncio.run(_serve(session, Path(root).absolute(), (host, port), user, token, anonymous))
    finally:
        os.umask(before)


async def _serve(
    session: Session, root: Path, address: tuple[str, int], user: str, token: str, anonymous: bool
) -> None:  # fmt: skip
    stop = asyncio.Event()
    with signals_to(asyncio.get_running_loop(), stop.set, signal.SIGINT, signal.SIGTERM):
        await _serve_until(stop, session, root, address, user, token, anonymous)


async def _serve_until(
    stop: asyncio.Event,
    session: Session,
    root: Path,
    address: tuple[str, int],
    user: str,
    token: str,
    anonymous: bool,
) -> None:
    running = server()
    runner = await running.start(root, user=user, token=token, address=address, anonymous=anonymous)
    try:
        url = running.origin(runner)
        if session.json:
            session.data({"root": str(root), "url": url, "user": user, "token": token})
        else:
            session.line(f"serving {root} at {url} for user {user} with token {token}")
            session.line(f"try it: XET_ENDPOINT={url} XET_USER_TOKEN={shlex.quote(token)} xet repo make {user}/hello")
        sys.stdout.flush()
        await stop.wait()
    finally:
        await running.stop(runner)
