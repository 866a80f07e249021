"""The part of the file system that copies and moves: content stays where it is, if the endpoint can share it."""

from __future__ import annotations

import os
from contextlib import aclosing
from functools import partial
from glob import has_magic
from typing import Any, Literal

from fsspec.implementations.local import trailing_sep
from fsspec.utils import other_paths, stringify_path

from pyxet._async.changes.changeset import ChangeSet, Pending, folders_of
from pyxet._async.changes.edits import Edits
from pyxet._async.changes.view import Found, View
from pyxet._async.fs.base import at_home
from pyxet._async.fs.editing import Editing
from pyxet._async.runtime.tasks import run_all
from pyxet.errors import NotFoundError
from pyxet.types import RemoteFile


class Copying(Editing):
    """See `AsyncXetFileSystem`."""

    @at_home
    async def _cp_file(
        self, /, path1: str, path2: str, message: str | None = None, parent_commit: str | None = None, **kwargs: Any
    ) -> None:  # fmt: skip
        """Copy a file; its content stays where it is, if the endpoint can share it. A folder is nothing to make."""
        url = self.parse(path1)
        if not url.path or await self._isdir(path1):
            return
        view, found = await self.find_one(*self.parse_file(path1))
        async with self.edits(message, parent_commit) as edits:
            await self._copy_one(edits, view, found, path2)

    @at_home
    async def _copy(
        self,
        /,
        path1: Any,
        path2: Any,
        recursive: bool = False,
        on_error: Literal["raise", "ignore"] | None = None,
        maxdepth: int | None = None,
        batch_size: int | None = None,
        message: str | None = None,
        parent_commit: str | None = None,
        **kwargs: Any,
    ) -> None:
        """Copy files and folders, with fsspec's rules for names and trailing slashes: one commit for each branch.

        Parameters
        ----------
        on_error:
            ``ignore`` leaves out what is not there; the default of a recursive copy.
        """
        ignore = (on_error or ("ignore" if recursive else "raise")) == "ignore"
        async with self.edits(message, parent_commit) as edits:
            await self._copy_within(edits, path1, path2, recursive, maxdepth, ignore=ignore)

    @at_home
    async def _mv(
        self,
        /,
        path1: Any,
        path2: Any,
        recursive: bool = False,
        maxdepth: int | None = None,
        message: str | None = None,
        parent_commit: str | None = None,
        **kwargs: Any,
    ) -> None:
        """Move files and folders in one commit for each branch; content stays where it is, as in a copy."""
        if not isinstance(path1, list) and self._strip_protocol(path1) == self._strip_protocol(path2):
            return
        async with self.edits(message, parent_commit) as edits:
            for path in path1 if isinstance(path1, (list, tuple)) else [path1]:
                # What is deleted has to be what was copied: the branch as it is now, not as it was a moment ago.
                if self.parse(path).revision is not None:
                    await self._target(edits, path)
            await self._copy_within(edits, path1, path2, recursive, maxdepth, ignore=False, move=True)

    @at_home
    async def _mv_file(self, /, path1: str, path2: str, **kwargs: Any) -> None:
        """Move one file, see `_mv`."""
        await self._mv(path1, path2, **kwargs)

    async def _copy_within(
        self,
        edits: Edits,
        path1: Any,
        path2: Any,
        recursive: bool,
        maxdepth: int | None,
        *,
        ignore: bool,
        move: bool = False,
    ) -> None:
        """Copy as `_copy` says; then delete the sources if they ``move``."""
        pairs = await self._copy_names(path1, path2, recursive, maxdepth)
        found = await self.find_all([source for source, _ in pairs if self.parse(source).path])
        copied: dict[str, str] = {}
        jobs = []
        for source, target in pairs:
            there = found.get(source)
            if there is None or (ignore and isinstance(there, NotFoundError)):
                continue
            view, item = self.expect(there)
            if not item.is_folder:
                jobs.append(partial(self._copy_one, edits, view, item, target))
                copied[source] = self._strip_protocol(target)
        # A source may be the target of another one, as when two files swap their names.
        gone = copied.keys() - copied.values() if move else set()
        folders = {folder for target in copied.values() for folder in folders_of(target)}
        targets = set(copied.values())
        in_the_way = {name for name in gone if name in folders or not targets.isdisjoint(folders_of(name))}
        await self._delete_files(edits, sorted(in_the_way))
        await run_all(jobs, limit=self.limits.concurrency)
        await self._delete_files(edits, sorted(gone - in_the_way))

    async def _copy_names(
        self, path1: Any, path2: Any, recursive: bool, maxdepth: int | None
    ) -> list[tuple[str, str]]:  # fmt: skip
        # Both, before any request.
        sources, targets = self.own(path1), self.own(path2)
        if isinstance(path1, list) and isinstance(path2, list):
            return list(zip(sources, targets, strict=True))
        single = isinstance(path1, (str, os.PathLike))
        text = stringify_path(path1) if single else ""
        paths = await self._expand_path(path1, recursive=recursive, maxdepth=maxdepth)
        if single and (not recursive or maxdepth is not None):
            found = await self.find_all([path for path in paths if self.parse(path).path])
            paths = [
                path for path, there in found.items() if isinstance(there, NotFoundError) or not there[1].is_folder
            ]
            if not paths:
                return []
        into_folder = isinstance(path2, (str, os.PathLike)) and (
            trailing_sep(stringify_path(path2)) or await self._isdir(stringify_path(path2))
        )
        exists = single and (
            (has_magic(text) and len(paths) == 1) or (not has_magic(text) and into_folder and not trailing_sep(text))
        )
        return list(zip(paths, other_paths(paths, targets, exists=exists, flatten=not single), strict=True))

    async def _copy_one(self, edits: Edits, view: View, found: Found, path: str) -> None:
        changes, inside = await self._target(edits, path)
        await self._copy_content(changes, inside, view, found)
        if not isinstance(found.content, Pending):
            beneath = changes.repo == view.repo and changes.base == view.commit
            changes.origins[inside] = found.path if beneath else None
        elif view.changes is not None and found.path in view.changes.origins:
            origin = view.changes.origins[found.path]
            changes.origins[inside] = origin if view.changes is changes else None

    async def _copy_content(self, changes: ChangeSet, inside: str, view: View, found: Found) -> None:
        content = found.content
        assert content is not None
        if isinstance(content, Pending) and isinstance(content.content, RemoteFile):
            content = content.content
        stored = isinstance(content, RemoteFile) and content.sha256 is not None and content.xet_hash is not None
        if stored or (changes.repo == view.repo and view.changes in (None, changes)):
            await changes.copy(inside, content)
            return
        writer = changes.writer(inside)
        try:
            async with aclosing(self.pieces(view, found)) as pieces:
                async for piece in pieces:
                    await writer.write(piece)
            await writer.close()
        except BaseException:
            await writer.discard()
            raise
