"""Everything that belongs to one endpoint and credential: shared by all file systems that use them."""

from __future__ import annotations

import threading
from typing import NamedTuple

from pyxet._async.cas import Cas
from pyxet._async.hub import Hub
from pyxet._async.transport import Transport
from pyxet.config import Credential, Limits, RetryPolicy, Timeouts
from pyxet.urls import RepoId


class Settings(NamedTuple):
    """What makes two clients the same."""

    credential: Credential
    limits: Limits
    retry: RetryPolicy
    timeouts: Timeouts


class Client:
    """The endpoint's Hub and CAS, with the limits that bound their use."""

    def __init__(self, settings: Settings) -> None:
        credential, self.limits, retry, timeouts = settings
        self.endpoint = credential.endpoint
        self.user = credential.user
        self.transport = Transport(credential.endpoint, credential, limits=self.limits, retry=retry, timeouts=timeouts)
        self.hub = Hub(self.transport)
        self._cas: dict[RepoId, Cas] = {}

    def cas(self, repo: RepoId) -> Cas:
        """The CAS as a repository's tokens open it."""
        return self._cas.setdefault(repo, Cas(self.transport, self.hub, repo))


_clients: dict[Settings, Client] = {}
_lock = threading.Lock()


def shared_client(settings: Settings) -> Client:
    """The process's client for these settings."""
    with _lock:
        if settings not in _clients:
            _clients[settings] = Client(settings)
        return _clients[settings]
