"""``xet ls``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import click

from pyxet.cli import candidates
from pyxet.cli.command import command
from pyxet.cli.entries import below, for_json, is_folder
from pyxet.cli.formats import human_size, moment
from pyxet.cli.paths import remote
from pyxet.cli.session import Session

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
        "xet ls -r datasets/acme/corpus/v1 --json",
    ],
)
@click.argument("path", default="", shell_complete=candidates.remote_path)
@click.option("-l", "--long", "detailed", is_flag=True, help="With size, date, and whether a repository is private.")
@click.option("-r", "--recursive", is_flag=True, help="All files below the path.")
def ls(session: Session, path: str, detailed: bool, recursive: bool) -> None:
    """Without a path, the repositories of the token's user and organizations; of an owner, its repositories; of a
    repository, its branches; else what is in a folder. Folders end with a slash.
    """
    url = remote(path)
    fs = session.fs(path)
    infos = list(_entries(fs, path, detailed=detailed, recursive=recursive))
    if session.json:
        session.data([for_json(info) for info in infos])
    elif detailed:
        session.table([[*_columns(info), _name(session, info, url)] for info in infos], right=[0])
    else:
        for info in infos:
            session.line(_name(session, info, url))


def _entries(fs: XetFS, path: str, *, detailed: bool, recursive: bool) -> Iterable[Mapping[str, Any]]:
    if recursive:
        # What is not there holds no files; that is no answer to somebody who asks for it by name.
        fs.info(path)
        found: dict[str, Any] = fs.find(path, detail=True, expand=detailed)
        return found.values()
    if remote(path).level != "root":
        listed: list[dict[str, Any]] = fs.ls(path, expand=detailed)
        return listed
    owners: list[str] = fs.ls(path, detail=False)
    return [info for owner in owners for info in fs.ls(owner)]


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
