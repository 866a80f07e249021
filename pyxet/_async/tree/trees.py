"""The interface by which views and changes read from a place where files are stored.

`Catalog` implements it for repositories, whose revisions are commits. A place without revisions can implement it as well:
its listings and look-ups report the present state, and it accepts all changes in one request.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import TYPE_CHECKING, Final, Protocol

from pyxet.errors import EntryNotFoundError
from pyxet.types import RepoId
from pyxet.urls import quote_revision

if TYPE_CHECKING:
    from pyxet.protocol.messages import PreuploadFile, PreuploadMode, TreeEntry

# Maximum number of cached entries of commits, and likewise of entries in cached listings of folders.
MAX_ENTRIES: Final = 50_000


class Trees(Protocol):
    """Look-ups and listings for all repositories of one client, and what must be known before changes are made.

    A ``revision`` is the name that a caller gives; a ``commit`` is the state that it resolved to, which all look-ups of one
    view use. A place without commits has one constant name for both. The ``oid`` of a `TreeEntry` is the version of its
    content, which the conditions of writes compare; without git it may be the Xet hash.

    All methods that send requests raise `XetError` if the endpoint cannot be reached or refuses the request.
    """

    # -- resolving -----------------------------------------------------------------------------------------------------

    def cached(self, repo: RepoId, revision: str, max_age: float) -> str | None:
        """The commit of a revision, if it is cached and not older than ``max_age`` seconds. Sends no request."""

    async def resolve(self, repo: RepoId, revision: str, max_age: float) -> str:
        """The commit of a revision, from an answer that is not older than ``max_age`` seconds.

        Raises
        ------
        RevisionNotFoundError, RepositoryNotFoundError
            There is no such revision, or no such repository.
        """

    async def newest(self, repo: RepoId, revision: str, commit: str) -> str:
        """The commit that a revision is at now, requested since the current call of the file system began.

        No request is made if that certainly still is the given ``commit``. Raises like `resolve`.
        """

    def invalidate_revisions(self, repo: RepoId | None = None) -> None:
        """Forget which commits the revisions of one repository, or of all, are at."""

    # -- entries -------------------------------------------------------------------------------------------------------

    async def entries_at(
        self, repo: RepoId, revision: str, paths: Sequence[str], max_age: float, *, revalidate: bool = True
    ) -> tuple[str, dict[str, TreeEntry]]:  # fmt: skip
        """The commit of a revision and the entries at some paths in it: `resolve` and `entries` with few requests.

        Parameters
        ----------
        max_age:
            Maximum age of the cached commit in seconds.
        revalidate:
            Whether a path may be left out only if nothing is at it now; otherwise, an older commit may decide.
        """

    async def entries(self, repo: RepoId, commit: str, paths: Sequence[str]) -> dict[str, TreeEntry]:
        """The entries at some paths of a commit, by path. Paths with nothing at them are left out."""

    async def entries_now(self, repo: RepoId, revision: str, paths: Sequence[str]) -> dict[str, TreeEntry]:
        """Like `entries`, for a revision or commit, without using the cache."""

    async def expanded(self, repo: RepoId, commit: str, path: str) -> TreeEntry | None:
        """The entry at a path, with its last change if that is known; ``None`` if nothing is there."""

    # -- listing -------------------------------------------------------------------------------------------------------

    async def folder(self, repo: RepoId, commit: str, path: str, *, refresh: bool = False) -> tuple[TreeEntry, ...]:
        """The entries directly in a folder; ``""`` is the top folder.

        Parameters
        ----------
        refresh:
            Whether to request the listing even if it is cached.

        Raises
        ------
        EntryNotFoundError
            There is no such folder.
        """

    async def dated(self, repo: RepoId, commit: str, path: str) -> dict[str, TreeEntry]:
        """Like `folder`, by path, with the last change of each entry."""

    def below(
        self, repo: RepoId, commit: str, path: str, *, expand: bool = False
    ) -> AsyncGenerator[list[TreeEntry], None]:
        """All files and folders below a folder, page by page. Raises like `folder`, when it is iterated.

        Parameters
        ----------
        expand:
            Whether to include the last change of each entry.
        """

    def invalidate(self) -> None:
        """Forget all entries and listings."""

    # -- before changes are published ----------------------------------------------------------------------------------

    def full_name(self, repo: RepoId, branch: str) -> str:
        """The one name that stands for all names of a branch, so that changes at all of them are published together."""

    async def head(self, repo: RepoId, branch: str) -> str:
        """The commit that a branch is at now, which new changes are based on.

        Raises
        ------
        NotSupportedError
            The revision cannot be written to.
        RevisionNotFoundError
            There is no such branch.
        """

    async def check_branch(self, repo: RepoId, branch: str) -> None:
        """Raise like `head`, unless the branch is already known to exist."""

    def invalidate_branch(self, repo: RepoId, branch: str) -> None:
        """Forget which commit a branch is at, because others are about to write to it."""

    async def preupload(
        self, repo: RepoId, branch: str, files: Sequence[PreuploadFile], *, propose: bool = False
    ) -> list[PreuploadMode]:
        """How the content of each small file is to be stored: in Xet storage (``lfs``), or inside the commit (``regular``).

        Parameters
        ----------
        files:
            Paths, sizes in bytes and samples of the contents.
        propose:
            Whether the files are for a new pull request.
        """


def missing_entry(repo: RepoId, revision: str, path: str) -> EntryNotFoundError:
    """The error for a path with nothing at it."""
    return EntryNotFoundError(f"{repo}/{quote_revision(revision)} has no {path!r}", status=404, code="EntryNotFound")
