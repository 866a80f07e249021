"""``xet clone`` of files whose names cannot be had here: refused before any is written; and git's own settings, taken back."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from support.faults import FaultProxy
from support.gits import Git, git_at_home
from support.proxied import above
from support.raw_client import RawClient
from support.windows import pretended

import pyxet
from pyxet import local_rules
from pyxet.errors import LocalNameError
from pyxet.git.clone import clone
from pyxet.testing import LocalEndpoint

pytestmark = pytest.mark.needs("git endpoint")


@pytest.fixture
def git(tmp_path: Path) -> Git:
    return git_at_home(tmp_path / "home")


@pytest.fixture
def here(git: Git, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for clones; this process is the person at home there."""
    for name, value in git.environment.items():
        monkeypatch.setenv(name, value)
    (git.folder / "here").mkdir()
    monkeypatch.chdir(git.folder / "here")
    return git.folder / "here"


def made(git: Git, *names: str) -> str:
    """A repository of git with files, to be cloned by its path."""
    git("init", "--quiet", "source")
    git.at("source").write({name: name.encode() for name in ("a.txt", *names)})
    return str(git.folder / "source")


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("aux.txt", "device"),
        ("d/a:b", "':'"),
        ("d/notes.", "dot or a space"),
        ("blank ", "dot or a space"),
        ("q?", r"'\?'"),
    ],
)
@pytest.mark.needs("any names")
@pytest.mark.parametrize("there", [False, True], ids=["new", "empty folder"])
def test_names_that_windows_does_not_have(git: Git, here: Path, name: str, why: str, there: bool) -> None:
    source = made(git, name)
    if there:
        (here / "work").mkdir()
    with pretended(), pytest.raises(LocalNameError, match=rf"{why}.*nothing was written.*--no-checkout") as caught:
        clone(source, Path("work"), lazy=False, quiet=True)
    assert str(caught.value).startswith(name)
    assert [path.name for path in here.rglob("*")] == (["work"] if there else [])
    with pretended():
        clone(source, Path("work"), lazy=False, checkout=False, quiet=True)
    work = git.at(here / "work")
    assert [path.name for path in work.folder.iterdir()] == [".git"]
    # What the message says.
    work("sparse-checkout", "set", "--no-cone", "/*", f"!/{name.replace('?', '[?]').replace(' ', '[ ]')}")
    work("checkout", "--quiet")
    assert sorted(path.name for path in work.folder.iterdir()) == [".git", "a.txt"]
    assert work("status", "--porcelain") == ""


@pytest.mark.needs("any names")
@pytest.mark.parametrize("names", [("README", "readme"), ("d/a", "D"), ("x/\u00e9", "X/e\u0301")])
def test_names_that_would_be_one_file(
    git: Git, here: Path, monkeypatch: pytest.MonkeyPatch, names: tuple[str, str]
) -> None:
    """git writes one of them, and tells by a warning."""
    monkeypatch.setattr(local_rules, "case_rules", lambda _: (True, True))
    source = made(git, *names)
    with pytest.raises(LocalNameError, match="same file here"):
        clone(source, Path("work"), lazy=False, quiet=True)
    assert not (here / "work").exists()


@pytest.mark.needs("any names")
def test_where_all_names_can_be_had_nothing_is_refused(git: Git, here: Path) -> None:
    names = {"a.txt", "aux", "d/a:b", "README", "readme", "notes."}
    work = git.at(clone(made(git, *names), Path("work"), lazy=False, quiet=True).absolute())
    assert set(work("ls-files", "-z").split("\0")[:-1]) == names
    assert work("status", "--porcelain") == ""
    assert (here / "work" / "notes.").read_bytes() == b"notes."
    assert work("branch", "--show-current") == "main\n"
    git.at("source")("tag", "v1")
    tagged = git.at(clone(str(git.folder / "source"), Path("tagged"), branch="v1", lazy=True, quiet=True).absolute())
    assert tagged("status", "--porcelain") == ""
    assert (here / "tagged" / "aux").exists()


def test_a_name_that_is_too_long(git: Git, here: Path) -> None:
    """One that no file here has, and git can have all the same."""
    source = git.at(Path(made(git)).name)
    blob = source("hash-object", "-w", "a.txt").strip()
    source("update-index", "--add", "--cacheinfo", f"100644,{blob},{'n' * 256}")
    source("commit", "--quiet", "--message", "long")
    with pytest.raises(LocalNameError, match=r"too long here; nothing was written"):
        clone(str(source.folder), Path("work"), lazy=False, quiet=True)
    assert list(here.iterdir()) == []


def test_a_clone_of_nothing(git: Git, here: Path) -> None:
    git("init", "--quiet", "--bare", "empty.git")
    assert clone(str(git.folder / "empty.git"), lazy=False, quiet=True) == Path("empty")
    assert git.at(here / "empty")("branch", "--show-current") == "main\n"


@pytest.mark.parametrize("before", [None, "3"])
def test_the_number_of_transfers_is_taken_back(git: Git, before: str | None) -> None:
    """What the user had set is as it was; what the user has set since stays."""

    def told() -> list[str]:
        found = git("config", "--global", "--list").splitlines()
        return [line for line in found if "concurrenttransfers" in line]

    git("config", "--global", "--unset", "lfs.concurrenttransfers")
    if before:
        git("config", "--global", "lfs.concurrenttransfers", before)
    expected = [f"lfs.concurrenttransfers={before}"] if before else []
    for concurrency in ("5", "6"):
        git.xet("git", "install", "--concurrency", concurrency)
    assert f"lfs.concurrenttransfers={6}" in told()
    git.xet("git", "install", "--concurrency", "1")
    assert told() == expected
    git.xet("git", "install", "--concurrency", "5")
    git.xet("git", "uninstall")
    assert told() == expected
    assert "nothing" in git.xet("git", "uninstall")
    git.xet("git", "install", "--concurrency", "5")
    git("config", "--global", "lfs.concurrenttransfers", "7")
    git.xet("git", "uninstall")
    assert told() == ["lfs.concurrenttransfers=7"]


@pytest.fixture
def below(git: Git) -> Iterator[tuple[str, LocalEndpoint]]:
    """An endpoint below a path of a host, on which there is another one with other users beside it."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with (
        FaultProxy(f"http://127.0.0.1:{port}") as proxy,
        LocalEndpoint(port=port, user="acme", public_url=f"{proxy.url}/xet") as endpoint,
    ):
        proxy.rule(r"\w+ /xet/", above)
        RawClient(endpoint, endpoint.token).make_repo("acme/below", private=True)
        git.xet("login", "--host", f"{proxy.url}/xet", "--token", endpoint.token, "--user", "acme", "--force")
        git.xet("login", "--host", f"{proxy.url}/other", "--token", "xet_other", "--user", "acme", "--force")
        git.xet("login", "--host", proxy.url, "--token", "xet_host", "--user", "acme", "--force")
        yield f"{proxy.url}/xet", endpoint


def test_logins_of_endpoints_below_a_path(git: Git, below: tuple[str, LocalEndpoint]) -> None:
    """Each gets its own token, from git and from git-lfs, with ``xet clone`` and with plain git."""
    url, endpoint = below
    fs = pyxet.XetFS(endpoint.url, "acme", endpoint.token)
    data = random.Random(3).randbytes(200_000)
    fs.pipe({"acme/below/main/large.bin": data, "acme/below/main/a.txt": b"a"})
    git.xet("clone", f"{url}/acme/below", "one")
    git.xet("clone", "acme/below", "two", "--endpoint", url)
    git.xet("git", "install", "--endpoint", url)
    git("clone", "--quiet", f"{url}/acme/below", "three")
    for name in ("one", "two"):
        assert (git.folder / name / "large.bin").read_bytes() == data
        git.at(name)("fetch", "--quiet")
    # No attributes say that it is a large file.
    git.at("three")("lfs", "fetch")
    assert [
        path.stat().st_size for path in (git.folder / "three" / ".git" / "lfs" / "objects").rglob("*") if path.is_file()
    ] == [len(data)]
    host = urlsplit(url).netloc

    def ask(path: str) -> str:
        return git.xet("git", "credential", "get", given=f"protocol=http\nhost={host}\n{path}")

    assert ask("path=xet/acme/below\n") == ask("path=xet\n") == f"username=acme\npassword={endpoint.token}\n"
    assert ask("path=other/acme/below\n") == "username=acme\npassword=xet_other\n"
    assert ask("path=xetra/acme/below\n") == ask("") == "username=acme\npassword=xet_host\n"
    git.xet("git", "uninstall")
    assert "credential" not in git("config", "--global", "--list")
