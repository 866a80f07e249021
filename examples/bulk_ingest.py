"""Bulk ingestion: thousands of small and some large files in one commit; then a second run, which sends nothing.

    python examples/bulk_ingest.py [--small 3000] [--large 4]

Content is uploaded while the folder is walked, with bounded memory and bounded fan-out; the commit comes at the end. A
second run of the same folder sends no content, because the endpoint knows it, and makes no commit, because nothing changed.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import tempfile
import time
from pathlib import Path

import pyxet
from pyxet.testing import local_endpoint

BRANCH = "acme/corpus/main"


def make_folder(folder: Path, small: int, large: int) -> int:
    """Files to ingest: small records in sub-folders and a few large blobs. Returns their bytes."""
    source = random.Random(1)
    total = 0
    for number in range(small):
        path = folder / f"records/{number // 500:03}/{number:06}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        total += path.write_bytes(source.randbytes(source.randrange(500, 4000)))
    for number in range(large):
        path = folder / f"blobs/{number}.bin"
        path.parent.mkdir(exist_ok=True)
        total += path.write_bytes(source.randbytes(8 * 1024 * 1024))
    return total


async def ingest(fs: pyxet.AsyncXetFileSystem, folder: Path, message: str) -> None:
    """One folder, one commit."""
    started = time.perf_counter()
    async with fs.transaction(message=message) as tr:
        await fs._put(f"{folder}/", f"{BRANCH}/up/", recursive=True)
    seconds = time.perf_counter() - started
    made = ", ".join(f"{commit.id[:10]} {commit.title!r}" for commit in tr.commits) or "no commit, nothing changed"
    print(f"{message}: {seconds:.1f} s, {made}")


async def main(small: int, large: int) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        total = make_folder(folder, small, large)
        print(f"{small + large} files, {total / 1e6:.1f} MB")
        async with local_endpoint() as endpoint:
            fs = pyxet.AsyncXetFileSystem(
                endpoint=endpoint.url, user=endpoint.user, token=endpoint.token, asynchronous=True
            )
            async with fs:
                await fs._make_repo("acme/corpus")
                await ingest(fs, folder, "First ingest")
                await ingest(fs, folder, "Second ingest")
                found = await fs._find(BRANCH + "/up")
                print(f"{len(found)} files in {BRANCH}, {len(await fs._log(BRANCH))} commits")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", type=int, default=3000)
    parser.add_argument("--large", type=int, default=4)
    arguments = parser.parse_args()
    asyncio.run(main(arguments.small, arguments.large))
