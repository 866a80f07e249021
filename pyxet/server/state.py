"""What the handlers share: keys of the application's state, authorization, workers, and forms of answers."""

from __future__ import annotations

import asyncio
import base64
import logging
import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Final, TypeVar

import msgspec
from aiohttp import web
from yarl import URL

from pyxet.errors import (
    AccessDeniedError,
    AuthenticationError,
    BadRequestError,
    ConfigError,
    RemoteError,
    RepositoryNotFoundError,
    ServerError,
)
from pyxet.server.content import ContentStore
from pyxet.server.git_repository import Repository
from pyxet.server.git_store import GitStore
from pyxet.server.hosts import HOSTS
from pyxet.server.looking import Looks
from pyxet.server.names import valid_repo
from pyxet.server.object_store import is_disk_full
from pyxet.server.people import People, Right, Scope
from pyxet.server.suspended import Suspended
from pyxet.server.tokens import Account, Claims, Tokens
from pyxet.types import RepoId
from pyxet.urls import XetURL

T = TypeVar("T")

CONTENT: Final = web.AppKey("content", ContentStore)
TOKENS: Final = web.AppKey("tokens", Tokens)
REPOS: Final = web.AppKey("repos", GitStore)
WORKERS: Final = web.AppKey("workers", ThreadPoolExecutor)
# Checks xorbs and shards, which takes a while: a pool of its own, so that small requests never wait for these checks.
CHECKERS: Final = web.AppKey("checkers", ThreadPoolExecutor)
# Looks for changes of the file of people before each request with credentials: a pool of its own, so that this never waits.
LOOKING: Final = web.AppKey("looking", ThreadPoolExecutor)
SUSPENDED: Final = web.AppKey("suspended", Suspended)
LOOKS: Final = web.AppKey("looks", Looks)
# Checks passwords, which costs time on purpose: one at a time, whoever tries them.
PASSWORDS: Final = web.AppKey("passwords", ThreadPoolExecutor)
# Limits the requests whose password is being checked or waits to be checked; further ones are refused.
PASSWORD_QUEUE: Final = web.AppKey("password_queue", asyncio.Semaphore)
MAX_PASSWORD_QUEUE: Final = 16
# The user who runs the endpoint, who may do everything.
MAIN_USER: Final = web.AppKey("main_user", str)
# Whether clients without a token may read the public repositories.
OPEN: Final = web.AppKey("open", bool)
# The user name in Xet tokens of clients without an account; no user can have this name.
ANONYMOUS: Final = ""
# The account of a client that sent a name and a secret, or the error if they are not valid: see `identify`.
_BASIC: Final = web.RequestKey("basic", object)
# The ends of the paths that git clients request.
_GIT = re.compile(r"/(?:info/refs|git-upload-pack|git-receive-pack)\Z")
log: Final = logging.getLogger("pyxet.server")


def is_git(path: str) -> bool:
    """Whether a path is one that git clients request."""
    return _GIT.search(path) is not None


def bearer(request: web.Request) -> str | None:
    """The bearer token of a request, if it sent one."""
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if kind.lower() == "bearer" and token.strip() else None


async def identify(request: web.Request) -> None:
    """Check the name and the secret of a request (Basic, RFC 7617), as git sends them, once; `account_of` has the result.

    The secret is a token, with any name, or the password of the named user. If there is no secret, the name may be a token.
    For requests with any kind of credentials, changes of the file of people are read first.

    Raises
    ------
    AccessDeniedError
        A browser sends the name and the secret for a page of another origin.
    RemoteError
        The file of people cannot be read.
    ServerError
        Too many passwords are being checked.
    """
    kind, _, given = request.headers.get("Authorization", "").partition(" ")
    tokens = request.app[TOKENS]
    if kind and tokens.people is not None:
        # Read changes of users and tokens that were made a moment ago.
        try:
            await request.app[LOOKS].look(tokens.people.refresh)
        except ConfigError as error:
            log.error("all requests are refused: %s", error)
            message = "the endpoint cannot read who may use it; its log says more"
            raise RemoteError(message, status=500) from error
    if kind.lower() != "basic":
        return
    if request.app[HOSTS].is_for_foreign_page(request):
        message = "a page of another origin may not use the password that a browser keeps; send a token (Bearer)"
        raise AccessDeniedError(message, status=403)
    try:
        user, _, secret = base64.b64decode(given.strip(), validate=True).decode().partition(":")
    except ValueError:
        request[_BASIC] = AuthenticationError("the Authorization header is not valid", status=401)
        return
    try:
        request[_BASIC] = tokens.account(secret or user)
    except AuthenticationError as error:
        request[_BASIC] = error
        with suppress(AuthenticationError):
            request[_BASIC] = await _by_password(request, user, secret)


async def _by_password(request: web.Request, user: str, password: str) -> Account:
    """The account of a user with a password. Users whose password was verified lately never wait for checks of wrong ones."""
    tokens = request.app[TOKENS]
    if tokens.is_verified(user, password):
        return tokens.password_account(user, password)
    queue = request.app[PASSWORD_QUEUE]
    if queue.locked():
        message = "too many passwords are being checked; try again in a few seconds, or send a token"
        raise ServerError(message, status=503)
    async with queue:
        check = partial(tokens.password_account, user, password)
        return await asyncio.get_running_loop().run_in_executor(request.app[PASSWORDS], check)


def account_of(request: web.Request) -> Account | None:
    """The account that sends a request to the Hub's or git's routes; ``None`` for requests without credentials.

    Raises
    ------
    AuthenticationError
        The token or the password is not valid, or has ended.
    """
    found = request.get(_BASIC)
    if isinstance(found, AuthenticationError):
        raise found
    if isinstance(found, Account):
        return found
    token = bearer(request)
    return request.app[TOKENS].account(token) if token is not None else None


def people(request: web.Request) -> People:
    """The endpoint's users and organizations, as they are now."""
    file = request.app[TOKENS].people
    return file.current if file is not None else People()


def right_over(request: web.Request, account: Account | None, repo: RepoId | str) -> Right:
    """The right of an account in a repository, or in all repositories of an owner, beyond reading public ones."""
    if account is None:
        return Right.NONE
    if not _reaches(account, repo):
        return Right.NONE
    owner = repo if isinstance(repo, str) else repo.owner
    main = account.user == request.app[MAIN_USER]
    right = Right.ADMIN if main else people(request).role(account.user, owner)
    return min(right, Right.READ) if account.scope == "read" else right


def _reaches(account: Account, repo: RepoId | str) -> bool:
    """Whether an account's token covers a repository, or all repositories of an owner. Most tokens are not restricted."""
    # A restricted token lists paths of repositories, and names of owners for all their repositories.
    named = {repo} if isinstance(repo, str) else {repo.owner, repo.path, f"models/{repo.path}"}
    return not account.repos or not named.isdisjoint(account.repos)


def may_see(request: web.Request, account: Account | None, repo: Repository) -> bool:
    """Whether an account, or an anonymous client (``None``), may read a repository and know that it exists. Blocks."""
    return not repo.private or right_over(request, account, repo.id) >= Right.READ


def writer_of(request: web.Request, repo: RepoId | str | None = None, *, right: Right = Right.WRITE) -> Account:
    """The account behind a request that writes; if a repository or an owner's name is given, it must have ``right`` there.

    Raises
    ------
    AuthenticationError, AccessDeniedError
        There is no token, the token only reads, or the account does not have this right there.
    """
    account = account_of(request)
    if account is None:
        raise AuthenticationError("this needs a token", status=401)
    if account.scope != "write":
        raise AccessDeniedError("this token only reads", status=403)
    if repo is not None and (has := right_over(request, account, repo)) < right:
        raise AccessDeniedError(_refusal(account, repo, has, right), status=403)
    return account


def _refusal(account: Account, repo: RepoId | str, has: Right, needed: Right) -> str:
    owner = repo if isinstance(repo, str) else repo.owner
    if has is Right.NONE and account.repos:
        return f"this token of {account.user} is for {', '.join(account.repos)} only"
    if has is Right.NONE:
        return f"{account.user} may not write to repositories of {owner}"
    return f"{account.user} has the role {has.name.lower()} in {owner}; this needs {needed.name.lower()}"


def requested_repo(request: web.Request) -> RepoId:
    """The repository that the route names; the web routes of models contain no kind.

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


async def open_repo(
    request: web.Request,
    repo: RepoId | None = None,
    *,
    write: bool = False,
    admin: bool = False,
    propose: bool = False,
    challenge: bool = False,
) -> Repository:
    """Open the repository that the route names, if the caller may see it and has the right that the request needs.

    Parameters
    ----------
    repo:
        The repository, if the route does not name it by ``kind``, ``owner`` and ``name``.
    write, admin:
        Whether the request changes content; whether it moves or removes the repository, or changes who sees it.
    propose:
        Whether the request proposes changes or takes part in a discussion, which everyone may do who sees the repository
        and has a token that writes.
    challenge:
        Whether callers without credentials who see no such repository get 401, whether it exists or not: git sends
        credentials only after a 401.

    Raises
    ------
    RepositoryNotFoundError
        It does not exist, or is private and the caller may not see it.
    AuthenticationError, AccessDeniedError
        As in `writer_of`.
    HTTPTemporaryRedirect
        The repository has been renamed, or its name differs in upper and lower case.
    """
    repo = repo or requested_repo(request)
    account = account_of(request)

    def look() -> Repository:
        try:
            found = request.app[REPOS].open(repo)
        except RepositoryNotFoundError:
            found = request.app[REPOS].open_current(repo)
        if not may_see(request, account, found):
            raise RepositoryNotFoundError(f"repository {repo} does not exist", status=404, code="RepoNotFound")
        return found

    try:
        found = await in_worker(request, look)
    except RepositoryNotFoundError:
        if challenge and account is None:
            raise AuthenticationError("this needs a user name and a token", status=401) from None
        raise
    if found.id != repo:
        raise web.HTTPTemporaryRedirect(_renamed(request, found.id))
    if write or admin:
        writer_of(request, repo, right=Right.ADMIN if admin else Right.WRITE)
    elif propose and (proposer := writer_of(request)).repos and not _reaches(proposer, repo):
        raise AccessDeniedError(_refusal(proposer, repo, Right.NONE, Right.READ), status=403)
    return found


def _renamed(request: web.Request, repo: RepoId) -> URL:
    """The requested URL with the repository's current name: relative, as the Hub sends it."""
    parts = request.rel_url.raw_path.split("/")
    # /api/models/owner/name/…, /datasets/owner/name/resolve/…, /owner/name/resolve/…
    at = 1 if "kind" not in request.match_info else 2 + (parts[1] == "api")
    parts[at : at + 2] = [repo.owner, repo.name]
    query = request.rel_url.raw_query_string
    return URL("/".join(parts) + (f"?{query}" if query else ""), encoded=True)


def sees(request: web.Request, account: Account | None) -> Callable[[str], bool]:
    """A function that tells whether an account may see the repository at a path, also at a former one. It blocks."""
    repos = request.app[REPOS]

    def seen(path: str) -> bool:
        repo = XetURL.parse(path).repo_id
        if repo is None:
            return False
        try:
            return may_see(request, account, repos.open_current(repo))
        except RepositoryNotFoundError:
            return False

    return seen


def note_shown(request: web.Request, repo: Repository, contents: Iterable[str]) -> None:
    """Record that a repository holds the contents (sha256) it shows: their pointers may come from a git push. Blocks."""
    try:
        request.app[CONTENT].index.add_holders(contents, repo.id.path)
    except (OSError, sqlite3.OperationalError) as error:
        # The request only reads, so a full disk must not make it fail.
        if not is_disk_full(error):
            raise


def claims_of(request: web.Request, account: Account | None, repo: RepoId, scope: Scope) -> Claims:
    """The claims of a Xet token or signed URL for a repository and an account; ``None`` stands for an anonymous client."""
    user = account.user if account else ANONYMOUS
    # A token that is restricted to some repositories must not give access to others.
    runs_it = account is not None and user == request.app[MAIN_USER] and not account.repos
    return Claims(repo.path, scope, user, runs_it, account.login if account else None)


def check_cas(request: web.Request, scope: Scope) -> Claims:
    """The claims of a CAS request's Xet token, which must cover ``scope``; the login it was issued for must still be valid."""
    claims = request.app[TOKENS].check(bearer(request) or "", scope)
    if claims.login is not None:
        request.app[TOKENS].claimant(claims)
    return claims


async def in_worker(request: web.Request, function: Callable[..., T], *arguments: object) -> T:
    """Run blocking work beside the event loop."""
    return await asyncio.get_running_loop().run_in_executor(request.app[WORKERS], function, *arguments)


async def in_checker(request: web.Request, function: Callable[..., T], *arguments: object) -> T:
    """Run a long check beside the event loop; only a few of them run at a time."""
    return await asyncio.get_running_loop().run_in_executor(request.app[CHECKERS], function, *arguments)


def query_number(request: web.Request, name: str, default: int, *, most: int = 1 << 53) -> int:
    """A parameter of the query as a number from 0 to ``most``, which replaces larger ones; `BadRequestError` if it is none."""
    text = request.query.get(name, str(default))
    if not (text.isascii() and text.isdigit()) or len(text) > 18:
        raise BadRequestError(f"{name}={text[:40]!r} is not a number", status=400)
    return min(int(text), most)


def json_response(body: bytes, *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """A response with a body that is JSON already."""
    return web.Response(body=body, status=status, headers=headers, content_type="application/json")


def error_response(
    status: int, message: str, code: str | None = None, headers: Mapping[str, str] | None = None
) -> web.Response:
    """An error response as the Hub sends it: headers for programs, JSON for people."""
    all_headers = {
        **(headers or {}),
        # A message may quote any name, but a header must not hold control characters or line breaks.
        "X-Error-Message": re.sub(r"[\x00-\x20\x7f]+", " ", message)[:500].encode("ascii", "replace").decode(),
    }
    if code:
        all_headers["X-Error-Code"] = code
    body = msgspec.json.encode({"error": message.encode(errors="replace").decode()})
    return json_response(body, status=status, headers=all_headers)


async def send(request: web.Request, response: web.StreamResponse, pieces: Iterator[bytes]) -> web.StreamResponse:
    """Stream pieces from a blocking iterator, reading the next piece while one is sent.

    If reading fails in mid-body, the connection is aborted: the status is sent already, so nothing else can report the error.
    """
    # Read the first piece before sending the status, so that an early failure gets a normal error response.
    piece = await in_worker(request, next, pieces, None)
    await response.prepare(request)
    while piece is not None:
        following = asyncio.ensure_future(in_worker(request, next, pieces, None))
        try:
            await response.write(piece)
        finally:
            # Wait even if the client has disconnected: no read may still run when the request ends.
            await asyncio.wait([following])
        error = following.exception()
        if error is not None:
            log.error("%s %s was cut off by an error", request.method, request.path, exc_info=error)
            if request.transport is not None:
                request.transport.abort()
            break
        piece = following.result()
    return response
