"""The pending changes of one branch as a value: written, deleted and guarded paths. No I/O.

The last operation on a path wins. Nested transactions are parts of the changes that may be undone on their own. Each has
a `Scope`, and a path that was changed in a scope keeps one layer per scope that has not ended. Undoing a scope removes
its layers; the remaining layers then determine what is at the path.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final, overload

from pyxet._async.changes.guards import Guard, Watch
from pyxet._async.changes.spool import Spooled
from pyxet.errors import FileInTheWayError, FolderInTheWayError, TransactionError
from pyxet.types import RemoteFile, UploadedContent


@dataclass(frozen=True, slots=True)
class Pending:
    """A pending file.

    Attributes
    ----------
    size:
        Bytes of its content.
    content:
        Bytes, if it is not decided yet how to store them; a place in the spool (sent inside the commit); stored content;
        or a committed file that has the same content.
    """

    size: int
    content: bytes | Spooled | UploadedContent | RemoteFile


class Scope:
    """A part of the changes that is kept or undone as a whole.

    Parameters
    ----------
    outer:
        The scope that this one is a part of; ``None`` for the scope of all changes.
    parent_commit:
        If given, none of the paths that are changed in it may have changed since that commit.

    Attributes
    ----------
    guard:
        What must be true of each path that is changed in it.
    paths:
        Paths that were changed in it, or in a part of it.
    """

    def __init__(self, outer: Scope | None = None, parent_commit: str | None = None) -> None:
        self.outer = outer
        self._depth: int = outer._depth + 1 if outer is not None else 0
        since = outer.guard.since if outer is not None and outer.guard is not None else frozenset[str]()
        if parent_commit is not None:
            since |= {parent_commit}
        self.guard: Guard | None = Guard(since=since) if since else None
        self.paths: dict[str, None] = {}
        self._ended = False

    @property
    def ended(self) -> bool:
        """Whether it, or what it is a part of, was kept or undone."""
        return self._ended or (self.outer is not None and self.outer.ended)

    def end(self) -> None:
        """Take no more changes."""
        self._ended = True

    def is_within(self, other: Scope) -> bool:
        """Whether this is ``other`` or a part of it, and so is undone with it."""
        scope: Scope | None = self
        # Stop at the depth of ``other``: in deep nesting, a scope is mostly compared with one that is nested in it.
        while scope is not None and scope._depth > other._depth:
            scope = scope.outer
        return scope is other


class _Says(Enum):
    # The layer has no change, only a guard.
    NOTHING = 0
    # The layer deletes a file that was only pending, so there is nothing to commit.
    GONE = 1


@dataclass(frozen=True, slots=True)
class _Layer:
    """What one scope did to a path. ``restarts``: guards of the layers beneath do not count, because their file is gone."""

    scope: Scope
    change: Pending | _Says | None
    guard: Guard | None = None
    origin: str | _Says | None = _Says.NOTHING
    restarts: bool = False


class PendingChanges:
    """Files and deletions below one branch.

    Parameters
    ----------
    branch:
        The branch as a path, for messages.

    Attributes
    ----------
    files:
        Pending files, and ``None`` for those that are deleted, by path.
    guards:
        What must be true of some of the paths at the commit.
    origins:
        By path of a copy: the path of the original in the base commit, or ``None`` if the original is elsewhere.
    all:
        The outermost scope, of all changes.
    """

    def __init__(self, branch: str) -> None:
        self._branch = branch
        self.files: dict[str, Pending | None] = {}
        self.guards: dict[str, Guard] = {}
        self.origins: dict[str, str | None] = {}
        self.all: Final = Scope()
        # Bottom layer first. Only paths that were changed in a scope which may still be undone have layers.
        self._layers: dict[str, list[_Layer]] = {}
        # Of each folder: the paths of ``files`` below it, how many of them are not deletions, and paths where a file comes
        # back if some scope is undone.
        self._below: defaultdict[str, dict[str, None]] = defaultdict(dict)
        self._alive: defaultdict[str, int] = defaultdict(int)
        self._returning: defaultdict[str, dict[str, None]] = defaultdict(dict)
        # Watches of those who depend on what is at a path now.
        self._watches: defaultdict[str, list[Watch]] = defaultdict(list)

    @property
    def written(self) -> int:
        """How many files are written."""
        return self._alive[""]

    @property
    def deleted(self) -> int:
        """How many files are deleted."""
        return len(self.files) - self.written

    # -- changing ------------------------------------------------------------------------------------------------------

    def put(
        self, path: str, pending: Pending, guard: Guard | None = None, scope: Scope | None = None
    ) -> list[Pending]:  # fmt: skip
        """Write a file.

        Returns
        -------
        list[Pending]
            Pending files that can never be seen again; their content may be released.

        Raises
        ------
        AlreadyExistsError, EditConflictError
            The guard expects nothing there, or another version, and a file is pending there.
        FileInTheWayError, FolderInTheWayError
            A file is pending where the path needs a folder; files are pending below the path. A deleted file counts too if
            it would come back when some scope is undone that this write is not part of.
        TransactionError
            The scope has ended.
        """
        scope = scope or self.all
        _check(scope)
        if guard is not None and self.files.get(path) is not None:
            guard.check_pending(f"{self._branch}/{path}")
        clash = next((folder for folder in folders_of(path) if self._may_be_file(folder, scope)), None)
        if clash is not None or self._may_be_folder(path, scope):
            kind = FileInTheWayError if clash is not None else FolderInTheWayError
            raise kind(f"{self._branch}/{clash or path} would be a file and a folder in one commit", status=400)
        return self._change(path, _Layer(scope, pending, _merged(scope.guard, guard)))

    def delete(
        self, path: str, guard: Guard | None = None, *, is_beneath: bool, scope: Scope | None = None
    ) -> list[Pending]:  # fmt: skip
        """Delete a file. See `put`.

        Parameters
        ----------
        is_beneath:
            Whether the base commit has the file. If not, the path needs no deletion and no guard in the commit.
        """
        scope = scope or self.all
        _check(scope)
        if is_beneath:
            return self._change(path, _Layer(scope, None, _merged(scope.guard, guard)))
        return self._change(path, _Layer(scope, _Says.GONE, restarts=True))

    def note_origin(self, path: str, origin: str | None, scope: Scope | None = None) -> None:
        """Record that what a scope wrote is a copy. Does nothing if another scope has written to the path since."""
        layers = self._layers.get(path)
        if layers is None:
            if path in self.files:
                self.origins[path] = origin
        elif layers[-1].scope is (scope or self.all):
            self._store(path, [*layers[:-1], replace(layers[-1], origin=origin)])

    def replace(self, path: str, old: Pending, new: Pending) -> None:
        """Replace a pending file by one with the same content in another place (spool or CAS)."""
        if self.files.get(path) is old:
            self.files[path] = new
        if path in self._layers:
            self._layers[path] = [
                replace(layer, change=new) if layer.change is old else layer for layer in self._layers[path]
            ]

    def exclude(self, paths: Collection[str]) -> None:
        """Drop the changes of some paths, but keep their guards. Must only be called when no scope is open any more."""
        for path in paths:
            self._show(path, _Says.NOTHING, self.guards.get(path))

    def watch(self, path: str) -> Watch:
        """A watch that tells whether a path is written or deleted from now on."""
        watch = Watch()
        self._watches[path].append(watch)
        return watch

    # -- the ends of scopes --------------------------------------------------------------------------------------------

    def keep(self, scope: Scope) -> list[Pending]:
        """End a scope and keep its changes, which now belong to the scope around it. Returns like `put`."""
        _check(scope)
        outer = scope.outer
        assert outer is not None
        scope.end()
        released: list[Pending] = []
        for path in scope.paths:
            layers = self._layers.get(path, [])
            if len(layers) == 1 and layers[0].scope is scope and isinstance(layers[0].change, Pending):
                # Most paths are of this kind, and calls with thousands of them end here: nothing visible changes.
                if outer is self.all:
                    del self._layers[path]
                else:
                    self._layers[path] = [replace(layers[0], scope=outer)]
            elif any(layer.scope is scope for layer in layers):
                released += self._store(path, [replace(x, scope=outer) if x.scope is scope else x for x in layers])
        return released

    def undo(self, scope: Scope) -> list[Pending]:
        """End a scope and take back its changes and those of the scopes inside it. Returns like `put`."""
        scope.end()
        released: list[Pending] = []
        for path in scope.paths:
            layers = self._layers.get(path, [])
            left = [layer for layer in layers if not layer.scope.is_within(scope)]
            if len(left) < len(layers):
                before = self.files.get(path, "beneath")
                released += self._store(path, left)
                if self.files.get(path, "beneath") is not before:
                    self._tell_watches(path)
        return released

    def count(self, scope: Scope) -> tuple[int, int]:
        """How many files a scope has written and deleted."""
        last = [
            next((x for x in reversed(self._layers.get(path, ())) if x.scope.is_within(scope)), None)
            for path in list(scope.paths)
        ]
        written = sum(layer is not None and isinstance(layer.change, Pending) for layer in last)
        return written, sum(layer is not None and layer.change is None for layer in last)

    # -- layers --------------------------------------------------------------------------------------------------------

    def _change(self, path: str, layer: _Layer) -> list[Pending]:
        self._tell_watches(path)
        layers = self._layers.get(path)
        if layers is None and layer.scope is self.all:
            # Without nested scopes, a path has only one layer, which needs no object.
            before = self.files.get(path)
            guard = None if layer.restarts else _merged(self.guards.get(path), layer.guard)
            self._show(path, layer.change, guard)
            return [before] if before is not None else []
        scope: Scope | None = layer.scope
        while scope is not None and scope is not self.all:
            scope.paths[path] = None
            scope = scope.outer
        if layers is None:
            layers = self._plain(path)
        return self._store(path, [*layers, layer], layers)

    def _plain(self, path: str) -> list[_Layer]:
        """The layer of a path that no scope has touched."""
        if path not in self.files:
            return []
        origin = self.origins.get(path, _Says.NOTHING)
        return [_Layer(self.all, self.files[path], self.guards.get(path), origin)]

    def _store(
        self, path: str, layers: Sequence[_Layer], before: Sequence[_Layer] | None = None
    ) -> list[Pending]:  # fmt: skip
        """Set the layers of a path. Returns the pending files that are no longer in any of them."""
        if before is None:
            before = self._layers.get(path, ())
        layers = _needed(layers)
        if not layers or (len(layers) == 1 and layers[0].scope is self.all):
            self._layers.pop(path, None)
        else:
            self._layers[path] = layers
        top = next((layer for layer in reversed(layers) if layer.change is not _Says.NOTHING), None)
        if top is None:
            self._show(path, _Says.NOTHING, _guard_of(layers))
        else:
            self._show(path, top.change, _guard_of(layers), top.origin)
        self._note_returning(path)
        held = {id(layer.change) for layer in layers}
        return [x.change for x in before if isinstance(x.change, Pending) and id(x.change) not in held]

    def _show(
        self,
        path: str,
        change: Pending | _Says | None,
        guard: Guard | None = None,
        origin: str | _Says | None = _Says.NOTHING,
    ) -> None:
        """Update `files`, `guards`, `origins` and the folders' counts with what is at a path now."""
        was_alive = self.files.get(path) is not None
        if isinstance(change, _Says):
            self.files.pop(path, None)
        else:
            self.files[path] = change
        more = (self.files.get(path) is not None) - was_alive
        for folder in ("", *folders_of(path)):
            self._alive[folder] += more
            if path in self.files:
                self._below[folder][path] = None
            else:
                self._below[folder].pop(path, None)
        _put_or_pop(self.guards, path, guard)
        if isinstance(origin, _Says):
            self.origins.pop(path, None)
        else:
            self.origins[path] = origin

    def _note_returning(self, path: str) -> None:
        changes = [layer.change for layer in self._layers.get(path, ())]
        returns = self.files.get(path) is None and any(
            change is None or isinstance(change, Pending) for change in changes
        )
        for folder in folders_of(path):
            if returns:
                self._returning[folder][path] = None
            elif folder in self._returning:
                self._returning[folder].pop(path, None)

    def _tell_watches(self, path: str) -> None:
        for watch in self._watches.pop(path, ()):
            watch.changed = True

    # -- looking -------------------------------------------------------------------------------------------------------

    @overload
    def lookup(self, path: str) -> Pending | None: ...
    @overload
    def lookup(self, path: str, default: str) -> Pending | str | None: ...
    def lookup(self, path: str, default: str | None = None) -> Pending | str | None:
        """The pending file at a path; ``None`` if the path is deleted; ``default`` if it has no change."""
        return self.files.get(path, default)

    def deletes(self, path: str) -> bool:
        """Whether the file at a path is deleted."""
        return self.files.get(path, "beneath") is None

    def holds(self, path: str, pending: Pending) -> bool:
        """Whether a path holds exactly this pending file, or would again if a scope were undone."""
        return self.files.get(path) is pending or any(x.change is pending for x in self._layers.get(path, ()))

    def may_return(self, path: str, scope: Scope) -> bool:
        """Whether a deleted file would come back if another scope were undone that does not contain ``scope``."""
        gone_beneath = False
        for layer in reversed(self._layers.get(path, ())):
            if isinstance(layer.change, Pending):
                return True
            if layer.change is not _Says.NOTHING:
                if scope.is_within(layer.scope):
                    return False
                gone_beneath = gone_beneath or layer.change is None
        return gone_beneath

    def under(self, folder: str) -> Mapping[str, Pending | None]:
        """Pending files and deletions below a folder, by path."""
        return {path: self.files[path] for path in self._below.get(folder, ())}

    def has_files_below(self, folder: str) -> bool:
        """Whether a pending file makes this a folder."""
        return self._alive.get(folder, 0) > 0

    def replaced_folders(self) -> list[str]:
        """Paths of pending files with changes below them: folders of the base commit that were emptied and replaced."""
        return [path for path, pending in self.files.items() if pending is not None and self._below.get(path)]

    def _may_be_file(self, path: str, scope: Scope) -> bool:
        return self.files.get(path) is not None or (path in self._layers and self.may_return(path, scope))

    def _may_be_folder(self, path: str, scope: Scope) -> bool:
        return self.has_files_below(path) or any(
            self.may_return(name, scope) for name in self._returning.get(path, ())
        )  # fmt: skip


def folders_of(path: str) -> list[str]:
    """The folders that a path lies in, outermost first."""
    folders: list[str] = []
    at = path.find("/")
    while at >= 0:
        folders.append(path[:at])
        at = path.find("/", at + 1)
    return folders


def _check(scope: Scope) -> None:
    if scope.ended:
        raise TransactionError("too late: these changes have ended, or are being committed")


def _needed(layers: Iterable[_Layer]) -> list[_Layer]:
    """The layers without those that can never be visible again, whichever scopes are undone."""
    kept: list[_Layer] = []
    for layer in reversed(list(layers)):
        above = [upper for upper in kept if layer.scope.is_within(upper.scope)]
        if any(upper.restarts for upper in above):
            continue
        if any(upper.change is not _Says.NOTHING for upper in above):
            # Its content cannot be seen again, but its guard still holds.
            if layer.guard is None and not layer.restarts:
                continue
            layer = _Layer(layer.scope, _Says.NOTHING, layer.guard, restarts=layer.restarts)
        at = next((at for at, upper in enumerate(kept) if upper.scope is layer.scope), None)
        if at is not None and not layer.restarts and not any(upper.restarts for upper in kept[at:]):
            kept[at] = replace(kept[at], guard=_merged(layer.guard, kept[at].guard))
        else:
            kept.append(layer)
    while kept and kept[-1].restarts and isinstance(kept[-1].change, _Says):
        # Nothing is beneath it that it could hide.
        kept.pop()
    return kept[::-1]


def _guard_of(layers: Iterable[_Layer]) -> Guard | None:
    guard: Guard | None = None
    for layer in layers:
        guard = layer.guard if layer.restarts else _merged(guard, layer.guard)
    return guard


def _merged(guard: Guard | None, later: Guard | None) -> Guard | None:
    if guard is None or later is None:
        return guard or later
    return guard.merged(later)


def _put_or_pop(guards: dict[str, Guard], path: str, guard: Guard | None) -> None:
    if guard is None:
        guards.pop(path, None)
    else:
        guards[path] = guard
