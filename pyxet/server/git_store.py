"""Repositories as bare git repositories: content of small text files in blobs, of others as Git-LFS pointers.

A repository that was renamed leaves a mark at its old name, which counts as long as no other one has that name.

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
# git keeps small trees parsed, and reads larger ones anew for each path that is looked up in them: with a thousand files
# in a folder that was nearly all of what a look-up of many paths cost. Within this many bytes they are kept as well.
pygit2.option(pygit2.enums.Option.SET_CACHE_OBJECT_LIMIT, pygit2.enums.ObjectType.TREE, 4 * 1024 * 1024)
pygit2.option(pygit2.enums.Option.SET_CACHE_MAX_SIZE, 64 * 1024 * 1024)

INITIAL_MESSAGE: Final = "initial commit"
# The store's folder in the directory of an endpoint.
REPOSITORIES: Final = "repos"
# Seconds after which nobody goes on with a push.
_STALE: Final = 24 * 3600
# How often a name is followed while the repository is renamed again and again.
_TRIES: Final = 5


class GitStore:
    """All repositories of an endpoint, whose directory it alone writes to."""

    def __init__(self, root: Path) -> None:
        self._root = root
        root.mkdir(mode=0o700, exist_ok=True)
        sync_folder(root.parent)
        self._locks: dict[RepoId, threading.Lock] = {}
        self._guard = threading.Lock()
        self._usable: set[RepoId] = set()
        # What an earlier process had begun to make or to delete.
        for pattern in ("*/*/.*.git.new", "*/*/.*.git.gone"):
            for left in root.glob(pattern):
                remove_tree(left)
        for left in root.glob("*/*/.*.git.moved.new"):
            remove(left)
        # The mark comes before the rename, and goes after another repository has got the name.
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
        """A repository with one commit on main; `AlreadyExistsError` if it is there.

        Parameters
        ----------
        files:
            What the commit holds, by names without folders.
        prepare:
            Called when nothing stands in the way, before the repository is there.
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
        """A second repository with the branches, tags and history of a first one.

        Parameters
        ----------
        private:
            Whether only its owner sees it; as with the first one if ``None``.
        prepare:
            As in `create`.

        Raises
        ------
        RepositoryNotFoundError, AlreadyExistsError
            The first one is not there; the second one is.
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
            Called when nothing stands in the way, before the repository moves.

        Raises
        ------
        RepositoryNotFoundError, AlreadyExistsError
            It is not there; there is one of the new name.
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
        """Where hooks may be kept that serve all repositories."""
        return self._root / ".hooks"

    def has(self, repo: RepoId) -> bool:
        """Whether there is a repository of this very name."""
        return self._path(repo).is_dir()

    def current(self, repo: RepoId) -> RepoId:
        """The repository that a name stands for, in whatever case, or which it was renamed to; `RepositoryNotFoundError` if none."""
        for _ in range(_TRIES):
            passed: set[RepoId] = set()
            found: RepoId | None = repo
            while found is not None and found not in passed:
                if self.has(found):
                    return found
                passed.add(found)
                found = self._following(found)
            # It may have got one of the names that were passed, while the later ones were looked at.
            if not any(map(self.has, passed)):
                break
        raise _missing(repo)

    def open_current(self, repo: RepoId) -> Repository:
        """What `current` finds, for one request; `RepositoryNotFoundError` if there is none."""
        for _ in range(_TRIES):
            current = self.current(repo)
            # Renamed between the two, it has left a mark.
            with suppress(RepositoryNotFoundError):
                return self.open(current)
        raise _missing(repo)

    def _following(self, repo: RepoId) -> RepoId | None:
        """Where the mark at a name leads that nothing is called by, or else the one repository called so in another case."""
        with suppress(FileNotFoundError):
            if marked := XetURL.parse(_mark(self._path(repo)).read_text(encoding="utf-8")).repo_id:
                return marked
        return self._alike(repo)

    def _alike(self, repo: RepoId) -> RepoId | None:
        """The one repository whose name is the same but for upper and lower case, if there is just one."""
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
            # Its old names are not to lead to whatever is called so one day.
            for mark in self._root.glob(f"{repo.kind}/*/.*.git.moved"):
                if mark.read_text(encoding="utf-8") == repo.path:
                    remove(mark, missing_ok=True)

    def repos(self, kind: str, owner: str | None = None) -> Iterator[RepoId]:
        """All repositories of a kind, or those of an owner, by owner and name."""
        return stored_repos(self._root, kind, owner)

    def owners(self) -> list[str]:
        """Names that own repositories."""
        return sorted({path.parent.name for path in self._root.glob("*/*/*.git")})

    def open(self, repo: RepoId) -> Repository:
        """A repository for one request; `RepositoryNotFoundError` if there is none."""
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
        """A place for a new repository, which is there once the block has ended, with all that was put into it."""
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
        """Make a repository's name durable: the owner's folder, and that of the kind, may be new as well."""
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
        """The locks of some repositories, taken in one order by all."""
        with ExitStack() as held:
            for repo in sorted(set(repos)):
                held.enter_context(self._lock(repo))
            yield


def stored_repos(root: Path, kind: str, owner: str | None = None) -> Iterator[RepoId]:
    """What `GitStore.repos` tells, of a store that another process may hold."""
    top = root / kind
    if owner is not None:
        owners = [owner] if (top / owner).is_dir() else []
    else:
        owners = sorted(os.listdir(top)) if top.is_dir() else []
    for name in owners:
        found = (path for path in os.listdir(top / name) if path.endswith(".git") and not path.startswith("."))
        for repo in sorted(path.removesuffix(".git") for path in found):
            yield RepoId(kind, name, repo)  # type: ignore[arg-type]  # kinds name the folders


def _init(fresh: Path, *, private: bool) -> pygit2.Repository:
    made = pygit2.init_repository(str(fresh), bare=True, initial_head="main")
    made.config[PRIVATE] = private
    made.config[CREATED] = str(int(time.time()))
    return made


def _mark(path: Path) -> Path:
    """Where a repository that is gone from a path has left its new name."""
    return path.with_name(f".{path.name}.moved")


def _marked(mark: Path) -> Path:
    return mark.with_name(mark.name.removeprefix(".").removesuffix(".moved"))


def _missing(repo: RepoId) -> RepositoryNotFoundError:
    return RepositoryNotFoundError(f"repository {repo} does not exist", status=404, code="RepoNotFound")


def _unlock(path: Path) -> None:
    """Remove what a killed process left: locks, which would refuse later changes, and unfinished objects."""
    for left in [*path.glob("*.lock"), *(path / "refs").rglob("*.lock")]:
        remove(left, missing_ok=True)
    objects = path / "objects"
    for left in [*objects.glob("tmp_*"), *objects.glob("*/tmp_*"), *objects.glob("incoming-*")]:
        if not left.is_dir():
            remove(left, missing_ok=True)
        elif left.stat().st_mtime < time.time() - _STALE:
            # A push collects its objects in a folder, and may be going on.
            remove_tree(left, ignore_errors=True)
