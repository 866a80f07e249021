"""``xet clone`` and ``xet git``; ``git xet`` runs the same commands as ``xet git``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from pyxet.cli import candidates
from pyxet.cli.account import log_in, login_options
from pyxet.cli.command import command, group
from pyxet.cli.paths import remote
from pyxet.cli.session import CommandError, Session

git = group("git")


def _clone_options(function: Any) -> Any:
    for option in (
        click.option(
            "--lazy", is_flag=True, help="Leave pointers in the place of large files; xet git pull brings them."
        ),
        click.option("-n", "--no-checkout", is_flag=True, help="Write no files: git checkout, later, says which ones."),
        click.option("-b", "--branch", metavar="BRANCH", help="Branch or tag to check out."),
        click.argument("folder", metavar="[DIR]", required=False, type=click.Path(path_type=Path)),
        click.argument("url", shell_complete=candidates.repository),
    ):
        function = option(function)
    return function


@command(
    "clone",
    examples=[
        "xet clone acme/titanic",
        "xet clone xet://localhost:8787:acme/titanic work --branch experiment-1",
        "xet clone https://huggingface.co/datasets/acme/corpus --lazy",
    ],
)
@_clone_options
def clone(session: Session, **options: Any) -> None:
    """URL is a path such as acme/titanic, with or without xet://, or a URL as git takes it. In the clone git-lfs moves
    large files with Xet, and git uses what xet login has saved; git itself, and git lfs, work there as usual.
    """
    _clone(session, **options)


@command("clone", parent=git, examples=["xet git clone xet://acme/titanic", "xet git clone acme/titanic --lazy"])
@_clone_options
def clone_with_git(session: Session, **options: Any) -> None:
    """Clone a repository; the same as xet clone."""
    _clone(session, **options)


def _clone(session: Session, url: str, folder: Path | None, branch: str | None, lazy: bool, no_checkout: bool) -> None:
    from pyxet.git.clone import clone

    address, named = _git_url(session, url)
    if branch is not None and named is not None and branch != named:
        raise click.UsageError(f"{url} names the branch {named}, and --branch {branch}; give one of them")
    made = clone(
        address, folder, branch=branch or named, lazy=lazy, checkout=not no_checkout, endpoint=session.endpoint,
        quiet=session.quiet,
    )  # fmt: skip
    session.note(f"cloned to {made}" + ("; large files are pointers until xet git pull brings them" if lazy else ""))


def _git_url(session: Session, text: str) -> tuple[str, str | None]:
    """The URL for git, and the branch that the path names."""
    if text.startswith(("http://", "https://", "ssh://", "git@", "file://", "/", "./", "../")):
        return text, None
    url = remote(text)
    if url.level not in ("repo", "branch"):
        raise click.UsageError(f"{text} is not a repository; expected owner/repo, or owner/repo/branch")
    endpoint: str = session.fs(text).endpoint
    if not endpoint.startswith("http"):
        raise CommandError(
            f"the endpoint {endpoint} runs inside each process, where git cannot reach it",
            hint="serve its directory for git: xet serve --root DIR",
        )
    return f"{endpoint}/{url.repo_id}", url.revision


@command(
    "install", parent=git, examples=["xet git install", "xet git install --local", "xet git install --concurrency 1"]
)
@click.option("--local", is_flag=True, help="For the repository here only.")
@click.option(
    "--concurrency",
    metavar="N",
    type=click.IntRange(min=1),
    help="Files that are moved at the same time; as git-lfs does it if not given.",
)
def install(session: Session, local: bool, concurrency: int | None) -> None:
    """Make git-lfs move large files with Xet, by their chunks, wherever an endpoint offers it; and let git use what
    xet login has saved, for the endpoint and for all others with a saved login.
    """
    from pyxet.git import credentials
    from pyxet.git.install import install, other_programs, register_helper

    install(local=local, concurrency=concurrency)
    for endpoint in credentials.known_endpoints(session.endpoint):
        register_helper(endpoint, local=local)
    for other in other_programs():
        session.warn(f"{other} is the git-xet of another client; git xet runs whichever comes first on PATH")
    session.note(f"git-lfs uses Xet {'in this repository' if local else 'for this user'}")


@command("uninstall", parent=git, examples=["xet git uninstall", "xet git uninstall --local"])
@click.option("--local", is_flag=True, help="For the repository here only.")
def uninstall(session: Session, local: bool) -> None:
    """Take back what install did. git-lfs stays, and moves large files its own way."""
    from pyxet.git.install import uninstall

    session.note("git-lfs no longer uses Xet" if uninstall(local=local) else "there was nothing to uninstall")


@command(
    "login", parent=git, token=False, examples=["xet git login -u USER -e EMAIL -p TOKEN", "xet git login -u acme"]
)
@login_options
def login(session: Session, **options: Any) -> None:
    """Save a user and token for an endpoint, like xet login, and let git use them there."""
    from pyxet.git.install import register_helper

    register_helper(log_in(session, **options))


@command("pull", parent=git, examples=["xet git pull data/train.parquet", "xet git pull models", "xet git pull"])
@click.argument("paths", metavar="[PATH...]", nargs=-1)
def pull(session: Session, paths: tuple[str, ...]) -> None:
    """Bring the large files at PATHs, of which a lazy clone has pointers only. Without a PATH: git pull."""
    from pyxet.git.clone import pull

    pull(paths, quiet=session.quiet)


@command("transfer", parent=git, connects=False, examples=["xet git transfer"])
def transfer(session: Session) -> None:
    """The transfer agent. git-lfs starts it and talks to it by standard input and output."""
    from pyxet.git.agent import serve

    session.run(lambda: serve(sys.stdin.buffer, sys.stdout.buffer))


@command("credential", parent=git, connects=False, examples=["xet git credential get"])
@click.argument("operation")
def credential(session: Session, operation: str) -> None:
    """The credential helper. git runs it, and gets what xet login has saved."""
    from pyxet.git.credentials import answer

    request = sys.stdin.read()
    # The operations ``store`` and ``erase`` do nothing: only login and logout change what is saved.
    if operation == "get" and (found := answer(request)):
        click.echo(found, nl=False)
