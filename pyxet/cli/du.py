"""``xet du``."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

import click

from pyxet._shown import human_size
from pyxet.cli import candidates
from pyxet.cli.command import command
from pyxet.cli.entries import anchor, as_typed, everything, meant
from pyxet.cli.paths import remote
from pyxet.cli.session import Session

if TYPE_CHECKING:
    from pyxet import XetFS


@command(
    "du",
    json=True,
    examples=[
        "xet du -h acme/titanic/main",
        "xet du acme/titanic/main --max-depth 1",
        "xet du -h acme --max-depth 0",
        "xet du -h 'acme/titanic/main/data/*' --max-depth 0",
    ],
)
@click.argument("path", shell_complete=candidates.remote_path)
@click.option("-h", "--human-readable", "human", is_flag=True, help="Sizes like 2.4 MiB; else in bytes.")
@click.option("--max-depth", "depth", metavar="N", type=click.IntRange(0), help="Only folders up to N levels deep.")
def du(session: Session, path: str, human: bool, depth: int | None) -> None:
    """Each folder counts all below it; the last line is the path itself. PATH may be a pattern, in quotes. Content that
    files share counts each time, though it is stored once.
    """
    fs = session.fs(anchor(path))
    found = [sums for top in meant(fs, path) for sums in _sums(fs, top, depth)]
    if session.json:
        session.data([{"name": sums.name, "size": sums.size, "files": sums.files} for sums in found])
    else:
        session.table(
            [[human_size(sums.size) if human else str(sums.size), sums.typed or "/"] for sums in found], right=[0]
        )


class _Sums(NamedTuple):
    """Number and total size of the files below a folder, at any depth."""

    name: str
    typed: str
    size: int
    files: int


def _sums(fs: XetFS, path: str, depth: int | None) -> list[_Sums]:
    """The sums of each folder below a path, and of the path itself, which comes last."""
    url = remote(path)
    top = url.full_path
    sizes: defaultdict[str, int] = defaultdict(int, {top: 0})
    counts: defaultdict[str, int] = defaultdict(int)
    for page in everything(fs, path):
        for info in page:
            for folder in _above(info["name"], top):
                sizes[folder] += info["size"]
                counts[folder] += 1
    levels = top.count("/") + 1 if top else 0
    kept = [name for name in sizes if depth is None or name == top or name.count("/") + 1 - levels <= depth]
    # A folder comes after the folders in it.
    kept.sort(key=lambda name: [*name.split("/"), "\U0010ffff"])
    return [_Sums(name, as_typed({"name": name}, url, path), sizes[name], counts[name]) for name in kept]


def _above(name: str, top: str) -> list[str]:
    """The folders that contain a file, from its own up to ``top``; only ``top`` if that is the file itself."""
    if name == top:
        return [top]
    folders = []
    while name != top and name:
        name = name.rpartition("/")[0]
        folders.append(name)
    return folders
