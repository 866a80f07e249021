"""The rows of the table: who is compared with whom, and what is asked for."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

import cases
import checks
import serving
from cases import SMALL, Bench, Case, Sizes, size_text
from checks import Check
from datasets import KINDS


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


_UPLOAD_FLOORS = {"random": 1.8, "float32": 2.0, "bfloat16": 2.0, "csv": 2.0}
_DOWNLOAD_FLOORS = {"random": 1.3, "float32": 1.3, "bfloat16": 1.5, "csv": 1.5}
_BARE_UPLOAD = "read, chunk, BLAKE3, compress unless random, SHA-256, aiohttp send"
_BARE_DOWNLOAD = "aiohttp receive, decode, BLAKE3, write"

ROWS: tuple[Row, ...] = (
    *(
        Row(
            f"upload-{kind}",
            lambda sizes, kind=kind: f"upload one {size_text(sizes.big)} file: {kind}",  # type: ignore[misc]  # a default in a lambda
            "hf_xet (create_commit)",
            (checks.faster(_UPLOAD_FLOORS[kind]), checks.memory(1.0)),
            cases.upload(kind),
            _BARE_UPLOAD,
        )
        for kind in KINDS
    ),
    *(
        Row(
            f"upload-4-{kind}",
            lambda sizes, kind=kind: f"upload 4 × {size_text(sizes.part)} at once: {kind}",  # type: ignore[misc]  # a default in a lambda
            "hf_xet (create_commit)",
            (checks.faster(1.2),),
            cases.upload_several(kind),
            _BARE_UPLOAD,
        )
        for kind in ("random", "csv")
    ),
    Row(
        "upload-folder",
        lambda sizes: f"upload {sizes.folder:,} × {size_text(SMALL)} into one commit, server (a)",
        "HfApi.upload_folder",
        (checks.faster(3.0),),
        cases.upload_folder,
        "read, BLAKE3, SHA-256, xorbs, shard, commit",
    ),
    Row(
        "upload-again",
        lambda sizes: f"upload {size_text(sizes.big)} again, nothing new",
        "hf_xet (create_commit)",
        (checks.no_more_received(),),
        cases.upload_again,
    ),
    Row(
        "upload-inserted",
        lambda sizes: f"upload {size_text(sizes.big)} again with 1 MiB inserted in the middle",
        "hf_xet (create_commit)",
        (checks.faster(1.2),),
        cases.upload_inserted,
    ),
    *(
        Row(
            f"download-{kind}",
            lambda sizes, kind=kind: f"download {size_text(sizes.big)} to a file, verified: {kind}",  # type: ignore[misc]  # a default in a lambda
            "hf_xet (hf_hub_download)",
            (checks.faster(_DOWNLOAD_FLOORS[kind]), checks.memory(0.2)),
            cases.download(kind),
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
        cases.download("random", "read"),
        "aiohttp receive, decode, BLAKE3, keep",
        reads=True,
    ),
    Row(
        "read-stream",
        lambda sizes: f"stream {size_text(sizes.big)} of random bytes in order, 4 MiB reads of an open file, not kept",
        "hf_xet's ordered stream, not kept",
        (checks.faster(1.6),),
        cases.download("random", "stream"),
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
            cases.ranges(action),
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
        cases.sparse,
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
        cases.parquet,
        "the local file, no network",
        reads=True,
    ),
    Row(
        "parquet-footer",
        lambda sizes: "requests for a Parquet footer: a first file, and a second one in the same process",
        "HfFileSystem",
        (checks.at_most("cold", 4, "requests"), checks.at_most("warm", 3, "requests")),
        cases.footer,
        most_pairs=1,
        reads=True,
    ),
    Row(
        "small-reads",
        lambda sizes: f"{sizes.small_reads:,} files of {size_text(SMALL)} read concurrently, 20 ms latency",
        "HfFileSystem in 32 threads",
        (checks.faster(3.0), checks.at_most("lag_p99", 0.02, "s of loop lag")),
        cases.read_many,
        "a plan and a fetch for each file, 32 at once",
        reads=True,
    ),
    Row(
        "find",
        lambda sizes: f"find over {sizes.find:,} files, server (a)",
        "HfFileSystem.find",
        (checks.faster(0.95), checks.no_more_requests()),
        cases.find,
        "aiohttp GET and json.loads of all pages",
    ),
    Row(
        "endpoint-ingest",
        lambda sizes: f"the local endpoint (a): POST of the xorbs of {size_text(sizes.big)}, 2 at once",
        "plain aiohttp sink",
        (checks.faster(0.5),),
        cases.ingest,
    ),
    Row(
        "endpoint-get",
        lambda sizes: f"the local endpoint (a): GET of the xorbs of {size_text(sizes.big)}, 2 at once",
        "nginx, static files" if serving.NGINX else "aiohttp FileResponse (sendfile)",
        (checks.faster(0.5),),
        cases.serve_xorbs,
    ),
)
