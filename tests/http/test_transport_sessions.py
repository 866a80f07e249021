"""HTTP: sessions of loops, threads and forks, requests at once, and what the environment says of connections."""

from __future__ import annotations

import asyncio
import gc
import os
import ssl
import subprocess
import sys
from pathlib import Path

import pytest
from aiohttp import web
from support.faults import FAST, WHOAMI, FaultProxy, answer, check_clean, get, shared_endpoint, silent, world

from pyxet._async.http import sessions
from pyxet._async.http.concurrency import START
from pyxet._async.http.transport import Transport
from pyxet.config import Credential, Limits, Timeouts
from pyxet.secrets import Secret

# -- sessions ----------------------------------------------------------------------------------------------------------


async def test_one_request_at_a_time_with_a_limit_of_one() -> None:
    active = highest = 0

    async def slow(proxy: FaultProxy, request: web.Request) -> web.StreamResponse:
        nonlocal active, highest
        active += 1
        highest = max(highest, active)
        # Others, if they may, are here by then.
        await asyncio.sleep(0.01)
        active -= 1
        return await proxy.forward(request)

    async with world(limits=Limits(concurrency=1)) as it:
        it.proxy.rule(WHOAMI, slow)
        await asyncio.gather(*(it.client.hub.whoami() for _ in range(3)))
    assert highest == 1


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
    credential = Credential(endpoint.url, endpoint.user, Secret(endpoint.token))
    transport = Transport(endpoint.url, credential, limits=Limits(), retry=FAST, timeouts=Timeouts())
    # No "unclosed session" at the collection: warnings are errors.
    for _ in range(2):
        assert asyncio.run(get(transport)) == 200
        gc.collect()
    assert not list(transport.sessions.by_loop)


# A program with a transport, a loop, and what asks a question.
PROGRAM = """
import asyncio, os, sys, threading
from pyxet._async.http.transport import Transport
from pyxet.config import Credential, Limits, RetryPolicy, Timeouts
from pyxet.secrets import Secret
url, token = sys.argv[1:]
transport = Transport(url, Credential(url, "test", Secret(token)), limits=Limits(), retry=RetryPolicy(), timeouts=Timeouts())
loop = asyncio.new_event_loop()
ask = lambda: transport.request("GET", "/api/whoami-v2", what="asking")
"""


def run_program(rest: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run `PROGRAM` and the rest of it, with options of the interpreter."""
    endpoint = shared_endpoint()
    return subprocess.run(
        [sys.executable, *options, "-c", PROGRAM + rest, endpoint.url, endpoint.token],
        timeout=60, check=False, capture_output=True, text=True,
    )  # fmt: skip


@pytest.mark.needs("fork")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_opens_connections_of_its_own() -> None:
    done = run_program(
        """
loop.run_until_complete(ask())
child = os.fork()
if child == 0:
    os._exit(0 if asyncio.run(ask()).status == 200 else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert loop.run_until_complete(ask()).status == 200
loop.run_until_complete(loop.shutdown_asyncgens())
loop.close()
""",
        "-W",
        "error",
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_sessions_of_a_loop_in_another_thread_are_closed_at_exit() -> None:
    done = run_program(
        """
threading.Thread(target=loop.run_forever, daemon=True).start()
assert asyncio.run_coroutine_threadsafe(ask(), loop).result().status == 200
""",
        "-X",
        "dev",
    )
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
    assert sessions._tls(str(bundle), str(tmp_path)).cert_store_stats()["x509_ca"] == 0
    found = [
        path
        for path in (ssl.get_default_verify_paths().openssl_cafile, "/etc/ssl/certs/ca-certificates.crt")
        if os.path.exists(path)
    ]
    if found:
        other = tmp_path / "other.pem"
        other.write_bytes(Path(found[0]).read_bytes())
        monkeypatch.setenv("SSL_CERT_FILE", str(other))
        assert sessions._tls(str(other), str(tmp_path)).cert_store_stats()["x509_ca"] > 0


async def test_answers_are_asked_for_without_encoding() -> None:
    async with world() as it:
        await it.client.hub.whoami()
        headers = it.proxy.seen[0].headers
        assert headers["Accept-Encoding"] == "identity"
        assert headers["User-Agent"].startswith("pyxet/")
