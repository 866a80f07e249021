"""The example service on FastAPI, behind a real server: ranges, 304, streams, uploads, clients that go away."""

from __future__ import annotations

import http.client
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import uvicorn
from fastapi import HTTPException
from support.contents import content
from support.faults import FaultProxy, answer
from support.pages import DOCS, ROOT, blocks
from support.proxied import FAST, asynchronous
from support.tools import COMMIT, LOOK

import pyxet
from pyxet._async.runtime.budget import READ_MEMORY, REQUESTS, WRITE_MEMORY
from pyxet.testing import LocalEndpoint

sys.path.append(str(ROOT / "examples"))
import fastapi_service

BUDGETS = (READ_MEMORY, WRITE_MEMORY, REQUESTS)
DATA = content(31, 20_000_000)


class Service:
    def __init__(self, port: int, proxy: FaultProxy) -> None:
        self.port, self.proxy = port, proxy

    def ask(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(
                method, f"/files/{path}", body, {name.replace("_", "-"): value for name, value in headers.items()}
            )
            answered = connection.getresponse()
            return answered.status, answered.headers, answered.read()
        finally:
            connection.close()


@contextmanager
def serving(branch: str, fs: pyxet.AsyncXetFileSystem) -> Iterator[int]:
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(fastapi_service.make_app(branch, fs), log_level="warning", ws="none"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        yield listening.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()
        listening.close()


@pytest.fixture
def service(shared_endpoint: LocalEndpoint, xet: pyxet.XetFS, main: str) -> Iterator[Service]:
    xet.pipe({f"{main}/film.bin": DATA, f"{main}/empty": b"", f"{main}/folder/note.txt": b"note\n"})
    with FaultProxy(shared_endpoint.url) as proxy:
        fs = asynchronous(shared_endpoint, proxy, retry=FAST, listings_expiry_time=0)
        with serving(main, fs) as port:
            yield Service(port, proxy)


def settle() -> None:
    """Wait until no content is in flight."""
    deadline = time.monotonic() + 30
    while sum(part.in_use for part in BUDGETS) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert [part.in_use for part in BUDGETS] == [0, 0, 0]


def test_files_are_sent_whole_and_in_ranges(service: Service) -> None:
    status, headers, body = service.ask("GET", "film.bin")
    assert (status, body) == (200, DATA)
    tag = headers["ETag"]
    status, headers, body = service.ask("GET", "film.bin", Range="bytes=1000000-1000099")
    assert (status, body) == (206, DATA[1_000_000:1_000_100])
    assert headers["Content-Range"] == f"bytes 1000000-1000099/{len(DATA)}"
    assert service.ask("GET", "film.bin", Range="bytes=-7")[2] == DATA[-7:]
    assert service.ask("GET", "film.bin", Range="bytes=19999990-")[2] == DATA[-10:]
    assert service.ask("GET", "film.bin", Range="bytes=0-1", If_Range='"another"')[0] == 200
    assert service.ask("GET", "film.bin", Range="bytes=0-1", If_Range=tag)[0] == 206
    assert service.ask("GET", "film.bin", Range="lines=0-1")[0] == 200
    status, headers, _ = service.ask("GET", "film.bin", Range="bytes=20000000-")
    assert (status, headers["Content-Range"]) == (416, f"bytes */{len(DATA)}")
    status, headers, body = service.ask("HEAD", "film.bin")
    assert (status, headers["Content-Length"], body) == (200, str(len(DATA)), b"")
    assert service.ask("HEAD", "film.bin", Range="bytes=0-1")[0] == 200, "ranges are for GET"
    assert service.ask("GET", "film.bin", Range="bytes=99999999-", If_Range='"another"')[0] == 200
    assert service.ask("GET", "film.bin", Range=f"bytes={'9' * 5000}-")[0] == 200
    assert service.ask("GET", "empty")[::2] == (200, b"")
    assert service.ask("GET", "empty", Range="bytes=0-")[::2] == (200, b"")


def on_the_page() -> Any:
    """The app of the page on services, and the functions that it is made of."""
    [code] = [block.code for block in blocks(DOCS / "howto" / "services.md") if "def asked_range" in block.code]
    names = {"pyxet": pyxet}
    exec(code, names)
    return SimpleNamespace(**names)


@pytest.mark.parametrize("module", [fastapi_service, on_the_page()], ids=["the example", "the page"])
def test_ranges_and_versions_are_understood_as_http_defines_them(module: Any) -> None:
    asked = {
        "bytes=0-0": (0, 1), "bytes=5-": (5, 100), "bytes=-5": (95, 100), "bytes=-500": (0, 100), "bytes=99-200": (99, 100),
        "Bytes=1-2": (1, 3), "bytes=5-2": None, "bytes=-": None, "bytes=": None, "": None, "lines=0-1": None,
        "bytes=0-1,5-6": None, "bytes=\xb2-": None, "bytes=+1-2": None, f"bytes={'9' * 5000}-": None, f"bytes=-{'9' * 5000}": None,
    }  # fmt: skip
    assert {header: module.asked_range(header, 100) for header in asked} == asked
    for header in ("bytes=100-", "bytes=-0", "bytes=500-600"):
        with pytest.raises(HTTPException) as raised:
            module.asked_range(header, 100)
        assert (raised.value.status_code, raised.value.headers) == (416, {"Content-Range": "bytes */100"})
    known = ['"a"', '"b","a"', '"b", "a"', 'W/"a"', "*"]
    assert [module.is_known(header, '"a"') for header in [*known, "", '"b"', "a"]] == [True] * 5 + [False] * 3


def test_a_version_that_is_known_is_not_sent(service: Service, xet: pyxet.XetFS, main: str) -> None:
    _, headers, _ = service.ask("GET", "folder/note.txt")
    assert service.ask("GET", "folder/note.txt", If_None_Match=headers["ETag"])[::2] == (304, b"")
    xet.pipe_file(f"{main}/folder/other.txt", b"beside it")
    assert service.ask("GET", "folder/note.txt", If_None_Match=headers["ETag"])[0] == 304
    xet.pipe_file(f"{main}/folder/note.txt", b"changed\n")
    assert service.ask("GET", "folder/note.txt", If_None_Match=headers["ETag"])[::2] == (200, b"changed\n")


def test_what_is_not_there_and_what_fails(service: Service) -> None:
    for path in ("none.bin", "folder", "", "a//b", "..%2F..%2Fetc"):
        assert service.ask("GET", path)[0] == 404, path
    service.proxy.rule(LOOK, answer(429, Retry_After="500"))
    status, headers, _ = service.ask("GET", "none.bin")
    assert (status, headers["Retry-After"]) == (503, "500")


def test_a_name_that_no_file_can_have_is_the_clients_mistake(service: Service, fresh: pyxet.XetFS, main: str) -> None:
    before = len(fresh.log(main))
    for path in ("", "folder", "folder/", "a//b", "a%00b", ".git/config", "folder/note.txt/x", "x" * 2000):
        assert service.ask("PUT", path, b"content")[0] == 400, path
    assert len(fresh.log(main)) == before


def test_a_client_that_goes_away_stops_the_reading(service: Service) -> None:
    with socket.create_connection(("127.0.0.1", service.port)) as client:
        client.sendall(b"GET /files/film.bin HTTP/1.1\r\nHost: here\r\n\r\n")
        assert client.recv(100)
    settle()
    # What was begun for it keeps nobody waiting.
    assert service.ask("GET", "film.bin")[2] == DATA
    settle()


def test_an_upload_is_one_commit_and_half_of_one_is_none(service: Service, fresh: pyxet.XetFS, main: str) -> None:
    before = len(fresh.log(main))
    status, _, _ = service.ask("PUT", "up/new.bin", DATA[:3_000_000])
    assert status == 201
    assert fresh.cat_file(f"{main}/up/new.bin") == DATA[:3_000_000]
    asked = service.proxy.count(COMMIT)
    with socket.create_connection(("127.0.0.1", service.port)) as client:
        client.sendall(
            b"PUT /files/up/half.bin HTTP/1.1\r\nHost: here\r\nContent-Length: 3000000\r\n\r\n" + DATA[:1_000_000]
        )
    settle()
    assert service.ask("PUT", "up/after.bin", b"whole")[0] == 201
    assert service.proxy.count(COMMIT) == asked + 1
    assert fresh.find(f"{main}/up") == [f"{main}/up/after.bin", f"{main}/up/new.bin"]
    assert len(fresh.log(main)) == before + 2


def test_servers_find_the_app_by_its_name(tmp_path: Path) -> None:
    code = "import fastapi_service; print(type(fastapi_service.app).__name__)"
    environment = {
        "PYTHONPATH": str(ROOT / "examples"),
        "XET_BRANCH": "acme/films/main",
        "XET_ENDPOINT": "local",
        "HOME": str(tmp_path),
    }
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout == "FastAPI\n"
