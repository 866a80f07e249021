"""Adds hints to errors that a caller gets. A hint takes a request, so hints are looked up only after a call has failed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from pyxet.errors import (
    NotFoundError,
    RemoteError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
    XetError,
    XetURLError,
)
from pyxet.types import KINDS, RepoId
from pyxet.urls import quote_revision

if TYPE_CHECKING:
    from pyxet._async.client import Client

# Seconds to wait for a hint; after that, the error is raised without one.
_PATIENCE: Final = 3.0
# Maximum number of branches that a message names.
_SHOWN: Final = 5


async def explain(error: XetError, client: Callable[[], Client]) -> None:
    """Add a hint to the message of an error about a repository or a revision that does not exist.

    Parameters
    ----------
    error:
        The error that the caller will get.
    client:
        Returns the client for the requests.
    """
    about, error.about = error.about, None
    if about is None:
        return
    repo, revision = about
    hint = None
    with suppress(XetError, TimeoutError):
        async with asyncio.timeout(_PATIENCE):
            if isinstance(error, RepositoryNotFoundError):
                hint = await _other_kind(client(), repo)
            elif isinstance(error, (RevisionNotFoundError, XetURLError)):
                hint = await _branches(client(), repo, revision)
    if hint is not None:
        _extend(error, hint)


def _extend(error: XetError, hint: str) -> None:
    text = f"{error.message if isinstance(error, RemoteError) else error}; {hint}"
    if isinstance(error, RemoteError):
        error.message = text
    error.args = (text, *error.args[1:])


async def _other_kind(client: Client, repo: RepoId) -> str | None:
    """Return a hint if a repository of another kind has that name, for instance because ``datasets/`` was left out."""
    for kind in sorted(KINDS):
        if kind == repo.kind:
            continue
        other = RepoId(kind, repo.owner, repo.name)
        try:
            await client.hub.repo_info(other)
        except NotFoundError:
            continue
        return f"there is {kind}/{repo.full_name}: xet://{kind}/{repo.full_name}/branch/path"
    return None


async def _branches(client: Client, repo: RepoId, revision: str | None) -> str:
    """Return a hint with the branches that exist and the form of a path: most often, the path lacks the branch."""
    names = [quote_revision(ref.name) for ref in (await client.hub.refs(repo)).branches]
    shown = ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
    first = "main" if "main" in names else next(iter(names), "branch")
    rest = revision if revision is not None and revision not in names else "path"
    return f"its branches are {shown or 'none'}; a path is owner/repo/branch/path, such as {repo}/{first}/{rest}"
