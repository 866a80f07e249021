"""The CAS's HTTP interface (Xet specification, ``api.md``, ``auth.md``): plans, xorbs, shards, chunk queries."""

from __future__ import annotations

import asyncio
import io
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Any, Final, Protocol

from pyxet._async.endpoint.grants import XorbUploads
from pyxet._async.endpoint.hub import Scope
from pyxet._async.http.messages import Answer, Body, is_transient, never
from pyxet._async.http.packed import PACKED
from pyxet._async.http.transport import Transport
from pyxet._async.runtime.tasks import SingleFlight, stopped
from pyxet._async.runtime.threads import in_thread
from pyxet.errors import (
    AccessDeniedError,
    AuthenticationError,
    ConnectionFailedError,
    FormatError,
    NotFoundError,
    RemoteError,
    RequestTimeoutError,
    RevisionNotFoundError,
    ServerError,
    XetError,
)
from pyxet.protocol.cas_messages import (
    BatchReconstruction,
    FileKey,
    ReconstructionV1,
    ReconstructionV2,
    ShardEvent,
    ShardResultV1,
)
from pyxet.protocol.constants import MIB
from pyxet.protocol.hashing import Buffer, Hash, hash_to_hex
from pyxet.protocol.messages import Refs, XetToken, decode
from pyxet.protocol.reconstruction import FetchRange, Plan, plan_from_v1, plan_from_v2, plans_from_batch
from pyxet.protocol.shard import Shard, parse_shard
from pyxet.protocol.xorb import Xorb
from pyxet.types import RepoId

# A token is renewed this many seconds before it expires, or, if it is valid for a short time, in the last part of that time.
_MARGIN: Final = 30
_LAST_PART: Final = 0.25
# Maximum number of cached plans.
_MAX_PLANS: Final = 256
# Statuses of a CAS that lacks the route for batches, or does not accept such long requests.
_NO_BATCHES: Final = frozenset({405, 414, 431, 501})
# With these statuses, a file may be missing rather than the route, and a CAS that fails at a batch may still plan one file.
_NO_ANSWER: Final = frozenset({400, 404, 422, 500})
# Maximum sizes of sensible answers in bytes. The plan of a window of 16 MiB has at most two thousand terms and as many
# signed URLs. The shard that answers a chunk query need not be as large as shards can be.
_MAX_PLAN: Final = 4 * MIB
_MAX_QUERY: Final = 16 * MIB
# The CAS does not accept the token.
_REFUSED: Final = (AuthenticationError, AccessDeniedError)
# There may be no CAS at the URL that came with the token.
_LOST: Final = (ConnectionFailedError, RequestTimeoutError, NotFoundError)
_PlanKey = tuple[Hash, int, int]


class UrlExpiredError(XetError):
    """A signed URL is not accepted any more; a new plan has new URLs. Downloads handle this error and never raise it."""


class TokenSource(Protocol):
    """Returns tokens for the CAS; usually the `Hub`."""

    async def xet_token(
        self,
        repo: RepoId,
        revision: str,
        scope: Scope,
        *,
        propose: bool = False,
        retry: Callable[[BaseException], bool] = is_transient,
    ) -> XetToken:
        """A token for the CAS."""

    async def refs(self, repo: RepoId) -> Refs:
        """The branches of a repository; tokens can be requested for each of them."""


class Cas:
    """The CAS, accessed with the tokens of one repository.

    Parameters
    ----------
    transport, hub, repo:
        The endpoint, and the repository.
    branch:
        The branch that content is stored for, if tokens depend on it: users who may not write to the repository can
        write to their own pull requests.
    propose:
        Whether content is stored for a new pull request.
    """

    def __init__(
        self, transport: Transport, hub: TokenSource, repo: RepoId, branch: str | None = None, *, propose: bool = False
    ) -> None:
        self._transport = transport
        self._hub = hub
        self._repo = repo
        self._revision: str | None = None
        self._branch = branch
        self._propose = propose
        # Each token and when, on our clock, it is to be renewed, in one value because threads share this instance.
        self._tokens: dict[Scope, tuple[XetToken, float]] = {}
        self._refreshing: SingleFlight[Scope, XetToken] = SingleFlight()
        # See `token_beside`: whether it was used before, the revision of the running request, and the number of open blocks.
        self._was_beside = False
        self._beside: str | None = None
        self._in_blocks = 0
        self._asking_beside: SingleFlight[Scope, XetToken] = SingleFlight()
        self._quickest = float("inf")
        self._plans: OrderedDict[_PlanKey, Plan] = OrderedDict()
        self._planning: SingleFlight[_PlanKey, Plan] = SingleFlight()
        self._v1_plans = False
        # The methods by which the CAS may plan several files at once, as far as is known. Other clients send GET, the
        # specification says POST.
        self._batch_methods = ["GET", "POST"]
        self._v1_shards = False
        self._xorbs = XorbUploads(transport, self._call)

    @property
    def round_trip(self) -> float:
        """Shortest time in seconds in which the endpoint has answered; 0 before its first answer."""
        return self._quickest if self._quickest < float("inf") else 0.0

    @property
    def batches(self) -> bool:
        """Whether the CAS plans several files at once, as far as is known."""
        return bool(self._batch_methods)

    def note_revision(self, revision: str) -> None:
        """Remember an existing revision. Tokens are requested by revision, and not every repository has ``main``."""
        self._revision = revision

    @property
    def lacks_token(self) -> bool:
        """Whether `token_beside` would request the read token, or join a request that is running."""
        return "read" not in self._tokens and (self._beside is not None or not self._was_beside)

    @asynccontextmanager
    async def token_beside(self, revision: str) -> AsyncGenerator[Callable[[], object], None]:
        """Request the read token while the block looks up what to read, so that a first read takes one round trip less.

        Yields a function that cancels the request, for files that turn out not to be in Xet. The request is made once and
        never repeated; if it fails, the call that needs the token requests it again, with retries.

        Parameters
        ----------
        revision:
            A revision that probably exists.
        """
        if not self.lacks_token:
            yield lambda: None
            return
        # Later callers join this request and enter their blocks without waiting, so that their look-ups are still batched.
        self._was_beside, self._beside = True, revision
        self._in_blocks += 1
        asking = asyncio.create_task(self._ask_beside(revision))
        try:
            yield asking.cancel
            await asyncio.wait([asking])
        finally:
            self._in_blocks -= 1
            if not self._in_blocks:
                self._beside = None
            await stopped(asking)

    async def _ask_beside(self, revision: str) -> XetToken:
        """Request the read token. Calls at the same time share one request, even if they name other revisions."""

        async def ask() -> XetToken:
            began = asyncio.get_running_loop().time()
            token = await self._hub.xet_token(self._repo, revision, "read", retry=never)
            self._quickest = min(self._quickest, asyncio.get_running_loop().time() - began)
            return self._keep("read", token)

        return await self._asking_beside.run("read", ask)

    async def reconstruction(self, value: Hash, start: int, end: int) -> Plan:
        """The plan for bytes ``start`` to before ``end`` of a file. It is cached; see `invalidate_plan`.

        Raises
        ------
        NotFoundError, RangeNotSatisfiableError, FormatError
            The file is unknown, the file is shorter, or the answer makes no sense.
        """
        key = (value, start, end)
        plan = self._plans.get(key)
        if plan is None:
            plan = await self._planning.run(key, lambda: self._plan(value, start, end))
        return plan

    def invalidate_plan(self, value: Hash, start: int, end: int, plan: Plan) -> None:
        """Drop a plan whose URLs are not accepted any more."""
        key = (value, start, end)
        if self._plans.get(key) is plan:
            # The thread of another loop may remove the plan at the same time; likewise below.
            self._plans.pop(key, None)

    def invalidate_plans(self, value: Hash) -> None:
        """Drop all plans of a file, because what was read by them is not the file's content."""
        for key in [key for key in list(self._plans) if key[0] == value]:
            self._plans.pop(key, None)

    async def _plan(self, value: Hash, start: int, end: int) -> Plan:
        try:
            plan = await self._ask_for_plan(value, start, end)
        except (NotFoundError, FormatError) as error:
            # The CAS may have moved, and another server may answer at its old URL.
            if type(error) not in (NotFoundError, FormatError) or not await self._has_moved("read"):
                raise
            plan = await self._ask_for_plan(value, start, end)
        self._plans[value, start, end] = plan
        while len(self._plans) > _MAX_PLANS:
            self._plans.popitem(last=False)
        return plan

    async def _ask_for_plan(self, value: Hash, start: int, end: int) -> Plan:
        headers = {"Range": f"bytes={start}-{end - 1}", **PACKED}
        what = f"planning the download of {hash_to_hex(value)[:16]}…"
        plan: Plan | None = None
        if not self._v1_plans:
            try:
                answer = await self._call(
                    "GET",
                    f"/v2/reconstructions/{hash_to_hex(value)}",
                    "read",
                    what,
                    headers=headers,
                    most=_MAX_PLAN,
                    missing=True,
                )
                plan = plan_from_v2(decode(answer.body, ReconstructionV2, what="reconstruction"))
            except RemoteError as error:
                if not _is_missing_route(error):
                    raise
        if plan is None:
            # The 404 may have been about the file or the route. It was about the route only if the older route knows the file.
            url = f"/v1/reconstructions/{hash_to_hex(value)}"
            answer = await self._call("GET", url, "read", what, headers=headers, most=_MAX_PLAN, missing=True)
            self._v1_plans = True
            plan = plan_from_v1(decode(answer.body, ReconstructionV1, what="reconstruction"))
        return plan

    async def reconstructions(self, values: Sequence[Hash]) -> dict[Hash, Plan | FormatError] | None:
        """The plans of at most a hundred whole files, with one request, whose URL may have to name them all.

        Files that the CAS does not know are left out. The result is ``None`` if the CAS has no answer for this batch; it may
        also lack the route, see `note_missing_batch`.

        Raises
        ------
        RemoteError, ConnectionFailedError, RequestTimeoutError
            The CAS or the network fails at present.
        """
        for method in list(self._batch_methods):
            try:
                answer = await self._ask_for_plans(method, values)
                plans = plans_from_batch(decode(answer.body, BatchReconstruction, what="reconstructions"))
            except FormatError:
                return None
            except RemoteError as error:
                if error.status in _NO_BATCHES:
                    self._batch_methods = [other for other in self._batch_methods if other != method]
                elif error.status not in _NO_ANSWER:
                    raise
                continue
            self._batch_methods = [method]
            return plans
        return None

    async def _ask_for_plans(self, method: str, values: Sequence[Hash]) -> Answer:
        names = [hash_to_hex(value) for value in values]
        path, body = "/v1/reconstructions", None
        if method == "GET":
            path += "?" + "&".join(f"file_id={name}" for name in names)
        else:
            body = Body.json([FileKey(prefix="default", hash=name) for name in names])
        what = f"planning the download of {len(values)} files"
        return await self._call(method, path, "read", what, headers=PACKED, body=body, most=_MAX_PLAN, missing=True)

    def note_missing_batch(self) -> None:
        """Request no more batches: a batch had no answer, but all its files could be planned singly, so the route is missing."""
        self._batch_methods = []

    async def fetch(self, fetch: FetchRange) -> AsyncGenerator[Buffer, None]:
        """The bytes of a fetch range. Raises `UrlExpiredError` if the URL is refused."""
        pieces = self._transport.ranged(
            fetch.url.reveal(), fetch.byte_start, fetch.byte_end, what="reading a xorb", bearer="", redirect=True
        )
        try:
            async with aclosing(pieces):
                async for piece in pieces:
                    yield piece
        except (AccessDeniedError, AuthenticationError) as error:
            raise UrlExpiredError(str(error)) from error

    async def query_chunk(self, value: Hash) -> Shard | None:
        """A shard with this chunk, if the endpoint knows one. Failures count as "no", since deduplication is optional."""
        try:
            url = f"/v1/chunks/default/{hash_to_hex(value)}"
            answer = await self._call(
                "GET", url, "write", "asking for a chunk", retry=never, most=_MAX_QUERY, missing=True
            )
            return await in_thread(parse_shard, answer.body)
        except (RemoteError, ConnectionFailedError, RequestTimeoutError, FormatError):
            return None

    async def upload_xorb(self, xorb: Xorb) -> bool:
        """Store a xorb. Returns ``False`` if it was stored already. See `XorbUploads.upload`."""
        return await self._xorbs.upload(xorb)

    async def upload_shard(self, data: bytes) -> None:
        """Register the files of a shard."""
        what = "registering files"
        if not self._v1_shards:
            try:
                await self._call(
                    "POST",
                    "/v2/shards",
                    "write",
                    what,
                    body=Body((data,)),
                    check=lambda answer: _check_events(answer.body, what),
                    most=_MAX_QUERY,
                    reports=True,
                    missing=True,
                )
            except RemoteError as error:
                if not _is_missing_route(error):
                    raise
                self._v1_shards = True
            else:
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
        retry: Callable[[BaseException], bool] = is_transient,
        missing: bool = False,
        **options: Any,
    ) -> Answer:
        """Send a request with a token. If it fails and the token may be the reason, send it once more with a new token.

        Parameters
        ----------
        missing:
            Whether a 404 is about the requested object; otherwise it may mean that the CAS has moved.
        options:
            See `Transport.request`.
        """

        async def send(token: XetToken) -> Answer:
            url = token.cas_url.rstrip("/") + path
            began = asyncio.get_running_loop().time()
            try:
                answer = await self._transport.request(
                    method, url, what=what, bearer=token.access_token.reveal(), retry=retry, **options
                )
            except (*_REFUSED, *_LOST) as error:
                if not missing or not isinstance(error, NotFoundError):
                    self._invalidate_token(scope, token)
                raise
            self._quickest = min(self._quickest, asyncio.get_running_loop().time() - began)
            return answer

        token = await self._token(scope)
        try:
            return await send(token)
        except _REFUSED:
            renewed = await self._token(scope)
        except _LOST as error:
            if missing and isinstance(error, NotFoundError):
                raise
            renewed = await self._token(scope)
            if renewed.cas_url == token.cas_url:
                raise
        return await send(renewed)

    def _invalidate_token(self, scope: Scope, token: XetToken) -> None:
        known = self._tokens.get(scope)
        if known is not None and known[0] is token:
            self._tokens.pop(scope, None)

    async def _has_moved(self, scope: Scope) -> bool:
        """Whether the Hub now names another URL for the CAS."""
        token = await self._token(scope)
        self._invalidate_token(scope, token)
        return (await self._token(scope)).cas_url != token.cas_url

    async def _token(self, scope: Scope) -> XetToken:
        known = self._tokens.get(scope)
        if known is None and scope == "read" and self._beside is not None:
            with suppress(XetError):
                return await self._ask_beside(self._beside)
        if known is not None and time.time() < known[1]:
            return known[0]

        async def renew() -> XetToken:
            # Store the token here and not in each waiting caller: one of them may already have dropped it as refused.
            return self._keep(scope, await self._ask_for_token(scope))

        return await self._refreshing.run(scope, renew)

    def _keep(self, scope: Scope, token: XetToken) -> XetToken:
        self._tokens[scope] = token, _renewal(token.exp, time.time())
        return token

    async def _ask_for_token(self, scope: Scope) -> XetToken:
        if scope == "write" and self._branch is not None:
            return await self._hub.xet_token(self._repo, self._branch, scope, propose=self._propose)
        for revision in dict.fromkeys((self._revision or "main", "main")):
            try:
                return await self._hub.xet_token(self._repo, revision, scope)
            except RevisionNotFoundError as error:
                missing = error
        # There is no ``main`` either. Tokens are for the whole repository, so any branch will do.
        for ref in (await self._hub.refs(self._repo)).branches:
            return await self._hub.xet_token(self._repo, ref.name, scope)
        raise missing


def _renewal(exp: float, now: float) -> float:
    """When a token that has just come is to be renewed. Not too early, as renewals count in the quota for look-ups."""
    life = exp - now
    if life <= 0:
        # No endpoint hands out an expired token, so the clocks differ. The token is used until it is refused.
        return float("inf")
    return exp - min(_MARGIN, life * _LAST_PART)


def _is_missing_route(error: RemoteError) -> bool:
    """Whether the endpoint may lack the route. If the answer has an error code, the route exists."""
    return error.code is None and isinstance(error, (NotFoundError, ServerError)) and error.status in (404, 501)


def _check_events(body: bytes, what: str) -> None:
    """Check the NDJSON answer of ``POST /v2/shards``, which must end with a result. Raises the error that it reports."""
    last: ShardEvent | None = None
    for line in io.BytesIO(body):
        if line.strip():
            last = decode(line, ShardEvent, what=what)
    if last is None or last.type not in ("result", "error"):
        raise ServerError(f"{what}: the endpoint's answer ends before its result")
    if last.type == "error":
        kind = ServerError if last.retryable else RemoteError
        raise kind(f"{what}: {last.message or 'the endpoint gave no reason'}")
