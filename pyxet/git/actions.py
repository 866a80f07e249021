"""Actions of the Git-LFS batch API, and the CAS that they lead to, with the Xet token of the action and later tokens."""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeAlias
from urllib.parse import unquote, urlsplit

from pyxet._async.client import Client, Settings
from pyxet._async.download.windows import Windows
from pyxet._async.endpoint.cas import Cas
from pyxet._async.endpoint.hub import Hub, Scope
from pyxet._async.http.addresses import web_address
from pyxet._async.http.messages import is_transient
from pyxet.config import Credential, Limits, RetryPolicy, Timeouts
from pyxet.errors import FormatError
from pyxet.protocol.messages import Refs, XetToken
from pyxet.secrets import Secret
from pyxet.types import RepoId

_TOKEN_PATH = re.compile(
    r"(?P<base>.*)/api/(?P<kind>models|datasets|spaces|kernels)/(?P<owner>[^/]+)/(?P<name>[^/]+)/xet-(?:read|write)-token/(?P<revision>[^/]+)\Z"
)
# A token that expires within this many seconds is not used any more.
_MARGIN: Final = 60
# Finds the credential for an endpoint.
LogIn: TypeAlias = Callable[[str], Awaitable[Credential]]


class Action:
    """An upload or download that the endpoint offers: a Xet token, and the URL for the next one.

    Parameters
    ----------
    found:
        The action as git-lfs passes it on.

    Raises
    ------
    FormatError
        The action has no Xet token, or makes no sense.
    """

    def __init__(self, found: object) -> None:
        href = found.get("href") if isinstance(found, Mapping) else None
        header = found.get("header") if isinstance(found, Mapping) else None
        if not isinstance(href, str) or not isinstance(header, Mapping):
            raise FormatError("the endpoint did not say how the object is transferred with Xet")
        told = {str(name).lower(): str(value) for name, value in header.items()}
        token, expires = told.get("x-xet-access-token"), told.get("x-xet-token-expiration", "")
        if not token or not expires.isdecimal():
            raise FormatError("the endpoint gave no Xet token for the object")
        self.token: Final = XetToken(
            access_token=Secret(token), exp=int(expires), cas_url=told.get("x-xet-cas-url") or href
        )
        web_address(self.token.cas_url, what="the endpoint's action")
        self.xet_hash: Final = told.get("x-xet-hash")
        match = _TOKEN_PATH.match(urlsplit(href).path)
        origin = urlsplit(href if match else self.token.cas_url)
        # Behind a proxy, the endpoint may have a path.
        self.endpoint: Final = f"{origin.scheme}://{origin.netloc}{match['base'] if match else ''}"
        self.repo: Final = _repo(match) if match else None
        self.revision: Final = unquote(match["revision"]) if match else "main"


def _repo(match: re.Match[str]) -> RepoId:
    kind: Any = match["kind"]
    return RepoId(kind, unquote(match["owner"]), unquote(match["name"]))


class Tokens:
    """Xet tokens for one repository and scope: the newest one from an action, and when that has expired, the endpoint's.

    Parameters
    ----------
    log_in:
        Finds the credential for the endpoint. It is called only when the endpoint is asked for a token or for branches.
    """

    def __init__(self, action: Action, log_in: LogIn, limits: Limits) -> None:
        self._newest = action
        self._used: XetToken | None = None
        self._log_in = log_in
        self._limits = limits
        self._client: Client | None = None

    def offer(self, action: Action) -> None:
        """Take the token of another action, if it expires later."""
        if action.token.exp > self._newest.token.exp:
            self._newest = action

    async def xet_token(
        self,
        repo: RepoId,
        revision: str,
        scope: Scope,
        *,
        propose: bool = False,
        retry: Callable[[BaseException], bool] = is_transient,
    ) -> XetToken:
        """See `Hub.xet_token`. The token of an action is returned once; another call means that it was refused."""
        token = self._newest.token
        if token.exp - time.time() > _MARGIN and token is not self._used:
            self._used = token
            return token
        return await (await self._hub()).xet_token(repo, revision, scope, propose=propose, retry=retry)

    async def refs(self, repo: RepoId) -> Refs:
        """See `Hub.refs`."""
        return await (await self._hub()).refs(repo)

    async def _hub(self) -> Hub:
        if self._newest.repo is None:
            raise FormatError("the Xet token has ended, and the endpoint did not say where to get the next one")
        if self._client is None:
            self._client = _client(await self._log_in(self._newest.endpoint), self._limits)
        return self._client.hub

    async def aclose(self) -> None:
        """Close the connections to the endpoint."""
        if self._client is not None:
            await self._client.transport.aclose()


def _client(credential: Credential, limits: Limits) -> Client:
    return Client(Settings(credential, limits, RetryPolicy(), Timeouts()))


class Place:
    """The source or target of one repository's objects, as a `Reader` and an `Uploader` need it."""

    def __init__(self, action: Action, log_in: LogIn, limits: Limits) -> None:
        self.repo = action.repo or RepoId("models", "git", "lfs")
        self.limits = limits
        self.windows = Windows()
        # This client has no login: requests to the CAS carry the Xet token and no other.
        self._client = _client(Credential(action.endpoint), limits)
        self.hub = self._client.hub
        self.tokens = Tokens(action, log_in, limits)
        self._cas = Cas(self._client.transport, self.tokens, self.repo)
        self._cas.note_revision(action.revision)

    def cas(self, repo: RepoId) -> Cas:
        """The CAS, accessed with `tokens`."""
        assert repo == self.repo
        return self._cas

    async def aclose(self) -> None:
        """Close all connections."""
        await self.tokens.aclose()
        await self._client.transport.aclose()
