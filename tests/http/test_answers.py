"""What each answer becomes: every status and error code, odd headers, what is tried again, redirects."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from aioresponses import aioresponses
from support.mocked import URL, answers, client
from yarl import URL as Address

import pyxet
from pyxet import errors
from pyxet._async.http.messages import is_transient, never

WHOAMI = f"{URL}/api/whoami-v2"
ATTEMPTS = 3

# By status, as a person would tell it; all others of their hundred are the last two.
BY_STATUS: dict[int, type[Exception]] = {
    400: errors.BadRequestError,
    401: errors.AuthenticationError,
    403: errors.AccessDeniedError,
    404: errors.NotFoundError,
    409: errors.ConflictError,
    410: errors.NotFoundError,
    412: errors.ConflictError,
    413: errors.BadRequestError,
    416: errors.RangeNotSatisfiableError,
    422: errors.BadRequestError,
    423: errors.ConflictError,
    429: errors.RateLimitedError,
}
TRIED_AGAIN = {408, 423, 425, 429} | (set(range(500, 600)) - {501, 505, 507})
CODES: dict[str, type[Exception]] = {
    "RepoNotFound": errors.RepositoryNotFoundError,
    "RevisionNotFound": errors.RevisionNotFoundError,
    "EntryNotFound": errors.EntryNotFoundError,
    "GatedRepo": errors.GatedRepositoryError,
}


@pytest.fixture
def hub() -> Iterator[aioresponses]:
    with answers() as given:
        yield given


async def ask(mocked: aioresponses, **answer: object) -> tuple[Exception | None, int]:
    """The error that an answer becomes, and how many requests were sent."""
    mocked.get(WHOAMI, repeat=True, **answer)
    asking = client()
    try:
        await asking.hub.whoami()
    except Exception as error:  # noqa: BLE001  # whatever it is, the tests look at it
        return error, len(mocked.requests["GET", Address(WHOAMI)])
    finally:
        await asking.transport.aclose()
    return None, len(mocked.requests["GET", Address(WHOAMI)])


@pytest.mark.parametrize("status", range(400, 600))
async def test_every_status(hub: aioresponses, status: int) -> None:
    error, requests = await ask(hub, status=status, body=b"", headers={"Retry-After": "0"} if status == 429 else {})
    expected = BY_STATUS.get(status, errors.ServerError if status >= 500 else errors.RemoteError)
    assert type(error) is expected
    assert isinstance(error, errors.RemoteError)
    assert error.status == status
    assert str(status) in str(error)
    assert requests == (ATTEMPTS if status in TRIED_AGAIN else 1)
    assert isinstance(error, FileNotFoundError) == (status in (404, 410))


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
@pytest.mark.parametrize("code", CODES)
async def test_a_code_outranks_the_status(hub: aioresponses, code: str, status: int) -> None:
    headers = {"X-Error-Code": code, "X-Error-Message": "what is wrong"}
    error, requests = await ask(hub, status=status, headers=headers)
    assert type(error) is CODES[code]
    assert "what is wrong" in str(error)
    assert requests == 1


@pytest.mark.parametrize("code", ["", "Unknown", "repo not found", "x" * 5000, "Repo\tNotFound"])
async def test_codes_that_nobody_knows(hub: aioresponses, code: str) -> None:
    error, _ = await ask(hub, status=403, headers={"X-Error-Code": code})
    assert type(error) is errors.AccessDeniedError
    assert len(str(error)) < 1000


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b'{"error":"the reason"}', "the reason"),
        (b'{"errors":[{"message":"one"},{"message":"two"}]}', "one; two"),
        (b'{"errors":["one",5,null]}', "one"),
        (b'{"error":{"deep":1}}', ""),
        (b"[" * 100_000, ""),
        (b"\xff\xfe\x00", ""),
        (b'{"error":' + b'"' + b"y" * 50_000 + b'"}', "yyy"),
    ],
)
async def test_explanations(hub: aioresponses, body: bytes, text: str) -> None:
    error, _ = await ask(hub, status=400, body=body)
    assert type(error) is errors.BadRequestError
    assert text in str(error)
    assert len(str(error)) < 5000


@pytest.mark.parametrize("text", ["", "soon", "-5", "nan", "inf", "1e400", "Wed, 99 Foo 2026", "0", "0.0", "\u0663"])
async def test_odd_times_to_wait(hub: aioresponses, text: str) -> None:
    error, requests = await ask(hub, status=429, headers={"Retry-After": text})
    assert type(error) is errors.RateLimitedError
    assert requests == ATTEMPTS


async def test_a_wait_that_is_too_long_is_not_begun(hub: aioresponses) -> None:
    error, requests = await ask(hub, status=429, headers={"Retry-After": "3600"})
    assert isinstance(error, errors.RateLimitedError)
    assert error.retry_after == 3600
    assert requests == 1


@pytest.mark.parametrize(
    "body", [b"", b"null", b"[]", b"{}", b'{"name":5}', b"<html>log in</html>", b'{"name":"x"', b"\x80"]
)
async def test_success_that_is_no_answer(hub: aioresponses, body: bytes) -> None:
    error, requests = await ask(hub, status=200, body=body)
    assert isinstance(error, pyxet.XetError)
    assert not isinstance(error, FileNotFoundError)
    assert requests == 1


@pytest.mark.parametrize("status", [300, 304, 305, 306])
async def test_a_redirect_to_nowhere(hub: aioresponses, status: int) -> None:
    error, _ = await ask(hub, status=status)
    assert isinstance(error, pyxet.XetError)
    assert not isinstance(error, FileNotFoundError)


@pytest.mark.parametrize(
    ("location", "token"),
    [
        ("/api/elsewhere", True),
        (f"{URL}/api/elsewhere", True),
        ("http://other.example/api/elsewhere", False),
        ("//other.example/api/elsewhere", False),
    ],
)
async def test_a_token_stays_at_its_origin(hub: aioresponses, location: str, token: bool) -> None:
    hub.get(re.compile(r".*/api/elsewhere"), payload={"name": "there"}, repeat=True)
    hub.get(WHOAMI, status=307, headers={"Location": location}, repeat=True)
    asking = client()
    answer = await asking.transport.request("GET", "/api/whoami-v2", what="asking", redirect=True)
    await asking.transport.aclose()
    assert answer.body == b'{"name": "there"}'
    (sent,) = [calls for (_, url), calls in hub.requests.items() if url.path == "/api/elsewhere"]
    assert ("Authorization" in sent[0].kwargs["headers"]) == token


@pytest.mark.parametrize(
    "location", ["", "ftp://x/", "file:///etc/passwd", "http://", "http://[", "\\\\x\\y", "http://a:99999/"]
)
async def test_a_redirect_that_leads_nowhere(hub: aioresponses, location: str) -> None:
    hub.get(WHOAMI, status=307, headers={"Location": location}, repeat=True)
    asking = client()
    with pytest.raises(pyxet.XetError) as raised:
        await asking.transport.request("GET", "/api/whoami-v2", what="asking", redirect=True)
    await asking.transport.aclose()
    assert not isinstance(raised.value, FileNotFoundError)


@pytest.mark.parametrize("retry", [is_transient, never])
async def test_who_decides_about_another_try(hub: aioresponses, retry: object) -> None:
    hub.get(WHOAMI, status=500, repeat=True)
    asking = client()
    with pytest.raises(errors.ServerError):
        await asking.transport.request("GET", "/api/whoami-v2", what="asking", retry=retry)  # type: ignore[arg-type]
    await asking.transport.aclose()
    assert len(hub.requests["GET", Address(WHOAMI)]) == (ATTEMPTS if retry is is_transient else 1)
