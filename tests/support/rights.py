"""New content and repositories, for tests of the rights to read them and to learn of them."""

from __future__ import annotations

import random

from support.raw_client import Content, RawClient

NOISE = random.Random(11)


def fresh(size: int = 150_000) -> Content:
    """Content that has not been uploaded before."""
    return Content.of(NOISE.randbytes(size))


def repository(client: RawClient, *, private: bool) -> str:
    """Make a repository of ``acme``; return its name."""
    name = f"acme/r{NOISE.getrandbits(40):x}"
    client.make_repo(name, private=private)
    return name


def own(client: RawClient) -> str:
    """The path of the repository ``own`` of the client's user."""
    return f"{client.get('/api/whoami-v2').json['name']}/own"
