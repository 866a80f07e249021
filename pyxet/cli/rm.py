"""``xet rm``."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import click

from pyxet.cli.command import command
from pyxet.cli.formats import human_size
from pyxet.cli.paths import remote, writable
from pyxet.cli.session import CommandError, Session
from pyxet.cli.transfer import commits_made, counted, run
from pyxet.cli.transfer_ends import Entry, has_magic
from pyxet.cli.transfer_options import message as message_option
from pyxet.cli.transfer_xet import XetEnd


@command(
    "rm",
    json=True,
    examples=[
        "xet rm acme/titanic/main/old.csv -m 'No longer needed'",
        "xet rm -r acme/titanic/main/data/2024 acme/titanic/main/data/2025",
        "xet rm 'acme/titanic/main/logs/*.txt'",
    ],
)
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option("-r", "--recursive", is_flag=True, help="Remove folders with all that is in them.")
@message_option
def rm(session: Session, paths: tuple[str, ...], recursive: bool, message: str | None) -> None:
    """Files may be given by patterns. It is one commit for each branch. Earlier commits keep what they have."""
    for path in paths:
        _check(path)
    run(session, lambda: _remove(session, paths, message, recursive=recursive))


async def _remove(session: Session, paths: Sequence[str], message: str | None, *, recursive: bool) -> None:
    async with session.afs(*paths) as fs:
        ends = [XetEnd(path, remote(path), fs) for path in paths]
        for end in ends:
            await end.check_writable()
        seen: set[str] = set()
        size = 0
        async with fs.transaction(message=message) as transaction:
            for end in ends:
                async with aclosing(_below(end, recursive=recursive)) as pages:
                    async for page in pages:
                        new = [entry for entry in page if entry.path not in seen]
                        seen.update(entry.path for entry in new)
                        size += sum(entry.size or 0 for entry in new)
                        await end.delete(new)
    deleted, commits = transaction.totals.deleted, transaction.commits
    if session.json:
        found = [{"id": commit.id, "message": commit.message} for commit in commits]
        session.data({"deleted": deleted, "bytes": size, "commits": found})
    else:
        session.note(f"removed {counted(deleted)}, {human_size(size)}; {commits_made(commits)}")


async def _below(end: XetEnd, *, recursive: bool) -> AsyncGenerator[list[Entry], None]:
    """What a path means, page by page."""
    kind = await end.kind_of(end.path)
    found = [(end.path, kind)] if kind is not None else []
    if kind is None and has_magic(end.path):
        found += await end.glob(end.path)
    if not found:
        raise end.missing(end.path)
    for path, what in found:
        if what == "file":
            yield [await end.entry(path)]
        elif recursive:
            # It is a listing of what was there when it began, whatever is deleted meanwhile.
            async for page in end.scan(path):
                yield page
        else:
            raise CommandError(f"{path} is a folder", hint="with -r it is removed with all that is in it")


def _check(path: str) -> None:
    url = remote(path)
    if url.level == "branch":
        raise CommandError(
            f"{path} is a branch, and rm removes files", hint=f"xet branch del {_repo(path)} {url.revision}"
        )
    if url.level != "path":
        what = {"repo": "a repository", "owner": "an owner"}.get(url.level, "the top")
        hint = f"xet repo del {path}" if url.level == "repo" else "name files: owner/repo/branch/path"
        raise CommandError(f"{path} is {what}, and rm removes files", hint=hint)
    writable(url)


def _repo(path: str) -> str:
    found = remote(path).repo_id
    return found.path if found is not None else path
