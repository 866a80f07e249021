"""Quotas as the Hub has them: counts the requests of each user by class and window, and adds the headers that report this."""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from pyxet.errors import AuthenticationError, RateLimitedError
from pyxet.protocol.rate_limit import RateLimit, route_class
from pyxet.protocol.repo_limits import RepoLimits
from pyxet.server.behaviour import HubBehaviour
from pyxet.server.hub_commit import commit
from pyxet.server.state import account_of, is_git

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
# Beyond this number of users and addresses, those whose window has ended are forgotten.
_MANY: Final = 10_000
_HEADERS: Final = web.RequestKey("quota_headers", dict[str, str])


@dataclass(slots=True)
class _Window:
    """Requests since a moment."""

    began: float
    used: int = 0


class Quotas:
    """The quotas of one endpoint. Used on its event loop only.

    Attributes
    ----------
    refused:
        Requests that exceeded the quota, by class.
    counted:
        All counted requests, including refused ones, by class.
    used_up:
        Windows whose quota was used up, by class.
    """

    def __init__(self, behaviour: HubBehaviour, clock: Callable[[], float] = time.monotonic) -> None:
        self.behaviour = behaviour
        self.refused: Counter[str] = Counter()
        self.counted: Counter[str] = Counter()
        self.used_up: Counter[str] = Counter()
        self._clock = clock
        self._windows: dict[tuple[str, str], _Window] = {}

    def count(self, who: str, kind: str, allowed: int, length: float) -> tuple[int, float]:
        """Count a request.

        Returns
        -------
        tuple
            How many more requests this window allows (-1 if this request exceeds it), and the seconds until it ends.
        """
        now = self._clock()
        window = self._windows.get((who, kind))
        if window is None or now >= window.began + length:
            self._forget(now)
            window = self._windows[who, kind] = _Window(now)
        window.used += 1
        self.counted[kind] += 1
        if window.used == allowed:
            self.used_up[kind] += 1
        if window.used > allowed:
            self.refused[kind] += 1
        return max(-1, allowed - window.used), window.began + length - now

    def _forget(self, now: float) -> None:
        if len(self._windows) >= _MANY:
            longest = max(self.behaviour.window, self.behaviour.commits_window)
            self._windows = {key: found for key, found in self._windows.items() if now < found.began + longest}


QUOTAS: Final = web.AppKey("quotas", Quotas)


def add_quotas(app: web.Application, behaviour: HubBehaviour) -> None:
    """Have an application count requests, whose middlewares include `within_quotas`."""
    app[QUOTAS] = Quotas(behaviour)
    app.on_response_prepare.append(_add_headers)


@web.middleware
async def within_quotas(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer requests within the quotas, after the latency; raise `RateLimitedError` for others.

    Requests for content are for the CAS, which has no quotas.
    """
    quotas = request.app.get(QUOTAS)
    if quotas is None:
        return await handler(request)
    behaviour = quotas.behaviour
    if behaviour.latency:
        await asyncio.sleep(behaviour.latency)
    kind = "api" if is_git(request.path) else route_class(request.path)
    if kind is None:
        return await handler(request)
    user = _user(request)
    who = user or f"address {request.remote}"
    allowed: int | None = getattr(behaviour, kind if user else f"anonymous_{kind}")
    headers = request[_HEADERS] = _advised(behaviour)
    if allowed is not None:
        left, seconds = quotas.count(who, kind, allowed, behaviour.window)
        headers |= RateLimit(kind, max(0, left), seconds, allowed, behaviour.window).headers()
        if left < 0:
            raise RateLimitedError(
                f"{who} has sent more than {allowed:,} requests of the class {kind!r} in {behaviour.window:,g} s; "
                f"the next window begins in {math.ceil(seconds):,} s",
                status=429,
            )
    if behaviour.commits is not None and request.match_info.handler is commit:
        left, seconds = quotas.count(who, "commits", behaviour.commits, behaviour.commits_window)
        if left < 0:
            raise RateLimitedError(
                f"{who} has made {behaviour.commits:,} commits in {behaviour.commits_window:,g} s, the most that are "
                f"accepted; commit again in {math.ceil(seconds):,} s, and more files at once",
                status=429,
            )
    return await handler(request)


def _user(request: web.Request) -> str | None:
    """Whose request it is; nobody's if its token is not accepted."""
    try:
        account = account_of(request)
    except AuthenticationError:
        return None
    return account.user if account else None


def _advised(behaviour: HubBehaviour) -> dict[str, str]:
    """Headers that state the limits of repositories. The Hub states these limits only in its documentation."""
    limits = RepoLimits(behaviour.folder_entries, behaviour.file_size, behaviour.commit_files)
    return {"X-Repo-Limits": limits.header()}


async def _add_headers(request: web.Request, response: web.StreamResponse) -> None:
    for name, value in request.get(_HEADERS, {}).items():
        response.headers[name] = value
