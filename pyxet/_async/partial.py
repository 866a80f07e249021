"""Downloads to a local file: whole under its name, or not there.

Content goes to ``.<name>.<hash>.part`` beside the target, with a journal of the chunks that were verified. A download
that is cancelled or killed leaves the two, and the next one of the same content checks them and goes on from there.
"""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Callable, Sequence
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Final

from pyxet._async.download import Downloader, FileChunk, check_hash
from pyxet._async.fanout import in_thread
from pyxet.errors import IntegrityError
from pyxet.protocol.hashing import Buffer, FileHasher, Hash, chunk_hash
from pyxet.types import RemoteFile

_RECORD = struct.Struct("<32sI")
_READ: Final = 8 * 1024 * 1024


class _Part:
    """The unfinished file and its journal, locked for one download."""

    def __init__(self, target: Path, file: RemoteFile) -> None:
        name = (file.xet_hash or file.sha256 or file.blob_id)[:16]
        target.parent.mkdir(parents=True, exist_ok=True)
        self.target = target
        self.path = target.with_name(f".{target.name}.{name}.part")
        self._open()
        try:
            fcntl.flock(self._data, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            # Another download of the same content to the same place: each has a file of its own, the last rename wins.
            self.close()
            self.path = target.with_name(f".{target.name}.{name}.{os.getpid()}-{id(self):x}.part")
            self._open()

    def _open(self) -> None:
        self.journal = self.path.with_name(f"{self.path.name}.journal")
        self._data = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        self._records = os.open(self.journal, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)

    def close(self) -> None:
        os.close(self._data)
        os.close(self._records)

    def resume(self) -> list[tuple[Hash, int]]:
        """The chunks that are there, checked again; what follows them is cut off."""
        chunks: list[tuple[Hash, int]] = []
        offset = 0
        journal = os.pread(self._records, os.fstat(self._records).st_size, 0)
        whole = len(journal) // _RECORD.size * _RECORD.size
        for value, length in _RECORD.iter_unpack(journal[:whole]):
            if chunk_hash(os.pread(self._data, length, offset)) != value:
                break
            chunks.append((value, length))
            offset += length
        os.ftruncate(self._data, offset)
        os.ftruncate(self._records, len(chunks) * _RECORD.size)
        return chunks

    def append(self, chunks: Sequence[FileChunk]) -> None:
        """Write verified chunks, and then say so in the journal."""
        offset = chunks[0].offset
        self.write([chunk.data for chunk in chunks], offset)
        records = b"".join(_RECORD.pack(chunk.hash, len(chunk.data)) for chunk in chunks)
        _write_all(self._records, [records])

    def write(self, pieces: Sequence[Buffer], offset: int) -> None:
        """Write content at an offset."""
        os.lseek(self._data, offset, os.SEEK_SET)
        _write_all(self._data, pieces)

    def truncate(self) -> None:
        os.ftruncate(self._data, 0)
        os.ftruncate(self._records, 0)

    def publish(self) -> None:
        """Give the content its name."""
        self.path.rename(self.target)
        self.journal.unlink(missing_ok=True)

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)
        self.journal.unlink(missing_ok=True)


def _write_all(descriptor: int, pieces: Sequence[Buffer]) -> None:
    with open(descriptor, "wb", buffering=0, closefd=False) as file:
        for piece in pieces:
            view = memoryview(piece)
            while view:
                view = view[file.write(view) :]


async def download_to(
    downloader: Downloader, file: RemoteFile, target: Path, progress: Callable[[int], object]
) -> None:  # fmt: skip
    """Download a file to a local path.

    Parameters
    ----------
    target:
        Path of the file, which is replaced; missing folders are made.
    progress:
        Called with the number of bytes each time some are written.

    Raises
    ------
    IntegrityError
        The content is not the file's; nothing of it stays.
    OSError
        It cannot be written (no space, no permission); what was verified stays for the next try.
    """
    part = await in_thread(_Part, target, file)
    try:
        if file.xet_hash is None:
            await _plain(downloader, file, part, progress)
        else:
            await _chunked(downloader, file, part, progress)
        await in_thread(part.publish)
    except IntegrityError:
        part.remove()
        raise
    except OSError as error:
        if error.filename is None and error.errno is not None:
            error.filename = str(target)
        raise
    finally:
        part.close()


async def _chunked(
    downloader: Downloader, file: RemoteFile, part: _Part, progress: Callable[[int], object]
) -> None:  # fmt: skip
    hasher = FileHasher()
    there = await in_thread(part.resume)
    hasher.update(there)
    start = sum(length for _, length in there)
    progress(start)
    if start < file.size:
        async with aclosing(downloader.chunks(file, start, file.size, verify=True)) as runs:
            async for run in runs:
                hasher.update((chunk.hash, len(chunk.data)) for chunk in run)
                await in_thread(part.append, run)
                progress(sum(len(chunk.data) for chunk in run))
    check_hash(file, hasher)


async def _plain(
    downloader: Downloader, file: RemoteFile, part: _Part, progress: Callable[[int], object]
) -> None:  # fmt: skip
    part.truncate()
    offset = 0
    try:
        async with aclosing(downloader.stream(file)) as pieces:
            async for piece in pieces:
                await in_thread(part.write, [piece], offset)
                offset += len(piece)
                progress(len(piece))
    except BaseException:
        # Without chunks there is nothing to check and to go on from.
        with suppress(OSError):
            part.remove()
        raise
