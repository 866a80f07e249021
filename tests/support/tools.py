"""Helpers for tests of data tools: an environment with the endpoint, counts of requests, titles of commits."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

import pyxet
from pyxet.testing import LocalEndpoint
from support.faults import DIRECT, UPLOAD, FaultProxy

# Requests that look something up, without those for tokens and for content.
LOOK = r"POST /api/.*/paths-info/|GET /api/.*/(tree|revision|refs)\b"
PLAN = r"GET /v\d/reconstructions"
XORB = r"GET /v1/xorbs/"
COMMIT = r"POST /api/.*/commit/"


@dataclass
class Tool:
    """A branch that tools access by URLs and paths, with the requests that they make."""

    proxy: FaultProxy
    fs: pyxet.XetFS
    main: str

    @property
    def url(self) -> str:
        return f"xet://{self.main}"

    @property
    def titles(self) -> list[str]:
        """Titles of the commits after the first one, the newest first."""
        return [commit.title for commit in self.fs.log(self.main)][:-1]

    @property
    def options(self) -> dict[str, str]:
        """Options for workers that were started before the endpoint, and so do not have it in their environment."""
        return {
            "endpoint": self.proxy.url,
            "user": "acme",
            "token": self.fs.credential.token.reveal() if self.fs.credential.token else "",
        }

    def files(self, folder: str = "") -> list[str]:
        """Paths of the files below a folder of the branch."""
        return [name.removeprefix(f"{self.main}/") for name in self.fs.find(f"{self.main}/{folder}")]

    def fresh(self) -> None:
        """Forget the requests so far, and the cached head of the branch."""
        self.proxy.seen.clear()
        self.fs.invalidate_cache()

    @property
    def sent(self) -> int:
        """Bytes of content that were sent to the endpoint since `fresh`."""
        sending = re.compile(rf"{UPLOAD}|{DIRECT}")
        return sum(int(seen.headers.get("Content-Length", 0)) for seen in self.proxy.seen if sending.match(seen.line))

    def count(self, pattern: str = "") -> int:
        """Number of matching requests since `fresh`, without those for tokens."""
        return self.proxy.count(rf"(?!GET /api/.*/xet-\w+-token)(?:{pattern})")


@contextmanager
def tool(endpoint: LocalEndpoint, main: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tool]:
    """A `Tool` with a proxy in front of the endpoint; environment variables name the proxy as the endpoint."""
    with FaultProxy(endpoint.url) as proxy:
        monkeypatch.setenv("XET_ENDPOINT", proxy.url)
        monkeypatch.setenv("XET_USER_NAME", endpoint.user)
        monkeypatch.setenv("XET_USER_TOKEN", endpoint.token)
        yield Tool(proxy, pyxet.XetFS(), main)
