"""What the bearer of a Xet token may read and name.

A token reads the content of its repository: what was committed there, and what was uploaded for it a short while ago.
Chunk queries report, and shards may name, only xorbs that the user has sent, or that a repository holds which the user may
read. All other xorbs are answered as if they were not stored.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from functools import cached_property
from typing import Final

from aiohttp import web

from pyxet.errors import RepositoryNotFoundError
from pyxet.protocol.hashing import ZERO_HASH, Hash, hash_to_hex
from pyxet.protocol.shard import FileEntry
from pyxet.server.content import EMPTY_SHA256, StoredContent
from pyxet.server.index import held_as
from pyxet.server.people import Scope
from pyxet.server.state import ANONYMOUS, CONTENT, MAIN_USER, REPOS, TOKENS, check_cas, sees
from pyxet.server.tokens import Account, Claims
from pyxet.urls import XetURL


class UsableContents:
    """Which content an account, or nobody (``None``), may have in a repository, given by its sha256.

    The sha256 alone must not open what others keep private. All methods except the constructor block.

    Parameters
    ----------
    repo:
        Path of the repository.
    """

    def __init__(self, request: web.Request, account: Account | None, repo: str) -> None:
        self._repo = repo
        self._may_see = sees(request, account)
        self._content = request.app[CONTENT]
        self._everything = account is not None and account.user == request.app[MAIN_USER] and not account.repos
        # What was looked up for the calls that follow, and what of it the repository holds.
        self._found: dict[str, StoredContent | None] = {}
        self._held: set[str] = set()

    def prepare(self, contents: Collection[str]) -> None:
        """Look up many contents at once, for which calls follow: thousands of queries would take longer than all else."""
        self._found = {**dict.fromkeys(contents), **self._content.find_all_by_sha256(contents)}
        self._held = set() if self._everything else self._content.index.held(contents, self._repo)

    def __call__(self, sha256: str) -> StoredContent | None:
        """The content; ``None`` if it is not stored or the account may not name it."""
        known = sha256 in self._found
        stored = self._found[sha256] if known else self._content.find_by_sha256(sha256)
        if stored is None or self._everything or sha256 == EMPTY_SHA256 or sha256 in self._held:
            return stored
        holders = self._content.index.holders(sha256)
        return stored if self._repo in holders or any(map(self._may_see, holders)) else None


class Rights:
    """The rights of the Xet token of one request, which covers ``scope``. All methods except the constructor block.

    Parameters
    ----------
    claims:
        Claims that were checked already, instead of those of a token.

    Raises
    ------
    AuthenticationError, AccessDeniedError
        As `check_cas`.
    """

    def __init__(self, request: web.Request, scope: Scope, claims: Claims | None = None) -> None:
        claims = claims or check_cas(request, scope)
        self.user: Final = claims.user
        self._claimed = claims.repo
        self._repos = request.app[REPOS]
        self._index = request.app[CONTENT].index
        self._runs_it = claims.runs_it
        account: Account | None = request.app[TOKENS].claimant(claims) if claims.user != ANONYMOUS else None
        if account is not None and claims.runs_it:
            account = replace(account, user=request.app[MAIN_USER])
        self.account: Final = account
        self._sees = sees(request, account)
        self._seen: dict[str, bool] = {}

    @property
    def repo(self) -> str:
        """Path of the token's repository, as it is called now.

        Raises
        ------
        RepositoryNotFoundError
            The repository does not exist any more, or this user may not see it.
        """
        if self._repo is None:
            raise RepositoryNotFoundError("the token's repository does not exist", status=404, code="RepoNotFound")
        return self._repo

    @cached_property
    def _repo(self) -> str | None:
        claimed = XetURL.parse(self._claimed).repo_id
        try:
            current = self._repos.current(claimed).path if claimed is not None else None
        except RepositoryNotFoundError:
            return None
        # Since the token was issued, the repository may have become private, or another one may have taken its name.
        return current if current is not None and self._may_see(current) else None

    def may_read(self, file: FileEntry) -> bool:
        """Whether the token reads a file's content. Empty content is everybody's."""
        if file.file_hash == ZERO_HASH:
            return True
        names = {held_as(file), hash_to_hex(file.file_hash)}
        return self._repo is not None and bool(self._index.held(names, self._repo))

    def may_use(self, xorb: Hash) -> bool:
        """Whether the user may know of a stored xorb, and name it."""
        return (
            self._runs_it
            or self._index.is_sender(xorb, self.user)
            or any(map(self._may_see, self._index.holders_of_xorb(xorb)))
        )

    def _may_see(self, repo: str) -> bool:
        if repo not in self._seen:
            self._seen[repo] = self._sees(repo)
        return self._seen[repo]
