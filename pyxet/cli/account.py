"""``xet login``, ``xet logout``, ``xet whoami``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from typing import Any

import click

import pyxet
from pyxet.cli.command import command
from pyxet.cli.session import CommandError, Session


def _host(context: click.Context, _: click.Parameter, value: str | None) -> str | None:
    if value == "" and not context.resilient_parsing:
        click.echo(context.get_help())
        context.exit()
    return value


def login_options(function: Callable[..., None]) -> Callable[..., None]:
    """Add the options that `log_in` takes to a command."""

    @click.option(
        "-u", "--user", metavar="USER", help="Name of the user; the one that the token belongs to if not given."
    )
    @click.option(
        "-t",
        "-p",
        "--token",
        metavar="TOKEN",
        help="Access token. Others can see it on the command line; better let yourself be asked.",
    )
    @click.option("-e", "--email", metavar="EMAIL", help="For those who know it from the first pyxet; it is not used.")
    @click.option(
        "-h",
        "--host",
        metavar="HOST",
        is_flag=False,
        flag_value="",
        callback=_host,
        help="Endpoint that the login is for; another name of --endpoint. Alone, -h is help.",
    )
    @click.option("-f", "--force", is_flag=True, help="Save it without asking the endpoint whether the token is good.")
    @click.option("--no-overwrite", is_flag=True, help="Fail if a login for the endpoint is saved already.")
    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> None:
        function(*args, **kwargs)

    return call


@command(
    "login",
    token=False,
    examples=[
        "xet login -u acme",
        "xet login -u acme -e me@acme.example -t xet_0123 --host hub.acme.example",
        "xet login --host localhost:8787 < token.txt",
    ],
)
@login_options
def login(session: Session, **options: Any) -> None:
    """The token is asked for where it is not given, without showing what is typed; where standard input is no
    terminal, its first line is the token. The file that the login is saved in can be read by its owner only. A login
    is used for its endpoint and for no other.
    """
    log_in(session, **options)


def log_in(
    session: Session,
    *,
    user: str | None,
    token: str | None,
    email: str | None,
    host: str | None,
    force: bool,
    no_overwrite: bool,
) -> str:
    """Save a login for an endpoint, and return the endpoint.

    Unless ``force`` is set, the endpoint is first asked for the token's user.
    """
    endpoint = _endpoint(session, host)
    if force and not user:
        raise click.UsageError("--force needs the user: -u NAME")
    default: str = pyxet.XetFS(token="").endpoint
    token = token or session.token or _asked(user, endpoint)
    if not force:
        user = _checked(endpoint, user, token)
    pyxet.login(user or "", token, email, endpoint, save=True, overwrite=not no_overwrite, check=False)
    session.note(f"logged in to {endpoint} as {user}")
    if endpoint != default:
        session.note(f"to work there: --endpoint {endpoint}, or export XET_ENDPOINT={endpoint}")
    return endpoint


def _endpoint(session: Session, host: str | None) -> str:
    """The endpoint that a login is for. Embedded endpoints are refused, since they need no login."""
    if host is not None and session.endpoint is not None and host != session.endpoint:
        raise click.UsageError(f"--host is {host} and --endpoint is {session.endpoint}; give one of them")
    endpoint: str = pyxet.XetFS(host or session.endpoint, token="").endpoint
    if not endpoint.startswith("http"):
        raise CommandError(f"the endpoint {endpoint} runs inside of each process", hint="it needs no login")
    return endpoint


def _asked(user: str | None, endpoint: str) -> str:
    if sys.stdin.isatty():
        whose = f"{user} at {endpoint}" if user else endpoint
        token: str = click.prompt(f"Token of {whose}", hide_input=True, err=True)
    else:
        token = sys.stdin.readline()
    if not token.strip():
        raise click.UsageError("no token was given; use -t or standard input")
    return token.strip()


def _checked(endpoint: str, user: str | None, token: str) -> str:
    """The user of a token; `AuthenticationError` if ``user`` is given and is another one."""
    try:
        name: str = pyxet.XetFS(endpoint, token=token).get_username()
    except pyxet.ConnectionFailedError as error:
        raise CommandError(str(error), hint="--force saves the login without asking the endpoint") from error
    if user is not None and user != name:
        raise pyxet.AuthenticationError(f"the token belongs to {name}, not to {user}")
    return name


@command("logout", token=False, examples=["xet logout", "xet logout --host localhost:8787", "xet logout --all"])
@click.option("--host", metavar="HOST", help="Endpoint whose login is removed; another name of --endpoint.")
@click.option("--all", "every", is_flag=True, help="Remove the logins of all endpoints.")
def logout(session: Session, host: str | None, every: bool) -> None:
    """Tokens from environment variables and of the Hub's own tools stay."""
    if every and (host or session.endpoint):
        raise click.UsageError("--all is for all endpoints; it does not go with --host or --endpoint")
    endpoint = None if every else _endpoint(session, host)
    removed = pyxet.logout(endpoint, saved=True)
    for name in removed:
        session.note(f"logged out of {name}")
    if not removed:
        session.note(f"no login is saved for {endpoint}" if endpoint else "no logins are saved")


@command("whoami", json=True, examples=["xet whoami", "xet whoami --json"])
def whoami(session: Session) -> None:
    """With --json also the endpoint and the organizations. Without a valid token it fails with exit code 4."""
    fs = session.fs()
    user, *organizations = fs.ls("", detail=False)
    if session.json:
        session.data({"user": user, "organizations": organizations, "endpoint": fs.endpoint})
    else:
        session.line(user)
        session.note(f"at {fs.endpoint}")
