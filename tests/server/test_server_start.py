"""Ways to run the local endpoint: in a block, embedded for ``local`` and ``file:///dir``, and as ``xet serve``."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from support.raw_client import RawClient, Served

from pyxet.errors import ConfigError
from pyxet.server.running import stop
from pyxet.testing import LocalEndpoint, local_endpoint


def endpoint_threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name.startswith("xet-endpoint")}


# -- in a block --------------------------------------------------------------------------------------------------------


def test_a_block_starts_and_ends_it() -> None:
    # Other endpoints may be running in this process.
    before = endpoint_threads()
    with local_endpoint() as endpoint:
        assert (endpoint.user, endpoint.root.is_dir()) == ("test", True)
        assert endpoint.token not in repr(endpoint)
        client = RawClient(endpoint, endpoint.token)
        client.make_repo("acme/x")
        assert client.get("/api/whoami-v2").json["name"] == "test"
    assert endpoint_threads() <= before
    endpoint.close()
    with pytest.raises(RuntimeError, match="has ended"):
        endpoint.start()


@pytest.mark.parametrize("rounds", range(6))
async def test_a_connection_accepted_at_the_end_is_closed(rounds: int) -> None:
    runner = web.AppRunner(web.Application())
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    with socket.create_connection(runner.addresses[0][:2], timeout=10) as client:
        for _ in range(rounds):
            await asyncio.sleep(0)
        await stop(runner)
        # What nobody closed would now warn, which fails the test.
        gc.collect()
        with suppress(ConnectionResetError):
            assert await asyncio.to_thread(client.recv, 1) == b""


def test_a_given_directory_stays(tmp_path: Path) -> None:
    with local_endpoint(tmp_path / "new" / "root", user="acme", token="xet_mine") as endpoint:
        assert (endpoint.root, endpoint.user, endpoint.token) == (tmp_path / "new" / "root", "acme", "xet_mine")
        RawClient(endpoint, "xet_mine").make_repo("acme/x")
        root = endpoint.root
    assert (root / "repos" / "models" / "acme" / "x.git").is_dir()


async def test_an_async_block_does_not_stop_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start and end run beside the loop; requests are answered by another thread's."""
    loop_thread = threading.get_ident()
    called: list[int] = []
    for name in ("start", "close"):
        original = getattr(LocalEndpoint, name)

        def noted(self: LocalEndpoint, original: Callable[[LocalEndpoint], object] = original) -> object:
            called.append(threading.get_ident())
            return original(self)

        monkeypatch.setattr(LocalEndpoint, name, noted)
    async with local_endpoint() as endpoint:
        assert called
        assert loop_thread not in called
        async with aiohttp.ClientSession() as session, session.get(f"{endpoint.url}/api/agent-harnesses") as answer:
            assert answer.status == 200
        called.clear()
    assert called
    assert loop_thread not in called


def test_open_connections_do_not_hold_up_the_end() -> None:
    with local_endpoint() as endpoint:
        host, port = endpoint.url.removeprefix("http://").split(":")
        idle = socket.create_connection((host, int(port)), timeout=60)
        fresh = socket.create_connection((host, int(port)), timeout=60)
        idle.sendall(b"GET /api/agent-harnesses HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert idle.recv(12) == b"HTTP/1.1 200"
    with idle, fresh:
        for connection in (idle, fresh):
            with suppress(ConnectionResetError):
                while connection.recv(1000):
                    pass


# -- embedded ----------------------------------------------------------------------------------------------------------


def run(code: str, folder: Path, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, str(folder)],
        env={"PATH": os.environ["PATH"], "HOME": str(folder), "XDG_DATA_HOME": str(folder / "data"), **environment},
        capture_output=True, text=True, check=False, cwd=folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


@pytest.mark.needs("fork")
def test_embedded_endpoints(tmp_path: Path) -> None:
    code = """
import os, sys, threading, urllib.request
assert "pyxet.server" not in sys.modules
from pyxet.local import embedded
assert "pyxet.server" not in sys.modules and "pygit2" not in sys.modules
found = []
threads = [threading.Thread(target=lambda: found.append(embedded("local"))) for _ in range(5)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
assert len(set(map(id, found))) == 1
local, other = found[0], embedded(f"file://{sys.argv[1]}/some/dir")
assert other is embedded(f"file://{sys.argv[1]}/some/../some/dir/") and other is not local
assert local.token != other.token
def whoami(endpoint):
    request = urllib.request.Request(endpoint.url + "/api/whoami-v2", headers={"Authorization": f"Bearer {endpoint.token.reveal()}"})
    with urllib.request.urlopen(request) as answer:
        return answer.read().decode()
for endpoint in (local, other):
    assert endpoint.url.startswith("http://127.0.0.1:")
    print(whoami(endpoint))
child = os.fork()
if not child:
    # The child uses its parent's, and its end leaves them alone.
    os._exit('"name":"local"' not in whoami(embedded("local")))
assert os.waitpid(child, 0)[1] == 0
whoami(embedded("local"))
print(local.root)
"""
    lines = run(code, tmp_path).splitlines()
    assert '"name":"local"' in lines[0]
    assert '"name":"local"' in lines[1]
    assert lines[2] == str(tmp_path / "data" / "xet" / "local")
    assert (tmp_path / "some" / "dir" / "index.sqlite").exists()
    # The next process goes on with it, and says so where one serves it already.
    code = 'import sys; from pyxet.local import embedded; print(embedded("local").user)'
    assert run(code, tmp_path, XET_USER_NAME="acme") == "acme\n"
    with local_endpoint(tmp_path / "data" / "xet" / "local"):
        assert run(code, tmp_path) == "test\n"


def test_a_program_with_an_embedded_endpoint_ends_cleanly(tmp_path: Path) -> None:
    """Also where no thread can be started any more when it is closed."""
    code = """
import logging, sys
logging.getLogger("asyncio").setLevel(logging.ERROR)
import pyxet
fs = pyxet.XetFS(endpoint=f"file://{sys.argv[1]}/root")
fs.make_repo("local/x")
fs.pipe("local/x/main/a", bytes(range(256)) * 1000)
print(len(fs.cat("local/x/main/a")))
"""
    assert run(code, tmp_path, PYTHONDEVMODE="1") == "256000\n"


def test_the_token_of_an_embedded_endpoint_belongs_to_its_process(tmp_path: Path) -> None:
    code = 'import sys; from pyxet.local import embedded; print(embedded(f"file://{sys.argv[1]}").token.reveal())'
    assert run(code, tmp_path) != run(code, tmp_path)


def test_without_pygit2_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    code = """
import sys
sys.modules["pygit2"] = None
from pyxet.errors import ConfigError
from pyxet.testing import local_endpoint
try:
    local_endpoint()
except ConfigError as error:
    print(error)
"""
    assert run(code, tmp_path) == 'the local endpoint needs pygit2: pip install "pyxet[local]"\n'


# -- xet serve ---------------------------------------------------------------------------------------------------------


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-W", "error", "-m", "pyxet", "serve", *map(str, arguments)]


@contextmanager
def serving(*arguments: str | Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """``xet serve`` and what it says when it is ready."""
    process = subprocess.Popen(command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process, process.stdout.readline()
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_xet_serve(tmp_path: Path, number: signal.Signals) -> None:
    with serving("--root", tmp_path / "root", "--port", "0", "--user", "acme", "--token", "xet_given") as (
        process,
        line,
    ):
        match = re.fullmatch(
            rf"serving {tmp_path}/root at (http://127\.0\.0\.1:\d+) for user acme with token xet_given\n", line
        )
        assert match, line
        assert process.stdout is not None
        trial = process.stdout.readline()
        assert trial.startswith("try it: ")
        # As it stands, in a shell where the command is found.
        bin_first = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        tried = subprocess.run(
            trial.removeprefix("try it: "), shell=True, capture_output=True, text=True, check=False,
            env=os.environ | {"PATH": bin_first},
        )  # fmt: skip
        assert tried.returncode == 0, tried.stderr
        client = RawClient(Served(match[1]), "xet_given")
        assert client.get("/api/models/acme/hello").status == 200
        client.make_repo("acme/x")
        commit = client.write("acme/x", {"a.txt": "a"})
        process.send_signal(number)
        out, error = process.communicate()
        assert (process.returncode, out, error) == (0, "", "")
    with serving("--root", tmp_path / "root", "--port", "0", "--user", "acme") as (process, line):
        match = re.search(r"(http://\S+) for user acme with token (xet_[0-9a-f]{32})$", line)
        assert match, line
        assert RawClient(Served(match[1]), match[2]).get("/api/models/acme/x").json["sha"] == commit


def test_xet_serve_for_programs(tmp_path: Path) -> None:
    with serving("--root", tmp_path / "root", "--port", "0", "--json") as (_, line):
        told = json.loads(line)
        assert told["root"] == str(tmp_path / "root")
        assert (
            RawClient(Served(told["url"]), told["token"]).get("/api/whoami-v2").json["name"] == told["user"] == "local"
        )


def test_xet_serve_that_behaves_like_the_hub(tmp_path: Path) -> None:
    for arguments, left in ((("--like-hub",), 999), (("--hub", "api=7", "--hub", "commits=none"), 6)):
        with serving("--root", tmp_path / f"{left}", "--port", "0", "--json", *arguments) as (_, line):
            told = json.loads(line)
            answer = RawClient(Served(told["url"]), told["token"]).get("/api/whoami-v2")
            assert answer.headers["ratelimit"] == f'"api";r={left};t=300'


@pytest.mark.parametrize("arguments", [[], ["--root", "x", "--port", "99999"], ["--root", "x", "more"]])
def test_xet_serve_with_arguments_that_make_no_sense(arguments: list[str], tmp_path: Path) -> None:
    done = subprocess.run(command(*arguments), capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    first, second = done.stderr.splitlines()
    assert first.startswith("xet serve: ")
    assert second == "see xet serve --help"
    assert not list(tmp_path.iterdir())


def test_xet_serve_that_cannot_start_says_why_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with local_endpoint(tmp_path / "used"), socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = str(busy.getsockname()[1])
        for reason, *arguments in (
            (r"is not a directory", "--root", str(tmp_path / "file")),
            (r"cannot be used: Not a directory", "--root", str(tmp_path / "file" / "below")),
            (r"another endpoint serves", "--root", str(tmp_path / "used"), "--port", "0"),
            (rf"cannot listen on 127\.0\.0\.1:{port}: Address already in use", "--root", str(tmp_path / "a"), "--port", port),
            (r"cannot listen on no\.such\.host\.invalid", "--root", str(tmp_path / "b"), "--host", "no.such.host.invalid", "--insecure"),
            (r"'apis=3'.*names api", "--root", str(tmp_path / "d"), "--hub", "apis=3"),
            (r"cannot own repositories", "--root", str(tmp_path / "c"), "--user", "not a name"),
        ):  # fmt: skip
            done = subprocess.run(command(*arguments), capture_output=True, text=True, check=False)
            assert (done.returncode, done.stdout) == (1, ""), reason
            assert re.fullmatch(rf"xet serve: .*{reason}.*\n", done.stderr), done.stderr


def test_an_address_of_ipv6_is_written_in_brackets(tmp_path: Path) -> None:
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    endpoint = LocalEndpoint(tmp_path, host="::1")
    try:
        endpoint.start()
    except ConfigError:
        pytest.skip("no IPv6 loopback here")
    with endpoint:
        assert endpoint.url.startswith("http://[::1]:")
        assert RawClient(endpoint, endpoint.token).get("/api/whoami-v2").status == 200
