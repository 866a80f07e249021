"""Nothing is trusted: what the local endpoint refuses, and how it says so."""

from __future__ import annotations

import json
import logging
import random
import time
from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import pygit2
import pytest
from support.http import raw_exchange
from support.raw_client import Content, RawClient, regular

from pyxet.protocol.hashing import hash_to_hex
from pyxet.protocol.shard import write_upload_shard
from pyxet.testing import LocalEndpoint, local_endpoint

REPO = "acme/trust"
DATA = random.Random(1).randbytes(700_000)


@pytest.fixture(scope="module")
def endpoint() -> Iterator[LocalEndpoint]:
    with local_endpoint() as running:
        RawClient(running, running.token).make_repo(REPO)
        yield running


@pytest.fixture
def client(endpoint: LocalEndpoint) -> RawClient:
    return RawClient(endpoint, endpoint.token)


@pytest.fixture(scope="module")
def stored(endpoint: LocalEndpoint) -> Content:
    return RawClient(endpoint, endpoint.token).upload(REPO, DATA)


# -- xorbs -------------------------------------------------------------------------------------------------------------


def xorb_files(endpoint: LocalEndpoint) -> set[str]:
    return {str(path) for path in (endpoint.root / "xorbs").rglob("*") if path.is_file()}


def test_a_xorb_is_parsed_and_hashed(endpoint: LocalEndpoint, client: RawClient) -> None:
    made = Content.of(random.Random(2).randbytes(300_000))
    cas = client.cas(REPO)
    url = f"/v1/xorbs/default/{made.xorb_name}"
    data = made.xorb_bytes
    damaged = bytearray(data)
    damaged[1000] ^= 1
    before = xorb_files(endpoint)
    for body in (bytes(damaged), data[:-1], data[:100], b"", b"x", data + b"tail", Content.of(b"other").xorb_bytes):
        answer = cas.post(url, body)
        assert answer.status == 400, body[:20]
        assert answer.headers["x-error-message"]
        assert answer.json["error"]
    assert xorb_files(endpoint) == before
    assert cas.head(url).status == 404
    assert cas.post(url, data).json == {"was_inserted": True}
    assert cas.post(url, data).json == {"was_inserted": False}
    assert cas.head(url).headers["content-length"] == str(len(data))


def test_a_xorb_has_an_upper_limit(client: RawClient) -> None:
    cas = client.cas(REPO)
    answer = cas.post(f"/v1/xorbs/default/{'0' * 64}", b"", Content_Length=str(70 << 20))
    assert answer.status == 413


# -- shards ------------------------------------------------------------------------------------------------------------


def refused(client: RawClient, shard: bytes) -> str:
    """Both routes refuse a shard; the reason."""
    cas = client.cas(REPO)
    assert cas.post("/v1/shards", shard).status == 400
    answer = cas.post("/v2/shards", shard)
    assert answer.status == 200
    last = json.loads(answer.body.splitlines()[-1])
    assert last["type"] == "error"
    assert last["retryable"] is False
    return str(last["message"])


def test_a_shard_names_stored_xorbs(client: RawClient) -> None:
    unknown = Content.of(random.Random(3).randbytes(100_000))
    assert "is not stored" in refused(client, unknown.shard())
    assert client.head(f"/v1/files/{unknown.name}").status == 401
    assert client.cas(REPO).head(f"/v1/files/{unknown.name}").status == 404


def test_a_shard_is_held_to_its_xorbs(client: RawClient, stored: Content) -> None:
    entry, [term] = stored.entry, stored.entry.terms
    assert "verification hash" in refused(client, stored.shard(verification=(b"\1" * 32,)))
    assert "no verification" in refused(client, stored.shard(verification=()))
    assert "another file hash" in refused(client, stored.shard(file_hash=b"\2" * 32))
    assert "length" in refused(client, stored.shard(terms=(replace(term, raw_length=term.raw_length - 1),)))
    assert "beyond" in refused(client, stored.shard(terms=(replace(term, chunk_end=term.chunk_end + 1),)))
    assert "sha256" in refused(client, stored.shard(sha256="ab" * 32))
    chunks = stored.xorb_entry.chunks
    other = replace(stored.xorb_entry, chunks=(chunks[0]._replace(hash=b"\3" * 32), *chunks[1:]))
    assert "other chunks" in refused(client, write_upload_shard([entry], [other]))
    assert refused(client, b"not a shard at all")
    assert refused(client, stored.shard()[:-1])
    assert client.commit(REPO, stored.line("good.bin", oid="ab" * 32)).status == 400


def test_a_shard_is_stored_whole_or_not_at_all(client: RawClient, stored: Content) -> None:
    new = Content.of(DATA[:60_000])
    cas = client.cas(REPO)
    assert cas.post(f"/v1/xorbs/default/{new.xorb_name}", new.xorb_bytes).status == 200
    wrong = replace(stored.entry, verification=(b"\1" * 32,))
    assert "verification" in refused(client, write_upload_shard([new.entry, wrong], [new.xorb_entry]))
    assert cas.head(f"/v1/files/{new.name}").status == 404


# -- signed URLs -------------------------------------------------------------------------------------------------------


def test_a_signed_url_gives_its_ranges_and_nothing_else(client: RawClient, stored: Content) -> None:
    cas = client.cas(REPO, "read")
    plan = cas.get(f"/v2/reconstructions/{stored.name}", Range="bytes=100000-200000").json
    [[fetch]] = plan["xorbs"].values()
    [span] = [part["bytes"] for part in fetch["ranges"]]
    first, last = span["start"], span["end"]
    anonymous = RawClient(client.endpoint)
    body = stored.xorb_bytes
    assert 0 < first < last < len(body) - 1
    good = anonymous.get(fetch["url"], Range=f"bytes={first}-{last}")
    assert (good.status, good.body) == (206, body[first : last + 1])
    assert good.headers["content-range"] == f"bytes {first}-{last}/{len(body)}"
    # A transfer that broke off goes on in the middle.
    assert anonymous.get(fetch["url"], Range=f"bytes={first + 7}-{last}").body == body[first + 7 : last + 1]
    for wanted in (
        f"bytes={first - 1}-{last}", f"bytes={first}-{last + 1}", f"bytes={last + 1}-{last + 2}", f"bytes={first}-",
        "bytes=0-", "bytes=-5", f"bytes={last}-{first}", f"bytes={last}-{last},{first}-{first}", f"bytes={'9' * 4000}-", "x",
    ):  # fmt: skip
        assert anonymous.get(fetch["url"], Range=wanted).status == 403, wanted
    assert anonymous.get(fetch["url"]).status == 403
    assert anonymous.get(f"/v1/xorbs/default/{stored.xorb_name}", Range="bytes=0-1").status == 403


def test_a_changed_signed_url_is_refused(client: RawClient, stored: Content) -> None:
    plan = client.cas(REPO, "read").get(f"/v1/reconstructions/{stored.name}").json
    [[fetch]] = plan["fetch_info"].values()
    span = f"bytes={fetch['url_range']['start']}-{fetch['url_range']['end']}"
    url = fetch["url"]
    query = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
    later = str(int(query["expires"]) + 1)
    other = Content.of(b"another xorb").xorb_name
    for changed in (
        url.replace(query["expires"], later), url.replace("ranges=0", "ranges=00"), url.replace(stored.xorb_name, other),
        url[:-1] + ("0" if url[-1] != "0" else "1"), url.partition("&signature")[0], url.replace("signature=", "signature=%C3%A9"),
    ):  # fmt: skip
        assert changed != url
        assert client.get(changed, Range=span).status == 403, changed
    assert client.get(url, Range=span).status == 206


def test_signed_urls_and_tokens_end() -> None:
    from pyxet.errors import AccessDeniedError, AuthenticationError
    from pyxet.server.tokens import URL_LIFE, XET_TOKEN_LIFE, Account, Tokens

    now = time.time()
    moments = [now]
    tokens = Tokens(b"secret", clock=lambda: moments[-1])
    query = dict(pair.split("=") for pair in tokens.signed_query("x", [(0, 10)]).replace("%2C", ",").split("&"))
    tokens.check_query("x", query, [(0, 10)])
    token, expires = tokens.mint("acme/x", "read", "test")
    assert expires == int(now) + XET_TOKEN_LIFE >= now + 300
    assert tokens.check(token, "read").repo == "acme/x"
    tokens.add_account("temporary", Account("guest", "read", now + 60))
    assert tokens.account("temporary").user == "guest"
    moments.append(now + max(URL_LIFE, XET_TOKEN_LIFE) + 1)
    with pytest.raises(AccessDeniedError, match="expired"):
        tokens.check_query("x", query, [(0, 10)])
    with pytest.raises(AuthenticationError, match="expired"):
        tokens.check(token, "read")
    with pytest.raises(AuthenticationError, match="expired"):
        tokens.account("temporary")


# -- tokens ------------------------------------------------------------------------------------------------------------


def test_cas_needs_a_xet_token_of_the_right_scope(client: RawClient, stored: Content) -> None:
    read = client.cas(REPO, "read")
    assert read.head(f"/v1/files/{stored.name}").headers["content-length"] == str(len(DATA))
    assert read.post("/v2/shards", stored.shard()).status == 403
    assert read.post("/v1/shards", stored.shard()).status == 403
    assert read.post(f"/v1/xorbs/default/{stored.xorb_name}", stored.xorb_bytes).status == 403
    body, _, signature = read.token.removeprefix("xet_").partition(".")
    forged = [client.token, "", "xet_", f"xet_{body}.{'0' * 64}", f"xet_{body[:-4]}AAAA.{signature}", "xet_é.é", "."]
    for token in forged:
        intruder = RawClient(client.endpoint, token.encode().decode("latin-1"))
        assert intruder.get(f"/v2/reconstructions/{stored.name}").status == 401, token
        assert intruder.post("/v2/shards", stored.shard()).status == 401, token


def test_who_may_do_what(endpoint: LocalEndpoint, client: RawClient) -> None:
    client.make_repo("acme/secret", visibility="private")
    client.write("acme/secret", {"a.txt": "hidden"})
    reader = RawClient(endpoint, endpoint.add_token("test", "read"))
    guest = RawClient(endpoint, endpoint.add_token("guest"))
    ended = RawClient(endpoint, endpoint.add_token("test", expires=1.0))
    nobody, wrong = RawClient(endpoint), RawClient(endpoint, "xet_wrong")
    paths = [
        "/api/models/acme/secret", "/api/models/acme/secret/refs", "/api/models/acme/secret/commits/main",
        "/api/models/acme/secret/tree/main", "/api/models/acme/secret/auth-check", "/acme/secret/resolve/main/a.txt",
        "/api/models/acme/secret/xet-read-token/main", "/api/models/acme/secret/xet-write-token/main",
    ]  # fmt: skip
    for path in paths:
        assert reader.get(path).status == (403 if "write" in path else 200), path
        for outsider in (guest, nobody):
            answer = outsider.get(path)
            assert (answer.status, answer.code) == (404, "RepoNotFound"), path
            # Nothing tells a hidden repository from one that is not there.
            assert answer.body == outsider.get(path.replace("secret", "nosuch")).body.replace(b"nosuch", b"secret")
        for refused in (ended, wrong):
            assert refused.get(path).status == 401
    for visitor, seen in ((reader, True), (guest, False), (nobody, False)):
        listed = [repo["id"] for repo in visitor.get("/api/models").json]
        assert ("acme/secret" in listed) == seen
        assert REPO in listed
    line = regular("b.txt", "text")
    assert [who.commit(REPO, line).status for who in (reader, guest, nobody, ended)] == [403, 403, 401, 401]
    assert [who.commit("acme/secret", line).status for who in (reader, guest, nobody)] == [403, 404, 404]
    guest.make_repo("guest/own")
    assert guest.write("guest/own", {"a.txt": "mine"})
    create = {"name": "x", "organization": "acme"}
    assert [who.post("/api/repos/create", create).status for who in (reader, guest, nobody)] == [403, 403, 401]
    assert guest.call("DELETE", "/api/repos/delete", {"name": "trust", "organization": "acme"}).status == 403
    assert guest.get(f"/api/models/{REPO}/auth-check").status == 200
    assert guest.get(f"/api/models/{REPO}/auth-check/write").status == 403
    assert client.get(f"/api/models/{REPO}/auth-check/write").status == 200


def test_a_sha256_does_not_open_what_is_private(endpoint: LocalEndpoint, client: RawClient) -> None:
    client.make_repo("acme/vault", visibility="private")
    secret = client.upload("acme/vault", random.Random(4).randbytes(50_000))
    assert client.commit("acme/vault", secret.line("key.bin")).status == 200
    guest = RawClient(endpoint, endpoint.add_token("thief"))
    guest.make_repo("thief/repo")
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{secret.sha256}\nsize {len(secret.data)}\n"
    for line in (secret.line("mine.bin"), regular("mine.bin", pointer)):
        answer = guest.commit("thief/repo", line)
        assert answer.status == 400
        assert b"was not uploaded" in answer.body
    # Whoever has the content may say so by uploading it; then it is theirs as well.
    guest.upload("thief/repo", secret.data)
    assert guest.commit("thief/repo", secret.line("mine.bin")).status == 200
    # And what a repository that they see holds, they may name.
    client.make_repo("acme/open")
    public = client.upload("acme/open", random.Random(5).randbytes(50_000))
    assert guest.commit("thief/repo", public.line("theirs.bin")).status == 200


def test_a_xet_token_reads_the_content_of_its_repository(endpoint: LocalEndpoint, client: RawClient) -> None:
    client.make_repo("acme/hoard", visibility="private")
    secret = client.upload("acme/hoard", random.Random(6).randbytes(300_000))
    assert client.commit("acme/hoard", secret.line("key.bin")).status == 200
    guest = RawClient(endpoint, endpoint.add_token("visitor"))
    guest.make_repo("visitor/repo")
    own = guest.upload("visitor/repo", random.Random(7).randbytes(50_000))
    tokens = [guest.cas("visitor/repo"), guest.cas(REPO, "read"), RawClient(endpoint).cas(REPO, "read")]

    def reads(cas: RawClient, content: Content) -> bool:
        """All routes say the same, and the same as of what is not there."""
        routes = [f"/v1/reconstructions/{content.name}", f"/v2/reconstructions/{content.name}"]
        found = {cas.get(route).status for route in routes} | {cas.head(f"/v1/files/{content.name}").status}
        batch = cas.get(f"/v1/reconstructions?file_id={content.name}").json
        assert found in ({200}, {404})
        assert (content.name in batch["files"]) == (found == {200}) == bool(batch["fetch_info"])
        if found == {404}:
            unknown = cas.get(f"/v2/reconstructions/{'ab' * 32}")
            assert cas.get(routes[1]).body == unknown.body.replace(b"ab" * 32, content.name.encode())
        return found == {200}

    assert [reads(cas, secret) for cas in tokens] == [False] * 3
    # What was uploaded for it a moment ago, with or without a commit.
    assert [reads(cas, own) for cas in tokens] == [True, False, False]
    assert reads(client.cas("acme/hoard", "read"), secret)
    # Also whoever runs the endpoint uses the token of the repository.
    assert not reads(client.cas(REPO, "read"), secret)
    # Whoever has the content may upload it; then their repository has it, too.
    again = guest.upload("visitor/repo", secret.data)
    assert [reads(cas, again) for cas in tokens] == [True, False, False]
    assert guest.commit("visitor/repo", again.line("a.bin")).status == 200
    # The token is the repository's by any name, and nobody's when that has gone or is closed.
    token = guest.cas("visitor/repo", "read")
    stranger = RawClient(endpoint).cas("visitor/repo", "read")
    guest.post("/api/repos/move", {"fromRepo": "visitor/repo", "toRepo": "visitor/new", "type": "model"})
    assert reads(token, again)
    assert reads(stranger, again)
    guest.call("PUT", "/api/models/visitor/new/settings", {"private": True})
    assert reads(token, again)
    assert not reads(stranger, again)
    guest.call("DELETE", "/api/repos/delete", {"name": "new"})
    assert not reads(token, again)


def test_what_a_repository_shows_may_be_read(endpoint: LocalEndpoint, client: RawClient, stored: Content) -> None:
    """Content that is known by no sha256, and pointers that git brought here from another repository."""
    client.make_repo("acme/closed", visibility="private")
    client.make_repo("acme/pushed")
    guest, anonymous = RawClient(endpoint, endpoint.add_token("visitor")), RawClient(endpoint)
    secret = client.upload("acme/closed", random.Random(8).randbytes(60_000))
    nameless = Content.of(random.Random(9).randbytes(60_000))
    cas = client.cas("acme/closed")
    assert cas.post(f"/v1/xorbs/default/{nameless.xorb_name}", nameless.xorb_bytes).status == 200
    assert cas.post("/v1/shards", nameless.shard(sha256=None)).status == 200
    assert cas.get(f"/v2/reconstructions/{nameless.name}").status == 200
    assert guest.cas(REPO, "read").get(f"/v2/reconstructions/{nameless.name}").status == 404
    # Both who brought it without a sha256 and who told that later.
    guest.make_repo("visitor/told")
    assert guest.upload("visitor/told", nameless.data).name == nameless.name
    for who, repo in ((guest, "visitor/told"), (client, "acme/closed")):
        assert who.cas(repo, "read").get(f"/v2/reconstructions/{nameless.name}").status == 200
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{secret.sha256}\nsize {len(secret.data)}\n"
    bare = pygit2.Repository(str(endpoint.root / "repos" / "models" / "acme" / "pushed.git"))
    tree = bare.TreeBuilder()
    tree.insert("x.bin", bare.create_blob(pointer.encode()), pygit2.enums.FileMode.BLOB)
    author = pygit2.Signature("git", "git@x")
    bare.create_commit(
        "refs/heads/main", author, author, "pushed", tree.write(), [bare.references["refs/heads/main"].target]
    )
    bare.free()
    read = anonymous.cas("acme/pushed", "read")
    assert read.get(f"/v2/reconstructions/{secret.name}").status == 404
    assert anonymous.get("/api/models/acme/pushed/tree/main").json[0]["xetHash"] == secret.name
    assert read.get(f"/v2/reconstructions/{secret.name}").status == 200


# -- commits -----------------------------------------------------------------------------------------------------------


def test_a_commit_names_known_content(client: RawClient, stored: Content) -> None:
    head = client.get(f"/api/models/{REPO}").json["sha"]
    unknown = "ab" * 32
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{unknown}\nsize 5\n"
    refusals = [
        client.commit(REPO, ("lfsFile", {"path": "x.bin", "algo": "sha256", "oid": unknown, "size": 5})),
        client.commit(REPO, regular("x.bin", pointer)),
        client.commit(REPO, stored.line("x.bin", size=len(DATA) + 1)),
        client.commit(REPO, stored.line("x.bin", algo="md5")),
        client.commit(REPO, regular("good.txt", "text"), stored.line("x.bin", oid="../../etc/passwd")),
    ]
    assert [answer.status for answer in refusals] == [400] * len(refusals)
    assert client.get(f"/api/models/{REPO}").json["sha"] == head
    assert client.commit(REPO, stored.line("copied.bin", size=None)).status == 200
    [info] = client.post(
        f"/api/models/{REPO}/paths-info/main", {"paths": ["copied.bin"]}, Content_Type="application/json"
    ).json
    assert info["lfs"]["oid"] == stored.sha256
    assert info["size"] == info["lfs"]["size"] == len(DATA)
    assert info["xetHash"] == stored.name


BAD_PATHS = [
    "", "/", "/a", "a//b", "a/", ".", "..", "a/../b", "a/./b", "../../x", ".git", ".git/config", "a/.GIT/x", "sub/.git",
    ".git.", ".git ", ".g\u200cit", "git~1", "a\\.git\\b", ".git\\x", "..\\x", "a\\..", "nul\0", "a" * 256, "\ud800",
    "/".join("d" * 256), "/".join(["d" * 250] * 17),
]  # fmt: skip


@pytest.mark.parametrize("path", BAD_PATHS, ids=ascii)
def test_paths_are_normalized(client: RawClient, stored: Content, path: str) -> None:
    for line in (
        regular(path, "x"), stored.line(path), ("deletedFile", {"path": path}), ("deletedFolder", {"path": f"{path}/"}),
    ):  # fmt: skip
        answer = client.commit(REPO, line)
        assert answer.status == 400, line
        assert answer.json["error"]
    sample = {"path": path, "size": 1, "sample": "eA=="}
    assert client.post(f"/api/models/{REPO}/preupload/main", {"files": [sample]}).status == 400


def test_names_of_repositories_do_not_leave_the_folder(endpoint: LocalEndpoint, client: RawClient) -> None:
    for name in ("..", ".hidden", "a/b", "a\\b", "x.git", "", "-x", "é", "a" * 97, "a..b"):
        answer = client.post("/api/repos/create", {"name": name, "organization": "acme"})
        assert answer.status == 400, name
        assert client.post("/api/repos/create", {"name": "x", "organization": name or "-"}).status in (400, 403), name
    outside = endpoint.root.parent / f"{endpoint.root.name}-outside.git"
    assert not outside.exists()
    for owner in ("..%2F..%2F..%2F..", "%2e%2e", ".."):
        answer = client.get(f"/api/models/{owner}/trust")
        assert answer.status == 404
    assert client.get("/api/models/acme%2Ftrust/..%2F..%2Fx").code == "RepoNotFound"
    assert client.get("/api/models?author=*").json == []
    assert client.get("/api/models?author=..%2F..").json == []


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b'{"key":"header"}', b'{"key":"header","value":{"summary":""}}', b"\xff\xfe",
        b'{"key":"nosuch","value":{}}', b'{"key":"file","value":{"path":"a","content":"eA=="}}',
        b'{"key":"header","value":{"summary":"s"}}\n{"key":"file","value":{"path":"a","content":"***"}}',
        b'{"key":"header","value":{"summary":"s"}}\n{"key":"file","value":{"path":"a","content":"\xc3\xa9"}}',
        b'{"key":"header","value":{"summary":"s"}}\n{"key":"file","value":{"path":5,"content":"eA=="}}',
    ],
)  # fmt: skip
def test_nonsense_is_refused_in_json(client: RawClient, body: bytes) -> None:
    for path in (f"/api/models/{REPO}/commit/main", f"/api/models/{REPO}/preupload/main", "/api/repos/create"):
        answer = client.post(path, body)
        assert answer.status == 400, path
        assert answer.json["error"]


def test_a_failure_tells_no_traceback(
    endpoint: LocalEndpoint, client: RawClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pyxet.server.git_repository import Repository

    def fail(self: object, revision: str) -> None:
        raise RuntimeError("a secret of the inside")

    monkeypatch.setattr(Repository, "resolve", fail)
    answer = client.get(f"/api/models/{REPO}")
    assert answer.status == 500
    assert answer.headers["content-type"].startswith("application/json")
    assert b"secret" not in answer.body
    assert b"Traceback" not in answer.body


def test_a_chunk_query_shows_no_hashes(client: RawClient, stored: Content) -> None:
    from pyxet.protocol.hashing import keyed_chunk_hash
    from pyxet.protocol.shard import parse_shard

    assert stored.xorb is not None
    first = stored.xorb.info.chunks[0].hash
    cas = client.cas(REPO)
    answer = cas.get(f"/v1/chunks/default/{hash_to_hex(first)}")
    shard = parse_shard(answer.body)
    assert shard.footer is not None
    assert shard.footer.key != bytes(32)
    assert shard.footer.expires > time.time()
    [entry] = shard.xorbs
    assert entry.xorb_hash == stored.xorb.info.hash
    expected = [keyed_chunk_hash(shard.footer.key, chunk.hash) for chunk in stored.xorb.info.chunks]
    assert [chunk.hash for chunk in entry.chunks] == expected
    assert first not in answer.body
    assert shard.files == ()
    assert cas.get(f"/v1/chunks/default/{'12' * 32}").status == 404


@pytest.mark.parametrize(
    "line",
    [
        f"Authorization: Bearer SECRET{'x' * 9000}", "Authorization: Bearer SECRET\x01", "Authorization : Bearer SECRET",
        "Authorization Bearer SECRET", "Content-Length: SECRET", "X: SECRET\0", f"SECRET{'x' * 9000}: x",
    ],
)  # fmt: skip
def test_a_head_that_cannot_be_read_stays_out_of_the_log(
    endpoint: LocalEndpoint, caplog: pytest.LogCaptureFixture, line: str
) -> None:
    with caplog.at_level(logging.DEBUG):
        head = f"GET /api/models HTTP/1.1\r\nHost: localhost\r\n{line}\r\n\r\n"
        assert raw_exchange(endpoint, head.encode())[0] == 400
    assert "cannot be read" in caplog.text
    assert "SECRET" not in caplog.text
    assert max(record.levelno for record in caplog.records) < logging.WARNING


@pytest.mark.parametrize(
    "first", ["GET /x?token=SECRET y HTTP/1.1", "GET http://u:SECRET@[::z/ HTTP/1.1", "SECRET / HTTP/1.1"]
)
def test_a_first_line_that_cannot_be_read_stays_out_of_the_log(
    endpoint: LocalEndpoint, caplog: pytest.LogCaptureFixture, first: str
) -> None:
    with caplog.at_level(logging.DEBUG):
        raw_exchange(endpoint, f"{first}\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    assert "SECRET" not in caplog.text


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
@pytest.mark.parametrize("service", ["git-receive-pack", "git-upload-pack"])
def test_a_damaged_body_is_no_failure_in_the_log(
    endpoint: LocalEndpoint, client: RawClient, caplog: pytest.LogCaptureFixture, encoding: str, service: str
) -> None:
    with caplog.at_level(logging.INFO):
        answer = client.post(
            f"/{REPO}/{service}", b"not compressed at all", Content_Type=f"application/x-{service}-request",
            Content_Encoding=encoding, Connection="close",
        )  # fmt: skip
        assert answer.status == 400
        # A connection of its own that ends after whatever the endpoint has to say about the first one.
        assert client.get("/api/whoami-v2").status == 200
    assert "Traceback" not in caplog.text
    assert not [record for record in caplog.records if record.levelno > logging.INFO]
