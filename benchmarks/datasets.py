"""The content that the benchmarks move. It is generated once, into a folder, and always has the same bytes."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np

MIB = 1024 * 1024
KINDS = ("random", "float32", "bfloat16", "csv")


def pieces(kind: str, seed: int) -> Iterator[bytes]:
    """Endless pieces of content of a kind: random bytes, weights in two precisions, rows of numbers and words."""
    source = np.random.default_rng(seed)
    while True:
        if kind == "random":
            yield source.bytes(8 * MIB)
        elif kind == "float32":
            yield source.normal(0, 0.02, 2 * MIB).astype("<f4").tobytes()
        elif kind == "bfloat16":
            # The upper half of a float32 is its bfloat16.
            halves = source.normal(0, 0.02, 4 * MIB).astype("<f4").view("<u2")[1::2]
            yield np.ascontiguousarray(halves).tobytes()
        elif kind == "csv":
            numbers = source.integers(0, 10**6, 200_000)
            words = source.integers(0, 8, 200_000)
            values = source.random(200_000)
            names = ("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta")
            rows = zip(numbers.tolist(), words.tolist(), values.tolist(), strict=True)
            yield "".join(f"{number},{names[word]},{value:.6f}\n" for number, word, value in rows).encode()
        else:
            raise ValueError(f"no such kind of content: {kind}")


def file_name(kind: str, size: int, seed: int = 1) -> str:
    """What `make_file` calls its file."""
    return f"{kind}-{size}-{seed}.bin"


def make_file(folder: Path, kind: str, size: int, seed: int = 1) -> Path:
    """A file of exactly ``size`` bytes, which is made unless it exists."""
    path = folder / file_name(kind, size, seed)
    if path.exists() and path.stat().st_size == size:
        return path
    folder.mkdir(parents=True, exist_ok=True)
    left = size
    with path.open("wb") as file:
        for piece in pieces(kind, seed):
            file.write(piece[:left])
            left -= min(left, len(piece))
            if not left:
                break
    return path


def make_inserted(folder: Path, original: Path, inserted: int) -> Path:
    """A copy of ``original`` with ``inserted`` new bytes in its middle."""
    path = folder / f"{original.stem}-plus-{inserted}.bin"
    if path.exists():
        return path
    middle = original.stat().st_size // 2
    with original.open("rb") as source, path.open("wb") as target:
        left = middle
        while left:
            left -= target.write(source.read(min(left, 8 * MIB)))
        target.write(random.Random(99).randbytes(inserted))
        while piece := source.read(8 * MIB):
            target.write(piece)
    return path


def make_small_files(folder: Path, count: int, size: int) -> Path:
    """A folder of ``count`` files of ``size`` random bytes, a thousand in each sub-folder."""
    top = folder / f"small-{count}-{size}"
    if (top / "done").exists():
        return top / "files"
    source = random.Random(7)
    for number in range(count):
        path = top / "files" / f"{number // 1000:03}" / f"{number:06}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(source.randbytes(size))
    (top / "done").touch()
    return top / "files"


def make_parquet(folder: Path, columns: int, rows: int) -> Path:
    """A Parquet file of random float64 columns, in ten row groups."""
    import pyarrow as pa
    from pyarrow import parquet

    path = folder / f"table-{columns}-{rows}.parquet"
    if path.exists():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    source = np.random.default_rng(5)
    group = rows // 10
    schema = pa.schema([(f"c{number}", pa.float64()) for number in range(columns)])
    temporary = path.with_suffix(".new")
    with parquet.ParquetWriter(temporary, schema, use_dictionary=False) as writer:
        for _ in range(10):
            arrays = [pa.array(source.random(group)) for _ in range(columns)]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema), row_group_size=group)
    temporary.rename(path)
    return path
