"""The names under which the endpoint answers, and the absolute URLs in its answers.

A page on the web may have its own name resolve to 127.0.0.1 and then read an endpoint there as if it were its own server
(DNS rebinding). The ``Host`` header reveals this, so the endpoint answers only requests to known names.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from typing import Final

from aiohttp import web
from yarl import URL

from pyxet.errors import BadRequestError, ConfigError

_AUTHORITY = re.compile(
    r"(?P<name>\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,252}[A-Za-z0-9_.])?)(?::(?P<port>\d{1,5}))?\Z",
    re.ASCII,
)
_EVERYWHERE: Final = ("", "0.0.0.0", "::", "[::]")  # these are compared, not listened on


class Hosts:
    """The names that an endpoint answers to.

    Loopback names (``localhost``, ``127.0.0.0/8``, ``::1``) are always among them, with any port, so that tunnels and
    forwarded ports work.

    Parameters
    ----------
    public_url:
        Where clients reach the endpoint, for instance through a proxy that ends TLS: all absolute URLs begin with it, and the
        endpoint answers to its host. ``None``: absolute URLs name the host that the request was sent to.
    allowed:
        More names or addresses, each with or without a port; without a port, all ports are allowed.
    listening:
        The address that the endpoint listens on; it is allowed too, unless it stands for all addresses.

    Raises
    ------
    ConfigError
        The URL or one of the names is not valid.
    """

    def __init__(self, public_url: str | None = None, allowed: Iterable[str] = (), listening: str = "") -> None:
        self._public = _checked_url(public_url) if public_url is not None else None
        named = [(name, f"the allowed host {name!r}") for name in allowed]
        if self._public is not None:
            named.append((URL(self._public).host_subcomponent or "", f"the public URL {public_url!r}"))
        if listening not in _EVERYWHERE:
            named.append((listening, f"the address {listening!r}"))
        self._allowed = {_split(_bracketed(name), what) for name, what in named}

    def check(self, request: web.Request) -> None:
        """Refuse a request that was sent to another host.

        Raises
        ------
        BadRequestError
            With status 421 for a host that is not known, 400 if the host is missing, repeated or not valid.
        """
        authority = _authority(request)
        if authority is None:
            return
        try:
            name, port = _split(authority, "Host")
        except ConfigError:
            raise BadRequestError("the Host header is not a host with an optional port", status=400) from None
        if not (is_loopback(name) or (name, None) in self._allowed or (name, port) in self._allowed):
            raise BadRequestError(
                f"this endpoint does not answer to the host {name!r}; who runs it can allow it (--allowed-host {name}, "
                "or --public-url with all of the URL)", status=421,
            )  # fmt: skip

    def is_for_foreign_page(self, request: web.Request) -> bool:
        """Whether a browser sends a request because a page of another origin wants it.

        Browsers add the password that they keep for this endpoint to such requests, whatever page makes them. A link that
        somebody follows does not count as such a request.
        """
        origin = request.headers.get("Origin")
        if origin is not None and origin.lower() != str(URL(self.base(request)).origin()).lower():
            return True
        follows = request.method in ("GET", "HEAD") and request.headers.get("Sec-Fetch-Mode") == "navigate"
        return request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin") and not follows

    def base(self, request: web.Request) -> str:
        """The base of absolute URLs in the answer to a request that passed `check`, without a slash at the end."""
        if self._public is not None:
            return self._public
        # Without a header: the address at which the connection arrived.
        return f"{request.scheme}://{_authority(request) or request.host}"


HOSTS: Final = web.AppKey("hosts", Hosts)


def absolute(request: web.Request, path: str) -> str:
    """The URL of a path of this endpoint, encoded and with its query, as clients reach it."""
    return request.app[HOSTS].base(request) + path


def next_page(request: web.Request, **query: str | int) -> str:
    """The ``Link`` header that leads from a page of a listing to the next one: the same request with changes to its query."""
    return f'<{absolute(request, str(request.rel_url.update_query(query)))}>; rel="next"'


def _authority(request: web.Request) -> str | None:
    """The host and port that a request was sent to; ``None`` for HTTP/1.0 without a header.

    If the request line has an absolute URL, as in requests to proxies, that URL counts and not the header (RFC 9112, 3.2.2).
    """
    headers = request.headers.getall("Host", [])
    if len(headers) > 1 or (not headers and request.version >= (1, 1)):
        raise BadRequestError("a request needs one Host header", status=400)
    if not request.raw_path.startswith("/"):
        _, found, rest = request.raw_path.partition("://")
        if found:
            return re.split(r"[/?#]", rest, maxsplit=1)[0]
    return headers[0].strip() if headers else None


def _split(authority: str, what: str) -> tuple[str, int | None]:
    """Name (lower case, addresses in one form) and port."""
    match = _AUTHORITY.match(authority)
    port = int(match["port"]) if match and match["port"] else None
    if match is None or (port is not None and not 0 < port < 65536):
        raise ConfigError(f"{what} must be a host name or address, with or without a port")
    name = match["name"].lower().removesuffix(".")
    address = _address(name)
    return (str(address) if address else name), port


def _bracketed(name: str) -> str:
    """An IPv6 address may be given bare."""
    return f"[{name}]" if name.count(":") > 1 and not name.startswith("[") else name


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return None


def is_loopback(name: str) -> bool:
    """Whether a name or address is reached from this machine only."""
    address = _address(name)
    return name == "localhost" or (address is not None and address.is_loopback)


def _checked_url(text: str) -> str:
    try:
        url = URL(text)
        valid = url.scheme in ("http", "https") and url.host and not (url.query_string or url.fragment or url.user)
    except ValueError:
        valid = None
    if not valid or "?" in text or "#" in text or "@" in text or not text.isprintable():
        raise ConfigError(
            f"the public URL {text!r} must be http(s)://host[:port][/path], without user, query or fragment"
        )
    return str(url).rstrip("/")
