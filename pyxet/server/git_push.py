"""Checks the objects of a push and moves its references, by the same rules as commits through the API.

Everything here blocks and belongs in worker threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import pygit2

from pyxet._platform import sync_folder
from pyxet.errors import BadRequestError, RemoteError
from pyxet.server.file_limits import FileLimits
from pyxet.server.git_objects import (
    FOLDER,
    MAX_DEPTH,
    MAX_PATH,
    MAX_POINTER,
    SUBMODULE,
    LfsPointer,
    check_name,
    check_part,
    why_no_reference,
)
from pyxet.server.git_proposals import Proposals, number_of
from pyxet.server.git_repository import Repository
from pyxet.server.object_store import is_disk_full, sync_tree

NOTHING: Final = "0" * 40
# The most objects of one push: checking this many takes some minutes.
_MAX_OBJECTS: Final = 4_000_000
# The most problems that are listed one by one.
_TOLD: Final = 10
_BLOB, _TREE = pygit2.enums.ObjectType.BLOB, pygit2.enums.ObjectType.TREE


@dataclass(frozen=True, slots=True)
class ReferenceUpdate:
    """A reference that a push moves.

    Attributes
    ----------
    old, new:
        Object ids in hex; `NOTHING` where there is none.
    name:
        The full name.
    """

    old: str
    new: str
    name: bytes

    @classmethod
    def parse(cls, line: bytes) -> ReferenceUpdate:
        """Parse a line that git gives its hooks; `BadRequestError` if it is not an update."""
        parts = line.rstrip(b"\n").split(b" ", 2)
        if len(parts) != 3 or not all(len(part) == len(NOTHING) and part.isalnum() for part in parts[:2]):
            raise BadRequestError("the push has an invalid command", status=400)
        return cls(parts[0].decode(), parts[1].decode(), parts[2])


class PushedObjects:
    """The objects of a push, which git keeps in a separate folder until they are accepted.

    Parameters
    ----------
    repository:
        The bare repository.
    quarantine:
        The folder that the new objects are in.
    max_file:
        The most bytes of a file that is not in LFS.
    limits:
        The limits for all files and folders.
    """

    def __init__(self, repository: Path, quarantine: Path, max_file: int, limits: FileLimits) -> None:
        self._max_file = max_file
        self._limits = limits
        self._folder = quarantine
        self._there = pygit2.Repository(str(repository))
        self._git = pygit2.Repository(str(repository))
        self._git.odb.add_disk_alternate(str(quarantine))

    def check(self, missing: Callable[[LfsPointer], bool]) -> tuple[list[str], set[str]]:
        """Check all new objects.

        Parameters
        ----------
        missing:
            Says whether the content of a pointer is not stored, or the pushing user may not use it.

        Returns
        -------
        list of str
            The problems, as lines to show to the user; empty if the push may be accepted.
        set of str
            sha256 of the contents that the new pointers name.
        """
        problems: list[str] = []
        lost: dict[str, str] = {}
        contents: set[str] = set()
        for count, oid in enumerate(pygit2.Odb(str(self._folder)), 1):
            if count > _MAX_OBJECTS:
                return [f"the push has more than {_MAX_OBJECTS:,} new objects; push in parts"], set()
            kind, size = self._git.odb.read_header(oid)
            if kind == _TREE:
                problem = self._wrong_tree(oid)
            elif kind == _BLOB and size > self._max_file:
                problem = (
                    f"{self._path(oid)}: {size:,} bytes; a file has at most {self._max_file:,}, larger ones are LFS files "
                    "(git lfs track, or git lfs migrate import for those that are committed)"
                )
            elif kind == _BLOB and size <= MAX_POINTER:
                pointer = LfsPointer.parse(bytes(self._object(oid).data))
                if pointer is None:
                    continue
                contents.add(pointer.sha256)
                problem = self._too_large(oid, pointer)
                if missing(pointer) and self._is_new(oid):
                    lost[pointer.sha256] = self._path(oid)
            else:
                continue
            if problem and self._is_new(oid):
                problems.append(problem)
        problems += self._too_deep()
        told = [*problems[:_TOLD]]
        if len(problems) > _TOLD:
            told.append(f"… and {len(problems) - _TOLD:,} more")
        if lost:
            told += _lost(lost)
        return told, contents

    def sync(self) -> list[Path]:
        """Make the new objects durable where they are; return the repository's folders to which git will move them."""
        sync_tree(self._folder)
        objects = Path(self._there.path) / "objects"
        return [objects / found.name for found in self._folder.iterdir() if found.is_dir()] + [objects]

    def _too_large(self, oid: Any, pointer: LfsPointer) -> str | None:
        try:
            self._limits.check_size("", pointer.size)
        except BadRequestError as error:
            return f"{self._path(oid)}{error.message}"
        return None

    def _wrong_tree(self, oid: Any) -> str | None:
        tree, most = self._object(oid), self._limits.folder_entries
        if most is not None and len(tree) > most:
            return f"the folder {self._path(oid) or '/'} has {len(tree):,} entries; at most {most:,} are accepted"
        for entry in tree:
            try:
                check_part(_readable(entry.raw_name), len(entry.raw_name), _readable(entry.raw_name))
            except BadRequestError as error:
                return error.message
        return None

    def _too_deep(self) -> list[str]:
        """Paths that are too long or have too many parts. Does not look into folders that the repository already has."""
        measured: dict[Any, tuple[int, int]] = {}
        for top in self._trees:
            waiting = [top]
            while waiting:
                tree = waiting[-1]
                unknown = [
                    entry.id
                    for entry in self._object(tree)
                    if entry.filemode == FOLDER and entry.id in self._trees and entry.id not in measured
                ]
                if unknown and tree not in measured:
                    waiting += unknown
                    if len(waiting) > _MAX_OBJECTS:
                        return ["the push has folders that contain each other too often"]
                    continue
                waiting.pop()
                deepest = longest = 0
                for entry in self._object(tree):
                    parts, length = measured.get(entry.id, (0, 0)) if entry.filemode == FOLDER else (0, 0)
                    deepest = max(deepest, parts + 1)
                    longest = max(longest, len(entry.raw_name) + (length + 1 if length else 0))
                measured[tree] = deepest, longest
        if any(deepest > MAX_DEPTH or longest > MAX_PATH for deepest, longest in measured.values()):
            return [f"a path has at most {MAX_DEPTH} parts and {MAX_PATH:,} bytes; the push has longer ones"]
        return []

    @cached_property
    def _trees(self) -> set[Any]:
        """Ids of the new folders."""
        odb = self._git.odb
        return {oid for oid in pygit2.Odb(str(self._folder)) if odb.read_header(oid)[0] == _TREE}

    @cached_property
    def _places(self) -> dict[Any, tuple[Any, str]]:
        """Object → the folder that it is in, and its name there: one place for each object."""
        found: dict[Any, tuple[Any, str]] = {}
        for tree in self._trees:
            for entry in self._object(tree):
                if entry.filemode != SUBMODULE:
                    found.setdefault(entry.id, (tree, _readable(entry.raw_name)))
        return found

    def _path(self, oid: Any) -> str:
        """A path of an object in the push, for messages; empty for a root tree."""
        parts: list[str] = []
        while oid in self._places and len(parts) <= MAX_DEPTH:
            oid, name = self._places[oid]
            parts.append(name)
        return "/".join(reversed(parts))

    def _object(self, oid: Any) -> Any:
        return self._git[oid]

    def _is_new(self, oid: Any) -> bool:
        """Whether the repository lacks the object: a pushed pack can also contain known objects, as bases of deltas."""
        return oid not in self._there


def move_references(
    repo: Repository, updates: Sequence[ReferenceUpdate], folders: Iterable[Path], *, atomic: bool, only_of: str | None
) -> list[str | None]:
    """Move references to objects that the repository now has, under the lock that commits through the API take.

    Parameters
    ----------
    folders:
        The folders that got new objects; they are synced before any reference moves.
    atomic:
        Whether all move or none.
    only_of:
        The user, if they may push only to their own pull requests; ``None`` if they may write to the repository.

    Returns
    -------
    list of str or None
        For each update the reason for its refusal; ``None`` if the reference has moved.

    Raises
    ------
    ServerError
        The repository was renamed or deleted meanwhile; nothing has moved.
    """
    for folder in folders:
        with suppress(FileNotFoundError):
            sync_folder(folder)
    with repo.turn():
        git = pygit2.Repository(str(repo.path))
        reasons = [_refusal(repo, git, update, only_of) for update in updates]
        if atomic and any(reasons):
            return [reason or "another reference of this atomic push was refused" for reason in reasons]
        moved: list[ReferenceUpdate] = []
        for number, update in enumerate(updates):
            if reasons[number] is None:
                reasons[number] = _moved(git, update)
                if reasons[number] is None:
                    moved.append(update)
                elif atomic:
                    for done in reversed(moved):
                        _moved(git, ReferenceUpdate(done.new, done.old, done.name))
                    return [reason or "another reference of this atomic push was refused" for reason in reasons]
        return reasons


def _refusal(repo: Repository, git: pygit2.Repository, update: ReferenceUpdate, only_of: str | None) -> str | None:
    """Why a reference may not be moved; ``None`` if it may."""
    try:
        name = update.name.decode()
    except UnicodeDecodeError:
        return "the name is not UTF-8"
    if name.startswith("refs/pr/"):
        return _refused_proposal(repo, name, update, only_of) or _wrong_target(git, update, "heads")
    if only_of is not None:
        return f"{only_of} may push to their own pull requests only (refs/pr/N)"
    kind = next((kind for kind in ("heads", "tags") if name.startswith(f"refs/{kind}/")), None)
    if kind is None:
        return "only branches, tags and pull requests can be pushed (refs/heads, refs/tags, refs/pr)"
    if update.new == NOTHING:
        # No check of the name: an existing reference may have one that is not allowed for new references.
        return "the main branch cannot be deleted" if name == "refs/heads/main" else None
    try:
        check_name(name.removeprefix(f"refs/{kind}/"), "branch" if kind == "heads" else "tag")
    except RemoteError as error:
        return error.message
    return _wrong_target(git, update, kind)


def _refused_proposal(repo: Repository, name: str, update: ReferenceUpdate, only_of: str | None) -> str | None:
    number = number_of(name)
    proposals = Proposals(repo)
    if number is None or str(number) not in proposals.references():
        return "there is no such pull request; open it through the API first (create_pull_request), then push to it"
    if update.new == NOTHING:
        return "a pull request cannot be deleted; close it"
    if only_of is not None and (author := proposals.pull_request(number).author) != only_of:
        return f"{only_of} may not write to the pull request of {author}"
    try:
        proposals.check_writable(number)
    except RemoteError as error:
        return error.message
    return None


def _wrong_target(git: pygit2.Repository, update: ReferenceUpdate, kind: str) -> str | None:
    found: Any = git.get(update.new)
    if found is None:
        return f"object {update.new} is missing"
    if kind == "heads" and not isinstance(found, pygit2.Commit):
        return "a branch leads to a commit"
    return None


def _moved(git: pygit2.Repository, update: ReferenceUpdate) -> str | None:
    """Move a reference if it is still at ``update.old``; return why it could not be moved, or ``None``."""
    name = update.name.decode()
    try:
        there = git.references.get(name)
        if (str(there.target) if there is not None else NOTHING) != update.old:
            return "it has moved meanwhile; fetch first"
        if there is None:
            if update.new != NOTHING:
                git.references.create(name, pygit2.Oid(hex=update.new))
        elif update.new == NOTHING:
            there.delete()
        else:
            there.set_target(pygit2.Oid(hex=update.new))
    except (pygit2.GitError, OSError, ValueError, KeyError) as error:
        if is_disk_full(error):
            return "the endpoint's disk is full"
        return f"it could not be moved: {why_no_reference(git, name, error)}"
    return None


def _lost(lost: dict[str, str]) -> Iterator[str]:
    """The same error text as from other git-lfs servers, so that a web search for it finds help."""
    some = "at least 1 unknown Git LFS object" if len(lost) == 1 else f"at least {len(lost):,} unknown Git LFS objects"
    yield f"Your push referenced {some}:"
    for sha256, path in list(lost.items())[:_TOLD]:
        yield f"    {sha256} ({path})"
    yield "Try to push them with 'git lfs push --all'."


def _readable(name: bytes) -> str:
    return name.decode(errors="backslashreplace")
