"""The Git-LFS routes of every repository: the batch API, and objects as plain bytes behind signed URLs.

``git lfs`` and ``huggingface_hub`` push and pull large files here. What is pushed is cut into chunks and deduplicated while
it arrives, and what is pulled is put together from them, so it is the same content that other clients see. Clients that
know the transfers `UPLOAD` and `DOWNLOAD` get a Xet token instead, and move chunks.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Final, TypeVar

from aiohttp import web

from pyxet.errors import BadRequestError, EntryNotFoundError
from pyxet.protocol.lfs import (
    MEDIA_TYPE,
    LfsAction,
    LfsActions,
    LfsAnswer,
    LfsBatch,
    LfsBatchAnswer,
    LfsFailure,
    LfsObject,
)
from pyxet.protocol.messages import decode, encode
from pyxet.secrets import Secret
from pyxet.server.bodies import read_body, read_message, receive
from pyxet.server.content import MAX_SHARD_CONTENT, StoredContent
from pyxet.server.git_repository import Repository
from pyxet.server.hosts import absolute
from pyxet.server.hub_repos import PREFIX
from pyxet.server.people import Scope
from pyxet.server.plain_upload import PlainUpload
from pyxet.server.ranges import send_part
from pyxet.server.rights import Rights, UsableContents
from pyxet.server.state import (
    CONTENT,
    TOKENS,
    account_of,
    claims_of,
    error_response,
    in_checker,
    in_worker,
    open_repo,
)
from pyxet.server.tokens import ObjectAction, ObjectClaims

Handler = TypeVar("Handler", bound=Callable[..., object])

BASIC: Final = "basic"
# Names of custom transfers. Some agents that announce the first name support uploads only, so downloads have another name.
UPLOAD: Final = "xet"
DOWNLOAD: Final = "xet-download"
_REPO: Final = r"{owner}/{name:[^/]+?}{git:(?:\.git)?}/info/lfs"
_OBJECT: Final = "/v1/lfs/{oid:[0-9a-f]{64}}"
_OID = re.compile(r"[0-9a-f]{64}\Z")
# Maximum objects of one request; git-lfs asks for 100 at a time, huggingface_hub for 256.
_MAX_OBJECTS: Final = 1000


def add_routes(app: web.Application) -> None:
    """Add the routes."""
    for repo in (f"/{PREFIX}/{_REPO}", f"/{_REPO}"):
        app.router.add_post(f"{repo}/objects/batch", batch)
        app.router.add_get(f"{repo}/locks", locks)
        app.router.add_post(f"{repo}/locks{{rest:(?:/.+)?}}", locks)
    # aiohttp answers HEAD with the same handler.
    app.router.add_get(_OBJECT, get_object)
    app.router.add_put(_OBJECT, put_object)
    app.router.add_post(_OBJECT, verify_object)


def takes_signed_url(request: web.Request) -> bool:
    """Whether the request is for an object, whose URL is checked instead of a token."""
    return request.match_info.handler in (get_object, put_object, verify_object)


@web.middleware
async def lfs_errors(request: web.Request, handler: Callable[..., object]) -> web.StreamResponse:
    """Errors of the routes in the form that git-lfs reads, which asks for a token where there is none."""
    response: web.StreamResponse = await handler(request)  # type: ignore[misc]  # a coroutine function
    if response.status < 400 or not isinstance(response, web.Response) or not _is_lfs(request):
        return response
    if response.status == 401:
        response.headers["LFS-Authenticate"] = 'Basic realm="Xet"'
    if isinstance(response.body, bytes) and response.body.startswith(b'{"error":'):
        # git-lfs shows "message", others read "error".
        response.body = (
            b'{"message":' + response.body.removeprefix(b'{"error":').removesuffix(b"}") + b"," + response.body[1:]
        )
        response.content_type = MEDIA_TYPE
    return response


def _is_lfs(request: web.Request) -> bool:
    return "/info/lfs/" in request.path or takes_signed_url(request)


async def batch(request: web.Request) -> web.Response:
    """``POST …/info/lfs/objects/batch``: how each of some objects is to be uploaded or downloaded."""
    repo = await open_repo(request, challenge=True)
    asked = await read_message(request, LfsBatch, what="LFS batch")
    if asked.operation == "upload":
        # git says which branch it pushes to; huggingface_hub may be about to propose a change.
        pushes = asked.ref is not None and asked.ref.name.startswith("refs/heads/")
        await open_repo(request, write=pushes, propose=not pushes)
    if asked.hash_algo != "sha256":
        raise BadRequestError(f"objects are named by their sha256, not by {asked.hash_algo[:40]!r}", status=409)
    if len(asked.objects) > _MAX_OBJECTS:
        raise BadRequestError(f"at most {_MAX_OBJECTS:,} objects at once", status=413)
    answers = _Answers(request, repo, asked)
    found = await in_worker(request, lambda: [answers.to(item) for item in asked.objects])
    body = encode(LfsBatchAnswer(transfer=answers.transfer, objects=found))
    return web.Response(body=body, content_type=MEDIA_TYPE)


class _Answers:
    """What one batch request is answered."""

    def __init__(self, request: web.Request, repo: Repository, asked: LfsBatch) -> None:
        self._repo = repo.id
        self._base = absolute(request, "/v1/lfs/")
        self._tokens = request.app[TOKENS]
        self._content = request.app[CONTENT]
        account = account_of(request)
        self._usable = UsableContents(request, account, self._repo.path)
        self._uploads = asked.operation == "upload"
        wanted = UPLOAD if self._uploads else DOWNLOAD
        scope: Scope = "write" if self._uploads else "read"
        self._claims = claims_of(request, account, self._repo, scope)
        self.transfer = wanted if wanted in asked.transfers else BASIC
        self._header: dict[str, Secret] = {}
        self._token_url = absolute(request, f"/api/{self._repo.kind}/{self._repo.full_name}/xet-{scope}-token/main")
        if self.transfer != BASIC:
            token, expires = self._tokens.mint_for(self._claims)
            told = {
                "X-Xet-Cas-Url": absolute(request, ""),
                "X-Xet-Access-Token": token,
                "X-Xet-Token-Expiration": str(expires),
            }
            self._header = {name: Secret(value) for name, value in told.items()}
            self._expires_in = int(self._tokens.token_life)

    def to(self, item: LfsObject) -> LfsAnswer:
        """The answer for one object."""
        answer = LfsAnswer(oid=item.oid, size=item.size, authenticated=True)
        if not _OID.match(item.oid):
            answer.error = LfsFailure(code=422, message="an object's name is its sha256: 64 hex digits in lower case")
            return answer
        stored = self._usable(item.oid)
        if stored is not None and stored.size != item.size:
            answer.error = LfsFailure(code=422, message=f"this object has {stored.size:,} bytes, not {item.size:,}")
        elif self._uploads and stored is not None:
            # No actions: the client has nothing to upload. The next push will name this content, so the repository holds it now.
            self._content.hold(stored, self._repo.path)
        elif self._uploads and item.size > MAX_SHARD_CONTENT:
            answer.error = LfsFailure(code=413, message=f"an object has at most {MAX_SHARD_CONTENT:,} bytes")
        elif self._uploads:
            upload = self._by_token() if self._header else self._signed("upload", item)
            answer.actions = LfsActions(upload=upload, verify=self._signed("verify", item))
        elif stored is None:
            answer.error = LfsFailure(code=404, message="the object is not in this repository")
        else:
            download = self._by_token(stored) if self._header else self._signed("download", item)
            answer.actions = LfsActions(download=download)
        return answer

    def _signed(self, action: ObjectAction, item: LfsObject) -> LfsAction:
        ticket = self._tokens.object_ticket(ObjectClaims(action, item.oid, item.size, self._claims))
        return LfsAction(href=Secret(f"{self._base}{item.oid}?ticket={ticket}"), expires_in=int(self._tokens.url_life))

    def _by_token(self, stored: StoredContent | None = None) -> LfsAction:
        """With a Xet token and, for a download, the file's hash; ``href`` gives another token."""
        header = self._header if stored is None else {**self._header, "X-Xet-Hash": Secret(stored.xet_hash)}
        return LfsAction(href=Secret(self._token_url), header=header, expires_in=self._expires_in)


async def locks(request: web.Request) -> web.Response:
    """``…/info/lfs/locks…``: there are none. After a 501 git-lfs stops asking; after a 404 it would complain."""
    await open_repo(request, challenge=True)
    return error_response(501, "this endpoint has no file locks")


async def get_object(request: web.Request) -> web.StreamResponse:
    """``GET`` and ``HEAD /v1/lfs/{oid}``: an object that the URL is signed for, with single ranges."""
    claims, _ = await _claimed(request, "download", "read")
    stored = await in_worker(request, request.app[CONTENT].find_by_sha256, claims.sha256)
    if stored is None:
        raise EntryNotFoundError(f"object {claims.sha256} is not stored any more", status=404)
    headers = {"ETag": f'"{stored.sha256}"', "Accept-Ranges": "bytes", "Content-Type": "application/octet-stream"}
    if request.method == "HEAD":
        return web.Response(headers=headers | {"Content-Length": str(stored.size)})
    return await send_part(request, headers, stored.size, partial(request.app[CONTENT].read, stored.xet_hash))


async def put_object(request: web.Request) -> web.Response:
    """``PUT /v1/lfs/{oid}``: an object that the URL is signed for; 422 if something else comes."""
    claims, rights = await _claimed(request, "upload", "write")
    upload = PlainUpload(request.app[CONTENT], rights.may_use)
    try:
        await receive(request, upload.write, claims.size)
        finish = partial(upload.finish, claims.sha256, claims.size, repo=rights.repo, user=rights.user)
        await in_checker(request, finish)
    finally:
        await in_worker(request, upload.close)
    return web.Response()


async def verify_object(request: web.Request) -> web.Response:
    """``POST /v1/lfs/{oid}``: whether an object was uploaded; 404 if not."""
    claims, rights = await _claimed(request, "verify", "write")
    asked = decode(await read_body(request), LfsObject, what="LFS verify")
    if (asked.oid, asked.size) != (claims.sha256, claims.size):
        raise BadRequestError("the URL is signed for another object", status=422)
    usable = UsableContents(request, rights.account, rights.repo)
    stored = await in_worker(request, usable, claims.sha256)
    if stored is None or stored.size != claims.size:
        raise EntryNotFoundError(f"object {claims.sha256} was not uploaded", status=404)
    return web.Response()


async def _claimed(request: web.Request, action: ObjectAction, scope: Scope) -> tuple[ObjectClaims, Rights]:
    """What the URL is signed for, and the rights of whom it was signed for: the repository may be theirs no more."""
    claims = request.app[TOKENS].check_ticket(request.query.get("ticket", ""), action, request.match_info["oid"])
    rights = Rights(request, scope, claims.claims)
    await in_worker(request, lambda: rights.repo)
    return claims, rights
