"""A proxy in front of a real endpoint that injects the faults of networks and servers into requests and answers.

It runs on a thread and event loop of its own, so that the loop of a test has only the tasks of the client.
"""

from __future__ import annotations

import asyncio
import atexit
import io
import re
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from itertools import count
from typing import Any, Self

import aiohttp
from aiohttp import web

from pyxet._async.client import Client, Settings
from pyxet._async.download.reconstruct import Downloader
from pyxet._async.http.transport import Transport
from pyxet._async.runtime.budget import READ_MEMORY, REQUESTS, WRITE_MEMORY
from pyxet._async.upload.session import Uploader
from pyxet.config import Credential, Limits, RetryPolicy, Timeouts
from pyxet.secrets import Secret
from pyxet.server.running import stop
from pyxet.testing import LocalEndpoint, local_endpoint
from pyxet.types import RemoteFile, RepoId, UploadedContent
from support.raw_client import RawClient

MIB = 1024 * 1024
FAST = RetryPolicy(attempts=4, base_delay=0.001, max_delay=0.002)

XORB = r"GET /v1/xorbs/"
PLAN = r"GET /v2/reconstructions/"
TOKEN = r"GET /api/.*/xet-\w+-token"
GRANT = r"POST /v1/xorb-grants/"
UPLOAD = r"PUT /v1/xorb-uploads/"
STORE = r"POST /v1/xorb-commits/"
DIRECT = r"POST /v1/xorbs/"
SHARD = r"POST /v2/shards"
RESOLVE = r"GET /.*/resolve/"
WHOAMI = r"GET /api/whoami-v2"

# The action of a rule: it answers in place of the endpoint, or changes the endpoint's answer.
Act = Callable[["FaultProxy", web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Seen:
    """A request that reached the proxy."""

    line: str
    headers: dict[str, str]


@dataclass
class Rule:
    """An act for the next ``times`` requests whose ``METHOD /path`` matches, after letting ``skip`` of them pass."""

    pattern: re.Pattern[str]
    act: Act
    times: float
    skip: int
    used: int = 0

    def applies(self, line: str) -> bool:
        if not self.pattern.match(line):
            return False
        self.used += 1
        return self.skip < self.used <= self.skip + self.times


class FaultProxy:
    """Forwards to ``upstream`` and applies rules. ``url`` is where it listens."""

    def __init__(self, upstream: str) -> None:
        self.upstream = upstream
        self.seen: list[Seen] = []
        self._rules: list[Rule] = []
        self._ready = threading.Event()
        self._gate: asyncio.Event | None = None
        self._arrived = threading.Semaphore(0)
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="faults", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def rule(self, pattern: str, act: Act, *, times: float = float("inf"), skip: int = 0) -> Rule:
        """Apply an act to requests; the first matching rule decides."""
        rule = Rule(re.compile(pattern), act, times, skip)
        self._rules.append(rule)
        return rule

    def clear(self) -> None:
        """Forget rules and requests."""
        self._rules.clear()
        self.seen.clear()

    def count(self, pattern: str) -> int:
        """How many requests matched."""
        return sum(re.match(pattern, item.line) is not None for item in self.seen)

    def close_gate(self) -> None:
        """Hold requests at the gate again."""
        assert self._gate is not None
        self._loop.call_soon_threadsafe(self._gate.clear)

    def open_gate(self) -> None:
        """Let pass the requests that `gated` holds, and all later ones."""
        self._loop.call_soon_threadsafe(lambda: self._gate.set() if self._gate else None)

    async def arrival(self) -> None:
        """Wait for one request to arrive at the gate, or at a stall."""
        # The time-out ends the thread: a loop waits for its threads at its end, so a failed test would wait for ever.
        assert await asyncio.to_thread(self._arrived.acquire, timeout=120), "no request arrived"

    def wait_for_arrival(self) -> None:
        """Like `arrival`, for tests without a loop. The time-out is long, as programs start slowly on a busy machine."""
        assert self._arrived.acquire(timeout=120)

    async def _serve(self) -> None:
        self._loop, self._stop, self._gate = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()
        app = web.Application(client_max_size=2**40)
        app.router.add_route("*", "/{path:.*}", self._handle)
        async with aiohttp.ClientSession(auto_decompress=False) as self._session:
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.01, handler_cancellation=True)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            self.url = "http://{}:{}".format(*runner.addresses[0][:2])
            self._ready.set()
            await self._stop.wait()
            # As at the endpoint, this also closes connections that were accepted just now.
            await stop(runner)
        # Connections that either side has just closed end in the next iterations of the loop. A connection whose peer does
        # not read the rest of an answer would not end, so it is aborted.
        for _ in range(100):
            await asyncio.sleep(0.002)
            transports = list(self._loop._transports.values())  # type: ignore[attr-defined]  # no public API lists them
            left = [transport for transport in transports if transport._sock is not None]
            if not left:
                break
            for transport in left:
                transport.abort()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        line = f"{request.method} {request.path}"
        self.seen.append(Seen(line, dict(request.headers)))
        for rule in self._rules:
            if rule.applies(line):
                return await rule.act(self, request)
        return await self.forward(request)

    async def fetched(self, request: web.Request, *, packed: bool = False) -> tuple[int, dict[str, str], bytes]:
        """The endpoint's answer: uncompressed, for acts that read it, or ``packed`` in a coding that the client accepts."""
        body = await request.read()
        asked = request.headers.copy()
        if not packed:
            asked.popall("Accept-Encoding", None)
        async with self._session.request(
            request.method,
            self.upstream + request.raw_path,
            headers=asked,
            data=io.BytesIO(body) if body else None,
            skip_auto_headers=["Accept-Encoding"],
            allow_redirects=False,
        ) as answer:
            dropped = {"content-length", "transfer-encoding", "connection", "server", "date"}
            headers = {name: value for name, value in answer.headers.items() if name.lower() not in dropped}
            return answer.status, headers, await answer.read()

    async def forward(self, request: web.Request) -> web.StreamResponse:
        """The endpoint's answer, unchanged."""
        status, headers, body = await self.fetched(request, packed=True)
        return web.Response(status=status, headers=headers, body=body)


def answer(status: int, body: bytes = b"", **headers: str) -> Act:
    """Answer in place of the endpoint; underscores in header names become dashes."""

    async def act(_: FaultProxy, request: web.Request) -> web.StreamResponse:
        await request.read()
        return web.Response(
            status=status, body=body, headers={name.replace("_", "-"): value for name, value in headers.items()}
        )

    return act


def answer_early(status: int, **headers: str) -> Act:
    """Answer without reading the request's body."""

    async def act(_: FaultProxy, request: web.Request) -> web.StreamResponse:
        return web.Response(status=status, headers={name.replace("_", "-"): value for name, value in headers.items()})

    return act


def forward_then(status: int) -> Act:
    """Forward the request, and then answer with another status, as if the endpoint's answer was lost."""

    async def act(proxy: FaultProxy, request: web.Request) -> web.StreamResponse:
        await proxy.fetched(request)
        return web.Response(status=status)

    return act


def cut(at: float, *, stall: bool = False, reset: bool = False) -> Act:
    """Send a part of the body (in bytes, or a share below 1), and then close or reset the connection, or stop sending."""

    async def act(proxy: FaultProxy, request: web.Request) -> web.StreamResponse:
        status, headers, body = await proxy.fetched(request)
        response = web.StreamResponse(status=status, headers=headers)
        response.content_length = len(body)
        await response.prepare(request)
        await response.write(body[: int(at) if at >= 1 else int(len(body) * at)])
        if stall:
            proxy._arrived.release()
            await asyncio.Event().wait()
        assert request.transport is not None
        if reset:
            request.transport.abort()
        else:
            request.transport.close()
        return response

    return act


def no_answer() -> Act:
    """Drop the connection instead of answering."""

    async def act(_: FaultProxy, request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    return act


def silent() -> Act:
    """Neither read the body nor answer."""

    async def act(proxy: FaultProxy, request: web.Request) -> web.StreamResponse:
        proxy._arrived.release()
        await asyncio.Event().wait()
        raise AssertionError

    return act


def gated() -> Act:
    """Wait for `FaultProxy.open_gate`, then forward."""

    async def act(proxy: FaultProxy, request: web.Request) -> web.StreamResponse:
        proxy._arrived.release()
        assert proxy._gate is not None
        await proxy._gate.wait()
        return await proxy.forward(request)

    return act


def changed(change: Callable[[bytes], bytes], status: int | None = None, **more: str | None) -> Act:
    """Change the body of the answer, and its headers (``None`` removes one)."""

    async def act(proxy: FaultProxy, request: web.Request) -> web.StreamResponse:
        code, headers, body = await proxy.fetched(request)
        for name, value in more.items():
            headers.pop(name.replace("_", "-"), None)
            if value is not None:
                headers[name.replace("_", "-")] = value
        return web.Response(status=status or code, headers=headers, body=change(body))

    return act


def flipped(at: float) -> Act:
    """Damage one byte of the body, at the given share of its length."""

    def change(body: bytes) -> bytes:
        place = int(len(body) * at)
        return body[:place] + bytes([body[place] ^ 0xFF]) + body[place + 1 :]

    return changed(change)


def in_parts(size: int, change: Callable[[bytes], bytes] = lambda body: body, *, times: float = float("inf")) -> Act:
    """Answer a request for a range with the endpoint's ``multipart/byteranges``, in parts of ``size`` bytes.

    ``change`` may damage the first ``times`` such bodies.
    """
    done = count()

    async def act(proxy: FaultProxy, request: web.Request) -> web.StreamResponse:
        first, last = map(int, request.headers["Range"].removeprefix("bytes=").split("-"))
        spans = [f"{at}-{min(at + size - 1, last)}" for at in range(first, last + 1, size)]
        assert len(spans) > 1, "the endpoint sends a single range as it is"
        asked = request.headers.copy()
        asked["Range"] = "bytes=" + ",".join(spans)
        status, headers, body = await proxy.fetched(request.clone(headers=asked))
        assert headers["Content-Type"].startswith("multipart/byteranges")
        return web.Response(status=status, headers=headers, body=change(body) if next(done) < times else body)

    return act


@cache
def shared_endpoint() -> LocalEndpoint:
    """One endpoint for all tests of a process; each test has repositories of its own in it."""
    endpoint = local_endpoint()
    atexit.register(endpoint.close)
    return endpoint


_numbers = count()


@dataclass
class World:
    """A client, the proxy that it connects to, and the endpoint behind the proxy."""

    endpoint: LocalEndpoint
    proxy: FaultProxy
    client: Client
    repo: RepoId
    files: dict[str, RemoteFile] = field(default_factory=dict)

    async def store(self, content: bytes, name: str = "a.bin") -> RemoteFile:
        """Store content in Xet without a commit: readers only need the hash."""
        uploader = Uploader(self.client.cas(self.repo), Limits())
        try:
            stored = await uploader.add(content)
            await uploader.flush()
        finally:
            await uploader.aclose()
        return RemoteFile(self.repo, "main", name, stored.size, "", stored.sha256, stored.xet_hash)

    def uploader(self, limits: Limits | None = None) -> Uploader:
        return Uploader(self.client.cas(self.repo), limits or self.client.limits)


@asynccontextmanager
async def world(
    *, limits: Limits | None = None, retry: RetryPolicy = FAST, timeouts: Timeouts | None = None
) -> AsyncIterator[World]:
    """A client and a repository. The end of the block fails if a task or a part of a budget is left."""
    endpoint = shared_endpoint()
    with FaultProxy(endpoint.url) as proxy:
        settings = Settings(
            Credential(proxy.url, endpoint.user, Secret(endpoint.token)),
            limits or Limits(),
            retry,
            timeouts or Timeouts(),
        )
        client = Client(settings)
        repo = RepoId("models", endpoint.user, f"repo{next(_numbers)}")
        # The tested client is not used for this, as its time-outs may be very short.
        await asyncio.to_thread(RawClient(endpoint, endpoint.token).make_repo, repo.path)
        try:
            yield World(endpoint, proxy, client, repo)
        finally:
            await client.transport.aclose()
        await check_clean()


async def get(transport: Transport, path: str = "/api/whoami-v2", **options: Any) -> int:
    """The status of the answer to a request."""
    return (await transport.request("GET", path, what="asking", **options)).status


async def ranged(it: World, start: int, end: int, total: int | None = None) -> bytes:
    """A range of ``GET /data``."""
    pieces = it.client.transport.ranged("/data", start, end, what="reading", total=total)
    return b"".join([piece async for piece in pieces])


async def read_back(it: World, stored: UploadedContent) -> bytes:
    """Download content that was uploaded."""
    file = RemoteFile(it.repo, "main", "a", stored.size, "", stored.sha256, stored.xet_hash)
    return await Downloader(it.client).read(file)


async def check_clean() -> None:
    """Fail if a task or a part of a budget is left behind."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    assert not others, others
    budgets: dict[str, Any] = {"read": READ_MEMORY, "write": WRITE_MEMORY, "requests": REQUESTS}
    assert {name: (budget.in_use, budget.idle) for name, budget in budgets.items()} == dict.fromkeys(budgets, (0, 0))
