"""Hub routes of accounts and repositories: who am I, create, delete, info, list."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from aiohttp import web

from pyxet.errors import (
    AlreadyExistsError,
    AuthenticationError,
    BadRequestError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from pyxet.protocol.dates import format_date
from pyxet.protocol.messages import (
    Authentication,
    CreateRepo,
    DeleteRepo,
    LfsSibling,
    OrganizationRef,
    RepoInfo,
    RepoUrl,
    Sibling,
    TokenInfo,
    WhoAmI,
    encode,
)
from pyxet.server.bodies import read_message
from pyxet.server.first_files import first_files
from pyxet.server.git_repository import Repository
from pyxet.server.hosts import absolute, next_page
from pyxet.server.names import valid_repo
from pyxet.server.people import Right
from pyxet.server.state import (
    CONTENT,
    MAIN_USER,
    REPOS,
    SUSPENDED,
    account_of,
    in_worker,
    json_response,
    may_see,
    open_repo,
    people,
    query_number,
    writer_of,
)
from pyxet.types import KINDS, PREFIXED_KINDS, RepoId, RepoKind

KIND = f"{{kind:{'|'.join(KINDS)}}}"
PREFIX = f"{{kind:{'|'.join(PREFIXED_KINDS)}}}"
REPO = "{owner}/{name}"
# Any single segment: "/" arrives escaped, and the repository decides which revisions are valid.
REV, BRANCH = "{rev:[^/]+}", "{branch:[^/]+}"
PATH = "{path:(?s:.+)}"
# The path of a repository without an owner, and what may follow its name.
_NO_OWNER = re.compile(
    rf"/api/(?:{'|'.join(KINDS)})/(?P<api>[^/]+)(?:/(?:auth-check|branch|commit|commits|discussions|duplicate|lfs-files|paths-info|"
    r"preupload|refs|revision|settings|super-squash|tag|tree|xet-read-token|xet-write-token)(?:/.*)?)?\Z"
    rf"|(?:/(?:{'|'.join(PREFIXED_KINDS)}))?/(?P<web>[^/]+)/resolve/.+",
    re.S,
)
_PAGE = 1000
_SORTS: dict[str, Callable[[RepoInfo], str]] = {
    "createdAt": lambda info: info.created_at or "",
    "created_at": lambda info: info.created_at or "",
    "lastModified": lambda info: info.last_modified or "",
    "last_modified": lambda info: info.last_modified or "",
}
_KINDS: dict[str, RepoKind] = {kind.removesuffix("s"): kind for kind in KINDS}


def add_routes(app: web.Application) -> None:
    """Add the routes."""
    app.router.add_get("/api/whoami-v2", whoami)
    app.router.add_get("/api/agent-harnesses", agent_harnesses)
    app.router.add_post("/api/validate-yaml", validate_yaml)
    app.router.add_post("/api/repos/create", create_repo)
    app.router.add_delete("/api/repos/delete", delete_repo)
    app.router.add_get(f"/api/{KIND}", list_repos)
    app.router.add_get(f"/api/{KIND}/{REPO}", repo_info)
    app.router.add_get(f"/api/{KIND}/{REPO}/revision/{REV}", repo_info)
    app.router.add_get(f"/api/{KIND}/{REPO}/auth-check", auth_check)
    app.router.add_get(f"/api/{KIND}/{REPO}/auth-check/write", auth_check)


def name_without_owner(request: web.Request) -> str | None:
    """The repository name without an owner in a request that no route matches, if any: here every repository has an owner."""
    match = _NO_OWNER.match(request.path)
    return match and (match["api"] or match["web"])


async def whoami(request: web.Request) -> web.Response:
    """``GET /api/whoami-v2``: the user and the names that belong to them."""
    account = account_of(request)
    if account is None:
        raise AuthenticationError("this needs a token", status=401)
    known = people(request)
    roles: dict[str, str] = dict(known.orgs_of(account.user))
    if account.user == request.app[MAIN_USER]:
        # All owners that belong to nobody else belong to this user.
        owners = await in_worker(request, request.app[REPOS].owners)
        everything = {*owners, *known.orgs} - {account.user, *known.users}
        roles = dict.fromkeys(sorted(everything), "admin")
    orgs = [OrganizationRef(name=name, role_in_org=role) for name, role in roles.items()]
    role = "fineGrained" if account.repos else account.scope
    token = TokenInfo(display_name=account.name or account.user, role=role)
    answer = WhoAmI(
        name=account.user, fullname=account.user, orgs=orgs, auth=Authentication(access_token=token)
    )  # fmt: skip
    return json_response(encode(answer))


async def agent_harnesses(_: web.Request) -> web.Response:
    """``GET /api/agent-harnesses``: none."""
    return json_response(b'{"standardEnvVars":[],"harnesses":{}}')


async def validate_yaml(_: web.Request) -> web.Response:
    """``POST /api/validate-yaml``: this endpoint makes no demands on a README."""
    return json_response(b'{"errors":[],"warnings":[]}')


async def create_repo(request: web.Request) -> web.Response:
    """``POST /api/repos/create``; 409 with the URL if it exists."""
    account = writer_of(request)
    wanted = await read_message(request, CreateRepo, what="create repository")
    repo = named_repo(wanted.type, wanted.organization or account.user, wanted.name)
    writer_of(request, repo)
    private = wanted.private if wanted.private is not None else wanted.visibility == "private"
    url = encode(RepoUrl(url=web_url(request, repo)))
    index = request.app[CONTENT].index

    def create() -> None:
        # The new repository must not hold the content of an earlier one with the same name.
        request.app[REPOS].create(
            repo,
            user=account.user,
            private=bool(private),
            files=first_files(repo.kind),
            prepare=lambda: index.forget_holder(repo.path),
        )

    try:
        await in_worker(request, create)
    except AlreadyExistsError:
        return json_response(url[:-1] + b',"error":"this repository already exists"}', status=409)
    return json_response(url)


async def delete_repo(request: web.Request) -> web.Response:
    """``DELETE /api/repos/delete``."""
    account = writer_of(request)
    wanted = await read_message(request, DeleteRepo, what="delete repository")
    repo = named_repo(wanted.type, wanted.organization or account.user, wanted.name)
    writer_of(request, repo, right=Right.ADMIN)

    def delete() -> None:
        # A listing may have files of the repository open: they would keep their disk space, and Windows would not remove them.
        request.app[SUSPENDED].forget()
        request.app[REPOS].delete(repo)
        request.app[CONTENT].index.forget_holder(repo.path)

    await in_worker(request, delete)
    return json_response(b"{}")


async def auth_check(request: web.Request) -> web.Response:
    """``GET …/auth-check[/write]``: 200 if the caller may read, or write, the repository; else the usual error."""
    await open_repo(request, write=request.path.endswith("/write"))
    return json_response(b"{}")


async def list_repos(request: web.Request) -> web.Response:
    """``GET /api/{kind}``: repositories that the caller may see, by owner and name or as ``sort`` says, in pages."""
    account = account_of(request)
    query = request.query
    kind = request.match_info["kind"]
    limit = max(1, query_number(request, "limit", _PAGE, most=_PAGE))
    by_name = query.get("sort") not in _SORTS
    start = 0 if by_name else query_number(request, "cursor", 0)
    owner, _, name = query.get("cursor", "").partition("/")
    author = query.get("author")
    full = query.get("full") == "true" or "siblings" in query.getall("expand", [])

    def collect() -> list[RepoInfo]:
        found: list[RepoInfo] = []
        # No repository here has tags, so nothing passes a filter for one.
        if "filter" in query or (author is not None and valid_repo(kind, author, "x") is None):
            return found
        for repo in request.app[REPOS].repos(kind, author):
            if by_name and (repo.owner, repo.name) <= (owner, name):
                continue
            if query.get("search", "").lower() not in repo.full_name.lower():
                continue
            # Skip a repository that was deleted meanwhile.
            with suppress(RepositoryNotFoundError):
                opened = request.app[REPOS].open(repo)
                if may_see(request, account, opened):
                    found.append(_summary(opened, full))
            if by_name and len(found) > limit:
                break
        if not by_name:
            found.sort(key=_SORTS[query["sort"]], reverse=True)
        return found[start : start + limit + 1]

    found = await in_worker(request, collect)
    headers = {}
    if len(found) > limit:
        found = found[:limit]
        headers["Link"] = next_page(request, cursor=found[-1].id if by_name else start + limit)
    return json_response(encode(found), headers=headers)


async def repo_info(request: web.Request) -> web.Response:
    """``GET /api/{kind}/{repo}[/revision/{rev}]``: with the files, unless the request selects fields."""
    repo = await open_repo(request)
    revision = request.match_info.get("rev", "main")
    expand = request.query.getall("expand", [])
    siblings = not expand or "siblings" in expand
    blobs = request.query.get("blobs") == "true"

    def collect() -> RepoInfo:
        return _info(repo, repo.resolve(revision), siblings, blobs)

    info = await in_worker(request, collect)
    return json_response(await in_worker(request, encode, info), headers={"X-Repo-Commit": info.sha or ""})


def web_url(request: web.Request, repo: RepoId) -> str:
    """The URL of the repository's page, in the form that clients parse."""
    return absolute(request, f"/{repo.path}")


def named_repo(kind: str, owner: str, name: str) -> RepoId:
    """The repository that a message names; `BadRequestError` if the name is not valid."""
    if kind not in _KINDS:
        raise BadRequestError(f"{kind!r} is not a kind of repository: {', '.join(_KINDS)}", status=400)
    repo = valid_repo(_KINDS[kind], owner, name)
    if repo is None:
        raise BadRequestError(f"{owner}/{name} is not a valid name of a repository", status=400)
    return repo


def _summary(repo: Repository, siblings: bool) -> RepoInfo:
    """A repository's entry in a list, without a commit if it has no main branch (as may happen after a push)."""
    try:
        commit = repo.resolve("main")
    except RevisionNotFoundError:
        return RepoInfo(
            id=repo.id.full_name, author=repo.id.owner, created_at=format_date(repo.created), private=repo.private
        )
    return _info(repo, commit, siblings, False)


def _info(repo: Repository, commit: Any, siblings: bool, blobs: bool) -> RepoInfo:
    return RepoInfo(
        id=repo.id.full_name,
        sha=str(commit.id),
        author=repo.id.owner,
        last_modified=format_date(commit.commit_time),
        created_at=format_date(repo.created),
        private=repo.private,
        siblings=list(_siblings(repo, commit, blobs)) if siblings else None,
    )


def _siblings(repo: Repository, commit: Any, blobs: bool) -> Iterator[Sibling]:
    if not blobs:
        yield from (Sibling(rfilename=path) for path in repo.names(commit))
        return
    for entry in repo.entries(commit, "", recursive=True):
        if not entry.is_file:
            continue
        lfs = None
        if entry.lfs:
            lfs = LfsSibling(sha256=entry.lfs.sha256, size=entry.lfs.size, pointer_size=entry.blob_size)
        yield Sibling(rfilename=entry.path, size=entry.size, blob_id=entry.oid, lfs=lfs)
