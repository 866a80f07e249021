"""Distributed ingest: workers of dask or ray store the files, one driver commits them, and a second run has nothing to do.

    python -m pip install "pyxet[local,dask]" tqdm      # or pyxet[local,ray]
    python examples/distributed_ingest.py [--engine dask] [--files 2000] [SOURCE DESTINATION]

Without a source it makes a folder of its own, and a local endpoint to put it in. With both it copies what you say, from
wherever fsspec reads: ``s3://bucket/corpus xet://acme/corpus/main/raw``.
"""

from __future__ import annotations

import argparse
import os
import random
import tempfile
import time
from pathlib import Path
from typing import Literal

from fsspec.callbacks import TqdmCallback

import pyxet
from pyxet.testing import local_endpoint


def make_folder(folder: Path, files: int) -> None:
    """Records of a few kilobytes in sub-folders, and one large file for each five hundred of them."""
    source = random.Random(1)
    for number in range(files):
        path = folder / f"{number // 500:03}/{number:06}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(source.randbytes(5_000_000 if number % 500 == 0 else source.randrange(500, 4000)))


def copy(
    source: str, destination: str, engine: Literal["local", "dask", "ray"], journal: Path | None, fs: pyxet.XetFS | None
) -> None:
    started = time.perf_counter()
    try:
        report = pyxet.ingest(source, destination, engine=engine, fs=fs, journal=journal, callback=progress())
    except pyxet.IngestError as error:
        for failure in error.report.failures:
            print(f"{failure.path}: {failure.error}")
        raise SystemExit(str(error)) from error
    seconds = time.perf_counter() - started
    made = ", ".join(f"{commit.id[:10]} {commit.title!r}" for commit in report.commits) or "no commit, nothing changed"
    print(
        f"{report.files} files, {report.bytes / 1e6:.1f} MB in {seconds:.1f} s; {report.resumed_files} were stored before; "
        f"{report.stored_bytes / 1e6:.1f} MB stored, {report.saved_bytes / 1e6:.1f} MB saved; {made}"
    )


def progress() -> TqdmCallback:
    """A progress bar, shown if standard error is a terminal."""
    return TqdmCallback(tqdm_kwargs={"unit": "B", "unit_scale": True, "disable": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", nargs="?")
    parser.add_argument("destination", nargs="?")
    parser.add_argument("--engine", choices=["local", "dask", "ray"], default="dask")
    parser.add_argument("--files", type=int, default=2000)
    options = parser.parse_args()
    if options.source and not options.destination:
        parser.error("a source needs a destination: xet://owner/repo/branch/folder")
    if options.destination:
        copy(options.source, options.destination, options.engine, None, None)
        return
    with tempfile.TemporaryDirectory() as scratch, local_endpoint(user="acme") as endpoint:
        folder = Path(scratch) / "corpus"
        make_folder(folder, options.files)
        fs = pyxet.XetFS(endpoint=endpoint.url, token=endpoint.token)
        fs.make_repo("acme/corpus")
        for _ in range(2):
            copy(os.fspath(folder), "acme/corpus/main/raw", options.engine, Path(scratch) / "journal", fs)
        print(f"{len(fs.log('acme/corpus/main'))} commits, {len(fs.find('acme/corpus/main/raw'))} files in the branch")


# dask's and ray's workers are processes that may import this file.
if __name__ == "__main__":
    main()
