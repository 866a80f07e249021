"""``xet find``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase

import click

from pyxet.cli import candidates
from pyxet.cli.command import command
from pyxet.cli.entries import Info, anchor, as_typed, everything, for_json, meant
from pyxet.cli.formats import parse_size
from pyxet.cli.paths import remote
from pyxet.cli.session import Session
from pyxet.cli.streams import write_array


def _size_test(_: click.Context, __: click.Parameter, text: str | None) -> Callable[[int], bool] | None:
    if text is None:
        return None
    limit = parse_size(text.lstrip("+-") if text[:1] in "+-" and text[1:2] not in "+-" else text)
    match text[:1]:
        case "+":
            return lambda size: size > limit
        case "-":
            return lambda size: size < limit
        case _:
            return lambda size: size == limit


@command(
    "find",
    json=True,
    examples=[
        "xet find acme/titanic/main",
        "xet find acme/titanic/main --name '*.csv' --size +1M",
        "xet find acme/titanic/v1/data --type d",
        "xet find 'acme/titanic/main/part-*' --size +1G",
    ],
)
@click.argument("path", shell_complete=candidates.remote_path)
@click.option("--name", "pattern", metavar="GLOB", help="Only what has such a name: the last part of its path.")
@click.option("--type", "kind", type=click.Choice(["f", "d"]), help="Only files, or only folders.")
@click.option(
    "--size",
    "fits",
    metavar="SIZE",
    callback=_size_test,
    help="Only files of more than +SIZE, less than -SIZE or just SIZE.",
)
def find(
    session: Session, path: str, pattern: str | None, kind: str | None, fits: Callable[[int], bool] | None
) -> None:
    """Paths are written so that other commands take them, one on a line, as they are found. PATH may be a pattern, in
    quotes. Sizes are in bytes, or like 10K, 1.5M, 2G.
    """
    fs = session.fs(anchor(path))

    def fitting(page: list[Info]) -> list[Info]:
        return [
            info
            for info in page
            if (kind is None or (info["type"] == "file") == (kind == "f"))
            and (pattern is None or fnmatchcase(info["name"].rpartition("/")[2], pattern))
            and (fits is None or (info["type"] == "file" and fits(info["size"])))
        ]

    def found() -> Iterator[tuple[str, list[Info]]]:
        for top in meant(fs, path):
            for page in everything(fs, top, folders=True):
                yield top, fitting(page)

    if session.json:
        write_array(for_json(info) for _, page in found() for info in page)
        return
    for top, page in found():
        session.lines(as_typed(info, remote(top), top) for info in page)
