"""`snapshot`: a whole revision in a local folder, resumed, verified, pinned."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from fsspec.callbacks import Callback
from support.cli import Cli
from support.faults import MIB, XORB, FaultProxy, cut, flipped, silent
from support.proxied import asynchronous

import pyxet
from pyxet.cli.progress import Progress, found_callback
from pyxet.testing import LocalEndpoint


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own."""
    found = tmp_path.with_name(f"{tmp_path.name}-cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(found))
    return found


@pytest.fixture
def model(xet: pyxet.XetFS, main: str) -> dict[str, bytes]:
    """What a branch holds: nobody else's content, so that it is in xorbs of its own."""
    files = {
        "config.json": b'{"layers": 2}',
        "weights/a.bin": os.urandom(2 * MIB),
        "weights/b.bin": os.urandom(300_000),
        "empty.bin": b"",
    }
    xet.pipe({f"{main}/{name}": data for name, data in files.items()})
    return files


def below(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_whole_revision_once(
    through: tuple[FaultProxy, pyxet.XetFS], main: str, model: dict[str, bytes], tmp_path: Path
) -> None:
    proxy, fs = through
    folder = fs.snapshot(main, tmp_path / "model")
    assert folder == str(tmp_path / "model")
    assert below(tmp_path / "model") == model
    fetched = proxy.count(XORB)
    assert fetched
    assert fs.snapshot(f"{main}/", tmp_path / "model") == folder
    assert proxy.count(XORB) == fetched
    # Found right by its content, where nothing is remembered of it.
    (tmp_path / "model").rename(tmp_path / "elsewhere")
    fs.snapshot(main, tmp_path / "elsewhere")
    assert proxy.count(XORB) == fetched


def test_what_is_wrong_is_fetched_and_others_stay(
    through: tuple[FaultProxy, pyxet.XetFS], main: str, model: dict[str, bytes], tmp_path: Path
) -> None:
    proxy, fs = through
    fs.snapshot(main, tmp_path)
    fetched = proxy.count(XORB)
    (tmp_path / "mine.txt").write_text("mine")
    changed = bytearray(model["weights/b.bin"])
    changed[7] ^= 1
    (tmp_path / "weights/b.bin").write_bytes(changed)
    (tmp_path / "config.json").unlink()
    fs.snapshot(main, tmp_path)
    found = below(tmp_path)
    assert found.pop("mine.txt") == b"mine"
    assert {name: found[name] for name in model} == model
    assert proxy.count(XORB) == fetched + 1


def test_a_folder_for_each_commit(
    xet: pyxet.XetFS, other: pyxet.XetFS, main: str, model: dict[str, bytes], tmp_path: Path
) -> None:
    before = xet.branch_info(main)["commit"]
    folder = xet.snapshot(main)
    other.pipe_file(f"{main}/config.json", b"{}")
    assert Path(folder).name == before
    assert below(Path(folder)) == model
    again = xet.snapshot(main)
    assert again != folder
    assert below(Path(again)) == model | {"config.json": b"{}"}
    assert xet.snapshot(f"{main.removesuffix('/main')}/{before}") == folder


def test_the_folder_of_the_cache(
    xet: pyxet.XetFS, url: str, options: dict[str, str], main: str, model: dict[str, bytes], cache: Path
) -> None:
    folder = pyxet.snapshot(url, storage_options=options)
    assert Path(folder).is_relative_to(cache)
    assert main.removesuffix("/main") in folder
    part = pyxet.snapshot(f"{url}/weights", filesystem=xet)
    assert part == f"{folder}/weights"


@pytest.mark.parametrize(
    ("chosen", "names"),
    [
        ({"include": ["*.json"]}, {"config.json"}),
        ({"include": "weights", "exclude": ["b.*"]}, {"weights/a.bin"}),
        ({"exclude": ["*.bin"]}, {"config.json"}),
        ({"include": "nothing"}, set()),
    ],
)
def test_chosen_files(
    xet: pyxet.XetFS, main: str, model: dict[str, bytes], tmp_path: Path, chosen: dict[str, Any], names: set[str]
) -> None:
    folder = Path(xet.snapshot(main, tmp_path / "some", **chosen))
    assert below(folder) == {name: model[name] for name in names}


def test_a_folder_of_a_revision_without_what_is_pending(
    xet: pyxet.XetFS, main: str, model: dict[str, bytes], tmp_path: Path
) -> None:
    with xet.transaction(message="pending") as tr:
        xet.pipe_file(f"{main}/weights/c.bin", b"\0")
        folder = Path(xet.snapshot(f"{main}/weights", tmp_path / "weights"))
        tr.fs.cancel_transaction()
    assert below(folder) == {"a.bin": model["weights/a.bin"], "b.bin": model["weights/b.bin"]}


async def test_awaited_with_counts(
    shared_endpoint: LocalEndpoint, main: str, model: dict[str, bytes], tmp_path: Path
) -> None:
    callback = Callback()
    async with asynchronous(shared_endpoint) as fs:
        folder = await fs._snapshot(main, tmp_path / "model", callback=callback)
        assert (callback.size, callback.value) == (4, 4)
        await fs._snapshot(main, folder, callback=(again := Callback()))
        assert (again.size, again.value) == (4, 4)
    assert below(Path(folder)) == model


def test_damage_is_not_there(
    through: tuple[FaultProxy, pyxet.XetFS], main: str, model: dict[str, bytes], tmp_path: Path
) -> None:
    proxy, fs = through
    proxy.rule(XORB, flipped(0.5))
    with pytest.raises(pyxet.IntegrityError):
        fs.snapshot(main, tmp_path, include="a.bin")
    assert below(tmp_path) == {}
    proxy.clear()
    fs.snapshot(main, tmp_path)
    assert below(tmp_path) == model


def test_a_kill_is_gone_on_from(
    through: tuple[FaultProxy, pyxet.XetFS], main: str, model: dict[str, bytes], tmp_path: Path
) -> None:
    proxy, fs = through
    fs.snapshot(main, tmp_path, exclude="a.bin")
    fetched = proxy.count(XORB)
    proxy.rule(XORB, cut(0.6, stall=True))
    script = (
        "import pyxet, sys; "
        "fs = pyxet.XetFS(sys.argv[1], token=sys.argv[2], timeouts=pyxet.Timeouts(progress=120)); "
        "fs.snapshot(sys.argv[3], sys.argv[4])"
    )
    token = fs.credential.token
    assert token is not None
    arguments = [proxy.url, token.reveal(), main, str(tmp_path)]
    with subprocess.Popen([sys.executable, "-c", script, *arguments]) as child:
        try:
            wait_for(lambda: proxy.count(XORB) > fetched)
        finally:
            child.kill()
    assert not (tmp_path / "weights/a.bin").exists()
    proxy.clear()
    before = fs.metrics()
    fs.snapshot(main, tmp_path)
    assert {name: data for name, data in below(tmp_path).items() if name in model} == model
    assert proxy.count(XORB) == 1
    # Of the others nothing came again.
    assert (fs.metrics() - before).bytes_received < 2.2 * MIB


def wait_for(condition: Any) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_what_there_is_no_snapshot_of(xet: pyxet.XetFS, main: str, model: dict[str, bytes], tmp_path: Path) -> None:
    with pytest.raises(NotADirectoryError):
        xet.snapshot(f"{main}/config.json", tmp_path)
    with pytest.raises(pyxet.XetURLError, match="names no revision"):
        xet.snapshot(main.removesuffix("/main"), tmp_path)
    with pytest.raises(pyxet.RevisionNotFoundError):
        xet.snapshot(f"{main}s", tmp_path)
    with pytest.raises(pyxet.EntryNotFoundError):
        xet.snapshot(f"{main}/nothing", tmp_path)
    with pytest.raises(pyxet.XetURLError, match="not a pyxet URL"):
        pyxet.snapshot("acme/model/main")
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        xet.snapshot(main, tmp_path / "file")


def test_a_cancelled_one_leaves_nothing_half(
    through: tuple[FaultProxy, pyxet.XetFS], main: str, model: dict[str, bytes], tmp_path: Path
) -> None:
    proxy, fs = through
    proxy.rule(XORB, silent())
    with pytest.raises(TimeoutError):
        fs.snapshot(main, tmp_path, include="a.bin", timeout=0.5)
    assert not [path for path in below(tmp_path) if "part" not in path]


def test_the_command(cli: Cli, xet: pyxet.XetFS, main: str, model: dict[str, bytes], tmp_path: Path) -> None:
    assert cli("download", main, "here", "--exclude", "*.bin").out == f"{tmp_path}/here\n"
    assert below(tmp_path / "here") == {"config.json": model["config.json"]}
    found = json.loads(cli("download", main, "--json").out)
    assert below(Path(found["folder"])) == model
    assert found["received_bytes"] > 2 * MIB
    assert json.loads(cli("download", main, "--json").out)["received_bytes"] < 100_000
    assert "has no 'nothing'" in cli("download", f"{main}/nothing", code=3).err


def test_the_command_shows_how_far_it_is(
    xet: pyxet.XetFS, main: str, model: dict[str, bytes], tmp_path: Path, cache: Path
) -> None:
    # What its line on a terminal is made of: a batch, a large file, one without bytes, and one that is there already.
    (tmp_path / "config.json").write_bytes(model["config.json"])
    progress = Progress("downloading", wanted=False)
    xet.snapshot(main, tmp_path, callback=found_callback(progress))
    size = sum(map(len, model.values())) - len(model["config.json"])
    assert (progress.files, progress.found_files) == (3, 3)
    assert progress.bytes == progress.found_bytes == progress.moved_bytes == size
