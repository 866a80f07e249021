"""The local endpoint's aiohttp application: the Hub's and the CAS's interface over a directory."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from aiohttp import web

from pyxet.errors import AuthenticationError, ConfigError, RemoteError, XetError
from pyxet.server import (
    cas,
    git_http,
    grants,
    hub_commit,
    hub_discussions,
    hub_lfs_files,
    hub_manage,
    hub_refs,
    hub_repos,
    hub_resolve,
    hub_tree,
    lfs,
)
from pyxet.server.behaviour import HubBehaviour
from pyxet.server.bodies import HELD, Held, with_late_continue
from pyxet.server.connections import CONNECTIONS, Connections
from pyxet.server.content import ContentStore
from pyxet.server.file_limits import LIMITS, FileLimits
from pyxet.server.git_repository import moved_meanwhile
from pyxet.server.git_store import REPOSITORIES, GitStore
from pyxet.server.holding import hold, release, withdraw
from pyxet.server.hosts import HOSTS, Hosts
from pyxet.server.late_commits import LATE_COMMITS, LateCommits
from pyxet.server.looking import Looks
from pyxet.server.names import check_owner
from pyxet.server.object_store import is_disk_full
from pyxet.server.packed import packed_json
from pyxet.server.privacy import own_umask
from pyxet.server.quotas import add_quotas, within_quotas
from pyxet.server.state import (
    CHECKERS,
    CONTENT,
    LOOKING,
    LOOKS,
    MAIN_USER,
    MAX_PASSWORD_QUEUE,
    OPEN,
    PASSWORD_QUEUE,
    PASSWORDS,
    REPOS,
    SUSPENDED,
    TOKENS,
    WORKERS,
    account_of,
    bearer,
    error_response,
    identify,
    in_worker,
    is_git,
    log,
    requested_repo,
)
from pyxet.server.suspended import Suspended
from pyxet.server.tokens import Account, Tokens

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_WORKERS: Final = 8
_CHECKERS: Final = max(2, min(8, os.cpu_count() or 1))


def create_app(
    root: Path,
    *,
    user: str,
    token: str,
    anonymous: bool = True,
    hosts: Hosts | None = None,
    like_hub: HubBehaviour | None = None,
    upload_grants: bool = True,
) -> web.Application:
    """The application over ``root``, which is made if needed and locked for this process. Blocks.

    Parameters
    ----------
    root:
        Directory of the repositories and the store.
    user, token:
        The account that runs the endpoint and may write everywhere.
    anonymous:
        Whether callers without a token may read the public repositories; otherwise they get only what signed URLs give.
    hosts:
        The host names that the endpoint answers to; loopback names if ``None``.
    like_hub:
        Quotas, limits and delays like those of the Hub; none of them if ``None``.
    upload_grants:
        Whether clients upload xorbs by upload grants, as on the Hub; otherwise they send them directly.

    Raises
    ------
    ConfigError
        The directory is in use by another process, cannot be used, or has another format; or the user's name cannot own
        repositories.
    """
    check_owner(user)
    app = web.Application(
        middlewares=[packed_json, git_http.errors_for_git, lfs.lfs_errors, _errors, within_quotas, _known_only]
    )
    with ExitStack() as opened:
        try:
            opened.callback(release, hold(root))
            opened.callback(withdraw, root)
            app[MAIN_USER] = user
            app[OPEN] = anonymous
            app[HOSTS] = hosts or Hosts()
            app[CONNECTIONS] = Connections()
            app[HELD] = Held()
            app[LIMITS] = FileLimits()
            app[TOKENS] = Tokens.open(root)
            app[TOKENS].add_account(token, Account(user, "write"))
            app[CONTENT] = ContentStore(root)
            opened.callback(app[CONTENT].close)
            app[REPOS] = GitStore(root / REPOSITORIES)
        except OSError as error:
            raise ConfigError(f"the directory {root} cannot be used: {error.strerror or error}") from error
        app[PASSWORD_QUEUE] = asyncio.Semaphore(MAX_PASSWORD_QUEUE)
        for key, size in ((WORKERS, _WORKERS), (CHECKERS, _CHECKERS), (LOOKING, 1), (PASSWORDS, 1)):
            app[key] = ThreadPoolExecutor(size, thread_name_prefix="xet-endpoint", initializer=own_umask)
            opened.callback(app[key].shutdown)
        app[SUSPENDED] = Suspended()
        app[LOOKS] = Looks(app[LOOKING])
        if like_hub is not None:
            _behave(app, like_hub)
        app.router.add_route = with_late_continue(app.router.add_route)  # type: ignore[method-assign]  # all routes at once
        for part in (
            cas,
            hub_repos,
            hub_manage,
            hub_refs,
            hub_tree,
            hub_commit,
            hub_discussions,
            hub_lfs_files,
            hub_resolve,
            lfs,
            git_http,
        ):
            part.add_routes(app)
        if upload_grants:
            grants.add_routes(app)
        closing = opened.pop_all()

    async def identify_answer(_: web.Request, answer: web.StreamResponse) -> None:
        # Error messages name this id, so that people can tell which request failed.
        answer.headers.setdefault("X-Request-Id", secrets.token_hex(8))

    app.on_response_prepare.append(identify_answer)

    async def lifetime(_: web.Application) -> AsyncIterator[None]:
        yield
        if LATE_COMMITS in app:
            await app[LATE_COMMITS].aclose()
        try:
            await asyncio.to_thread(closing.close)
        except RuntimeError:
            # The interpreter is ending and starts no more threads; nothing else needs the event loop then.
            closing.close()

    app.cleanup_ctx.append(lifetime)
    return app


def _behave(app: web.Application, like_hub: HubBehaviour) -> None:
    add_quotas(app, like_hub)
    app[LATE_COMMITS] = LateCommits(like_hub)
    app[LIMITS] = FileLimits(like_hub.file_size, like_hub.folder_entries)
    app[TOKENS].token_life, app[TOKENS].url_life = like_hub.token_life, like_hub.url_life


@web.middleware
async def _errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn typed errors into the answers that clients understand."""
    try:
        with request.app[CONNECTIONS].answering(request):
            request.app[HOSTS].check(request)
            return await handler(request)
    except RemoteError as error:
        if error.code in ("EntryNotFound", "RevisionNotFound") and await _is_gone(request):
            error = moved_meanwhile(request.path)
        headers = {"WWW-Authenticate": _challenge(request)} if error.status == 401 else None
        return error_response(error.status or 400, error.message, error.code, headers)
    except XetError as error:
        return error_response(400, str(error))
    except web.HTTPException as error:
        if error.status < 400:
            raise
        name = hub_repos.name_without_owner(request) if error.status in (404, 405) else None
        if name is not None:
            # Clients tell by the error code whether a repository exists.
            message = f"repository {name!r} does not exist: a name has an owner, owner/name"
            return error_response(404, message, "RepoNotFound")
        allowed = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else None
        return error_response(error.status, error.reason, headers=allowed)
    except ConnectionError:
        # The client has gone: there is nobody to answer, and this is not an error of the endpoint that belongs in its log.
        return web.Response(status=499)
    except Exception as error:  # noqa: BLE001  # whatever the error, clients get JSON and the log a traceback
        if is_disk_full(error):
            return error_response(507, "the endpoint's disk is full; nothing was stored")
        if _is_ending(error):
            return error_response(503, "the process that serves this is ending; try again")
        if await _is_gone(request):
            return error_response(503, moved_meanwhile(request.path).message)
        log.exception("%s %s failed", request.method, request.path)
        return error_response(500, f"the endpoint failed: {type(error).__name__}; its log says more")


@web.middleware
async def _known_only(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse callers without a token if the endpoint is not open to them; a signed URL needs no token."""
    await identify(request)
    signed = any(part.takes_signed_url(request) for part in (cas, grants, lfs))
    if not request.app[OPEN] and not (signed and bearer(request) is None):
        token, tokens = bearer(request), request.app[TOKENS]
        if token is None and account_of(request) is None:
            raise AuthenticationError("this endpoint answers nothing without a token", status=401)
        if token is not None and not tokens.is_known(token):
            raise AuthenticationError("Invalid credentials in Authorization header", status=401)
    return await handler(request)


def _challenge(request: web.Request) -> str:
    """The authentication challenge (RFC 9110, 11.6.1): on ``Basic``, git and git-lfs ask their credential helpers.

    Everyone else gets ``Bearer``: on ``Basic``, browsers would ask for a password, which only the git routes accept.
    """
    agent = request.headers.get("User-Agent", "").lower()
    basic = is_git(request.path) or agent.startswith(("git/", "git-lfs/", "jgit/", "go-git/"))
    return f'{"Basic" if basic else "Bearer"} realm="xet", charset="UTF-8"'


def _is_ending(error: Exception) -> bool:
    """Whether a worker pool refused work because the program is ending, which can happen while requests still come in."""
    return isinstance(error, RuntimeError) and "cannot schedule new futures" in str(error)


async def _is_gone(request: web.Request) -> bool:
    """Whether the repository of the route is gone now; an error while it was being removed or renamed proves nothing."""
    if "name" not in request.match_info:
        return False
    repo = requested_repo(request)
    return not await in_worker(request, request.app[REPOS].has, repo)
