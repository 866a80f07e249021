"""The part of a client that downloads use."""

from __future__ import annotations

from typing import Protocol

from pyxet._async.download.windows import Windows
from pyxet._async.endpoint.cas import Cas
from pyxet._async.endpoint.hub import Hub
from pyxet.config import Limits
from pyxet.types import RepoId


class Source(Protocol):
    """One endpoint with one credential. The client implements this.

    Attributes
    ----------
    limits:
        Bounds of memory and concurrency.
    hub:
        Serves files that are not in Xet storage.
    windows:
        Windows of files that are being read.
    """

    limits: Limits
    hub: Hub
    windows: Windows

    def cas(self, repo: RepoId) -> Cas:
        """The CAS, accessed with the tokens of a repository."""
