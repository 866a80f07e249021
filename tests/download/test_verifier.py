"""Content that was damaged on its way, in whatever pieces and by whatever library it is read."""

from __future__ import annotations

import asyncio
import io
import itertools
import os
import pickle
import random
import uuid
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import fsspec
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest
from support.faults import MIB, RESOLVE, XORB, FaultProxy, flipped, world

import pyxet
from pyxet import IntegrityError
from pyxet._async.download import verifier
from pyxet._async.download.reconstruct import Downloader
from pyxet._async.download.verifier import Verifier
from pyxet._async.download.windows import FileChunk
from pyxet.protocol.hashing import chunk_hash
from pyxet.types import RemoteFile, RepoId

_numbers = random.Random(__name__)
TABLE = b"number,text\n" + b"".join(
    b"%d,text %d\n" % (_numbers.randrange(10**12), n % 97) for n in range(70_000)
)  # fmt: skip

# Its last byte, which is content and no header.
LAST = 0.999999
NOISE = _numbers.randbytes(3 * MIB // 2)

Read = Callable[[Any, str, Path], object]


def in_pieces(file: Any, size: int = 64 * 1024) -> bytes:
    with file:
        return b"".join(iter(lambda: file.read(size), b""))


def tail_first(file: Any) -> bytes:
    """As readers of archives and of Parquet do."""
    file.seek(-100, 2)
    file.read()
    file.seek(0)
    return in_pieces(file)


def back_and_forth(file: Any) -> bytes:
    """Every piece twice, the second time before the next one."""
    pieces: list[bytes] = []
    with file:
        for at in itertools.count(0, 100_000):
            file.seek(at)
            piece = file.read(100_000)
            file.seek(max(0, at - 300_000))
            file.read(1000)
            if not piece:
                return b"".join(pieces)
            pieces.append(piece)
    raise AssertionError


def backwards(file: Any) -> bytes:
    pieces: list[bytes] = []
    with file:
        for at in range(file.size // 50_000 * 50_000, -1, -50_000):
            file.seek(at)
            pieces.append(file.read(50_000))
    return b"".join(reversed(pieces))


def by_readline(file: Any) -> bytes:
    with file:
        return b"".join(iter(file.readline, b""))


def by_readinto(file: Any) -> bytes:
    found, buffer = b"", bytearray(50_001)
    with file:
        while count := file.readinto(buffer):
            found += buffer[:count]
    return found


def by_threads(file: Any) -> bytes:
    """Each takes its turn, as loaders of data do."""
    pieces = []
    with file, ThreadPoolExecutor(4) as pool:
        while piece := pool.submit(file.read, 64 * 1024).result():
            pieces.append(piece)
    return b"".join(pieces)


def by_url(fs: Any, path: str) -> bytes:
    url = f"xet://{fs.endpoint.removeprefix('http://')}:{path}"
    options = {name: value for name, value in fs.storage_options.items() if name in ("user", "token", "retry")}
    with fsspec.open(url, "rb", **options) as file:
        return in_pieces(file)


def asynchronously(fs: Any, path: str, _: Path, *, lines: bool = False) -> bytes:
    async def read() -> bytes:
        options = {"asynchronous": True, "skip_instance_cache": True}
        async with (
            pyxet.AsyncXetFileSystem(*fs.storage_args, **(fs.storage_options | options)) as other,
            await other.open_async(path) as file,
        ):
            pieces = [line async for line in file] if lines else []
            while piece := await file.read(64 * 1024):
                pieces.append(piece)
        return b"".join(pieces)

    return asyncio.run(read())


async def streamed(fs: Any, path: str) -> bytes:
    options = fs.storage_options | {"asynchronous": True, "skip_instance_cache": True}
    async with pyxet.AsyncXetFileSystem(*fs.storage_args, **options) as other:
        return b"".join([piece async for piece in other._stream(path)])


def with_cache(kind: str) -> Read:
    return lambda fs, path, _: in_pieces(fs.open(path, cache_type=kind, block_size=200_000))


def through_cache(kind: str) -> Read:
    def read(fs: Any, path: str, folder: Path) -> object:
        cached = fsspec.filesystem(kind, fs=fs, cache_storage=str(folder / uuid.uuid4().hex))
        return in_pieces(cached.open(path))

    return read


def downloaded(fs: Any, path: str, folder: Path) -> bytes:
    fs.get_file(path, folder / "x")
    found = (folder / "x").read_bytes()
    (folder / "x").unlink()
    return found


def into_a_file_object(fs: Any, path: str, _: Path) -> bytes:
    buffer = io.BytesIO()
    fs.get_file(path, buffer)
    return buffer.getvalue()


# What each gives is the content, or a table of it.
READS: dict[str, Read] = {
    "cat_file": lambda fs, path, _: fs.cat_file(path),
    "cat_file from 0": lambda fs, path, _: fs.cat_file(path, 0),
    "cat_file to the end": lambda fs, path, _: fs.cat_file(path, 0, len(TABLE)),
    "cat_file from its end": lambda fs, path, _: fs.cat_file(path, -len(TABLE), 2**40),
    "cat": lambda fs, path, _: fs.cat([path])[path],
    "read_bytes": lambda fs, path, _: fs.read_bytes(path),
    "read_block": lambda fs, path, _: fs.read_block(path, 0, None),
    "head": lambda fs, path, _: fs.head(path, 2**30),
    "cat_ranges": lambda fs, path, _: fs.cat_ranges([path], 0, None, on_error="raise")[0],
    "cat_ranges, several": lambda fs, path, _: b"".join(
        fs.cat_ranges([path] * 3, [0, 500_000, 900_000], [500_000, 900_000, None], on_error="raise")
    ),
    "stream": lambda fs, path, _: b"".join(fs.stream(path)),
    "stream to the end": lambda fs, path, _: b"".join(fs.stream(path, -len(TABLE), len(TABLE) + 1)),
    "stream, awaited": lambda fs, path, _: asyncio.run(streamed(fs, path)),
    "get_file": downloaded,
    "get_file into a file object": into_a_file_object,
    "open": lambda fs, path, _: fs.open(path).read(),
    "open, pieces of 64 KiB": lambda fs, path, _: in_pieces(fs.open(path)),
    "open, pieces of 1 MB": lambda fs, path, _: in_pieces(fs.open(path), 10**6),
    "open, pieces of an odd size": lambda fs, path, _: in_pieces(fs.open(path), 77_777),
    "open, lines": lambda fs, path, _: b"".join(fs.open(path)),
    "open, readlines": lambda fs, path, _: b"".join(fs.open(path).readlines()),
    "open, readline": lambda fs, path, _: by_readline(fs.open(path)),
    "open, readinto": lambda fs, path, _: by_readinto(fs.open(path)),
    "open, several threads": lambda fs, path, _: by_threads(fs.open(path)),
    "asynchronous, lines": lambda fs, path, _: asynchronously(fs, path, _, lines=True),
    "by URL": lambda fs, path, _: by_url(fs, path),
    "open, tail first": lambda fs, path, _: tail_first(fs.open(path)),
    "open, back and forth": lambda fs, path, _: back_and_forth(fs.open(path)),
    "open, backwards": lambda fs, path, _: backwards(fs.open(path)),
    "text": lambda fs, path, _: "".join(fs.open(path, "r")).encode(),
    "asynchronous": asynchronously,
    "pandas": lambda fs, path, _: pd.read_csv(fs.open(path)),
    "pandas, text": lambda fs, path, _: pd.read_csv(fs.open(path, "r")),
    "pandas, chunks": lambda fs, path, _: pd.concat(list(pd.read_csv(fs.open(path), chunksize=3000))),
    "pyarrow": lambda fs, path, _: pa.csv.read_csv(fs.open(path)).to_pandas(),
    "pyarrow dataset": lambda fs, path, _: pa.dataset.dataset(path, format="csv", filesystem=fs).to_table().to_pandas(),
    **{f"cache {kind}": with_cache(kind) for kind in ("none", "readahead", "bytes", "blockcache", "all", "background")},
    **{kind: through_cache(kind) for kind in ("blockcache", "filecache", "simplecache")},
}  # fmt: skip


@pytest.fixture
def table(xet: pyxet.XetFS, main: str) -> str:
    """A file whose content is in Xet, of about 16 chunks."""
    xet.pipe_file(f"{main}/table.bin", TABLE)
    assert xet.info(f"{main}/table.bin")["xet_hash"]
    return f"{main}/table.bin"


# They look at what comes before its end has come, and may be the first ones to see that something is wrong with it.
PARSERS = ("text", "pandas", "pyarrow")


# fsspec's block cache leaves the descriptor of its file to the garbage collector.
pytestmark = pytest.mark.filterwarnings(
    "ignore:.*Exception ignored in.*FileIO:pytest.PytestUnraisableExceptionWarning",
    "ignore:unclosed file:ResourceWarning",
)


@pytest.fixture
def noise(xet: pyxet.XetFS, main: str) -> str:
    """A file in which nothing is compressed, so that no format shows the damage."""
    xet.pipe_file(f"{main}/noise.bin", NOISE)
    return f"{main}/noise.bin"


def same(found: object) -> bool:
    return found == TABLE if isinstance(found, bytes) else pd.read_csv(io.BytesIO(TABLE)).equals(found.reset_index(drop=True))  # type: ignore[attr-defined]  # fmt: skip


@pytest.mark.parametrize("name", READS)
def test_a_read_from_start_to_end_is_verified(
    through: tuple[FaultProxy, pyxet.XetFS], table: str, tmp_path: Path, name: str
) -> None:
    proxy, fs = through
    read = READS[name]
    assert same(read(fs, table, tmp_path))
    expected = (IntegrityError, ValueError) if name.startswith(PARSERS) else (IntegrityError,)
    requests = proxy.count(XORB)
    assert 1 <= requests < 40
    for at in (0.0, 0.2, 0.47, 0.81, 0.99999):
        proxy.clear()
        proxy.rule(XORB, flipped(at))
        with pytest.raises(expected):
            read(fs, table, tmp_path)
    # Damaged once: it is noticed, or made good by asking again.
    for number in range(requests):
        proxy.clear()
        proxy.rule(XORB, flipped(0.47), times=1, skip=number)
        with suppress(*expected):
            assert same(read(fs, table, tmp_path))
    # Nothing of that stays.
    proxy.clear()
    assert same(read(fs, table, tmp_path))


def test_a_regular_file_in_git_is_verified_as_well(
    through: tuple[FaultProxy, pyxet.XetFS], xet: pyxet.XetFS, main: str, tmp_path: Path
) -> None:
    proxy, fs = through
    small = TABLE[:700_000]
    xet.pipe_file(f"{main}/table.csv", small)
    assert "xet_hash" not in xet.info(f"{main}/table.csv")
    for name in ("cat_file", "stream", "get_file", "open", "open, pieces of 64 KiB", "open, back and forth", "open, tail first",
                 "asynchronous", "cache bytes", "cache blockcache", "blockcache", "simplecache"):  # fmt: skip
        proxy.clear()
        assert READS[name](fs, f"{main}/table.csv", tmp_path) == small, name
        for at in (0.0, 0.5, 0.99999):
            proxy.clear()
            proxy.rule(RESOLVE, flipped(at))
            with pytest.raises(IntegrityError):
                READS[name](fs, f"{main}/table.csv", tmp_path)


def test_a_copy_that_is_pending_is_verified(
    through: tuple[FaultProxy, pyxet.XetFS], table: str, main: str, tmp_path: Path
) -> None:
    proxy, fs = through
    with fs.transaction:
        fs.cp_file(table, f"{main}/copy.bin")
        assert in_pieces(fs.open(f"{main}/copy.bin")) == TABLE
        proxy.rule(XORB, flipped(0.47))
        for read in (in_pieces, tail_first, lambda file: file.read()):
            with pytest.raises(IntegrityError):
                read(fs.open(f"{main}/copy.bin"))
        for name in ("cat_file", "stream", "get_file", "get_file into a file object"):
            with pytest.raises(IntegrityError):
                READS[name](fs, f"{main}/copy.bin", tmp_path)


def test_a_file_that_proved_wrong_gives_nothing_any_more(through: tuple[FaultProxy, pyxet.XetFS], noise: str) -> None:
    proxy, fs = through
    rule = proxy.rule(XORB, flipped(LAST))
    with fs.open(noise) as file:
        with pytest.raises(IntegrityError):
            list(iter(lambda: file.read(64 * 1024), b""))
        proxy._rules.remove(rule)
        # Which of its pieces was wrong, nobody knows.
        for at in (file.tell(), 0):
            file.seek(at)
            with pytest.raises(IntegrityError, match="open it again"):
                file.read(64 * 1024)
    assert in_pieces(fs.open(noise)) == NOISE


def test_what_is_read_twice_is_the_same_twice(through: tuple[FaultProxy, pyxet.XetFS], noise: str) -> None:
    proxy, fs = through
    with fs.open(noise) as file:
        for place in (0, 700_000):
            file.seek(place)
            assert file.read(300_000) == NOISE[place : place + 300_000]
        proxy.rule(XORB, flipped(LAST))
        # Neither has all of it been read, nor does anything follow the piece that is read again.
        for place in (0, 700_000):
            file.seek(place)
            with pytest.raises(IntegrityError):
                file.read(300_000)


def test_a_part_of_a_file_is_checked_by_its_headers_and_lengths(
    through: tuple[FaultProxy, pyxet.XetFS], table: str
) -> None:
    proxy, fs = through
    proxy.rule(XORB, flipped(0.0))
    for read in (
        lambda: fs.cat_file(table, 1),
        lambda: fs.cat_ranges([table], 1, 100, on_error="raise"),
        lambda: fs.open(table).read(10),
    ):
        proxy.seen.clear()
        with pytest.raises(IntegrityError, match="damaged") as caught:
            read()
        assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
        # Asked for once more, by another plan.
        assert proxy.count(XORB) == 2


def test_members_of_an_archive_and_columns(
    through: tuple[FaultProxy, pyxet.XetFS], xet: pyxet.XetFS, main: str
) -> None:
    """Readers that begin at the end: their last piece is the one that shows it."""
    proxy, fs = through
    archive, parquet = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as file:
        file.writestr("x", os.urandom(MIB))
    pq.write_table(pa.table({"x": range(200_000)}), parquet)
    xet.pipe({f"{main}/x.zip": archive.getvalue(), f"{main}/x.parquet": parquet.getvalue()})
    proxy.rule(XORB, flipped(0.5))
    # Already what lies before the directory, which is read backwards, may show it.
    with pytest.raises((IntegrityError, zipfile.BadZipFile)), zipfile.ZipFile(fs.open(f"{main}/x.zip")) as file:
        file.read("x")
    with pytest.raises((IntegrityError, OSError, ValueError)):
        pq.read_table(fs.open(f"{main}/x.parquet"))


async def test_files_of_many_windows() -> None:
    async with world() as it:
        content = os.urandom(34 * MIB)
        file = await it.store(content)
        reader = Downloader(it.client)
        spans = [(at, min(at + 5 * MIB, len(content))) for at in range(0, len(content), 5 * MIB)]
        seen = Verifier(file)
        assert b"".join([await reader.read(file, *span, seen) for span in spans]) == content
        it.proxy.rule(XORB, flipped(0.5), times=1, skip=3)
        seen = Verifier(file)
        for span in spans[:-1]:
            await reader.read(file, *span, seen)
        with pytest.raises(IntegrityError):
            await reader.read(file, *spans[-1], seen)
        it.proxy.clear()
        it.proxy.rule(XORB, flipped(0.5), times=1, skip=3)
        results = await reader.read_ranges(file, spans, max_gap=0)
        assert all(isinstance(result, IntegrityError) for result in results)
        assert b"".join(await reader.read_ranges(file, spans, max_gap=0)) == content  # type: ignore[arg-type]


# -- what is kept of what was read -------------------------------------------------------------------------------------


def a_file(content: bytes, size: int) -> tuple[RemoteFile, list[FileChunk]]:
    from pyxet.protocol.hashing import file_hash, hash_to_hex

    chunks = [
        FileChunk(at, content[at : at + size], chunk_hash(content[at : at + size]))
        for at in range(0, len(content), size)
    ]
    value = hash_to_hex(file_hash((chunk.hash, len(chunk.data)) for chunk in chunks))
    return RemoteFile(RepoId("models", "a", "b"), "main", "x", len(content), "", None, value), chunks


def test_chunks_in_any_order() -> None:
    numbers = random.Random(8)
    file, chunks = a_file(numbers.randbytes(5000), 7)
    for wrong in (None, 0, 3, len(chunks) - 1):
        for _ in range(20):
            order = [*range(len(chunks)), *numbers.choices(range(len(chunks)), k=100)]
            numbers.shuffle(order)
            last = max(order.index(number) for number in range(len(chunks)))
            seen = Verifier(file)
            for step, number in enumerate(order):
                chunk = chunks[number]
                if number == wrong:
                    chunk = chunk._replace(hash=bytes(32))
                if wrong is not None and step >= last:
                    with pytest.raises(IntegrityError):
                        seen.add([chunk])
                else:
                    seen.add([chunk])


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verifier, "_MAX_KEPT", 64)
    monkeypatch.setattr(verifier, "_MAX_AHEAD", 32)
    file, chunks = a_file(random.Random(9).randbytes(5000), 7)
    seen = Verifier(file)
    seen.add(chunks[1:-1])
    assert len(seen._ahead) == 32
    seen.add(chunks[:-1])
    assert 32 <= len(seen._starts) <= 64
    assert len(seen._hashes) == 16 * len(seen._starts)
    assert not seen._ahead
    # Too long ago to be compared, and recent.
    seen.add([chunks[0]._replace(hash=bytes(32))])
    with pytest.raises(IntegrityError, match="differs from when it was read before"):
        seen.add([chunks[-3]._replace(hash=bytes(32))])
    again = Verifier(file)
    again.add(chunks)
    with pytest.raises(IntegrityError):
        Verifier(file).add([*chunks[:-1], chunks[-1]._replace(hash=bytes(32))])
