"""What the handlers share: keys of the application's state, and how requests are authorized."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from aiohttp import web

from pyxet.errors import AccessDeniedError, AuthenticationError, RepositoryNotFoundError
from pyxet.server.content import ContentStore
from pyxet.server.git_store import GitStore, Repository
from pyxet.server.tokens import Account, Scope, Tokens
from pyxet.urls import RepoId

T = TypeVar("T")

CONTENT: Final = web.AppKey("content", ContentStore)
TOKENS: Final = web.AppKey("tokens", Tokens)
REPOS: Final = web.AppKey("repos", GitStore)
WORKERS: Final = web.AppKey("workers", ThreadPoolExecutor)
# The user who runs the endpoint; every name that owns repositories and is not another account belongs to them.
MAIN_USER: Final = web.AppKey("main_user", str)


def bearer(request: web.Request) -> str | None:
    """The bearer token of a request, if it sent one."""
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if kind.lower() == "bearer" and token.strip() else None


def account_of(request: web.Request) -> Account | None:
    """The account behind a Hub request; ``None`` for anonymous ones, `AuthenticationError` for a bad token."""
    token = bearer(request)
    return request.app[TOKENS].account(token) if token is not None else None


def writer_of(request: web.Request, owner: str | None = None) -> Account:
    """The account behind a request that changes something, or something of ``owner``'s."""
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


def requested_repo(request: web.Request) -> RepoId:
    """The repository that the route names; kinds are absent in the web routes of models."""
    kind = request.match_info.get("kind") or "models"
    return RepoId(kind, request.match_info["owner"], request.match_info["name"])  # type: ignore[arg-type]  # the route admits only kinds


def open_repo(request: web.Request, *, write: bool = False) -> Repository:
    """The repository that the route names, if the caller may see it, or change it. Blocking, but only a look at a folder.

    Raises
    ------
    RepositoryNotFoundError
        It does not exist, or is private and not the caller's.
    """
    repo = requested_repo(request)
    account = account_of(request)
    found = request.app[REPOS].open(repo)
    if found.private and not owns(request, account, repo.owner):
        raise RepositoryNotFoundError(f"repository {repo} does not exist", status=404, code="RepoNotFound")
    if write:
        writer_of(request, repo.owner)
    return found


def check_cas(request: web.Request, scope: Scope) -> None:
    """Accept a CAS request whose Xet token covers ``scope``."""
    request.app[TOKENS].check(bearer(request) or "", scope)


async def in_worker(request: web.Request, function: Callable[..., T], *arguments: object) -> T:
    """Run blocking work beside the event loop."""
    return await asyncio.get_running_loop().run_in_executor(request.app[WORKERS], function, *arguments)


def json_response(body: bytes, *, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """A response whose body is JSON already."""
    return web.Response(body=body, status=status, headers=headers, content_type="application/json")
