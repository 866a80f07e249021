"""Thousands of damaged requests: each is refused as the client's fault, and the endpoint goes on."""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from urllib.parse import urlsplit

import pytest
from support.raw_client import Content, RawClient, regular

from pyxet.server import bodies
from pyxet.server.connections import CONNECTIONS
from pyxet.server.state import TOKENS
from pyxet.server.tokens import Claims, ObjectAction, ObjectClaims
from pyxet.testing import LocalEndpoint, local_endpoint

REPO = "acme/fuzz"
API = f"/api/models/{REPO}"
DATA = random.Random(1).randbytes(200_000)
AT_ONCE = 32
PIECES = [
    b"\0", b"\x01", b"\x7f", b"\x80", b"\xff", b"\r", b"\n", b"\r\n", b"\t", b" ", b"%", b"%00", b"%0a", b"%0d%0a", b"%2F", b"%2e%2e", b"%ff",
    b"%ed%a0%80", b"..", b"/", b"//", b"\\", b"?", b"#", b"&", b"=", b":", b";", b",", b'"', b"'", b"{", b"}", b"[", b"]", b"-1", b"0",
    b"99999999999999999999", b"1e309", b"null", b"true", b"\xef\xbb\xbf", b"\xc3\x28", b"\\ud800", b"\\u0000", b"a" * 9000, b"/a" * 2000,
    b"Transfer-Encoding: chunked\r\n", b"Content-Length: 5\r\n", b"Content-Encoding: gzip\r\n", b"Expect: 100-continue\r\n", b"Range: bytes=5-\r\n",
    b"Content-Type: multipart/form-data; boundary=x\r\n", b"Content-Type: application/json\r\n", b"If-Range: x\r\n", b"Upgrade: websocket\r\n",
    b"Content-Type: text/plain; charset=utf-7\r\n", b"Cookie: a=b\r\n", b"Authorization: Basic x\r\n", b"Host: x\r\n", b"Connection: upgrade\r\n",
]  # fmt: skip


@pytest.fixture
def endpoint() -> Iterator[LocalEndpoint]:
    with local_endpoint() as running:
        yield running


def requests(endpoint: LocalEndpoint, stored: Content) -> list[bytes]:
    """A good request for each route and each way to use it."""
    client = RawClient(endpoint, endpoint.token)
    read, write = client.cas(REPO, "read").token, client.cas(REPO).token
    assert stored.xorb is not None
    chunk = stored.xorb.info.chunks[0].hash[::-1].hex()
    plan = RawClient(endpoint, read).get(f"/v2/reconstructions/{stored.name}").json
    [[fetch]] = plan["xorbs"].values()
    signed = urlsplit(fetch["url"])
    span = fetch["ranges"][0]["bytes"]
    ask = {
        "files": [{"path": "a/b.bin", "size": 5, "sample": "eA=="}],
        "gitIgnore": "*.tmp\n",
        "gitAttributes": "*.bin filter=lfs\n",
    }
    lines = [("header", {"summary": "s", "description": "d"}), regular("deep/er/a.txt", "x"), stored.line("b.bin"),
             ("deletedFile", {"path": "nosuch"}), ("deletedFolder", {"path": "nosuch/"})]  # fmt: skip
    objects = [{"oid": stored.sha256, "size": len(stored.data)}]
    lfs = {"transfers": ["basic", "xet"], "objects": objects, "hash_algo": "sha256"}
    tokens = endpoint.start().app[TOKENS]
    actions: tuple[ObjectAction, ...] = ("upload", "download")
    signed_upload, signed_download = (
        f"/v1/lfs/{stored.sha256}?ticket="
        + tokens.object_ticket(
            ObjectClaims(action, stored.sha256, len(stored.data), Claims(f"models/{REPO}", "write", "acme"))
        )
        for action in actions
    )
    commit = "\n".join(json.dumps({"key": key, "value": value}) for key, value in lines)
    parts = '--x\r\nContent-Disposition: form-data; name="paths"\r\n\r\nREADME.md\r\n--x--\r\n'
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    json_type = {"Content-Type": "application/json"}
    made: list[tuple[str, str, bytes | str, str, dict[str, str]]] = [
        ("GET", "/api/whoami-v2", "", client.token, {}), ("POST", "/api/validate-yaml", '{"content":"x"}', client.token, {}),
        ("POST", "/api/repos/create", '{"name":"fuzz","organization":"acme","type":"model"}', client.token, {}),
        ("DELETE", "/api/repos/delete", '{"name":"nosuch","organization":"acme","type":"model"}', client.token, {}),
        ("POST", "/api/repos/move", '{"fromRepo":"acme/nosuch","toRepo":"acme/x","type":"model"}', client.token, {}),
        ("GET", "/api/models?author=acme&limit=5&sort=lastModified&full=true&search=f", "", client.token, {}),
        ("GET", f"{API}?expand=sha&expand=siblings&blobs=true", "", client.token, {}), ("GET", f"{API}/revision/main", "", "", {}),
        ("GET", f"{API}/refs?include_prs=1", "", "", {}), ("GET", f"{API}/commits/main?p=0&expand[]=formatted", "", "", {}),
        ("POST", f"{API}/branch/x", '{"startingPoint":"main"}', client.token, {}), ("DELETE", f"{API}/branch/x", "", client.token, {}),
        ("POST", f"{API}/tag/main", '{"tag":"v1","message":"m"}', client.token, {}), ("DELETE", f"{API}/tag/v1", "", client.token, {}),
        ("POST", f"{API}/super-squash/x", '{"message":"m"}', client.token, {}), ("PUT", f"{API}/settings", '{"gated":false}', client.token, {}),
        ("POST", f"{API}/duplicate", '{"repository":"acme/fuzz"}', client.token, {}), ("GET", f"{API}/auth-check/write", "", client.token, {}),
        ("GET", f"{API}/tree/main/deep?recursive=true&expand=true&cursor=deep%2Fer", "", "", {}), ("GET", "/acme/fuzz/resolve/main/README.md", "", "", {}),
        ("POST", f"{API}/paths-info/main", "paths=README.md&paths=a%2Fb&expand=true", "", form),
        ("POST", f"{API}/paths-info/main", '{"paths":["README.md","deep"],"expand":true}', "", json_type),
        ("POST", f"{API}/paths-info/main", parts, "", {"Content-Type": "multipart/form-data; boundary=x"}),
        ("POST", f"{API}/preupload/main", json.dumps(ask), client.token, json_type), ("POST", f"{API}/commit/main", commit, client.token, {}),
        ("POST", f"{API}/lfs-files/duplicate", '{"target":{"type":"model","name":"acme/fuzz"},"files":[{"xetHash":"x","sha256":"y"}]}', client.token, {}),
        ("GET", f"{API}/xet-write-token/main", "", client.token, {}), ("HEAD", f"/{REPO}/resolve/main/big.bin", "", "", {"Range": "bytes=0-5"}),
        ("GET", f"/{REPO}/resolve/main/big.bin", "", client.token, {"Range": "bytes=5-90"}),
        ("GET", f"{signed.path}?{signed.query}", "", "", {"Range": f"bytes={span['start']}-{span['end']}"}),
        ("POST", f"/v1/xorbs/default/{stored.xorb_name}", stored.xorb_bytes[:5000], write, {}), ("POST", "/v1/shards", stored.shard(), write, {}),
        ("POST", "/v2/shards", stored.shard(), write, {}), ("GET", f"/v1/chunks/default/{chunk}", "", read, {}),
        ("GET", f"/v1/reconstructions/{stored.name}", "", read, {"Range": "bytes=0-99"}), ("GET", f"/v2/reconstructions/{stored.name}", "", read, {}),
        ("GET", f"/v1/reconstructions?file_id={stored.name}&file_id={stored.name}", "", read, {}), ("HEAD", f"/v1/files/{stored.name}", "", read, {}),
        ("POST", f"/{REPO}.git/info/lfs/objects/batch", json.dumps({"operation": "download", **lfs}), "", {}), ("PUT", signed_upload, stored.data[:5000], "", {}),
        ("POST", f"/{REPO}/info/lfs/objects/batch", json.dumps({"operation": "upload", **lfs}), client.token, {}),
        ("GET", signed_download, "", "", {"Range": "bytes=5-90"}), ("POST", "/v1/telemetry", "{}", "", {}), ("GET", "/api/agent-harnesses", "", "", {}),
    ]  # fmt: skip
    found = []
    for method, path, body, token, more in made:
        data = body if isinstance(body, bytes) else body.encode()
        fields = {
            "Host": urlsplit(endpoint.url).netloc,
            "Connection": "close",
            **({"Authorization": f"Bearer {token}"} if token else {}),
            **more,
        }
        fields |= {"Content-Length": str(len(data))} if data else {}
        head = "\r\n".join(
            [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
        )
        found.append(head.encode() + data)
    return found


def mutated(request: bytes, source: random.Random) -> bytes:
    """A request with a few things wrong with it, mostly in its head, often with a length that fits again."""
    head, _, body = request.partition(b"\r\n\r\n")
    for _ in range(source.choice([1, 1, 1, 2, 4])):
        if body and source.random() < 0.5:
            body = damaged(body, source)
        elif source.random() < 0.5:
            line, _, rest = head.partition(b"\r\n")
            head = damaged(line, source) + b"\r\n" + rest
        else:
            head = damaged(head, source)
    if source.random() < 0.8:
        kept = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"content-length")]
        head = b"\r\n".join([*kept, b"Content-Length: %d" % len(body)])
    return head + b"\r\n\r\n" + body


def damaged(data: bytes, source: random.Random) -> bytes:
    at = source.randrange(len(data) + 1)
    end = min(len(data), at + source.choice([1, 1, 2, 8, 40]))
    match source.randrange(6):
        case 0:
            return data[:at] + source.choice(PIECES) + data[at:]
        case 1:
            return data[:at] + source.choice(PIECES) + data[end:]
        case 2:
            return data[:at] + data[end:]
        case 3:
            return data[:end] + data[at:]
        case 4:
            return data[:at] + bytes([source.randrange(256)]) + data[at + 1 :]
        case _:
            return data[:at]


async def status_of(host: str, port: int, request: bytes) -> int:
    """The first status of the answer; 0 where the connection ends without one."""
    reader, writer = await asyncio.open_connection(host, port)
    answer = b""
    try:
        with suppress(ConnectionError):
            writer.write(request)
            while len(answer) < 12 and (data := await reader.read(65536)):
                answer += data
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
    return int(answer.split(b" ", 2)[1]) if answer else 0


@pytest.mark.parametrize("seed", range(4))
async def test_damaged_requests_are_the_clients_fault(
    endpoint: LocalEndpoint, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, seed: int
) -> None:
    def prepare() -> list[bytes]:
        client = RawClient(endpoint, endpoint.token)
        client.make_repo(REPO)
        client.write(REPO, {"README.md": "x", "deep/er/a.txt": "y"})
        client.post(f"{API}/branch/x")
        stored = client.upload(REPO, DATA)
        client.commit(REPO, stored.line("big.bin"))
        return requests(endpoint, stored)

    good = await asyncio.to_thread(prepare)
    url = urlsplit(endpoint.url)
    assert url.hostname is not None
    assert url.port is not None
    source = random.Random(seed)
    # What is never completed is given up soon; then the answer is 408.
    monkeypatch.setattr(endpoint.start().app[CONNECTIONS], "head_seconds", 0.3)
    monkeypatch.setattr(bodies, "_PATIENCE", 0.3)
    turns = asyncio.Semaphore(AT_ONCE)
    statuses: Counter[int] = Counter()
    failures: list[tuple[int, bytes]] = []

    async def one(request: bytes) -> None:
        async with turns:
            status = await status_of(url.hostname or "", url.port or 0, request)
        statuses[status] += 1
        if status >= 500 or not status:
            failures.append((status, request[:3000]))

    with caplog.at_level(logging.WARNING):
        async with asyncio.TaskGroup() as group:
            for _ in range(2000):
                group.create_task(one(mutated(source.choice(good), source)))
    assert not failures
    assert not [
        record
        for record in caplog.records
        if record.name.startswith(("pyxet", "asyncio")) and record.levelno >= logging.ERROR
    ]
    # They were neither all refused at the door nor all harmless.
    assert statuses[200] > 50
    assert sum(count for status, count in statuses.items() if 400 <= status < 500) > 500
    assert await asyncio.to_thread(lambda: RawClient(endpoint, endpoint.token).get("/api/whoami-v2").status) == 200
