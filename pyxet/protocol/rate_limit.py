"""Quotas of requests in headers: ``RateLimit: "api";r=0;t=55`` and ``RateLimit-Policy: "fixed window";"api";q=1000;w=300``.

(draft-ietf-httpapi-ratelimit-headers, version 9, in the form that the Hub sends.)
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Final

# Maximum length of a header in characters. Longer ones are ignored.
_LONGEST: Final = 1000
_ITEM = re.compile(r'(?:"[^"]*"|[^",])+')
_NAME = re.compile(r'\s*"([^"]*)"')
_PARAMETER = re.compile(r";\s*([a-z]+)\s*=\s*(\d{1,12}(?:\.\d{1,6})?)\s*(?=;|\Z)", re.ASCII)


@dataclass(frozen=True, slots=True)
class RateLimit:
    """What is left of a quota.

    Attributes
    ----------
    name:
        The quota: on the Hub ``api``, ``resolvers`` or ``pages``.
    remaining:
        Requests that may still be sent in this window.
    reset:
        Seconds until the next window.
    allowed, window:
        Requests in a window, and its length in seconds, if the endpoint sends its policy.
    """

    name: str
    remaining: int
    reset: float
    allowed: int | None = None
    window: float | None = None

    @classmethod
    def parse(cls, limit: str | None, policy: str | None = None) -> RateLimit | None:
        """The quota in the headers; of several quotas, the one with the fewest requests left. ``None`` if there is none.

        Values that are negative or malformed are ignored.
        """
        found: RateLimit | None = None
        policies = {name: numbers for names, numbers in _items(policy) for name in names}
        for names, numbers in _items(limit):
            if not names or not {"r", "t"} <= numbers.keys():
                continue
            more = policies.get(names[0], {})
            allowed, window = more.get("q"), more.get("w")
            item = cls(names[0], int(numbers["r"]), numbers["t"], int(allowed) if allowed else None, window or None)
            if found is None or (item.remaining, -item.reset) < (found.remaining, -found.reset):
                found = item
        return found

    def headers(self) -> dict[str, str]:
        """The headers for this quota, with times in whole seconds."""
        told = {"RateLimit": f'"{self.name}";r={self.remaining};t={math.ceil(self.reset)}'}
        if self.allowed is not None and self.window is not None:
            told["RateLimit-Policy"] = f'"fixed window";"{self.name}";q={self.allowed};w={math.ceil(self.window)}'
        return told


def route_class(path: str) -> str | None:
    """The class of a request on the Hub, by the path of its URL; ``None`` for the CAS, which has no classes."""
    if path.startswith(("/v1/", "/v2/")):
        return None
    if path.startswith("/api/") or ".git/" in path:
        return "api"
    return "resolvers" if "/resolve/" in path else "pages"


def _items(text: str | None) -> list[tuple[list[str], dict[str, float]]]:
    """The members of a list in a header: the strings and the numeric parameters of each."""
    if not text or len(text) > _LONGEST:
        return []
    found = []
    for item in _ITEM.findall(text):
        names = re.findall(r'"([^"]*)"', item)
        numbers = {key: float(value) for key, value in _PARAMETER.findall(item)}
        if names and _NAME.match(item):
            found.append((names, numbers))
    return found
