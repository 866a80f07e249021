"""The CAS's HTTP interface (Xet specification, ``api.md``, ``auth.md``): plans, xorbs, shards, chunk queries."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from typing import Final

from pyxet._async.hub import Hub, Scope
from pyxet._async.transport import Answer, Body, Transport
from pyxet.errors import (
    AccessDeniedError,
    AuthenticationError,
    FormatError,
    NotFoundError,
    RemoteError,
    ServerError,
    XetError,
)
from pyxet.protocol.hashing import Hash, hash_to_hex
from pyxet.protocol.messages import (
    ReconstructionV1,
    ReconstructionV2,
    ShardEvent,
    ShardResultV1,
    XetToken,
    XorbInserted,
    decode,
)
from pyxet.protocol.reconstruction import FetchRange, Plan, plan_from_v1, plan_from_v2
from pyxet.protocol.shard import Shard, parse_shard
from pyxet.protocol.xorb import Xorb
from pyxet.urls import RepoId

# A token is renewed this many seconds before it ends.
_MARGIN: Final = 30


class UrlExpiredError(XetError):
    """A signed URL is not accepted any more; a new plan has new ones. Never leaves the download."""


class Cas:
    """The CAS as one repository's tokens open it."""

    def __init__(self, transport: Transport, hub: Hub, repo: RepoId) -> None:
        self._transport = transport
        self._hub = hub
        self._repo = repo
        self._tokens: dict[Scope, XetToken] = {}
        # One request for a token at a time, for each loop that asks.
        self._refreshing: dict[tuple[Scope, asyncio.AbstractEventLoop], asyncio.Task[XetToken]] = {}
        self._v1_plans = False
        self._v1_shards = False

    async def reconstruction(self, value: Hash, start: int, end: int) -> Plan:
        """How to get bytes ``start`` to before ``end`` of a file.

        Raises
        ------
        NotFoundError, RangeNotSatisfiableError, FormatError
            The file is not known, is shorter, or the answer makes no sense.
        """
        headers = {"Range": f"bytes={start}-{end - 1}"}
        what = f"planning the download of {hash_to_hex(value)[:16]}…"
        if not self._v1_plans:
            try:
                answer = await self._call(
                    "GET", f"/v2/reconstructions/{hash_to_hex(value)}", "read", what, headers=headers
                )
                return plan_from_v2(decode(answer.body, ReconstructionV2, what="reconstruction"))
            except (NotFoundError, ServerError) as error:
                # 501, or a 404 that may mean the file as well as the route: the older route tells.
                if error.status not in (404, 501):
                    raise
        answer = await self._call("GET", f"/v1/reconstructions/{hash_to_hex(value)}", "read", what, headers=headers)
        self._v1_plans = True
        return plan_from_v1(decode(answer.body, ReconstructionV1, what="reconstruction"))

    def fetch(self, fetch: FetchRange) -> AsyncGenerator[bytes, None]:
        """The bytes of a fetch range. Raises `UrlExpiredError` where the URL is refused."""
        return self._fetch(fetch)

    async def _fetch(self, fetch: FetchRange) -> AsyncGenerator[bytes, None]:
        try:
            pieces = self._transport.ranged(
                fetch.url, fetch.byte_start, fetch.byte_end, what="reading a xorb", bearer="", redirect=True
            )
            async for piece in pieces:
                yield piece
        except (AccessDeniedError, AuthenticationError) as error:
            raise UrlExpiredError(str(error)) from error

    async def query_chunk(self, value: Hash) -> Shard | None:
        """A shard with this chunk, if the endpoint knows one. Failures count as "no": deduplication is a saving."""
        try:
            answer = await self._call("GET", f"/v1/chunks/default/{hash_to_hex(value)}", "write", "asking for a chunk")
            return parse_shard(answer.body)
        except (RemoteError, FormatError):
            return None

    async def upload_xorb(self, xorb: Xorb) -> bool:
        """Store a xorb; ``False`` if it was there."""
        name = hash_to_hex(xorb.info.hash)
        what = f"uploading xorb {name[:16]}…"
        answer = await self._call("POST", f"/v1/xorbs/default/{name}", "write", what, body=Body(xorb.slices))
        return decode(answer.body, XorbInserted, what=what).was_inserted

    async def upload_shard(self, data: bytes) -> None:
        """Register the files of a shard."""
        what = "registering files"
        if not self._v1_shards:
            try:
                answer = await self._call("POST", "/v2/shards", "write", what, body=Body((data,)))
            except (NotFoundError, ServerError) as error:
                if error.status not in (404, 501):
                    raise
                self._v1_shards = True
            else:
                _check_events(answer.body, what)
                return
        answer = await self._call("POST", "/v1/shards", "write", what, body=Body((data,)))
        decode(answer.body, ShardResultV1, what=what)

    async def _call(
        self,
        method: str,
        path: str,
        scope: Scope,
        what: str,
        *,
        headers: dict[str, str] | None = None,
        body: Body | None = None,
    ) -> Answer:
        """A request with a token, which is renewed once if the CAS does not accept it."""
        token = await self._token(scope)
        try:
            return await self._transport.request(
                method,
                token.cas_url.rstrip("/") + path,
                what=what,
                bearer=token.access_token,
                headers=headers,
                body=body,
            )
        except AuthenticationError:
            if self._tokens.get(scope) is token:
                del self._tokens[scope]
            token = await self._token(scope)
            return await self._transport.request(
                method,
                token.cas_url.rstrip("/") + path,
                what=what,
                bearer=token.access_token,
                headers=headers,
                body=body,
            )

    async def _token(self, scope: Scope) -> XetToken:
        token = self._tokens.get(scope)
        if token is not None and token.exp - time.time() > _MARGIN:
            return token
        key = (scope, asyncio.get_running_loop())
        task = self._refreshing.get(key)
        if task is None:
            task = asyncio.create_task(self._hub.xet_token(self._repo, "main", scope))
            self._refreshing[key] = task
            task.add_done_callback(lambda _: self._refreshing.pop(key, None))
        # Shielded: one caller's cancellation must not take the token from the others.
        token = self._tokens[scope] = await asyncio.shield(task)
        return token


def _check_events(body: bytes, what: str) -> None:
    """Accept the NDJSON of ``POST /v2/shards``, which must end with a result."""
    events = [decode(line, ShardEvent, what=what) for line in body.splitlines() if line.strip()]
    last = events[-1] if events else None
    if last is None or last.type not in ("result", "error"):
        raise ServerError(f"{what}: the endpoint's answer ends before its result")
    if last.type == "error":
        kind = ServerError if last.retryable else RemoteError
        raise kind(f"{what}: {last.message or 'the endpoint gave no reason'}")
