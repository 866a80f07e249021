"""What the handlers share: keys of the application's state, and how requests are authorized."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from aiohttp import web

from pyxet.errors import AccessDeniedError, AuthenticationError
from pyxet.server.content import ContentStore
from pyxet.server.git_store import GitStore
from pyxet.server.tokens import Account, Scope, Tokens

T = TypeVar("T")

CONTENT: Final = web.AppKey("content", ContentStore)
TOKENS: Final = web.AppKey("tokens", Tokens)
REPOS: Final = web.AppKey("repos", GitStore)
WORKERS: Final = web.AppKey("workers", ThreadPoolExecutor)


def bearer(request: web.Request) -> str | None:
    """The bearer token of a request, if it sent one."""
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if kind.lower() == "bearer" and token.strip() else None


def account_of(request: web.Request) -> Account | None:
    """The account behind a Hub request; ``None`` for anonymous ones, `AuthenticationError` for a bad token."""
    token = bearer(request)
    return request.app[TOKENS].account(token) if token is not None else None


def writer_of(request: web.Request) -> Account:
    """The account behind a request that changes something."""
    account = account_of(request)
    if account is None:
        raise AuthenticationError("this needs a token", status=401)
    if account.scope != "write":
        raise AccessDeniedError("this token only reads", status=403)
    return account


def check_cas(request: web.Request, scope: Scope) -> None:
    """Accept a CAS request whose Xet token covers ``scope``."""
    request.app[TOKENS].check(bearer(request) or "", scope)


async def in_worker(request: web.Request, function: Callable[..., T], *arguments: object) -> T:
    """Run blocking work beside the event loop."""
    return await asyncio.get_running_loop().run_in_executor(request.app[WORKERS], function, *arguments)


def json_response(body: bytes, *, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """A response whose body is JSON already."""
    return web.Response(body=body, status=status, headers=headers, content_type="application/json")
