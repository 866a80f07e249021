"""Limits of files, folders and commits that an endpoint advises: the Hub in its documentation, others in a header."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from pyxet.protocol.rate_limit import RateLimit

_ITEM = re.compile(r"([a-z-]{1,30})=(\d{1,18})", re.ASCII)
_HUB_CLASSES: Final = frozenset({"api", "resolvers", "pages"})
_HUB_HOST: Final = "huggingface.co"


@dataclass(frozen=True, slots=True)
class RepoLimits:
    """The limits; ``None`` where no limit is known. The defaults are the Hub's published figures.

    Attributes
    ----------
    folder_entries:
        The most entries of a folder.
    file_size:
        The most bytes of a file.
    commit_files:
        The most files that one commit should change.
    """

    folder_entries: int | None = 10_000
    file_size: int | None = 500 * 10**9
    commit_files: int | None = 100

    @classmethod
    def of_host(cls, endpoint: str) -> RepoLimits | None:
        """The limits of an endpoint whose URL is known (the Hub); ``None`` for other endpoints."""
        host = endpoint.partition("://")[2].partition("/")[0]
        return cls() if host == _HUB_HOST or host.endswith(f".{_HUB_HOST}") else None

    @classmethod
    def told(cls, headers: Mapping[str, str]) -> RepoLimits | None:
        """The limits in an answer's headers; the Hub's, if the answer has a quota of the Hub's; else ``None``."""
        text = headers.get("X-Repo-Limits")
        if text is not None:
            found = {name: int(value) for name, value in _ITEM.findall(text[:500])}
            return cls(found.get("folder-entries"), found.get("file-size"), found.get("commit-files"))
        limit = RateLimit.parse(headers.get("RateLimit"))
        return cls() if limit is not None and limit.name in _HUB_CLASSES else None

    def header(self) -> str:
        """The value of ``X-Repo-Limits`` for these limits."""
        named = {"folder-entries": self.folder_entries, "file-size": self.file_size, "commit-files": self.commit_files}
        return ", ".join(f"{name}={value}" for name, value in named.items() if value is not None)
