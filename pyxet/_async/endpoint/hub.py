"""The Hub's HTTP interface: repositories, references, trees, commits."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote, unquote, urlencode

from pyxet._async.endpoint import listings
from pyxet._async.endpoint.listings import check_commit, check_name, checked_entries
from pyxet._async.http.addresses import web_address
from pyxet._async.http.messages import Answer, Body, is_transient
from pyxet._async.http.packed import PACKED
from pyxet._async.http.transport import Transport, is_refused
from pyxet._async.runtime.tasks import run_all
from pyxet.errors import (
    AlreadyExistsError,
    ConflictError,
    FormatError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
    XetURLError,
)
from pyxet.protocol.constants import MIB
from pyxet.protocol.dates import parse_date
from pyxet.protocol.hashing import Buffer
from pyxet.protocol.messages import (
    CommitAnswer,
    CommitInfo,
    CreateBranch,
    CreateRepo,
    CreateTag,
    DeleteRepo,
    DuplicatedRepo,
    DuplicateFile,
    DuplicateFiles,
    DuplicateFilesAnswer,
    DuplicateRepo,
    DuplicateTarget,
    LfsFileEntry,
    MoveRepo,
    PathsInfo,
    Preupload,
    PreuploadAnswer,
    PreuploadFile,
    PreuploadMode,
    Refs,
    RepoInfo,
    RepoSettings,
    TreeEntry,
    WhoAmI,
    XetToken,
    decode,
)
from pyxet.types import KINDS, Commit, LfsFile, RemoteFile, RepoId
from pyxet.urls import pull_request_number

Scope = Literal["read", "write"]
_MAX_PATHS = 500
# Requests for up to `_MAX_PATHS` paths each that one call sends at the same time.
_PAGES_AT_ONCE = 4
_MAX_PREUPLOAD = 256
_MAX_DUPLICATES = 500
# Maximum sizes of sensible answers in bytes: a page of a thousand entries; all branches and tags of a repository.
_MAX_PAGE = 16 * MIB
_MAX_REFS = 32 * MIB
_ABOUT = re.compile(
    rf"/api/({'|'.join(KINDS)})/([^/?]+)/([^/?]+)"
    r"(?:/(?:revision|tree|paths-info|commits|preupload|commit|xet-read-token|xet-write-token)/([^/?]+))?"
)
_NDJSON = "application/x-ndjson"


@dataclass(frozen=True, slots=True)
class TreePage:
    """Entries of a revision, and the commit that they were read from, if the endpoint reports it."""

    entries: list[TreeEntry]
    commit: str | None


class Hub:
    """The Hub's interface at one endpoint."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def whoami(self) -> WhoAmI:
        """The user of the token."""
        answer = await self._transport.request(
            "GET", "/api/whoami-v2", what="asking who the token belongs to", most=_MAX_PAGE
        )
        return decode(answer.body, WhoAmI, what="whoami")

    async def create_repo(self, repo: RepoId, *, private: bool, exist_ok: bool = False) -> None:
        """Make a repository. Raises `AlreadyExistsError` unless ``exist_ok``."""
        message = CreateRepo(
            name=repo.name,
            organization=repo.owner,
            type=repo.singular,
            visibility=_visibility(private),
            sdk="static" if repo.kind == "spaces" else None,
        )
        try:
            await self._creating("POST", "/api/repos/create", f"creating repository {repo}", Body.json(message))
        except AlreadyExistsError:
            if not exist_ok:
                raise

    async def delete_repo(self, repo: RepoId) -> None:
        """Delete a repository with all it holds."""
        message = DeleteRepo(name=repo.name, organization=repo.owner, type=repo.singular)
        what = f"deleting repository {repo}"
        await self._transport.request(
            "DELETE", "/api/repos/delete", what=what, body=Body.json(message), retry=is_refused
        )

    async def move_repo(self, repo: RepoId, new: RepoId) -> None:
        """Give a repository another name. Raises `AlreadyExistsError`."""
        message = MoveRepo(from_repo=repo.full_name, to_repo=new.full_name, type=repo.singular)
        await self._creating("POST", "/api/repos/move", f"renaming repository {repo} to {new}", Body.json(message))

    async def duplicate_repo(self, repo: RepoId, copy: RepoId, *, private: bool | None) -> DuplicatedRepo:
        """Make a copy of a repository, with its history. Raises `AlreadyExistsError`."""
        what = f"duplicating repository {repo} as {copy}"
        visibility = None if private is None else _visibility(private)
        body = Body.json(DuplicateRepo(repository=copy.full_name, visibility=visibility))
        answer = await self._creating("POST", f"{base_url(repo)}/duplicate", what, body)
        return decode(answer.body, DuplicatedRepo, what=what)

    async def change_settings(self, repo: RepoId, settings: RepoSettings) -> None:
        """Change those settings of a repository that are given."""
        what = f"changing settings of {repo}"
        await self.request("PUT", f"{base_url(repo)}/settings", what=what, body=Body.json(settings))

    async def duplicate_files(self, repo: RepoId, target: RepoId, files: Sequence[DuplicateFile]) -> dict[str, str]:
        """Make a repository's content available in a second one. Returns the sha256 of what could not be, and the reason."""
        failed: dict[str, str] = {}
        what = f"copying content of {repo} to {target}"
        place = DuplicateTarget(type=target.singular, name=target.full_name)
        for at in range(0, len(files), _MAX_DUPLICATES):
            body = Body.json(DuplicateFiles(target=place, files=list(files[at : at + _MAX_DUPLICATES])))
            url = f"{base_url(repo)}/lfs-files/duplicate"
            answer = await self.request("POST", url, what=what, body=body, most=_MAX_PAGE)
            failed |= {item.sha256: item.error for item in decode(answer.body, DuplicateFilesAnswer, what=what).failed}
        return failed

    async def list_repos(self, owner: str, kind: str) -> AsyncIterator[RepoInfo]:
        """The repositories of one kind that belong to an owner."""
        what = f"listing {kind} of {owner}"
        async for answer in self.pages(f"/api/{kind}", what, {"author": owner, "limit": "1000"}):
            for info in decode(answer.body, list[RepoInfo], what=what):
                check_name(info.id.rpartition("/")[2], what)
                yield info

    async def repo_info(self, repo: RepoId, revision: str | None = None) -> RepoInfo:
        """Information about a repository, without its files; ``sha`` is the commit of the revision."""
        path = base_url(repo) + (f"/revision/{_part(revision)}" if revision else "")
        fields = [("expand", name) for name in ("sha", "lastModified", "createdAt", "private", "author")]
        where = f"{repo}/{revision}" if revision else str(repo)
        answer = await self.request("GET", path, what=f"looking up {where}", params=fields)
        info = decode(answer.body, RepoInfo, what=f"info of {where}")
        check_commit(info.sha, f"looking up {where}")
        return info

    async def refs(self, repo: RepoId, *, pull_requests: bool = False) -> Refs:
        """Branches and tags, and references of pull requests if they are requested."""
        what = f"listing branches of {repo}"
        query = [("include_prs", "1")] if pull_requests else None
        answer = await self.request("GET", f"{base_url(repo)}/refs", what=what, params=query, most=_MAX_REFS)
        refs = decode(answer.body, Refs, what=what)
        for ref in (*refs.branches, *refs.tags, *refs.pull_requests):
            check_name(ref.name, what)
            check_commit(ref.target_commit, what)
        return refs

    async def branch_head(self, repo: RepoId, branch: str) -> str:
        """The commit that a branch, or a pull request's reference, is at now. Raises `RevisionNotFoundError`."""
        if (number := pull_request_number(branch)) is not None:
            return await self.pull_request_head(repo, number)
        for ref in (await self.refs(repo)).branches:
            if ref.name == branch:
                return ref.target_commit
        raise missing_branch(repo, branch)

    async def pull_request_head(self, repo: RepoId, number: int) -> str:
        """The commit that a pull request is at now. Raises `RevisionNotFoundError`."""
        try:
            commit = (await self.repo_info(repo, f"refs/pr/{number}")).sha
        except RevisionNotFoundError:
            commit = None
        if commit is None:
            raise missing_pull_request(repo, number)
        return commit

    async def create_branch(self, repo: RepoId, name: str, start: str | None) -> None:
        """Make a branch at a revision. Raises `AlreadyExistsError`."""
        path = f"{base_url(repo)}/branch/{_part(name)}"
        await self._creating(
            "POST", path, f"creating branch {name!r} of {repo}", Body.json(CreateBranch(starting_point=start))
        )

    async def delete_branch(self, repo: RepoId, name: str) -> None:
        """Delete a branch."""
        what = f"deleting branch {name!r} of {repo}"
        await self.request("DELETE", f"{base_url(repo)}/branch/{_part(name)}", what=what, retry=is_refused)

    async def create_tag(self, repo: RepoId, name: str, revision: str, message: str | None) -> None:
        """Make a tag at a revision. Raises `AlreadyExistsError`."""
        path = f"{base_url(repo)}/tag/{_part(revision)}"
        body = Body.json(CreateTag(tag=name, message=message))
        await self._creating("POST", path, f"creating tag {name!r} of {repo}", body)

    async def delete_tag(self, repo: RepoId, name: str) -> None:
        """Delete a tag."""
        what = f"deleting tag {name!r} of {repo}"
        await self.request("DELETE", f"{base_url(repo)}/tag/{_part(name)}", what=what, retry=is_refused)

    async def commits(self, repo: RepoId, revision: str) -> AsyncGenerator[Commit, None]:
        """Commits of a revision, newest first; pages are fetched as they are needed."""
        what = f"reading the log of {repo}/{revision}"
        async for answer in self.pages(f"{base_url(repo)}/commits/{_part(revision)}", what, {}):
            for info in decode(answer.body, list[CommitInfo], what=what):
                check_commit(info.id, what)
                yield _commit(info)

    async def squash(self, repo: RepoId, branch: str, message: str) -> None:
        """Replace the history of a branch by one commit."""
        url = f"{base_url(repo)}/super-squash/{_part(branch)}"
        what = f"squashing {repo}/{branch}"
        await self.request("POST", url, what=what, body=Body.json({"message": message}), retry=is_refused)

    async def lfs_files(self, repo: RepoId) -> AsyncGenerator[LfsFile, None]:
        """The large files in all of a repository's history; pages are fetched as they are needed."""
        what = f"listing large files of {repo}"
        async for answer in self.pages(f"{base_url(repo)}/lfs-files", what, {}):
            for entry in decode(answer.body, list[LfsFileEntry], what=what):
                yield LfsFile(entry.file_oid, entry.filename, entry.size, parse_date(entry.pushed_at), entry.ref)

    async def tree(
        self, repo: RepoId, revision: str, path: str = "", *, recursive: bool = False, expand: bool = False
    ) -> AsyncIterator[TreePage]:
        """The entries directly in a folder, or all entries below it, page by page."""
        what = f"listing {repo}/{revision}/{path}"
        url = f"{base_url(repo)}/tree/{_part(revision)}" + (f"/{_part(path)}" if path else "")
        query = {"recursive": _flag(recursive), "expand": _flag(expand)}
        async for answer in self.pages(url, what, query):
            entries = decode(answer.body, list[TreeEntry], what=what)
            entries = checked_entries(entries, what, folder=path, deep=recursive)
            yield TreePage(entries, _commit_of(answer, what))

    async def paths_info(
        self, repo: RepoId, revision: str, paths: Sequence[str], *, expand: bool = False
    ) -> TreePage:  # fmt: skip
        """The entries at some paths. Paths with nothing at them are left out."""
        what = (
            f"looking up {paths[0]!r} in {repo}/{revision}"
            if len(paths) == 1
            else f"looking up paths in {repo}/{revision}"
        )

        async def ask(asked: Sequence[str], at: str) -> tuple[Sequence[TreeEntry], str | None]:
            body = Body.json(PathsInfo(paths=list(asked), expand=expand))
            url = f"{base_url(repo)}/paths-info/{_part(at)}"
            answer = await self.request("POST", url, what=what, body=body, most=_MAX_PAGE)
            found = checked_entries(decode(answer.body, list[TreeEntry], what=what), what, paths=asked)
            return found, _commit_of(answer, what)

        if not paths:
            return TreePage([], None)
        # The first answer reports the commit, and the other requests name that.
        found, commit = await ask(paths[:_MAX_PATHS], revision)
        entries = list(found)
        parts = (paths[at : at + _MAX_PATHS] for at in range(_MAX_PATHS, len(paths), _MAX_PATHS))
        for found, _ in await run_all(lambda part: ask(part, commit or revision), parts, limit=_PAGES_AT_ONCE):
            entries += found
        return TreePage(entries, commit)

    async def preupload(
        self, repo: RepoId, branch: str, files: Sequence[PreuploadFile], *, propose: bool = False
    ) -> list[PreuploadMode]:
        """How the endpoint wants each file: as content of its own (``lfs``), or inside the commit (``regular``)."""
        modes: list[PreuploadMode] = []
        what = f"preparing an upload to {repo}/{branch}"
        for at in range(0, len(files), _MAX_PREUPLOAD):
            body = Body.json(Preupload(files=list(files[at : at + _MAX_PREUPLOAD])))
            url = f"{base_url(repo)}/preupload/{_part(branch)}{_proposing(propose)}"
            answer = await self.request("POST", url, what=what, body=body, most=_MAX_PAGE)
            modes += decode(answer.body, PreuploadAnswer, what=what).files
        return modes

    async def commit(
        self, repo: RepoId, branch: str, lines: Sequence[bytes], *, propose: bool = False
    ) -> CommitAnswer:  # fmt: skip
        """Make a commit, or ``propose`` it in a new pull request.

        The request is repeated only if it certainly was not carried out; callers handle other failures.
        """
        what = f"opening a pull request for {repo}/{branch}" if propose else f"committing to {repo}/{branch}"
        url = f"{base_url(repo)}/commit/{_part(branch)}{_proposing(propose)}"
        answer = await self.request("POST", url, what=what, body=Body(lines, _NDJSON), retry=is_refused)
        made = decode(answer.body, CommitAnswer, what=what)
        check_commit(made.commit_oid, what)
        return made

    async def xet_token(
        self,
        repo: RepoId,
        revision: str,
        scope: Scope,
        *,
        propose: bool = False,
        retry: Callable[[BaseException], bool] = is_transient,
    ) -> XetToken:
        """A token for the CAS. Buckets have no revisions. With ``propose``, content can be stored for a new pull request."""
        what = f"getting a {scope} token for {repo}"
        url = f"{base_url(repo)}/xet-{scope}-token" + ("" if repo.kind == "buckets" else f"/{_part(revision)}")
        answer = await self.request("GET", url + _proposing(propose), what=what, retry=retry)
        token = decode(answer.body, XetToken, what=what)
        web_address(token.cas_url, what=what)
        text = token.access_token.reveal()
        if not text.isascii() or not text.isprintable():
            raise FormatError(
                f"{what}: the endpoint's token has a line break or another character that is not allowed in a token"
            )
        return token

    def read_file(self, file: RemoteFile, start: int, end: int) -> AsyncGenerator[Buffer, None]:
        """Bytes ``start`` to before ``end`` of a file over plain HTTP, as it was at its commit."""
        prefix = "" if file.repo.kind == "models" else f"{file.repo.kind}/"
        url = f"/{prefix}{file.repo.full_name}/resolve/{_part(file.revision)}/{quote(file.path)}"
        what = f"reading {file.full_path}"
        return self._transport.ranged(url, start, end, what=what, redirect=True, total=file.size)

    async def request(self, method: str, url: str, *, what: str, **more: Any) -> Answer:
        """Send a request, and follow the redirect from the old name of a renamed repository."""
        try:
            return await self._transport.request(method, url, what=what, headers=PACKED, redirect=True, **more)
        except (RepositoryNotFoundError, RevisionNotFoundError) as error:
            error.about = _about(url)
            raise

    async def _creating(self, method: str, url: str, what: str, body: Body) -> Answer:
        try:
            return await self.request(method, url, what=what, body=body, retry=is_refused)
        except ConflictError as error:
            if error.status != 409:
                raise
            raise AlreadyExistsError(f"{what}: it already exists", status=409) from error

    def pages(self, url: str, what: str, query: dict[str, str]) -> AsyncGenerator[Answer, None]:
        """Pages of a listing, see `listings.pages`."""
        first = f"{url}?{urlencode(query)}" if query else url

        async def ask(page: str) -> Answer:
            return await self.request("GET", page, what=what, most=_MAX_PAGE)

        return listings.pages(first, ask, what)


def _about(url: str) -> tuple[RepoId, str | None] | None:
    """The repository, and the revision if there is one, that a URL of ours is about."""
    match = _ABOUT.match(url)
    if match is None:
        return None
    kind, owner, name, revision = match.groups()
    repo = RepoId(kind, owner, name)  # type: ignore[arg-type]  # the pattern has no other kinds
    return repo, unquote(revision) if revision else None


def _commit_of(answer: Answer, what: str) -> str | None:
    """The commit that an answer is about, if the endpoint reports it."""
    commit = answer.headers.get("X-Repo-Commit")
    check_commit(commit, what)
    return commit


def _commit(info: CommitInfo) -> Commit:
    message = f"{info.title}\n\n{info.message}" if info.message and info.message != info.title else info.title
    author = info.authors[0].user if info.authors else ""
    parents = tuple(info.parents) if info.parents is not None else None
    return Commit(info.id, message, author, parse_date(info.date), parents)


def base_url(repo: RepoId) -> str:
    """The path that the routes of a repository begin with."""
    return f"/api/{repo.kind}/{repo.full_name}"


def _proposing(propose: bool) -> str:
    return "?create_pr=1" if propose else ""


def _part(text: str) -> str:
    try:
        return quote(text, safe="")
    except UnicodeEncodeError:
        raise XetURLError(f"{text!a} is not UTF-8, and names of branches and tags must be") from None


def _visibility(private: bool) -> Literal["private", "public"]:
    return "private" if private else "public"


def _flag(value: bool) -> str:
    return "true" if value else "false"


def missing_pull_request(repo: RepoId, number: int) -> RevisionNotFoundError:
    """The error for a pull request that does not exist."""
    message = f"{repo} has no pull request {number}; fs.list_pull_requests({repo.path!r}) lists them"
    return RevisionNotFoundError(message, status=404, code="RevisionNotFound")


def missing_branch(repo: RepoId, branch: str) -> RevisionNotFoundError:
    """The error for writing to a branch that does not exist."""
    message = f"{repo} has no branch {branch!r}; make it with fs.make_branch({repo.path!r}, 'main', {branch!r})"
    error = RevisionNotFoundError(message, status=404, code="RevisionNotFound")
    error.about = (repo, branch)
    return error
