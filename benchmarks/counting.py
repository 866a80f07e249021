"""Counters of the requests to a benchmark server, and the latency it adds: one middleware and three control routes.

``POST /control/setup`` takes ``{"latency": seconds, "together": seconds}`` and whatever else the server understands, ``POST /control/reset``
resets the counters, ``GET /control/counters`` returns them. Control requests are neither counted nor delayed.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Counts:
    """Requests by kind, bytes of their bodies in both directions, and the server's CPU seconds."""

    def __init__(self) -> None:
        self.latency = 0.0
        # Requests that arrive within this many seconds count as one round trip: none waited for the answer to another.
        self.together = 0.0
        self.reset()

    def reset(self) -> None:
        """Start from zero."""
        self.requests: Counter[str] = Counter()
        self.sent = self.received = 0
        self._round_trips = 0
        self._round_began = float("-inf")
        self._cpu = time.process_time()

    def arrived(self) -> None:
        """Note the arrival of a request: it begins a round trip, or belongs to the current one."""
        now = time.monotonic()
        if now - self._round_began > self.together:
            self._round_trips += 1
            self._round_began = now

    def told(self) -> dict[str, Any]:
        """The counters as the control route returns them."""
        trips = {"round trips": self._round_trips} if self.together else {}
        return trips | {
            "requests": dict(self.requests),
            "sent": self.sent,
            "received": self.received,
            "cpu": time.process_time() - self._cpu,
        }


COUNTS = web.AppKey("COUNTS", Counts)


def kind_of(method: str, path: str) -> str:
    """Which kind of request this is."""
    if "/resolve/" in path:
        return "resolve"
    if "-token/" in path:
        return "token"
    for part, kind in (
        ("/v1/xorb-grants/", "grant"), ("/reconstructions", "plan"), ("/chunks/", "chunk"), ("/shards", "shard"),
        ("/tree/", "tree"), ("/paths-info/", "paths-info"), ("/preupload/", "preupload"), ("/commit/", "commit"),
        ("/v1/telemetry", "telemetry"),
    ):  # fmt: skip
        if part in path:
            return kind
    if "/xorbs/" in path:
        return "xorb" if method == "GET" else "xorb upload"
    return "other"


@web.middleware
async def counting(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Count a request, after the latency that the row asks for."""
    if request.path.startswith("/control/"):
        return await handler(request)
    counts = request.app[COUNTS]
    if counts.latency:
        await asyncio.sleep(counts.latency)
    counts.arrived()
    counts.requests[kind_of(request.method, request.path)] += 1
    counts.received += request.content_length or 0
    response = await handler(request)
    if response.prepared and response.content_length is None:
        counts.sent += response.body_length
    return response


async def count_sent(request: web.Request, response: web.StreamResponse) -> None:
    """Count a body of known length when its headers are sent; the length of a file is not known before that."""
    if request.method != "HEAD" and not request.path.startswith("/control/"):
        request.app[COUNTS].sent += response.content_length or 0


def add_control(app: web.Application, setup: Callable[[dict[str, Any]], object] = lambda _: None) -> None:
    """Add the counters and the control routes; ``setup`` gets the rest of what ``/control/setup`` was sent."""
    counts = app[COUNTS] = Counts()
    app.middlewares.insert(0, counting)
    app.on_response_prepare.append(count_sent)

    async def set_up(request: web.Request) -> web.Response:
        wanted = await request.json()
        counts.latency = float(wanted.pop("latency", 0))
        counts.together = float(wanted.pop("together", 0))
        setup(wanted)
        counts.reset()
        return web.json_response({})

    async def reset(_: web.Request) -> web.Response:
        counts.reset()
        return web.json_response({})

    async def told(_: web.Request) -> web.Response:
        return web.json_response(counts.told())

    app.router.add_post("/control/setup", set_up)
    app.router.add_post("/control/reset", reset)
    app.router.add_get("/control/counters", told)
