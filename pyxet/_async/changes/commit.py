"""Makes a commit from the pending changes of a branch: checks guards, retries, and finds commits whose answer was lost.

A commit is sent again in three cases only: the endpoint refused it (the transport then waits as long as the endpoint
asked); somebody else committed to the branch first; or the answer was lost, and a look at the branch shows that the
commit was not made. Each request names the parent of the commit. If the endpoint carries out a request late, after the
branch has moved, it therefore refuses it.
"""

from __future__ import annotations

import asyncio
import base64
import random
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from contextlib import aclosing, suppress
from datetime import UTC, datetime
from typing import Final, overload

from pyxet._async.changes.changeset import ChangeSet
from pyxet._async.changes.spool import Spooled
from pyxet._async.http.messages import is_transient
from pyxet._async.http.transport import is_refused
from pyxet.errors import (
    AlreadyExistsError,
    BadRequestError,
    CommitTimeoutError,
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

# How often a commit may be refused because of its parent while the branch is still at that parent.
_TRIES: Final = 20
# How far back the log is searched for a commit whose answer was lost.
_MAX_LOOK_BACK: Final = 1000
# A commit of more files than this asks for the branch's head before it is sent the first time.
_MANY: Final = 100
# A commit of at most this many lines that carries at most so many bytes of content is put together at once, on the event loop.
_FEW_LINES: Final = 256
_LITTLE: Final = 64 * 1024
# Seconds: a commit that takes longer than this is slow; and how long at most we wait for one that may still be made late.
_SLOW: Final = 20.0
_LONGEST_WAIT: Final = 120.0
# Seconds between two looks for a commit that may come late.
_SHORTEST_LOOK: Final = 0.1
_LONGEST_LOOK: Final = 5.0
# Seconds: each pause is random between 0 and a bound, which starts at the first value and doubles with each try up to the
# second.
_SHORTEST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 3.2
# After a conflict, the bound grows only up to this try.
_SOON: Final = 3


class Committer:
    """Makes the commit of one set of changes, which must be prepared.

    Parameters
    ----------
    changes:
        What to commit.
    message:
        Title in the first line, description in those after it. If ``None`` or blank, a message is made from the paths.
    user:
        Name of the author.
    """

    def __init__(self, changes: ChangeSet, message: str | None, user: str) -> None:
        self._changes = changes
        self._client = changes.client
        self._hub = changes.client.hub
        self._retry = changes.client.retry
        message = (message or "").strip() or _default_message(changes)
        self._summary, _, description = message.partition("\n")
        self._summary, self._description = self._summary.strip(), description.strip()
        self._user = user
        self._head = self._client.heads.of(changes.repo, changes.branch)
        # Whether the answer was lost and the commit was found in the branch's log; it may then not be the newest commit.
        self._was_found = False
        # The mark of the branch when the commit was sent, see `Revisions.mark`.
        self._mark = self._client.revisions.mark(changes.repo, changes.branch)
        # Seconds that the last try took.
        self._took = 0.0

    async def check(self) -> None:
        """Raise like `publish` if a guard would fail now."""
        if self._is_guarded:
            await self._check_guards(await self._hub.branch_head(self._changes.repo, self._changes.branch))

    async def publish(self) -> Commit | None:
        """Make the commit, and remember that the branch is at it. Returns and raises like `commit`."""
        try:
            commit = await self.commit()
        except BaseException:
            # The commit may still have been made, so what we know about the branch may be outdated now.
            self._client.revisions.note_change(self._changes.repo)
            raise
        if commit is not None:
            self._note(commit)
        return commit

    def _note(self, commit: Commit) -> None:
        changes, revisions = self._changes, self._client.revisions
        if self._was_found:
            # The commit was found later in the log; others may have committed on top of it.
            revisions.invalidate_branch(changes.repo, changes.branch)
        else:
            revisions.note_own(changes.repo, changes.branch, commit.id, self._mark)

    async def commit(self) -> Commit | None:
        """Make the commit.

        Returns
        -------
        Commit | None
            ``None`` if nothing would change.

        Raises
        ------
        ConflictError
            A guarded path changed (`EditConflictError`), or exists (`AlreadyExistsError`).
        BadRequestError
            A path would be a file and a folder.
        CommitTimeoutError
            The endpoint took too long, again and again, and the branch does not have the commit.
        """
        changes = self._changes
        parent, doubt = changes.base, None
        attempt = failures = stuck = 0
        while changes.files:
            failed: XetError | None = None
            async with self._head.turns.here():
                looks = attempt > 0 or self._looks_first
                before, parent = parent, await self._look_again(doubt) if looks else self._head.newest(parent)
                if doubt is not None and parent != before:
                    # The branch has moved. Either an earlier try made our commit and its answer was lost; or no earlier try
                    # will ever succeed, as the parent it names is not the head any more.
                    if (made := await self._find_made(before)) is not None:
                        return made
                    doubt = None
                stuck = stuck + 1 if attempt and parent == before else 0
                replaced: Collection[str] = ()
                if looks:
                    await self._check_guards(parent)
                    replaced = await self._replaced_folders(parent)
                try:
                    return await self._send(parent, replaced)
                except (ConnectionFailedError, RequestTimeoutError, ServerError, FormatError) as error:
                    # The transport has already retried a refused request, or the endpoint asked it to wait too long.
                    if is_refused(error) or not (is_transient(error) or isinstance(error, FormatError)):
                        raise
                    doubt = failed = error
                except EntryNotFoundError:
                    if not await self._discard_gone_deletions():
                        raise
                except ConflictError as error:
                    # Somebody else committed first. That is no failure as long as the branch moves.
                    if is_refused(error) or stuck >= _TRIES:
                        raise
            attempt += 1
            if failed is not None:
                await self._await_late(parent, failed)
                # A commit that was slow once will be slow again, so a slow time-out counts twice.
                failures += 2 if may_be_late(failed) and self._took > _SLOW else 1
                if failures >= self._retry.attempts:
                    if (made := await self._made_after_all(parent)) is not None:
                        return made
                    raise self._lost(failed, parent, attempt)
            await asyncio.sleep(_pause(attempt if failed is not None else min(attempt, _SOON)))
        return None

    @property
    def _looks_first(self) -> bool:
        """Whether to ask for the head before the first try.

        A small commit does without: if its parent is outdated, the refusal comes as quickly as the answer would.
        """
        changes = self._changes
        return self._is_guarded or len(changes.files) > _MANY or bool(changes.pending.replaced_folders())

    async def _send(self, parent: str, replaced: Collection[str]) -> Commit | None:
        """Send the commit once, on top of its parent; ``None`` if it changes nothing.

        Every request names its parent, so the endpoint refuses it once the branch has moved: if somebody wrote after we
        checked the guards, if an earlier try of ours was carried out after all, or if this request is carried out late.
        """
        changes = self._changes
        lines = commit_lines(changes, self._summary, self._description, parent, replaced)
        loop = asyncio.get_running_loop()
        began = loop.time()
        self._mark = self._client.revisions.mark(changes.repo, changes.branch)
        try:
            answer = await self._hub.commit(changes.repo, changes.branch, lines)
        finally:
            self._took = loop.time() - began
        if answer.commit_oid == parent:
            return None
        self._head.note(parent, answer.commit_oid)
        full = f"{self._summary}\n\n{self._description}".strip()
        return Commit(answer.commit_oid, full, self._user, datetime.now(UTC), None)

    # -- what is there -------------------------------------------------------------------------------------------------

    async def _look_again(self, doubt: XetError | None) -> str:
        """The branch's current commit. If this request fails too, raise the commit's own failure (``doubt``) instead."""
        try:
            return await self._hub.branch_head(self._changes.repo, self._changes.branch)
        except (ConnectionFailedError, RequestTimeoutError, ServerError):
            if doubt is None:
                raise
            raise doubt from None

    async def _await_late(self, parent: str, doubt: XetError) -> None:
        """After a time-out, wait while the endpoint may still be making the commit, at most as long as the try took.

        Returns early when the branch has moved.
        """
        if not may_be_late(doubt):
            return
        loop = asyncio.get_running_loop()
        until, pause = loop.time() + min(self._took, _LONGEST_WAIT), _SHORTEST_LOOK
        while loop.time() < until:
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_LOOK)
            with suppress(ConnectionFailedError, RequestTimeoutError, ServerError):
                if await self._hub.branch_head(self._changes.repo, self._changes.branch) != parent:
                    return

    def _lost(self, doubt: XetError, parent: str, tries: int) -> XetError:
        """The error for a commit that the branch does not have after all tries."""
        if not may_be_late(doubt):
            return doubt
        changes = self._changes
        return CommitTimeoutError(
            f"committing to {changes.path}: the endpoint did not finish in time ({tries} tries, the last of {self._took:.1f} s), "
            f"and the branch, at {parent[:10]}, does not have the commit",
            hint=f"nothing is committed, and uploaded content stays stored: try again later, or commit fewer than "
            f"{len(changes.files):,} files at a time",
        )

    async def _made_after_all(self, before: str) -> Commit | None:
        """Our commit, if it was made. ``None`` also if the endpoint cannot be asked: the caller then reports the failure."""
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
                    self._was_found = True
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
            for version in guard.versions:
                if entry is None or entry.oid != version:
                    raise EditConflictError(f"{changes.path}/{path} is not the version {version} any more", status=412)
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
        """The folders at ``head`` that are replaced by files of ours.

        Raises
        ------
        BadRequestError
            Such a folder holds a file that we do not delete.
        """
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
        """Drop deletions of files that somebody else deleted first. Returns whether there were any."""
        changes = self._changes
        deleted = [path for path, pending in changes.files.items() if pending is None]
        head = await self._hub.branch_head(changes.repo, changes.branch)
        there = await changes.entries(head, deleted) if deleted else {}
        gone = [path for path in deleted if path not in there or there[path].type == "directory"]
        changes.pending.exclude(gone)
        return bool(gone)


def may_be_late(error: XetError) -> bool:
    """Whether a request timed out, so that the endpoint may still be carrying it out."""
    return isinstance(error, RequestTimeoutError) or getattr(error, "status", None) == 504


def _pause(attempt: int) -> float:
    """Seconds before the next try."""
    return random.uniform(0, min(_LONGEST_PAUSE, _SHORTEST_PAUSE * 2.0 ** min(attempt - 1, 10)))


def _default_message(changes: ChangeSet) -> str:
    """A message of one line that says what the commit does."""
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


def commit_lines(
    changes: ChangeSet, summary: str, description: str, parent: str | None, replaced: Collection[str]
) -> Sequence[bytes]:  # fmt: skip
    """The NDJSON of a commit in lines: a tuple if it is short, `CommitLines` otherwise."""
    lines = CommitLines(changes, summary, description, parent, replaced)
    return tuple(lines) if len(lines) <= _FEW_LINES and lines.carried <= _LITTLE else lines


class CommitLines(Sequence[bytes]):
    """The NDJSON of a commit. Each line is made when it is sent, so that thousands of files are not in memory at once."""

    def __init__(
        self, changes: ChangeSet, summary: str, description: str, parent: str | None, replaced: Collection[str]
    ) -> None:  # fmt: skip
        header: dict[str, str] = {"summary": summary, "description": description}
        if parent is not None:
            header["parentCommit"] = parent
        # A folder that a file replaces needs a line of its own: deleting all files in it does not delete the folder.
        whole = {
            path for folder in replaced for path, pending in changes.pending.under(folder).items() if pending is None
        }
        self._first = [_line("header", header), *(_line("deletedFolder", {"path": f"{name}/"}) for name in replaced)]
        self._files = [item for item in changes.files.items() if item[0] not in whole]
        self._spool = changes.spool

    def __len__(self) -> int:
        return len(self._first) + len(self._files)

    @property
    def carried(self) -> int:
        """Bytes of the contents that are sent inside the commit."""
        return sum(pending.size for _, pending in self._files if pending and isinstance(pending.content, Spooled))

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
                raise TransactionError(f"{path}: it was not decided how to store this file")


def _line(key: str, value: Mapping[str, str | int]) -> bytes:
    return encode({"key": key, "value": value}) + b"\n"


def _oid(entry: TreeEntry | None) -> str | None:
    return entry.oid if entry else None
