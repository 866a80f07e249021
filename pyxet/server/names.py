"""The names that repositories and their owners can have here."""

from __future__ import annotations

from typing import Final

from pyxet.errors import ConfigError, XetURLError
from pyxet.types import RepoId
from pyxet.urls import XetURL

# What paths of routes begin with: those of an owner called so would be taken for them. Kinds are no names of owners anyway.
_RESERVED: Final = frozenset({"api", "v1", "v2"})


def valid_repo(kind: str, owner: str, name: str) -> RepoId | None:
    """The repository of that name, if it can be one: these names become folders."""
    repo = RepoId(kind, owner, name)  # type: ignore[arg-type]  # the comparison is the check
    try:
        return repo if owner.lower() not in _RESERVED and XetURL.parse(repo.path).repo_id == repo else None
    except XetURLError:
        return None


def check_owner(name: str) -> None:
    """Raise `ConfigError` for a name that no user or organization can have, because paths of models begin with it."""
    if name.lower() in _RESERVED:
        raise ConfigError(f"{name!r} cannot own repositories: paths of the endpoint's own begin with it")
    if valid_repo("models", name, "x") is None:
        raise ConfigError(f"{name!r} cannot own repositories: letters, digits, '.', '_' and '-' make a name")
