"""``xet pr`` and ``--pull-request``, each as a process."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.cli import Cli

import pyxet
from pyxet.testing import LocalEndpoint


@pytest.fixture
def main(xet: pyxet.XetFS, repo: str) -> str:
    xet.pipe({f"{repo}/main/a.txt": b"one\n", f"{repo}/main/b.txt": b"two\n"}, message="first")
    return f"{repo}/main"


@pytest.fixture
def guest(shared_endpoint: LocalEndpoint) -> str:
    """The token of somebody who may not write there."""
    return shared_endpoint.add_token("guest")


def test_what_is_copied_moved_and_removed_is_proposed(
    cli: Cli, xet: pyxet.XetFS, repo: str, main: str, guest: str, tmp_path: Path
) -> None:
    local = tmp_path / "new.txt"
    local.write_text("new\n")
    before = xet.branch_info(main)["commit"]
    done = cli("cp", str(local), f"{main}/", "--pull-request", "-m", "A file", "--token", guest)
    assert f"opened pull request 1: {xet.endpoint}/{repo}/discussions/1" in done.err
    found = cli("sync", str(tmp_path), f"{main}/d", "--pull-request", "--json", "--token", guest).json
    assert found["pull_requests"] == [
        {"number": 2, "path": f"{repo}/refs%2Fpr%2F2", "url": f"{xet.endpoint}/{repo}/discussions/2"}
    ]
    assert cli("mv", f"{main}/a.txt", f"{main}/c.txt", "--pull-request", "--json", "--token", guest).json[
        "pull_requests"
    ]
    assert cli("rm", f"{main}/b.txt", "--pull-request", "--json", "--token", guest).json["pull_requests"]
    assert xet.branch_info(main)["commit"] == before
    listed = cli("pr", "ls", repo)
    assert [line.split()[:3] for line in listed.lines] == [[str(number), "open", "guest"] for number in (4, 3, 2, 1)]
    assert [one["title"] for one in cli("pr", "ls", repo, "--json", "-n", "2").json] == [
        "Delete b.txt",
        "Move a.txt to c.txt",
    ]
    assert cli("cat", f"{repo}/pr%2F1/new.txt").out == "new\n"
    assert cli("ls", f"{repo}/refs%2Fpr%2F2/d").lines
    # They go on like a branch.
    cli("cp", str(local), f"{repo}/pr%2F1/more.txt", "--token", guest)
    assert sorted(name.rpartition("/")[2] for name in xet.find(f"{repo}/pr%2F1")) == [
        "a.txt",
        "b.txt",
        "more.txt",
        "new.txt",
    ]
    assert xet.list_pull_requests(repo, limit=1)[0].number == 4


def test_begun_talked_about_and_merged(cli: Cli, xet: pyxet.XetFS, repo: str, main: str, guest: str) -> None:
    made = cli("pr", "make", repo, "-m", "Correct it", "--description", "All of it", "--token", guest)
    assert made.lines == [f"{repo}/refs%2Fpr%2F1"]
    assert "draft" in made.err
    cli("rm", f"{made.lines[0]}/b.txt", "--token", guest)
    cli("pr", "comment", repo, "1", "-m", "Why?")
    shown = cli("pr", "info", f"{repo}/pr%2F1").out
    for text in ("Correct it", "draft", "guest", "All of it", "Why?", f"{xet.endpoint}/{repo}/discussions/1"):
        assert text in shown
    assert "-two" in cli("pr", "diff", repo, "1").lines
    cli("pr", "open", repo, "1", "--token", guest)
    assert cli("pr", "info", repo, "1", "--json").json["status"] == "open"
    merged = cli("pr", "merge", repo, "1", "-m", "Thank you", "--yes", "--json").json
    assert (merged["status"], merged["merge_commit"]) == ("merged", xet.branch_info(main)["commit"])
    assert not xet.exists(f"{main}/b.txt")
    cli("rm", f"{main}/a.txt", "--pull-request")
    cli("pr", "close", f"{repo}/refs%2Fpr%2F2", "-m", "No")
    assert cli("pr", "ls", repo).out == ""
    assert [line.split()[1] for line in cli("pr", "ls", repo, "--status", "closed").lines] == ["closed", "merged"]


def test_what_is_refused(cli: Cli, xet: pyxet.XetFS, repo: str, main: str, guest: str) -> None:
    cli("rm", f"{main}/b.txt", "--pull-request")
    xet.pipe(f"{main}/b.txt", b"other\n")
    for code, arguments in (
        (5, ("pr", "merge", repo, "1", "--yes")),
        (1, ("pr", "merge", repo, "1")),
        (4, ("pr", "close", repo, "1", "--token", guest)),
        (3, ("pr", "info", repo, "7")),
        (3, ("pr", "merge", f"{repo}/pr%2F7", "--yes")),
        (2, ("pr", "info", repo)),
        (2, ("pr", "info", main)),
        (2, ("pr", "info", main, "1")),
        (2, ("pr", "info", repo, "0")),
        (4, ("rm", f"{repo}/pr%2F1/a.txt", "--token", guest)),
    ):
        assert cli(*arguments, code=code).err.count("\n") < 4, arguments
