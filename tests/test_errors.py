"""The error tree, and the table from HTTP answers to it."""

from __future__ import annotations

import copy
import pickle

import pytest

from pyxet import errors
from pyxet.errors import (
    FormatError,
    IngestError,
    NotFoundError,
    PartialCommitError,
    RemoteError,
    XetError,
    error_from_response,
)
from pyxet.reports import IngestFailure, IngestReport

WITH_FIELDS = PartialCommitError | IngestError
KINDS = [getattr(errors, name) for name in errors.__all__]


def test_every_error_is_public_and_in_the_docstring() -> None:
    defined = {
        name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, (XetError, UserWarning))
    }  # fmt: skip
    assert defined == set(errors.__all__)
    assert errors.__doc__ is not None
    assert all(name in errors.__doc__ for name in errors.__all__)


def test_only_what_means_absence_is_file_not_found() -> None:
    absent = {kind.__name__ for kind in KINDS if issubclass(kind, FileNotFoundError)}
    assert absent == {"NotFoundError", "RepositoryNotFoundError", "RevisionNotFoundError", "EntryNotFoundError"}


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 412, 416, 422, 429, 500, 503])
def test_codes_outrank_the_status(status: int) -> None:
    for code, kind in (
        ("RepoNotFound", errors.RepositoryNotFoundError),
        ("RevisionNotFound", errors.RevisionNotFoundError),
        ("EntryNotFound", errors.EntryNotFoundError),
        ("GatedRepo", errors.GatedRepositoryError),
    ):
        assert type(error_from_response(status, what="x", code=code)) is kind


@pytest.mark.parametrize(
    ("status", "kind"),
    [(302, "RemoteError"), (400, "BadRequestError"), (401, "AuthenticationError"), (403, "AccessDeniedError"),
     (404, "NotFoundError"), (405, "RemoteError"), (409, "ConflictError"), (410, "NotFoundError"), (412, "ConflictError"),
     (413, "BadRequestError"), (416, "RangeNotSatisfiableError"), (422, "BadRequestError"), (423, "ConflictError"),
     (429, "RateLimitedError"), (500, "ServerError"), (503, "ServerError"), (599, "ServerError")],
)  # fmt: skip
def test_statuses(status: int, kind: str) -> None:
    error = error_from_response(status, what="reading x", code="SomethingNew")
    assert type(error).__name__ == kind
    assert (error.status, error.code) == (status, "SomethingNew")
    assert str(error).startswith(f"reading x: the endpoint answered {status}")
    assert isinstance(error, FileNotFoundError) == (status in (404, 410))


def test_messages() -> None:
    error = error_from_response(401, what="reading x", detail="Invalid token", request_id="r1", retry_after=3.0)
    assert str(error).startswith("reading x: Invalid token (check the token")
    assert str(error).endswith("(request r1)")
    assert error.retry_after == 3.0


@pytest.mark.parametrize("kind", [kind for kind in KINDS if issubclass(kind, RemoteError)])
def test_remote_errors_survive_pickling(kind: type[RemoteError]) -> None:
    error = kind("text", status=418, code="Code", request_id="r", retry_after=1.5)
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(again) is kind
        assert (again.message, again.status, again.code, again.request_id, again.retry_after) == (
            "text", 418, "Code", "r", 1.5,
        )  # fmt: skip
        assert str(again) == str(error)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if not issubclass(kind, RemoteError | WITH_FIELDS)])
def test_other_errors_survive_pickling(kind: type[XetError]) -> None:
    error = kind("text")
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again)) == (kind, "text")


def test_errors_with_fields_survive_pickling() -> None:
    again = pickle.loads(pickle.dumps(FormatError("chunk: damaged", offset=12_345)))
    assert (again.what, again.offset, str(again)) == ("chunk: damaged", 12_345, "chunk: damaged (at byte 12,345)")
    partial = pickle.loads(pickle.dumps(PartialCommitError("half", made=(), failed="a/b/main")))
    assert (str(partial), partial.made, partial.failed) == ("half", (), "a/b/main")
    report = IngestReport(1, 2, 0, 0, 2, 1, (IngestFailure("a", "OSError: gone"),), (), "journal")
    ingest = pickle.loads(pickle.dumps(IngestError("some failed", report=report)))
    assert (str(ingest), ingest.report) == ("some failed", report)


def test_absence_is_caught_as_built_in_errors() -> None:
    with pytest.raises(FileNotFoundError):
        raise NotFoundError("gone", status=404)
    with pytest.raises(PermissionError):
        raise errors.GatedRepositoryError("closed")
    with pytest.raises(FileExistsError):
        raise errors.AlreadyExistsError("there")
    with pytest.raises(TimeoutError):
        raise errors.RequestTimeoutError("slow")
    with pytest.raises(ConnectionError):
        raise errors.ConnectionFailedError("broken")
