"""Requests to an endpoint whose bytes a test determines exactly."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from contextlib import suppress
from urllib.parse import urlsplit

from support.raw_client import Place


def connect(endpoint: Place) -> socket.socket:
    """A connection to an endpoint."""
    url = urlsplit(endpoint.url)
    assert url.hostname is not None
    return socket.create_connection((url.hostname, url.port or 80), timeout=60)


def exchange(
    endpoint: Place,
    method: str,
    target: str,
    fields: Iterable[tuple[str, str]],
    body: bytes = b"",
    *,
    version: str = "1.1",
) -> tuple[int, dict[str, str], bytes]:
    """Send exactly this request; return status, header fields (names in lower case) and body of the answer.

    Only the length of a body is added. The answer ends when the endpoint closes the connection, so a field should ask for that.
    """
    lines = [f"{method} {target} HTTP/{version}", *(f"{name}: {value}" for name, value in fields)]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return raw_exchange(endpoint, "\r\n".join([*lines, "", ""]).encode() + body)


def raw_exchange(endpoint: Place, request: bytes) -> tuple[int, dict[str, str], bytes]:
    """Like `exchange`, for any bytes; the status is 0 if the endpoint closes the connection without an answer."""
    with connect(endpoint) as connection:
        answer = b""
        with suppress(ConnectionError):
            connection.sendall(request)
        with suppress(ConnectionError):
            while data := connection.recv(65536):
                answer += data
    head, _, rest = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    found = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return int(first.split()[1]) if first else 0, found, rest
