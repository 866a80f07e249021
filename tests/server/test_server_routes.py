"""The local endpoint's routes, by hand: paging, ranges, encodings, and what each call answers."""

from __future__ import annotations

import base64
import hashlib
import json
import random
from collections.abc import Iterator
from typing import Any

import pytest
from blockbuster import blockbuster_ctx
from support.raw_client import Content, RawClient, regular

from pyxet.protocol.cas_messages import ReconstructionV1, ReconstructionV2
from pyxet.protocol.decoding import ChunkDecoder
from pyxet.protocol.messages import decode
from pyxet.protocol.reconstruction import plan_from_v1, plan_from_v2
from pyxet.testing import LocalEndpoint, local_endpoint

REPO = "acme/routes"
API = f"/api/models/{REPO}"
DATA = random.Random(7).randbytes(1_500_000)
EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.fixture(scope="module", autouse=True)
def nothing_blocks() -> Iterator[None]:
    """A blocking call on the endpoint's event loop is an error, which the answers would show."""
    with blockbuster_ctx():
        yield


@pytest.fixture(scope="module")
def endpoint() -> Iterator[LocalEndpoint]:
    with local_endpoint() as running:
        client = RawClient(running, running.token)
        client.make_repo(REPO)
        client.write(REPO, {"README.md": "# read me\n", "dir/sub/é x#?.txt": "odd name", "dir/b.txt": "0123456789"})
        client.commit(REPO, client.upload(REPO, DATA).line("big.bin"))
        yield running


@pytest.fixture
def client(endpoint: LocalEndpoint) -> RawClient:
    return RawClient(endpoint, endpoint.token)


# -- content -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("path", "content"), [("big.bin", DATA), ("dir/b.txt", b"0123456789")])
def test_ranges(client: RawClient, path: str, content: bytes) -> None:
    size = len(content)
    url = f"/{REPO}/resolve/main/{path}"
    for wanted, start, end in (
        ("bytes=0-0", 0, 1), ("bytes=3-5", 3, 6), ("bytes=2-", 2, size), ("bytes=-4", size - 4, size),
        (f"bytes=-{size + 9}", 0, size), (f"bytes=1-{size + 9}", 1, size), (f"bytes={size - 1}-", size - 1, size),
    ):  # fmt: skip
        answer = client.get(url, Range=wanted)
        assert (answer.status, answer.body) == (206, content[start:end]), wanted
        assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/{size}"
    # What is no range, or several, is ignored.
    for wanted in ("bytes=5-3", "bytes=-", "lines=1-2", "bytes=0-1,3-4", "bytes=x-y", f"bytes={'1' * 30}-"):
        answer = client.get(url, Range=wanted)
        assert (answer.status, answer.body) == (200, content), wanted
        assert "content-range" not in answer.headers
    for wanted in (f"bytes={size}-", f"bytes={size + 5}-{size + 9}", "bytes=-0"):
        answer = client.get(url, Range=wanted)
        assert answer.status == 416, wanted
        assert answer.headers["content-range"] == f"bytes */{size}"


def test_head_tells_all_and_reads_nothing(client: RawClient, monkeypatch: pytest.MonkeyPatch) -> None:
    from pyxet.server.content import ContentStore
    from pyxet.server.git_repository import Repository

    made = Content.of(DATA)
    url = f"/{REPO}/resolve/main/big.bin"
    got = client.get(url)
    with monkeypatch.context() as patched:
        patched.setattr(ContentStore, "read", None)
        patched.setattr(Repository, "blob", None)
        head = client.head(url, Range="bytes=1-2")
        regular_head = client.head(f"/{REPO}/resolve/main/dir/b.txt")
    assert (head.status, head.body) == (200, b"")
    for name in ("etag", "x-linked-etag", "x-linked-size", "x-repo-commit", "x-xet-hash", "link", "content-length"):
        assert head.headers[name] == got.headers[name]
    assert head.headers["x-linked-etag"] == f'"{made.sha256}"'
    assert head.headers["x-linked-size"] == head.headers["content-length"] == str(len(DATA))
    assert head.headers["x-xet-hash"] == made.name
    assert '; rel="xet-auth"' in head.headers["link"]
    assert "x-xet-hash" not in regular_head.headers
    assert regular_head.headers["content-length"] == "10"
    assert regular_head.headers["etag"] == '"ad471007bd7f5983d273b9584e5629230150fd54"'


def test_missing_files_and_revisions(client: RawClient) -> None:
    head = client.get(API).json["sha"]
    for path in ("nosuch", "dir", "dir/nosuch", "README.md/x", "%00", "line%0Abreak", "%F0%9F%98%80"):
        for answer in (client.get(f"/{REPO}/resolve/main/{path}"), client.head(f"/{REPO}/resolve/main/{path}")):
            assert (answer.status, answer.code) == (404, "EntryNotFound"), path
            assert answer.headers["x-repo-commit"] == head
            assert answer.headers["x-error-message"]
    for revision in ("nosuch", "0" * 40, "refs%2Fpr%2F1", "a..b", "x%20y", "%00", "1234567", "refs%2Fheads%2F", "-x"):
        for path in (f"/{REPO}/resolve/{revision}/README.md", f"{API}/revision/{revision}", f"{API}/tree/{revision}",
                     f"{API}/commits/{revision}"):  # fmt: skip
            answer = client.get(path)
            assert (answer.status, answer.code) == (404, "RevisionNotFound"), path
    assert client.get("/acme/nosuch/resolve/main/x").code == "RepoNotFound"
    assert client.get("/datasets/acme/routes/resolve/main/README.md").code == "RepoNotFound"
    assert client.get("/nothing/here").status == 404
    assert client.call("PUT", API).status == 405
    assert "error" in client.call("PUT", API).json


def test_revisions_in_all_their_forms(client: RawClient) -> None:
    head = client.get(API).json["sha"]
    assert client.post(f"{API}/branch/feature%2Fone", {"startingPoint": "main"}).status == 200
    assert client.post(f"{API}/tag/main", {"tag": "v%1"}).status == 200
    for revision in ("main", "feature%2Fone", "feature%2fone", "refs%2Fheads%2Fmain", "v%251", head, head[:8]):
        assert client.get(f"{API}/revision/{revision}").json["sha"] == head, revision
        assert client.get(f"/{REPO}/resolve/{revision}/README.md").body == b"# read me\n"
    assert client.get(f"{API}/xet-write-token/None").status == 200
    assert client.call("DELETE", f"{API}/branch/feature%2Fone").status == 200


def test_names_with_every_kind_of_character(client: RawClient) -> None:
    assert client.get(f"/{REPO}/resolve/main/dir/sub/%C3%A9%20x%23%3F.txt").body == b"odd name"
    [entry] = client.get(f"{API}/tree/main/dir%2Fsub").json
    assert entry["path"] == "dir/sub/é x#?.txt"
    assert client.get(f"{API}/tree/main/dir/sub/").json == [entry]
    form = "paths=dir%2Fsub%2F%C3%A9+x%23%3F.txt&paths=nosuch&paths=dir&paths=&expand=false"
    found = client.post(f"{API}/paths-info/main", form, Content_Type="application/x-www-form-urlencoded").json
    assert [(item["type"], item["path"]) for item in found] == [("file", entry["path"]), ("directory", "dir")]
    body = {"paths": ["big.bin"], "expand": True}
    [big] = client.post(f"{API}/paths-info/main", body, Content_Type="application/json").json
    assert set(big) == {"type", "path", "oid", "size", "lfs", "xetHash", "lastCommit"}
    assert set(big["lfs"]) == {"oid", "size", "pointerSize"}
    assert big["lastCommit"]["date"].endswith("Z")


def test_empty_content_needs_no_upload(client: RawClient) -> None:
    line = ("lfsFile", {"path": "empty.bin", "algo": "sha256", "oid": EMPTY, "size": 0})
    assert client.commit(REPO, line).status == 200
    head = client.head(f"/{REPO}/resolve/main/empty.bin")
    assert head.headers["x-xet-hash"] == "0" * 64
    assert head.headers["content-length"] == "0"
    assert client.get(f"/{REPO}/resolve/main/empty.bin").body == b""
    assert client.get(f"/{REPO}/resolve/main/empty.bin", Range="bytes=0-0").status == 416
    cas = client.cas(REPO, "read")
    plan = cas.get(f"/v2/reconstructions/{'0' * 64}").json
    assert plan == {"offset_into_first_range": 0, "terms": [], "xorbs": {}}
    assert cas.get(f"/v2/reconstructions/{'0' * 64}", Range="bytes=0-10").status == 416
    assert client.cas(REPO).post("/v1/shards", Content.of(b"").shard()).status == 200


@pytest.mark.parametrize(("start", "end"), [(0, len(DATA)), (0, 1), (100_000, 900_001), (len(DATA) - 1, len(DATA))])
def test_reconstructions(client: RawClient, start: int, end: int) -> None:
    made = Content.of(DATA)
    cas = client.cas(REPO, "read")
    wanted = {"Range": f"bytes={start}-{end - 1}"}
    first = plan_from_v1(
        decode(cas.get(f"/v1/reconstructions/{made.name}", **wanted).body, ReconstructionV1, what="v1")
    )
    second = plan_from_v2(
        decode(cas.get(f"/v2/reconstructions/{made.name}", **wanted).body, ReconstructionV2, what="v2")
    )
    for plan in (first, second):
        [part] = plan.terms
        fetched = cas.get(part.fetch.url.reveal(), Range=f"bytes={part.fetch.byte_start}-{part.fetch.byte_end - 1}")
        decoder = ChunkDecoder()
        content = b"".join(bytes(chunk.data) for chunk in decoder.feed(fetched.body))
        decoder.finish()
        assert content[plan.skip : plan.skip + end - start] == DATA[start:end]
        assert len(content) == plan.raw_length
    # Trimmed to the chunks that the range needs.
    assert first.skip == second.skip < 128 * 1024
    assert first.raw_length - first.skip - (end - start) < 128 * 1024


def test_reconstructions_past_the_end(client: RawClient) -> None:
    made = Content.of(DATA)
    cas = client.cas(REPO, "read")
    for version in ("v1", "v2"):
        url = f"/{version}/reconstructions/{made.name}"
        assert cas.get(url, Range=f"bytes={len(DATA)}-{len(DATA) + 10}").status == 416
        assert cas.get(url, Range=f"bytes=5-{10**12}").json["terms"]
        assert cas.get(url, Range="bytes=x").status == 400
        assert cas.get(f"/{version}/reconstructions/{'ab' * 32}").status == 404
        assert cas.get(f"/{version}/reconstructions/nothex").status == 404
    assert RawClient(client.endpoint).post("/v1/telemetry", b"{}").status == 200


# -- pages -------------------------------------------------------------------------------------------------------------


def pages(client: RawClient, path: str) -> Iterator[list[dict[str, Any]]]:
    following: str | None = path
    while following:
        answer = client.get(following)
        assert answer.status == 200, answer
        yield answer.json
        following = answer.following


def test_pages_of_trees_stay_on_their_commit(client: RawClient) -> None:
    client.make_repo("acme/wide")
    names = [f"{folder}/f{number:04}" for folder in ("a", "a-b", "a.b", "a0", "ü") for number in range(430)]
    names += [f"top{number:04}" for number in range(1200)]
    names += ["a/deep/er/x", "z"]
    client.write("acme/wide", dict.fromkeys(names, "x"))
    folders = {"a", "a-b", "a.b", "a0", "ü", "a/deep", "a/deep/er"}
    for query, expected in (
        ("?recursive=true", {*names, *folders}),
        ("?recursive=false", {name for name in names if "/" not in name} | {"a", "a-b", "a.b", "a0", "ü"}),
        ("/a?recursive=true", {name for name in (*names, *folders) if name.startswith("a/")}),
    ):
        following: str | None = f"/api/models/acme/wide/tree/main{query}"
        found: list[str] = []
        count = 0
        while following:
            answer = client.get(following)
            found += [entry["path"] for entry in answer.json]
            following = answer.following
            count += 1
            if count == 1:
                # Whatever happens to the branch, the listing goes on with what it began.
                client.commit(
                    "acme/wide", ("deletedFile", {"path": found[-1] if "f" in found[-1] else "z"}), regular("zz", "x")
                )
        assert len(found) == len(set(found))
        assert set(found) == expected
        assert count == -(-len(expected) // 1000)
        client.write("acme/wide", dict.fromkeys(names, "x"))
        client.commit("acme/wide", ("deletedFile", {"path": "zz"}))
    for cursor in ("nosuch", "a/nosuch", "..", "b/f0001", "%00"):
        assert client.get(f"/api/models/acme/wide/tree/main?cursor={cursor}").status == 400, cursor
    assert client.get("/api/models/acme/wide/tree/main/nosuch").code == "EntryNotFound"
    assert client.get("/api/models/acme/wide/tree/main/z").code == "EntryNotFound"


def test_pages_of_commits_stay_on_their_head(client: RawClient) -> None:
    client.make_repo("acme/long")
    made = [client.write("acme/long", {"a.txt": str(number)}) for number in range(60)]
    walk = pages(client, "/api/models/acme/long/commits/main")
    first = next(walk)
    made_later = client.write("acme/long", {"a.txt": "later"})
    everything = [commit["id"] for commit in first] + [commit["id"] for page in walk for commit in page]
    assert everything[:-1] == made[::-1]
    assert len(everything) == 61
    assert made_later not in everything
    assert client.get("/api/models/acme/long/commits/main?p=x").status == 400
    client.commit("acme/long", regular("b.txt", "b"), summary="a <b>", description="c & d")
    newest = client.get("/api/models/acme/long/commits/main?expand[]=formatted").json[0]
    assert newest["formatted"] == {"title": "a &lt;b&gt;", "message": "c &amp; d"}
    assert (newest["title"], newest["message"]) == ("a <b>", "c & d")
    assert newest["authors"] == [{"user": "test"}]
    assert "formatted" not in client.get("/api/models/acme/long/commits/main").json[0]


def test_lists_of_repositories(client: RawClient) -> None:
    names = ["list/a", "list/a-b", "list/a.b", "list-er/x", "list/B"]
    for name in names:
        client.make_repo(name, type="dataset")
    found = [repo["id"] for page in pages(client, "/api/datasets?limit=2") for repo in page]
    assert sorted(found) == sorted(names)
    assert [repo["id"] for page in pages(client, "/api/datasets?author=list&limit=1") for repo in page] == [
        "list/B", "list/a", "list/a-b", "list/a.b",
    ]  # fmt: skip
    assert [repo["id"] for repo in client.get("/api/datasets?search=A-").json] == ["list/a-b"]
    for sort in ("createdAt", "lastModified"):
        found = [repo["id"] for page in pages(client, f"/api/datasets?sort={sort}&limit=2") for repo in page]
        assert sorted(found) == sorted(names)
    assert client.get("/api/datasets?filter=pytorch").json == []
    assert client.get("/api/datasets?limit=x").status == 400
    assert client.get("/api/datasets?limit=1&full=true").json[0]["siblings"] == []
    assert client.get("/api/spaces").json == []


# -- changes -----------------------------------------------------------------------------------------------------------


def test_repositories_branches_and_tags(client: RawClient) -> None:
    create = {"name": "made", "organization": None, "visibility": "private"}
    answer = client.post("/api/repos/create", create)
    assert answer.json["url"] == f"{client.endpoint.url}/test/made"
    again = client.post("/api/repos/create", create)
    assert (again.status, again.json["url"]) == (409, answer.json["url"])
    assert client.post("/api/repos/create", {"name": "x", "type": "notebook"}).status == 400
    api = "/api/models/test/made"
    assert client.get(api).json["private"] is True
    assert client.post(f"{api}/branch/dev", {}).status == 200
    assert client.post(f"{api}/branch/dev", {}).status == 409
    assert client.post(f"{api}/branch/dev%2Fx", {}).status == 400
    assert client.post(f"{api}/branch/other", {"startingPoint": "nosuch"}).code == "RevisionNotFound"
    for name in ("a..b", "x.lock", "x.lock%2Fy", "-x", "a%20b", "a%2F", "%2Fa", "a~1", "a%2F.b", "@%7B"):
        assert client.post(f"{api}/branch/{name}", {}).status == 400, name
        assert (
            client.post(
                f"{api}/tag/main", {"tag": name.replace("%2F", "/").replace("%20", " ").replace("%7B", "{")}
            ).status
            == 400
        )
    assert client.post(f"{api}/tag/dev", {"tag": "v1", "message": "one"}).status == 200
    assert client.post(f"{api}/tag/dev", {"tag": "v1", "message": "one"}).status == 409
    refs = client.get(f"{api}/refs?include_prs=1").json
    assert [(ref["name"], ref["ref"]) for ref in refs["branches"]] == [
        ("dev", "refs/heads/dev"),
        ("main", "refs/heads/main"),
    ]
    assert [(ref["name"], ref["ref"]) for ref in refs["tags"]] == [("v1", "refs/tags/v1")]
    assert refs["tags"][0]["targetCommit"] == refs["branches"][0]["targetCommit"]
    assert refs["converts"] == refs["pullRequests"] == []
    assert client.call("DELETE", f"{api}/branch/dev").status == 200
    assert client.call("DELETE", f"{api}/branch/dev").code == "RevisionNotFound"
    assert client.call("DELETE", f"{api}/branch/main").status == 400
    assert client.call("DELETE", f"{api}/tag/v1").status == 200
    assert client.call("DELETE", f"{api}/tag/v1").code == "RevisionNotFound"
    client.write("test/made", {"a": "1"})
    client.write("test/made", {"a": "2"})
    assert client.post(f"{api}/super-squash/main", {"message": "one"}).status == 200
    assert [commit["title"] for commit in client.get(f"{api}/commits/main").json] == ["one"]
    assert client.post(f"{api}/super-squash/nosuch", {"message": "one"}).code == "RevisionNotFound"
    sha = client.get(api).json["sha"]
    assert client.post(f"{api}/super-squash/{sha}", {"message": "one"}).code == "RevisionNotFound"


def test_commits(client: RawClient) -> None:
    repo = "acme/commits"
    client.make_repo(repo)
    head = client.write(repo, {"a": "a", "d/x": "x", "d/y": "y", "e/z": "z"})

    def paths() -> list[str]:
        return [entry["path"] for entry in client.get(f"/api/models/{repo}/tree/main?recursive=true").json]

    answer = client.commit(repo, ("deletedFile", {"path": "nosuch"}))
    assert (answer.status, answer.code) == (404, "EntryNotFound")
    assert answer.json["error"].startswith("A file with this name doesn't exist")
    assert client.commit(repo, ("deletedFile", {"path": "d"})).code == "EntryNotFound"
    assert client.commit(repo, ("deletedFolder", {"path": "nosuch/"})).code == "EntryNotFound"
    assert client.commit(repo, regular("a/b", "below a file")).status == 400
    assert client.commit(repo, regular("d", "over a folder")).status == 400
    assert client.commit(repo, regular("q", "1"), regular("q/r", "2")).status == 400
    assert client.commit(repo, regular("a", "a")).json["commitOid"] == head, "nothing changed"
    assert client.commit(repo, regular("b", "b"), parentCommit="0" * 40).status == 412
    assert client.commit(repo, regular("b", "b"), branch="nosuch").code == "RevisionNotFound"
    assert client.commit(repo, regular("b", "b"), branch=head).code == "RevisionNotFound"
    made = client.commit(repo, ("deletedFolder", {"path": "d/"}), regular("d/new", "n"), parentCommit=head)
    assert made.json["commitUrl"] == f"{client.endpoint.url}/{repo}/commit/{made.json['commitOid']}"
    assert paths() == ["a", "d", "d/new", "e", "e/z"]
    # A file becomes a folder and a folder a file; what is left empty goes.
    assert (
        client.commit(
            repo, ("deletedFile", {"path": "a"}), regular("a/b", "1"), ("deletedFile", {"path": "e/z"})
        ).status
        == 200
    )
    assert (
        client.commit(repo, ("deletedFolder", {"path": "d"}), regular("d", "2"), branch="refs/heads/main").status == 200
    )
    assert paths() == ["a", "a/b", "d"]
    text = ("file", {"path": "u.txt", "content": "ü", "encoding": "utf-8"})
    assert client.commit(repo, text, ("deletedFile", {"path": "a/b"}), ("deletedFile", {"path": "d"})).status == 200
    assert client.get(f"/{repo}/resolve/main/u.txt").body == "ü".encode()
    assert client.commit(repo, ("deletedFile", {"path": "u.txt"})).status == 200
    assert paths() == []
    assert client.get(f"/api/models/{repo}").json["siblings"] == []


def test_a_commit_may_carry_much(client: RawClient) -> None:
    client.make_repo("acme/large")
    content = base64.b64encode(b"many words\n" * 2_000_000).decode()
    lines = [{"key": "header", "value": {"summary": "much"}}] + [
        {"key": "file", "value": {"path": f"f{number}.txt", "content": content, "encoding": "base64"}}
        for number in range(2)
    ]
    body = "\r\n".join(json.dumps(line) for line in lines) + "\n\n"
    assert len(body) > 50_000_000
    assert client.post("/api/models/acme/large/commit/main", body, Content_Type="application/x-ndjson").status == 200
    assert client.head("/acme/large/resolve/main/f1.txt").headers["content-length"] == "22000000"


def preupload(client: RawClient, files: dict[str, tuple[bytes, int]], **more: str) -> dict[str, tuple[str, bool]]:
    asked = [
        {"path": path, "sample": base64.b64encode(sample).decode(), "size": size}
        for path, (sample, size) in files.items()
    ]
    answer = client.post("/api/models/acme/modes/preupload/main", {"files": asked, **more})
    assert answer.status == 200, answer
    return {file["path"]: (file["uploadMode"], file["shouldIgnore"]) for file in answer.json["files"]}


def test_preupload_decides_as_git_would(client: RawClient) -> None:
    client.make_repo("acme/modes")
    cut = "é".encode() * 256
    files = {
        "small.txt": (b"text", 4), "limit.txt": (b"text", 1 << 20), "large.txt": (b"text", (1 << 20) + 1),
        "latin.txt": (b"\xe9t\xe9", 3), "nul.txt": (b"a\0b", 3), "cut.txt": (cut[:511], 5000), "empty": (b"", 0),
        "x.bin": (b"text", 4), "deep/x.bin": (b"text", 4), "keep.bin": (b"\0", 1),
    }  # fmt: skip
    modes = {path: mode for path, (mode, _) in preupload(client, files).items()}
    lfs = {path for path, mode in modes.items() if mode == "lfs"}
    assert lfs == {"large.txt", "latin.txt", "nul.txt", "keep.bin"}
    client.write("acme/modes", {".gitattributes": "# rules\n*.bin filter=lfs diff=lfs -text\nkeep.bin -filter\n"})
    modes = {path: mode for path, (mode, _) in preupload(client, files).items()}
    assert {path for path, mode in modes.items() if mode == "lfs"} == {*lfs, "x.bin", "deep/x.bin"} - {"keep.bin"}
    modes = {path: mode for path, (mode, _) in preupload(client, files, gitAttributes="/x.bin filter=lfs\n").items()}
    assert (modes["x.bin"], modes["deep/x.bin"]) == ("lfs", "regular")
    client.commit("acme/modes", client.upload("acme/modes", b"\0\1").line("there.bin"), regular("there.txt", "t"))
    asked = {"files": [{"path": path, "sample": "", "size": 1} for path in ("there.bin", "there.txt", "not.txt")]}
    answer = client.post("/api/models/acme/modes/preupload/main", asked).json["files"]
    blob = hashlib.sha1(b"blob 1\0t").hexdigest()
    assert [file["oid"] for file in answer] == [Content.of(b"\0\1").sha256, blob, None]
    assert client.post("/api/models/acme/modes/preupload/nosuch", asked).code == "RevisionNotFound"
    bad = {"files": [{"path": "x", "sample": "*", "size": 1}]}
    assert client.post("/api/models/acme/modes/preupload/main", bad).status == 400


def test_gitignore(client: RawClient) -> None:
    client.make_repo("acme/modes2")
    rules = "# no\n*.log\n!keep.log\nbuild/\n/top.txt\ndocs/*.html\n**/cache\na/**/z\n[ab]?.c\n\\!odd\nspace\\ \n"
    ignored = {
        "x.log", "deep/x.log", "build/a", "deep/build/b/c", "top.txt", "docs/a.html", "cache", "x/cache/y", "a/z", "a/b/c/z",
        "a1.c", "d/b2.c", "!odd", "build/keep.log",
    }  # fmt: skip
    kept = {"keep.log", "build", "deep/top.txt", "docs/x/a.html", "xcache", "az", "c1.c", "a12.c", "a.log.txt", "odd"}
    answer = {}
    for path in sorted(ignored | kept):
        body = {"files": [{"path": path, "sample": "", "size": 0}], "gitIgnore": rules}
        [file] = client.post("/api/models/acme/modes2/preupload/main", body).json["files"]
        answer[path] = file["shouldIgnore"]
    assert {path for path, found in answer.items() if found} == ignored
    # The one that is stored counts where none comes along.
    client.write("acme/modes2", {".gitignore": "*.tmp\n"})
    body = {"files": [{"path": "x.tmp", "sample": "", "size": 0}]}
    assert client.post("/api/models/acme/modes2/preupload/main", body).json["files"][0]["shouldIgnore"] is True


def test_account_and_misc(client: RawClient) -> None:
    me = client.get("/api/whoami-v2").json
    assert me["name"] == "test"
    assert {"name": "acme", "roleInOrg": "admin"} in me["orgs"]
    assert RawClient(client.endpoint).get("/api/whoami-v2").status == 401
    assert RawClient(client.endpoint).get("/api/agent-harnesses").json == {"standardEnvVars": [], "harnesses": {}}
    assert client.post("/api/validate-yaml", {"content": "", "repoType": "model"}).json == {
        "errors": [],
        "warnings": [],
    }
    token = client.get(f"{API}/xet-read-token/main")
    assert token.json["accessToken"] == token.headers["x-xet-access-token"]
    assert str(token.json["exp"]) == token.headers["x-xet-token-expiration"]
    assert token.json["casUrl"] == token.headers["x-xet-cas-url"] == client.endpoint.url
