"""What the handlers share: keys of the application's state, authorization, workers, and forms of answers."""

from __future__ import annotations

import asyncio
import logging
import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

import msgspec
from aiohttp import web
from yarl import URL

from pyxet.errors import (
    AccessDeniedError,
    AuthenticationError,
    BadRequestError,
    RepositoryNotFoundError,
    XetURLError,
)
from pyxet.server.content import ContentStore
from pyxet.server.git_repository import Repository
from pyxet.server.git_store import GitStore
from pyxet.server.object_store import is_disk_full
from pyxet.server.tokens import Account, Claims, Scope, Tokens
from pyxet.types import RepoId
from pyxet.urls import XetURL

T = TypeVar("T")

CONTENT: Final = web.AppKey("content", ContentStore)
TOKENS: Final = web.AppKey("tokens", Tokens)
REPOS: Final = web.AppKey("repos", GitStore)
WORKERS: Final = web.AppKey("workers", ThreadPoolExecutor)
# Checking a xorb or a shard takes a while; a few at a time, so that small requests never queue behind them.
CHECKERS: Final = web.AppKey("checkers", ThreadPoolExecutor)
# The user who runs the endpoint; every name that owns repositories and is not another account belongs to them.
MAIN_USER: Final = web.AppKey("main_user", str)
# Whether those without a token see the public repositories.
OPEN: Final = web.AppKey("open", bool)
# In Xet tokens of those who have no account; nobody can be called so.
ANONYMOUS: Final = ""
log: Final = logging.getLogger("pyxet.server")


def bearer(request: web.Request) -> str | None:
    """The bearer token of a request, if it sent one."""
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if kind.lower() == "bearer" and token.strip() else None


def account_of(request: web.Request) -> Account | None:
    """The account behind a Hub request; ``None`` for anonymous ones, `AuthenticationError` for a bad token."""
    token = bearer(request)
    return request.app[TOKENS].account(token) if token is not None else None


def writer_of(request: web.Request, owner: str | None = None) -> Account:
    """The account behind a request that changes something, or something of ``owner``'s.

    Raises
    ------
    AuthenticationError, AccessDeniedError
        There is no token; it only reads, or ``owner`` is somebody else.
    """
    account = account_of(request)
    if account is None:
        raise AuthenticationError("this needs a token", status=401)
    if account.scope != "write":
        raise AccessDeniedError("this token only reads", status=403)
    if owner is not None and not owns(request, account, owner):
        raise AccessDeniedError(f"{account.user} may not write to repositories of {owner}", status=403)
    return account


def owns(request: web.Request, account: Account | None, owner: str) -> bool:
    """Whether a name that owns repositories belongs to the account."""
    return account is not None and account.user in (owner, request.app[MAIN_USER])


def valid_repo(kind: str, owner: str, name: str) -> RepoId | None:
    """The repository of that name, if it can be one: these names become folders."""
    repo = RepoId(kind, owner, name)  # type: ignore[arg-type]  # the comparison is the check
    try:
        return repo if XetURL.parse(repo.path).repo_id == repo else None
    except XetURLError:
        return None


def requested_repo(request: web.Request) -> RepoId:
    """The repository that the route names; kinds are absent in the web routes of models.

    Raises
    ------
    RepositoryNotFoundError
        No repository can have this name.
    """
    kind, owner, name = (request.match_info.get(part, "models") for part in ("kind", "owner", "name"))
    repo = valid_repo(kind, owner, name)
    if repo is None:
        raise RepositoryNotFoundError(f"repository {owner}/{name} does not exist", status=404, code="RepoNotFound")
    return repo


async def open_repo(request: web.Request, *, write: bool = False) -> Repository:
    """The repository that the route names, if the caller may see it, or change it.

    Raises
    ------
    RepositoryNotFoundError
        It does not exist, or is private and not the caller's.
    AuthenticationError, AccessDeniedError
        As in `writer_of`.
    HTTPTemporaryRedirect
        It has another name by now.
    """
    repo = requested_repo(request)
    account = account_of(request)

    def look() -> tuple[Repository, bool]:
        try:
            found = request.app[REPOS].open(repo)
        except RepositoryNotFoundError:
            found = request.app[REPOS].open(request.app[REPOS].current(repo))
        return found, found.private

    found, private = await in_worker(request, look)
    if private and not owns(request, account, found.id.owner):
        raise RepositoryNotFoundError(f"repository {repo} does not exist", status=404, code="RepoNotFound")
    if found.id != repo:
        raise web.HTTPTemporaryRedirect(_renamed(request, found.id))
    if write:
        writer_of(request, repo.owner)
        if request.query.get("create_pr", "0") not in ("", "0", "false"):
            raise BadRequestError(
                "this endpoint has no pull requests; commit to a branch, without create_pr", status=400
            )
    return found


def _renamed(request: web.Request, repo: RepoId) -> URL:
    """What was requested, of the repository as it is called now: relative, as the Hub says it."""
    parts = request.rel_url.raw_path.split("/")
    # /api/models/owner/name/…, /datasets/owner/name/resolve/…, /owner/name/resolve/…
    at = 1 if "kind" not in request.match_info else 2 + (parts[1] == "api")
    parts[at : at + 2] = [repo.owner, repo.name]
    query = request.rel_url.raw_query_string
    return URL("/".join(parts) + (f"?{query}" if query else ""), encoded=True)


def sees(request: web.Request, user: str) -> Callable[[str], bool]:
    """Whether a user may see the repository at a path, by any name it has had. The function blocks."""
    repos = request.app[REPOS]

    def may_see(path: str) -> bool:
        repo = XetURL.parse(path).repo_id
        if repo is None:
            return False
        try:
            found = repos.open(repos.current(repo))
        except RepositoryNotFoundError:
            return False
        return not found.private or user in (found.id.owner, request.app[MAIN_USER])

    return may_see


def note_shown(request: web.Request, repo: Repository, contents: Iterable[str]) -> None:
    """What a repository shows to somebody, by sha256, it holds: pointers may have come with a git push. Blocks."""
    try:
        request.app[CONTENT].index.add_holders(contents, repo.id.path)
    except (OSError, sqlite3.OperationalError) as error:
        # It is about reading: with a full disk there is still what the index knows.
        if not is_disk_full(error):
            raise


def check_cas(request: web.Request, scope: Scope) -> Claims:
    """Accept a CAS request whose Xet token covers ``scope``."""
    return request.app[TOKENS].check(bearer(request) or "", scope)


async def in_worker(request: web.Request, function: Callable[..., T], *arguments: object) -> T:
    """Run blocking work beside the event loop."""
    return await asyncio.get_running_loop().run_in_executor(request.app[WORKERS], function, *arguments)


def query_number(request: web.Request, name: str, default: int, *, most: int = 1 << 53) -> int:
    """A number from 0 to ``most`` of the query; larger ones count as ``most``."""
    text = request.query.get(name, str(default))
    if not (text.isascii() and text.isdigit()) or len(text) > 18:
        raise BadRequestError(f"{name}={text[:40]!r} is not a number", status=400)
    return min(int(text), most)


def json_response(body: bytes, *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """A response whose body is JSON already."""
    return web.Response(body=body, status=status, headers=headers, content_type="application/json")


def error_response(
    status: int, message: str, code: str | None = None, headers: Mapping[str, str] | None = None
) -> web.Response:
    """An error as the Hub's clients read it: headers for programs, JSON for people."""
    all_headers = {
        **(headers or {}),
        # A message may quote any name, and a header holds neither control characters nor lines.
        "X-Error-Message": re.sub(r"[\x00-\x20\x7f]+", " ", message)[:500].encode("ascii", "replace").decode(),
    }
    if code:
        all_headers["X-Error-Code"] = code
    body = msgspec.json.encode({"error": message.encode(errors="replace").decode()})
    return json_response(body, status=status, headers=all_headers)


async def send(request: web.Request, response: web.StreamResponse, pieces: Iterator[bytes]) -> web.StreamResponse:
    """Stream blocking ``pieces`` of about a mebibyte, the next one being read while one is sent.

    A failure in mid-body breaks the connection: with the status already sent, it is the only way to say so.
    """
    # The first one before the status: what fails at once is an error like any other.
    piece = await in_worker(request, next, pieces, None)
    await response.prepare(request)
    while piece is not None:
        following = asyncio.ensure_future(in_worker(request, next, pieces, None))
        try:
            await response.write(piece)
        finally:
            # Also where the client has gone: nothing may be left running when the request ends.
            await asyncio.wait([following])
        error = following.exception()
        if error is not None:
            log.error("%s %s broke off", request.method, request.path, exc_info=error)
            if request.transport is not None:
                request.transport.abort()
            break
        piece = following.result()
    return response
