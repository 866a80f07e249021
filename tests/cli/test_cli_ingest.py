"""``xet ingest``."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from support.cli import Cli, below
from support.faults import FaultProxy, gated

import pyxet

COMMIT = r"POST /api/.*/commit/"


@pytest.fixture
def tree(cli: Cli) -> Path:
    """A folder with some files."""
    for name in ("a.txt", "sub/b.txt", "sub/deep/c.bin"):
        path = cli.folder / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode() * 50_000)
    return cli.folder / "tree"


def test_a_tree(cli: Cli, tree: Path, xet: pyxet.XetFS, main: str) -> None:
    done = cli("ingest", "tree", f"{main}/raw", "-m", "All of it")
    assert below(xet, f"{main}/raw") == ["a.txt", "sub/b.txt", "sub/deep/c.bin"]
    [commit] = [found for found in xet.log(main) if found.message == "All of it"]
    assert "ingested 3 files, 1.3 MiB" in done.err
    assert commit.id[:10] in done.err
    again = cli("ingest", "tree", f"{main}/raw", "--json").json
    assert (again["files"], again["failed"], again["commits"]) == (3, 0, [])
    assert Path(again["journal"]).is_relative_to(cli.environment["HOME"])


def test_from_a_repository(cli: Cli, xet: pyxet.XetFS, repo: str, main: str) -> None:
    xet.pipe({f"{main}/x/1.txt": b"1", f"{main}/x/2.txt": b"2"})
    xet.make_branch(repo, "main", "other")
    assert cli("ingest", f"{main}/x", f"{repo}/other/y", "--json").json["files"] == 2
    assert below(xet, f"{repo}/other/y") == ["1.txt", "2.txt"]


@pytest.mark.needs("signals")
def test_it_goes_on_after_an_interrupt(cli: Cli, tree: Path, xet: pyxet.XetFS, main: str) -> None:
    cli.fresh = True
    with FaultProxy(cli.endpoint.url) as proxy:
        cli.variables["XET_ENDPOINT"] = proxy.url
        proxy.rule(COMMIT, gated())
        with cli.start("ingest", "tree", main) as process:
            while not proxy.count(COMMIT):
                assert process.poll() is None
            process.send_signal(signal.SIGINT)
            _, told = process.communicate(timeout=60)
        assert process.returncode == 130
        assert "run the same command again to continue" in told.decode()
        proxy.clear()
        done = cli("ingest", "tree", main).err
        assert "3 files of them stored by an earlier run" in done
    xet.invalidate_cache()
    assert len(xet.find(main)) == 3


@pytest.mark.needs("links", "proc")
def test_what_cannot_be_read(cli: Cli, tree: Path, xet: pyxet.XetFS, main: str) -> None:
    (tree / "mem").symlink_to("/proc/self/mem")
    told = cli("ingest", "tree", main, code=1).err
    assert "mem" in told
    assert "nothing is committed" in told
    done = cli("ingest", "tree", main, "--on-error", "skip")
    assert "1 file could not be read" in done.err
    assert "xet ingest: mem" in done.err
    assert len(below(xet, main)) == 3


@pytest.mark.needs("pty")
def test_progress(cli: Cli, tree: Path, main: str) -> None:
    cli.variables |= {"TERM": "xterm", "COLUMNS": "100", "NO_COLOR": "1"}
    with FaultProxy(cli.endpoint.url) as proxy:
        cli.variables["XET_ENDPOINT"] = proxy.url
        proxy.rule(COMMIT, gated())
        ours, theirs = os.openpty()
        with cli.start("ingest", "tree", main, stderr=theirs) as process:
            os.close(theirs)
            seen = b""
            while b"1.3/1.3 MiB" not in seen:
                seen += os.read(ours, 4096)
            proxy.open_gate()
            assert process.wait(60) == 0
        os.close(ours)
    assert b"ingesting" in seen


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        ("tree {main} --scheduler tcp://x", 2, "--engine dask or ray"),
        ("- {main}", 2, "see xet cp"),
        ("tree {repo}", 2, "owner/repo/branch"),
        ("tree {repo}/nope", 3, "nope"),
        ("tree {main}@{{yesterday}}", 1, "point in time"),
        ("nothing {main}", 3, "nothing"),
        ("nowhere://x {main}", 1, "nowhere"),
    ],
)
def test_bad_input(cli: Cli, tree: Path, repo: str, main: str, words: str, code: int, told: str) -> None:
    assert told in cli("ingest", *words.format(repo=repo, main=main).split(), code=code).err
