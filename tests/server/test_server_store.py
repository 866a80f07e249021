"""What the local endpoint keeps on disk: a store that survives its process, a full disk and damage."""

from __future__ import annotations

import errno
import gc
import os
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.gits import git
from support.kept import BINARY, REPO, client_of, kept
from support.raw_client import Content, RawClient, Served, regular

from pyxet.errors import ConfigError
from pyxet.testing import LocalEndpoint, local_endpoint


@pytest.fixture
def endpoint(root: Path) -> Iterator[LocalEndpoint]:
    with kept(root) as running:
        yield running


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
