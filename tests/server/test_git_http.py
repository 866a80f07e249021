"""Clone, fetch, pull and push with the real git: who may, what of, and that pyxet and git see one repository."""

from __future__ import annotations

import gzip
import os
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.gits import Git, bare, checked, git_in, processes_at
from support.raw_client import RawClient

import pyxet
from pyxet.server import git_http, git_program, git_push, inherited
from pyxet.testing import LocalEndpoint, local_endpoint

pytestmark = pytest.mark.needs("git endpoint")

NAMES = iter(range(1, 1_000_000))


@pytest.fixture(scope="module")
def token(endpoint: LocalEndpoint) -> str:
    return endpoint.add_token("acme")


@pytest.fixture
def git(token: str, tmp_path: Path) -> Git:
    return git_in(tmp_path, "acme", token)


@pytest.fixture
def fs(endpoint: LocalEndpoint, token: str) -> pyxet.XetFS:
    return pyxet.XetFS(endpoint.url, "acme", token, listings_expiry_time=0)


@pytest.fixture
def repo(endpoint: LocalEndpoint, fs: pyxet.XetFS) -> Iterator[str]:
    """A repository, which git finds to be sound after the test."""
    name = f"acme/r{next(NAMES)}"
    fs.make_repo(name)
    yield name
    checked(bare(endpoint, name))


# -- clone and fetch ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["", ".git"])
@pytest.mark.parametrize("kind", ["", "datasets/", "spaces/", "kernels/"])
def test_whoever_may_read_clones(
    endpoint: LocalEndpoint, fs: pyxet.XetFS, tmp_path: Path, kind: str, suffix: str
) -> None:
    name = f"{kind}acme/r{next(NAMES)}"
    fs.make_repo(name)
    fs.pipe(f"{name}/main/a/b.txt", b"text")
    clone = git_in(tmp_path).clone(f"{endpoint.url}/{name}{suffix}", "clone")
    assert (clone.folder / "a" / "b.txt").read_bytes() == b"text"
    assert clone("log", "--format=%H").split() == [commit.id for commit in fs.log(f"{name}/main")]
    fs.pipe(f"{name}/main/more.txt", b"more")
    clone("pull", "-q")
    assert (clone.folder / "more.txt").read_bytes() == b"more"


def test_branches_tags_and_parts_of_a_history(endpoint: LocalEndpoint, fs: pyxet.XetFS, repo: str, git: Git) -> None:
    for number in range(5):
        fs.pipe(f"{repo}/main/{number}.txt", b"%d" % number)
    fs.make_branch(repo, "main", "work")
    fs.make_tag(repo, "v1", message="the first")
    url = f"{endpoint.url}/{repo}"
    shallow = git.clone(url, "shallow", "--depth", "2")
    assert shallow("rev-list", "--count", "HEAD").strip() == "2"
    shallow("fetch", "-q", "--unshallow")
    assert shallow("rev-list", "--count", "HEAD").strip() == "6"
    partial = git.clone(url, "partial", "--filter=blob:none", "--no-checkout")
    assert len(partial("rev-list", "--objects", "--missing=print", "HEAD").split("?")) > 5
    assert partial("show", "HEAD:4.txt") == "4"
    assert git.clone(url, "branch", "--branch", "work")("branch", "--show-current").strip() == "work"
    assert git.clone(url, "tag", "--branch", "v1")("describe").strip() == "v1"
    first = fs.log(f"{repo}/main")[3].id
    single = git.clone(url, "single", "--depth", "1")
    single("fetch", "-q", "--depth", "1", "origin", first)
    assert single("rev-parse", "FETCH_HEAD").strip() == first
    for version in ("0", "1", "2"):
        listed = git("-c", f"protocol.version={version}", "ls-remote", url)
        assert {line.split()[1] for line in listed.splitlines()} == {
            "HEAD", "refs/heads/main", "refs/heads/work", "refs/tags/v1", "refs/tags/v1^{}",
        }  # fmt: skip


def test_a_renamed_repository_is_found_by_its_old_name(
    endpoint: LocalEndpoint, fs: pyxet.XetFS, repo: str, git: Git
) -> None:
    clone = git.clone(f"{endpoint.url}/{repo}.git", "clone")
    fs.rename_repo(repo, f"{repo}-new")
    clone.write({"a.txt": "a"})
    clone("push", "-q", "origin", "main")
    assert fs.cat(f"{repo}-new/main/a.txt") == b"a"
    fs.rename_repo(f"{repo}-new", repo)


# -- who may -----------------------------------------------------------------------------------------------------------


def test_what_is_private_is_told_from_what_is_missing_by_nobody_without_rights(
    endpoint: LocalEndpoint, fs: pyxet.XetFS, git: Git, token: str, tmp_path: Path
) -> None:
    name = f"acme/r{next(NAMES)}"
    fs.make_repo(name, private=True)
    nobody, eve = git_in(tmp_path), git_in(tmp_path, "eve", endpoint.add_token("eve"))
    wrong, ended = (
        git_in(tmp_path, "acme", "xet_wrong"),
        git_in(tmp_path, "acme", endpoint.add_token("acme", expires=1.0)),
    )
    for client in (nobody, eve, wrong, ended):
        told = [
            client.fails("ls-remote", f"{endpoint.url}/{asked}").replace(asked, "NAME")
            for asked in (name, "acme/nothing")
        ]
        assert told[0] == told[1]
    assert "could not read Username" in nobody.fails("ls-remote", f"{endpoint.url}/{name}")
    assert "not found" in eve.fails("ls-remote", f"{endpoint.url}/{name}")
    assert "Authentication failed" in wrong.fails("ls-remote", f"{endpoint.url}/{name}")
    assert "HEAD" in git("ls-remote", f"{endpoint.url}/{name}")
    # As `huggingface_hub` leaves it with git: any name will do, and a token may be all there is.
    assert "HEAD" in git_in(tmp_path, "hf_user", token)("ls-remote", f"{endpoint.url}/{name}")
    address = endpoint.url.replace("://", f"://{token}@")
    assert "HEAD" in git_in(tmp_path, "x", "")(
        "-c", "credential.helper=!f() { echo password=; }; f", "ls-remote", f"{address}/{name}"
    )


def test_who_only_reads_does_not_push(endpoint: LocalEndpoint, fs: pyxet.XetFS, repo: str, git: Git) -> None:
    url = f"{endpoint.url}/{repo}"
    clone = git.clone(url, "clone")
    clone.write({"a.txt": "a"})
    reader = git_in(clone.folder, "acme", endpoint.add_token("acme", "read"))
    assert "only reads" in reader.fails("push", url, "main")
    eve = git_in(clone.folder, "eve", endpoint.add_token("eve"))
    assert "eve may not write" in eve.fails("push", url, "main")
    assert "could not read Username" in git_in(clone.folder).fails("push", url, "main")
    assert not fs.exists(f"{repo}/main/a.txt")


def test_an_endpoint_that_is_closed_asks_for_a_token(tmp_path: Path) -> None:
    with local_endpoint(user="acme", anonymous=False) as endpoint:
        pyxet.XetFS(endpoint.url, "acme", endpoint.token).make_repo("acme/public")
        for name in ("acme/public", "acme/nothing"):
            assert "could not read Username" in git_in(tmp_path).fails("ls-remote", f"{endpoint.url}/{name}")
        assert "HEAD" in git_in(tmp_path, "acme", endpoint.token)("ls-remote", f"{endpoint.url}/acme/public")


def test_no_web_page_can_push_with_a_password_that_a_browser_keeps(
    endpoint: LocalEndpoint, token: str, repo: str
) -> None:
    client = RawClient(endpoint, token)
    for service in ("git-upload-pack", "git-receive-pack"):
        assert client.post(f"/{repo}/{service}", b"0000", Content_Type="text/plain").status == 415
    assert client.get(f"/{repo}/info/refs").status == 403
    assert client.get(f"/{repo}/HEAD").status == 404
    assert client.get(f"/{repo}/objects/info/packs").status == 404


# -- push --------------------------------------------------------------------------------------------------------------


def test_what_is_pushed_is_there_for_every_reader_at_once(
    endpoint: LocalEndpoint, fs: pyxet.XetFS, repo: str, git: Git
) -> None:
    clone = git.clone(f"{endpoint.url}/{repo}", "clone")
    pushed = clone.write({"a.txt": "a", "d/ünï.txt": "é"})
    clone("push", "-q", "origin", "main")
    assert fs.branch_info(repo, "main")["commit"] == pushed
    assert fs.cat(f"{repo}/main/d/ünï.txt") == "é".encode()
    # Many objects stay the pack they came in, and those that are known already come as differences.
    many = clone.write({f"many/{number}.txt": f"{number}\n" * 100 for number in range(200)})
    clone("push", "-q", "origin", "HEAD:refs/heads/experiment-1")
    assert fs.branch_info(repo, "experiment-1")["commit"] == many
    assert len(fs.find(f"{repo}/experiment-1/many")) == 200
    fs.pipe(f"{repo}/experiment-1/many/7.txt", b"seven")
    clone("fetch", "-q")
    assert clone("show", "origin/experiment-1:many/7.txt") == "seven"
    clone("tag", "v1")
    clone("tag", "-a", "v2", "-m", "two")
    clone("push", "-q", "origin", "--tags")
    assert set(fs.list_tags(repo)) == {"v1", "v2"}
    assert fs.cat(f"{repo}/v2/a.txt") == b"a"
    clone("push", "-q", "origin", ":v1", ":experiment-1")
    assert set(fs.list_tags(repo)) == {"v2"}
    assert set(fs.list_branches(repo)) == {"main"}


def test_a_history_is_replaced_only_by_force(endpoint: LocalEndpoint, fs: pyxet.XetFS, repo: str, git: Git) -> None:
    clone = git.clone(f"{endpoint.url}/{repo}", "clone")
    clone.write({"a.txt": "a"})
    clone("push", "-q", "origin", "main")
    fs.pipe(f"{repo}/main/b.txt", b"b")
    mine = clone.write({"c.txt": "c"})
    assert "fetch first" in clone.fails("push", "origin", "main")
    assert fs.cat(f"{repo}/main/b.txt") == b"b"
    lease = clone("rev-parse", "HEAD~1").strip()
    assert "stale info" in clone.fails("push", f"--force-with-lease=main:{lease}", "origin", "main")
    clone("push", "-q", "--force", "origin", "main")
    assert fs.branch_info(repo, "main")["commit"] == mine
    assert not fs.exists(f"{repo}/main/b.txt")


def test_an_atomic_push_moves_all_or_nothing(endpoint: LocalEndpoint, fs: pyxet.XetFS, repo: str, git: Git) -> None:
    clone = git.clone(f"{endpoint.url}/{repo}", "clone")
    clone.write({"a.txt": "a"})
    told = clone.fails("push", "--atomic", "origin", "HEAD:refs/heads/one", ":main")
    assert "the main branch cannot be deleted" in told
    assert fs.list_branches(repo) == ["main"]
    told = clone.fails(
        "push", "--atomic", "origin", "HEAD:refs/heads/one", "HEAD:refs/heads/two/a", "HEAD:refs/heads/two"
    )
    assert fs.list_branches(repo) == ["main"], told
    clone("push", "-q", "--atomic", "origin", "HEAD:refs/heads/one", "HEAD:refs/heads/two")
    assert set(fs.list_branches(repo)) == {"main", "one", "two"}


def test_names_that_no_branch_can_have_beside_others(endpoint: LocalEndpoint, token: str, repo: str, git: Git) -> None:
    client = RawClient(endpoint, token)
    clone = git.clone(f"{endpoint.url}/{repo}", "clone")

    def created(kind: str, name: str) -> str:
        if kind == "heads":
            answer = client.post(f"/api/models/{repo}/branch/{name.replace('/', '%2F')}", {"startingPoint": "main"})
        else:
            answer = client.post(f"/api/models/{repo}/tag/main", {"tag": name})
        assert answer.status == 400
        return answer.body.decode()

    for kind in ("heads", "tags"):
        for name in ("HEAD", "@"):
            for told in (clone.fails("push", "origin", f"HEAD:refs/{kind}/{name}"), created(kind, name)):
                assert "name" in told
                assert "Invalid reference" in told
        clone("push", "-q", "origin", f"HEAD:refs/{kind}/a/b", f"HEAD:refs/{kind}/c")
        for name, blocker in (("a", "a/b"), ("a/b/x", "a/b"), ("c/d/e", "c")):
            for told in (clone.fails("push", "origin", f"HEAD:refs/{kind}/{name}"), created(kind, name)):
                assert f"refs/{kind}/{blocker} is in the way" in told
                assert str(endpoint.root) not in told
        clone("push", "-q", "origin", f":refs/{kind}/a/b", f"HEAD:refs/{kind}/a")


def test_pull_requests_are_fetched_and_pushed_to(
    endpoint: LocalEndpoint, token: str, fs: pyxet.XetFS, repo: str, git: Git, tmp_path: Path
) -> None:
    """By who may write to the repository, and by who opened one to theirs."""
    url = f"{endpoint.url}/{repo}"
    clone = git.clone(url, "clone")
    clone.write({"a.txt": "a"})
    assert "open it through the API first" in clone.fails("push", "origin", "HEAD:refs/pr/1")
    eve = RawClient(endpoint, endpoint.add_token("eve"))
    hers = git_in(clone.folder, "eve", eve.token)
    for author in (eve, RawClient(endpoint, token)):
        title = {"title": "a proposal", "pullRequest": True}
        assert author.post(f"/api/models/{repo}/discussions", title, Content_Type="application/json").status == 200
    for who, number in ((hers, 1), (clone, 2)):
        who("push", "-q", url, f"HEAD:refs/pr/{number}")
        clone("fetch", "-q", "origin", f"refs/pr/{number}")
        assert clone("rev-parse", "FETCH_HEAD") == clone("rev-parse", "HEAD")
        assert fs.cat(f"{repo}/refs%2Fpr%2F{number}/a.txt") == b"a"
    head = clone.write({"b.txt": "b"})
    assert "may not write to the pull request of acme" in hers.fails("push", url, "HEAD:refs/pr/2")
    assert "their own pull requests only" in hers.fails("push", url, "HEAD:refs/heads/main")
    assert "close it" in clone.fails("push", "origin", ":refs/pr/1")
    for step, body in (("status", {"status": "open"}), ("merge", {})):
        told = RawClient(endpoint, token).post(
            f"/api/models/{repo}/discussions/2/{step}", body, Content_Type="application/json"
        )
        assert told.status == 200, told
    assert "pull request 2 is merged" in clone.fails("push", "origin", "HEAD:refs/pr/2")
    assert fs.cat(f"{repo}/main/a.txt") == b"a"
    assert fs.branch_info(repo, "main")["commit"] != head
    assert "only branches, tags and pull requests" in clone.fails("push", "origin", "HEAD:refs/notes/x")


def test_a_shallow_clone_pushes(endpoint: LocalEndpoint, fs: pyxet.XetFS, repo: str, git: Git) -> None:
    fs.pipe(f"{repo}/main/a.txt", b"a")
    clone = git.clone(f"{endpoint.url}/{repo}", "clone", "--depth", "1")
    clone.write({"b.txt": "b"})
    clone("push", "-q", "origin", "main")
    assert next(commit.message for commit in fs.log(f"{repo}/main")) == "by git"
    assert len(fs.log(f"{repo}/main")) == 3


def test_a_large_push_comes_in_pieces(endpoint: LocalEndpoint, fs: pyxet.XetFS, repo: str, git: Git) -> None:
    """Beyond its buffer git sends what it does not know the length of, after a request that tries whether it may."""
    clone = git.clone(f"{endpoint.url}/{repo}", "clone")
    noise = os.urandom(5_000_000)
    clone.write({"noise.txt": noise})
    clone("push", "-q", "origin", "main")
    assert fs.cat(f"{repo}/main/noise.txt") == noise
    again = git.clone(f"{endpoint.url}/{repo}", "again")
    assert (again.folder / "noise.txt").read_bytes() == noise


def test_compressed_requests_are_understood(endpoint: LocalEndpoint, token: str, fs: pyxet.XetFS, repo: str) -> None:
    head = fs.branch_info(repo, "main")["commit"]
    wanted = f"0032want {head}\n00000009done\n".encode()
    for body, more in ((wanted, {}), (gzip.compress(wanted), {"Content_Encoding": "gzip"})):
        answer = RawClient(endpoint, token).post(
            f"/{repo}/git-upload-pack", body, Content_Type="application/x-git-upload-pack-request", **more
        )
        assert (answer.status, answer.body[:8]) == (200, b"0008NAK\n")
        assert b"PACK" in answer.body
    bomb = gzip.compress(b"0" * 64 * 1024 * 1024)
    answer = RawClient(endpoint, token).post(
        f"/{repo}/git-upload-pack", bomb, Content_Type="application/x-git-upload-pack-request", Content_Encoding="gzip"
    )
    assert answer.status == 413


@pytest.mark.parametrize("service", ["git-upload-pack", "git-receive-pack"])
def test_what_is_no_request_is_refused(endpoint: LocalEndpoint, token: str, repo: str, service: str) -> None:
    client = RawClient(endpoint, token)
    kind = f"application/x-{service}-request"
    for body in (b"garbage", b"ffff", b"0003", b"00zz", b"0009done\n", b"\0" * 100):
        answer = client.post(f"/{repo}/{service}", body, Content_Type=kind)
        assert answer.status == 400 or answer.body, (body, answer)
        assert answer.status in (200, 400)
    assert client.post(f"/{repo}/{service}", b"garbage", Content_Type=kind).status == 400
    # With it git asks whether it may send a large body.
    assert client.post(f"/{repo}/{service}", b"0000", Content_Type=kind).status == 200


def test_any_folder_may_be_that_of_an_endpoint(tmp_path: Path) -> None:
    root = tmp_path / 'it\'s a "folder" $HOME;\n ünï'
    with local_endpoint(root, user="acme") as endpoint:
        fs = pyxet.XetFS(endpoint.url, "acme", endpoint.token, listings_expiry_time=0)
        fs.make_repo("acme/r")
        clone = git_in(tmp_path, "acme", endpoint.token).clone(f"{endpoint.url}/acme/r", "clone")
        clone.write({"a.txt": "a"})
        clone("push", "-q", "origin", "main")
        assert fs.cat("acme/r/main/a.txt") == b"a"
        checked(bare(endpoint, "acme/r"))


# -- git itself --------------------------------------------------------------------------------------------------------


def test_the_endpoint_says_where_git_is_missing(
    endpoint: LocalEndpoint, repo: str, git: Git, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    told = git.fails("clone", f"{endpoint.url}/{repo}", "clone")
    assert "git is not installed where this endpoint runs" in told
    assert "501" in told
    monkeypatch.undo()
    # One without its HTTP program, and one that is too old.
    alone = tmp_path / "bin"
    alone.mkdir()
    for script, words in (
        ("echo git version 2.20.1", "it needs 2.31 or later"),
        (f'case $1 in version) echo git version 2.45.0;; *) echo "{alone}";; esac', "no git-http-backend"),
        ("exit 3", "does not run"),
    ):
        (alone / "git").write_text(f"#!/bin/sh\n{script}\n")
        (alone / "git").chmod(0o755)
        git_program._checked.cache_clear()
        real, asked = shutil.which, str(alone)
        monkeypatch.setattr(shutil, "which", lambda name, path=None: real(name, path=path or asked))  # noqa: B023
        assert words in git.fails("ls-remote", f"{endpoint.url}/{repo}")
        monkeypatch.undo()
    git_program._checked.cache_clear()


def test_git_sees_nothing_of_the_configuration_around_it(
    endpoint: LocalEndpoint, fs: pyxet.XetFS, repo: str, git: Git, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither that of whoever runs the endpoint, nor what a repository's folder has."""
    home = tmp_path / "home"
    (home / "hooks").mkdir(parents=True)
    for hooks in (home / "hooks", bare(endpoint, repo) / "hooks"):
        for name in ("pre-receive", "update", "post-receive", "reference-transaction"):
            (hooks / name).write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\nexit 1\n")
            (hooks / name).chmod(0o755)
    (home / ".gitconfig").write_text(
        f"[core]\nhooksPath = {home}/hooks\n[receive]\ndenyNonFastForwards = true\nunpackLimit = 1\n"
        "[http]\nreceivepack = false\n[transfer]\nhideRefs = refs/heads\n"
    )
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GIT_DIR", str(tmp_path))
    monkeypatch.setenv("GIT_CONFIG_PARAMETERS", "'transfer.hideRefs=refs'")
    clone = git.clone(f"{endpoint.url}/{repo}", "clone")
    clone.write({"a.txt": "a"})
    clone("push", "-q", "origin", "main")
    assert fs.cat(f"{repo}/main/a.txt") == b"a"
    assert not (tmp_path / "ran").exists()
    shutil.rmtree(bare(endpoint, repo) / "hooks")
    # And what it makes is for the endpoint's user only.
    assert not [
        path for path in bare(endpoint, repo).rglob("*") if path.stat().st_mode & 0o077 and "hooks" not in path.parts
    ]


def test_a_client_that_leaves_takes_its_process_along(endpoint: LocalEndpoint, token: str, repo: str) -> None:
    """In the middle of a push that it has announced; nothing of it stays."""
    host, port = endpoint.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(begun_push(host, token, repo))
        wait_for(lambda: len(processes_at(bare(endpoint, repo))) > 0)
        # A forked child would keep the pipes open, and git would wait for more after the endpoint has ended.
        assert len(inherited._pipes) >= 5
    wait_for(lambda: not processes_at(bare(endpoint, repo)))
    wait_for(lambda: not inherited._pipes)
    assert not list((bare(endpoint, repo) / "objects").glob("*incoming*"))


def test_git_processes_are_counted(
    endpoint: LocalEndpoint, repo: str, git: Git, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What waits too long for its turn is told to come again, and the next one is answered."""
    monkeypatch.setattr(git_http, "_WAIT", 0.05)
    slots = endpoint.start().app[git_http.SLOTS]
    taken = slots._value
    slots._value = 0
    try:
        told = git.fails("ls-remote", f"{endpoint.url}/{repo}")
    finally:
        slots._value = taken
    assert "too many clones and pushes at once" in told
    assert "503" in told
    assert "HEAD" in git("ls-remote", f"{endpoint.url}/{repo}")
    assert slots._value == taken


def test_an_endpoint_that_stops_ends_its_git_processes(tmp_path: Path) -> None:
    with local_endpoint(user="acme") as endpoint:
        pyxet.XetFS(endpoint.url, "acme", endpoint.token).make_repo("acme/stopped")
        host, port = endpoint.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=30) as connection:
            connection.sendall(begun_push(host, endpoint.token, "acme/stopped"))
            wait_for(lambda: len(processes_at(bare(endpoint, "acme/stopped"))) > 0)
            path = bare(endpoint, "acme/stopped")
            endpoint.close()
            wait_for(lambda: not processes_at(path))


def test_a_repository_that_goes_during_a_push_refuses_it(
    endpoint: LocalEndpoint, fs: pyxet.XetFS, repo: str, git: Git, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And one that comes in its place has nothing of it."""
    clone = git.clone(f"{endpoint.url}/{repo}", "clone")
    clone.write({"a.txt": "a"})
    moved = git_push.move_references

    def going(*arguments: Any, **options: Any) -> Any:
        monkeypatch.undo()
        fs.rename_repo(repo, f"{repo}-gone")
        fs.make_repo(repo)
        return moved(*arguments, **options)

    monkeypatch.setattr(git_http, "move_references", going)
    told = clone.fails("push", "origin", "main")
    assert fs.list_branches(repo) == ["main"]
    for name in (repo, f"{repo}-gone"):
        assert not fs.exists(f"{name}/main/a.txt"), told


def begun_push(host: str, token: str, repo: str) -> bytes:
    """The first bytes of a push whose rest does not come."""
    return (
        f"POST /{repo}/git-receive-pack HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n"
        "Content-Type: application/x-git-receive-pack-request\r\nContent-Length: 100000\r\n\r\n"
        f"00b1{'0' * 40} {'12' * 20} refs/heads/x\0report-status"
    ).encode()


def wait_for(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)
