"""HTTP sessions: connections, certificates and proxies.

Sessions belong to a running event loop and to a process, and are made when first needed. An async generator keeps each
of them, because ending a loop (`asyncio.run`) closes its async generators: that closes the session in time without a
task of its own.
"""

from __future__ import annotations

import asyncio
import atexit
import base64
import os
import ssl
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, Final, NamedTuple
from urllib.request import getproxies_environment, proxy_bypass_environment  # type: ignore[attr-defined]  # typeshed leaves them out
from weakref import WeakSet, finalize

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.http import RawResponseMessage
from aiohttp.http_exceptions import HttpProcessingError
from yarl import URL

from pyxet._async.http.limiter import Origin
from pyxet._async.runtime.threads import in_thread
from pyxet._version import __version__
from pyxet.secrets import Secret

# Seconds that an idle connection stays open. Servers and proxies close theirs after a minute or less, which is noticed. A new
# connection takes at least two round trips.
_IDLE: Final = 45.0
# Interim answers (100, 102, 103) that are taken before an answer.
_MOST_INTERIM: Final = 64


class Proxy(NamedTuple):
    """The proxy that requests go to, if there is one, and the header with its password."""

    url: URL | None
    authorization: Secret | None

    def headers(self) -> dict[str, str] | None:
        """The headers for the proxy, for each request or each tunnel."""
        return {"Proxy-Authorization": self.authorization.reveal()} if self.authorization else None


class _Connection(ResponseHandler):
    """Takes one answer a request, and a few interim ones before it. More belongs to no request: the connection ends.

    The library would keep all of it, and take an answer that came with the end of a body, or later, for the next one's.
    """

    _asked = False
    _interim = 0

    def set_response_params(self, **options: Any) -> None:
        self._asked, self._interim = True, 0
        super().set_response_params(**options)

    def feed_data(self, data: tuple[RawResponseMessage, aiohttp.StreamReader], size: int = 0) -> None:
        interim = 100 <= data[0].code < 200 and data[0].code != 101
        self._interim += interim
        if self._asked and self._interim <= _MOST_INTERIM:
            self._asked = interim
            super().feed_data(data, size)
        elif self.is_connected():
            assert self.transport is not None
            self.transport.abort()
            if self._asked:
                self.set_exception(HttpProcessingError(code=400, message="endless interim answers"))


class _Connector(aiohttp.TCPConnector):
    """Makes connections of ours."""

    def __init__(self, context: ssl.SSLContext | bool) -> None:
        super().__init__(limit=0, ttl_dns_cache=60, ssl=context, keepalive_timeout=_IDLE)
        factory: partial[Any] = partial(_Connection, loop=self._loop)
        self._factory = factory


@dataclass(frozen=True)
class Session:
    """The session of one loop.

    Attributes
    ----------
    http:
        The connections.
    keeper:
        Closes the connections when it is closed itself.
    proxies:
        The proxies of the origins that had requests so far.
    """

    http: aiohttp.ClientSession
    keeper: AsyncGenerator[None, None]
    proxies: dict[Origin, Proxy]

    def proxy(self, origin: Origin) -> Proxy:
        """The proxy of the environment for an origin, looked up once.

        aiohttp's own ``trust_env`` also reads ``.netrc``, whose passwords would contradict our tokens.
        """
        if origin not in self.proxies:
            scheme, host = origin
            found = getproxies_environment()
            value = None if proxy_bypass_environment(host) else found.get(scheme) or found.get("all")
            target = URL(value) if value else None
            authorization = None
            if target is not None and target.user is not None:
                basic = base64.b64encode(f"{target.user}:{target.password or ''}".encode()).decode()
                target, authorization = target.with_user(None), Secret(f"Basic {basic}")
            self.proxies[origin] = Proxy(target, authorization)
        return self.proxies[origin]


class Sessions:
    """The sessions of one transport, one for each loop that uses it.

    Parameters
    ----------
    connect:
        Time-out in seconds for making a connection.
    read_ahead:
        Bytes that are taken from a connection before anybody reads them.

    Attributes
    ----------
    by_loop:
        The sessions that are open.
    """

    def __init__(self, *, connect: float, read_ahead: int) -> None:
        self._connect = connect
        self._read_ahead = read_ahead
        self._begin()
        _all.add(self)

    def _begin(self) -> None:
        self._pid = os.getpid()
        self.by_loop: dict[asyncio.AbstractEventLoop, Session] = {}
        finalize(self, _close_unused, self.by_loop, self._pid).atexit = False

    async def here(self) -> Session:
        """The session of the running loop; it is made if there is none."""
        if self._pid != os.getpid():
            # After a fork, the parent's sockets must be neither used nor closed, so they must not be collected either.
            _inherited.append(self.by_loop)
            self._begin()
        loop = asyncio.get_running_loop()
        found = self.by_loop.get(loop)
        if found is not None and not found.http.closed:
            return found
        named = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
        # Without such variables, aiohttp's own context, made at its import, is the same; another one would cost 40 ms.
        context = await in_thread(_tls, *named) if any(named) else True
        found = self.by_loop.get(loop)
        if found is None or found.http.closed:
            http = aiohttp.ClientSession(
                connector=_Connector(context),
                timeout=aiohttp.ClientTimeout(total=None, connect=self._connect),
                headers={"User-Agent": f"pyxet/{__version__}", "Accept-Encoding": "identity"},
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                read_bufsize=self._read_ahead,
            )
            found = Session(http, _keep(http, self.by_loop, loop), {})
            await anext(found.keeper)
            self.by_loop[loop] = found
        return found

    async def aclose(self) -> None:
        """Close the session of the running loop."""
        found = self.by_loop.pop(asyncio.get_running_loop(), None)
        if found is not None and self._pid == os.getpid():
            await found.keeper.aclose()

    def close_at_exit(self) -> None:
        """Close the sessions of loops in other threads, which end without closing them."""
        if self._pid != os.getpid():
            return
        for loop in list(self.by_loop):
            if loop.is_running():
                with suppress(Exception):
                    asyncio.run_coroutine_threadsafe(self.aclose(), loop).result(1.0)


async def _keep(
    http: aiohttp.ClientSession, by_loop: dict[asyncio.AbstractEventLoop, Session], loop: asyncio.AbstractEventLoop
) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        # A session refers to its loop, so a loop would never be collected while its session is kept.
        by_loop.pop(loop, None)
        await http.close()


def _close_unused(by_loop: dict[asyncio.AbstractEventLoop, Session], pid: int) -> None:
    """Close the sessions of a transport that nobody has any more, each on its loop; called in any thread."""
    if pid != os.getpid():
        _inherited.append(by_loop)
        return
    for loop, session in list(by_loop.items()):
        if loop.is_running():
            # It may end at this moment, which closes its sessions.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(_start_closing, session)
                continue
        # The system closes its sockets when the process ends; nothing else can.
        _left.append(session)


def _start_closing(session: Session) -> None:
    task = asyncio.ensure_future(session.keeper.aclose())
    _closing.add(task)
    task.add_done_callback(_closing.discard)


_all: WeakSet[Sessions] = WeakSet()
_inherited: list[object] = []
# Of loops that stand still.
_left: list[Session] = []
_closing: set[asyncio.Future[None]] = set()


@atexit.register
def _close_at_exit() -> None:
    for sessions in list(_all):
        sessions.close_at_exit()


@lru_cache(maxsize=4)
def _tls(file: str | None, folder: str | None) -> ssl.SSLContext:
    """The certificates that the environment names now. OpenSSL reads the variables; here they are keys of the cache."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context
