"""The part of the file system that deals with repositories, branches and tags."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, overload

from pyxet._async.fs.base import FileSystemBase
from pyxet._async.fs.lookup import branch_info, branch_path, repo_info
from pyxet._shown import Rows
from pyxet.errors import (
    AlreadyExistsError,
    ConfigError,
    NotFoundError,
    NotSupportedError,
    RemoteError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
    XetURLError,
)
from pyxet.options import public
from pyxet.types import BranchInfo, DuplicateInfo, Info, RefInfo, RepoId, TagInfo
from pyxet.urls import XetURL, pull_request_number

if TYPE_CHECKING:
    from pyxet.protocol.messages import Ref

_RefKind: TypeAlias = Literal["branch", "tag", "ref", "commit"]
# The settings that `_set_repo_attr` changes, and their values.
_SETTINGS: Final[dict[str, tuple[bool | str, ...]]] = {
    "private": (True, False),
    "visibility": ("public", "private", "protected"),
    "gated": ("auto", "manual", False),
}


class Repositories(FileSystemBase):
    """See `AsyncXetFileSystem`."""

    # -- repositories --------------------------------------------------------------------------------------------------

    @public()
    async def _make_repo(self, repo: str, private: bool = False, exist_ok: bool = False) -> None:
        """Make a repository. Its branch ``main`` contains only ``.gitattributes``.

        Raises
        ------
        AlreadyExistsError
            The repository exists, and ``exist_ok`` is not set.
        """
        _, repo_id = self._parse_repo(repo)
        client = await self._connect()
        with client.revisions.changing(repo_id):
            await client.hub.create_repo(repo_id, private=private, exist_ok=exist_ok)

    @public()
    async def _delete_repo(self, repo: str) -> None:
        """Delete a repository with all its branches and history."""
        _, repo_id = self._parse_repo(repo)
        client = await self._connect()
        with client.revisions.changing(repo_id):
            await client.hub.delete_repo(repo_id)

    @public()
    async def _duplicate_repo(self, repo: str, destination: str, private: bool | None = None) -> DuplicateInfo:
        """Make a repository with all branches, tags, commits and content of another one. The content is not stored twice.

        Parameters
        ----------
        destination:
            Path of the new repository, which must be of the same kind.
        private:
            Whether only its owner sees it; ``None`` takes the setting of the original.

        Returns
        -------
        dict
            ``name``, and ``files_pending``: whether the endpoint is still copying large files, which may not be readable
            in the new repository until then.

        Raises
        ------
        RepositoryNotFoundError, AlreadyExistsError
            The original does not exist; the new repository does already.
        NotSupportedError
            The endpoint cannot duplicate repositories.
        """
        _, old = self._parse_repo(repo)
        url, new = self._same_kind(old, destination)
        client = await self._connect()
        try:
            with client.revisions.changing(new):
                answer = await client.hub.duplicate_repo(old, new, private=private)
        except (RepositoryNotFoundError, AlreadyExistsError):
            raise
        except RemoteError as error:
            if error.status not in (404, 405, 501):
                raise
            # The endpoint lacks the repository, for which the next line raises, or the route.
            await client.hub.repo_info(old)
            raise NotSupportedError(f"{self.endpoint} cannot duplicate repositories") from error
        return {  # type: ignore[typeddict-item]  # see `Info` for keys that may be missing
            "name": url.full_path, "size": 0, "type": "directory", "kind": "repo",
            "files_pending": answer.files_copy_pending,
        }  # fmt: skip

    @public()
    async def _fork_repo(self, repo: str, destination: str | None = None) -> DuplicateInfo:
        """Copy a repository into the account of the token's user, under the same name unless ``destination`` is given.

        The copy is a duplicate, see `_duplicate_repo`: it has the whole history and the visibility of the original, and no
        link to it. Endpoints know no other kind of fork.

        Returns
        -------
        DuplicateInfo
            The result of `_duplicate_repo`.
        """
        _, old = self._parse_repo(repo)
        if destination is None:
            destination = replace(old, owner=await self._get_username()).path
        return await self._duplicate_repo(repo, destination)

    @public()
    async def _rename_repo(self, repo: str, destination: str) -> None:
        """Give a repository another name or owner. The endpoint redirects the old name until another repository takes it.

        Open transactions, branches, tags and commits stay as they are.

        Raises
        ------
        RepositoryNotFoundError, AlreadyExistsError
            There is no such repository; a repository with the new name exists.
        """
        _, old = self._parse_repo(repo)
        _, new = self._same_kind(old, destination)
        client = await self._connect()
        with client.revisions.changing(old, new):
            await client.hub.move_repo(old, new)

    @public()
    async def _set_repo_attr(self, repo: str, name: str, value: Any) -> None:
        """Change a setting of a repository.

        Parameters
        ----------
        name, value:
            ``private``: whether only its owner sees it. ``visibility``: ``public``, ``private`` or, for spaces,
            ``protected``. ``gated``: how requests for access are granted, ``auto`` or ``manual``, or ``False``.

        Raises
        ------
        ConfigError
            There is no such setting, or it cannot have this value.
        RepositoryNotFoundError, BadRequestError
            There is no such repository; the endpoint does not know the setting.
        """
        _, repo_id = self._parse_repo(repo)
        if name not in _SETTINGS:
            raise ConfigError(f"{name!r} is not a setting of a repository: {', '.join(_SETTINGS)}")
        if not any(value == choice and type(value) is type(choice) for choice in _SETTINGS[name]):
            raise ConfigError(f"{name}={value!r}: expected one of {', '.join(map(repr, _SETTINGS[name]))}")
        if name == "private":
            name, value = "visibility", "private" if value else "public"
        from pyxet.protocol.messages import RepoSettings

        await (await self._connect()).hub.change_settings(repo_id, RepoSettings(**{name: value}))

    @overload
    async def _list_repos(self, /, owner: str | None = None, detail: Literal[False] = False) -> list[str]: ...
    @overload
    async def _list_repos(self, /, owner: str | None = None, *, detail: Literal[True]) -> list[Info]: ...
    @overload
    async def _list_repos(self, /, owner: str | None = None, detail: bool = False) -> list[Info] | list[str]: ...
    @public()
    async def _list_repos(self, owner: str | None = None, detail: bool = False) -> list[Any]:
        """List an owner's repositories of one kind: models for ``acme``, datasets for ``datasets/acme``.

        Parameters
        ----------
        owner:
            A user or organization; ``None`` lists the models of the token's user and of the user's organizations.
        detail:
            Return dictionaries like those of `_ls`; otherwise paths.

        Returns
        -------
        list
            Dictionaries or paths, in the endpoint's order.
        """
        if owner is not None:
            if self._parse(owner).level != "owner":
                raise XetURLError(f"{owner!r} is not the path of an owner; expected acme or datasets/acme")
            listed: list[Any] = await self._ls(owner, detail=detail)
            return listed
        found: list[Any] = []
        for name in await self._ls("", detail=False):
            found += await self._ls(name, detail=detail)
        return Rows(found) if detail else found

    @public()
    async def _is_repo(self, path: str) -> bool:
        """Whether a path is that of an existing repository.

        Returns
        -------
        bool
            Whether the repository exists.
        """
        url = self._parse(path)
        return url.level == "repo" and await self._exists(path)

    @public()
    async def _repo_info(self, repo: str) -> Info:
        """Describe a repository: ``name``, ``private``, ``created``, ``last_modified``, and ``commit`` of its main branch.

        Returns
        -------
        Info
            A dictionary.
        """
        url, repo_id = self._parse_repo(repo)
        return repo_info(url, await (await self._connect()).hub.repo_info(repo_id))

    # -- branches ------------------------------------------------------------------------------------------------------

    @overload
    async def _list_branches(self, /, repo: str, detail: Literal[False] = False) -> list[str]: ...
    @overload
    async def _list_branches(self, /, repo: str, detail: Literal[True]) -> list[BranchInfo]: ...
    @overload
    async def _list_branches(self, /, repo: str, detail: bool = False) -> list[BranchInfo] | list[str]: ...
    @public()
    async def _list_branches(self, repo: str, detail: bool = False) -> list[Any]:
        """List a repository's branches: names, or dictionaries with ``name`` (the path), ``branch`` and ``commit``.

        Returns
        -------
        list
            Names or dictionaries, in the endpoint's order.
        """
        url, repo_id = self._parse_repo(repo)
        refs = await (await self._connect()).hub.refs(repo_id)
        return Rows(_branch(url, ref) for ref in refs.branches) if detail else [ref.name for ref in refs.branches]

    @public()
    async def _make_branch(self, repo: str, source: str, name: str) -> None:
        """Make a branch.

        Parameters
        ----------
        source:
            Branch, tag, commit or point in time at which it starts.
        name:
            Name of the new branch.

        Raises
        ------
        AlreadyExistsError, RevisionNotFoundError
            A branch of this name exists; there is no such source.
        """
        _, repo_id = self._parse_repo(repo)
        client = await self._connect()
        start = await self._start(repo_id, source)
        with client.revisions.changing(repo_id):
            await client.hub.create_branch(repo_id, name, start)

    @public()
    async def _delete_branch(self, repo: str, name: str) -> None:
        """Delete a branch."""
        _, repo_id = self._parse_repo(repo)
        client = await self._connect()
        with client.revisions.changing(repo_id):
            await client.hub.delete_branch(repo_id, name)

    @public()
    async def _branch_exists(self, repo: str, name: str | None = None) -> bool:
        """Whether a repository has a branch.

        Parameters
        ----------
        repo:
            Path of the repository, or, without a name, of the branch: ``acme/titanic/main``.
        name:
            Name of the branch.

        Returns
        -------
        bool
            Whether the branch exists.

        Raises
        ------
        RepositoryNotFoundError
            There is no such repository, and ``name`` is given. Without ``name``, the result is ``False`` then.
        """
        if name is not None:
            return name in await self._list_branches(repo)
        try:
            await self._branch_info(repo)
        except NotFoundError:
            return False
        return True

    @public()
    async def _branch_info(self, repo: str, name: str | None = None) -> BranchInfo:
        """Describe a branch: ``name`` (the path), ``branch`` and ``commit``.

        Parameters
        ----------
        repo, name:
            As for `_branch_exists`.

        Returns
        -------
        BranchInfo
            A dictionary.

        Raises
        ------
        RepositoryNotFoundError, RevisionNotFoundError
            There is no such repository; it has no such branch.
        """
        if name is None:
            repo, name = self._branch_of(repo)
        for info in await self._list_branches(repo, detail=True):
            if info["branch"] == name:
                return info
        raise RevisionNotFoundError(f"{repo} has no branch {name!r}", status=404, code="RevisionNotFound")

    # -- tags ----------------------------------------------------------------------------------------------------------

    @overload
    async def _list_tags(self, /, repo: str, detail: Literal[False] = False) -> list[str]: ...
    @overload
    async def _list_tags(self, /, repo: str, detail: Literal[True]) -> list[TagInfo]: ...
    @overload
    async def _list_tags(self, /, repo: str, detail: bool = False) -> list[TagInfo] | list[str]: ...
    @public()
    async def _list_tags(self, repo: str, detail: bool = False) -> list[Any]:
        """List a repository's tags: names, or dictionaries with ``name`` (the path), ``tag`` and ``commit``.

        Returns
        -------
        list
            Names or dictionaries, in the endpoint's order.
        """
        url, repo_id = self._parse_repo(repo)
        tags = (await (await self._connect()).hub.refs(repo_id)).tags
        if not detail:
            return [ref.name for ref in tags]
        return Rows(_tag(url, ref) for ref in tags)

    @public()
    async def _make_tag(self, repo: str, name: str, revision: str = "main", message: str | None = None) -> None:
        """Make a tag at a revision.

        Parameters
        ----------
        revision:
            A branch, tag, commit or point in time.
        message:
            Message of the tag.

        Raises
        ------
        AlreadyExistsError
            A tag of this name exists.
        RepositoryNotFoundError, RevisionNotFoundError
            There is no such repository or revision.
        """
        _, repo_id = self._parse_repo(repo)
        client = await self._connect()
        start = await self._start(repo_id, revision)
        with client.revisions.changing(repo_id):
            await client.hub.create_tag(repo_id, name, start, message)

    @public()
    async def _delete_tag(self, repo: str, name: str) -> None:
        """Delete a tag."""
        _, repo_id = self._parse_repo(repo)
        client = await self._connect()
        with client.revisions.changing(repo_id):
            await client.hub.delete_tag(repo_id, name)

    async def _start(self, repo: RepoId, revision: str) -> str:
        """A revision by a name that the endpoint knows: the commit for points in time and ``pr/1``."""
        revisions = (await self._connect()).revisions
        return revision if revisions.is_simple(revision) else await revisions.commit_of(repo, revision, 0)

    # -- references ----------------------------------------------------------------------------------------------------

    @public()
    async def _find_ref(self, repo: str, name: str) -> RefInfo:
        """Find the branch, tag or commit that a name stands for.

        Parameters
        ----------
        name:
            Branch, tag, reference (``refs/pr/1``, also without ``refs/``: ``heads/main``), commit id, or point in time.
            If a branch and a tag have this name, it stands for the branch.

        Returns
        -------
        dict
            ``commit``; ``kind``: ``branch``, ``tag``, ``ref`` or ``commit``; ``ref``: the full name (``refs/heads/main``),
            ``None`` for commits and points in time; ``name``: the path.

        Raises
        ------
        RepositoryNotFoundError, RevisionNotFoundError
            There is no such repository; nothing in it has this name.
        """
        url, repo_id = self._parse_repo(repo)
        client = await self._connect()
        refs = await client.hub.refs(repo_id, pull_requests=pull_request_number(name, short=True) is not None)
        named: list[tuple[_RefKind, Ref, str]] = [("branch", ref, ref.name) for ref in refs.branches]
        named += [("tag", ref, ref.name) for ref in refs.tags]
        named += [("ref", ref, ref.ref) for ref in (*refs.converts, *refs.pull_requests)]
        # A branch may be named ``heads/main``, so the name itself is tried before it is completed with ``refs/``.
        for wanted in (name, f"refs/{name}"):
            for kind, ref, short in named:
                if wanted in (short, ref.ref):
                    return _named(url, short, kind, ref.target_commit, ref.ref)
        commit = await client.revisions.commit_of(repo_id, name, 0.0)
        return _named(url, commit, "commit", commit, None)

    # -- account -------------------------------------------------------------------------------------------------------

    @public()
    async def _get_username(self) -> str:
        """Return the name of the token's user. Raises `AuthenticationError` if there is no valid token.

        Returns
        -------
        str
            The user name.
        """
        return (await (await self._connect()).hub.whoami()).name

    def _branch_of(self, path: str) -> tuple[str, str]:
        """The repository and the name of the branch that a path names."""
        url = self._parse(path)
        if url.level != "branch" or url.revision is None:
            raise XetURLError(f"{path!r} is not the path of a branch; expected owner/repo/branch")
        return replace(url, revision=None, endpoint=None).full_path, url.revision

    def _same_kind(self, repo: RepoId, path: str) -> tuple[XetURL, RepoId]:
        """Parse the path of a new repository; raise `XetURLError` if its kind differs from that of ``repo``."""
        url, found = self._parse_repo(path)
        if found.kind != repo.kind:
            raise XetURLError(
                f"{path!r} is in {found.kind}, {repo.path!r} in {repo.kind}; both must be of the same kind"
            )
        return url, found


def _named(url: XetURL, name: str, kind: _RefKind, commit: str, ref: str | None) -> RefInfo:
    return {**branch_info(branch_path(url, name), commit), "kind": kind, "ref": ref}


def _branch(url: XetURL, ref: Ref) -> BranchInfo:
    return {**branch_info(branch_path(url, ref.name), ref.target_commit), "branch": ref.name}


def _tag(url: XetURL, ref: Ref) -> TagInfo:
    return {**branch_info(branch_path(url, ref.name), ref.target_commit), "kind": "tag", "tag": ref.name}
