"""How paths and URLs of the file system are written: scheme, endpoint, and the one normal form of a path."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import unquote

from fsspec.utils import stringify_path

from pyxet import config
from pyxet.errors import XetURLError
from pyxet.types import PREFIXED_KINDS
from pyxet.urls import SCHEME, endpoint_name, endpoint_url, quote_revision

_PREFIXES: Final = (f"{SCHEME}://", f"fsspec+{SCHEME}://")


def as_text(path: Any) -> str:
    """A path as text. Raises `TypeError` if it is not a path."""
    text = stringify_path(path)
    if not isinstance(text, str):
        raise TypeError(f"a path is a str or an os.PathLike of text, not {type(path).__name__}")
    return text


def is_url(path: Any) -> bool:
    """Whether a path is written as a URL with our scheme."""
    return as_text(path).startswith(_PREFIXES)


class EndpointInURL(str):
    """The endpoint of a URL.

    fsspec compares an option of the URL with the same option of the constructor, and then drops the URL's option. Only in that
    comparison can a URL with another endpoint than the constructor's be refused, so ``!=`` raises `XetURLError` for it.
    """

    __slots__ = ()
    __hash__ = str.__hash__

    def __ne__(self, other: object) -> bool:
        if isinstance(other, str) and not same_endpoint(self, config.resolve_endpoint(other)):
            raise XetURLError(f"the URL names the endpoint {self}, but another endpoint was given: {other}")
        return not isinstance(other, str)


def same_endpoint(name: str, endpoint: str) -> bool:
    """Whether a URL's ``host`` or ``host:port`` is that of an endpoint. The scheme, which URLs do not give, is ignored."""
    return endpoint_url(name) == endpoint or name.lower() == endpoint_name(endpoint).lower()


def without_protocol(path: Any) -> str:
    """Normalize a path: without scheme, endpoint, ``models/``, and slashes at its ends."""
    text = as_text(path)
    for prefix in _PREFIXES:
        if text.startswith(prefix):
            text = text.removeprefix(prefix)
            break
    first, slash, rest = text.lstrip("/").partition("/")
    text = (first.rpartition(":")[2] + slash + rest).rstrip("/")
    if "%" not in text and not text.startswith("models"):
        return text
    parts = text.split("/")
    if parts[0] == "models":
        del parts[0]
    at = 3 if parts and parts[0] in PREFIXED_KINDS else 2
    if len(parts) > at:
        parts[at] = quote_revision(unquote(parts[at]))
    return "/".join(parts)
