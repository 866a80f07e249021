"""The part of the file system that changes content: outside a transaction each call is one commit for each branch."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, overload

from fsspec.callbacks import DEFAULT_CALLBACK, Callback
from fsspec.implementations.local import trailing_sep
from fsspec.utils import stringify_path

from pyxet._async.changes.guards import Conditions
from pyxet._async.fs.calls import at_home
from pyxet._async.fs.expanding import Expanding
from pyxet._async.fs.guarding import Guarding, Place
from pyxet._async.fs.local_names import LocalExpansion, expand_local, pairs_chosen
from pyxet._async.fs.names import (
    check_distinct,
    check_once,
    check_separate,
    leaves_out_folders,
    one_or_list,
    one_or_lists,
    target_names,
    warn_nothing_done,
)
from pyxet._async.fs.paths import is_url
from pyxet._async.fs.progress import shows_progress
from pyxet._async.fs.sources import content_given, put_one, source_given, write_one
from pyxet._async.runtime.streams import Stream, is_stream
from pyxet._async.runtime.tasks import run_all
from pyxet._async.runtime.threads import in_thread
from pyxet.errors import (
    NotFoundError,
    NotSupportedError,
)
from pyxet.options import public
from pyxet.patterns import chooser, has_magic
from pyxet.protocol.hashing import Buffer
from pyxet.types import AsyncSource, IfMatch, WriteMode
from pyxet.urls import XetURL

# Maximum number of empty folders that an instance remembers, see `_mkdir`.
_MAX_MADE = 10_000


class Editing(Expanding, Guarding):
    """See `AsyncXetFileSystem`."""

    # -- bytes ---------------------------------------------------------------------------------------------------------

    @public()
    @at_home
    async def _pipe_file(
        self,
        /,
        path: str,
        value: Buffer | AsyncSource,
        mode: WriteMode = "overwrite",
        message: str | None = None,
        parent_commit: str | None = None,
        if_match: IfMatch | None = None,
        pull_request: bool = False,
    ) -> None:
        """Write a file from bytes.

        Parameters
        ----------
        value:
            Bytes, or any other contiguous buffer, such as a numpy array: its bytes are the content. Or an asynchronous
            file or iterator, as in `_put_file`.
        mode:
            ``create`` raises if the file exists.
        message:
            Commit message; if ``None``, one that names the path. A transaction uses it only if it has no message itself.
        parent_commit:
            A full commit id. A change to the path since that commit is a conflict.
        if_match:
            The version to replace, ``info(path)["blob_id"]``. Any other version at the path is a conflict.

        Raises
        ------
        AlreadyExistsError, EditConflictError
            The file exists, is not the version expected, or changed since ``parent_commit``.
        RevisionNotFoundError
            There is no such branch.
        TypeError
            The value is not a buffer but, for example, a string, a list or ``None``.
        """
        content, conditions = content_given(value), Conditions.asked(mode, if_match)
        async with self._edits(message, parent_commit, pull_request) as edits:
            [place] = await self._places(edits, [path], conditions, parent_commit)
            await write_one(place, content)

    @overload
    async def _pipe(
        self, /, path: str, value: Buffer | AsyncSource, batch_size: int | None = None, mode: WriteMode = "overwrite",
        message: str | None = None, parent_commit: str | None = None, if_match: IfMatch | None = None, pull_request: bool = False,
    ) -> None: ...  # fmt: skip
    @overload
    async def _pipe(
        self, /, path: Mapping[str, Buffer | AsyncSource], value: None = None, batch_size: int | None = None,
        mode: WriteMode = "overwrite",
        message: str | None = None, parent_commit: str | None = None, if_match: IfMatch | None = None, pull_request: bool = False,
    ) -> None: ...  # fmt: skip
    @public()
    @at_home
    async def _pipe(
        self,
        /,
        path: str | Mapping[str, Buffer | AsyncSource],
        value: Buffer | AsyncSource | None = None,
        batch_size: int | None = None,
        mode: WriteMode = "overwrite",
        message: str | None = None,
        parent_commit: str | None = None,
        if_match: IfMatch | None = None,
        pull_request: bool = False,
    ) -> None:
        """Write files from bytes: a path and a value, or a mapping of paths to values. See `_pipe_file`.

        Parameters
        ----------
        batch_size:
            Part of fsspec's interface, without effect: `Limits` bound memory and concurrency.
        mode:
            ``create`` raises if one of the files exists.
        if_match:
            The version to replace, or a mapping of paths to versions.

        Raises
        ------
        XetURLError
            Two of the paths are the same file.
        """
        if not isinstance(path, Mapping):
            options = (mode, message, parent_commit, if_match, pull_request)
            await self._pipe_file(path, value, *options)  # type: ignore[arg-type]  # what is no buffer raises there
            return
        if value is not None:
            raise TypeError("pipe takes a path and a value, or a mapping of paths to values, not both")
        check_separate(path.values())
        contents, conditions = [content_given(value) for value in path.values()], Conditions.asked(mode, if_match)
        if not conditions.create:
            # With ``create``, writing the second one raises that the file exists.
            check_once(path, self._normal)
        async with self._edits(message, parent_commit, pull_request, many=True) as edits:
            places = await self._places(edits, list(path), conditions, parent_commit)

            async def write(item: tuple[Place, memoryview | Stream]) -> None:
                await write_one(*item)

            await run_all(write, zip(places, contents, strict=True), limit=self.limits.concurrency)

    # -- local files ---------------------------------------------------------------------------------------------------

    @public()
    @at_home
    @shows_progress("uploading", files=False)
    async def _put_file(
        self,
        /,
        lpath: Any,
        rpath: str,
        callback: Callback = DEFAULT_CALLBACK,
        mode: WriteMode = "overwrite",
        message: str | None = None,
        parent_commit: str | None = None,
        if_match: IfMatch | None = None,
        pull_request: bool = False,
        progress: bool = False,
    ) -> None:
        """Upload a local file, or the content of an open one. See `_pipe_file`; a folder raises `IsADirectoryError`.

        Parameters
        ----------
        lpath:
            A local path; an open binary file, blocking or asynchronous (any object whose ``read`` takes a size), which is
            read from its current position to its end; or an asynchronous iterator of bytes. Asynchronous objects need the
            coroutine, not the blocking method. Files are not closed.
        callback:
            Counts bytes.

        Raises
        ------
        ConflictError
            A local file changed while it was read.
        TypeError
            The file does not return bytes, or is asynchronous in a blocking call.
        """
        conditions = Conditions.asked(mode, if_match)
        source = source_given(lpath)
        async with self._edits(message, parent_commit, pull_request) as edits:
            [place] = await self._places(edits, [rpath], conditions, parent_commit)
            await put_one(place, source, Callback.as_callback(callback))

    @public()
    @at_home
    @shows_progress("uploading", files=True)
    async def _put(
        self,
        /,
        lpath: Any,
        rpath: Any,
        recursive: bool = False,
        callback: Callback = DEFAULT_CALLBACK,
        batch_size: int | None = None,
        maxdepth: int | None = None,
        mode: WriteMode = "overwrite",
        message: str | None = None,
        parent_commit: str | None = None,
        if_match: IfMatch | None = None,
        include: Sequence[str] | str | None = None,
        exclude: Sequence[str] | str | None = None,
        follow_links: bool = True,
        pull_request: bool = False,
        progress: bool = False,
    ) -> None:
        """Upload files and folders, with fsspec's rules for names and trailing slashes: one commit for each branch.

        ``.git`` in a folder is left out, with a warning.

        Parameters
        ----------
        lpath:
            Local paths, open files and asynchronous iterators, as in `_put_file`. A path with wildcards is a pattern if it
            does not exist. Folders are skipped without ``recursive``, with a warning if nothing is left of a single path.
        rpath:
            A file or folder; or a list with one path for each item of the list ``lpath``.
        include, exclude:
            Patterns of the files to upload, and of those to leave out: ``*.csv`` matches names of files and folders,
            ``data/*.csv`` matches paths relative to an uploaded folder.
        follow_links:
            Whether folders that links point to are uploaded as well. Files that links point to are always uploaded.
        callback:
            Counts files; the callbacks that it branches for each file count bytes.
        batch_size:
            Part of fsspec's interface, without effect: `Limits` bound memory and concurrency.
        mode:
            ``create`` raises if one of the files exists.
        message, parent_commit, pull_request:
            As in `_pipe_file`.
        if_match:
            The version to replace, or a mapping of paths in the branch to versions.

        Raises
        ------
        FileNotFoundError
            A local path does not exist, or a local pattern matches nothing.
        XetURLError
            A name is not UTF-8, or two files would get the same name.
        shutil.SpecialFileError
            A local file is a pipe, a socket or a device.
        AlreadyExistsError, EditConflictError
            A file exists, is not the version expected, or changed since ``parent_commit``.
        """
        conditions = Conditions.asked(mode, if_match)
        chosen = chooser(include, exclude)
        find = partial(expand_local, maxdepth=maxdepth, follow_links=follow_links, chosen=chosen)
        pairs = await self._remote_names(lpath, rpath, recursive, find, chosen)
        check_separate(source for source, _ in pairs)
        sources = [source_given(given) for given, _ in pairs]
        callback = Callback.as_callback(callback)
        callback.set_size(len(pairs))
        async with self._edits(message, parent_commit, pull_request, many=True) as edits:
            places = await self._places(edits, [target for _, target in pairs], conditions, parent_commit)

            async def put(item: tuple[tuple[Any, str], Path | Stream, Place]) -> None:
                (given, target), source, place = item
                with callback.branched(given, target) as child:
                    await put_one(place, source, child)
                callback.relative_update(1)

            await run_all(put, zip(pairs, sources, places, strict=True), limit=self.limits.concurrency)

    async def _remote_names(
        self, lpath: Any, rpath: Any, recursive: bool, find: Callable[..., LocalExpansion], chosen: Callable[[str], bool]
    ) -> list[tuple[Any, str]]:  # fmt: skip
        """Find out which local files to upload, and under which names."""
        lpath, rpath = one_or_lists(lpath, rpath)
        if is_stream(lpath) and not isinstance(rpath, list):
            lpath, rpath = [lpath], [rpath]
        if isinstance(lpath, list) and isinstance(rpath, list):
            pairs = list(zip(lpath, rpath, strict=True))
            pairs = await in_thread(pairs_chosen, pairs, find, chosen, recursive)
            check_distinct((source, self._strip_protocol(target)) for source, target in pairs)
            return pairs
        single = isinstance(lpath, (str, os.PathLike))
        text = stringify_path(lpath) if single else ""
        expansion = await in_thread(partial(find, [lpath] if single else lpath, recursive=recursive))
        expansion.raise_missing()
        lpaths, folders = expansion.names, expansion.folders
        if single and leaves_out_folders(expansion, recursive, expansion.maxdepth):
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
        if not found:
            # An empty folder writes nothing, but the branch must exist.
            await self._check_branch(self._parse(rpath))
        for _, target in found:
            self._parse(target)
        check_distinct(found)
        return found

    # -- deletions, folders --------------------------------------------------------------------------------------------

    @public()
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
        if_match: IfMatch | None = None,
        pull_request: bool = False,
    ) -> None:
        """Delete files, and folders if ``recursive``: one commit for each branch.

        Parameters
        ----------
        path:
            Paths. A path with wildcards is a pattern if it does not exist.
        batch_size:
            Part of fsspec's interface, without effect: the commit deletes all files at once.
        assume_literal:
            Paths are never patterns, even if they do not exist.
        message, parent_commit, pull_request:
            As in `_pipe_file`.
        if_match:
            The version to delete, or a mapping of paths to versions.

        Raises
        ------
        NotFoundError
            A path does not exist.
        IsADirectoryError
            A path is a folder, and ``recursive`` is not set.
        NotSupportedError
            A path is a branch or a repository.
        """
        conditions = Conditions.asked(if_match=if_match)
        path = one_or_list(path)
        for item in path if isinstance(path, list) else [path]:
            if assume_literal or not has_magic(self._strip_protocol(item)):
                self._refuse_above_files(item)
        expansion = await self._expand(path, recursive=recursive, maxdepth=maxdepth, literal=assume_literal)
        expansion.raise_missing()
        for name in expansion.names:
            self._refuse_above_files(name)
        files = await self._files_at(expansion.names, recursive=recursive)
        async with self._edits(message, parent_commit, pull_request, many=True) as edits:
            await self._delete_files(edits, files, conditions, parent_commit)

    @public()
    @at_home
    async def _rm_file(
        self,
        /,
        path: str,
        message: str | None = None,
        parent_commit: str | None = None,
        if_match: IfMatch | None = None,
        pull_request: bool = False,
    ) -> None:
        """Delete one file, see `_rm`; the path is never a pattern."""
        conditions = Conditions.asked(if_match=if_match)
        self._refuse_above_files(path)
        _, found = await self._lookup(*self._parse_file(path))
        if found.is_folder:
            raise IsADirectoryError(errno.EISDIR, "it is a folder; delete it with rm(…, recursive=True)", path)
        async with self._edits(message, parent_commit, pull_request) as edits:
            await self._delete_files(edits, [path], conditions, parent_commit)

    @public()
    @at_home
    async def _mkdir(self, /, path: str, create_parents: bool = True) -> None:
        """Check that a folder could be made, but store nothing: git has no empty folders. The branch must exist.

        If the folder is given as a URL, `_ls` of this instance lists it as an empty folder from now on: DuckDB, which passes
        URLs, makes folders and then checks that they are empty. If it is given as a path, it still does not exist, by fsspec's
        rules for file systems without empty folders.

        Raises
        ------
        RepositoryNotFoundError, RevisionNotFoundError
            There is no such repository or branch; `_make_repo` and `_make_branch` make them.
        NotSupportedError
            The path is in a tag, a commit or a point in time, which cannot be written to.
        FileExistsError, NotADirectoryError
            A file is at the path, or above it.
        """
        url = self._parse(path)
        if not url.path:
            await self._check_branch(url)
            return
        # Looked up with the folders above it: once a table's folder is known to be new, its partitions need no request.
        parts = url.full_path.split("/")
        above = ["/".join(parts[:count]) for count in range(len(parts) - url.path.count("/"), len(parts))]
        there = await self._lookup_all([*above, url.full_path], revalidate=False)
        for name in above:
            folder = there[name]
            if not isinstance(folder, NotFoundError) and not folder[1].is_folder:
                raise NotADirectoryError(errno.ENOTDIR, f"{name} is a file", path)
        found = there[url.full_path]
        if isinstance(found, NotFoundError):
            await self._check_branch(url)
        if not isinstance(found, NotFoundError):
            if not found[1].is_folder:
                raise FileExistsError(errno.EEXIST, "there is a file of this name", path)
            return
        if is_url(path):
            self._made_folders[url.full_path] = None
            while len(self._made_folders) > _MAX_MADE:
                del self._made_folders[next(iter(self._made_folders))]

    async def _check_branch(self, url: XetURL) -> None:
        """Raise an error if the branch does not exist (it says how to make it) or, above branches, if nothing is there."""
        if url.repo_id is not None and url.revision is not None:
            await (await self._connect()).trees.check_branch(url.repo_id, url.revision)
        else:
            await self._info_above(url)

    @public()
    async def _makedirs(self, path: str, exist_ok: bool = False) -> None:
        """Like `_mkdir`, for a folder and those above it.

        Raises
        ------
        FileExistsError
            A file is at the path; or a folder, and ``exist_ok`` is false.
        """
        if not exist_ok and await self._exists(path):
            raise FileExistsError(errno.EEXIST, "it exists already", path)
        await self._mkdir(path)

    @public()
    async def _rmdir(self, path: str) -> None:
        """Remove an empty folder that `_mkdir` made by URL; raise `OSError` for any other path, as git has no empty folders."""
        if is_url(path) and self._made_folders.pop(self._parse(path).full_path, "") is None:
            return
        if await self._isdir(path):
            raise OSError(errno.ENOTEMPTY, "the folder is not empty; delete it with rm(…, recursive=True)", path)
        if await self._exists(path):
            raise NotADirectoryError(errno.ENOTDIR, "it is a file; delete it with rm", path)
        raise FileNotFoundError(errno.ENOENT, "there is no such folder", path)

    @public()
    async def _touch(
        self,
        /,
        path: str,
        truncate: bool = True,
        mode: WriteMode = "overwrite",
        message: str | None = None,
        parent_commit: str | None = None,
        if_match: IfMatch | None = None,
        pull_request: bool = False,
    ) -> None:
        """Make an empty file, or empty an existing one unless ``truncate`` is false.

        Parameters
        ----------
        truncate:
            Whether an existing file is emptied.
        mode, message, parent_commit, if_match, pull_request:
            As in `_pipe_file`. ``mode`` and ``if_match`` are checked even if an existing file is not changed.
        """
        conditions = Conditions.asked(mode, if_match)
        if truncate or mode == "create" or not await self._exists(path):
            await self._pipe_file(path, b"", mode, message, parent_commit, if_match, pull_request)
        elif if_match is not None:
            async with self._edits() as edits:
                await self._places(edits, [path], conditions)

    def _refuse_above_files(self, path: Any) -> None:
        url = self._parse(path)
        if not url.path:
            what = {"branch": "a branch; use delete_branch", "repo": "a repository; use delete_repo"}
            raise NotSupportedError(f"{str(path)!r} is {what.get(url.level, 'not a file')}")
