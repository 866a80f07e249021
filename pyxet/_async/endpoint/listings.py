"""Reads listings page by page and checks their entries: paths become local names, ids become parts of URLs and file names."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from hashlib import blake2b
from typing import Final

from pyxet._async.http.messages import Answer
from pyxet.errors import FormatError
from pyxet.protocol.messages import TreeEntry

# Maximum pages of a listing. A page has up to a thousand entries.
_MAX_PAGES: Final = 100_000
# Maximum number of empty pages in a row. An endpoint that filters entries after it has cut the pages may send some.
_MAX_EMPTY: Final = 16
# Paths that git itself refuses, with parts that are empty, ``.``, ``..`` or ``.git``, or with a null character.
_NO_PATH = re.compile(r"(?:\A|/)(?:\.{0,2}|\.git)(?:/|\Z)|\0", re.IGNORECASE)
_OBJECT = re.compile(r"(?:[0-9a-f]{40}|[0-9a-f]{64})\Z")
_DIGEST = re.compile(r"[0-9a-f]{64}\Z")


async def pages(first: str, ask: Callable[[str], Awaitable[Answer]], what: str) -> AsyncGenerator[Answer, None]:
    """The pages of a listing, by their ``Link`` headers. If a page fails, its error is raised, so no listing ends early.

    Parameters
    ----------
    first:
        URL of the first page.
    ask:
        Requests a page by its URL.
    what:
        What is being done, for error messages.

    Raises
    ------
    FormatError
        The listing does not end: it leads back to an earlier page, or has far too many pages.
    """
    seen: set[bytes] = set()
    empty = 0
    following: str | None = first
    while following is not None:
        mark = _digest(following.encode(errors="surrogateescape"))
        if mark in seen or len(seen) > 2 * _MAX_PAGES:
            raise _endless(what)
        seen.add(mark)
        answer = await ask(following)
        if len(answer.body) > len("[]\n"):
            empty = 0
            # Different cursors may lead to the same page.
            mark = _digest(answer.body)
            if mark in seen:
                raise _endless(what)
            seen.add(mark)
        else:
            empty += 1
            if empty > _MAX_EMPTY:
                raise _endless(what)
        yield answer
        following = _next_page(answer)


def _digest(data: bytes) -> bytes:
    return blake2b(data, digest_size=16).digest()


def _endless(what: str) -> FormatError:
    return FormatError(f"{what}: the endpoint's pages do not end; none of them was used")


def _next_page(answer: Answer) -> str | None:
    for part in answer.headers.get("Link", "").split(","):
        target, _, relation = part.partition(";")
        if 'rel="next"' in relation:
            return target.strip().strip("<>")
    return None


def checked_entries(
    entries: list[TreeEntry], what: str, *, folder: str | None = None, deep: bool = False, paths: Iterable[str] = ()
) -> list[TreeEntry]:
    """Return the entries, after checking that they can be the answer to the request.

    Parameters
    ----------
    folder:
        The folder that was listed, ``""`` for the top folder; ``None`` if single paths were looked up.
    deep:
        Whether everything below the folder was listed.
    paths:
        The single paths that were looked up.

    Raises
    ------
    FormatError
        A path was not requested or is not valid, or an id is not valid.
    """
    asked = frozenset(paths)
    start = f"{folder}/" if folder else ""

    def belongs(path: str) -> bool:
        if folder is None:
            return path in asked
        return path.startswith(start) and (deep or "/" not in path[len(start) :])

    for entry in entries:
        path = entry.path
        if not belongs(path) or _NO_PATH.search(path):
            raise FormatError(f"{what}: the endpoint names the path {path[:200]!r}, which does not belong there")
        ids_are_good = entry.type == "directory" or _OBJECT.match(entry.oid)
        if entry.xet_hash is not None:
            ids_are_good = ids_are_good and _DIGEST.match(entry.xet_hash)
        if entry.lfs is not None:
            ids_are_good = ids_are_good and _DIGEST.match(entry.lfs.oid)
        if not ids_are_good:
            raise FormatError(f"{what}: the endpoint gives no valid hash for {path[:200]!r}")
    return entries


def check_name(name: str, what: str) -> None:
    """Raise `FormatError` for names of repositories, branches and tags that would lead elsewhere as a part of a path."""
    if name in ("", ".", "..") or not name.isprintable():
        raise FormatError(f"{what}: the endpoint names {name[:100]!r}, which is not a valid name")


def check_commit(commit: str | None, what: str) -> None:
    """Raise `FormatError` unless this is a commit id, or ``None`` because the endpoint does not report it."""
    if commit is not None and not _OBJECT.match(commit):
        raise FormatError(f"{what}: the endpoint names the commit {commit[:80]!r}, which is not a commit id")
