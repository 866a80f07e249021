"""``xet ls``, ``tree``, ``find``, ``du``, ``info``, ``stat``, ``cat``, ``head``."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta

import pytest
from support.cli import Cli
from support.raw_client import RawClient

import pyxet

BIG = bytes(range(256)) * 8192  # 2 MiB


@pytest.fixture(scope="module")
def filled(shared_endpoint: pyxet.testing.LocalEndpoint) -> str:
    """A repository with three commits, two branches and a tag; nothing changes it."""
    xet = pyxet.XetFS(endpoint=shared_endpoint.url, user=shared_endpoint.user, token=shared_endpoint.token)
    repo = f"acme/read-{os.urandom(4).hex()}"
    RawClient(shared_endpoint, shared_endpoint.token).make_repo(repo)
    xet.pipe(
        {
            f"{repo}/main/a.csv": b"x,y\n1,2\n3,4",
            f"{repo}/main/data/b.txt": b"1\n2\n3\n",
            f"{repo}/main/data/deep/c.bin": BIG,
        }
    )
    xet.make_branch(repo, "main", "exp/1")
    xet.make_tag(repo, "v1", "main")
    xet.pipe_file(f"{repo}/main/late.txt", b"late")
    return repo


# -- ls ----------------------------------------------------------------------------------------------------------------


def test_ls(cli: Cli, filled: str, xet: pyxet.XetFS) -> None:
    assert cli("ls", f"{filled}/main").out == "a.csv\ndata/\nlate.txt\n"
    assert cli("ls", f"xet://{filled}/main/data/").lines == ["b.txt", "deep/"]
    assert cli("ls", f"{filled}/main/a.csv").lines == ["a.csv"]
    assert cli("ls", filled).lines == ["exp%2F1", "main"]
    assert cli("ls", f"{filled}/exp%2F1").lines == ["a.csv", "data/"]
    assert cli("ls", "-r", f"{filled}/v1").lines == ["a.csv", "data/b.txt", "data/deep/c.bin"]
    assert cli("ls", "-r", f"{filled}/v1/data").lines == ["b.txt", "deep/c.bin"]
    assert filled.removeprefix("acme/") in cli("ls", "acme").lines
    assert filled in cli("ls").lines
    xet.make_repo(f"datasets/{filled}")
    assert filled in cli("ls", "datasets").lines
    assert filled.removeprefix("acme/") in cli("ls", "datasets/acme").lines
    assert cli("ls", f"models/{filled}").lines == ["exp%2F1", "main"]


def test_ls_of_the_past(cli: Cli, filled: str, xet: pyxet.XetFS) -> None:
    latest, first = xet.log(f"{filled}/main", limit=2)
    assert "late.txt" in cli("ls", f"{filled}/{latest.id[:8]}").lines
    assert "late.txt" not in cli("ls", f"{filled}/{first.id}").lines
    assert "late.txt" in cli("ls", f"{filled}/main@{{0.seconds.ago}}").lines
    assert "no commit before" in cli("ls", f"{filled}/main@{{2001-01-01}}", code=3).err
    assert "not a point in time" in cli("ls", f"{filled}/main@{{soon}}", code=2).err


def test_ls_with_details(cli: Cli, filled: str, xet: pyxet.XetFS) -> None:
    now = datetime.now().astimezone()
    dates = {(now - timedelta(minutes=ago)).strftime("%Y-%m-%d %H:%M") for ago in range(10)}
    rows = [line.split("  ") for line in cli("ls", "-l", f"{filled}/v1").lines]
    assert [(row[-3].strip(), row[-1]) for row in rows] == [("11 B", "a.csv"), ("-", "data/")]
    assert {row[-2] for row in rows} <= dates
    [row] = [line.split() for line in cli("ls", "-l", "-r", f"{filled}/v1/data/deep").lines]
    assert (row[:2], row[-1]) == (["2.0", "MiB"], "c.bin")
    commit = xet.branch_info(filled, "main")["commit"]
    assert cli("ls", "-l", filled).lines[1] == f"{commit[:10]}  main"
    [row] = [line.split() for line in cli("ls", "-l", "acme").lines if filled.removeprefix("acme/") in line]
    assert row[0] == "public"


def test_ls_as_json(cli: Cli, filled: str) -> None:
    done = cli("ls", f"{filled}/v1", "--json", "-l")
    assert done.err == ""
    file, folder = done.json
    assert (file["name"], file["size"], file["type"]) == (f"{filled}/v1/a.csv", 11, "file")
    assert datetime.now(UTC) - datetime.fromisoformat(file["last_modified"]) < timedelta(minutes=10)
    assert (folder["kind"], "size" in folder) == ("directory", False)
    assert [entry["kind"] for entry in cli("ls", filled, "--json").json] == ["branch", "branch"]
    assert {entry["kind"] for entry in cli("ls", "--json").json} == {"repo"}
    assert cli("ls", f"{filled}/main@{{0.seconds.ago}}/data/deep", "--json").json[0]["size"] == len(BIG)


# -- tree --------------------------------------------------------------------------------------------------------------


def test_tree(cli: Cli, filled: str) -> None:
    assert (
        cli("tree", f"xet://{filled}/v1").out
        == f"""\
xet://{filled}/v1
├── a.csv
└── data
    ├── b.txt
    └── deep
        └── c.bin

2 folders, 3 files
"""
    )
    assert cli("tree", f"{filled}/main", "-L", "1").lines[1:] == [
        "├── a.csv",
        "├── data",
        "└── late.txt",
        "",
        "1 folder, 2 files",
    ]
    assert cli("tree", filled, "-L", "1").lines[1:] == ["├── exp%2F1", "└── main", "", "2 folders, 0 files"]
    assert cli("tree", f"{filled}/v1/a.csv").lines == [f"{filled}/v1/a.csv"]


# -- find --------------------------------------------------------------------------------------------------------------


def test_find(cli: Cli, filled: str) -> None:
    top = f"{filled}/v1"
    everything = [top, f"{top}/a.csv", f"{top}/data", f"{top}/data/b.txt", f"{top}/data/deep", f"{top}/data/deep/c.bin"]
    assert cli("find", top).lines == everything
    assert cli("find", f"xet://{top}/").lines == [f"xet://{name}" for name in everything]
    assert cli("find", top, "--type", "d").lines == [top, f"{top}/data", f"{top}/data/deep"]
    assert cli("find", top, "--type", "f", "--name", "[ab].*").lines == [f"{top}/a.csv", f"{top}/data/b.txt"]
    assert cli("find", top, "--name", "d*").lines == [f"{top}/data", f"{top}/data/deep"]
    assert cli("find", top, "--size", "+1M").lines == [f"{top}/data/deep/c.bin"]
    assert cli("find", top, "--size", "2M").lines == [f"{top}/data/deep/c.bin"]
    assert cli("find", top, "--size", "+2M").lines == []
    assert cli("find", top, "--size", "-11").lines == [f"{top}/data/b.txt"]
    assert cli("find", f"{top}/a.csv").lines == [f"{top}/a.csv"]
    assert [entry["name"] for entry in cli("find", top, "--size", "11", "--json").json] == [f"{top}/a.csv"]


@pytest.mark.parametrize("size", ["x", "+", "-", "", "+-1", "++1", "1Z"])
def test_sizes_that_are_none(cli: Cli, size: str) -> None:
    from pyxet.cli.running import run

    assert run(["find", "acme/x/main", "--size", size]) == 2


# -- du ----------------------------------------------------------------------------------------------------------------


def test_du(cli: Cli, filled: str) -> None:
    top, deep = f"{filled}/v1", len(BIG)
    assert [line.split() for line in cli("du", top).lines] == [
        [str(deep), f"{top}/data/deep"], [str(deep + 6), f"{top}/data"], [str(deep + 17), top],
    ]  # fmt: skip
    assert [line.split() for line in cli("du", "--max-depth", "0", f"xet://{top}").lines] == [
        [str(deep + 17), f"xet://{top}"]
    ]
    assert cli("du", "-h", top, "--max-depth", "1").lines == [f"2.0 MiB  {top}/data", f"2.0 MiB  {top}"]
    assert cli("du", f"{top}/data/b.txt").lines == [f"6  {top}/data/b.txt"]
    assert cli("du", "--json", "--max-depth", "0", filled).json == [
        {"name": filled, "size": 2 * (deep + 17) + 4, "files": 7}
    ]  # fmt: skip


# -- info and stat -----------------------------------------------------------------------------------------------------


def test_info(cli: Cli, filled: str, xet: pyxet.XetFS) -> None:
    path = f"{filled}/v1/data/deep/c.bin"
    rows = dict(line.split("  ", 1) for line in cli("info", path).lines)
    assert rows["size"].strip() == f"{len(BIG):,} bytes (2.0 MiB)"
    known = xet.info(path, expand=True)
    told = cli("stat", f"xet://{path}", "--json").json
    assert told["xet_hash"] == known["xet_hash"]
    assert told["blob_id"] == known["blob_id"]
    assert datetime.fromisoformat(told["last_modified"]) == known["last_modified"]
    assert told["url"] == f"xet://{cli.endpoint.url.removeprefix('http://')}:{path}"
    assert cli("ls", told["url"]).lines == ["c.bin"]
    assert "private        no" in cli("stat", filled).lines
    assert cli("info", f"{filled}/main", "--json").json["commit"] == xet.branch_info(filled, "main")["commit"]
    assert cli("info", f"{filled}/main/data", "--json").json["kind"] == "directory"
    assert cli("info", "acme", "--json").json["kind"] == "owner"


# -- cat and head ------------------------------------------------------------------------------------------------------


def test_cat(cli: Cli, filled: str) -> None:
    small, big = f"{filled}/v1/a.csv", f"{filled}/v1/data/deep/c.bin"
    assert cli.run("cat", small) == (b"x,y\n1,2\n3,4", b"")
    assert cli.run("cat", small, f"xet://{filled}/main/late.txt", small)[0] == b"x,y\n1,2\n3,4latex,y\n1,2\n3,4"
    assert cli.run("cat", big)[0] == BIG
    assert cli.run("cat", big, small, "--limit", "1K")[0] == BIG[:1024] + b"x,y\n1,2\n3,4"


@pytest.mark.parametrize(
    ("words", "start", "end"),
    [
        (["--range", "0-0"], 0, 1),
        (["--range", "1000000-1999999"], 1000000, 2000000),
        (["--range", "2097000-"], 2097000, None),
        (["--range", "2097000-9999999"], 2097000, None),
        (["--range", "-100"], -100, None),
        (["--range", "100-", "--limit", "5"], 100, 105),
        (["--range", "100-101", "--limit", "5"], 100, 102),
        (["--limit", "0"], 0, 0),
    ],
)
def test_parts_of_a_file(cli: Cli, filled: str, words: list[str], start: int, end: int | None) -> None:
    assert cli.run("cat", f"{filled}/v1/data/deep/c.bin", *words)[0] == BIG[start:end]


def test_head(cli: Cli, filled: str, xet: pyxet.XetFS, main: str) -> None:
    assert cli("head", f"{filled}/v1/data/b.txt", "-n", "2").out == "1\n2\n"
    assert cli("head", f"{filled}/v1/a.csv").out == "x,y\n1,2\n3,4"
    assert cli("head", f"{filled}/v1/a.csv", "-n", "0").out == ""
    lines = b"".join(b"%d\r\n" % number for number in range(100_000))
    xet.pipe({f"{main}/long.txt": lines, f"{main}/empty": b""})
    assert cli.run("head", f"{main}/long.txt")[0] == b"".join(b"%d\r\n" % number for number in range(10))
    count = 54_321
    assert cli.run("head", f"{main}/long.txt", "-n", str(count))[0] == b"".join(
        b"%d\r\n" % number for number in range(count)
    )
    assert cli.run("head", f"{main}/empty") == (b"", b"")
    assert cli.run("cat", f"{main}/empty", "--range", "0-5") == (b"", b"")


def test_nothing_is_written_where_one_of_several_is_missing(cli: Cli, filled: str) -> None:
    out, err = cli.run("cat", f"{filled}/v1/a.csv", f"{filled}/v1/missing", code=3)
    assert out == b""
    assert b"missing" in err


# -- bad input ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ls", "tree", "find", "du", "info", "stat", "cat", "head"])
def test_bad_input(cli: Cli, filled: str, name: str) -> None:
    """What is not there, what may not be seen, and what makes no sense; several at once, since each has to start."""
    extra = [] if name in ("tree", "cat", "head") else ["--json"]
    cases = [
        ([f"{filled}/main/missing"], 3, "missing"),
        ([f"{filled}/missing/a.csv"], 3, "missing"),
        (["acme/missing/main/a.csv"], 3, "acme/missing"),
        (["acme//main"], 2, "is empty"),
        (["s3://bucket/key"], 2, "the scheme 's3'"),
        (["buckets/acme/b/c"], 1, "buckets"),
        ([f"{filled}/main/a.csv", "--nothing"], 2, "--nothing"),
        ([f"{filled}/main/a.csv", "--token", "bad"], 4, "token"),
    ]
    running = [cli.start(name, *words, *extra) for words, _, _ in cases]
    for (words, code, told), process in zip(cases, running, strict=True):
        out, err = process.communicate(timeout=120)
        assert (process.returncode, out) == (code, b""), (words, err)
        lines = err.decode().splitlines()
        assert lines[0].startswith(f"xet {name}: "), words
        assert told in lines[0], words
        assert len(lines) <= 2, words


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["tree"], 2, "PATH"),
        (["cat"], 2, "PATH"),
        (["tree", "{}/main", "-L", "0"], 2, "x>=1"),
        (["find", "{}/main", "--type", "x"], 2, "'f', 'd'"),
        (["du", "{}/main", "--max-depth", "-1"], 2, "x>=0"),
        (["cat", "{}/main/a.csv", "--range", "5"], 2, "not a range"),
        (["cat", "{}/main/a.csv", "--range", "-"], 2, "not a range"),
        (["cat", "{}/main/a.csv", "--range", "9-5"], 2, "ends before it starts"),
        (["cat", "{}/main/a.csv", "--range", "11-"], 1, "11 bytes"),
        (["cat", "{}/main/a.csv", "--limit", "-1"], 2, "not a size"),
        (["cat", "{}/main/data"], 1, "Is a directory"),
        (["cat", "{}/main"], 1, "Is a directory"),
        (["head", "{}"], 1, "Is a directory"),
        (["head", "{}/main/a.csv", "-n", "-1"], 2, "x>=0"),
        (["ls", "a", "b"], 2, "unexpected extra argument"),
        (["ls", "nobody"], 3, "nobody"),
    ],
)
def test_more_bad_input(cli: Cli, filled: str, words: list[str], code: int, told: str) -> None:
    out, err = cli.run(*(word.replace("{}", filled) for word in words), code=code)
    assert out == b""
    assert told in err.decode()
