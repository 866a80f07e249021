"""Credentials for git: passes pyxet's logins to git, and gets from git the logins that pyxet does not have."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

from pyxet._async.runtime.threads import in_thread
from pyxet.config import (
    DEFAULT_ENDPOINT,
    Credential,
    is_embedded,
    resolve_credential,
    resolve_endpoint,
    saved_endpoints,
)
from pyxet.errors import ConfigError, XetURLError
from pyxet.git.command import GitError, run_git
from pyxet.secrets import Secret
from pyxet.urls import endpoint_url

# The user name for a token whose user is not known. The endpoint recognizes the user by the token alone.
_NAMELESS = "xet"


def known_endpoints(endpoint: str | None = None) -> list[str]:
    """The endpoints that git may have to log in to: ``endpoint`` or the configured one, saved logins', and the default."""
    found = dict.fromkeys([resolve_endpoint(endpoint), *saved_endpoints(), DEFAULT_ENDPOINT])
    return [name for name in found if not is_embedded(name)]


def endpoint_above(url: str, endpoint: str | None = None) -> str | None:
    """The endpoint that a URL of git is below, of `known_endpoints`; the one with the longest URL if there are several."""
    return max((name for name in known_endpoints(endpoint) if f"{url}/".startswith(f"{name}/")), key=len, default=None)


async def log_in(endpoint: str) -> Credential:
    """The credential for an endpoint: pyxet's own, or else git's. It has no token if neither has one."""
    found = resolve_credential(endpoint)
    return found if found.token or found.origin != "found" else await in_thread(_of_git, endpoint)


def _of_git(endpoint: str) -> Credential:
    url = urlsplit(endpoint)
    path = url.path.strip("/")
    where = f"protocol={url.scheme}\nhost={url.netloc}\n" + (f"path={path}\n" if path else "")
    try:
        told = run_git(
            "credential", "fill", given=f"{where}\n",
            environment={"GIT_TERMINAL_PROMPT": "0", "GIT_ASKPASS": "", "SSH_ASKPASS": ""},
        )  # fmt: skip
    except GitError:
        return Credential(endpoint)
    values = dict(line.split("=", 1) for line in told.splitlines() if "=" in line)
    token = values.get("password")
    return Credential(endpoint, values.get("username"), Secret(token) if token else None, "of git's credential helper")


def answer(request: str) -> str:
    """The answer of a credential helper to ``get``: user and token of a login for the endpoint; empty if there is none.

    If git passes a path, as it does for endpoints with a path, the login is that of the nearest endpoint above it.

    Parameters
    ----------
    request:
        The lines that git writes to a helper.
    """
    asked = dict(line.split("=", 1) for line in request.splitlines() if "=" in line)
    protocol, host = asked.get("protocol"), asked.get("host")
    if protocol not in ("http", "https") or not host:
        return ""
    origin = f"{protocol}://{unquote(host)}"
    try:
        found = resolve_credential(endpoint_above(f"{origin}/{asked.get('path', '')}") or endpoint_url(origin))
    except (ConfigError, XetURLError):
        return ""
    user = asked.get("username") or found.user or _NAMELESS
    if not found.token or (found.user and user != found.user):
        return ""
    return f"username={user}\npassword={found.token.reveal()}\n"
