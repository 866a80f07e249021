"""The small frozen types that the public interface and the layers below it exchange."""

from __future__ import annotations

from collections.abc import AsyncIterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal, NotRequired, Protocol, TypeAlias, TypedDict

from pyxet._shown import human_size, link, table

RepoKind = Literal["models", "datasets", "spaces", "kernels", "buckets"]
# Those that have branches and commits, and those of them that are written before the owner.
KINDS: Final[tuple[RepoKind, ...]] = ("models", "datasets", "spaces", "kernels")
PREFIXED_KINDS: Final = KINDS[1:]
# Whether a file that is written may be there.
WriteMode: TypeAlias = Literal["overwrite", "create"]
# The ``blob_id`` that is to be replaced: one for all paths of a call, or one for each path.
IfMatch: TypeAlias = str | Mapping[str, str]
# Modes of ``open``, by what it gives for them.
TextMode: TypeAlias = Literal["r", "rt", "tr", "w", "wt", "tw", "x", "xt", "tx", "a", "at", "ta"]
ReadMode: TypeAlias = Literal["rb"]
BinaryWriteMode: TypeAlias = Literal["wb", "xb", "ab"]


class AsyncReadable(Protocol):
    """An asynchronous binary file: those of aiofiles and anyio, Starlette's ``UploadFile``, aiohttp's ``StreamReader``."""

    async def read(self, size: int, /) -> bytes:
        """Up to so many bytes; none at the end."""


# What coroutines read content from, besides blocking files.
AsyncSource: TypeAlias = AsyncReadable | AsyncIterable[bytes | bytearray | memoryview]


class OpenOptions(TypedDict, total=False):
    """The options of ``open``; `pyxet.fs.XetFS.open` says what they mean."""

    block_size: int | None
    cache_options: dict[str, Any] | None
    cache_type: str | None
    encoding: str | None
    errors: str | None
    newline: str | None
    autocommit: bool
    message: str | None
    parent_commit: str | None
    if_match: IfMatch | None


class Info(TypedDict):
    """What is at a path, as ``fs.info`` and listings tell it.

    ``commit`` and ``blob_id`` are there for every file that is committed, so they are written as if they always were, and
    ``fs.info(path)["blob_id"]`` needs no further check. Folders have no ``blob_id``, what is pending in a transaction has
    neither, and what is above branches has no ``commit``, but for repositories: there they are a `KeyError`.

    Attributes
    ----------
    name:
        The path.
    size:
        Bytes of the content; 0 for directories.
    type:
        ``directory`` for branches, repositories and owners, too.
    commit:
        Id of the commit it was looked up in: 40 hex digits.
    blob_id:
        Git object id of a file: the version, for ``if_match``.
    kind:
        What a directory is.
    xet_hash, sha256:
        Xet file hash (string form), and SHA-256 in hex, of files that have them.
    last_modified:
        When it last changed, with a time zone; of repositories, and where ``expand`` asks for it.
    created:
        When a repository was made, with a time zone.
    private:
        Whether only its owner sees a repository.
    pending:
        ``True`` for a file that a transaction has not committed yet.
    islink, executable:
        ``True`` for a symbolic link, whose content is its text, and for a file that may be executed, where the endpoint tells.
    submodule:
        The commit of a submodule, a directory of kind ``submodule``: what it holds is in another repository.
    """

    name: str
    size: int
    type: Literal["file", "directory"]
    commit: str
    blob_id: str
    kind: NotRequired[Literal["root", "owner", "repo", "branch", "tag", "ref", "commit", "directory", "submodule"]]
    xet_hash: NotRequired[str]
    sha256: NotRequired[str]
    last_modified: NotRequired[datetime]
    created: NotRequired[datetime]
    private: NotRequired[bool]
    pending: NotRequired[bool]
    islink: NotRequired[bool]
    executable: NotRequired[bool]
    submodule: NotRequired[str]


class BranchInfo(Info):
    """A branch; ``branch`` is its name, ``name`` its path."""

    branch: str


class TagInfo(Info):
    """A tag; ``tag`` is its name, ``name`` its path."""

    tag: str


class RefInfo(Info):
    """What a name in a repository stands for; ``ref`` is ``refs/heads/main``, or ``None`` for commits."""

    ref: str | None


class DuplicateInfo(Info):
    """A repository that was duplicated; ``files_pending`` tells whether the endpoint goes on copying large files."""

    files_pending: bool


@dataclass(frozen=True, slots=True, order=True)
class RepoId:
    """A repository: what kind it is, who owns it, what it is called."""

    kind: RepoKind
    owner: str
    name: str

    @property
    def full_name(self) -> str:
        """``owner/name``, as the Hub writes it."""
        return f"{self.owner}/{self.name}"

    @property
    def path(self) -> str:
        """The path of the repository: ``owner/name``, with the kind in front unless it is ``models``."""
        return self.full_name if self.kind == "models" else f"{self.kind}/{self.full_name}"

    @property
    def singular(self) -> str:
        """The kind as the Hub's JSON says it: ``model``, ``dataset``, ``space``, ``bucket``."""
        return self.kind.removesuffix("s")

    def __str__(self) -> str:
        return self.path


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit.

    Attributes
    ----------
    id:
        40 hex digits.
    message:
        Title and, after an empty line, the description.
    author:
        User name of the first author.
    date:
        Moment of the commit, with a time zone.
    parents:
        Ids of the parents; ``None`` where the endpoint does not tell them (the Hub does not).
    pull_request:
        The pull request that this commit has just opened; ``None`` for all others.
    """

    id: str
    message: str
    author: str
    date: datetime
    parents: tuple[str, ...] | None = None
    pull_request: PullRequest | None = None

    @property
    def title(self) -> str:
        """First line of the message."""
        return self.message.partition("\n")[0]

    def _shown_row(self) -> dict[str, object]:
        """What a table of commits shows of it, by column."""
        return {"commit": self.id[:10], "date": self.date, "author": self.author, "message": self.title}

    def _repr_html_(self) -> str:
        return _one(self._shown_row())


@dataclass(frozen=True, slots=True)
class PullRequest:
    """A pull request: changes that are proposed, and not on a branch yet.

    Attributes
    ----------
    repo:
        Path of the repository: ``acme/titanic``.
    number:
        Its number there, which it shares with no discussion.
    title:
        What it is about, in a line.
    status:
        ``draft`` and ``open``: it takes commits, and may be merged once it is open; ``closed``; ``merged``.
    author:
        The user who opened it.
    created:
        When that was, with a time zone.
    url:
        Its page.
    """

    repo: str
    number: int
    title: str
    status: Literal["draft", "open", "closed", "merged"]
    author: str
    created: datetime
    url: str

    @property
    def path(self) -> str:
        """Where its files are, to be read and written like those of a branch: ``acme/titanic/refs%2Fpr%2F1``."""
        return f"{self.repo}/refs%2Fpr%2F{self.number}"

    def _shown_row(self) -> dict[str, object]:
        """What a table of pull requests shows of it, by column."""
        return {
            "number": self.number,
            "title": self.title,
            "status": self.status,
            "author": self.author,
            "created": self.created,
        }

    def _repr_html_(self) -> str:
        return _one(self._shown_row()) + f"<p>{link(self.url, self.url)}</p>"


@dataclass(frozen=True, slots=True)
class Comment:
    """What somebody said in a pull request.

    Attributes
    ----------
    id:
        Its id there.
    author:
        Who said it.
    created:
        When that was, with a time zone.
    text:
        What was said, in Markdown.
    hidden:
        Whether it was hidden; its text is gone then.
    """

    id: str
    author: str
    created: datetime
    text: str
    hidden: bool = False


@dataclass(frozen=True, slots=True)
class PullRequestInfo(PullRequest):
    """A pull request with all that is known of it.

    Attributes
    ----------
    repo, number, title, status, author, created, url:
        As in `PullRequest`.
    branch:
        The branch that it proposes to change.
    conflicts:
        Files that the branch has changed as well, so that it cannot be merged; ``None`` where there are some that the
        endpoint does not tell.
    merge_commit:
        Id of the commit by which it was merged, if it was and the endpoint tells it.
    comments:
        What was said, the description first.
    diff:
        What it changes, as git writes it, if that was asked for and the endpoint tells it.
    """

    branch: str = "main"
    conflicts: tuple[str, ...] | None = ()
    merge_commit: str | None = None
    comments: tuple[Comment, ...] = ()
    diff: str | None = None


@dataclass(frozen=True, slots=True)
class LfsFile:
    """Content that a repository stores as a large file, in some of its commits.

    Attributes
    ----------
    sha256:
        SHA-256 of the content in hex.
    path:
        A path at which it is, or was.
    size:
        Bytes of the content.
    pushed:
        When it came to the repository, with a time zone.
    ref:
        A branch, or another reference, that it came to; ``None`` where the endpoint does not tell.
    """

    sha256: str
    path: str
    size: int
    pushed: datetime
    ref: str | None = None

    def _shown_row(self) -> dict[str, object]:
        """What a table of large files shows of it, by column."""
        return {"path": self.path, "size": human_size(self.size), "pushed": self.pushed, "ref": self.ref}

    def _repr_html_(self) -> str:
        return _one(self._shown_row())


@dataclass(frozen=True, slots=True)
class PathChange:
    """How a file differs between two commits.

    Attributes
    ----------
    path:
        Path in the repository.
    kind:
        ``added``, ``removed`` or ``changed``.
    old_size, new_size:
        Bytes of the content before and after; ``None`` where there was, or is, no file.
    old_blob_id, new_blob_id:
        The versions, as ``info`` tells them.
    """

    path: str
    kind: Literal["added", "removed", "changed"]
    old_size: int | None = None
    new_size: int | None = None
    old_blob_id: str | None = None
    new_blob_id: str | None = None

    def _shown_row(self) -> dict[str, object]:
        """What a table of changes shows of it, by column."""
        old, new = ("" if size is None else human_size(size) for size in (self.old_size, self.new_size))
        return {"change": self.kind, "path": self.path, "before": old, "after": new}

    def _repr_html_(self) -> str:
        return _one(self._shown_row())


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """One version of one file: enough to read its content without asking again.

    Attributes
    ----------
    repo, revision, path:
        Where it is; ``revision`` is the commit id it was looked up in.
    size:
        Bytes of the content.
    blob_id:
        Git object id: SHA-1 of the content, or of the pointer file for LFS content.
    sha256:
        SHA-256 of the content in hex for LFS content, else ``None``.
    xet_hash:
        Xet file hash (string form) where the content is stored in Xet, else ``None``.
    """

    repo: RepoId
    revision: str
    path: str
    size: int
    blob_id: str
    sha256: str | None = None
    xet_hash: str | None = None

    @property
    def full_path(self) -> str:
        """Repository, revision and path, for messages."""
        return f"{self.repo.path}/{self.revision}/{self.path}"


@dataclass(frozen=True, slots=True)
class UploadedContent:
    """Content that is stored, or about to be, and that a commit can name.

    Attributes
    ----------
    size:
        Bytes of the content.
    sha256:
        SHA-256 of the content in hex.
    xet_hash:
        Xet file hash (string form).
    stored:
        Bytes of it that are new to the endpoint, compressed; as far as is known, and no part of what the content is.
    """

    size: int
    sha256: str
    xet_hash: str
    stored: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class FilePointer:
    """A file whose content is stored, and which no commit names yet: what ``fs.stage`` returns and ``fs.commit`` takes.

    It is small, and goes from process to process by pickle, or as JSON by msgspec.

    Attributes
    ----------
    endpoint:
        The endpoint that stores it, as ``fs.endpoint`` of the file system that staged it.
    branch:
        The branch that it is meant for, as a path: ``acme/corpus/main``.
    path:
        Path in the repository.
    size:
        Bytes of the content.
    sha256:
        SHA-256 of the content in hex.
    xet_hash:
        Xet file hash (string form); ``None`` where ``data`` is there.
    stored_bytes:
        Bytes of it that were new to the endpoint, compressed; 0 where all of it was known.
    data:
        The content itself, at most a mebibyte, of a file that the endpoint wants inside the commit, as it does with
        small text files; ``None`` for all others.
    """

    endpoint: str
    branch: str
    path: str
    size: int
    sha256: str
    xet_hash: str | None
    stored_bytes: int
    data: bytes | None = field(default=None, repr=False)

    @property
    def full_path(self) -> str:
        """The path with repository and branch, as file systems name the file once it is committed."""
        return f"{self.branch}/{self.path}"

    def _shown_row(self) -> dict[str, object]:
        """What a table of pointers shows of it, by column."""
        return {"path": self.full_path, "size": human_size(self.size), "new": human_size(self.stored_bytes)}

    def _repr_html_(self) -> str:
        return _one(self._shown_row())


def _one(row: Mapping[str, object]) -> str:
    """A table of one value."""
    return table(list(row), [list(row.values())])
