"""The part of the file system that stores content in one process and commits it in another.

Workers stage: they store content and get a `FilePointer` for it. A driver commits the pointers of all of them.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, TypeAlias, TypeVar

from fsspec.callbacks import DEFAULT_CALLBACK, Callback
from fsspec.utils import stringify_path

from pyxet._async.changes.buffers import as_bytes
from pyxet._async.changes.guards import Conditions, check_written
from pyxet._async.changes.pending import Pending
from pyxet._async.changes.spool import Spooled
from pyxet._async.fs.calls import at_home, opened
from pyxet._async.fs.guarding import Guarding
from pyxet._async.fs.names import check_once, check_separate
from pyxet._async.fs.progress import shows_progress
from pyxet._async.runtime.streams import Stream, is_stream
from pyxet._async.runtime.tasks import run_all
from pyxet._async.runtime.threads import in_own_thread
from pyxet._platform_files import reachable
from pyxet.errors import BadRequestError, ConfigError, IntegrityError, XetURLError
from pyxet.options import public
from pyxet.types import AsyncSource, Commit, FilePointer, IfMatch, RepoId, UploadedContent, WriteMode
from pyxet.urls import XetURL

if TYPE_CHECKING:
    from pyxet._async.changes.changeset import ChangeSet, PendingWriter

T = TypeVar("T")
StageSource: TypeAlias = bytes | bytearray | memoryview | str | os.PathLike[str] | IO[bytes] | AsyncSource

# Pointers that are read together from the caller's iterable, in a thread: it may read a file or a database.
_POINTERS_AT_ONCE: Final = 1000
_SHA256: Final = re.compile(r"[0-9a-f]{64}\Z")


class Stage:
    """Stores contents for one branch and returns pointers to them; small contents are uploaded together.

    Parameters
    ----------
    changes:
        Collects the contents, and is never committed.
    endpoint:
        The endpoint, for the pointers.
    """

    def __init__(self, changes: ChangeSet, endpoint: str) -> None:
        self._changes = changes
        self._endpoint = endpoint
        self._claimed: dict[str, str] = {}

    async def add(
        self, path: str, source: StageSource | Stream, *, sha256: str | None = None, callback: Callback = DEFAULT_CALLBACK
    ) -> None:  # fmt: skip
        """Add the content of a path in the repository."""
        if sha256 is not None:
            if not _SHA256.match(sha256):
                raise ConfigError(f"sha256={sha256!r}: expected 64 hexadecimal digits in lower case")
            self._claimed[path] = sha256
        changes, progress = self._changes, callback.relative_update
        if isinstance(source, (str, os.PathLike)):
            local = Path(reachable(stringify_path(source)))
            await changes.upload(path, local, progress, sized=callback.set_size, sha256=sha256)
        elif isinstance(source, Stream):
            await changes.upload_object(path, source, progress, sha256=sha256)
        else:
            data = as_bytes(source)
            callback.set_size(len(data))
            await changes.write(path, data, sha256=sha256)
            progress(len(data))

    def writer(self, path: str) -> PendingWriter:
        """A writer for the content of a path in the repository, which comes in pieces."""
        return self._changes.writer(path)

    async def finish(self) -> dict[str, FilePointer]:
        """Store all added contents durably, so that they survive a crash of the endpoint; return the pointers by path.

        Raises
        ------
        IntegrityError
            A small content does not have the SHA-256 that was given for it.
        """
        changes = self._changes
        await changes.store()
        files = [(path, pending) for path, pending in changes.files.items() if pending is not None]
        inside = [pending.content for _, pending in files if isinstance(pending.content, Spooled)]
        data = iter(await changes.carried(inside))
        pointers = {path: self._pointer(path, pending, data) for path, pending in files}
        for path, sha256 in self._claimed.items():
            if pointers[path].sha256 != sha256:
                raise IntegrityError(
                    f"{changes.path}/{path}: the SHA-256 of its content is {pointers[path].sha256}, not {sha256}"
                )
        return pointers

    def _pointer(self, path: str, pending: Pending, inside: Iterator[bytes]) -> FilePointer:
        branch = self._changes.path
        match pending.content:
            case UploadedContent() as content:
                return FilePointer(
                    self._endpoint, branch, path, content.size, content.sha256, content.xet_hash, content.stored
                )  # fmt: skip
            case Spooled():
                data = next(inside)
                sha256 = hashlib.sha256(data).hexdigest()
                return FilePointer(self._endpoint, branch, path, len(data), sha256, None, 0, data)
        raise AssertionError("unreachable: a stage neither copies files nor leaves any undecided")

    async def discard(self) -> None:
        """Discard contents that are not stored yet."""
        await self._changes.discard()


class Staging(Guarding):
    """See `AsyncXetFileSystem`."""

    async def _new_stage(self, repo: RepoId, branch: str, *, propose: bool = False) -> Stage:
        """Make a stage for an existing branch, outside any transaction. The caller must discard it at the end."""
        client = await self._connect()
        base = await client.trees.head(repo, branch)
        # Another process may commit the pointers, and readers in this process should then see its commit.
        client.trees.invalidate_branch(repo, branch)
        branch = client.trees.full_name(repo, branch)
        from pyxet._async.changes.changeset import ChangeSet

        return Stage(ChangeSet(client, repo, branch, base, None, propose=propose), self.endpoint)

    @public()
    @shows_progress("storing", files=False)
    async def _stage(
        self,
        /,
        data: StageSource,
        path: str,
        sha256: str | None = None,
        callback: Callback = DEFAULT_CALLBACK,
        pull_request: bool = False,
        progress: bool = False,
    ) -> FilePointer:
        """Store content for a later commit, which another process may make, see `_commit`.

        The content is not visible before that commit, and the call is not part of a transaction. Staging the same content
        again, for example after a crash, stores nothing new.

        Parameters
        ----------
        data:
            Bytes, the path of a local file, or another source as in `_put_file`: a binary file, which is read from its
            current position, or an asynchronous iterator.
        path:
            The path that the file will have: ``acme/corpus/main/up/1.bin``.
        sha256:
            SHA-256 of the content in 64 lower-case hexadecimal digits, if the caller knows it. For content above 1 MiB it is
            used without a check, which saves computing it; the endpoint may check it.
        callback:
            Counts bytes.
        pull_request:
            Whether the content is for a new pull request for the branch. The user then needs no write access to the branch.

        Returns
        -------
        FilePointer
            A reference to the content for `_commit`; it can be pickled and sent to another process.

        Raises
        ------
        RevisionNotFoundError
            There is no such branch.
        IntegrityError
            The content does not have the given SHA-256.
        ConflictError
            A local file changed while it was read.
        """
        url, repo, branch = self._parse_file(path)
        source = opened(data) if is_stream(data) else data
        stage = await self._new_stage(repo, branch, propose=pull_request)
        try:
            await stage.add(url.path, source, sha256=sha256, callback=Callback.as_callback(callback))
            return (await stage.finish())[url.path]
        finally:
            await stage.discard()

    @public()
    @shows_progress("storing", files=True)
    async def _stage_many(
        self,
        /,
        files: Mapping[str, StageSource],
        sha256: Mapping[str, str] | None = None,
        callback: Callback = DEFAULT_CALLBACK,
        pull_request: bool = False,
        progress: bool = False,
    ) -> list[FilePointer]:
        """Store many files of one branch for a later commit. Small files are uploaded together, unlike with `_stage`.

        Parameters
        ----------
        files:
            By path, a source as in `_stage`.
        sha256:
            By path, the SHA-256 of contents for which the caller knows it.
        callback:
            Counts files; the callbacks that it branches for each file count bytes.
        pull_request:
            As in `_stage`.

        Returns
        -------
        list[FilePointer]
            The pointers in the order of ``files``.

        Raises
        ------
        XetURLError
            The files are not all of one branch, two paths are the same file, or ``sha256`` has a path that ``files`` lacks.
        """
        if not isinstance(files, Mapping):
            raise TypeError(f"stage_many takes a mapping of paths to contents, not {type(files).__name__}")
        targets = {path: self._parse_file(path) for path in files}
        known = self._known_of(sha256 or {}, targets.values())
        if not files:
            return []
        first, repo, branch = next(iter(targets.values()))
        for path, (_, *other) in targets.items():
            if other != [repo, branch]:
                raise XetURLError(f"{path!r} is not in {first.branch_path}; stage files of one branch at a time")
        check_once(targets, self._normal)
        check_separate(files.values())
        sources = {path: opened(source) if is_stream(source) else source for path, source in files.items()}
        callback = Callback.as_callback(callback)
        callback.set_size(len(files))
        stage = await self._new_stage(repo, branch, propose=pull_request)

        async def add(item: tuple[str, StageSource | Stream]) -> None:
            path, source = item
            with callback.branched(str(path), targets[path][0].path) as child:
                await stage.add(targets[path][0].path, source, sha256=known.get(targets[path][0].path), callback=child)
            callback.relative_update(1)

        try:
            await run_all(add, sources.items(), limit=self.limits.concurrency)
            pointers = await stage.finish()
        finally:
            await stage.discard()
        return [pointers[url.path] for url, _, _ in targets.values()]

    def _known_of(self, sha256: Mapping[str, str], targets: Collection[tuple[XetURL, RepoId, str]]) -> dict[str, str]:
        """The given SHA-256s by path in the branch. ``sha256`` and ``files`` may write the same path in different ways."""
        known = {}
        places = {(repo, branch, url.path) for url, repo, branch in targets}
        for path, value in sha256.items():
            url, repo, branch = self._parse_file(path)
            if (repo, branch, url.path) not in places:
                raise XetURLError(f"{path!r} has a SHA-256, but is not among the files to stage")
            known[url.path] = value
        return known

    @public()
    @at_home
    async def _commit(
        self,
        /,
        branch: str,
        pointers: Iterable[FilePointer],
        delete: Iterable[str] = (),
        message: str | None = None,
        parent_commit: str | None = None,
        mode: WriteMode = "overwrite",
        if_match: IfMatch | None = None,
        pull_request: bool = False,
    ) -> Commit | None:
        """Make one commit of staged files and deletions, or add them to the open transaction.

        Files that the branch already has with the same content are left out, so repeating a commit of staged files makes no
        second one.

        Parameters
        ----------
        branch:
            Path of the branch: ``acme/corpus/main``.
        pointers:
            Results of `_stage`, from this process or others. They are read a thousand at a time, so an iterator need not
            hold them all in memory.
        delete:
            Paths of files to delete, as in `_rm`: ``acme/corpus/main/old.bin``.
        message:
            Commit message; if ``None``, one that names the paths. A transaction uses it only if it has no message itself.
        parent_commit:
            A full commit id. A change to one of the paths since that commit is a conflict.
        mode:
            ``create`` raises if one of the staged files exists.
        if_match:
            The version to replace or delete, or a mapping of paths to versions.

        Returns
        -------
        Commit | None
            ``None`` if nothing changes, and in a transaction, which commits at its end.

        Raises
        ------
        XetURLError
            A pointer or a path to delete belongs to another endpoint, repository or branch.
        NotFoundError, IsADirectoryError
            A file to delete does not exist, or is a folder.
        AlreadyExistsError, EditConflictError
            A path exists, is not the version expected, or changed since ``parent_commit``.
        BadRequestError
            A path occurs twice, or would be both a file and a folder; the endpoint does not have the content.
        RevisionNotFoundError
            There is no such branch.
        """
        url = self._parse(branch)
        if url.level != "branch" or url.repo_id is None or url.revision is None:
            raise XetURLError(f"{branch!r} is not the path of a branch; expected owner/repo/branch")
        conditions = Conditions.asked(mode, if_match)
        if isinstance(delete, str):
            raise TypeError(f"delete: expected a list of paths, not the single path {delete!r}")
        doomed = [self._in_branch(path, url.full_path) for path in delete]
        transaction = self._open_transaction()
        async with self._edits(message, parent_commit, pull_request, many=True) as edits:
            changes = await edits.on(url.repo_id, url.revision)
            named = conditions.named(self._normal).difference(doomed)
            # ``create`` applies to the staged files only: files to delete have to exist.
            await self._delete_files(
                edits, await self._files_at(doomed), replace(conditions, create=False), parent_commit, some=True
            )
            taken = {path.removeprefix(f"{url.full_path}/") for path in doomed}
            source = iter(pointers)
            while some := await in_own_thread(lambda: list(islice(source, _POINTERS_AT_ONCE))):
                _check(some, self.endpoint, changes.path, taken)
                paths = [pointer.full_path for pointer in some]
                places = await self._places(edits, paths, conditions, parent_commit, some=True)
                named.difference_update(paths)
                await changes.adopt(some, {place.path: place.guard for place in places if place.guard is not None})
            check_written(named)
        return edits.made[0][1] if transaction is None and edits.made else None

    def _in_branch(self, path: str, branch: str) -> str:
        url, _, _ = self._parse_file(path)
        if url.branch_path != branch:
            raise XetURLError(f"{path!r}, which is to be deleted, is not in {branch}")
        return url.full_path


def _check(pointers: Iterable[FilePointer], endpoint: str, branch: str, taken: set[str]) -> None:
    """Check that pointers are of this endpoint and branch, and that no path occurs twice: ``taken`` collects the paths."""
    for pointer in pointers:
        _check_one(pointer, endpoint, branch)
        if pointer.path in taken:
            raise BadRequestError(f"{pointer.full_path} appears twice in one commit")
        taken.add(pointer.path)


def _check_one(pointer: FilePointer, endpoint: str, branch: str) -> None:
    if not isinstance(pointer, FilePointer):
        raise TypeError(f"{pointer!r} is not a FilePointer: commit takes what stage returned")
    if pointer.endpoint != endpoint:
        raise XetURLError(
            f"{pointer.full_path} is staged at {pointer.endpoint}, which is another endpoint than this file system's, "
            f"{endpoint}"
        )
    if pointer.branch != branch:
        raise XetURLError(f"{pointer.full_path} is staged for another branch than {branch}")
