"""The large files in the whole history of a git repository: lists them, and rewrites the history without some of them.

Everything here blocks and belongs in worker threads.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import pygit2

from pyxet.server.git_objects import EXECUTABLE, FILE, FOLDER, MAX_POINTER, LfsPointer, commit_of
from pyxet.server.git_repository import Repository
from pyxet.server.git_trees import members

_OLDEST_FIRST: Final = pygit2.enums.SortMode.TOPOLOGICAL | pygit2.enums.SortMode.REVERSE


@dataclass(frozen=True, slots=True)
class LargeFile:
    """Content by sha256, with the first path, commit time (Unix seconds) and reference that had it, and its pointer's blob."""

    sha256: str
    path: str
    size: int
    blob: str
    pushed: int
    ref: str


def large_files(repo: Repository) -> list[LargeFile]:
    """All large files in the history of the branches, pull requests and tags of a repository, the newest first."""
    found: dict[str, LargeFile] = {}
    seen: set[pygit2.Oid] = set()
    walked: list[pygit2.Oid] = []
    for reference, head in _references(repo):
        walk = repo.git.walk(head, _OLDEST_FIRST)
        for other in walked:
            walk.hide(other)
        walked.append(head)
        for commit in walk:
            for path, blob in _new_blobs(commit.tree, seen):
                pointer = _pointer(repo.git, blob)
                if pointer is not None and pointer.sha256 not in found:
                    found[pointer.sha256] = LargeFile(
                        pointer.sha256, path, pointer.size, str(blob.id), commit.commit_time, reference
                    )
    return sorted(found.values(), key=lambda file: (-file.pushed, file.path))


def remove_large_files(repo: Repository, contents: set[str]) -> None:
    """Rewrite all history so that no commit names the contents with these sha256.

    Commits that do not change keep their ids. References move one after the other: after a crash, only some have moved, and
    a second call moves the others.
    """
    git = repo.git
    trees: dict[pygit2.Oid, pygit2.Oid | None] = {}
    commits: dict[pygit2.Oid, pygit2.Oid] = {}
    with repo.turn():
        for reference, head in _references(repo):
            for commit in git.walk(head, _OLDEST_FIRST):
                if commit.id not in commits:
                    commits[commit.id] = _rewritten(git, commit, contents, trees, commits)
            made = commits[head]
            if made == head:
                continue
            target = git.references[reference].target
            tag = git[target]
            if isinstance(tag, pygit2.Tag):
                # An annotated tag names its commit in its first line.
                rest = tag.read_raw().partition(b"\n")[2]
                made = git.write(pygit2.enums.ObjectType.TAG, b"object %b\n%b" % (str(made).encode(), rest))
            git.references[reference].set_target(made)


def _references(repo: Repository) -> Iterator[tuple[str, pygit2.Oid]]:
    """Branches, pull requests and tags with their commits; ``main`` is the first."""
    names = [name for name in repo.git.references if name.startswith(("refs/heads/", "refs/pr/", "refs/tags/"))]
    for name in sorted(names, key=lambda name: (name != "refs/heads/main", name)):
        if (commit := commit_of(repo.git, name)) is not None:
            yield name, commit.id


def _new_blobs(tree: Any, seen: set[pygit2.Oid]) -> Iterator[tuple[str, Any]]:
    """Files below a tree whose ids are not in ``seen``."""
    waiting = [(tree, "")]
    while waiting:
        folder, prefix = waiting.pop()
        if folder.id in seen:
            continue
        seen.add(folder.id)
        for path, member in members(folder, prefix):
            if member.filemode == FOLDER:
                waiting.append((member, f"{path}/"))
            elif member.id not in seen:
                seen.add(member.id)
                yield path, member


def _pointer(git: pygit2.Repository, blob: Any) -> LfsPointer | None:
    # Read only the header first: blobs that came with a push may be large.
    if blob.filemode not in (FILE, EXECUTABLE) or git.odb.read_header(blob.id)[1] > MAX_POINTER:
        return None
    return LfsPointer.parse(blob.data)


def _rewritten(
    git: pygit2.Repository,
    commit: pygit2.Commit,
    contents: set[str],
    trees: dict[pygit2.Oid, pygit2.Oid | None],
    commits: dict[pygit2.Oid, pygit2.Oid],
) -> pygit2.Oid:
    tree = _without(git, commit.tree, contents, trees) or git.TreeBuilder().write()
    parents = [commits[parent] for parent in commit.parent_ids]
    if tree == commit.tree_id and parents == list(commit.parent_ids):
        return commit.id
    text = git.create_commit_string(commit.author, commit.committer, commit.message, tree, [*parents])
    return git.write(pygit2.enums.ObjectType.COMMIT, str(text).encode())


def _without(
    git: pygit2.Repository, tree: Any, contents: set[str], trees: dict[pygit2.Oid, pygit2.Oid | None]
) -> pygit2.Oid | None:
    """A tree without the files that have these contents; ``None`` if nothing is left. Not recursive: trees may be deep."""
    waiting = [(tree, False)]
    while waiting:
        folder, ready = waiting.pop()
        if folder.id in trees:
            continue
        below = [member for member in folder if member.filemode == FOLDER and member.id not in trees]
        if below and not ready:
            waiting += [(folder, True), *((member, False) for member in below)]
            continue
        trees[folder.id] = _one_without(git, folder, contents, trees)
    return trees[tree.id]


def _one_without(
    git: pygit2.Repository, folder: Any, contents: set[str], trees: dict[pygit2.Oid, pygit2.Oid | None]
) -> pygit2.Oid | None:
    left: list[tuple[Any, pygit2.Oid]] = []
    changed = False
    for member in folder:
        new: pygit2.Oid | None = member.id
        if member.filemode == FOLDER:
            new = trees[member.id]
        elif (pointer := _pointer(git, member)) is not None and pointer.sha256 in contents:
            new = None
        changed = changed or new != member.id
        if new is not None:
            left.append((member, new))
    if not changed:
        return folder.id  # type: ignore[no-any-return]  # pygit2 types all objects alike
    if not left:
        return None
    # pygit2's tree builder only accepts UTF-8 names. The remaining entries are already in git's order.
    data = b"".join(b"%o %b\0%b" % (member.filemode, member.raw_name, new.raw) for member, new in left)
    return git.write(pygit2.enums.ObjectType.TREE, data)
