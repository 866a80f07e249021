"""Hub routes of writing: how a file is to be uploaded, and the commit."""

from __future__ import annotations

import base64
import binascii
import codecs
import fnmatch

from aiohttp import web

from pyxet.errors import BadRequestError
from pyxet.protocol.messages import (
    COMMIT_KEYS,
    CommitAnswer,
    CommitDeletedPath,
    CommitFile,
    CommitHeader,
    CommitLfsFile,
    CommitLine,
    Preupload,
    PreuploadAnswer,
    PreuploadFile,
    PreuploadMode,
    decode,
    encode,
)
from pyxet.server.content import ContentStore
from pyxet.server.git_store import LfsPointer, Repository, check_path
from pyxet.server.hub_repos import KIND, REPO, web_url
from pyxet.server.state import CONTENT, in_worker, json_response, open_repo, writer_of

MAX_REGULAR = 1024 * 1024


def add_routes(app: web.Application) -> None:
    """Add the routes."""
    base = f"/api/{KIND}/{REPO}"
    app.router.add_post(f"{base}/preupload/{{rev}}", preupload)
    app.router.add_post(f"{base}/commit/{{rev}}", commit)


async def preupload(request: web.Request) -> web.Response:
    """``POST …/preupload/{rev}``: ``.gitattributes`` decides first, then size, then whether the sample is text."""
    repo = open_repo(request, write=True)
    asked = decode(await request.read(), Preupload, what="preupload")
    modes = await in_worker(request, _modes, repo, request.match_info["rev"], asked)
    return json_response(encode(PreuploadAnswer(files=modes)))


def _modes(repo: Repository, revision: str, asked: Preupload) -> list[PreuploadMode]:
    head = repo.resolve(revision)
    attributes = asked.git_attributes
    if attributes is None:
        stored = repo.entry(head, ".gitattributes")
        attributes = repo.blob(stored.oid).decode(errors="replace") if stored and not stored.is_folder else ""
    rules = [line.split() for line in attributes.splitlines() if line.strip() and not line.startswith("#")]
    ignored = [line.strip() for line in (asked.git_ignore or "").splitlines() if line.strip() and line[0] != "#"]
    answer = []
    for file in asked.files:
        there = repo.entry(head, check_path(file.path))
        oid = None
        if there and not there.is_folder:
            oid = there.lfs.sha256 if there.lfs else there.oid
        mode = "lfs" if _is_lfs(file, rules) else "regular"
        answer.append(
            PreuploadMode(
                path=file.path,
                upload_mode=mode,  # type: ignore[arg-type]
                should_ignore=any(_matches(file.path, pattern.rstrip("/")) for pattern in ignored),
                oid=oid,
            )
        )
    return answer


def _is_lfs(file: PreuploadFile, rules: list[list[str]]) -> bool:
    for pattern, *settings in reversed(rules):
        if _matches(file.path, pattern):
            if "filter=lfs" in settings:
                return True
            if "-filter" in settings or "!filter" in settings:
                return False
    try:
        sample = base64.b64decode(file.sample, validate=True)
    except binascii.Error as error:
        raise BadRequestError(f"{file.path}: the sample is not base64", status=400) from error
    return file.size > MAX_REGULAR or not _is_text(sample)


def _is_text(sample: bytes) -> bool:
    if b"\0" in sample:
        return False
    try:
        # Not final: the sample may end in the middle of a character.
        codecs.getincrementaldecoder("utf-8")().decode(sample)
    except UnicodeDecodeError:
        return False
    return True


def _matches(path: str, pattern: str) -> bool:
    """Git's rule in short: a pattern without a slash is for names, one with a slash for paths, a folder covers all in it."""
    if "/" not in pattern.strip("/"):
        return any(fnmatch.fnmatchcase(part, pattern.strip("/")) for part in path.split("/"))
    pattern = pattern.lstrip("/")
    return fnmatch.fnmatchcase(path, pattern.replace("/**", "/*")) or path.startswith(f"{pattern}/")


async def commit(request: web.Request) -> web.Response:
    """``POST …/commit/{rev}``: NDJSON of a header and operations. A commit that changes nothing answers with the head."""
    repo = open_repo(request, write=True)
    user = writer_of(request).user
    branch = request.match_info["rev"].removeprefix("refs/heads/")
    body = await request.read()
    made = await in_worker(request, _commit, repo, request.app[CONTENT], branch, body, user)
    url = f"{web_url(request, repo.id)}/commit/{made}"
    return json_response(encode(CommitAnswer(commit_oid=made, commit_url=url)))


def _commit(repo: Repository, content: ContentStore, branch: str, body: bytes, user: str) -> str:
    header: CommitHeader | None = None
    changes: dict[str, bytes | None] = {}
    folders: list[str] = []
    for number, line in enumerate(body.splitlines(), 1):
        if not line.strip():
            continue
        outer = decode(line, CommitLine, what=f"commit line {number}")
        if outer.key not in COMMIT_KEYS:
            raise BadRequestError(f"commit line {number}: {outer.key!r} is not an operation", status=400)
        value = decode(bytes(outer.value), COMMIT_KEYS[outer.key], what=f"commit line {number}")
        match value:
            case CommitHeader():
                header = value
            case CommitFile():
                changes[value.path] = _regular(value)
            case CommitLfsFile():
                changes[value.path] = _pointer(content, value)
            case CommitDeletedPath() if outer.key == "deletedFolder":
                folders.append(value.path.rstrip("/"))
            case CommitDeletedPath():
                changes[value.path] = None
    if header is None or not header.summary.strip():
        raise BadRequestError("a commit needs a header with a summary", status=400)
    message = f"{header.summary}\n\n{header.description}".strip()
    return repo.commit(branch, changes, folders, message=message, user=user, parent=header.parent_commit)


def _regular(file: CommitFile) -> bytes:
    if file.encoding == "utf-8":
        return file.content.encode()
    try:
        return base64.b64decode(file.content, validate=True)
    except binascii.Error as error:
        raise BadRequestError(f"{file.path}: the content is not base64", status=400) from error


def _pointer(content: ContentStore, file: CommitLfsFile) -> bytes:
    stored = content.find_by_sha256(file.oid)
    if stored is None:
        raise BadRequestError(f"{file.path}: content {file.oid} was not uploaded", status=400)
    if file.size is not None and file.size != stored.size:
        raise BadRequestError(
            f"{file.path}: content {file.oid} has {stored.size:,} bytes, not {file.size:,}", status=400
        )
    return LfsPointer(file.oid, stored.size).format()
