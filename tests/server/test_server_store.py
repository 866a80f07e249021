"""What the local endpoint keeps on disk: git repositories for git, and a store that survives its process."""

from __future__ import annotations

import errno
import gc
import os
import random
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.raw_client import Content, RawClient, Served, regular

from pyxet.errors import ConfigError
from pyxet.server import git_pack
from pyxet.testing import LocalEndpoint, local_endpoint

REPO = "acme/kept"
BINARY = random.Random(1).randbytes(400_000)


def git(*arguments: str | Path, folder: Path) -> str:
    environment = {
        "PATH": os.environ["PATH"], "HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1", "GIT_LFS_SKIP_SMUDGE": "1",
        "GIT_AUTHOR_NAME": "git", "GIT_AUTHOR_EMAIL": "g@x", "GIT_COMMITTER_NAME": "git", "GIT_COMMITTER_EMAIL": "g@x",
    }  # fmt: skip
    done = subprocess.run(
        ["git", *map(str, arguments)], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


@pytest.fixture
def endpoint(root: Path) -> Iterator[LocalEndpoint]:
    with local_endpoint(root, "acme", "xet_token") as running:
        RawClient(running, running.token).make_repo(REPO)
        yield running


def client_of(endpoint: LocalEndpoint) -> RawClient:
    return RawClient(endpoint, endpoint.token)


def bare(endpoint: LocalEndpoint, repo: str = REPO) -> Path:
    return endpoint.root / "repos" / "models" / f"{repo}.git"


# -- git ---------------------------------------------------------------------------------------------------------------


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


# -- restart and interruption ------------------------------------------------------------------------------------------


@pytest.mark.needs("modes")
def test_a_restart_keeps_everything(root: Path) -> None:
    with local_endpoint(root, "acme", "xet_token") as first:
        client = client_of(first)
        client.make_repo(REPO)
        client.make_repo("acme/hidden", visibility="private")
        binary = client.upload(REPO, BINARY)
        client.commit(REPO, binary.line("big.bin"))
        cas_token = client.cas(REPO).token
        before = client.get(f"/api/models/{REPO}?blobs=true").body
    with local_endpoint(root, "acme", "xet_token") as second:
        client = client_of(second)
        assert client.get(f"/api/models/{REPO}?blobs=true").body == before
        assert client.get(f"/{REPO}/resolve/main/big.bin").body == BINARY
        # Xet tokens are still good, and what is stored is known.
        cas = RawClient(second, cas_token)
        assert cas.post(f"/v1/xorbs/default/{binary.xorb_name}", binary.xorb_bytes).json == {"was_inserted": False}
        assert cas.post("/v1/shards", binary.shard()).json["result"] in (0, 1)
        assert RawClient(second).get("/api/models/acme/hidden").code == "RepoNotFound"
        assert (root / "secret").stat().st_mode & 0o777 == 0o600


def test_what_a_killed_process_leaves_is_no_obstacle(root: Path) -> None:
    with local_endpoint(root, "acme", "xet_token") as endpoint:
        client = client_of(endpoint)
        client.make_repo(REPO)
        client.write(REPO, {"a.txt": "1"})
    models = root / "repos" / "models" / "acme"
    for left in (models / ".half.git.new", models / ".gone.git.gone"):
        (left / "objects").mkdir(parents=True)
    path = models / "kept.git"
    for lock in ("refs/heads/main.lock", "HEAD.lock", "config.lock", "packed-refs.lock"):
        (path / lock).write_text("half")
    loose = next(folder for folder in (path / "objects").iterdir() if len(folder.name) == 2)
    (loose / "tmp_obj_123").write_text("half")
    for kind in ("xorbs", "shards"):
        (root / kind / "unfinished" / "tmpabc").write_bytes(b"half")
    # A xorb whose row was not written any more, of another client's compression.
    orphan = Content.of(BINARY)
    (root / "xorbs" / orphan.xorb_name[:2]).mkdir(exist_ok=True)
    (root / "xorbs" / orphan.xorb_name[:2] / orphan.xorb_name).write_bytes(b"other bytes")
    with local_endpoint(root, "acme", "xet_token") as endpoint:
        client = client_of(endpoint)
        client.write(REPO, {"b.txt": "2"})
        assert client.post(f"/api/models/{REPO}/branch/next", {}).status == 200
        client.make_repo("acme/half")
        client.upload(REPO, BINARY)
        client.commit(REPO, orphan.line("big.bin"))
        assert client.get(f"/{REPO}/resolve/main/big.bin").body == BINARY
        assert git("fsck", "--strict", folder=path) == ""
        assert [p.name for p in sorted(models.iterdir())] == ["half.git", "kept.git"]
        assert not list(root.glob("*/unfinished/*"))


def test_sigkill_between_any_two_answers(root: Path) -> None:
    """Each acknowledged commit is there after a kill right behind its answer."""
    code = (
        "import sys, threading\n"
        "from pyxet.testing import local_endpoint\n"
        "endpoint = local_endpoint(sys.argv[1], 'acme', 'xet_token')\n"
        "print(endpoint.url, flush=True)\n"
        "threading.Event().wait()\n"
    )
    made: dict[str, str] = {}
    for turn in range(3):
        process = subprocess.Popen([sys.executable, "-c", code, str(root)], stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None
            client = RawClient(Served(process.stdout.readline().strip()), "xet_token")
            if turn == 0:
                client.make_repo(REPO)
            for path, commit in made.items():
                assert client.get(f"/{REPO}/resolve/{commit}/{path}").body == path.encode()
                assert client.get(f"/{REPO}/resolve/main/{path}").body == path.encode()
            for number in range(3):
                path = f"f{turn}-{number}.txt"
                made[path] = client.write(REPO, {path: path})
        finally:
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()
    assert git("fsck", "--strict", folder=root / "repos" / "models" / "acme" / "kept.git") == ""


def test_a_client_that_goes_away_in_the_middle(root: Path) -> None:
    made = Content.of(BINARY * 10)
    with local_endpoint(root, "acme", "xet_token") as endpoint:
        client = client_of(endpoint)
        client.make_repo(REPO)
        client.upload(REPO, BINARY * 10)
        client.commit(REPO, made.line("big.bin"))
        other = Content.of(BINARY * 3)
        place = (endpoint.url.removeprefix("http://").split(":")[0], int(endpoint.url.rpartition(":")[2]))
        for request, body in (
            (f"POST /v1/xorbs/default/{other.xorb_name}", other.xorb_bytes[:500_000]),
            (f"POST /api/models/{REPO}/commit/main", b'{"key":"header","value":{"summary":"half"}}\n'),
            (f"GET /{REPO}/resolve/main/big.bin", None),
        ):
            token = client.token if "xorbs" not in request else client.cas(REPO).token
            length = "" if body is None else "Content-Length: 1200000\r\n"
            with socket.create_connection(place) as connection:
                head = f"{request} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n{length}\r\n"
                connection.sendall(head.encode() + (body or b""))
                if body is None:
                    assert connection.recv(10)
        assert client.get(f"/{REPO}/resolve/main/big.bin").body == made.data
        assert client.get(f"/api/models/{REPO}/commits/main").json[0]["title"] == "a commit"
        assert client.cas(REPO).head(f"/v1/xorbs/default/{other.xorb_name}").status == 404
    assert not list(root.glob("*/unfinished/*"))


def test_damage_on_the_disk_is_the_endpoints_fault(endpoint: LocalEndpoint) -> None:
    client = client_of(endpoint)
    made = client.upload(REPO, BINARY)
    client.commit(REPO, made.line("big.bin"))
    path = endpoint.root / "xorbs" / made.xorb_name[:2] / made.xorb_name
    path.write_bytes(b"\xff" + path.read_bytes()[1:])
    assert client.get(f"/{REPO}/resolve/main/big.bin").status == 500
    path.unlink()
    assert client.get(f"/{REPO}/resolve/main/big.bin").status == 500
    assert client.head(f"/{REPO}/resolve/main/big.bin").status == 200


# -- disk --------------------------------------------------------------------------------------------------------------


def full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def full_sqlite(*_: object, **__: object) -> None:
    raise sqlite3.OperationalError("database or disk is full")


@pytest.mark.parametrize(
    ("place", "failure"),
    [
        ("pyxet.server.ingest.write_all", full),
        ("pyxet.server.ingest.os.fsync", full),
        ("pyxet.server.index.Index.add_xorb", full_sqlite),
    ],
)
def test_a_full_disk_is_507_and_nothing_is_half_stored(
    endpoint: LocalEndpoint, monkeypatch: pytest.MonkeyPatch, place: str, failure: Callable[..., None]
) -> None:
    client = client_of(endpoint)
    made = Content.of(BINARY)
    cas = client.cas(REPO)
    with monkeypatch.context() as patched:
        patched.setattr(place, failure)
        answer = cas.post(f"/v1/xorbs/default/{made.xorb_name}", made.xorb_bytes)
        assert answer.status == 507
        assert "full" in answer.json["error"]
    assert cas.head(f"/v1/xorbs/default/{made.xorb_name}").status == 404
    assert not list((endpoint.root / "xorbs" / "unfinished").iterdir())
    client.upload(REPO, BINARY)
    assert client.commit(REPO, made.line("big.bin")).status == 200
    assert client.get(f"/{REPO}/resolve/main/big.bin").body == BINARY


def test_a_full_disk_fails_commits_and_shards_whole(endpoint: LocalEndpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    import json

    client = client_of(endpoint)
    made = Content.of(BINARY)
    many = [regular(f"many/{number}.txt", str(number)) for number in range(50)]
    cas = client.cas(REPO)
    cas.post(f"/v1/xorbs/default/{made.xorb_name}", made.xorb_bytes)
    head = client.write(REPO, {"a.txt": "1"})
    with monkeypatch.context() as patched:
        patched.setattr("pyxet.server.git_pack.LooseObjects.add", full)
        assert client.commit(REPO, regular("b.txt", "2")).status == 507
        # Many files are a pack: its file, its checksum, its index.
        patched.setattr("pyxet.server.git_pack.write_all", full)
        assert client.commit(REPO, *many).status == 507
        patched.setattr("pyxet.server.index.Index.add_files", full_sqlite)
        last = json.loads(cas.post("/v2/shards", made.shard()).body.splitlines()[-1])
        assert last["type"] == "error"
        assert "full" in last["message"]
        assert cas.post("/v1/shards", made.shard()).status == 507
    assert client.get(f"/api/models/{REPO}").json["sha"] == head
    assert cas.head(f"/v1/files/{made.name}").status == 404
    assert cas.post("/v1/shards", made.shard()).json == {"result": 1}
    packs = endpoint.root / "repos" / "models" / f"{REPO}.git" / "objects" / "pack"
    assert not list(packs.iterdir())


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


@pytest.mark.needs("limits")
def test_a_full_disk_keeps_no_store_from_starting(root: Path) -> None:
    """Reading goes on, writing says why it does not; when there is room again, it does."""
    made = Content.of(BINARY)
    with local_endpoint(root, "acme", "t") as endpoint:
        client_of(endpoint).make_repo(REPO)
        client_of(endpoint).upload(REPO, BINARY)
        assert client_of(endpoint).commit(REPO, made.line("big.bin"), regular("a.txt", "a")).status == 200
    code = f"""
import json, resource, sys
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from support.raw_client import Content, RawClient, regular
from pyxet.testing import local_endpoint
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
# No file may grow, so for the process the disk is full.
resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
with local_endpoint({str(root)!r}, "acme", "t") as endpoint:
    client = RawClient(endpoint, "t")
    print(client.get("/acme/kept/resolve/main/a.txt").body.decode())
    print(len(client.get("/acme/kept/resolve/main/big.bin").body), len(client.get("/api/models/acme/kept/tree/main").json))
    print(client.cas("acme/kept", "read").get("/v2/reconstructions/{made.name}").status)
    new = Content.of(b"new" * 10000)
    write = lambda: [
        client.commit("acme/kept", regular("b.txt", "b")).status,
        client.cas("acme/kept").post(f"/v1/xorbs/default/{{new.xorb_name}}", new.xorb_bytes).status,
        client.cas("acme/kept").post("/v1/shards", new.shard()).status,
    ]
    print(write()[:2])
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    print(write())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == f"a\n{len(BINARY)} 2\n200\n[507, 507]\n[200, 200, 200]\n", done.stderr


# -- one process -------------------------------------------------------------------------------------------------------


def test_a_directory_is_served_once(endpoint: LocalEndpoint) -> None:
    with pytest.raises(ConfigError, match="another endpoint serves"), local_endpoint(endpoint.root):
        pass
    assert client_of(endpoint).get("/api/whoami-v2").status == 200


def test_a_directory_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(ConfigError, match="is not a directory"), local_endpoint(tmp_path / "file"):
        pass
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "index.sqlite").write_text("this is no database, however long one reads in it " * 20)
    with pytest.raises(ConfigError, match=r"index\.sqlite cannot be used"), local_endpoint(tmp_path / "broken"):
        pass
    # A connection that is left open warns when it is collected, from Python 3.13 on.
    gc.collect()
    with local_endpoint(tmp_path / "newer"):
        pass
    database = sqlite3.connect(tmp_path / "newer" / "index.sqlite")
    database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(ConfigError, match="was written by a newer pyxet"), local_endpoint(tmp_path / "newer"):
        pass
    with pytest.raises(ConfigError, match="cannot own repositories"), local_endpoint(tmp_path / "x", user="a b"):
        pass


def test_a_deleted_repository_is_gone_and_its_name_free(endpoint: LocalEndpoint) -> None:
    client = client_of(endpoint)
    client.write(REPO, {"a.txt": "1"})
    delete = {"name": "kept", "organization": "acme"}
    assert client.call("DELETE", "/api/repos/delete", delete).status == 200
    assert client.call("DELETE", "/api/repos/delete", delete).code == "RepoNotFound"
    assert client.get(f"/api/models/{REPO}").code == "RepoNotFound"
    client.make_repo(REPO)
    assert client.get(f"/api/models/{REPO}/tree/main").json == []
