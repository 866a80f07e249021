"""Clone, fetch, pull and push over HTTP: these routes check the caller's rights and run git's own server program.

The protocol is git's "smart" one (gitprotocol-http(5)).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec
from aiohttp import web

from pyxet.errors import AccessDeniedError, BadRequestError, RemoteError, ServerError
from pyxet.server.bodies import pieces
from pyxet.server.file_limits import LIMITS
from pyxet.server.git_hooks import Verdict, answer_hooks, install_hooks
from pyxet.server.git_objects import LfsPointer
from pyxet.server.git_process import GitProcess, finished
from pyxet.server.git_program import MAX_FETCH, MAX_PUSH, installed_git
from pyxet.server.git_proposals import Proposals
from pyxet.server.git_push import PushedObjects, ReferenceUpdate, move_references
from pyxet.server.git_quarantine import Quarantines
from pyxet.server.git_repository import Repository
from pyxet.server.hub_commit import MAX_LINE
from pyxet.server.hub_repos import PREFIX, REPO
from pyxet.server.privacy import own_umask
from pyxet.server.rights import UsableContents
from pyxet.server.state import (
    CONTENT,
    REPOS,
    account_of,
    in_worker,
    is_git,
    log,
    open_repo,
    writer_of,
)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

# The most git processes at once, and the most seconds that a request waits for one to be free.
_PROCESSES: Final = 16
_WAIT: Final = 120.0
# The most seconds without a byte from git, which reports progress every few seconds, or without one taken by the client.
_SILENCE: Final = 600.0
_PIECE: Final = 128 * 1024
_MAX_HEAD: Final = 16 * 1024
_PROTOCOL = re.compile(r"[A-Za-z0-9=:.,_-]{1,100}\Z")
_SERVICES: Final = ("git-upload-pack", "git-receive-pack")
SLOTS: Final = web.AppKey("git_slots", asyncio.Semaphore)
QUARANTINES: Final = web.AppKey("git_quarantines", Quarantines)
# Threads that check pushed objects: a large history takes long, and other requests must not wait for it.
PUSHES: Final = web.AppKey("git_pushes", ThreadPoolExecutor)
_PUSHES: Final = 2


def add_routes(app: web.Application) -> None:
    """Add the routes."""
    app[SLOTS] = asyncio.Semaphore(_PROCESSES)
    app[QUARANTINES] = Quarantines()
    app[PUSHES] = ThreadPoolExecutor(_PUSHES, thread_name_prefix="xet-endpoint", initializer=own_umask)
    app.on_cleanup.append(_stop)
    for kind in ("", f"/{PREFIX}"):
        base = f"{kind}/{REPO[:-1]}:[^/]+?}}{{git:(?:\\.git)?}}"
        app.router.add_get(f"{base}/info/refs", advertise)
        app.router.add_post(f"{base}/git-upload-pack", fetch)
        app.router.add_post(f"{base}/git-receive-pack", push)


async def _stop(app: web.Application) -> None:
    """Drop the checks of pushes that are not done: their git processes have ended, and git has dropped the pushes."""
    app[PUSHES].shutdown(wait=False, cancel_futures=True)


@web.middleware
async def errors_for_git(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Errors as git shows them to its users: plain text."""
    response = await handler(request)
    if response.status < 400 or not is_git(request.path) or not isinstance(response, web.Response):
        return response
    body = response.body
    if response.content_type == "application/json" and isinstance(body, bytes):
        response.content_type, response.charset = "text/plain", "utf-8"
        response.body = f"{msgspec.json.decode(body)['error']}\n".encode()
    return response


async def advertise(request: web.Request) -> web.StreamResponse:
    """``GET …/info/refs?service=git-upload-pack|git-receive-pack``: the references there are, for a fetch or a push."""
    service = request.query.get("service", "")
    if service not in _SERVICES:
        repo = await open_repo(request, challenge=True)
        raise BadRequestError(f"{repo.id} is served to git 1.6.6 and later only (its smart protocol)", status=403)
    if service == "git-receive-pack":
        repo, _ = await _open_for_push(request)
    else:
        repo = await open_repo(request, challenge=True)
    return await _serve(request, repo, "/info/refs", limit=0)


async def fetch(request: web.Request) -> web.StreamResponse:
    """``POST …/git-upload-pack``: a fetch."""
    repo = await open_repo(request, challenge=True)
    _check_type(request, "git-upload-pack")
    return await _serve(request, repo, "/git-upload-pack", limit=MAX_FETCH)


async def push(request: web.Request) -> web.StreamResponse:
    """``POST …/git-receive-pack``: a push."""
    repo, only_of = await _open_for_push(request)
    _check_type(request, "git-receive-pack")
    async with request.app[QUARANTINES].receiving(repo.path / "objects", partial(in_worker, request)):
        return await _serve(request, repo, "/git-receive-pack", limit=MAX_PUSH, hooks=_hooks_of(request, repo, only_of))


async def _open_for_push(request: web.Request) -> tuple[Repository, str | None]:
    """The repository; and the caller's name if they may push only to their own pull requests there, else ``None``."""
    try:
        return await open_repo(request, write=True, challenge=True), None
    except AccessDeniedError as error:
        refused = error
    repo = await open_repo(request, propose=True, challenge=True)
    user = writer_of(request).user
    if not await in_worker(request, Proposals(repo).has_open, user):
        raise refused
    return repo, user


def _check_type(request: web.Request, service: str) -> None:
    """Require git's content type: browsers keep passwords, but let no other site's page send this type without permission."""
    if request.content_type != f"application/x-{service}-request":
        raise BadRequestError(f"the body must be application/x-{service}-request", status=415)


def _hooks_of(request: web.Request, repo: Repository, only_of: str | None) -> Callable[[GitProcess], Awaitable[None]]:
    """A function that answers the hooks of a push; ``only_of`` as in `move_references`."""
    account = writer_of(request)
    content = request.app[CONTENT]
    usable = UsableContents(request, account, repo.id.path)
    limits = request.app[LIMITS]
    folders: list[Path] = []

    def missing(pointer: LfsPointer) -> bool:
        stored = usable(pointer.sha256)
        return stored is None or stored.size != pointer.size

    def look(name: str) -> Verdict:
        objects = PushedObjects(repo.path, repo.path / "objects" / name, MAX_LINE, limits)
        problems, contents = objects.check(missing)
        if problems:
            return Verdict(False, problems)
        folders.extend(objects.sync())
        # Before a branch moves: even after a crash, the index must list the repository as a holder of all content it names.
        content.index.add_holders(contents, repo.id.path)
        return Verdict(True)

    async def check(_: Sequence[ReferenceUpdate], quarantine: str | None) -> Verdict:
        if quarantine is None:
            return Verdict(True)
        try:
            return await asyncio.get_running_loop().run_in_executor(request.app[PUSHES], look, quarantine)
        except RemoteError as error:
            return Verdict(False, [error.message])

    async def move(updates: Sequence[ReferenceUpdate], atomic: bool) -> Sequence[str | None]:
        try:
            return await in_worker(
                request, partial(move_references, repo, updates, folders, atomic=atomic, only_of=only_of)
            )
        except RemoteError as error:
            return [error.message] * len(updates)

    return partial(answer_hooks, check=check, move=move)


async def _serve(
    request: web.Request,
    repo: Repository,
    path: str,
    *,
    limit: int,
    hooks: Callable[[GitProcess], Awaitable[None]] | None = None,
) -> web.StreamResponse:
    """Have git answer a request about a repository; ``limit`` as in `pieces`."""
    run: Callable[..., Any] = partial(in_worker, request)
    git = await run(installed_git)
    folder = await run(install_hooks, request.app[REPOS].hooks)
    async with _slot(request):
        account = account_of(request)
        variables = git.serving(repo.path, folder) | {
            "REQUEST_METHOD": request.method,
            "PATH_INFO": path,
            "QUERY_STRING": f"service={request.query['service']}" if path == "/info/refs" else "",
            "CONTENT_TYPE": request.headers.get("Content-Type", ""),
            "REMOTE_ADDR": request.remote or "",
            **({"REMOTE_USER": account.user} if account else {}),
        }
        protocol = request.headers.get("Git-Protocol", "")
        if _PROTOCOL.match(protocol):
            variables["GIT_PROTOCOL"] = protocol
        process = GitProcess()
        answering: asyncio.Future[None] | None = None
        try:
            await process.start([git.path, "http-backend"], variables, run, hooks=hooks is not None)
            if hooks is not None:
                answering = asyncio.ensure_future(hooks(process))
            await _feed(request, process, limit)
            return await _answer(request, process)
        finally:
            await finished(process.end(run))
            if answering is not None:
                await _stopped(answering, request)


def _slot(request: web.Request) -> _Slot:
    return _Slot(request.app[SLOTS])


class _Slot:
    """One of the processes that may run at once."""

    def __init__(self, slots: asyncio.Semaphore) -> None:
        self._slots = slots

    async def __aenter__(self) -> None:
        try:
            async with asyncio.timeout(_WAIT):
                await self._slots.acquire()
        except TimeoutError:
            raise ServerError("too many clones and pushes at once; try again in a moment", status=503) from None

    async def __aexit__(self, *_: object) -> None:
        self._slots.release()


async def _feed(request: web.Request, process: GitProcess, limit: int) -> None:
    """Pass the body to a process. If it stops reading, read the rest anyway: its answer still has to reach the client."""
    reads = True
    if limit:
        async for piece in pieces(request, limit):
            if reads:
                try:
                    async with asyncio.timeout(_SILENCE):
                        await process.write(piece)
                except ConnectionError:
                    reads = False
    process.end_input()


async def _answer(request: web.Request, process: GitProcess) -> web.StreamResponse:
    """Pass on what a process answers: the head as in CGI (RFC 3875, 6), then the body as it comes."""
    status, headers = await _head(process)
    if status >= 400:
        raise RemoteError(f"git refuses this request ({await _short(process)})", status=status)
    response = web.StreamResponse(status=status, headers=headers)
    piece = await _read(process)
    if not piece and not await process.succeeds(partial(in_worker, request)):
        # Git sends the content type first, and only then finds that it cannot read the request.
        raise BadRequestError(f"git cannot read this request ({await _short(process)})", status=400)
    await response.prepare(request)
    while piece:
        try:
            async with asyncio.timeout(_SILENCE):
                await response.write(piece)
        except TimeoutError:
            raise ConnectionError("the client has stopped reading") from None
        piece = await _read(process)
    return response


async def _head(process: GitProcess) -> tuple[int, dict[str, str]]:
    status, size = 200, 0
    headers: dict[str, str] = {}
    while True:
        try:
            async with asyncio.timeout(_SILENCE):
                line = await process.output.readline()
        except TimeoutError:
            raise ServerError("git does not answer", status=504) from None
        size += len(line)
        if not line or size > _MAX_HEAD:
            log.error("git failed: %s", await process.told())
            raise ServerError("git failed; the endpoint's log says more", status=500)
        name, _, value = line.decode("latin-1").strip().partition(":")
        if not name:
            return status, headers
        if name.lower() == "status":
            status = int(value.split()[0])
        else:
            headers[name] = value.strip()


async def _read(process: GitProcess) -> bytes:
    try:
        async with asyncio.timeout(_SILENCE):
            return await process.output.read(_PIECE)
    except TimeoutError:
        raise ConnectionError("git has stopped answering") from None


async def _short(process: GitProcess) -> str:
    return (await process.told()).partition("\n")[0][:200] or "it gave no reason"


async def _stopped(answering: asyncio.Future[None], request: web.Request) -> None:
    """Stop answering the hooks of a process that has ended, and log an error if answering them failed."""
    answering.cancel()
    await asyncio.wait([answering])
    with suppress(asyncio.CancelledError, ConnectionError, asyncio.IncompleteReadError):
        if (error := answering.exception()) is not None and not isinstance(error, ConnectionError):
            log.error("%s %s: the hooks of a push failed", request.method, request.path, exc_info=error)
