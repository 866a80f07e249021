"""The pending changes of one branch, and their content.

Content is uploaded while the changes are collected; only the commit makes it visible.
Content above 1 MiB is always uploaded to the CAS. For smaller content the endpoint decides, asked in batches, whether it is
uploaded to the CAS or sent inside the commit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from copy import copy
from pathlib import Path
from typing import Final

from pyxet._async.changes.advice import Advice
from pyxet._async.changes.buffers import as_bytes
from pyxet._async.changes.guards import Guard, Watch
from pyxet._async.changes.pending import Pending, PendingChanges, Scope, folders_of
from pyxet._async.changes.sharing import share
from pyxet._async.changes.small import SmallContents
from pyxet._async.changes.spool import Spool, Spooled
from pyxet._async.client import Client
from pyxet._async.download.verifier import Verifier
from pyxet._async.runtime.streams import Stream
from pyxet._async.runtime.tasks import run_together
from pyxet._async.runtime.threads import in_thread
from pyxet._async.upload.content import ContentWriter
from pyxet._async.upload.local_files import LocalFiles
from pyxet._async.upload.session import Uploader
from pyxet.content_ids import blob_id
from pyxet.errors import FileInTheWayError, FolderInTheWayError, TransactionError
from pyxet.protocol.hashing import Buffer
from pyxet.protocol.messages import TreeEntry
from pyxet.reports import Totals
from pyxet.types import FilePointer, RemoteFile, RepoId, UploadedContent
from pyxet.urls import quote_revision

MAX_SMALL: Final = 1024 * 1024
_FILES_AT_ONCE: Final = 16
# How many stored files wait until they are registered together.
_REGISTERED_AT_ONCE: Final = 4096


class ChangeSet:
    """Pending changes of one branch.

    Parameters
    ----------
    client, repo, branch:
        The branch that is changed.
    base:
        The branch's commit when the changes began. Readers see the pending changes on top of it.
    parent_commit:
        If given, the commit fails if any path that is changed here has changed since that commit.
    propose:
        Whether the changes become a new pull request for the branch instead of a commit to it.

    Attributes
    ----------
    pending:
        The paths that are written, deleted and guarded.
    spool:
        Holds the content that goes into the commit itself.
    scope:
        The scope in which this object writes: all changes, or the one given to `within`.
    """

    def __init__(
        self,
        client: Client,
        repo: RepoId,
        branch: str,
        base: str,
        parent_commit: str | None,
        *,
        propose: bool = False,
    ) -> None:
        self.client = client
        self.repo = repo
        self.branch = branch
        self.base = base
        self.parent_commit = parent_commit
        self.propose = propose
        self.path = f"{repo.path}/{quote_revision(branch)}"
        self.pending = PendingChanges(self.path)
        self.advice = Advice(
            self.path, lambda: client.transport.repo_limits, lambda path: self.pending.files.get(path) is not None
        )
        self.spool = Spool()
        self._uploader = Uploader(client.cas(repo, branch, propose=propose), client.limits)
        self._small = SmallContents(
            client, repo, branch, self.pending, self._uploader, self.spool, propose=propose
        )  # fmt: skip
        self._reading = asyncio.Semaphore(_FILES_AT_ONCE)
        self._local = LocalFiles(MAX_SMALL)
        self.scope = self.pending.all

    def within(self, scope: Scope) -> ChangeSet:
        """The same changes (same pending paths, same content), written to in the given scope."""
        found = copy(self)
        found.scope = scope
        return found

    @property
    def files(self) -> Mapping[str, Pending | None]:
        """Pending files, and ``None`` for those that are deleted, by path."""
        return self.pending.files

    @property
    def guards(self) -> Mapping[str, Guard]:
        """By path, what must be true of it when the commit is made."""
        return self.pending.guards

    @property
    def totals(self) -> Totals:
        """What is pending so far. For a part of the changes (see `within`), only the numbers of files."""
        if self.scope is not self.pending.all:
            return Totals(*self.pending.count(self.scope))
        pending, stats = self.pending, self._uploader.stats
        return Totals(pending.written, pending.deleted, stats.content, stats.deduplicated, stats.sent)

    # -- collecting ----------------------------------------------------------------------------------------------------

    async def write(
        self, path: str, data: Buffer, guard: Guard | None = None, *, sha256: str | None = None
    ) -> None:  # fmt: skip
        """Write a file from bytes. See `upload`."""
        writer = self.writer(path, guard, sha256)
        try:
            await writer.write(data)
            await writer.close()
        except BaseException:
            await writer.discard()
            raise

    async def upload(
        self,
        path: str,
        source: Path,
        progress: Callable[[int], object],
        guard: Guard | None = None,
        *,
        sized: Callable[[int], object] = lambda size: None,
        sha256: str | None = None,
    ) -> None:
        """Write a file from a local one.

        Parameters
        ----------
        progress:
            Called with the number of bytes each time some were processed.
        sized:
            Called once with the size of the file in bytes, before ``progress``.
        sha256:
            SHA-256 of the content in hex, if the caller knows it. For a large file it is then not computed.
        """
        async with self._reading:
            size, data = await self._local.peek(source)
            sized(size)
            if data is not None:
                await self.put_small(path, data, guard)
                progress(len(data))
                return
            self.advice.added(path, size)
            content = await self._uploader.add(
                source, progress=progress, sha256=sha256, name=f"{self.path}/{path}"
            )  # fmt: skip
            self._put(path, Pending(content.size, content), guard)

    async def upload_object(
        self,
        path: str,
        source: Stream,
        progress: Callable[[int], object],
        guard: Guard | None = None,
        *,
        sha256: str | None = None,
    ) -> None:
        """Write a file from an iterator, or from an open file, read from its current position. See `upload`."""
        writer = self.writer(path, guard, sha256)

        async def take(data: object) -> None:
            # Raises for a file in text mode, whose pieces are strings.
            piece = as_bytes(data)
            await writer.write(piece)
            progress(len(piece))

        try:
            await source.feed(take)
            await writer.close()
        except BaseException:
            await writer.discard()
            raise

    def watch(self, path: str) -> Watch:
        """A watch that tells whether a path is written or deleted from now on."""
        return self.pending.watch(path)

    def writer(self, path: str, guard: Guard | None = None, sha256: str | None = None) -> PendingWriter:
        """A writer for a file whose content comes in pieces."""
        return PendingWriter(self, path, guard, sha256)

    async def copy(self, path: str, source: RemoteFile | Pending, guard: Guard | None = None) -> None:
        """Write a file with the content of another one.

        Only small files that are stored in git are read and written again; other content is referred to by its hash. If
        that content is in another repository, it must be in Xet storage; `prepare` adds it to our repository, see `share`.
        """
        if isinstance(source, Pending):
            if isinstance(source.content, bytes):
                await self.write(path, source.content, guard)
            else:
                self._put(path, source, guard)
        elif source.sha256 is not None:
            self._put(path, Pending(source.size, source), guard)
        else:
            data = await self.client.reader.read(source)
            [spooled] = await self._spooled([data])
            self._put(path, Pending(len(data), spooled), guard)

    async def delete(self, paths: Collection[str], guards: Mapping[str, Guard] | None = None) -> None:
        """Delete files that exist, either pending or in the base commit."""
        unsure = [path for path in paths if path in self.files]
        beneath = await self.client.trees.entries(self.repo, self.base, unsure) if unsure else {}
        for path in paths:
            is_beneath = path not in self.files or (path in beneath and beneath[path].type != "directory")
            guard = (guards or {}).get(path)
            self._small.release(self.pending.delete(path, guard, is_beneath=is_beneath, scope=self.scope))

    async def put_small(self, path: str, data: bytes, guard: Guard | None) -> None:
        """Keep small content until the endpoint says how to store it."""
        pending = Pending(len(data), data)
        self._put(path, pending, guard)
        await self._small.add(path, pending)
        if self._uploader.unregistered >= 2 * _REGISTERED_AT_ONCE:
            # Files are added faster than the endpoint registers them, so wait for it.
            await self._uploader.flush()
        elif self._uploader.unregistered >= _REGISTERED_AT_ONCE:
            self._uploader.flush_beside()

    def put_stored(self, path: str, content: UploadedContent, guard: Guard | None) -> None:
        """Make a file pending whose content is already stored."""
        self._put(path, Pending(content.size, content), guard)

    async def adopt(self, pointers: Sequence[FilePointer], guards: Mapping[str, Guard] | None = None) -> None:
        """Write files whose content was staged, perhaps by another process."""
        carried = {pointer.path: pointer.data for pointer in pointers if pointer.data is not None}
        spooled = dict(zip(carried, await self._spooled(list(carried.values())), strict=True))
        for pointer in pointers:
            content: Spooled | UploadedContent | None = spooled.get(pointer.path)
            if content is None:
                content = UploadedContent(pointer.size, pointer.sha256, pointer.xet_hash or "")
            self._put(pointer.path, Pending(pointer.size, content), (guards or {}).get(pointer.path))

    def content_writer(self, sha256: str | None, path: str) -> ContentWriter:
        """A writer into this branch's uploader."""
        return self._uploader.writer(sha256, path)

    def note_origin(self, path: str, origin: str | None) -> None:
        """Record that a file is a copy of ``origin``, see `PendingChanges.origins`."""
        self.pending.note_origin(path, origin, self.scope)

    def may_return(self, path: str) -> bool:
        """Whether a deleted file may come back: another scope deleted it, and may still be undone."""
        return self.pending.may_return(path, self.scope)

    def _put(self, path: str, pending: Pending, guard: Guard | None) -> None:
        self.advice.added(path, pending.size)
        self._small.release(self.pending.put(path, pending, guard, self.scope))

    async def _spooled(self, contents: Sequence[bytes]) -> list[Spooled]:
        self._check_discarded()
        return await in_thread(lambda: [self.spool.append(data) for data in contents])

    # -- looking through the changes -----------------------------------------------------------------------------------

    def stored(self, path: str, pending: Pending) -> RemoteFile | None:
        """The stored file that has a pending file's content; ``None`` if the content is still held in this process."""
        match pending.content:
            case RemoteFile() as file:
                return file
            case UploadedContent() as stored:
                return RemoteFile(self.repo, self.base, path, stored.size, "", stored.sha256, stored.xet_hash)
            case _:
                return None

    async def read(
        self, path: str, pending: Pending, start: int, end: int, verifier: Verifier | None = None
    ) -> bytes:  # fmt: skip
        """Bytes of a pending file.

        Parameters
        ----------
        verifier:
            Checks the bytes that are read from the CAS; content that is still here is not passed to it.

        Raises
        ------
        TransactionError
            The changes were discarded, so that their content is gone.
        """
        self._check_discarded()
        match pending.content:
            case bytes():
                return pending.content[start:end]
            case Spooled():
                return (await in_thread(self.spool.read, pending.content))[start:end]
            case UploadedContent():
                await self._uploader.flush()
        file = self.stored(path, pending)
        assert file is not None
        return await self.client.reader.read(file, start, end, verifier)

    async def is_same(self, pending: Pending, entry: TreeEntry) -> bool:
        """Whether a file of a commit has a pending file's content."""
        match pending.content:
            case UploadedContent() | RemoteFile() as stored:
                return entry.lfs is not None and entry.lfs.oid == stored.sha256
            case Spooled() as spooled:
                if entry.lfs is not None or entry.size != pending.size:
                    return False
                data = await in_thread(self.spool.read, spooled)
                return blob_id(data) == entry.oid
            case bytes():
                return False

    # -- the ends of scopes --------------------------------------------------------------------------------------------

    def keep(self) -> None:
        """End our scope: what was written in it now belongs to the scope around it."""
        self._small.release(self.pending.keep(self.scope))

    def undo(self) -> None:
        """End our scope, and take back what was written in it and in the scopes inside it."""
        self._small.release(self.pending.undo(self.scope))

    async def trim(self) -> None:
        """Shorten the spool's file if content at its end was released."""
        await in_thread(self.spool.trim)

    # -- on the way to the commit --------------------------------------------------------------------------------------

    async def prepare(self) -> None:
        """Take no more changes; store all content, and leave out what would change nothing.

        Raises
        ------
        FolderInTheWayError, FileInTheWayError
            A file would take the place of a folder that still has others, or be below another file.
        """
        await self._seal()
        await run_together(self._discard_unchanged, self._uploader.flush)
        await self._share_foreign()
        if self._uploader.unregistered:
            await self._uploader.flush()

    async def store(self) -> None:
        """Take no more changes, and store all content."""
        await self._seal()
        await self._uploader.flush()

    async def flush(self) -> None:
        """Store and register what was uploaded so far, so that it can be read. Does nothing once the changes are discarded."""
        if not self.spool.closed:
            await self._uploader.flush()

    async def _seal(self) -> None:
        self.pending.all.end()
        await self._small.settle()

    async def carried(self, spooled: Sequence[Spooled]) -> list[bytes]:
        """Read back contents that are sent inside the commit."""
        self._check_discarded()
        return await in_thread(lambda: [self.spool.read(place) for place in spooled])

    async def entries(self, commit: str, paths: Sequence[str]) -> dict[str, TreeEntry]:
        """The entries at some paths of a commit or branch, by path; paths with nothing there are left out."""
        return await self.client.trees.entries_now(self.repo, commit, paths)

    async def discard(self) -> None:
        """Discard all changes and their content. Changes that are not committed by now never will be."""
        self.pending.all.end()
        self._small.clear()
        try:
            self.spool.close()
        finally:
            await self._uploader.aclose()

    def _check_discarded(self) -> None:
        if self.spool.closed:
            raise TransactionError("these changes have ended, and what was pending in them cannot be read any more")

    async def _share_foreign(self) -> None:
        """Make our repository hold the content of files that were copied from other repositories."""
        foreign = [
            (path, pending, pending.content)
            for path, pending in self.files.items()
            if pending is not None and isinstance(pending.content, RemoteFile) and pending.content.repo != self.repo
        ]
        named = ((f"{self.path}/{path}", file) for path, _, file in foreign)
        uploaded = await share(self.client, self._uploader, self.repo, named)
        for path, pending, file in foreign:
            content = uploaded.get(file.sha256 or "")
            if content is not None:
                self.pending.replace(path, pending, Pending(content.size, content))

    async def _discard_unchanged(self) -> None:
        """Leave out files that the branch already has with the same content, unless they are guarded."""
        paths = [path for path, pending in self.files.items() if pending is not None and path not in self.guards]
        if not paths or self.parent_commit is not None:
            return
        # Compare with the branch as it is now, not with `base`: a file that others changed since then has to be written.
        above = {folder for path in paths for folder in folders_of(path)}
        for path, entry in (await self.entries(self.branch, [*paths, *sorted(above)])).items():
            if path in above and entry.type != "directory" and path not in self.files:
                raise FileInTheWayError(f"{self.path}/{path} is a {entry.type}, so nothing can be below it", status=400)
            pending = self.files.get(path)
            if pending is None:
                continue
            if entry.type == "file":
                if await self.is_same(pending, entry):
                    self.pending.exclude([path])
            elif not self.pending.under(path):
                raise FolderInTheWayError(
                    f"{self.path}/{path} is a folder; delete what is in it to put a file in its place", status=400
                )


class PendingWriter:
    """Writes one pending file from pieces: kept in memory while it is small, then sent through the uploader."""

    def __init__(self, changes: ChangeSet, path: str, guard: Guard | None, sha256: str | None = None) -> None:
        self._changes = changes
        self._path = path
        self._guard = guard
        self._sha256 = sha256
        self._small = bytearray()
        self._content: ContentWriter | None = None
        self._stored: UploadedContent | None = None
        self.path = f"{changes.path}/{path}"
        self.size = 0

    async def write(self, data: Buffer) -> None:
        """Write a piece. Waits while too many earlier ones are being uploaded."""
        self.size += len(data)
        self._changes.advice.size(self._path, self.size)
        if self._content is not None:
            await self._content.write(data)
            return
        self._small += data
        if len(self._small) > MAX_SMALL:
            self._content = self._changes.content_writer(self._sha256, self.path)
            held, self._small = bytes(self._small), bytearray()
            await self._content.write(held)

    async def close(self) -> None:
        """End the content, and make the file pending."""
        await self.complete()
        await self.put()

    async def complete(self) -> None:
        """End the content: nothing more is written."""
        if self._content is not None and self._stored is None:
            self._stored = await self._content.close()

    async def put(self) -> None:
        """Make the complete file pending at once: no other task runs, and could write to its path, before that."""
        if self._stored is None:
            await self._changes.put_small(self._path, bytes(self._small), self._guard)
        else:
            self._changes.put_stored(self._path, self._stored, self._guard)

    async def read(self, start: int, end: int) -> bytes:
        """Bytes of the complete file, also after its changes have ended."""
        if self._stored is None:
            return bytes(self._small[start:end])
        await self._changes.flush()
        file = RemoteFile(
            self._changes.repo, self._changes.base, self._path, self._stored.size, "", self._stored.sha256,
            self._stored.xet_hash,
        )  # fmt: skip
        return await self._changes.client.reader.read(file, start, end)

    async def discard(self) -> None:
        """Discard the file and its content."""
        self._small.clear()
        if self._content is not None:
            await self._content.discard()
