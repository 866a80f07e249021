"""The basis of all messages, and the JSON of the Hub as typed structs, shared by the client and the local endpoint.

The messages of the CAS are in `cas_messages`, except for the tokens that the Hub gives for it.

Field names on the wire are camelCase for the Hub and snake_case for the CAS (Xet specification, ``api.md``; OpenAPI
file of the CAS). Fields that an endpoint may leave out have a default; unknown fields are ignored, so that endpoints
can add fields. All messages are decoded by `decode`, whose `FormatError` names the field that does not fit.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias, TypeVar

import msgspec

from pyxet.errors import ConfigError, FormatError
from pyxet.secrets import Secret

T = TypeVar("T")
# Sizes in bytes, offsets, counts and times in Unix seconds. Negative numbers, and those beyond any file's size, are refused.
Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class HubStruct(msgspec.Struct, rename="camel", omit_defaults=True, kw_only=True):
    """Base of the Hub's messages."""


class CasStruct(msgspec.Struct, kw_only=True):
    """Base of the CAS's messages."""


def decode(data: bytes | bytearray | memoryview, kind: type[T], *, what: str) -> T:
    """Decode one JSON document as ``kind``.

    Raises
    ------
    FormatError
        The document is not JSON or does not have the fields of ``kind``; ``what`` names the document.
    """
    try:
        return msgspec.json.decode(data, type=kind, dec_hook=_hide)
    except RecursionError:
        raise FormatError(f"{what}: nested too deeply") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise FormatError(f"{what}: {error}") from error


def encode(message: Any) -> bytes:
    """Encode a struct, or a list or dict of them, as JSON."""
    try:
        return msgspec.json.encode(message, enc_hook=_reveal)
    except UnicodeEncodeError as error:
        # The text has surrogates, which stand for bytes that are not UTF-8.
        raise ConfigError(f"{str(error.object)!a} is not UTF-8, and names and messages must be") from None


def _hide(kind: type, value: Any) -> Any:
    if kind is Secret and isinstance(value, str):
        return Secret(value)
    raise msgspec.ValidationError(f"Expected `str`, got `{type(value).__name__}`")


def _reveal(value: Any) -> Any:
    if isinstance(value, Secret):
        return value.reveal()
    raise NotImplementedError(f"{type(value).__name__} is not a message")


# -- Hub: account and repositories -------------------------------------------------------------------------------------


class OrganizationRef(HubStruct):
    name: str
    role_in_org: str | None = None


class TokenInfo(HubStruct):
    """The name of a token, and its role: ``read``, ``write``, ``fineGrained``."""

    display_name: str | None = None
    role: str | None = None


class Authentication(HubStruct):
    type: str = "access_token"
    access_token: TokenInfo | None = None


class WhoAmI(HubStruct, omit_defaults=False):
    name: str
    type: str = "user"
    fullname: str = ""
    email: str | None = None
    orgs: list[OrganizationRef] = []
    auth: Authentication | None = None


class CreateRepo(HubStruct):
    name: str
    organization: str | None = None
    type: str = "model"
    visibility: Literal["public", "private"] | None = None
    private: bool | None = None
    sdk: str | None = None


class DeleteRepo(HubStruct):
    name: str
    organization: str | None = None
    type: str = "model"


class MoveRepo(HubStruct):
    """Both names are ``owner/name``."""

    from_repo: str
    to_repo: str
    type: str = "model"


class RepoSettings(HubStruct):
    """Settings that are left out do not change. ``gated`` is ``auto``, ``manual`` or ``False``."""

    visibility: Literal["public", "private", "protected"] | None = None
    private: bool | None = None
    gated: bool | str | None = None


class DuplicateRepo(HubStruct):
    """``repository`` is the new one, as ``owner/name``. Without ``visibility``, it has that of the old one."""

    repository: str
    visibility: Literal["public", "private", "protected"] | None = None


class DuplicatedRepo(HubStruct):
    """``files_copy_pending``: large files may not be readable in the new repository yet."""

    url: str
    files_copy_pending: bool = False


class RepoUrl(HubStruct):
    url: str


class LfsSibling(HubStruct):
    """LFS data in a repository's ``siblings``, where the field ``oid`` of tree entries is called ``sha256``."""

    sha256: str
    size: Count
    pointer_size: Count


class Sibling(HubStruct):
    rfilename: str
    size: Count | None = None
    blob_id: str | None = None
    lfs: LfsSibling | None = None


class RepoInfo(HubStruct, omit_defaults=False):
    id: str
    sha: str | None = None
    author: str | None = None
    last_modified: str | None = None
    created_at: str | None = None
    private: bool = False
    gated: bool | str = False
    disabled: bool = False
    downloads: int = 0
    likes: int = 0
    tags: list[str] = []
    siblings: list[Sibling] | None = None


# -- Hub: references and history ---------------------------------------------------------------------------------------


class Ref(HubStruct):
    name: str
    ref: str
    target_commit: str


class Refs(HubStruct, omit_defaults=False):
    branches: list[Ref] = []
    tags: list[Ref] = []
    converts: list[Ref] = []
    pull_requests: list[Ref] = []


class CreateBranch(HubStruct):
    starting_point: str | None = None


class CreateTag(HubStruct):
    tag: str
    message: str | None = None


class CommitAuthor(HubStruct):
    user: str


class CommitInfo(HubStruct, omit_defaults=False):
    id: str
    title: str
    message: str = ""
    date: str = ""
    authors: list[CommitAuthor] = []
    parents: list[str] | None = None


# -- Hub: trees --------------------------------------------------------------------------------------------------------


class LfsInfo(HubStruct):
    """LFS data of a tree entry: ``oid`` is the sha256 of the content in hex, ``size`` its bytes."""

    oid: str
    size: Count
    pointer_size: Count = 0


class LastCommit(HubStruct, omit_defaults=False):
    id: str
    title: str
    date: str


class TreeEntry(HubStruct):
    """A file, directory or submodule.

    ``oid`` is the git object id: of the content, of the pointer file for LFS content, or the commit of a submodule. ``mode`` is
    git's mode, which only pyxet's endpoint sends, and only for executable files and symbolic links.
    """

    type: Literal["file", "directory", "submodule"]
    path: str
    oid: str
    size: Count | None = None
    mode: str | None = None
    lfs: LfsInfo | None = None
    xet_hash: str | None = None
    last_commit: LastCommit | None = None


class PathsInfo(HubStruct):
    paths: list[str]
    expand: bool = False


# -- Hub: preupload and commit -----------------------------------------------------------------------------------------


class PreuploadFile(HubStruct):
    path: str
    size: Count
    sample: str = ""


class Preupload(HubStruct):
    files: list[PreuploadFile]
    git_ignore: str | None = None
    git_attributes: str | None = None


class PreuploadMode(HubStruct, omit_defaults=False):
    path: str
    upload_mode: Literal["lfs", "regular"]
    should_ignore: bool = False
    oid: str | None = None


class PreuploadAnswer(HubStruct, omit_defaults=False):
    files: list[PreuploadMode]


class CommitHeader(HubStruct, omit_defaults=False):
    summary: str
    description: str = ""
    parent_commit: str | None = None


class CommitFile(HubStruct, omit_defaults=False):
    path: str
    content: str
    encoding: Literal["base64", "utf-8"] = "base64"


class CommitLfsFile(HubStruct):
    path: str
    oid: str
    algo: str = "sha256"
    size: Count | None = None


class CommitDeletedPath(HubStruct):
    path: str


COMMIT_KEYS: dict[str, type[HubStruct]] = {
    "header": CommitHeader,
    "file": CommitFile,
    "lfsFile": CommitLfsFile,
    "deletedFile": CommitDeletedPath,
    "deletedFolder": CommitDeletedPath,
}


class CommitLine(HubStruct, omit_defaults=False):
    """One line of a commit's NDJSON; ``value`` is decoded by ``key`` through `COMMIT_KEYS`."""

    key: str
    value: msgspec.Raw


class DuplicateTarget(HubStruct, omit_defaults=False):
    """A repository as type and ``owner/name``."""

    type: str
    name: str


class DuplicateFile(HubStruct):
    """Stored content that another repository is to hold as well."""

    xet_hash: str
    sha256: str
    filename: str = ""


class DuplicateFiles(HubStruct, omit_defaults=False):
    target: DuplicateTarget
    files: list[DuplicateFile]


class DuplicateFailure(HubStruct):
    sha256: str
    error: str = ""


class DuplicateFilesAnswer(HubStruct, omit_defaults=False):
    failed: list[DuplicateFailure] = []


class LfsFileEntry(HubStruct, omit_defaults=False):
    """Large content in a repository's history: ``file_oid`` is its sha256, ``filename`` a path at which it is or was."""

    file_oid: str
    filename: str
    oid: str
    pushed_at: str
    size: Count
    ref: str | None = None


class LfsDeletions(HubStruct, omit_defaults=False):
    """The sha256 of contents to delete, and whether to rewrite the commits that name them."""

    sha: list[str]
    rewrite_history: bool = True


class DeleteLfsFiles(HubStruct, omit_defaults=False):
    deletions: LfsDeletions


class CommitAnswer(HubStruct):
    commit_oid: str
    commit_url: str
    pull_request_url: str | None = None


# -- Xet tokens --------------------------------------------------------------------------------------------------------


class XetToken(HubStruct):
    """Answer of the token routes: ``exp`` is in Unix seconds, ``cas_url`` has no trailing slash."""

    access_token: Secret
    exp: Count
    cas_url: str


class OAuthToken(CasStruct):
    """Answer of ``/oauth/token`` (RFC 6749, 5.1): a token, and the token to renew it with; ``expires_in`` is in seconds."""

    access_token: Secret
    refresh_token: Secret | None = None
    expires_in: Count | None = None


class IdentityToken(CasStruct):
    """Answer of a CI runner that is asked for an identity token (OpenID Connect)."""

    value: Secret
