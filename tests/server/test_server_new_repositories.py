"""What a new repository holds, and names that none can have."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from huggingface_hub import HfApi
from huggingface_hub.errors import RepositoryNotFoundError
from support.raw_client import RawClient

import pyxet
from pyxet.server.patterns import LfsRules
from pyxet.testing import LocalEndpoint, local_endpoint


@pytest.fixture(scope="module")
def endpoint() -> Iterator[LocalEndpoint]:
    with local_endpoint() as running:
        yield running


@pytest.fixture
def api(endpoint: LocalEndpoint) -> HfApi:
    return HfApi(endpoint=endpoint.url, token=endpoint.token)


@pytest.mark.parametrize("kind", ["model", "dataset", "space"])
def test_a_new_repository_has_rules_for_binary_formats(api: HfApi, endpoint: LocalEndpoint, kind: str) -> None:
    api.create_repo("test/new", repo_type=kind, space_sdk="static" if kind == "space" else None)
    assert api.list_repo_files("test/new", repo_type=kind) == [".gitattributes"]
    assert [commit.title for commit in api.list_repo_commits("test/new", repo_type=kind)] == ["initial commit"]
    prefix = "" if kind == "model" else f"{kind}s/"
    text = RawClient(endpoint, endpoint.token).get(f"/{prefix}test/new/resolve/main/.gitattributes").body
    assert all(line.endswith(b" filter=lfs diff=lfs merge=lfs -text") for line in text.splitlines())
    rules = LfsRules(text)
    binary = [
        "a.bin",
        "deep/er/a.safetensors",
        "a.parquet",
        "a.tar.gz",
        "a.zip",
        "saved_model/a",
        "saved_model/b/c",
        "x.tfevents.1",
        "a.lfs.x",
    ]
    assert {path: rules.lfs(path) for path in binary} == dict.fromkeys(binary, True)
    plain = ["README.md", "a.py", "a.json", "a.csv", "model", "saved_model", "x/saved_model", "a.txt"]
    assert {path: rules.lfs(path) for path in plain} == dict.fromkeys(plain)
    assert rules.lfs("a/photo.jpg") is (True if kind == "dataset" else None)


def test_binary_formats_are_lfs_files_however_small(endpoint: LocalEndpoint, api: HfApi) -> None:
    fs = pyxet.XetFS(endpoint=endpoint.url, user=endpoint.user, token=endpoint.token)
    fs.make_repo("test/small")
    data = random.Random(1).randbytes(10)
    fs.pipe({"test/small/main/a.bin": data, "test/small/main/a.csv": b"1,2\n"})
    api.upload_file(path_or_fileobj=data, path_in_repo="b.bin", repo_id="test/small")
    infos = {info.path: info for info in api.get_paths_info("test/small", ["a.bin", "b.bin", "a.csv"])}
    assert {path: info.lfs is not None for path, info in infos.items()} == {
        "a.bin": True,
        "b.bin": True,
        "a.csv": False,
    }
    assert fs.cat_file("test/small/main/b.bin") == data
    # They are files like any other: who wants other rules writes them.
    fs.pipe_file("test/small/main/.gitattributes", b"*.csv filter=lfs diff=lfs merge=lfs -text\n")
    fs.pipe({"test/small/main/c.csv": b"1,2\n", "test/small/main/c.bin": b"text"})
    infos = {info.path: info for info in api.get_paths_info("test/small", ["c.bin", "c.csv"])}
    assert {path: info.lfs is not None for path, info in infos.items()} == {"c.csv": True, "c.bin": False}


@pytest.mark.parametrize("name", ["x", "gpt2", "a.b", "refs", "tree", "resolve", "datasets"])
@pytest.mark.parametrize("kind", ["model", "dataset", "space"])
def test_one_name_is_no_repository(api: HfApi, name: str, kind: str) -> None:
    """The code says so on every route, and a plain 404 would say nothing."""
    assert not api.repo_exists(name, repo_type=kind)
    assert not api.revision_exists(name, "main", repo_type=kind)
    assert not api.file_exists(name, "a.txt", repo_type=kind)
    for call in (
        lambda: list(api.list_repo_tree(name, repo_type=kind)), lambda: api.list_repo_refs(name, repo_type=kind),
        lambda: api.list_repo_commits(name, repo_type=kind), lambda: api.get_paths_info(name, ["x"], repo_type=kind),
        lambda: api.create_branch(name, branch="x", repo_type=kind), lambda: api.delete_tag(name, tag="x", repo_type=kind),
        lambda: api.update_repo_settings(name, private=True, repo_type=kind), lambda: api.auth_check(name, repo_type=kind),
        lambda: api.upload_file(path_or_fileobj=b"x", path_in_repo="x", repo_id=name, repo_type=kind),
        lambda: api.super_squash_history(name, repo_type=kind), lambda: api.hf_hub_download(name, "a.txt", repo_type=kind),
    ):  # fmt: skip
        with pytest.raises(RepositoryNotFoundError):
            call()


def test_routes_of_repositories_are_not_hidden(endpoint: LocalEndpoint) -> None:
    """A repository may be called like a part of a route, and other methods are still not allowed."""
    client = RawClient(endpoint, endpoint.token)
    client.make_repo("resolve/tree")
    client.write("resolve/tree", {"a.txt": "x"})
    assert client.get("/resolve/tree/resolve/main/a.txt").body == b"x"
    assert client.get("/api/models/resolve/tree/tree/main").json[0]["path"] == "a.txt"
    assert client.get("/api/models/resolve/tree").json["id"] == "resolve/tree"
    assert client.call("PUT", "/api/models/test/x/tree/main").status == 405
    assert client.get("/api/models/resolve/tree/nothing").status == 404
    assert client.get("/api/nothing/x").status == 404
