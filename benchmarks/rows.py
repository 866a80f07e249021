"""The rows of the tables: who is compared with whom, and the requirements."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

import cases
import checks
import serving
from cases import SMALL, Bench, Case, Sizes, size_text
from checks import Check
from datasets import KINDS


@dataclass(frozen=True)
class Row:
    """A line of a table."""

    # The table it belongs to; see `report.TABLES`.
    table: str
    name: str
    title: Callable[[Sizes], str]
    peer: str
    asked: tuple[Check, ...]
    case: Callable[[Bench], AbstractContextManager[Case]]
    # The most pairs to run, for rows where more would add nothing.
    most_pairs: int = 1000
    # Whether it reads a file stored in Xet, so that no byte may come through /resolve.
    reads: bool = False


_UPLOAD_FLOORS = {"random": 1.5, "float32": 1.6, "bfloat16": 1.6, "csv": 1.65}
_SEVERAL_FLOORS = {"random": 1.15, "csv": 1.05}
_CREATE_COMMIT = "hf_xet (create_commit)"
_DOWNLOAD = "hf_xet (hf_hub_download)"


def _ranges_title(sizes: Sizes, more: str) -> str:
    return (
        f"{sizes.ranges:,} random 64 KiB ranges over {sizes.range_files} files of {size_text(sizes.range_file)}, {more}"
    )


ROWS: tuple[Row, ...] = (
    *(
        Row(
            "up",
            f"upload-{kind}",
            lambda sizes, kind=kind: f"{size_text(sizes.big)}, one file: {kind}",  # type: ignore[misc]  # a default in a lambda
            _CREATE_COMMIT,
            (checks.faster(_UPLOAD_FLOORS[kind]), checks.memory(1.0)),
            cases.upload(kind),
        )
        for kind in KINDS
    ),
    *(
        Row(
            "up",
            f"upload-4-{kind}",
            lambda sizes, kind=kind: f"4 × {size_text(sizes.part)} at once: {kind}",  # type: ignore[misc]  # a default in a lambda
            _CREATE_COMMIT,
            (checks.faster(floor), checks.memory(1.0)),
            cases.upload_several(kind),
        )
        for kind, floor in _SEVERAL_FLOORS.items()
    ),
    Row(
        "up",
        "upload-again",
        lambda sizes: f"{size_text(sizes.big)} again, nothing new",
        _CREATE_COMMIT,
        (checks.faster(1.1), checks.no_more_received()),
        cases.upload_again,
    ),
    Row(
        "up",
        "upload-inserted",
        lambda sizes: f"{size_text(sizes.big)} again with 1 MiB inserted in the middle",
        _CREATE_COMMIT,
        (checks.faster(1.1),),
        cases.upload_inserted,
    ),
    Row(
        "up",
        "upload-folder",
        lambda sizes: f"{sizes.folder:,} × {size_text(SMALL)} into one commit, local endpoint",
        "HfApi.upload_folder",
        (checks.faster(3.0),),
        cases.upload_folder,
    ),
    *(
        Row(
            "down",
            f"download-{kind}",
            lambda sizes, kind=kind: f"{size_text(sizes.big)} to a file, verified: {kind}",  # type: ignore[misc]  # a default in a lambda
            _DOWNLOAD,
            (checks.faster(2.0), checks.memory(0.2), *((checks.cpu(1.3),) if kind == "random" else ())),
            cases.download(kind),
            reads=True,
        )
        for kind in KINDS
    ),
    Row(
        "down",
        "read-memory",
        lambda sizes: f"{size_text(sizes.big)} of random bytes into memory in order, verified (cat_file)",
        "hf_xet's ordered stream, joined",
        (checks.faster(1.4),),
        cases.download("random", "read"),
        reads=True,
    ),
    Row(
        "down",
        "read-stream",
        lambda sizes: f"{size_text(sizes.big)} of random bytes in order, 4 MiB reads of an open file, not kept",
        "hf_xet's ordered stream, not kept",
        (checks.faster(1.35),),
        cases.download("random", "stream"),
        reads=True,
    ),
    Row(
        "small",
        "ranges",
        lambda sizes: _ranges_title(sizes, "20 ms latency"),
        "HfFileSystem.cat_ranges",
        (checks.faster(25.0), checks.bytes_asked(3.0)),
        cases.ranges("ranges"),
        reads=True,
    ),
    Row(
        "small",
        "ranges-threads",
        lambda sizes: _ranges_title(sizes, "20 ms latency"),
        "HfFileSystem.cat_file in 16 threads",
        (checks.faster(2.0), checks.bytes_asked(3.0)),
        cases.ranges("ranges_threaded"),
        reads=True,
    ),
    Row(
        "small",
        "service",
        lambda sizes: _ranges_title(sizes, "20 ms latency: 500 tasks that await _cat_file"),
        "HfFileSystem.cat_file in 64 threads",
        (checks.faster(2.0), checks.at_most("lag p99", 0.05, "s of loop lag"), checks.no_more("p99")),
        cases.ranges("serve", "serve"),
        reads=True,
    ),
    Row(
        "small",
        "blocking-threads",
        lambda sizes: _ranges_title(sizes, "20 ms latency: cat_file of XetFS in 32 threads"),
        "HfFileSystem.cat_file in 32 threads",
        (checks.faster(2.0),),
        cases.ranges("ranges_more_threaded", "ranges_threaded"),
        reads=True,
    ),
    Row(
        "small",
        "sparse",
        lambda sizes: f"{sizes.sparse} ranges of 100 bytes spread over one {size_text(sizes.sparse_file)} file",
        "HfFileSystem.cat_ranges",
        (checks.fewer_bytes(40.0),),
        cases.sparse,
        reads=True,
    ),
    Row(
        "small",
        "parquet",
        lambda sizes: (
            f"pd.read_parquet of 2 of 50 columns of {size_text(sizes.table_rows * 50 * 8)}, {sizes.table_rows:,} rows, "
            f"20 ms latency"
        ),
        "pd.read_parquet of hf://",
        (checks.faster(2.0),),
        cases.parquet,
        reads=True,
    ),
    Row(
        "small",
        "parquet-footer",
        lambda sizes: "requests for a Parquet footer: a first file, and a second one in the same process",
        "HfFileSystem",
        (checks.at_most("cold", 4, "requests"), checks.at_most("warm", 3, "requests")),
        cases.footer,
        most_pairs=1,
        reads=True,
    ),
    Row(
        "small",
        "small-reads",
        lambda sizes: f"{sizes.small_reads:,} files of {size_text(SMALL)} read concurrently, 20 ms latency",
        "HfFileSystem in 32 threads",
        (checks.faster(3.0), checks.at_most("lag p99", 0.02, "s of loop lag")),
        cases.read_many,
        reads=True,
    ),
    Row(
        "small",
        "find",
        lambda sizes: f"find over {sizes.find:,} files, local endpoint",
        "HfFileSystem.find",
        (checks.faster(0.95), checks.no_more_requests()),
        cases.find,
    ),
    Row(
        "small",
        "lines-text",
        lambda sizes: f"for line in fs.open(path, 'rb'): {size_text(sizes.part)} of csv",
        "the same of pyxet in mode 'r'",
        (checks.faster(0.9),),
        cases.lines("lines_of_text"),
        reads=True,
    ),
    Row(
        "small",
        "lines-local",
        lambda sizes: f"for line in fs.open(path, 'rb'): {size_text(sizes.part)} of csv",
        "a local file",
        (checks.faster(0.25),),
        cases.lines("local_lines"),
        reads=True,
    ),
    Row(
        "far",
        "far-up",
        lambda sizes: f"upload one {size_text(sizes.big)} file: random",
        _CREATE_COMMIT,
        (checks.faster(1.0),),
        cases.upload("random", far=True),
    ),
    Row(
        "far",
        "far-down",
        lambda sizes: f"download {size_text(sizes.big)} to a file, verified: random",
        _DOWNLOAD,
        (checks.faster(1.0),),
        cases.download("random", far=True),
        reads=True,
    ),
    Row(
        "far",
        "far-ranges",
        lambda sizes: _ranges_title(sizes, "cat_ranges"),
        "HfFileSystem.cat_ranges",
        (checks.faster(30.0),),
        cases.ranges("ranges", far=True),
        # The peer takes two minutes for each run, and the runs hardly differ.
        most_pairs=2,
        reads=True,
    ),
    Row(
        "far",
        "far-first-read",
        lambda sizes: "pd.read_csv of 100 KiB, the first request of a process",
        "pd.read_csv of hf://",
        (checks.faster(1.0), checks.at_most("round trips", 3, "round trips")),
        cases.first_table,
        reads=True,
    ),
    Row(
        "endpoint",
        "endpoint-ingest",
        lambda sizes: f"POST of the xorbs of {size_text(sizes.big)}, 2 at once, checked and synced",
        "aiohttp sink that writes and syncs the same bytes, and checks nothing",
        (checks.faster(0.8),),
        cases.ingest,
    ),
    Row(
        "endpoint",
        "endpoint-ranges",
        lambda sizes: f"{2 * sizes.ranges:,} ranges of 4 KiB of one {size_text(sizes.sparse_file)} file, 200 at once",
        "a bare aiohttp pair: GET of 4 KiB, 200 at once",
        (checks.at_least("a second", 700),),
        cases.endpoint_ranges,
        reads=True,
    ),
    Row(
        "endpoint",
        "import",
        lambda sizes: f"import pyxet; pyxet.XetFS(), {cases.STARTS} fresh interpreters",
        "import fsspec, aiohttp",
        (checks.at_most_more(0.1, cases.STARTS, "for each start"),),
        cases.start,
    ),
    Row(
        "endpoint",
        "endpoint-get",
        lambda sizes: f"GET of the xorbs of {size_text(sizes.big)}, 2 at once",
        "nginx, static files" if serving.NGINX else "aiohttp FileResponse (sendfile)",
        (checks.faster(0.5),),
        cases.serve_xorbs,
    ),
)
