"""``xet mv`` and ``xet rm``."""

from __future__ import annotations

import pytest
from support.cli import Cli, below

import pyxet

CONTENT = {"a.txt": b"a", "d/b.bin": b"\xff\x00b", "d/e/c.txt": b"c", "x[1].txt": b"named", "x1.txt": b"matched"}


@pytest.fixture
def files(fresh: pyxet.XetFS, main: str) -> str:
    fresh.pipe({f"{main}/{name}": content for name, content in CONTENT.items()})
    return main


# -- mv ------------------------------------------------------------------------------------------------------------------


def test_moving_files_and_folders(cli: Cli, fresh: pyxet.XetFS, files: str) -> None:
    told = cli("mv", f"{files}/a.txt", f"{files}/d/", "-m", "Into the folder")
    assert "moved 1 file" in told.err
    assert fresh.log(files)[0].message == "Into the folder"
    assert len(fresh.log(files)) == 3
    cli("mv", f"{files}/d", f"{files}/new")
    cli("mv", f"{files}/x[1].txt", f"{files}/new")
    assert below(fresh, files) == ["new/a.txt", "new/b.bin", "new/e/c.txt", "new/x[1].txt", "x1.txt"]
    done = cli("mv", f"xet://{files}/new/", f"xet://{files}/newer", "--json").json
    assert (done["files"], len(done["commits"])) == (4, 1)
    assert fresh.cat_file(f"{files}/newer/b.bin") == CONTENT["d/b.bin"]


def test_moving_to_another_branch_is_a_commit_on_each(cli: Cli, fresh: pyxet.XetFS, repo: str, files: str) -> None:
    fresh.make_branch(repo, "main", "other")
    fresh.rm(f"{repo}/other/d", recursive=True)
    done = cli("mv", f"{files}/d", f"{repo}/other/", "--json").json
    assert len(done["commits"]) == 2
    assert below(fresh, f"{repo}/other/d") == ["b.bin", "e/c.txt"]
    assert "d/b.bin" not in below(fresh, files)


def test_what_cannot_be_moved(cli: Cli, fresh: pyxet.XetFS, repo: str, files: str) -> None:
    commit = fresh.log(files)[0].id
    for arguments, code, words in (
        ([f"{files}/d", f"{files}/d/e"], 1, "inside itself"),
        ([f"{files}/a.txt", f"{files}/a.txt"], 1, "itself"),
        ([f"{files}/nothing", f"{files}/x"], 3, "nothing at"),
        ([f"{files}/a.txt", "local.txt"], 2, "not in a repository"),
        (["-", f"{files}/x"], 2, "not in a repository"),
        ([f"xet://{repo}", f"{files}/x"], 1, "xet repo rename"),
        ([files, f"{files}/x"], 1, "branch"),
        ([f"{files}@{{1.day.ago}}/a.txt", f"{files}/x"], 1, "point in time"),
        ([f"{repo}/{commit}/a.txt", f"{files}/x"], 1, "tag or commit"),
        ([f"{files}/a.txt", f"{repo}/nothing/x"], 3, "xet branch make"),
        ([f"{files}/a.txt"], 2, "DST"),
    ):
        told = cli("mv", *arguments, code=code)
        assert words in told.err, (arguments, told.err)
        assert len(told.err.splitlines()) <= 2
    assert len(fresh.log(files)) == 2


# -- rm ------------------------------------------------------------------------------------------------------------------


def test_removing_files_folders_and_patterns(cli: Cli, fresh: pyxet.XetFS, files: str) -> None:
    told = cli("rm", f"{files}/x[1].txt", "-m", "By its name")
    assert "removed 1 file, 5 B" in told.err
    assert fresh.log(files)[0].message == "By its name"
    assert below(fresh, files) == ["a.txt", "d/b.bin", "d/e/c.txt", "x1.txt"]
    done = cli("rm", "-r", f"{files}/d", f"{files}/d/b.bin", f"{files}/*.txt", "--json").json
    assert (done["deleted"], len(done["commits"])) == (4, 1)
    assert below(fresh, files) == []


def test_removing_from_two_branches_is_a_commit_on_each(cli: Cli, fresh: pyxet.XetFS, repo: str, files: str) -> None:
    fresh.make_branch(repo, "main", "other")
    done = cli("rm", f"{files}/a.txt", f"{repo}/other/x1.txt", "--json").json
    assert (done["deleted"], len(done["commits"])) == (2, 2)


def test_what_cannot_be_removed(cli: Cli, fresh: pyxet.XetFS, repo: str, files: str) -> None:
    fresh.make_tag(repo, "v1", "main")
    for arguments, code, words in (
        ([files], 1, f"xet branch del {repo} main"),
        ([f"xet://{files}", "-r"], 1, f"xet branch del {repo} main"),
        ([repo], 1, f"xet repo del {repo}"),
        ([repo.partition("/")[0]], 1, "owner"),
        ([f"{files}/d"], 1, "-r"),
        ([f"{files}/a.txt", f"{files}/nothing"], 3, "nothing at"),
        ([f"{files}/*.csv"], 3, "nothing at"),
        ([f"{repo}/v1/a.txt"], 1, "tag or commit"),
        ([f"{files}@{{1.day.ago}}/a.txt"], 1, "point in time"),
        ([f"{repo}/nothing/a.txt"], 3, "nothing"),
        ([], 2, "PATH"),
        ([f"{files}/a.txt", "--token", "wrong"], 4, "token"),
    ):
        told = cli("rm", *arguments, code=code)
        assert words in told.err, (arguments, told.err)
        assert len(told.err.splitlines()) <= 2
    assert len(below(fresh, files)) == len(CONTENT)


def test_a_folder_is_not_moved_over_another_one(cli: Cli, fresh: pyxet.XetFS, main: str) -> None:
    fresh.pipe({f"{main}/{name}": name.encode() for name in ("d/a", "h/d/b")})
    told = cli("mv", f"{main}/d", f"{main}/h", code=1).err
    assert "h/d, which is a folder" in told
    cli("mv", f"{main}/d/", f"{main}/h/d")
    assert fresh.find(main) == [f"{main}/h/d/a", f"{main}/h/d/b"]
