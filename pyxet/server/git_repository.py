"""One bare git repository: revisions, trees, history, and commits.

Everything here blocks and belongs in worker threads. Writers of a repository take turns; what a commit needs is on disk
before its branch moves, so a crash leaves the old commit or the new one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Any, Final

import pygit2

from pyxet.errors import (
    AlreadyExistsError,
    BadRequestError,
    ConflictError,
    EntryNotFoundError,
    RevisionNotFoundError,
    ServerError,
)
from pyxet.server.git_objects import (
    EXECUTABLE,
    FILE,
    FOLDER,
    MAX_POINTER,
    SUBMODULE,
    Entry,
    FolderEdits,
    LfsPointer,
    check_message,
    check_name,
    check_path,
    commit_of,
    commit_text,
    first_parents,
    signature,
    why_no_reference,
    write_commit,
)
from pyxet.server.git_pack import COMMIT, TREE, LooseObjects, NewObjects, PackWriter
from pyxet.server.git_trees import PathFinder, TreeEdit, members, position
from pyxet.server.object_store import is_disk_full
from pyxet.types import RepoId
from pyxet.urls import is_commit_id, may_be_commit

PRIVATE: Final = "xet.private"
CREATED: Final = "xet.created"
# If a git push into the directory moves the branch during a commit, the commit is made again on the new head.
_ATTEMPTS: Final = 5
# The search for the last commit of a path goes back this many commits; if it finds none, it names the oldest one seen.
_MAX_HISTORY: Final = 1000


class Repository:
    """One repository, opened for one request; two threads must not use it at once."""

    def __init__(self, repo: RepoId, git: pygit2.Repository, lock: threading.Lock) -> None:
        self.id = repo
        self._git = git
        self._lock = lock
        self._paths = PathFinder()

    @property
    def git(self) -> pygit2.Repository:
        """The repository itself."""
        return self._git

    @property
    def path(self) -> Path:
        """The bare repository's folder."""
        return Path(self._git.path)

    @property
    def private(self) -> bool:
        """Whether only the owner sees the repository."""
        return bool(self._git.config.get_bool(PRIVATE)) if PRIVATE in self._git.config else False

    @property
    def created(self) -> int:
        """When the repository was made, in Unix seconds."""
        return self._git.config.get_int(CREATED) if CREATED in self._git.config else 0

    def set_private(self, private: bool) -> None:
        """Show the repository only to its owner, or to all."""
        with self.turn():
            self._git.config[PRIVATE] = private

    # -- revisions -----------------------------------------------------------------------------------------------------

    def resolve(self, revision: str) -> pygit2.Commit:
        """The commit of a full commit id, full reference, branch, tag, or unique abbreviated commit id, in this order.

        Raises
        ------
        RevisionNotFoundError
            There is no such revision.
        """
        # As in git, a name in the form of a full id is always an id: clients cache without limit what they read at an id.
        named = () if is_commit_id(revision) else (f"refs/heads/{revision}", f"refs/tags/{revision}")
        for name in (revision if revision.startswith("refs/") else "", *named):
            if name and self._exists(name) and (commit := commit_of(self._git, name)) is not None:
                return commit
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
        return self.references("refs/heads/")

    def tags(self) -> dict[str, str]:
        """Names of tags and their commits."""
        return self.references("refs/tags/")

    def create_branch(self, name: str, start: str | None) -> None:
        """Make a branch at a revision, or at main.

        Raises
        ------
        AlreadyExistsError, RevisionNotFoundError, BadRequestError
            The branch exists, its start does not exist, or the name is not valid (or clashes with that of another branch).
        """
        check_name(name, "branch")
        with self.turn():
            commit = self.resolve(start or "main")
            self._create_reference(f"refs/heads/{name}", commit.id, f"branch {name!r}")

    def delete_branch(self, name: str) -> None:
        """Remove a branch; main cannot be removed."""
        if name == "main":
            raise BadRequestError("Cannot delete refs/heads/main: the main branch cannot be deleted", status=400)
        self._delete_reference(f"refs/heads/{name}", f"branch {name!r}")

    def create_tag(self, name: str, revision: str, message: str | None, user: str) -> None:
        """Make a tag at a revision, annotated if it has a message; errors as in `create_branch`."""
        with self.turn():
            commit = self.resolve(revision)
            check_name(name, "tag")
            target = commit.id
            if message and not self._exists(f"refs/tags/{name}"):
                self._git.create_tag(
                    name, target, pygit2.enums.ObjectType.COMMIT, signature(user), check_message(message)
                )
            else:
                self._create_reference(f"refs/tags/{name}", target, f"tag {name!r}")

    def delete_tag(self, name: str) -> None:
        """Remove a tag."""
        self._delete_reference(f"refs/tags/{name}", f"tag {name!r}")

    # -- reading -------------------------------------------------------------------------------------------------------

    def history(self, commit: pygit2.Commit) -> Iterator[pygit2.Commit]:
        """Commits from one back to the first, newest first."""
        # Git's own order. Sorted walks read the whole history before they give the first commit, and sorting by time mixes
        # up commits of the same second.
        yield from self._git.walk(commit.id, pygit2.enums.SortMode.NONE)

    def last_commits(self, commit: pygit2.Commit, entries: Iterable[Entry]) -> dict[str, pygit2.Commit]:
        """The commit that last changed each entry: one walk back along first parents for all of them."""
        waiting: dict[str, dict[str, str]] = {}
        for entry in entries:
            waiting.setdefault(entry.path.rpartition("/")[0], {})[entry.path] = entry.oid
        found: dict[str, pygit2.Commit] = {}
        newer = commit
        for older in islice(first_parents(commit), _MAX_HISTORY):
            for folder, paths in waiting.items():
                if folder and self._oid(older, folder) == self._oid(newer, folder):
                    continue
                for path in [path for path, oid in paths.items() if self._oid(older, path) != oid]:
                    del paths[path]
                    found[path] = newer
            waiting = {folder: paths for folder, paths in waiting.items() if paths}
            newer = older
            if not waiting:
                return found
        return found | {path: newer for paths in waiting.values() for path in paths}

    def entry(self, commit: pygit2.Commit, path: str) -> Entry | None:
        """The entry at a path, or ``None``."""
        if not path:
            return Entry("", str(commit.tree_id), True, mode=FOLDER)
        found = self._paths.find(commit, path)
        return None if found is None else self._entry(path, found)

    def entries(
        self, commit: pygit2.Commit, path: str, *, recursive: bool, after: str | None = None
    ) -> Iterator[Entry]:
        """The entries under a folder, in the order of git trees; a folder comes before its entries.

        Submodules are listed, but not their content: it is in another repository.

        Parameters
        ----------
        after:
            Full path of an entry: continue after it, without reading earlier entries.

        Raises
        ------
        EntryNotFoundError
            There is no such folder.
        BadRequestError
            There is no entry ``after``.
        """
        top = self.entry(commit, path)
        if top is None or not top.is_folder:
            raise EntryNotFoundError(
                f"{self.id} has no folder {path!r} at {str(commit.id)[:10]}", status=404, code="EntryNotFound"
            )
        prefix = f"{path}/" if path else ""
        parts = None
        if after is not None:
            if not after.startswith(prefix) or self.entry(commit, after) is None:
                raise BadRequestError(f"the cursor {after!r} is not in this listing", status=400)
            parts = after.removeprefix(prefix).split("/")
        yield from self._walk(self._object(top.oid), prefix, recursive, parts)

    def names(self, commit: pygit2.Commit) -> Iterator[str]:
        """Paths of all files, without reading their content; submodules are not included."""
        yield from self._names(commit.tree)

    def blob(self, oid: str) -> bytes:
        """Content of a blob."""
        return bytes(self._object(oid).data)

    # -- writing -------------------------------------------------------------------------------------------------------

    @contextmanager
    def objects(self, *, many: bool) -> Iterator[NewObjects]:
        """The writer for the objects of a commit. Objects not published when the block ends may be lost.

        Parameters
        ----------
        many:
            Whether there are enough objects for a pack, see `git_pack`.
        """
        if many:
            with closing(PackWriter(Path(self._git.path) / "objects")) as pack:
                yield pack
        else:
            yield LooseObjects(self._git)

    def commit(
        self,
        branch: str,
        changes: Mapping[str, str | None],
        folders: Iterable[str],
        objects: NewObjects,
        *,
        message: str,
        user: str,
        parent: str | None,
        most_entries: int | None = None,
        check: Callable[[], object] = lambda: None,
    ) -> str:
        """One commit on a branch, or on a pull request.

        Parameters
        ----------
        changes:
            Path → id of the blob; ``None`` deletes the file.
        folders:
            Folders to delete, before the changes apply.
        objects:
            The writer that has the blobs: it also gets the trees and the commit, and is published if a commit is made.
        parent:
            The parent commit that the branch must be at; ``None`` for any.
        most_entries:
            The most entries of a folder, if there is a limit. A folder that already has more may keep them.
        check:
            Called while nobody else changes the repository, before the commit is made.

        Returns
        -------
        str
            The id of the new commit, or of the branch's commit if nothing changed.

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
        edits = FolderEdits()
        for folder in folders:
            edits.delete_folder(check_path(folder))
        for path, oid in changes.items():
            edits.set(check_path(path), None if oid is None else bytes.fromhex(oid))
        with self.turn():
            check()
            for attempt in range(_ATTEMPTS):
                head = self.head(branch)
                if parent is not None and parent != str(head.id):
                    raise ConflictError(
                        f"{self.id}: branch {branch!r} is at {head.id}, not at the parent commit {parent}. The branch was updated "
                        "since you opened this page. Please refresh and try again.",
                        status=412,
                    )
                tree = self._apply(head.tree_id, edits, "", most_entries, objects) or objects.add(TREE, b"")
                if tree == str(head.tree_id):
                    return str(head.id)
                text = commit_text(signature(user), message, tree, [str(head.id)])
                made = pygit2.Oid(hex=objects.add(COMMIT, text))
                objects.publish()
                # The pack is published: objects of another attempt are loose objects.
                objects = LooseObjects(self._git)
                try:
                    self.move(branch, head.id, made)
                except (pygit2.GitError, OSError, KeyError):
                    if attempt == _ATTEMPTS - 1 or self.head(branch).id == head.id:
                        raise
                else:
                    return str(made)
        raise AssertionError("the last attempt returns or raises")

    def squash(self, branch: str, message: str, user: str) -> None:
        """Replace a branch's history by one commit with its content."""
        with self.turn():
            head = self.head(branch)
            author = signature(user)
            self.move(branch, head.id, write_commit(self._git, author, message, head.tree_id, []))

    # -- below ---------------------------------------------------------------------------------------------------------

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Hold the lock of the repository; an error if the repository was renamed or deleted since the request began."""
        with self._lock:
            if not Path(self._git.path).is_dir():
                raise moved_meanwhile(str(self.id))
            yield

    def head(self, branch: str) -> pygit2.Commit:
        """The commit of a branch, or of a pull request's reference, now; `RevisionNotFoundError` if it is not there."""
        reference = _reference(branch)
        if not self._exists(reference):
            raise RevisionNotFoundError(f"{self.id} has no branch {branch!r}", status=404, code="RevisionNotFound")
        return self._git.references[reference].peel(pygit2.Commit)

    def move(self, branch: str, head: pygit2.Oid, made: pygit2.Oid) -> None:
        """Move a branch to another commit; `pygit2.GitError` or `KeyError` if it is not at ``head`` any more."""
        reference = self._git.references[_reference(branch)].resolve()
        if reference.target != head:
            raise pygit2.GitError(f"{branch} was moved")
        reference.set_target(made)

    def _object(self, oid: str | pygit2.Oid) -> Any:
        """A tree or blob; pygit2 types all objects alike."""
        return self._git[oid]

    def _oid(self, commit: pygit2.Commit, path: str) -> str | None:
        found = self._paths.find(commit, path)
        return None if found is None else str(found.id)

    def _walk(self, tree: Any, prefix: str, recursive: bool, after: list[str] | None) -> Iterator[Entry]:
        # Not recursive: a pushed tree may be deeper than the interpreter's stack.
        waiting = [members(tree, prefix)]
        for name in after or []:
            at = position(tree, name)
            waiting[-1] = members(tree, prefix, at + 1)
            tree, prefix = tree[at], f"{prefix}{name}/"
            if not recursive or tree.filemode != FOLDER:
                break
            waiting.append(members(tree, prefix))
        while waiting:
            found = next(waiting[-1], None)
            if found is None:
                waiting.pop()
                continue
            path, member = found
            yield self._entry(path, member)
            if recursive and member.filemode == FOLDER:
                waiting.append(members(member, f"{path}/"))

    def _names(self, tree: Any) -> Iterator[str]:
        waiting = [members(tree, "")]
        while waiting:
            found = next(waiting[-1], None)
            if found is None:
                waiting.pop()
            elif found[1].filemode == FOLDER:
                waiting.append(members(found[1], f"{found[0]}/"))
            elif found[1].filemode != SUBMODULE:
                yield found[0]

    def _entry(self, path: str, found: Any) -> Entry:
        if found.filemode in (FOLDER, SUBMODULE):
            return Entry(path, str(found.id), found.filemode == FOLDER, mode=found.filemode)
        # Read only the header: blobs that came with a push may be large.
        _, size = self._git.odb.read_header(found.id)
        lfs = LfsPointer.parse(found.data) if size <= MAX_POINTER and found.filemode in (FILE, EXECUTABLE) else None
        return Entry(path, str(found.id), False, lfs.size if lfs else size, lfs, size, found.filemode)

    def _apply(
        self, tree: pygit2.Oid | bytes | None, edits: FolderEdits, prefix: str, most: int | None, objects: NewObjects
    ) -> str | None:  # fmt: skip
        """Write the trees that the edits touch; return the id of this tree, or ``None`` if it ends up empty."""
        stored = b"" if tree is None else self._git.read(tree if isinstance(tree, pygit2.Oid) else pygit2.Oid(tree))[1]
        edit = TreeEdit(stored, len(edits.files) + len(edits.folders))
        before = len(edit)
        for name, oid in edits.files.items():
            there = edit.get(name)
            if oid is None:
                if there is None or there.mode == FOLDER:
                    raise EntryNotFoundError(
                        f"A file with this name doesn't exist: {prefix}{name}", status=404, code="EntryNotFound"
                    )
                edit.remove(name)
                continue
            if there is not None and there.mode == FOLDER and not edits.removes(name):
                raise BadRequestError(f"{prefix}{name} is a folder; a file cannot replace it", status=400)
            edit.insert(name, oid, EXECUTABLE if there is not None and there.mode == EXECUTABLE else FILE)
        for name, folder in edits.folders.items():
            if edits.files.get(name) is not None:
                if edits.removes(name):
                    continue
                raise BadRequestError(f"{prefix}{name} would be a file and a folder at once", status=400)
            there = edit.get(name)
            if there is not None and there.mode != FOLDER:
                what = "submodule" if there.mode == SUBMODULE else "file"
                raise BadRequestError(f"{prefix}{name} is a {what}; nothing can be put below it", status=400)
            if folder.delete_all and there is None:
                raise EntryNotFoundError(
                    f"A folder with this name doesn't exist: {prefix}{name}", status=404, code="EntryNotFound"
                )
            below = None if there is None or folder.delete_all else there.oid
            written = self._apply(below, folder, f"{prefix}{name}/", most, objects)
            if written is not None:
                edit.insert(name, bytes.fromhex(written), FOLDER)
            elif there is not None:
                edit.remove(name)
        if most is not None and len(edit) > max(most, before):
            raise BadRequestError(
                f"the folder {prefix or '/'} would have {len(edit):,} entries; at most {most:,} are accepted, so put the "
                "files into more folders",
                status=400,
            )
        return objects.add(TREE, edit.data()) if len(edit) else None

    def references(self, prefix: str) -> dict[str, str]:
        """Names of references below a prefix, and their commits."""
        found = {}
        for name in sorted(self._git.references):
            if name.startswith(prefix) and (commit := commit_of(self._git, name)) is not None:
                found[name.removeprefix(prefix)] = str(commit.id)
        return found

    def _create_reference(self, reference: str, target: pygit2.Oid, what: str) -> None:
        if self._exists(reference):
            raise AlreadyExistsError(f"{self.id}: Reference {reference} already exists, the {what}", status=409)
        try:
            self._git.create_reference(reference, target)
        except (pygit2.GitError, ValueError, OSError) as error:
            if is_disk_full(error):
                raise
            reason = why_no_reference(self._git, reference, error)
            raise BadRequestError(f"{self.id}: {what} cannot be made: {reason}", status=400) from error

    def _delete_reference(self, reference: str, what: str) -> None:
        with self.turn():
            if not self._exists(reference):
                raise RevisionNotFoundError(
                    f"Invalid rev id: {self.id} has no {what}", status=404, code="RevisionNotFound"
                )
            self._git.references.delete(reference)

    def _exists(self, reference: str) -> bool:
        try:
            return bool(pygit2.reference_is_valid_name(reference)) and reference in self._git.references
        except ValueError:
            return False


def _reference(branch: str) -> str:
    """The full reference name of a branch; names of pull requests are already full names."""
    return branch if branch.startswith("refs/pr/") else f"refs/heads/{branch}"


def moved_meanwhile(repo: str) -> ServerError:
    """The error for a request during which the repository was renamed or deleted."""
    return ServerError(f"{repo}: the repository was renamed or deleted meanwhile; try again", status=503)
