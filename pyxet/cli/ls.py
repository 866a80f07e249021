"""``xet ls``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from pyxet._shown import human_size
from pyxet.cli import candidates
from pyxet.cli.command import command
from pyxet.cli.entries import anchor, below, everything, for_json, is_folder, meant
from pyxet.cli.formats import moment
from pyxet.cli.paths import beginning, remote
from pyxet.cli.session import Session
from pyxet.cli.streams import write_array

if TYPE_CHECKING:
    from pyxet import XetFS, XetURL


@command(
    "ls",
    json=True,
    examples=[
        "xet ls",
        "xet ls acme/titanic",
        "xet ls -l acme/titanic/main/data",
        "xet ls acme/titanic/main@{5.minutes.ago}",
        "xet ls 'acme/titanic/main/data/*.csv'",
        "xet ls -r datasets/acme/corpus/v1 --json",
    ],
)
@click.argument("path", default="", shell_complete=candidates.remote_path)
@click.option("-l", "--long", "detailed", is_flag=True, help="With size, date, and whether a repository is private.")
@click.option("-r", "--recursive", is_flag=True, help="All files below the path.")
def ls(session: Session, path: str, detailed: bool, recursive: bool) -> None:
    """Without a path, the repositories of the token's user and organizations; of an owner, its repositories; of a
    repository, its branches; else what is in a folder. Of a pattern in quotes, what matches. Folders end with a slash.
    """
    url = remote(anchor(path))
    fs = session.fs(anchor(path))
    pages = _pages(fs, path, dates=detailed, recursive=recursive)
    if session.json:
        write_array(for_json(info) for page in pages for info in page)
        return
    for page in pages:
        names = [_name(session, info, url) for info in page]
        if detailed:
            session.table([[*_columns(info), name] for info, name in zip(page, names, strict=True)], right=[0])
        else:
            session.lines(names)


def _pages(fs: XetFS, path: str, *, dates: bool, recursive: bool) -> Iterator[Sequence[Mapping[str, Any]]]:
    """The entries to list, page by page as they are found."""
    if recursive:
        for name in meant(fs, path):
            yield from everything(fs, name, dates=dates)
        return
    names = meant(fs, path)
    if names != [path]:
        wanted = {remote(name).full_path for name in names}
        # List the folders that contain them, which takes one request for many entries and returns dates as well.
        for folder in dict.fromkeys(name.rpartition("/")[0] for name in names):
            yield [info for info in fs.ls(folder or beginning(path), expand=dates) if info["name"] in wanted]
    elif remote(path).level != "root":
        yield fs.ls(path, expand=dates)
    else:
        for owner in fs.ls(path, detail=False):
            yield fs.ls(beginning(path) + owner)


def _name(session: Session, info: Mapping[str, Any], url: XetURL) -> str:
    name = below(info, url)
    return session.styled(f"{name}/", fg="blue", bold=True) if is_folder(info) else name


def _columns(info: Mapping[str, Any]) -> list[str]:
    when = moment(info["last_modified"]) if info.get("last_modified") else "-"
    match info.get("kind"):
        case "repo":
            return ["private" if info.get("private") else "public", when]
        case "branch":
            return [info["commit"][:10]]
        case None:
            return [human_size(info["size"]), when]
        case _:
            return ["-", when]
