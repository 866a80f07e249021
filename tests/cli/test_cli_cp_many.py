"""Many files: they are on their way before all of them are known, in memory that hardly grows; progress on a terminal."""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest
from aiohttp import web
from support.cli import Cli
from support.faults import UPLOAD, FaultProxy, answer, gated
from support.proxied import proxied

import pyxet
from pyxet.testing import LocalEndpoint

MIB = 1024 * 1024
COMMIT = r"POST /api/.*/commit/"


def test_files_come_before_the_listing_is_complete(
    cli: Cli, shared_endpoint: LocalEndpoint, xet: pyxet.XetFS, main: str
) -> None:
    xet.pipe({f"{main}/{number:04}.bin": b"\xff\x00%d" % number for number in range(1500)})
    with proxied(shared_endpoint) as (proxy, _):
        asked: list[str] = []

        async def later_pages_wait(found: FaultProxy, request: web.Request) -> web.StreamResponse:
            asked.append("cursor" if "cursor" in request.query else "first")
            # The later page comes once content was asked for: waiting for it first would never end.
            return await (gated()(found, request) if "cursor" in request.query else found.forward(request))

        async def content(found: FaultProxy, request: web.Request) -> web.StreamResponse:
            asked.append("content")
            found.open_gate()
            return await found.forward(request)

        proxy.rule(r"GET .*/tree/", later_pages_wait)
        proxy.rule(r"GET .*/reconstructions", content)
        through = Cli(shared_endpoint, cli.folder, cli.variables | {"XET_ENDPOINT": proxy.url})
        assert "1,500 files" in through("cp", "-r", f"{main}/", "out").err
        assert asked.index("first") < asked.index("content")
    assert len(list((cli.folder / "out").iterdir())) == 1500


def test_small_files_are_sent_in_few_requests(
    cli: Cli, shared_endpoint: LocalEndpoint, xet: pyxet.XetFS, main: str
) -> None:
    (cli.folder / "d").mkdir()
    for number in range(600):
        (cli.folder / "d" / f"{number}.bin").write_bytes(b"\xff\x00" + random.Random(number).randbytes(100))
    with proxied(shared_endpoint) as (proxy, _):
        through = Cli(shared_endpoint, cli.folder, cli.variables | {"XET_ENDPOINT": proxy.url})
        done = through("cp", "-r", "d", main, "--json").json
        assert (done["files"], len(done["commits"])) == (600, 1)
        assert len(proxy.seen) < 60
        proxy.clear()
        through("cp", "-r", f"{main}/d", "out")
        assert len(proxy.seen) < 60


@pytest.mark.needs("pty")
@pytest.mark.parametrize("plain", [True, False])
def test_progress_on_a_terminal(
    cli: Cli, shared_endpoint: LocalEndpoint, xet: pyxet.XetFS, main: str, plain: bool
) -> None:
    (cli.folder / "d").mkdir()
    # Two of them are equal, which is seen here: an endpoint under load may leave a question for chunks unanswered.
    contents = [os.urandom(2 * MIB), os.urandom(2 * MIB)]
    for name, content in enumerate([*contents, contents[0]]):
        (cli.folder / "d" / f"{name}.bin").write_bytes(content)
    with proxied(shared_endpoint) as (proxy, _):
        proxy.rule(UPLOAD, gated())
        cli.variables |= {"XET_ENDPOINT": proxy.url, "TERM": "xterm-256color", "COLUMNS": "130"}
        cli.variables["NO_COLOR"] = "1" if plain else ""
        ours, theirs = os.openpty()
        with cli.start("cp", "-r", "d", main, stderr=theirs) as process:
            os.close(theirs)
            seen = b""
            # It is shown while the upload waits.
            while not re.search(rb"\d/3 files", seen) or b"deduplicated" not in seen:
                seen += os.read(ours, 4096)
            proxy.open_gate()
            try:
                while piece := os.read(ours, 4096):
                    seen += piece
            except OSError:
                # The other side is closed.
                pass
            process.wait(60)
        os.close(ours)
    assert process.returncode == 0
    text = seen.decode()
    assert "copying" in text
    assert "MiB" in text
    assert "copied 3 files, 6.0 MiB" in text
    coloured = re.search(r"\x1b\[[0-9;]*3[0-9][;m]", text) is not None
    assert coloured is not plain


@pytest.mark.needs("pty")
def test_progress_says_that_it_waits_for_a_quota(cli: Cli, shared_endpoint: LocalEndpoint, main: str) -> None:
    (cli.folder / "x.bin").write_bytes(os.urandom(2 * MIB))
    with proxied(shared_endpoint) as (proxy, _):
        proxy.rule(COMMIT, answer(429, RateLimit='"api";r=0;t=4'), times=1)
        cli.variables |= {"XET_ENDPOINT": proxy.url, "TERM": "xterm", "COLUMNS": "100", "NO_COLOR": "1"}
        ours, theirs = os.openpty()
        with cli.start("cp", "x.bin", main, stderr=theirs) as process:
            os.close(theirs)
            seen = b""
            while not re.search(rb"waiting \d s", seen):
                seen += os.read(ours, 4096)
            process.wait(60)
        os.close(ours)
    assert process.returncode == 0
    assert b"trying again in 4.0 s" in seen


@pytest.mark.needs("pty")
@pytest.mark.parametrize("width", [20, 40, 60, 80])
def test_progress_on_a_narrow_terminal(cli: Cli, shared_endpoint: LocalEndpoint, main: str, width: int) -> None:
    """A line that is broken could not be drawn over: what there is no room for is left out, not the numbers."""
    (cli.folder / "x.bin").write_bytes(os.urandom(2 * MIB))
    with proxied(shared_endpoint) as (proxy, _):
        proxy.rule(UPLOAD, gated())
        cli.variables |= {"XET_ENDPOINT": proxy.url, "TERM": "xterm", "COLUMNS": str(width), "NO_COLOR": "1"}
        ours, theirs = os.openpty()
        with cli.start("cp", "x.bin", main, stderr=theirs) as process:
            os.close(theirs)
            seen = b""
            while b"2.0/2.0 MiB" not in seen:
                seen += os.read(ours, 4096)
            proxy.open_gate()
            process.wait(60)
        os.close(ours)
    drawn = [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line) for line in re.split(r"[\r\n]+", seen.decode())]
    assert max(map(len, drawn)) <= width
    assert not any("…" in line for line in drawn)


@pytest.mark.needs("pty")
def test_no_progress_where_it_is_not_wanted(cli: Cli, xet: pyxet.XetFS, main: str) -> None:
    (cli.folder / "x.bin").write_bytes(os.urandom(MIB))
    for option in ("--no-progress", "--quiet"):
        ours, theirs = os.openpty()
        with cli.start("cp", "x.bin", f"{main}/{option}", option, stderr=theirs) as process:
            os.close(theirs)
            process.wait(60)
        try:
            seen = os.read(ours, 4096).decode()
        except OSError:
            seen = ""
        os.close(ours)
        assert "\x1b" not in seen
        assert ("copied 1 file" in seen) == (option == "--no-progress")


PEAK = (
    "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, capture_output=True); "
    "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024)"
)


@pytest.mark.needs("limits")
@pytest.mark.soak
@pytest.mark.timeout(900)
def test_memory_hardly_grows_with_the_number_of_files(cli: Cli, xet: pyxet.XetFS, main: str) -> None:
    def peak(*arguments: str) -> int:
        """Of the command, in MiB."""
        command = [sys.executable, "-c", PEAK, sys.executable, "-m", "pyxet", *arguments]
        done = subprocess.run(
            command, capture_output=True, text=True, check=True, cwd=cli.folder, env=cli.environment
        )  # fmt: skip
        return int(done.stdout)

    found: dict[int, list[int]] = {}
    for count in (2000, 20_000):
        source = random.Random(count)
        for number in range(count):
            path: Path = cli.folder / f"{count}" / f"{number % 40}" / f"{number}.bin"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(source.randbytes(1000))
        found[count] = [
            peak("cp", "-r", f"{count}", main),
            peak("sync", "--checksum", f"{count}", f"{main}/{count}"),
            peak("cp", "-r", f"{main}/{count}", f"out{count}"),
            peak("cp", "-r", f"{main}/{count}", f"{main}/copy{count}"),
            peak("rm", "-r", f"{main}/copy{count}"),
        ]
    sys.stdout.write(f"peak MiB of cp up, sync, cp down, cp within, rm: {found}\n")
    for few, many in zip(found[2000], found[20_000], strict=True):
        # 18,000 names, hashes and places at two kibibytes each, and the content that is on its way in both cases.
        assert many - few < 64
