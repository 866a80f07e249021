"""Hub routes of accounts and repositories: who am I, create, delete, info, list."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from aiohttp import web

from pyxet.errors import AlreadyExistsError, AuthenticationError, BadRequestError
from pyxet.protocol.messages import (
    CreateRepo,
    DeleteRepo,
    LfsSibling,
    OrganizationRef,
    RepoInfo,
    RepoUrl,
    Sibling,
    WhoAmI,
    decode,
    encode,
)
from pyxet.server.git_store import Repository
from pyxet.server.state import (
    MAIN_USER,
    REPOS,
    account_of,
    in_worker,
    json_response,
    open_repo,
    owns,
    writer_of,
)
from pyxet.urls import RepoId, RepoKind, XetURL

KIND = "{kind:models|datasets|spaces}"
REPO = "{owner}/{name}"
_PAGE = 1000
_KINDS: dict[str, RepoKind] = {"model": "models", "dataset": "datasets", "space": "spaces"}


def add_routes(app: web.Application) -> None:
    """Add the routes."""
    app.router.add_get("/api/whoami-v2", whoami)
    app.router.add_get("/api/agent-harnesses", agent_harnesses)
    app.router.add_post("/api/validate-yaml", validate_yaml)
    app.router.add_post("/api/repos/create", create_repo)
    app.router.add_delete("/api/repos/delete", delete_repo)
    app.router.add_get(f"/api/{KIND}", list_repos)
    app.router.add_get(f"/api/{KIND}/{REPO}", repo_info)
    app.router.add_get(f"/api/{KIND}/{REPO}/revision/{{rev}}", repo_info)


async def whoami(request: web.Request) -> web.Response:
    """``GET /api/whoami-v2``: the user and the names that belong to them."""
    account = account_of(request)
    if account is None:
        raise AuthenticationError("this needs a token", status=401)
    owners = await in_worker(request, request.app[REPOS].owners) if account.user == request.app[MAIN_USER] else []
    orgs = [OrganizationRef(name=owner) for owner in owners if owner != account.user]
    return json_response(encode(WhoAmI(name=account.user, fullname=account.user, orgs=orgs)))


async def agent_harnesses(_: web.Request) -> web.Response:
    """``GET /api/agent-harnesses``: none."""
    return json_response(b'{"standardEnvVars":[],"harnesses":{}}')


async def validate_yaml(_: web.Request) -> web.Response:
    """``POST /api/validate-yaml``: this endpoint makes no demands on a README."""
    return json_response(b'{"errors":[],"warnings":[]}')


async def create_repo(request: web.Request) -> web.Response:
    """``POST /api/repos/create``; 409 with the URL if it exists."""
    wanted = decode(await request.read(), CreateRepo, what="create repository")
    account = writer_of(request)
    repo = _named(wanted.type, wanted.organization or account.user, wanted.name)
    writer_of(request, repo.owner)
    private = wanted.private if wanted.private is not None else wanted.visibility == "private"
    url = encode(RepoUrl(url=web_url(request, repo)))
    try:
        await in_worker(request, lambda: request.app[REPOS].create(repo, user=account.user, private=bool(private)))
    except AlreadyExistsError:
        return json_response(url[:-1] + b',"error":"this repository already exists"}', status=409)
    return json_response(url)


async def delete_repo(request: web.Request) -> web.Response:
    """``DELETE /api/repos/delete``."""
    wanted = decode(await request.read(), DeleteRepo, what="delete repository")
    account = writer_of(request)
    repo = _named(wanted.type, wanted.organization or account.user, wanted.name)
    writer_of(request, repo.owner)
    await in_worker(request, request.app[REPOS].delete, repo)
    return json_response(b"{}")


async def list_repos(request: web.Request) -> web.Response:
    """``GET /api/{kind}``: repositories that the caller may see, by name, in pages."""
    account = account_of(request)
    query = request.query
    limit = min(int(query.get("limit", _PAGE)), _PAGE)
    after = query.get("cursor", "")

    def collect() -> list[RepoInfo]:
        found: list[RepoInfo] = []
        for repo in request.app[REPOS].repos(request.match_info["kind"]):
            if repo.full_name <= after or query.get("author", repo.owner) != repo.owner:
                continue
            if query.get("search", "").lower() not in repo.full_name.lower():
                continue
            opened = request.app[REPOS].open(repo)
            if not opened.private or owns(request, account, repo.owner):
                found.append(_info(opened, "main"))
            if len(found) > limit:
                break
        return found

    found = await in_worker(request, collect)
    headers = {}
    if len(found) > limit:
        found = found[:limit]
        following = request.url.update_query(cursor=found[-1].id)
        headers["Link"] = f'<{following}>; rel="next"'
    return json_response(encode(found), headers=headers)


async def repo_info(request: web.Request) -> web.Response:
    """``GET /api/{kind}/{repo}[/revision/{rev}]``: with the files unless certain fields are asked for."""
    repo = open_repo(request)
    revision = request.match_info.get("rev", "main")
    expand = request.query.getall("expand", [])
    siblings = not expand or "siblings" in expand
    info = await in_worker(request, lambda: _info(repo, revision, siblings, request.query.get("blobs") == "true"))
    return json_response(encode(info), headers={"X-Repo-Commit": info.sha or ""})


def web_url(request: web.Request, repo: RepoId) -> str:
    """The repository's page, as clients parse it."""
    return f"{request.url.origin()}/{repo.path}"


def timestamp(seconds: float) -> str:
    """A moment as the Hub writes it; clients insist on the ``Z``."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def _named(kind: str, owner: str, name: str) -> RepoId:
    if kind not in _KINDS:
        raise BadRequestError(f"{kind!r} is not a kind of repository: {', '.join(_KINDS)}", status=400)
    repo = RepoId(_KINDS[kind], owner, name)
    if XetURL.parse(repo.path).repo_id != repo:
        raise BadRequestError(f"{repo} is not a valid name of a repository", status=400)
    return repo


def _info(repo: Repository, revision: str, siblings: bool = False, blobs: bool = False) -> RepoInfo:
    commit = repo.resolve(revision)
    return RepoInfo(
        id=repo.id.full_name,
        sha=str(commit.id),
        author=repo.id.owner,
        last_modified=timestamp(commit.commit_time),
        created_at=timestamp(repo.created),
        private=repo.private,
        siblings=list(_siblings(repo, commit, blobs)) if siblings else None,
    )


def _siblings(repo: Repository, commit: object, blobs: bool) -> Iterator[Sibling]:
    for entry in repo.entries(commit, "", recursive=True):  # type: ignore[arg-type]  # pygit2 stays in the store
        if entry.is_folder:
            continue
        if not blobs:
            yield Sibling(rfilename=entry.path)
            continue
        lfs = (
            LfsSibling(sha256=entry.lfs.sha256, size=entry.lfs.size, pointer_size=entry.blob_size)
            if entry.lfs
            else None
        )
        yield Sibling(rfilename=entry.path, size=entry.size, blob_id=entry.oid, lfs=lfs)
