"""The part of the file system that changes content: outside a transaction each call is one commit for each branch."""

from __future__ import annotations

import errno
import os
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import Any, Literal

from fsspec.callbacks import DEFAULT_CALLBACK, Callback
from fsspec.implementations.local import trailing_sep
from fsspec.utils import isfilelike, stringify_path

from pyxet._async.changes.changeset import ChangeSet, Guard, PendingWriter
from pyxet._async.changes.edits import Edits
from pyxet._async.changes.file_write import Writing
from pyxet._async.changes.transaction import check_not_inherited
from pyxet._async.changes.view import View
from pyxet._async.files.write import AsyncXetWriteFile
from pyxet._async.fs.base import at_home, is_url
from pyxet._async.fs.local_names import LocalExpansion, expand_local, folders_replaced
from pyxet._async.fs.names import check_distinct, has_magic, target_names, warn_nothing_done
from pyxet._async.fs.reading import Reading
from pyxet._async.runtime.tasks import run_all
from pyxet._async.runtime.threads import in_thread
from pyxet.choosing import chooser
from pyxet.errors import (
    AlreadyExistsError,
    EditConflictError,
    NotFoundError,
    NotSupportedError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from pyxet.urls import XetURL

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
        """Upload a local file or a file object. See `_pipe_file`; a folder raises `IsADirectoryError`."""
        if not isfilelike(lpath) and await in_thread(os.path.isdir, lpath):
            raise IsADirectoryError(errno.EISDIR, "it is a folder; upload it with put(…, recursive=True)", str(lpath))
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
        include: Sequence[str] | str | None = None,
        exclude: Sequence[str] | str | None = None,
        follow_links: bool = True,
        **kwargs: Any,
    ) -> None:
        """Upload files and folders, with fsspec's rules for names and trailing slashes: one commit for each branch.

        ``.git`` in a folder is left out, with a warning.

        Parameters
        ----------
        lpath:
            Local names, or patterns where there is nothing of the name. A folder without ``recursive`` is left out, with
            a warning.
        rpath:
            A file or folder; or a list of names, one for each of the list ``lpath``.
        include, exclude:
            Patterns of the files of folders that are uploaded, and of those that are not: ``*.csv`` is about names of
            files and folders, ``data/*.csv`` about paths in the folder.
        follow_links:
            Whether folders that links lead to are uploaded as well. Links to files always are the files.
        callback:
            Counts files; what it branches off for each file counts bytes.

        Raises
        ------
        FileNotFoundError
            There is nothing of a local name.
        XetURLError
            A name is not UTF-8, or two files would get one name.
        shutil.SpecialFileError
            One is a pipe, a socket or a device.
        """
        find = partial(expand_local, maxdepth=maxdepth, follow_links=follow_links, chosen=chooser(include, exclude))
        pairs = await self._remote_names(lpath, rpath, recursive, find)
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
        self, lpath: Any, rpath: Any, recursive: bool, find: Callable[..., LocalExpansion]
    ) -> list[tuple[Any, str]]:  # fmt: skip
        """Which local files to upload, and under which names."""
        if isinstance(lpath, (list, tuple)) and isinstance(rpath, (list, tuple)):
            pairs = list(zip(lpath, rpath, strict=True))
            if recursive:
                pairs = await in_thread(folders_replaced, pairs, find)
            check_distinct((source, self._strip_protocol(target)) for source, target in pairs)
            return pairs
        single = isinstance(lpath, (str, os.PathLike))
        text = stringify_path(lpath) if single else ""
        expansion = await in_thread(partial(find, [lpath] if single else lpath, recursive=recursive))
        expansion.raise_missing()
        lpaths, folders = expansion.names, expansion.folders
        if single and (not recursive or expansion.maxdepth is not None):
            lpaths = [path for path in lpaths if path not in folders]
        if not lpaths:
            if single:
                warn_nothing_done("uploaded", text)
            return []
        into_folder = isinstance(rpath, (str, os.PathLike)) and (
            trailing_sep(stringify_path(rpath)) or await self._isdir(stringify_path(rpath))
        )
        rpaths = target_names(
            lpaths, self._strip_protocol(rpath), single=single, is_pattern=expansion.is_pattern,
            into_folder=into_folder, has_slash=trailing_sep(text),
        )  # fmt: skip
        found = [pair for pair in zip(lpaths, rpaths, strict=True) if expansion.is_wanted(pair[0])]
        expansion.check_readable(path for path, _ in found)
        for _, target in found:
            self.parse(target)
        check_distinct(found)
        return found

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
        path:
            Names, or patterns where there is nothing of the name.
        assume_literal:
            No path is a pattern, also if there is nothing of the name.

        Raises
        ------
        NotFoundError
            A path is not there.
        IsADirectoryError
            A path is a folder, and ``recursive`` is not set.
        NotSupportedError
            A path is a branch or a repository.
        """
        for item in path if isinstance(path, (list, tuple)) else [path]:
            if assume_literal or not has_magic(self._strip_protocol(item)):
                self._refuse_above_files(item)
        expansion = await self._expand(path, recursive=recursive, maxdepth=maxdepth, literal=assume_literal)
        expansion.raise_missing()
        for name in expansion.names:
            self._refuse_above_files(name)
        files = await self._files_at(expansion.names, recursive=recursive)
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
        """Nothing to make: git has no empty folders. The repository and the branch must be there.

        A folder that is named by its URL is empty for `_ls` of this file system from now on: DuckDB, which gives URLs,
        makes folders and looks whether they are empty. One that is named by its path is not there, as fsspec has it of
        file systems without empty folders.

        Raises
        ------
        RepositoryNotFoundError, RevisionNotFoundError
            There is no such repository or branch; `_make_repo` and `_make_branch` make them.
        FileExistsError, NotADirectoryError
            There is a file at the path, or above it.
        """
        url = self.parse(path)
        if not url.path:
            await self._check_branch(url)
            return
        # With the folders above it, so that the many folders of a partitioned table are one question.
        parts = url.full_path.split("/")
        above = ["/".join(parts[:count]) for count in range(len(parts) - url.path.count("/"), len(parts))]
        there = await self.find_all([*above, url.full_path])
        for name in above:
            folder = there[name]
            if not isinstance(folder, NotFoundError) and not folder[1].is_folder:
                raise NotADirectoryError(errno.ENOTDIR, f"{name} is a file", path)
        found = there[url.full_path]
        if isinstance(found, (RepositoryNotFoundError, RevisionNotFoundError)):
            await self._check_branch(url)
        if not isinstance(found, NotFoundError):
            if not found[1].is_folder:
                raise FileExistsError(errno.EEXIST, "there is a file of this name", path)
            return
        if is_url(path):
            self.made_folders[url.full_path] = None
            while len(self.made_folders) > _MAX_MADE:
                del self.made_folders[next(iter(self.made_folders))]

    async def _check_branch(self, url: XetURL) -> None:
        """Raise where there is no such branch, which says how to make it, or nothing that branches could be in."""
        if url.repo_id is not None and url.revision is not None:
            await (await self.connect()).revisions.head(url.repo_id, url.revision)
        else:
            await self._info_above(url)

    async def _makedirs(self, path: str, exist_ok: bool = False) -> None:
        """Like `_mkdir`."""
        await self._mkdir(path)

    async def _rmdir(self, path: str) -> None:
        """Nothing to remove: a folder without files is not there. One with files is an error."""
        if is_url(path) and self.made_folders.pop(self.parse(path).full_path, "") is None:
            # See `_mkdir`.
            return
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
        """Begin to write a file; ``xb`` raises if it exists, ``ab`` begins with its content.

        Raises
        ------
        FolderInTheWayError, FileInTheWayError
            There is a folder at the path; something above it is a file. They are an `IsADirectoryError` and a
            `NotADirectoryError`.
        """
        transaction = self.open_transaction()
        if transaction is None:
            check_not_inherited(self.endpoint, self._credential)
        else:
            transaction.edits.check_parent(parent_commit)
        own = await self.new_edits(parent_commit) if transaction is None else None
        try:
            changes, inside = await self._target(own or transaction.edits, path)  # type: ignore[union-attr]  # one of the two
            # Not at the end, when all of it has been sent.
            await View((await self.connect()).catalog, changes.repo, changes.base, changes).check_place(
                inside, may_exist=mode != "xb"
            )
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
