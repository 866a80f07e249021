"""Logging in from Python, with a check of the token."""

from __future__ import annotations

from pyxet import config
from pyxet.errors import AuthenticationError, ConfigError, ConnectionFailedError, RequestTimeoutError
from pyxet.fs import XetFS
from pyxet.options import public
from pyxet.urls import endpoint_url


@public()
def login(
    user: str,
    token: str,
    email: str | None = None,
    host: str | None = None,
    *,
    save: bool = False,
    overwrite: bool = True,
    check: bool = True,
) -> None:
    """Set the user and token for an endpoint in this process.

    Parameters
    ----------
    user, token:
        Name and access token.
    email:
        Accepted for compatibility with the first pyxet; not used.
    host:
        Endpoint (host, ``host:port`` or URL) that the login is for, which also becomes the process's default endpoint.
        Without it the login is for the default endpoint.
    save:
        Save the login for later processes, as ``xet login`` does, in a file that only its owner can read.
    overwrite:
        Whether a saved login for the endpoint is replaced.
    check:
        Whether to ask the endpoint first to whom the token belongs. If not, nothing is sent, and a wrong token is noticed
        when it is first used.

    Raises
    ------
    AuthenticationError
        The endpoint does not accept the token, or it belongs to another user.
    ConnectionFailedError, RequestTimeoutError
        The endpoint cannot be reached.
    ConfigError
        The user or the token is empty or cannot be one; the file cannot be read or written.
    AlreadyExistsError
        A login for the endpoint is saved, and ``overwrite`` is false.
    """
    if not user or not token:
        raise ConfigError("login needs a user and a token, neither of them empty")
    endpoint = endpoint_url(host) if host is not None else config.resolve_endpoint()
    # An endpoint that is embedded in this process has a token of its own.
    if check and not config.is_embedded(endpoint):
        try:
            name = XetFS(endpoint, token=token).get_username()
        except (ConnectionFailedError, RequestTimeoutError) as error:
            error.hint = "check the endpoint and the network; check=False logs in without asking"
            raise
        if name != user:
            raise AuthenticationError(f"the token belongs to {name!r} at {endpoint}, not to {user!r}")
    config.login(user, token, email, host, save=save, overwrite=overwrite)
