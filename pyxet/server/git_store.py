"""Repositories as bare git repositories: small text files are blobs, other files are Git-LFS pointers.

Renaming a repository leaves a mark at its old name. The mark is valid as long as no other repository has that name.

Everything here blocks and belongs in worker threads.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

import pygit2

from pyxet._platform import sync_folder
from pyxet._platform_files import remove, remove_tree, replace
from pyxet.errors import AlreadyExistsError, RepositoryNotFoundError
from pyxet.server.git_copy import copy_repository
from pyxet.server.git_objects import FILE, signature, write_commit
from pyxet.server.git_repository import CREATED, PRIVATE, Repository
from pyxet.server.object_store import sync_tree
from pyxet.types import RepoId
from pyxet.urls import XetURL

pygit2.option(pygit2.enums.Option.ENABLE_FSYNC_GITDIR, True)
# By default libgit2 caches only small trees, and reads larger ones again for each path that is looked up in them. With a
# thousand files in a folder, that took nearly all the time of many look-ups. This caches trees up to 4 MiB too.
pygit2.option(pygit2.enums.Option.SET_CACHE_OBJECT_LIMIT, pygit2.enums.ObjectType.TREE, 4 * 1024 * 1024)
pygit2.option(pygit2.enums.Option.SET_CACHE_MAX_SIZE, 64 * 1024 * 1024)

INITIAL_MESSAGE: Final = "initial commit"
# The store's folder in the directory of an endpoint.
REPOSITORIES: Final = "repos"
# Seconds after which an unfinished push is considered abandoned.
_STALE: Final = 24 * 3600
# How often a look-up is repeated if the repository is renamed meanwhile.
_TRIES: Final = 5


class GitStore:
    """All repositories of an endpoint. Only this process, and git processes that it starts, write to their directory."""

    def __init__(self, root: Path) -> None:
        self._root = root
        root.mkdir(mode=0o700, exist_ok=True)
        sync_folder(root.parent)
        self._locks: dict[RepoId, threading.Lock] = {}
        self._guard = threading.Lock()
        self._usable: set[RepoId] = set()
        # Remove repositories that an earlier process had not finished making or deleting.
        for pattern in ("*/*/.*.git.new", "*/*/.*.git.gone"):
            for left in root.glob(pattern):
                remove_tree(left)
        for left in root.glob("*/*/.*.git.moved.new"):
            remove(left)
        # A crash can leave a mark at a name in use: it is made before a rename, and removed after the name is reused.
        for mark in root.glob("*/*/.*.git.moved"):
            if _marked(mark).is_dir():
                remove(mark)

    def create(
        self,
        repo: RepoId,
        *,
        user: str,
        private: bool,
        files: Mapping[str, bytes] | None = None,
        prepare: Callable[[], object] = lambda: None,
    ) -> None:
        """Make a repository with one commit on main; `AlreadyExistsError` if it exists.

        Parameters
        ----------
        files:
            The files of the commit, by name without folders.
        prepare:
            Called after all checks, before the repository exists.
        """
        with self._held(repo), self._made(repo, prepare) as fresh:
            made = _init(fresh, private=private)
            tree = made.TreeBuilder()
            for name, data in (files or {}).items():
                tree.insert(name, made.create_blob(data), FILE)
            author = signature(user)
            made.references.create("refs/heads/main", write_commit(made, author, INITIAL_MESSAGE, tree.write(), []))
            made.free()

    def duplicate(
        self, repo: RepoId, copy: RepoId, *, private: bool | None, prepare: Callable[[], object] = lambda: None
    ) -> None:
        """Make a second repository with the branches, tags and history of a first one.

        Parameters
        ----------
        private:
            Whether only the owner sees the copy; as for the first repository if ``None``.
        prepare:
            As in `create`.

        Raises
        ------
        RepositoryNotFoundError, AlreadyExistsError
            ``repo`` does not exist; ``copy`` exists already.
        """
        with self._held(repo, copy):
            origin = self._there(repo)
            with self._made(copy, prepare) as fresh:
                hidden = Repository(repo, pygit2.Repository(str(origin)), self._lock(repo)).private
                _init(fresh, private=hidden if private is None else private).free()
                copy_repository(origin, fresh)

    def rename(self, repo: RepoId, new: RepoId, *, prepare: Callable[[], object] = lambda: None) -> None:
        """Give a repository another name, and leave a mark at the old one.

        Parameters
        ----------
        prepare:
            Called after all checks, before the repository moves.

        Raises
        ------
        RepositoryNotFoundError, AlreadyExistsError
            ``repo`` does not exist; ``new`` exists already.
        """
        with self._held(repo, new):
            path, target = self._there(repo), self._free(new)
            prepare()
            target.parent.mkdir(parents=True, exist_ok=True)
            self._sync_above(target)
            mark = _mark(path)
            written = mark.with_name(f"{mark.name}.new")
            with open(written, "w", encoding="utf-8", newline="\n") as file:
                file.write(new.path)
                file.flush()
                os.fsync(file.fileno())
            replace(written, mark)
            sync_folder(path.parent)
            replace(path, target)
            remove(_mark(target), missing_ok=True)
            if repo in self._usable:
                self._usable.add(new)
            for folder in (target.parent, path.parent):
                sync_folder(folder)

    @property
    def hooks(self) -> Path:
        """The folder for hooks that all repositories share."""
        return self._root / ".hooks"

    def has(self, repo: RepoId) -> bool:
        """Whether there is a repository with exactly this name."""
        return self._path(repo).is_dir()

    def current(self, repo: RepoId) -> RepoId:
        """The repository of a name, found also by an old name or in another case; `RepositoryNotFoundError` if none."""
        for _ in range(_TRIES):
            passed: set[RepoId] = set()
            found: RepoId | None = repo
            while found is not None and found not in passed:
                if self.has(found):
                    return found
                passed.add(found)
                found = self._following(found)
            # Meanwhile the repository may have been renamed to a name that was already checked.
            if not any(map(self.has, passed)):
                break
        raise _missing(repo)

    def open_current(self, repo: RepoId) -> Repository:
        """Open the repository that `current` finds, for one request; `RepositoryNotFoundError` if there is none."""
        for _ in range(_TRIES):
            current = self.current(repo)
            # If it was renamed since `current`, the next try follows its mark.
            with suppress(RepositoryNotFoundError):
                return self.open(current)
        raise _missing(repo)

    def _following(self, repo: RepoId) -> RepoId | None:
        """For a name not in use: the name in its mark; without one, the only repository with this name in another case."""
        with suppress(FileNotFoundError):
            if marked := XetURL.parse(_mark(self._path(repo)).read_text(encoding="utf-8")).repo_id:
                return marked
        return self._alike(repo)

    def _alike(self, repo: RepoId) -> RepoId | None:
        """The repository whose name differs only in upper and lower case; ``None`` unless there is exactly one."""
        top, wanted = self._root / repo.kind, (repo.owner.lower(), f"{repo.name}.git".lower())
        found: list[RepoId] = []
        with suppress(FileNotFoundError):
            for owner in os.listdir(top):
                if owner.lower() == wanted[0]:
                    names = (name for name in os.listdir(top / owner) if name.lower() == wanted[1])
                    found += (RepoId(repo.kind, owner, name.removesuffix(".git")) for name in names)
        return found[0] if len(found) == 1 else None

    def delete(self, repo: RepoId) -> None:
        """Remove a repository; `RepositoryNotFoundError` if there is none."""
        with self._held(repo):
            path = self._there(repo)
            gone = path.with_name(f".{path.name}.gone")
            remove_tree(gone, ignore_errors=True)
            replace(path, gone)
            sync_folder(path.parent)
            remove_tree(gone)
            remove(_mark(path), missing_ok=True)
            # Its old names must not lead to a later repository with the same name.
            for mark in self._root.glob(f"{repo.kind}/*/.*.git.moved"):
                if mark.read_text(encoding="utf-8") == repo.path:
                    remove(mark, missing_ok=True)

    def repos(self, kind: str, owner: str | None = None) -> Iterator[RepoId]:
        """All repositories of a kind, or those of one owner, sorted by owner and name."""
        return stored_repos(self._root, kind, owner)

    def owners(self) -> list[str]:
        """Names that own repositories."""
        return sorted({path.parent.name for path in self._root.glob("*/*/*.git")})

    def open(self, repo: RepoId) -> Repository:
        """Open a repository for one request; `RepositoryNotFoundError` if there is none."""
        path = self._path(repo)
        if not path.is_dir():
            raise _missing(repo)
        lock = self._lock(repo)
        if repo not in self._usable:
            with lock:
                if repo not in self._usable:
                    _unlock(path)
                    self._usable.add(repo)
        try:
            return Repository(repo, pygit2.Repository(str(path)), lock)
        except pygit2.GitError as error:
            if path.is_dir():
                raise
            raise _missing(repo) from error

    @contextmanager
    def _made(self, repo: RepoId, prepare: Callable[[], object]) -> Iterator[Path]:
        """A temporary folder for a new repository; after the block it is synced and gets its name, if nothing has failed."""
        path = self._free(repo)
        fresh = path.with_name(f".{path.name}.new")
        remove_tree(fresh, ignore_errors=True)
        try:
            yield fresh
            sync_tree(fresh)
            prepare()
            replace(fresh, path)
        except BaseException:
            remove_tree(fresh, ignore_errors=True)
            raise
        remove(_mark(path), missing_ok=True)
        self._sync_above(path)

    def _sync_above(self, path: Path) -> None:
        """Make a repository's name durable; the folders of its owner and kind may be new as well."""
        for folder in (path.parent, path.parent.parent, self._root):
            sync_folder(folder)

    def _there(self, repo: RepoId) -> Path:
        path = self._path(repo)
        if not path.is_dir():
            raise _missing(repo)
        return path

    def _free(self, repo: RepoId) -> Path:
        path = self._path(repo)
        if path.exists():
            raise AlreadyExistsError(f"repository {repo} already exists", status=409)
        return path

    def _path(self, repo: RepoId) -> Path:
        return self._root / repo.kind / repo.owner / f"{repo.name}.git"

    def _lock(self, repo: RepoId) -> threading.Lock:
        with self._guard:
            return self._locks.setdefault(repo, threading.Lock())

    @contextmanager
    def _held(self, *repos: RepoId) -> Iterator[None]:
        """Hold the locks of several repositories, always taken in the same order, to avoid deadlocks."""
        with ExitStack() as held:
            for repo in sorted(set(repos)):
                held.enter_context(self._lock(repo))
            yield


def stored_repos(root: Path, kind: str, owner: str | None = None) -> Iterator[RepoId]:
    """Like `GitStore.repos`, for a store that another process may have locked."""
    top = root / kind
    if owner is not None:
        owners = [owner] if (top / owner).is_dir() else []
    else:
        owners = sorted(os.listdir(top)) if top.is_dir() else []
    for name in owners:
        found = (path for path in os.listdir(top / name) if path.endswith(".git") and not path.startswith("."))
        for repo in sorted(path.removesuffix(".git") for path in found):
            yield RepoId(kind, name, repo)  # type: ignore[arg-type]  # the folders have the names of the kinds


def _init(fresh: Path, *, private: bool) -> pygit2.Repository:
    made = pygit2.init_repository(str(fresh), bare=True, initial_head="main")
    made.config[PRIVATE] = private
    made.config[CREATED] = str(int(time.time()))
    return made


def _mark(path: Path) -> Path:
    """The file that holds the new name of a repository that was renamed from a path."""
    return path.with_name(f".{path.name}.moved")


def _marked(mark: Path) -> Path:
    return mark.with_name(mark.name.removeprefix(".").removesuffix(".moved"))


def _missing(repo: RepoId) -> RepositoryNotFoundError:
    return RepositoryNotFoundError(f"repository {repo} does not exist", status=404, code="RepoNotFound")


def _unlock(path: Path) -> None:
    """Remove left-over files of a killed process: locks, which would block later changes, and unfinished objects."""
    for left in [*path.glob("*.lock"), *(path / "refs").rglob("*.lock")]:
        remove(left, missing_ok=True)
    objects = path / "objects"
    for left in [*objects.glob("tmp_*"), *objects.glob("*/tmp_*"), *objects.glob("incoming-*")]:
        if not left.is_dir():
            remove(left, missing_ok=True)
        elif left.stat().st_mtime < time.time() - _STALE:
            # The folder of a push's objects. A more recent push may still be running.
            remove_tree(left, ignore_errors=True)
