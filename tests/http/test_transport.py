"""HTTP: what is asked again, which errors are raised, and how long one waits. The faults happen on real connections."""

from __future__ import annotations

import asyncio
import os
import time
from email.utils import formatdate

import pytest
from support.faults import (
    FAST,
    MIB,
    WHOAMI,
    FaultProxy,
    answer,
    answer_early,
    changed,
    check_clean,
    cut,
    forward_then,
    gated,
    get,
    no_answer,
    silent,
    world,
)

from pyxet._async.http.messages import Body, never
from pyxet._async.http.transport import Transport, is_refused
from pyxet.config import Credential, Limits, RetryPolicy, Timeouts
from pyxet.errors import (
    AccessDeniedError,
    AlreadyExistsError,
    AuthenticationError,
    ConflictError,
    ConnectionFailedError,
    EntryNotFoundError,
    FormatError,
    NotFoundError,
    RateLimitedError,
    RemoteError,
    RepositoryNotFoundError,
    RequestTimeoutError,
    ServerError,
)
from pyxet.types import RepoId

# -- retries -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [408, 409, 423, 425, 429, 500, 502, 503, 504])
async def test_busy_and_failing_endpoints_are_asked_again_after_retry_after(status: int) -> None:
    async with world() as it:
        it.proxy.rule(WHOAMI, answer(status, Retry_After="0"), times=2)
        assert (await it.client.hub.whoami()).name == it.endpoint.user
        assert it.proxy.count(WHOAMI) == 3


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, RemoteError), (401, AuthenticationError), (403, AccessDeniedError), (404, NotFoundError),
     (409, ConflictError), (412, ConflictError), (501, ServerError), (507, ServerError)],
)  # fmt: skip
async def test_final_answers_are_not_asked_for_again(status: int, kind: type[Exception]) -> None:
    async with world() as it:
        it.proxy.rule(WHOAMI, answer(status))
        with pytest.raises(kind):
            await it.client.hub.whoami()
        assert it.proxy.count(WHOAMI) == 1


async def test_attempts_are_bounded_and_the_last_error_is_raised() -> None:
    async with world() as it:
        it.proxy.rule(WHOAMI, answer(503, b'{"error": "come back later"}', X_Request_Id="r-17"))
        with pytest.raises(ServerError, match=r"come back later .*r-17") as caught:
            await it.client.hub.whoami()
        assert it.proxy.count(WHOAMI) == FAST.attempts
        assert (caught.value.status, caught.value.request_id) == (503, "r-17")


@pytest.mark.parametrize("form", ["seconds", "date"])
async def test_too_long_a_retry_after_raises_at_once(form: str) -> None:
    text = "3600" if form == "seconds" else formatdate(time.time() + 3600, usegmt=True)
    async with world() as it:
        it.proxy.rule(WHOAMI, answer(429, Retry_After=text))
        with pytest.raises(RateLimitedError) as caught:
            await it.client.hub.whoami()
        assert it.proxy.count(WHOAMI) == 1
        assert caught.value.retry_after == pytest.approx(3600, abs=60)


@pytest.mark.parametrize("text", ["soon", "nan", "inf", "Wed, 99 Foo"])
async def test_a_retry_after_that_is_none_is_ignored(text: str) -> None:
    async with world() as it:
        it.proxy.rule(WHOAMI, answer(429, Retry_After=text), times=1)
        await it.client.hub.whoami()
        assert it.proxy.count(WHOAMI) == 2


async def test_retry_after_says_how_long(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[float] = []
    sleep = asyncio.sleep

    async def recording(delay: float) -> None:
        asked.append(delay)
        await sleep(0)

    monkeypatch.setattr(asyncio, "sleep", recording)
    async with world(retry=RetryPolicy(attempts=3, base_delay=1.0, max_delay=5.0)) as it:
        it.proxy.rule(WHOAMI, answer(503, Retry_After="7"), times=1)
        it.proxy.rule(WHOAMI, answer(503), times=1)
        await it.client.hub.whoami()
    # The request waits, and then its origin, for others could have asked meanwhile.
    assert asked[0] == 7.0
    assert 0.0 < asked[1] < 7.0
    assert 1.0 <= asked[2] <= 2.0


async def test_dropped_connections_are_tried_again() -> None:
    async with world() as it:
        it.proxy.rule(WHOAMI, no_answer(), times=1)
        it.proxy.rule(WHOAMI, cut(3), times=1)
        assert (await it.client.hub.whoami()).name == it.endpoint.user


async def test_nobody_listens() -> None:
    transport = Transport(
        "http://127.0.0.1:9", Credential("http://127.0.0.1:9"), limits=Limits(), retry=FAST, timeouts=Timeouts()
    )
    with pytest.raises(ConnectionFailedError, match=r"cannot connect to 127\.0\.0\.1:9") as caught:
        await get(transport)
    assert is_refused(caught.value)
    await transport.aclose()
    await check_clean()


async def test_creating_is_not_repeated_after_a_lost_answer() -> None:
    async with world() as it:
        repo = RepoId("models", it.endpoint.user, f"{it.repo.name}-twice")
        it.proxy.rule("POST /api/repos/create", forward_then(500), times=1)
        with pytest.raises(ServerError):
            await it.client.hub.create_repo(repo, private=False)
        assert it.proxy.count("POST /api/repos/create") == 1
        with pytest.raises(AlreadyExistsError):
            await it.client.hub.create_repo(repo, private=False)


async def test_creating_is_repeated_where_it_was_refused() -> None:
    async with world() as it:
        repo = RepoId("models", it.endpoint.user, f"{it.repo.name}-refused")
        it.proxy.rule("POST /api/repos/create", answer(503, Retry_After="0"), times=1)
        await it.client.hub.create_repo(repo, private=False)
        assert it.proxy.count("POST /api/repos/create") == 2


# -- errors ------------------------------------------------------------------------------------------------------------


async def test_the_error_code_outranks_the_status() -> None:
    async with world() as it:
        it.proxy.rule(WHOAMI, answer(401, X_Error_Code="RepoNotFound"), times=1)
        it.proxy.rule(WHOAMI, answer(403, X_Error_Code="EntryNotFound"), times=1)
        for kind in (RepositoryNotFoundError, EntryNotFoundError):
            with pytest.raises(kind):
                await it.client.hub.whoami()


@pytest.mark.parametrize("status", [401, 403, 429, 500, 503])
async def test_an_error_is_never_absence(status: int) -> None:
    async with world() as it:
        it.proxy.rule("GET /api/models", answer(status))
        with pytest.raises(RemoteError) as caught:
            await it.client.hub.repo_info(it.repo)
        assert not isinstance(caught.value, FileNotFoundError)


@pytest.mark.parametrize(
    ("body", "detail"),
    [(b'{"error": "one"}', "one"), (b'{"errors": [{"message": "one"}, {"message": "two"}]}', "one; two"),
     (b"[1]", "answered 400"), (b"<html>", "answered 400"), (b"", "answered 400"), (b'{"error": 3}', "answered 400")],
)  # fmt: skip
async def test_explanations_of_errors(body: bytes, detail: str) -> None:
    async with world() as it:
        it.proxy.rule(WHOAMI, answer(400, body))
        with pytest.raises(RemoteError, match=detail):
            await it.client.hub.whoami()


async def test_an_error_whose_body_stalls_or_breaks_off_still_is_that_error() -> None:
    async with world(timeouts=Timeouts(progress=0.05)) as it:
        it.proxy.rule("GET /api/models", cut(3, stall=True), times=1)
        it.proxy.rule("GET /api/models", cut(3), times=1)
        for _ in range(2):
            with pytest.raises(RepositoryNotFoundError):
                await it.client.hub.repo_info(RepoId("models", "nobody", "nothing"))


async def test_messages_and_reprs_show_no_token_and_no_signature() -> None:
    async with world() as it:
        token = it.endpoint.token
        it.proxy.rule("GET /secret", no_answer())
        with pytest.raises(ConnectionFailedError) as caught:
            await get(it.client.transport, f"{it.proxy.url}/secret?signature=abcdef")
        texts = [str(caught.value), repr(caught.value), repr(it.client.transport), repr(it.client.credential)]
        assert not any("abcdef" in text or token in text for text in texts)


async def test_a_broken_document_is_a_format_error() -> None:
    async with world() as it:
        it.proxy.rule(WHOAMI, changed(lambda body: body[:-3]))
        with pytest.raises(FormatError):
            await it.client.hub.whoami()


# -- time-outs ---------------------------------------------------------------------------------------------------------


async def test_no_answer_in_time() -> None:
    async with world(
        timeouts=Timeouts(connect=0.5, response=0.05), retry=RetryPolicy(attempts=2, base_delay=0, max_delay=0)
    ) as it:
        it.proxy.rule(WHOAMI, silent())
        with pytest.raises(RequestTimeoutError) as caught:
            await it.client.hub.whoami()
        assert it.proxy.count(WHOAMI) == 2
        assert not is_refused(caught.value)


async def test_a_slow_answer_may_take_longer_than_progress() -> None:
    async with world(timeouts=Timeouts(progress=0.01)) as it:
        it.proxy.rule(WHOAMI, gated(), times=1)
        asking = asyncio.create_task(it.client.hub.whoami())
        await it.proxy.arrival()
        it.proxy.open_gate()
        await asking


async def test_a_body_that_stops_arriving() -> None:
    async with world(timeouts=Timeouts(progress=0.2)) as it:
        it.proxy.rule(WHOAMI, cut(3, stall=True), times=1)
        await it.client.hub.whoami()
        assert it.proxy.count(WHOAMI) > 1


async def test_a_body_that_nobody_takes() -> None:
    async with world(timeouts=Timeouts(progress=0.05), retry=RetryPolicy(attempts=1)) as it:
        it.proxy.rule("POST /sink", silent())
        with pytest.raises(RequestTimeoutError):
            await it.client.transport.request("POST", "/sink", what="sending", body=Body((bytes(64 * MIB),)))


# -- bodies that are sent ----------------------------------------------------------------------------------------------


async def test_an_answer_before_the_body_was_sent() -> None:
    async with world() as it:
        it.proxy.rule("POST /sink", answer_early(413, X_Error_Message="too much"))
        for _ in range(3):
            with pytest.raises((RemoteError, ConnectionFailedError)) as caught:
                await it.client.transport.request("POST", "/sink", what="sending", body=Body((bytes(32 * MIB),)))
            # The connection may break before the answer is read; it never is anything else.
            assert getattr(caught.value, "status", 413) == 413
        await it.client.hub.whoami()


async def test_a_body_is_sent_again_whole() -> None:
    received: list[bytes] = []

    async def keep(proxy: FaultProxy, request: object) -> object:
        received.append(await request.read())  # type: ignore[attr-defined]
        return await answer(503 if len(received) == 1 else 200)(proxy, request)  # type: ignore[arg-type]

    async with world() as it:
        it.proxy.rule("POST /sink", keep)  # type: ignore[arg-type]
        slices = [os.urandom(size) for size in (10, 3 * MIB + 1, 8, 70_000, 8, 600_000, 2 * MIB)]
        await it.client.transport.request("POST", "/sink", what="sending", body=Body(slices))
    assert received == [b"".join(slices)] * 2


@pytest.mark.parametrize("body", [None, Body(()), Body((b"{}",))], ids=["no body", "an empty one", "a body"])
@pytest.mark.parametrize("method", ["PUT", "DELETE", "POST"])
async def test_a_kept_connection_that_ends_is_one_attempt(method: str, body: Body | None) -> None:
    """The library would send some requests once more by itself: also what was done already, and may not be done twice."""
    async with world() as it:
        await get(it.client.transport)
        it.proxy.rule(f"{method} /once", no_answer())
        with pytest.raises(ConnectionFailedError):
            await it.client.transport.request(method, "/once", what="asking", body=body, retry=never)
        assert it.proxy.count(f"{method} /once") == 1
