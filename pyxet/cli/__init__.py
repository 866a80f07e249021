"""The ``xet`` command. What a command needs is imported when it runs, so that ``xet --help`` is quick."""

from __future__ import annotations

import click

from pyxet._version import __version__


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="xet")
def main() -> None:
    """Work with Xet repositories."""


@main.command()
@click.option("--root", required=True, help="Directory of repositories and content.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", default=8787, show_default=True, type=click.IntRange(0, 65535), help="Port; 0 takes a free one."
)
@click.option("--user", default="local", show_default=True, envvar="XET_USER_NAME", help="User who may do everything.")
@click.option("--token", envvar="XET_USER_TOKEN", help="That user's token; a random one if not given.")
def serve(root: str, host: str, port: int, user: str, token: str | None) -> None:
    """Serve a directory as a local endpoint, until interrupted.

    Example: xet serve --root ./store --user acme
    """
    from pyxet.cli.serve import run

    run(root, host, port, user, token)
