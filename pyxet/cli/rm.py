"""``xet rm``."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import click

from pyxet._shown import human_size
from pyxet.cli import candidates
from pyxet.cli.command import command
from pyxet.cli.paths import remote, writable
from pyxet.cli.session import CommandError, Session
from pyxet.cli.transfer import commits_made, counted, made_for_json
from pyxet.cli.transfer_ends import Entry, Known
from pyxet.cli.transfer_options import message as message_option
from pyxet.cli.transfer_options import pull_request as pull_request_option
from pyxet.cli.transfer_xet import XetEnd
from pyxet.patterns import has_magic


@command(
    "rm",
    json=True,
    examples=[
        "xet rm acme/titanic/main/old.csv -m 'No longer needed'",
        "xet rm -r acme/titanic/main/data/2024 acme/titanic/main/data/2025",
        "xet rm 'acme/titanic/main/logs/*.txt'",
        "xet rm acme/titanic/main/old.csv --pull-request",
    ],
)
@click.argument("paths", nargs=-1, required=True, metavar="PATH...", shell_complete=candidates.remote_path)
@click.option("-r", "--recursive", is_flag=True, help="Remove folders with all that is in them.")
@message_option
@pull_request_option
def rm(
    session: Session, paths: tuple[str, ...], recursive: bool, message: str | None, pull_request: bool
) -> None:  # fmt: skip
    """Files may be given by patterns. It is one commit for each branch. Earlier commits keep what they have."""
    for path in paths:
        _check(path)
    session.run(lambda: _remove(session, paths, message, recursive=recursive, pull_request=pull_request))


async def _remove(
    session: Session, paths: Sequence[str], message: str | None, *, recursive: bool, pull_request: bool
) -> None:  # fmt: skip
    async with session.afs(*paths) as fs:
        ends = [XetEnd(path, remote(path), fs) for path in paths]
        wanted = []
        for end in ends:
            await end.check_writable()
            # Look up every path in the present commit, whatever is removed for the paths before it.
            await end.pin()
            wanted += [(end, path, kind) for path, kind in await _meant(end, recursive=recursive)]
        seen: set[str] = set()
        size = 0
        async with fs.transaction(message=message, pull_request=pull_request) as transaction:
            for end, path, kind in wanted:
                async with aclosing(_below(end, path, kind)) as pages:
                    async for page in pages:
                        found = {end.label(entry.path): entry.size or 0 for entry in page}
                        new = [name for name in found if name not in seen]
                        seen.update(new)
                        size += sum(found[name] for name in new)
                        await fs._rm(new, assume_literal=True)
    deleted, commits = transaction.totals.deleted, transaction.commits
    if session.json:
        session.data({"deleted": deleted, "bytes": size, **made_for_json(commits)})
    else:
        session.note(f"removed {counted(deleted)}, {human_size(size)}; {commits_made(commits)}")


async def _meant(end: XetEnd, *, recursive: bool) -> list[tuple[str, Known]]:
    """The files and folders that a path or pattern stands for."""
    kind = await end.kind_of(end.path)
    found = [(end.path, kind)] if kind is not None else []
    if kind is None and has_magic(end.path):
        found += await end.glob(end.path)
    if not found:
        raise end.missing(end.path)
    for path, what in found:
        if what == "folder" and not recursive:
            raise CommandError(f"{end.label(path)} is a folder", hint="with -r it is removed with all that is in it")
    return found


async def _below(end: XetEnd, path: str, kind: Known) -> AsyncGenerator[list[Entry], None]:
    if kind == "file":
        yield [await end.entry(path)]
        return
    async for page in end.scan(path):
        yield page


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
