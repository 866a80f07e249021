"""Content of any size and from any source goes up whole and in order, and a file that changes meanwhile does not."""

from __future__ import annotations

import asyncio
import hashlib
import io
import itertools
import os
import random
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import pytest
from support.contents import content
from support.faults import MIB, UPLOAD, check_clean, gated, read_back, world

from pyxet._async.upload import flow, packing
from pyxet._async.upload.buffers import Buffers
from pyxet._async.upload.content import RUN
from pyxet.config import Limits
from pyxet.errors import ConflictError
from pyxet.types import UploadedContent

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

SMALL = Limits(memory=16 * MIB)


async def test_content_from_all_sources(tmp_path: Path) -> None:
    async with world() as it:
        data = content(301, 5 * MIB + 3)
        path = tmp_path / "a"
        path.write_bytes(data)
        uploader = it.uploader()
        found: list[UploadedContent] = []
        for source in (data, bytearray(data), memoryview(data), path, io.BytesIO(data)):
            progress: list[int] = []
            found.append(await uploader.add(source, progress=progress.append))
            assert sum(progress) == len(data)
        await uploader.flush()
        assert len(set(found)) == 1
        assert found[0].sha256 == hashlib.sha256(data).hexdigest()
        assert await read_back(it, found[0]) == data
        assert uploader.stats.files == 5
        assert uploader.stats.deduplicated == 4 * len(data)
        await uploader.aclose()


@pytest.mark.parametrize("size", [0, 1, 7, 8191, 128 * 1024, RUN - 1, RUN, RUN + 1, 2 * RUN])
async def test_sizes_around_the_limits(size: int) -> None:
    async with world() as it:
        data = content(302, size)
        uploader = it.uploader()
        stored = await uploader.add(data)
        await uploader.flush()
        await uploader.aclose()
        assert stored.size == size
        assert await read_back(it, stored) == data


async def test_pieces_of_any_size_make_the_same_content() -> None:
    async with world() as it:
        data = content(303, 6 * MIB)
        source = random.Random(1)
        uploader = it.uploader()
        found = [await uploader.add(data)]
        for longest in (300_000, 5 * MIB):
            writer, at = uploader.writer(), 0
            while at < len(data):
                step = source.randrange(1, longest)
                # The buffer is the caller's again after the call.
                piece = bytearray(data[at : at + step])
                await writer.write(piece)
                piece[:] = bytes(len(piece))
                if source.random() < 0.2:
                    await writer.push()
                at += step
            found.append(await writer.close())
        assert len(set(found)) == 1
        await uploader.aclose()


@pytest.mark.parametrize("a_file", [False, True])
async def test_runs_keep_their_order_whichever_is_compressed_first(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, a_file: bool
) -> None:
    """Runs of a file also lie in buffers that are used again, and not before they are stored."""
    encode = packing.encode
    numbers = itertools.count()
    together = threading.Barrier(2)

    def slow(chunks: Sequence[packing.Chunk], buffers: Buffers) -> packing.Encoded:
        number = next(numbers)
        if number < 2:
            # Neither goes on before the other has begun.
            together.wait(30)
        time.sleep(random.Random(number).uniform(0, 0.03))
        return encode(chunks, buffers)

    monkeypatch.setattr(flow, "encode", slow)
    async with world() as it:
        # Content that the endpoint does not know yet.
        data = content(3150 + a_file, 19 * RUN + 7)
        (tmp_path / "file").write_bytes(data)
        uploader = it.uploader()
        stored = await uploader.add(tmp_path / "file" if a_file else data)
        await uploader.flush()
        assert await read_back(it, stored) == data
        await uploader.aclose()


async def test_a_known_sha256_is_taken() -> None:
    async with world() as it:
        uploader = it.uploader()
        assert (await uploader.add(b"x" * 100_000, sha256="ab" * 32)).sha256 == "ab" * 32
        await uploader.aclose()


def _written_to(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"changed")
    os.utime(path, (1, 1))


def _grown(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def _cut_off(path: Path) -> None:
    os.truncate(path, 4 * MIB + 5)


@pytest.mark.parametrize("change", [_written_to, _grown, _cut_off])
async def test_a_file_that_changes_while_it_is_read(
    change: Callable[[Path], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first piece was read, others were not."""
    path = tmp_path / "a"

    class Changing(io.FileIO):
        def readinto(self, buffer: WriteableBuffer, /) -> int:
            size = super().readinto(buffer)
            if self.tell() == size:
                change(path)
            return size

    def opened(self: Path, mode: str = "r", buffering: int = -1) -> IO[Any]:
        return Changing(self) if buffering == 0 else open(self, mode, buffering)

    async with world() as it:
        path.write_bytes(content(304, 9 * MIB))
        uploader = it.uploader()
        with monkeypatch.context() as patched:
            patched.setattr(Path, "open", opened)
            with pytest.raises(ConflictError, match=f"{path} changed while"):
                await uploader.add(path)
        await uploader.flush()
        assert uploader.stats.files == 0
        with pytest.raises(FileNotFoundError):
            await uploader.add(tmp_path / "missing")
        await uploader.aclose()
        await check_clean()


async def test_a_file_that_is_removed_while_it_is_read_is_read_to_its_end(tmp_path: Path) -> None:
    async with world(limits=SMALL) as it:
        data = content(3041, 20 * MIB)
        path = tmp_path / "a"
        path.write_bytes(data)
        it.proxy.rule(UPLOAD, gated())
        uploader = it.uploader()
        adding = asyncio.create_task(uploader.add(path))
        # There is memory for less than half of it, until the xorbs come through.
        await it.proxy.arrival()
        path.unlink()
        it.proxy.open_gate()
        stored = await adding
        await uploader.flush()
        assert await read_back(it, stored) == data
        await uploader.aclose()


async def test_a_reader_that_fails() -> None:
    class Broken(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            raise OSError("broken")

    async with world() as it:
        uploader = it.uploader()
        with pytest.raises(OSError, match="broken"):
            await uploader.add(Broken())  # type: ignore[arg-type]
        await uploader.aclose()
