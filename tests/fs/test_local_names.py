"""Downloads beside what others put there: links, pipes and shared files under the names of unfinished downloads; long names."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from support.capabilities import need
from support.contents import content
from support.faults import MIB, World, world

import pyxet
from pyxet import _platform
from pyxet._async.download import leftovers
from pyxet._async.download.reconstruct import Downloader
from pyxet._async.download.to_file import download_to
from pyxet.types import RemoteFile

VICTIM = b"somebody else's"


@pytest.fixture(autouse=True)
def no_folder_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leftovers, "_folders", type(leftovers._folders)())


async def get(it: World, file: RemoteFile, target: Path) -> None:
    await download_to(Downloader(it.client), file, target, int)


def part_of(target: Path, file: RemoteFile) -> Path:
    assert file.xet_hash is not None
    return target.with_name(f".{target.name}.{file.xet_hash[:16]}.part")


def linked(path: Path, victim: Path) -> None:
    need("links")
    path.symlink_to(victim)


def dangling(path: Path, victim: Path) -> None:
    need("links")
    path.symlink_to(victim.with_name("not there"))


def hard(path: Path, victim: Path) -> None:
    path.hardlink_to(victim)


def pipe(path: Path, victim: Path) -> None:
    need("fifos")
    os.mkfifo(path)


def folder(path: Path, victim: Path) -> None:
    path.mkdir()


@pytest.fixture(params=["here", "where links are followed"])
def how_files_are_opened(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """As here, or as on Windows, where no call refuses links."""
    if request.param != "here":
        monkeypatch.setattr(_platform, "_REFUSES_LINKS", False)
        monkeypatch.setattr(_platform, "GUARDED", _platform.GUARDED & ~getattr(os, "O_NOFOLLOW", 0))


@pytest.mark.usefixtures("how_files_are_opened")
@pytest.mark.parametrize("place", [linked, dangling, hard, pipe, folder])
@pytest.mark.parametrize("suffix", ["", ".journal"])
@pytest.mark.parametrize("size", [1000, 3 * MIB])
async def test_nothing_is_written_through_what_has_the_name_of_an_unfinished_download(
    place: Callable[[Path, Path], None], suffix: str, size: int, tmp_path: Path
) -> None:
    victim, target = tmp_path / "victim", tmp_path / "to" / "a.bin"
    victim.write_bytes(VICTIM)
    target.parent.mkdir()
    async with world() as it:
        file = await it.store(content(501, size))
        path = part_of(target, file)
        place(path.with_name(path.name + suffix), victim)
        await get(it, file, target)
    assert target.read_bytes() == content(501, size)
    assert stat.S_ISREG(target.lstat().st_mode)
    assert victim.read_bytes() == VICTIM
    assert not (tmp_path / "not there").exists()


async def test_a_journal_that_somebody_made_up_is_read_in_bounded_memory(tmp_path: Path) -> None:
    async with world() as it:
        file = await it.store(content(502, 100_000))
        path = part_of(tmp_path / "a.bin", file)
        path.write_bytes(b"x")
        # Sparse: records of chunks of four gigabytes, without end.
        with path.with_name(f"{path.name}.journal").open("wb") as journal:
            journal.write((b"\xaa" * 32 + b"\xff" * 4) * 10)
            journal.truncate(2**40)
        await get(it, file, tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == content(502, 100_000)
    assert os.listdir(tmp_path) == ["a.bin"]


LONG = "ä" * 128


@pytest.mark.parametrize(
    "name", ["n" * 256, LONG, f"new/{'n' * 256}", f"{'n' * 256}/a", f"new/{LONG}/a", "/".join(["d" * 200] * 25)]
)
@pytest.mark.parametrize("way", ["small", "large", "pending", "several"])
def test_names_that_are_too_long_leave_nothing_behind(
    xet: pyxet.XetFS, main: str, tmp_path: Path, name: str, way: str
) -> None:
    target = str(tmp_path / name)
    data = content(503, 3 * MIB if way == "large" else 1000)
    with xet.transaction as tr:
        tr.fs.pipe({f"{main}/a": data, f"{main}/b": data + b"b"})
        if way == "pending":
            with pytest.raises(OSError, match="too long"):
                tr.fs.get_file(f"{main}/a", target)
    sources, targets = [f"{main}/a", f"{main}/b"], [target, str(tmp_path / "b")]
    count = 2 if way == "several" else 1
    with pytest.raises(OSError, match="too long"):
        xet.get(sources[:count], targets[:count])
    (tmp_path / "b").unlink(missing_ok=True)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("size", [1000, 3 * MIB])
@pytest.mark.parametrize("name", ["n" * 255, "ä" * 127, "n" * 200])
def test_the_longest_names_there_are(xet: pyxet.XetFS, main: str, tmp_path: Path, name: str, size: int) -> None:
    with xet.transaction as tr:
        tr.fs.pipe_file(f"{main}/a", content(504, size))
        tr.fs.get_file(f"{main}/a", str(tmp_path / "pending" / name))
    xet.get_file(f"{main}/a", str(tmp_path / "stored" / name))
    for folder in ("pending", "stored"):
        assert os.listdir(tmp_path / folder) == [name]
        assert (tmp_path / folder / name).read_bytes() == content(504, size)
