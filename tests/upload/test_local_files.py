"""Small local files are read in groups, and each caller gets its own file or error."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import threading
from collections.abc import Iterable
from pathlib import Path

import pytest

from pyxet._async.upload.local_files import LocalFiles, _peeked


def some(folder: Path, count: int) -> list[Path]:
    paths = [folder / f"{number}" for number in range(count)]
    for number, path in enumerate(paths):
        path.write_bytes(b"%d" % number)
    return paths


async def test_files_of_one_turn(tmp_path: Path) -> None:
    local, paths = LocalFiles(small=10), some(tmp_path, 11)
    paths.insert(3, tmp_path / "absent")
    paths[5].write_bytes(bytes(11))
    found = await asyncio.gather(*map(local.peek, paths), return_exceptions=True)
    assert isinstance(found.pop(3), FileNotFoundError)
    assert found.pop(4) == (11, None)
    assert found == [(len(f"{number}"), b"%d" % number) for number in range(11) if number != 4]
    assert await local.peek(paths[0]) == (1, b"0")


async def test_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        await LocalFiles(small=10**9).peek(tmp_path)


@pytest.mark.parametrize("turns", [0, 1, 2])
async def test_who_reads_for_all_gives_up(tmp_path: Path, turns: int) -> None:
    local, paths = LocalFiles(small=10), some(tmp_path, 3)
    tasks = [asyncio.create_task(local.peek(path)) for path in paths]
    for _ in range(turns):
        await asyncio.sleep(0)
    tasks[0].cancel()
    assert [await task for task in tasks[1:]] == [(1, b"1"), (1, b"2")]
    assert tasks[0].cancelled()


async def test_who_waits_gives_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reading, go_on = threading.Event(), threading.Event()

    def slow_disk(sources: Iterable[str], small: int) -> dict[str, tuple[int, bytes | None] | OSError]:
        reading.set()
        go_on.wait()
        return _peeked(sources, small)

    monkeypatch.setattr("pyxet._async.upload.local_files._peeked", slow_disk)
    local, paths = LocalFiles(small=10), some(tmp_path, 2)
    tasks = [asyncio.create_task(local.peek(path)) for path in paths]
    while not reading.is_set():
        await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    assert all(task.cancelled() for task in tasks)
    go_on.set()


@pytest.mark.needs("fifos", "unix sockets")
@pytest.mark.parametrize("kind", ["pipe", "socket", "device"])
async def test_what_never_ends_is_refused_by_name(tmp_path: Path, kind: str) -> None:
    path = Path("/dev/zero") if kind == "device" else tmp_path / "special"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(path))
    with pytest.raises(shutil.SpecialFileError, match=f"{path}.* is a .*{kind}"):
        await LocalFiles(small=10).peek(path)


async def test_a_folder_is_called_one_on_every_platform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(path: str, *_: object) -> int:
        raise PermissionError(13, "Permission denied", path)

    # As Windows answers whoever opens a folder.
    monkeypatch.setattr("pyxet._async.upload.local_files.os.open", denied)
    with pytest.raises(IsADirectoryError, match="it is a folder"):
        await LocalFiles(small=1 << 20).peek(tmp_path)
