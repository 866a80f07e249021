"""``xet clone`` and ``git xet`` as people write them, with real git and git-lfs over HTTP; logins that git knows of."""

from __future__ import annotations

import hashlib
import os
import random
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.gits import Git, git_at_home
from support.raw_client import RawClient

import pyxet
from pyxet.testing import LocalEndpoint, local_endpoint

pytestmark = pytest.mark.needs("git endpoint")

NOISE = random.Random(51)
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def endpoint() -> Iterator[LocalEndpoint]:
    with local_endpoint(user="acme") as running:
        yield running


@pytest.fixture
def repo(endpoint: LocalEndpoint) -> str:
    """A private one, with the ``.gitattributes`` that new ones have."""
    name = f"r{NOISE.getrandbits(40):x}"
    made = {"name": name, "organization": "acme", "visibility": "private"}
    assert RawClient(endpoint, endpoint.token).post("/api/repos/create", made).status == 200
    return f"acme/{name}"


@pytest.fixture
def fs(endpoint: LocalEndpoint) -> pyxet.XetFS:
    return pyxet.XetFS(endpoint.url, "acme", endpoint.token, listings_expiry_time=0)


@pytest.fixture
def git(tmp_path: Path, endpoint: LocalEndpoint) -> Git:
    """Git of somebody who has logged in, and has ``git-xet`` on PATH."""
    found = with_program(git_at_home(tmp_path / "home", XET_ENDPOINT=endpoint.url))
    said = found.says("xet", "login", "-u", "acme", "-e", "acme@example.org", "-p", endpoint.token)
    assert endpoint.token not in said
    return found


def with_program(git: Git) -> Git:
    """Where an installation puts the program: beside ``xet``."""
    folder = git.folder / "bin"
    folder.mkdir()
    program = folder / "git-xet"
    program.write_text(f"#!{sys.executable}\nfrom pyxet.cli import git_main\ngit_main()\n")
    program.chmod(0o755)
    git.environment["PATH"] = f"{folder}:{git.environment['PATH']}"
    return git


def content(size: int) -> bytes:
    return NOISE.randbytes(size)


def is_pointer(path: Path) -> bool:
    return path.read_bytes().startswith(b"version https://git-lfs")


def test_the_program_is_installed() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert scripts == {"xet": "pyxet.cli:main", "git-xet": "pyxet.cli:git_main"}


def test_a_clone_has_all_files_and_pushes_back(repo: str, fs: pyxet.XetFS, git: Git) -> None:
    """By the path, with chunks in both directions; what is pushed is there for everybody at once."""
    files = {"a.bin": content(600_000), "deep/b.bin": content(50_000), "c.txt": b"text"}
    fs.pipe({f"{repo}/main/{name}": data for name, data in files.items()})
    git("xet", "clone", f"xet://{repo}", "work")
    work = git.at("work")
    assert {name: (work.folder / name).read_bytes() for name in files} == files
    assert work("status", "--porcelain") == ""
    work.check()
    work("lfs", "track", "*.bin")
    files |= {"a.bin": files["a.bin"] + b"more", "new.bin": content(100_000)}
    work("checkout", "--quiet", "-b", "experiment-1")
    work.write(files)
    work("push", "--quiet", "-u", "origin", "experiment-1")
    found = {name: fs.cat_file(f"{repo}/experiment-1/{name}") for name in files}
    assert found == files
    assert fs.info(f"{repo}/experiment-1/new.bin")["sha256"] == hashlib.sha256(files["new.bin"]).hexdigest()
    work.check()
    # And what others commit comes with the next pull.
    fs.pipe_file(f"{repo}/experiment-1/a.bin", b"\0shorter")
    work("pull", "--quiet")
    assert (work.folder / "a.bin").read_bytes() == b"\0shorter"
    work.check()


def test_a_lazy_clone_has_pointers_until_files_are_wanted(repo: str, fs: pyxet.XetFS, git: Git) -> None:
    files = {
        "a.bin": content(100_000),
        "data/one.bin": content(10_000),
        "data/two, three.bin": content(10_000),
        "data/deep/[x]*.bin": content(10_000),
        "c.txt": b"text",
    }
    fs.pipe({f"{repo}/main/{name}": data for name, data in files.items()})
    told = git.xet("clone", repo, "--lazy")
    assert "pointers" in told
    work = git.at(repo.partition("/")[2])
    assert [is_pointer(work.folder / name) for name in files] == [True] * 4 + [False]
    work("xet", "pull", "data/two, three.bin")
    assert [is_pointer(work.folder / name) for name in files] == [True, True, False, True, False]
    inside = work.at("data")
    inside("xet", "pull", "deep/[x]*.bin", "./one.bin")
    assert [is_pointer(work.folder / name) for name in files] == [True, False, False, False, False]
    assert (work.folder / "data/deep/[x]*.bin").read_bytes() == files["data/deep/[x]*.bin"]
    assert work("status", "--porcelain") == ""
    # It stays lazy.
    fs.pipe_file(f"{repo}/main/later.bin", content(1000))
    work("xet", "pull")
    assert is_pointer(work.folder / "later.bin")
    assert "is not in the repository" in work.fails("xet", "pull", "nosuch.bin")
    work("xet", "pull", ".")
    assert not any(is_pointer(work.folder / name) for name in [*files, "later.bin"])
    work.check()


def test_large_files_that_no_attributes_name(repo: str, fs: pyxet.XetFS, git: Git) -> None:
    """As programs write them, which know nothing of git: their content comes, and is no change for git."""
    files = {"results.csv": content(700_000).hex().encode(), "deep/a file [1].csv": content(700_000).hex().encode()}
    fs.pipe({f"{repo}/main/{name}": data for name, data in files.items()})
    git.xet("clone", repo, "work")
    work = git.at("work")
    assert {name: (work.folder / name).read_bytes() for name in files} == files
    assert work("status", "--porcelain") == ""
    files["later.csv"] = content(700_000).hex().encode()
    fs.pipe_file(f"{repo}/main/later.csv", files["later.csv"])
    work("xet", "pull")
    assert {name: (work.folder / name).read_bytes() for name in files} == files
    assert work("status", "--porcelain") == ""
    work.write({"results.csv": files["results.csv"] + b"more"})
    work("push", "--quiet")
    assert fs.cat_file(f"{repo}/main/results.csv") == files["results.csv"] + b"more"
    work.check()


def test_large_files_of_any_name_that_no_attributes_name(repo: str, fs: pyxet.XetFS, git: Git) -> None:
    """Not UTF-8, or with what only Unicode takes for a blank or the end of a line."""
    files = {os.fsdecode(b"caf\xe9.bin"): content(1000), "one\u2028line.bin": content(1000)}
    git.xet("clone", repo, "first")
    first = git.at("first")
    first.write(files)
    first("push", "--quiet")
    fs.rm(f"{repo}/main/.gitattributes")
    git.xet("clone", repo, "work")
    work = git.at("work")
    assert {name: (work.folder / name).read_bytes() for name in files} == files
    assert work("status", "--porcelain") == ""


def test_branches(repo: str, fs: pyxet.XetFS, git: Git) -> None:
    """Named by the path, or by the option."""
    fs.pipe_file(f"{repo}/main/a.bin", content(1000))
    fs.make_branch(repo, "main", "experiment-1")
    fs.pipe_file(f"{repo}/experiment-1/b.bin", content(1000))
    git.xet("clone", f"{repo}/experiment-1", "one")
    git.xet("clone", "--branch", "experiment-1", repo, "two")
    git.xet("clone", "-b", "experiment-1", f"{fs.endpoint}/{repo}.git", "three")
    for name in ("one", "two", "three"):
        assert git.at(name)("branch", "--show-current") == "experiment-1\n"
        assert (git.folder / name / "b.bin").stat().st_size == 1000
    assert "give one of them" in git.xet("clone", f"{repo}/main", "--branch", "experiment-1", fails=True)
    assert "expected owner/repo" in git.xet("clone", f"{repo}/main/a.bin", fails=True)
    assert "no such branch" in git.xet("clone", f"{repo}/nosuch", "four", fails=True).lower().replace(
        "not found", "no such branch"
    )
    assert "runs inside" in git.xet("clone", repo, "--endpoint", "local", fails=True)


def test_what_is_not_there_or_hidden(endpoint: LocalEndpoint, repo: str, tmp_path: Path) -> None:
    """Who has not logged in, and who may not see it, get the same as for what is missing."""
    stranger = git_at_home(tmp_path / "stranger", XET_ENDPOINT=endpoint.url)
    missing = repo[:-1] + ("0" if repo[-1] != "0" else "1")
    told = [stranger.xet("clone", name, "x", fails=True).replace(name, "REPO") for name in (repo, missing)]
    assert told[0] == told[1]
    stranger.xet("login", "--host", endpoint.url, "--token", endpoint.add_token("eve"))
    told = [stranger.xet("clone", name, "x", fails=True).replace(name, "REPO") for name in (repo, missing)]
    assert told[0] == told[1]
    assert "not found" in told[0]


def test_plain_git_uses_what_xet_login_has_saved(endpoint: LocalEndpoint, repo: str, fs: pyxet.XetFS, git: Git) -> None:
    """After ``git xet login`` or ``xet git install``; the token itself is in none of git's files."""
    data = content(1000)
    fs.pipe_file(f"{repo}/main/a.bin", data)
    git("clone", "--quiet", f"{endpoint.url}/{repo}", "plain")
    assert (git.folder / "plain" / "a.bin").read_bytes() == data
    for path in [git.folder / ".gitconfig", *(git.folder / "plain" / ".git").rglob("config")]:
        assert endpoint.token not in path.read_text()
    git.xet("logout", "--host", endpoint.url)
    git.fails("ls-remote", f"{endpoint.url}/{repo}")


def test_the_credential_helper(endpoint: LocalEndpoint, git: Git) -> None:
    host = endpoint.url.removeprefix("http://")

    def ask(operation: str, text: str) -> str:
        return git.xet("git", "credential", operation, given=text)

    asked = f"protocol=http\nhost={host}\n"
    assert ask("get", asked) == f"username=acme\npassword={endpoint.token}\n"
    assert ask("get", f"{asked}username=acme\n") == f"username=acme\npassword={endpoint.token}\n"
    assert ask("get", f"{asked}username=eve\n") == ""
    assert ask("get", "protocol=http\nhost=localhost:1\n") == ""
    assert ask("get", f"protocol=https\nhost={host}\n") == ""
    assert ask("get", "protocol=ssh\nhost=x\n") == ask("get", "") == ask("get", "protocol=http\nhost=a b\n") == ""
    # git's own store and erase are for login and logout.
    assert ask("store", f"{asked}username=acme\npassword=other\n") == ask("erase", asked) == ""
    assert ask("get", asked) == f"username=acme\npassword={endpoint.token}\n"


def test_installing(endpoint: LocalEndpoint, git: Git, tmp_path: Path) -> None:
    """For the user, or for one repository; twice is like once; and back."""

    def settings(place: Git, scope: str) -> dict[str, str]:
        found = place("config", scope, "--list", "--null").split("\0")
        pairs = (entry.partition("\n") for entry in found if entry)
        return {key: value for key, _, value in pairs if key.startswith(("lfs.customtransfer", "credential"))}

    git("init", "--quiet", "plain")
    before = settings(git, "--global")
    assert list(before) == [f"credential.{endpoint.url}.helper"]
    git.at("plain").xet("git", "install", "--local")
    assert settings(git, "--global") == before
    local = settings(git.at("plain"), "--local")
    assert local["lfs.customtransfer.xet.path"] == local["lfs.customtransfer.xet-download.path"] == sys.executable
    assert (local["lfs.customtransfer.xet.direction"], local["lfs.customtransfer.xet.concurrent"]) == ("upload", "true")
    assert local["credential.https://huggingface.co.helper"].endswith("-m pyxet git credential")
    assert "xet" in git.at("plain")("lfs", "env")
    for _ in range(2):
        git.xet("git", "install")
    assert settings(git, "--global") == local | before
    git.at("plain").xet("git", "uninstall", "--local")
    assert settings(git.at("plain"), "--local") == {}
    git.xet("git", "uninstall")
    assert settings(git, "--global") == {}
    assert "nothing" in git.xet("git", "uninstall")
    assert "Not in a Git repository" in git.xet("git", "install", "--local", fails=True)


def test_another_git_xet_is_warned_of(git: Git) -> None:
    assert "another client" not in git.xet("git", "install")
    folder = git.folder / "other"
    folder.mkdir()
    (folder / "git-xet").write_bytes(b"\x7fELF another program")
    (folder / "git-xet").chmod(0o755)
    told = git.xet("git", "install", PATH=f"{folder}{os.pathsep}{git.environment['PATH']}")
    assert f"{folder / 'git-xet'} is the git-xet of another client" in told
    # Without git-lfs there is nothing to install for.
    bare = git.folder / "bare"
    bare.mkdir()
    (bare / "git").symlink_to(os.path.realpath("/usr/bin/git"))
    assert "git-lfs is not installed" in git.xet("git", "install", PATH=str(bare), fails=True)
    (bare / "git").unlink()
    assert "git is not installed" in git.xet("clone", "acme/x", PATH=str(bare), fails=True)


def test_git_xet_has_help(git: Git) -> None:
    told = git("xet", "-h")
    assert "install" in told
    assert "clone" in told
