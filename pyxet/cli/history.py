"""``xet log`` and ``xet diff``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import chain, islice
from typing import TYPE_CHECKING, Final

import click

import pyxet
from pyxet._shown import human_size
from pyxet.cli import candidates
from pyxet.cli.command import command
from pyxet.cli.formats import moment
from pyxet.cli.names import repository
from pyxet.cli.paths import remote
from pyxet.cli.session import Session
from pyxet.cli.streams import write_array

if TYPE_CHECKING:
    from pyxet import PathChange

_MARKS: Final = {"added": ("+", "green"), "removed": ("-", "red"), "changed": ("~", "yellow")}


@command(
    "log",
    json=True,
    examples=[
        "xet log acme/titanic",
        "xet log acme/titanic/experiment-1 -n 5",
        "xet log acme/titanic/main/titanic.csv --json",
        "xet log acme/titanic/main@{2026-11-01}",
    ],
)
@click.argument("path", shell_complete=candidates.remote_path)
@click.option("-n", "count", metavar="N", type=click.IntRange(1), help="The newest N; all if not given.")
def log(session: Session, path: str, count: int | None) -> None:
    """Newest first, each as soon as it is found. Of a file or folder only those commits that changed it; for that the
    path is looked up in one commit after the other. What was deleted has a log, too.
    """
    found = session.fs(path).iter_log(path)
    first = next(found, None)
    if first is None:
        raise pyxet.EntryNotFoundError(f"no commit of {remote(path).branch_path} has {remote(path).path!r}")
    commits = islice(chain([first], found), count)
    if session.json:
        write_array(commits)
        return
    for commit in commits:
        session.line("  ".join([
            session.styled(commit.id[:10], fg="yellow"), moment(commit.date), commit.author or "-", commit.title,
        ]))  # fmt: skip


@command(
    "diff",
    json=True,
    examples=[
        "xet diff acme/titanic main experiment-1",
        "xet diff acme/titanic v1 main --json",
        "xet diff acme/titanic main@{1.week.ago} main",
    ],
)
@click.argument("repo", shell_complete=candidates.repository)
@click.argument("old", metavar="A", shell_complete=candidates.revision)
@click.argument("new", metavar="B", shell_complete=candidates.revision)
def diff(session: Session, repo: str, old: str, new: str) -> None:
    """What has to happen to A to get B: + added, - removed, ~ changed, with sizes; each as soon as it is found. A and
    B are branches, tags, commits or points in time. A renamed file is removed and added.
    """
    repository(repo)
    counts: Counter[str] = Counter()

    def counted() -> Iterator[PathChange]:
        for change in session.fs(repo).diff(repo, old, new):
            counts[change.kind] += 1
            yield change

    if session.json:
        write_array(counted())
    else:
        for change in counted():
            mark, colour = _MARKS[change.kind]
            session.line(session.styled(f"{mark} {change.path}", fg=colour) + f"  {_sizes(change)}")
    session.note(", ".join(f"{counts[kind]:,} {kind}" for kind in _MARKS))


def _sizes(change: PathChange) -> str:
    return " -> ".join(human_size(size) for size in (change.old_size, change.new_size) if size is not None)
