"""The pending changes of one branch, and the commit they become.

The last operation on a path wins. Content is uploaded while the changes are collected; only the commit makes it visible.
How small content is stored is the endpoint's decision, asked for in batches: as content of its own, or inside the commit.
Content beyond a mebibyte always is content of its own.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, overload

import msgspec

from pyxet._async.client import Client
from pyxet._async.download import Downloader
from pyxet._async.fanout import in_thread
from pyxet._async.spool import Spool, Spooled
from pyxet._async.upload import ContentWriter, Uploader
from pyxet.errors import (
    AlreadyExistsError,
    BadRequestError,
    ConflictError,
    ConnectionFailedError,
    EditConflictError,
    EntryNotFoundError,
    RequestTimeoutError,
    ServerError,
    TransactionError,
)
from pyxet.protocol.hashing import Buffer
from pyxet.protocol.messages import PreuploadFile, TreeEntry
from pyxet.types import Commit, RemoteFile, UploadedContent
from pyxet.urls import RepoId, quote_revision

MAX_SMALL: Final = 1024 * 1024
_SAMPLE: Final = 512
# Small contents wait for the endpoint's decision until there are so many, or so many bytes, of them.
_BATCH_FILES: Final = 256
_BATCH_BYTES: Final = 8 * 1024 * 1024
_FILES_AT_ONCE: Final = 8
_TRIES: Final = 20
# How far back the log is searched for a commit whose answer was lost.
_MAX_LOOK_BACK: Final = 50


@dataclass(frozen=True, slots=True)
class Pending:
    """A pending file.

    Attributes
    ----------
    size:
        Bytes of its content.
    content:
        Undecided bytes; a place in the spool (goes into the commit); stored content; or a file of the same repository
        whose content it shares.
    sample:
        The first bytes of stored content, for the endpoint's questions.
    """

    size: int
    content: bytes | Spooled | UploadedContent | RemoteFile
    sample: bytes = b""


@dataclass(frozen=True, slots=True)
class Guard:
    """What must be true of a path when the commit is made."""

    blob_id: str | None = None
    absent: bool = False


class ChangeSet:
    """Pending changes of one branch.

    Parameters
    ----------
    client, repo, branch:
        Where they go.
    base:
        The branch's commit when the changes began; what lies beneath them.
    parent_commit:
        If given, none of our paths may have changed since that commit.
    """

    def __init__(self, client: Client, repo: RepoId, branch: str, base: str, parent_commit: str | None) -> None:
        self.repo = repo
        self.branch = branch
        self.base = base
        self._client = client
        self._parent_commit = parent_commit
        self._uploader = Uploader(client.cas(repo), client.limits)
        self._spool = Spool()
        self._files: dict[str, Pending | None] = {}
        self._folders: set[str] = set()
        self._guards: dict[str, Guard] = {}
        self._small: dict[str, bytes] = {}
        self._small_bytes = 0
        self._settling = asyncio.Lock()
        self._reading = asyncio.Semaphore(_FILES_AT_ONCE)

    @property
    def path(self) -> str:
        """The branch as a path."""
        return f"{self.repo.path}/{quote_revision(self.branch)}"

    # -- collecting ----------------------------------------------------------------------------------------------------

    async def write(self, path: str, data: Buffer, guard: Guard | None = None) -> None:
        """Write a file from bytes."""
        writer = self.writer(path, guard)
        await writer.write(data)
        await writer.close()

    async def upload(
        self, path: str, source: Path, progress: Callable[[int], object], guard: Guard | None = None
    ) -> None:  # fmt: skip
        """Write a file from a local one."""
        async with self._reading:
            size = (await in_thread(source.stat)).st_size
            if size <= MAX_SMALL:
                data = await in_thread(source.read_bytes)
                await self.write(path, data, guard)
                progress(len(data))
                return
            sample = await in_thread(_head, source)
            content = await self._uploader.add(source, progress=progress)
            self._put(path, Pending(content.size, content, sample), guard)

    def writer(self, path: str, guard: Guard | None = None) -> PendingWriter:
        """Write a file from content that comes in pieces."""
        return PendingWriter(self, path, guard)

    async def copy(self, path: str, source: RemoteFile | Pending) -> None:
        """Write a file with the content of another one of this repository; nothing moves but small files in commits."""
        if isinstance(source, Pending):
            if isinstance(source.content, bytes):
                await self.write(path, source.content)
            else:
                self._put(path, source, None)
        elif source.sha256 is not None:
            self._put(path, Pending(source.size, source), None)
        else:
            data = await Downloader(self._client).read(source)
            self._put(path, Pending(len(data), await in_thread(self._spool.append, data)), None)

    async def delete(self, path: str) -> None:
        """Delete a file that is there, pending or in the commit beneath."""
        in_base = True
        if path in self._files:
            beneath = (await self._client.catalog.entries(self.repo, self.base, [path])).get(path)
            in_base = beneath is not None and beneath.type == "file"
        self._small_bytes -= len(self._small.pop(path, b""))
        self._guards.pop(path, None)
        if in_base:
            self._files[path] = None
        else:
            self._files.pop(path, None)

    async def put_small(self, path: str, data: bytes, guard: Guard | None) -> None:
        """Keep small content until the endpoint says how to store it."""
        self._put(path, Pending(len(data), data), guard)
        self._small[path] = data
        self._small_bytes += len(data)
        if len(self._small) >= _BATCH_FILES or self._small_bytes >= _BATCH_BYTES:
            await self._settle()

    def put_stored(self, path: str, content: UploadedContent, sample: bytes, guard: Guard | None) -> None:
        """Name stored content."""
        self._put(path, Pending(content.size, content, sample), guard)

    def content_writer(self) -> ContentWriter:
        """A writer into this branch's uploader."""
        return self._uploader.writer()

    def _put(self, path: str, pending: Pending, guard: Guard | None) -> None:
        folders = _folders(path)
        clash = next((folder for folder in folders if self._files.get(folder) is not None), None)
        if clash is not None or self.has_files_below(path):
            raise BadRequestError(f"{clash or path!r} would be a file and a folder in one commit")
        self._folders.update(folders)
        self._small_bytes -= len(self._small.pop(path, b""))
        self._files[path] = pending
        if guard is not None:
            self._guards[path] = guard

    # -- looking through the changes -----------------------------------------------------------------------------------

    @overload
    def lookup(self, path: str) -> Pending | None: ...
    @overload
    def lookup(self, path: str, default: str) -> Pending | str | None: ...
    def lookup(self, path: str, default: str | None = None) -> Pending | str | None:
        """The pending file at a path, ``None`` if it is deleted, ``default`` if the changes say nothing of it."""
        return self._files.get(path, default)

    def deletes(self, path: str) -> bool:
        """Whether the file at a path is deleted."""
        return self._files.get(path, "beneath") is None

    def under(self, folder: str) -> dict[str, Pending | None]:
        """Pending files and deletions below a folder, by path."""
        prefix = f"{folder}/" if folder else ""
        return {path: pending for path, pending in self._files.items() if path.startswith(prefix)}

    def has_files_below(self, folder: str) -> bool:
        """Whether a pending file makes this a folder."""
        return folder in self._folders and any(self.under(folder).values())

    async def read(self, path: str, pending: Pending, start: int, end: int) -> bytes:
        """Bytes of a pending file."""
        match pending.content:
            case bytes():
                return pending.content[start:end]
            case Spooled():
                return (await in_thread(self._spool.read, pending.content))[start:end]
            case RemoteFile():
                return await Downloader(self._client).read(pending.content, start, end)
            case UploadedContent() as stored:
                await self._uploader.flush()
                file = RemoteFile(self.repo, self.base, path, stored.size, "", stored.sha256, stored.xet_hash)
                return await Downloader(self._client).read(file, start, end)

    # -- the commit ----------------------------------------------------------------------------------------------------

    async def commit(self, message: str | None, user: str) -> Commit | None:
        """Make the commit.

        Returns
        -------
        Commit | None
            ``None`` where nothing would change.

        Raises
        ------
        ConflictError
            A guarded path changed (`EditConflictError`), or exists (`AlreadyExistsError`).
        """
        try:
            while self._small:
                await self._settle()
            await self._drop_unchanged()
            await self._uploader.flush()
            if not self._files:
                return None
            summary, _, description = (message or self._default_message()).partition("\n")
            return await self._commit(summary, description.strip(), user)
        finally:
            await self.discard()

    async def discard(self) -> None:
        """Let go of everything; nothing of it will be committed."""
        await self._uploader.aclose()
        self._spool.close()

    async def _settle(self) -> None:
        """Ask how to store the small contents that wait, and do it."""
        async with self._settling:
            batch, self._small, self._small_bytes = self._small, {}, 0
            if not batch:
                return
            asked = [
                PreuploadFile(path=path, size=len(data), sample=base64.b64encode(data[:_SAMPLE]).decode())
                for path, data in batch.items()
            ]
            for mode in await self._client.hub.preupload(self.repo, self.branch, asked):
                data = batch[mode.path]
                pending = self._files.get(mode.path)
                if pending is None or pending.content is not data:
                    continue
                if mode.upload_mode == "lfs" and data:
                    content = await self._uploader.add(data)
                    self._files[mode.path] = Pending(content.size, content, data[:_SAMPLE])
                else:
                    self._files[mode.path] = Pending(len(data), await in_thread(self._spool.append, data))

    async def _drop_unchanged(self) -> None:
        """Leave out files that the branch has just so, unless somebody relies on their guard."""
        paths = [path for path, pending in self._files.items() if pending is not None and path not in self._guards]
        if not paths or self._parent_commit is not None:
            return
        # The branch as it is now, not as it was when we began: what others wrote since then is ours to write over.
        for path, entry in (await self._entries(self.branch, paths)).items():
            pending = self._files[path]
            if pending is not None and entry.type == "file" and await self._same(pending, entry):
                del self._files[path]

    async def _same(self, pending: Pending, entry: TreeEntry) -> bool:
        match pending.content:
            case UploadedContent() | RemoteFile() as stored:
                return entry.lfs is not None and entry.lfs.oid == stored.sha256
            case Spooled() as spooled:
                if entry.lfs is not None or entry.size != pending.size:
                    return False
                data = await in_thread(self._spool.read, spooled)
                return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest() == entry.oid
            case bytes():
                return False

    async def _commit(self, summary: str, description: str, user: str) -> Commit | None:
        guarded = bool(self._guards) or self._parent_commit is not None
        doubtful = False
        head = self.base
        for attempt in range(_TRIES):
            if guarded or attempt:
                head, before = await self._client.hub.branch_head(self.repo, self.branch), head
                # An earlier try may have been carried out though its answer did not reach us.
                if doubtful and head != before and (made := await self._find_made(before, summary)) is not None:
                    return made
            if guarded:
                await self._check_guards(head)
            # Naming the parent makes the endpoint refuse a second commit if the first one was carried out after all.
            lines = _Lines(self._files, self._spool, summary, description, head if guarded or doubtful else None)
            try:
                answer = await self._client.hub.commit(self.repo, self.branch, lines)
            except (ConnectionFailedError, RequestTimeoutError, ServerError) as error:
                doubtful = True
                if attempt >= self._client.retry.attempts - 1:
                    made = await self._made_after_all(head, summary)
                    if made is not None:
                        return made
                    raise
                pause = error.retry_after if isinstance(error, ServerError) else None
            except EntryNotFoundError:
                if not await self._drop_gone_deletions():
                    raise
                if not self._files:
                    return None
                pause = 0.0
            except ConflictError as error:
                if attempt == _TRIES - 1:
                    raise
                pause = error.retry_after
            else:
                if answer.commit_oid == head:
                    return None
                full = f"{summary}\n\n{description}".strip()
                return Commit(answer.commit_oid, full, user, datetime.now(UTC), None)
            await asyncio.sleep(random.uniform(0, 0.05 * 2 ** min(attempt, 6)) if pause is None else pause)
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def _made_after_all(self, before: str, summary: str) -> Commit | None:
        """Our commit, if it was made; ``None`` also where the endpoint cannot be asked, for then the failure stands."""
        try:
            return await self._find_made(before, summary)
        except (ConnectionFailedError, RequestTimeoutError, ServerError):
            return None

    async def _check_guards(self, head: str) -> None:
        """Compare our guarded paths with what the head has."""
        now = await self._entries(head, list(self._files))
        for path, guard in self._guards.items():
            entry = now.get(path)
            if guard.absent and entry is not None:
                raise AlreadyExistsError(f"{self.path}/{path} was created by somebody else meanwhile", status=409)
            if guard.blob_id is not None and (entry is None or entry.oid != guard.blob_id):
                raise EditConflictError(f"{self.path}/{path} is not the version {guard.blob_id} any more", status=412)
        if self._parent_commit is not None and self._parent_commit != head:
            then = await self._entries(self._parent_commit, list(self._files))
            changed = [path for path in self._files if _oid(then.get(path)) != _oid(now.get(path))]
            if changed:
                raise EditConflictError(
                    f"{self.path}: changed since {self._parent_commit[:10]}: {', '.join(sorted(changed)[:5])}"
                    + (f" and {len(changed) - 5} more" if len(changed) > 5 else ""),
                    status=412,
                )

    async def _find_made(self, before: str, summary: str) -> Commit | None:
        """Our commit, if it is among those that were made since ``before``."""
        count = 0
        async for commit in self._client.hub.commits(self.repo, self.branch):
            count += 1
            if commit.id == before or count > _MAX_LOOK_BACK:
                return None
            if commit.title == summary and await self._is_ours(commit.id):
                return commit
        return None

    async def _is_ours(self, commit: str) -> bool:
        there = await self._entries(commit, list(self._files))
        for path, pending in self._files.items():
            entry = there.get(path)
            if (pending is None) != (entry is None):
                return False
            if pending is not None and entry is not None and not await self._same(pending, entry):
                return False
        return True

    async def _drop_gone_deletions(self) -> bool:
        """Forget deletions of files that somebody else deleted first; whether there were any."""
        deleted = [path for path, pending in self._files.items() if pending is None]
        head = await self._client.hub.branch_head(self.repo, self.branch)
        there = await self._entries(head, deleted) if deleted else {}
        gone = [path for path in deleted if path not in there]
        for path in gone:
            del self._files[path]
        return bool(gone)

    async def _entries(self, commit: str, paths: Sequence[str]) -> dict[str, TreeEntry]:
        page = await self._client.hub.paths_info(self.repo, commit, paths)
        return {entry.path: entry for entry in page.entries}

    def _default_message(self) -> str:
        written = [path for path, pending in self._files.items() if pending is not None]
        deleted = [path for path, pending in self._files.items() if pending is None]
        parts = []
        for verb, paths in (("Upload", written), ("Delete", deleted)):
            if len(paths) == 1:
                parts.append(f"{verb} {paths[0]}")
            elif paths:
                parts.append(f"{verb} {len(paths)} files")
        return ", ".join(parts)


class PendingWriter:
    """Writes one pending file from pieces: in memory while it is small, then through the uploader."""

    def __init__(self, changes: ChangeSet, path: str, guard: Guard | None) -> None:
        self._changes = changes
        self._path = path
        self._guard = guard
        self._small = bytearray()
        self._sample = b""
        self._content: ContentWriter | None = None
        self.size = 0

    async def write(self, data: Buffer) -> None:
        """Take a piece; waits while earlier ones are on their way."""
        self.size += len(data)
        if self._content is not None:
            await self._content.write(data)
            return
        self._small += data
        if len(self._small) > MAX_SMALL:
            self._sample = bytes(self._small[:_SAMPLE])
            self._content = self._changes.content_writer()
            held, self._small = bytes(self._small), bytearray()
            await self._content.write(held)

    async def close(self) -> None:
        """The file is complete and pending."""
        if self._content is None:
            await self._changes.put_small(self._path, bytes(self._small), self._guard)
        else:
            content = await self._content.close()
            self._changes.put_stored(self._path, content, self._sample, self._guard)

    async def discard(self) -> None:
        """Forget the file."""
        self._small.clear()
        if self._content is not None:
            await self._content.discard()


class _Lines(Sequence[bytes]):
    """The NDJSON of a commit, each line made when it is sent: thousands of files need not be in memory at once."""

    def __init__(
        self, files: dict[str, Pending | None], spool: Spool, summary: str, description: str, parent: str | None
    ) -> None:  # fmt: skip
        header: dict[str, str] = {"summary": summary, "description": description}
        if parent is not None:
            header["parentCommit"] = parent
        self._header = _line("header", header)
        self._files = list(files.items())
        self._spool = spool

    def __len__(self) -> int:
        return len(self._files) + 1

    @overload
    def __getitem__(self, index: int) -> bytes: ...
    @overload
    def __getitem__(self, index: slice) -> list[bytes]: ...
    def __getitem__(self, index: int | slice) -> bytes | list[bytes]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        if index >= len(self):
            raise IndexError(index)
        if index == 0:
            return self._header
        path, pending = self._files[index - 1]
        if pending is None:
            return _line("deletedFile", {"path": path})
        match pending.content:
            case UploadedContent() | RemoteFile() as stored:
                return _line(
                    "lfsFile", {"path": path, "algo": "sha256", "oid": stored.sha256 or "", "size": stored.size}
                )
            case Spooled() as spooled:
                data = base64.b64encode(self._spool.read(spooled)).decode()
                return _line("file", {"path": path, "encoding": "base64", "content": data})
            case bytes():
                raise TransactionError(f"{path}: it is not decided how to store it")


def _line(key: str, value: Mapping[str, str | int]) -> bytes:
    return msgspec.json.encode({"key": key, "value": value}) + b"\n"


def _folders(path: str) -> list[str]:
    """The folders that a path lies in, outermost first."""
    parts = path.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts))]


def _oid(entry: TreeEntry | None) -> str | None:
    return entry.oid if entry else None


def _head(source: Path) -> bytes:
    with source.open("rb") as file:
        return file.read(_SAMPLE)
