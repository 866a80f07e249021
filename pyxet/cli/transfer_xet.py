"""Repositories as one end of a transfer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import click

import pyxet
from pyxet import XetURL
from pyxet.cli.formats import seconds_of
from pyxet.cli.paths import writable
from pyxet.cli.transfer_ends import Entry, Known, StreamEnd

if TYPE_CHECKING:
    from pyxet import AsyncXetFileSystem

# Files up to this size in bytes are read and written whole, in batches with others; larger ones are read in pieces.
WHOLE: Final = 1024 * 1024
_PIECE: Final = 4 * 1024 * 1024


class XetEnd(StreamEnd):
    """A path in a branch; for reading also in a commit, a tag or a point in time."""

    kind = "xet"

    def __init__(self, typed: str, url: XetURL, fs: AsyncXetFileSystem) -> None:
        if url.revision is None:
            what = "a repository" if url.repo else "no repository"
            raise click.UsageError(f"{typed} is {what}; expected a branch or a path in one: owner/repo/branch/path")
        super().__init__(typed, url.full_path)
        self.fs = fs
        self._url = url
        self._pinned = url.branch_path

    async def pin(self) -> None:
        """Read from the commit that the revision is at now, even if a branch moves during the transfer."""
        branch = self._url.branch_path
        commit = (await self.fs._info(branch))["commit"]
        pinned = replace(self._url, revision=commit, endpoint=None)
        self._pinned = pinned.branch_path
        self.path = pinned.full_path

    async def check_writable(self) -> None:
        """Raise an error, before anything is done, unless the path is in a branch or a pull request."""
        writable(self._url)
        assert self._url.repo_id is not None
        repo, branch = self._url.repo_id.path, str(self._url.revision)
        if branch in await self.fs._list_branches(repo):
            return
        try:
            found = await self.fs._find_ref(repo, branch)
        except pyxet.RevisionNotFoundError as error:
            raise pyxet.RevisionNotFoundError(
                f"{repo} has no branch {branch!r}; make it with: xet branch make {repo} main {branch}", status=404
            ) from error
        if (found["ref"] or "").startswith("refs/pr/"):
            return
        raise pyxet.NotSupportedError(
            f"{self._url.branch_path} is a tag or commit, which can be read but not written to; write to a branch"
        )

    def label(self, path: str) -> str:
        return path.replace(self._pinned, self._url.branch_path, 1) if path.startswith(self._pinned) else path

    async def kind_of(self, path: str) -> Known | None:
        try:
            info = await self.fs._info(path)
        except pyxet.EntryNotFoundError:
            return None
        return "file" if info["type"] == "file" else "folder"

    def missing(self, path: str) -> Exception:
        return pyxet.EntryNotFoundError(f"there is nothing at {self.label(path)}", status=404)

    async def entry(self, path: str) -> Entry:
        info = await self.fs._info(path)
        return _entry(info, path.rpartition("/")[2])

    async def scan(self, path: str, *, dates: bool = False) -> AsyncIterator[list[Entry]]:
        async with aclosing(self.fs._scan(path, dates=dates)) as pages:  # type: ignore[type-var]  # a generator, declared as an iterator
            async for page in pages:
                yield [_entry(info, info["name"][len(path) + 1 :]) for info in page]

    async def glob(self, pattern: str) -> list[tuple[str, Known]]:
        found = await self.fs._glob(pattern, detail=True)
        return [(name, "file" if info["type"] == "file" else "folder") for name, info in found.items()]

    async def pieces(self, entry: Entry) -> AsyncIterator[bytes]:
        if entry.size is not None and entry.size <= WHOLE:
            yield await self.fs._cat_file(entry.path)
            return
        async with self.fs.open_async(entry.path) as file:
            while piece := await file.read(_PIECE):
                yield piece

    async def write(self, path: str, entry: Entry, pieces: AsyncIterator[bytes]) -> None:
        if entry.size is not None and entry.size <= WHOLE:
            await self.fs._pipe_file(path, b"".join([piece async for piece in pieces]))
            return
        async with self.fs.open_async(path, "wb") as file:
            async for piece in pieces:
                await file.write(piece)

    async def delete(self, entries: Sequence[Entry]) -> None:
        await self.fs._rm([entry.path for entry in entries], assume_literal=True)


def _entry(info: Mapping[str, Any], name: str) -> Entry:
    when = info.get("last_modified")
    return Entry(
        info["name"], name, info["size"], info.get("sha256"), info.get("blob_id"), seconds_of(when) if when else None
    )
