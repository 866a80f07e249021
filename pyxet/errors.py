"""Every error that pyxet raises, and the table that maps HTTP answers to errors.

::

    XetError
    ├── XetURLError               (ValueError)          a URL or path that does not follow the grammar
    ├── ConfigError               (ValueError)          an option, variable or credential that makes no sense
    ├── NotSupportedError         (NotImplementedError) a valid request that is not offered (buckets, writing to a tag)
    ├── FormatError               (ValueError)          bytes that are not what the Xet protocol says they are
    ├── IntegrityError            (OSError)             well-formed content that is not the content asked for
    ├── FileInUseError            (PermissionError)     a local file cannot be replaced while another program has it open
    ├── LocalNameError            (OSError)             a local file cannot have the name that it has in a repository
    ├── TransactionError          (RuntimeError)        a transaction used after its end, or ended before a nested one
    │   └── PartialCommitError                          a transaction over several branches failed after some commits
    ├── IngestError                                     some files of an ingest could not be copied: nothing is committed
    ├── ConnectionFailedError     (ConnectionError)     no usable answer from the endpoint
    ├── RequestTimeoutError       (TimeoutError)        the endpoint, or a body, stalled
    │   └── CommitTimeoutError                          the endpoint took too long for a commit, which was not made
    └── RemoteError               (OSError)             the endpoint answered with an error
        ├── NotFoundError         (FileNotFoundError)
        │   ├── RepositoryNotFoundError
        │   ├── RevisionNotFoundError
        │   └── EntryNotFoundError
        ├── AuthenticationError   (PermissionError)     no token, or one that is not accepted
        ├── AccessDeniedError     (PermissionError)     a token that may not do this
        │   └── GatedRepositoryError
        ├── ConflictError                               somebody else changed what the request is based on
        │   ├── AlreadyExistsError (FileExistsError)
        │   └── EditConflictError                       one of our paths changed since ``parent_commit``
        ├── BadRequestError       (ValueError)
        │   ├── FolderInTheWayError (IsADirectoryError) a file should be where a folder is
        │   └── FileInTheWayError (NotADirectoryError)  a file should be below another file
        ├── RangeNotSatisfiableError
        ├── RateLimitedError
        └── ServerError

`PyxetWarning` (a `UserWarning`) is the category of pyxet's warnings: something is probably not what the caller meant.

Errors that mean "it does not exist" are also ``FileNotFoundError``, and no others are: a time-out, a 429 or a 401 is
never taken for absence.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pyxet._traces import rendered
from pyxet.reports import IngestReport
from pyxet.types import Commit, RepoId

__all__ = [
    "AccessDeniedError",
    "AlreadyExistsError",
    "AuthenticationError",
    "BadRequestError",
    "CommitTimeoutError",
    "ConfigError",
    "ConflictError",
    "ConnectionFailedError",
    "EditConflictError",
    "EntryNotFoundError",
    "FileInTheWayError",
    "FileInUseError",
    "FolderInTheWayError",
    "FormatError",
    "GatedRepositoryError",
    "IngestError",
    "IntegrityError",
    "LocalNameError",
    "NotFoundError",
    "NotSupportedError",
    "PartialCommitError",
    "PyxetWarning",
    "RangeNotSatisfiableError",
    "RateLimitedError",
    "RemoteError",
    "RepositoryNotFoundError",
    "RequestTimeoutError",
    "RevisionNotFoundError",
    "ServerError",
    "TransactionError",
    "XetError",
    "XetURLError",
]


class XetError(Exception):
    """Base of every error raised by pyxet.

    Attributes
    ----------
    about:
        The repository, and the revision if any, for which a hint can be looked up; ``None`` if there is none.
    """

    about: tuple[RepoId, str | None] | None = None

    def _render_traceback_(self) -> list[str]:
        """The traceback as IPython and Jupyter show it: the caller's code, and the message."""
        return rendered(self)


class PyxetWarning(UserWarning):
    """Something happened that is probably not what the caller meant, and that is no error."""


class XetURLError(XetError, ValueError):
    """A URL or path does not follow the grammar; the message names the wrong part and the expected form."""


class ConfigError(XetError, ValueError):
    """An option, environment variable or stored credential is unusable."""


class NotSupportedError(XetError, NotImplementedError):
    """The request is valid, but this object or this endpoint does not support it."""


class FormatError(XetError, ValueError):
    """Bytes do not follow a format of the Xet protocol.

    Parameters
    ----------
    what:
        What is wrong, naming the structure: ``"xorb chunk header: version 7 is unknown"``.
    offset:
        Byte offset of the error in the parsed buffer, if there is one.
    """

    def __init__(self, what: str, *, offset: int | None = None) -> None:
        super().__init__(what if offset is None else f"{what} (at byte {offset:,})")
        self.what = what
        self.offset = offset

    def __reduce__(self) -> tuple[object, ...]:
        return (_format_error, (self.what, self.offset))


def _format_error(what: str, offset: int | None) -> FormatError:
    return FormatError(what, offset=offset)


class IntegrityError(XetError, OSError):
    """Content is well-formed but its hash or length is not the one that was asked for."""


class FileInUseError(XetError, PermissionError):
    """A local file cannot be replaced or removed because another program has it open; only some platforms refuse that."""


class LocalNameError(XetError, OSError):
    """A local file cannot have its name from the repository, on this platform or beside another file. Nothing was written."""


class TransactionError(XetError, RuntimeError):
    """A transaction is used in a way it does not allow."""


class PartialCommitError(TransactionError):
    """A transaction over several branches failed after some of its commits were made.

    Attributes
    ----------
    made:
        ``(branch path, commit)`` of each commit that was made, in their order.
    failed:
        The branch path whose commit failed; the failure is ``__cause__``.
    """

    def __init__(self, message: str, *, made: tuple[tuple[str, Commit], ...], failed: str) -> None:
        super().__init__(message)
        self.made = made
        self.failed = failed

    def __reduce__(self) -> tuple[object, ...]:
        return (_partial_commit_error, (str(self), self.made, self.failed))


def _partial_commit_error(message: str, made: tuple[tuple[str, Commit], ...], failed: str) -> PartialCommitError:
    return PartialCommitError(message, made=made, failed=failed)


class IngestError(XetError):
    """An ingest failed. Its journal lists what is stored, and another run continues from there.

    Attributes
    ----------
    report:
        What was done, the failures, and the commits that were made before.
    """

    def __init__(self, message: str, *, report: IngestReport) -> None:
        super().__init__(message)
        self.report = report

    def __reduce__(self) -> tuple[object, ...]:
        return (_ingest_error, (str(self), self.report))


def _ingest_error(message: str, report: IngestReport) -> IngestError:
    return IngestError(message, report=report)


class _Unanswered:
    """Base of the errors of requests without an answer.

    Attributes
    ----------
    message:
        What was tried, and how it failed.
    hint:
        What to do about it, if known; it is added to the text of the error.
    sent:
        Whether the request may have reached the endpoint.
    """

    def __init__(self, message: str, *, hint: str | None = None, sent: bool = True) -> None:
        super().__init__(message)  # type: ignore[call-arg]  # the exception that this is mixed into
        self.message = message
        self.hint = hint
        self.sent = sent

    def __str__(self) -> str:
        return self.message if self.hint is None else f"{self.message}; {self.hint}"


class ConnectionFailedError(_Unanswered, XetError, ConnectionError):
    """The endpoint could not be reached, or the connection broke and retries did not help."""


class RequestTimeoutError(_Unanswered, XetError, TimeoutError):
    """The endpoint did not answer in time, or a body made no progress for too long."""


class CommitTimeoutError(RequestTimeoutError):
    """The endpoint took too long for a commit in each of several tries, and the branch does not have the commit.

    The uploaded content stays stored. The Hub ends a commit request after 60 seconds.
    """


class RemoteError(XetError, OSError):
    """The endpoint answered with an error.

    Parameters
    ----------
    message:
        What failed and, if known, what to do about it.
    status:
        HTTP status of the answer; ``0`` if the error was found without an answer.
    code:
        ``X-Error-Code`` of the answer, if it had one.
    request_id:
        The endpoint's id of the request, for reports to its operators.
    retry_after:
        Seconds that the endpoint asked the client to wait, if it did.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = 0,
        code: str | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.code = code
        self.request_id = request_id
        self.retry_after = retry_after

    def __str__(self) -> str:
        return self.message if self.request_id is None else f"{self.message} (request {self.request_id})"

    def __reduce__(self) -> tuple[object, ...]:
        arguments = (type(self), self.message, self.status, self.code, self.request_id, self.retry_after)
        return (_remote_error, arguments)


def _remote_error(
    kind: type[RemoteError],
    message: str,
    status: int,
    code: str | None,
    request_id: str | None,
    retry_after: float | None,
) -> RemoteError:
    return kind(message, status=status, code=code, request_id=request_id, retry_after=retry_after)


class NotFoundError(RemoteError, FileNotFoundError):
    """The requested object does not exist, or is not visible to this token."""


class RepositoryNotFoundError(NotFoundError):
    """The repository does not exist, or is private and not visible to this token."""


class RevisionNotFoundError(NotFoundError):
    """The repository has no such branch, tag or commit."""


class EntryNotFoundError(NotFoundError):
    """The revision has no such file or directory."""


class AuthenticationError(RemoteError, PermissionError):
    """No token was given where one is needed, or the token is not accepted or has expired."""


class AccessDeniedError(RemoteError, PermissionError):
    """The token is valid but may not do this."""


class GatedRepositoryError(AccessDeniedError):
    """The repository can be used only after its conditions were accepted on its web page."""


class ConflictError(RemoteError):
    """Somebody else changed what this request is based on."""


class AlreadyExistsError(ConflictError, FileExistsError):
    """The repository, branch, tag or file to be created exists already."""


class EditConflictError(ConflictError):
    """Somebody else changed a path of this commit since the commit or version that it is based on."""


class BadRequestError(RemoteError, ValueError):
    """The endpoint did not accept the content of the request."""


class FolderInTheWayError(BadRequestError, IsADirectoryError):
    """A file cannot be written because there is a folder at its path."""


class FileInTheWayError(BadRequestError, NotADirectoryError):
    """A file cannot be written because there is a file where one of its folders should be."""


class RangeNotSatisfiableError(RemoteError):
    """The requested byte range starts after the end of the content."""


class RateLimitedError(RemoteError):
    """Too many requests; ``retry_after`` is the number of seconds to wait, if the endpoint named one."""


class ServerError(RemoteError):
    """The endpoint failed (5xx)."""


# ``X-Error-Code`` takes precedence over the status: for a missing repository, the Hub answers anonymous callers with 401.
_BY_CODE: Mapping[str, type[RemoteError]] = {
    "RepoNotFound": RepositoryNotFoundError,
    "RevisionNotFound": RevisionNotFoundError,
    "EntryNotFound": EntryNotFoundError,
    "GatedRepo": GatedRepositoryError,
}

_BY_STATUS: Mapping[int, type[RemoteError]] = {
    400: BadRequestError,
    401: AuthenticationError,
    403: AccessDeniedError,
    404: NotFoundError,
    409: ConflictError,
    410: NotFoundError,
    412: ConflictError,
    413: BadRequestError,
    416: RangeNotSatisfiableError,
    422: BadRequestError,
    423: ConflictError,
    429: RateLimitedError,
}

LOG_IN = "xet login, pyxet.login(user, token), XET_USER_TOKEN or HF_TOKEN"
_ADVICE: Mapping[type[RemoteError], str] = {
    AuthenticationError: f"check the token: {LOG_IN}",
    AccessDeniedError: "the token is valid but lacks the permission",
    GatedRepositoryError: "accept the repository's conditions on its web page first",
    RateLimitedError: "too many requests; wait, or lower Limits.concurrency",
    ServerError: "the endpoint failed; try again later",
}
# Maximum number of characters of an endpoint's explanation that a message shows.
_LONGEST_DETAIL = 400


@dataclass(frozen=True)
class Asked:
    """The endpoint and token of a request that was refused, for advice in the message.

    Attributes
    ----------
    endpoint:
        The endpoint that was asked.
    token_source:
        Where the token came from, in words; ``None`` if none was sent.
    remedy:
        What to do if the token is not accepted; ``None`` to advise setting another one.
    """

    endpoint: str
    token_source: str | None
    remedy: str | None = None


def error_from_response(
    status: int,
    *,
    what: str,
    code: str | None = None,
    detail: str | None = None,
    request_id: str | None = None,
    retry_after: float | None = None,
    asked: Asked | None = None,
) -> RemoteError:
    """The typed error for an HTTP answer.

    Parameters
    ----------
    status:
        HTTP status, 400 or higher.
    what:
        The operation in words, without secrets: ``"reading acme/titanic/main/x.csv"``.
    code:
        The ``X-Error-Code`` header.
    detail:
        The endpoint's own explanation (``X-Error-Message``, or ``error`` of the JSON body).
    request_id, retry_after:
        As in `RemoteError`.
    asked:
        The endpoint and token of the request, if known.
    """
    kind = _BY_CODE.get(code or "")
    if kind is None:
        kind = _BY_STATUS.get(status, ServerError if status >= 500 else RemoteError)
    detail = one_line(detail or "")
    message = f"{what}: {detail}" if detail else f"{what}: the endpoint answered {status}"
    advice = (_advice_to(kind, asked) if asked else None) or _ADVICE.get(kind)
    if advice:
        message = f"{message} ({advice})"
    return kind(message, status=status, code=code, request_id=request_id, retry_after=retry_after)


def _advice_to(kind: type[RemoteError], asked: Asked) -> str | None:
    if asked.token_source is None and kind in (AuthenticationError, AccessDeniedError, GatedRepositoryError):
        return f"no token was sent to {asked.endpoint}; set one: {LOG_IN}"
    if asked.token_source is None and kind is RepositoryNotFoundError:
        return f"no token was sent, and a private repository needs one: {LOG_IN}"
    if kind is AuthenticationError:
        remedy = asked.remedy or f"set another: {LOG_IN}"
        return f"{asked.endpoint} does not accept the token {asked.token_source}; {remedy}"
    if kind is AccessDeniedError:
        return f"the token {asked.token_source} may not do this"
    return None


def one_line(text: str) -> str:
    """An endpoint's text made safe for a message: one line of limited length, without control characters."""
    text = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return text if len(text) <= _LONGEST_DETAIL else f"{text[:_LONGEST_DETAIL]}…"
