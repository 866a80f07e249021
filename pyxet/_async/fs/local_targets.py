"""Local files and folders that content is downloaded into."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fsspec.callbacks import Callback
from fsspec.utils import stringify_path

from pyxet._async.runtime.streams import Stream, is_stream
from pyxet._async.runtime.tasks import finish, outlast
from pyxet._async.runtime.threads import in_thread
from pyxet._platform_files import reachable
from pyxet.errors import XetURLError
from pyxet.local_rules import LocalRules
from pyxet.protocol.hashing import Buffer


async def pour(pieces: AsyncGenerator[Buffer, None], target: Stream, callback: Callback) -> None:
    """Write pieces of content into a file, and report their sizes to the callback."""
    async for piece in pieces:
        await target.write(piece)
        callback.relative_update(len(piece))


def possible(rules: LocalRules, pairs: Sequence[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """Replace local paths by paths that can be written to; open files stay as they are. See `LocalRules.targets`."""
    named = [(source, stringify_path(target)) for source, target in pairs if not is_stream(target)]
    targets = iter(rules.targets(named))
    return [(source, target if is_stream(target) else reachable(next(targets))) for source, target in pairs]


def make_folder(path: Any) -> None:
    """Make a folder and those above it."""
    Path(stringify_path(path)).mkdir(parents=True, exist_ok=True)


@asynccontextmanager
async def created(path: Path) -> AsyncIterator[Stream]:
    """Make a new file, and the folders above it. It is closed at the end of the block, even if the block is cancelled."""
    import aiofiles

    await in_thread(make_folder, path.parent)
    opening = asyncio.ensure_future(aiofiles.open(path, "xb"))
    try:
        await outlast(opening)
        file = opening.result()
        yield Stream(file, asyncio.get_running_loop())
    finally:
        if not opening.cancelled() and opening.exception() is None:
            # If the block was cancelled, a thread may still be writing to the file: the file's lock makes `close` wait for it.
            await finish(opening.result().close())


def check_inside(folder: Path, paths: Sequence[str]) -> None:
    """Refuse names from an endpoint that would lead out of the folder that they are downloaded to."""
    top = Path(os.path.abspath(folder))
    for path in paths:
        if not Path(os.path.abspath(path)).is_relative_to(top):
            raise XetURLError(f"{path!r} would be written outside of {str(folder)!r}")
