"""The local endpoint's aiohttp application: the Hub's and the CAS's interface over a directory."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import msgspec
from aiohttp import web

from pyxet.errors import ConfigError, FormatError, RemoteError, XetError
from pyxet.server import cas, hub_commit, hub_refs, hub_repos, hub_resolve, hub_tree
from pyxet.server.content import ContentStore
from pyxet.server.git_store import GitStore
from pyxet.server.state import CONTENT, MAIN_USER, REPOS, TOKENS, WORKERS, json_response
from pyxet.server.tokens import Account, Tokens

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

# Commits carry regular files in base64, and a xorb is slightly over 64 MiB.
_MAX_BODY: Final = 512 * 1024 * 1024
_WORKERS: Final = 8


def create_app(root: Path, *, user: str, token: str) -> web.Application:
    """The application over ``root``, which is made if needed and locked for this process.

    Parameters
    ----------
    root:
        Directory of the repositories and the store.
    user, token:
        The account that runs the endpoint and may write everywhere.

    Raises
    ------
    ConfigError
        The directory is in use by another process, cannot be used, or has a newer format.
    """
    lock = _lock(root)
    app = web.Application(client_max_size=_MAX_BODY, middlewares=[_errors])
    app[MAIN_USER] = user
    app[WORKERS] = ThreadPoolExecutor(_WORKERS, thread_name_prefix="xet-endpoint")
    app[TOKENS] = Tokens.open(root)
    app[TOKENS].add_account(token, Account(user, "write"))
    app[CONTENT] = ContentStore(root)
    app[REPOS] = GitStore(root / "repos")

    async def lifetime(_: web.Application) -> AsyncIterator[None]:
        yield
        app[WORKERS].shutdown()
        app[CONTENT].close()
        os.close(lock)

    app.cleanup_ctx.append(lifetime)
    for part in (cas, hub_repos, hub_refs, hub_tree, hub_commit, hub_resolve):
        part.add_routes(app)
    return app


def _lock(root: Path) -> int:
    """Hold the directory for this process; the system lets go of it however the process ends."""
    try:
        root.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigError(f"the directory {root} cannot be used: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise ConfigError(f"another process serves {root}; connect to its URL instead") from error
    return descriptor


@web.middleware
async def _errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Typed errors as the answers that clients understand."""
    try:
        return await handler(request)
    except RemoteError as error:
        return _error_response(error.status or 400, error.message, error.code)
    except FormatError as error:
        return _error_response(400, str(error))
    except XetError as error:
        return _error_response(400, str(error))
    except ValueError as error:
        return _error_response(400, f"the request makes no sense: {error}")
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return _error_response(507, "the endpoint's disk is full; nothing was stored")
        raise


def _error_response(status: int, message: str, code: str | None = None) -> web.Response:
    headers = {"X-Error-Message": " ".join(message.split())[:500].encode("ascii", "replace").decode()}
    if code:
        headers["X-Error-Code"] = code
    return json_response(msgspec.json.encode({"error": message}), status=status, headers=headers)
