"""Repositories as bare git repositories: content of small text files in blobs, of others as Git-LFS pointers.

Everything here blocks and belongs in worker threads.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pygit2

from pyxet.errors import AlreadyExistsError, RepositoryNotFoundError
from pyxet.server.git_objects import signature
from pyxet.server.git_repository import CREATED, PRIVATE, Repository
from pyxet.server.object_store import sync_folder, sync_tree
from pyxet.urls import RepoId

pygit2.option(pygit2.enums.Option.ENABLE_FSYNC_GITDIR, True)

INITIAL_MESSAGE: Final = "initial commit"


class GitStore:
    """All repositories of an endpoint, whose directory it alone writes to."""

    def __init__(self, root: Path) -> None:
        self._root = root
        root.mkdir(parents=True, exist_ok=True)
        sync_folder(root.parent)
        self._locks: dict[RepoId, threading.Lock] = {}
        self._guard = threading.Lock()
        self._usable: set[RepoId] = set()
        # What an earlier process had begun to make or to delete.
        for pattern in ("*/*/.*.git.new", "*/*/.*.git.gone"):
            for left in root.glob(pattern):
                shutil.rmtree(left)

    def create(self, repo: RepoId, *, user: str, private: bool) -> None:
        """A repository with an empty commit on main; `AlreadyExistsError` if it is there."""
        with self._lock(repo):
            path = self._path(repo)
            if path.exists():
                raise AlreadyExistsError(f"repository {repo} already exists", status=409)
            fresh = path.with_name(f".{path.name}.new")
            shutil.rmtree(fresh, ignore_errors=True)
            try:
                made = pygit2.init_repository(str(fresh), bare=True, initial_head="main")
                made.config[PRIVATE] = private
                made.config[CREATED] = str(int(time.time()))
                tree = made.TreeBuilder().write()
                author = signature(user)
                made.create_commit("refs/heads/main", author, author, INITIAL_MESSAGE, tree, [])
                made.free()
                sync_tree(fresh)
                fresh.rename(path)
            except BaseException:
                shutil.rmtree(fresh, ignore_errors=True)
                raise
            # The owner's folder, and that of the kind, may be new as well.
            for folder in (path.parent, path.parent.parent, self._root):
                sync_folder(folder)

    def delete(self, repo: RepoId) -> None:
        """Remove a repository; `RepositoryNotFoundError` if there is none."""
        with self._lock(repo):
            path = self._path(repo)
            if not path.exists():
                raise _missing(repo)
            gone = path.with_name(f".{path.name}.gone")
            shutil.rmtree(gone, ignore_errors=True)
            path.rename(gone)
            sync_folder(path.parent)
            shutil.rmtree(gone)

    def repos(self, kind: str, owner: str | None = None) -> Iterator[RepoId]:
        """All repositories of a kind, or those of an owner, by owner and name."""
        top = self._root / kind
        if owner is not None:
            owners = [owner] if (top / owner).is_dir() else []
        else:
            owners = sorted(os.listdir(top)) if top.is_dir() else []
        for name in owners:
            found = (path for path in os.listdir(top / name) if path.endswith(".git") and not path.startswith("."))
            for repo in sorted(path.removesuffix(".git") for path in found):
                yield RepoId(kind, name, repo)  # type: ignore[arg-type]  # kinds name the folders

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

    def _path(self, repo: RepoId) -> Path:
        return self._root / repo.kind / repo.owner / f"{repo.name}.git"

    def _lock(self, repo: RepoId) -> threading.Lock:
        with self._guard:
            return self._locks.setdefault(repo, threading.Lock())


def _missing(repo: RepoId) -> RepositoryNotFoundError:
    return RepositoryNotFoundError(f"repository {repo} does not exist", status=404, code="RepoNotFound")


def _unlock(path: Path) -> None:
    """Remove git's lock files that a killed process left: they would refuse every later change of what they lock."""
    for left in [*path.glob("*.lock"), *(path / "refs").rglob("*.lock")]:
        left.unlink(missing_ok=True)
    for left in (path / "objects").glob("*/tmp_*"):
        left.unlink(missing_ok=True)
