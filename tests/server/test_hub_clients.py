"""The unmodified ``huggingface_hub`` and ``hf_xet`` against the local endpoint.

Each process of theirs takes seconds to start, so a test asks for many things in one process.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.hf_client import run_hf
from support.raw_client import RawClient, regular

from pyxet.server.first_files import first_files
from pyxet.testing import LocalEndpoint, local_endpoint

NOISE = random.Random(1).randbytes(1_300_000)


@pytest.fixture
def endpoint() -> Iterator[LocalEndpoint]:
    with local_endpoint() as running:
        yield running


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_repositories_branches_tags_and_history(endpoint: LocalEndpoint) -> None:
    found = run_hf(
        endpoint,
        """
from huggingface_hub.utils import HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError
answer["whoami"] = api.whoami()["name"]
answer["urls"] = [str(api.create_repo(f"acme/{kind}", repo_type=kind, **({"space_sdk": "static"} if kind == "space" else {})))
                  for kind in ("model", "dataset", "space")]
answer["again"] = str(api.create_repo("acme/model", exist_ok=True))
answer["exists"] = failing(api.create_repo, "acme/model")
repo = "acme/model"
answer["missing"] = [failing(call, "acme/nosuch") for call in (api.repo_info, api.list_repo_refs, api.delete_repo,
    api.list_repo_files, api.list_repo_commits, api.auth_check)]
answer["missing_ok"] = failing(api.delete_repo, "acme/nosuch", missing_ok=True)
answer["repo_exists"] = [api.repo_exists(repo), api.repo_exists("acme/nosuch"), api.repo_exists("acme/dataset", repo_type="dataset")]
for number in range(3):
    api.upload_file(path_or_fileobj=f"{number}\\n".encode(), path_in_repo="a.txt", repo_id=repo, commit_message=f"number {number}",
                    commit_description="why" if number else "")
commits = api.list_repo_commits(repo, formatted=True)
answer["commits"] = [[c.title, c.message, c.authors, c.formatted_title] for c in commits]
answer["dates"] = all(c.created_at.tzinfo is not None for c in commits)
api.create_branch(repo, branch="feature/x", revision=commits[1].commit_id)
answer["branch twice"] = failing(api.create_branch, repo, branch="feature/x")
api.create_branch(repo, branch="feature/x", exist_ok=True)
api.create_tag(repo, tag="v1", tag_message="one", revision="feature/x")
answer["tag twice"] = failing(api.create_tag, repo, tag="v1")
refs = api.list_repo_refs(repo)
answer["refs"] = [[(r.name, r.ref) for r in refs.branches], [(r.name, r.ref) for r in refs.tags]]
answer["at tag"] = api.repo_info(repo, revision="v1").sha == refs.branches[0].target_commit == commits[1].commit_id
answer["revisions"] = [api.revision_exists(repo, "feature/x"), api.revision_exists(repo, "nosuch")]
answer["no revision"] = [failing(call, repo, revision="nosuch") for call in (api.repo_info, api.list_repo_files, api.list_repo_commits)]
answer["no branch"] = [failing(api.delete_branch, repo, branch="nosuch"), failing(api.delete_tag, repo, tag="nosuch"),
    failing(api.upload_file, path_or_fileobj=b"x", path_in_repo="x", repo_id=repo, revision="nosuch")]
api.delete_branch(repo, branch="feature/x")
api.delete_tag(repo, tag="v1")
refs = api.list_repo_refs(repo, include_pull_requests=True)
answer["left"] = [[b.name for b in refs.branches], refs.tags, refs.pull_requests]
api.super_squash_history(repo, commit_message="squashed")
answer["squashed"] = [c.title for c in api.list_repo_commits(repo)]
info = api.repo_info(repo, files_metadata=True)
answer["info"] = [info.id, info.author, info.private, [(s.rfilename, s.size, s.blob_id) for s in info.siblings]]
answer["expand"] = api.model_info(repo, expand=["sha", "lastModified"]).sha == info.sha
answer["lists"] = [[m.id for m in api.list_models(author="acme")], [d.id for d in api.list_datasets(search="data", sort="last_modified")],
    [s.id for s in api.list_spaces()], len(list(api.list_models(limit=1, full=True)))]
api.auth_check(repo, write=True)
api.delete_repo("acme/space", repo_type="space")
answer["deleted"] = api.repo_exists("acme/space", repo_type="space")
""",
    )
    base = endpoint.url
    assert found["whoami"] == "test"
    assert found["urls"] == [f"{base}/acme/model", f"{base}/datasets/acme/dataset", f"{base}/spaces/acme/space"]
    assert found["again"] == f"{base}/acme/model"
    assert found["missing"] == ["RepositoryNotFoundError"] * 6
    assert found["repo_exists"] == [True, False, True]
    assert found["exists"] == found["branch twice"] == found["tag twice"] == "HfHubHTTPError"
    assert found["missing_ok"] is None
    expected = [
        ["number 2", "why", ["test"], "number 2"],
        ["number 1", "why", ["test"], "number 1"],
        ["number 0", "", ["test"], "number 0"],
    ]
    assert found["commits"][:3] == expected
    assert len(found["commits"]) == 4
    assert found["dates"] is True
    assert found["refs"] == [
        [["feature/x", "refs/heads/feature/x"], ["main", "refs/heads/main"]],
        [["v1", "refs/tags/v1"]],
    ]
    assert found["at tag"] is found["expand"] is True
    assert found["revisions"] == [True, False]
    assert found["no revision"] == found["no branch"] == ["RevisionNotFoundError"] * 3
    assert found["left"] == [["main"], [], []]
    assert found["squashed"] == ["squashed"]
    rules = first_files("models")[".gitattributes"]
    first = [".gitattributes", len(rules), hashlib.sha1(b"blob %d\0%b" % (len(rules), rules)).hexdigest()]
    blob = hashlib.sha1(b"blob 2\x002\n").hexdigest()
    assert found["info"] == ["acme/model", "acme", False, [first, ["a.txt", 2, blob]]]
    assert found["lists"] == [["acme/model"], ["acme/dataset"], ["acme/space"], 1]
    assert found["deleted"] is False


def test_files_up_and_down(endpoint: LocalEndpoint, tmp_path: Path) -> None:
    source = tmp_path / "source"
    for name, data in {
        "README.md": b"---\nlicense: mit\n---\n# read me\n", ".gitignore": b"*.tmp\nbuild/\n", "left.tmp": b"x",
        "build/out.bin": b"\0", "data/noise.bin": NOISE, "data/same.bin": NOISE, "data/t\xc3\xa9xt \xf0\x9f\x98\x80.csv".encode().decode("latin-1"): b"a,b\n",
        "empty.txt": b"", "a/b/c/deep.txt": b"deep\n", "large.txt": b"0123456789\n" * 120_000,
    }.items():  # fmt: skip
        path = source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    found = run_hf(
        endpoint,
        """
import hashlib, pathlib
from huggingface_hub import CommitOperationAdd, CommitOperationCopy, CommitOperationDelete
repo = "acme/files"
api.create_repo(repo)
api.delete_file(".gitattributes", repo)
done = api.upload_folder(repo_id=repo, folder_path=given["source"], commit_message="all of it")
answer["commit"] = [done.commit_url.startswith(os.environ["HF_ENDPOINT"] + "/acme/files/commit/"), done.oid == api.repo_info(repo).sha]
answer["files"] = sorted(api.list_repo_files(repo))
tree = {e.path: e for e in api.list_repo_tree(repo, recursive=True, expand=True)}
answer["tree"] = {path: [type(e).__name__, getattr(e, "size", None), getattr(e, "xet_hash", None), e.last_commit.title,
    e.lfs.sha256 if getattr(e, "lfs", None) else None] for path, e in tree.items()}
answer["top"] = sorted(e.path for e in api.list_repo_tree(repo))
answer["below"] = sorted(e.path for e in api.list_repo_tree(repo, "a/b"))
answer["nowhere"] = failing(lambda: list(api.list_repo_tree(repo, "nosuch")))
answer["paths"] = [(e.path, type(e).__name__) for e in api.get_paths_info(repo, ["data", "empty.txt", "nosuch", "data/noise.bin"], expand=True)]
answer["exists"] = [api.file_exists(repo, "data/noise.bin"), api.file_exists(repo, "nosuch"), api.file_exists("acme/nosuch", "x")]
got = hf_hub_download(repo, "data/noise.bin", endpoint=os.environ["HF_ENDPOINT"])
answer["download"] = hashlib.sha256(pathlib.Path(got).read_bytes()).hexdigest()
answer["no file"] = failing(hf_hub_download, repo, "nosuch.bin", endpoint=os.environ["HF_ENDPOINT"])
answer["no repo"] = failing(hf_hub_download, "acme/nosuch", "x", endpoint=os.environ["HF_ENDPOINT"])
answer["no revision"] = failing(hf_hub_download, repo, "README.md", revision="nosuch", endpoint=os.environ["HF_ENDPOINT"])
folder = pathlib.Path(snapshot_download(repo, endpoint=os.environ["HF_ENDPOINT"]))
answer["snapshot"] = {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.rglob("*") if p.is_file()}
part = pathlib.Path(snapshot_download(repo, endpoint=os.environ["HF_ENDPOINT"], local_dir="part", allow_patterns=["a/*"]))
answer["part"] = [str(p.relative_to(part)) for p in part.rglob("*.txt")]
again = api.upload_folder(repo_id=repo, folder_path=given["source"])
answer["nothing new"] = again.oid == done.oid
api.delete_file("a/b/c/deep.txt", repo)
answer["delete"] = failure(api.delete_file, "nosuch", repo)
api.delete_folder("data", repo)
answer["delete folder"] = failing(api.delete_folder, "nosuch", repo)
answer["after"] = sorted(api.list_repo_files(repo))
api.create_commit(repo, operations=[CommitOperationAdd("one.bin", given["noise"]), CommitOperationAdd("two.txt", b"two"),
    CommitOperationDelete("empty.txt")], commit_message="several")
api.create_commit(repo, operations=[CommitOperationCopy("one.bin", "copied.bin"), CommitOperationCopy("two.txt", "copied.txt")],
    commit_message="copies")
answer["stale"] = failure(api.create_commit, repo, operations=[CommitOperationAdd("x", b"x")], commit_message="late", parent_commit=done.oid)
answer["end"] = sorted(api.list_repo_files(repo))
copied = hf_hub_download(repo, "copied.bin", endpoint=os.environ["HF_ENDPOINT"], local_dir="copies")
answer["copied"] = hashlib.sha256(pathlib.Path(copied).read_bytes()).hexdigest()
""",
        source=str(source),
        noise=str(source / "data" / "noise.bin"),
    )
    # The client leaves .gitignore's files out, and adds a .gitattributes of its own in no case.
    names = {str(path.relative_to(source)): path.read_bytes() for path in source.rglob("*") if path.is_file()}
    expected = {
        name: data for name, data in names.items() if not name.endswith(".tmp") and not name.startswith("build")
    }
    assert found["commit"] == [True, True]
    assert found["files"] == sorted(expected)
    tree = found["tree"]
    assert {path for path, entry in tree.items() if entry[0] == "RepoFolder"} == {"a", "a/b", "a/b/c", "data"}
    for name, data in expected.items():
        kind, size, xet_hash, title, oid = tree[name]
        in_xet = name in ("data/noise.bin", "data/same.bin", "large.txt")
        assert (kind, size, title) == ("RepoFile", len(data), "all of it"), name
        assert (xet_hash is not None, oid) == (in_xet, sha256(data) if in_xet else None), name
    assert found["top"] == sorted({name.partition("/")[0] for name in expected})
    assert found["below"] == ["a/b/c"]
    assert found["nowhere"] == "RemoteEntryNotFoundError"
    assert found["paths"] == [["data", "RepoFolder"], ["empty.txt", "RepoFile"], ["data/noise.bin", "RepoFile"]]
    assert found["exists"] == [True, False, False]
    assert found["download"] == found["copied"] == sha256(NOISE)
    assert found["no file"] == "RemoteEntryNotFoundError"
    assert found["no repo"] == "RepositoryNotFoundError"
    assert found["no revision"] == "RevisionNotFoundError"
    assert found["snapshot"] == {name: sha256(data) for name, data in expected.items()}
    assert found["part"] == ["a/b/c/deep.txt"]
    assert found["nothing new"] is True
    kind, message = found["delete"]
    assert kind == "RemoteEntryNotFoundError"
    assert "A file with this name doesn't exist" in message
    assert found["delete folder"] == "RemoteEntryNotFoundError"
    kept = {name for name in expected if not name.startswith("data/")} - {"a/b/c/deep.txt"}
    assert found["after"] == sorted(kept)
    assert found["end"] == sorted((kept - {"empty.txt"}) | {"one.bin", "two.txt", "copied.bin", "copied.txt"})
    kind, message = found["stale"]
    assert kind == "HfHubHTTPError"
    assert "412" in message


def test_hf_file_system(endpoint: LocalEndpoint, tmp_path: Path) -> None:
    (tmp_path / "local.bin").write_bytes(NOISE)
    found = run_hf(
        endpoint,
        """
import hashlib, pathlib
repo = "datasets/acme/system"
api.create_repo("acme/system", repo_type="dataset")
api.delete_file(".gitattributes", "acme/system", repo_type="dataset")
fs = HfFileSystem(endpoint=os.environ["HF_ENDPOINT"], token=os.environ["HF_TOKEN"])
fs.pipe({f"{repo}/a.txt": b"text", f"{repo}/d/b.bin": b"\\0\\1\\2", f"{repo}/d/e/c.txt": b"c"})
fs.put(given["local"], f"{repo}/d/noise.bin")
with fs.open(f"{repo}/written.txt", "w") as file:
    file.write("line\\n" * 1000)
answer["ls"] = sorted(fs.ls(repo, detail=False))
answer["find"] = sorted(fs.find(repo))
answer["glob"] = sorted(fs.glob(f"{repo}/**/*.txt"))
answer["info"] = [fs.info(f"{repo}/d/noise.bin")[key] for key in ("type", "size")] + [fs.info(f"{repo}/d")["type"]]
answer["cat"] = [fs.cat(f"{repo}/a.txt").decode(), hashlib.sha256(fs.cat(f"{repo}/d/noise.bin")).hexdigest()]
answer["range"] = fs.cat_file(f"{repo}/d/noise.bin", 1000, 1100).hex()
answer["empty range"] = fs.cat_file(f"{repo}/a.txt", 4, 10).decode()
with fs.open(f"{repo}/d/noise.bin", "rb") as file:
    file.seek(1_200_000)
    answer["seek"] = hashlib.sha256(file.read()).hexdigest()
with fs.open(f"{repo}/written.txt", "r") as file:
    answer["lines"] = sum(1 for line in file)
fs.get(f"{repo}/d/noise.bin", "got.bin")
answer["get"] = hashlib.sha256(pathlib.Path("got.bin").read_bytes()).hexdigest()
answer["modified"] = fs.modified(f"{repo}/a.txt").tzinfo is not None
answer["exists"] = [fs.exists(f"{repo}/a.txt"), fs.exists(f"{repo}/nosuch"), fs.exists("datasets/acme/nosuch"), fs.isdir(f"{repo}/d")]
answer["missing"] = [failing(fs.cat, f"{repo}/nosuch"), failing(fs.ls, f"{repo}/nosuch"), failing(fs.ls, "datasets/acme/nosuch/x")]
fs.mv(f"{repo}/a.txt", f"{repo}/moved.txt")
fs.cp(f"{repo}/d/noise.bin", f"{repo}/copy.bin")
fs.rm(f"{repo}/d/e", recursive=True)
fs.rm(f"{repo}/written.txt")
answer["end"] = sorted(fs.find(repo, refresh=True))
api.create_branch("acme/system", repo_type="dataset", branch="a/b")
fs.pipe(f"{repo}@a%2Fb/only.txt", b"only there")
answer["branch"] = [fs.cat(f"{repo}@a%2Fb/only.txt").decode(), fs.exists(f"{repo}/only.txt")]
""",
        local=str(tmp_path / "local.bin"),
    )
    repo = "datasets/acme/system"
    assert found["ls"] == [f"{repo}/{name}" for name in ("a.txt", "d", "written.txt")]
    assert found["find"] == [
        f"{repo}/{name}" for name in ("a.txt", "d/b.bin", "d/e/c.txt", "d/noise.bin", "written.txt")
    ]
    assert found["glob"] == [f"{repo}/{name}" for name in ("a.txt", "d/e/c.txt", "written.txt")]
    assert found["info"] == ["file", len(NOISE), "directory"]
    assert found["cat"] == ["text", sha256(NOISE)]
    assert found["range"] == NOISE[1000:1100].hex()
    assert found["empty range"] == ""
    assert found["seek"] == sha256(NOISE[1_200_000:])
    assert found["lines"] == 1000
    assert found["get"] == sha256(NOISE)
    assert found["modified"] is True
    assert found["exists"] == [True, False, False, True]
    assert set(found["missing"]) <= {"FileNotFoundError", "RemoteEntryNotFoundError", "EntryNotFoundError"}
    assert found["end"] == [f"{repo}/{name}" for name in ("copy.bin", "d/b.bin", "d/noise.bin", "moved.txt")]
    assert found["branch"] == ["only there", False]


def test_tokens_and_private_repositories(endpoint: LocalEndpoint) -> None:
    client = RawClient(endpoint, endpoint.token)
    client.make_repo("acme/private", visibility="private")
    client.commit("acme/private", regular("a.txt", "hidden"))
    client.make_repo("acme/public")
    client.commit("acme/public", regular("a.txt", "seen"))
    found = run_hf(
        endpoint,
        """
def trying(call, *arguments, **named):
    try:
        call(*arguments, **named)
        return "fine"
    except Exception as error:
        return type(error).__name__
def everything(token):
    api = HfApi(endpoint=os.environ["HF_ENDPOINT"], token=token)
    one = {}
    for repo in ("acme/private", "acme/public"):
        one[repo] = [trying(api.repo_info, repo), trying(api.list_repo_files, repo),
            trying(hf_hub_download, repo, "a.txt", endpoint=os.environ["HF_ENDPOINT"], token=token, cache_dir=str(token)),
            trying(api.auth_check, repo), trying(api.auth_check, repo, write=True),
            trying(api.upload_file, path_or_fileobj=b"x", path_in_repo="x.txt", repo_id=repo)]
    one["whoami"] = trying(api.whoami)
    one["create"] = trying(api.create_repo, "acme/mine")
    one["list"] = [m.id for m in api.list_models(author="acme")] if token != "xet_wrong" else []
    return one
answer = {name: everything(token) for name, token in given["tokens"].items()}
""",
        tokens={
            "reader": endpoint.add_token("acme", "read"),
            "guest": endpoint.add_token("guest"),
            "anonymous": False,
            "wrong": "xet_wrong",
        },
    )
    hidden, error = "RepositoryNotFoundError", "HfHubHTTPError"
    assert found["reader"]["acme/private"] == ["fine"] * 4 + [error] * 2
    assert found["reader"]["acme/public"] == ["fine"] * 4 + [error] * 2
    for name in ("guest", "anonymous"):
        assert found[name]["acme/private"] == [hidden] * 6, name
        assert found[name]["acme/public"] == ["fine"] * 4 + [error] * 2, name
        assert "acme/private" not in found[name]["list"]
        assert "acme/public" in found[name]["list"]
    assert "acme/private" in found["reader"]["list"]
    assert found["wrong"]["acme/public"][0] == error
    assert [found[name]["whoami"] for name in ("reader", "guest", "wrong")] == ["fine", "fine", error]
    assert [found[name]["create"] for name in ("reader", "guest", "anonymous", "wrong")] == [error] * 4


def test_content_known_to_the_endpoint_is_not_sent_again(endpoint: LocalEndpoint, tmp_path: Path) -> None:
    """By chunk queries alone: the second process has no cache of the first."""
    source = tmp_path / "big.bin"
    content = random.Random(2).randbytes(6_000_000)
    upload = """
api.create_repo("acme/dedup", exist_ok=True)
api.upload_file(path_or_fileobj=given["source"], path_in_repo=given["name"], repo_id="acme/dedup")
"""
    stored = []
    for name, data in (("one.bin", content), ("two.bin", content + b"tail" * 1000)):
        source.write_bytes(data)
        run_hf(endpoint, upload, source=str(source), name=name)
        stored.append(sum(path.stat().st_size for path in (endpoint.root / "xorbs").rglob("*") if path.is_file()))
    assert stored[1] - stored[0] < 1_000_000
    got = RawClient(endpoint).get("/acme/dedup/resolve/main/two.bin").body
    assert got == content + b"tail" * 1000
    assert json.loads(RawClient(endpoint).get("/api/models/acme/dedup").body)["siblings"]


def test_what_clients_read_in_answers(endpoint: LocalEndpoint) -> None:
    """Names in another case lead to the repository, errors name their request, and say what the Hub's say."""
    found = run_hf(
        endpoint,
        """
repo = "acme/Case-Matters"
api.create_repo(repo)
api.upload_file(path_or_fileobj=b"text", path_in_repo="a.txt", repo_id="ACME/case-matters")
answer["names"] = [api.repo_info("acme/CASE-matters").id, sorted(api.list_repo_files(repo))]
answer["type"] = api.whoami()["type"]
answer["missing"] = failure(api.delete_repo, "nothing-of-this-name")[1]
api.create_branch(repo, branch="work")
answer["twice"] = failure(api.create_branch, repo, branch="work")[1]
answer["main"] = failure(api.delete_branch, repo, branch="main")[1]
answer["gone"] = failure(api.delete_branch, repo, branch="nowhere")[1]
answer["tag"] = failing(api.create_tag, repo, tag="no tag", revision="nowhere")
""",
    )
    assert found["names"] == ["acme/Case-Matters", [".gitattributes", "a.txt"]]
    assert found["type"] == "user"
    assert "Request ID: " in found["missing"]
    assert "Reference refs/heads/work already exists" in found["twice"]
    assert "Cannot delete refs/heads/main" in found["main"]
    assert "Invalid rev id" in found["gone"]
    assert found["tag"] == "RevisionNotFoundError"


def test_names_that_differ_in_case_alone_are_two(endpoint: LocalEndpoint) -> None:
    """Where both are there each is itself, and none is guessed."""
    client = RawClient(endpoint, endpoint.token)
    for name in ("acme/Pair", "acme/pair"):
        client.make_repo(name)
        assert client.get(f"/api/models/{name}").json["id"] == name
    assert client.get("/api/models/acme/PAIR").status == 404
    client.make_repo("acme/Hidden", private=True)
    guest = RawClient(endpoint, endpoint.add_token("guest"))
    assert guest.get("/api/models/acme/hidden").status == 404
    assert client.get("/api/models/acme/hidden").status == 307
