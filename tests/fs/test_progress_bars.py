"""``progress=True``: what is told while files move and at the end, on both faces."""

from __future__ import annotations

import io
import sys
import threading
from pathlib import Path

import pytest
from fsspec.callbacks import Callback
from support.contents import content

import pyxet
from pyxet import AsyncXetFileSystem, XetFS, _progress
from pyxet._displays import Terminal
from pyxet._progress import Bar
from pyxet.testing import LocalEndpoint

SIZE = 300_000


class Counting(Callback):
    """A caller's own callback, which is told beside the bar."""

    def __init__(self) -> None:
        super().__init__()
        self.children: list[Callback] = []

    def branched(self, path_1: object, path_2: object, **_: object) -> Callback:
        self.children.append(Callback())
        return self.children[-1]


@pytest.fixture
def bars(monkeypatch: pytest.MonkeyPatch) -> list[Bar]:
    """The bars that calls have shown."""
    shown: list[Bar] = []

    class Kept(Bar):
        def __init__(self, verb: str) -> None:
            super().__init__(verb)
            shown.append(self)

    monkeypatch.setattr(_progress, "Bar", Kept)
    return shown


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "source").mkdir()
    for number in range(3):
        (tmp_path / "source" / f"{number}.bin").write_bytes(content(number, SIZE))
    (tmp_path / "source" / "empty.txt").touch()
    return tmp_path


def whole(bar: Bar) -> bool:
    return bar.fraction == pytest.approx(1.0) and not bar.watching._thread.is_alive()


def test_many_files(xet: XetFS, main: str, folder: Path, bars: list[Bar], capsys: pytest.CaptureFixture[str]) -> None:
    mine = Counting()
    xet.put(f"{folder}/source/", f"{main}/files", recursive=True, callback=mine, progress=True)
    xet.get(f"{main}/files/", f"{folder}/again/", recursive=True, progress=True)
    assert [(bar.files, bar.found_files, bar.bytes) for bar in bars] == [(4, 4, 3 * SIZE)] * 2
    assert all(map(whole, bars))
    up, down = capsys.readouterr().err.splitlines()
    assert up.startswith("uploaded 4 files, 878.9 KiB in ")
    assert down.startswith("downloaded 4 files, 878.9 KiB in ")
    # Whoever has a callback as well is told all the same.
    assert (mine.size, mine.value) == (4, 4)
    assert sum(child.value for child in mine.children) == 3 * SIZE


def test_one_file(xet: XetFS, main: str, folder: Path, bars: list[Bar], capsys: pytest.CaptureFixture[str]) -> None:
    mine = Callback()
    xet.put_file(f"{folder}/source/0.bin", f"{main}/0.bin", progress=True)
    xet.get_file(f"{main}/0.bin", f"{folder}/0.bin", mine, progress=True)
    xet.stage(f"{folder}/source/1.bin", f"{main}/1.bin", progress=True)
    assert [bar.bytes for bar in bars] == [SIZE] * 3
    assert all(map(whole, bars))
    assert [line.split(" in ")[0] for line in capsys.readouterr().err.splitlines()] == [
        "uploaded 293.0 KiB", "downloaded 293.0 KiB", "stored 293.0 KiB",
    ]  # fmt: skip
    assert mine.value == SIZE


def test_asked_for_by_its_place(xet: XetFS, main: str, folder: Path, bars: list[Bar]) -> None:
    nothing = Callback()
    xet.put(f"{folder}/source/0.bin", f"{main}/0.bin")
    xet.get_file(f"{main}/0.bin", f"{folder}/0.bin", nothing, None, True)
    xet.get(f"{main}/0.bin", f"{folder}/1.bin", False, nothing, None, False, True)
    xet.get(f"{main}/0.bin", f"{folder}/2.bin", False, nothing, None, False, False)
    assert [bar.bytes for bar in bars] == [SIZE] * 2


def test_staging_and_ingest(
    xet: XetFS, main: str, folder: Path, bars: list[Bar], capsys: pytest.CaptureFixture[str]
) -> None:
    xet.stage_many({f"{main}/{number}.bin": content(number, SIZE) for number in range(2)}, progress=True)
    assert [bar.files for bar in bars] == [2]
    pyxet.ingest(folder / "source", f"{main}/in", fs=xet, journal=folder / "journal", progress=True)
    told = capsys.readouterr().err.splitlines()
    assert told[0].startswith("stored 2 files, ")
    assert told[1].startswith("ingested 878.9 KiB in ")


async def test_awaited(
    shared_endpoint: LocalEndpoint, main: str, folder: Path, bars: list[Bar], capsys: pytest.CaptureFixture[str]
) -> None:
    async with AsyncXetFileSystem(
        shared_endpoint.url, shared_endpoint.user, shared_endpoint.token, asynchronous=True
    ) as fs:
        async with fs.transaction:
            await fs._put(f"{folder}/source/", f"{main}/files", recursive=True, progress=True)
        await fs._get_file(f"{main}/files/0.bin", f"{folder}/0.bin", progress=True)
    assert all(map(whole, bars))
    assert len(capsys.readouterr().err.splitlines()) == 2


def test_a_call_that_fails_says_so_and_leaves_no_thread(
    xet: XetFS, main: str, folder: Path, bars: list[Bar], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(FileNotFoundError):
        xet.get([f"{main}/nothing"], [f"{folder}/nothing"], progress=True)
    assert capsys.readouterr().err.startswith("downloading failed after 0 B in ")
    assert not any(thread.name == "pyxet-progress" for thread in threading.enumerate())
    assert len(bars) == 1


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_on_a_terminal(xet: XetFS, main: str, folder: Path, monkeypatch: pytest.MonkeyPatch, bars: list[Bar]) -> None:
    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("COLUMNS", "100")
    xet.put(f"{folder}/source/", f"{main}/files", recursive=True, progress=True)
    assert isinstance(bars[0].watching.display, Terminal)
    assert "uploaded 4 files, 878.9 KiB in " in screen.getvalue().splitlines()[-1]


def test_a_size_that_grows_and_one_that_is_not_known() -> None:
    with Bar("ingesting") as bar:
        callback = bar.callback(files=False)
        callback.relative_update(5)
        assert bar.fraction == 0
        callback.set_size(10)
        assert bar.fraction == 0.5
        callback.set_size(20)
        assert bar.fraction == 0.25
        callback.relative_update(15)
        assert bar.fraction == 1
        assert bar.bytes == 20
