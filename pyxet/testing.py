"""A local endpoint for tests.

with pyxet.testing.local_endpoint() as endpoint:
    fs = pyxet.XetFS(endpoint=endpoint.url, token=endpoint.token)
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from pyxet.local import server

if TYPE_CHECKING:
    from pyxet.server.running import LocalEndpoint

__all__ = ["LocalEndpoint", "local_endpoint"]


def local_endpoint(
    root: str | os.PathLike[str] | None = None,
    user: str = "test",
    token: str | None = None,
    *,
    anonymous: bool = True,
) -> LocalEndpoint:
    """A local endpoint with ``.url``, ``.token``, ``.user`` and ``.root``; a context manager, sync and async.

    Parameters
    ----------
    root:
        Directory to serve; a temporary one, removed at the end, if ``None``.
    user, token:
        The account that may do everything; a random token if ``None``.
    anonymous:
        Whether those without a token read the public repositories, as on the Hub; otherwise they get nothing but what a
        signed URL gives.

    Raises
    ------
    ConfigError
        On entry: the directory cannot be used. At once: the packages of the ``local`` extra are missing.
    """
    endpoint: LocalEndpoint = server().LocalEndpoint(root, user, token, anonymous=anonymous)
    return endpoint


def __getattr__(name: str) -> Any:
    if name == "LocalEndpoint":
        return server().LocalEndpoint
    raise AttributeError(name)
