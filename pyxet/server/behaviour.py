"""Settings for what only the Hub does by default: quotas, limits, slow commits, lifetimes. Other modules act on them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, fields
from difflib import get_close_matches
from typing import Final

from pyxet.errors import ConfigError

_GB: Final = 10**9


@dataclass(frozen=True, slots=True, kw_only=True)
class HubBehaviour:
    """How an endpoint behaves like the Hub. The defaults are the Hub's published figures for a free account.

    Quotas count requests in fixed windows, for each user, or for each address if there is no token. Every answer to a
    counted request has ``RateLimit`` and ``RateLimit-Policy``; requests over the quota get 429 without ``Retry-After``.
    Requests for content (the CAS) are not counted. ``None`` for a quota or limit means that there is none.

    Attributes
    ----------
    api, resolvers, pages:
        Requests of a user in a window: for ``/api/…`` (and git), for ``…/resolve/…``, and for all else.
    anonymous_api, anonymous_resolvers, anonymous_pages:
        The same for an address without a token.
    window:
        Length of a window in seconds.
    commits, commits_window:
        How many commits of a user are accepted, and in how many seconds. Further ones get 429, which does not say how
        long to wait. The Hub does not publish its figure; its error message to users says 128 an hour.
    commit_timeout:
        Seconds after which a commit request is ended with 504.
    commit_seconds_per_file:
        Seconds added to a commit for each of its files. The Hub publishes no figure; with 0.5, commits of more than 120
        files exceed the default ``commit_timeout``.
    late_commits:
        Whether a commit whose request ended with 504 is still made once its time has passed. Otherwise it never is.
    folder_entries:
        Entries of a folder. A commit that would add more is refused with 400.
    file_size:
        Bytes of a file. Larger ones are refused with 413, before their upload and in a commit.
    commit_files:
        The recommended number of files in a commit, which clients are told. More are accepted.
    token_life, url_life:
        Seconds for which Xet tokens and signed URLs are valid.
    latency:
        Seconds to wait before each request is handled.

    Raises
    ------
    ConfigError
        A value is negative or not a number.
    """

    api: int | None = 1000
    resolvers: int | None = 5000
    pages: int | None = 200
    anonymous_api: int | None = 500
    anonymous_resolvers: int | None = 3000
    anonymous_pages: int | None = 100
    window: float = 300.0
    commits: int | None = 128
    commits_window: float = 3600.0
    commit_timeout: float | None = 60.0
    commit_seconds_per_file: float = 0.0
    late_commits: bool = True
    folder_entries: int | None = 10_000
    file_size: int | None = 500 * _GB
    commit_files: int | None = 100
    token_life: float = 3600.0
    url_life: float = 3600.0
    latency: float = 0.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is None and "None" in str(field.type):
                continue
            is_number = isinstance(value, int | float) and math.isfinite(value)
            if not is_number or value < 0 or ("window" in field.name and not value):
                raise ConfigError(f"HubBehaviour: {field.name}={value!r}; expected a number that is not negative")

    @classmethod
    def parse(cls, settings: Iterable[str]) -> HubBehaviour:
        """The behaviour that settings such as ``api=200`` and ``commits=none`` ask for.

        Raises
        ------
        ConfigError
            A setting is not of the form ``name=value``, or its name is unknown, or its value makes no sense.
        """
        names = {field.name: str(field.type) for field in fields(cls)}
        values: dict[str, int | float | bool | None] = {}
        for setting in settings:
            name, _, text = (part.strip() for part in setting.partition("="))
            name = name.replace("-", "_")
            if name not in names:
                near = get_close_matches(name, names, n=1) or sorted(names)
                raise ConfigError(f"{setting!r}: expected NAME=VALUE with one of the names {', '.join(near)}")
            values[name] = _value(setting, text.lower(), names[name])
        return cls(**values)  # type: ignore[arg-type]  # `_value` converts each to the type of its field


def _value(setting: str, text: str, kind: str) -> int | float | bool | None:
    if text == "none" and "None" in kind:
        return None
    if kind == "bool":
        if text in ("true", "false"):
            return text == "true"
        raise ConfigError(f"{setting!r}: expected true or false")
    try:
        return int(text.replace("_", "")) if "int" in kind else float(text)
    except ValueError:
        raise ConfigError(f"{setting!r}: expected a number" + (", or none" if "None" in kind else "")) from None
