"""Views and change sets over another kind of place than repositories: without commits, and with one batch for all changes."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from pyxet import AsyncXetFileSystem
from pyxet._async.changes.changeset import ChangeSet
from pyxet._async.changes.commit import Committer
from pyxet._async.changes.edits import Edits
from pyxet._async.changes.guards import Guard
from pyxet._async.changes.pending import Pending
from pyxet._async.changes.propose import Proposer
from pyxet._async.changes.publishing import Publisher
from pyxet._async.changes.spool import Spooled
from pyxet._async.changes.view import View
from pyxet._async.client import Client, Settings
from pyxet._async.tree.catalog import Catalog
from pyxet._async.tree.trees import Trees, missing_entry
from pyxet.config import Credential, Limits, RetryPolicy, Timeouts
from pyxet.errors import (
    AlreadyExistsError,
    EditConflictError,
    EntryNotFoundError,
    FileInTheWayError,
    PartialCommitError,
    RevisionNotFoundError,
    ServerError,
)
from pyxet.protocol.messages import PreuploadFile, PreuploadMode, TreeEntry
from pyxet.types import Commit, RemoteFile, RepoId

# The one name of what is there: a place without revisions has no other.
NOW = "now"
BUCKET = RepoId("models", "acme", "bucket")
OTHER = RepoId("models", "acme", "other")


@dataclass
class Buckets:
    """Contents by path in memory, of which there is only the present state."""

    contents: dict[RepoId, dict[str, bytes]]
    batches: list[tuple[RepoId, list[tuple[str, str]]]] = field(default_factory=list)
    refusing: set[RepoId] = field(default_factory=set)

    def cached(self, repo: RepoId, revision: str, max_age: float) -> str | None:
        return NOW

    async def resolve(self, repo: RepoId, revision: str, max_age: float) -> str:
        return await self.head(repo, revision)

    async def newest(self, repo: RepoId, revision: str, commit: str) -> str:
        return NOW

    def invalidate_revisions(self, repo: RepoId | None = None) -> None:
        pass

    async def entries_at(
        self, repo: RepoId, revision: str, paths: Sequence[str], max_age: float, *, revalidate: bool = True
    ) -> tuple[str, dict[str, TreeEntry]]:  # fmt: skip
        return NOW, await self.entries(repo, await self.head(repo, revision), paths)

    async def entries(self, repo: RepoId, commit: str, paths: Sequence[str]) -> dict[str, TreeEntry]:
        there = self._all(repo)
        return {path: there[path] for path in paths if path in there}

    async def entries_now(self, repo: RepoId, revision: str, paths: Sequence[str]) -> dict[str, TreeEntry]:
        return await self.entries(repo, revision, paths)

    async def expanded(self, repo: RepoId, commit: str, path: str) -> TreeEntry | None:
        return self._all(repo).get(path)

    async def folder(self, repo: RepoId, commit: str, path: str, *, refresh: bool = False) -> tuple[TreeEntry, ...]:
        return tuple((await self.dated(repo, commit, path)).values())

    async def dated(self, repo: RepoId, commit: str, path: str) -> dict[str, TreeEntry]:
        found = {name: there for name, there in self._all(repo).items() if name.rpartition("/")[0] == path}
        if path and not found:
            raise missing_entry(repo, commit, path)
        return found

    async def below(
        self, repo: RepoId, commit: str, path: str, *, expand: bool = False
    ) -> AsyncGenerator[list[TreeEntry], None]:
        found = [there for name, there in self._all(repo).items() if not path or name.startswith(f"{path}/")]
        if path and not found:
            raise missing_entry(repo, commit, path)
        yield found

    def invalidate(self) -> None:
        pass

    def full_name(self, repo: RepoId, branch: str) -> str:
        return branch

    async def head(self, repo: RepoId, branch: str) -> str:
        if repo not in self.contents or branch != NOW:
            raise RevisionNotFoundError(f"{repo} has no {branch!r}", status=404)
        return NOW

    async def check_branch(self, repo: RepoId, branch: str) -> None:
        await self.head(repo, branch)

    def invalidate_branch(self, repo: RepoId, branch: str) -> None:
        pass

    async def preupload(
        self, repo: RepoId, branch: str, files: Sequence[PreuploadFile], *, propose: bool = False
    ) -> list[PreuploadMode]:
        return [PreuploadMode(path=file.path, upload_mode="regular") for file in files]

    def batch(self, repo: RepoId, changes: dict[str, bytes | None]) -> None:
        """Add and delete files, all at once."""
        if repo in self.refusing:
            raise ServerError("not today", status=500)
        self.batches.append(
            (repo, [("deleteFile" if data is None else "addFile", name) for name, data in changes.items()])
        )
        for name, data in changes.items():
            if data is None:
                del self.contents[repo][name]
            else:
                self.contents[repo][name] = data

    def _all(self, repo: RepoId) -> dict[str, TreeEntry]:
        """Files, and the folders that they lie in."""
        found: dict[str, TreeEntry] = {}
        for path, data in self.contents[repo].items():
            found[path] = TreeEntry(type="file", path=path, oid=blob_id(data), size=len(data))
            folder = path.rpartition("/")[0]
            while folder:
                found[folder] = TreeEntry(type="directory", path=folder, oid="")
                folder = folder.rpartition("/")[0]
        return found


class BatchPublisher:
    """Publishes a change set by one batch, if the guards of its paths hold."""

    def __init__(self, buckets: Buckets, changes: ChangeSet) -> None:
        self.buckets = buckets
        self.changes = changes

    async def check(self) -> None:
        there = await self.changes.entries(NOW, list(self.changes.guards))
        for path, guard in self.changes.guards.items():
            if guard.absent and path in there:
                raise AlreadyExistsError(f"{path} was created meanwhile", status=409)
            if guard.versions and (path not in there or {there[path].oid} != guard.versions):
                raise EditConflictError(f"{path} is another version", status=412)

    async def publish(self) -> Commit | None:
        await self.check()
        batch: dict[str, bytes | None] = {}
        for path, pending in self.changes.files.items():
            if pending is None:
                batch[path] = None
            else:
                assert isinstance(pending.content, Spooled)
                [batch[path]] = await self.changes.carried([pending.content])
        self.buckets.batch(self.changes.repo, batch)
        return Commit(NOW, "", "ann", datetime.now(UTC), None)


class BucketEdits(Edits):
    """Edits of buckets."""

    def _publisher(self, changes: ChangeSet, message: str | None, user: str) -> Publisher:
        trees = self._client.trees
        assert isinstance(trees, Buckets)
        return BatchPublisher(trees, changes)


def blob_id(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


@asynccontextmanager
async def buckets() -> AsyncIterator[tuple[Buckets, BucketEdits]]:
    """Two buckets, and edits of them by a client whose endpoint is nowhere: whatever is sent to it fails."""
    client = Client(Settings(Credential("http://127.0.0.1:9", "ann"), Limits(), RetryPolicy(attempts=1), Timeouts()))
    place = Buckets({BUCKET: {"a/one": b"1", "a/b/two": b"22", "top": b"0"}, OTHER: {}})
    client.trees = place
    edits = BucketEdits(client)
    try:
        yield place, edits
    finally:
        await edits.discard()
        await client.transport.aclose()


def test_repositories_are_the_first_kind() -> None:
    """mypy compares each with what the Protocol asks for."""

    def kinds(catalog: Catalog, memory: Buckets) -> list[Trees]:
        return [catalog, memory]

    def publishers(commit: Committer, proposal: Proposer, batch: BatchPublisher) -> list[Publisher]:
        return [commit, proposal, batch]

    asked = {name for name, item in vars(Trees).items() if callable(item) and not name.startswith("_")}
    assert {"resolve", "entries", "folder", "below", "head"} < asked
    for kind in (Catalog, Buckets):
        assert asked <= set(dir(kind))
    for publisher in (Committer, Proposer, BatchPublisher):
        assert {"check", "publish"} <= set(dir(publisher))


async def test_a_view_needs_no_commits() -> None:
    async with buckets() as (place, _):
        view = View(place, BUCKET, NOW)
        found = await view.lookup("a/b/two")
        assert found is not None
        assert found.content == RemoteFile(BUCKET, NOW, "a/b/two", 2, blob_id(b"22"))
        assert await view.lookup("a/none") is None
        assert [child.path for child in await view.children("")] == ["a", "top"]
        assert [child.path for child in await view.dated_children("a")] == ["a/b", "a/one"]
        assert {entry.path async for page in view.below("a") for entry in page} == {"a/one", "a/b", "a/b/two"}
        with pytest.raises(EntryNotFoundError):
            await view.children("a/none")
        with pytest.raises(FileInTheWayError, match="top"):
            await view.check_place("top/file")


async def test_pending_changes_lie_on_top_of_it() -> None:
    async with buckets() as (place, edits):
        changes = await edits.on(BUCKET, "now")
        assert edits.pending(BUCKET, "now") is changes
        await changes.write("new/file", b"xyz")
        await changes.delete(["a/one", "a/b/two"])
        view = View(place, BUCKET, changes.base, changes)
        assert [child.path for child in await view.children("")] == ["new", "top"]
        assert await view.lookup("a") is None
        there = await view.lookup("new/file")
        assert there is not None
        assert isinstance(there.content, Pending)
        assert await changes.read("new/file", there.content, 1, 3) == b"yz"
        with pytest.raises(RevisionNotFoundError):
            await edits.on(BUCKET, "main")


async def test_a_change_set_is_published_as_one_batch() -> None:
    """Small contents are stored as the place says, and what is there just so is left out."""
    async with buckets() as (place, edits):
        changes = await edits.on(BUCKET, NOW)
        await changes.write("new/file", b"xyz")
        await changes.write("top", b"0")
        await changes.delete(["a/one"])
        nested = edits.nested()
        await (await nested.on(BUCKET, NOW)).write("undone", b"u")
        await nested.discard()
        assert place.batches == []
        [made] = await edits.commit(None)
        assert made.id == NOW
        assert place.batches == [(BUCKET, [("addFile", "new/file"), ("deleteFile", "a/one")])]
        assert place.contents[BUCKET] == {"a/b/two": b"22", "top": b"0", "new/file": b"xyz"}


@pytest.mark.parametrize(
    ("guard", "error"),
    [(Guard(absent=True), AlreadyExistsError), (Guard(frozenset({blob_id(b"else")})), EditConflictError)],
    ids=["absent", "version"],
)
async def test_guards_are_checked_before_anything_is_published(guard: Guard, error: type[Exception]) -> None:
    async with buckets() as (place, edits):
        await (await edits.on(OTHER, NOW)).write("first", b"1")
        await (await edits.on(BUCKET, NOW)).write("top", b"new", guard)
        with pytest.raises(error):
            await edits.commit(None)
        assert place.batches == []


async def test_what_was_published_before_a_failure_is_told() -> None:
    async with buckets() as (place, edits):
        await (await edits.on(OTHER, NOW)).write("first", b"1")
        await (await edits.on(BUCKET, NOW)).write("top", b"new")
        place.refusing.add(BUCKET)
        with pytest.raises(PartialCommitError) as caught:
            await edits.commit(None)
        assert [(path, made.id) for path, made in caught.value.made] == [(f"{OTHER.path}/{NOW}", NOW)]
        assert place.contents[OTHER] == {"first": b"1"}
        assert place.contents[BUCKET]["top"] == b"0"


async def test_the_file_system_looks_up_and_lists_without_commits() -> None:
    async with buckets() as (place, edits):
        client = edits._client
        fs = AsyncXetFileSystem(client.endpoint, token="hf_none", asynchronous=True, skip_instance_cache=True)
        fs._known_client = (fs.credential, client)
        top = f"{BUCKET.path}/{NOW}"
        assert await fs._ls(f"{top}/a", detail=False) == [f"{top}/a/b", f"{top}/a/one"]
        assert await fs._find(top) == [f"{top}/a/b/two", f"{top}/a/one", f"{top}/top"]
        assert await fs._glob(f"{top}/a/*", refresh=True) == [f"{top}/a/b", f"{top}/a/one"]
        info = await fs._info(f"{top}/a/b/two")
        assert (info["size"], info["blob_id"]) == (2, blob_id(b"22"))
        assert await fs._exists(f"{top}/top")
        assert not await fs._exists(f"{top}/none")
        assert await fs._glob(f"{top}/none*") == []
        place.contents[BUCKET]["later"] = b"l"
        fs.invalidate_cache()
        assert await fs._isfile(f"{top}/later")
