"""Looks up, lists and caches the entries of commits.

A commit never changes, so cached entries stay valid, also the knowledge that nothing is at a path. They are dropped only
to bound memory. Failures are not cached.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from itertools import islice
from typing import Final

from pyxet._async.endpoint.hub import Hub, TreePage
from pyxet._async.runtime.batching import Batches
from pyxet._async.tree import moments
from pyxet._async.tree.lookups import Lookups
from pyxet._async.tree.revisions import Revisions
from pyxet._async.tree.trees import MAX_ENTRIES, missing_entry
from pyxet.protocol.messages import PreuploadFile, PreuploadMode, TreeEntry
from pyxet.types import RepoId
from pyxet.urls import may_be_commit

# Maximum files of one request for last changes. Requests grow up to it while a caller asks for one file after another.
_MAX_DATED: Final = 50

Key = tuple[RepoId, str, str]


class Catalog:
    """Entries of one client's repositories: the `Trees` whose revisions are commits."""

    def __init__(self, hub: Hub, revisions: Revisions) -> None:
        self._hub = hub
        self._lookups = Lookups(hub)
        self._revisions = revisions
        self._lock = threading.Lock()
        # ``None`` if nothing is at the path.
        self._entries: OrderedDict[Key, TreeEntry | None] = OrderedDict()
        # Entries of a commit with their last changes, by path.
        self._dated: OrderedDict[tuple[RepoId, str], dict[str, TreeEntry]] = OrderedDict()
        self._folders: OrderedDict[Key, dict[str, TreeEntry]] = OrderedDict()
        self._in_folders = 0
        # One request at a time: paths that are requested meanwhile, by several threads say, go into the next request.
        self._dating: Batches[tuple[RepoId, str], str, dict[str, TreeEntry]] = Batches(_MAX_DATED, at_once=1)
        # Whether the endpoint reports the commit that it looked at, as far as is known.
        self._tells_commit = True

    # -- revisions -----------------------------------------------------------------------------------------------------

    def cached(self, repo: RepoId, revision: str, max_age: float) -> str | None:
        """See `Revisions.cached`."""
        return self._revisions.cached(repo, revision, max_age)

    async def resolve(self, repo: RepoId, revision: str, max_age: float) -> str:
        """See `Revisions.commit_of`."""
        return await self._revisions.commit_of(repo, revision, max_age)

    async def newest(self, repo: RepoId, revision: str, commit: str) -> str:
        """The commit that a revision is at now. No request is made if that certainly still is the given commit."""
        if self._revisions.is_current(repo, revision, commit):
            return commit
        return await self._revisions.commit_now(repo, revision)

    def invalidate_revisions(self, repo: RepoId | None = None) -> None:
        """See `Revisions.invalidate`."""
        self._revisions.invalidate(repo)

    def full_name(self, repo: RepoId, branch: str) -> str:
        """See `Revisions.full_name`."""
        return self._revisions.full_name(repo, branch)

    async def head(self, repo: RepoId, branch: str) -> str:
        """See `Revisions.head`."""
        return await self._revisions.head(repo, branch)

    async def check_branch(self, repo: RepoId, branch: str) -> None:
        """See `Revisions.check_branch`."""
        await self._revisions.check_branch(repo, branch)

    def invalidate_branch(self, repo: RepoId, branch: str) -> None:
        """See `Revisions.invalidate_branch`."""
        self._revisions.invalidate_branch(repo, branch)

    async def preupload(
        self, repo: RepoId, branch: str, files: Sequence[PreuploadFile], *, propose: bool = False
    ) -> list[PreuploadMode]:
        """See `Hub.preupload`."""
        return await self._hub.preupload(repo, branch, files, propose=propose)

    # -- entries and listings ------------------------------------------------------------------------------------------

    async def entries_at(
        self, repo: RepoId, revision: str, paths: Sequence[str], max_age: float, *, revalidate: bool = True
    ) -> tuple[str, dict[str, TreeEntry]]:  # fmt: skip
        """The commit of a revision and the entries at some paths in it, with one request if the endpoint allows it.

        Parameters
        ----------
        max_age:
            Maximum age of the cached commit in seconds.
        revalidate:
            Whether paths that are missing in an older commit are looked up in the present one, so that a path that is left
            out has nothing at it now.
        """
        commit = self._revisions.cached(repo, revision, max_age)
        known = self._remembered(repo, commit, paths) if commit is not None else {}
        found = {path: entry for path, entry in known.items() if entry is not None}
        if commit is not None and len(found if revalidate else known) == len(paths):
            return commit, found
        if commit is not None and self._revisions.is_current(repo, revision, commit):
            return commit, await self.entries(repo, commit, paths)
        if self._tells_commit and self._revisions.is_simple(revision) and not may_be_commit(revision):
            # A look-up by revision costs as much as one by commit, and also returns the revision's commit.
            lacking = [path for path in paths if path not in found]
            asked = moments.now()
            page = await self._look(repo, revision, lacking)
            if page.commit is not None:
                self._revisions.note(repo, revision, page.commit, asked)
                self._remember(repo, page.commit, page.entries, lacking)
                if found and page.commit != commit:
                    # The branch has moved: the cached entries are from another commit than the new ones.
                    return page.commit, await self.entries(repo, page.commit, paths)
                return page.commit, found | {entry.path: entry for entry in page.entries}
            self._tells_commit = False
        if commit is None:
            commit = await self._revisions.commit_of(repo, revision, max_age)
        found = await self.entries(repo, commit, paths)
        if revalidate and len(found) < len(paths) and not self._revisions.is_current(repo, revision, commit):
            earlier, commit = commit, await self._revisions.commit_now(repo, revision)
            found = found if commit == earlier else await self.entries(repo, commit, paths)
        return commit, found

    async def entries(self, repo: RepoId, commit: str, paths: Sequence[str]) -> dict[str, TreeEntry]:
        """The entries at some paths of a commit. Paths with nothing at them are left out."""
        known = self._remembered(repo, commit, paths)
        found = {path: entry for path, entry in known.items() if entry is not None}
        unknown = [path for path in paths if path not in known]
        if unknown:
            page = await self._look(repo, commit, unknown)
            self._remember(repo, commit, page.entries, unknown)
            found.update((entry.path, entry) for entry in page.entries)
        return found

    async def entries_now(self, repo: RepoId, revision: str, paths: Sequence[str]) -> dict[str, TreeEntry]:
        """Like `entries`, for a revision or commit, but the cache is neither used nor filled."""
        page = await self._hub.paths_info(repo, revision, paths)
        return {entry.path: entry for entry in page.entries}

    async def folder(self, repo: RepoId, commit: str, path: str, *, refresh: bool = False) -> tuple[TreeEntry, ...]:
        """The entries directly in a folder. Raises `EntryNotFoundError` if there is no such folder."""
        key = (repo, commit, path)
        with self._lock:
            known = None if refresh else self._folders.get(key)
        if known is not None:
            return tuple(known.values())
        entries: list[TreeEntry] = []
        async for page in self._hub.tree(repo, commit, path):
            entries += page.entries
        if path and not entries:
            # The Hub returns an empty listing for a file. As git has no empty folders, there is no folder at this path.
            raise missing_entry(repo, commit, path)
        self._remember_folder(key, entries)
        return tuple(entries)

    async def dated(self, repo: RepoId, commit: str, path: str) -> dict[str, TreeEntry]:
        """Like `folder`, by path, with the commit that last changed each entry. Slow at the endpoint, and not cached."""
        found: dict[str, TreeEntry] = {}
        async for page in self._hub.tree(repo, commit, path, expand=True):
            found.update((entry.path, entry) for entry in page.entries)
        return found

    async def below(
        self, repo: RepoId, commit: str, path: str, *, expand: bool = False
    ) -> AsyncGenerator[list[TreeEntry], None]:
        """All files and folders below a folder, page by page. Raises `EntryNotFoundError` if there is no such folder.

        Parameters
        ----------
        expand:
            Whether to include the commits that last changed them, which is expensive for the endpoint.
        """
        folders: dict[str, list[TreeEntry]] | None = {path: []}
        count = 0
        async for page in self._hub.tree(repo, commit, path, recursive=True, expand=expand):
            count += len(page.entries)
            self._remember(repo, commit, page.entries)
            if count > MAX_ENTRIES:
                folders = None
            elif folders is not None:
                for entry in page.entries:
                    folders.setdefault(entry.path.rpartition("/")[0], []).append(entry)
            yield page.entries
        if path and not count:
            raise missing_entry(repo, commit, path)
        # This listing is complete, so the entries of each folder in it are complete, too.
        for name, entries in (folders or {}).items():
            self._remember_folder((repo, commit, name), entries)

    async def expanded(self, repo: RepoId, commit: str, path: str) -> TreeEntry | None:
        """The entry at a path, with the commit that last changed it. This is slow at the endpoint, so call it only if needed.

        If callers ask for one file after another, as tools with a cache of their own do, a request includes the files that
        follow, as many as are known already. Calls at the same time, on several threads say, share a request.
        """
        with self._lock:
            known = self._dated.get((repo, commit), {}).get(path)
        if known is not None:
            return known

        async def ask(paths: list[str]) -> dict[str, TreeEntry]:
            return await self._date(repo, commit, paths)

        return (await self._dating.run((repo, commit), path, ask)).get(path)

    async def _date(self, repo: RepoId, commit: str, paths: list[str]) -> dict[str, TreeEntry]:
        """The entries at the given paths, and perhaps at further ones, with the commits that last changed them."""
        with self._lock:
            dated = self._dated.setdefault((repo, commit), {})
            # Some of the paths may have been answered together with others while they waited.
            found = {path: dated[path] for path in paths if path in dated}
            wanted = [path for path in paths if path not in found]
            if not wanted:
                return found
            ahead = (
                name for name in self._files_after(repo, commit, wanted[-1]) if name not in dated and name not in wanted
            )
            wanted += islice(ahead, max(0, min(len(dated), _MAX_DATED) - len(wanted)))
        page = await self._hub.paths_info(repo, commit, wanted, expand=True)
        with self._lock:
            dated = self._dated.setdefault((repo, commit), {})
            dated.update((entry.path, entry) for entry in page.entries)
            self._dated.move_to_end((repo, commit))
            while len(self._dated) > 1 and sum(map(len, self._dated.values())) > MAX_ENTRIES:
                self._dated.popitem(last=False)
        return found | {entry.path: entry for entry in page.entries}

    def invalidate(self) -> None:
        """Forget everything."""
        with self._lock:
            self._entries.clear()
            self._dated.clear()
            self._folders.clear()
            self._in_folders = 0

    def _remember_folder(self, key: Key, entries: Iterable[TreeEntry]) -> None:
        listing = {entry.path: entry for entry in entries}
        with self._lock:
            self._in_folders += len(listing) - len(self._folders.pop(key, ()))
            self._folders[key] = listing
            while self._in_folders > MAX_ENTRIES and len(self._folders) > 1:
                _, dropped = self._folders.popitem(last=False)
                self._in_folders -= len(dropped)

    def _files_after(self, repo: RepoId, commit: str, path: str) -> Iterator[str]:
        """The files that follow a path in its folder and in the folders above, as far as their listings are cached."""
        while path:
            folder = path.rpartition("/")[0]
            names = list(self._folders.get((repo, commit, folder), ()))
            following = names[names.index(path) + 1 :] if path in names else []
            for name in following:
                yield from self._files_in(repo, commit, name)
            path = folder

    def _files_in(self, repo: RepoId, commit: str, path: str) -> Iterator[str]:
        """The path, if it is a file, or the cached files below it."""
        known, entry = self._known(repo, commit, path)
        if known and entry is not None and entry.type == "file":
            yield path
        for name in self._folders.get((repo, commit, path), ()):
            yield from self._files_in(repo, commit, name)

    async def _look(self, repo: RepoId, revision: str, paths: Sequence[str]) -> TreePage:
        if len(paths) == 1:
            return await self._lookups.look(repo, revision, paths[0])
        return await self._hub.paths_info(repo, revision, paths)

    def _remembered(self, repo: RepoId, commit: str, paths: Sequence[str]) -> dict[str, TreeEntry | None]:
        """The cached entries at some paths of a commit; ``None`` if nothing is there. Unknown paths are left out."""
        with self._lock:
            looked = {path: self._known(repo, commit, path) for path in paths}
        return {path: entry for path, (known, entry) in looked.items() if known}

    def _known(self, repo: RepoId, commit: str, path: str) -> tuple[bool, TreeEntry | None]:
        """Whether the cache has an answer for a path, and the entry, or ``None`` if nothing is there."""
        name = path
        while name:
            folder = name.rpartition("/")[0]
            listing = self._folders.get((repo, commit, folder))
            if (repo, commit, name) in self._entries or listing is not None:
                entry = self._entries.get((repo, commit, name)) or (listing or {}).get(name)
                if name == path:
                    return True, entry
                # If a folder above the path does not exist, nothing is at the path.
                return entry is None, None
            name = folder
        return False, None

    def _remember(
        self, repo: RepoId, commit: str, entries: Iterable[TreeEntry], asked: Sequence[str] = ()
    ) -> None:  # fmt: skip
        with self._lock:
            for path in asked:
                self._entries[repo, commit, path] = None
            for entry in entries:
                self._entries[repo, commit, entry.path] = entry
            while len(self._entries) > MAX_ENTRIES:
                self._entries.popitem(last=False)
