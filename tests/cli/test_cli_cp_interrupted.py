"""What becomes of a transfer that is interrupted, or told to end: no commit, no half file, whatever it waits for."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.cli import Cli
from support.faults import SHARD, UPLOAD, XORB, FaultProxy, gated
from support.proxied import proxied

import pyxet
from pyxet.testing import LocalEndpoint

pytestmark = pytest.mark.needs("signals")

MIB = 1024 * 1024
COMMIT = r"POST /api/.*/commit/"
SIGNALS = [signal.SIGINT, signal.SIGTERM]


@pytest.fixture
def through(cli: Cli, shared_endpoint: LocalEndpoint) -> Iterator[tuple[FaultProxy, Cli]]:
    with proxied(shared_endpoint) as (proxy, _):
        yield proxy, Cli(shared_endpoint, cli.folder, cli.variables | {"XET_ENDPOINT": proxy.url}, fresh=True)


async def interrupted(proxy: FaultProxy, cli: Cli, number: int, *arguments: str) -> str:
    """Start a command, send it a signal when a request waits at the gate, and return what it said."""
    with cli.start(*arguments) as process:
        try:
            await proxy.arrival()
            process.send_signal(number)
            _, told = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130
    return str(told.decode())


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("waiting", [UPLOAD, COMMIT], ids=["upload", "commit"])
async def test_on_the_way_up(
    through: tuple[FaultProxy, Cli], xet: pyxet.XetFS, main: str, waiting: str, number: int
) -> None:
    proxy, cli = through
    before = await xet._log(main)
    (cli.folder / "d").mkdir()
    for name in range(5):
        (cli.folder / "d" / f"{name}.bin").write_bytes(os.urandom(3 * MIB))
    proxy.rule(waiting, gated())
    told = await interrupted(proxy, cli, number, "cp", "-r", "d", main)
    first, second = told.splitlines()
    assert first == "xet cp: interrupted"
    assert f"xet log {main}" in second
    assert "run the same command again to continue" in second
    xet.invalidate_cache()
    assert await xet._log(main) == before


async def test_the_next_one_counts_what_was_there(through: tuple[FaultProxy, Cli], xet: pyxet.XetFS, main: str) -> None:
    proxy, cli = through
    (cli.folder / "big.bin").write_bytes(os.urandom(3 * MIB))
    # All of it is stored, and the endpoint has not been told yet of what it is part of.
    proxy.rule(SHARD, gated())
    await interrupted(proxy, cli, signal.SIGINT, "cp", "big.bin", f"{main}/big.bin")
    proxy.clear()
    done = cli("cp", "big.bin", f"{main}/again.bin", "--json").json
    assert (done["deduplicated"], done["sent"]) == (3 * MIB, 0)


async def test_before_anything_was_sent(through: tuple[FaultProxy, Cli], xet: pyxet.XetFS, main: str) -> None:
    proxy, cli = through
    (cli.folder / "big.bin").write_bytes(os.urandom(80 * MIB))
    # The first xorb is full while most of the file is still to be read.
    proxy.rule(UPLOAD, gated())
    told = await interrupted(proxy, cli, signal.SIGINT, "cp", "big.bin", f"{main}/big.bin")
    assert "nothing was committed; run the same command again to continue" in told


@pytest.mark.parametrize("number", SIGNALS)
async def test_on_the_way_down(through: tuple[FaultProxy, Cli], xet: pyxet.XetFS, main: str, number: int) -> None:
    proxy, cli = through
    content = os.urandom(18 * MIB)
    await xet._pipe({f"{main}/d/{name}.bin": content[name:] for name in range(3)})
    # One part of a file comes, the next one waits.
    proxy.rule(XORB, gated(), skip=1)
    assert "interrupted" in await interrupted(proxy, cli, number, "cp", "-r", f"{main}/d/", "out")
    there = [path.name for path in (cli.folder / "out").glob("*") if not path.name.startswith(".")]
    for name in there:
        assert (cli.folder / "out" / name).read_bytes() == content[int(name[0]) :]
    assert len(there) < 3
    proxy.clear()
    # What is left of it helps the next one, and goes.
    cli("cp", "-r", f"{main}/d/", "out")
    assert sorted(path.name for path in (cli.folder / "out").iterdir()) == ["0.bin", "1.bin", "2.bin"]


@pytest.mark.parametrize("number", SIGNALS)
async def test_a_sync_that_deletes(through: tuple[FaultProxy, Cli], xet: pyxet.XetFS, main: str, number: int) -> None:
    proxy, cli = through
    await xet._pipe_file(f"{main}/old", b"old")
    (cli.folder / "d").mkdir()
    (cli.folder / "d" / "new").write_text("new")
    proxy.rule(COMMIT, gated())
    assert "interrupted" in await interrupted(proxy, cli, number, "sync", "--delete", "d", main)
    xet.invalidate_cache()
    assert await xet._find(main) == [f"{main}/old"]


async def test_a_move(through: tuple[FaultProxy, Cli], xet: pyxet.XetFS, main: str) -> None:
    proxy, cli = through
    await xet._pipe_file(f"{main}/old", b"old")
    proxy.rule(COMMIT, gated())
    assert "interrupted" in await interrupted(proxy, cli, signal.SIGINT, "mv", f"{main}/old", f"{main}/new")
    proxy.clear()
    proxy.rule(COMMIT, gated())
    assert "interrupted" in await interrupted(proxy, cli, signal.SIGTERM, "rm", f"{main}/old")
    xet.invalidate_cache()
    assert await xet._find(main) == [f"{main}/old"]


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize(
    "arguments",
    [["ls", "{}"], ["cat", "{}/x"], ["branch", "info", "{}"], ["cp", "{}/x", "out"]],
    ids=lambda found: found[0],
)
async def test_whatever_waits_for_an_answer(
    through: tuple[FaultProxy, Cli], main: str, arguments: list[str], number: int
) -> None:
    proxy, cli = through
    proxy.rule(r"\w+ /", gated())
    told = await interrupted(proxy, cli, number, *(part.format(main) for part in arguments))
    first, *more = told.splitlines()
    assert first.endswith(": interrupted")
    assert ["run the same command again" in line for line in more] == [True] * (arguments[0] == "cp")


@pytest.mark.parametrize("number", SIGNALS)
def test_a_pipe_that_nothing_comes_from(cli: Cli, xet: pyxet.XetFS, main: str, number: int) -> None:
    cli.fresh = True
    with cli.start("cp", "-", f"{main}/x", stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        try:
            # More than a pipe holds: once it is written, somebody has begun to read.
            process.stdin.write(os.urandom(MIB))
            process.stdin.flush()
            process.send_signal(number)
            process.wait(60)
        finally:
            process.kill()
        process.stdin.close()
    assert process.returncode == 130
    xet.invalidate_cache()
    assert not xet.exists(f"{main}/x")


@pytest.mark.parametrize("number", SIGNALS)
def test_a_pipe_that_nobody_reads(cli: Cli, xet: pyxet.XetFS, main: str, number: int) -> None:
    cli.fresh = True
    xet.pipe_file(f"{main}/x", os.urandom(2 * MIB))
    with cli.start("cp", f"{main}/x", "-") as process:
        assert process.stdout is not None
        try:
            process.stdout.read(1)
            process.send_signal(number)
            process.wait(60)
        finally:
            process.kill()
    assert process.returncode == 130


async def test_a_source_that_does_not_answer(
    through: tuple[FaultProxy, Cli], cli: Cli, xet: pyxet.XetFS, main: str, tmp_path: Path
) -> None:
    """The threads that wait for other file systems are not waited for."""
    proxy, _ = through
    proxy.rule(r"\w+ /slow", gated())
    cli.fresh = True
    assert "interrupted" in await interrupted(proxy, cli, signal.SIGINT, "cp", f"{proxy.url}/slow", f"{main}/x")
    assert not await xet._exists(f"{main}/x")


def test_who_has_enough_ends_it_quietly(cli: Cli, xet: pyxet.XetFS, main: str) -> None:
    xet.pipe_file(f"{main}/x", os.urandom(2 * MIB))
    with cli.start("cp", f"{main}/x", "-") as process:
        assert process.stdout is not None
        process.stdout.read(10)
        process.stdout.close()
        process.wait(60)
    assert process.returncode == 0
