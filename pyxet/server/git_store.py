"""Repositories as bare git repositories: content of small text files in blobs, of others as Git-LFS pointers.

Everything here blocks and belongs in worker threads. Writers of a repository take turns; what a commit needs is on disk
before its branch moves, so a crash leaves the old commit or the new one.
"""

from __future__ import annotations

import re
import shutil
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pygit2

from pyxet.errors import (
    AlreadyExistsError,
    BadRequestError,
    ConflictError,
    EntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from pyxet.urls import RepoId, is_commit_id, may_be_commit

pygit2.option(pygit2.enums.Option.ENABLE_FSYNC_GITDIR, True)

_FILE, _FOLDER = pygit2.enums.FileMode.BLOB, pygit2.enums.FileMode.TREE
_POINTER = re.compile(rb"version https://git-lfs\.github\.com/spec/v1\noid sha256:([0-9a-f]{64})\nsize ([0-9]+)\n\Z")
_MAX_POINTER: Final = 200
_PRIVATE: Final = "xet.private"
_CREATED: Final = "xet.created"
_BRANCH = re.compile(
    r"(?!.*(\.\.|//|@\{|\\))(?!.*(\.lock|/|\.)\Z)[^\x00-\x20\x7f~^:?*\[/.\-][^\x00-\x20\x7f~^:?*\[]*\Z"
)
INITIAL_MESSAGE: Final = "initial commit"


@dataclass(frozen=True, slots=True)
class LfsPointer:
    """A Git-LFS pointer: sha256 in hex and size in bytes of the content."""

    sha256: str
    size: int

    def format(self) -> bytes:
        """The pointer file."""
        return f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\nsize {self.size}\n".encode()

    @classmethod
    def parse(cls, data: bytes) -> LfsPointer | None:
        """The pointer that a blob is, if it is one."""
        match = _POINTER.match(data)
        return cls(match[1].decode(), int(match[2])) if match else None


@dataclass(frozen=True, slots=True)
class Entry:
    """A file or folder of a tree; ``size`` is that of the content, ``lfs`` set where the blob is a pointer."""

    path: str
    oid: str
    is_folder: bool
    size: int = 0
    lfs: LfsPointer | None = None
    blob_size: int = 0


def check_path(path: str) -> str:
    """A path that a commit may contain; `BadRequestError` for others."""
    for part in path.split("/"):
        if part in ("", ".", "..") or part.lower() == ".git" or "\0" in part or "\\" in part:
            raise BadRequestError(f"{path!r} is not a valid path in a repository", status=400)
    return path


class GitStore:
    """All repositories of an endpoint."""

    def __init__(self, root: Path) -> None:
        self._root = root
        root.mkdir(parents=True, exist_ok=True)
        self._locks: dict[RepoId, threading.Lock] = {}
        self._guard = threading.Lock()

    def create(self, repo: RepoId, *, user: str, private: bool) -> None:
        """A repository with an empty commit on main; `AlreadyExistsError` if it is there."""
        with self._lock(repo):
            path = self._path(repo)
            if path.exists():
                raise AlreadyExistsError(f"repository {repo} already exists", status=409)
            fresh = path.with_name(f".{path.name}.new")
            shutil.rmtree(fresh, ignore_errors=True)
            made = pygit2.init_repository(str(fresh), bare=True, initial_head="main")
            made.config[_PRIVATE] = private
            made.config[_CREATED] = str(int(time.time()))
            tree = made.TreeBuilder().write()
            author = _signature(user)
            made.create_commit("refs/heads/main", author, author, INITIAL_MESSAGE, tree, [])
            fresh.rename(path)

    def delete(self, repo: RepoId) -> None:
        """Remove a repository."""
        with self._lock(repo):
            path = self._path(repo)
            if not path.exists():
                raise RepositoryNotFoundError(f"repository {repo} does not exist", status=404, code="RepoNotFound")
            gone = path.with_name(f".{path.name}.gone")
            shutil.rmtree(gone, ignore_errors=True)
            path.rename(gone)
            shutil.rmtree(gone)

    def repos(self, kind: str) -> Iterator[RepoId]:
        """All repositories of a kind, by name."""
        for path in sorted((self._root / kind).glob("*/*.git")):
            if not path.name.startswith("."):
                yield RepoId(kind, path.parent.name, path.stem)  # type: ignore[arg-type]  # kinds name the folders

    def owners(self) -> list[str]:
        """Names that own repositories."""
        return sorted({path.parent.name for path in self._root.glob("*/*/*.git")})

    def open(self, repo: RepoId) -> Repository:
        """A repository; `RepositoryNotFoundError` if there is none."""
        path = self._path(repo)
        if not path.is_dir():
            raise RepositoryNotFoundError(f"repository {repo} does not exist", status=404, code="RepoNotFound")
        return Repository(repo, pygit2.Repository(str(path)), self._lock(repo))

    def _path(self, repo: RepoId) -> Path:
        return self._root / repo.kind / repo.owner / f"{repo.name}.git"

    def _lock(self, repo: RepoId) -> threading.Lock:
        with self._guard:
            return self._locks.setdefault(repo, threading.Lock())


class Repository:
    """One repository, opened for one request."""

    def __init__(self, repo: RepoId, git: pygit2.Repository, lock: threading.Lock) -> None:
        self.id = repo
        self._git = git
        self._lock = lock

    @property
    def private(self) -> bool:
        """Whether only its owner sees it."""
        return bool(self._git.config.get_bool(_PRIVATE)) if _PRIVATE in self._git.config else False

    @property
    def created(self) -> int:
        """When it was made, in Unix seconds."""
        return self._git.config.get_int(_CREATED) if _CREATED in self._git.config else 0

    def resolve(self, revision: str) -> pygit2.Commit:
        """The commit of a branch, tag, full reference, or full or unique abbreviated commit id.

        Raises
        ------
        RevisionNotFoundError
            There is no such revision.
        """
        for name in (
            f"refs/heads/{revision}",
            f"refs/tags/{revision}",
            revision if revision.startswith("refs/") else "",
        ):
            if name and self._valid(name) and name in self._git.references:
                return self._git.references[name].peel(pygit2.Commit)
        if may_be_commit(revision):
            found: object = None
            with suppress(KeyError, ValueError):
                found = self._git.get(revision) if is_commit_id(revision) else self._git.revparse_single(revision)
            if isinstance(found, pygit2.Commit):
                return found
        raise RevisionNotFoundError(
            f"{self.id} has no branch, tag or commit {revision!r}", status=404, code="RevisionNotFound"
        )

    def branches(self) -> dict[str, str]:
        """Names of branches and their commits."""
        return {
            name: str(self._git.references[f"refs/heads/{name}"].target) for name in sorted(self._git.branches.local)
        }

    def tags(self) -> dict[str, str]:
        """Names of tags and their commits."""
        return {
            name.removeprefix("refs/tags/"): str(self._git.references[name].peel(pygit2.Commit).id)
            for name in sorted(self._git.references)
            if name.startswith("refs/tags/")
        }

    def create_branch(self, name: str, start: str | None) -> None:
        """Make a branch at a revision, or at main."""
        if not _BRANCH.match(name):
            raise BadRequestError(f"{name!r} is not a valid branch name", status=400)
        with self._lock:
            commit = self.resolve(start or "main")
            try:
                self._git.create_reference(f"refs/heads/{name}", commit.id)
            except (pygit2.GitError, ValueError, OSError) as error:
                raise AlreadyExistsError(f"{self.id}: branch {name!r} already exists", status=409) from error

    def delete_branch(self, name: str) -> None:
        """Remove a branch; main stays."""
        if name == "main":
            raise BadRequestError("the main branch cannot be deleted", status=400)
        self._delete_reference(f"refs/heads/{name}", name)

    def create_tag(self, name: str, revision: str, message: str | None, user: str) -> None:
        """Make a tag at a revision, annotated if it has a message."""
        if not _BRANCH.match(name):
            raise BadRequestError(f"{name!r} is not a valid tag name", status=400)
        with self._lock:
            commit = self.resolve(revision)
            if f"refs/tags/{name}" in self._git.references:
                raise AlreadyExistsError(f"{self.id}: tag {name!r} already exists", status=409)
            if message:
                self._git.create_tag(name, commit.id, pygit2.enums.ObjectType.COMMIT, _signature(user), message)
            else:
                self._git.create_reference(f"refs/tags/{name}", commit.id)

    def delete_tag(self, name: str) -> None:
        """Remove a tag."""
        self._delete_reference(f"refs/tags/{name}", name)

    def history(self, commit: pygit2.Commit) -> Iterator[pygit2.Commit]:
        """Commits from one back to the first, newest first."""
        yield from self._git.walk(commit.id, pygit2.enums.SortMode.TOPOLOGICAL | pygit2.enums.SortMode.TIME)

    def entry(self, commit: pygit2.Commit, path: str) -> Entry | None:
        """What is at a path, if anything."""
        if not path:
            return Entry("", str(commit.tree_id), True)
        try:
            found = commit.tree[path]
        except (KeyError, ValueError):
            return None
        return self._entry(path, found)

    def entries(self, commit: pygit2.Commit, path: str, *, recursive: bool) -> Iterator[Entry]:
        """What is under a folder, in the order of git trees, folders before what they hold.

        Raises
        ------
        EntryNotFoundError
            There is no such folder.
        """
        top = self.entry(commit, path)
        if top is None or not top.is_folder:
            raise EntryNotFoundError(
                f"{self.id} has no folder {path!r} at {str(commit.id)[:10]}", status=404, code="EntryNotFound"
            )
        yield from self._walk(self._object(top.oid), f"{path}/" if path else "", recursive)

    def blob(self, oid: str) -> bytes:
        """Content of a blob."""
        return bytes(self._object(oid).data)

    def _object(self, oid: str | pygit2.Oid) -> Any:
        """A tree or blob; pygit2 types all objects alike."""
        return self._git[oid]

    def _walk(self, tree: Any, prefix: str, recursive: bool) -> Iterator[Entry]:
        for found in tree:
            entry = self._entry(prefix + found.name, found)
            yield entry
            if recursive and entry.is_folder:
                yield from self._walk(found, f"{entry.path}/", recursive)

    def _entry(self, path: str, found: Any) -> Entry:
        if found.filemode == _FOLDER:
            return Entry(path, str(found.id), True)
        size = found.size
        lfs = LfsPointer.parse(found.data) if size <= _MAX_POINTER else None
        return Entry(path, str(found.id), False, lfs.size if lfs else size, lfs, size)

    def commit(
        self,
        branch: str,
        changes: Mapping[str, bytes | None],
        folders: list[str],
        *,
        message: str,
        user: str,
        parent: str | None,
    ) -> str:
        """One commit on a branch.

        Parameters
        ----------
        changes:
            Path and blob content; ``None`` deletes the file.
        folders:
            Folders to delete, before the changes apply.
        parent:
            The commit that the branch must be at, if the caller cares.

        Returns
        -------
        str
            The new commit, or the branch's commit where nothing changed.

        Raises
        ------
        RevisionNotFoundError
            There is no such branch.
        ConflictError
            The branch is not at ``parent``.
        EntryNotFoundError
            A file or folder to delete is not there.
        BadRequestError
            A path is not valid, or is a file and a folder at once.
        """
        with self._lock:
            reference = f"refs/heads/{branch}"
            if not self._valid(reference) or reference not in self._git.references:
                raise RevisionNotFoundError(f"{self.id} has no branch {branch!r}", status=404, code="RevisionNotFound")
            head = self._git.references[reference].peel(pygit2.Commit)
            if parent is not None and parent != str(head.id):
                raise ConflictError(
                    f"{self.id}: branch {branch!r} is at {head.id}, not at the parent commit {parent}", status=412
                )
            edits = _Folder()
            for folder in folders:
                edits.delete_folder(check_path(folder))
            for path, data in changes.items():
                edits.set(check_path(path), None if data is None else self._git.create_blob(data))
            tree = self._apply(head.tree, edits, "")
            if tree == head.tree_id:
                return str(head.id)
            tree = tree or self._git.TreeBuilder().write()
            author = _signature(user)
            made = self._git.create_commit(None, author, author, message, tree, [head.id])
            self._git.references[reference].set_target(made)
            return str(made)

    def squash(self, branch: str, message: str, user: str) -> None:
        """Replace a branch's history by one commit with its content."""
        with self._lock:
            head = self.resolve(branch)
            author = _signature(user)
            made = self._git.create_commit(None, author, author, message, head.tree_id, [])
            self._git.references[f"refs/heads/{branch}"].set_target(made)

    def _apply(self, tree: pygit2.Tree | None, edits: _Folder, prefix: str) -> pygit2.Oid | None:
        """Write the trees that the edits touch; ``None`` for a folder that ends up empty."""
        builder = self._git.TreeBuilder(tree) if tree is not None else self._git.TreeBuilder()
        for name, oid in edits.files.items():
            there = builder.get(name)
            if oid is None:
                if there is None or there.filemode == _FOLDER:
                    raise EntryNotFoundError(
                        f"A file with this name doesn't exist: {prefix}{name}", status=404, code="EntryNotFound"
                    )
                builder.remove(name)
                continue
            if there is not None and there.filemode == _FOLDER and not edits.removes(name):
                raise BadRequestError(f"{prefix}{name} is a folder; a file cannot replace it", status=400)
            builder.insert(name, oid, _FILE)
        for name, folder in edits.folders.items():
            if edits.files.get(name) is not None:
                if edits.removes(name):
                    continue
                raise BadRequestError(f"{prefix}{name} would be a file and a folder at once", status=400)
            there = builder.get(name)
            if there is not None and there.filemode != _FOLDER:
                raise BadRequestError(f"{prefix}{name} is a file; nothing can be put below it", status=400)
            if folder.delete_all and there is None:
                raise EntryNotFoundError(f"there is no folder {prefix}{name}", status=404, code="EntryNotFound")
            below = None if there is None or folder.delete_all else self._object(there.id)
            written = self._apply(below, folder, f"{prefix}{name}/")
            if written is not None:
                builder.insert(name, written, _FOLDER)
            elif there is not None:
                builder.remove(name)
        return builder.write() if len(builder) else None

    def _delete_reference(self, reference: str, name: str) -> None:
        with self._lock:
            if not self._valid(reference) or reference not in self._git.references:
                raise RevisionNotFoundError(f"{self.id} has no {name!r}", status=404, code="RevisionNotFound")
            self._git.references.delete(reference)

    @staticmethod
    def _valid(reference: str) -> bool:
        return bool(pygit2.reference_is_valid_name(reference))


class _Folder:
    """Edits of one folder, as a tree, so that each touched git tree is read and written once."""

    def __init__(self) -> None:
        self.files: dict[str, pygit2.Oid | None] = {}
        self.folders: dict[str, _Folder] = {}
        self.delete_all = False

    def removes(self, name: str) -> bool:
        """Whether a sub-folder is deleted and gets nothing new."""
        folder = self.folders.get(name)
        return folder is not None and folder.delete_all and not folder.files and not folder.folders

    def _descend(self, parts: list[str]) -> _Folder:
        folder = self
        for part in parts:
            folder = folder.folders.setdefault(part, _Folder())
        return folder

    def set(self, path: str, oid: pygit2.Oid | None) -> None:
        *parts, name = path.split("/")
        self._descend(parts).files[name] = oid

    def delete_folder(self, path: str) -> None:
        self._descend(path.split("/")).delete_all = True


def _signature(user: str) -> pygit2.Signature:
    return pygit2.Signature(user, f"{user}@users.noreply.localhost")
