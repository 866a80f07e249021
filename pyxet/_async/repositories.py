"""The part of the file system that deals with repositories, branches, tags and history."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any

from pyxet._async.listing import branch_info, branch_path, repo_info
from pyxet._async.staging import Staging
from pyxet._async.view import Info
from pyxet.errors import NotFoundError, RevisionNotFoundError, XetURLError
from pyxet.protocol.messages import Ref
from pyxet.types import Commit
from pyxet.urls import RepoId, XetURL


class Repositories(Staging):
    """See `AsyncXetFileSystem`."""

    # -- repositories --------------------------------------------------------------------------------------------------

    async def _make_repo(self, repo: str, private: bool = False, exist_ok: bool = False) -> None:
        """Make a repository with an empty branch ``main``.

        Raises
        ------
        AlreadyExistsError
            It is there, and ``exist_ok`` is not set.
        """
        _, repo_id = self._repo(repo)
        client = await self.connect()
        await client.hub.create_repo(repo_id, private=private, exist_ok=exist_ok)
        client.revisions.forget(repo_id)

    async def _delete_repo(self, repo: str) -> None:
        """Delete a repository with all its branches and history."""
        _, repo_id = self._repo(repo)
        client = await self.connect()
        await client.hub.delete_repo(repo_id)
        client.revisions.forget(repo_id)

    async def _list_repos(self, owner: str | None = None, detail: bool = False) -> list[Any]:
        """Repositories of an owner (``acme``, ``datasets/acme``); of the token's user and organizations without one.

        Parameters
        ----------
        detail:
            Dictionaries like those of `_ls`, or names.
        """
        if owner is not None:
            if self.parse(owner).level != "owner":
                raise XetURLError(f"{owner!r} is not the path of an owner; expected acme or datasets/acme")
            return await self._ls(owner, detail=detail)
        found = []
        for name in await self._ls("", detail=False):
            found += await self._ls(name, detail=detail)
        return found

    async def _is_repo(self, path: str) -> bool:
        """Whether a path is that of a repository which exists."""
        url = self.parse(path)
        return url.level == "repo" and await self._exists(path)

    async def _repo_info(self, repo: str) -> Info:
        """A repository: ``name``, ``private``, ``created``, ``last_modified``, and ``commit`` of its main branch."""
        url, repo_id = self._repo(repo)
        return repo_info(url, await (await self.connect()).hub.repo_info(repo_id))

    # -- branches ------------------------------------------------------------------------------------------------------

    async def _list_branches(self, repo: str, detail: bool = False) -> list[Any]:
        """Names of a repository's branches, or dictionaries with ``name`` (the path), ``branch`` and ``commit``."""
        url, repo_id = self._repo(repo)
        refs = await (await self.connect()).hub.refs(repo_id)
        return [_branch(url, ref) for ref in refs.branches] if detail else [ref.name for ref in refs.branches]

    async def _make_branch(self, repo: str, source: str, name: str) -> None:
        """Make a branch.

        Parameters
        ----------
        source:
            Branch, tag, commit or point in time where it starts.
        name:
            Its name.

        Raises
        ------
        AlreadyExistsError, RevisionNotFoundError
            A branch of the name exists; there is no such source.
        """
        _, repo_id = self._repo(repo)
        client = await self.connect()
        await client.hub.create_branch(repo_id, name, await self._start(repo_id, source))
        client.revisions.forget(repo_id)

    async def _delete_branch(self, repo: str, name: str) -> None:
        """Delete a branch."""
        _, repo_id = self._repo(repo)
        client = await self.connect()
        await client.hub.delete_branch(repo_id, name)
        client.revisions.forget(repo_id)

    async def _branch_exists(self, repo: str, name: str) -> bool:
        """Whether a repository, which must exist, has a branch."""
        return name in await self._list_branches(repo)

    async def _branch_info(self, repo: str, name: str) -> Info:
        """A branch: ``name`` (the path), ``branch`` and ``commit``. `RevisionNotFoundError` if there is none."""
        for info in await self._list_branches(repo, detail=True):
            if info["branch"] == name:
                found: Info = info
                return found
        raise RevisionNotFoundError(f"{repo} has no branch {name!r}", status=404, code="RevisionNotFound")

    # -- tags ----------------------------------------------------------------------------------------------------------

    async def _list_tags(self, repo: str, detail: bool = False) -> list[Any]:
        """Names of a repository's tags, or dictionaries with ``name`` (the path), ``tag`` and ``commit``."""
        url, repo_id = self._repo(repo)
        tags = (await (await self.connect()).hub.refs(repo_id)).tags
        if not detail:
            return [ref.name for ref in tags]
        return [
            branch_info(branch_path(url, ref.name), ref.target_commit) | {"kind": "tag", "tag": ref.name}
            for ref in tags
        ]

    async def _make_tag(self, repo: str, name: str, revision: str = "main", message: str | None = None) -> None:
        """Make a tag at a revision. Raises `AlreadyExistsError`, `RevisionNotFoundError`."""
        _, repo_id = self._repo(repo)
        client = await self.connect()
        await client.hub.create_tag(repo_id, name, await self._start(repo_id, revision), message)
        client.revisions.forget(repo_id)

    async def _delete_tag(self, repo: str, name: str) -> None:
        """Delete a tag."""
        _, repo_id = self._repo(repo)
        client = await self.connect()
        await client.hub.delete_tag(repo_id, name)
        client.revisions.forget(repo_id)

    async def _start(self, repo: RepoId, revision: str) -> str:
        """A revision by a name that the endpoint knows: it does not know points in time."""
        revisions = (await self.connect()).revisions
        return revision if revisions.is_simple(revision) else await revisions.commit_of(repo, revision, 0)

    # -- history -------------------------------------------------------------------------------------------------------

    async def _log(self, path: str, limit: int | None = None) -> list[Commit]:
        """Commits of a branch (of ``main`` for a repository), newest first; for a path, those that changed it.

        Parameters
        ----------
        limit:
            How many commits to give at most.

        Raises
        ------
        RepositoryNotFoundError, RevisionNotFoundError
            There is no such repository or revision.
        """
        url = self.parse(path)
        found: list[Commit] = []
        async with aclosing(self._touching(url) if url.path else self._history(url)) as commits:
            # Not one more than is asked for: to find it, all of a long history may have to be looked at.
            while limit is None or len(found) < limit:
                try:
                    found.append(await anext(commits))
                except StopAsyncIteration:
                    break
        return found

    async def _modified(self, path: str) -> datetime:
        """When a path last changed (now, if it is pending); of a branch or repository, when its newest commit was made."""
        if self.parse(path).path:
            info = await self._info(path, expand=True)
            moment: datetime | None = datetime.now(UTC) if info.get("pending") else info.get("last_modified")
            if moment is not None:
                return moment
        for commit in await self._log(path, limit=1):
            return commit.date
        raise NotFoundError(f"{path} has no commits", status=404)

    async def _created(self, path: str) -> datetime:
        """When what is at a path came to be: of a repository its making, else the oldest commit that touched it."""
        url = self.parse(path)
        if url.level == "repo":
            moment: datetime | None = (await self._repo_info(path)).get("created")
            if moment is not None:
                return moment
        info = await self._info(path) if url.path else {}
        commits = await self._log(path)
        if not commits and info.get("pending"):
            return datetime.now(UTC)
        if not commits:
            raise NotFoundError(f"{path} has no commits", status=404)
        return commits[-1].date

    async def _history(self, url: XetURL) -> AsyncGenerator[Commit, None]:
        """Commits of a revision, newest first."""
        if url.repo_id is None:
            raise XetURLError(f"{url} is not in a repository; expected owner/repo/branch")
        client = await self.connect()
        commit = await client.revisions.commit_of(url.repo_id, url.revision or "main", self.max_age)
        async for found in client.hub.commits(url.repo_id, commit):
            yield found

    async def _touching(self, url: XetURL) -> AsyncGenerator[Commit, None]:
        """Commits in which a path is another than in the commit before: one look-up for each commit."""
        assert url.repo_id is not None
        client = await self.connect()
        newer: Commit | None = None
        newer_oid: str | None = None
        async for commit in self._history(url):
            entry = (await client.catalog.entries(url.repo_id, commit.id, [url.path])).get(url.path)
            oid = entry.oid if entry else None
            if newer is not None and oid != newer_oid:
                yield newer
            newer, newer_oid = commit, oid
        if newer is not None and newer_oid is not None:
            yield newer

    # -- account -------------------------------------------------------------------------------------------------------

    async def _get_username(self) -> str:
        """The name of the token's user. `AuthenticationError` without a token that is accepted."""
        return (await (await self.connect()).hub.whoami()).name

    def _repo(self, path: str) -> tuple[XetURL, RepoId]:
        url = self.parse(path)
        if url.repo_id is None or url.level != "repo":
            raise XetURLError(f"{path!r} is not the path of a repository; expected owner/repo or datasets/owner/repo")
        return url, url.repo_id


def _branch(url: XetURL, ref: Ref) -> Info:
    return branch_info(branch_path(url, ref.name), ref.target_commit) | {"branch": ref.name}
