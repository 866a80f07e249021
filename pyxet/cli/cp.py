"""``xet cp``."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from typing import IO

import click

from pyxet.cli import candidates
from pyxet.cli.command import command
from pyxet.cli.session import CommandError, Session
from pyxet.cli.transfer import Item, Transfer
from pyxet.cli.transfer_ends import End, joined
from pyxet.cli.transfer_listing import Page
from pyxet.cli.transfer_names import Source, sources
from pyxet.cli.transfer_options import transfer_options
from pyxet.cli.transfer_xet import XetEnd
from pyxet.local_rules import LocalNames
from pyxet.patterns import chooser


@command(
    "cp",
    json=True,
    examples=[
        "xet cp titanic.csv acme/titanic/main/ -m 'Passengers'",
        "xet cp -r acme/titanic/main/data/ ./data",
        "xet cp acme/titanic/main@{2026-11-01}/x.csv .",
        "xet cp -r s3://bucket/shards/ acme/corpus/main/shards/ --include '*.parquet'",
        "xet cp titanic.csv acme/titanic/main/ --pull-request -m 'Corrected'",
        "xet cp acme/titanic/main/titanic.csv - | head",
    ],
)
@click.argument("paths", nargs=-1, required=True, metavar="SRC... DST", shell_complete=candidates.any_path)
@click.option("-r", "--recursive", is_flag=True, help="Copy folders with all that is in them.")
@transfer_options
def cp(
    session: Session,
    paths: tuple[str, ...],
    recursive: bool,
    message: str | None,
    pull_request: bool,
    parallel: int | None,
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    dry_run: bool,
    no_progress: bool,
    names: LocalNames,
) -> None:
    """Paths are in repositories (owner/repo/branch/path), on this machine, at any other file system that fsspec knows
    (s3://, gs://, memory://), or - for standard input or output. At least one is in a repository. What goes into a
    branch is one commit.

    A file goes into DST if that is a folder or is written with a slash at its end, or if there are several SRC; else it
    gets DST's name. A folder goes into DST under the same conditions, unless SRC is written with a slash; else what is in
    the folder goes into DST.
    """
    if len(paths) < 2:
        raise click.UsageError("expected SRC... and DST")
    transfer = Transfer(
        session,
        verb="copying",
        message=message,
        pull_request=pull_request,
        parallel=parallel,
        dry_run=dry_run,
        show=not no_progress,
        names=names,
    )
    chosen = chooser(include, exclude)
    if "-" in paths:
        if len(paths) != 2 or paths[0] == paths[1]:
            raise click.UsageError("- goes with one other path, which is a file of a repository")
        session.run(lambda: _standard(transfer, *paths))
        if paths[1] == "-":
            return
    else:
        session.run(lambda: _copy(transfer, paths, chosen, recursive=recursive))
    transfer.report("copied", chosen)


async def _copy(
    transfer: Transfer, paths: Sequence[str], chosen: Callable[[str], bool], *, recursive: bool
) -> None:  # fmt: skip
    *given, target = await transfer.ends(*paths)

    async def work() -> None:
        for end in given:
            if isinstance(end, XetEnd):
                await end.pin()
        found = await sources(given, target, recursive=recursive)
        pages = transfer.looked_through(_pages(found, chosen), target)
        async with aclosing(pages), aclosing(_items(found, pages, target)) as items:
            await transfer.move(items, target)

    await transfer.into(target, work)


async def _items(
    found: Sequence[Source], pages: AsyncIterator[Page], target: End
) -> AsyncGenerator[Item, None]:  # fmt: skip
    # The source of each target path, if two sources could have the same one. Timing would decide which of them is kept.
    taken: dict[str, str] | None = {} if _overlap(found) else None
    async for page in pages:
        for number, entry, path in page:
            source = found[number]
            if taken is not None:
                label = source.end.label(entry.path)
                if taken.setdefault(path, label) != label:
                    raise _twice(taken[path], label, target.label(path))
            yield Item(source.end, entry, path)


async def _pages(found: Sequence[Source], chosen: Callable[[str], bool]) -> AsyncGenerator[Page, None]:
    """The chosen files of all sources with their target paths, page by page."""
    for number, source in enumerate(found):
        if source.kind == "file":
            entry = await source.end.entry(source.path)
            yield [(number, entry, source.target)] if chosen(entry.name) else []
            continue
        async for page in source.end.scan(source.path):
            yield [(number, entry, joined(source.target, entry.name)) for entry in page if chosen(entry.name)]


def _overlap(found: Sequence[Source]) -> bool:
    """Whether files of two sources could get the same target path."""
    targets = {source.target for source in found}
    folders = {source.target for source in found if source.kind == "folder"}
    return len(targets) < len(found) or any(
        target[:at] in folders for target in targets for at, letter in enumerate(target) if letter == "/"
    )


def _twice(first: str, second: str, target: str) -> CommandError:
    return CommandError(f"{first} and {second} would both be {target}", hint="copy one of them under another name")


async def _standard(transfer: Transfer, source: str, target: str) -> None:
    """Copy standard input into a file, or a file to standard output."""
    end = (await transfer.ends(target if source == "-" else source))[0]
    assert isinstance(end, XetEnd)
    if source == "-":

        async def write() -> None:
            if end.has_slash or await end.kind_of(end.path) == "folder":
                raise CommandError(f"{end.typed} is a folder", hint="name the file that standard input becomes")
            if transfer.dry_run:
                transfer.plan("copy", "-", end.label(end.path), None)
                return
            # Not `sys.stdin`: a thread that waits for input would hold its lock, which the interpreter needs to exit.
            piped = open(0, "rb", buffering=0, closefd=False)  # noqa: ASYNC230, SIM115  # it is open already
            await end.fs._put_file(piped, end.path, callback=transfer.progress.callback)
            transfer.progress.done(transfer.progress.moved_bytes)

        await transfer.into(end, write)
        return

    async def read() -> None:
        await end.pin()
        kind = await end.kind_of(end.path)
        if kind is None:
            raise end.missing(end.path)
        if kind == "folder":
            raise CommandError(f"{end.typed} is a folder", hint="standard output takes one file")
        entry = await end.entry(end.path)
        if transfer.dry_run:
            transfer.plan("copy", end.label(end.path), "-", entry.size)
            return
        with open(1, "wb", buffering=0, closefd=False) as out:  # noqa: ASYNC230  # it is open already
            async for piece in end.pieces(entry):
                await transfer.threads.run(_write_all, out, piece)

    await transfer.reading(read)


def _write_all(out: IO[bytes], data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[out.write(rest) :]
