"""`ingest`: lists the source, gives batches to workers, keeps the journal, and commits at the end."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Final, Literal

from fsspec import AbstractFileSystem
from fsspec.callbacks import DEFAULT_CALLBACK, Callback
from fsspec.utils import stringify_path

from pyxet._async.changes.guards import Conditions, check_parent_commit
from pyxet._async.http.messages import is_transient
from pyxet._progress import Bar
from pyxet.errors import BadRequestError, ConfigError, IngestError, XetError, XetURLError
from pyxet.fs import XetFS
from pyxet.ingestion.copying import Copied, Copier
from pyxet.ingestion.engines import Engine, EngineName, WorkersDiedError, engine_of
from pyxet.ingestion.journal import Journal, default_place
from pyxet.ingestion.plan import Batch, Source, SourceFile, batches
from pyxet.options import public
from pyxet.reports import IngestFailure, IngestReport
from pyxet.types import Commit, IfMatch, RepoId, WriteMode
from pyxet.urls import XetURL

OnError = Literal["raise", "skip"]

_BATCH_FILES: Final = 512
_BATCH_BYTES: Final = 128 * 1024 * 1024
# Maximum number of failures that a report lists.
_MAX_FAILURES: Final = 1000
# How often a batch is tried if the endpoint fails, in addition to the retries of each request.
_TRIES: Final = 3


@public()
def ingest(
    source: str | os.PathLike[str],
    destination: str,
    *,
    engine: EngineName = "local",
    source_options: Mapping[str, Any] | None = None,
    source_fs: AbstractFileSystem | None = None,
    fs: XetFS | None = None,
    client: Any = None,
    message: str | None = None,
    parent_commit: str | None = None,
    mode: WriteMode = "overwrite",
    if_match: IfMatch | None = None,
    on_error: OnError = "raise",
    files_per_commit: int | None = None,
    batch_files: int = _BATCH_FILES,
    batch_bytes: int = _BATCH_BYTES,
    journal: str | os.PathLike[str] | None = None,
    callback: Callback = DEFAULT_CALLBACK,
    progress: bool = False,
    follow_links: bool = True,
) -> IngestReport:
    """Copy a tree from any file system that fsspec knows into a branch: workers store the content, this process commits.

    To continue a run that was interrupted or killed, call it again: files that are stored are not stored again, and files
    that the branch already has are left out of the commit. Files that have changed since are stored again.

    Parameters
    ----------
    source:
        URL or local path of the tree, or of one file: ``s3://bucket/corpus``.
    destination:
        A branch, or a folder in it: ``acme/corpus/main/raw``. Files keep their paths below the source.
    engine:
        What runs the workers: this process, dask, or ray.
    source_options, source_fs:
        Storage options for the URL; or the file system that ``source`` is a path of. Workers get it by pickle.
    fs:
        The file system to write to; by default one for the configured endpoint and credential. Workers get it by pickle,
        with the token only if that was given as an argument; otherwise each worker uses the credential configured there.
    client:
        For dask, a ``distributed.Client`` or the address of a scheduler; for ray, the address of a cluster. By default
        the connected one, or else a cluster on this machine that is stopped after the ingest.
    message:
        Commit message; one that counts the files if ``None``.
    parent_commit:
        Full commit id. The commit fails with a conflict if one of the files' paths has changed since.
    mode:
        With ``create``, the commit fails if one of the files exists. So it also fails if a committed ingest runs again.
    if_match:
        The version to replace, or a mapping of paths in the branch to versions; not together with ``files_per_commit``.
    on_error:
        What happens if the source cannot read some files. ``raise``: all other files are stored, nothing is committed.
        ``skip``: the other files are committed. The failures are reported in both cases.
    files_per_commit:
        Make several commits with this number of files each, one after the other when all files are stored; by default
        there is one commit, which is atomic.
    batch_files, batch_bytes:
        Maximum number of files and bytes that a worker gets at once.
    journal:
        The file that records what is stored; by default one in the user's folder for state, named by source and destination.
    callback:
        Counts bytes; its size is that of the files listed so far.
    follow_links:
        Whether local folders that links point to are copied as well; otherwise they are reported as failures.

    Returns
    -------
    IngestReport
        Files and bytes, what failed, and the commits.

    Raises
    ------
    IngestError
        Files could not be copied, or a later one of several commits failed. See its ``report``.
    ConfigError
        An option makes no sense, a package is missing, or another ingest has the journal.
    XetURLError, RevisionNotFoundError
        The destination is not in a branch, or the branch does not exist.
    XetError
        The endpoint failed, after retries, or the commit failed: see ``fs.commit``.
    OSError
        The source cannot be listed.
    """
    Conditions.asked(mode, if_match)
    check_parent_commit(parent_commit)
    if if_match is not None and files_per_commit is not None:
        raise ConfigError("if_match is about one commit of all files; leave out files_per_commit")
    if on_error not in ("raise", "skip"):
        raise ConfigError(f"on_error={on_error!r}: expected 'raise' or 'skip'")
    for name, value in (
        ("batch_files", batch_files),
        ("batch_bytes", batch_bytes),
        ("files_per_commit", files_per_commit),
    ):
        if value is not None and value < 1:
            raise ConfigError(f"{name}={value}: expected a positive number")
    if fs is None:
        fs = XetFS(XetFS._get_kwargs_from_urls(destination).get("endpoint"))
    elif fs.asynchronous:
        raise ConfigError("ingest blocks; give it a pyxet.XetFS without asynchronous=True")
    url = replace(fs._parse(destination), endpoint=None)
    repo, branch = url.repo_id, url.revision
    if repo is None or branch is None:
        raise XetURLError(f"{destination!r} is not in a branch; expected owner/repo/branch or a folder below it")
    tree = Source(stringify_path(source), source_options or {}, source_fs, follow_links=follow_links)
    copier = Copier(tree.fs, fs, url)
    chosen = engine_of(engine, copier, fs, client)
    _look(fs, repo, branch)
    about = {"source": tree.name, "destination": url.full_path, "endpoint": fs.endpoint}
    place = default_place(about) if journal is None else Path(journal)
    with closing(Journal(place, about)) as opened, _told(callback, progress) as told:
        run = _Run(fs, url, opened, told)
        listed = batches(run.unknown(tree), most_files=batch_files, most_bytes=batch_bytes)
        run.copy(listed, chosen)
        if run.failed and on_error == "raise":
            raise IngestError(
                f"{run.failed:,} files of {tree.name} could not be copied, so nothing is committed; on_error='skip' "
                f"commits the others. The first one is {run.failures[0].path}: {run.failures[0].error}",
                report=run.report(),
            )
        conditions = {"parent_commit": parent_commit, "mode": mode, "if_match": if_match}
        run.commit(files_per_commit, message=message, **conditions)
        return run.report()


@contextmanager
def _told(callback: Callback, progress: bool) -> Iterator[Callback]:
    """The callback to report to, which also draws a bar if ``progress`` is on."""
    if not progress:
        yield Callback.as_callback(callback)
        return
    with Bar("ingesting") as bar:
        yield bar.callback(Callback.as_callback(callback), files=False)


def _look(fs: XetFS, repo: RepoId, branch: str) -> None:
    """Raise unless the branch exists and can be written to."""

    async def look() -> None:
        await (await fs._connect()).trees.head(repo, branch)

    fs._block_on(look)


@dataclass(slots=True)
class _Work:
    """A batch that is being copied or waits for another try."""

    batch: Batch
    tries: int = 1


class _Run:
    """One run of an ingest, with its counts."""

    def __init__(self, fs: XetFS, url: XetURL, journal: Journal, callback: Callback) -> None:
        self._fs = fs
        self._branch = url.branch_path
        self._journal = journal
        self._callback = callback
        self._listed = 0
        self._files = self._bytes = 0
        self._resumed_files = self._resumed_bytes = 0
        self._stored = 0
        self._commits: list[Commit] = []
        self.failed = 0
        self.failures: list[IngestFailure] = []

    # -- copying -------------------------------------------------------------------------------------------------------

    def unknown(self, source: Source) -> Iterator[SourceFile]:
        """The files of the source whose present version no earlier run has stored."""
        for item in source.files():
            if isinstance(item, IngestFailure):
                self._fail(item)
                continue
            self._listed += item.size or 0
            self._callback.set_size(self._listed)
            size = self._journal.take(item)
            if size is None:
                yield item
                continue
            self._files += 1
            self._bytes += size
            self._resumed_files += 1
            self._resumed_bytes += size
            self._callback.relative_update(item.size or 0)

    def copy(self, listed: Iterator[Batch], engine: Engine) -> None:
        """Copy all batches with an engine, as many at once as it has the capacity for."""
        first = next(listed, None)
        if first is None:
            return
        again = deque([_Work(first)])
        under_way: dict[Any, _Work] = {}
        try:
            engine.start()
            while True:
                while len(under_way) < engine.capacity:
                    if again:
                        work = again.popleft()
                    elif batch := next(listed, None):
                        work = _Work(batch)
                    else:
                        break
                    under_way[engine.submit(work.batch)] = work
                if not under_way:
                    return
                for handle in engine.wait(under_way):
                    work = under_way.pop(handle)
                    try:
                        self._note(engine.result(handle))
                    except WorkersDiedError as error:
                        for file in work.batch.files:
                            self._fail(IngestFailure(file.name, f"the workers that copied it died: {error}"))
                    except BadRequestError as error:
                        # Perhaps the endpoint refuses the name of one file. Smaller batches show which.
                        again.extend(map(_Work, self._halves(work.batch, error)))
                    except XetError as error:
                        if work.tries == _TRIES or not is_transient(error):
                            raise
                        again.append(_Work(work.batch, work.tries + 1))
        finally:
            engine.close(under_way)

    def _halves(self, batch: Batch, error: BadRequestError) -> list[Batch]:
        """Two smaller batches in place of one that the endpoint refused. A single file is counted as failed instead."""
        files = batch.files
        if len(files) == 1:
            self._fail(IngestFailure(files[0].name, f"{type(error).__name__}: {error}"))
            return []
        middle = len(files) // 2
        return [Batch(files[:middle]), Batch(files[middle:])]

    def _note(self, copied: Copied) -> None:
        self._journal.add(copied.stored)
        for file, pointer in copied.stored:
            self._files += 1
            self._bytes += pointer.size
            self._stored += pointer.stored_bytes
            self._callback.relative_update(file.size or 0)
        for failure in copied.failures:
            self._fail(failure)

    def _fail(self, failure: IngestFailure) -> None:
        self.failed += 1
        if len(self.failures) < _MAX_FAILURES:
            self.failures.append(failure)

    # -- the end -------------------------------------------------------------------------------------------------------

    def commit(self, files_per_commit: int | None, **options: Any) -> None:
        """Commit the stored files, with the options of ``fs.commit``."""
        pointers = self._journal.pointers()
        try:
            if files_per_commit is None:
                self._made(self._fs.commit(self._branch, pointers, **options))
                return
            while some := list(islice(pointers, files_per_commit)):
                self._made(self._fs.commit(self._branch, some, **options))
        except BadRequestError as error:
            if not self._resumed_files:
                raise
            raise IngestError(
                f"the commit failed: {error}. If the endpoint no longer has what an earlier run stored, delete "
                f"the journal, {self._journal.place}, and run it again",
                report=self.report(),
            ) from error
        except XetError as error:
            if not self._commits:
                raise
            raise IngestError(
                f"a commit failed after {len(self._commits)} were made: {error}; run it again for the rest",
                report=self.report(),
            ) from error

    def _made(self, commit: Commit | None) -> None:
        if commit is not None:
            self._commits.append(commit)

    def report(self) -> IngestReport:
        """The report of what was done so far."""
        return IngestReport(
            files=self._files,
            bytes=self._bytes,
            resumed_files=self._resumed_files,
            resumed_bytes=self._resumed_bytes,
            stored_bytes=self._stored,
            failed=self.failed,
            failures=tuple(self.failures),
            commits=tuple(self._commits),
            journal=str(self._journal.place),
        )
