"""The list of a repository's large files, and their removal from its history."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.hf_client import run_hf
from support.raw_client import RawClient, regular

from pyxet.server import hub_lfs_files
from pyxet.testing import LocalEndpoint, local_endpoint


@pytest.fixture(scope="module")
def endpoint() -> Iterator[LocalEndpoint]:
    with local_endpoint(user="acme") as running:
        yield running


@pytest.fixture
def client(endpoint: LocalEndpoint) -> RawClient:
    return RawClient(endpoint, endpoint.token)


def listed(client: RawClient, repo: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    path: str | None = f"/api/models/{repo}/lfs-files"
    while path is not None:
        answer = client.get(path)
        assert answer.status == 200
        found += answer.json
        path = answer.following
    return found


def history(client: RawClient, repo: str, revision: str = "main") -> list[str]:
    return [commit["id"] for commit in client.get(f"/api/models/{repo}/commits/{revision.replace('/', '%2F')}").json]


def test_all_that_any_commit_names(client: RawClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_lfs_files, "_PAGE", 2)
    repo = "acme/listed"
    client.make_repo(repo)
    made = [client.upload(repo, bytes([number]) * 20_000) for number in range(5)]
    assert client.commit(repo, made[0].line("a.bin"), made[0].line("copies/a.bin"), regular("t.txt", "t")).status == 200
    # What was replaced, or is on another branch or in a pull request only, counts, too.
    assert client.commit(repo, made[1].line("a.bin")).status == 200
    assert client.post(f"/api/models/{repo}/branch/work", {}).status == 200
    assert client.commit(repo, made[2].line("d/e/w.bin"), branch="work").status == 200
    assert client.commit(repo, made[3].line("p.bin")).status == 200
    assert client.post(f"/api/models/{repo}/discussions", {"title": "Draft", "pullRequest": True}).status == 200
    assert client.commit(repo, made[4].line("in-it.bin"), branch="refs/pr/1").status == 200
    found = {file["fileOid"]: file for file in listed(client, repo)}
    assert len(listed(client, repo)) == len(found) == 5
    assert found.keys() == {content.sha256 for content in made}
    assert found[made[0].sha256]["filename"] in ("a.bin", "copies/a.bin")
    places = [(found[content.sha256]["filename"], found[content.sha256]["ref"]) for content in made[1:]]
    assert places == [
        ("a.bin", "refs/heads/main"), ("d/e/w.bin", "refs/heads/work"), ("p.bin", "refs/heads/main"), ("in-it.bin", "refs/pr/1"),
    ]  # fmt: skip
    assert {file["size"] for file in found.values()} == {20_000}
    assert all(file["pushedAt"].endswith("Z") for file in found.values())


def test_what_is_removed_is_in_no_commit(endpoint: LocalEndpoint, client: RawClient) -> None:
    repo = "acme/removed"
    client.make_repo(repo)
    gone, kept = client.upload(repo, b"\0" * 30_000), client.upload(repo, b"\1" * 30_000)
    assert client.commit(repo, kept.line("kept.bin"), regular("t.txt", "t"), message="one").status == 200
    untouched = history(client, repo)
    assert client.commit(repo, gone.line("only/deep/gone.bin"), gone.line("gone.bin")).status == 200
    assert client.post(f"/api/models/{repo}/tag/main", {"tag": "v1", "message": "annotated"}).status == 200
    assert client.commit(repo, regular("u.txt", "u")).status == 200
    assert client.post(f"/api/models/{repo}/branch/work", {}).status == 200
    assert client.commit(repo, ("deletedFile", {"path": "gone.bin"})).status == 200
    path = f"/api/models/{repo}/lfs-files/batch"
    assert client.post(path, {"deletions": {"sha": [gone.sha256], "rewriteHistory": False}}).status == 400
    assert client.post(path, {"deletions": {"sha": [gone.sha256], "rewriteHistory": True}}).status == 200
    assert [file["fileOid"] for file in listed(client, repo)] == [kept.sha256]
    for revision in ("main", "work", "v1"):
        names = [entry["path"] for entry in client.get(f"/api/models/{repo}/tree/{revision}?recursive=true").json]
        assert set(names) <= {"kept.bin", "t.txt", "u.txt"}, revision
        # Messages, authors and dates stay, and so do the commits before.
        assert history(client, repo, revision)[-2:] == untouched
    assert len(history(client, repo)) == 5
    assert client.get(f"/{repo}/resolve/main/kept.bin").body == kept.data
    assert client.cas(repo, "read").head(f"/v1/files/{gone.name}").status == 404
    assert client.cas(repo, "read").head(f"/v1/files/{kept.name}").status == 200
    git = ["git", "-C", str(endpoint.root / "repos" / "models" / f"{repo}.git")]
    subprocess.run([*git, "fsck", "--strict"], check=True, capture_output=True)
    told = subprocess.run([*git, "cat-file", "-p", "v1"], check=True, capture_output=True, text=True).stdout
    assert "annotated" in told
    # Once more there is nothing to do.
    before = history(client, repo)
    assert client.post(path, {"deletions": {"sha": [gone.sha256]}}).status == 200
    assert history(client, repo) == before


def test_names_that_are_not_utf_8_stay(endpoint: LocalEndpoint, client: RawClient, tmp_path: Path) -> None:
    repo = "acme/strange"
    client.make_repo(repo)
    gone = client.upload(repo, b"\2" * 30_000)
    assert client.commit(repo, gone.line("gone.bin")).status == 200
    bare = endpoint.root / "repos" / "models" / f"{repo}.git"
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{gone.sha256}\nsize 30000\n".encode()
    blobs = [
        subprocess.run(
            ["git", "-C", str(bare), "hash-object", "-w", "--stdin"], input=data, check=True, capture_output=True
        )
        for data in (pointer, b"text")
    ]
    names = [b"\xff.bin", b"\xfe.txt"]
    lines = b"".join(
        b"100644 blob %b\t%b\0" % (blob.stdout.strip(), name) for blob, name in zip(blobs, names, strict=True)
    )
    tree = subprocess.run(
        ["git", "-C", str(bare), "mktree", "-z"], input=lines, check=True, capture_output=True
    ).stdout.strip()
    identity = ["-c", "user.name=x", "-c", "user.email=x@x"]
    commit = subprocess.run(
        ["git", "-C", str(bare), *identity, "commit-tree", tree, "-m", "strange"],
        check=True,
        capture_output=True,
        text=False,
    ).stdout.strip()
    subprocess.run(["git", "-C", str(bare), "update-ref", "refs/heads/strange", commit], check=True)
    body = {"deletions": {"sha": [gone.sha256]}}
    assert client.post(f"/api/models/{repo}/lfs-files/batch", body).status == 200
    left = subprocess.run(["git", "-C", str(bare), "ls-tree", "-z", "strange"], check=True, capture_output=True).stdout
    assert left.endswith(b"\t\xfe.txt\0")
    assert left.count(b"\0") == 1


def test_huggingface_hub_lists_removes_and_squashes(endpoint: LocalEndpoint) -> None:
    found = run_hf(
        endpoint,
        """
repo = "acme/care"
api.create_repo(repo)
for number in range(3):
    api.upload_file(path_or_fileobj=os.urandom(20_000), path_in_repo=f"{number}.bin", repo_id=repo)
api.create_branch(repo, branch="old")
files = list(api.list_lfs_files(repo))
answer["files"] = sorted([file.filename, file.size, file.ref] for file in files)
api.permanently_delete_lfs_files(repo, [file for file in files if file.filename == "0.bin"])
answer["left"] = sorted(file.filename for file in api.list_lfs_files(repo))
answer["names"] = sorted(api.list_repo_files(repo))
answer["gone"] = failing(hf_hub_download, repo, "0.bin", endpoint=os.environ["HF_ENDPOINT"])
hf_hub_download(repo, "1.bin", endpoint=os.environ["HF_ENDPOINT"])
api.super_squash_history(repo, commit_message="One")
answer["logs"] = [len(api.list_repo_commits(repo, revision=name)) for name in ("main", "old")]
""",
    )
    assert found["files"] == [[f"{number}.bin", 20_000, "refs/heads/main"] for number in range(3)]
    assert found["left"] == ["1.bin", "2.bin"]
    assert found["names"] == [".gitattributes", "1.bin", "2.bin"]
    assert found["gone"] == "RemoteEntryNotFoundError"
    assert found["logs"] == [1, 4]
