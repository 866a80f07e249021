"""What views and changes ask of a kind of place where files are stored.

Repositories are such a kind: their revisions are commits (`Catalog`). Everything here can be answered by a place without
revisions, too, whose listings and look-ups tell what is there now, and that takes all changes in one request.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import TYPE_CHECKING, Final, Protocol

from pyxet.errors import EntryNotFoundError
from pyxet.types import RepoId
from pyxet.urls import quote_revision

if TYPE_CHECKING:
    from pyxet.protocol.messages import PreuploadFile, PreuploadMode, TreeEntry

# Entries of commits that are remembered, and entries of folders whose listing is.
MAX_ENTRIES: Final = 50_000


class Trees(Protocol):
    """What is at paths, for all repositories of one client; and what there is to know before it is changed.

    A ``revision`` is what a caller names; a ``commit`` is the state that it resolved to, which all look-ups of one view
    name. A place without commits has one constant name for both. The ``oid`` of a `TreeEntry` is the version of its
    content, which conditions of writes compare; without git it may be the Xet hash.

    All methods but those that only use what is remembered raise `XetError` where the endpoint cannot be asked, or refuses.
    """

    # -- resolving -----------------------------------------------------------------------------------------------------

    def cached(self, repo: RepoId, revision: str, max_age: float) -> str | None:
        """The commit of a revision, if it is known and not older than ``max_age`` seconds. Asks nobody."""

    async def resolve(self, repo: RepoId, revision: str, max_age: float) -> str:
        """The commit of a revision, from an answer that is not older than ``max_age`` seconds.

        Raises
        ------
        RevisionNotFoundError, RepositoryNotFoundError
            There is no such revision, or no such repository.
        """

    async def newest(self, repo: RepoId, revision: str, commit: str) -> str:
        """The commit that a revision is at now, asked for since the call began that this is part of.

        The given ``commit``, without a request, if the revision certainly still is at it. Raises like `resolve`.
        """

    def invalidate_revisions(self, repo: RepoId | None = None) -> None:
        """Forget which commits the revisions of one repository, or of all, are at."""

    # -- entries -------------------------------------------------------------------------------------------------------

    async def entries_at(
        self, repo: RepoId, revision: str, paths: Sequence[str], max_age: float, *, revalidate: bool = True
    ) -> tuple[str, dict[str, TreeEntry]]:  # fmt: skip
        """The commit of a revision and what is at some paths in it: `resolve` and `entries` with few requests.

        Parameters
        ----------
        max_age:
            Seconds for which the revision's commit is good.
        revalidate:
            Whether a path that is left out has nothing at it now, and not only in an older commit.
        """

    async def entries(self, repo: RepoId, commit: str, paths: Sequence[str]) -> dict[str, TreeEntry]:
        """What is at some paths of a commit, by path; those with nothing there are left out."""

    async def entries_now(self, repo: RepoId, revision: str, paths: Sequence[str]) -> dict[str, TreeEntry]:
        """Like `entries`, of a revision or commit; nothing that is remembered is used."""

    async def expanded(self, repo: RepoId, commit: str, path: str) -> TreeEntry | None:
        """What is at a path, with when it last changed as far as that is known; ``None`` if there is nothing."""

    # -- listing -------------------------------------------------------------------------------------------------------

    async def folder(self, repo: RepoId, commit: str, path: str, *, refresh: bool = False) -> tuple[TreeEntry, ...]:
        """What is directly in a folder; ``""`` is the top.

        Parameters
        ----------
        refresh:
            Whether to ask, even if the listing is remembered.

        Raises
        ------
        EntryNotFoundError
            There is no such folder.
        """

    async def dated(self, repo: RepoId, commit: str, path: str) -> dict[str, TreeEntry]:
        """Like `folder`, by path, with when they last changed."""

    def below(
        self, repo: RepoId, commit: str, path: str, *, expand: bool = False
    ) -> AsyncGenerator[list[TreeEntry], None]:
        """All below a folder, files and folders, page by page. Raises like `folder`, when it is iterated.

        Parameters
        ----------
        expand:
            With when they last changed.
        """

    def invalidate(self) -> None:
        """Forget all entries and listings."""

    # -- before changes are published ----------------------------------------------------------------------------------

    def full_name(self, repo: RepoId, branch: str) -> str:
        """The one name of a branch that has several: changes at all of them are published together."""

    async def head(self, repo: RepoId, branch: str) -> str:
        """The commit that a branch is at now, for writing to it: what lies beneath changes that begin.

        Raises
        ------
        NotSupportedError
            It is nothing that can be written to.
        RevisionNotFoundError
            There is no such branch.
        """

    async def check_branch(self, repo: RepoId, branch: str) -> None:
        """Raise like `head`, unless this is known to be a branch."""

    def invalidate_branch(self, repo: RepoId, branch: str) -> None:
        """Forget which commit a branch is at, as others are about to write to it."""

    async def preupload(
        self, repo: RepoId, branch: str, files: Sequence[PreuploadFile], *, propose: bool = False
    ) -> list[PreuploadMode]:
        """How the content of each small file is stored: in Xet storage (``lfs``), or in what publishes it (``regular``).

        Parameters
        ----------
        files:
            Paths, sizes in bytes and samples of the contents.
        propose:
            They are for a new pull request.
        """


def missing_entry(repo: RepoId, revision: str, path: str) -> EntryNotFoundError:
    """The error for a path with nothing there."""
    return EntryNotFoundError(f"{repo}/{quote_revision(revision)} has no {path!r}", status=404, code="EntryNotFound")
