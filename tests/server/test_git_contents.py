"""What a pushed commit holds is a repository like any other; and what a push may not bring."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pygit2
import pytest
from support.gits import Git, checked, git_in

import pyxet
from pyxet.server import hub_commit
from pyxet.testing import LocalEndpoint, local_endpoint

pytestmark = pytest.mark.needs("git endpoint")

NAMES = iter(range(1, 1_000_000))


@pytest.fixture(scope="module")
def endpoint() -> Iterator[LocalEndpoint]:
    with local_endpoint(user="acme") as running:
        yield running


@pytest.fixture
def fs(endpoint: LocalEndpoint) -> pyxet.XetFS:
    return pyxet.XetFS(endpoint.url, "acme", endpoint.token, listings_expiry_time=0)


@pytest.fixture
def repo(endpoint: LocalEndpoint, fs: pyxet.XetFS) -> Iterator[str]:
    """A repository, which git finds to be sound after the test."""
    name = f"acme/c{next(NAMES)}"
    fs.make_repo(name)
    yield name
    checked(endpoint.root / "repos" / "models" / f"{name}.git")


@pytest.fixture
def clone(endpoint: LocalEndpoint, repo: str, tmp_path: Path) -> Git:
    return git_in(tmp_path, "acme", endpoint.token).clone(f"{endpoint.url}/{repo}", "clone")


def push(clone: Git, message: str = "by git") -> None:
    clone("add", "-A")
    clone("commit", "-q", "-m", message)
    clone("push", "-q", "origin", "HEAD")


# -- what is there -----------------------------------------------------------------------------------------------------


def test_modes_links_and_submodules_are_listed_and_kept(
    endpoint: LocalEndpoint, fs: pyxet.XetFS, repo: str, clone: Git, tmp_path: Path
) -> None:
    top = f"{repo}/main"
    folder = clone.folder
    (folder / "bin").mkdir()
    (folder / "bin" / "run.sh").write_text("#!/bin/sh\n")
    (folder / "bin" / "run.sh").chmod(0o755)
    (folder / "d").mkdir()
    (folder / "d" / "plain.txt").write_text("plain")
    (folder / "link").symlink_to("d/plain.txt")
    (folder / "out").symlink_to("/etc/passwd")
    (folder / "folder").symlink_to("d")
    fs.make_repo(f"{repo}-module")
    clone("submodule", "--quiet", "add", f"{endpoint.url}/{repo}-module", "sub/module")
    pinned = clone("-C", "sub/module", "rev-parse", "HEAD").strip()
    push(clone)

    assert fs.info(f"{top}/bin/run.sh")["executable"] is True
    assert "executable" not in fs.info(f"{top}/d/plain.txt")
    for name, text in (("link", b"d/plain.txt"), ("out", b"/etc/passwd"), ("folder", b"d")):
        info = fs.info(f"{top}/{name}")
        assert (info["type"], info["islink"], info["size"]) == ("file", True, len(text))
        assert fs.cat(f"{top}/{name}") == text
    assert not fs.exists(f"{top}/folder/plain.txt")
    module = fs.info(f"{top}/sub/module")
    assert (module["type"], module["kind"], module["submodule"]) == ("directory", "submodule", pinned)
    assert fs.ls(f"{top}/sub") == [module]
    assert fs.ls(f"{top}/sub/module") == []
    assert fs.find(f"{top}/sub") == []
    assert fs.find(f"{top}/sub/module") == []
    assert list(fs.walk(f"{top}/sub")) == [(f"{top}/sub", ["module"], []), (f"{top}/sub/module", [], [])]
    with pytest.raises(IsADirectoryError):
        fs.cat_file(f"{top}/sub/module")
    assert not fs.exists(f"{top}/sub/module/x")

    # A download is of plain files: nothing that it writes leads out of its folder.
    target = tmp_path / "got"
    fs.get(f"{top}/", str(target), recursive=True)
    assert not [path for path in target.rglob("*") if path.is_symlink()]
    assert (target / "out").read_text() == "/etc/passwd"
    assert (target / "d" / "plain.txt").read_text() == "plain"

    # Commits keep what they do not touch.
    fs.pipe({f"{top}/d/new.txt": b"new", f"{top}/bin/run.sh": b"#!/bin/sh\necho\n", f"{top}/sub/beside.txt": b"b"})
    clone("pull", "-q")
    modes = {line.split("\t")[1]: line[:6] for line in clone("ls-tree", "-r", "HEAD").splitlines()}
    assert modes["bin/run.sh"] == "100755"
    assert modes["link"] == modes["out"] == modes["folder"] == "120000"
    assert modes["sub/module"] == "160000"
    with fs.transaction as tr:
        tr.pipe(f"{top}/sub/third.txt", b"3")
        assert fs.info(f"{top}/sub/module")["kind"] == "submodule"
        assert sorted(fs.find(f"{top}/sub")) == [f"{top}/sub/beside.txt", f"{top}/sub/third.txt"]
    with pytest.raises(NotADirectoryError):
        fs.pipe(f"{top}/sub/module/x.txt", b"x")

    # And they are removed and replaced like other things.
    fs.rm(f"{top}/link")
    fs.pipe(f"{top}/out", b"a file now")
    fs.rm(f"{top}/sub", recursive=True)
    assert not fs.exists(f"{top}/sub")
    clone("pull", "-q")
    modes = {line.split("\t")[1]: line[:6] for line in clone("ls-tree", "-r", "HEAD").splitlines()}
    assert modes["out"] == "100644"
    assert {"link", "sub/module"}.isdisjoint(modes)


def test_strange_names_are_listed_and_found(fs: pyxet.XetFS, repo: str, clone: Git) -> None:
    top = f"{repo}/main"
    names = [
        b"caf\xe9.txt",
        "café.txt".encode(),
        b"back\\slash.txt",
        b"tab\tand\nline.txt",
        b"\xff\xfe/in \xe9.txt",
        b"[a]*?.txt",
    ]
    for number, name in enumerate(names):
        path = os.path.join(os.fsencode(clone.folder), name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(b"%d" % number)
    push(clone)
    shown = [name.decode(errors="backslashreplace") for name in names]
    found = [path.removeprefix(f"{top}/") for path in fs.find(top) if not path.endswith(".gitattributes")]
    assert sorted(found) == sorted(shown)
    for number, told in enumerate(shown):
        assert fs.cat_file(f"{top}/{told}") == b"%d" % number
        assert fs.info(f"{top}/{told}")["size"] == 1
    assert [info["name"] for info in fs.ls(f"{top}/\\xff\\xfe")] == [f"{top}/\\xff\\xfe/in \\xe9.txt"]
    # Beside them, and of them.
    fs.pipe(f"{top}/more.txt", b"more")
    fs.rm_file(f"{top}/caf\\xe9.txt")
    fs.pipe_file(f"{top}/\\xff\\xfe/in \\xe9.txt", b"new")
    fs.pipe_file(f"{top}/\\xff\\xfe/beside.txt", b"beside")
    clone("pull", "-q")
    tree = clone("-c", "core.quotePath=true", "ls-tree", "-r", "--name-only", "HEAD").splitlines()
    assert sorted(tree) == sorted([
        ".gitattributes", '"\\377\\376/beside.txt"', '"\\377\\376/in \\351.txt"', '"back\\\\slash.txt"', '"caf\\303\\251.txt"',
        "more.txt", '"tab\\tand\\nline.txt"', "[a]*?.txt",
    ])  # fmt: skip


def test_old_encodings_and_odd_commits_are_told(
    endpoint: LocalEndpoint, fs: pyxet.XetFS, repo: str, clone: Git
) -> None:
    author = "Jos\xe9 <j@x>".encode("latin-1")
    tree = clone("rev-parse", "HEAD^{tree}").strip().encode()
    parent = clone("rev-parse", "HEAD").strip().encode()
    made = []
    for encoding, message in (
        (b"encoding ISO-8859-1\n", b"caf\xe9"),
        (b"", b"caf\xe9"),
        (b"encoding no-such\n", b"odd"),
        (b"", b""),
    ):
        text = b"tree %s\nparent %s\nauthor %s 1700000000 +0000\ncommitter %s 1700000000 +0000\n%s\n%s" % (
            tree, parent, author, author, encoding, message,
        )  # fmt: skip
        local = pygit2.Repository(str(clone.folder))
        parent = str(local.write(pygit2.enums.ObjectType.COMMIT, text)).encode()
        made.append(parent.decode())
    clone("reset", "-q", "--hard", made[-1])
    clone("push", "-q", "origin", "HEAD")
    log = fs.log(f"{repo}/main")
    assert [commit.id for commit in log[:4]] == made[::-1]
    assert log[3].message == "café"
    assert log[1].message == "odd"
    assert fs.ls(f"{repo}/main", expand=True)
    fs.pipe(f"{repo}/main/next.txt", b"next")


# -- what a push may not bring -----------------------------------------------------------------------------------------


def tree_with(clone: Git, name: bytes, mode: int = 0o100644) -> str:
    """A commit whose tree git itself would not make."""
    git = pygit2.Repository(str(clone.folder))
    blob = git.create_blob(b"x")
    data = b"%o %s\0" % (mode, name) + blob.raw
    tree = git.write(pygit2.enums.ObjectType.TREE, data)
    return commit_of(clone, str(tree))


def commit_of(clone: Git, tree: str) -> str:
    return clone("commit-tree", "-m", "by hand", "-p", "HEAD", tree).strip()


@pytest.mark.parametrize(
    "name",
    [b".git", b".GIT", b"..", b".", b"git~1", b"a\\..\\b", b"x" * 256, ".g\u200cit".encode()],
    ids=["git", "GIT", "up", "dot", "short", "windows", "long", "hidden"],
)
def test_paths_that_the_api_refuses_are_refused(fs: pyxet.XetFS, repo: str, clone: Git, name: bytes) -> None:
    before = fs.branch_info(repo, "main")["commit"]
    made = tree_with(clone, name)
    told = clone.fails("push", "origin", f"{made}:refs/heads/main", f"{made}:refs/heads/other")
    assert "remote:" in told
    assert fs.branch_info(repo, "main")["commit"] == before
    assert fs.list_branches(repo) == ["main"]


def test_a_tree_that_is_too_deep_is_refused(fs: pyxet.XetFS, repo: str, clone: Git) -> None:
    git = pygit2.Repository(str(clone.folder))
    below = git.create_blob(b"x")
    mode = 0o100644
    trees = []
    for _ in range(3000):
        builder = git.TreeBuilder()
        builder.insert("d", below, mode)
        below, mode = builder.write(), 0o40000
        trees.append(str(below))
    made = commit_of(clone, trees[-1])
    assert "at most 255 parts" in clone.fails("push", "origin", f"{made}:refs/heads/deep")
    made = commit_of(clone, trees[254])
    clone("push", "-q", "origin", f"{made}:refs/heads/deep")
    assert fs.find(f"{repo}/deep") == [f"{repo}/deep/" + "/".join("d" * 255)]


def test_large_files_are_refused_with_what_helps(
    fs: pyxet.XetFS, repo: str, clone: Git, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a commit through the API, where they are a line that is too long."""
    monkeypatch.setattr("pyxet.server.git_http.MAX_LINE", 1_000_000)
    assert hub_commit.MAX_LINE == 64 * 1024 * 1024
    clone.write({"d/large.txt": b"large " * 200_000, "small.txt": b"small"})
    told = clone.fails("push", "origin", "HEAD")
    assert "d/large.txt: 1,200,000 bytes" in told
    assert "git lfs migrate import" in told
    # Also where a later commit has removed it: it would be there for good.
    clone("rm", "-q", "d/large.txt")
    clone("commit", "-q", "-m", "remove it")
    assert "d/large.txt" in clone.fails("push", "origin", "HEAD")
    assert not fs.exists(f"{repo}/main/small.txt")


def test_pointers_to_what_is_not_stored_are_refused(
    endpoint: LocalEndpoint, fs: pyxet.XetFS, repo: str, clone: Git, tmp_path: Path
) -> None:
    def pointer(data: bytes, size: int | None = None) -> str:
        sha256 = hashlib.sha256(data).hexdigest()
        return f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {len(data) if size is None else size}\n"

    lost, here = os.urandom(1000), os.urandom(1000)
    clone.write({"d/lost.bin": pointer(lost)})
    told = clone.fails("push", "origin", "HEAD")
    assert "Your push referenced at least 1 unknown Git LFS object" in told
    assert f"{hashlib.sha256(lost).hexdigest()} (d/lost.bin)" in told
    assert "git lfs push --all" in told
    clone("reset", "-q", "--hard", "HEAD~1")
    fs.pipe(f"{repo}/main/here.bin", here)
    clone("pull", "-q")
    assert (clone.folder / "here.bin").read_text() == pointer(here)
    clone.write({"copy.bin": pointer(here)})
    clone("push", "-q", "origin", "HEAD")
    assert fs.cat(f"{repo}/main/copy.bin") == here
    clone.write({"wrong.bin": pointer(here, 999)})
    assert "unknown Git LFS object" in clone.fails("push", "origin", "HEAD")
    # Who knows just the hash of what another one keeps private does not get at it.
    fs.make_repo(f"{repo}-private", private=True)
    secret = os.urandom(1000)
    fs.pipe(f"{repo}-private/main/secret.bin", secret)
    token = endpoint.add_token("eve")
    eve, hers = git_in(tmp_path, "eve", token), pyxet.XetFS(endpoint.url, "eve", token)
    hers.make_repo(f"eve/own{next(NAMES)}")
    name = f"eve/own{next(NAMES)}"
    hers.make_repo(name)
    stolen = eve.clone(f"{endpoint.url}/{name}", "stolen")
    stolen.write({"secret.bin": pointer(secret)})
    assert "unknown Git LFS object" in stolen.fails("push", "origin", "HEAD")


def test_objects_that_git_finds_damaged_are_refused(fs: pyxet.XetFS, repo: str, clone: Git) -> None:
    git = pygit2.Repository(str(clone.folder))
    blob = git.create_blob(b"x").raw
    for data in (
        b"100644 b\0" + blob + b"100644 a\0" + blob,
        b"100644 a\0" + blob + b"100644 a\0" + blob,
        b"100644 a/b\0" + blob,
    ):
        made = commit_of(clone, str(git.write(pygit2.enums.ObjectType.TREE, data)))
        assert "remote:" in clone.fails("push", "origin", f"{made}:refs/heads/bad")
    assert "a branch leads to a commit" in clone.fails("push", "origin", "HEAD^{tree}:refs/heads/bad")
    for name in ("ab" * 20, "x@{1}", "-x"):
        assert (
            "is not a valid" in (told := clone.fails("push", "origin", f"HEAD:refs/heads/{name}"))
            or "commit id" in told
            or "invalid" in told
        )
    assert fs.list_branches(repo) == ["main"]
