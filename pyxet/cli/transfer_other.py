"""Other file systems of fsspec (``s3://``, ``gs://``, ``memory://`` …) as one end of a transfer.

Worker threads call their blocking methods, since not all of them have asynchronous ones.
"""

from __future__ import annotations

import errno
import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, Final, TypeVar

import click

from pyxet._workers import Workers
from pyxet.cli.formats import seconds_of
from pyxet.cli.session import CommandError
from pyxet.cli.transfer_ends import Entry, Known, StreamEnd
from pyxet.patterns import has_magic

T = TypeVar("T")

# Files up to this size in bytes are read and written by one call; larger ones are read in pieces of this size.
_WHOLE: Final = 4 * 1024 * 1024
# Files in one page of a listing, and files that are deleted by one call.
_PAGE: Final = 500
# The names under which file systems report the time of the last change; the first one that is present is used.
_MODIFIED: Final = ("LastModified", "last_modified", "mtime", "modified", "updated", "created")


class OtherEnd(StreamEnd):
    """A path of another file system. Made by `other_end`."""

    kind = "other"

    def __init__(self, typed: str, path: str, fs: Any, threads: Workers) -> None:
        # In chained URLs such as zip://folder/::archive.zip, the slash at the end of the path is not the last character.
        super().__init__(path if path.endswith("/") else typed, path.rstrip("/") or path)
        self._fs = fs
        self._threads = threads

    def label(self, path: str) -> str:
        return str(self._fs.unstrip_protocol(path))

    async def kind_of(self, path: str) -> Known | None:
        try:
            info = await self._run(path, self._fs.info, path)
        except FileNotFoundError:
            return None
        return _kind(info)

    def missing(self, path: str) -> Exception:
        return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self.label(path))

    async def entry(self, path: str) -> Entry:
        return _entry(await self._run(path, self._fs.info, path), path.rpartition("/")[2])

    async def scan(self, path: str, *, dates: bool = False) -> AsyncIterator[list[Entry]]:
        pages = self._pages(path)
        while (page := await self._run(path, next, pages, None)) is not None:
            yield page

    async def glob(self, pattern: str) -> list[tuple[str, Known]]:
        found = await self._run(pattern, lambda: self._fs.glob(pattern, detail=True))
        return [(name, _kind(info)) for name, info in sorted(found.items())]

    async def pieces(self, entry: Entry) -> AsyncIterator[bytes]:
        path, size = entry.path, entry.size
        if size is not None and size <= _WHOLE:
            content = await self._run(path, self._fs.cat_file, path)
            _check_size(self.label(path), size, len(content))
            yield content
            return
        # Without fsspec's read cache: some file systems read fifty megabytes ahead for each open file.
        file = await self._run(path, lambda: self._fs.open(path, "rb", cache_type="none"))
        count = 0
        try:
            while piece := await self._run(path, file.read, _WHOLE):
                count += len(piece)
                yield piece
        finally:
            with suppress(Exception):
                await self._run(path, file.close)
        if size is not None:
            _check_size(self.label(path), size, count)

    async def write(self, path: str, entry: Entry, pieces: AsyncIterator[bytes]) -> None:
        if entry.size is not None and entry.size <= _WHOLE:
            content = b"".join([piece async for piece in pieces])
            await self._in_folder(path, lambda: self._fs.pipe_file(path, content))
            return
        file = await self._in_folder(path, lambda: self._fs.open(path, "wb", autocommit=False))
        try:
            async for piece in pieces:
                await self._run(path, file.write, piece)
        except BaseException:
            # Do not close the file: where files have no `commit`, that would publish the incomplete content.
            if hasattr(file, "discard"):
                with suppress(Exception):
                    await self._run(path, file.discard)
            raise
        await self._run(path, file.close)
        if hasattr(file, "commit"):
            await self._run(path, file.commit)

    async def delete(self, entries: Sequence[Entry]) -> None:
        paths = [entry.path for entry in entries]
        plain = [path for path in paths if not has_magic(path)]
        for at in range(0, len(plain), _PAGE):
            await self._run(self.path, self._fs.rm, plain[at : at + _PAGE])
        for path in paths:
            if has_magic(path):
                await self._run(path, self._fs.rm_file, path)

    async def _run(self, path: str, function: Callable[..., T], *arguments: Any) -> T:
        """Call a method in a worker thread. An `OSError` gets the path if it names none; other errors become `CommandError`."""
        try:
            return await self._threads.run(function, *arguments)
        except OSError as error:
            if error.filename is None and error.strerror:
                error.filename = self.label(path)
            raise
        except Exception as error:
            raise CommandError(f"{self.label(path)}: {error}") from error

    async def _in_folder(self, path: str, write: Callable[[], T]) -> T:
        """Call ``write``; if the folder of the file is missing, make it and call ``write`` again."""
        try:
            return await self._run(path, write)
        except FileNotFoundError:
            await self._run(path, lambda: self._fs.makedirs(path.rpartition("/")[0], exist_ok=True))
            return await self._run(path, write)

    def _pages(self, top: str) -> Iterator[list[Entry]]:
        """All files below a folder, folder by folder."""
        page: list[Entry] = []
        for folder, _, files in self._fs.walk(top, detail=True, on_error="raise"):
            for name, info in sorted(files.items()):
                if not name:
                    # Some object stores list the folder itself as a file without a name.
                    continue
                below = f"{folder}/{name}"[len(top) :].lstrip("/") if folder != top else name
                page.append(_entry(info, below))
                if len(page) >= _PAGE:
                    yield page
                    page = []
        yield page


async def other_end(typed: str, threads: Workers) -> OtherEnd:
    """The end that a URL names.

    Raises
    ------
    click.UsageError
        fsspec knows no file system for such URLs, or the URL is not valid.
    CommandError
        The package for such URLs is not installed.
    """
    try:
        fs, path = await threads.run(_url_to_fs, typed)
    except ImportError as error:
        raise CommandError(f"{typed}: {error}", hint="install the package for such URLs next to pyxet") from error
    except ValueError as error:
        raise click.UsageError(f"{typed}: {error}") from error
    return OtherEnd(typed, path, fs, threads)


def _url_to_fs(url: str) -> tuple[Any, str]:
    from fsspec.core import url_to_fs
    from fsspec.dircache import DirCache

    fs, path = url_to_fs(url)
    if isinstance(getattr(fs, "dircache", None), DirCache):
        # Nothing is listed twice here, so cached listings of thousands of files would only cost memory.
        fs.dircache.use_listings_cache = False
    return fs, str(path)


def _kind(info: Mapping[str, Any]) -> Known:
    return "folder" if info["type"] == "directory" else "file"


def _entry(info: Mapping[str, Any], name: str) -> Entry:
    when = next((info[key] for key in _MODIFIED if info.get(key) is not None), None)
    if isinstance(when, str):
        with suppress(ValueError):
            when = datetime.fromisoformat(when)
    modified = seconds_of(when) if isinstance(when, datetime) else when if isinstance(when, (int, float)) else None
    return Entry(info["name"], name, info.get("size"), modified=modified)


def _check_size(path: str, expected: int, found: int) -> None:
    if found != expected:
        raise CommandError(f"{path} changed while it was read: {found:,} bytes of {expected:,}")
