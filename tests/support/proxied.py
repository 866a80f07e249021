"""File systems whose requests pass a `FaultProxy`, for tests that count requests or make them fail; also asynchronous ones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from aiohttp import web

import pyxet
from pyxet.testing import LocalEndpoint
from support.faults import FAST, FaultProxy


@contextmanager
def proxied(endpoint: LocalEndpoint, **options: Any) -> Iterator[tuple[FaultProxy, pyxet.XetFS]]:
    """A proxy in front of an endpoint, and a file system that connects to the proxy."""
    with FaultProxy(endpoint.url) as proxy:
        account: dict[str, Any] = {"user": endpoint.user, "token": endpoint.token, "retry": FAST}
        yield proxy, pyxet.XetFS(proxy.url, **account | options)


def asynchronous(endpoint: LocalEndpoint, proxy: FaultProxy | None = None, **options: Any) -> pyxet.AsyncXetFileSystem:
    """A file system for ``async with``, connected to an endpoint directly or through a proxy in front of it."""
    url = proxy.url if proxy else endpoint.url
    return pyxet.AsyncXetFileSystem(url, endpoint.user, endpoint.token, asynchronous=True, **options)


async def above(proxy: FaultProxy, request: web.Request) -> web.StreamResponse:
    """Forward a request below the path ``/xet`` without that prefix, as a reverse proxy does."""
    path = request.rel_url.raw_path.removeprefix("/xet")
    return await proxy.forward(request.clone(rel_url=request.rel_url.with_path(path, encoded=True, keep_query=True)))
