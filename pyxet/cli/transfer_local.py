"""Local folders and files as one end of a transfer."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import suppress
from typing import Final

from pyxet._platform_files import reachable, remove
from pyxet._workers import Workers
from pyxet.cli.session import CommandError
from pyxet.cli.transfer_ends import End, Entry, Known
from pyxet.content_ids import hash_like
from pyxet.local_rules import with_slashes
from pyxet.local_tree import walk

# Files in one page of a listing, and bytes in one read.
_PAGE: Final = 500
_PIECE: Final = 4 * 1024 * 1024


class LocalEnd(End):
    """A local path."""

    kind = "local"

    def __init__(self, typed: str, threads: Workers) -> None:
        super().__init__(typed, typed.rstrip("/") or ("/" if typed.startswith("/") else "."))
        self._threads = threads
        # Paths that were left out of listings, and the reasons.
        self.left_out: dict[str, str] = {}

    async def kind_of(self, path: str) -> Known | None:
        return await self._threads.run(_kind, path)

    def missing(self, path: str) -> Exception:
        return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)

    async def entry(self, path: str) -> Entry:
        return await self._threads.run(_entry, path, os.path.basename(path), False)

    async def scan(self, path: str, *, dates: bool = False) -> AsyncIterator[list[Entry]]:
        pages = _pages(path, self.left_out)
        while (page := await self._threads.run(next, pages, None)) is not None:
            yield page

    async def glob(self, pattern: str) -> list[tuple[str, Known]]:
        return await self._threads.run(_glob, pattern)

    async def digest(self, entry: Entry, like: Entry) -> str:
        return await self._threads.run(_digest, entry.path, like)

    async def delete(self, entries: Sequence[Entry]) -> None:
        await self._threads.run(_delete, self.path, entries)


def check_name(entry: Entry) -> None:
    """Refuse names that are not UTF-8, which only local files can have."""
    try:
        entry.name.encode()
    except UnicodeEncodeError:
        raise CommandError(f"{entry.path!a}: its name is not UTF-8", hint="rename it, or --exclude it") from None


def _kind(path: str) -> Known | None:
    try:
        mode = os.stat(reachable(path)).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
    return "folder" if stat.S_ISDIR(mode) else "file"


def _entry(path: str, name: str, linked: bool, known: os.stat_result | None = None) -> Entry:
    found = known or os.stat(reachable(path))
    return Entry(
        path, name, found.st_size, modified=found.st_mtime, linked=linked, special=not stat.S_ISREG(found.st_mode)
    )


def _pages(top: str, left_out: dict[str, str]) -> Iterator[list[Entry]]:
    """All files below a folder, by name inside each folder."""
    page: list[Entry] = []
    for item in walk(top, left_out.setdefault):
        if item.is_folder:
            continue
        if item.found is None:
            page.append(Entry(item.path, item.name, 0, special=True))
        else:
            page.append(_entry(item.path, item.name, item.linked, item.found))
        if len(page) >= _PAGE:
            yield page
            page = []
    yield page


def _glob(pattern: str) -> list[tuple[str, Known]]:
    import glob

    found = []
    for path in sorted(map(with_slashes, glob.glob(pattern, recursive=True))):
        path = path.rstrip("/")
        kind = _kind(path)
        if kind is not None:
            found.append((path, kind))
    return found


def _digest(path: str, like: Entry) -> str:
    with open(reachable(path), "rb", buffering=0) as file:
        digest = hash_like(like.sha256, os.fstat(file.fileno()).st_size)
        while piece := file.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()


def _delete(top: str, entries: Sequence[Entry]) -> None:
    """Delete files, and the folders below ``top`` that are empty then."""
    folders = set()
    for entry in entries:
        remove(reachable(entry.path), missing_ok=True)
        folder = os.path.dirname(entry.path)
        while len(folder) > len(top):
            folders.add(folder)
            folder = os.path.dirname(folder)
    for folder in sorted(folders, key=len, reverse=True):
        with suppress(OSError):
            os.rmdir(reachable(folder))
