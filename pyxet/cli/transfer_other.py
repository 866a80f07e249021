"""Other file systems of fsspec's (``s3://``, ``gs://``, ``memory://`` …) as one end of a transfer.

They are used through their blocking methods, which all of them have, on threads.
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

# Files up to so many bytes are read and written with one call; larger ones in pieces of that size.
_WHOLE: Final = 4 * 1024 * 1024
# Files that are handed on, or deleted, at once.
_PAGE: Final = 500
# What file systems call the moment of the last change.
_MODIFIED: Final = ("LastModified", "last_modified", "mtime", "modified", "updated", "created")


class OtherEnd(StreamEnd):
    """A path of another file system. Made by `other_end`."""

    kind = "other"

    def __init__(self, typed: str, path: str, fs: Any, threads: Workers) -> None:
        # The path of zip://folder/::archive.zip ends in the middle of what was typed.
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
        # Without a cache of its own: some read fifty megabytes ahead, for each open file.
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
            # Not `close`, which would publish what is there so far where there is nothing to be committed.
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
        """Call a method on a thread; what it raises that is no `OSError` becomes an error that a person can read."""
        try:
            return await self._threads.run(function, *arguments)
        except OSError as error:
            if error.filename is None and error.strerror:
                error.filename = self.label(path)
            raise
        except Exception as error:
            raise CommandError(f"{self.label(path)}: {error}") from error

    async def _in_folder(self, path: str, write: Callable[[], T]) -> T:
        """Write where folders may have to be made first, as on real disks."""
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
                    # What stands for the folder itself in some object stores.
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
        Nobody knows such URLs.
    CommandError
        The package for them is not installed, or refuses the URL.
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
        # Nothing is listed twice here, and what is kept of thousands of files only costs memory.
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
