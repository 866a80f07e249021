"""An endpoint in a directory that a test inspects, or on which it starts an endpoint again."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pyxet.testing import LocalEndpoint, local_endpoint
from support import gits
from support.raw_client import RawClient

REPO = "acme/kept"
BINARY = random.Random(1).randbytes(400_000)


@contextmanager
def kept(root: Path) -> Iterator[LocalEndpoint]:
    """Run the endpoint, with an empty repository."""
    with local_endpoint(root, "acme", "xet_token") as running:
        client_of(running).make_repo(REPO)
        yield running


def client_of(endpoint: LocalEndpoint) -> RawClient:
    """A client with the account that may do everything."""
    return RawClient(endpoint, endpoint.token)


def bare(endpoint: LocalEndpoint) -> Path:
    """The folder of the repository."""
    return gits.bare(endpoint, REPO)
