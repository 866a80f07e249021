"""Clients: everything that belongs to one endpoint and credential, shared by all file systems that use both."""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import Final, NamedTuple
from weakref import WeakKeyDictionary, WeakValueDictionary

from pyxet._async.download.reader import Reader
from pyxet._async.download.windows import Windows
from pyxet._async.endpoint.cas import Cas
from pyxet._async.endpoint.hub import Hub
from pyxet._async.endpoint.pull_requests import PullRequests
from pyxet._async.http.transport import Transport
from pyxet._async.tree.catalog import Catalog
from pyxet._async.tree.heads import Heads
from pyxet._async.tree.revisions import Revisions
from pyxet._async.tree.trees import Trees
from pyxet._platform import after_fork
from pyxet.config import Credential, Limits, RetryPolicy, Timeouts
from pyxet.secrets import Secret
from pyxet.types import RepoId
from pyxet.urls import pull_request_number


class Settings(NamedTuple):
    """The settings of a client. File systems with equal settings share one client."""

    credential: Credential
    limits: Limits
    retry: RetryPolicy
    timeouts: Timeouts


class Client:
    """The endpoint's Hub and CAS, with the limits that bound their use."""

    def __init__(self, settings: Settings) -> None:
        self.credential, self.limits, self.retry, timeouts = settings
        # False in child processes that were forked after the client was made.
        self.is_usable = True
        self.endpoint = self.credential.endpoint
        self.transport = Transport(
            self.endpoint, self.credential, limits=self.limits, retry=self.retry, timeouts=timeouts
        )
        self.hub = Hub(self.transport)
        self.pull_requests = PullRequests(self.hub)
        self.revisions = Revisions(self.hub, self._others)
        self.catalog = Catalog(self.hub, self.revisions)
        # The same catalog, for code that works with every kind of place where files are stored, not only with repositories.
        self.trees: Trees = self.catalog
        self.heads = Heads()
        self._name: tuple[Secret | None, str] | None = None
        self._entered: WeakKeyDictionary[asyncio.AbstractEventLoop, int] = WeakKeyDictionary()
        self._cas: dict[tuple[RepoId, str | None, bool], Cas] = {}
        self.windows = Windows()
        self.reader = Reader(self)

    def cas(self, repo: RepoId, branch: str | None = None, *, propose: bool = False) -> Cas:
        """The CAS with tokens of a repository, to store content for a branch, or for a new pull request (``propose``).

        One token serves the whole repository, except for pull requests: some users may write only to their own.
        """
        key = (repo, branch if propose or pull_request_number(branch or "") is not None else None, propose)
        found = self._cas.get(key)
        if found is None:
            found = self._cas.setdefault(key, Cas(self.transport, self.hub, *key[:2], propose=propose))
        return found

    def _others(self) -> list[Revisions]:
        """The `Revisions` of clients that use the same endpoint with other credentials or settings."""
        with _lock:
            clients = list(_clients.values())
        return [client.revisions for client in clients if client.endpoint == self.endpoint and client is not self]

    async def current(self) -> Credential:
        """The address of the endpoint, the user and the token for the next request."""
        return await self.transport.place.here()

    async def address(self) -> str:
        """The URL of the endpoint, with which the URLs of its pages begin; that of an embedded one may change."""
        return (await self.current()).endpoint

    async def user(self) -> str:
        """The name of the credential's user."""
        here = await self.current()
        if here.user is not None:
            return here.user
        known = self._name
        if known is None or known[0] != here.token:
            name = (await self.hub.whoami()).name
            # The token may have been replaced during the request.
            known = self._name = ((await self.current()).token, name)
        return known[1]

    def acquire(self) -> None:
        """Count one more ``async with`` on the running loop; every call needs a `release`."""
        loop = asyncio.get_running_loop()
        self._entered[loop] = self._entered.get(loop, 0) + 1

    async def release(self) -> None:
        """Count one ``async with`` less on the running loop, and close the loop's connections after the last one."""
        loop = asyncio.get_running_loop()
        left = self._entered.pop(loop, 1) - 1
        if left:
            self._entered[loop] = left
        else:
            await self.transport.aclose()


# The most clients that are kept although no file system uses them, for programs that make a file system for each call.
_KEPT: Final = 32
_Key = tuple[Hashable, ...]
# Clients by their settings, and by where a new token is looked up if one is refused. A service may have a client for each
# token of its users, and each client keeps what it has listed; so the references are weak.
_clients: WeakValueDictionary[_Key, Client] = WeakValueDictionary()
_latest: OrderedDict[_Key, Client] = OrderedDict()
# Reentrant: the garbage collector may end a call, or a caller's object that makes a file system, while this thread has the lock.
_lock = threading.RLock()
_inherited: list[object] = []


def _after_fork() -> None:
    """Make a forked child use new clients: in the parent's, another thread may hold a lock or be changing a dictionary.

    The parent's clients are kept, as collecting them would close the parent's sockets.
    """
    global _clients, _latest, _lock
    inherited = list(_clients.values())
    for client in inherited:
        client.is_usable = False
    _inherited.append(inherited)
    _clients, _latest, _lock = WeakValueDictionary(), OrderedDict(), threading.RLock()


after_fork(_after_fork)


def shared_client(settings: Settings) -> Client:
    """The process's client for these settings."""
    credential = settings.credential
    key = settings, credential.origin, credential.account, credential.source
    unused: Client | None = None
    # Made outside of the lock, which other threads need: what is collected meanwhile may wait for one of them.
    made = None if key in _clients else Client(settings)
    with _lock:
        client = _clients.get(key)
        if client is None:
            client = _clients[key] = made or Client(settings)
        _latest[key] = client
        _latest.move_to_end(key)
        if len(_latest) > _KEPT:
            _, unused = _latest.popitem(last=False)
    # Dropped outside of the lock: if no file system uses this client, its connections are closed now.
    del unused
    return client
