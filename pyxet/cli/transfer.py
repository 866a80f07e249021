"""Transfers files from one end to the other: lists, chooses and moves them at the same time, in bounded memory.

The listing goes into a bounded queue while workers take files from it, in batches where the file system transfers many small
files together. Everything that is written to a branch is one transaction: one commit, or none.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import click

import pyxet
from pyxet._shown import human_size
from pyxet._traces import unwrap
from pyxet._workers import Workers
from pyxet.cli.paths import place
from pyxet.cli.progress import Progress, files_callback
from pyxet.cli.session import CommandError, Session
from pyxet.cli.transfer_ends import End, Entry, StreamEnd
from pyxet.cli.transfer_listing import Page, looked_through
from pyxet.cli.transfer_local import LocalEnd, check_name
from pyxet.cli.transfer_names import check_parts
from pyxet.cli.transfer_other import other_end
from pyxet.cli.transfer_xet import XetEnd
from pyxet.local_rules import LocalNames, LocalRules

if TYPE_CHECKING:
    from pyxet import AsyncXetFileSystem, Transaction

# The most files in the queue, and the number of workers unless the user gives another one.
_WINDOW: Final = 4000
_AT_ONCE: Final = 16
# The most files in one call of the file system.
_BATCH: Final = 256
# The messages for an interrupted transfer: out of a repository, and into a branch.
_GOES_ON: Final = "run the same command again to continue: what the endpoint has already is not stored again"
_ON_INTERRUPT: Final = (
    "what was copied stays; run the same command again to continue the interrupted file, or xet sync to skip what is copied",
    f"nothing was committed; {_GOES_ON}",
)


@dataclass(frozen=True, slots=True)
class Item:
    """One file to transfer.

    Attributes
    ----------
    needed:
        Called just before the file would be transferred: whether it has to be. ``None`` if it has to be in any case.
    """

    source: End
    entry: Entry
    target: str
    needed: Callable[[], Awaitable[bool]] | None = None


class Transfer:
    """The transfer of one command, into one end.

    Parameters
    ----------
    message:
        The message of the commit.
    pull_request:
        Whether to open a pull request with the changes instead of committing them.
    parallel:
        The most files, and requests, at the same time.
    verb:
        What the transfer does, for the progress: ``copying``.
    names:
        What to do with files that cannot have their names on this machine.

    Attributes
    ----------
    planned:
        The actions that a dry run with ``--json`` would take.
    deleted:
        Files that were deleted at the target.
    """

    def __init__(
        self, session: Session, *, verb: str, message: str | None = None, pull_request: bool = False,
        parallel: int | None = None, dry_run: bool = False, show: bool = True, names: LocalNames = "refuse",
    ) -> None:  # fmt: skip
        self.session = session
        self.threads = Workers(max(parallel or _AT_ONCE, 2), "xet")
        self.dry_run = dry_run
        self.progress = Progress(verb, wanted=show and not (session.quiet or session.verbose or dry_run))
        self.planned: list[dict[str, Any]] = []
        self.deleted = 0
        self._rules = LocalRules(names, hint="--names escape")
        self._message = message
        self._pull_request = pull_request
        self._parallel = parallel
        self._systems: list[tuple[dict[str, Any], AsyncXetFileSystem]] = []
        self._local_sources: list[LocalEnd] = []
        self._transaction: Transaction | None = None

    # -- ends ----------------------------------------------------------------------------------------------------------

    async def ends(self, *typed: str) -> list[End]:
        """The ends that paths on the command line name."""
        places = [place(path) for path in typed]
        urls = [found.url for found in places if found.url is not None]
        if not urls:
            raise _none_in_a_repository(typed)
        several = len({url.endpoint for url in urls if url.endpoint is not None}) > 1
        found: list[End] = []
        for path, where in zip(typed, places, strict=True):
            if where.url is not None:
                options = self.session.options(*([path] if several else [str(url) for url in urls]))
                found.append(XetEnd(path, where.url, self._system(options)))
            elif where.kind == "local":
                local = LocalEnd(where.path, self.threads)
                found.append(local)
                if len(found) < len(typed):
                    self._local_sources.append(local)
            elif where.kind == "other":
                found.append(await other_end(path, self.threads))
            else:
                raise click.UsageError("- goes with one other path, which is a file of a repository")
        return found

    def _system(self, options: dict[str, Any]) -> AsyncXetFileSystem:
        if self._parallel is not None:
            options = options | {"limits": {"concurrency": self._parallel}}
        # Equal options must give the same file system. fsspec's cache does not ensure that: before version 2026.7 it forgets
        # the first one after a fork.
        for known, fs in self._systems:
            if known == options:
                return fs
        fs = pyxet.AsyncXetFileSystem(**options, asynchronous=True)
        self._systems.append((options, fs))
        return fs

    # -- the whole -----------------------------------------------------------------------------------------------------

    async def into(self, target: End, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run ``work``; if it raises no error, commit what it wrote to a branch."""
        async with AsyncExitStack() as stack:
            for _, fs in self._systems:
                await stack.enter_async_context(fs)
            if isinstance(target, XetEnd):
                await target.check_writable()
            stack.enter_context(self.progress)
            if not self.dry_run:
                self.session.interrupted = _ON_INTERRUPT[isinstance(target, XetEnd)]
            if isinstance(target, XetEnd) and not self.dry_run:
                transaction = target.fs.transaction(message=self._message, pull_request=self._pull_request)
                self._transaction = await stack.enter_async_context(transaction)
                self.progress.deduplicated = lambda: transaction.totals.deduplicated
            await work()
            self.progress.committing()
            if self._transaction is not None:
                # Next, the rest of the content is sent, then the commit, which the endpoint may make even after an interruption.
                told = f"xet log {target.typed} shows whether the commit was made; if not, {_GOES_ON}"
                self.session.interrupted = told

    async def reading(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run ``work`` that only reads from repositories, without a display of progress."""
        async with AsyncExitStack() as stack:
            for _, fs in self._systems:
                await stack.enter_async_context(fs)
            await work()

    def looked_through(self, pages: AsyncGenerator[Page, None], target: End) -> AsyncGenerator[Page, None]:
        """The pages with the target paths that files get: for a local target, after the checks of `transfer_listing`."""
        if isinstance(target, LocalEnd):
            return looked_through(pages, self._rules, target.path, self.threads)
        return pages

    async def move(self, items: AsyncIterator[Item], target: End) -> None:
        """Transfer files while they are listed. The first error ends the transfer and is raised."""
        if self.dry_run:
            async for item in items:
                if item.needed is None or await item.needed():
                    self.progress.done(item.entry.size)
                    self.plan("copy", item.source.label(item.entry.path), target.label(item.target), item.entry.size)
                else:
                    self.progress.skipped += 1
            return
        queue: asyncio.Queue[Item | None] = asyncio.Queue(_WINDOW)
        workers = self._parallel or _AT_ONCE

        async def produce() -> None:
            try:
                async for item in items:
                    self.progress.found(item.entry.size)
                    await queue.put(item)
            except OSError as error:
                if isinstance(error, pyxet.XetError):
                    raise
                raise CommandError(_reason(error, []), hint=self._nothing(target)) from error
            self.progress.all_found()
            for _ in range(workers):
                await queue.put(None)

        async def consume() -> None:
            waiting: list[Item] = []
            while (item := waiting.pop() if waiting else await queue.get()) is not None:
                batch = [item]
                while len(batch) < _batch_size(item.source, target) and not queue.empty():
                    more = queue.get_nowait()
                    if more is None:
                        await queue.put(None)
                        break
                    if more.source is not item.source:
                        waiting.append(more)
                        break
                    batch.append(more)
                await self._move(await self._needed(batch), target)

        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(produce())
                for _ in range(workers):
                    group.create_task(consume())
        except BaseExceptionGroup as group_of_errors:
            error = unwrap(group_of_errors)
        else:
            return
        # Raised outside of the handler, so that the error keeps its own context.
        raise error

    async def _needed(self, batch: Sequence[Item]) -> list[Item]:
        found = []
        for item in batch:
            if item.needed is None or await item.needed():
                found.append(item)
            else:
                self.progress.skip(item.entry.size)
        return found

    async def _move(self, batch: list[Item], target: End) -> None:
        if not batch:
            return
        source = batch[0].source
        for item in batch:
            _check(item, target)
        paths, targets = [item.entry.path for item in batch], [item.target for item in batch]
        try:
            if isinstance(source, LocalEnd) and isinstance(target, XetEnd):
                await target.fs._put(paths, targets, callback=files_callback(self.progress))
            elif isinstance(source, XetEnd) and isinstance(target, LocalEnd):
                await source.fs._get(paths, targets, callback=files_callback(self.progress))
            elif isinstance(source, XetEnd) and isinstance(target, XetEnd) and source.fs is target.fs:
                await target.fs._copy(paths, targets)
            else:
                # At least one end is a repository, so neither is local here.
                assert isinstance(source, StreamEnd)
                assert isinstance(target, StreamEnd)
                for item in batch:
                    await target.write(item.target, item.entry, self._counted(source.pieces(item.entry)))
        except (pyxet.XetError, CommandError) as error:
            if isinstance(error, pyxet.XetURLError):
                # No file of a repository can have this name.
                raise CommandError(str(error), hint=f"rename it, or --exclude it; {self._nothing(target)}") from error
            raise
        except Exception as error:
            raise CommandError(_reason(error, batch), hint=self._nothing(target)) from error
        for item in batch:
            self.progress.done(item.entry.size)

    async def _counted(self, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for piece in pieces:
            yield piece
            self.progress.moved(len(piece))

    async def delete(self, target: End, entries: Sequence[Entry]) -> None:
        """Delete files at the target."""
        self.deleted += len(entries)
        if self.dry_run:
            for entry in entries:
                self.plan("delete", None, target.label(entry.path), entry.size)
        elif entries:
            await target.delete(entries)

    def plan(self, action: str, source: str | None, target: str, size: int | None) -> None:
        """Report an action that a dry run would take."""
        if self.session.json:
            self.planned.append({"action": action, "source": source, "target": target, "size": size})
        else:
            self.session.line(f"{action} {source} to {target}" if source is not None else f"{action} {target}")

    def _nothing(self, target: End) -> str:
        return "nothing was committed" if isinstance(target, XetEnd) else "what was copied before stays"

    # -- the end -------------------------------------------------------------------------------------------------------

    def report(self, verb: str, chosen: Callable[[str], bool]) -> None:
        """Report what was done: as JSON on standard output, or as a line on standard error.

        Also warn of what was left out of local folders although it was ``chosen``.
        """
        for end in self._local_sources:
            for path, why in end.left_out.items():
                if chosen(path.rpartition("/")[2]):
                    self.session.warn(f"{path} is left out: {why}")
        progress = self.progress
        totals = self._transaction.totals if self._transaction is not None else None
        commits = self._transaction.commits if self._transaction is not None else ()
        if self.session.json:
            value: dict[str, Any] = {
                "files": progress.files, "bytes": progress.bytes, "skipped": progress.skipped, "deleted": self.deleted,
                "seconds": round(progress.seconds, 3), "dry_run": self.dry_run,
                "deduplicated": totals.deduplicated if totals else 0, "sent": totals.sent if totals else 0,
                **made_for_json(commits),
            }  # fmt: skip
            if self.dry_run:
                value["planned"] = self.planned
            self.session.data(value)
            return
        parts = [
            f"{'would have ' if self.dry_run else ''}{verb} {counted(progress.files)}, {human_size(progress.bytes)}"
        ]
        if not self.dry_run:
            parts[0] += f" in {progress.seconds:.1f} s"
            if progress.seconds > 0.1 and progress.bytes:
                parts[0] += f" ({human_size(int(progress.bytes / progress.seconds))}/s)"
        if self.deleted:
            parts.append(f"{'would have ' if self.dry_run else ''}deleted {counted(self.deleted)}")
        if progress.skipped:
            parts.append(f"{progress.skipped:,} unchanged")
        if totals is not None:
            if totals.content:
                parts.append(f"sent {human_size(totals.sent)}, {totals.deduplicated / totals.content:.0%} deduplicated")
            parts.append(commits_made(commits))
        self.session.note("; ".join(parts))


def _none_in_a_repository(typed: Sequence[str]) -> Exception:
    """The error for paths of which none is in a repository. If a path looks like one of a repository, why it is not valid."""
    for path in typed:
        if path.count("/") > 1 and not path.startswith(("/", "~", ".")) and ":" not in path:
            try:
                pyxet.XetURL.parse(path)
            except pyxet.XetURLError as error:
                return error
    return click.UsageError(
        "none of the paths is in a repository; put xet:// before the one that is, as in xet://owner/repo/branch/path"
    )


def counted(files: int) -> str:
    """``1 file``, ``2,000 files``."""
    return "1 file" if files == 1 else f"{files:,} files"


def commits_made(commits: Sequence[pyxet.Commit]) -> str:
    """The commits, or pull requests, that were made, as text."""
    if not commits:
        return "nothing changed, so there is no commit"
    if proposed := [commit.pull_request for commit in commits if commit.pull_request is not None]:
        return ", ".join(f"opened pull request {one.number}: {one.url}" for one in proposed)
    return f"commit {', '.join(commit.id[:10] for commit in commits)}"


def made_for_json(commits: Sequence[pyxet.Commit]) -> dict[str, Any]:
    """The commits and pull requests that were made, for JSON output."""
    proposed = [commit.pull_request for commit in commits if commit.pull_request is not None]
    value: dict[str, Any] = {"commits": [{"id": commit.id, "message": commit.message} for commit in commits]}
    if proposed:
        value["pull_requests"] = [{"number": one.number, "path": one.path, "url": one.url} for one in proposed]
    return value


def _batch_size(source: End, target: End) -> int:
    """The most files for one call of the file system: more than one only where it transfers many files together."""
    return _BATCH if isinstance(source, XetEnd) and (isinstance(target, LocalEnd) or _same(source, target)) else 1


def _same(source: End, target: End) -> bool:
    return isinstance(source, XetEnd) and isinstance(target, XetEnd) and source.fs is target.fs


def _check(item: Item, target: End) -> None:
    label = item.source.label(item.entry.path)
    check_parts(item.entry.name, label)
    if item.entry.special:
        raise CommandError(f"{label} is not a file that can be read", hint="to leave it out: --exclude")
    if not isinstance(target, LocalEnd):
        check_name(item.entry)


def _reason(error: Exception, batch: Sequence[Item]) -> str:
    """What failed, and why. If the error names no file, the file of the batch is named, if that has only one."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error) or type(error).__name__
    path = getattr(error, "filename", None)
    if not path and len(batch) == 1:
        path = batch[0].source.label(batch[0].entry.path)
    return f"{path}: {text}" if path else text
