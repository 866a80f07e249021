"""HTTP: retries, time-outs, redirects, sessions. The faults happen on real connections."""

from __future__ import annotations

import asyncio
import gc
import os
import ssl
import subprocess
import sys
import time
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from _faults import (
    FAST,
    MIB,
    FaultProxy,
    answer,
    answer_early,
    changed,
    check_clean,
    cut,
    forward_then,
    gated,
    no_answer,
    shared_endpoint,
    silent,
    world,
)
from aiohttp import web

from pyxet._async import transport as transport_module
from pyxet._async.exchange import Body
from pyxet._async.pacing import START
from pyxet._async.transport import Transport, is_refused
from pyxet.config import Credential, Limits, RetryPolicy, Timeouts
from pyxet.errors import (
    AccessDeniedError,
    AlreadyExistsError,
    AuthenticationError,
    ConflictError,
    ConnectionFailedError,
    EntryNotFoundError,
    FormatError,
    IntegrityError,
    NotFoundError,
    RateLimitedError,
    RemoteError,
    RepositoryNotFoundError,
    RequestTimeoutError,
    ServerError,
)
from pyxet.urls import RepoId

WHOAMI = "GET /api/whoami-v2"


async def get(transport: Transport, path: str = "/api/whoami-v2", **options: object) -> int:
    return (await transport.request("GET", path, what="asking", **options)).status  # type: ignore[arg-type]


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


# -- redirects ---------------------------------------------------------------------------------------------------------


async def test_redirects_to_another_origin_carry_no_token() -> None:
    async with world() as it:
        with FaultProxy(shared_endpoint().url) as other:
            it.proxy.rule("GET /first", answer(302, Location="/second?x=1"))
            it.proxy.rule("GET /second", answer(307, Location=f"{other.url}/third"))
            other.rule("GET /third", answer(302, Location=f"{it.proxy.url}/fourth"))
            it.proxy.rule("GET /fourth", answer(200))
            assert await get(it.client.transport, "/first", redirect=True) == 200
            sent = [*it.proxy.seen[:2], *other.seen, it.proxy.seen[2]]
            assert ["Authorization" in item.headers for item in sent] == [True, True, False, False]


async def test_redirects_that_are_not_meant_are_errors() -> None:
    async with world() as it:
        it.proxy.rule(WHOAMI, answer(302, Location="/elsewhere"))
        with pytest.raises(RemoteError, match="302"):
            await it.client.hub.whoami()
        it.proxy.rule("GET /round", answer(302, Location="/round"))
        with pytest.raises(ConnectionFailedError, match="redirects"):
            await get(it.client.transport, "/round", redirect=True)


async def test_a_request_that_changes_something_is_redirected_as_it_is_or_not_at_all() -> None:
    bodies: list[bytes] = []

    async def note(proxy: FaultProxy, request: web.Request) -> web.Response:
        bodies.append(await request.read())
        return web.Response()

    async def post(it: Any, path: str) -> int:
        body = Body((b"what ", b"is sent"))
        return int((await it.client.transport.request("POST", path, what="sending", body=body, redirect=True)).status)

    async with world() as it:
        with FaultProxy(shared_endpoint().url) as other:
            it.proxy.rule("POST /there", note)
            other.rule("POST /there", note)
            for status in (307, 308):
                it.proxy.rule(f"POST /{status}", answer(status, Location="/there"))
                assert await post(it, f"/{status}") == 200
            assert bodies == [b"what is sent"] * 2
            # A browser would go on with GET, and nothing would have been changed.
            for status in (301, 302, 303):
                it.proxy.rule(f"POST /{status}", answer(status, Location="/there"))
                with pytest.raises(RemoteError, match=str(status)):
                    await post(it, f"/{status}")
            it.proxy.rule("POST /away", answer(307, Location=f"{other.url}/there"))
            with pytest.raises(RemoteError, match="307"):
                await post(it, "/away")
            assert len(bodies) == 2
            assert other.seen == []


# -- ranges ------------------------------------------------------------------------------------------------------------

CONTENT = bytes(range(256)) * 40


async def ranged(it: object, start: int, end: int, total: int | None = None) -> bytes:
    pieces = it.client.transport.ranged("/data", start, end, what="reading", total=total)  # type: ignore[attr-defined]
    return b"".join([piece async for piece in pieces])


def part(start: int, end: int, total: int | None = None) -> dict[str, str]:
    return {"Content_Range": f"bytes {start}-{end - 1}/{total or len(CONTENT)}"}


async def test_a_range() -> None:
    async with world() as it:
        it.proxy.rule("GET /data", answer(206, CONTENT[10:20], **part(10, 20)))
        assert await ranged(it, 10, 20) == CONTENT[10:20]
        assert it.proxy.seen[0].headers["Range"] == "bytes=10-19"


async def test_a_range_is_continued_where_it_broke_off() -> None:
    async with world() as it:
        it.proxy.rule("GET /data", answer(206, CONTENT[10:15], **part(10, 20)), times=1)
        it.proxy.rule("GET /data", answer(503, Retry_After="0"), times=1)
        it.proxy.rule("GET /data", answer(206, CONTENT[15:20], **part(15, 20)))
        assert await ranged(it, 10, 20) == CONTENT[10:20]
        assert [item.headers["Range"] for item in it.proxy.seen] == ["bytes=10-19", "bytes=15-19", "bytes=15-19"]


async def test_a_range_that_never_comes_to_its_end() -> None:
    async with world() as it:
        it.proxy.rule("GET /data", answer(206, b"", **part(10, 20)))
        with pytest.raises(ConnectionFailedError, match="10 bytes early"):
            await ranged(it, 10, 20)
        assert it.proxy.count("GET /data") == FAST.attempts


async def test_more_than_was_asked_for_is_not_taken() -> None:
    async with world() as it:
        it.proxy.rule("GET /data", answer(206, CONTENT[10:30], **part(10, 30)))
        assert await ranged(it, 10, 20) == CONTENT[10:20]


async def test_an_endpoint_without_ranges_sends_everything() -> None:
    async with world() as it:
        it.proxy.rule("GET /data", answer(200, CONTENT))
        assert await ranged(it, 10, 20) == CONTENT[10:20]
        assert await ranged(it, 0, len(CONTENT)) == CONTENT


async def test_a_range_as_a_plain_200() -> None:
    async with world() as it:
        it.proxy.rule("GET /data", answer(200, CONTENT[10:20]))
        assert await ranged(it, 10, 20) == CONTENT[10:20]


async def test_another_range_than_asked_for() -> None:
    async with world() as it:
        it.proxy.rule("GET /data", answer(206, CONTENT[11:21], **part(11, 21)))
        with pytest.raises(FormatError, match="11 came, 10 was asked for"):
            await ranged(it, 10, 20)


@pytest.mark.parametrize("status", [200, 206])
async def test_a_resource_of_another_size(status: int) -> None:
    async with world() as it:
        it.proxy.rule("GET /data", answer(status, CONTENT, **(part(10, 20) if status == 206 else {})))
        with pytest.raises(IntegrityError, match="99 were expected"):
            await ranged(it, 10, 20, total=99)


async def test_an_encoded_body_is_refused() -> None:
    async with world() as it:
        it.proxy.rule("GET /data", answer(206, CONTENT[10:20], Content_Encoding="gzip", **part(10, 20)))
        with pytest.raises(FormatError, match="encoded"):
            await ranged(it, 10, 20)


# -- sessions ----------------------------------------------------------------------------------------------------------


async def test_one_request_at_a_time_with_a_limit_of_one() -> None:
    async with world(limits=Limits(concurrency=1)) as it:
        it.proxy.rule(WHOAMI, gated())
        asking = [asyncio.create_task(it.client.hub.whoami()) for _ in range(3)]
        await it.proxy.arrival()
        await asyncio.sleep(0)
        assert it.proxy.count(WHOAMI) == 1
        it.proxy.open_gate()
        await asyncio.gather(*asking)


async def test_cancelled_requests_leave_nothing() -> None:
    async with world() as it:
        it.proxy.rule(WHOAMI, silent())
        asking = [asyncio.create_task(it.client.hub.whoami()) for _ in range(40)]
        for _ in range(START):
            await it.proxy.arrival()
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
        assert all(task.cancelled() for task in asking)
        await check_clean()


def test_a_session_for_each_loop_that_ends_with_it() -> None:
    endpoint = shared_endpoint()
    credential = Credential(endpoint.url, endpoint.user, endpoint.token)
    transport = Transport(endpoint.url, credential, limits=Limits(), retry=FAST, timeouts=Timeouts())
    # No "unclosed session" at the collection: warnings are errors.
    for _ in range(2):
        assert asyncio.run(get(transport)) == 200
        gc.collect()
    assert not list(transport._sessions)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_opens_connections_of_its_own() -> None:
    endpoint = shared_endpoint()
    script = (
        "import asyncio, os, sys, warnings\n"
        "from pyxet._async.transport import Transport\n"
        "from pyxet.config import Credential, Limits, RetryPolicy, Timeouts\n"
        "url, token = sys.argv[1:]\n"
        "transport = Transport(url, Credential(url, 'test', token), limits=Limits(), retry=RetryPolicy(), timeouts=Timeouts())\n"
        "loop = asyncio.new_event_loop()\n"
        "ask = lambda: transport.request('GET', '/api/whoami-v2', what='asking')\n"
        "loop.run_until_complete(ask())\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    os._exit(0 if asyncio.run(ask()).status == 200 else 1)\n"
        "assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0\n"
        "assert loop.run_until_complete(ask()).status == 200\n"
        "loop.run_until_complete(loop.shutdown_asyncgens())\n"
        "loop.close()\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script, endpoint.url, endpoint.token],
        timeout=60, check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def test_sessions_of_a_loop_in_another_thread_are_closed_at_exit() -> None:
    endpoint = shared_endpoint()
    script = (
        "import asyncio, sys, threading\n"
        "from pyxet._async.transport import Transport\n"
        "from pyxet.config import Credential, Limits, RetryPolicy, Timeouts\n"
        "url, token = sys.argv[1:]\n"
        "transport = Transport(url, Credential(url, 'test', token), limits=Limits(), retry=RetryPolicy(), timeouts=Timeouts())\n"
        "loop = asyncio.new_event_loop()\n"
        "threading.Thread(target=loop.run_forever, daemon=True).start()\n"
        "asked = asyncio.run_coroutine_threadsafe(transport.request('GET', '/api/whoami-v2', what='asking'), loop)\n"
        "assert asked.result().status == 200\n"
    )
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-c", script, endpoint.url, endpoint.token],
        timeout=60, check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0
    assert "Unclosed" not in done.stderr, done.stderr


# -- the environment ---------------------------------------------------------------------------------------------------


async def test_proxy_variables_are_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    async with world() as it:
        # What a proxy gets is the whole URL, which this one answers itself.
        it.proxy.rule("GET .*/far", answer(200))
        host = it.proxy.url.removeprefix("http://")
        monkeypatch.setenv("http_proxy", f"http://user:word@{host}")
        assert await get(it.client.transport, "http://far.example/far", bearer="") == 200
        assert it.proxy.seen[0].headers["Host"] == "far.example"
        assert it.proxy.seen[0].headers["Proxy-Authorization"].startswith("Basic ")
        assert "Authorization" not in it.proxy.seen[0].headers


async def test_no_proxy_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    async with world() as it:
        await it.client.hub.whoami()


async def test_passwords_of_netrc_are_not_sent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    async with world() as it:
        await it.client.hub.whoami()
        it.proxy.rule("GET /open", answer(200))
        await get(it.client.transport, "/open", bearer="")
        assert it.proxy.seen[0].headers["Authorization"] == f"Bearer {it.endpoint.token}"
        assert "Authorization" not in it.proxy.seen[1].headers


async def test_ssl_cert_file_is_read_when_a_session_is_made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle.pem"
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    bundle.write_text("")
    assert transport_module._tls(str(bundle), str(tmp_path)).cert_store_stats()["x509_ca"] == 0
    found = [
        path
        for path in (ssl.get_default_verify_paths().openssl_cafile, "/etc/ssl/certs/ca-certificates.crt")
        if os.path.exists(path)
    ]
    if found:
        other = tmp_path / "other.pem"
        other.write_bytes(Path(found[0]).read_bytes())
        monkeypatch.setenv("SSL_CERT_FILE", str(other))
        assert transport_module._tls(str(other), str(tmp_path)).cert_store_stats()["x509_ca"] > 0


async def test_answers_are_asked_for_without_encoding() -> None:
    async with world() as it:
        await it.client.hub.whoami()
        headers = it.proxy.seen[0].headers
        assert headers["Accept-Encoding"] == "identity"
        assert headers["User-Agent"].startswith("pyxet/")


async def test_a_broken_document_is_a_format_error() -> None:
    async with world() as it:
        it.proxy.rule(WHOAMI, changed(lambda body: body[:-3]))
        with pytest.raises(FormatError):
            await it.client.hub.whoami()
