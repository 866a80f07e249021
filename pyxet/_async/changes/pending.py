"""What is pending below one branch, as a value: what is written, deleted and guarded, by path. No I/O.

The last operation on a path wins.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import overload

from pyxet._async.changes.guards import Guard, Watch
from pyxet._async.changes.spool import Spooled
from pyxet.errors import FileInTheWayError, FolderInTheWayError
from pyxet.types import RemoteFile, UploadedContent


@dataclass(frozen=True, slots=True)
class Pending:
    """A pending file.

    Attributes
    ----------
    size:
        Bytes of its content.
    content:
        Undecided bytes; a place in the spool (goes into the commit); stored content; or a file of a commit whose content
        it shares.
    """

    size: int
    content: bytes | Spooled | UploadedContent | RemoteFile


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
        Of what is a copy: the path of the original in the commit beneath, or ``None`` if that is elsewhere.
    """

    def __init__(self, branch: str) -> None:
        self._branch = branch
        self.files: dict[str, Pending | None] = {}
        self.guards: dict[str, Guard] = {}
        self.origins: dict[str, str | None] = {}
        # Of each folder: the paths of ``files`` below it, and how many of them are not deletions.
        self._below: defaultdict[str, dict[str, None]] = defaultdict(dict)
        self._alive: defaultdict[str, int] = defaultdict(int)
        # Who builds on what is at a path now.
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

    def put(self, path: str, pending: Pending, guard: Guard | None = None) -> None:
        """Write a file.

        Raises
        ------
        AlreadyExistsError, EditConflictError
            The guard expects nothing there, or another version, and a file is pending there.
        FileInTheWayError, FolderInTheWayError
            A file is pending where the path needs a folder; others are pending below the path.
        """
        if guard is not None and self.files.get(path) is not None:
            guard.check_pending(f"{self._branch}/{path}")
        clash = next((folder for folder in folders_of(path) if self.files.get(folder) is not None), None)
        if clash is not None or self.has_files_below(path):
            kind = FileInTheWayError if clash is not None else FolderInTheWayError
            raise kind(f"{self._branch}/{clash or path} would be a file and a folder in one commit", status=400)
        self._tell_watches(path)
        self._set(path, pending)
        self._add_guard(path, guard)

    def delete(self, path: str, guard: Guard | None = None, *, is_beneath: bool) -> None:
        """Delete a file.

        Parameters
        ----------
        is_beneath:
            Whether the commit beneath has it; otherwise nothing is left to say of the path.
        """
        self._tell_watches(path)
        if is_beneath:
            self._set(path, None)
            self._add_guard(path, guard)
        else:
            self.exclude([path])
            self.guards.pop(path, None)

    def replace(self, path: str, pending: Pending) -> None:
        """Say where the content of a pending file is by now; the content itself is the same."""
        self.files[path] = pending

    def exclude(self, paths: Collection[str]) -> None:
        """Say nothing of some paths any more but what guards them."""
        for path in paths:
            less = self.files.pop(path) is not None
            self.origins.pop(path, None)
            for folder in ("", *folders_of(path)):
                del self._below[folder][path]
                self._alive[folder] -= less

    def watch(self, path: str) -> Watch:
        """Tells whether a path is written or deleted from now on."""
        watch = Watch()
        self._watches[path].append(watch)
        return watch

    def _set(self, path: str, pending: Pending | None) -> None:
        more = (pending is not None) - (self.files.get(path) is not None)
        self.files[path] = pending
        self.origins.pop(path, None)
        for folder in ("", *folders_of(path)):
            self._below[folder][path] = None
            self._alive[folder] += more

    def _add_guard(self, path: str, guard: Guard | None) -> None:
        if guard is not None:
            before = self.guards.get(path)
            self.guards[path] = guard if before is None else before.merged(guard)

    def _tell_watches(self, path: str) -> None:
        for watch in self._watches.pop(path, ()):
            watch.changed = True

    # -- looking -------------------------------------------------------------------------------------------------------

    @overload
    def lookup(self, path: str) -> Pending | None: ...
    @overload
    def lookup(self, path: str, default: str) -> Pending | str | None: ...
    def lookup(self, path: str, default: str | None = None) -> Pending | str | None:
        """The pending file at a path, ``None`` if it is deleted, ``default`` if nothing is said of it."""
        return self.files.get(path, default)

    def deletes(self, path: str) -> bool:
        """Whether the file at a path is deleted."""
        return self.files.get(path, "beneath") is None

    def under(self, folder: str) -> Mapping[str, Pending | None]:
        """Pending files and deletions below a folder, by path."""
        return {path: self.files[path] for path in self._below.get(folder, ())}

    def has_files_below(self, folder: str) -> bool:
        """Whether a pending file makes this a folder."""
        return self._alive.get(folder, 0) > 0

    def replaced_folders(self) -> list[str]:
        """Folders of the commit beneath that were emptied, and whose names files have now."""
        return [path for path, pending in self.files.items() if pending is not None and self._below.get(path)]


def folders_of(path: str) -> list[str]:
    """The folders that a path lies in, outermost first."""
    parts = path.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts))]
