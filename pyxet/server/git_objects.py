"""The vocabulary of the git side: pointers, entries, valid paths, and the edits of one commit as a tree."""

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
# File systems end here, and a repository that cannot be checked out is of no use to anybody.
_MAX_NAME: Final = 255
MAX_PATH: Final = 4095
MAX_DEPTH: Final = 255
# Folders that one commit may touch. A short line can name 255 of them, so their number, not that of the bytes, bounds the
# memory and the time that a commit takes.
MAX_FOLDERS: Final = 500_000
# Paths without anything that could be wrong, as most are: no part begins with a dot, and ``git~1`` has another character.
_PLAIN = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*(?:/[A-Za-z0-9_-][A-Za-z0-9_.-]*)*\Z", re.ASCII)
# Characters that HFS+ ignores in names: with them ``.git`` hides from a plain comparison (git's fsck knows them too).
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
        """The pointer that a blob is, if it is one."""
        match = _POINTER.match(data)
        return cls(match[1].decode(), int(match[2])) if match else None


@dataclass(frozen=True, slots=True)
class Entry:
    """A file, folder or submodule of a tree.

    Attributes
    ----------
    path, oid:
        Where it is, and its git object id in hex.
    size:
        Bytes of the content, 0 for what is no file.
    lfs:
        The pointer, where the blob is one.
    blob_size:
        Bytes of the blob: those of the pointer for LFS content.
    mode:
        What it is to git.
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
        """Whether it has content: a symbolic link has, its text."""
        return self.mode not in (FOLDER, SUBMODULE)


def check_path(path: str) -> str:
    """A path that a commit may contain: no empty parts, ``.``, ``..`` or ``.git`` in any disguise.

    Raises
    ------
    BadRequestError
        It is another kind of path.
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
    """Accept one part of a path; ``size`` is how many bytes it has, and ``path`` the whole for messages.

    Raises
    ------
    BadRequestError
        No file or folder may be called so.
    """
    # A backslash is a character like any other, but on Windows it will separate folders.
    if name in ("", ".") or "\0" in name or any(map(_is_trap, name.split("\\"))):
        raise BadRequestError(f"{path!r} is not a valid path in a repository", status=400)
    if size > _MAX_NAME:
        raise BadRequestError(f"{path!r}: a name has at most {_MAX_NAME} bytes", status=400)


def _is_trap(name: str) -> bool:
    """Whether a name leads out of the folder, or into git's own, in a checkout."""
    # On Windows, what follows a colon is a stream of the same file.
    return name == ".." or _IGNORED.sub("", name).partition(":")[0].rstrip(". ").lower() in (".git", "git~1")


def check_name(name: str, what: str) -> None:
    """Refuse names that no branch or tag can have, or that would be taken for a commit or a full reference.

    Raises
    ------
    BadRequestError
        It is such a name.
    """
    # ``HEAD`` and ``@`` are what git calls the commit that is checked out.
    if not _BRANCH.match(name) or name.startswith("refs/") or name in ("HEAD", "@"):
        raise BadRequestError(f"Invalid reference for a {what}: {name!r} is not a valid {what} name", status=400)
    if is_commit_id(name.lower()):
        raise BadRequestError(f"{name!r} has the form of a commit id, so it cannot name a {what}", status=400)


def why_no_reference(git: pygit2.Repository, reference: str, error: Exception) -> str:
    """Why a reference could not be made or moved, for those who may not know where the endpoint keeps repositories.

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
        Name and id of the new blob in 20 bytes; ``None`` deletes the file.
    folders:
        Edits below.
    delete_all:
        What the folder holds goes before the edits apply.
    total:
        Number of folders in the whole tree of edits, which all of them share.
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
    """The message of a commit, which may have come with a push in any encoding, or with the name of none."""
    return _text(bytes(commit.raw_message), commit.message_encoding)


def author_of(commit: pygit2.Commit) -> tuple[str, str]:
    """Name and address of a commit's author, as `message_of`."""
    author, encoding = commit.author, commit.message_encoding
    return _text(bytes(author.raw_name), encoding), _text(bytes(author.raw_email), encoding)


def _text(data: bytes, encoding: str | None) -> str:
    try:
        return data.decode(encoding or "utf-8", errors="replace")
    except (LookupError, ValueError):
        return data.decode(errors="replace")


def signature(user: str) -> pygit2.Signature:
    """Author and committer of what a user does, now."""
    return pygit2.Signature(user, f"{user}@users.noreply.localhost")


def commit_of(git: pygit2.Repository, reference: str) -> pygit2.Commit | None:
    """The commit of a reference that is there; ``None`` for a pushed tag that names something else."""
    try:
        return git.references[reference].peel(pygit2.Commit)
    except (pygit2.GitError, ValueError):  # which of them depends on the version of pygit2
        return None


def first_parents(commit: pygit2.Commit) -> Iterator[pygit2.Commit]:
    """The commits before one, each the first parent of the next."""
    while commit.parents:
        commit = commit.parents[0]
        yield commit


def commit_text(author: pygit2.Signature, message: str, tree: str, parents: Iterable[str]) -> bytes:
    """A commit as git stores it. libgit2 makes one only of a tree that is there, which may yet have to be written."""
    ahead, minutes = "+" if author.offset >= 0 else "-", abs(author.offset)
    who = f"{author.name} <{author.email}> {author.time} {ahead}{minutes // 60:02}{minutes % 60:02}"
    lines = [f"tree {tree}", *(f"parent {parent}" for parent in parents), f"author {who}", f"committer {who}"]
    return "\n".join((*lines, "", check_message(message))).encode()


def write_commit(
    git: pygit2.Repository, author: pygit2.Signature, message: str, tree: pygit2.Oid, parents: list[pygit2.Oid]
) -> pygit2.Oid:
    """Write a commit, to which no branch leads yet.

    `pygit2.Repository.create_commit` does not do: libgit2 reports success there, and an id, also where the commit could not be
    written, as on a full disk.

    Raises
    ------
    OSError, pygit2.GitError
        It could not be written.
    """
    return git.write(pygit2.enums.ObjectType.COMMIT, commit_text(author, message, str(tree), map(str, parents)))
