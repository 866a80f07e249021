"""Hub routes that change repositories as a whole: move, duplicate, settings, and sharing content with another repository."""

from __future__ import annotations

from aiohttp import web

from pyxet.errors import AccessDeniedError, AlreadyExistsError, BadRequestError, RepositoryNotFoundError
from pyxet.protocol.messages import (
    DuplicatedRepo,
    DuplicateFailure,
    DuplicateFile,
    DuplicateFiles,
    DuplicateFilesAnswer,
    DuplicateRepo,
    MoveRepo,
    RepoSettings,
    encode,
)
from pyxet.server.bodies import read_message
from pyxet.server.hub_repos import KIND, REPO, named_repo, web_url
from pyxet.server.people import Right
from pyxet.server.state import CONTENT, MAIN_USER, REPOS, SUSPENDED, in_worker, json_response, open_repo, writer_of
from pyxet.types import RepoId


def add_routes(app: web.Application) -> None:
    """Add the routes."""
    base = f"/api/{KIND}/{REPO}"
    app.router.add_post("/api/repos/move", move_repo)
    app.router.add_put(f"{base}/settings", change_settings)
    app.router.add_post(f"{base}/duplicate", duplicate_repo)
    app.router.add_post(f"{base}/lfs-files/duplicate", duplicate_files)


async def move_repo(request: web.Request) -> web.Response:
    """``POST /api/repos/move``: the old name redirects from then on; 409 if a repository with the new name exists."""
    writer_of(request)
    wanted = await read_message(request, MoveRepo, what="move repository")
    repo, new = _named(wanted.type, wanted.from_repo), _named(wanted.type, wanted.to_repo)
    writer_of(request, repo, right=Right.ADMIN)
    writer_of(request, new)
    repos, index = request.app[REPOS], request.app[CONTENT].index

    def move() -> None:
        def prepare() -> None:
            index.forget_holder(new.path)
            index.copy_holder(repo.path, new.path)
            # Windows does not move a folder while a listing has files in it open.
            request.app[SUSPENDED].forget()

        repos.rename(repo, new, prepare=prepare)
        # Include what was uploaded during the move.
        index.copy_holder(repo.path, new.path)
        index.forget_holder(repo.path)

    await in_worker(request, move)
    return json_response(b"{}")


async def change_settings(request: web.Request) -> web.Response:
    """``PUT …/settings``: who sees the repository. Settings for gated or protected repositories are errors here."""
    repo = await open_repo(request, admin=True)
    wanted = await read_message(request, RepoSettings, what="settings")
    if wanted.gated not in (None, False):
        raise BadRequestError("this endpoint has no gated repositories; make it private instead", status=400)
    private = _private(wanted.visibility, wanted.private)
    if private is not None:
        await in_worker(request, repo.set_private, private)
    return json_response(b"{}")


async def duplicate_repo(request: web.Request) -> web.Response:
    """``POST …/duplicate``: copy a repository to another name, sharing its content; 409 with the URL if that name exists."""
    repo = await open_repo(request)
    writer_of(request)
    wanted = await read_message(request, DuplicateRepo, what="duplicate repository")
    copy = _named(repo.id.singular, wanted.repository)
    writer_of(request, copy)
    private = _private(wanted.visibility, None)
    index = request.app[CONTENT].index

    def duplicate() -> None:
        def prepare() -> None:
            index.forget_holder(copy.path)
            index.copy_holder(repo.id.path, copy.path)

        request.app[REPOS].duplicate(repo.id, copy, private=private, prepare=prepare)

    url = encode(DuplicatedRepo(url=web_url(request, copy)))
    try:
        await in_worker(request, duplicate)
    except AlreadyExistsError:
        return json_response(url[:-1] + b',"error":"this repository already exists"}', status=409)
    return json_response(url)


async def duplicate_files(request: web.Request) -> web.Response:
    """``POST …/lfs-files/duplicate``: another repository holds some of this one's content from now on, and may commit it."""
    repo = await open_repo(request)
    account = writer_of(request)
    wanted = await read_message(request, DuplicateFiles, what="duplicate files")
    asked = _named(wanted.target.type, wanted.target.name)
    content, repos = request.app[CONTENT], request.app[REPOS]
    try:
        target = await in_worker(request, repos.current, asked)
        writer_of(request, target)
    except (RepositoryNotFoundError, AccessDeniedError):
        # Without the right to write there, a caller learns neither whether that repository exists nor its current name.
        writer_of(request, asked)
        raise
    everything = account.user == request.app[MAIN_USER] and not account.repos

    def check(file: DuplicateFile) -> str | None:
        stored = content.find_by_sha256(file.sha256)
        if stored is None or not (everything or repo.id.path in content.index.holders(file.sha256)):
            return f"{repo.id} has no content with this sha256"
        return None if stored.xet_hash == file.xet_hash else f"its Xet hash is {stored.xet_hash}"

    def duplicate() -> list[DuplicateFailure]:
        errors = {file.sha256: check(file) for file in wanted.files}
        content.index.add_holders([name for name, error in errors.items() if error is None], target.path)
        return [DuplicateFailure(sha256=name, error=error) for name, error in errors.items() if error is not None]

    return json_response(encode(DuplicateFilesAnswer(failed=await in_worker(request, duplicate))))


def _named(kind: str, full_name: str) -> RepoId:
    owner, _, name = full_name.partition("/")
    return named_repo(kind, owner, name)


def _private(visibility: str | None, private: bool | None) -> bool | None:
    if visibility == "protected":
        raise BadRequestError("this endpoint knows public and private repositories", status=400)
    return private if visibility is None else visibility == "private"
