"""HTTP: requests and their answers, with retries, time-outs and typed errors.

With `arriving`, `sessions` and `failures` all that knows aiohttp.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing
from copy import copy
from typing import Final

import aiohttp
from yarl import URL

from pyxet._async.http.addresses import web_address
from pyxet._async.http.arriving import StreamAnswer
from pyxet._async.http.concurrency import piece_size
from pyxet._async.http.failures import translated
from pyxet._async.http.limiter import Origin, Permit, limiter_of, metered
from pyxet._async.http.messages import (
    SLICE,
    Answer,
    Body,
    Query,
    Request,
    SpeedCheck,
    is_busy,
    is_transient,
    rate_limit,
    sliced,
)
from pyxet._async.http.partial import reader_of
from pyxet._async.http.place import Place
from pyxet._async.http.renewal import place_of
from pyxet._async.http.retries import Attempts
from pyxet._async.http.sessions import Sessions
from pyxet._async.runtime.threads import in_thread
from pyxet.config import Credential, Limits, RetryPolicy, Timeouts
from pyxet.errors import (
    Asked,
    AuthenticationError,
    ConfigError,
    ConnectionFailedError,
    FormatError,
    RemoteError,
    RepositoryNotFoundError,
    RequestTimeoutError,
    XetError,
)
from pyxet.protocol.constants import MIB
from pyxet.protocol.hashing import Buffer
from pyxet.protocol.rate_limit import route_class
from pyxet.protocol.repo_limits import RepoLimits
from pyxet.watching import request_ended

# What aiohttp would add to a body that has no type.
_NOT_GUESSED: Final = ("Content-Type",)
_SMALL_BODY: Final = 64 * 1024
# Where a kept connection ends, the library sends PUT and DELETE once more by itself, if it still has the body. The first one
# may have been carried out, and attempts are counted elsewhere: so it gets a body that it cannot send twice.
_READING: Final = frozenset({"GET", "HEAD"})
_NOTHING: Final = Body((), None)
# A body of at most this many slices is summed up and sent without a thread.
_FEW_SLICES: Final = 256
_MAX_REDIRECTS: Final = 5
# Longest answer in bytes, where nothing else is said.
_MAX_ANSWER: Final = MIB
# Longest time, in seconds, that an endpoint may take over an answer in which it reports what it is doing.
_LONGEST_WORK: Final = 1800.0
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
# Those after which a request that changes something is still the same request.
_SAME_REQUEST: Final = frozenset({307, 308})


def is_refused(error: BaseException) -> bool:
    """Whether the request certainly was not carried out, and may be later: for requests that must not run twice."""
    if isinstance(error, RemoteError):
        return is_busy(error) or (error.status == 503 and error.retry_after is not None)
    return isinstance(error, (ConnectionFailedError, RequestTimeoutError)) and not error.sent


class Transport:
    """Requests to one endpoint, and to where it sends us, with retries, time-outs and typed errors."""

    def __init__(
        self, endpoint: str, credential: Credential, *, limits: Limits, retry: RetryPolicy, timeouts: Timeouts
    ) -> None:
        self.endpoint = endpoint
        self.place = place_of(credential, self._with)
        self._limits = limits
        self._retry = retry
        self._timeouts = timeouts
        # What is known of the endpoint's limits of files, folders and commits.
        self.repo_limits = RepoLimits.of_host(endpoint)
        # What is read ahead of a limited bandwidth has used it already.
        self.sessions = Sessions(connect=timeouts.connect, read_ahead=piece_size(limits.bandwidth, SLICE))

    def _with(self, credential: Credential) -> Transport:
        """The same connections and limits, with another credential that never changes."""
        other = copy(self)
        other.place = Place(credential)
        return other

    async def aclose(self) -> None:
        """Close the session of the running loop."""
        await self.sessions.aclose()

    async def request(
        self,
        method: str,
        url: str,
        *,
        what: str,
        bearer: str | None = None,
        params: Query | None = None,
        headers: Mapping[str, str] | None = None,
        body: Body | None = None,
        retry: Callable[[BaseException], bool] = is_transient,
        redirect: bool = False,
        check: Callable[[Answer], object] = lambda answer: None,
        most: int = _MAX_ANSWER,
        reports: bool = False,
    ) -> Answer:
        """Send a request and read the whole answer, trying again where that may help.

        Parameters
        ----------
        method, url, params, headers, body:
            The request; ``url`` may be a path on the endpoint, percent-encoded.
        what:
            What is being done, for error messages.
        bearer:
            A token; by default that of the credential, which goes to the endpoint only.
        retry:
            Which errors are worth another try.
        redirect:
            Whether to follow redirects; a token or a body does not follow to another origin.
        check:
            Raises where an answer of success is an error all the same, so that it is tried again too.
        most:
            Longest answer in bytes that makes sense.
        reports:
            Whether the endpoint reports what it is doing in the answer: that has no lowest speed, and an end.

        Raises
        ------
        RemoteError, ConnectionFailedError, RequestTimeoutError
            The answer has a status of 300 or more, or there is none.
        FormatError
            The answer is too long, or redirects to where nobody can go.
        """
        request = Request(method, url, what, bearer, params, headers, body, redirect)
        attempts = Attempts(self._retry, retry)
        while True:
            try:
                if not reports:
                    answer = await self._whole(request, attempts.number, most, self._speed())
                else:
                    answer = await self._reported(request, attempts.number, most)
                check(answer)
                return answer
            except XetError as error:
                pause = attempts.failed(error)
                if pause is None:
                    raise
            await asyncio.sleep(pause)

    async def _whole(self, request: Request, attempt: int, most: int, speed: SpeedCheck) -> Answer:
        answer = await self._open(request, attempt, speed)
        return await answer.whole(most)

    async def _reported(self, request: Request, attempt: int, most: int) -> Answer:
        """An answer in which the endpoint reports what it is doing."""
        try:
            async with asyncio.timeout(_LONGEST_WORK):
                return await self._whole(request, attempt, most, SpeedCheck(0, math.inf))
        except TimeoutError as error:
            if isinstance(error, RequestTimeoutError):
                raise
            raise RequestTimeoutError(f"{request.what}: not done after {_LONGEST_WORK:,.0f} s") from None

    async def ranged(
        self,
        url: str,
        start: int,
        end: int,
        *,
        what: str,
        bearer: str | None = None,
        redirect: bool = False,
        total: int | None = None,
    ) -> AsyncGenerator[Buffer, None]:
        """Bytes ``start`` to before ``end`` of a resource; a body that breaks off is continued from its last good byte.

        Never more than was asked for, whatever the answer has. Pieces of a mebibyte and more may lie in memory that is used
        again once nobody has a view of it (`Stretches`). Consumers must not wait for other requests.

        Raises
        ------
        IntegrityError
            The answer says that the resource does not have ``total`` bytes, where that is given.
        FormatError
            The answer is not the range that was asked for.
        """
        at = start
        speed = self._speed()
        request = Request("GET", url, what, bearer, redirect=redirect)
        attempts = Attempts(self._retry, is_transient)
        while at < end:
            request.headers = {"Range": f"bytes={at}-{end - 1}"}
            try:
                answer = await self._open(request, attempts.number, speed)
                try:
                    reader = reader_of(answer.status, answer.headers, at, end, total=total, what=what)
                    async with aclosing(answer.pieces(reader)) as pieces:
                        async for piece in pieces:
                            at += len(piece)
                            attempts.note_progress(len(piece))
                            yield piece
                finally:
                    answer.close()
                if at < end:
                    raise ConnectionFailedError(f"{what}: the body ended {end - at:,} bytes early")
                return
            except XetError as error:
                pause = attempts.failed(error)
                if pause is None:
                    raise
            await asyncio.sleep(pause)

    async def _open(self, request: Request, attempt: int, speed: SpeedCheck) -> StreamAnswer:
        """Send a request once, to wherever the endpoint is by now; the answer of success, to be closed."""
        place = self.place
        here = await place.here()
        since = place.looks
        while True:
            try:
                return await self._open_at(request, here, attempt, speed)
            except (ConnectionFailedError, RemoteError) as error:
                gone = isinstance(error, ConnectionFailedError) and not error.sent
                if not gone and not _is_refused(error, here):
                    raise
                # Nobody listens any more, or somebody else does, or the token is another one by now: the request was
                # certainly not carried out.
                moved = await place.moved(here, gone=gone, own=request.bearer is None, since=since)
                if moved is None:
                    raise
                here = moved

    async def _open_at(self, request: Request, here: Credential, attempt: int, speed: SpeedCheck) -> StreamAnswer:
        """Send a request once, and again to where it is redirected; the answer of success, to be closed."""
        url, what, bearer = request.url, request.what, request.bearer
        target = URL(here.endpoint + url, encoded=True) if url.startswith("/") else web_address(url, what=what)
        if len(self.place.origins) > 1:
            target = self.place.current(target, here)
        if request.params:
            target = target.extend_query(request.params)
        renamed = True
        for _ in range(_MAX_REDIRECTS + 1):
            answer = await self._send(request, here, attempt, target, bearer, speed)
            if answer.status < 300:
                return answer
            try:
                known = _REDIRECTS if request.method in ("GET", "HEAD") else _SAME_REQUEST
                if not (request.redirect and answer.status in known and "Location" in answer.headers):
                    raise await answer.error(self._retry.max_retry_after)
                before, target = target, web_address(answer.headers["Location"], what=what, base=target)
                renamed = renamed and answer.status in _SAME_REQUEST and _origin(target) == _origin(before)
                if _origin(target) != _origin(before):
                    if request.body is not None:
                        # What is sent is for the endpoint, like the token.
                        raise await answer.error(self._retry.max_retry_after)
                    bearer = ""
            finally:
                answer.close()
        text = f"{what}: more than {_MAX_REDIRECTS} redirects, the last one to {target.with_query(None)}"
        if renamed:
            # So answers a repository whose name changes faster than it is followed, which comes to rest at some time.
            raise ConnectionFailedError(text)
        raise FormatError(text)

    async def _send(
        self, request: Request, here: Credential, attempt: int, url: URL, bearer: str | None, speed: SpeedCheck
    ) -> StreamAnswer:
        """Send a request when it may be sent, and wait for its answer to begin."""
        method, what, body = request.method, request.what, request.body
        if body is None and method not in _READING:
            body = _NOTHING
        origin = _origin(url)
        headers = dict(request.headers) if request.headers else {}
        is_ours = bearer is None and origin == _origin(URL(here.endpoint, encoded=True))
        own = here.token if is_ours else None
        token = own.reveal() if own is not None else bearer
        if token:
            if not token.isascii() or not token.isprintable():
                raise ConfigError(
                    f"{what}: the token has a line break or another character that is not allowed in a token"
                )
            headers["Authorization"] = f"Bearer {token}"
        # What is being done, by the first word: requests that do the same are expected to take the same time.
        permit = await limiter_of(origin).enter(
            f"{method} {what.partition(' ')[0]}",
            self._limits.concurrency,
            route=route_class(url.raw_path),
            longest=self._retry.max_retry_after,
        )
        data: bytes | AsyncIterator[bytes] | None = None
        try:
            async with asyncio.timeout(self._timeouts.connect + self._timeouts.response) as deadline:
                if body is not None:
                    if body.content_type is not None:
                        headers["Content-Type"] = body.content_type
                    # Only a tuple is sure to have its slices; other sequences make them, which takes time.
                    few = isinstance(body.slices, tuple) and len(body.slices) <= _FEW_SLICES
                    size = body.size if few else await in_thread(lambda: body.size)
                    headers["Content-Length"] = str(size)
                    if few and size <= _SMALL_BODY and self._limits.bandwidth is None and method == "POST":
                        data = b"".join(body.slices)
                    else:
                        data = self._sending(body, deadline, permit)
                # Only now: while this request waited, the loop's connections may have been closed.
                session = await self.sessions.here()
                proxy = session.proxies.get(origin) or session.proxy(origin)
                proxy_headers = proxy.headers() if proxy.authorization is not None else None
                if proxy_headers is not None and url.scheme == "http":
                    # Only a tunnel has headers of its own.
                    headers.update(proxy_headers)
                response = await session.http.request(
                    method,
                    url,
                    headers=headers,
                    skip_auto_headers=_NOT_GUESSED,
                    data=data,
                    allow_redirects=False,
                    proxy=proxy.url,
                    proxy_headers=proxy_headers,
                )
        except BaseException as error:
            failure = error
            if isinstance(error, (aiohttp.ClientError, TimeoutError, OSError)):
                if isinstance(error, TimeoutError):
                    permit.refused()
                failure = translated(error, what, url.raw_authority)
                if isinstance(data, bytes) and failure.sent:
                    permit.sent = len(data)
            seconds, sent = permit.end(), permit.sent
            request_ended(
                method, origin[1], what, attempt, seconds, status=None, sent=sent, received=0, error=failure
            )  # fmt: skip
            if failure is error:
                raise
            # The message has all that people need of it; its own traceback, of sockets, would bury that.
            raise failure from None
        if isinstance(data, bytes):
            permit.sent = len(data)
        told = response.headers
        limit = rate_limit(told) if "RateLimit" in told else None
        permit.answering(limit)
        if is_ours and self.repo_limits is None and (limit is not None or "X-Repo-Limits" in told):
            self.repo_limits = RepoLimits.told(told)
        return StreamAnswer(
            response,
            permit,
            request,
            attempt,
            progress=self._timeouts.progress,
            speed=speed,
            bandwidth=self._limits.bandwidth,
            asked=Asked(here.endpoint, here.source if token else None, here.remedy) if is_ours else None,
        )

    def _speed(self) -> SpeedCheck:
        return SpeedCheck(self._timeouts.min_speed, self._timeouts.progress)

    async def _sending(self, body: Body, deadline: asyncio.Timeout, permit: Permit) -> AsyncIterator[bytes]:
        """The body in slices of about a mebibyte; each one sent moves the deadline, so only a stall runs into it.

        An answer may come before the body has left; then the deadline is over, and nobody wants the rest.
        """
        loop = asyncio.get_running_loop()
        bandwidth = self._limits.bandwidth
        slices = sliced(body.slices, piece_size(bandwidth, SLICE))
        # Large slices are sent as they are; many small ones are put together, and perhaps only made then.
        direct = isinstance(body.slices, tuple) and (body.size <= _SMALL_BODY or len(body.slices) <= _FEW_SLICES)
        while (piece := next(slices, None) if direct else await in_thread(next, slices, None)) is not None:
            if bandwidth is not None:
                # Waiting for one's turn is no stall.
                _reschedule(deadline, None)
                await metered(len(piece), bandwidth, spent=False)
            if not _reschedule(deadline, loop.time() + self._timeouts.progress):
                raise ConnectionResetError("the answer came before the whole request was sent")
            yield piece  # type: ignore[misc]  # aiohttp writes any buffer
            permit.sent += len(piece)
        _reschedule(deadline, loop.time() + self._timeouts.response)


def _is_refused(error: XetError, here: Credential) -> bool:
    """Whether another token may change an answer. Who sends none is told that private repositories are not there."""
    if isinstance(error, AuthenticationError):
        return True
    hidden = isinstance(error, RemoteError) and (
        error.status in (401, 403) or isinstance(error, RepositoryNotFoundError)
    )
    return hidden and here.token is None


def _reschedule(deadline: asyncio.Timeout, when: float | None) -> bool:
    try:
        deadline.reschedule(when)
    except RuntimeError:
        return False
    return True


def _origin(url: URL) -> Origin:
    return url.scheme, url.raw_authority
