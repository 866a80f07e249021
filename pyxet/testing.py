"""A local endpoint for tests.

with pyxet.testing.local_endpoint() as endpoint:
    fs = pyxet.XetFS(endpoint=endpoint.url, token=endpoint.token)
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from pyxet.local import server
from pyxet.options import public

if TYPE_CHECKING:
    from pyxet.server.behaviour import HubBehaviour
    from pyxet.server.running import LocalEndpoint

__all__ = ["HubBehaviour", "LocalEndpoint", "local_endpoint"]


@public()
def local_endpoint(
    root: str | os.PathLike[str] | None = None,
    user: str = "test",
    token: str | None = None,
    *,
    anonymous: bool = True,
    public_url: str | None = None,
    allowed_hosts: Iterable[str] = (),
    like_hub: bool | HubBehaviour = False,
    grants: bool = True,
) -> LocalEndpoint:
    """A local endpoint with ``.url``, ``.token``, ``.user`` and ``.root``; a context manager, sync and async.

    Parameters
    ----------
    root:
        Directory to serve; a temporary one, removed at the end, if ``None``.
    user, token:
        The account that may do everything; a random token if ``None``.
    anonymous:
        Whether clients without a token can read public repositories, as on the Hub. If false, they can only use signed
        URLs.
    public_url:
        The URL at which clients reach the endpoint if not at ``.url``, for instance through a proxy that ends TLS. Absolute
        URLs in answers begin with it.
    allowed_hosts:
        Names or addresses that the endpoint answers to, besides loopback ones and that of ``public_url``. Requests to
        other hosts get 421.
    like_hub:
        Whether to imitate the Hub's limits as well: request quotas with ``RateLimit`` headers, commits per hour, the
        time-out of commit requests, limits of folders and files. ``True`` takes the Hub's published figures; a
        `HubBehaviour` has other figures, for instance small ones that a test reaches soon.
    grants:
        Whether content is uploaded by upload grants, as on the Hub. If false, clients send it directly, as they did
        before upload grants existed.

    Raises
    ------
    ConfigError
        From this call: the packages of the ``local`` extra are missing, or the URL or a host is not valid. From entering the
        context: the directory cannot be used.
    """
    endpoint: LocalEndpoint = server().LocalEndpoint(
        root,
        user,
        token,
        anonymous=anonymous,
        public_url=public_url,
        allowed_hosts=allowed_hosts,
        like_hub=like_hub,
        grants=grants,
    )
    return endpoint


def __getattr__(name: str) -> Any:
    if name in ("HubBehaviour", "LocalEndpoint"):
        return getattr(server(), name)
    raise AttributeError(name)
