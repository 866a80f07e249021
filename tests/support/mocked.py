"""Answers that no real server gives on demand, by aioresponses: single statuses, headers and bodies.

aioresponses replaces the requests of a session. Streams, pauses and broken connections are tested with real servers, as
only those can have them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import Mock

import aioresponses.core
from aiohttp import ClientResponse
from aioresponses import aioresponses as AnswersInPlace

from pyxet._async.client import Client, Settings
from pyxet.config import Credential, Limits, RetryPolicy, Timeouts
from pyxet.secrets import Secret

URL = "http://hub.example"
FAST = RetryPolicy(attempts=3, base_delay=0.001, max_delay=0.002, max_retry_after=0.01)


class _Answer(ClientResponse):
    """A response with the ``stream_writer`` that aiohttp 3.14 requires and that aioresponses does not pass yet."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        options.setdefault("stream_writer", Mock(output_size=0))
        super().__init__(*arguments, **options)


@contextmanager
def answers() -> Iterator[AnswersInPlace]:
    """Answers for the requests in a block; a request without an answer fails to connect."""
    core: Any = aioresponses.core
    before = core.ClientResponse
    core.ClientResponse = _Answer
    try:
        with AnswersInPlace() as given:
            yield given
    finally:
        core.ClientResponse = before


def client(**options: Any) -> Client:
    """A client of the endpoint that aioresponses replaces."""
    settings: dict[str, Any] = {"limits": Limits(), "retry": FAST, "timeouts": Timeouts()} | options
    return Client(Settings(Credential(URL, "me", Secret("token")), **settings))
