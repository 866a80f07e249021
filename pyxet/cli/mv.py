"""``xet mv``."""

from __future__ import annotations

import click

from pyxet._shown import human_size
from pyxet.cli import candidates
from pyxet.cli.command import command
from pyxet.cli.paths import place, writable
from pyxet.cli.session import CommandError, Session
from pyxet.cli.transfer import commits_made, counted, made_for_json
from pyxet.cli.transfer_ends import joined
from pyxet.cli.transfer_names import sources
from pyxet.cli.transfer_options import message as message_option
from pyxet.cli.transfer_options import pull_request as pull_request_option
from pyxet.cli.transfer_xet import XetEnd


@command(
    "mv",
    json=True,
    examples=[
        "xet mv acme/titanic/main/titanic.csv acme/titanic/main/data/passengers.csv",
        "xet mv acme/titanic/main/data acme/titanic/main/archive/ -m 'Out of the way'",
    ],
)
@click.argument("source", metavar="SRC", shell_complete=candidates.remote_path)
@click.argument("target", metavar="DST", shell_complete=candidates.remote_path)
@message_option
@pull_request_option
def mv(session: Session, source: str, target: str, message: str | None, pull_request: bool) -> None:
    """Both are in repositories. Names and slashes mean what they mean to xet cp -r. No content moves inside one
    repository, and it is one commit for each branch.
    """
    for path in (source, target):
        _check(path)
    url = place(source).url
    if url is not None and url.level == "branch":
        raise CommandError(f"{source} is a branch, and mv moves files", hint="another branch of it: xet branch make")
    session.run(lambda: _move(session, source, target, message, pull_request=pull_request))


async def _move(session: Session, source: str, target: str, message: str | None, *, pull_request: bool) -> None:
    async with session.afs(source, target) as fs:
        ends = []
        for path in (source, target):
            url = place(path).url
            assert url is not None
            ends.append(XetEnd(path, url, fs))
            await ends[-1].check_writable()
        origin, goal = ends
        paths: list[str] = []
        targets: list[str] = []
        size = 0
        for found in await sources([origin], goal, recursive=True):
            if f"{found.target}/".startswith(f"{found.path}/"):
                what = "itself" if found.target == found.path else "a folder inside itself"
                raise CommandError(f"{source} cannot be moved to {what}")
            if found.kind == "folder" and not origin.has_slash and await goal.kind_of(found.target) == "folder":
                raise CommandError(
                    f"{source} cannot be moved to {found.target}, which is a folder",
                    hint="with a slash at the end of the source, what is in it goes there",
                )
            if found.kind == "file":
                entry = await origin.entry(found.path)
                paths.append(found.path)
                targets.append(found.target)
                size += entry.size or 0
                continue
            async for page in origin.scan(found.path):
                paths += [entry.path for entry in page]
                targets += [joined(found.target, entry.name) for entry in page]
                size += sum(entry.size or 0 for entry in page)
        async with fs.transaction(message=message, pull_request=pull_request) as transaction:
            await fs._mv(paths, targets)
    commits = transaction.commits
    if session.json:
        session.data({"files": len(paths), "bytes": size, **made_for_json(commits)})
    else:
        session.note(f"moved {counted(len(paths))}, {human_size(size)}; {commits_made(commits)}")


def _check(path: str) -> None:
    found = place(path)
    if found.url is None:
        raise click.UsageError(f"{path} is not in a repository; copy it with xet cp, and delete what is left over")
    if found.url.level in ("owner", "repo", "root"):
        raise CommandError(f"{path} is above branches, and mv moves files", hint="repositories: xet repo rename")
    writable(found.url)
