"""The part of the file system that changes content: outside a transaction each call is one commit for each branch."""

from __future__ import annotations

import errno
import os
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from glob import has_magic
from pathlib import Path
from typing import Any, Literal

from fsspec.callbacks import DEFAULT_CALLBACK, Callback
from fsspec.implementations.local import LocalFileSystem, make_path_posix, trailing_sep
from fsspec.utils import isfilelike, other_paths, stringify_path

from pyxet._async.changes.changeset import ChangeSet, Guard, PendingWriter
from pyxet._async.changes.edits import Edits
from pyxet._async.changes.file_write import Writing
from pyxet._async.changes.transaction import check_not_inherited
from pyxet._async.changes.view import View
from pyxet._async.files.write import AsyncXetWriteFile
from pyxet._async.fs.base import at_home, is_url
from pyxet._async.fs.reading import Reading
from pyxet._async.runtime.tasks import run_all
from pyxet._async.runtime.threads import in_thread
from pyxet.errors import AlreadyExistsError, EditConflictError, NotFoundError, NotSupportedError

WriteMode = Literal["overwrite", "create"]
# Folders without files that a file system remembers to have made.
_MAX_MADE = 10_000


class Editing(Reading):
    """See `AsyncXetFileSystem`."""

    # -- bytes ---------------------------------------------------------------------------------------------------------

    @at_home
    async def _pipe_file(
        self,
        /,
        path: str,
        value: bytes | bytearray | memoryview,
        mode: WriteMode = "overwrite",
        message: str | None = None,
        parent_commit: str | None = None,
        if_match: str | None = None,
        **kwargs: Any,
    ) -> None:
        """Write a file from bytes.

        Parameters
        ----------
        mode:
            ``create`` raises if the file exists.
        message:
            Commit message; one that tells the path if ``None``. A transaction has its own.
        parent_commit:
            A full commit id: a change to the path since is a conflict. In a transaction it is the transaction's.
        if_match:
            ``info(path)["blob_id"]`` of the version to replace: another version is a conflict.

        Raises
        ------
        AlreadyExistsError, EditConflictError
            The file exists, or is not the version expected.
        RevisionNotFoundError
            There is no such branch.
        """
        async with self.edits(message, parent_commit) as edits:
            changes, inside = await self._target(edits, path)
            guard = await self._guard(changes, path, inside, mode == "create", if_match)
            await changes.write(inside, value, guard)

    @at_home
    async def _pipe(
        self,
        /,
        path: str | Mapping[str, bytes],
        value: bytes | None = None,
        batch_size: int | None = None,
        message: str | None = None,
        parent_commit: str | None = None,
        **kwargs: Any,
    ) -> None:
        """Write files from bytes: one path and a value, or a dictionary of them. See `_pipe_file`."""
        if isinstance(path, (str, os.PathLike)):
            await self._pipe_file(path, value or b"", message=message, parent_commit=parent_commit, **kwargs)
            return
        async with self.edits(message, parent_commit) as edits:
            jobs = (self._pipe_job(edits, name, content) for name, content in path.items())
            await run_all(jobs, limit=self.limits.concurrency)

    def _pipe_job(self, edits: Edits, path: str, content: bytes) -> Callable[[], Awaitable[None]]:
        async def write() -> None:
            changes, inside = await self._target(edits, path)
            await changes.write(inside, content)

        return write

    # -- local files ---------------------------------------------------------------------------------------------------

    @at_home
    async def _put_file(
        self,
        /,
        lpath: Any,
        rpath: str,
        callback: Callback = DEFAULT_CALLBACK,
        mode: WriteMode = "overwrite",
        message: str | None = None,
        parent_commit: str | None = None,
        if_match: str | None = None,
        **kwargs: Any,
    ) -> None:
        """Upload a local file or a file object; a folder is nothing to make. See `_pipe_file`."""
        if not isfilelike(lpath) and await in_thread(os.path.isdir, lpath):
            return
        async with self.edits(message, parent_commit) as edits:
            changes, inside = await self._target(edits, rpath)
            guard = await self._guard(changes, rpath, inside, mode == "create", if_match)
            await _put_one(changes, inside, lpath, Callback.as_callback(callback), guard)

    @at_home
    async def _put(
        self,
        /,
        lpath: Any,
        rpath: Any,
        recursive: bool = False,
        callback: Callback = DEFAULT_CALLBACK,
        batch_size: int | None = None,
        maxdepth: int | None = None,
        message: str | None = None,
        parent_commit: str | None = None,
        **kwargs: Any,
    ) -> None:
        """Upload files and folders, with fsspec's rules for names and trailing slashes: one commit for each branch.

        Parameters
        ----------
        callback:
            Counts files; what it branches off for each file counts bytes.
        """
        if isinstance(lpath, list) and isinstance(rpath, list):
            pairs = list(zip(lpath, rpath, strict=True))
        else:
            pairs = await self._remote_names(lpath, rpath, recursive, maxdepth)
        callback = Callback.as_callback(callback)
        callback.set_size(len(pairs))
        async with self.edits(message, parent_commit) as edits:

            def job(source: Any, target: str) -> Callable[[], Awaitable[None]]:
                async def put() -> None:
                    changes, inside = await self._target(edits, target)
                    with callback.branched(source, target) as child:
                        await _put_one(changes, inside, source, child, None)
                    callback.relative_update(1)

                return put

            await run_all((job(*pair) for pair in pairs), limit=self.limits.concurrency)

    async def _remote_names(
        self, lpath: Any, rpath: Any, recursive: bool, maxdepth: int | None
    ) -> list[tuple[str, str]]:  # fmt: skip
        """Which local files to upload, and under which names."""
        single = isinstance(lpath, (str, os.PathLike))
        lpath = make_path_posix(stringify_path(lpath)) if single else [stringify_path(path) for path in lpath]
        disk = LocalFileSystem()
        lpaths: list[str] = await in_thread(lambda: disk.expand_path(lpath, recursive=recursive, maxdepth=maxdepth))
        folders = await in_thread(lambda: {path for path in lpaths if os.path.isdir(path)})
        if single and (not recursive or maxdepth is not None):
            lpaths = [path for path in lpaths if not trailing_sep(path) and path not in folders]
        if not lpaths:
            return []
        into_folder = isinstance(rpath, (str, os.PathLike)) and (
            trailing_sep(stringify_path(rpath)) or await self._isdir(stringify_path(rpath))
        )
        exists = single and (
            (has_magic(lpath) and len(lpaths) == 1)
            or (not has_magic(lpath) and into_folder and not trailing_sep(lpath))
        )  # fmt: skip
        rpaths = other_paths(lpaths, self.own(rpath), exists=exists, flatten=not single)
        return [(local, remote) for local, remote in zip(lpaths, rpaths, strict=True) if local not in folders]

    # -- deletions, folders --------------------------------------------------------------------------------------------

    @at_home
    async def _rm(
        self,
        /,
        path: Any,
        recursive: bool = False,
        batch_size: int | None = None,
        maxdepth: int | None = None,
        assume_literal: bool = False,
        message: str | None = None,
        parent_commit: str | None = None,
        **kwargs: Any,
    ) -> None:
        """Delete files, and folders if ``recursive``: one commit for each branch.

        Parameters
        ----------
        assume_literal:
            Paths are the names of files, also where they could be patterns.

        Raises
        ------
        NotFoundError
            A path is not there.
        IsADirectoryError
            A path is a folder, and ``recursive`` is not set.
        NotSupportedError
            A path is a branch or a repository.
        """
        given = path if isinstance(path, (list, tuple)) else [path]
        for item in given:
            if assume_literal or not has_magic(stringify_path(item)):
                self._refuse_above_files(item)
        if assume_literal:
            paths = self.own(list(given))
        else:
            paths = await self._expand_path(path, recursive=recursive, maxdepth=maxdepth)
        names = [name for name in paths if self.parse(name).path]
        files = await self._files_at(names, recursive=recursive and not assume_literal)
        async with self.edits(message, parent_commit) as edits:
            await self._delete_files(edits, files)

    @at_home
    async def _rm_file(
        self, /, path: str, message: str | None = None, parent_commit: str | None = None, **kwargs: Any
    ) -> None:  # fmt: skip
        """Delete one file, see `_rm`; its name is no pattern."""
        self._refuse_above_files(path)
        _, found = await self.find_one(*self.parse_file(path))
        if found.is_folder:
            raise IsADirectoryError(errno.EISDIR, "it is a folder; delete it with rm(…, recursive=True)", path)
        async with self.edits(message, parent_commit) as edits:
            await self._delete_files(edits, [path])

    @at_home
    async def _mkdir(self, /, path: str, create_parents: bool = True, **kwargs: Any) -> None:
        """Nothing to make: git has no empty folders. A file at the path is an error.

        A folder that is named by its URL is empty for `_ls` of this file system from now on: DuckDB, which gives URLs,
        makes folders and looks whether they are empty. One that is named by its path is not there, as fsspec has it of
        file systems without empty folders.
        """
        url = self.parse(path)
        if not url.path:
            return
        # With the folders above it, so that the many folders of a partitioned table are one question.
        parts = url.full_path.split("/")
        above = ["/".join(parts[:count]) for count in range(len(parts) - url.path.count("/"), len(parts))]
        found = (await self.find_all([*above, url.full_path]))[url.full_path]
        if not isinstance(found, NotFoundError):
            if not found[1].is_folder:
                raise FileExistsError(errno.EEXIST, "there is a file of this name", path)
            return
        if is_url(path):
            self.made_folders[url.full_path] = None
            while len(self.made_folders) > _MAX_MADE:
                del self.made_folders[next(iter(self.made_folders))]

    async def _makedirs(self, path: str, exist_ok: bool = False) -> None:
        """Like `_mkdir`."""
        await self._mkdir(path)

    async def _rmdir(self, path: str) -> None:
        """Nothing to remove: a folder without files is not there. One with files is an error."""
        if await self._isdir(path):
            raise OSError(errno.ENOTEMPTY, "the folder is not empty; delete it with rm(…, recursive=True)", path)
        raise FileNotFoundError(errno.ENOENT, "there is no such folder", path)

    async def _touch(self, /, path: str, truncate: bool = True, **kwargs: Any) -> None:
        """Make an empty file, or empty an existing one unless ``truncate`` is off."""
        if truncate or not await self._exists(path):
            await self._pipe_file(path, b"", **kwargs)

    # -- open files ----------------------------------------------------------------------------------------------------

    @at_home
    async def open_for_writing(
        self,
        path: str,
        mode: Literal["wb", "xb", "ab"],
        message: str | None = None,
        parent_commit: str | None = None,
        if_match: str | None = None,
    ) -> Writing:
        """Begin to write a file; ``xb`` raises if it exists, ``ab`` begins with its content."""
        transaction = self.open_transaction()
        if transaction is None:
            check_not_inherited(self.endpoint, self._credential)
        else:
            transaction.edits.check_parent(parent_commit)
        own = await self.new_edits(parent_commit) if transaction is None else None
        try:
            changes, inside = await self._target(own or transaction.edits, path)  # type: ignore[union-attr]  # one of the two
            guard = await self._guard(changes, path, inside, mode == "xb", if_match)
            writer = changes.writer(inside, guard)
            if mode == "ab":
                await self._write_existing(path, writer)
        except BaseException:
            if own is not None:
                await own.discard()
            raise
        return Writing(writer, edits=own, transaction=transaction, message=message)

    async def open_async(self, /, path: str, mode: str = "rb", **kwargs: Any) -> Any:
        """Open a file for awaiting its ``read`` or ``write`` and its ``close``, or for ``async with``.

        Parameters
        ----------
        mode:
            ``rb``, ``wb``, ``xb`` or ``ab``.
        message, parent_commit, if_match:
            For writing, as in `_pipe_file`.
        """
        if "b" not in mode or kwargs.pop("compression", None):
            raise ValueError("asynchronous files are binary and not compressed: mode 'rb', 'wb', 'xb' or 'ab'")
        if mode == "rb":
            return await self._open_to_read(path)
        writing = await self.open_for_writing(path, write_mode(mode), **kwargs)
        file = AsyncXetWriteFile(self, self._strip_protocol(path), mode, writing)
        if writing.transaction is not None:
            writing.transaction.hold(writing, file, file)
        return file

    async def _write_existing(self, path: str, writer: PendingWriter) -> None:
        try:
            view, found = await self.find_one(*self.parse_file(path))
        except NotFoundError:
            return
        async with aclosing(self.pieces(view, found)) as pieces:
            async for piece in pieces:
                await writer.write(piece)

    # -- details -------------------------------------------------------------------------------------------------------

    async def _target(self, edits: Edits, path: str) -> tuple[ChangeSet, str]:
        url, repo, revision = self.parse_file(path)
        return await edits.on(repo, revision), url.path

    async def _guard(
        self, changes: ChangeSet, path: str, inside: str, create: bool, if_match: str | None
    ) -> Guard | None:  # fmt: skip
        """What has to be true of the path at the commit, checked once now: the sooner a conflict shows, the better."""
        if not create and if_match is None:
            return None
        view = View((await self.connect()).catalog, changes.repo, changes.base, changes)
        found = await view.lookup(inside)
        if create:
            if found is not None:
                raise AlreadyExistsError(f"{path} exists already", status=409)
            # Deleted in this transaction: then it is there at the commit, and rightly so.
            return None if changes.deletes(inside) else Guard(absent=True)
        blob_id = getattr(found.content, "blob_id", None) if found else None
        if blob_id != if_match:
            raise EditConflictError(f"{path} is not the version {if_match} but {blob_id or 'not there'}", status=412)
        return Guard(blob_id=if_match)

    async def _files_at(self, paths: Sequence[str], *, recursive: bool = False) -> list[str]:
        """Those of some paths that are files. What is not there raises; so does a folder unless ``recursive``."""
        files = []
        for name, there in (await self.find_all(paths)).items():
            _, item = self.expect(there)
            if not item.is_folder:
                files.append(name)
            elif not recursive:
                raise IsADirectoryError(errno.EISDIR, "it is a folder; delete it with rm(…, recursive=True)", name)
        return files

    async def _delete_files(self, edits: Edits, paths: Iterable[str]) -> None:
        """Delete files that are there."""
        grouped: defaultdict[ChangeSet, list[str]] = defaultdict(list)
        for path in paths:
            changes, inside = await self._target(edits, path)
            grouped[changes].append(inside)
        for changes, inside_paths in grouped.items():
            await changes.delete(inside_paths)

    def _refuse_above_files(self, path: Any) -> None:
        url = self.parse(path)
        if not url.path:
            what = {"branch": "a branch; use delete_branch", "repo": "a repository; use delete_repo"}
            raise NotSupportedError(f"{str(path)!r} is {what.get(url.level, 'not a file')}")


async def _put_one(
    changes: ChangeSet, inside: str, source: Any, callback: Callback, guard: Guard | None
) -> None:  # fmt: skip
    if not isfilelike(source):
        local = Path(stringify_path(source))
        await changes.upload(inside, local, callback.relative_update, guard, sized=callback.set_size)
        return
    await changes.upload_object(inside, source, callback.relative_update, guard)


def write_mode(mode: str) -> Literal["wb", "xb", "ab"]:
    """The mode of a file that is opened for writing; `ValueError` for others."""
    if mode not in ("wb", "xb", "ab"):
        raise ValueError(f"mode {mode!r}: expected 'rb', 'wb', 'xb' or 'ab'")
    return mode  # type: ignore[return-value]  # one of the three
