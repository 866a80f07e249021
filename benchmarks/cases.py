"""The cases behind the rows: what both sides do, with which content, against which server."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import serving
from datasets import MIB, file_name, make_file, make_inserted, make_parquet, make_small_files
from pairing import Side
from prepare import discard, load, prepare
from serving import Server
from warming import WARM_FILE, WARM_REPO

REPO = "bench/data"
_LATENCY = 0.02


@dataclass(frozen=True)
class Sizes:
    """How much is moved; sizes in bytes."""

    big: int = 1024 * MIB
    part: int = 256 * MIB
    folder: int = 10_000
    range_file: int = 50 * MIB
    range_files: int = 10
    ranges: int = 1000
    sparse_file: int = 200 * MIB
    sparse: int = 100
    table_rows: int = 1_250_000
    small_reads: int = 1000
    find: int = 100_000
    growth: tuple[int, ...] = (1024 * MIB, 3072 * MIB, 8192 * MIB)
    growth_files: tuple[int, ...] = (10_000, 50_000, 200_000)
    growth_log: tuple[int, ...] = (1000, 10_000, 50_000)


QUICK = Sizes(
    big=32 * MIB, part=8 * MIB, folder=200, range_file=2 * MIB, range_files=3, ranges=30, sparse_file=16 * MIB,
    sparse=20, table_rows=20_000, small_reads=60, find=2000, growth=(8 * MIB, 16 * MIB, 32 * MIB),
    growth_files=(50, 100, 200), growth_log=(50, 100, 200),
)  # fmt: skip
SMALL = 10 * 1024
_SHORT = 4 * 1024
# How many interpreters one run starts.
STARTS = 10


@dataclass
class Bench:
    """What rows share: sizes, the folder with the content, servers that stay up, and the number of pairs."""

    sizes: Sizes
    data: Path
    pairs: int
    stack: ExitStack
    tell: Callable[[str], object] = print
    _lean: Server | None = None
    _far: Server | None = None

    @property
    def sources(self) -> Path:
        """Folder of the original files."""
        return self.data / "sources"

    @property
    def stored(self) -> Path:
        """Folder of manifests and xorbs."""
        return self.data / "stored"

    def lean(self) -> AbstractContextManager[Server]:
        """The lean server, which serves all rows."""
        if self._lean is None:
            self._lean = self.stack.enter_context(serving.lean())
        return nullcontext(self._lean)

    def far(self) -> AbstractContextManager[Server]:
        """The lean server behind the simulated network (see `link`)."""
        if self._far is None:
            with self.lean() as server:
                self._far = self.stack.enter_context(serving.far(server))
        return nullcontext(self._far)

    def fresh_local(self) -> AbstractContextManager[Server]:
        """An empty local endpoint."""
        return serving.fresh_local(self.data, REPO.partition("/")[2], WARM_REPO.partition("/")[2])

    def file(self, kind: str, size: int, seed: int = 1) -> Path:
        """The path of an original file, which is made if necessary."""
        return make_file(self.sources, kind, size, seed)

    def manifest(self, *files: Path) -> Path:
        """The manifest of original files, each of which gets its own name as its path."""
        names = "+".join(file.name for file in files)
        name = names if len(files) < 3 else f"{len(files)}-{hashlib.sha256(names.encode()).hexdigest()[:16]}"
        return prepare(self.stored, name, [(file.name, file) for file in files])

    def stored_file(self, kind: str, size: int) -> Path:
        """The manifest of an original file. One that is larger than those of other rows is removed as soon as it is stored."""
        path = self.sources / file_name(kind, size)
        target = self.stored / f"{path.name}.json"
        if not target.exists():
            self.manifest(self.file(kind, size))
            if size > self.sizes.big:
                path.unlink()
        return target

    def discard(self, kind: str, size: int) -> None:
        """Remove an original file and what was stored of it, if no other row needs it."""
        if size > self.sizes.big:
            path = self.sources / file_name(kind, size)
            path.unlink(missing_ok=True)
            discard(self.stored / f"{path.name}.json")

    def setup(self, *manifests: Path, latency: float = 0, known: tuple[Path, ...] = ()) -> dict[str, Any]:
        """The lean server with some content in the repository, and a small file to warm up with."""
        warm = prepare(self.stored, "warm", [(WARM_FILE, self.file("random", 64 * 1024, 77))])
        repos = {REPO: [str(path) for path in manifests], WARM_REPO: [str(warm)]}
        return {"repos": repos, "known": [str(path) for path in known], "latency": latency}


@dataclass(frozen=True)
class Case:
    """A row ready to run.

    Attributes
    ----------
    content:
        Bytes that the job moves, for the CPU seconds per GiB.
    sources:
        Files to be read once before.
    """

    ours: Side
    theirs: Side
    limit: Side | None
    content: int
    sources: tuple[Path, ...] = ()


def _sides(
    bench: Bench, job: dict[str, Any], setup: dict[str, Any], peer_action: str | None = None, *, far: bool = False
) -> tuple[Side, Side]:
    """The same job for both sides, on the lean server."""
    peer = job | {"action": peer_action} if peer_action else job
    server = bench.far if far else bench.lean
    return Side(job | {"side": "pyxet"}, server, setup), Side(peer | {"side": "peer"}, server, setup)


def _limit(bench: Bench, **job: Any) -> Side:
    """The stages of a transfer, which `limits` measures; the server takes no part."""
    return Side(job | {"side": "limits", "warm": "", "repo": REPO}, bench.lean)


def size_text(size: int) -> str:
    """A size in bytes as readable text."""
    for unit, name in ((1024 * MIB, "GiB"), (MIB, "MiB"), (1024, "KiB")):
        if size >= unit:
            return f"{size / unit:.3g} {name}"
    return f"{size} B"


# -- uploads -----------------------------------------------------------------------------------------------------------


def upload_job(paths: list[Path]) -> dict[str, Any]:
    """Upload some files in one commit."""
    return {"action": "upload", "warm": "upload", "repo": REPO, "paths": [str(p) for p in paths]}


def _limit_up(bench: Bench, *paths: Path, new: bool = True) -> Side:
    return _limit(bench, action="up", paths=[str(path) for path in paths], new=new)


def upload(kind: str, *, far: bool = False) -> Callable[[Bench], AbstractContextManager[Case]]:
    @contextmanager
    def case(bench: Bench) -> Iterator[Case]:
        path = bench.file(kind, bench.sizes.big)
        sides = _sides(bench, upload_job([path]), bench.setup(), far=far)
        yield Case(*sides, None if far else _limit_up(bench, path), content=bench.sizes.big, sources=(path,))

    return case


def upload_several(kind: str) -> Callable[[Bench], AbstractContextManager[Case]]:
    @contextmanager
    def case(bench: Bench) -> Iterator[Case]:
        paths = [bench.file(kind, bench.sizes.part, seed) for seed in range(11, 15)]
        sides = _sides(bench, upload_job(paths), bench.setup())
        yield Case(*sides, _limit_up(bench, *paths), content=4 * bench.sizes.part, sources=tuple(paths))

    return case


@contextmanager
def upload_folder(bench: Bench) -> Iterator[Case]:
    folder = make_small_files(bench.sources, bench.sizes.folder, SMALL)
    job = {"action": "upload_folder", "warm": "upload", "repo": REPO, "folder": str(folder)}
    ours, theirs = (Side(job | {"side": side}, bench.fresh_local) for side in ("pyxet", "peer"))
    limit = _limit_up(bench, *sorted(path for path in folder.rglob("*.bin")))
    yield Case(ours, theirs, limit, content=bench.sizes.folder * SMALL, sources=(folder,))


@contextmanager
def upload_again(bench: Bench) -> Iterator[Case]:
    path = bench.file("random", bench.sizes.big)
    sides = _sides(bench, upload_job([path]), bench.setup(known=(bench.manifest(path),)))
    yield Case(*sides, _limit_up(bench, path, new=False), content=bench.sizes.big, sources=(path,))


@contextmanager
def upload_inserted(bench: Bench) -> Iterator[Case]:
    original = bench.file("random", bench.sizes.big)
    path = make_inserted(bench.sources, original, MIB)
    sides = _sides(bench, upload_job([path]), bench.setup(known=(bench.manifest(original),)))
    yield Case(*sides, _limit_up(bench, path, new=False), content=bench.sizes.big + MIB, sources=(path,))


# -- downloads and reads -----------------------------------------------------------------------------------------------


def download_job(path: Path, action: str = "download", size: int | None = None) -> dict[str, Any]:
    """The job of downloading or reading one file. ``size`` is needed if the original was removed already."""
    size = path.stat().st_size if size is None else size
    return {"action": action, "warm": "download", "repo": REPO, "path": path.name, "size": size}


def xorb_files(manifest: Path) -> tuple[Path, ...]:
    """The xorb files of a manifest, which the server sends."""
    return tuple(manifest.parent / "xorbs" / name for name in load(manifest).xorbs)


_INTO = {"download": "file", "read": "memory", "stream": ""}


def download(
    kind: str, action: str = "download", *, far: bool = False
) -> Callable[[Bench], AbstractContextManager[Case]]:
    @contextmanager
    def case(bench: Bench) -> Iterator[Case]:
        path = bench.file(kind, bench.sizes.big)
        manifest = bench.manifest(path)
        sides = _sides(bench, download_job(path, action), bench.setup(manifest), far=far)
        limit = None if far else _limit(bench, action="down", manifest=str(manifest), into=_INTO[action])
        yield Case(*sides, limit, content=bench.sizes.big, sources=xorb_files(manifest))

    return case


def ranges(
    peer_action: str, action: str = "ranges", *, far: bool = False
) -> Callable[[Bench], AbstractContextManager[Case]]:
    @contextmanager
    def case(bench: Bench) -> Iterator[Case]:
        sizes = bench.sizes
        files = [bench.file("random", sizes.range_file, seed) for seed in range(21, 21 + sizes.range_files)]
        manifest = bench.manifest(*files)
        source = random.Random(3)
        ranges = []
        for _ in range(sizes.ranges):
            start = source.randrange(sizes.range_file - 64 * 1024)
            ranges.append((source.choice(files).name, start, start + 64 * 1024))
        job = {"action": action, "warm": "", "repo": REPO, "ranges": ranges}
        setup = bench.setup(manifest, latency=0 if far else _LATENCY)
        yield Case(
            *_sides(bench, job, setup, peer_action, far=far),
            None,
            content=sizes.ranges * 64 * 1024,
            sources=(*xorb_files(manifest), *files),
        )

    return case


@contextmanager
def sparse(bench: Bench) -> Iterator[Case]:
    sizes = bench.sizes
    file = bench.file("random", sizes.sparse_file)
    manifest = bench.manifest(file)
    step = sizes.sparse_file // sizes.sparse
    ranges = [(file.name, number * step, number * step + 100) for number in range(sizes.sparse)]
    job = {"action": "ranges", "warm": "", "repo": REPO, "ranges": ranges}
    yield Case(
        *_sides(bench, job, bench.setup(manifest)),
        None,
        content=sizes.sparse * 100,
        sources=(*xorb_files(manifest), file),
    )


def _table(bench: Bench, extra: int = 0) -> tuple[Path, Path]:
    path = make_parquet(bench.sources, 50, bench.sizes.table_rows + extra)
    return path, bench.manifest(path)


@contextmanager
def parquet(bench: Bench) -> Iterator[Case]:
    path, manifest = _table(bench)
    job = {
        "action": "parquet", "warm": "pandas", "repo": REPO, "path": path.name, "columns": ["c7", "c31"],
        "rows": bench.sizes.table_rows,
    }  # fmt: skip
    sides = _sides(bench, job, bench.setup(manifest, latency=_LATENCY))
    yield Case(*sides, None, content=path.stat().st_size * 2 // 50, sources=(*xorb_files(manifest), path))


@contextmanager
def footer(bench: Bench) -> Iterator[Case]:
    (path, manifest), second = _table(bench), make_parquet(bench.sources, 50, 2000)
    other = bench.manifest(second)
    job = {"action": "footers", "warm": "pandas", "repo": REPO, "paths": [path.name, second.name]}
    sides = _sides(bench, job, bench.setup(manifest, other, latency=_LATENCY))
    yield Case(*sides, None, content=0)


@contextmanager
def first_table(bench: Bench) -> Iterator[Case]:
    """The first read of a process that has only imported what it needs."""
    path = bench.file("csv", 100 * 1024)
    manifest = bench.manifest(path)
    job = {"action": "csv", "warm": "imports", "repo": REPO, "path": path.name, "size": path.stat().st_size}
    setup = bench.setup(manifest) | {"together": serving.LATENCY_AFAR / 2}
    yield Case(*_sides(bench, job, setup, far=True), None, content=0, sources=xorb_files(manifest))


def lines(peer_action: str) -> Callable[[Bench], AbstractContextManager[Case]]:
    """The lines of an open file, beside another way to get them."""

    @contextmanager
    def case(bench: Bench) -> Iterator[Case]:
        path = bench.file("csv", bench.sizes.part)
        manifest = bench.manifest(path)
        job = download_job(path, "lines") | {"side": "pyxet"}
        theirs = Side(job | {"action": peer_action, "local": str(path)}, bench.lean, bench.setup(manifest))
        ours = Side(job, bench.lean, bench.setup(manifest))
        yield Case(ours, theirs, None, content=bench.sizes.part, sources=(*xorb_files(manifest), path))

    return case


@contextmanager
def read_many(bench: Bench) -> Iterator[Case]:
    folder = make_small_files(bench.sources, bench.sizes.small_reads, SMALL)
    files = sorted(path for path in folder.rglob("*.bin"))
    manifest = prepare(bench.stored, f"small-{len(files)}", [(f"small/{path.name}", path) for path in files])
    job = {
        "action": "read_many", "warm": "", "repo": REPO, "paths": [f"small/{path.name}" for path in files],
        "size": SMALL,
    }  # fmt: skip
    sides = _sides(bench, job, bench.setup(manifest, latency=_LATENCY))
    yield Case(*sides, None, content=len(files) * SMALL, sources=(*xorb_files(manifest), folder))


# -- the local endpoint ------------------------------------------------------------------------------------------------


def name_many(bench: Bench, server: Server, count: int, name: Callable[[int], str]) -> None:
    """Commit a hundred contents under many names to the local endpoint."""
    folder = make_small_files(bench.sources, 100, SMALL)
    files = sorted(folder.rglob("*.bin"))
    manifest = prepare(bench.stored, "find", [(path.name, path) for path in files])
    stored = load(manifest).files
    lines: list[dict[str, Any]] = [{"key": "header", "value": {"summary": "many", "description": ""}}]
    for number in range(count):
        file = stored[number % len(stored)]
        value = {"path": name(number), "algo": "sha256", "oid": file.sha256, "size": file.size}
        lines.append({"key": "lfsFile", "value": value})
    server.fill(REPO, manifest)
    server.commit(REPO, lines)


def in_folders(number: int) -> str:
    """A name in a tree of a thousand files in each folder."""
    return f"d{number // 1000:03}/{number:06}.bin"


@contextmanager
def find(bench: Bench) -> Iterator[Case]:
    """A hundred contents under many names, a thousand in a folder."""
    with bench.fresh_local() as server:
        name_many(bench, server, bench.sizes.find, in_folders)
        # One more than the files: a new repository has .gitattributes.
        job = {"action": "find", "warm": "", "repo": REPO, "count": bench.sizes.find + 1}
        ours, theirs = (Side(job | {"side": side}, lambda: nullcontext(server)) for side in ("pyxet", "peer"))
        yield Case(ours, theirs, None, content=0)


@contextmanager
def ingest(bench: Bench) -> Iterator[Case]:
    manifest = bench.manifest(bench.file("random", bench.sizes.big))
    paths = xorb_files(manifest)
    job = {
        "side": "bare", "action": "post_xorbs", "warm": "", "repo": REPO, "paths": [str(path) for path in paths]
    }  # fmt: skip
    theirs = Side(job, lambda: serving.sink(bench.data))
    yield Case(Side(job, bench.fresh_local), theirs, None, sum(path.stat().st_size for path in paths), paths)


@contextmanager
def endpoint_ranges(bench: Bench) -> Iterator[Case]:
    """Short ranges of one large file, many at once; beside a bare pair that moves as many bytes with half the requests."""
    sizes = bench.sizes
    path = bench.file("random", sizes.sparse_file)
    manifest = bench.manifest(path)
    source = random.Random(7)
    starts = [source.randrange(sizes.sparse_file - _SHORT) for _ in range(2 * sizes.ranges)]
    job = {
        "action": "serve", "warm": "", "repo": REPO, "ranges": [(path.name, start, start + _SHORT) for start in starts],
        "tasks": 200, "side": "pyxet",
    }  # fmt: skip
    xorb = next(iter(load(manifest).xorbs))
    peer = job | {"side": "bare", "action": "get_short", "xorb": xorb, "size": _SHORT}
    with bench.fresh_local() as server:
        server.fill(REPO, manifest)
        [file] = load(manifest).files
        header = {"key": "header", "value": {"summary": "a file", "description": ""}}
        value = {"path": path.name, "algo": "sha256", "oid": file.sha256, "size": file.size}
        server.commit(REPO, [header, {"key": "lfsFile", "value": value}])
        ours, theirs = Side(job, lambda: nullcontext(server)), Side(peer, bench.lean, bench.setup(manifest))
        yield Case(ours, theirs, None, len(starts) * _SHORT, (path,))


@contextmanager
def start(bench: Bench) -> Iterator[Case]:
    """Fresh interpreters, one after the other."""
    sides = (("pyxet", "import pyxet; pyxet.XetFS()"), ("peer", "import fsspec, aiohttp"))
    ours, theirs = (
        Side({"action": "start", "side": "bare", "warm": "start", "code": code, "times": STARTS}, bench.lean)
        for _, code in sides
    )
    yield Case(ours, theirs, None, content=0)


@contextmanager
def serve_xorbs(bench: Bench) -> Iterator[Case]:
    path = bench.file("random", bench.sizes.big)
    manifest = bench.manifest(path)
    hashes = {file.path: file.file_hash for file in load(manifest).files}
    job = download_job(path, "get_xorbs") | {"side": "bare", "hashes": hashes}
    paths = xorb_files(manifest)
    with bench.fresh_local() as server, serving.static_files(bench.stored / "xorbs") as url:
        server.fill(REPO, manifest)
        static = job | {"static": url, "xorbs": list(load(manifest).xorbs)}
        ours, theirs = Side(job, lambda: nullcontext(server)), Side(static, bench.lean, bench.setup(manifest))
        yield Case(ours, theirs, None, sum(path.stat().st_size for path in paths), paths)
