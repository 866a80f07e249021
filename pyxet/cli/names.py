"""Arguments that name repositories, branches and tags."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import click

from pyxet import XetURL, XetURLError
from pyxet.cli.paths import remote

if TYPE_CHECKING:
    from pyxet import XetFS


def repository(path: str) -> XetURL:
    """Parse the path of a repository.

    Raises
    ------
    XetURLError
        It is not the path of a repository.
    """
    url = remote(path)
    if url.level != "repo":
        raise XetURLError(f"{path!r} is not the path of a repository; expected owner/repo or datasets/owner/repo")
    return url


def branch_of(path: str, name: str | None) -> tuple[str, str]:
    """Repository and branch (or tag): given as two arguments, or as one path.

    Raises
    ------
    XetURLError
        The path is not that of a repository, nor that of a branch with ``name`` left out.
    click.UsageError
        The path is that of a repository, and ``name`` is left out.
    """
    url = remote(path)
    if name is None and url.level == "branch" and url.revision is not None:
        return str(replace(url, revision=None)), url.revision
    repository(path)
    if name is None:
        raise click.UsageError(f"{path} is a repository: name the branch or tag behind it")
    return path, name


def named_like(name: str, other: str) -> str:
    """The path of a repository; if only its name is given, it gets owner, kind and endpoint of another repository."""
    if "/" in name or ":" in name:
        return str(repository(name))
    return str(repository(str(replace(repository(other), repo=name))))


def own(fs: XetFS, url: XetURL) -> str:
    """The repository of the same kind and name in the account of the token's user."""
    return str(replace(url, owner=fs.get_username()))
