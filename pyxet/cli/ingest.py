"""``xet ingest``."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final, Literal

import click

import pyxet
from pyxet._shown import human_size
from pyxet.cli import candidates
from pyxet.cli.command import command
from pyxet.cli.paths import place, remote, writable
from pyxet.cli.progress import Progress, listed_callback
from pyxet.cli.session import Session
from pyxet.cli.transfer import commits_made, counted
from pyxet.cli.transfer_options import message as message_option

if TYPE_CHECKING:
    from pyxet import IngestReport

# How many unreadable files are listed one by one; their total number is shown in any case.
_TOLD: Final = 20


@command(
    "ingest",
    json=True,
    examples=[
        "xet ingest s3://bucket/corpus acme/corpus/main/raw -m 'All of it'",
        "xet ingest ./shards acme/corpus/main --engine dask --scheduler tcp://10.0.0.1:8786",
        "xet ingest gs://bucket/corpus acme/corpus/main --on-error skip --files-per-commit 100000",
    ],
)
@click.argument("source", metavar="SRC", shell_complete=candidates.any_path)
@click.argument("target", metavar="DST", shell_complete=candidates.remote_path)
@click.option(
    "--engine",
    type=click.Choice(["local", "dask", "ray"]),
    default="local",
    show_default=True,
    help="Who copies: this process, or workers of dask or ray.",
)
@click.option(
    "--scheduler", metavar="ADDRESS", help="Of the dask scheduler or the ray cluster; else one on this machine."
)
@click.option(
    "--on-error",
    type=click.Choice(["raise", "skip"]),
    default="raise",
    show_default=True,
    help="Whether a file that cannot be read keeps the others from being committed.",
)
@click.option(
    "--files-per-commit",
    metavar="N",
    type=click.IntRange(1),
    help="Several commits of N files each; one, which is all or nothing, if not given.",
)
@click.option(
    "--journal",
    metavar="FILE",
    shell_complete=candidates.local_path,
    help="Where it is noted what is stored; a file named by SRC and DST if not given.",
)
@message_option
@click.option("--no-progress", is_flag=True, help="Show no progress on a terminal.")
def ingest(
    session: Session,
    source: str,
    target: str,
    engine: Literal["local", "dask", "ray"],
    scheduler: str | None,
    on_error: Literal["raise", "skip"],
    files_per_commit: int | None,
    journal: str | None,
    message: str | None,
    no_progress: bool,
) -> None:
    """Copy a large tree from any file system that fsspec knows into a branch, with many workers if need be: content is
    stored first, then committed. A run that was interrupted, or killed, goes on where it was when the same command is
    given again.
    """
    if scheduler is not None and engine == "local":
        raise click.UsageError("--scheduler is for --engine dask or ray")
    writable(remote(target))
    found = place(source)
    if found.kind == "standard":
        raise click.UsageError("standard input is not a folder; see xet cp")
    options: dict[str, Any] = {}
    if found.url is not None:
        options["source_fs"] = session.fs(source)
    fs = session.fs(target)
    session.interrupted = "run the same command again to continue: files in the journal are not copied again"
    progress = Progress("ingesting", wanted=not (no_progress or session.quiet or session.verbose))
    with progress:
        report = pyxet.ingest(
            found.url.full_path if found.url is not None else found.path, target, engine=engine, client=scheduler, fs=fs,
            message=message, on_error=on_error, files_per_commit=files_per_commit, journal=journal,
            callback=listed_callback(progress), **options,
        )  # fmt: skip
    _tell(session, report, progress.seconds)


def _tell(session: Session, report: IngestReport, seconds: float) -> None:
    if session.json:
        commits = [{"id": commit.id, "message": commit.message} for commit in report.commits]
        session.data(asdict(report) | {"commits": commits, "seconds": round(seconds, 3)})
        return
    for failure in report.failures[:_TOLD]:
        session.warn(f"{failure.path}: {failure.error}")
    parts = [f"ingested {counted(report.files)}, {human_size(report.bytes)} in {seconds:.1f} s"]
    if report.resumed_files:
        parts.append(f"{counted(report.resumed_files)} of them stored by an earlier run")
    if report.failed:
        parts.append(f"{counted(report.failed)} could not be read")
    parts += [f"stored {human_size(report.stored_bytes)}", commits_made(report.commits)]
    session.note("; ".join(parts))
