"""``xet sync``."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Literal

import click

from pyxet.cli import candidates
from pyxet.cli.command import command
from pyxet.cli.session import CommandError, Session
from pyxet.cli.transfer import Item, Transfer
from pyxet.cli.transfer_ends import End, Entry, joined
from pyxet.cli.transfer_listing import Page
from pyxet.cli.transfer_options import transfer_options
from pyxet.cli.transfer_xet import XetEnd
from pyxet.local_rules import LocalNames
from pyxet.patterns import chooser

# Files that are deleted by one call.
_PAGE = 500


@dataclass(frozen=True, slots=True)
class _There:
    """What is known of a file at the target. It is kept small, as there is one for each file."""

    size: int | None
    digest: bytes | None
    is_sha256: bool
    modified: float | None
    linked: bool


@command(
    "sync",
    json=True,
    examples=[
        "xet sync ./data acme/titanic/main/data -m 'New week'",
        "xet sync --delete --checksum ./data acme/titanic/main/data",
        "xet sync acme/titanic/main/data ./data",
        "xet sync s3://bucket/shards acme/corpus/main/shards --dry-run",
    ],
)
@click.argument("source", metavar="SRC", shell_complete=candidates.any_path)
@click.argument("target", metavar="DST", shell_complete=candidates.any_path)
@click.option("--delete", is_flag=True, help="Delete files of DST that SRC does not have.")
@click.option("--checksum", is_flag=True, help="Compare the content of files of the same size by its hash.")
@click.option("--use-mtime", is_flag=True, help="Of files of the same size, copy those that changed later than DST's.")
@transfer_options
def sync(
    session: Session,
    source: str,
    target: str,
    delete: bool,
    checksum: bool,
    use_mtime: bool,
    message: str | None,
    pull_request: bool,
    parallel: int | None,
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    dry_run: bool,
    no_progress: bool,
    names: LocalNames,
) -> None:
    """The content of the folder SRC goes into the folder DST, slashes or not. Files differ if their sizes do; between
    repositories also if their hashes do. At least one of the two is in a repository. What goes into a branch is one
    commit, and none where nothing differs.
    """
    if checksum and use_mtime:
        raise click.UsageError("--checksum and --use-mtime are two ways to compare; choose one")
    if "-" in (source, target):
        raise click.UsageError("standard input and output are not folders; see xet cp")
    transfer = Transfer(
        session,
        verb="syncing",
        message=message,
        pull_request=pull_request,
        parallel=parallel,
        dry_run=dry_run,
        show=not no_progress,
        names=names,
    )
    chosen = chooser(include, exclude)
    syncing = _Sync(transfer, chosen, delete=delete, checksum=checksum, dates=use_mtime)
    session.run(lambda: syncing.run(source, target))
    transfer.report("copied", chosen)


class _Sync:
    def __init__(
        self, transfer: Transfer, chosen: Callable[[str], bool], *, delete: bool, checksum: bool, dates: bool
    ) -> None:  # fmt: skip
        self._transfer = transfer
        self._chosen = chosen
        self._delete = delete
        self._checksum = checksum
        self._dates = dates
        self._there: dict[str, _There] = {}

    async def run(self, source: str, target: str) -> None:
        """Copy the files that differ, then delete those that the source does not have, if that was asked for."""
        origin, goal = await self._transfer.ends(source, target)

        async def work() -> None:
            if isinstance(origin, XetEnd):
                await origin.pin()
            kind = await origin.kind_of(origin.path)
            if kind is None:
                raise origin.missing(origin.path)
            if kind == "file":
                raise CommandError(f"{origin.typed} is a file", hint="xet cp copies files; xet sync compares folders")
            await self._look(goal)
            pages = self._transfer.looked_through(self._pages(origin, goal), goal)
            async with aclosing(pages), aclosing(self._items(origin, goal, pages)) as items:
                await self._transfer.move(items, goal)
            if self._delete:
                await self._delete_rest(goal)

        await self._transfer.into(goal, work)

    async def _look(self, goal: End) -> None:
        """List the files at the target."""
        kind = await goal.kind_of(goal.path)
        if kind == "file":
            raise CommandError(f"{goal.typed} is a file", hint="xet cp copies files; xet sync compares folders")
        if kind is None:
            return
        async for page in goal.scan(goal.path, dates=self._dates):
            for entry in page:
                if self._chosen(entry.name):
                    digest = entry.sha256 or entry.blob_id
                    self._there[entry.name] = _There(
                        entry.size, bytes.fromhex(digest) if digest else None, entry.sha256 is not None, entry.modified,
                        entry.linked,
                    )  # fmt: skip

    async def _pages(self, origin: End, goal: End) -> AsyncGenerator[Page, None]:
        """The chosen files of the source with their paths at the target, page by page."""
        async for page in origin.scan(origin.path, dates=self._dates):
            yield [(0, entry, joined(goal.path, entry.name)) for entry in page if self._chosen(entry.name)]

    async def _items(self, origin: End, goal: End, pages: AsyncIterator[Page]) -> AsyncGenerator[Item, None]:
        """The files to copy, and those whose content has to be compared first."""
        async for page in pages:
            for _, entry, path in page:
                there = self._there.pop(path[len(joined(goal.path, "")) :], None)
                if there is None or there.size != entry.size or entry.size is None:
                    yield Item(origin, entry, path)
                    continue
                verdict = self._verdict(entry, there)
                if verdict == "same":
                    self._transfer.progress.skipped += 1
                elif verdict == "differs":
                    yield Item(origin, entry, path)
                else:
                    yield Item(origin, entry, path, self._comparison(origin, goal, entry, there, path))

    def _verdict(self, entry: Entry, there: _There) -> Literal["same", "differs", "look"]:
        """Compare two files of the same size; ``look`` if their content has to be compared."""
        mine, theirs = _digest(entry), there.digest
        if mine is not None and theirs is not None:
            # Between repositories. If the same content is a large file in one and is stored inside the commit of the other, the
            # hashes are of different kinds, and the file is copied without need.
            same = mine == theirs and (entry.sha256 is not None) == there.is_sha256
            return "same" if same else "differs"
        if self._dates:
            if entry.modified is None or there.modified is None:
                return "look"
            # Dates of commits are whole seconds, so the order of changes within a second is not known.
            mine_at, theirs_at = int(entry.modified), int(there.modified)
            return "differs" if mine_at > theirs_at else "look" if mine_at == theirs_at else "same"
        return "look" if self._checksum else "same"

    def _comparison(
        self, origin: End, goal: End, entry: Entry, there: _There, path: str
    ) -> Callable[[], Awaitable[bool]]:
        other = Entry(
            path, entry.name, there.size, there.digest.hex() if there.digest and there.is_sha256 else None,
            there.digest.hex() if there.digest and not there.is_sha256 else None,
        )  # fmt: skip

        async def differs() -> bool:
            if there.digest is not None:
                return await origin.digest(entry, other) != there.digest.hex()
            return await goal.digest(other, entry) != (entry.sha256 or entry.blob_id)

        return differs

    async def _delete_rest(self, goal: End) -> None:
        rest: list[Entry] = []
        for name, there in self._there.items():
            # Files that were found through a link to a folder are not below the target.
            if not there.linked:
                rest.append(Entry(joined(goal.path, name), name, there.size))
            if len(rest) >= _PAGE:
                await self._transfer.delete(goal, rest)
                rest = []
        await self._transfer.delete(goal, rest)


def _digest(entry: Entry) -> bytes | None:
    digest = entry.sha256 or entry.blob_id
    return bytes.fromhex(digest) if digest else None
