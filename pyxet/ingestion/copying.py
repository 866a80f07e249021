"""The task of a worker: reads the files of a batch from the source, and stages them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from fsspec import AbstractFileSystem

from pyxet._async.fs.staging import Stage
from pyxet._async.runtime.tasks import run_all, stopped
from pyxet.errors import XetURLError
from pyxet.fs import XetFS
from pyxet.ingestion.plan import Batch, SourceFile
from pyxet.reports import IngestFailure
from pyxet.types import FilePointer, RepoId
from pyxet.urls import XetURL

# Large files, and groups of small files, of a batch that are read at the same time. Their threads are not those that hash,
# because they wait for the network.
_AT_ONCE: Final = 4
# Files up to this size in bytes are read in groups, with at most this many files and bytes.
_SMALL: Final = 1024 * 1024
_GROUP_FILES: Final = 64
_GROUP_BYTES: Final = 8 * 1024 * 1024
# Bytes that are read from a larger file at once.
_PIECE: Final = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Copied:
    """The result of a batch: the files that are stored, with their pointers, and the files that could not be copied."""

    stored: tuple[tuple[SourceFile, FilePointer], ...]
    failures: tuple[IngestFailure, ...]


class _ReadError(Exception):
    """The source failed while it read a file. Only that file is reported as failed."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(cause)
        self.cause = cause


class Copier:
    """Copies batches. It is sent to the workers by pickle, and stages files in the process in which it is called.

    Parameters
    ----------
    source:
        The file system to read from.
    fs:
        The file system to write to.
    destination:
        The branch, or the folder in it, that the files go to.
    """

    def __init__(self, source: AbstractFileSystem, fs: XetFS, destination: XetURL) -> None:
        self._source = source
        self._fs = fs
        self._url = destination

    def __call__(self, batch: Batch) -> Copied:
        """Copy a batch, for a blocking caller. See `copy`."""
        return self._fs._block_on(self.copy, batch)

    async def copy(self, batch: Batch) -> Copied:
        """Copy a batch. If a batch is copied again after a worker died, nothing is stored twice.

        Raises
        ------
        XetError
            The destination failed. Failures of the source are in the result.
        """
        repo, branch = self._target()
        stage = await self._fs._new_stage(repo, branch)
        failures: list[IngestFailure] = []
        try:
            with _reader(_AT_ONCE) as readers:

                async def copy(files: Sequence[SourceFile]) -> None:
                    if _is_large(files[0]):
                        await self._copy_large(files[0], stage, failures)
                    else:
                        await self._copy_small(files, stage, readers, failures)

                await run_all(copy, self._groups(batch, failures), limit=_AT_ONCE)
            pointers = await stage.finish()
        finally:
            await stage.discard()
        places = ((file, self._place(file)) for file in batch.files)
        stored = tuple((file, pointers[place]) for file, place in places if place in pointers)
        return Copied(stored, tuple(failures))

    def _target(self) -> tuple[RepoId, str]:
        assert self._url.repo_id is not None
        assert self._url.revision is not None
        return self._url.repo_id, self._url.revision

    def _place(self, file: SourceFile) -> str:
        """The path of a file in the repository."""
        return f"{self._url.path}/{file.name}" if self._url.path else file.name

    def _groups(self, batch: Batch, failures: list[IngestFailure]) -> Iterator[list[SourceFile]]:
        """Each large file alone, and small files in groups. Files with impossible names are added to ``failures`` instead."""
        small: list[SourceFile] = []
        size = 0
        for file in batch.files:
            try:
                XetURL.parse(f"{self._url.branch_path}/{self._place(file)}")
            except XetURLError as error:
                failures.append(_failure(file, error))
                continue
            length = file.size
            if length is None or _is_large(file):
                yield [file]
                continue
            if small and (len(small) == _GROUP_FILES or size + length > _GROUP_BYTES):
                yield small
                small, size = [], 0
            small.append(file)
            size += length
        if small:
            yield small

    async def _copy_small(
        self, files: Sequence[SourceFile], stage: Stage, readers: ThreadPoolExecutor, failures: list[IngestFailure]
    ) -> None:
        paths, nothing = [file.path for file in files], [None] * len(files)

        def read() -> list[bytes | Exception]:
            found: list[bytes | Exception] = self._source.cat_ranges(paths, nothing, nothing, on_error="return")
            return found

        try:
            contents = await asyncio.get_running_loop().run_in_executor(readers, read)
        except Exception as error:  # noqa: BLE001  # any source, any error; it is reported
            contents = [error] * len(files)
        for file, content in zip(files, contents, strict=True):
            if isinstance(content, BaseException):
                failures.append(_failure(file, content))
            elif len(content) != file.size:
                failures.append(_failure(file, _changed(file, len(content))))
            else:
                await stage.add(self._place(file), content)

    async def _copy_large(self, file: SourceFile, stage: Stage, failures: list[IngestFailure]) -> None:
        try:
            await self._copy_pieces(file, stage)
        except _ReadError as error:
            failures.append(_failure(file, error.cause))

    async def _copy_pieces(self, file: SourceFile, stage: Stage) -> None:
        """Copy a file piece by piece. While one is stored, the next is read. Raises `_ReadError` if the source fails."""
        opened: list[Any] = []
        writer = stage.writer(self._place(file))
        # A thread of its own closes the file after the last read, even if this call is cancelled during a read.
        with _reader() as reader:

            async def ask(function: Callable[[], bytes | None]) -> bytes | None:
                try:
                    return await asyncio.get_running_loop().run_in_executor(reader, function)
                except Exception as error:
                    raise _ReadError(error) from error

            def read() -> bytes:
                data: bytes = opened[0].read(_PIECE)
                return data

            reading = asyncio.ensure_future(ask(lambda: opened.append(self._source.open(file.path, "rb"))))
            try:
                await reading
                reading = asyncio.ensure_future(ask(read))
                while piece := await reading:
                    reading = asyncio.ensure_future(ask(read))
                    await writer.write(piece)
                if file.size not in (None, writer.size):
                    raise _ReadError(_changed(file, writer.size))
                await writer.close()
            except BaseException:
                await writer.discard()
                raise
            finally:
                try:
                    await stopped(reading)
                finally:
                    reader.submit(lambda: [item.close() for item in opened])


@contextmanager
def _reader(threads: int = 1) -> Iterator[ThreadPoolExecutor]:
    """Threads that read from the source. They are not waited for at the end, because a source may hang."""
    reader = ThreadPoolExecutor(threads, thread_name_prefix="pyxet-source")
    try:
        yield reader
    finally:
        reader.shutdown(wait=False)


def _is_large(file: SourceFile) -> bool:
    return file.size is None or file.size > _SMALL


def _failure(file: SourceFile, error: BaseException) -> IngestFailure:
    # As text, because not all errors of other libraries can be pickled.
    return IngestFailure(file.name, f"{type(error).__name__}: {error}")


def _changed(file: SourceFile, size: int) -> OSError:
    return OSError(f"it changed while it was copied: {file.size:,} bytes were listed, {size:,} read")
