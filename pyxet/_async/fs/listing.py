"""The part of the file system that tells what is where: info and listings.

An error is never "not there", and a listing is whole or raises.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal, TypeAlias, overload

from pyxet._async.changes.view import Found, View
from pyxet._async.endpoint.hub import parse_date
from pyxet._async.fs.base import FileSystemBase, at_home, is_url
from pyxet._async.runtime.tasks import run_all
from pyxet._async.tree import moments
from pyxet._async.tree.catalog import missing_entry
from pyxet.config import is_embedded
from pyxet.errors import EntryNotFoundError, NotFoundError, NotSupportedError, XetError, XetURLError
from pyxet.options import public
from pyxet.protocol.messages import RepoInfo
from pyxet.types import Info, RepoId
from pyxet.urls import XetURL, web_address

# What is at a path, and the view it was found in.
Located: TypeAlias = tuple[View, Found]


class Listing(FileSystemBase):
    """See `AsyncXetFileSystem`."""

    @public()
    @at_home
    async def _info(self, /, path: str, expand: bool = False, refresh: bool = False) -> Info:
        """What is at a path.

        Parameters
        ----------
        expand:
            Also tell ``last_modified``, which is dear for the endpoint.
        refresh:
            Look at the branch again, however recently it was looked at.

        Returns
        -------
        dict
            ``name``, ``size`` in bytes, ``type`` (``file`` or ``directory``); for files ``blob_id``, ``commit``, and
            ``xet_hash`` and ``sha256`` where there are any; for others ``kind`` (owner, repo, branch, directory).

        Raises
        ------
        NotFoundError
            There is nothing.
        """
        url = self._parse(path)
        repo, revision = url.repo_id, url.revision
        if refresh and repo is not None:
            (await self._connect()).revisions.forget(repo)
        if repo is None or revision is None:
            return await self._info_above(url)
        if not url.path:
            return branch_info(url.branch_path, (await self._view(repo, revision)).commit)
        view, found = await self._lookup(url, repo, revision)
        info = view.info(url.branch_path, found)
        if expand and (dated := await view.modified(url.path)) is not None and dated.modified is not None:
            info["last_modified"] = dated.modified
        return info

    async def _lookup(self, url: XetURL, repo: RepoId, revision: str) -> Located:
        """What is at a path inside a branch; `EntryNotFoundError` if there is nothing now."""
        found = await self._look(repo, revision, [url.path])
        if url.path not in found:
            raise missing_entry(repo, revision, url.path)
        return found[url.path]

    async def _look(
        self, repo: RepoId, revision: str, paths: Sequence[str], *, revalidate: bool = True
    ) -> dict[str, Located]:  # fmt: skip
        """What is at some paths inside a branch. Those that are left out have nothing at them now, if ``revalidate``."""
        client = await self._connect()
        transaction = self._open_transaction()
        changes = transaction.edits.pending(repo, revision) if transaction is not None else None
        if changes is None:
            commit, entries = await client.catalog.entries_at(
                repo, revision, paths, self._max_age, revalidate=revalidate
            )
            view = View(client.catalog, repo, commit, revision=revision)
            return {path: (view, view.stored(entries[path])) for path in paths if path in entries}
        view = View(client.catalog, repo, changes.base, changes, revision=revision)
        found: dict[str, Located] = {path: (view, there) for path, there in (await view.lookup_all(paths)).items()}
        # What others have committed since the changes began; what we delete is not there, whatever they did.
        missing = [path for path in paths if path not in found and not changes.deletes(path)]
        newer = await self._newer_view(view, revision) if missing and revalidate else None
        if newer is not None:
            found |= {path: (newer, there) for path, there in (await newer.lookup_all(missing)).items()}
        return found

    async def _lookup_all(
        self, paths: Sequence[str], *, revalidate: bool = True
    ) -> dict[str, Located | NotFoundError]:  # fmt: skip
        """What is at many paths inside branches, with few requests; an error where there is nothing.

        Parameters
        ----------
        revalidate:
            Whether what is not there is so now, and not only in a commit that branches are known to have been at a moment
            ago. For callers to whom it makes no difference.

        Raises
        ------
        XetError
            Any other error than that there is nothing.
        """
        results: dict[str, Located | NotFoundError] = {}
        for path, there in (await self._lookup_each(paths, revalidate=revalidate)).items():
            if isinstance(there, Exception) and not isinstance(there, NotFoundError):
                raise there
            results[path] = there
        return results

    async def _lookup_each(self, paths: Sequence[str], *, revalidate: bool = True) -> dict[str, Located | Exception]:
        """Like `_lookup_all`, but every error is the result of the paths that it is about."""
        results: dict[str, Located | Exception] = {}
        grouped: defaultdict[tuple[RepoId, str], dict[str, str]] = defaultdict(dict)
        for path in paths:
            try:
                url, repo, revision = self._parse_file(path)
            except (XetURLError, NotSupportedError) as error:
                results[path] = error
            else:
                grouped[repo, revision][path] = url.path

        async def look(item: tuple[tuple[RepoId, str], dict[str, str]]) -> None:
            (repo, revision), group = item
            try:
                inside = list(dict.fromkeys(group.values()))
                found = await self._look(repo, revision, inside, revalidate=revalidate)
            except XetError as error:
                results.update(dict.fromkeys(group, error))
                return
            for path, name in group.items():
                results[path] = found.get(name) or missing_entry(repo, revision, name)

        await run_all(look, grouped.items(), limit=self.limits.concurrency)
        return {path: results[path] for path in paths}

    async def _info_above(self, url: XetURL) -> Info:
        """Of a root, an owner or a repository."""
        repo = url.repo_id
        if repo is not None:
            client = await self._connect()
            return repo_info(url, await client.hub.repo_info(repo))
        if url.owner is not None:
            await self._ls_owner(url)
            return _folder_info(url.full_path, "owner")
        return _folder_info(url.full_path, "root")

    @public()
    @at_home
    async def _url(self, /, path: str) -> str:
        """The web address of what is at a path: of the content of a file, of the page of anything else.

        Parameters
        ----------
        path:
            A file, folder, branch, repository or owner.

        Raises
        ------
        NotFoundError
            There is nothing.
        """
        url = self._parse(path)
        repo, revision = url.repo_id, url.revision
        endpoint = (await (await self._connect()).transport.place.here()).endpoint
        if repo is None or revision is None:
            await self._info_above(url)
            return web_address(endpoint, url)
        view, top = await self._top(url, repo, revision)
        # The endpoint knows no points in time.
        shown = replace(url, revision=view.commit) if url.moment is not None else url
        return web_address(endpoint, shown, is_file=not top.is_folder)

    @overload
    async def _ls(
        self, /, path: str, detail: Literal[True] = True, refresh: bool = False, expand: bool = False,
    ) -> list[Info]: ...  # fmt: skip
    @overload
    async def _ls(
        self, /, path: str, detail: Literal[False], refresh: bool = False, expand: bool = False,
    ) -> list[str]: ...  # fmt: skip
    @overload
    async def _ls(
        self, /, path: str, detail: bool = True, refresh: bool = False, expand: bool = False,
    ) -> list[Info] | list[str]: ...  # fmt: skip
    @public()
    @at_home
    async def _ls(self, /, path: str, detail: bool = True, refresh: bool = False, expand: bool = False) -> list[Any]:
        """What is directly in a folder: files and folders, the branches of a repository, the repositories of an owner.

        Parameters
        ----------
        detail:
            Dictionaries like `_info`'s, or names.
        refresh:
            Look at the branch again, however recently it was looked at.
        expand:
            Also tell ``last_modified`` of files and folders, which is dear for the endpoint.
        """
        url = self._parse(path)
        repo, revision = url.repo_id, url.revision
        if refresh and repo is not None:
            (await self._connect()).revisions.forget(repo)
        if repo is not None and revision is not None:
            try:
                view, _ = await self._top(url, repo, revision)
            except EntryNotFoundError:
                if not is_url(path) or url.full_path not in self._made_folders:
                    raise
                # See `_mkdir`.
                infos = []
            else:
                infos = await self._ls_inside(view, url, expand=expand)
                if not infos and (newer := await self._newer_view(view, revision)) is not None:
                    infos = await self._ls_inside(newer, url, expand=expand)
        elif repo is not None:
            client = await self._connect()
            asked = moments.now()
            refs = await client.hub.refs(repo)
            for ref in refs.branches:
                client.revisions.note(repo, ref.name, ref.target_commit, asked)
            infos = [branch_info(branch_path(url, ref.name), ref.target_commit) for ref in refs.branches]
        elif url.owner is not None:
            infos = await self._ls_owner(url)
        else:
            who = await (await self._connect()).hub.whoami()
            owners = dict.fromkeys([who.name, *(org.name for org in who.orgs)])
            prefix = f"{url.full_path}/" if url.full_path else ""
            infos = [_folder_info(f"{prefix}{name}", "owner") for name in owners]
        return infos if detail else [info["name"] for info in infos]

    async def _ls_inside(self, view: View, url: XetURL, *, expand: bool = False) -> list[Info]:
        if url.path:
            found = await view.lookup(url.path)
            if found is None:
                raise view.missing(url.path)
            if not found.is_folder:
                return [await self._info(url.full_path, expand=True) if expand else view.info(url.branch_path, found)]
        children = await (view.dated_children(url.path) if expand else view.children(url.path))
        return [view.info(url.branch_path, child) for child in children]

    async def _ls_owner(self, url: XetURL) -> list[Info]:
        client = await self._connect()
        assert url.owner is not None
        infos = []
        async for info in client.hub.list_repos(url.owner, url.kind):
            name = info.id.rpartition("/")[2]
            infos.append(repo_info(XetURL(kind=url.kind, owner=url.owner, repo=name), info))
        if not infos and url.owner not in await self._own_names():
            raise NotFoundError(f"{url.owner!r} has no {url.kind} here, or none that this token may see", status=404)
        return infos

    async def _own_names(self) -> list[str]:
        """Names of the token's user and organizations; none without a token."""
        if self.credential.token is None and not is_embedded(self.endpoint):
            return []
        who = await (await self._connect()).hub.whoami()
        return [who.name, *(org.name for org in who.orgs)]

    async def _top(self, url: XetURL, repo: RepoId, revision: str) -> Located:
        """What is at a path inside a branch, or at its top."""
        return await self._lookup(url, repo, revision) if url.path else (await self._view(repo, revision), Found(""))

    @public()
    @at_home
    async def _exists(self, /, path: str, refresh: bool = False) -> bool:
        """Whether something is at a path. Errors other than "not found" are raised. See `_info`."""
        try:
            await self._info(path, refresh=refresh)
        except NotFoundError:
            return False
        return True

    @public()
    async def _lexists(self, /, path: str, refresh: bool = False) -> bool:
        """Like `_exists`: there are no links."""
        return await self._exists(path, refresh=refresh)

    @public()
    async def _isfile(self, path: str) -> bool:
        """Whether a file is at a path. Errors other than "not found" are raised."""
        return await self._type(path) == "file"

    @public()
    async def _isdir(self, path: str) -> bool:
        """Whether a folder, branch, repository or owner is at a path. Errors other than "not found" are raised."""
        return await self._type(path) == "directory"

    @public()
    async def _isdir_or_branch(self, path: str) -> bool:
        """The first pyxet's name of `_isdir`."""
        return await self._isdir(path)

    @at_home
    async def _type(self, path: str) -> str | None:
        try:
            kind: str = (await self._info(path))["type"]
        except NotFoundError:
            return None
        return kind

    @public()
    async def _size(self, path: str) -> int:
        """Bytes of a file."""
        size: int = (await self._info(path))["size"]
        return size

    @public()
    @at_home
    async def _sizes(self, /, paths: Sequence[str]) -> list[int]:
        """Bytes of several files."""
        found = await self._lookup_all(paths)
        return [self._expect(found[path])[1].size for path in paths]

    @staticmethod
    def _expect(found: Located | Exception) -> Located:
        """A result of `_lookup_all` or `_lookup_each`, or its error."""
        if isinstance(found, Exception):
            raise found
        return found


def repo_info(url: XetURL, info: RepoInfo) -> Info:
    """A repository as fsspec describes a directory."""
    entry = _folder_info(url.full_path, "repo")
    entry["private"] = info.private
    entry["commit"] = info.sha  # type: ignore[typeddict-item]  # none in a repository without commits
    if info.last_modified:
        entry["last_modified"] = parse_date(info.last_modified)
    if info.created_at:
        entry["created"] = parse_date(info.created_at)
    return entry


def branch_path(url: XetURL, name: str) -> str:
    """The path of a branch of the repository that a URL names."""
    return replace(url, revision=name, path="", endpoint=None).full_path


def branch_info(path: str, commit: str) -> Info:
    """A branch as fsspec describes a directory."""
    info = _folder_info(path, "branch")
    info["commit"] = commit
    return info


def _folder_info(name: str, kind: Literal["root", "owner", "repo", "branch"]) -> Info:
    # Its docstring says what is not there at times.
    return {"name": name, "size": 0, "type": "directory", "kind": kind}  # type: ignore[typeddict-item]
