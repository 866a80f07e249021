"""The part of the file system that determines where a call writes, and what must be true of those paths at the commit."""

from __future__ import annotations

import errno
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pyxet._async.changes.edits import Edits
from pyxet._async.changes.guards import NO_CONDITIONS, Conditions, Guard, check_written
from pyxet._async.changes.pending import Pending
from pyxet._async.changes.view import Entry, View
from pyxet._async.fs.lookup import Lookup, expect
from pyxet.errors import AlreadyExistsError, EditConflictError
from pyxet.types import RepoId

if TYPE_CHECKING:
    from pyxet._async.changes.changeset import ChangeSet


@dataclass(frozen=True, slots=True)
class Place:
    """A path that is about to be written.

    Attributes
    ----------
    changes:
        The changes of its branch.
    path:
        Path in the repository.
    guard:
        The condition on the path that the commit checks, if any.
    """

    changes: ChangeSet
    path: str
    guard: Guard | None


class Guarding(Lookup):
    """Base of the parts of the file system that write."""

    async def _target(self, edits: Edits, path: str) -> tuple[ChangeSet, str]:
        url, repo, revision = self._parse_file(path)
        return await edits.on(repo, revision), url.path

    def _normal(self, path: str) -> str:
        return self._parse(path).full_path

    async def _places(
        self,
        edits: Edits,
        paths: Sequence[str],
        conditions: Conditions,
        parent_commit: str | None = None,
        *,
        some: bool = False,
    ) -> list[Place]:
        """Return the places where paths are written. Conditions are already checked here, so that conflicts are raised early.

        Parameters
        ----------
        paths:
            Paths as the caller gave them.
        parent_commit:
            The ``parent_commit`` of the call. Ignored if the edits have the same one, as they check it themselves.
        some:
            Whether these are only some paths of the call: then ``if_match`` may name other paths as well.

        Raises
        ------
        AlreadyExistsError, EditConflictError
            A path that must be new exists, or a path is not at the expected version.
        ConfigError
            ``if_match`` names a path that is not among these.
        """
        conditions = replace(conditions, since=edits.since(parent_commit))
        begun: dict[tuple[RepoId, str], ChangeSet] = {}
        targets = []
        for path in paths:
            url, repo, revision = self._parse_file(path)
            changes = begun.get((repo, revision))
            if changes is None:
                changes = begun[repo, revision] = await edits.on(repo, revision)
            targets.append((changes, url.path))
        if not conditions.need_look:
            always = Guard(since=conditions.since) if conditions.since else None
            return [Place(changes, inside, always) for changes, inside in targets]
        names = [self._normal(path) for path in paths]
        versions = conditions.versions(names, self._normal)
        if not some:
            check_written(conditions.named(self._normal) - set(names))
        wanted: defaultdict[ChangeSet, dict[str, None]] = defaultdict(dict)
        for name, (changes, inside) in zip(names, targets, strict=True):
            if conditions.create or name in versions:
                wanted[changes][inside] = None
        trees = (await self._connect()).trees
        found = {
            changes: await View(trees, changes.repo, changes.base, changes).lookup_all(list(inside))
            for changes, inside in wanted.items()
        }
        places = []
        for name, (changes, inside) in zip(names, targets, strict=True):
            there = found[changes].get(inside) if changes in found else None
            if conditions.create and there is None and changes.may_return(inside):
                raise AlreadyExistsError(
                    f"{name} exists until the nested transaction that deletes it has ended; wait for its end",
                    status=409,
                )
            guard = _guard(conditions, name, versions.get(name), there, deleted=changes.pending.deletes(inside))
            places.append(Place(changes, inside, guard))
        return places

    async def _files_at(self, paths: Sequence[str], *, recursive: bool = False) -> list[str]:
        """The paths that are files or submodules. Raises for a path that does not exist; for a folder unless ``recursive``."""
        files = []
        for name, there in (await self._lookup_all(paths)).items():
            _, item = expect(there)
            if not item.is_folder or (recursive and item.submodule is not None):
                files.append(name)
            elif not recursive:
                raise IsADirectoryError(errno.EISDIR, "it is a folder; delete it with rm(…, recursive=True)", name)
        return files

    async def _delete_files(
        self,
        edits: Edits,
        paths: Sequence[str],
        conditions: Conditions = NO_CONDITIONS,
        parent_commit: str | None = None,
        *,
        some: bool = False,
    ) -> None:
        """Delete files that exist. See `_places`."""
        grouped: defaultdict[ChangeSet, dict[str, Guard | None]] = defaultdict(dict)
        for place in await self._places(edits, paths, conditions, parent_commit, some=some):
            grouped[place.changes][place.path] = place.guard
        for changes, guards in grouped.items():
            await changes.delete(guards, {path: guard for path, guard in guards.items() if guard is not None})


def _guard(
    conditions: Conditions, path: str, version: str | None, there: Entry | None, *, deleted: bool
) -> Guard | None:  # fmt: skip
    """Return the guard of one path. ``there`` is its current entry; ``deleted`` means that these edits have deleted it."""
    if conditions.create:
        if there is not None:
            raise AlreadyExistsError(f"{path} exists already", status=409)
        # A file that these edits delete still exists when the guard is checked, so it need not be absent.
        return Guard(absent=not deleted, since=conditions.since)
    if version is not None:
        blob_id = getattr(there.content, "blob_id", None) if there is not None else None
        if blob_id != version:
            state = "missing" if there is None else "a folder" if there.is_folder else f"the version {blob_id}"
            if there is not None and isinstance(there.content, Pending):
                state = "a file written in this transaction"
            raise EditConflictError(f"{path} is not the version {version}: it is {state}", status=412)
        return Guard(frozenset({version}), since=conditions.since)
    return Guard(since=conditions.since) if conditions.since else None
