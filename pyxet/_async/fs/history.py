"""The part of the file system that deals with history: commits, times of changes, differences between two commits."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime
from itertools import chain, repeat
from typing import Final

from pyxet._async.fs.lookup import Lookup
from pyxet._async.runtime.tasks import run_all
from pyxet._shown import Rows
from pyxet.errors import NotFoundError, XetURLError
from pyxet.options import public
from pyxet.types import Commit, LfsFile, PathChange
from pyxet.urls import XetURL

# Number of commits in which a path is looked up at once, growing from batch to batch: the newest change is often recent.
_LOOKUPS: Final = (1, 1, 2, 4, 8, 16)


class History(Lookup):
    """See `AsyncXetFileSystem`."""

    @public()
    async def _iter_log(self, path: str) -> AsyncGenerator[Commit, None]:
        """Iterate over commits, newest first: all of a branch (of ``main`` for a repository), or those that changed a path.

        Returns
        -------
        AsyncGenerator of Commit
            Pages of commits are requested as they are needed.

        Raises
        ------
        RepositoryNotFoundError, RevisionNotFoundError
            There is no such repository or revision.
        """
        url = self._parse(path)
        async with aclosing(self._touching(url) if url.path else self._history(url)) as commits:
            async for commit in commits:
                yield commit

    @public()
    async def _log(self, path: str, limit: int | None = None) -> list[Commit]:
        """Return the commits of `_iter_log` as a list.

        Parameters
        ----------
        limit:
            Maximum number of commits; ``None`` for all.

        Returns
        -------
        list of Commit
            Newest first.

        Raises
        ------
        RepositoryNotFoundError, RevisionNotFoundError
            There is no such repository or revision.
        """
        async with aclosing(self._iter_log(path)) as commits:
            # Stops at the limit: to find one more commit, all of a long history may have to be searched.
            return Rows(await _next(commits, sys.maxsize if limit is None else limit))

    @public()
    async def _diff(self, repo: str, old: str, new: str) -> AsyncIterator[PathChange]:
        """Iterate over the files that differ between two revisions, folder by folder. A renamed file is removed and added.

        Parameters
        ----------
        old, new:
            Branches, tags, commits or points in time. Pending changes of a transaction are not included.

        Returns
        -------
        AsyncIterator of PathChange
            One for each path.

        Raises
        ------
        RepositoryNotFoundError, RevisionNotFoundError
            There is no such repository or revision.
        """
        _, repo_id = self._parse_repo(repo)
        client = await self._connect()
        before = await client.revisions.commit_now(repo_id, old)
        after = await client.revisions.commit_now(repo_id, new) if new != old else before
        from pyxet._async.tree.diff import Comparison

        async with aclosing(Comparison(client.hub, repo_id, before, after).changes()) as changes:
            async for change in changes:
                yield change

    @public()
    async def _squash(self, branch: str, message: str | None = None) -> Commit:
        """Replace the history of a branch by one commit with its present content. What only earlier commits contain is lost.

        Parameters
        ----------
        branch:
            Path of the branch: ``acme/titanic/main``.
        message:
            Message of that commit; if ``None``, one that names the branch.

        Returns
        -------
        Commit
            The new commit.

        Raises
        ------
        RepositoryNotFoundError, RevisionNotFoundError
            There is no such repository or branch.
        AccessDeniedError
            The user may not write to the repository.
        NotSupportedError
            The path names a tag, a commit or a point in time.
        """
        url = self._parse(branch)
        if url.level != "branch" or url.repo_id is None or url.revision is None:
            raise XetURLError(f"{branch!r} is not the path of a branch; expected owner/repo/branch")
        client = await self._connect()
        await client.revisions.head(url.repo_id, url.revision)
        name = client.revisions.full_name(url.repo_id, url.revision)
        with client.revisions.changing(url.repo_id):
            await client.hub.squash(url.repo_id, name, message or f"Squash {name}")
        return (await self._log(url.full_path, limit=1))[0]

    @public()
    async def _list_lfs_files(self, repo: str) -> list[LfsFile]:
        """List the large files in the whole history of a repository, each content once, as far as the endpoint lists them.

        Parameters
        ----------
        repo:
            Path of the repository: ``acme/titanic``.

        Returns
        -------
        list[LfsFile]
            In the endpoint's order. The sum of their sizes is what they occupy before deduplication.

        Raises
        ------
        RepositoryNotFoundError
            There is no such repository.
        """
        _, repo_id = self._parse_repo(repo)
        async with aclosing((await self._connect()).hub.lfs_files(repo_id)) as files:
            return Rows([file async for file in files])

    @public()
    async def _modified(self, path: str) -> datetime:
        """Return when a path last changed (now, if pending); for a branch or repository, the time of its newest commit.

        Returns
        -------
        datetime
            In UTC.
        """
        if self._parse(path).path:
            info = await self._info(path, expand=True)
            moment: datetime | None = datetime.now(UTC) if info.get("pending") else info.get("last_modified")
            if moment is not None:
                return moment
        for commit in await self._log(path, limit=1):
            return commit.date
        raise NotFoundError(f"{path} has no commits", status=404)

    @public()
    async def _created(self, path: str) -> datetime:
        """Return when a repository was created; for other paths, the time of the oldest commit that changed it.

        Returns
        -------
        datetime
            In UTC. The present time if the path is only pending.
        """
        url = self._parse(path)
        if url.level == "repo":
            moment: datetime | None = (await self._info_above(url)).get("created")
            if moment is not None:
                return moment
        is_pending = bool(url.path) and (await self._info(path)).get("pending")
        commits = await self._log(path)
        if not commits and is_pending:
            return datetime.now(UTC)
        if not commits:
            raise NotFoundError(f"{path} has no commits", status=404)
        return commits[-1].date

    async def _history(self, url: XetURL) -> AsyncGenerator[Commit, None]:
        """Commits of a revision, newest first."""
        if url.repo_id is None:
            raise XetURLError(f"{url} is not in a repository; expected owner/repo/branch")
        client = await self._connect()
        commit = await client.revisions.commit_now(url.repo_id, url.revision or "main")
        async for found in client.hub.commits(url.repo_id, commit):
            yield found

    async def _touching(self, url: XetURL) -> AsyncGenerator[Commit, None]:
        """Commits in which the entry at a path differs from the commit before: one look-up for each commit, several at once."""
        newer: Commit | None = None
        newer_oid: str | None = None

        async def oid_in(commit: Commit) -> str | None:
            assert url.repo_id is not None
            trees = (await self._connect()).trees
            entry = (await trees.entries(url.repo_id, commit.id, [url.path])).get(url.path)
            return entry.oid if entry else None

        async with aclosing(self._history(url)) as history:
            for count in chain(_LOOKUPS, repeat(_LOOKUPS[-1])):
                batch = await _next(history, count)
                oids = await run_all(oid_in, batch, limit=count)
                for commit, oid in zip(batch, oids, strict=True):
                    if newer is not None and oid != newer_oid:
                        yield newer
                    newer, newer_oid = commit, oid
                if len(batch) < count:
                    break
        if newer is not None and newer_oid is not None:
            yield newer


async def _next(commits: AsyncGenerator[Commit, None], count: int) -> list[Commit]:
    """Return the next ``count`` commits, or fewer at the end of the history."""
    found: list[Commit] = []
    while len(found) < count:
        try:
            found.append(await anext(commits))
        except StopAsyncIteration:
            break
    return found
