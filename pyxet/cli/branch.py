"""``xet branch``."""

from __future__ import annotations

import click

from pyxet.cli import candidates
from pyxet.cli.command import command, group
from pyxet.cli.formats import moment
from pyxet.cli.names import branch_of, repository
from pyxet.cli.session import Session

branch = group("branch")


@command(
    "make",
    parent=branch,
    examples=[
        "xet branch make acme/titanic main experiment-1",
        "xet branch make acme/titanic main@{1.day.ago} as-of-yesterday",
    ],
)
@click.argument("repo", shell_complete=candidates.repository)
@click.argument("source", shell_complete=candidates.revision)
@click.argument("name")
def make(session: Session, repo: str, source: str, name: str) -> None:
    """Make a branch that starts at SOURCE: a branch, a tag, a commit or a point in time."""
    repository(repo)
    fs = session.fs(repo)
    fs.make_branch(repo, source, name)
    session.note(f"made branch {name} at {fs.branch_info(repo, name)['commit'][:10]}")


@command("ls", parent=branch, json=True, examples=["xet branch ls acme/titanic", "xet branch ls acme/titanic --json"])
@click.argument("repo", shell_complete=candidates.repository)
def ls(session: Session, repo: str) -> None:
    """List the branches of a repository, with the commits that they are at."""
    repository(repo)
    infos = session.fs(repo).list_branches(repo, detail=True)
    if session.json:
        session.data([{"branch": info["branch"], "name": info["name"], "commit": info["commit"]} for info in infos])
    else:
        session.table([info["branch"], info["commit"][:10]] for info in infos)


@command("info", parent=branch, json=True, examples=["xet branch info acme/titanic main"])
@click.argument("repo", shell_complete=candidates.repository)
@click.argument("name", required=False, shell_complete=candidates.revision)
def info(session: Session, repo: str, name: str | None) -> None:
    """Show a branch: the commit it is at, and when, by whom and why that was made. REPO/NAME will do, too."""
    repo, name = branch_of(repo, name)
    fs = session.fs(repo)
    found = fs.branch_info(repo, name)
    [last] = fs.log(found["name"], limit=1)
    if session.json:
        session.data({
            "branch": name, "name": found["name"], "commit": last.id, "date": last.date, "author": last.author,
            "message": last.message,
        })  # fmt: skip
        return
    session.table([
        ["branch", name], ["commit", last.id], ["date", moment(last.date)], ["author", last.author],
        ["message", last.title],
    ])  # fmt: skip


@command("del", parent=branch, examples=["xet branch del acme/titanic experiment-1 --yes"])
@click.argument("repo", shell_complete=candidates.repository)
@click.argument("name", required=False, shell_complete=candidates.revision)
@click.option("--yes", is_flag=True, help="Do not ask.")
def delete(session: Session, repo: str, name: str | None, yes: bool) -> None:
    """Delete a branch. Commits that are on no other branch are lost. REPO/NAME will do, too."""
    repo, name = branch_of(repo, name)
    fs = session.fs(repo)
    if not yes:
        at = fs.branch_info(repo, name)["commit"]
        session.confirm(f"Delete branch {name} of {repo}, and the commits that are only there?")
        session.note(f"it was at {at}")
    fs.delete_branch(repo, name)
    session.note(f"deleted branch {name} of {repo}")
