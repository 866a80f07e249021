"""A service that issues and renews tokens for an endpoint, like the Hub's: ``/oauth/token``, and identities of CI jobs."""

from __future__ import annotations

import configparser
import json
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from pyxet.server.state import TOKENS
from pyxet.server.tokens import Account
from pyxet.testing import LocalEndpoint
from support.faults import FaultProxy

OAUTH = r"POST /oauth/token"
IDENTITY = r"GET /identity"


@dataclass
class Authority:
    """Rules for a proxy in front of an endpoint; the tokens that they issue are added to the endpoint.

    Each refresh token is accepted once, and each answer has a new one.
    """

    endpoint: LocalEndpoint
    proxy: FaultProxy
    life: int = 30 * 24 * 3600
    user: str = "acme"
    # Valid refresh tokens and identities.
    refreshing: set[str] = field(default_factory=set)
    identities: set[str] = field(default_factory=set)
    # The requests for tokens: forms and JSON.
    asked: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.proxy.rule(OAUTH, self._token)
        self.proxy.rule(IDENTITY, self._identity)

    def made(self) -> str:
        """A new token that the endpoint accepts."""
        return self.endpoint.add_token(self.user)

    def refuse(self, token: str) -> None:
        """Make the endpoint refuse a token from now on."""
        self.endpoint.start().app[TOKENS].add_account(token, Account(self.user, "write", expires=1.0))

    def login(self, home: Path, *, expires_at: int, token: str | None = None) -> str:
        """Write the files that ``hf auth login`` leaves in ``HF_HOME``, and return the token."""
        token, refresh = token or self.made(), secrets.token_hex(8)
        self.refreshing.add(refresh)
        home.mkdir(parents=True, exist_ok=True)
        config = configparser.ConfigParser(interpolation=None)
        config["oauth-acme"] = {"hf_token": token, "refresh_token": refresh, "expires_at": str(expires_at)}
        config["another one, 100 %"] = {"hf_token": "hf_another"}
        with (home / "stored_tokens").open("w") as file:
            config.write(file)
        (home / "token").write_text(token)
        return token

    async def _token(self, _: FaultProxy, request: web.Request) -> web.StreamResponse:
        said: dict[str, Any] = (
            dict(await request.post()) if request.content_type != "application/json" else await request.json()
        )
        self.asked.append(said)
        if said["grant_type"] == "refresh_token":
            if said["refresh_token"] not in self.refreshing or not said["client_id"]:
                return _refused("invalid_grant")
            self.refreshing.remove(said["refresh_token"])
            refresh = secrets.token_hex(8)
            self.refreshing.add(refresh)
            return _answer(access_token=self.made(), refresh_token=refresh, expires_in=self.life, token_type="bearer")
        if said["subject_token"] not in self.identities:
            return _refused("the identity is not one of a trusted publisher")
        return _answer(access_token=self.made(), expires_in=self.life, token_type="bearer")

    async def _identity(self, _: FaultProxy, request: web.Request) -> web.StreamResponse:
        """The identity of a job of GitHub Actions for an audience, requested with the job's own token."""
        if request.headers.get("Authorization") != "Bearer of-the-job":
            return web.Response(status=401)
        identity = f"{request.query['audience']}#{secrets.token_hex(4)}"
        self.identities.add(identity)
        return _answer(value=identity)


def _answer(**said: Any) -> web.Response:
    return web.Response(body=json.dumps(said), content_type="application/json")


def _refused(error: str) -> web.Response:
    return web.Response(status=400, body=json.dumps({"error": error}), content_type="application/json")
