"""Local files and folders that content is downloaded into."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import IO, Any

from fsspec.callbacks import Callback
from fsspec.utils import stringify_path

from pyxet._async.runtime.threads import in_thread
from pyxet.errors import XetURLError
from pyxet.protocol.hashing import Buffer


async def pour(pieces: AsyncGenerator[Buffer, None], target: IO[bytes], callback: Callback) -> None:
    """Write pieces of content into a file, and count them."""
    async for piece in pieces:
        await in_thread(target.write, piece)
        callback.relative_update(len(piece))


def make_folder(path: Any) -> None:
    """Make a folder and those above it."""
    Path(stringify_path(path)).mkdir(parents=True, exist_ok=True)


def close(file: IO[bytes]) -> None:
    """Close a file."""
    file.close()


def create(path: Path) -> IO[bytes]:
    """Make a file that is not there yet, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("xb")


def check_inside(folder: Path, paths: Sequence[str]) -> None:
    """Refuse names of an endpoint that would lead out of the folder they are downloaded to."""
    top = Path(os.path.abspath(folder))
    for path in paths:
        if not Path(os.path.abspath(path)).is_relative_to(top):
            raise XetURLError(f"{path!r} would be written outside of {str(folder)!r}")
