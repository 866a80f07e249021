"""``xet tag``."""

from __future__ import annotations

import click

from pyxet.cli import candidates
from pyxet.cli.command import command, group
from pyxet.cli.names import branch_of, repository
from pyxet.cli.session import Session

tag = group("tag")


@command(
    "make",
    parent=tag,
    examples=["xet tag make acme/titanic v1", "xet tag make acme/titanic v0.9 main@{2026-11-01} -m 'as published'"],
)
@click.argument("repo", shell_complete=candidates.repository)
@click.argument("name")
@click.argument("revision", default="main", shell_complete=candidates.revision)
@click.option("-m", "--message", metavar="MSG", help="What the tag is for.")
def make(session: Session, repo: str, name: str, revision: str, message: str | None) -> None:
    """Give a name to REVISION: a branch as it is now, a tag, a commit or a point in time; main if it is left out."""
    repository(repo)
    fs = session.fs(repo)
    fs.make_tag(repo, name, revision, message)
    session.note(f"made tag {name} at {fs.find_ref(repo, f'refs/tags/{name}')['commit'][:10]}")


@command("ls", parent=tag, json=True, examples=["xet tag ls acme/titanic", "xet tag ls acme/titanic --json"])
@click.argument("repo", shell_complete=candidates.repository)
def ls(session: Session, repo: str) -> None:
    """List the tags of a repository, with their commits."""
    repository(repo)
    infos = session.fs(repo).list_tags(repo, detail=True)
    if session.json:
        session.data([{"tag": info["tag"], "name": info["name"], "commit": info["commit"]} for info in infos])
    else:
        session.table([info["tag"], info["commit"][:10]] for info in infos)


@command("del", parent=tag, examples=["xet tag del acme/titanic v0.9 --yes"])
@click.argument("repo", shell_complete=candidates.repository)
@click.argument("name", required=False, shell_complete=candidates.revision)
@click.option("--yes", is_flag=True, help="Do not ask.")
def delete(session: Session, repo: str, name: str | None, yes: bool) -> None:
    """Delete a tag; its commit stays where branches have it. REPO/NAME will do, too."""
    repo, name = branch_of(repo, name)
    fs = session.fs(repo)
    if not yes:
        at = fs.find_ref(repo, f"refs/tags/{name}")["commit"]
        session.confirm(f"Delete tag {name} of {repo}?")
        session.note(f"it was at {at}")
    fs.delete_tag(repo, name)
    session.note(f"deleted tag {name} of {repo}")
