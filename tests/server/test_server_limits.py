"""What the local endpoint takes from whom: rights before bodies, limits of size, time and connections, and what is malformed."""

from __future__ import annotations

import hashlib
import json
import random
import socket
import subprocess
import threading
import tracemalloc
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from support.http import connect, exchange
from support.raw_client import Content, RawClient, regular
from support.routes import routes

from pyxet.protocol.hashing import chunk_hash, file_hash, hash_to_hex, term_hash
from pyxet.protocol.shard import FileEntry, Term, write_upload_shard
from pyxet.protocol.xorb import XorbBuilder, encode_chunk
from pyxet.server import bodies, content, git_objects
from pyxet.server import cas as cas_routes
from pyxet.server.connections import CONNECTIONS, Connections
from pyxet.server.git_repository import Repository
from pyxet.server.state import TOKENS
from pyxet.server.tokens import Claims, ObjectAction, ObjectClaims
from pyxet.testing import LocalEndpoint, local_endpoint

REPO = "acme/limits"
API = f"/api/models/{REPO}"
HUGE = 400 * 1024 * 1024


@pytest.fixture(scope="module")
def endpoint() -> Iterator[LocalEndpoint]:
    with local_endpoint() as running:
        client = RawClient(running, running.token)
        client.make_repo(REPO)
        client.make_repo("acme/hidden", visibility="private")
        yield running


@pytest.fixture
def client(endpoint: LocalEndpoint) -> RawClient:
    return RawClient(endpoint, endpoint.token)


@pytest.fixture
def connections(endpoint: LocalEndpoint, monkeypatch: pytest.MonkeyPatch) -> Connections:
    """Those of the endpoint, whose limits a test may set for itself."""
    found = endpoint.start().app[CONNECTIONS]
    for name in ("per_client", "total", "head_seconds"):
        monkeypatch.setattr(found, name, getattr(found, name))
    return found


def with_bodies(endpoint: LocalEndpoint, repo: str) -> list[tuple[str, str]]:
    """Method and a path for each route of the application that takes a body."""
    found = [
        (method, path)
        for method, path in routes(endpoint, repo)
        # Models have no kind in front there.
        if method in ("POST", "PUT", "DELETE", "PATCH") and not path.startswith("/models/")
    ]
    assert len(found) > 15
    return found


def type_of_body(path: str) -> dict[str, str]:
    """The header without which git's routes look at no body."""
    return {"Content-Type": f"application/x-{path.rpartition('/')[2]}-request"} if "/git-" in path else {}


def asked_to_send(endpoint: LocalEndpoint, method: str, path: str, token: str, length: int, **more: str) -> int:
    """The first status of the answer to the head of a request, whose body is never sent."""
    fields = {
        "Host": "localhost",
        "Content-Length": str(length),
        **type_of_body(path),
        **({"Authorization": f"Bearer {token}"} if token else {}),
        **more,
    }
    head = "\r\n".join([f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items()), "", ""])
    with connect(endpoint) as connection:
        connection.sendall(head.encode())
        return int(connection.makefile("rb").readline().split()[1])


# -- rights before bodies ----------------------------------------------------------------------------------------------

# Open to all, as on the Hub, and too small for a large body.
FETCH = f"/{REPO}.git/git-upload-pack"
OPEN = ("/v1/telemetry", f"{API}/paths-info/main", f"/{REPO}.git/info/lfs/objects/batch", FETCH)
# Routes that do not look at the body.
UNREAD = ("/api/validate-yaml", f"/{REPO}.git/info/lfs/locks", "/acme/hidden.git/info/lfs/locks")


def test_nobody_sends_what_they_may_not(endpoint: LocalEndpoint, client: RawClient) -> None:
    """The answer is there before one byte of the body is, on every route that takes one."""
    reader, guest = endpoint.add_token("test", "read"), endpoint.add_token("guest")
    ended = endpoint.add_token("test", expires=1.0)
    cas = client.cas(REPO, "read").token
    for repo in (REPO, "acme/hidden"):
        for method, path in with_bodies(endpoint, repo):
            if path in UNREAD:
                # Its body is not looked at.
                continue
            for token, who in (
                ("", "nobody"),
                ("xet_wrong", "wrong"),
                (ended, "ended"),
                (reader, "reader"),
                (guest, "guest"),
                (cas, "cas"),
            ):
                status = asked_to_send(endpoint, method, path, token, HUGE)
                if (
                    path in OPEN
                    or (path.endswith("/objects/batch") and who == "reader")
                    or (path.startswith("/api/repos/") and who == "guest")
                    or (path.endswith(("paths-info/main", "/git-upload-pack")) and who == "reader")
                    or (path == "/v1/reconstructions" and who == "cas")
                ):
                    assert status in (401, 413), (method, path, who)
                else:
                    assert status in (401, 403, 404) or (who == "guest" and status == 413), (method, path, who, status)
                    assert who == "guest" or status != 413, (method, path, who)


def test_continue_comes_after_the_right_to(endpoint: LocalEndpoint, client: RawClient) -> None:
    for method, path in with_bodies(endpoint, REPO):
        if path not in (*OPEN, *UNREAD):
            assert asked_to_send(endpoint, method, path, "", 5, Expect="100-continue") in (401, 403, 404), path
    cas = client.cas(REPO).token
    for path, token in (
        (f"{API}/commit/main", client.token),
        ("/v1/shards", cas),
        (f"/v1/xorbs/default/{'ab' * 32}", cas),
    ):
        assert asked_to_send(endpoint, "POST", path, token, 5, Expect="100-continue") == 100, path
        assert asked_to_send(endpoint, "POST", path, token, 5, Expect="200-ok") == 417, path
    made = Content.of(b"continued")
    fields = [
        ("Host", "localhost"),
        ("Authorization", f"Bearer {cas}"),
        ("Expect", "100-continue"),
        ("Connection", "close"),
    ]
    status, _, rest = exchange(endpoint, "POST", f"/v1/xorbs/default/{made.xorb_name}", fields, made.xorb_bytes)
    assert status == 100
    assert rest.startswith(b"HTTP/1.1 200 OK")


# -- sizes -------------------------------------------------------------------------------------------------------------


def test_bodies_have_an_upper_limit(endpoint: LocalEndpoint, client: RawClient) -> None:
    """As announced, and as counted where nothing is announced."""
    cas = client.cas(REPO).token
    chunk = b"%x\r\n%b\r\n" % (1 << 20, b" " * (1 << 20))
    for method, path in with_bodies(endpoint, REPO):
        token = cas if path.startswith("/v") else client.token
        if path in ("/api/validate-yaml", f"{API}/branch/main", f"{API}/tag/main") and method != "POST":
            continue
        if path in UNREAD or (method == "DELETE" and path != "/api/repos/delete"):
            continue
        if path.endswith("/git-receive-pack"):
            # Packs may be larger than that.
            continue
        if "/grant/" in path:
            # That of no grant: nothing is read.
            assert asked_to_send(endpoint, method, path, token, 600 * 1024 * 1024) in (403, 404), path
            continue
        if "/v1/lfs/" in path:
            action: ObjectAction = "upload" if method == "PUT" else "verify"
            claims = ObjectClaims(action, "cd" * 32, 10_000_000, Claims(f"models/{REPO}", "write", "test"))
            path += f"?ticket={endpoint.start().app[TOKENS].object_ticket(claims)}"
        assert asked_to_send(endpoint, method, path, token, 600 * 1024 * 1024) == 413, path
        if path.endswith(("/commit/main", "/shards")) or "/xorbs/" in path:
            # Larger ones, which the next test sends.
            continue
        fields = {
            "Host": "localhost",
            "Authorization": f"Bearer {token}",
            "Transfer-Encoding": "chunked",
            **type_of_body(path),
        }
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
        with connect(endpoint) as connection:
            connection.sendall("\r\n".join([*lines, "", ""]).encode())
            for _ in range(17):
                connection.sendall(chunk)
            assert int(connection.makefile("rb").readline().split()[1]) == 413, path


def test_a_large_commit_waits_on_the_disk(client: RawClient, endpoint: LocalEndpoint) -> None:
    text = random.Random(1).randbytes(3_000_000).hex()
    lines = [regular(f"large/{number}.txt", text) for number in range(3)]
    assert client.commit(REPO, *lines).status == 200
    assert client.get(f"/{REPO}/resolve/main/large/2.txt").body == text.encode()
    assert not list((endpoint.root / "xorbs" / "unfinished").iterdir())
    too_long = ("file", {"path": "x", "content": "x" * (65 << 20), "encoding": "utf-8"})
    answer = client.commit(REPO, regular("fits.txt", "x"), too_long)
    assert (answer.status, b"LFS" in answer.body) == (413, True)
    assert client.head(f"/{REPO}/resolve/main/fits.txt").status == 404


# -- time --------------------------------------------------------------------------------------------------------------


def test_the_head_of_a_request_has_a_time_limit(endpoint: LocalEndpoint, connections: Connections) -> None:
    connections.head_seconds = 0.1
    for sent in (
        b"G",
        b"GET /api/whoami-v2 HTTP/1.1\r\nHost: localhost\r\n",
        b"\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nX: ",
    ):
        with connect(endpoint) as connection:
            connection.sendall(sent)
            assert connection.makefile("rb").read().startswith(b"HTTP/1.1 408 ")
    # One that goes on byte by byte gets no more time.
    with connect(endpoint) as connection:
        connection.settimeout(0.01)
        for byte in b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 8000:
            try:
                connection.sendall(bytes([byte]))
                if connection.recv(100):
                    break
            except TimeoutError:
                continue
            except ConnectionError:
                break
        else:
            pytest.fail("it was never ended")


def test_an_answer_may_take_its_time(
    endpoint: LocalEndpoint, connections: Connections, client: RawClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit is one for the head: while the answer is made, no clock runs; and the next request gets its own."""
    arrived, go_on = threading.Event(), threading.Event()
    resolve = Repository.resolve

    def slow(self: Repository, revision: str) -> object:
        arrived.set()
        go_on.wait(60)
        return resolve(self, revision)

    monkeypatch.setattr(Repository, "resolve", slow)
    with connect(endpoint) as connection:
        answers = connection.makefile("rb")
        for _ in range(2):
            connection.sendall(f"GET {API}/tree/main HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            assert arrived.wait(60)
            [guard] = [guard for guard in connections._guards.values() if guard._answering]
            assert guard._timer is None
            go_on.set()
            assert answers.readline() == b"HTTP/1.1 200 OK\r\n"
            length = next(int(line.split()[1]) for line in answers if line.lower().startswith(b"content-length"))
            while answers.readline() != b"\r\n":
                pass
            assert len(answers.read(length)) == length
            arrived.clear()
            go_on.clear()


def test_bodies_have_a_time_limit(endpoint: LocalEndpoint, client: RawClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "_PATIENCE", 0.1)
    cas = client.cas(REPO).token
    made = Content.of(random.Random(2).randbytes(100_000))
    for path, token in (
        (f"{API}/commit/main", client.token), (f"{API}/preupload/main", client.token), (f"{API}/paths-info/main", client.token),
        ("/api/repos/create", client.token), (f"/v1/xorbs/default/{made.xorb_name}", cas), ("/v1/shards", cas), ("/v1/telemetry", ""),
    ):  # fmt: skip
        head = (
            f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nContent-Length: 90000\r\n\r\n"
        )
        with connect(endpoint) as connection:
            connection.sendall(head.encode() + b'{"half":')
            # The rest would be read as another request, so the connection ends with the answer.
            assert connection.makefile("rb").read().startswith(b"HTTP/1.1 408 "), path
    assert client.cas(REPO).head(f"/v1/xorbs/default/{made.xorb_name}").status == 404
    assert not list((endpoint.root / "xorbs" / "unfinished").iterdir())


# -- connections -------------------------------------------------------------------------------------------------------


def test_connections_are_limited(connections: Connections, endpoint: LocalEndpoint) -> None:
    for name in ("per_client", "total"):
        before = getattr(connections, name)
        # Those of other tests may be ending still.
        setattr(connections, name, len(connections._guards) + 3)
        opened: list[socket.socket] = []
        while (first := used(endpoint, opened)) == 200:
            assert len(opened) < 10
        assert first == 503
        assert len(opened) >= 3
        for connection in opened:
            connection.close()
        while connections._guards:
            pass
        assert used(endpoint, opened) == 200
        opened[-1].close()
        setattr(connections, name, before)


def used(endpoint: LocalEndpoint, opened: list[socket.socket]) -> int:
    """The status of a request on a new connection, which stays open if it was let in."""
    connection = connect(endpoint)
    connection.sendall(b"GET /api/agent-harnesses HTTP/1.1\r\nHost: localhost\r\n\r\n")
    status = int(connection.makefile("rb").readline().split()[1])
    if status == 200:
        opened.append(connection)
    else:
        connection.close()
    return status


# -- what is malformed, or strange -------------------------------------------------------------------------------------

NAMES = [
    "a\x01b",
    "a\nb",
    "a\r\nX-Injected: y",
    "tab\t",
    "\x7f",
    "\x1b[31m",
    "a\u0085b",
    "a\u2028b",
    "é",
    "😀",
    "a\\b",
    "a%0ab",
    "%",
    "<b>",
    '"q"',
]


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_any_name_is_answered(client: RawClient, name: str) -> None:
    """Names come back in messages, in JSON and in headers, of things that are there and of those that are not."""
    escaped = quote(name, safe="")
    assert client.commit(REPO, regular(f"names/{name}", name)).status == 200
    assert client.get(f"/{REPO}/resolve/main/names/{escaped}").body == name.encode()
    assert f"names/{name}" in [entry["path"] for entry in client.get(f"{API}/tree/main/names").json]
    absent = [
        client.get(f"/{REPO}/resolve/main/none/{escaped}"), client.get(f"{API}/tree/main/none%2F{escaped}"), client.get(f"{API}/tree/{escaped}"),
        client.get(f"/{REPO}/resolve/{escaped}/x"), client.commit(REPO, ("deletedFile", {"path": f"none/{name}"})), client.get(f"/api/models/acme/{escaped}"),
        client.commit(REPO, ("deletedFolder", {"path": f"none/{name}/"})), client.commit(REPO, regular("x", "x"), branch=name),
    ]  # fmt: skip
    for answer in absent:
        assert answer.status == 404, answer
        assert answer.code in ("EntryNotFound", "RevisionNotFound", "RepoNotFound")
        assert answer.headers["x-error-message"].isprintable()
        assert "x-injected" not in answer.headers
    for answer in (
        client.post(f"{API}/tag/main", {"tag": f"{name}..", "message": name}), client.post("/api/repos/create", {"name": f"{name}/x"}),
        client.get(f"{API}/tree/main?cursor=none{escaped}"), client.get(f"{API}/commits/main?p=x{escaped}"),
    ):  # fmt: skip
        assert answer.status == 400, answer
        assert answer.headers["x-error-message"].isprintable()
    assert client.commit(REPO, ("deletedFile", {"path": f"names/{name}"})).status == 200


def test_messages_of_any_kind(client: RawClient) -> None:
    for text in ("a\0b", "\0"):
        assert client.post(f"{API}/tag/main", {"tag": "nul", "message": text}).status == 400
        assert client.post(f"{API}/super-squash/main", {"message": text}).status == 400
        assert client.commit(REPO, regular("nul.txt", "x"), summary=f"x{text}").status == 400
    assert client.commit(REPO, regular("nul.txt", "x"), summary="\x01\x1b\u2028.").status == 200
    assert client.get(f"{API}/commits/main").json[0]["title"] == "\x01\x1b\u2028."


def form(client: RawClient, body: str | bytes, kind: str) -> tuple[int, list[str]]:
    data = body if isinstance(body, bytes) else body.encode(errors="surrogatepass")
    answer = client.post(f"{API}/paths-info/main", data, Content_Type=kind)
    assert "error" in answer.json or isinstance(answer.json, list)
    return answer.status, [entry["path"] for entry in answer.json] if answer.status == 200 else []


def test_forms_in_parts(client: RawClient) -> None:
    client.write(REPO, {"form/a": "x", "form/é": "y"})

    def part(name: str, value: str, more: str = "") -> str:
        return f'--b o\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n{value}\r\n'

    kind = 'multipart/form-data; boundary="b o"'
    good = part("paths", "form/a") + part("paths", "form/é", '; filename="x"') + part("expand", "true") + "--b o--\r\n"
    assert form(client, good, kind) == (200, ["form/a", "form/é"])
    assert form(client, f"preamble\r\n{good}epilogue", kind)[0] == 200
    assert form(client, part("other", "form/a") + "--b o--", kind) == (200, [])
    for damaged, type_ in (
        (good, "multipart/form-data"), (good, "multipart/form-data; boundary="), (good, "multipart/form-data; boundary=other"), ("", kind),
        (good.removesuffix("--b o--\r\n"), kind), (good.replace("name=", "nome="), kind), (good.replace("\r\n\r\n", "\r\n"), kind), (good[:40], kind),
        (good.replace("é", "\ud800"), kind), ("\0" * 1000, kind), ("--b o " * 1000, kind),
    ):  # fmt: skip
        assert form(client, damaged, type_)[0] == 400, (damaged, type_)


def test_forms_in_one_line(client: RawClient) -> None:
    client.write(REPO, {"form/a": "x", "form/é": "y"})
    kind = "application/x-www-form-urlencoded"
    assert form(client, "paths=form%2Fa&paths=form/%C3%A9&expand=true&paths=", kind) == (200, ["form/a", "form/é"])
    for body in (b"paths=%ff", b"paths=\xff", b"&".join([b"paths=x"] * 100_001)):
        assert form(client, body, kind)[0] == 400
    for text in ("[]", '{"paths":5}', '{"paths":["x"],"expand":"x"}', "{", "", "[" * 100_000):
        assert form(client, text, "application/json")[0] == 400


def test_damaged_encodings(client: RawClient) -> None:
    for encoding in ("gzip", "deflate"):
        for path in (f"{API}/commit/main", f"{API}/preupload/main", "/api/repos/create"):
            assert client.post(path, b"not compressed at all", Content_Encoding=encoding).status == 400, path


def test_a_commit_touches_so_many_folders(client: RawClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path of a few hundred bytes names 255 folders: what they need would be a hundred times the body."""
    monkeypatch.setattr(git_objects, "MAX_FOLDERS", 500)
    deep = "/".join(["d"] * 250)
    for lines in (
        [regular(f"{number}/{deep}", "x") for number in range(3)],
        [("deletedFile", {"path": f"{number}/{deep}"}) for number in range(3)],
        [("deletedFolder", {"path": f"{number}/{deep}/"}) for number in range(3)],
    ):
        refused = client.commit(REPO, *lines)
        assert (refused.status, "500 folders" in refused.json["error"]) == (413, True)
    # Many files in few folders are fine.
    assert client.commit(REPO, *(regular(f"some/{deep}/{number}", "x") for number in range(600))).status == 200
    assert client.commit(REPO, ("deletedFolder", {"path": "some"})).status == 200


def test_short_shards_of_long_files(client: RawClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred bytes of a shard can name a whole xorb once more: what they stand for is bounded, and never held in memory."""
    builder = XorbBuilder()
    pieces = [bytes([number % 251, number % 241]) for number in range(8192)]
    for piece in pieces:
        builder.add(encode_chunk(piece, chunk_hash(piece)))
    xorb = builder.build()
    chunks = [(chunk.hash, chunk.raw_length) for chunk in xorb.info.chunks]
    cas = client.cas(REPO)
    name = hash_to_hex(xorb.info.hash)
    assert cas.post(f"/v1/xorbs/default/{name}", b"".join(xorb.slices)).status == 200
    times = 20
    file = FileEntry(
        file_hash(chunks * times),
        (Term(xorb.info.hash, 0, len(chunks), 2 * len(chunks)),) * times,
        (term_hash(value for value, _ in chunks),) * times,
        hashlib.sha256(b"".join(pieces) * times).hexdigest(),
    )
    shard = write_upload_shard([file], [])
    for bound, value in (("MAX_SHARD_CONTENT", file.size - 1), ("MAX_SHARD_CONTENT_CHUNKS", len(chunks) * times - 1)):
        with monkeypatch.context() as patched:
            patched.setattr(content, bound, value)
            refused = cas.post("/v1/shards", shard)
            assert (refused.status, "fit into one shard" in refused.json["error"]) == (413, True)
    tracemalloc.start()
    try:
        assert cas.post("/v1/shards", shard).status == 200
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * 1024 * 1024
    plan = f"/v1/reconstructions/{hash_to_hex(file.file_hash)}"
    assert len(cas.get(plan).json["terms"]) == times
    monkeypatch.setattr(cas_routes, "_MAX_TERMS", times - 1)
    assert cas.get(plan).status == 413
    assert cas.get(plan.replace("/v1", "/v2")).status == 413
    assert cas.get(f"/v1/reconstructions?file_id={hash_to_hex(file.file_hash)}").status == 413
    assert len(cas.get(plan, Range=f"bytes=5-{file.size // 2}").json["terms"]) == times // 2 + 1


def test_deep_paths(client: RawClient, endpoint: LocalEndpoint) -> None:
    """Those that a commit names have a limit; those that somebody pushed are read, however deep they are."""
    deep = "/".join(["d"] * 255)
    assert client.commit(REPO, regular(deep, "x")).status == 200
    assert client.get(f"/{REPO}/resolve/main/{deep}").body == b"x"
    assert client.commit(REPO, ("deletedFolder", {"path": "d/"})).status == 200
    for path in ("/".join(["d"] * 2000), "/".join(["d"] * 100_000), "/".join(["d" * 250] * 20)):
        for line in (regular(path, "x"), ("deletedFile", {"path": path}), ("deletedFolder", {"path": f"{path}/"})):
            assert client.commit(REPO, line).status == 400
        sample = {"path": path, "size": 1, "sample": "eA=="}
        assert client.post(f"{API}/preupload/main", {"files": [sample]}).status == 400
        assert form(client, json.dumps({"paths": [path]}), "application/json") == (200, [])
    client.make_repo("acme/deep")
    path = "/".join(["d"] * 2000)
    pushed = f"commit refs/heads/pushed\ncommitter git <git@x> 0 +0000\ndata 1\nx\nM 100644 inline {path}\ndata 1\nx\n"
    bare = endpoint.root / "repos" / "models" / "acme" / "deep.git"
    subprocess.run(["git", "-C", str(bare), "fast-import", "--quiet"], input=pushed.encode(), check=True)
    page = client.get("/api/models/acme/deep/tree/pushed?recursive=true")
    following = client.get(page.following or "")
    paths = [entry["path"] for entry in page.json + following.json]
    assert paths == ["/".join(["d"] * depth) for depth in range(1, 2001)]
    assert client.get("/api/models/acme/deep/revision/pushed").json["siblings"] == [{"rfilename": path}]
    assert client.get(f"/acme/deep/resolve/pushed/{path}").body == b"x"
    assert client.commit("acme/deep", ("deletedFolder", {"path": "d/"}), branch="pushed").status == 200
