"""What is typed for repositories, branches and tags."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import click

from pyxet import XetURL, XetURLError
from pyxet.cli.paths import remote

if TYPE_CHECKING:
    from pyxet import XetFS


def repository(path: str) -> XetURL:
    """The path of a repository.

    Raises
    ------
    XetURLError
        It is something else.
    """
    url = remote(path)
    if url.level != "repo":
        raise XetURLError(f"{path!r} is not the path of a repository; expected owner/repo or datasets/owner/repo")
    return url


def branch_of(path: str, name: str | None) -> tuple[str, str]:
    """Repository and branch (or tag): given as two arguments, or as one path.

    Raises
    ------
    XetURLError, click.UsageError
        The path is neither; it is a repository's, and there is no name.
    """
    url = remote(path)
    if name is None and url.level == "branch" and url.revision is not None:
        return str(replace(url, revision=None)), url.revision
    repository(path)
    if name is None:
        raise click.UsageError(f"{path} is a repository: name the branch or tag behind it")
    return path, name


def named_like(name: str, other: str) -> str:
    """A repository whose path may be left out but for its name: owner, kind and endpoint are those of another one."""
    if "/" in name or ":" in name:
        return str(repository(name))
    return str(repository(str(replace(repository(other), repo=name))))


def own(fs: XetFS, url: XetURL) -> str:
    """The repository of the same kind and name in the account of the token's user."""
    return str(replace(url, owner=fs.get_username()))
