"""The rows of the table: what both sides do, against which server, and what is asked for."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import checks
import serving
from checks import Check
from datasets import KINDS, MIB, make_file, make_inserted, make_parquet, make_small_files
from pairing import Side
from prepare import load, prepare
from serving import Server
from worker import WARM_FILE, WARM_REPO

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
    growth: tuple[int, ...] = (256 * MIB, 1024 * MIB, 3072 * MIB)
    growth_files: tuple[int, ...] = (1000, 10_000, 50_000)


QUICK = Sizes(
    big=32 * MIB, part=8 * MIB, folder=200, range_file=2 * MIB, range_files=3, ranges=30, sparse_file=16 * MIB,
    sparse=20, table_rows=20_000, small_reads=60, find=2000, growth=(8 * MIB, 16 * MIB, 32 * MIB),
    growth_files=(50, 100, 200),
)  # fmt: skip
SMALL = 10 * 1024


@dataclass
class Bench:
    """What rows share: sizes, the folder with the content, servers that stay up, and the number of pairs."""

    sizes: Sizes
    data: Path
    pairs: int
    stack: ExitStack
    tell: Callable[[str], object] = print
    _lean: Server | None = None

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

    def fresh_local(self) -> AbstractContextManager[Server]:
        """The local endpoint with nothing in it."""
        return serving.fresh_local(self.data, REPO.partition("/")[2], WARM_REPO.partition("/")[2])

    def file(self, kind: str, size: int, seed: int = 1) -> Path:
        """An original file."""
        return make_file(self.sources, kind, size, seed)

    def manifest(self, *files: Path) -> Path:
        """The manifest of original files, each of which gets its own name as its path."""
        names = "+".join(file.name for file in files)
        name = names if len(files) < 3 else f"{len(files)}-{hashlib.sha256(names.encode()).hexdigest()[:16]}"
        return prepare(self.stored, name, [(file.name, file) for file in files])

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
    ceiling: Side | None
    content: int
    sources: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Row:
    """A line of the table."""

    name: str
    title: Callable[[Sizes], str]
    peer: str
    asked: tuple[Check, ...]
    case: Callable[[Bench], AbstractContextManager[Case]]
    # What the ceiling's loop does, and how many pairs are enough where one is as good as five.
    bare: str = ""
    most_pairs: int = 1000
    # Of one file that is in Xet, so no byte may come through /resolve.
    reads: bool = field(default=False)


def _sides(bench: Bench, job: dict[str, Any], setup: dict[str, Any], peer_action: str | None = None) -> dict[str, Side]:
    """The same job for both sides and the ceiling, on the lean server."""
    peer = job | {"action": peer_action} if peer_action else job
    return {
        "ours": Side(job | {"side": "pyxet"}, bench.lean, setup),
        "theirs": Side(peer | {"side": "peer"}, bench.lean, setup),
        "ceiling": Side(job | {"side": "bare"}, bench.lean, setup),
    }


def _hashes(*manifests: Path) -> dict[str, str]:
    return {file.path: file.file_hash for manifest in manifests for file in load(manifest).files}


def size_text(size: int) -> str:
    """Bytes for people."""
    for unit, name in ((1024 * MIB, "GiB"), (MIB, "MiB"), (1024, "KiB")):
        if size >= unit:
            return f"{size / unit:.3g} {name}"
    return f"{size} B"


# -- uploads -----------------------------------------------------------------------------------------------------------


def upload_job(paths: list[Path], kind: str) -> dict[str, Any]:
    """Upload some files in one commit."""
    compress = kind != "random"
    return {"action": "upload", "warm": "upload", "repo": REPO, "paths": [str(p) for p in paths], "compress": compress}


def _upload(kind: str) -> Callable[[Bench], AbstractContextManager[Case]]:
    @contextmanager
    def case(bench: Bench) -> Iterator[Case]:
        path = bench.file(kind, bench.sizes.big)
        yield Case(
            **_sides(bench, upload_job([path], kind), bench.setup()), content=bench.sizes.big, sources=(path,)
        )  # fmt: skip

    return case


def _upload_several(kind: str) -> Callable[[Bench], AbstractContextManager[Case]]:
    @contextmanager
    def case(bench: Bench) -> Iterator[Case]:
        paths = [bench.file(kind, bench.sizes.part, seed) for seed in range(11, 15)]
        sides = _sides(bench, upload_job(paths, kind), bench.setup())
        yield Case(**sides, content=4 * bench.sizes.part, sources=tuple(paths))

    return case


@contextmanager
def _upload_folder(bench: Bench) -> Iterator[Case]:
    folder = make_small_files(bench.sources, bench.sizes.folder, SMALL)
    job = {"action": "upload_folder", "warm": "upload", "repo": REPO, "folder": str(folder)}
    sides = {
        name: Side(job | {"side": side}, bench.fresh_local)
        for name, side in (("ours", "pyxet"), ("theirs", "peer"), ("ceiling", "bare"))
    }
    yield Case(**sides, content=bench.sizes.folder * SMALL, sources=(folder,))


@contextmanager
def _upload_again(bench: Bench) -> Iterator[Case]:
    path = bench.file("random", bench.sizes.big)
    sides = _sides(bench, upload_job([path], "random"), bench.setup(known=(bench.manifest(path),)))
    yield Case(**sides | {"ceiling": None}, content=bench.sizes.big, sources=(path,))


@contextmanager
def _upload_inserted(bench: Bench) -> Iterator[Case]:
    original = bench.file("random", bench.sizes.big)
    path = make_inserted(bench.sources, original, MIB)
    sides = _sides(bench, upload_job([path], "random"), bench.setup(known=(bench.manifest(original),)))
    yield Case(**sides | {"ceiling": None}, content=bench.sizes.big + MIB, sources=(path,))


# -- downloads and reads -----------------------------------------------------------------------------------------------


def download_job(path: Path, manifest: Path, action: str = "download") -> dict[str, Any]:
    """Download or read one file."""
    return {
        "action": action, "warm": "download", "repo": REPO, "path": path.name, "size": path.stat().st_size,
        "hashes": _hashes(manifest),
    }  # fmt: skip


def xorb_files(manifest: Path) -> tuple[Path, ...]:
    """What the server sends of a manifest."""
    return tuple(manifest.parent / "xorbs" / name for name in load(manifest).xorbs)


def _download(kind: str, action: str = "download") -> Callable[[Bench], AbstractContextManager[Case]]:
    @contextmanager
    def case(bench: Bench) -> Iterator[Case]:
        path = bench.file(kind, bench.sizes.big)
        manifest = bench.manifest(path)
        sides = _sides(bench, download_job(path, manifest, action), bench.setup(manifest))
        yield Case(**sides, content=bench.sizes.big, sources=xorb_files(manifest))

    return case


def _ranges(peer_action: str) -> Callable[[Bench], AbstractContextManager[Case]]:
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
        job = {"action": "ranges", "warm": "", "repo": REPO, "ranges": ranges, "hashes": _hashes(manifest)}
        sides = _sides(bench, job, bench.setup(manifest, latency=_LATENCY), peer_action)
        yield Case(**sides, content=sizes.ranges * 64 * 1024, sources=(*xorb_files(manifest), *files))

    return case


@contextmanager
def _sparse(bench: Bench) -> Iterator[Case]:
    sizes = bench.sizes
    file = bench.file("random", sizes.sparse_file)
    manifest = bench.manifest(file)
    step = sizes.sparse_file // sizes.sparse
    ranges = [(file.name, number * step, number * step + 100) for number in range(sizes.sparse)]
    job = {"action": "ranges", "warm": "", "repo": REPO, "ranges": ranges, "hashes": _hashes(manifest)}
    sides = _sides(bench, job, bench.setup(manifest))
    yield Case(**sides, content=sizes.sparse * 100, sources=(*xorb_files(manifest), file))


def _table(bench: Bench, extra: int = 0) -> tuple[Path, Path]:
    path = make_parquet(bench.sources, 50, bench.sizes.table_rows + extra)
    return path, bench.manifest(path)


@contextmanager
def _parquet(bench: Bench) -> Iterator[Case]:
    path, manifest = _table(bench)
    job = {
        "action": "parquet", "warm": "pandas", "repo": REPO, "path": path.name, "columns": ["c7", "c31"],
        "rows": bench.sizes.table_rows, "local": str(path),
    }  # fmt: skip
    sides = _sides(bench, job, bench.setup(manifest, latency=_LATENCY))
    yield Case(**sides, content=path.stat().st_size * 2 // 50, sources=(*xorb_files(manifest), path))


@contextmanager
def _footer(bench: Bench) -> Iterator[Case]:
    (path, manifest), second = _table(bench), make_parquet(bench.sources, 50, 2000)
    other = bench.manifest(second)
    job = {"action": "footers", "warm": "pandas", "repo": REPO, "paths": [path.name, second.name]}
    sides = _sides(bench, job, bench.setup(manifest, other, latency=_LATENCY))
    yield Case(**sides | {"ceiling": None}, content=0)


@contextmanager
def _read_many(bench: Bench) -> Iterator[Case]:
    folder = make_small_files(bench.sources, bench.sizes.small_reads, SMALL)
    files = sorted(path for path in folder.rglob("*.bin"))
    manifest = prepare(bench.stored, f"small-{len(files)}", [(f"small/{path.name}", path) for path in files])
    job = {
        "action": "read_many", "warm": "", "repo": REPO, "paths": [f"small/{path.name}" for path in files],
        "size": SMALL, "hashes": _hashes(manifest),
    }  # fmt: skip
    sides = _sides(bench, job, bench.setup(manifest, latency=_LATENCY))
    yield Case(**sides, content=len(files) * SMALL, sources=(*xorb_files(manifest), folder))


# -- the local endpoint ------------------------------------------------------------------------------------------------


@contextmanager
def _find(bench: Bench) -> Iterator[Case]:
    """A hundred contents under many names, a thousand in a folder."""
    folder = make_small_files(bench.sources, 100, SMALL)
    files = sorted(folder.rglob("*.bin"))
    manifest = prepare(bench.stored, "find", [(path.name, path) for path in files])
    stored = load(manifest).files
    lines: list[dict[str, Any]] = [{"key": "header", "value": {"summary": "many", "description": ""}}]
    for number in range(bench.sizes.find):
        file = stored[number % len(stored)]
        path = f"d{number // 1000:03}/{number:06}.bin"
        lines.append(
            {"key": "lfsFile", "value": {"path": path, "algo": "sha256", "oid": file.sha256, "size": file.size}}
        )
    with bench.fresh_local() as server:
        server.fill(REPO, manifest)
        server.commit(REPO, lines)
        job = {"action": "find", "warm": "", "repo": REPO, "count": bench.sizes.find}
        sides = {
            name: Side(job | {"side": side}, lambda: nullcontext(server))
            for name, side in (("ours", "pyxet"), ("theirs", "peer"), ("ceiling", "bare"))
        }
        yield Case(**sides, content=0)


@contextmanager
def _ingest(bench: Bench) -> Iterator[Case]:
    manifest = bench.manifest(bench.file("random", bench.sizes.big))
    paths = xorb_files(manifest)
    job = {
        "side": "bare", "action": "post_xorbs", "warm": "", "repo": REPO, "paths": [str(path) for path in paths]
    }  # fmt: skip
    theirs = Side(job, bench.lean, bench.setup())
    yield Case(Side(job, bench.fresh_local), theirs, None, sum(path.stat().st_size for path in paths), paths)


@contextmanager
def _serve_xorbs(bench: Bench) -> Iterator[Case]:
    path = bench.file("random", bench.sizes.big)
    manifest = bench.manifest(path)
    job = download_job(path, manifest, "get_xorbs") | {"side": "bare"}
    paths = xorb_files(manifest)
    with bench.fresh_local() as server, serving.static_files(bench.stored / "xorbs") as url:
        server.fill(REPO, manifest)
        static = job | {"static": url, "xorbs": list(load(manifest).xorbs)}
        ours, theirs = Side(job, lambda: nullcontext(server)), Side(static, bench.lean, bench.setup(manifest))
        yield Case(ours, theirs, None, sum(path.stat().st_size for path in paths), paths)


# -- the table ---------------------------------------------------------------------------------------------------------

_UPLOAD_FLOORS = {"random": 1.8, "float32": 2.0, "bfloat16": 2.0, "csv": 2.0}
_DOWNLOAD_FLOORS = {"random": 1.3, "float32": 1.3, "bfloat16": 1.5, "csv": 1.5}
_BARE_UPLOAD = "read, chunk, BLAKE3, compress unless random, SHA-256, aiohttp send"
_BARE_DOWNLOAD = "aiohttp receive, decode, BLAKE3, write"

ROWS: tuple[Row, ...] = (
    *(
        Row(
            f"upload-{kind}",
            lambda sizes, kind=kind: f"upload one {size_text(sizes.big)} file: {kind}",  # type: ignore[misc]
            "hf_xet (create_commit)",
            (checks.faster(_UPLOAD_FLOORS[kind]), checks.memory(1.0)),
            _upload(kind),
            _BARE_UPLOAD,
        )
        for kind in KINDS
    ),
    *(
        Row(
            f"upload-4-{kind}",
            lambda sizes, kind=kind: f"upload 4 × {size_text(sizes.part)} at once: {kind}",  # type: ignore[misc]
            "hf_xet (create_commit)",
            (checks.faster(1.2),),
            _upload_several(kind),
            _BARE_UPLOAD,
        )
        for kind in ("random", "csv")
    ),
    Row(
        "upload-folder",
        lambda sizes: f"upload {sizes.folder:,} × {size_text(SMALL)} into one commit, server (a)",
        "HfApi.upload_folder",
        (checks.faster(3.0),),
        _upload_folder,
        "read, BLAKE3, SHA-256, xorbs, shard, commit",
    ),
    Row(
        "upload-again",
        lambda sizes: f"upload {size_text(sizes.big)} again, nothing new",
        "hf_xet (create_commit)",
        (checks.no_more_received(),),
        _upload_again,
    ),
    Row(
        "upload-inserted",
        lambda sizes: f"upload {size_text(sizes.big)} again with 1 MiB inserted in the middle",
        "hf_xet (create_commit)",
        (checks.faster(1.2),),
        _upload_inserted,
    ),
    *(
        Row(
            f"download-{kind}",
            lambda sizes, kind=kind: f"download {size_text(sizes.big)} to a file, verified: {kind}",  # type: ignore[misc]
            "hf_xet (hf_hub_download)",
            (checks.faster(_DOWNLOAD_FLOORS[kind]), checks.memory(0.2)),
            _download(kind),
            _BARE_DOWNLOAD,
            reads=True,
        )
        for kind in KINDS
    ),
    Row(
        "read-memory",
        lambda sizes: f"read {size_text(sizes.big)} of random bytes into memory in order, verified (cat_file)",
        "hf_xet's ordered stream, joined",
        (checks.faster(1.6),),
        _download("random", "read"),
        "aiohttp receive, decode, BLAKE3, keep",
        reads=True,
    ),
    Row(
        "read-stream",
        lambda sizes: f"stream {size_text(sizes.big)} of random bytes in order, 4 MiB reads of an open file, not kept",
        "hf_xet's ordered stream, not kept",
        (checks.faster(1.6),),
        _download("random", "stream"),
        "aiohttp receive, decode, BLAKE3, drop",
        reads=True,
    ),
    *(
        Row(
            name,
            lambda sizes: (
                f"{sizes.ranges:,} random 64 KiB ranges over {sizes.range_files} files of {size_text(sizes.range_file)}, "
                f"20 ms latency"
            ),
            peer,
            (checks.faster(floor), checks.bytes_asked(3.0)),
            _ranges(action),
            "a plan and a fetch for each range, 32 at once",
            reads=True,
        )
        for name, peer, floor, action in (
            ("ranges", "HfFileSystem.cat_ranges", 25.0, "ranges"),
            ("ranges-threads", "HfFileSystem.cat_file in 16 threads", 2.0, "ranges_threaded"),
        )
    ),
    Row(
        "sparse",
        lambda sizes: f"{sizes.sparse} ranges of 100 bytes spread over one {size_text(sizes.sparse_file)} file",
        "HfFileSystem.cat_ranges",
        (checks.fewer_bytes(40.0),),
        _sparse,
        "a plan and a fetch for each range, 32 at once",
        reads=True,
    ),
    Row(
        "parquet",
        lambda sizes: (
            f"pd.read_parquet of 2 of 50 columns of {size_text(sizes.table_rows * 50 * 8)}, {sizes.table_rows:,} rows, "
            f"20 ms latency"
        ),
        "pd.read_parquet of hf://",
        (checks.faster(2.0),),
        _parquet,
        "the local file, no network",
        reads=True,
    ),
    Row(
        "parquet-footer",
        lambda sizes: "requests for a Parquet footer: a first file, and a second one in the same process",
        "HfFileSystem",
        (checks.at_most("cold", 4, "requests"), checks.at_most("warm", 3, "requests")),
        _footer,
        most_pairs=1,
        reads=True,
    ),
    Row(
        "small-reads",
        lambda sizes: f"{sizes.small_reads:,} files of {size_text(SMALL)} read concurrently, 20 ms latency",
        "HfFileSystem in 32 threads",
        (checks.faster(3.0), checks.at_most("lag_p99", 0.02, "s of loop lag")),
        _read_many,
        "a plan and a fetch for each file, 32 at once",
        reads=True,
    ),
    Row(
        "find",
        lambda sizes: f"find over {sizes.find:,} files, server (a)",
        "HfFileSystem.find",
        (checks.faster(0.95), checks.no_more_requests()),
        _find,
        "aiohttp GET and json.loads of all pages",
    ),
    Row(
        "endpoint-ingest",
        lambda sizes: f"the local endpoint (a): POST of the xorbs of {size_text(sizes.big)}, 2 at once",
        "plain aiohttp sink",
        (checks.faster(0.5),),
        _ingest,
    ),
    Row(
        "endpoint-get",
        lambda sizes: f"the local endpoint (a): GET of the xorbs of {size_text(sizes.big)}, 2 at once",
        "nginx, static files" if serving.NGINX else "aiohttp FileResponse (sendfile)",
        (checks.faster(0.5),),
        _serve_xorbs,
    ),
)
