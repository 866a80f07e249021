"""What the tests of data tools share: an environment that names the endpoint, requests counted, commits told."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

import pyxet
from pyxet.testing import LocalEndpoint
from support.faults import DIRECT, UPLOAD, FaultProxy

# Requests that look something up, not counting those for tokens and for content.
LOOK = r"POST /api/.*/paths-info/|GET /api/.*/(tree|revision|refs)\b"
PLAN = r"GET /v\d/reconstructions"
XORB = r"GET /v1/xorbs/"
COMMIT = r"POST /api/.*/commit/"


@dataclass
class Tool:
    """A branch that tools reach by URLs and paths, with the requests that they make."""

    proxy: FaultProxy
    fs: pyxet.XetFS
    main: str

    @property
    def url(self) -> str:
        return f"xet://{self.main}"

    @property
    def titles(self) -> list[str]:
        """Of the commits after the first one, the newest first."""
        return [commit.title for commit in self.fs.log(self.main)][:-1]

    @property
    def options(self) -> dict[str, str]:
        """What workers cannot know, which began before the endpoint."""
        return {
            "endpoint": self.proxy.url,
            "user": "acme",
            "token": self.fs.credential.token.reveal() if self.fs.credential.token else "",
        }

    def files(self, folder: str = "") -> list[str]:
        """Paths of the files below a folder of the branch."""
        return [name.removeprefix(f"{self.main}/") for name in self.fs.find(f"{self.main}/{folder}")]

    def fresh(self) -> None:
        """Forget requests, and which commit the branch is at."""
        self.proxy.seen.clear()
        self.fs.invalidate_cache()

    @property
    def sent(self) -> int:
        """Bytes of content that were sent to the endpoint since `fresh`."""
        sending = re.compile(rf"{UPLOAD}|{DIRECT}")
        return sum(int(seen.headers.get("Content-Length", 0)) for seen in self.proxy.seen if sending.match(seen.line))

    def count(self, pattern: str = "") -> int:
        """How many requests matched since `fresh`, those for tokens left out."""
        return self.proxy.count(rf"(?!GET /api/.*/xet-\w+-token)(?:{pattern})")


@contextmanager
def tool(endpoint: LocalEndpoint, main: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tool]:
    """A proxy in front of the endpoint, and an environment that names the proxy."""
    with FaultProxy(endpoint.url) as proxy:
        monkeypatch.setenv("XET_ENDPOINT", proxy.url)
        monkeypatch.setenv("XET_USER_NAME", endpoint.user)
        monkeypatch.setenv("XET_USER_TOKEN", endpoint.token)
        yield Tool(proxy, pyxet.XetFS(), main)
