"""``xet pr``."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from pyxet.cli import candidates
from pyxet.cli.command import command, group
from pyxet.cli.formats import moment
from pyxet.cli.names import repository
from pyxet.cli.paths import remote
from pyxet.cli.session import CommandError, Session

if TYPE_CHECKING:
    from pyxet import PullRequest

pr = group("pr")

_repo = click.argument("repo", shell_complete=candidates.repository)
_number = click.argument("number", required=False, type=click.IntRange(1))
_comment = click.option("-m", "--message", "comment", metavar="MSG", help="What to say about it.")


@command(
    "make",
    parent=pr,
    json=True,
    examples=["xet pr make acme/titanic -m 'Correct two fares'"],
)
@_repo
@click.option("-m", "--message", "title", metavar="MSG", required=True, help="What it is about, in a line.")
@click.option("--description", default="", metavar="TEXT", help="What else there is to say.")
def make(session: Session, repo: str, title: str, description: str) -> None:
    """Begin a draft pull request for main, without changes yet; copy files to REPO/pr%2FNUMBER to add them to it. Its path
    is written to standard output. With --pull-request, cp, sync, mv and rm open one with their changes in it.
    """
    repository(repo)
    made = session.fs(repo).make_pull_request(repo, title, description)
    if session.json:
        session.data(_for_json(made))
        return
    session.line(made.path)
    session.note(f"began pull request {made.number}, a draft: {made.url}")


@command(
    "ls",
    parent=pr,
    json=True,
    examples=[
        "xet pr ls acme/titanic",
        "xet pr ls acme/titanic --status all --author bob",
        "xet pr ls acme/titanic --json",
    ],
)
@_repo
@click.option(
    "--status", type=click.Choice(["open", "closed", "all"]), default="open", show_default=True,
    help="Drafts are open, and merged ones are closed.",
)  # fmt: skip
@click.option("--author", metavar="USER", help="Only those of this user.")
@click.option("-n", "count", metavar="N", type=click.IntRange(1), help="The newest N; all if not given.")
def ls(session: Session, repo: str, status: Any, author: str | None, count: int | None) -> None:
    """List the pull requests of a repository, the newest first."""
    repository(repo)
    found = session.fs(repo).list_pull_requests(repo, status, author, count)
    if session.json:
        session.data([_for_json(one) for one in found])
    else:
        session.table(
            ([str(one.number), one.status, one.author, moment(one.created), one.title] for one in found), right=[0]
        )


@command(
    "info", parent=pr, json=True, examples=["xet pr info acme/titanic 3", "xet pr info acme/titanic/pr%2F3 --json"]
)
@_repo
@_number
def info(session: Session, repo: str, number: int | None) -> None:
    """Show a pull request: its status, its branch, whether it could be merged, and what was said. REPO/pr%2FNUMBER will
    do, too.
    """
    repo, number = _named(repo, number)
    found = session.fs(repo).pull_request_info(repo, number)
    if session.json:
        session.data(_for_json(found))
        return
    conflicts = "some that are not told" if found.conflicts is None else ", ".join(found.conflicts) or "none"
    session.table([
        ["pull request", f"{found.number} of {found.repo}"], ["title", found.title], ["status", found.status],
        ["author", found.author], ["created", moment(found.created)], ["branch", found.branch],
        ["conflicts", conflicts], ["merged by", found.merge_commit or "-"], ["path", found.path], ["url", found.url],
    ])  # fmt: skip
    for comment in found.comments:
        if comment.text.strip():
            session.lines(["", f"{comment.author}, {moment(comment.created)}:", *comment.text.strip().splitlines()])


@command("diff", parent=pr, examples=["xet pr diff acme/titanic 3", "xet pr diff acme/titanic 3 | less"])
@_repo
@_number
def diff(session: Session, repo: str, number: int | None) -> None:
    """Show what a pull request changes, line by line, as git does; large files are shown by their pointers. For the paths
    that differ, with their sizes, use xet diff REPO main pr/NUMBER. REPO/pr%2FNUMBER will do, too.
    """
    repo, number = _named(repo, number)
    found = session.fs(repo).pull_request_info(repo, number, diff=True)
    if found.diff is None:
        raise CommandError("the endpoint does not tell the lines", hint=f"xet diff {repo} {found.branch} pr/{number}")
    session.lines(found.diff.splitlines())


@command(
    "merge",
    parent=pr,
    json=True,
    examples=["xet pr merge acme/titanic 3", "xet pr merge acme/titanic 3 -m 'Thank you' --yes"],
)
@_repo
@_number
@_comment
@click.option("--yes", is_flag=True, help="Do not ask.")
def merge(session: Session, repo: str, number: int | None, comment: str | None, yes: bool) -> None:
    """Put what a pull request changes on its branch, as one commit. REPO/pr%2FNUMBER will do, too."""
    repo, number = _named(repo, number)
    fs = session.fs(repo)
    if not yes:
        found = fs.pull_request_info(repo, number)
        session.confirm(f"Merge pull request {number}, {found.title!r} by {found.author}, into {found.branch}?")
    merged = fs.merge_pull_request(repo, number, comment)
    if session.json:
        session.data(_for_json(merged))
    else:
        made = f": commit {merged.merge_commit[:10]}" if merged.merge_commit else ""
        session.note(f"merged pull request {number} into {merged.branch}{made}")


@command("close", parent=pr, examples=["xet pr close acme/titanic 3 -m 'Not any more'"])
@_repo
@_number
@_comment
def close(session: Session, repo: str, number: int | None, comment: str | None) -> None:
    """Close a pull request without merging it. REPO/pr%2FNUMBER will do, too."""
    repo, number = _named(repo, number)
    session.fs(repo).close_pull_request(repo, number, comment)
    session.note(f"closed pull request {number}")


@command("open", parent=pr, examples=["xet pr open acme/titanic 3"])
@_repo
@_number
@_comment
def reopen(session: Session, repo: str, number: int | None, comment: str | None) -> None:
    """Open a pull request that is closed, or a draft, so that it can be merged. REPO/pr%2FNUMBER will do, too."""
    repo, number = _named(repo, number)
    session.fs(repo).open_pull_request(repo, number, comment)
    session.note(f"opened pull request {number}")


@command("comment", parent=pr, examples=["xet pr comment acme/titanic 3 -m 'Where are these from?'"])
@_repo
@_number
@click.option("-m", "--message", "text", metavar="MSG", required=True, help="What to say, in Markdown.")
def comment(session: Session, repo: str, number: int | None, text: str) -> None:
    """Say something in a pull request. REPO/pr%2FNUMBER will do, too."""
    repo, number = _named(repo, number)
    session.fs(repo).comment(repo, number, text)
    session.note(f"commented on pull request {number}")


def _named(path: str, number: int | None) -> tuple[str, int]:
    """Repository and number: given as two arguments, or as one path."""
    url = remote(path)
    if number is not None:
        repository(path)
        return path, number
    kind, _, text = (url.revision or "").removeprefix("refs/").partition("/")
    if url.level != "branch" or kind != "pr" or not (text.isascii() and text.isdigit()):
        raise click.UsageError(f"{path}: name the number of the pull request behind the repository")
    return path[: path.rstrip("/").rindex("/")], int(text)


def _for_json(found: PullRequest) -> dict[str, Any]:
    return asdict(found) | {"path": found.path}
