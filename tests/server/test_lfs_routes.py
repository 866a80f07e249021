"""The LFS routes by hand: what they answer, what they refuse, and what is left where an upload fails."""

from __future__ import annotations

import base64
import errno
import hashlib
import os
import random
import socket
import time
import tracemalloc
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import pytest
from support.hf_client import run_hf
from support.http import connect
from support.raw_client import Answer, RawClient

import pyxet
from pyxet.server import content as content_store
from pyxet.server import plain_upload
from pyxet.server.state import CONTENT
from pyxet.server.tokens import Tokens
from pyxet.testing import LocalEndpoint, local_endpoint

NOISE = random.Random(31)
# Seconds until something must have happened.
PATIENCE = 30


@pytest.fixture(scope="module")
def client(endpoint: LocalEndpoint) -> RawClient:
    return RawClient(endpoint, endpoint.add_token("acme"))


@pytest.fixture
def repo(client: RawClient) -> str:
    return made(client, private=True)


def made(client: RawClient, *, private: bool, owner: str = "acme") -> str:
    name = f"{owner}/r{NOISE.getrandbits(40):x}"
    client.make_repo(name, private=private)
    return name


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def ask(client: RawClient, repo: str, operation: str, *contents: bytes, **more: Any) -> Answer:
    objects = [{"oid": sha256(data), "size": len(data)} for data in contents]
    return client.post(f"/{repo}.git/info/lfs/objects/batch", {"operation": operation, "objects": objects, **more})


def action(client: RawClient, repo: str, name: str, data: bytes) -> str:
    """The URL of an action for content."""
    operation = "upload" if name == "verify" else name
    [answer] = ask(client, repo, operation, data).json["objects"]
    return str(answer["actions"][name]["href"])


def push(client: RawClient, repo: str, data: bytes) -> None:
    answer = RawClient(client.endpoint).call("PUT", action(client, repo, "upload", data), data)
    assert answer.status == 200, answer


def pulled(client: RawClient, repo: str, data: bytes) -> bytes:
    return RawClient(client.endpoint).get(action(client, repo, "download", data)).body


def unfinished(endpoint: LocalEndpoint) -> list[str]:
    return os.listdir(endpoint.root / "xorbs" / "unfinished")


def stored(endpoint: LocalEndpoint, data: bytes) -> bool:
    return endpoint.start().app[CONTENT].find_by_sha256(sha256(data)) is not None


def test_batch_answers(client: RawClient, repo: str) -> None:
    data = NOISE.randbytes(100_000)
    # Whatever the URL ends in, and whatever kind of repository it is for.
    answer = client.post(f"/{repo}/info/lfs/objects/batch", {"operation": "upload", "objects": []})
    assert answer.headers["content-type"].startswith("application/vnd.git-lfs+json")
    assert answer.json == {"transfer": "basic", "objects": [], "hash_algo": "sha256"}
    answer = ask(
        client, repo, "upload", data, b"", transfers=["multipart", "basic", "ssh"], ref={"name": "refs/heads/x"}
    )
    new, empty = answer.json["objects"]
    assert answer.json["transfer"] == "basic"
    assert (new["oid"], new["size"], new["authenticated"]) == (sha256(data), len(data), True)
    assert set(new["actions"]) == {"upload", "verify"}
    assert new["actions"]["upload"]["expires_in"] > 60
    assert "actions" not in empty
    assert "error" not in empty
    [missing] = ask(client, repo, "download", data).json["objects"]
    assert missing["error"]["code"] == 404
    verify = new["actions"]["verify"]["href"]
    nobody = RawClient(client.endpoint)
    assert nobody.post(verify, {"oid": sha256(data), "size": len(data)}).status == 404
    assert nobody.call("PUT", new["actions"]["upload"]["href"], data).status == 200
    assert nobody.post(verify, {"oid": sha256(data), "size": len(data)}).status == 200
    assert nobody.post(verify, {"oid": sha256(data), "size": 5}).status == 422
    assert "actions" not in ask(client, repo, "upload", data).json["objects"][0]
    assert pulled(client, repo, data) == data
    # The size is part of what is named.
    objects = [{"oid": sha256(data), "size": 5}, {"oid": "X" * 64, "size": 5}, {"oid": sha256(data), "size": len(data)}]
    for operation in ("upload", "download"):
        asked = {"operation": operation, "objects": objects}
        errors = client.post(f"/{repo}.git/info/lfs/objects/batch", asked).json["objects"]
        assert [found.get("error", {}).get("code") for found in errors] == [422, 422, None]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("{", 400),
        ({"operation": "steal", "objects": []}, 400),
        ({"operation": "upload"}, 400),
        ({"operation": "upload", "objects": [{"oid": "a", "size": -1}]}, 400),
        ({"operation": "upload", "objects": [], "hash_algo": "md5"}, 409),
        ({"operation": "download", "objects": [{"oid": "a", "size": 1}] * 1001}, 413),
    ],
)
def test_requests_that_make_no_sense(client: RawClient, repo: str, body: Any, status: int) -> None:
    answer = client.post(f"/{repo}.git/info/lfs/objects/batch", body)
    assert answer.status == status
    assert answer.json["message"] == answer.json["error"]


def test_datasets_have_the_same_routes(client: RawClient) -> None:
    name = f"d{NOISE.getrandbits(40):x}"
    wanted = {"type": "dataset", "organization": "acme", "name": name}
    assert client.post("/api/repos/create", wanted).status == 200
    data = NOISE.randbytes(1000)
    push(client, f"datasets/acme/{name}", data)
    assert pulled(client, f"datasets/acme/{name}", data) == data
    assert ask(client, f"acme/{name}", "download", data).status == 404


def test_locks_are_not_implemented(client: RawClient, repo: str) -> None:
    for method, path in [("GET", "locks"), ("POST", "locks"), ("POST", "locks/verify"), ("POST", "locks/1/unlock")]:
        assert client.call(method, f"/{repo}.git/info/lfs/{path}").status == 501
    assert RawClient(client.endpoint).get(f"/{repo}.git/info/lfs/locks").status == 401


def test_ranges(client: RawClient, repo: str) -> None:
    data = NOISE.randbytes(3_000_000)
    push(client, repo, data)
    url = action(client, repo, "download", data)
    nobody = RawClient(client.endpoint)
    for sent, start, end in [("5-", 5, None), ("1000000-1999999", 1_000_000, 2_000_000), ("-7", -7, None)]:
        answer = nobody.get(url, Range=f"bytes={sent}")
        assert (answer.status, answer.body) == (206, data[start:end])
    assert nobody.get(url, Range="bytes=3000000-").status == 416
    assert nobody.head(url).headers["content-length"] == "3000000"


# -- rights ------------------------------------------------------------------------------------------------------------


def test_a_signed_url_is_for_one_thing_and_ends(endpoint: LocalEndpoint, client: RawClient, repo: str) -> None:
    data, other = NOISE.randbytes(1000), NOISE.randbytes(1000)
    push(client, repo, data)
    nobody = RawClient(endpoint)
    download, upload = action(client, repo, "download", data), action(client, repo, "upload", other)
    assert nobody.get(download).status == 200
    bad = [
        ("GET", download.replace(sha256(data), sha256(other))),
        ("GET", download.partition("?")[0]),
        ("GET", download[:-1] + ("0" if download[-1] != "0" else "1")),
        ("GET", download.replace("ticket=", "ticket=x")),
        ("PUT", download),
        ("POST", download),
        ("GET", upload),
        ("POST", upload),
        ("PUT", upload.replace(sha256(other), sha256(data))),
        ("GET", f"{download.partition('?')[0]}?ticket=."),
        ("GET", f"{download.partition('?')[0]}?ticket=%ff.%ff"),
    ]
    for method, url in bad:
        # Nor does a token help.
        for who in (nobody, client):
            answer = who.call(method, url, b"" if method == "GET" else data)
            assert answer.status == 403, (method, url)
            assert answer.json["message"]
    past = Tokens((endpoint.root / "secret").read_bytes(), clock=lambda: time.time() - 3601)
    claims = past.check_ticket(urlsplit(download).query.removeprefix("ticket="), "download", sha256(data))
    assert nobody.get(f"/v1/lfs/{sha256(data)}?ticket={past.object_ticket(claims)}").status == 403


def test_rights_that_end_end_with_their_urls(endpoint: LocalEndpoint, client: RawClient) -> None:
    """A repository that has become private, or is gone."""
    repo = made(client, private=False)
    data, new = NOISE.randbytes(1000), NOISE.randbytes(1000)
    push(client, repo, data)
    eve = RawClient(endpoint, endpoint.add_token("eve"))
    theirs, upload = action(eve, repo, "download", data), action(client, repo, "upload", new)
    assert RawClient(endpoint).get(theirs).status == 200
    assert client.call("PUT", f"/api/models/{repo}/settings", {"visibility": "private"}).status == 200
    assert RawClient(endpoint).get(theirs).status == 404
    wanted = {"organization": "acme", "name": repo.partition("/")[2]}
    assert client.call("DELETE", "/api/repos/delete", wanted).status == 200
    assert RawClient(endpoint).call("PUT", upload, new).status == 404
    assert not stored(endpoint, new)


def test_a_renamed_repository(endpoint: LocalEndpoint, client: RawClient, repo: str) -> None:
    """Batch requests are redirected, and URLs that were signed before go on."""
    data = NOISE.randbytes(1000)
    url = action(client, repo, "upload", data)
    moved = {"fromRepo": repo, "toRepo": f"{repo}-2", "type": "model"}
    assert client.post("/api/repos/move", moved).status == 200
    assert RawClient(endpoint).call("PUT", url, data).status == 200
    answer = ask(client, repo, "download", data)
    assert answer.status == 307
    assert answer.headers["location"] == f"/{repo}-2/info/lfs/objects/batch"
    assert pulled(client, f"{repo}-2", data) == data


def test_a_hash_opens_nothing(endpoint: LocalEndpoint, client: RawClient, repo: str) -> None:
    """Whoever knows the sha256 of private content gets and holds nothing, and does not learn that it is there."""
    data = NOISE.randbytes(1000)
    push(client, repo, data)
    eve = RawClient(endpoint, endpoint.add_token("eve"))
    own = made(eve, private=False, owner="eve")
    assert ask(eve, repo, "download", data).status == ask(eve, "acme/nothing", "download", data).status == 404
    assert ask(RawClient(endpoint), repo, "download", data).status == 401
    assert ask(RawClient(endpoint), "acme/nothing", "download", data).status == 401
    [answer] = ask(eve, own, "download", data).json["objects"]
    assert answer["error"]["code"] == 404
    [answer] = ask(eve, own, "upload", data).json["objects"]
    assert answer["actions"]["upload"]
    verify = answer["actions"]["verify"]["href"]
    assert RawClient(endpoint).post(verify, {"oid": sha256(data), "size": len(data)}).status == 404
    line = ("lfsFile", {"path": "a.bin", "algo": "sha256", "oid": sha256(data), "size": len(data)})
    assert eve.commit(own, line).status == 400
    # Whoever has the content itself may store it.
    push(eve, own, data)
    assert pulled(eve, own, data) == data
    assert eve.commit(own, line).status == 200


def test_basic_authentication(endpoint: LocalEndpoint, client: RawClient, repo: str) -> None:
    """As git sends it: the token is the password, or the user."""

    def status(text: str) -> int:
        sent = base64.b64encode(text.encode()).decode()
        return RawClient(endpoint).get("/api/whoami-v2", Authorization=f"Basic {sent}").status

    assert status(f"acme:{client.token}") == status(f"whoever:{client.token}") == status(f"{client.token}:") == 200
    assert status("acme:wrong") == status("acme:") == status(":") == 401
    assert RawClient(endpoint).get("/api/whoami-v2", Authorization="Basic ***").status == 401


def test_a_closed_endpoint_signs_urls(tmp_path: Any) -> None:
    with local_endpoint(tmp_path / "root", anonymous=False) as endpoint:
        client = RawClient(endpoint, endpoint.token)
        client.make_repo("test/x")
        data = NOISE.randbytes(1000)
        push(client, "test/x", data)
        assert pulled(client, "test/x", data) == data
        assert ask(RawClient(endpoint), "test/x", "download", data).status == 401


# -- uploads that fail, and large ones ---------------------------------------------------------------------------------


@pytest.mark.parametrize("sent", ["other", "short", "long", "empty"])
def test_what_is_something_else_is_not_stored(endpoint: LocalEndpoint, client: RawClient, repo: str, sent: str) -> None:
    data = NOISE.randbytes(300_000)
    bodies = {"other": NOISE.randbytes(300_000), "short": data[:-1], "long": data + b"x", "empty": b""}
    answer = RawClient(endpoint).call("PUT", action(client, repo, "upload", data), bodies[sent])
    assert answer.status == (413 if sent == "long" else 422)
    assert answer.json["message"]
    assert not unfinished(endpoint)
    assert not any(stored(endpoint, body) for body in (data, bodies[sent]) if body)
    push(client, repo, data)
    assert pulled(client, repo, data) == data


def test_a_client_that_goes_away_leaves_nothing(endpoint: LocalEndpoint, client: RawClient, repo: str) -> None:
    data = NOISE.randbytes(12_000_000)
    url = urlsplit(action(client, repo, "upload", data))
    with connect(endpoint) as connection:
        head = f"PUT {url.path}?{url.query} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(data)}\r\n\r\n"
        connection.sendall(head.encode() + data[:10_000_000])
        wait_until(lambda: len(unfinished(endpoint)) == 1)
        connection.shutdown(socket.SHUT_RDWR)
    wait_until(lambda: not unfinished(endpoint))
    assert not stored(endpoint, data)


def wait_until(holds: Any) -> None:
    ends = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < ends
        time.sleep(0.01)


@pytest.mark.parametrize(
    "where",
    [
        "pyxet.server.plain_upload.write_all",
        "pyxet.server.plain_upload.os.fsync",
        "pyxet.server.content.ObjectStore.keep",
    ],
)
def test_a_full_disk_is_507(
    endpoint: LocalEndpoint, client: RawClient, repo: str, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    data = NOISE.randbytes(9_000_000)
    url = action(client, repo, "upload", data)
    with monkeypatch.context() as patched:
        patched.setattr(where, full)
        answer = RawClient(endpoint).call("PUT", url, data)
    assert (answer.status, "full" in answer.json["message"]) == (507, True)
    assert not unfinished(endpoint)
    assert not stored(endpoint, data)
    assert RawClient(endpoint).call("PUT", url, data).status == 200
    assert pulled(client, repo, data) == data


def test_content_of_many_xorbs(
    endpoint: LocalEndpoint, client: RawClient, repo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More than fits into one, than is remembered of places, and than one shard lists; repeated within itself."""
    monkeypatch.setattr(plain_upload, "MAX_XORB_BYTES", 1_000_000)
    monkeypatch.setattr(plain_upload, "_MAX_PLACES", 40)
    monkeypatch.setattr(plain_upload, "_MAX_LEARNED", 20)
    monkeypatch.setattr(content_store, "MAX_SHARD_BYTES", 5000)
    part = NOISE.randbytes(700_000)
    data = NOISE.randbytes(5_000_000) + part + b"\0" * 400_000 + part + NOISE.randbytes(100)
    xorbs = sum(1 for path in (endpoint.root / "xorbs").rglob("*") if path.is_file())
    push(client, repo, data)
    assert sum(1 for path in (endpoint.root / "xorbs").rglob("*") if path.is_file()) > xorbs + 4
    assert pulled(client, repo, data) == data
    line = ("lfsFile", {"path": "a.bin", "algo": "sha256", "oid": sha256(data), "size": len(data)})
    assert client.commit(repo, line).status == 200
    fs = pyxet.XetFS(endpoint.url, "acme", client.token)
    # By chunks, which proves the file's own hash as well.
    assert fs.cat_file(f"{repo}/main/a.bin") == data
    # Whoever sends nearly the same natively finds the chunks.
    fs.pipe(f"{repo}/main/b.bin", data + b"more")
    assert fs.cat_file(f"{repo}/main/b.bin") == data + b"more"


def test_the_store_shares_what_it_has(endpoint: LocalEndpoint, client: RawClient, repo: str) -> None:
    """Of the user's own, and of what is public; of what others keep private it stores a copy."""
    data = NOISE.randbytes(2_000_000)

    def size() -> int:
        return sum(path.stat().st_size for path in (endpoint.root / "xorbs").rglob("*") if path.is_file())

    pyxet.XetFS(endpoint.url, "acme", client.token).pipe(f"{repo}/main/a.bin", data)
    before = size()
    push(client, repo, data + b"the owner's")
    assert size() - before < 200_000
    eve = RawClient(endpoint, endpoint.add_token(f"eve-{NOISE.getrandbits(40):x}"))
    own = made(eve, private=True, owner=str(eve.get("/api/whoami-v2").json["name"]))
    before = size()
    push(eve, own, data + b"another's")
    assert size() - before > 1_900_000
    assert pulled(eve, own, data + b"another's") == data + b"another's"
    assert client.call("PUT", f"/api/models/{repo}/settings", {"visibility": "public"}).status == 200
    third = replace(eve, token=endpoint.add_token(f"third-{NOISE.getrandbits(40):x}"))
    own = made(third, private=True, owner=str(third.get("/api/whoami-v2").json["name"]))
    before = size()
    push(third, own, data + b"a third one's")
    assert size() - before < 200_000


def test_memory_is_bounded(endpoint: LocalEndpoint, client: RawClient, repo: str) -> None:
    """However large the content is: 80 MB take less than half of it."""
    piece = NOISE.randbytes(1_000_000)
    digest = hashlib.sha256()
    for number in range(80):
        digest.update(number.to_bytes(8, "big") + piece)
    size = 80 * (len(piece) + 8)
    objects = [{"oid": digest.hexdigest(), "size": size}]
    asked = {"operation": "upload", "objects": objects}
    [answer] = client.post(f"/{repo}.git/info/lfs/objects/batch", asked).json["objects"]
    url = urlsplit(answer["actions"]["upload"]["href"])
    tracemalloc.start()
    try:
        with connect(endpoint) as connection:
            head = f"PUT {url.path}?{url.query} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {size}\r\n\r\n"
            connection.sendall(head.encode())
            for number in range(80):
                connection.sendall(number.to_bytes(8, "big") + piece)
            assert b" 200 " in connection.makefile("rb").readline()
        asked["operation"] = "download"
        [answer] = client.post(f"/{repo}.git/info/lfs/objects/batch", asked).json["objects"]
        url = urlsplit(answer["actions"]["download"]["href"])
        found = hashlib.sha256()
        with connect(endpoint) as connection:
            connection.sendall(
                f"GET {url.path}?{url.query} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
            )
            file = connection.makefile("rb")
            while file.readline().strip():
                pass
            while data := file.read(1_000_000):
                found.update(data)
        assert found.hexdigest() == digest.hexdigest()
        assert tracemalloc.get_traced_memory()[1] < size // 2
    finally:
        tracemalloc.stop()


# -- huggingface_hub ---------------------------------------------------------------------------------------------------


def test_huggingface_hub_uploads_file_objects(endpoint: LocalEndpoint) -> None:
    """Which it does not send through Xet."""
    code = """
import io
api.create_repo("root/objects")
contents = {"a.bin": os.urandom(3_000_000), "b.bin": b"\\0" * 50_000, "c.txt": b"text"}
for name, data in contents.items():
    api.upload_file(path_or_fileobj=io.BytesIO(data), path_in_repo=name, repo_id="root/objects")
api.upload_file(path_or_fileobj=io.BytesIO(contents["a.bin"]), path_in_repo="again.bin", repo_id="root/objects")
found = {name: pathlib.Path(hf_hub_download("root/objects", name)).read_bytes() for name in contents}
answer = [found == contents, sorted(api.list_repo_files("root/objects"))]
"""
    same, names = run_hf(endpoint, f"import pathlib\n{code}")
    assert same
    assert names == [".gitattributes", "a.bin", "again.bin", "b.bin", "c.txt"]


def test_huggingface_hub_without_xet(endpoint: LocalEndpoint) -> None:
    """Folders up and down, and the scheduler that commits what a program writes."""
    code = """
import pathlib, logging
from huggingface_hub import CommitScheduler
from huggingface_hub.constants import HF_HUB_DISABLE_XET
assert HF_HUB_DISABLE_XET
api.create_repo("root/plain", repo_type="dataset")
folder = pathlib.Path("folder"); (folder / "deep").mkdir(parents=True)
contents = {f"deep/{n}.bin": os.urandom(1000 * n) for n in range(1, 5)} | {"large.bin": os.urandom(12_000_000)}
for name, data in contents.items():
    (folder / name).write_bytes(data)
api.upload_folder(folder_path=folder, repo_id="root/plain", repo_type="dataset")
there = pathlib.Path(snapshot_download("root/plain", repo_type="dataset"))
same = all((there / name).read_bytes() == data for name, data in contents.items())
logs = pathlib.Path("logs"); logs.mkdir()
scheduler = CommitScheduler(repo_id="root/logs", folder_path=logs, every=1000, hf_api=api, squash_history=False)
(logs / "log.bin").write_bytes(b"\\0first")
scheduler.trigger().result()
with (logs / "log.bin").open("ab") as file:
    file.write(b"second")
scheduler.trigger().result()
scheduler.stop()
logged = pathlib.Path(hf_hub_download("root/logs", "log.bin", force_download=True)).read_bytes()
answer = [same, logged.decode()]
"""
    same, logged = run_hf(endpoint, code, xet=False)
    assert same
    assert logged == "\0firstsecond"
