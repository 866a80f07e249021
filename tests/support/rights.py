"""Content and repositories that nobody has seen, for tests of who may read and learn what."""

from __future__ import annotations

import random

from support.raw_client import Content, RawClient

NOISE = random.Random(11)


def fresh(size: int = 150_000) -> Content:
    """Content that nobody has sent yet."""
    return Content.of(NOISE.randbytes(size))


def repository(client: RawClient, *, private: bool) -> str:
    """A new repository of ``acme``."""
    name = f"acme/r{NOISE.getrandbits(40):x}"
    client.make_repo(name, private=private)
    return name


def own(client: RawClient) -> str:
    """The repository that a user has by that name."""
    return f"{client.get('/api/whoami-v2').json['name']}/own"
