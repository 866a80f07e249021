"""Downloads to a local file, which appears under its name complete or not at all.

Content goes to ``.<name>.<hash>.part`` beside the target, with a journal of the chunks that were verified. A download
that is cancelled or killed leaves both files; the next download of the same content checks them and goes on from there.
"""

from __future__ import annotations

import errno
import os
import stat
import struct
from collections.abc import Callable, Sequence
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Final

from pyxet._async.download import leftovers
from pyxet._async.download.reconstruct import Downloader, check_hash
from pyxet._async.download.verifier import HashMismatchError
from pyxet._async.download.windows import FileChunk
from pyxet._async.runtime.threads import surely, to_end
from pyxet._platform import lock_descriptor, read_at, write_vector
from pyxet._platform_files import MOVES_OPEN_FILES, closing, remove, replace
from pyxet.errors import FormatError, IntegrityError, NotSupportedError
from pyxet.protocol.constants import MAX_CHUNK
from pyxet.protocol.hashing import Buffer, FileHasher, Hash, chunk_hash
from pyxet.types import RemoteFile

_RECORD = struct.Struct("<32sI")
# Bytes and pieces that one call writes. Writing single chunks costs twice as much; from 1 MiB on, the page cache needs
# contiguous memory that is hard to find. Every system accepts at least 1,024 pieces.
_WRITE: Final = 512 * 1024
_VECTOR: Final = 1024
# Records that a worker thread checks in one job.
_BATCH: Final = 256


class _Part:
    """The unfinished file and its journal, locked for one download."""

    def __init__(self, target: Path, file: RemoteFile) -> None:
        check_target(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        self.target = target
        self._name = leftovers.prefix(target.name)
        self._at = 0
        self._good = 0
        value = file.xet_hash or file.sha256 or file.blob_id
        if self._open(target.with_name(f"{self._name}{value[:16]}.part")):
            return
        # Another download of the same content to the same target holds the file, or it is a link. Use a private file then;
        # of two downloads the last rename wins.
        if not self._open(target.with_name(leftovers.private_name(self._name, value)), new=True):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(self.path))

    def _open(self, path: Path, *, new: bool = False) -> bool:
        self.path = path
        self.journal = path.with_name(f"{path.name}.journal")
        while True:
            data = leftovers.open_part(path, new=new)
            if data is None:
                return False
            self._data = data
            try:
                if not lock_descriptor(self._data):
                    os.close(self._data)
                    return False
                if _same_file(self._data, path):
                    records = leftovers.open_part(self.journal, append=True)
                    if records is None:
                        os.close(self._data)
                        return False
                    self._records = records
                    return True
                # Its owner published or removed it before we had the lock, so we locked a file that is not the part any more.
                os.close(self._data)
            except BaseException:
                with suppress(OSError):
                    os.close(self._data)
                raise

    def close(self) -> None:
        os.close(self._data)
        os.close(self._records)

    def keep(self) -> None:
        """Close the files, and keep them for the next download of this content."""
        leftovers.note(self.target.parent, self._name, self.path)
        self.close()

    def records(self, first: int) -> list[tuple[Hash, int]]:
        """A batch of the journal's records, beginning with number ``first``; empty at the end."""
        journal = read_at(self._records, _BATCH * _RECORD.size, first * _RECORD.size)
        whole = len(journal) // _RECORD.size * _RECORD.size
        return list(_RECORD.iter_unpack(journal[:whole]))

    def check(self, records: Sequence[tuple[Hash, int]]) -> list[tuple[Hash, int]]:
        """Check the next records against the content. Returns those before the first whose chunk is missing or differs."""
        good = []
        for value, length in records:
            if not 0 < length <= MAX_CHUNK or chunk_hash(read_at(self._data, length, self._at)) != value:
                break
            good.append((value, length))
            self._at += length
        self._good += len(good)
        return good

    def cut(self) -> None:
        """Truncate both files after the last record that was checked.

        A file that is not longer is not truncated: Linux (ext4) assumes that a file truncated to zero is being replaced,
        and `close` then waits until all of its data is on its way to the disk.
        """
        for descriptor, size in ((self._data, self._at), (self._records, self._good * _RECORD.size)):
            if os.fstat(descriptor).st_size > size:
                os.ftruncate(descriptor, size)

    def append(self, chunks: Sequence[FileChunk]) -> None:
        """Write verified chunks, and then their records to the journal."""
        self.write([chunk.data for chunk in chunks])
        records = b"".join(_RECORD.pack(chunk.hash, len(chunk.data)) for chunk in chunks)
        _write_all(self._records, [records])

    def write(self, pieces: Sequence[Buffer]) -> None:
        """Append content."""
        os.lseek(self._data, self._at, os.SEEK_SET)
        _write_all(self._data, pieces)
        self._at += sum(map(len, pieces))

    def publish(self) -> None:
        """Rename the finished file to the target, and remove what unfinished downloads of that name left."""
        with closing(self._data, self._records):
            try:
                replace(self.path, self.target)
            except FileNotFoundError:
                # Windows renames only files that are closed, so the lock is gone before the rename. In between, another
                # download to this target was published and removed what it took for leftovers: its content replaces ours.
                if MOVES_OPEN_FILES or not self.target.exists():
                    raise
            remove(self.journal, missing_ok=True)
        leftovers.remove(self.target.parent, self._name)

    def remove(self) -> None:
        with closing(self._data, self._records):
            remove(self.path, missing_ok=True)
            remove(self.journal, missing_ok=True)


def _same_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except FileNotFoundError:
        return False


def _write_all(descriptor: int, pieces: Sequence[Buffer]) -> None:
    """Write pieces, several per call: the page cache stores a large write in units larger than a page."""
    waiting: list[Buffer] = []
    size = 0
    for piece in pieces:
        waiting.append(piece)
        size += len(piece)
        if size >= _WRITE or len(waiting) == _VECTOR:
            _write_vector(descriptor, waiting)
            waiting, size = [], 0
    if waiting:
        _write_vector(descriptor, waiting)


def _write_vector(descriptor: int, waiting: list[Buffer]) -> None:
    while waiting:
        written = write_vector(descriptor, waiting)
        while waiting and written >= len(waiting[0]):
            written -= len(waiting.pop(0))
        if written:
            waiting[0] = memoryview(waiting[0])[written:]


def check_target(target: Path) -> None:
    """Raise if a download could not create the target, or must not replace it: the rename would even replace a device.

    Raises
    ------
    IsADirectoryError
        The target is a folder.
    NotSupportedError
        The target is a device, a pipe or a socket, or a link to one, such as ``/dev/stdout``.
    OSError
        A name is too long.
    """
    leftovers.check_names(target)
    try:
        mode = target.stat().st_mode
    except OSError:
        # Either nothing is there, or creating the file will raise a better error.
        return
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(target))
    # If standard output is redirected, the link in /dev leads to a regular file, but must still not be replaced.
    if not stat.S_ISREG(mode) or (target.is_symlink() and target.parent.resolve() == Path("/dev")):
        raise NotSupportedError(
            f"{target} is not a regular file, and a download would replace it; read the content instead"
        )


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
        The content does not have the file's hash or length, or is malformed. Nothing of it is kept.
    OSError
        The file cannot be written (no space, no permission). Verified content is kept for the next try.
    """
    done = 0

    def count(amount: int) -> None:
        nonlocal done
        done += amount
        progress(amount)

    try:
        await _download(downloader, file, target, count)
    except HashMismatchError:
        progress(-done)
        await _download(downloader, file, target, progress)


async def _download(
    downloader: Downloader, file: RemoteFile, target: Path, progress: Callable[[int], object]
) -> None:  # fmt: skip
    part = await to_end(_Part, target, file, undo=_Part.close)
    try:
        if file.xet_hash is None:
            await _plain(downloader, file, part, progress)
        else:
            with downloader.invalidating_damage(file):
                await _chunked(downloader, file, part, progress)
    except (IntegrityError, FormatError):
        await surely(part.remove)
        raise
    except BaseException as error:
        # A file that is not in Xet has no journal of chunks, so its download cannot be resumed.
        await surely(part.remove if file.xet_hash is None else part.keep)
        _name(error, target)
        raise
    try:
        await surely(part.publish)
    except OSError as error:
        _name(error, target)
        raise


def _name(error: BaseException, target: Path) -> None:
    """Add the target's path to an `OSError` that names no file."""
    if isinstance(error, OSError) and error.filename is None and error.errno is not None:
        error.filename = str(target)


async def _chunked(
    downloader: Downloader, file: RemoteFile, part: _Part, progress: Callable[[int], object]
) -> None:  # fmt: skip
    hasher = FileHasher()
    start = 0
    count = 0
    while batch := await to_end(part.records, count):
        count += len(batch)
        good = await to_end(part.check, batch)
        hasher.update(good)
        start += sum(length for _, length in good)
        if len(good) < len(batch):
            break
    await to_end(part.cut)
    if start:
        progress(start)
    if start < file.size:
        async with aclosing(downloader.chunks(file, start, file.size, verify=True)) as runs:
            async for run in runs:
                await to_end(_take, part, hasher, run)
                progress(sum(len(chunk.data) for chunk in run))
    check_hash(file, hasher)


def _take(part: _Part, hasher: FileHasher, run: Sequence[FileChunk]) -> None:
    hasher.update([(chunk.hash, len(chunk.data)) for chunk in run])
    part.append(run)


async def _plain(
    downloader: Downloader, file: RemoteFile, part: _Part, progress: Callable[[int], object]
) -> None:  # fmt: skip
    await to_end(part.cut)
    async with aclosing(downloader.stream(file)) as pieces:
        async for piece in pieces:
            await to_end(part.write, [piece])
            progress(len(piece))
