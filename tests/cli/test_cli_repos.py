"""``xet branch``, ``tag``, ``log``, ``diff`` and ``repo``, each as a process."""

from __future__ import annotations

import json
import os
import signal
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
from support.capabilities import need
from support.cli import Cli
from support.faults import FaultProxy, gated

import pyxet
from pyxet.cli.running import run
from pyxet.testing import LocalEndpoint

Refused = Callable[..., str]


@pytest.fixture
def filled(xet: pyxet.XetFS, repo: str) -> str:
    """A repository with two commits and a tag on the first of them."""
    xet.pipe({f"{repo}/main/a.txt": b"one", f"{repo}/main/d/x.bin": b"\xff" * 2000}, message="first")
    xet.make_tag(repo, "v1")
    xet.pipe({f"{repo}/main/a.txt": b"two!", f"{repo}/main/d/y.txt": b"y"}, message="second\n\nand why")
    return repo


def new_name() -> str:
    return uuid.uuid4().hex[:12]


@pytest.fixture
def refused(cli: Cli, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Refused:
    """Run a command line that fails in this process: a process for each way to fail takes too long."""
    for name in ("XET_ENDPOINT", "XET_USER_TOKEN"):
        monkeypatch.setenv(name, cli.environment[name])

    def run_refused(*arguments: str, code: int) -> str:
        capsys.readouterr()
        assert run(arguments) == code, arguments
        out, err = capsys.readouterr()
        assert out == ""
        assert err
        assert "Traceback" not in err
        return err

    return run_refused


def answering(cli: Cli, text: bytes, *arguments: str) -> tuple[int, str]:
    """Run a command on a terminal where somebody types ``text``: the exit code and what was shown."""
    need("pty")
    leader, follower = os.openpty()
    with cli.start(*arguments, stdin=follower, stdout=follower, stderr=follower) as process:
        os.close(follower)
        os.write(leader, text)
        shown = b""
        # Linux says by an error that all ends of the other side are closed.
        with suppress(OSError):
            while piece := os.read(leader, 4096):
                shown += piece
        os.close(leader)
    assert process.returncode is not None
    return process.returncode, shown.decode()


# -- branches ----------------------------------------------------------------------------------------------------------


def test_branches(cli: Cli, xet: pyxet.XetFS, filled: str) -> None:
    cli("branch", "make", f"xet://{filled}", "main", "new")
    cli("branch", "make", filled, "v1", "from/tag")
    cli("branch", "make", filled, "main@{0.seconds.ago}", "from-moment")
    assert sorted(xet.list_branches(filled)) == ["from-moment", "from/tag", "main", "new"]
    head, first = xet.log(f"{filled}/main", limit=2)
    listed = cli("branch", "ls", filled)
    assert {tuple(line.split()) for line in listed.lines} == {
        ("main", head.id[:10]), ("new", head.id[:10]), ("from-moment", head.id[:10]), ("from/tag", first.id[:10])
    }  # fmt: skip
    found = {info["branch"]: info for info in cli("branch", "list", filled, "--json").json}
    assert found["from/tag"] == {"branch": "from/tag", "name": f"{filled}/from%2Ftag", "commit": first.id}
    shown = cli("branch", "info", filled, "main").out
    assert head.id in shown
    assert "second" in shown
    assert "acme" in shown
    for arguments in ((filled, "from/tag"), (f"{filled}/from%2Ftag",)):
        data = cli("branch", "info", *arguments, "--json").json
        assert (data["branch"], data["commit"], data["message"]) == ("from/tag", first.id, "first")
    assert cli("branch", "del", filled, "new", code=1).err.count("--yes") == 1
    assert xet.branch_exists(filled, "new")
    assert cli("branch", "del", filled, "new", "--yes").out == ""
    cli("branch", "delete", f"{filled}/from%2Ftag", "--yes")
    assert sorted(xet.list_branches(filled)) == ["from-moment", "main"]


def test_branches_that_cannot_be(cli: Cli, refused: Refused, filled: str) -> None:
    assert "already exists" in cli("branch", "make", filled, "main", "main", code=5).err
    refused("branch", "make", filled, "nowhere", "new", code=3)
    refused("branch", "make", f"{filled}-nope", "main", "new", code=3)
    refused("branch", "make", filled, "main", "no..good", code=1)
    refused("branch", "make", f"{filled}/main", "main", "new", code=2)
    refused("branch", "make", filled, "main", code=2)
    for command in ("info", "del"):
        refused("branch", command, filled, "nope", code=3)
        refused("branch", command, filled, code=2)
        refused("branch", command, "acme", "main", code=2)
        refused("branch", command, f"{filled}/main/a.txt", code=2)
    refused("branch", "del", filled, "nope", "--yes", code=3)
    refused("branch", "ls", f"{filled}-nope", code=3)
    refused("branch", "ls", "acme", code=2)
    refused("branch", "nothing", code=2)
    refused("branch", code=2)
    assert "main" in refused("branch", "del", filled, "main", "--yes", code=1)
    assert "token" in refused("branch", "make", filled, "main", "new", "--token", "wrong", code=4)


def test_somebody_at_a_terminal_is_asked(cli: Cli, xet: pyxet.XetFS, filled: str) -> None:
    xet.make_branch(filled, "main", "new")
    head = xet.info(f"{filled}/main")["commit"]
    code, shown = answering(cli, b"n\n", "branch", "del", filled, "new")
    assert code == 1
    assert "nothing was done" in shown
    assert xet.branch_exists(filled, "new")
    code, shown = answering(cli, b"y\n", "branch", "del", filled, "new")
    assert code == 0
    assert head in shown
    assert not xet.branch_exists(filled, "new")
    # The end of the input.
    assert answering(cli, b"\x04", "tag", "del", filled, "v1")[0] == 1
    assert xet.list_tags(filled) == ["v1"]
    code, shown = answering(cli, b"something\n", "repo", "del", filled)
    assert code == 1
    assert f"not {filled}" in shown
    assert xet.is_repo(filled)
    assert answering(cli, f"{filled}\n".encode(), "repo", "del", filled)[0] == 0
    assert not xet.is_repo(filled)


# -- tags --------------------------------------------------------------------------------------------------------------


def test_tags(cli: Cli, refused: Refused, xet: pyxet.XetFS, filled: str) -> None:
    head, first = xet.log(f"{filled}/main", limit=2)
    cli("tag", "make", filled, "v2", "-m", "the second")
    cli("tag", "make", filled, "old/one", first.id[:10])
    assert {tuple(line.split()) for line in cli("tag", "ls", filled).lines} == {
        ("v1", first.id[:10]), ("v2", head.id[:10]), ("old/one", first.id[:10])
    }  # fmt: skip
    assert {info["tag"]: info["commit"] for info in cli("tag", "list", filled, "--json").json}["v2"] == head.id
    assert cli("tag", "del", filled, "v2", code=1).err.count("--yes") == 1
    cli("tag", "del", filled, "v2", "--yes")
    cli("tag", "delete", f"{filled}/old%2Fone", "--yes")
    assert xet.list_tags(filled) == ["v1"]
    assert cli("tag", "ls", f"{filled}-nope", code=3).out == ""
    refused("tag", "make", filled, "v1", code=5)
    refused("tag", "make", filled, "v3", "nowhere", code=3)
    refused("tag", "make", f"{filled}/main", "v3", code=2)
    refused("tag", "make", filled, code=2)
    refused("tag", "del", filled, "nope", "--yes", code=3)
    refused("tag", "del", filled, "nope", code=3)
    refused("tag", "ls", code=2)
    xet.delete_tag(filled, "v1")
    assert cli("tag", "ls", filled).out == ""
    assert cli("tag", "ls", filled, "--json").json == []


# -- history -----------------------------------------------------------------------------------------------------------


def test_log(cli: Cli, refused: Refused, xet: pyxet.XetFS, filled: str) -> None:
    commits = xet.log(f"{filled}/main")
    lines = cli("log", f"xet://{filled}").lines
    assert [line.split()[0] for line in lines] == [commit.id[:10] for commit in commits]
    assert lines[0].endswith("acme  second")
    assert cli("log", f"{filled}/main", "-n", "1").lines == lines[:1]
    assert cli("log", f"{filled}/v1").lines == lines[1:]
    assert cli("log", f"{filled}/{commits[1].id}").lines == lines[1:]
    assert cli("log", f"{filled}/main@{{0.seconds.ago}}").lines == lines
    assert cli("log", f"{filled}/main/d/x.bin").lines == lines[1:2]
    assert cli("log", f"{filled}/main/d").lines == lines[:2]
    data = cli("log", f"{filled}/main", "--json").json
    assert [item["id"] for item in data] == [commit.id for commit in commits]
    assert data[0]["message"] == "second\n\nand why"
    assert data[0]["date"] == commits[0].date.isoformat()
    assert len(cli("log", f"{filled}/main/a.txt", "-n", "1", "--json").json) == 1
    cli("log", f"{filled}/nowhere", code=3)
    refused("log", f"{filled}-nope", "--json", code=3)
    # Nothing that ever was.
    assert "no commit" in refused("log", f"{filled}/main/nope", code=3)
    refused("log", f"{filled}/main/nope", "--json", code=3)
    refused("log", f"{filled}/main@{{2001-01-01}}", code=3)
    for bad in ((f"{filled}/main@{{some.day}}",), ("acme",), (filled, "-n", "0"), (filled, "-n", "many"), ()):
        refused("log", *bad, code=2)


@pytest.fixture
def slow(shared_endpoint: LocalEndpoint, cli: Cli) -> Iterator[FaultProxy]:
    with FaultProxy(shared_endpoint.url) as proxy:
        cli.variables["XET_ENDPOINT"] = proxy.url
        yield proxy


@pytest.mark.needs("signals")
def test_commits_are_shown_as_they_are_found_and_ctrl_c_ends_it(
    cli: Cli, slow: FaultProxy, xet: pyxet.XetFS, filled: str
) -> None:
    for number in range(6):
        xet.pipe_file(f"{filled}/main/a.txt", str(number).encode())
    # The second look-up and those after it are never answered.
    slow.rule(r"POST /api/models/.*/paths-info/", gated(), skip=4)
    process = cli.start("log", f"{filled}/main/a.txt")
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        first = process.stdout.readline().decode()
        assert first.split()[0] == xet.log(f"{filled}/main", limit=1)[0].id[:10]
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
        assert b"Traceback" not in process.stderr.read()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()


def test_diff(cli: Cli, refused: Refused, xet: pyxet.XetFS, filled: str) -> None:
    xet.make_branch(filled, "main", "work")
    xet.mv(f"{filled}/work/d/x.bin", f"{filled}/work/e/x.bin")
    done = cli("diff", filled, "v1", "work")
    assert done.lines == ["~ a.txt  3 B -> 4 B", "- d/x.bin  2.0 KiB", "+ d/y.txt  1 B", "+ e/x.bin  2.0 KiB"]
    assert done.err == "2 added, 1 removed, 1 changed\n"
    assert cli("diff", filled, "work", "v1").lines[0] == "~ a.txt  4 B -> 3 B"
    data = cli("diff", f"xet://{filled}", "v1", "main", "--json").json
    assert [(item["path"], item["kind"], item["old_size"], item["new_size"]) for item in data] == [
        ("a.txt", "changed", 3, 4), ("d/y.txt", "added", None, 1)
    ]  # fmt: skip
    assert data[0]["new_blob_id"] == xet.info(f"{filled}/main/a.txt")["blob_id"]
    same = cli("diff", filled, "main", xet.info(f"{filled}/main")["commit"][:10])
    assert (same.out, same.err) == ("", "0 added, 0 removed, 0 changed\n")
    assert cli("diff", filled, "main", "main@{now}", "--json", "-q").json == []
    cli("diff", filled, "main", "nowhere", code=3)
    refused("diff", f"{filled}-nope", "main", "v1", code=3)
    refused("diff", f"{filled}/main", "main", "v1", code=2)
    refused("diff", filled, "main", code=2)
    refused("diff", filled, "main@{some.day}", "main", code=2)


# -- repositories ------------------------------------------------------------------------------------------------------


def test_the_life_of_a_repository(cli: Cli, xet: pyxet.XetFS) -> None:
    name, renamed = f"acme/{new_name()}", new_name()
    url = cli("repo", "make", name, "--private").out.strip()
    assert xet.repo_info(url)["private"] is True
    assert url.endswith(f":{name}")
    xet.pipe_file(f"{name}/main/a.txt", b"a")
    info = cli("repo", "info", url, "--json").json
    assert (info["name"], info["private"], info["branches"], info["tags"]) == (name, True, ["main"], [])
    assert "private" in cli("repo", "info", name).out
    cli("repo", "set", name, "--public")
    assert xet.repo_info(name)["private"] is False
    assert any(line.split()[:2] == [name, "public"] for line in cli("repo", "ls", "acme").lines)
    assert name in [item["name"] for item in cli("repo", "list", "--json").json]
    assert cli("repo", "rename", name, renamed).out.strip().endswith(f":acme/{renamed}")
    assert cli("cat", f"acme/{renamed}/main/a.txt").out == "a"
    assert cli("cat", f"{name}/main/a.txt").out == "a"
    assert cli("repo", "del", f"acme/{renamed}", code=1).err.count("--yes") == 1
    cli("repo", "delete", f"acme/{renamed}", "--yes")
    assert not xet.is_repo(f"acme/{renamed}")
    assert not xet.is_repo(name)


def test_kinds_of_repositories(cli: Cli, refused: Refused, xet: pyxet.XetFS) -> None:
    name = new_name()
    # Without an owner it is the user's.
    cli("repo", "make", name, "--type", "dataset")
    assert xet.is_repo(f"datasets/acme/{name}")
    cli("repo", "make", f"spaces/acme/{name}", "--type", "space")
    cli("repo", "make", f"acme/{name}", "--type", "model")
    for owner in ((), ("acme",), ("datasets/acme",)):
        assert f"datasets/acme/{name}" in cli("repo", "ls", *owner, "--type", "dataset").out
    assert f"datasets/acme/{name}" not in cli("repo", "ls").out
    cli("repo", "rename", f"datasets/acme/{name}", f"{name}-2")
    assert xet.is_repo(f"datasets/acme/{name}-2")
    cli("repo", "rename", f"datasets/acme/{name}", f"acme/{name}-3", code=2)
    refused("repo", "make", f"datasets/acme/{name}", "--type", "model", code=2)
    refused("repo", "ls", "datasets/acme", "--type", "space", code=2)


def test_forks_and_duplicates(cli: Cli, shared_endpoint: LocalEndpoint, xet: pyxet.XetFS, filled: str) -> None:
    guest = Cli(shared_endpoint, cli.folder, cli.variables | {"XET_USER_TOKEN": shared_endpoint.add_token("guest")})
    mine = filled.replace("acme/", "guest/")
    assert guest("repo", "fork", f"xet://{filled}").out.strip().endswith(f":{mine}")
    assert guest("log", f"{mine}/main", "--json").json == cli("log", f"{filled}/main", "--json").json
    guest("repo", "duplicate", filled, f"{new_name()}-x")
    guest("repo", "duplicate", filled, f"{mine}-p", "--private")
    assert xet.repo_info(f"{mine}-p")["private"] is True
    guest("repo", "fork", f"{mine}-p", f"{mine}-q", "--public")
    assert xet.repo_info(f"{mine}-q")["private"] is False
    guest("repo", "duplicate", f"{mine}-p", f"{mine}-r")
    assert xet.repo_info(f"{mine}-r")["private"] is True
    guest("repo", "fork", filled, code=5)
    assert guest("repo", "fork", filled, f"{filled}-2", code=4).err
    guest("repo", "duplicate", f"{filled}-nope", code=3)
    guest("repo", "duplicate", filled, f"datasets/{mine}", code=2)
    guest("repo", "duplicate", f"{filled}/main", code=2)
    guest("repo", "duplicate", filled, f"xet://elsewhere.example:{mine}-3", code=2)


def test_repositories_that_cannot_be(cli: Cli, refused: Refused, shared_endpoint: LocalEndpoint, repo: str) -> None:
    cli("repo", "make", repo, code=5)
    for bad in ("a b", "acme/x/main", "acme/..", "https://hub.example/acme/x"):
        refused("repo", "make", bad, code=2)
    refused("repo", "make", f"{repo}-2", "--type", "table", code=2)
    refused("repo", "rename", f"{repo}-nope", "x", code=3)
    refused("repo", "rename", repo, repo, code=5)
    refused("repo", "rename", repo, "a b", code=2)
    refused("repo", "set", repo, code=2)
    for flags in (("--private", "--public"), ("--public", "-p")):
        refused("repo", "set", repo, *flags, code=2)
        refused("repo", "make", f"{repo}-2", *flags, code=2)
    refused("repo", "set", f"{repo}-nope", "--private", code=3)
    refused("repo", "info", f"{repo}-nope", code=3)
    refused("repo", "info", "acme", code=2)
    refused("repo", "ls", repo, code=2)
    refused("repo", "ls", "nobody", code=3)
    refused("repo", "del", f"{repo}-nope", code=3)
    refused("repo", "del", f"{repo}-nope", "--yes", code=3)
    refused("repo", "del", "acme", "--yes", code=2)
    refused("repo", code=2)
    reader = Cli(
        shared_endpoint, cli.folder, cli.variables | {"XET_USER_TOKEN": shared_endpoint.add_token("acme", "read")}
    )
    for arguments in (
        ("make", f"{repo}-3"), ("rename", repo, "x"), ("set", repo, "--private"), ("del", repo, "--yes"), ("fork", repo, f"{repo}-4"),
    ):  # fmt: skip
        reader("repo", *arguments, code=4)
    anonymous = Cli(shared_endpoint, cli.folder, cli.variables | {"XET_USER_TOKEN": ""})
    anonymous("repo", "make", f"{repo}-3", code=4)
    assert json.loads(anonymous("repo", "info", repo, "--json").out)["name"] == repo
