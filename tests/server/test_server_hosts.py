"""The names under which the local endpoint answers, and the absolute URLs in what it says."""

from __future__ import annotations

import base64
import json
import random
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from support.http import exchange
from support.raw_client import Content, RawClient, regular
from support.routes import routes

import pyxet
from pyxet.errors import ConfigError
from pyxet.testing import LocalEndpoint, local_endpoint

REPO = "acme/hosts"
DATA = random.Random(1).randbytes(200_000)
PUBLIC = "https://data.example.org/xet"


def fill(endpoint: LocalEndpoint) -> Content:
    client = RawClient(endpoint, endpoint.token)
    client.make_repo(REPO)
    client.make_repo("acme/second")
    content = client.upload(REPO, DATA)
    lines = [regular(f"many/{number:04}.txt", "x") for number in range(1001)]
    assert client.commit(REPO, content.line("big.bin"), *lines).status == 200
    for number in range(50):
        client.write(REPO, {"counter.txt": str(number)})
    return content


@pytest.fixture(scope="module")
def endpoint() -> Iterator[LocalEndpoint]:
    with local_endpoint() as running:
        fill(running)
        yield running


def status(endpoint: LocalEndpoint, method: str, path: str, *hosts: str, version: str = "1.1") -> int:
    fields = [
        *(("Host", host) for host in hosts),
        ("Authorization", f"Bearer {endpoint.token}"),
        ("Connection", "close"),
    ]
    return exchange(endpoint, method, path, fields, version=version)[0]


def test_no_route_answers_to_a_foreign_host(endpoint: LocalEndpoint) -> None:
    port = urlsplit(endpoint.url).port
    refused: set[tuple[str, str, int]] = set()
    for method, path in [
        *routes(endpoint, REPO, path="big.bin"),
        ("GET", "/nothing/here"),
        ("OPTIONS", "*"),
        ("PROPFIND", "/"),
    ]:
        for host in (f"rebound.example:{port}", "rebound.example"):
            fields = [("Host", host), ("Authorization", f"Bearer {endpoint.token}"), ("Connection", "close")]
            code, head, body = exchange(endpoint, method, path, fields)
            refused.add((method, path, code))
            if method != "HEAD":
                # git shows its users plain text.
                assert b"rebound.example" in body if "git" in path else "error" in json.loads(body), (method, path)
            assert "x-error-message" in head
    assert {code for _, _, code in refused} == {421}


def with_password(endpoint: LocalEndpoint, method: str, path: str, **fields: str) -> tuple[int, bytes]:
    """Status and body of a request with what a browser keeps for the endpoint."""
    kept = base64.b64encode(f"{endpoint.user}:{endpoint.token}".encode()).decode()
    more = [(name.replace("_", "-"), value) for name, value in fields.items()]
    host = urlsplit(endpoint.url).netloc
    all_fields = [("Host", host), ("Authorization", f"Basic {kept}"), ("Connection", "close"), *more]
    status, _, body = exchange(endpoint, method, path, all_fields)
    return status, body


def test_no_route_takes_a_browsers_password_for_a_page_of_others(endpoint: LocalEndpoint) -> None:
    refused = set()
    for method, path in routes(endpoint, REPO, path="big.bin"):
        for fields in (
            {"Origin": "https://evil.example"},
            {"Origin": "null"},
            {"Origin": "http://localhost:1"},
            {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "no-cors"},
            {"Sec_Fetch_Site": "same-site", "Sec_Fetch_Mode": "cors"},
        ):
            status, body = with_password(endpoint, method, path, **fields)
            refused.add(status)
            assert method == "HEAD" or b"another origin" in body, (method, path, fields)
    assert refused == {403}


def test_a_browsers_password_counts_for_its_own_pages_and_for_people(endpoint: LocalEndpoint) -> None:
    path = f"/{REPO}/resolve/main/counter.txt"
    for fields in (
        {},
        {"Origin": endpoint.url},
        {"Origin": endpoint.url, "Sec_Fetch_Site": "same-origin", "Sec_Fetch_Mode": "cors"},
        {"Sec_Fetch_Site": "none", "Sec_Fetch_Mode": "navigate"},
        {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate"},
    ):
        assert with_password(endpoint, "GET", path, **fields) == (200, b"49"), fields
    form = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate"}
    assert with_password(endpoint, "POST", "/api/repos/create", **form)[0] == 403


def test_what_counts_as_a_loopback_name(endpoint: LocalEndpoint) -> None:
    good = ["localhost", "LocalHost", "localhost.", "localhost:1", "127.0.0.1", "127.0.0.1:65535", "127.8.8.8", "[::1]",
            "[::1]:8787", "[0:0:0:0:0:0:0:1]"]  # fmt: skip
    foreign = ["localhost.example", "localhost.evil.example:80", "127.0.0.1.example", "127.0.0.1.nip.io", "0.0.0.0", "evil",
               "10.0.0.1", "192.168.1.1:8787", "[::2]", "[::ffff:10.0.0.1]", "example.localhost", "127.1", "2130706433",
               "0x7f000001", "0177.0.0.1", "1.0.0.127.in-addr.arpa"]  # fmt: skip
    invalid = ["", " ", "localhost:", "localhost:x", "localhost:99999", "localhost:0", "user@localhost", "localhost/evil",
               "localhost evil", "[::1", "::1", "http://localhost", "localhost,evil", "[]", "-", "localhost\\evil", "é"]  # fmt: skip
    for hosts, expected in ((good, 200), (foreign, 421), (invalid, 400)):
        for host in hosts:
            assert status(endpoint, "GET", "/api/whoami-v2", host) == expected, host


def test_one_host_a_request(endpoint: LocalEndpoint) -> None:
    """A second one, or that of an absolute URL, must not slip past the check."""
    assert status(endpoint, "GET", "/api/whoami-v2") == 400
    assert status(endpoint, "GET", "/api/whoami-v2", version="1.0") == 200
    for hosts in (("localhost", "evil.example"), ("evil.example", "localhost"), ("localhost", "localhost")):
        assert status(endpoint, "GET", "/api/whoami-v2", *hosts) in (400, 421)
    assert status(endpoint, "GET", "http://evil.example/api/whoami-v2", "localhost") == 421
    assert status(endpoint, "GET", "http://localhost:1/api/whoami-v2", "localhost") == 200
    assert status(endpoint, "GET", "http://evil.example", "localhost") == 421
    assert status(endpoint, "CONNECT", "evil.example:80", "localhost") >= 400
    assert status(endpoint, "GET", "//evil.example/api/whoami-v2", "localhost") == 404


URL = re.compile(rb"https?://[^\s\"<>]+")


def urls(endpoint: LocalEndpoint, content: Content, host: str) -> dict[str, list[str]]:
    """Absolute URLs in the answers of all routes that have some, by what was asked for."""
    client = RawClient(endpoint, endpoint.token)
    cas = client.cas(REPO, "read").token
    api = f"/api/models/{REPO}"
    body = json.dumps({"key": "header", "value": {"summary": "nothing"}})
    asked = [
        ("GET", f"{api}/xet-read-token/main", ""), ("GET", f"{api}/xet-write-token/main", ""),
        ("HEAD", f"/{REPO}/resolve/main/big.bin", ""), ("GET", f"/{REPO}/resolve/main/big.bin", ""),
        ("GET", "/api/models?limit=1", ""), ("GET", "/api/models?limit=1&sort=lastModified", ""),
        ("GET", f"{api}/tree/main?recursive=true", ""), ("GET", f"{api}/tree/main/many", ""), ("GET", f"{api}/commits/main", ""),
        ("POST", f"{api}/commit/main", body), ("POST", "/api/repos/create", '{"name":"hosts","organization":"acme"}'),
        ("POST", f"{api}/duplicate", '{"repository":"acme/second"}'),
        ("GET", f"/v1/reconstructions/{content.name}", ""), ("GET", f"/v2/reconstructions/{content.name}", ""),
        ("GET", f"/v1/reconstructions?file_id={content.name}", ""),
    ]  # fmt: skip
    found = {}
    for method, path, sent in asked:
        token = cas if path.startswith("/v") else client.token
        fields = [("Host", host), ("Authorization", f"Bearer {token}"), ("Connection", "close")]
        code, head, answer = exchange(endpoint, method, path, fields, sent.encode())
        assert code in (200, 409), (path, answer)
        text = "\n".join(f"{name}: {value}" for name, value in head.items() if name != "x-error-message").encode()
        here = [url.decode() for url in URL.findall(text + b"\n" + (answer if answer[:1] in (b"{", b"[") else b""))]
        assert here, path
        found[f"{method} {path}"] = here
    return found


def test_absolute_urls_name_the_host_that_was_asked(endpoint: LocalEndpoint) -> None:
    content = Content.of(DATA)
    port = urlsplit(endpoint.url).port
    for host in (f"127.0.0.1:{port}", f"localhost:{port}", "localhost:9999", f"[::1]:{port}"):
        for asked, found in urls(endpoint, content, host).items():
            assert {url.startswith(f"http://{host}/") or url == f"http://{host}" for url in found} == {True}, asked


def test_absolute_urls_begin_with_the_public_one() -> None:
    with local_endpoint(public_url=f"{PUBLIC}/") as endpoint:
        content = fill(endpoint)
        for host in (urlsplit(endpoint.url).netloc, "data.example.org", "DATA.example.org.:443"):
            for asked, found in urls(endpoint, content, host).items():
                assert {url.startswith(f"{PUBLIC}/") or url == PUBLIC for url in found} == {True}, asked
        assert status(endpoint, "GET", "/api/models", "example.org") == 421


def test_a_public_url_is_followed() -> None:
    """What a client is told by way of another name works there: pages, tokens and content."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with LocalEndpoint(port=port, public_url=f"http://localhost:{port}") as endpoint:
        fs = pyxet.XetFS(endpoint=f"http://127.0.0.1:{port}", user=endpoint.user, token=endpoint.token)
        fs.make_repo(REPO)
        fs.pipe({f"{REPO}/main/many/{number:04}.txt": b"x" for number in range(1001)} | {f"{REPO}/main/big.bin": DATA})
        assert fs.cat_file(f"{REPO}/main/big.bin") == DATA
        assert len(fs.ls(f"{REPO}/main/many", detail=False)) == 1001


def test_other_hosts_are_named() -> None:
    with local_endpoint(
        allowed_hosts=["data.example.org", "Box:8787", "10.1.2.3", "fe80::1", "[fe80::2]:99"]
    ) as endpoint:
        for host, expected in (
            ("data.example.org", 200), ("data.example.org:1234", 200), ("box:8787", 200), ("box", 421), ("box:80", 421),
            ("10.1.2.3:5", 200), ("10.1.2.4", 421), ("[fe80::1]:7", 200), ("[FE80:0::1]", 200), ("[fe80::2]:99", 200),
            ("[fe80::2]", 421), ("localhost", 200), ("sub.data.example.org", 421), ("data.example.org.evil.example", 421),
        ):  # fmt: skip
            assert status(endpoint, "GET", "/api/whoami-v2", host) == expected, host
    for bad in ("http://box", "a b", "box:99999", "*", "", "box/path", "é"):
        with pytest.raises(ConfigError, match="allowed host"):
            local_endpoint(allowed_hosts=[bad])
    for bad in (
        "box",
        "ftp://box",
        "http://",
        "http://box?x=1",
        "http://box#x",
        "http://u:p@box",
        "http://bo x",
        "",
        "http://[x",
    ):
        with pytest.raises(ConfigError, match="public URL"):
            local_endpoint(public_url=bad)


def test_serve_takes_them_as_options(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pyxet", "serve", "--json", "--root", str(tmp_path), "--port", "0"]
    more = [
        "--public-url",
        "https://data.example.org",
        "--allowed-host",
        "box",
        "--allowed-host",
        "10.0.0.9",
        "--token",
        "t",
    ]
    with subprocess.Popen(
        [*command, "--host", "0.0.0.0", "--insecure", *more], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            started = json.loads(process.stdout.readline())
            assert started["url"] == "https://data.example.org"
        finally:
            process.terminate()
    with subprocess.Popen(
        [*command, "--public-url", "nonsense"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        _, errors = process.communicate()
    assert process.returncode == 1
    assert "public URL 'nonsense'" in errors
    assert "Traceback" not in errors
