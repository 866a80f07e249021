"""The local endpoint's routes that move, copy and change repositories, by hand and by the unmodified ``huggingface_hub``."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from _hf_client import run_hf
from _raw_client import RawClient

from pyxet.testing import LocalEndpoint, local_endpoint

NOISE = random.Random(1).randbytes(400_000)


@pytest.fixture(scope="module")
def endpoint() -> Iterator[LocalEndpoint]:
    with local_endpoint(user="acme") as running:
        yield running


@pytest.fixture
def client(endpoint: LocalEndpoint) -> RawClient:
    return RawClient(endpoint, endpoint.token)


def move(client: RawClient, old: str, new: str, kind: str = "model") -> int:
    return client.post("/api/repos/move", {"fromRepo": old, "toRepo": new, "type": kind}).status


def duplicate(client: RawClient, repo: str, copy: str, **more: str) -> int:
    return client.post(f"/api/models/{repo}/duplicate", {"repository": copy, **more}).status


def bare(endpoint: LocalEndpoint, repo: str) -> Path:
    return endpoint.root / "repos" / "models" / f"{repo}.git"


def stored(endpoint: LocalEndpoint) -> set[Path]:
    return {path for path in (endpoint.root / "xorbs").rglob("*") if path.is_file()}


def test_real_clients_move_change_and_duplicate(endpoint: LocalEndpoint) -> None:
    found = run_hf(
        endpoint,
        """
import random
from huggingface_hub import CommitOperationCopy
answer = {}
def failing(call, *arguments, **named):
    try:
        call(*arguments, **named)
    except Exception as error:
        return type(error).__name__
noise = random.Random(7).randbytes(300_000)
for kind in ("model", "dataset"):
    api.create_repo("acme/old", repo_type=kind)
    api.upload_file(path_or_fileobj=noise, path_in_repo="d/x.bin", repo_id="acme/old", repo_type=kind)
    api.upload_file(path_or_fileobj=b"text", path_in_repo="a.txt", repo_id="acme/old", repo_type=kind)
    api.create_branch("acme/old", branch="work", repo_type=kind)
    api.move_repo("acme/old", "acme/new", repo_type=kind)
    info = api.repo_info("acme/old", repo_type=kind)
    answer[f"{kind} by its old name"] = info.id
    for name in ("acme/old", "acme/new"):
        answer[f"{kind} read as {name}"] = open(hf_hub_download(name, "d/x.bin", repo_type=kind, force_download=True), "rb").read() == noise
    api.upload_file(path_or_fileobj=b"more", path_in_repo="b.txt", repo_id="acme/old", repo_type=kind)
    answer[f"{kind} written by its old name"] = api.list_repo_files("acme/new", repo_type=kind)
answer["move what is not there"] = failing(api.move_repo, "acme/nosuch", "acme/x")
answer["move onto another"] = failing(api.move_repo, "acme/new", "acme/new")
answer["settings"] = []
for change in ({"private": True}, {"visibility": "public"}, {"gated": False}, {"private": True}):
    api.update_repo_settings("acme/new", **change)
    answer["settings"].append(api.repo_info("acme/new").private)
answer["gated"] = failing(api.update_repo_settings, "acme/new", gated="auto")
answer["settings of what is not there"] = failing(api.update_repo_settings, "acme/nosuch", private=True)
copy = api.duplicate_repo("acme/new", "acme/copy")
answer["copy"] = [copy.repo_id, copy.files_copy_pending, api.repo_info("acme/copy").private]
answer["same commits"] = [c.commit_id for c in api.list_repo_commits("acme/copy")] == [c.commit_id for c in api.list_repo_commits("acme/new")]
answer["branches"] = [b.name for b in api.list_repo_refs("acme/copy").branches]
answer["copy has it"] = open(hf_hub_download("acme/copy", "d/x.bin"), "rb").read() == noise
answer["public copy"] = [api.duplicate_repo("acme/new", "acme/copy2", private=False).repo_id, api.repo_info("acme/copy2").private]
answer["copy again"] = failing(api.duplicate_repo, "acme/new", "acme/copy")
answer["copy again if need be"] = api.duplicate_repo("acme/new", "acme/copy", exist_ok=True).repo_id
answer["own name"] = failing(api.duplicate_repo, "acme/new")
answer["copy what is not there"] = failing(api.duplicate_repo, "acme/nosuch", "acme/y")
api.create_repo("acme/target", repo_type="dataset")
api.create_commit("acme/target", repo_type="dataset", commit_message="across", operations=[
    CommitOperationCopy("d/x.bin", "here/x.bin", src_repo_id="acme/new", src_repo_type="model"),
    CommitOperationCopy("a.txt", "here/a.txt", src_repo_id="acme/new", src_repo_type="model")])
answer["across"] = open(hf_hub_download("acme/target", "here/x.bin", repo_type="dataset"), "rb").read() == noise
""",
    )
    assert found == {
        "model by its old name": "acme/new",
        "model read as acme/old": True,
        "model read as acme/new": True,
        "model written by its old name": ["a.txt", "b.txt", "d/x.bin"],
        "dataset by its old name": "acme/new",
        "dataset read as acme/old": True,
        "dataset read as acme/new": True,
        "dataset written by its old name": ["a.txt", "b.txt", "d/x.bin"],
        "move what is not there": "RepositoryNotFoundError",
        "move onto another": "HfHubHTTPError",
        "settings": [True, False, False, True],
        "gated": "BadRequestError",
        "settings of what is not there": "RepositoryNotFoundError",
        "copy": ["acme/copy", False, True],
        "same commits": True,
        "branches": ["main", "work"],
        "copy has it": True,
        "public copy": ["acme/copy2", False],
        "copy again": "HfHubHTTPError",
        "copy again if need be": "acme/copy",
        "own name": "HfHubHTTPError",
        "copy what is not there": "RepositoryNotFoundError",
        "across": True,
    }
