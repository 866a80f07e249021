"""From the pending changes of a branch to a commit: guards, retries, and the doubt whether a lost one was made.

A commit is sent again in three cases only: it was refused (the transport waits as it was told); the branch moved under
it; or its answer was lost, and the branch, looked at first, does not have it.
"""

from __future__ import annotations

import asyncio
import base64
import random
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Final, overload

from pyxet._async.changes.changeset import ChangeSet
from pyxet._async.changes.spool import Spooled
from pyxet._async.http.messages import is_transient
from pyxet._async.http.transport import is_refused
from pyxet.errors import (
    AlreadyExistsError,
    BadRequestError,
    ConflictError,
    ConnectionFailedError,
    EditConflictError,
    EntryNotFoundError,
    FormatError,
    NotFoundError,
    RequestTimeoutError,
    ServerError,
    TransactionError,
    XetError,
)
from pyxet.protocol.messages import TreeEntry, encode
from pyxet.types import Commit, RemoteFile, UploadedContent

# How often a commit is sent, if the branch moves again and again.
_TRIES: Final = 20
# How far back the log is searched for a commit whose answer was lost.
_MAX_LOOK_BACK: Final = 50
# Seconds; doubled with each try up to the second one, of which a random part is waited.
_SHORTEST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 3.2


class Committer:
    """Makes the commit of one set of changes, which must be prepared.

    Parameters
    ----------
    changes:
        What to commit.
    message:
        Title and, below it, description; one that tells the paths if ``None`` or blank.
    user:
        Whose commit it will be.

    Attributes
    ----------
    was_found:
        Whether the commit was found in the branch's log, as its answer was lost; then it need not be the newest one.
    """

    def __init__(self, changes: ChangeSet, message: str | None, user: str) -> None:
        self._changes = changes
        self._hub = changes.client.hub
        self._retry = changes.client.retry
        message = (message or "").strip() or _default_message(changes)
        self._summary, _, description = message.partition("\n")
        self._summary, self._description = self._summary.strip(), description.strip()
        self._user = user
        self.was_found = False

    async def check(self) -> None:
        """Raise like `commit` if a guard would fail now."""
        if self._is_guarded:
            await self._check_guards(await self._hub.branch_head(self._changes.repo, self._changes.branch))

    async def commit(self) -> Commit | None:
        """Make the commit.

        Returns
        -------
        Commit | None
            ``None`` where nothing would change.

        Raises
        ------
        ConflictError
            A guarded path changed (`EditConflictError`), or exists (`AlreadyExistsError`).
        BadRequestError
            A path would be a file and a folder.
        """
        changes = self._changes
        doubt: XetError | None = None
        head = changes.base
        failures = 0
        for attempt in range(_TRIES):
            if not changes.files:
                return None
            replaced: Collection[str] = ()
            if attempt or self._is_guarded or changes.pending.replaced_folders():
                head, before = await self._look_again(doubt), head
                # An earlier try may have been carried out though its answer did not reach us.
                if doubt is not None and head != before and (made := await self._find_made(before)) is not None:
                    return made
                await self._check_guards(head)
                replaced = await self._replaced_folders(head)
            # Naming the parent makes the endpoint refuse what was not checked against its head, and a second commit if
            # the first one is carried out after all.
            pinned = self._is_guarded or replaced or doubt is not None
            lines = CommitLines(changes, self._summary, self._description, head if pinned else None, replaced)
            pause = random.uniform(0, min(_LONGEST_PAUSE, _SHORTEST_PAUSE * 2**attempt))
            try:
                answer = await self._hub.commit(changes.repo, changes.branch, lines)
            except (ConnectionFailedError, RequestTimeoutError, ServerError, FormatError) as error:
                # The transport has tried again where it was refused, or may not wait as long as it was told.
                if is_refused(error) or not (is_transient(error) or isinstance(error, FormatError)):
                    raise
                doubt = error
                failures += 1
                if failures >= self._retry.attempts:
                    made = await self._made_after_all(head)
                    if made is not None:
                        return made
                    raise
            except EntryNotFoundError:
                if not await self._discard_gone_deletions():
                    raise
                pause = 0.0
            except ConflictError as error:
                if is_refused(error) or attempt == _TRIES - 1:
                    raise
            else:
                if answer.commit_oid == head:
                    return None
                full = f"{self._summary}\n\n{self._description}".strip()
                return Commit(answer.commit_oid, full, self._user, datetime.now(UTC), None)
            await asyncio.sleep(pause)
        raise AssertionError("unreachable: the last attempt returns or raises")

    # -- what is there -------------------------------------------------------------------------------------------------

    async def _look_again(self, doubt: XetError | None) -> str:
        """The branch's commit now. If that cannot be told either, the failure of the commit is what matters."""
        try:
            return await self._hub.branch_head(self._changes.repo, self._changes.branch)
        except (ConnectionFailedError, RequestTimeoutError, ServerError):
            if doubt is None:
                raise
            raise doubt from None

    async def _made_after_all(self, before: str) -> Commit | None:
        """Our commit, if it was made; ``None`` also where the endpoint cannot be asked, for then the failure stands."""
        try:
            return await self._find_made(before)
        except (ConnectionFailedError, RequestTimeoutError, ServerError):
            return None

    async def _find_made(self, before: str) -> Commit | None:
        """Our commit, if it is among those that were made since ``before``."""
        count = 0
        async with aclosing(self._hub.commits(self._changes.repo, self._changes.branch)) as commits:
            async for commit in commits:
                count += 1
                if commit.id == before or count > _MAX_LOOK_BACK:
                    return None
                if commit.title == self._summary and await self._is_ours(commit.id):
                    self.was_found = True
                    return commit
        return None

    async def _is_ours(self, commit: str) -> bool:
        files = self._changes.files
        there = await self._changes.entries(commit, list(files))
        for path, pending in files.items():
            entry = there.get(path)
            file = entry if entry is not None and entry.type != "directory" else None
            if (pending is None) != (file is None):
                return False
            if pending is not None and file is not None and not await self._changes.is_same(pending, file):
                return False
        return True

    # -- conditions ----------------------------------------------------------------------------------------------------

    @property
    def _is_guarded(self) -> bool:
        return bool(self._changes.guards) or self._changes.parent_commit is not None

    async def _check_guards(self, head: str) -> None:
        """Compare our guarded paths with what the head has."""
        if not self._is_guarded:
            return
        changes, parent = self._changes, self._changes.parent_commit
        paths = list({**dict.fromkeys(changes.files), **dict.fromkeys(changes.guards)} if parent else changes.guards)
        now = await changes.entries(head, paths)
        for path, guard in changes.guards.items():
            entry = now.get(path)
            if guard.absent and entry is not None:
                raise AlreadyExistsError(f"{changes.path}/{path} was created by somebody else meanwhile", status=409)
            if guard.blob_id is not None and (entry is None or entry.oid != guard.blob_id):
                raise EditConflictError(
                    f"{changes.path}/{path} is not the version {guard.blob_id} any more", status=412
                )  # fmt: skip
        since: defaultdict[str, list[str]] = defaultdict(list)
        if parent is not None:
            since[parent] += changes.files
        for path, guard in changes.guards.items():
            for commit in guard.since - {parent}:
                since[commit].append(path)
        for commit, ours in since.items():
            if commit == head:
                continue
            then = await changes.entries(commit, ours)
            changed = sorted(path for path in ours if _oid(then.get(path)) != _oid(now.get(path)))
            if changed:
                raise EditConflictError(
                    f"{changes.path}: changed since {commit[:10]}: {', '.join(changed[:5])}"
                    + (f" and {len(changed) - 5} more" if len(changed) > 5 else "")
                    + "; look at the changes, and write on top of a newer commit",
                    status=412,
                )

    async def _replaced_folders(self, head: str) -> set[str]:
        """The folders whose names our files take, emptied by us; another's file in one keeps it from going."""
        changes = self._changes
        found = set()
        for folder in changes.pending.replaced_folders():
            try:
                async for page in self._hub.tree(changes.repo, head, folder, recursive=True):
                    for entry in page.entries:
                        found.add(folder)
                        if entry.type != "directory" and not changes.pending.deletes(entry.path):
                            raise BadRequestError(
                                f"{changes.path}/{folder} cannot become a file: {entry.path} is below it"
                            )
            except NotFoundError:
                continue
        return found

    async def _discard_gone_deletions(self) -> bool:
        """Forget deletions of files that somebody else deleted first; whether there were any."""
        changes = self._changes
        deleted = [path for path, pending in changes.files.items() if pending is None]
        head = await self._hub.branch_head(changes.repo, changes.branch)
        there = await changes.entries(head, deleted) if deleted else {}
        gone = [path for path in deleted if path not in there or there[path].type == "directory"]
        changes.pending.exclude(gone)
        return bool(gone)


def _default_message(changes: ChangeSet) -> str:
    """What the commit does, in a line."""
    files, origins = changes.files, changes.pending.origins
    deleted = {path for path, pending in files.items() if pending is None}
    moved = {path: origin for path, origin in origins.items() if origin in deleted}
    deleted -= set(moved.values())
    parts = []
    for verb, paths in (
        ("Upload", [path for path, pending in files.items() if pending is not None and path not in origins]),
        ("Copy", [path for path in origins if path not in moved]),
        ("Move", [*moved]),
        ("Delete", [path for path in files if path in deleted]),
    ):
        if len(paths) == 1:
            [path] = paths
            parts.append(f"Move {moved[path]} to {path}" if verb == "Move" else f"{verb} {path}")
        elif paths:
            parts.append(f"{verb} {len(paths)} files")
    return ", ".join(parts)


class CommitLines(Sequence[bytes]):
    """The NDJSON of a commit, each line made when it is sent: thousands of files need not be in memory at once."""

    def __init__(
        self, changes: ChangeSet, summary: str, description: str, parent: str | None, replaced: Collection[str]
    ) -> None:  # fmt: skip
        header: dict[str, str] = {"summary": summary, "description": description}
        if parent is not None:
            header["parentCommit"] = parent
        # Folders that make room for a file go whole, as there is no other way to say that they go at all.
        whole = {
            path for folder in replaced for path, pending in changes.pending.under(folder).items() if pending is None
        }
        self._first = [_line("header", header), *(_line("deletedFolder", {"path": f"{name}/"}) for name in replaced)]
        self._files = [item for item in changes.files.items() if item[0] not in whole]
        self._spool = changes.spool

    def __len__(self) -> int:
        return len(self._first) + len(self._files)

    @overload
    def __getitem__(self, index: int) -> bytes: ...
    @overload
    def __getitem__(self, index: slice) -> list[bytes]: ...
    def __getitem__(self, index: int | slice) -> bytes | list[bytes]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        if index < len(self._first):
            return self._first[index]
        path, pending = self._files[index - len(self._first)]
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
    return encode({"key": key, "value": value}) + b"\n"


def _oid(entry: TreeEntry | None) -> str | None:
    return entry.oid if entry else None
