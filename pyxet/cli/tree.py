"""``xet tree``."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterator
from typing import Any, Final

import click

from pyxet.cli import candidates
from pyxet.cli.command import command
from pyxet.cli.paths import remote
from pyxet.cli.session import Session

# The prefixes of a name, of the last name in a folder, and of everything below these two. The plain ones are for outputs
# whose encoding lacks the others.
_LINES: Final = ("├── ", "└── ", "│   ", "    ")
_PLAIN_LINES: Final = ("|-- ", "`-- ", "|   ", "    ")


@command(
    "tree",
    examples=["xet tree acme/titanic/main", "xet tree acme/titanic -L 2"],
)
@click.argument("path", shell_complete=candidates.remote_path)
@click.option("-L", "--level", "depth", metavar="N", type=click.IntRange(1), help="How many levels deep.")
def tree(session: Session, path: str, depth: int | None) -> None:
    """Below a repository, its branches with what is in them."""
    url = remote(path)
    fs = session.fs(path)
    top = fs.info(path)
    found: dict[str, Any] = fs.find(path, maxdepth=depth, withdirs=True, detail=True)
    found.pop(url.full_path, None)
    children: defaultdict[str, list[str]] = defaultdict(list)
    for name in found:
        children[name.rpartition("/")[0]].append(name)
    session.line(path)
    folders = {name for name, info in found.items() if info["type"] == "directory"}
    for prefix, name in _branches(children, url.full_path, "", _lines()):
        last = name.rpartition("/")[2]
        session.line(prefix + (session.styled(last, fg="blue", bold=True) if name in folders else last))
    if top["type"] == "directory":
        session.line()
        session.line(f"{_count(len(folders), 'folder')}, {_count(len(found) - len(folders), 'file')}")


def _lines() -> tuple[str, str, str, str]:
    try:
        "".join(_LINES).encode(sys.stdout.encoding)
    except UnicodeEncodeError:
        return _PLAIN_LINES
    return _LINES


def _branches(
    children: dict[str, list[str]], folder: str, prefix: str, lines: tuple[str, str, str, str]
) -> Iterator[tuple[str, str]]:
    names = children.get(folder, [])
    for name in names:
        last = name == names[-1]
        yield prefix + lines[last], name
        yield from _branches(children, name, prefix + lines[2 + last], lines)


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"
