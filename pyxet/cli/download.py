"""``xet download``."""

from __future__ import annotations

import click

import pyxet
from pyxet._shown import human_size
from pyxet.cli import candidates
from pyxet.cli.command import command
from pyxet.cli.progress import Progress, found_callback
from pyxet.cli.session import Session
from pyxet.cli.transfer_options import names_option
from pyxet.local_rules import LocalNames


@command(
    "download",
    json=True,
    examples=[
        "xet download acme/titanic/main",
        "xet download acme/model/v1 ./model --exclude '*.bin'",
        "xet download datasets/acme/corpus/main ./corpus --include '*.parquet'",
    ],
)
@click.argument("path", shell_complete=candidates.any_path)
@click.argument("folder", required=False)
@click.option(
    "--include",
    multiple=True,
    metavar="GLOB",
    help="Only files that match, by their name or by a folder's; may be repeated.",
)
@click.option("--exclude", multiple=True, metavar="GLOB", help="No files that match; may be repeated.")
@names_option
@click.option("--no-progress", is_flag=True, help="Show no progress on a terminal.")
def download(
    session: Session,
    path: str,
    folder: str | None,
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    names: LocalNames,
    no_progress: bool,
) -> None:
    """PATH is a branch, tag or commit, or a folder in one. Without FOLDER it goes to a folder in your cache, one for each
    commit. The path of the folder is the result. Files that are there and right are not fetched again, and a download that
    was interrupted goes on where it was. Files that PATH does not have are left alone.
    """
    progress = Progress("downloading", wanted=not (no_progress or session.quiet or session.verbose))
    session.interrupted = "what was fetched stays; run the same command again to continue"
    before = pyxet.metrics()

    async def work() -> str:
        async with pyxet.AsyncXetFileSystem(**session.options(path), asynchronous=True) as fs:
            callback = found_callback(progress)
            return await fs._snapshot(path, folder, include=include, exclude=exclude, callback=callback, names=names)

    with progress:
        found = session.run(work)
    received = (pyxet.metrics() - before).bytes_received
    if session.json:
        session.data({"folder": found, "received_bytes": received})
        return
    session.line(found)
    session.note(f"received {human_size(received)} in {progress.seconds:.1f} s")
