"""What commands write into a pipe: at once what they have, and no complaint when nobody reads any more."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import pytest
from support.cli import Cli
from support.faults import FaultProxy, gated

import pyxet

MANY = 2500


@pytest.fixture
def many(xet: pyxet.XetFS, main: str) -> str:
    """A branch whose listing has several pages."""
    xet.pipe({f"{main}/{number:05}.txt": b"x" for number in range(MANY)})
    return main


@pytest.fixture
def slow(cli: Cli) -> Iterator[FaultProxy]:
    """Stands between the command and the endpoint."""
    with FaultProxy(cli.endpoint.url) as proxy:
        cli.variables["XET_ENDPOINT"] = proxy.url
        yield proxy


@pytest.mark.parametrize("words", [["ls", "-r"], ["find"], ["ls", "-r", "--json"], ["find", "--json"], ["ls", "-lr"]])
def test_a_listing_is_written_as_it_is_found(words: list[str], cli: Cli, many: str, slow: FaultProxy) -> None:
    # The first page comes, the next one waits until somebody has read what there is.
    slow.rule(r"GET .*/tree/", gated(), skip=1)
    with cli.start(*words, many) as process:
        assert process.stdout is not None
        told = b""
        while b"00050.txt" not in told:
            told += os.read(process.stdout.fileno(), 65536)
        slow.open_gate()
        told += process.stdout.read()
        assert told.count(b".txt") == MANY
        assert process.wait(60) == 0


def test_a_file_is_written_before_the_next_one_is_fetched(
    cli: Cli, xet: pyxet.XetFS, main: str, slow: FaultProxy
) -> None:
    content = os.urandom(100_000)
    xet.pipe({f"{main}/a.txt": b"first\n", f"{main}/b.bin": content})
    slow.rule(r"GET .*/(v2|v1|xorbs|reconstructions|cas)/", gated())
    with cli.start("cat", f"{main}/a.txt", f"{main}/b.bin") as process:
        assert process.stdout is not None
        assert os.read(process.stdout.fileno(), 6) == b"first\n"
        slow.open_gate()
        assert process.stdout.read() == content


COMMANDS = [
    "ls {main}", "ls -l {main}", "ls -r {main}", "ls --json {main}", "ls {main}/*.txt", "ls", "find {main}", "tree {main}",
    "du {main}", "du --json {main}", "info {main}/00001.txt", "stat {main}", "cat {main}/00001.txt", "cat {main}/00*.txt",
    "head {main}/00001.txt", "cp {main}/00001.txt -", "cp --json {main}/00001.txt {main}/x.txt",
    "cp --dry-run -r {main}/ {main}/y", "sync --dry-run {main} {main}/y", "mv --json {main}/00002.txt {main}/z.txt",
    "rm --json {main}/00003.txt", "branch ls {repo}", "branch info {main}", "tag ls {repo}", "log {main}",
    "log --json {main}", "diff {repo} main {first}", "diff --json {repo} main {first}", "repo ls", "repo info {repo}",
    "repo make {repo}-2", "whoami", "version", "--version", "--help", "ls --help",
]  # fmt: skip


def test_nobody_reads(cli: Cli, xet: pyxet.XetFS, repo: str, many: str) -> None:
    """As for ``| head``: whatever is written into a pipe that nobody reads is no failure."""
    first = xet.log(many)[-1].id
    for command in COMMANDS:
        reading, writing = os.pipe()
        os.close(reading)
        words = command.format(main=many, repo=repo, first=first).split()
        with cli.start(*words, stdout=writing) as process:
            assert process.stderr is not None
            told = process.stderr.read().decode()
            assert process.wait(60) == 0, (command, told)
        os.close(writing)
        assert "Traceback" not in told, command
        assert "Broken pipe" not in told, command


@pytest.mark.needs("shells")
def test_no_standard_output_at_all(cli: Cli, main: str, xet: pyxet.XetFS) -> None:
    """A shell's ``>&-``."""
    xet.pipe_file(f"{main}/a.txt", b"a")
    for words in (f"ls {main}", f"find {main}", "whoami", f"info {main}/a.txt", f"rm {main}/a.txt"):
        done = subprocess.run(
            ["sh", "-c", f"exec xet {words} >&-"], env=cli.environment, cwd=cli.folder, capture_output=True, text=True
        )
        assert "Traceback" not in done.stderr
        assert "should not happen" not in done.stderr, words
        assert done.returncode == 0, done.stderr


@pytest.mark.needs("shells")
def test_no_standard_input_at_all(cli: Cli, main: str, xet: pyxet.XetFS) -> None:
    """A shell's ``<&-``: nothing that is opened later is read in its place, and nothing is published."""
    for words in (f"cp - {main}/a.txt", "login"):
        done = subprocess.run(
            ["sh", "-c", f"exec xet {words} <&-"], env=cli.environment, cwd=cli.folder, capture_output=True, text=True
        )
        assert "Bad file descriptor" in done.stderr
        assert "should not happen" not in done.stderr, words
        assert done.returncode == 1, done.stderr
    assert not xet.exists(f"{main}/a.txt")


# -- patterns ----------------------------------------------------------------------------------------------------------


def test_patterns(cli: Cli, xet: pyxet.XetFS, repo: str, main: str) -> None:
    xet.pipe(
        {
            f"{main}/a.csv": b"1",
            f"{main}/b.csv": b"22",
            f"{main}/data/c.csv": b"333",
            f"{main}/data/deep/d.csv": b"4444",
            f"{main}/x[1].csv": b"5",
            f"{main}/x1.csv": b"66",
        }
    )
    assert cli("ls", f"{main}/?.csv").lines == ["a.csv", "b.csv"]
    assert cli("ls", f"xet://{main}/*/*").lines == ["data/c.csv", "data/deep/"]
    assert cli("ls", "-r", f"{main}/da*").lines == ["data/c.csv", "data/deep/d.csv"]
    assert cli("ls", f"{main}/**/d.csv").lines == ["data/deep/d.csv"]
    assert cli("ls", f"{repo}/m*").lines == ["main"]
    assert cli("ls", f"{repo}/m*/a.*").lines == ["main/a.csv"]
    assert cli("ls", f"{repo[:-1]}*").lines == [repo.partition("/")[2]]
    assert [line.split()[:2] for line in cli("ls", "-l", f"{main}/?.csv").lines] == [["1", "B"], ["2", "B"]]
    assert [entry["size"] for entry in cli("ls", "--json", f"{main}/?.csv").json] == [1, 2]
    # What is there by that very name goes first.
    assert cli("ls", f"{main}/x[1].csv").lines == ["x[1].csv"]
    assert cli("cat", f"{main}/x[1].csv").out == "5"
    assert cli("find", f"{main}/da*", "--type", "f").lines == [f"{main}/data/c.csv", f"{main}/data/deep/d.csv"]
    assert cli("find", f"xet://{main}/?.csv").lines == [f"xet://{main}/a.csv", f"xet://{main}/b.csv"]
    assert cli("du", f"{main}/data*").lines == [f"4  {main}/data/deep", f"7  {main}/data"]
    assert cli("du", "--max-depth", "0", f"{main}/[ab].csv").lines == [f"1  {main}/a.csv", f"2  {main}/b.csv"]
    assert cli("cat", f"{main}/?.csv", f"{main}/data/*").out == "122333"
    host = cli.endpoint.url.partition("://")[2]
    cli.variables["XET_ENDPOINT"] = ""
    cli.variables["XET_USER_TOKEN"] = ""
    given = ("--token", cli.endpoint.token)
    assert cli("find", *given, f"xet://{host}:{main}/?.csv").lines[0] == f"xet://{host}:{main}/a.csv"
    assert cli("ls", *given, f"xet://{host}:{repo[:-1]}*").lines == [repo.partition("/")[2]]


@pytest.mark.parametrize("command", ["ls", "ls -r", "find", "du", "cat"])
def test_patterns_that_match_nothing(command: str, cli: Cli, main: str) -> None:
    told = cli(*command.split(), f"{main}/*.nope", code=3).err
    assert f"nothing matches {main}/*.nope" in told


def test_a_folder_is_listed_whole(cli: Cli, many: str) -> None:
    assert len(cli("ls", many).lines) == len(cli("find", many, "--type", "f").lines) == MANY
