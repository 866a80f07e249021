"""``xet cp``: names and slashes, every kind of end, what is left out, and that a failure commits nothing."""

from __future__ import annotations

import asyncio
import json
import os
import random
from pathlib import Path

import pytest
from aiohttp import web
from support.cli import Cli, below
from support.faults import FaultProxy
from support.proxied import proxied

import pyxet
from pyxet.testing import LocalEndpoint, local_endpoint

MIB = 1024 * 1024
BIG = random.Random(__name__).randbytes(5 * MIB)


@pytest.fixture
def folder(cli: Cli) -> Path:
    """A folder of three files, one of them beyond a mebibyte."""
    top = cli.folder / "folder"
    (top / "sub").mkdir(parents=True)
    (top / "a.txt").write_text("a")
    (top / "sub" / "b.csv").write_text("b,b")
    (top / "big.bin").write_bytes(BIG)
    return top


def local(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


# -- names and slashes ---------------------------------------------------------------------------------------------------


def test_a_file_into_a_branch_or_a_folder_or_under_a_name(
    cli: Cli, fresh: pyxet.XetFS, main: str, folder: Path
) -> None:
    cli("cp", "folder/a.txt", main)
    cli("cp", "folder/a.txt", f"{main}/new/")
    cli("cp", "folder/a.txt", f"{main}/new")
    cli("cp", "folder/a.txt", f"xet://{main}/deep/er/name.txt", "-m", "by its name")
    assert below(fresh, main) == ["a.txt", "deep/er/name.txt", "new/a.txt"]
    assert fresh.log(main)[0].message == "by its name"


@pytest.mark.parametrize(
    ("source", "target", "there", "expected"),
    [
        ("folder", "", True, ["folder/a.txt", "folder/big.bin", "folder/sub/b.csv"]),
        ("folder/", "", True, ["a.txt", "big.bin", "sub/b.csv"]),
        ("folder", "/new", False, ["new/a.txt", "new/big.bin", "new/sub/b.csv"]),
        ("folder/", "/new", False, ["new/a.txt", "new/big.bin", "new/sub/b.csv"]),
        ("folder/", "/new/", False, ["new/a.txt", "new/big.bin", "new/sub/b.csv"]),
        ("folder", "/new/", False, ["new/folder/a.txt", "new/folder/big.bin", "new/folder/sub/b.csv"]),
        ("folder/*", "/new", False, ["new/a.txt", "new/big.bin", "new/sub/b.csv"]),
        ("folder/s*", "", True, ["sub/b.csv"]),
    ],
)
def test_folders_as_put_and_get_name_them(
    cli: Cli, fresh: pyxet.XetFS, main: str, folder: Path, source: str, target: str, there: bool, expected: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    cli("cp", "-r", source, f"{main}{target}")
    assert below(fresh, main) == expected
    if "*" not in source:
        # The file system does the same. What it makes of patterns depends on how many files match.
        monkeypatch.chdir(cli.folder)
        fresh.rm(fresh.find(main))
        fresh.put(source, f"{main}{target}", recursive=True)
        assert below(fresh, main) == expected
    fresh.put(str(folder) + "/", f"{main}/remote/folder/", recursive=True)
    out = cli.folder / "out"
    if there:
        out.mkdir()
    cli("cp", "-r", f"{main}/remote/{source}", f"out{target}")
    assert local(out) == expected


def test_several_sources_go_into_a_folder(cli: Cli, fresh: pyxet.XetFS, main: str, folder: Path) -> None:
    cli("cp", "-r", "folder/a.txt", "folder/sub", f"{main}/all")
    assert below(fresh, main) == ["all/a.txt", "all/sub/b.csv"]
    assert len(fresh.log(main)) == 2
    (folder / "sub" / "a.txt").write_text("another")
    told = cli("cp", "folder/a.txt", "folder/sub/a.txt", f"{main}/all", code=1)
    assert "would both be" in told.err
    assert "would both be" in cli("cp", "-r", "folder/", "folder/sub/", f"{main}/all", code=1).err
    cli("cp", "-r", "folder/", "folder/sub/", f"{main}/merged", "--exclude", "a.txt")
    assert below(fresh, f"{main}/merged") == ["b.csv", "big.bin", "sub/b.csv"]


def test_names_that_could_be_patterns_are_names_first(cli: Cli, fresh: pyxet.XetFS, main: str) -> None:
    (cli.folder / "x[1].txt").write_text("named")
    (cli.folder / "x1.txt").write_text("matched")
    cli("cp", "x[1].txt", f"{main}/d/x[1].txt")
    cli("cp", "x1.txt", f"{main}/d/x1.txt")
    cli("cp", f"{main}/d/x[1].txt", "got")
    assert (cli.folder / "got").read_text() == "named"
    cli("cp", "-r", f"{main}/d", f"{main}/e")
    assert fresh.cat(f"{main}/e", recursive=True) == {f"{main}/e/x1.txt": b"matched", f"{main}/e/x[1].txt": b"named"}


def test_patterns_in_repositories(cli: Cli, fresh: pyxet.XetFS, main: str) -> None:
    fresh.pipe({f"{main}/{name}": name.encode() for name in ("a/1.csv", "a/2.csv", "b/1.csv", "b/1.txt")})
    cli("cp", f"{main}/*/*.csv", "out")
    assert local(cli.folder / "out") == ["a/1.csv", "a/2.csv", "b/1.csv"]
    assert "nothing at" in cli("cp", f"{main}/*.parquet", "out", code=3).err


@pytest.mark.needs("links")
def test_links_are_followed_but_not_in_circles(cli: Cli, fresh: pyxet.XetFS, main: str, folder: Path) -> None:
    (folder / "link.txt").symlink_to("a.txt")
    (folder / "again").symlink_to("sub")
    (folder / "sub" / "up").symlink_to("..")
    cli("cp", "-r", "folder/", main)
    assert below(fresh, main) == ["a.txt", "again/b.csv", "big.bin", "link.txt", "sub/b.csv"]


def test_what_is_included_and_excluded(cli: Cli, fresh: pyxet.XetFS, main: str, folder: Path) -> None:
    (folder / ".git").mkdir()
    (folder / ".git" / "config").write_text("x")
    assert "folder/.git is left out" in cli("cp", "-r", "folder/", f"{main}/0").err
    cli("cp", "-r", "folder/", f"{main}/1", "--exclude", ".git", "--exclude", "*.bin")
    cli("cp", "-r", "folder/", f"{main}/2", "--include", "*.csv", "--include", "*.txt", "--exclude", "sub/b*")
    cli("cp", "-r", "folder/", f"{main}/3", "--include", "sub")
    assert below(fresh, main) == [
        "0/a.txt",
        "0/big.bin",
        "0/sub/b.csv",
        "1/a.txt",
        "1/sub/b.csv",
        "2/a.txt",
        "3/sub/b.csv",
    ]


# -- from where to where -------------------------------------------------------------------------------------------------


def test_up_and_down_is_one_commit_and_the_same_content(
    cli: Cli, fresh: pyxet.XetFS, main: str, folder: Path
) -> None:  # fmt: skip
    told = cli("cp", "-r", "folder/", f"{main}/up", "-m", "All of it", "-p", "3")
    assert [commit.message for commit in fresh.log(main)][:-1] == ["All of it"]
    assert "copied 3 files, 5.0 MiB" in told.err
    assert fresh.log(main)[0].id[:10] in told.err
    assert told.out == ""
    cli("cp", "-r", f"{main}/up/", "down")
    for name in local(folder):
        assert (cli.folder / "down" / name).read_bytes() == (folder / name).read_bytes()


def test_the_same_again_is_no_commit(cli: Cli, fresh: pyxet.XetFS, main: str, folder: Path) -> None:
    cli("cp", "-r", "folder/", main)
    before = fresh.log(main)
    told = cli("cp", "-r", "folder/", main)
    assert "no commit" in told.err
    assert fresh.log(main) == before


def test_within_and_between_repositories_no_content_moves(
    cli: Cli, shared_endpoint: LocalEndpoint, fresh: pyxet.XetFS, repo: str, main: str
) -> None:
    other = f"{repo}-other"
    fresh.make_repo(other)
    fresh.make_branch(repo, "main", "branch")
    fresh.pipe({f"{main}/d/big.bin": BIG, f"{main}/d/e/small.txt": b"small"})
    with proxied(shared_endpoint) as (proxy, _):
        through = Cli(shared_endpoint, cli.folder, cli.variables | {"XET_ENDPOINT": proxy.url})
        through("cp", "-r", f"{main}/d", f"{repo}/branch/")
        through("cp", "-r", f"{main}/d", f"{main}/same")
        through("cp", "-r", f"{main}/d", f"{other}/main/")
        assert proxy.count(r"(GET|POST|PUT) .*xorb") == 0
    for top in (f"{repo}/branch/d", f"{main}/same", f"{other}/main/d"):
        assert fresh.cat(top, recursive=True) == {f"{top}/big.bin": BIG, f"{top}/e/small.txt": b"small"}


def test_from_a_commit_and_a_point_in_time(cli: Cli, fresh: pyxet.XetFS, repo: str, main: str) -> None:
    fresh.pipe_file(f"{main}/x.csv", b"old")
    old = fresh.log(main)[0].id
    fresh.pipe_file(f"{main}/x.csv", b"new")
    cli("cp", f"{repo}/{old}/x.csv", "was.csv")
    assert (cli.folder / "was.csv").read_text() == "old"
    cli("cp", f"{repo}/{old[:8]}/x.csv", f"{main}/x.csv", "-m", "Back again")
    assert fresh.cat_file(f"{main}/x.csv") == b"old"
    cli("cp", f"{main}@{{0.seconds.ago}}/x.csv", "now.csv")
    assert (cli.folder / "now.csv").read_text() == "old"


def test_the_branch_may_move_while_it_is_copied(
    cli: Cli, shared_endpoint: LocalEndpoint, fresh: pyxet.XetFS, main: str
) -> None:
    """All that is copied is of one commit."""
    fresh.pipe({f"{main}/{number:04}.bin": b"\xff\x00old" for number in range(1200)})
    with proxied(shared_endpoint) as (proxy, _):
        changed: list[bool] = []

        async def change_first(found: FaultProxy, request: web.Request) -> web.StreamResponse:
            if not changed:
                changed.append(True)
                new = {f"{main}/{number:04}.bin": b"\xff\x00new" for number in range(1000, 1200)}
                await asyncio.to_thread(fresh.pipe, new)
            return await found.forward(request)

        proxy.rule(r"GET .*/tree/", change_first)
        through = Cli(shared_endpoint, cli.folder, cli.variables | {"XET_ENDPOINT": proxy.url})
        through("cp", "-r", f"{main}/", "out")
        assert changed
    assert {path.read_bytes() for path in (cli.folder / "out").iterdir()} == {b"\xff\x00old"}


def test_another_endpoint(cli: Cli, fresh: pyxet.XetFS, main: str, folder: Path) -> None:
    with local_endpoint(user="acme", token="other") as there:
        fs = pyxet.XetFS(there.url, there.user, there.token)
        fs.make_repo("acme/far")
        name = there.url.removeprefix("http://")
        near = cli.endpoint.url.removeprefix("http://")
        cli.variables["XET_USER_TOKEN"] = ""
        for endpoint in (there, cli.endpoint):
            cli("login", "-u", endpoint.user, "-t", endpoint.token, "--host", endpoint.url)
        fresh.pipe({f"{main}/d/big.bin": BIG, f"{main}/d/small": b"s"})
        cli("cp", "-r", f"xet://{near}:{main}/d", f"xet://{name}:acme/far/main/")
        assert fs.cat("acme/far/main/d", recursive=True) == {
            "acme/far/main/d/big.bin": BIG, "acme/far/main/d/small": b"s",
        }  # fmt: skip


def test_standard_input_and_output(cli: Cli, fresh: pyxet.XetFS, main: str) -> None:
    cli("cp", "-", f"{main}/piped.bin", "-m", "From a pipe", stdin=BIG)
    assert fresh.cat_file(f"{main}/piped.bin") == BIG
    assert fresh.log(main)[0].message == "From a pipe"
    assert cli.run("cp", f"{main}/piped.bin", "-")[0] == BIG
    assert cli("cp", "-", f"{main}/piped.json", "--json", stdin=b"{}").json["bytes"] == 2
    assert "is a folder" in cli("cp", "-", f"{main}/", code=1).err
    assert "is a folder" in cli("cp", main, "-", code=1).err
    cli("cp", "-", "-", code=2)
    cli("cp", "-", "local.txt", code=2)
    cli("cp", f"{main}/none", "-", code=3)


# -- what is told --------------------------------------------------------------------------------------------------------


def test_json_quiet_and_dry_run(cli: Cli, fresh: pyxet.XetFS, main: str, folder: Path) -> None:
    (folder / "big.bin").write_bytes(os.urandom(len(BIG)))
    planned = cli("cp", "-r", "folder/", main, "--dry-run")
    assert sorted(planned.lines) == [
        f"copy folder/a.txt to {main}/a.txt", f"copy folder/big.bin to {main}/big.bin",
        f"copy folder/sub/b.csv to {main}/sub/b.csv",
    ]  # fmt: skip
    told = cli("cp", "-r", "folder/", main, "--dry-run", "--json").json
    assert (told["dry_run"], told["files"], len(told["planned"])) == (True, 3, 3)
    assert len(fresh.log(main)) == 1
    done = cli("cp", "-r", "folder/", f"{main}/1", "--json")
    assert done.err == ""
    assert done.json["files"] == 3
    assert done.json["bytes"] == len(BIG) + 4
    assert done.json["sent"] > len(BIG)
    assert done.json["commits"] == [{"id": fresh.log(main)[0].id, "message": "Upload 3 files"}]
    again = cli("cp", "-r", "folder/", f"{main}/2", "--json").json
    assert again["deduplicated"] == len(BIG)
    assert again["sent"] == 0
    assert "100% deduplicated" in cli("cp", "-r", "folder/", f"{main}/3").err
    quiet = cli("cp", "-r", "folder/", f"{main}/4", "--quiet")
    assert (quiet.out, quiet.err) == ("", "")
    assert json.loads(cli("cp", f"{main}/1/a.txt", "a", "-q", "--json").out)["commits"] == []


# -- what is refused -----------------------------------------------------------------------------------------------------


def test_bad_input(cli: Cli, fresh: pyxet.XetFS, repo: str, main: str, folder: Path) -> None:
    fresh.make_tag(repo, "v1", "main")
    commit = fresh.log(main)[0].id
    for arguments, code, words in (
        (["folder/a.txt"], 2, "SRC"),
        ([], 2, "Missing argument"),
        (["folder/a.txt", "b.txt"], 2, "in a repository"),
        (["folder", main], 1, "-r"),
        (["nothing", main], 3, "nothing: No such file"),
        ([f"{main}/nothing", "."], 3, "nothing at"),
        ([f"{repo}/nothing/x", "."], 3, "nothing"),
        (["folder/a.txt", f"{repo}/nothing/x"], 3, f"xet branch make {repo} main nothing"),
        (["folder/a.txt", f"xet://{repo}"], 2, "expected a branch"),
        (["folder/a.txt", f"{repo}/v1/x"], 1, "tag or commit"),
        (["folder/a.txt", f"{repo}/{commit}/x"], 1, "tag or commit"),
        (["folder/a.txt", f"{main}@{{1.day.ago}}/x"], 1, "point in time"),
        (["folder/a.txt", f"xet://{main}/../x"], 2, "not allowed"),
        (["nosuch://bucket/x", main], 2, "nosuch"),
        (["folder/a.txt", main, "-p", "0"], 2, "-p"),
        (["folder/a.txt", main, "--token", "wrong"], 4, "token"),
        ([f"{main}/nothing/", "memory://x", "-r"], 3, "nothing at"),
    ):
        told = cli("cp", *arguments, code=code)
        assert words in told.err, arguments
        assert len(told.err.splitlines()) <= 2
    assert len(fresh.log(main)) == 1


@pytest.mark.needs("fifos", "links")
def test_one_bad_file_and_nothing_is_committed(cli: Cli, fresh: pyxet.XetFS, main: str, folder: Path) -> None:
    (folder / "z-broken").symlink_to("nowhere")
    told = cli("cp", "-r", "folder/", main, code=1)
    assert "z-broken" in told.err
    (folder / "z-broken").unlink()
    os.mkfifo(folder / "sub" / "pipe")
    assert "sub/pipe" in cli("cp", "-r", "folder/", main, code=1).err
    (folder / "sub" / "pipe").unlink()
    os.close(os.open(os.fsencode(folder) + b"/\xff.txt", os.O_CREAT))
    assert "UTF-8" in cli("cp", "-r", "folder/", main, code=1).err
    os.unlink(os.fsencode(folder) + b"/\xff.txt")
    assert len(fresh.log(main)) == 1
    cli("cp", "-r", "folder/", main)
    (folder / "loop").symlink_to("loop")
    assert "folder/loop" in cli("cp", "-r", "folder/", f"{main}/again", code=1).err
    cli("cp", "-r", "folder/", f"{main}/again", "--exclude", "loop")
    # On the way down a folder is in the way of a file.
    (cli.folder / "out" / "a.txt" / "x").mkdir(parents=True)
    assert "a.txt" in cli("cp", "-r", f"{main}/", "out", code=1).err


@pytest.mark.needs("links", "proc")
def test_a_file_that_cannot_be_read(cli: Cli, fresh: pyxet.XetFS, main: str, folder: Path) -> None:
    # There is nothing at address 0, not even for root.
    (folder / "mem").symlink_to("/proc/self/mem")
    told = cli("cp", "-r", "folder/", main, code=1)
    assert told.err.splitlines() == ["xet cp: folder/mem: Input/output error", "nothing was committed"]
    assert len(fresh.log(main)) == 1


@pytest.mark.needs("a plain user")
def test_a_folder_that_may_not_be_read(cli: Cli, fresh: pyxet.XetFS, main: str, folder: Path) -> None:
    (folder / "sub").chmod(0)
    told = cli("cp", "-r", "folder/", main, code=1)
    (folder / "sub").chmod(0o755)
    assert told.err.splitlines() == ["xet cp: folder/sub: Permission denied", "nothing was committed"]
    assert len(fresh.log(main)) == 1


@pytest.mark.needs("fifos", "links")
def test_devices_and_pipes_are_not_replaced(cli: Cli, fresh: pyxet.XetFS, main: str) -> None:
    fresh.pipe_file(f"{main}/a", b"a")
    os.mkfifo(cli.folder / "pipe")
    (cli.folder / "link").symlink_to("pipe")
    for name in ("pipe", "link"):
        assert "is not a regular file" in cli("cp", f"{main}/a", name, code=1).err
        assert (cli.folder / name).is_fifo()
    with fresh.transaction:
        fresh.pipe_file(f"{main}/b", b"b")
        with pytest.raises(pyxet.errors.NotSupportedError):
            fresh.get(f"{main}/b", str(cli.folder / "pipe"))
    assert (cli.folder / "pipe").is_fifo()
    assert {path.name for path in cli.folder.iterdir()} == {"pipe", "link"}


def test_what_is_no_path_in_a_repository(cli: Cli, main: str) -> None:
    (cli.folder / "x").write_text("x")
    for target in ("acme/t", "y", "/tmp/a/b/../c"):
        assert "put xet:// before the one that is" in cli("cp", "x", target, code=2).err
    for target in (f"{main}/../y", f"{main}/a//b"):
        assert target in cli("cp", "x", target, code=2).err
    assert [path.name for path in cli.folder.iterdir()] == ["x"]
