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
from pyxet._async.fs.names import check_separate
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

# Pointers that are taken from their source at once, away from the event loop: it may be a file or a database.
_POINTERS_AT_ONCE: Final = 1000
_SHA256: Final = re.compile(r"[0-9a-f]{64}\Z")


class Stage:
    """Content of one branch on its way to being stored; what is small travels together.

    Parameters
    ----------
    changes:
        Collects it, and is never committed.
    endpoint:
        Where it goes, for the pointers.
    """

    def __init__(self, changes: ChangeSet, endpoint: str) -> None:
        self._changes = changes
        self._endpoint = endpoint
        self._claimed: dict[str, str] = {}

    async def add(
        self, path: str, source: StageSource | Stream, *, sha256: str | None = None, callback: Callback = DEFAULT_CALLBACK
    ) -> None:  # fmt: skip
        """Take the content of a path in the repository."""
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
        """Take the content of a path in the repository as it comes, in pieces."""
        return self._changes.writer(path)

    async def finish(self) -> dict[str, FilePointer]:
        """Store what was taken; when this returns, it will outlast the endpoint's crash. The pointers by their paths.

        Raises
        ------
        IntegrityError
            A small content does not have the SHA-256 that was said of it.
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
        """Let go of what is not stored yet."""
        await self._changes.discard()


class Staging(Guarding):
    """See `AsyncXetFileSystem`."""

    async def _new_stage(self, repo: RepoId, branch: str, *, propose: bool = False) -> Stage:
        """A stage for a branch, which must be there; to be discarded in the end. No transaction takes part."""
        client = await self._connect()
        base = await client.trees.head(repo, branch)
        # Another process is about to commit, and may then send the names here to be read.
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
        """Store content for a commit that is made later, perhaps by another process, see `_commit`.

        Nobody sees it before, and no transaction takes part. Staging the same content again, after a crash say, stores
        nothing new.

        Parameters
        ----------
        data:
            Bytes, the path of a local file, or what `_put_file` reads from: a binary file, which is read from where it
            stands, or an asynchronous iterator.
        path:
            The path that the file will have: ``acme/corpus/main/up/1.bin``.
        sha256:
            SHA-256 of the content in 64 hexadecimal digits, if the caller has it. Where the content has more than a
            mebibyte it is believed here, which saves computing it; whether the endpoint checks it is its business.
        callback:
            Counts bytes.
        pull_request:
            It is for a pull request that is to be opened for the branch, which the user may not be able to write to.

        Returns
        -------
        FilePointer
            What a commit needs to name the content; it can be pickled and sent elsewhere.

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
        """Store many files of one branch for a later commit: small ones travel together, as `_stage` cannot do.

        Parameters
        ----------
        files:
            Paths, and what `_stage` takes as ``data``.
        sha256:
            SHA-256 by path, of those that the caller has it of.
        callback:
            Counts files; what it branches off for each file counts bytes.
        pull_request:
            As in `_stage`.

        Returns
        -------
        list[FilePointer]
            In the order of ``files``.

        Raises
        ------
        XetURLError
            They are not all of one branch, or ``sha256`` names a path that is not among them.
        """
        targets = {path: self._parse_file(path) for path in files}
        known = self._known_of(sha256 or {}, targets.values())
        if not files:
            return []
        first, repo, branch = next(iter(targets.values()))
        for path, (_, *other) in targets.items():
            if other != [repo, branch]:
                raise XetURLError(f"{path!r} is not in {first.branch_path}; stage files of one branch at a time")
        if len({url.path for url, _, _ in targets.values()}) < len(targets):
            raise XetURLError("two of the paths to stage are the same file, written in two ways")
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
        """The SHA-256 of each file that it is given for, by its path in the branch, however that was written."""
        known = {}
        places = {(repo, branch, url.path) for url, repo, branch in targets}
        for path, value in sha256.items():
            url, repo, branch = self._parse_file(path)
            if (repo, branch, url.path) not in places:
                raise XetURLError(f"{path!r} has a SHA-256, and is not among the files to stage")
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

        Files that the branch has just so already are left out, so a commit that is made again is none.

        Parameters
        ----------
        branch:
            ``acme/corpus/main``.
        pointers:
            What `_stage` returned, here or in other processes. They are taken a thousand at a time, so an iterator need
            not have them all in memory.
        delete:
            Paths of files to delete, like those that `_rm` takes: ``acme/corpus/main/old.bin``.
        message:
            Commit message; one that tells what it does if ``None``. A transaction has its own.
        parent_commit:
            A full commit id: a change to one of the paths since is a conflict.
        mode:
            ``create`` raises if one of the staged files exists.
        if_match:
            The version to replace or delete, or a mapping of paths to those.

        Returns
        -------
        Commit | None
            ``None`` where nothing changes, and in a transaction, which commits at its end.

        Raises
        ------
        XetURLError
            A pointer or a deletion is of another endpoint, repository or branch.
        NotFoundError, IsADirectoryError
            A file to delete is not there, or is a folder.
        AlreadyExistsError, EditConflictError
            A path exists, is not the version expected, or changed since ``parent_commit``.
        BadRequestError
            A path is there twice, or would be a file and a folder; the endpoint does not have the content.
        RevisionNotFoundError
            There is no such branch.
        """
        url = self._parse(branch)
        if url.level != "branch" or url.repo_id is None or url.revision is None:
            raise XetURLError(f"{branch!r} is not the path of a branch; expected owner/repo/branch")
        conditions = Conditions.asked(mode, if_match)
        doomed = [self._in_branch(path, url.full_path) for path in delete]
        transaction = self._open_transaction()
        async with self._edits(message, parent_commit, pull_request) as edits:
            changes = await edits.on(url.repo_id, url.revision)
            named = conditions.named(self._normal).difference(doomed)
            # What is deleted is there, so ``create`` is not about it.
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
    """Refuse pointers of elsewhere; ``taken`` are paths of the branch that the commit is about already."""
    for pointer in pointers:
        _check_one(pointer, endpoint, branch)
        if pointer.path in taken:
            raise BadRequestError(f"{pointer.full_path} is twice in one commit")
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
