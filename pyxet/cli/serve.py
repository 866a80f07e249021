"""``xet serve``: the local endpoint as a process of its own."""

from __future__ import annotations

import asyncio
import os
import secrets
import shlex
import signal
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import click

from pyxet._platform import ENDING_SIGNALS, signals_to
from pyxet.cli import candidates
from pyxet.cli.command import command
from pyxet.cli.session import Session
from pyxet.local import server

# Starts the server and returns its application runner. The type has no name here, as only this command imports the server.
Start = Callable[[], Awaitable[Any]]


@command(
    "serve",
    json=True,
    connects=False,
    has_commands=True,
    examples=[
        "xet serve --root ./store --user acme",
        "xet serve --root ./store --port 0 --token secret",
        "xet serve --root ./store --host 0.0.0.0 --allowed-host data.lan --tls-cert cert.pem --tls-key key.pem",
        "xet serve --root ./store --like-hub --hub api=200 --hub window=10",
    ],
)
@click.option(
    "--root",
    metavar="DIR",
    shell_complete=candidates.local_path,
    help="Directory of repositories and content.",
)
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
@click.option("--public-url", metavar="URL", help="Where clients reach it, if a proxy or another name is between.")
@click.option(
    "--allowed-host",
    "allowed_hosts",
    metavar="HOST",
    multiple=True,
    help="Name or address that clients may use for it, beside loopback ones. May be given several times.",
)
@click.option(
    "--tls-cert", metavar="FILE", shell_complete=candidates.local_path, help="Certificate (PEM): serve https."
)
@click.option("--tls-key", metavar="FILE", shell_complete=candidates.local_path, help="The certificate's key (PEM).")
@click.option(
    "--insecure", is_flag=True, help="Let other machines connect without TLS: anybody between reads the tokens."
)
@click.option("--like-hub", is_flag=True, help="Have the quotas, limits and time-outs of the Hub.")
@click.option(
    "--hub",
    "behaviour",
    metavar="NAME=VALUE",
    multiple=True,
    help="Like --like-hub, with one figure changed: api=200, window=5, commit-timeout=10 … May be given several times.",
)
@click.option(
    "--grants/--no-grants",
    default=True,
    show_default=True,
    help="Whether content is uploaded by grants, as on the Hub, or directly.",
)
def serve(
    session: Session,
    root: str | None,
    host: str,
    port: int,
    user: str,
    token: str | None,
    anonymous: bool,
    public_url: str | None,
    allowed_hosts: tuple[str, ...],
    tls_cert: str | None,
    tls_key: str | None,
    insecure: bool,
    like_hub: bool,
    behaviour: tuple[str, ...],
    grants: bool,
) -> None:
    """It runs until it is interrupted, or told to end by SIGTERM. The directory is made if it is not there. Its first
    lines say where it listens and how to try it; with --json one line of JSON does. Other users than the one who runs it
    are added by xet serve admin.
    """
    if click.get_current_context().invoked_subcommand is not None:
        return
    if root is None:
        raise click.UsageError("--root is missing: the directory to serve")
    if (tls_cert is None) != (tls_key is None):
        raise click.UsageError("--tls-cert and --tls-key go together")
    started = {"root": str(Path(root).absolute()), "user": user, "token": token or f"xet_{secrets.token_hex(16)}"}
    start = partial(
        server().start,
        Path(started["root"]),
        user=user,
        token=started["token"],
        address=(host, port),
        anonymous=anonymous,
        hosts=server().Hosts(public_url, allowed_hosts, host),
        tls=(tls_cert, tls_key) if tls_cert is not None else None,
        insecure=insecure,
        like_hub=server().HubBehaviour.parse(behaviour) if like_hub or behaviour else None,
        upload_grants=grants,
    )
    # All files that this process makes belong to the store, which only its user may read.
    before = os.umask(0o077)
    try:
        asyncio.run(_serve(session, start, started, public_url))
    finally:
        os.umask(before)


async def _serve(session: Session, start: Start, started: dict[str, str], public_url: str | None) -> None:
    stop = asyncio.Event()
    with signals_to(asyncio.get_running_loop(), stop.set, signal.SIGINT, *ENDING_SIGNALS):
        runner = await start()
        try:
            _tell(session, started | {"url": public_url or server().origin(runner)})
            await stop.wait()
        finally:
            await server().stop(runner)


def _tell(session: Session, started: dict[str, str]) -> None:
    """Write the first lines of output: where the endpoint listens, and how to try it."""
    if session.json:
        session.data({name: started[name] for name in ("root", "url", "user", "token")})
    else:
        root, url, user, token = (started[name] for name in ("root", "url", "user", "token"))
        session.line(f"serving {root} at {url} for user {user} with token {token}")
        session.line(f"try it: XET_ENDPOINT={url} XET_USER_TOKEN={shlex.quote(token)} xet repo make {user}/hello")
    sys.stdout.flush()


def _administration() -> None:
    """Add the group ``admin`` to this command."""
    from pyxet.cli import admin

    assert isinstance(serve, click.Group)
    serve.add_command(admin.admin)


_administration()
