"""``xet sync``: what differs and only that, in both directions, and nothing the second time."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.cli import Cli
from support.contents import BINARY
from support.proxied import proxied

import pyxet
from pyxet.testing import LocalEndpoint


@pytest.fixture
def folder(cli: Cli) -> Path:
    top = cli.folder / "folder"
    (top / "sub").mkdir(parents=True)
    (top / "a.txt").write_text("a")
    (top / "sub" / "b.bin").write_bytes(BINARY)
    return top


def below(fs: pyxet.XetFS, path: str) -> dict[str, bytes]:
    return {name.removeprefix(f"{path}/"): content for name, content in fs.cat(path, recursive=True).items()}


def local(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("option", [[], ["--checksum"], ["--use-mtime"]])
def test_up_and_again_and_after_a_change(
    cli: Cli, shared_endpoint: LocalEndpoint, fresh: pyxet.XetFS, main: str, folder: Path, option: list[str]
) -> None:
    cli("sync", *option, "folder", f"{main}/data", "-m", "First")
    assert below(fresh, f"{main}/data") == local(folder)
    assert fresh.log(main)[0].message == "First"
    with proxied(shared_endpoint) as (proxy, _):
        through = Cli(shared_endpoint, cli.folder, cli.variables | {"XET_ENDPOINT": proxy.url})
        for planning in (["--dry-run"], []):
            again = through("sync", *option, *planning, "folder/", f"{main}/data/", "--json").json
            assert (again["files"], again["skipped"], again["commits"]) == (0, 2, [])
        assert proxy.count("POST .*/(preupload|commit)/") == 0
        assert proxy.count("POST .*/(xorbs|shards)") == 0
    (folder / "a.txt").write_text("longer")
    (folder / "new").write_text("new")
    planned = cli("sync", *option, "--dry-run", "folder", f"{main}/data", "--json").json
    done = cli("sync", *option, "folder", f"{main}/data", "--json").json
    assert (done["files"], done["skipped"], len(done["commits"])) == (2, 1, 1)
    assert (planned["files"], planned["skipped"], planned["bytes"]) == (2, 1, done["bytes"])
    assert below(fresh, f"{main}/data") == local(folder)
    assert len(fresh.log(main)) == 3


def test_changes_that_keep_the_size(cli: Cli, fresh: pyxet.XetFS, main: str, folder: Path) -> None:
    cli("sync", "folder", main)
    (folder / "a.txt").write_text("A")
    (folder / "sub" / "b.bin").write_bytes(BINARY[::-1])
    assert cli("sync", "folder", main, "--json").json["skipped"] == 2
    assert cli("sync", "folder", main, "--checksum", "--json").json["files"] == 2
    assert below(fresh, main) == local(folder)
    (folder / "a.txt").write_text("Z")
    written = fresh.info(f"{main}/a.txt", expand=True)["last_modified"].timestamp()
    # In the second of the commit only the content tells; before and after it the date does.
    for later, files in ((-2.0, 0), (0.3, 1), (3600.0, 1)):
        os.utime(folder / "a.txt", (written + later,) * 2)
        done = cli("sync", "folder", main, "--use-mtime", "--include", "a.txt", "--json").json
        assert (done["files"], done["skipped"]) == (files, 1 - files), later
    assert below(fresh, main) == local(folder)


def test_down_and_again_and_after_a_change(cli: Cli, fresh: pyxet.XetFS, main: str) -> None:
    fresh.pipe({f"{main}/d/a.txt": b"a", f"{main}/d/sub/b.bin": BINARY})
    out = cli.folder / "out"
    cli("sync", f"{main}/d", "out")
    assert local(out) == below(fresh, f"{main}/d")
    for option in ("--checksum", "--use-mtime", "--delete"):
        assert cli("sync", f"{main}/d", "out", option, "--json").json["files"] == 0
    fresh.pipe_file(f"{main}/d/a.txt", b"A")
    assert cli("sync", f"{main}/d", "out", "--json").json["files"] == 0
    assert cli("sync", f"{main}/d", "out", "--checksum", "--json").json["files"] == 1
    assert local(out) == below(fresh, f"{main}/d")


def test_between_branches_hashes_are_compared_without_being_asked_for(
    cli: Cli, fresh: pyxet.XetFS, repo: str, main: str
) -> None:
    fresh.pipe({f"{main}/d/a.txt": b"a", f"{main}/d/sub/b.bin": BINARY})
    fresh.make_branch(repo, "main", "other")
    fresh.pipe_file(f"{repo}/other/d/a.txt", b"A")
    fresh.pipe_file(f"{repo}/other/d/more", b"more")
    done = cli("sync", f"{main}/d", f"{repo}/other/d", "--delete", "--json").json
    assert (done["files"], done["skipped"], done["deleted"], len(done["commits"])) == (1, 1, 1, 1)
    assert below(fresh, f"{repo}/other/d") == below(fresh, f"{main}/d")
    assert cli("sync", f"{main}/d", f"{repo}/other/d", "--delete", "--json").json["commits"] == []


@pytest.mark.needs("links")
def test_deleting_what_is_too_much(cli: Cli, fresh: pyxet.XetFS, main: str, folder: Path) -> None:
    fresh.pipe({f"{main}/d/{name}": b"old" for name in ("old[1].txt", "old1.txt", "deep/er/old", "kept.log")})
    fresh.pipe_file(f"{main}/outside", b"stays")
    cli("sync", "folder", f"{main}/d", "--delete", "--exclude", "*.log")
    assert below(fresh, main) == {
        "d/a.txt": b"a", "d/sub/b.bin": BINARY, "d/kept.log": b"old", "outside": b"stays",
    }  # fmt: skip
    assert len(fresh.log(main)) == 4
    outside = cli.folder / "outside"
    outside.mkdir()
    (outside / "stays").write_text("stays")
    (folder / "link").symlink_to(outside)
    (folder / "empty" / "soon").mkdir(parents=True)
    (folder / "empty" / "soon" / "x").write_text("x")
    planned = cli("sync", f"{main}/d", "folder", "--delete", "--dry-run")
    assert sorted(planned.lines) == [f"copy {main}/d/kept.log to folder/kept.log", "delete folder/empty/soon/x"]
    assert "would have deleted 1 file" in planned.err
    assert (folder / "empty" / "soon" / "x").exists()
    cli("sync", f"{main}/d", "folder", "--delete")
    assert sorted(local(folder)) == ["a.txt", "kept.log", "sub/b.bin"]
    assert not (folder / "empty").exists()
    # What a link leads to is not in the folder.
    assert (outside / "stays").exists()


@pytest.mark.needs("links")
def test_a_bad_file_deletes_and_commits_nothing(cli: Cli, fresh: pyxet.XetFS, main: str, folder: Path) -> None:
    fresh.pipe_file(f"{main}/old", b"old")
    (folder / "broken").symlink_to("nowhere")
    assert "broken" in cli("sync", "folder", main, "--delete", code=1).err
    assert below(fresh, main) == {"old": b"old"}


def test_bad_input(cli: Cli, fresh: pyxet.XetFS, repo: str, main: str, folder: Path) -> None:
    fresh.pipe_file(f"{main}/file", b"x")
    for arguments, code, words in (
        (["folder"], 2, "DST"),
        (["folder", "other"], 2, "in a repository"),
        (["folder", main, "--checksum", "--use-mtime"], 2, "choose one"),
        (["-", main], 2, "not folders"),
        (["folder/a.txt", main], 1, "is a file"),
        (["folder", f"{main}/file"], 1, "is a file"),
        ([f"{main}/file", "out"], 1, "is a file"),
        (["nothing", main], 3, "nothing"),
        (["nothing", main, "--delete"], 3, "nothing"),
        (["folder", f"{repo}/nothing"], 3, "xet branch make"),
        (["folder", f"{main}@{{1.day.ago}}"], 1, "point in time"),
        ([f"{main}/nothing", "out"], 3, "nothing at"),
    ):
        told = cli("sync", *arguments, code=code)
        assert words in told.err, arguments
        assert len(told.err.splitlines()) <= 2
    assert len(fresh.log(main)) == 2
    assert (cli.folder / "out").exists() is False
