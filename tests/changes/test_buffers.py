"""Any contiguous buffer is its bytes, for every way to write; anything else is a TypeError, and nothing is published."""

from __future__ import annotations

import array
import io
import mmap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pyxet import AsyncXetFileSystem, XetFS
from pyxet.testing import LocalEndpoint


def _open(fs: XetFS, path: str, value: Any) -> None:
    with fs.open(path, "wb") as file:
        assert file.write(value) == memoryview(value).nbytes


def _zipped(fs: XetFS, path: str, value: Any) -> None:
    with fs.open(path, "wb", compression="gzip") as file:
        file.write(value)
    fs.pipe_file(path, fs.open(path, compression="gzip").read())


WAYS: dict[str, Callable[[XetFS, str, Any], Any]] = {
    "pipe_file": lambda fs, path, value: fs.pipe_file(path, value),
    "pipe": lambda fs, path, value: fs.pipe(path, value),
    "pipe of many": lambda fs, path, value: fs.pipe({path: value, f"{path}.other": b""}),
    "write_bytes": lambda fs, path, value: fs.write_bytes(path, value),
    "open": _open,
    "gzip": _zipped,
    "commit": lambda fs, path, value: fs.commit(path.rpartition("/")[0], [fs.stage(value, path)]),
    "stage_many": lambda fs, path, value: fs.commit(path.rpartition("/")[0], fs.stage_many({path: value})),
}
BUFFERS: dict[str, Any] = {
    "bytes": b"bytes",
    "bytearray": bytearray(b"bytearray"),
    "memoryview": memoryview(b"0123456789")[2:5],
    "numbers": np.array([7, 8], "u1"),
    "one number": np.array([7], "u1"),
    "zero": np.array([0], "u1"),
    "integers": np.array([1, 256, 65536], "<i4"),
    "another byte order": np.array([1, 256, 65536], ">i4"),
    "floats": np.array([[1.5, 2.5], [3.5, 4.5]], "f8"),
    "no dimension": np.array(7.0),
    "records": np.array([(1, 2.0)], [("Offset", "i4"), ("b", "f8")]),
    "nothing": np.zeros((3, 0), "f8"),
    "array": array.array("d", [1.0, 2.0]),
    "large": np.arange(400_000, dtype="i8"),
}
OTHERS: dict[str, Any] = {
    "text": "text",
    "none": None,
    "number": 5,
    "list": [1, 2],
    "not contiguous": np.arange(10, dtype="u1")[::2],
    "columns first": np.asfortranarray(np.ones((3, 2))),
    "objects": np.array([object()]),
    "objects in records": np.array([(1, "x")], [("a", "i4"), ("b", "O")]),
    "dates": np.array(["2026-11-28"], "M8[D]"),
    "dictionary": {"a": 1},
}


@pytest.mark.parametrize("way", WAYS)
def test_buffers(xet: XetFS, main: str, way: str) -> None:
    for name, value in BUFFERS.items():
        WAYS[way](xet, f"{main}/x", value)
        assert xet.cat(f"{main}/x") == bytes(memoryview(value).tobytes()), name


@pytest.mark.parametrize("way", WAYS)
def test_what_is_no_buffer(xet: XetFS, main: str, way: str) -> None:
    xet.pipe_file(f"{main}/x", b"before")
    for value in OTHERS.values():
        # What is staged may be a file as well, and one that is not there.
        if way in ("commit", "stage_many") and isinstance(value, str):
            continue
        with pytest.raises(TypeError):
            WAYS[way](xet, f"{main}/x", value)
        with pytest.raises(TypeError), xet.transaction:
            WAYS[way](xet, f"{main}/x", value)
    assert xet.cat(f"{main}/x") == b"before"
    assert len(xet.log(main)) == 2


def test_words(xet: Any, main: str) -> None:
    with pytest.raises(TypeError, match="not str; encode it"):
        xet.pipe_file(f"{main}/x", "text")
    with pytest.raises(TypeError, match="not contiguous"):
        xet.pipe_file(f"{main}/x", np.arange(10)[::2])
    with pytest.raises(TypeError, match="not NoneType"):
        xet.pipe(f"{main}/x")
    with pytest.raises(TypeError, match="not both"):
        xet.pipe({f"{main}/x": b""}, b"x")


def test_file_objects(xet: Any, main: str, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="not str"):
        xet.put_file(io.StringIO("text"), f"{main}/x")
    with pytest.raises(TypeError, match="not str"):
        xet.stage(io.StringIO("text"), f"{main}/x")
    (tmp_path / "local").write_bytes(b"mapped")
    with (tmp_path / "local").open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        xet.pipe_file(f"{main}/x", mapped)
        assert xet.cat(f"{main}/x") == b"mapped"
        xet.put_file(mapped, f"{main}/y")
        assert xet.cat(f"{main}/y") == b"mapped"
    assert not xet.exists(f"{main}/z")


async def test_asynchronous_calls(shared_endpoint: LocalEndpoint, main: str) -> None:
    async with AsyncXetFileSystem(
        shared_endpoint.url, shared_endpoint.user, shared_endpoint.token, asynchronous=True
    ) as fs:
        value = np.array([1, 256], ">i4")
        async with await fs.open_async(f"{main}/a", "wb") as file:
            assert await file.write(value) == 8
        await fs._pipe(dict[str, Any]({f"{main}/b": value}))
        assert await fs._cat([f"{main}/a", f"{main}/b"]) == dict.fromkeys((f"{main}/a", f"{main}/b"), value.tobytes())
        for other in OTHERS.values():
            with pytest.raises(TypeError):
                await fs._pipe_file(f"{main}/a", other)
            with pytest.raises(TypeError):
                await fs._pipe({f"{main}/a": other})


def test_makedirs(xet: XetFS, main: str) -> None:
    xet.pipe(f"{main}/d/a", b"a")
    for path in (f"{main}/d", f"{main}/d/a", main, main.rpartition("/")[0]):
        for call in (xet.makedirs, xet.mkdirs):
            with pytest.raises(FileExistsError):
                call(path)
            with pytest.raises(FileExistsError):
                call(path, exist_ok=False)
    xet.makedirs(f"{main}/d", exist_ok=True)
    xet.makedirs(f"{main}/new/er")
    with pytest.raises(FileExistsError):
        xet.makedirs(f"{main}/d/a", exist_ok=True)
