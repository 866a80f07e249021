"""Hub routes that write: preupload, which says how to upload each file, and commit."""

from __future__ import annotations

import base64
import binascii
import codecs
import mmap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeAlias

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
from pyxet.server.bodies import read_message, spooled
from pyxet.server.content import StoredContent
from pyxet.server.file_limits import LIMITS, FileLimits
from pyxet.server.git_objects import LfsPointer, check_path
from pyxet.server.git_pack import BLOB, NewObjects
from pyxet.server.git_proposals import Proposals, number_of
from pyxet.server.git_repository import Repository
from pyxet.server.hub_discussions import open_writable, wants_pull_request
from pyxet.server.hub_repos import KIND, REPO, REV, web_url
from pyxet.server.late_commits import Attempt, in_its_time
from pyxet.server.patterns import MAX_RULES, Ignored, LfsRules
from pyxet.server.rights import UsableContents
from pyxet.server.state import CONTENT, in_worker, json_response, writer_of

Body: TypeAlias = bytes | mmap.mmap
Usable: TypeAlias = Callable[[str], StoredContent | None]
_Line: TypeAlias = tuple[str, object]
MAX_REGULAR: Final = 1024 * 1024
# From this number of lines on, the blobs of a commit are written as a pack.
_MANY: Final = 32
# Maximum lines, and bytes of lines, whose contents are looked up together: lines may carry files and stay in memory meanwhile.
_LOOKED_UP: Final = 250
_HELD: Final = 4 * 1024 * 1024
# Maximum bytes of a commit, which carries regular files in base64, and of one line of it.
_MAX_COMMIT: Final = 512 * 1024 * 1024
MAX_LINE: Final = 64 * 1024 * 1024


def add_routes(app: web.Application) -> None:
    """Add the routes."""
    base = f"/api/{KIND}/{REPO}"
    app.router.add_post(f"{base}/preupload/{REV}", preupload)
    app.router.add_post(f"{base}/commit/{REV}", commit)


async def preupload(request: web.Request) -> web.Response:
    """``POST …/preupload/{rev}``: ``.gitattributes`` decides first, then size, then whether the sample is text."""
    repo = await open_writable(request)
    asked = await read_message(request, Preupload, what="preupload")
    for file in asked.files:
        request.app[LIMITS].check_size(file.path, file.size)
    modes = await in_worker(request, _modes, repo, request.match_info["rev"], asked)
    return json_response(encode(PreuploadAnswer(files=modes)))


def _modes(repo: Repository, revision: str, asked: Preupload) -> list[PreuploadMode]:
    head = repo.resolve(revision)

    def rules_in(path: str, sent: str | None) -> bytes:
        # A .gitattributes that is about to be uploaded takes precedence over the committed one.
        if sent is not None:
            return sent.encode(errors="replace")
        entry = repo.entry(head, path)
        return repo.blob(entry.oid) if entry and entry.is_file and entry.blob_size <= MAX_RULES else b""

    rules = LfsRules(rules_in(".gitattributes", asked.git_attributes))
    ignored = Ignored(rules_in(".gitignore", asked.git_ignore))
    answer = []
    for file in asked.files:
        there = repo.entry(head, check_path(file.path))
        oid = None
        if there and there.is_file:
            oid = there.lfs.sha256 if there.lfs else there.oid
        mode = "lfs" if _is_lfs(file, rules) else "regular"
        answer.append(
            PreuploadMode(
                path=file.path,
                upload_mode=mode,  # type: ignore[arg-type]  # one of its two values, see above
                should_ignore=file.path in ignored,
                oid=oid,
            )
        )
    return answer


def _is_lfs(file: PreuploadFile, rules: LfsRules) -> bool:
    said = rules.lfs(file.path)
    if said is not None:
        return said
    try:
        sample = base64.b64decode(file.sample, validate=True)
    except ValueError as error:
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


async def commit(request: web.Request) -> web.Response:
    """``POST …/commit/{rev}``: NDJSON of a header and operations. A commit that changes nothing answers with the head.

    With ``create_pr`` the commit opens a new pull request. Its parent commit is the one in the header, or the branch's head.
    """
    repo = await open_writable(request)
    account = writer_of(request)
    branch = request.match_info["rev"].removeprefix("refs/heads/")
    content, limits = request.app[CONTENT], request.app[LIMITS]
    usable = UsableContents(request, account, repo.id.path)
    publish = _propose if wants_pull_request(request) else _commit
    number: int | None = None

    async def make(attempt: Attempt) -> str:
        nonlocal number
        async with spooled(request, _MAX_COMMIT, content.xorbs.scratch) as body:
            await attempt.arrived(_operations(body))

            def store() -> tuple[str, int | None]:
                # A few objects are cheapest as files of their own, many in a pack.
                with repo.objects(many=_many_lines(body)) as objects:
                    wanted = _read_commit(objects, usable, body, limits)
                    # Before the branch moves, so that a repository always holds the content that its commits name.
                    content.index.add_holders(wanted.contents, repo.id.path)
                    attempt.begin()
                    return publish(repo, branch, wanted, objects, account.user, limits)

            made, number = await in_worker(request, store)
            return made

    made = await in_its_time(request, make)
    url = web_url(request, repo.id)
    proposal = None if number is None else f"{url}/discussions/{number}"
    answer = CommitAnswer(commit_oid=made, commit_url=f"{url}/commit/{made}", pull_request_url=proposal)
    return json_response(encode(answer))


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A commit as a request describes it: paths and their new blobs, folders to delete, contents that the commit names."""

    header: CommitHeader
    changes: dict[str, str | None]
    folders: list[str]
    contents: set[str]

    @property
    def message(self) -> str:
        """Title and description."""
        return f"{self.header.summary}\n\n{self.header.description}".strip()


def _commit(
    repo: Repository, branch: str, wanted: _Wanted, objects: NewObjects, user: str, limits: FileLimits
) -> tuple[str, None]:
    """Commit to a branch, or to an open pull request."""
    number = number_of(branch)
    made = repo.commit(
        branch,
        wanted.changes,
        wanted.folders,
        objects,
        message=wanted.message,
        user=user,
        parent=wanted.header.parent_commit,
        most_entries=limits.folder_entries,
        check=(lambda: None) if number is None else partial(Proposals(repo).check_writable, number),
    )
    return made, None


def _propose(
    repo: Repository, branch: str, wanted: _Wanted, objects: NewObjects, user: str, limits: FileLimits
) -> tuple[str, int]:
    """Open a pull request with a commit; returns that commit and the number of the pull request."""
    made = ""

    def commit(reference: str) -> None:
        nonlocal made
        made = repo.commit(
            reference,
            wanted.changes,
            wanted.folders,
            objects,
            message=wanted.message,
            user=user,
            parent=None,
            most_entries=limits.folder_entries,
        )
        if made == begun:
            raise BadRequestError("a pull request of this commit would change nothing", status=400)

    header = wanted.header
    begun = header.parent_commit or str(repo.head(branch).id)
    number = Proposals(repo).open(header.summary, header.description, user, base=branch, start=begun, commit=commit)
    return made, number


def _read_commit(objects: NewObjects, usable: UsableContents, body: Body, limits: FileLimits) -> _Wanted:
    header: CommitHeader | None = None
    changes: dict[str, str | None] = {}
    folders: list[str] = []
    contents: set[str] = set()

    def pointer(path: str, oid: str, size: int | None) -> bytes:
        contents.add(oid)
        found = _pointer(usable, path, oid, size)
        limits.check_size(path, found.size)
        return found.format()

    for key, value in _operands(body, usable):
        match value:
            case CommitHeader():
                header = value
            case CommitFile():
                data = _regular(value)
                written = LfsPointer.parse(data)
                if written is not None:
                    # Readers treat this file as an LFS pointer, so it is checked like any LFS file.
                    data = pointer(value.path, written.sha256, written.size)
                changes[check_path(value.path)] = objects.add(BLOB, data)
            case CommitLfsFile():
                if value.algo != "sha256":
                    raise BadRequestError(f"{value.path}: {value.algo!r} is not a known algorithm", status=400)
                changes[check_path(value.path)] = objects.add(BLOB, pointer(value.path, value.oid, value.size))
            case CommitDeletedPath() if key == "deletedFolder":
                folders.append(value.path.removesuffix("/"))
            case CommitDeletedPath():
                changes[value.path] = None
    if header is None or not header.summary.strip():
        raise BadRequestError("a commit needs a header with a summary", status=400)
    return _Wanted(header, changes, folders, contents)


def _operands(body: Body, usable: UsableContents) -> Iterator[_Line]:
    """Keys and values of all lines. Contents that some of them name are looked up together, a few hundred lines at a time."""
    some: list[_Line] = []
    size = 0

    def prepared() -> list[_Line]:
        usable.prepare([value.oid for _, value in some if isinstance(value, CommitLfsFile)])
        return some

    for number, line in enumerate(_lines(body), 1):
        outer = decode(line, CommitLine, what=f"commit line {number}")
        if outer.key not in COMMIT_KEYS:
            raise BadRequestError(f"commit line {number}: {outer.key!r} is not an operation", status=400)
        value = decode(memoryview(outer.value), COMMIT_KEYS[outer.key], what=f"commit line {number}")
        some.append((outer.key, value))
        size += len(line)
        if len(some) >= _LOOKED_UP or size >= _HELD:
            yield from prepared()
            some, size = [], 0
    yield from prepared()


def _many_lines(body: Body) -> bool:
    at = -1
    for _ in range(_MANY + 1):
        at = body.find(b"\n", at + 1)
        if at < 0:
            return False
    return True


def _operations(body: Body) -> int:
    """Number of lines of a commit without its header."""
    at, found = -1, 0
    while (at := body.find(b"\n", at + 1)) >= 0:
        found += 1
    return found


def _lines(body: Body) -> Iterator[memoryview]:
    """The lines of NDJSON, without a copy of the whole body."""
    view = memoryview(body)
    at = 0
    while at < len(body):
        end = body.find(b"\n", at)
        end = len(body) if end < 0 else end
        if end - at > MAX_LINE:
            raise BadRequestError(
                f"a line of a commit has at most {MAX_LINE:,} bytes; larger files are LFS files", status=413
            )
        if body[at : min(end, at + 100)].strip():
            yield view[at:end]
        at = end + 1


def _regular(file: CommitFile) -> bytes:
    if file.encoding == "utf-8":
        return file.content.encode()
    try:
        return binascii.a2b_base64(file.content, strict_mode=True)
    except ValueError as error:
        raise BadRequestError(f"{file.path}: the content is not base64", status=400) from error


def _pointer(usable: Usable, path: str, oid: str, size: int | None) -> LfsPointer:
    stored = usable(oid)
    if stored is None:
        raise BadRequestError(f"{path}: content {oid} was not uploaded", status=400)
    if size is not None and size != stored.size:
        raise BadRequestError(f"{path}: content {oid} has {stored.size:,} bytes, not {size:,}", status=400)
    return LfsPointer(oid, stored.size)
