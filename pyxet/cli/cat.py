"""``xet cat`` and ``xet head``."""

from __future__ import annotations

import errno
import os
import re
import sys
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING

import click

from pyxet.cli import candidates
from pyxet.cli.command import command
from pyxet.cli.entries import anchor, meant
from pyxet.cli.formats import parse_size
from pyxet.cli.session import CommandError, Session

if TYPE_CHECKING:
    from pyxet import XetFS

_PIECE = 4 * 1024 * 1024
_RANGE = re.compile(r"(\d*)-(\d*)\Z")


def _range(_: click.Context, __: click.Parameter, text: str | None) -> tuple[int | None, int | None] | None:
    """The numbers A and B of ``A-B``; ``None`` for the one that is left out."""
    if text is None:
        return None
    match = _RANGE.match(text)
    if match is None or text == "-":
        raise click.BadParameter(f"{text!r} is not a range of bytes; expected 0-99, 100- or -100")
    first, last = (int(part) if part else None for part in match.groups())
    if first is not None and last is not None and last < first:
        raise click.BadParameter(f"{text!r} ends before it starts")
    return first, last


def _limit(_: click.Context, __: click.Parameter, text: str | None) -> int | None:
    return None if text is None else parse_size(text)


@command(
    "cat",
    examples=[
        "xet cat acme/titanic/main/titanic.csv",
        "xet cat acme/titanic/main@{2026-11-01}/titanic.csv | head -3",
        "xet cat acme/titanic/main/model.bin --range 0-1023 > header.bin",
        "xet cat acme/titanic/main/a.txt acme/titanic/main/b.txt --limit 10K",
    ],
)
@click.argument("paths", nargs=-1, required=True, metavar="PATH...", shell_complete=candidates.remote_path)
@click.option("--limit", metavar="N", callback=_limit, help="At most N bytes of each file; also like 10K, 1.5M.")
@click.option(
    "--range", "span", metavar="A-B", callback=_range,
    help="Bytes A to B, both of them included, counted from 0; A- is all from A on, -N the last N bytes.",
)  # fmt: skip
def cat(
    session: Session, paths: tuple[str, ...], limit: int | None, span: tuple[int | None, int | None] | None
) -> None:
    """The files one after another, as they are; patterns, in quotes, stand for the files that they match. All of them are
    looked up first, so that nothing is written where one is missing. Whole files are verified by their hash as they come.
    """
    fs = session.fs(*map(anchor, paths))
    out = _output()
    names = [name for path in paths for name in meant(fs, path, folders=False)]
    sizes = [_size(fs, name) for name in names]
    for path, size in zip(names, sizes, strict=True):
        start, end = (0, size) if span is None else _bounds(path, size, *span)
        end = end if limit is None else min(end, start + limit)
        if (start, end) == (0, size):
            fs.get_file(path, out)
        else:
            for piece in _pieces(fs, path, start, end):
                out.write(piece)
        # So that a reader of the pipe gets this file before the next one is fetched.
        out.flush()


@command(
    "head",
    examples=["xet head acme/titanic/main/titanic.csv", "xet head acme/titanic/v1/titanic.csv -n 3"],
)
@click.argument("path", shell_complete=candidates.remote_path)
@click.option(
    "-n", "--lines", "lines", metavar="N", default=10, show_default=True, type=click.IntRange(0), help="How many lines."
)
def head(session: Session, path: str, lines: int) -> None:
    """Only the beginning of the file is fetched, as far as these lines need it."""
    fs = session.fs(path)
    size = _size(fs, path)
    out = _output()
    left = lines
    # The first piece is small, since ten lines seldom need more.
    for piece in _pieces(fs, path, 0, size if left else 0, first=64 * 1024):
        for line in piece.splitlines(keepends=True) if piece.count(b"\n") >= left else [piece]:
            if left > 0:
                out.write(line)
            left -= line.count(b"\n")
        if left <= 0:
            break
    out.flush()


def _output() -> IO[bytes]:
    """A second file object on standard output, with its own buffer.

    `XetFS.get_file` writes to it in a worker thread, which may wait for ever for a reader of the pipe. The interpreter flushes
    `sys.stdout` when it exits, so the thread must not hold the lock of that object.
    """
    return open(sys.stdout.fileno(), "wb", closefd=False)


def _size(fs: XetFS, path: str) -> int:
    """Bytes of a file. Raises `IsADirectoryError`."""
    info = fs.info(path)
    if info["type"] != "file":
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    size: int = info["size"]
    return size


def _bounds(path: str, size: int, first: int | None, last: int | None) -> tuple[int, int]:
    """Start and end of the bytes ``first`` to ``last`` of a file, or of its ``last`` bytes if ``first`` is ``None``."""
    if first is None:
        return max(0, size - (last or 0)), size
    if first >= size and not first == size == 0:
        raise CommandError(f"{path} has {size:,} bytes; there is nothing from {first:,} on")
    return first, size if last is None else min(last + 1, size)


def _pieces(fs: XetFS, path: str, start: int, end: int, first: int = _PIECE) -> Iterator[bytes]:
    """The bytes of a file from ``start`` to ``end``, in pieces that grow from ``first`` bytes up to `_PIECE`."""
    if start >= end:
        return
    size = first
    with fs.open(path, "rb") as file:
        file.seek(start)
        while start < end:
            piece: bytes = file.read(min(size, end - start))
            if not piece:
                raise CommandError(f"{path} ended at byte {start:,}; it was changed while it was read")
            yield piece
            start += len(piece)
            size = min(2 * size, _PIECE)
