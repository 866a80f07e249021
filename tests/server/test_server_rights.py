"""Who may read, name and learn of which content: a walk over all routes."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

import pytest
from support.people import Folks
from support.raw_client import Answer, Basic, Content, RawClient, regular
from support.rights import NOISE, fresh, own, repository

from pyxet.protocol.hashing import hash_to_hex
from pyxet.server.tokens import Tokens
from pyxet.testing import LocalEndpoint, local_endpoint


def last_line(answer: Answer) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(answer.body.splitlines()[-1])
    return found


@dataclass(frozen=True)
class Place:
    """What the requests of the walk are about."""

    repo: str
    content: Content
    # What nobody has sent yet.
    new: Content

    @property
    def first_chunk(self) -> str:
        assert self.content.xorb is not None
        return hash_to_hex(self.content.xorb.info.chunks[0].hash)

    def parts(self, canonical: str) -> dict[str, str]:
        """What the path's variables stand for."""
        owner, name = self.repo.split("/")
        known = "xorbs", "xorb-grants", "xorb-uploads", "xorb-commits"
        hashes = dict.fromkeys(known, self.content.xorb_name) | {"chunks": self.first_chunk}
        return {
            "kind": "models", "owner": owner, "name": name, "rev": "main", "branch": "work", "num": "1", "comment": "COMMENT",
            "git": ".git", "grant": "0", "rest": "", "oid": self.content.sha256,
            "path": "d" if "/tree/" in canonical else "a.bin",
            "hash": next((value for part, value in hashes.items() if f"/{part}/" in canonical), self.content.name),
        }  # fmt: skip


# Who gets what status: owner, the owner's token for reading, another user, nobody, and all with a token that has ended.
Statuses = tuple[int, int, int, int, int]
# Of a private repository, and of a public one.
READ: tuple[Statuses, Statuses] = ((200, 200, 404, 404, 401), (200, 200, 200, 200, 401))
# What everybody may do who sees the repository, with a token that writes: discuss, and propose changes.
PROPOSE: tuple[Statuses, Statuses] = ((200, 403, 404, 404, 401), (200, 403, 200, 401, 401))
WRITE: tuple[Statuses, Statuses] = ((200, 403, 404, 404, 401), (200, 403, 403, 401, 401))
# Git asks its user for a token where nobody is told whether there is something.
GIT_READ: tuple[Statuses, Statuses] = ((200, 200, 404, 401, 401), (200, 200, 200, 200, 401))
GIT_WRITE: tuple[Statuses, Statuses] = ((200, 403, 404, 401, 401), (200, 403, 403, 401, 401))
# Of names in a body: who may not write to them learns nothing of what is there.
NAMED: tuple[Statuses, Statuses] = ((200, 403, 403, 401, 401),) * 2
ANYBODY: tuple[Statuses, Statuses] = ((200, 200, 200, 200, 200),) * 2
KNOWN: tuple[Statuses, Statuses] = ((200, 200, 200, 401, 401),) * 2
LISTS: tuple[Statuses, Statuses] = ((200, 200, 200, 200, 401),) * 2
# With Xet tokens: those of the repository, one of another user for another repository, none, one that has ended.
CONTENT: tuple[Statuses, Statuses] = ((200, 200, 404, 401, 401),) * 2
# Chunks and xorbs of what others may read are theirs to deduplicate against.
KNOWLEDGE: tuple[Statuses, Statuses] = ((200, 200, 404, 401, 401), (200, 200, 200, 401, 401))
SENDING: tuple[Statuses, Statuses] = ((200, 403, 200, 401, 401),) * 2
NAMING: tuple[Statuses, Statuses] = ((200, 403, 400, 401, 401), (200, 403, 200, 401, 401))
# git-lfs: who has no token is asked for one, before it is told that something is missing.
LFS_READ: tuple[Statuses, Statuses] = ((200, 200, 404, 401, 401), (200, 200, 200, 200, 401))
LFS_WRITE: tuple[Statuses, Statuses] = ((200, 403, 404, 401, 401), (200, 403, 403, 401, 401))
LFS_LOCKS: tuple[Statuses, Statuses] = ((501, 501, 404, 401, 401), (501, 501, 501, 501, 401))
SIGNED: tuple[Statuses, Statuses] = ((403, 403, 403, 403, 403),) * 2

API = "/api/{kind}/{owner}/{name}"
COMMIT = "\n".join(
    json.dumps({"key": key, "value": value}) for key, value in [("header", {"summary": "s"}), regular("w.txt", "w")]
)
GRANT = {"length": 1000, "checksum": {"algo": "crc64nvme", "value": "1"}}
ROUTES: dict[tuple[str, str], tuple[tuple[Statuses, Statuses], Any]] = {
    ("GET", "/api/whoami-v2"): (KNOWN, None),
    ("GET", "/api/agent-harnesses"): (ANYBODY, None),
    ("POST", "/api/validate-yaml"): (ANYBODY, {"content": ""}),
    ("POST", "/v1/telemetry"): (ANYBODY, {}),
    ("GET", "/api/{kind}"): (LISTS, None),
    ("POST", "/api/repos/create"): (NAMED, lambda at: {"organization": "acme", "name": f"{at.repo[5:]}-new"}),
    ("DELETE", "/api/repos/delete"): (NAMED, lambda at: {"organization": "acme", "name": at.repo[5:]}),
    ("POST", "/api/repos/move"): (
        NAMED, lambda at: {"fromRepo": at.repo, "toRepo": f"{at.repo}-moved", "type": "model"},
    ),
    ("GET", API): (READ, None),
    ("GET", f"{API}/revision/{{rev}}"): (READ, None),
    ("GET", f"{API}/auth-check"): (READ, None),
    ("GET", f"{API}/auth-check/write"): (WRITE, None),
    ("GET", f"{API}/refs"): (READ, None),
    ("GET", f"{API}/commits/{{rev}}"): (READ, None),
    ("GET", f"{API}/tree/{{rev}}"): (READ, None),
    ("GET", f"{API}/tree/{{rev}}/{{path}}"): (READ, None),
    ("POST", f"{API}/paths-info/{{rev}}"): (READ, {"paths": ["a.bin"]}),
    ("GET", f"{API}/xet-{{scope}}-token/{{rev}}"): (READ, "read"),
    ("GET", f"{API}/xet-{{scope}}-token/{{rev}} "): (WRITE, "write"),
    ("GET", "/{owner}/{name}/resolve/{rev}/{path}"): (READ, None),
    ("GET", "/{kind}/{owner}/{name}/resolve/{rev}/{path}"): (READ, None),
    ("POST", f"{API}/branch/{{branch}}"): (WRITE, {}),
    ("DELETE", f"{API}/branch/{{branch}}"): (WRITE, None),
    ("POST", f"{API}/tag/{{rev}}"): (WRITE, {"tag": "v1"}),
    ("DELETE", f"{API}/tag/{{rev}}"): (WRITE, None),
    ("POST", f"{API}/super-squash/{{branch}}"): (WRITE, {}),
    ("POST", f"{API}/preupload/{{rev}}"): (WRITE, {"files": []}),
    ("POST", f"{API}/commit/{{rev}}"): (WRITE, COMMIT),
    # The pull request is the owner's.
    ("POST", f"{API}/preupload/{{rev}} "): (PROPOSE, {"files": []}),
    ("POST", f"{API}/commit/{{rev}} "): (PROPOSE, COMMIT),
    ("GET", f"{API}/xet-{{scope}}-token/{{rev}}  "): (PROPOSE, "write"),
    ("GET", f"{API}/discussions"): (READ, None),
    ("POST", f"{API}/discussions"): (PROPOSE, {"title": "Talk"}),
    ("GET", f"{API}/discussions/{{num}}"): (READ, None),
    ("POST", f"{API}/discussions/{{num}}/comment"): (PROPOSE, {"comment": "a"}),
    ("POST", f"{API}/discussions/{{num}}/comment/{{comment}}/edit"): (WRITE, {"content": "b"}),
    ("POST", f"{API}/discussions/{{num}}/comment/{{comment}}/hide"): (WRITE, None),
    ("POST", f"{API}/discussions/{{num}}/title"): (WRITE, {"title": "Talk"}),
    ("POST", f"{API}/discussions/{{num}}/status"): (WRITE, {"status": "closed"}),
    ("POST", f"{API}/discussions/{{num}}/merge"): (WRITE, None),
    ("GET", f"{API}/lfs-files"): (READ, None),
    ("POST", f"{API}/lfs-files/batch"): (WRITE, {"deletions": {"sha": [], "rewriteHistory": True}}),
    ("PUT", f"{API}/settings"): (WRITE, {}),
    # Of what they may read: for a repository of their own they might.
    ("POST", f"{API}/duplicate"): (((200, 403, 404, 404, 401), (200, 403, 403, 401, 401)), lambda at: {"repository": f"{at.repo}-copy"}),
    ("POST", f"{API}/lfs-files/duplicate"): (
        ((200, 403, 404, 404, 401), (200, 403, 403, 401, 401)),
        lambda at: {"target": {"type": "model", "name": at.repo}, "files": [{"sha256": at.content.sha256, "xetHash": at.content.name}]},
    ),
    **{
        (method, f"{kind}/{{owner}}/{{name}}{{git}}/info/lfs/{path}"): (statuses, body)
        for kind in ("", "/{kind}")
        for method, path, statuses, body in (
            ("POST", "objects/batch", LFS_READ, {"operation": "download", "objects": []}),
            ("POST", "objects/batch ", LFS_WRITE, {"operation": "upload", "objects": [], "ref": {"name": "refs/heads/main"}}),
            ("GET", "locks", LFS_LOCKS, None),
            ("POST", "locks{rest}", LFS_LOCKS, {}),
        )
    },
    ("GET", "/v1/lfs/{oid}"): (SIGNED, None),
    ("PUT", "/v1/lfs/{oid}"): (SIGNED, b"x"),
    ("POST", "/v1/lfs/{oid}"): (SIGNED, {}),
    ("GET", "/{owner}/{name}{git}/info/refs"): (GIT_READ, "git-upload-pack"),
    ("GET", "/{owner}/{name}{git}/info/refs "): (GIT_WRITE, "git-receive-pack"),
    ("GET", "/{kind}/{owner}/{name}{git}/info/refs"): (GIT_READ, "git-upload-pack"),
    ("GET", "/{kind}/{owner}/{name}{git}/info/refs "): (GIT_WRITE, "git-receive-pack"),
    ("POST", "/{owner}/{name}{git}/git-upload-pack"): (GIT_READ, b"0000"),
    ("POST", "/{owner}/{name}{git}/git-receive-pack"): (GIT_WRITE, b"0000"),
    ("POST", "/{kind}/{owner}/{name}{git}/git-upload-pack"): (GIT_READ, b"0000"),
    ("POST", "/{kind}/{owner}/{name}{git}/git-receive-pack"): (GIT_WRITE, b"0000"),
    ("GET", "/v1/xorbs/default/{hash}"): (SIGNED, None),
    ("HEAD", "/v1/xorbs/default/{hash}"): (KNOWLEDGE, None),
    ("GET", "/v1/chunks/default/{hash}"): (KNOWLEDGE, None),
    ("GET", "/v1/chunks/default-merkledb/{hash}"): (KNOWLEDGE, None),
    ("POST", "/v1/xorbs/default/{hash}"): (SENDING, lambda at: at.new.xorb_bytes),
    # One for what nobody has sent yet, and for what is stored: that need not be sent.
    ("POST", "/v1/xorb-grants/default/{hash} "): (((201, 403, 201, 401, 401),) * 2, GRANT),
    ("POST", "/v1/xorb-grants/default/{hash}"): (((200, 403, 201, 401, 401), (200, 403, 200, 401, 401)), GRANT),
    ("PUT", "/v1/xorb-uploads/default/{hash}/grant/{grant}"): (SIGNED, lambda at: at.new.xorb_bytes),
    # Nobody has that grant.
    ("POST", "/v1/xorb-commits/default/{hash}/grant/{grant}"): (((404, 403, 404, 401, 401),) * 2, None),
    ("POST", "/v1/shards"): (NAMING, lambda at: at.content.shard()),
    ("POST", "/v2/shards"): (NAMING, lambda at: at.content.shard()),
    ("GET", "/v1/reconstructions"): (LISTS, None),
    ("POST", "/v1/reconstructions"): (LISTS, lambda at: json.dumps([{"prefix": "default", "hash": at.content.name}])),
    ("GET", "/v1/reconstructions/{hash}"): (CONTENT, None),
    ("GET", "/v2/reconstructions/{hash}"): (CONTENT, None),
    ("HEAD", "/v1/files/{hash}"): (CONTENT, None),
}  # fmt: skip


def test_the_walk_is_over_every_route(endpoint: LocalEndpoint) -> None:
    """Who adds a route says here who may use it."""
    registered = {
        (route.method, route.resource.canonical)
        for route in endpoint.start().app.router.routes()
        if route.resource is not None
    }
    told = {(method, canonical.strip()) for method, canonical in ROUTES}
    assert {(method, path) for method, path in registered if method != "HEAD"} <= told
    assert {path for _, path in told} == {path for _, path in registered}


def is_of_content(canonical: str) -> bool:
    return canonical.startswith(("/v1/", "/v2/")) and canonical != "/v1/telemetry"


@pytest.mark.parametrize("private", [True, False], ids=["private", "public"])
@pytest.mark.parametrize(("method", "canonical"), ROUTES, ids=map(" ".join, ROUTES))
def test_every_route_knows_who_asks(
    endpoint: LocalEndpoint, owner: RawClient, eve: RawClient, method: str, canonical: str, private: bool
) -> None:
    statuses, body = ROUTES[method, canonical]
    proposing = statuses is PROPOSE and "/discussions" not in canonical
    is_new = method == "POST" and (
        "/xorbs/" in canonical or (canonical.startswith("/v1/xorb-grants") and canonical.endswith(" "))
    )
    canonical = canonical.strip()
    at = Place(repository(owner, private=private), fresh(), fresh(1000))
    assert owner.upload(at.repo, at.content.data).name == at.content.name
    assert owner.commit(at.repo, at.content.line("a.bin"), regular("d/b.txt", "b")).status == 200
    if canonical.endswith("{branch}") and method != "POST":
        assert owner.post(f"/api/models/{at.repo}/branch/work", {}).status == 200
    parts = at.parts(canonical)
    if "super-squash" in canonical or (method == "DELETE" and "/tag/" in canonical):
        parts |= {"branch": "main", "rev": "v0"}
        assert owner.post(f"/api/models/{at.repo}/tag/main", {"tag": "v0"}).status == 200
    if "{scope}" in canonical:
        parts, body = parts | {"scope": body}, None
    if canonical.startswith("/{kind}/"):
        made = {"type": "dataset", "organization": "acme", "name": parts["name"], "private": private}
        assert owner.post("/api/repos/create", made).status == 200
        line = json.dumps({"key": "file", "value": {**regular("a.bin", "x")[1]}})
        head = json.dumps({"key": "header", "value": {"summary": "s"}})
        assert owner.post(f"/api/datasets/{at.repo}/commit/main", f"{head}\n{line}").status == 200
        parts |= {"kind": "datasets"}
    path = canonical.format(**{part: quote(value, safe="") for part, value in parts.items()})
    if canonical == "/v1/reconstructions":
        path += f"?file_id={at.content.name}"
    if proposing:
        path += "?create_pr=1"
    if "{num}" in canonical:
        answer = owner.post(f"/api/models/{at.repo}/commit/main?create_pr=1", COMMIT)
        assert answer.json["pullRequestUrl"].endswith("/discussions/1")
        comments = owner.get(f"/api/models/{at.repo}/discussions/1").json["events"]
        path = path.replace("COMMENT", comments[0]["id"])
    if canonical.endswith("/info/refs"):
        path, body = f"{path}?service={body}", None
    reader = RawClient(endpoint, endpoint.add_token("acme", "read"))
    ended = RawClient(endpoint, endpoint.add_token("acme", expires=1.0))
    if is_of_content(canonical):
        past = Tokens((endpoint.root / "secret").read_bytes(), clock=lambda: time.time() - 2 * 24 * 3600)
        token, _ = past.mint(f"{at.repo}", "write", "acme")
        eve, ended = eve.cas(own(eve)), replace(ended, token=token)
        reader = reader.cas(at.repo, "read")
        owner = owner.cas(at.repo)
        if is_new:
            path = path.replace(at.content.xorb_name, at.new.xorb_name)
    wanted = dict(zip(("owner", "reader", "eve", "nobody", "ended"), statuses[not private], strict=True))
    clients = {"nobody": RawClient(endpoint), "ended": ended, "eve": eve, "reader": reader, "owner": owner}
    if canonical == "/v1/reconstructions":
        wanted["nobody"] = 401
    # Of whoever runs the endpoint: more right than any.
    wrong_kind = RawClient(endpoint, endpoint.token)
    if not is_of_content(canonical):
        wrong_kind = wrong_kind.cas(at.repo)
    for who, client in clients.items():
        data = body(at) if callable(body) else body
        named = {"Content_Type": "application/json"} if isinstance(data, dict) else {}
        if "/git-" in canonical:
            named = {"Content_Type": f"application/x-{canonical.rpartition('/')[2]}-request"}
        answer = client.call(method, path, data, **named)
        status = answer.status
        if canonical == "/v2/shards" and status == 200 and last_line(answer)["type"] == "error":
            status = 400
        assert status == wanted[who], (who, answer)
        if answer.status >= 400 and method != "HEAD":
            assert answer.body if "{git}" in canonical else answer.json["error"]
        # And what lists tell is what the others would.
        if canonical == "/api/{kind}" and status == 200:
            listed = at.repo in [repo["id"] for repo in answer.json]
            assert listed == (not private or who in ("owner", "reader")), who
        if canonical == "/v1/reconstructions" and status == 200:
            assert (at.content.name in answer.json["files"]) == (who in ("owner", "reader")), who
        # The wrong kind of token is none.
        if canonical not in ("/api/agent-harnesses", "/api/validate-yaml", "/v1/telemetry"):
            answer = wrong_kind.call(method, path, data, **named)
            assert answer.status == (403 if statuses is SIGNED else 401), answer


@pytest.mark.parametrize(("method", "canonical"), ROUTES, ids=map(" ".join, ROUTES))
def test_what_is_private_is_as_what_is_missing_on_every_route(
    endpoint: LocalEndpoint, owner: RawClient, eve: RawClient, method: str, canonical: str
) -> None:
    """For those who may not see it, however they say who they are."""
    _, body = ROUTES[method, canonical]
    canonical = canonical.strip()
    if is_of_content(canonical) or canonical == "/api/{kind}":
        return
    number = f"{NOISE.getrandbits(40):010x}"
    private = Place(f"acme/p{number}", fresh(1000), fresh(1000))
    owner.make_repo(private.repo, private=True)
    assert owner.write(private.repo, {"a.bin": "a", "d/b.txt": "b"})
    assert owner.post(f"/api/models/{private.repo}/commit/main?create_pr=1", COMMIT).status == 200
    missing = replace(private, repo=f"acme/m{number}")
    user = f"narrow{number}"
    folks = Folks(endpoint)
    folks.user(user)
    narrow = folks.token(user, repos=(f"{user}/one",))
    clients = [
        RawClient(endpoint), eve, Basic(endpoint, f"eve:{eve.token}"), narrow, Basic(endpoint, f"{user}:{narrow.token}"),
    ]  # fmt: skip
    for client in clients:
        for headers in ({}, {"User_Agent": "git/2.39.5"}, {"User_Agent": "git-lfs/3.3.0"}):
            found = []
            for at in (private, missing):
                data = body(at) if callable(body) else body
                path = canonical.format(
                    **{part: quote(value, safe="") for part, value in (at.parts(canonical) | {"scope": "read"}).items()}
                )
                if canonical.endswith("/info/refs"):
                    path, data = f"{path}?service={body}", None
                elif "{scope}" in canonical:
                    data = None
                named = {"Content_Type": "application/json"} if isinstance(data, dict) else {}
                answer = client.call(method, path, data, **named, **headers)
                told = {name: value for name, value in answer.headers.items() if name not in ("date", "x-request-id")}
                found.append(f"{answer.status} {told} {answer.body!r}".replace(at.repo, "acme/name"))
            assert found[0] == found[1]


def test_a_closed_endpoint_answers_nothing_without_a_token_of_its_own() -> None:
    """Whatever is asked, also of what is not there."""
    with local_endpoint(anonymous=False) as endpoint:
        main = RawClient(endpoint, endpoint.token)
        main.make_repo("acme/public")
        made = main.upload("acme/public", fresh(1000).data)
        assert main.commit("acme/public", made.line("a.bin")).status == 200
        at = Place("acme/public", made, fresh(1000))
        ended = endpoint.add_token("acme", expires=1.0)
        with local_endpoint() as other:
            RawClient(other, other.token).make_repo("acme/public")
            foreign = [other.token, RawClient(other, other.token).cas("acme/public").token]
        for route in endpoint.start().app.router.routes():
            assert route.resource is not None
            canonical = route.resource.canonical
            path = canonical.format(**at.parts(canonical), scope="read")
            signed = ROUTES.get((route.method, canonical), (None, None))[0] is SIGNED or "/v1/lfs/" in canonical
            for token in ("", ended, *foreign, "xet_", "."):
                answer = RawClient(endpoint, token).call(route.method, path)
                assert answer.status in ((401, 403) if signed else (401,)), (route.method, path, token)
                assert not set(answer.headers) & {"x-repo-commit", "x-xet-hash", "etag", "link", "location"}
        for path in ("/", "/acme/nothing", "/api/models/acme/nothing", "/v1/nothing"):
            assert RawClient(endpoint).get(path).status == 401
