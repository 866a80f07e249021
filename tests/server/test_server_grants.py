"""Upload grants of the endpoint: what a URL is good for, who commits, what is left of the rest; and hf-xet, which uploads by them."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from support.faults import DIRECT, GRANT, SHARD, STORE, UPLOAD, FaultProxy, answer
from support.hf_client import Through, run_hf
from support.http import connect
from support.raw_client import Answer, Content, RawClient

from pyxet.protocol.checksum import crc64_nvme
from pyxet.server.grants import WAITING, Waiting
from pyxet.server.tokens import Tokens
from pyxet.testing import LocalEndpoint, local_endpoint

REPO = "acme/grants"
NOISE = random.Random(1401)


@pytest.fixture(scope="module")
def endpoint() -> Iterator[LocalEndpoint]:
    with local_endpoint(user="acme") as running:
        RawClient(running, running.token).make_repo(REPO)
        yield running


@pytest.fixture
def cas(endpoint: LocalEndpoint) -> RawClient:
    return RawClient(endpoint, endpoint.token).cas(REPO)


def fresh(size: int = 1000) -> Content:
    return Content.of(NOISE.randbytes(size))


def announced(made: Content, **changes: Any) -> dict[str, Any]:
    """What a client says of a xorb before it sends it."""
    data = made.xorb_bytes
    return {"length": len(data), "checksum": {"algo": "crc64nvme", "value": str(crc64_nvme([data]))}} | changes


def ask(cas: RawClient, made: Content, **changes: Any) -> Answer:
    return cas.post(f"/v1/xorb-grants/default/{made.xorb_name}", announced(made, **changes))


def send(cas: RawClient, grant: dict[str, Any], data: bytes, **changes: str | None) -> Answer:
    """The request that a grant asks for, without a token."""
    headers = {name.replace("-", "_"): value for name, value in grant["headers"].items()} | changes
    named = {name: value for name, value in headers.items() if value is not None}
    return replace(cas, token="").call(grant["method"], grant["url"], data, **named)


def commit(cas: RawClient, made: Content, grant: dict[str, Any]) -> Answer:
    return cas.post(f"/v1/xorb-commits/default/{made.xorb_name}/grant/{grant['id']}")


def is_stored(cas: RawClient, made: Content) -> bool:
    return bool(cas.head(f"/v1/xorbs/default/{made.xorb_name}").status == 200)


def unfinished(endpoint: LocalEndpoint) -> list[Path]:
    return list((endpoint.root / "xorbs" / "unfinished").iterdir())


def until(happened: Callable[[], object]) -> None:
    """Wait for what the endpoint does by itself."""
    end = time.monotonic() + 30
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.001)


# -- one xorb ----------------------------------------------------------------------------------------------------------


def test_a_xorb_is_announced_sent_and_committed(endpoint: LocalEndpoint, cas: RawClient) -> None:
    made = fresh(300_000)
    answer = ask(cas, made)
    assert answer.status == 201
    grant = answer.json
    assert set(grant) == {"id", "method", "url", "headers"}
    assert grant["method"] == "PUT"
    assert send(cas, grant, made.xorb_bytes).status == 200
    # Nobody has it before it is committed.
    assert not is_stored(cas, made)
    assert send(cas, grant, made.xorb_bytes).status == 412
    assert commit(cas, made, grant).json == {"was_inserted": True}
    assert is_stored(cas, made)
    assert cas.post("/v1/shards", made.shard()).json == {"result": 1}
    # The answer may have been lost.
    assert commit(cas, made, grant).json == {"was_inserted": False}
    assert ask(cas, made).status == 200
    assert not unfinished(endpoint)


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"length": 0}, 400),
        ({"length": -1}, 400),
        ({"length": 70 << 20}, 413),
        ({"length": "5"}, 400),
        ({"checksum": {"algo": "crc32", "value": "1"}}, 400),
        ({"checksum": {"algo": "crc64nvme", "value": "0x1"}}, 400),
        ({"checksum": {"algo": "crc64nvme", "value": str(2**64)}}, 400),
        ({"checksum": {"algo": "crc64nvme", "value": "٣"}}, 400),
        ({"checksum": {"algo": "crc64nvme", "value": 1}}, 400),
        ({"checksum": None}, 400),
    ],
)
def test_announcements_that_make_no_sense(cas: RawClient, change: dict[str, Any], status: int) -> None:
    answer = ask(cas, fresh(), **change)
    assert answer.status == status
    assert answer.json["error"]


def test_a_url_is_good_for_the_announced_bytes_only(endpoint: LocalEndpoint, cas: RawClient) -> None:
    made, other = fresh(), fresh()
    data = made.xorb_bytes
    damaged = data[:-1] + bytes([data[-1] ^ 1])
    grant = ask(cas, made).json
    for body in (damaged, data[:-1], data + b"x", b"", other.xorb_bytes):
        assert send(cas, grant, body).status == 400
    for change in ({"X_Checksum_Crc64nvme": None}, {"X_Checksum_Crc64nvme": "1"}):
        assert send(cas, grant, data, **change).status == 403
    length = f"length={len(data)}"
    for url in (
        grant["url"].replace(length, f"length={len(data) + 1}"),
        grant["url"].replace(made.xorb_name, other.xorb_name),
        grant["url"].replace(grant["id"], ask(cas, other).json["id"]),
        grant["url"][:-1] + ("0" if grant["url"][-1] != "0" else "1"),
        grant["url"].partition("?")[0],
    ):
        assert url != grant["url"]
        assert send(cas, grant | {"url": url}, data).status == 403
    # Nothing of it counts.
    assert commit(cas, made, grant).status == 404
    assert send(cas, grant, data).status == 200
    assert commit(cas, made, grant).status == 200
    assert not unfinished(endpoint)


def test_a_body_without_a_length_is_measured(endpoint: LocalEndpoint, cas: RawClient) -> None:
    made = fresh()
    for body, status in ((made.xorb_bytes[:-1], 400), (made.xorb_bytes, 200)):
        grant = ask(cas, made).json
        url = urlsplit(grant["url"])
        fields = "".join(f"{name}: {value}\r\n" for name, value in grant["headers"].items())
        head = f"PUT {url.path}?{url.query} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{fields}Transfer-Encoding: chunked\r\n\r\n"
        with connect(endpoint) as connection:
            connection.sendall(head.encode() + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))
            assert int(connection.makefile("rb").readline().split()[1]) == status
        assert commit(cas, made, grant).status == (200 if status == 200 else 404)


def test_a_url_ends(endpoint: LocalEndpoint, cas: RawClient) -> None:
    made = fresh()
    grant = ask(cas, made).json
    past = Tokens((endpoint.root / "secret").read_bytes(), clock=lambda: 1_000_000_000.0)
    query = past.signed_upload(made.xorb_name, grant["id"], len(made.xorb_bytes), crc64_nvme([made.xorb_bytes]))
    answer = send(cas, grant | {"url": f"{grant['url'].partition('?')[0]}?{query}"}, made.xorb_bytes)
    assert (answer.status, "expired" in answer.json["error"]) == (403, True)


def test_what_is_no_xorb_is_found_at_the_commit(endpoint: LocalEndpoint, cas: RawClient) -> None:
    """The checksum is that of the bytes; what they are is looked at here."""
    made, other = fresh(), fresh()
    for data in (b"no xorb at all", other.xorb_bytes):
        checksum = {"algo": "crc64nvme", "value": str(crc64_nvme([data]))}
        grant = ask(cas, made, length=len(data), checksum=checksum).json
        assert send(cas, grant, data).status == 200
        assert commit(cas, made, grant).status == 400
        assert commit(cas, made, grant).status == 404
    assert not is_stored(cas, made)
    assert not is_stored(cas, other)
    assert not unfinished(endpoint)


# -- whose grant it is -------------------------------------------------------------------------------------------------


def test_only_who_got_a_grant_commits_it(endpoint: LocalEndpoint, cas: RawClient) -> None:
    made, other = fresh(), fresh()
    main = RawClient(endpoint, endpoint.token)
    main.make_repo("acme/elsewhere")
    eve = RawClient(endpoint, endpoint.add_token("eve"))
    eve.make_repo("eve/own")
    grant = ask(cas, made).json
    assert send(cas, grant, made.xorb_bytes).status == 200
    assert commit(eve.cas("eve/own"), made, grant).status == 404
    assert commit(main.cas("acme/elsewhere"), made, grant).status == 404
    assert commit(cas, other, grant).status == 404
    assert commit(main.cas(REPO, "read"), made, grant).status == 403
    for name in (grant["id"][:-1], f"{grant['id']}0", "0", "-", "--", grant["id"].replace("-", "")):
        assert commit(cas, made, {"id": name}).status == 404
    # It waits for the one whose it is all the while.
    assert commit(cas, made, grant).json == {"was_inserted": True}


def test_a_grant_tells_nothing_of_what_others_have(endpoint: LocalEndpoint) -> None:
    """Whoever knows the name of a xorb of somebody else's has to send it, and has it only then."""
    main = RawClient(endpoint, endpoint.token)
    main.make_repo("acme/closed", private=True)
    made = main.upload("acme/closed", NOISE.randbytes(1000))
    mallory = RawClient(endpoint, endpoint.add_token("mallory"))
    mallory.make_repo("mallory/own")
    cas = mallory.cas("mallory/own")
    grant = ask(cas, made).json
    assert commit(cas, made, grant).status == 404
    assert cas.post("/v1/shards", made.shard()).status == 400
    assert send(cas, grant, made.xorb_bytes).status == 200
    assert commit(cas, made, grant).json == {"was_inserted": True}
    assert ask(cas, made).status == 200
    assert cas.post("/v1/shards", made.shard()).json == {"result": 1}


def test_a_closed_endpoint_takes_xorbs_by_their_urls() -> None:
    with local_endpoint(anonymous=False, user="acme") as endpoint:
        main = RawClient(endpoint, endpoint.token)
        main.make_repo(REPO)
        cas, made = main.cas(REPO), fresh()
        grant = ask(cas, made).json
        assert RawClient(endpoint).call("PUT", grant["url"].partition("?")[0], b"x").status == 403
        # A token that is sent all the same has to be one.
        assert RawClient(endpoint, "xet_x").call("PUT", grant["url"], made.xorb_bytes).status == 401
        assert send(cas, grant, made.xorb_bytes).status == 200
        assert commit(cas, made, grant).status == 200


# -- what is not committed ---------------------------------------------------------------------------------------------


def test_a_restart_loses_what_waits(tmp_path: Path) -> None:
    made = fresh()
    with local_endpoint(tmp_path, user="acme", token="secret") as endpoint:
        main = RawClient(endpoint, endpoint.token)
        main.make_repo(REPO)
        cas = main.cas(REPO)
        grant = ask(cas, made).json
        assert send(cas, grant, made.xorb_bytes).status == 200
        assert len(unfinished(endpoint)) == 1
    assert not list((tmp_path / "xorbs" / "unfinished").iterdir())
    with local_endpoint(tmp_path, user="acme", token="secret") as endpoint:
        cas = RawClient(endpoint, cas.token)
        assert commit(cas, made, grant).status == 404
        # The URL is as good as before, at the new place.
        url = urlsplit(grant["url"])
        assert send(cas, grant | {"url": f"{url.path}?{url.query}"}, made.xorb_bytes).status == 200
        assert commit(cas, made, grant).json == {"was_inserted": True}


@pytest.mark.parametrize("bound", ["per_user", "total"])
def test_what_waits_is_bounded(
    endpoint: LocalEndpoint, cas: RawClient, bound: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What came first gives way, and its client is told to send it again."""
    waiting = endpoint.start().app[WAITING]
    monkeypatch.setattr(waiting, bound, 3)
    sent = []
    for _ in range(5):
        made = fresh()
        grant = ask(cas, made).json
        assert send(cas, grant, made.xorb_bytes).status == 200
        sent.append((made, grant))
    assert len(waiting) == 3
    until(lambda: len(unfinished(endpoint)) == 3)
    assert [commit(cas, made, grant).status for made, grant in sent] == [404, 404, 200, 200, 200]
    assert not unfinished(endpoint)


def test_one_user_does_not_take_the_place_of_others(
    endpoint: LocalEndpoint, cas: RawClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoint.start().app[WAITING], "per_user", 2)
    eve = RawClient(endpoint, endpoint.add_token("eager"))
    eve.make_repo("eager/own")
    mine = fresh()
    grant = ask(cas, mine).json
    assert send(cas, grant, mine.xorb_bytes).status == 200
    hers = eve.cas("eager/own")
    sent = []
    for _ in range(4):
        made = fresh()
        sent.append((made, ask(hers, made).json))
        assert send(hers, sent[-1][1], made.xorb_bytes).status == 200
    assert commit(cas, mine, grant).status == 200
    assert [commit(hers, *item).status for item in sent] == [404, 404, 200, 200]


def test_what_nobody_commits_goes_after_a_while(
    endpoint: LocalEndpoint, cas: RawClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = endpoint.start().app[WAITING]
    for patience, status in ((0.0, 404), (900.0, 200)):
        monkeypatch.setattr(waiting, "patience", patience)
        made = fresh()
        grant = ask(cas, made).json
        assert send(cas, grant, made.xorb_bytes).status == 200
        if not patience:
            until(lambda: not unfinished(endpoint))
        assert commit(cas, made, grant).status == status
    assert isinstance(waiting, Waiting)


def test_an_upload_that_breaks_off_leaves_nothing(endpoint: LocalEndpoint, cas: RawClient) -> None:
    made = fresh(100_000)
    grant = ask(cas, made).json
    url = urlsplit(grant["url"])
    fields = "".join(f"{name}: {value}\r\n" for name, value in grant["headers"].items())
    size = len(made.xorb_bytes)
    with connect(endpoint) as connection:
        head = f"PUT {url.path}?{url.query} HTTP/1.1\r\nHost: localhost\r\n{fields}Content-Length: {size}\r\n\r\n"
        connection.sendall(head.encode() + made.xorb_bytes[:50_000])
        until(lambda: unfinished(endpoint))
    until(lambda: not unfinished(endpoint))
    assert commit(cas, made, grant).status == 404
    assert send(cas, grant, made.xorb_bytes).status == 200
    assert commit(cas, made, grant).status == 200


# -- without grants ----------------------------------------------------------------------------------------------------


def test_grants_can_be_turned_off() -> None:
    """Only 404 makes hf-xet send xorbs directly."""
    with local_endpoint(user="acme", grants=False) as endpoint:
        main = RawClient(endpoint, endpoint.token)
        main.make_repo(REPO)
        answer = ask(main.cas(REPO), fresh())
        assert (answer.status, answer.code) == (404, None)


# -- hf-xet ------------------------------------------------------------------------------------------------------------

UPLOADS = """
import random
def made(seed, size):
    return random.Random(seed).randbytes(size)
api.create_repo(given["repo"], exist_ok=True)
api.upload_file(path_or_fileobj=made(given["seed"], 300_000), path_in_repo="one.bin", repo_id=given["repo"])
"""
FOLDER = """
os.mkdir("folder")
for number in range(3):
    open(f"folder/{number}.bin", "wb").write(made(given["seed"] + 1 + number, 200_000))
api.upload_folder(folder_path="folder", path_in_repo="many", repo_id=given["repo"])
answer = len(api.list_repo_files(given["repo"]))
"""


@pytest.mark.parametrize("grants", [True, False], ids=["grants", "direct"])
def test_the_real_client_uploads(grants: bool) -> None:
    with local_endpoint(user="acme", grants=grants) as endpoint, FaultProxy(endpoint.url) as proxy:
        assert run_hf(Through(proxy.url, endpoint.token), UPLOADS + FOLDER, repo=REPO, seed=70) == 5
        counts = [proxy.count(pattern) for pattern in (GRANT, UPLOAD, STORE, DIRECT)]
        # Two uploads, a xorb each; the missing route is asked for once in each of them.
        assert counts == ([2, 2, 2, 0] if grants else [2, 0, 0, 2])
        assert proxy.count(SHARD) == 2
        assert not [seen for seen in proxy.seen if seen.line.startswith("PUT ") and "Authorization" in seen.headers]
        client = RawClient(endpoint)
        assert client.get(f"/{REPO}/resolve/main/one.bin").body == random.Random(70).randbytes(300_000)
        for number in range(3):
            data = random.Random(71 + number).randbytes(200_000)
            assert client.get(f"/{REPO}/resolve/main/many/{number}.bin").body == data
        assert not unfinished(endpoint)


@pytest.mark.parametrize(("pattern", "status"), [(UPLOAD, 403), (STORE, 404)])
def test_the_real_client_takes_another_grant(pattern: str, status: int) -> None:
    """Here for what the proxy makes up, as it would for what a restart has lost."""
    with local_endpoint(user="acme") as endpoint, FaultProxy(endpoint.url) as proxy:
        proxy.rule(pattern, answer(status), times=1)
        run_hf(Through(proxy.url, endpoint.token), UPLOADS, repo=REPO, seed=80)
        assert (proxy.count(GRANT), proxy.count(DIRECT)) == (2, 0)
        found = RawClient(endpoint).get(f"/{REPO}/resolve/main/one.bin").body
        assert found == random.Random(80).randbytes(300_000)
