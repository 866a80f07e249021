"""What the local endpoint keeps in git repositories: sound for git, whole or not at all, and commits that take turns."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.gits import git
from support.kept import BINARY, REPO, bare, client_of, kept
from support.raw_client import regular

from pyxet.server import git_pack
from pyxet.testing import LocalEndpoint, local_endpoint


@pytest.fixture
def endpoint(root: Path) -> Iterator[LocalEndpoint]:
    with kept(root) as running:
        yield running


# -- as git sees it ----------------------------------------------------------------------------------------------------


def test_a_repository_is_one_for_git(endpoint: LocalEndpoint, tmp_path: Path) -> None:
    client = client_of(endpoint)
    binary = client.upload(REPO, BINARY)
    client.write(REPO, {"README.md": "# hello\n", "data/a.csv": "a,b\n"})
    assert (
        client.commit(REPO, binary.line("data/big.bin"), summary="the large one", description="of noise").status == 200
    )
    assert client.post(f"/api/models/{REPO}/branch/work%2Fone", {}).status == 200
    client.write(REPO, {"only-here.txt": "x"}, branch="work/one")
    assert client.post(f"/api/models/{REPO}/tag/main", {"tag": "v1", "message": "first"}).status == 200
    assert client.post(f"/api/models/{REPO}/tag/main", {"tag": "light"}).status == 200
    path = bare(endpoint)
    assert git("fsck", "--strict", "--full", folder=path) == ""
    log = git("log", "--format=%an|%s|%b", "main", folder=path).splitlines()
    assert log[:2] == ["acme|the large one|of noise", "acme|a commit|"]
    assert git("log", "--format=%s", "work/one", folder=path).splitlines()[0] == "a commit"
    assert git("tag", "--list", folder=path).split() == ["light", "v1"]
    git("clone", "-q", path, "clone", folder=tmp_path)
    clone = tmp_path / "clone"
    assert (clone / "data" / "a.csv").read_text() == "a,b\n"
    assert (clone / "data" / "big.bin").read_text() == (
        f"version https://git-lfs.github.com/spec/v1\noid sha256:{binary.sha256}\nsize {len(BINARY)}\n"
    )
    assert not (clone / "only-here.txt").exists()
    assert git("rev-parse", "HEAD", folder=clone).strip() == client.get(f"/api/models/{REPO}").json["sha"]


@pytest.mark.needs("links", "modes")
def test_what_git_pushes_is_served(endpoint: LocalEndpoint, tmp_path: Path) -> None:
    client = client_of(endpoint)
    client.write(REPO, {"run.sh": "echo 1\n", "old/x.txt": "x"})
    git("clone", "-q", bare(endpoint), "clone", folder=tmp_path)
    clone = tmp_path / "clone"
    (clone / "link").symlink_to("old/x.txt")
    (clone / "run.sh").chmod(0o755)
    (clone / "ünï.txt").write_text("é")
    (clone / os.fsdecode(b"latin-\xe9.txt")).write_text("not UTF-8")
    (clone / "big.txt").write_text("text\n" * 600_000)
    (clone / "lost.bin").write_text(f"version https://git-lfs.github.com/spec/v1\noid sha256:{'ab' * 32}\nsize 7\n")
    git("add", "-A", folder=clone)
    git("update-index", "--add", "--cacheinfo", f"160000,{'12' * 20},module", folder=clone)
    git("commit", "-q", "-m", "by hand", folder=clone)
    git("push", "-q", "origin", "HEAD:main", folder=clone)
    git("tag", "blob", "HEAD:run.sh", folder=clone)
    git("push", "-q", "origin", "blob", folder=clone)
    listed = {
        entry["path"]: entry for entry in client.get(f"/api/models/{REPO}/tree/main?recursive=true&expand=true").json
    }
    assert sorted(listed) == [
        "big.txt", "latin-\\xe9.txt", "link", "lost.bin", "module", "old", "old/x.txt", "run.sh", "ünï.txt",
    ]  # fmt: skip
    assert listed["module"]["type"] == "submodule"
    assert client.get(f"/{REPO}/resolve/main/latin-%5Cxe9.txt").body == b"not UTF-8"
    assert listed["lost.bin"]["size"] == 7
    assert "xetHash" not in listed["lost.bin"]
    assert listed["link"]["lastCommit"]["title"] == "by hand"
    assert listed["old/x.txt"]["lastCommit"]["title"] == "a commit"
    assert client.get(f"/{REPO}/resolve/main/link").body == b"old/x.txt"
    assert client.get(f"/{REPO}/resolve/main/%C3%BCn%C3%AF.txt").body == "é".encode()
    assert client.get(f"/{REPO}/resolve/main/lost.bin").code == "EntryNotFound"
    for path in ("module", "module/x", "link/x"):
        assert client.get(f"/{REPO}/resolve/main/{path}").code == "EntryNotFound"
    big = client.get(f"/{REPO}/resolve/main/big.txt", Range="bytes=2999990-")
    assert (big.status, big.body) == (206, b"text\ntext\n")
    assert client.get(f"/api/models/{REPO}/refs").json["tags"] == []
    assert client.get(f"/api/models/{REPO}/tree/blob").code == "RevisionNotFound"
    # The executable bit stays, and commits go on from what was pushed.
    client.write(REPO, {"run.sh": "echo 2\n"})
    assert client.commit(REPO, ("deletedFile", {"path": "link"}), ("deletedFile", {"path": "module"})).status == 200
    tree = git("ls-tree", "main", folder=bare(endpoint))
    assert "100755 blob" in tree
    assert "link" not in tree
    assert "module" not in tree
    assert git("fsck", folder=bare(endpoint)) == ""


def test_commits_of_many_at_once_take_turns(endpoint: LocalEndpoint) -> None:
    client = client_of(endpoint)
    start = client.get(f"/api/models/{REPO}").json["sha"]
    answers: list[int] = []
    guarded: list[int] = []

    def work(number: int) -> None:
        answers.extend(client.commit(REPO, regular(f"f{number}-{n}.txt", f"{number}")).status for n in range(5))
        guarded.append(client.commit(REPO, regular("guarded.txt", f"{number}"), parentCommit=start).status)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [200] * 40
    assert guarded == [412] * 8
    assert len(client.get(f"/api/models/{REPO}/tree/main").json) == 40
    assert git("rev-list", "--count", "main", folder=bare(endpoint)).strip() == "41"
    assert git("fsck", "--strict", folder=bare(endpoint)) == ""


def test_a_commit_id_is_a_commit_whatever_branches_are_called(endpoint: LocalEndpoint) -> None:
    client = client_of(endpoint)
    first = client.write(REPO, {"a.txt": "first"})
    second = client.write(REPO, {"a.txt": "second"})
    unknown = "ab" * 20
    for name in (first, unknown, first.upper()):
        for body, route in (({"startingPoint": second}, f"branch/{name}"), ({"tag": name}, "tag/main")):
            answer = client.post(f"/api/models/{REPO}/{route}", body)
            assert (answer.status, "commit id" in answer.json["error"]) == (400, True), (route, name)
    # Git lets such names in, and takes them for commits itself.
    for name in (first, unknown):
        git("update-ref", f"refs/heads/{name}", second, folder=bare(endpoint))
        git("update-ref", f"refs/tags/{name}", second, folder=bare(endpoint))
    assert client.get(f"/{REPO}/resolve/{first}/a.txt").body == b"first"
    assert client.get(f"/api/models/{REPO}/revision/{first}").json["sha"] == first
    assert client.get(f"/api/models/{REPO}/revision/{unknown}").code == "RevisionNotFound"
    assert client.get(f"/{REPO}/resolve/refs%2Fheads%2F{first}/a.txt").body == b"second"
    # Of an abbreviated one a branch takes the place, as with git.
    git("update-ref", f"refs/heads/{first[:10]}", second, folder=bare(endpoint))
    assert client.get(f"/{REPO}/resolve/{first[:10]}/a.txt").body == b"second"
    assert client.get(f"/{REPO}/resolve/{first[:11]}/a.txt").body == b"first"


# -- whole or not at all -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("step", "done"), [("replace", 0), ("replace", 1), ("sync_folder", 0)])
def test_a_commit_whose_pack_is_not_complete_is_not_there(
    endpoint: LocalEndpoint, monkeypatch: pytest.MonkeyPatch, step: str, done: int
) -> None:
    """The pack, its index and their folder come before the branch moves: what ends between them leaves the old commit."""
    client = client_of(endpoint)
    head = client.write(REPO, {"a.txt": "1"})
    many = [regular(f"many/{number}.txt", str(number)) for number in range(50)]
    actual = getattr(git_pack, step)
    calls = 0

    def broken(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls > done:
            raise OSError("the machine is switched off")
        return actual(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(git_pack, step, broken)
        answer = client.commit(REPO, *many)
    folder = bare(endpoint)
    assert answer.status == 500
    assert git("rev-parse", "main", folder=folder).strip() == head
    assert [entry["path"] for entry in client.get(f"/api/models/{REPO}/tree/main").json] == ["a.txt"]
    git("fsck", "--strict", folder=folder)
    assert client.commit(REPO, *many).status == 200
    git("fsck", "--strict", folder=folder)
    assert client.get(f"/{REPO}/resolve/main/many/49.txt").body == b"49"


def test_a_commit_that_is_not_written_is_not_reported(endpoint: LocalEndpoint) -> None:
    """The last bytes of a disk may be enough for the trees of a commit and not for the commit: libgit2 says nothing then."""
    client = client_of(endpoint)
    client.write(REPO, {"a.txt": "1"})
    head = client.write(REPO, {"b.txt": "2"})
    bare = endpoint.root / "repos" / "models" / f"{REPO}.git"
    git("repack", "-adq", folder=bare)
    git("prune-packed", folder=bare)
    # The trees are there already, and nothing else can be written.
    for number in range(256):
        (bare / "objects" / f"{number:02x}").write_bytes(b"")
    refused = [
        client.commit(REPO, ("deletedFile", {"path": "b.txt"})),
        client.post(f"/api/models/{REPO}/super-squash/main", {"message": "all"}),
    ]
    assert [answer.status for answer in refused] == [500, 500]
    assert client.get(f"/api/models/{REPO}").json["sha"] == head
    assert git("rev-parse", "main", folder=bare).strip() == head


def test_unfinished_objects_of_a_killed_process_go(root: Path) -> None:
    with local_endpoint(root, "acme", "xet_token") as endpoint:
        client_of(endpoint).make_repo(REPO)
        objects = bare(endpoint) / "objects"
    (objects / "ab").mkdir(exist_ok=True)
    old, new = objects / "tmp_objdir-incoming-old", objects / "incoming-new"
    for folder in (old, new):
        folder.mkdir()
        (folder / "tmp_obj_x").write_bytes(b"x")
    os.utime(old, (1, 1))
    left = [objects / "tmp_object_git2_a1B2c3", objects / "ab" / "tmp_obj_x", objects / "pack" / "tmp_pack_x"]
    for path in left:
        path.write_bytes(b"half")
    with local_endpoint(root, "acme", "xet_token") as endpoint:
        assert client_of(endpoint).get(f"/api/models/{REPO}").status == 200
        assert not [path for path in [*left, old] if path.exists()]
        # A push that began a moment ago may be going on.
        assert new.exists()
