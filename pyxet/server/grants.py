"""Upload grants: a client announces a xorb, sends it to a URL that is signed for just these bytes, and commits it.

A grant is only a signature, so the server stores nothing for it. A xorb that was sent with a grant waits some minutes for its
commit, and a restart loses it; then the commit answers 404, and the client asks for another grant.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from pyxet.errors import AccessDeniedError, BadRequestError, ConflictError, EntryNotFoundError
from pyxet.protocol.cas_messages import Checksum, GrantRequest, UploadGrant, XorbInserted
from pyxet.protocol.messages import decode, encode
from pyxet.secrets import Secret
from pyxet.server.bodies import read_body
from pyxet.server.hosts import absolute
from pyxet.server.ingest import XorbUpload
from pyxet.server.receiving import MAX_XORB_BODY, is_known, keep, receive_xorb
from pyxet.server.rights import Rights
from pyxet.server.state import CONTENT, TOKENS, WORKERS, in_worker, json_response

_HASH: Final = "{hash:[0-9a-f]{64}}"
_GRANT: Final = "{grant:[0-9a-f-]{1,100}}"
_ALGORITHM: Final = "crc64nvme"
# Maximum size of an announcement, in bytes.
_MAX_REQUEST: Final = 64 * 1024
# Maximum xorbs of one user, and of all users, that wait for their commit; each is an open file of up to 64 MiB. Clients commit
# at once, so about as many wait as there are requests under way.
_PER_USER: Final = 128
_TOTAL: Final = 256
# Seconds that a xorb waits for its commit.
_PATIENCE: Final = 900.0
# Header that the client has to send with the xorb, as storage services require for their signed URLs.
_HEADER: Final = "X-Checksum-Crc64nvme"


def add_routes(app: web.Application) -> None:
    """Add the routes of grants."""
    app[WAITING] = Waiting()
    app.router.add_post(f"/v1/xorb-grants/default/{_HASH}", post_grant)
    app.router.add_put(f"/v1/xorb-uploads/default/{_HASH}/grant/{_GRANT}", put_xorb)
    app.router.add_post(f"/v1/xorb-commits/default/{_HASH}/grant/{_GRANT}", post_commit)
    app.cleanup_ctx.append(_closing)


def takes_signed_url(request: web.Request) -> bool:
    """Whether the request sends a xorb to a signed URL, where the signature is checked instead of a token."""
    return request.method == "PUT" and request.match_info.handler is put_xorb


@dataclass(slots=True)
class _Arrived:
    owner: str
    upload: XorbUpload
    timer: asyncio.TimerHandle


class Waiting:
    """Xorbs that came by a grant and are not committed yet, by the grant's id.

    Parameters
    ----------
    per_user, total:
        Maximum number of xorbs of one user, and of all users. A further xorb replaces the oldest one.
    patience:
        Seconds after which a xorb that was not committed is dropped.
    """

    def __init__(self, per_user: int = _PER_USER, total: int = _TOTAL, patience: float = _PATIENCE) -> None:
        self.per_user = per_user
        self.total = total
        self.patience = patience
        self._arrived: dict[str, _Arrived] = {}
        self._owned: Counter[str] = Counter()

    def __contains__(self, grant: str) -> bool:
        return grant in self._arrived

    def __len__(self) -> int:
        return len(self._arrived)

    def add(self, request: web.Request, grant: str, owner: str, upload: XorbUpload) -> None:
        """Keep an upload until it is taken, unless there is already one for this grant."""
        while self._owned[owner] >= self.per_user:
            self._drop(request.app, next(key for key, other in self._arrived.items() if other.owner == owner))
        while len(self._arrived) >= self.total:
            self._drop(request.app, next(iter(self._arrived)))
        timer = asyncio.get_running_loop().call_later(self.patience, self._drop, request.app, grant)
        self._arrived[grant] = _Arrived(owner, upload, timer)
        self._owned[owner] += 1

    def take(self, grant: str) -> XorbUpload | None:
        """Remove and return the upload of a grant; from then on the caller has to close it."""
        found = self._arrived.pop(grant, None)
        if found is None:
            return None
        found.timer.cancel()
        self._owned[found.owner] -= 1
        if not self._owned[found.owner]:
            del self._owned[found.owner]
        return found.upload

    def _drop(self, app: web.Application, grant: str) -> None:
        upload = self.take(grant)
        if upload is not None:
            app[WORKERS].submit(upload.close)


WAITING: Final = web.AppKey("waiting", Waiting)


async def _closing(app: web.Application) -> AsyncIterator[None]:
    yield
    waiting = app[WAITING]
    for grant in list(waiting._arrived):
        # The workers have ended by now, and there are only a few files to close.
        if (upload := waiting.take(grant)) is not None:
            upload.close()


async def post_grant(request: web.Request) -> web.Response:
    """``POST /v1/xorb-grants/default/{hash}``: 201 with a grant, or 200 where the xorb is stored already."""
    rights = Rights(request, "write")
    repo = await in_worker(request, lambda: rights.repo)
    asked = decode(await read_body(request, _MAX_REQUEST), GrantRequest, what="the announcement of a xorb")
    checksum = _number(asked.checksum)
    if not asked.length:
        raise BadRequestError("a xorb cannot have 0 bytes", status=400)
    if asked.length > MAX_XORB_BODY:
        raise BadRequestError(f"a xorb has at most {MAX_XORB_BODY:,} bytes", status=413)
    name, tokens = request.match_info["hash"], request.app[TOKENS]
    if await in_worker(request, is_known, request.app[CONTENT], rights, name):
        return json_response(b"{}")
    grant = tokens.new_grant(name, rights.user, repo)
    query = tokens.signed_upload(name, grant, asked.length, checksum)
    answer = UploadGrant(
        id=grant,
        method="PUT",
        url=Secret(absolute(request, f"/v1/xorb-uploads/default/{name}/grant/{grant}?{query}")),
        headers={"If-None-Match": Secret("*"), _HEADER: Secret(str(checksum))},
    )
    return json_response(encode(answer), status=201)


def _number(checksum: Checksum) -> int:
    if checksum.algo != _ALGORITHM:
        raise BadRequestError(f"the checksum has to be of {_ALGORITHM}, not {checksum.algo[:40]!r}", status=400)
    text = checksum.value
    if not (text.isascii() and text.isdigit() and len(text) <= 20 and int(text) < 2**64):
        raise BadRequestError("the checksum is not a decimal number of 64 bits", status=400)
    return int(text)


async def put_xorb(request: web.Request) -> web.Response:
    """The URL of a grant: accepts only the announced bytes. 412 if they have arrived already."""
    name, grant = request.match_info["hash"], request.match_info["grant"]
    length, checksum = request.app[TOKENS].check_upload(name, grant, request.query)
    if request.headers.get(_HEADER) != str(checksum):
        raise AccessDeniedError(f"the URL is signed together with the header {_HEADER}: {checksum}", status=403)
    if request.content_length not in (None, length):
        raise BadRequestError(f"{length:,} bytes were announced, not {request.content_length:,}", status=400)
    waiting = request.app[WAITING]
    _check_first(waiting, grant)
    upload = await receive_xorb(request, checksum=True)
    try:
        if (upload.size, upload.crc64) != (length, checksum):
            raise BadRequestError("these are not the bytes that were announced: their checksum differs", status=400)
        # The same xorb may have arrived on another connection meanwhile.
        _check_first(waiting, grant)
    except BaseException:
        await in_worker(request, upload.close)
        raise
    waiting.add(request, grant, request.app[TOKENS].grant_owner(grant), upload)
    return web.Response()


def _check_first(waiting: Waiting, grant: str) -> None:
    if grant in waiting:
        raise ConflictError("the xorb was already uploaded with this grant", status=412)


async def post_commit(request: web.Request) -> web.Response:
    """``POST /v1/xorb-commits/default/{hash}/grant/{grant}``: the uploaded xorb is checked and stored; 404 if there is none."""
    rights = Rights(request, "write")
    name, grant = request.match_info["hash"], request.match_info["grant"]
    repo = await in_worker(request, lambda: rights.repo)
    ours = request.app[TOKENS].is_grant_of(grant, name, rights.user, repo)
    upload = request.app[WAITING].take(grant) if ours else None
    if upload is not None:
        try:
            inserted = await keep(request, rights, upload, name)
        finally:
            await in_worker(request, upload.close)
        return json_response(encode(XorbInserted(was_inserted=inserted)))
    # The answer to an earlier commit may have been lost. A client that may know of the xorb need not send it again.
    if ours and await in_worker(request, is_known, request.app[CONTENT], rights, name):
        return json_response(encode(XorbInserted(was_inserted=False)))
    raise EntryNotFoundError("nothing was uploaded for this grant", status=404)
