"""Checks addresses that endpoints name, as they are not to be trusted: redirects, next pages, signed URLs, the CAS."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote, urljoin

from yarl import URL

from pyxet.errors import FormatError

# Signed URLs have one or two kilobytes; no server takes request lines longer than this.
_LONGEST: Final = 16 * 1024
_PRINTABLE: Final = "".join(map(chr, range(0x21, 0x7F)))
_USER = re.compile(r"//[^/]*@")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def web_address(text: str, *, what: str, base: URL | None = None) -> URL:
    """An absolute http(s) address, as the endpoint wrote it: a signature covers each character.

    Parameters
    ----------
    text:
        The address. Blanks and characters beyond ASCII are percent-encoded, nothing else is changed.
    what:
        What is being done, for error messages.
    base:
        What a relative address is relative to; without it the address must be absolute.

    Raises
    ------
    FormatError
        It is not the address of something on the web: another scheme, no host, a control character, a name and
        password, or far too long.
    """
    if len(text) > _LONGEST:
        raise FormatError(f"{what}: the endpoint names an address of {len(text):,} characters")
    if _CONTROL.search(text):
        raise _unusable(what, text, "it has a control character")
    if not text.isascii() or " " in text:
        text = quote(text, safe=_PRINTABLE, errors="surrogateescape")
    try:
        url = URL(urljoin(str(base), text) if base is not None else text, encoded=True)
        host, user = url.raw_host, url.raw_user
    except ValueError:
        raise _unusable(what, text, "it is malformed") from None
    if url.scheme not in ("http", "https") or not host:
        raise _unusable(what, text, "expected http:// or https:// and a host")
    if user is not None:
        raise _unusable(what, text, "it has a user name in it")
    return url


def _unusable(what: str, text: str, reason: str) -> FormatError:
    # Without what may be secret: a signature in the query, a password.
    shown = _CONTROL.sub("?", _USER.sub("//…@", text.partition("?")[0]))[:100]
    return FormatError(f"{what}: the endpoint names the address {shown!r}, which cannot be used ({reason})")
