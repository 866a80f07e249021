"""A branch or commit as one caller sees it: what a commit holds, with the pending changes of a transaction on top."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Final

from pyxet._async.changes.pending import Pending, folders_of
from pyxet._async.tree.trees import Trees, missing_entry
from pyxet.errors import EntryNotFoundError, FileInTheWayError, FolderInTheWayError
from pyxet.protocol.dates import parse_date
from pyxet.types import Info, RemoteFile, RepoId, UploadedContent

if TYPE_CHECKING:
    from pyxet._async.changes.changeset import ChangeSet
    from pyxet.protocol.messages import TreeEntry

# Modes of git.
EXECUTABLE: Final = "100755"
LINK: Final = "120000"


@dataclass(frozen=True, slots=True)
class Entry:
    """What is at a path.

    Attributes
    ----------
    path:
        Path in the repository; ``""`` for its top.
    content:
        The stored or pending file; ``None`` for a folder.
    modified:
        When the path last changed, if that was asked for.
    submodule:
        The commit of a submodule, which is shown as an empty folder.
    mode:
        The git mode of a file that is executable or a symbolic link.
    """

    path: str
    content: RemoteFile | Pending | None = None
    modified: datetime | None = None
    submodule: str | None = None
    mode: str | None = None

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder."""
        return self.content is None

    @property
    def size(self) -> int:
        """Bytes of the content; 0 for a folder."""
        return self.content.size if self.content is not None else 0


class View:
    """One revision of one repository.

    Parameters
    ----------
    trees:
        Reads the entries of commits.
    commit:
        The commit to look at.
    changes:
        What a transaction has changed on top of it, if the caller is in one.
    revision:
        The revision as the caller wrote it, for messages.
    """

    def __init__(
        self,
        trees: Trees,
        repo: RepoId,
        commit: str,
        changes: ChangeSet | None = None,
        *,
        revision: str | None = None,
    ) -> None:
        self.repo = repo
        self.commit = commit
        self._revision = revision or commit
        self.changes = changes
        self._trees = trees

    def at(self, commit: str) -> View:
        """The same view on top of another commit."""
        return View(self._trees, self.repo, commit, self.changes, revision=self._revision)

    async def lookup(self, path: str) -> Entry | None:
        """What is at a path, if anything."""
        return (await self.lookup_all([path])).get(path)

    async def lookup_all(self, paths: Sequence[str]) -> dict[str, Entry]:
        """What is at some paths; those with nothing there are left out."""
        found: dict[str, Entry] = {}
        unknown = []
        for path in paths:
            pending = self.changes.pending.lookup(path, "beneath") if self.changes else "beneath"
            if isinstance(pending, Pending):
                found[path] = Entry(path, pending)
            elif not path or (self.changes and self.changes.pending.has_files_below(path)):
                found[path] = Entry(path)
            elif pending is not None:
                unknown.append(path)
        for path, entry in (await self._trees.entries(self.repo, self.commit, unknown) if unknown else {}).items():
            if entry.type != "directory" or await self._survives(path):
                found[path] = self.stored(entry)
        return found

    async def check_place(self, path: str, *, may_exist: bool = True) -> None:
        """Raise if a file could not be written, because of what is at its path or above it.

        Parameters
        ----------
        may_exist:
            If false, the path itself is not checked, only the folders above it.

        Raises
        ------
        FolderInTheWayError, FileInTheWayError
            A folder is at the path; a file is where the path needs a folder.
        """
        folders = folders_of(path)
        found = await self.lookup_all([*folders, path])
        for folder in folders:
            if folder in found and not found[folder].is_folder:
                raise FileInTheWayError(f"{path!r} cannot be written: {folder!r} is a file", status=400)
            if folder in found and found[folder].submodule:
                raise FileInTheWayError(f"{path!r} cannot be written: {folder!r} is a submodule", status=400)
        if may_exist and path in found and found[path].is_folder:
            raise FolderInTheWayError(f"{path!r} cannot be written: it is a folder", status=400)

    async def children(self, path: str, *, refresh: bool = False) -> list[Entry]:
        """The direct entries of a folder, sorted by path; raises `EntryNotFoundError` if there is no such folder."""
        changed = self.changes.pending.under(path) if self.changes else {}
        found: dict[str, Entry] = {}
        try:
            for entry in await self._trees.folder(self.repo, self.commit, path, refresh=refresh):
                if entry.path in changed:
                    continue
                if entry.type != "directory" or not changed or await self._survives(entry.path):
                    found[entry.path] = self.stored(entry)
        except EntryNotFoundError:
            if await self._is_submodule(path):
                return []
            if not any(changed.values()):
                raise
        start = len(path) + 1 if path else 0
        for name, pending in changed.items():
            if pending is not None:
                child, slash, _ = name[start:].partition("/")
                child = name[:start] + child
                found[child] = Entry(child) if slash else Entry(child, pending)
        if path and not found:
            raise missing_entry(self.repo, self._revision, path)
        return [found[name] for name in sorted(found)]

    async def dated_children(self, path: str) -> list[Entry]:
        """Like `children`, with the time of each entry's last change; pending entries have none."""
        children = await self.children(path)
        try:
            dated = await self._trees.dated(self.repo, self.commit, path)
        except EntryNotFoundError:
            # Everything in the folder is pending.
            return children
        return [
            replace(child, modified=self.stored(dated[child.path]).modified)
            if child.path in dated and not isinstance(child.content, Pending)
            else child
            for child in children
        ]

    async def below(self, path: str, *, expand: bool = False) -> AsyncGenerator[list[Entry], None]:
        """All files and folders below a folder, in batches; raises `EntryNotFoundError` if there is no such folder.

        Parameters
        ----------
        expand:
            Whether to include when each last changed, which is slow at the endpoint. Pending entries have no date.
        """
        changed = self.changes.pending.under(path) if self.changes else {}
        if not changed:
            try:
                async for entries in self._trees.below(self.repo, self.commit, path, expand=expand):
                    yield [self.stored(entry) for entry in entries]
            except EntryNotFoundError:
                if not await self._is_submodule(path):
                    raise
            return
        files: dict[str, Entry] = {name: Entry(name, pending) for name, pending in changed.items() if pending}
        try:
            async for entries in self._trees.below(self.repo, self.commit, path, expand=expand):
                files.update(
                    (e.path, self.stored(e)) for e in entries if e.type != "directory" and e.path not in changed
                )
        except EntryNotFoundError:
            pass
        if path and not files:
            raise missing_entry(self.repo, self._revision, path)
        yield [*_folders_of(files, path), *files.values()]

    async def modified(self, path: str) -> Entry | None:
        """What is at a path of the commit, with the time of its last change."""
        page = await self._trees.expanded(self.repo, self.commit, path)
        return self.stored(page) if page else None

    def info(self, prefix: str, found: Entry) -> Info:
        """An entry as fsspec describes it; ``prefix`` is the path of the branch."""
        info: Info = {"name": f"{prefix}/{found.path}", "size": found.size, "type": "file"}  # type: ignore[typeddict-item]  # see `Info`
        match found.content:
            case None:
                info |= {"type": "directory", "kind": "directory", "commit": self.commit}
                if found.submodule is not None:
                    info |= {"kind": "submodule", "submodule": found.submodule}
            case RemoteFile() as file:
                info |= {"commit": file.revision, "blob_id": file.blob_id}
                _note_hashes(info, file)
                if found.mode == LINK:
                    info["islink"] = True
                elif found.mode == EXECUTABLE:
                    info["executable"] = True
            case Pending() as pending:
                info["pending"] = True
                if isinstance(pending.content, UploadedContent | RemoteFile):
                    _note_hashes(info, pending.content)
        if found.modified:
            info["last_modified"] = found.modified
        return info

    def stored(self, entry: TreeEntry) -> Entry:
        """An entry of the commit."""
        modified = parse_date(entry.last_commit.date) if entry.last_commit else None
        if entry.type == "directory":
            return Entry(entry.path, None, modified)
        if entry.type != "file":
            return Entry(entry.path, None, modified, submodule=entry.oid)
        sha256 = entry.lfs.oid if entry.lfs else None
        size = entry.lfs.size if entry.lfs else entry.size or 0
        file = RemoteFile(self.repo, self.commit, entry.path, size, entry.oid, sha256, entry.xet_hash)
        return Entry(entry.path, file, modified, mode=entry.mode)

    def stored_content(self, found: Entry) -> RemoteFile | None:
        """The stored file that content is read from; ``None`` for what is pending in memory or in the spool."""
        if isinstance(found.content, Pending):
            assert self.changes is not None
            return self.changes.stored(found.path, found.content)
        return found.content

    def missing(self, path: str) -> EntryNotFoundError:
        """The error for a path with nothing there."""
        return missing_entry(self.repo, self._revision, path)

    async def _is_submodule(self, path: str) -> bool:
        """Whether a path is a submodule. We show it as an empty folder, but the endpoint does not list it as a folder."""
        entry = (await self._trees.entries(self.repo, self.commit, [path])).get(path) if path else None
        return entry is not None and entry.type not in ("file", "directory")

    async def _survives(self, folder: str) -> bool:
        """Whether a folder of the commit still has files: all of them may have been deleted."""
        changed = self.changes.pending.under(folder) if self.changes else {}
        if any(changed.values()) or not changed:
            return True
        async for entries in self._trees.below(self.repo, self.commit, folder):
            if any(entry.type != "directory" and entry.path not in changed for entry in entries):
                return True
        return False


def _folders_of(files: Mapping[str, Entry], top: str) -> list[Entry]:
    """The folders below ``top`` that files lie in."""
    names: set[str] = set()
    for path in files:
        folder = path.rpartition("/")[0]
        while len(folder) > len(top) and folder not in names:
            names.add(folder)
            folder = folder.rpartition("/")[0]
    return [Entry(name) for name in sorted(names)]


def _note_hashes(info: Info, content: UploadedContent | RemoteFile) -> None:
    if content.xet_hash is not None:
        info["xet_hash"] = content.xet_hash
    if content.sha256 is not None:
        info["sha256"] = content.sha256
