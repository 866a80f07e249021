"""Conditions that a commit checks before it writes paths.

A `Guard` says what must be true of one path. `Conditions` are those of one call, which may write any number of paths.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Self

from pyxet.errors import AlreadyExistsError, ConfigError, EditConflictError
from pyxet.types import IfMatch

_COMMIT: Final = re.compile(r"[0-9a-fA-F]{40}(?:[0-9a-fA-F]{24})?\Z")


@dataclass(frozen=True, slots=True)
class Guard:
    """What must be true of a path when the commit is made.

    Attributes
    ----------
    versions:
        Blob ids; the path must hold each of these versions. With more than one, the guard can never hold.
    absent:
        If true, nothing may be at the path.
    since:
        Full ids of commits; the path must not have changed since any of them.
    """

    versions: frozenset[str] = field(default_factory=frozenset)
    absent: bool = False
    since: frozenset[str] = field(default_factory=frozenset)

    def merged(self, later: Guard) -> Guard:
        """A guard that requires what this one and a later one of the same path require: the writes of both are pending."""
        return Guard(self.versions | later.versions, self.absent or later.absent, self.since | later.since)

    def check_pending(self, path: str) -> None:
        """Raise if the guard forbids overwriting the path's pending content, which was written after the guard was made.

        Raises
        ------
        AlreadyExistsError, EditConflictError
            The guard expects nothing there, or another version.
        """
        if self.absent:
            raise AlreadyExistsError(f"{path} was created meanwhile in the same transaction or call", status=409)
        for version in self.versions:
            raise EditConflictError(
                f"{path} was written meanwhile in the same transaction or call, so it is not the version {version} any more",
                status=412,
            )


@dataclass(slots=True)
class Watch:
    """Whether what is pending at a path has changed since somebody read it."""

    changed: bool = False


@dataclass(frozen=True, slots=True)
class Conditions:
    """The conditions under which a call may write its paths.

    Attributes
    ----------
    create:
        If true, nothing may be at any of the paths.
    if_match:
        The version that all paths must hold, or a mapping of some paths to their versions.
    since:
        Full ids of commits; none of the paths may have changed since any of them. Does not include the ``parent_commit``
        of a transaction.
    """

    create: bool = False
    if_match: IfMatch | None = None
    since: frozenset[str] = field(default_factory=frozenset)

    @classmethod
    def asked(cls, mode: str = "overwrite", if_match: IfMatch | None = None) -> Self:
        """The conditions that the arguments of a public method ask for.

        Raises
        ------
        ValueError
            The mode is neither ``overwrite`` nor ``create``, or contradicts ``if_match``.
        TypeError
            ``if_match`` is neither a ``blob_id`` nor a mapping of paths to them.
        """
        if mode not in ("overwrite", "create"):
            raise ConfigError(f"mode={mode!r}: expected 'overwrite' or 'create'")
        versions = if_match.values() if isinstance(if_match, Mapping) else () if if_match is None else (if_match,)
        for version in versions:
            if not isinstance(version, str):
                raise TypeError(
                    f"if_match: expected info(path)['blob_id'], or a mapping of paths to those, not {version!r}"
                )
            if not version:
                raise ConfigError("if_match is empty: expected info(path)['blob_id'], the version to replace")
        if mode == "create" and if_match is not None:
            raise ConfigError("mode='create' and if_match contradict each other: a new file replaces no version")
        return cls(mode == "create", if_match)

    @property
    def need_look(self) -> bool:
        """Whether the current entries at the paths must be looked up before the paths are written."""
        return self.create or self.if_match is not None

    def versions(self, names: Iterable[str], normal: Callable[[str], str]) -> dict[str, str]:
        """The version that is expected of each path; paths without one are left out.

        Parameters
        ----------
        names:
            Paths of the call in their normal form.
        normal:
            Brings a path as users write it into its normal form.

        Raises
        ------
        ConfigError
            ``if_match`` has two versions for one path.
        """
        if self.if_match is None:
            return {}
        if isinstance(self.if_match, str):
            return dict.fromkeys(names, self.if_match)
        expected: dict[str, str] = {}
        for path, version in self.if_match.items():
            name = normal(path)
            if expected.setdefault(name, version) != version:
                raise ConfigError(f"if_match names {name!r} twice, written in two ways, with different versions")
        return {name: expected[name] for name in names if name in expected}

    def named(self, normal: Callable[[str], str]) -> set[str]:
        """The paths, in their normal form, that ``if_match`` names."""
        return {normal(name) for name in self.if_match} if isinstance(self.if_match, Mapping) else set()


def check_written(named: Collection[str]) -> None:
    """Raise `ConfigError` if ``if_match`` names paths that the call does not write: a misspelt path would guard nothing."""
    if named:
        raise ConfigError(f"if_match names {min(named)!r}, which this call does not write")


NO_CONDITIONS: Final = Conditions()


def check_parent_commit(parent_commit: str | None) -> None:
    """Raise unless this is a full commit id or ``None``: the name of a branch would always match, and guard nothing.

    Raises
    ------
    TypeError, ConfigError
        It is neither a string nor ``None``; it is a string but not a full commit id.
    """
    if parent_commit is None:
        return
    if not isinstance(parent_commit, str):
        raise TypeError(f"parent_commit: expected a full commit id, not {parent_commit!r}")
    if not _COMMIT.match(parent_commit):
        raise ConfigError(
            f"parent_commit={parent_commit!r} is not a full commit id; take info(branch)['commit'] or log(branch)[0].id"
        )
