"""Parsing and formatting of ``xet://`` URLs and paths.

::

    xet://[endpoint:]owner/repo/branch/path/in/repo
    xet://[endpoint:]{models,datasets,spaces,kernels}/owner/repo/branch/path/in/repo
    xet://[endpoint:]buckets/owner/bucket/path

``endpoint`` is ``host`` or ``host:port``, and ends at the last colon of the first part. Paths have the same form without
``xet://`` and the endpoint. In a revision, ``/`` is written as ``%2F``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final, Literal, get_args
from urllib.parse import quote, unquote

from pyxet.errors import XetURLError
from pyxet.types import RepoId, RepoKind

SCHEME: Final = "xet"
_KINDS: Final = frozenset(get_args(RepoKind))
_FORM: Final = "xet://[endpoint:]owner/repo/branch/path"
_HUB_HOSTS: Final = frozenset({"huggingface.co", "www.huggingface.co", "hf.co"})
_PAGES: Final = frozenset({"resolve", "blob", "tree", "raw", "blame", "commits"})
_CONTROL = re.compile(r"[\x00-\x1f]")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,95}\Z")
_HOST = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?\Z")
# First parts that are hosts, not owners, as in early URLs of the first pyxet, which had no colon after the endpoint.
_IS_HOST = re.compile(
    r"(?:(?:[\w-]+\.)*(?:huggingface\.co|hf\.co|[\w-]+\.com)|localhost|127\.0\.0\.1)\Z", re.IGNORECASE
)
_GONE: Final = "xethub.com"
_COMMIT = re.compile(r"[0-9a-fA-F]{7,40}\Z")
_FULL_COMMIT = re.compile(r"[0-9a-f]{40}\Z")
_PULL_REQUEST = re.compile(r"(refs/)?pr/([1-9][0-9]{0,8})\Z")
_POINT_IN_TIME = re.compile(r"(?P<branch>.+)@\{(?P<when>[^{}]+)\}\Z")

# Size of the caches for revisions: each call tests the same few names several times.
_MAX_NAMES: Final = 1024
# Size of the cache for parsed URLs: a call with thousands of paths parses each of them two or three times.
_MAX_URLS: Final = 4096


@dataclass(frozen=True, slots=True)
class PointInTime:
    """A branch as it was at a moment: ``main@{2026-11-01}``, ``main@{5.minutes.ago}``."""

    branch: str
    when: str


@dataclass(frozen=True, slots=True)
class XetURL:
    """A parsed ``xet://`` URL or path; any number of parts may be missing at its end.

    Attributes
    ----------
    endpoint:
        ``host`` or ``host:port`` if the URL names one.
    kind:
        Kind of repository; by default ``models`` (plain repositories on other endpoints than the Hub).
    owner, repo:
        ``None`` if the URL ends before them.
    revision:
        Branch, tag, commit id or point in time, decoded (``refs/pr/1``); ``None`` if the URL ends before it.
    path:
        Path inside the repository without slashes at its ends; ``""`` for its top folder.
    """

    endpoint: str | None = None
    kind: RepoKind = "models"
    owner: str | None = None
    repo: str | None = None
    revision: str | None = None
    path: str = ""

    @classmethod
    def parse(cls, url: str) -> XetURL:
        """Parse a URL or a path.

        Parameters
        ----------
        url:
            ``xet://[endpoint:][kind/]owner/repo/branch/path``, or the same without the scheme.

        Returns
        -------
        XetURL
            The parts of the URL; missing ones are empty or ``None``.

        Raises
        ------
        XetURLError
            A part is wrong; the message names it and the expected form.
        """
        return _parsed(url)

    @property
    def repo_id(self) -> RepoId | None:
        """The repository; ``None`` if the URL ends before it."""
        if self.owner is None or self.repo is None:
            return None
        return RepoId(self.kind, self.owner, self.repo)

    @property
    def level(self) -> Literal["root", "owner", "repo", "branch", "path"]:
        """The last part that the URL has."""
        if self.owner is None:
            return "root"
        if self.repo is None:
            return "owner"
        if self.kind == "buckets":
            return "path" if self.path else "repo"
        if self.revision is None:
            return "repo"
        return "path" if self.path else "branch"

    @property
    def moment(self) -> str | None:
        """The moment of a point in time, ``5.minutes.ago`` of ``main@{5.minutes.ago}``; ``None`` for other revisions."""
        found = point_in_time(self.revision) if self.revision is not None else None
        return found.when if found else None

    @property
    def full_path(self) -> str:
        """The path without scheme and endpoint: the name of the entry in fsspec."""
        parts = [] if self.kind == "models" else [str(self.kind)]
        parts += [part for part in (self.owner, self.repo) if part]
        if self.revision is not None:
            parts.append(quote_revision(self.revision))
        if self.path:
            parts.append(self.path)
        return "/".join(parts)

    @property
    def branch_path(self) -> str:
        """The path of the branch: `full_path` without the path inside the repository."""
        return replace(self, path="").full_path

    def joined(self, path: str) -> XetURL:
        """The same branch with another path inside the repository.

        Parameters
        ----------
        path:
            Path in the repository, without slashes at its ends.

        Returns
        -------
        XetURL
            This URL with the new path.
        """
        return replace(self, path=path)

    def __str__(self) -> str:
        prefix = f"{self.endpoint}:" if self.endpoint else ""
        return f"{SCHEME}://{prefix}{self.full_path}"


@lru_cache(_MAX_URLS)
def _parsed(url: str) -> XetURL:
    if not url.isascii():
        _check_text(url)
    scheme, separator, rest = url.partition("://")
    if not separator:
        rest = url
    elif scheme not in (SCHEME, f"fsspec+{SCHEME}"):
        meant = _meant(scheme.lower(), rest)
        raise XetURLError(f"{url!r}: the scheme {scheme!r} is not {SCHEME!r}; expected {meant or _FORM}")
    rest = rest.lstrip("/") if not separator else rest
    if rest.startswith("/"):
        raise XetURLError(f"{url!r}: the owner is empty; expected {_FORM}")
    first, slash, tail = rest.partition("/")
    endpoint: str | None = None
    if ":" in first:
        endpoint, _, first = first.rpartition(":")
        if not _HOST.match(endpoint):
            raise XetURLError(f"{url!r}: {endpoint!r} is not a host or host:port; expected {_FORM}")
        if first.isdigit():
            raise XetURLError(
                f"{url!r}: a colon is missing after the endpoint; expected xet://{endpoint}:{first}:owner/…"
            )
        rest = first + slash + tail
    elif _IS_HOST.match(first):
        host, form = first.lower(), tail or "owner/repo/branch/path"
        if host == _GONE:
            hint = f"its content moved to the Hugging Face Hub, the default endpoint: xet://{form}"
        else:
            hint = f"put a colon after the endpoint: xet://{host}:{form}"
        raise XetURLError(f"{url!r}: {first!r} is a host, not an owner; {hint}")
    parts = rest.split("/")
    kind: RepoKind = "models"
    if parts[0] in _KINDS:
        kind = parts.pop(0)  # type: ignore[assignment]  # membership in _KINDS is the check
    while parts and not parts[-1]:
        parts.pop()
    if "" in parts:
        raise XetURLError(f"{url!r}: part {parts.index('') + 1} is empty; expected {_FORM}")
    owner = parts[0] if parts else None
    repo = parts[1] if len(parts) > 1 else None
    _check_name(url, "owner", owner)
    _check_name(url, "bucket" if kind == "buckets" else "repository", repo)
    if kind == "buckets":
        return XetURL(endpoint, kind, owner, repo, None, _check_path(url, parts[2:]))
    revision = _check_revision(url, parts[2]) if len(parts) > 2 else None
    return XetURL(endpoint, kind, owner, repo, revision, _check_path(url, parts[3:]))


def _meant(scheme: str, rest: str) -> str | None:
    """The ``xet://`` form of the URL of a web page of the Hub, or of its own file system; ``None`` for other URLs."""
    rest = rest.partition("?")[0].partition("#")[0].rstrip("/")
    endpoint = ""
    if scheme in ("http", "https"):
        host, _, rest = rest.partition("/")
        endpoint = "" if host.lower() in _HUB_HOSTS else f"{host}:"
    elif scheme != "hf":
        return None
    parts = rest.split("/")
    kind = parts.pop(0) if parts[0] in _KINDS else "models"
    if len(parts) < 2 or kind == "buckets":
        return None
    owner, name, *inside = parts
    name, _, revision = name.partition("@")
    if scheme != "hf":
        # resolve/main/a.csv, blob/main/a.csv, tree/main: the kind of page, the revision, the path.
        revision, inside = (inside[1], inside[2:]) if len(inside) > 1 and inside[0] in _PAGES else ("", [])
    prefix = [] if kind == "models" else [kind]
    return f"{SCHEME}://{endpoint}{'/'.join([*prefix, owner, name, revision or 'main', *inside])}"


def endpoint_url(endpoint: str) -> str:
    """``host[:port]`` or a URL as an origin without a trailing slash: plain http for loopback hosts, https elsewhere.

    Raises
    ------
    XetURLError
        It is not a host, ``host:port`` or http(s) URL.
    """
    text = endpoint.strip().rstrip("/")
    scheme, separator, rest = text.partition("://")
    if separator:
        # Case does not matter in host names, but credentials are found by this text, so it must be normalized.
        host, slash, path = rest.partition("/")
        if scheme.lower() not in ("http", "https") or not _HOST.match(host):
            raise XetURLError(f"endpoint {endpoint!r}: expected host, host:port, http://… or https://…")
        return f"{scheme.lower()}://{host.lower()}{slash}{path}"
    text = text.lower()
    if not _HOST.match(text):
        raise XetURLError(f"endpoint {endpoint!r}: expected host, host:port, http://… or https://…")
    host = text[1 : text.index("]")] if text.startswith("[") else text.partition(":")[0]
    return f"http://{text}" if host in ("localhost", "127.0.0.1", "::1") else f"https://{text}"


def web_address(endpoint: str, url: XetURL, *, is_file: bool = False) -> str:
    """The web address of what a URL names: the content of a file, or the page of anything else."""
    if url.revision is None:
        # An owner has a single page for repositories of all kinds.
        return f"{endpoint}/{url.repo_id.path if url.repo_id else url.owner or ''}".rstrip("/")
    repo = replace(url, revision=None, path="").full_path
    where = f"{'resolve' if is_file else 'tree'}/{quote(url.revision, safe='')}/{quote(url.path)}"
    return f"{endpoint}/{repo}/{where}".rstrip("/")


def endpoint_name(url: str) -> str:
    """The ``host[:port]`` by which ``xet://`` URLs name an endpoint, from its origin."""
    return url.partition("://")[2].partition("/")[0] or url


def quote_revision(revision: str) -> str:
    """A revision as one path part: ``%`` and ``/`` escaped, nothing else."""
    return revision.replace("%", "%25").replace("/", "%2F")


@lru_cache(_MAX_NAMES)
def point_in_time(revision: str) -> PointInTime | None:
    """The branch and moment of ``branch@{moment}``, or ``None`` for another revision."""
    match = _POINT_IN_TIME.match(revision)
    return PointInTime(match["branch"], match["when"]) if match else None


@lru_cache(_MAX_NAMES)
def pull_request_number(revision: str, *, short: bool = False) -> int | None:
    """The number of the pull request that a revision names: ``refs/pr/1`` or, if ``short``, also ``pr/1``; ``None`` for others.

    The short form may also be the name of a branch.
    """
    match = _PULL_REQUEST.match(revision)
    return int(match[2]) if match and (short or match[1]) else None


@lru_cache(_MAX_NAMES)
def is_commit_id(revision: str) -> bool:
    """Whether a revision is a full commit id, which always names the same content."""
    return _FULL_COMMIT.match(revision) is not None


@lru_cache(_MAX_NAMES)
def may_be_commit(revision: str) -> bool:
    """Whether a revision may be a full or abbreviated commit id (a branch with the name of an abbreviated one wins)."""
    return _COMMIT.match(revision) is not None


def _check_text(url: str) -> None:
    try:
        url.encode()
    except UnicodeEncodeError:
        # In local names that are not UTF-8, Python puts surrogates in place of the invalid bytes.
        raise XetURLError(f"{url!a}: a name is not UTF-8; give the file another name") from None


def _check_name(url: str, what: str, name: str | None) -> None:
    if name is not None and (not _NAME.match(name) or ".." in name or name.endswith(".git")):
        raise XetURLError(f"{url!r}: {name!r} is not a valid {what} name; expected {_FORM}")


def _check_revision(url: str, text: str) -> str:
    revision = unquote(text)
    if not revision.strip() or revision.startswith("-") or _CONTROL.search(revision):
        raise XetURLError(f"{url!r}: {text!r} is not a valid branch, tag or commit; expected {_FORM}")
    return revision


def _check_path(url: str, parts: list[str]) -> str:
    path = "/".join(parts)
    # A quick test: any path that is refused below contains one of these.
    if path.startswith(".") or "/." in path or "\0" in path:
        for part in parts:
            if part in (".", "..") or "\0" in part:
                raise XetURLError(f"{url!r}: {part!r} is not allowed in a path; expected {_FORM}")
            if part.lower() == ".git":
                raise XetURLError(f"{url!r}: '.git' is not allowed in a path")
    return path
