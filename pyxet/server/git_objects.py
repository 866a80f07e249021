"""Basic types and checks for git: LFS pointers, entries, valid paths and names, and the edits of one commit as a tree."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

import pygit2

from pyxet.errors import BadRequestError
from pyxet.urls import is_commit_id

FILE, EXECUTABLE, LINK, FOLDER, SUBMODULE = (
    pygit2.enums.FileMode.BLOB,
    pygit2.enums.FileMode.BLOB_EXECUTABLE,
    pygit2.enums.FileMode.LINK,
    pygit2.enums.FileMode.TREE,
    pygit2.enums.FileMode.COMMIT,
)
_POINTER = re.compile(
    rb"version https://git-lfs\.github\.com/spec/v1\noid sha256:([0-9a-f]{64})\nsize ([0-9]{1,18})\n\Z"
)
MAX_POINTER: Final = 200
_BRANCH = re.compile(
    r"(?!.*(\.\.|//|/\.|@\{|\\))(?!.*(\.lock(/.*)?|/|\.)\Z)[^\x00-\x20\x7f~^:?*\[/.\-][^\x00-\x20\x7f~^:?*\[]*\Z"
)
# The limit of file systems: a repository with longer names could not be checked out.
_MAX_NAME: Final = 255
MAX_PATH: Final = 4095
MAX_DEPTH: Final = 255
# The most folders that one commit may touch. A short line can name 255 folders, so a limit on bytes would not bound the
# memory and the time that a commit takes.
MAX_FOLDERS: Final = 500_000
# Most paths match this and need no further check: no part begins with a dot, and ``~`` of ``git~1`` is not allowed.
_PLAIN = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*(?:/[A-Za-z0-9_-][A-Za-z0-9_.-]*)*\Z", re.ASCII)
# Characters that HFS+ ignores in names: ``.git`` with one of them passes a plain comparison (git's fsck checks this too).
_IGNORED = re.compile("[\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff]")


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
        """The pointer in the content of a blob; ``None`` if the blob is not a pointer."""
        match = _POINTER.match(data)
        return cls(match[1].decode(), int(match[2])) if match else None


@dataclass(frozen=True, slots=True)
class Entry:
    """A file, folder or submodule of a tree.

    Attributes
    ----------
    path, oid:
        The path, and the git object id in hex.
    size:
        Bytes of the content; 0 if the entry is not a file.
    lfs:
        The pointer, if the blob is one.
    blob_size:
        Bytes of the blob; for LFS content, the size of the pointer.
    mode:
        The git file mode.
    """

    path: str
    oid: str
    is_folder: bool
    size: int = 0
    lfs: LfsPointer | None = None
    blob_size: int = 0
    mode: int = FILE

    @property
    def is_file(self) -> bool:
        """Whether the entry has content. A symbolic link has: its target path."""
        return self.mode not in (FOLDER, SUBMODULE)


def check_path(path: str) -> str:
    """Return a path if a commit may contain it: no empty parts, ``.``, ``..`` or name that a file system takes for ``.git``.

    Raises
    ------
    BadRequestError
        A commit may not contain the path.
    """
    if len(path) <= _MAX_NAME and _PLAIN.match(path):
        return path
    try:
        parts = [part.encode() for part in path.split("/")]
    except UnicodeEncodeError as error:
        raise BadRequestError(f"{path!r} is not a valid path in a repository: it is not Unicode", status=400) from error
    if len(parts) > MAX_DEPTH or sum(map(len, parts)) + len(parts) - 1 > MAX_PATH:
        raise BadRequestError(
            f"{path[:40]!r}…: a path has at most {MAX_DEPTH} parts and {MAX_PATH:,} bytes", status=400
        )  # fmt: skip
    for part, encoded in zip(path.split("/"), parts, strict=True):
        check_part(part, len(encoded), path)
    return path


def check_part(name: str, size: int, path: str) -> None:
    """Check one part of a path; ``size`` is its length in bytes, and ``path`` the whole path for messages.

    Raises
    ------
    BadRequestError
        No file or folder may have this name.
    """
    # To git a backslash is an ordinary character, but on Windows it separates folders.
    if name in ("", ".") or "\0" in name or any(map(_is_trap, name.split("\\"))):
        raise BadRequestError(f"{path!r} is not a valid path in a repository", status=400)
    if size > _MAX_NAME:
        raise BadRequestError(f"{path!r}: a name has at most {_MAX_NAME} bytes", status=400)


def _is_trap(name: str) -> bool:
    """Whether a name, in a checkout, leads out of its folder or into git's own folder ``.git``."""
    # On Windows, the text after a colon names a stream of the same file.
    return name == ".." or _IGNORED.sub("", name).partition(":")[0].rstrip(". ").lower() in (".git", "git~1")


def check_name(name: str, what: str) -> None:
    """Refuse names that no branch or tag can have, or that would be taken for a commit or a full reference.

    Raises
    ------
    BadRequestError
        The name is refused.
    """
    # ``HEAD`` and ``@`` are git's names of the commit that is checked out.
    if not _BRANCH.match(name) or name.startswith("refs/") or name in ("HEAD", "@"):
        raise BadRequestError(f"Invalid reference for a {what}: {name!r} is not a valid {what} name", status=400)
    if is_commit_id(name.lower()):
        raise BadRequestError(f"{name!r} has the form of a commit id, so it cannot name a {what}", status=400)


def why_no_reference(git: pygit2.Repository, reference: str, error: Exception) -> str:
    """Why a reference could not be made or moved, for clients: without the path where the endpoint keeps repositories.

    Parameters
    ----------
    git:
        The repository.
    reference:
        The full name.
    error:
        What libgit2 said.
    """
    parts = reference.split("/")
    above = {"/".join(parts[:count]) for count in range(3, len(parts))}
    for name in git.references:
        if name in above or name.startswith(f"{reference}/"):
            return f"{name} is in the way: no branch or tag can be below another one; rename or delete it"
    return str(error).replace(str(git.path), "")


def check_message(text: str) -> str:
    """A message that git can store; `BadRequestError` for one that contains a null character."""
    if "\0" in text:
        raise BadRequestError("a message cannot contain null characters", status=400)
    return text


@dataclass(slots=True)
class FolderEdits:
    """Edits of one folder, as a tree, so that each touched git tree is read and written once.

    Attributes
    ----------
    files:
        File name → id of the new blob in 20 bytes; ``None`` deletes the file.
    folders:
        Sub-folder name → edits of the sub-folder.
    delete_all:
        Whether to delete the folder's content before the edits apply.
    total:
        Number of folders in the whole tree of edits; all its folders share this counter.
    """

    files: dict[str, bytes | None] = field(default_factory=dict)
    folders: dict[str, FolderEdits] = field(default_factory=dict)
    delete_all: bool = False
    total: list[int] = field(default_factory=lambda: [0])

    def removes(self, name: str) -> bool:
        """Whether a sub-folder is deleted and gets nothing new."""
        folder = self.folders.get(name)
        return folder is not None and folder.delete_all and not folder.files and not folder.folders

    def set(self, path: str, oid: bytes | None) -> None:
        """Set the file at a path to a blob, or delete it."""
        *parts, name = path.split("/")
        self._descend(parts).files[name] = oid

    def delete_folder(self, path: str) -> None:
        """Delete a folder."""
        self._descend(path.split("/")).delete_all = True

    def _descend(self, parts: list[str]) -> FolderEdits:
        folder = self
        for part in parts:
            below = folder.folders.get(part)
            if below is None:
                self.total[0] += 1
                if self.total[0] > MAX_FOLDERS:
                    raise BadRequestError(
                        f"the commit touches more than {MAX_FOLDERS:,} folders; make several commits", status=413
                    )
                below = folder.folders[part] = FolderEdits(total=self.total)
            folder = below
        return folder


def message_of(commit: pygit2.Commit) -> str:
    """The message of a commit. A pushed one may be in any encoding, or name an encoding that does not exist."""
    return _text(bytes(commit.raw_message), commit.message_encoding)


def author_of(commit: pygit2.Commit) -> tuple[str, str]:
    """Name and email address of a commit's author, decoded as in `message_of`."""
    author, encoding = commit.author, commit.message_encoding
    return _text(bytes(author.raw_name), encoding), _text(bytes(author.raw_email), encoding)


def _text(data: bytes, encoding: str | None) -> str:
    try:
        return data.decode(encoding or "utf-8", errors="replace")
    except (LookupError, ValueError):
        return data.decode(errors="replace")


def signature(user: str) -> pygit2.Signature:
    """The author and committer for a commit or tag that a user makes now."""
    return pygit2.Signature(user, f"{user}@users.noreply.localhost")


def commit_of(git: pygit2.Repository, reference: str) -> pygit2.Commit | None:
    """The commit of an existing reference; ``None`` for a pushed tag that points to another kind of object."""
    try:
        return git.references[reference].peel(pygit2.Commit)
    except (pygit2.GitError, ValueError):  # which of them depends on the version of pygit2
        return None


def first_parents(commit: pygit2.Commit) -> Iterator[pygit2.Commit]:
    """The ancestors of a commit along first parents, the nearest first."""
    while commit.parents:
        commit = commit.parents[0]
        yield commit


def commit_text(author: pygit2.Signature, message: str, tree: str, parents: Iterable[str]) -> bytes:
    """A commit as git stores it. libgit2 needs the tree to exist, but it may not be written yet."""
    ahead, minutes = "+" if author.offset >= 0 else "-", abs(author.offset)
    who = f"{author.name} <{author.email}> {author.time} {ahead}{minutes // 60:02}{minutes % 60:02}"
    lines = [f"tree {tree}", *(f"parent {parent}" for parent in parents), f"author {who}", f"committer {who}"]
    return "\n".join((*lines, "", check_message(message))).encode()


def write_commit(
    git: pygit2.Repository, author: pygit2.Signature, message: str, tree: pygit2.Oid, parents: list[pygit2.Oid]
) -> pygit2.Oid:
    """Write a commit without moving a branch to it.

    This does not use `pygit2.Repository.create_commit`: there libgit2 reports success and an id even if the commit could not
    be written, as on a full disk.

    Raises
    ------
    OSError, pygit2.GitError
        It could not be written.
    """
    return git.write(pygit2.enums.ObjectType.COMMIT, commit_text(author, message, str(tree), map(str, parents)))
