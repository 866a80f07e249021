"""The part of the file system that looks up entries and lists folders.

Errors other than "not found" are raised, never reported as a missing path. A listing is either complete or raises.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal, overload

from pyxet._async.fs.calls import at_home
from pyxet._async.fs.lookup import Lookup, branch_info, branch_path, expect, folder_info
from pyxet._async.fs.paths import is_url
from pyxet._async.tree import moments
from pyxet._shown import Rows
from pyxet.errors import EntryNotFoundError, NotFoundError
from pyxet.options import public
from pyxet.types import Info
from pyxet.urls import web_address


class Listing(Lookup):
    """See `AsyncXetFileSystem`."""

    @public()
    @at_home
    async def _info(self, /, path: str, expand: bool = False, refresh: bool = False) -> Info:
        """Describe the file, folder, branch, repository or owner at a path.

        Parameters
        ----------
        expand:
            Include ``last_modified``, which is expensive for the endpoint.
        refresh:
            Ask the endpoint for the head of the branch, even if it was requested recently.

        Returns
        -------
        dict
            ``name``, ``size`` in bytes, ``type`` (``file`` or ``directory``); for files ``blob_id``, ``commit``, and
            ``xet_hash`` and ``sha256`` if they have them; for directories ``kind`` (owner, repo, branch, directory).

        Raises
        ------
        NotFoundError
            Nothing is at the path.
        """
        url = self._parse(path)
        repo, revision = url.repo_id, url.revision
        if refresh and repo is not None:
            (await self._connect()).trees.invalidate_revisions(repo)
        if repo is None or revision is None:
            return await self._info_above(url)
        if not url.path:
            return branch_info(url.branch_path, (await self._view(repo, revision)).commit)
        view, found = await self._lookup(url, repo, revision)
        info = view.info(url.branch_path, found)
        if expand and (dated := await view.modified(url.path)) is not None and dated.modified is not None:
            info["last_modified"] = dated.modified
        return info

    @public()
    @at_home
    async def _url(self, /, path: str) -> str:
        """The web address of a file's content, or of the page of a folder, branch, repository or owner.

        Parameters
        ----------
        path:
            A file, folder, branch, repository or owner.

        Returns
        -------
        str
            The address. If the repository is private, requests to it need the token.

        Raises
        ------
        NotFoundError
            Nothing is at the path.
        """
        url = self._parse(path)
        repo, revision = url.repo_id, url.revision
        endpoint = await (await self._connect()).address()
        if repo is None or revision is None:
            await self._info_above(url)
            return web_address(endpoint, url)
        view, top = await self._top(url, repo, revision)
        # The endpoint does not understand points in time, so the address contains the commit.
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
        """List the files and folders in a folder, the branches of a repository, or the repositories of an owner.

        Parameters
        ----------
        detail:
            Return dictionaries like those of `_info`; otherwise names.
        refresh:
            Ask the endpoint for the head of the branch, even if it was requested recently.
        expand:
            Include ``last_modified`` of files and folders, which is expensive for the endpoint.

        Returns
        -------
        list
            Dictionaries or names. Files and folders are sorted by name, others are in the endpoint's order.
        """
        url = self._parse(path)
        repo, revision = url.repo_id, url.revision
        if refresh and repo is not None:
            (await self._connect()).trees.invalidate_revisions(repo)
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
            infos = [folder_info(f"{prefix}{name}", "owner") for name in owners]
        return Rows(infos) if detail else [info["name"] for info in infos]

    @public()
    @at_home
    async def _exists(self, /, path: str, refresh: bool = False) -> bool:
        """Whether something is at a path. Errors other than "not found" are raised. See `_info`.

        Returns
        -------
        bool
            Whether something is there.
        """
        try:
            await self._info(path, refresh=refresh)
        except NotFoundError:
            return False
        return True

    @public()
    async def _lexists(self, /, path: str, refresh: bool = False) -> bool:
        """The same as `_exists`, which does not follow links.

        Returns
        -------
        bool
            Whether something is there.
        """
        return await self._exists(path, refresh=refresh)

    @public()
    async def _isfile(self, path: str) -> bool:
        """Whether a file is at a path. Errors other than "not found" are raised.

        Returns
        -------
        bool
            Whether the path is a file.
        """
        return await self._type(path) == "file"

    @public()
    async def _isdir(self, path: str) -> bool:
        """Whether a folder, branch, repository or owner is at a path. Errors other than "not found" are raised.

        Returns
        -------
        bool
            Whether the path is one of these.
        """
        return await self._type(path) == "directory"

    @public()
    async def _isdir_or_branch(self, path: str) -> bool:
        """The same as `_isdir`, under the name that the first pyxet used.

        Returns
        -------
        bool
            Whether the path is a folder, branch, repository or owner.
        """
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
        """The size of a file in bytes.

        Returns
        -------
        int
            Bytes; 0 for a folder.
        """
        size: int = (await self._info(path))["size"]
        return size

    @public()
    @at_home
    async def _sizes(self, /, paths: Sequence[str]) -> list[int]:
        """The sizes of several files in bytes.

        Returns
        -------
        list of int
            In the order of the paths.
        """
        found = await self._lookup_all(paths)
        return [expect(found[path])[1].size for path in paths]
