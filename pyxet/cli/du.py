"""``xet du``."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import click

from pyxet.cli import candidates
from pyxet.cli.command import command
from pyxet.cli.entries import as_typed
from pyxet.cli.formats import human_size
from pyxet.cli.paths import remote
from pyxet.cli.session import Session


@command(
    "du",
    json=True,
    examples=["xet du -h acme/titanic/main", "xet du acme/titanic/main --max-depth 1", "xet du -h acme --max-depth 0"],
)
@click.argument("path", shell_complete=candidates.remote_path)
@click.option("-h", "--human-readable", "human", is_flag=True, help="Sizes like 2.4 MiB; else in bytes.")
@click.option("--max-depth", "depth", metavar="N", type=click.IntRange(0), help="Only folders up to N levels deep.")
def du(session: Session, path: str, human: bool, depth: int | None) -> None:
    """Each folder counts all below it; the last line is the path itself. Content that files share counts each time,
    though it is stored once.
    """
    url = remote(path)
    fs = session.fs(path)
    fs.info(path)
    found: dict[str, Any] = fs.find(path, detail=True)
    top = url.full_path
    sizes: defaultdict[str, int] = defaultdict(int, {top: 0})
    counts: defaultdict[str, int] = defaultdict(int)
    for name, info in found.items():
        for folder in _above(name, top):
            sizes[folder] += info["size"]
            counts[folder] += 1
    levels = top.count("/") + 1 if top else 0
    kept = [name for name in sizes if depth is None or name == top or name.count("/") + 1 - levels <= depth]
    # What is in a folder before the folder.
    kept.sort(key=lambda name: [*name.split("/"), "\U0010ffff"])
    if session.json:
        session.data([{"name": name, "size": sizes[name], "files": counts[name]} for name in kept])
    else:
        rows = [
            [human_size(sizes[name]) if human else str(sizes[name]), as_typed({"name": name}, url, path) or "/"]
            for name in kept
        ]
        session.table(rows, right=[0])


def _above(name: str, top: str) -> list[str]:
    """The folders that a file is in, from its own up to the top, which may be the file itself."""
    if name == top:
        return [top]
    folders = []
    while name != top and name:
        name = name.rpartition("/")[0]
        folders.append(name)
    return folders
