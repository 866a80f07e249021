"""Sources of the content of files to write: buffers, local files, and streams that callers give."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fsspec.callbacks import Callback
from fsspec.utils import stringify_path

from pyxet._async.changes.buffers import as_bytes
from pyxet._async.fs.calls import opened
from pyxet._async.fs.guarding import Place
from pyxet._async.runtime.streams import Stream, is_asynchronous, is_stream
from pyxet._platform_files import reachable


def source_given(given: Any) -> Path | Stream:
    """The source that a caller of ``put`` gave: an open file or asynchronous iterator, or else the name of a local file."""
    return opened(given) if is_stream(given) else Path(reachable(stringify_path(given)))


def content_given(value: Any) -> memoryview | Stream:
    """The source that a file is written from: the bytes of a buffer, or an asynchronous file or iterator."""
    return opened(value) if is_stream(value) and is_asynchronous(value) else as_bytes(value)


async def write_one(place: Place, content: memoryview | Stream) -> None:
    if isinstance(content, Stream):
        await place.changes.upload_object(place.path, content, lambda size: None, place.guard)
    else:
        await place.changes.write(place.path, content, place.guard)


async def put_one(place: Place, source: Path | Stream, callback: Callback) -> None:
    changes, progress = place.changes, callback.relative_update
    if isinstance(source, Path):
        await changes.upload(place.path, source, progress, place.guard, sized=callback.set_size)
        return
    await changes.upload_object(place.path, source, progress, place.guard)
