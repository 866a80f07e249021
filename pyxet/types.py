"""The small immutable types that the public interface and the layers below it share."""

from __future__ import annotations

from collections.abc import AsyncIterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal, NotRequired, Protocol, TypeAlias, TypedDict

from pyxet._shown import human_size, link, table

RepoKind = Literal["models", "datasets", "spaces", "kernels", "buckets"]
# The kinds that have branches and commits, and those of them whose paths begin with the kind.
KINDS: Final[tuple[RepoKind, ...]] = ("models", "datasets", "spaces", "kernels")
PREFIXED_KINDS: Final = KINDS[1:]
# Whether a file that is written may exist.
WriteMode: TypeAlias = Literal["overwrite", "create"]
# The ``blob_id`` of the version to replace: one for all paths of a call, or one for each path.
IfMatch: TypeAlias = str | Mapping[str, str]
# Modes of ``open``, by the kind of file that it returns.
TextMode: TypeAlias = Literal["r", "rt", "tr", "w", "wt", "tw", "x", "xt", "tx", "a", "at", "ta"]
ReadMode: TypeAlias = Literal["rb"]
BinaryWriteMode: TypeAlias = Literal["wb", "xb", "ab"]


class AsyncReadable(Protocol):
    """An asynchronous binary file: those of aiofiles and anyio, Starlette's ``UploadFile``, aiohttp's ``StreamReader``."""

    async def read(self, size: int, /) -> bytes:
        """Read up to ``size`` bytes; empty at the end."""


# Sources that coroutines read content from, besides blocking files.
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
    """An entry of ``fs.info`` and of listings: what is at a path.

    ``commit`` and ``blob_id`` exist for every committed file. Their types are not ``NotRequired``, so that
    ``fs.info(path)["blob_id"]`` needs no further check. But folders have no ``blob_id``, pending files of a transaction have
    neither, and entries above branches, except repositories, have no ``commit``: there, access raises `KeyError`.

    Attributes
    ----------
    name:
        The path.
    size:
        Bytes of the content; 0 for directories.
    type:
        ``file`` or ``directory``; the latter also for branches, repositories and owners.
    commit:
        Id of the commit in which it was looked up: 40 hex digits.
    blob_id:
        Git object id of a file: its version, for ``if_match``.
    kind:
        The kind of a directory.
    xet_hash, sha256:
        Xet file hash (string form), and SHA-256 in hex, of files that have them.
    last_modified:
        Time of the last change, with a time zone: for repositories, and for other entries with ``expand``.
    created:
        Time at which a repository was created, with a time zone.
    private:
        Whether a repository is private.
    pending:
        ``True`` for a file that a transaction has not committed yet.
    islink, executable:
        ``True`` for a symbolic link, whose content is its target, and for an executable file, if the endpoint reports it.
    submodule:
        The commit of a submodule, a directory of kind ``submodule`` whose content is in another repository.
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
    """The revision that a name in a repository stands for; ``ref`` is ``refs/heads/main``, or ``None`` for commits."""

    ref: str | None


class DuplicateInfo(Info):
    """A duplicated repository; ``files_pending`` is true if the endpoint is still copying large files."""

    files_pending: bool


@dataclass(frozen=True, slots=True, order=True)
class RepoId:
    """A repository: its kind, owner and name."""

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
        """The kind in the Hub's JSON: ``model``, ``dataset``, ``space``, ``bucket``."""
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
        Time of the commit, with a time zone.
    parents:
        Ids of the parents; ``None`` if the endpoint does not report them (the Hub does not).
    pull_request:
        The pull request that this commit has just opened; ``None`` for other commits.
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
        """The row in a table of commits, by column."""
        return {"commit": self.id[:10], "date": self.date, "author": self.author, "message": self.title}

    def _repr_html_(self) -> str:
        return _one(self._shown_row())


@dataclass(frozen=True, slots=True)
class PullRequest:
    """A pull request: proposed changes for a branch.

    Attributes
    ----------
    repo:
        Path of the repository: ``acme/titanic``.
    number:
        Its number; pull requests and discussions of a repository are numbered together.
    title:
        Its title, one line.
    status:
        ``draft``: it accepts commits; ``open``: it accepts commits and can be merged; ``closed``; ``merged``.
    author:
        The user who opened it.
    created:
        When it was opened, with a time zone.
    url:
        Its web page.
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
        """The path of its files, which can be read and written like those of a branch: ``acme/titanic/refs%2Fpr%2F1``."""
        return f"{self.repo}/refs%2Fpr%2F{self.number}"

    def _shown_row(self) -> dict[str, object]:
        """The row in a table of pull requests, by column."""
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
    """A comment in a pull request.

    Attributes
    ----------
    id:
        Its id in the pull request.
    author:
        The user who wrote it.
    created:
        When it was written, with a time zone.
    text:
        The text, in Markdown.
    hidden:
        Whether it was hidden; then the text is not available.
    """

    id: str
    author: str
    created: datetime
    text: str
    hidden: bool = False


@dataclass(frozen=True, slots=True)
class PullRequestInfo(PullRequest):
    """A pull request with all details.

    Attributes
    ----------
    repo, number, title, status, author, created, url:
        As in `PullRequest`.
    branch:
        The branch that it proposes to change.
    conflicts:
        Files that were changed on the branch as well, so that it cannot be merged; ``None`` if there are conflicts that
        the endpoint does not list.
    merge_commit:
        Id of the commit by which it was merged, if it was and the endpoint reports the id.
    comments:
        The comments; the description comes first.
    diff:
        The changes in git's format, if they were requested and the endpoint reports them.
    """

    branch: str = "main"
    conflicts: tuple[str, ...] | None = ()
    merge_commit: str | None = None
    comments: tuple[Comment, ...] = ()
    diff: str | None = None


@dataclass(frozen=True, slots=True)
class LfsFile:
    """Content that a repository stores as a large file, named by some of its commits.

    Attributes
    ----------
    sha256:
        SHA-256 of the content in hex.
    path:
        A path that it has, or had.
    size:
        Bytes of the content.
    pushed:
        When it was pushed to the repository, with a time zone.
    ref:
        A branch or other reference to which it was pushed; ``None`` if the endpoint does not report it.
    """

    sha256: str
    path: str
    size: int
    pushed: datetime
    ref: str | None = None

    def _shown_row(self) -> dict[str, object]:
        """The row in a table of large files, by column."""
        return {"path": self.path, "size": human_size(self.size), "pushed": self.pushed, "ref": self.ref}

    def _repr_html_(self) -> str:
        return _one(self._shown_row())


@dataclass(frozen=True, slots=True)
class PathChange:
    """The change of a file between two commits.

    Attributes
    ----------
    path:
        Path in the repository.
    kind:
        ``added``, ``removed`` or ``changed``.
    old_size, new_size:
        Bytes of the content before and after; ``None`` if there was, or is, no file.
    old_blob_id, new_blob_id:
        The versions before and after, as ``blob_id`` of ``info``.
    """

    path: str
    kind: Literal["added", "removed", "changed"]
    old_size: int | None = None
    new_size: int | None = None
    old_blob_id: str | None = None
    new_blob_id: str | None = None

    def _shown_row(self) -> dict[str, object]:
        """The row in a table of changes, by column."""
        old, new = ("" if size is None else human_size(size) for size in (self.old_size, self.new_size))
        return {"change": self.kind, "path": self.path, "before": old, "after": new}

    def _repr_html_(self) -> str:
        return _one(self._shown_row())


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """One version of a file, with all that is needed to read its content without another look-up.

    Attributes
    ----------
    repo, revision, path:
        Its place; ``revision`` is the id of the commit in which it was looked up.
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
    """Content that is stored, or is being uploaded, and that a commit can name.

    Attributes
    ----------
    size:
        Bytes of the content.
    sha256:
        SHA-256 of the content in hex.
    xet_hash:
        Xet file hash (string form).
    stored:
        Bytes of it that are new to the endpoint, compressed, as far as known; ignored when contents are compared.
    """

    size: int
    sha256: str
    xet_hash: str
    stored: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class FilePointer:
    """A file whose content is stored, but which is not in a commit yet: ``fs.stage`` returns it, ``fs.commit`` takes it.

    It is small, and can be sent to other processes with pickle, or as JSON with msgspec.

    Attributes
    ----------
    endpoint:
        The endpoint that stores it: ``fs.endpoint`` of the file system that staged it.
    branch:
        Path of the branch for which it was staged: ``acme/corpus/main``.
    path:
        Path in the repository.
    size:
        Bytes of the content.
    sha256:
        SHA-256 of the content in hex.
    xet_hash:
        Xet file hash (string form); ``None`` if there is ``data``.
    stored_bytes:
        Bytes of it that were new to the endpoint, compressed; 0 if all of it was known.
    data:
        The content itself, at most 1 MiB, of a file that the endpoint requires inside the commit, such as a small text
        file; ``None`` for all others.
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
        """The path with repository and branch: the file's name in the file system once it is committed."""
        return f"{self.branch}/{self.path}"

    def _shown_row(self) -> dict[str, object]:
        """The row in a table of pointers, by column."""
        return {"path": self.full_path, "size": human_size(self.size), "new": human_size(self.stored_bytes)}

    def _repr_html_(self) -> str:
        return _one(self._shown_row())


def _one(row: Mapping[str, object]) -> str:
    """A table with one row."""
    return table(list(row), [list(row.values())])
