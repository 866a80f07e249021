"""`XetFS`: the blocking file system.

`pyxet._faces.Blocking` makes each blocking method from its coroutine and keeps the signature; a test compares the two lists.
All of these methods also take ``timeout=`` (seconds).
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar, Unpack, overload

from fsspec.compression import compr
from fsspec.core import get_compression

from pyxet._async.changes.guards import Conditions
from pyxet._async.files.read import AsyncXetReadFile, XetReadFile
from pyxet._async.files.wrappers import CompressedWriter, XetTextFile, ZippedMember
from pyxet._async.files.write import AsyncXetWriteFile, XetWriteFile
from pyxet._async.fs.filesystem import AsyncXetFileSystem
from pyxet._async.fs.mapping import XetMap
from pyxet._async.fs.opening import check_reading, write_mode
from pyxet._faces import Alias, Blocking, BlockingIterator
from pyxet._traces import readable
from pyxet.errors import XetError
from pyxet.options import public
from pyxet.types import BinaryWriteMode, IfMatch, OpenOptions, ReadMode, TextMode, WriteMode

if TYPE_CHECKING:
    from pyxet._async.fs.blocking import BlockingMethods
else:
    BlockingMethods = AsyncXetFileSystem

__all__ = [
    "AsyncXetReadFile",
    "AsyncXetWriteFile",
    "XetFS",
    "XetReadFile",
    "XetWriteFile",
    "open",
]

T = TypeVar("T")


class XetFS(BlockingMethods):
    """The file system for blocking callers, and the one that fsspec uses for ``xet://``.

    It takes the arguments of `AsyncXetFileSystem`. Each method also takes ``timeout``: seconds after which it raises
    `fsspec.exceptions.FSTimeoutError`.

    Examples
    --------
    >>> fs = pyxet.XetFS()
    >>> with fs.transaction as tr:
    ...     tr.set_commit_message("experiment 1")
    ...     df.to_csv(fs.open("acme/titanic/experiment-1/metrics/results.csv", "w"), index=False)
    """

    # Type checkers see the methods in blocking.pyi beside `AsyncXetFileSystem`, which docs/make_blocking.py makes of this table.
    if not TYPE_CHECKING:
        info = Blocking(AsyncXetFileSystem._info)
        url = Blocking(AsyncXetFileSystem._url)
        ls = Blocking(AsyncXetFileSystem._ls)
        find = Blocking(AsyncXetFileSystem._find)
        scan = BlockingIterator(AsyncXetFileSystem._scan)
        walk = BlockingIterator(AsyncXetFileSystem._walk)
        glob = Blocking(AsyncXetFileSystem._glob)
        expand_path = Blocking(AsyncXetFileSystem._expand_path)
        exists = Blocking(AsyncXetFileSystem._exists)
        lexists = Blocking(AsyncXetFileSystem._lexists)
        isfile = Blocking(AsyncXetFileSystem._isfile)
        isdir = Blocking(AsyncXetFileSystem._isdir)
        isdir_or_branch = Blocking(AsyncXetFileSystem._isdir_or_branch)
        size = Blocking(AsyncXetFileSystem._size)
        sizes = Blocking(AsyncXetFileSystem._sizes)
        du = Blocking(AsyncXetFileSystem._du)
        ukey = Blocking(AsyncXetFileSystem._ukey)
        checksum = Blocking(AsyncXetFileSystem._checksum)
        created = Blocking(AsyncXetFileSystem._created)
        modified = Blocking(AsyncXetFileSystem._modified)

        cat_file = Blocking(AsyncXetFileSystem._cat_file)
        cat = Blocking(AsyncXetFileSystem._cat)
        cat_ranges = Blocking(AsyncXetFileSystem._cat_ranges)
        stream = BlockingIterator(AsyncXetFileSystem._stream)
        get_file = Blocking(AsyncXetFileSystem._get_file)
        get = Blocking(AsyncXetFileSystem._get)
        snapshot = Blocking(AsyncXetFileSystem._snapshot)

        pipe_file = Blocking(AsyncXetFileSystem._pipe_file)
        pipe = Blocking(AsyncXetFileSystem._pipe)
        put_file = Blocking(AsyncXetFileSystem._put_file)
        put = Blocking(AsyncXetFileSystem._put)
        cp_file = Blocking(AsyncXetFileSystem._cp_file)
        copy = Blocking(AsyncXetFileSystem._copy)
        mv = Blocking(AsyncXetFileSystem._mv)
        mv_file = Blocking(AsyncXetFileSystem._mv_file)
        rm = Blocking(AsyncXetFileSystem._rm)
        rm_file = Blocking(AsyncXetFileSystem._rm_file)
        mkdir = Blocking(AsyncXetFileSystem._mkdir)
        makedirs = Blocking(AsyncXetFileSystem._makedirs)
        rmdir = Blocking(AsyncXetFileSystem._rmdir)
        touch = Blocking(AsyncXetFileSystem._touch)

        stage = Blocking(AsyncXetFileSystem._stage)
        stage_many = Blocking(AsyncXetFileSystem._stage_many)
        commit = Blocking(AsyncXetFileSystem._commit)

        make_repo = Blocking(AsyncXetFileSystem._make_repo)
        delete_repo = Blocking(AsyncXetFileSystem._delete_repo)
        duplicate_repo = Blocking(AsyncXetFileSystem._duplicate_repo)
        fork_repo = Blocking(AsyncXetFileSystem._fork_repo)
        rename_repo = Blocking(AsyncXetFileSystem._rename_repo)
        set_repo_attr = Blocking(AsyncXetFileSystem._set_repo_attr)
        list_repos = Blocking(AsyncXetFileSystem._list_repos)
        is_repo = Blocking(AsyncXetFileSystem._is_repo)
        repo_info = Blocking(AsyncXetFileSystem._repo_info)
        list_branches = Blocking(AsyncXetFileSystem._list_branches)
        make_branch = Blocking(AsyncXetFileSystem._make_branch)
        delete_branch = Blocking(AsyncXetFileSystem._delete_branch)
        branch_exists = Blocking(AsyncXetFileSystem._branch_exists)
        branch_info = Blocking(AsyncXetFileSystem._branch_info)
        list_tags = Blocking(AsyncXetFileSystem._list_tags)
        make_tag = Blocking(AsyncXetFileSystem._make_tag)
        delete_tag = Blocking(AsyncXetFileSystem._delete_tag)
        find_ref = Blocking(AsyncXetFileSystem._find_ref)
        list_pull_requests = Blocking(AsyncXetFileSystem._list_pull_requests)
        make_pull_request = Blocking(AsyncXetFileSystem._make_pull_request)
        pull_request_info = Blocking(AsyncXetFileSystem._pull_request_info)
        merge_pull_request = Blocking(AsyncXetFileSystem._merge_pull_request)
        close_pull_request = Blocking(AsyncXetFileSystem._close_pull_request)
        open_pull_request = Blocking(AsyncXetFileSystem._open_pull_request)
        comment = Blocking(AsyncXetFileSystem._comment)
        log = Blocking(AsyncXetFileSystem._log)
        iter_log = BlockingIterator(AsyncXetFileSystem._iter_log)
        diff = BlockingIterator(AsyncXetFileSystem._diff)
        squash = Blocking(AsyncXetFileSystem._squash)
        list_lfs_files = Blocking(AsyncXetFileSystem._list_lfs_files)
        get_username = Blocking(AsyncXetFileSystem._get_username)

        cp = Alias("copy")
        move = rename = Alias("mv")
        delete = Alias("rm")
        upload = Alias("put")
        download = Alias("get")
        write_bytes = Alias("pipe_file")
        read_bytes = Alias("cat_file")
        makedir = Alias("mkdir")
        mkdirs = Alias("makedirs")
        listdir = Alias("ls")
        stat = Alias("info")
        disk_usage = Alias("du")

    @public()
    def read_text(
        self,
        path: str,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
        compression: str | None = None,
        block_size: int | None = None,
        cache_type: str | None = None,
        cache_options: dict[str, Any] | None = None,
    ) -> str:
        """The content of a file as text.

        Parameters
        ----------
        encoding, errors, newline, block_size, cache_type, cache_options:
            As in `open`.

        Returns
        -------
        str
            The text.
        """
        with self.open(
            path, "r", block_size, cache_options, compression, cache_type=cache_type,
            encoding=encoding, errors=errors, newline=newline,
        ) as file:  # fmt: skip
            text: str = file.read()
        return text

    @public()
    def write_text(
        self,
        path: str,
        value: str,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
        mode: WriteMode = "overwrite",
        compression: str | None = None,
        message: str | None = None,
        parent_commit: str | None = None,
        if_match: IfMatch | None = None,
    ) -> int:
        """Write a file from text, and return the number of characters.

        Parameters
        ----------
        value:
            The content.
        encoding, errors, newline, compression:
            As in `open`.
        mode, message, parent_commit, if_match:
            As in `pipe_file`.

        Returns
        -------
        int
            Number of characters.
        """
        create = Conditions.asked(mode, if_match).create
        with self.open(
            path, "x" if create else "w", compression=compression, encoding=encoding, errors=errors, newline=newline,
            message=message, parent_commit=parent_commit, if_match=if_match,
        ) as file:  # fmt: skip
            written: int = file.write(value)
        return written

    @public()
    def get_mapper(
        self, root: str = "", check: bool = False, create: bool = False, missing_exceptions: Any = None
    ) -> XetMap:
        """The files below a folder as a mapping of their paths to their contents.

        Parameters
        ----------
        root:
            The folder; keys are paths below it, and no key is a pattern.
        check:
            Write a file and delete it, to check that writing is possible.
        create:
            Call `makedirs` for the folder, which makes nothing, as git has no empty folders.
        missing_exceptions:
            Types of errors that mean that a key does not exist, in place of `FileNotFoundError`, `IsADirectoryError` and
            `NotADirectoryError`.

        Returns
        -------
        XetMap
            A mapping whose items are read and written when they are used.
        """
        return XetMap(root, self, check=check, create=create, missing_exceptions=missing_exceptions)

    @overload
    def open(
        self, path: str, mode: TextMode, block_size: int | None = None,
        cache_options: dict[str, Any] | None = None, compression: str | None = None, cache_type: str | None = None,
        encoding: str | None = None, errors: str | None = None, newline: str | None = None, autocommit: bool = True,
        message: str | None = None, parent_commit: str | None = None, if_match: IfMatch | None = None,
    ) -> io.TextIOWrapper: ...  # fmt: skip
    @overload
    def open(
        self, path: str, mode: ReadMode = "rb", block_size: int | None = None,
        cache_options: dict[str, Any] | None = None, compression: None = None, cache_type: str | None = None,
        encoding: str | None = None, errors: str | None = None, newline: str | None = None, autocommit: bool = True,
        message: str | None = None, parent_commit: str | None = None, if_match: IfMatch | None = None,
    ) -> XetReadFile: ...  # fmt: skip
    @overload
    def open(
        self, path: str, mode: BinaryWriteMode, block_size: int | None = None,
        cache_options: dict[str, Any] | None = None, compression: None = None, cache_type: str | None = None,
        encoding: str | None = None, errors: str | None = None, newline: str | None = None, autocommit: bool = True,
        message: str | None = None, parent_commit: str | None = None, if_match: IfMatch | None = None,
    ) -> XetWriteFile: ...  # fmt: skip
    @overload
    def open(
        self, path: str, mode: ReadMode | BinaryWriteMode = "rb", block_size: int | None = None,
        cache_options: dict[str, Any] | None = None, *, compression: str, cache_type: str | None = None,
        encoding: str | None = None, errors: str | None = None, newline: str | None = None, autocommit: bool = True,
        message: str | None = None, parent_commit: str | None = None, if_match: IfMatch | None = None,
    ) -> BinaryIO: ...  # fmt: skip
    @overload
    def open(
        self, path: str, mode: str = "rb", block_size: int | None = None,
        cache_options: dict[str, Any] | None = None, compression: str | None = None, cache_type: str | None = None,
        encoding: str | None = None, errors: str | None = None, newline: str | None = None, autocommit: bool = True,
        message: str | None = None, parent_commit: str | None = None, if_match: IfMatch | None = None,
    ) -> Any: ...  # fmt: skip
    # dask passes s3fs's option ``default_cache`` when it reads footers; other libraries pass the ``size`` of the file.
    @public("size", "default_cache")
    def open(
        self,
        path: str,
        mode: str = "rb",
        block_size: int | None = None,
        cache_options: dict[str, Any] | None = None,
        compression: str | None = None,
        cache_type: str | None = None,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
        autocommit: bool = True,
        message: str | None = None,
        parent_commit: str | None = None,
        if_match: IfMatch | None = None,
    ) -> Any:
        """Open a file.

        Parameters
        ----------
        mode:
            ``r``, ``w``, ``x`` or ``a``, binary with ``b``.
        block_size, cache_type, cache_options:
            For reading: use one of fsspec's caches, instead of reading ahead while access is sequential.
        compression:
            Name of a codec, or ``infer`` from the path.
        encoding, errors, newline:
            For text, as in `io.TextIOWrapper`, but the defaults are the same on all machines: the encoding is UTF-8, and
            line ends are written as they are given.
        autocommit:
            For writing: whether ``close`` publishes the file. If false, the file's ``commit`` does.
        message, parent_commit, if_match:
            For writing: as in `pipe_file`.

        Returns
        -------
        XetReadFile, XetWriteFile, or a text file around one
            Depending on the mode and the compression.

        Raises
        ------
        TypeError
            An option is unknown, or has no meaning in this mode.
        NotFoundError, AlreadyExistsError, EditConflictError
            The file to read does not exist; the file to create exists; the file to replace has another version.
        """
        if "b" in mode and (encoding, errors, newline) != (None, None, None):
            raise ValueError("encoding, errors and newline are for text; open the file without 'b' in its mode")
        # Files of repositories are read on other machines, so their text must not depend on settings of this one.
        text: dict[str, Any] = {"encoding": encoding or "utf-8", "errors": errors, "newline": newline}
        binary = mode if "b" in mode else mode.replace("t", "") + "b"
        name = get_compression(path, compression)
        # fsspec also has a codec for "no compression", which is not needed here.
        codec = compr[name] if name is not None else None
        try:
            file = self._open(
                path, binary, block_size, autocommit, cache_options, cache_type, hold=False,
                message=message, parent_commit=parent_commit, if_match=if_match,
            )  # fmt: skip
        except (XetError, OSError) as error:
            readable(error)
            raise
        outermost: Any = file
        if codec is not None:
            if isinstance(file, XetWriteFile):
                inner = ZippedMember(file) if name == "zip" else codec(file, mode=mode[0])
                outermost = CompressedWriter(inner, file)
            else:
                outermost = codec(file, mode=mode[0])
        if isinstance(file, XetWriteFile):
            if "b" not in mode:
                outermost = XetTextFile(outermost, **text | {"newline": "\n" if newline is None else newline})
            file.join_transaction(outermost)
        elif "b" not in mode:
            outermost = io.TextIOWrapper(outermost, **text)
        return outermost

    @public("size")
    def _open(
        self,
        path: str,
        mode: str = "rb",
        block_size: int | None = None,
        autocommit: bool = True,
        cache_options: dict[str, Any] | None = None,
        cache_type: str | None = None,
        hold: bool = True,
        message: str | None = None,
        parent_commit: str | None = None,
        if_match: IfMatch | None = None,
    ) -> XetReadFile | XetWriteFile:
        """Open a binary file without wrappers, see `open`."""
        loop = self.loop
        name = self._strip_protocol(path)
        if mode == "rb":
            check_reading(message=message, parent_commit=parent_commit, if_match=if_match)
            info, pinned, fetch = self._block_on(self._open_for_reading, path)
            return XetReadFile(
                self, name, info, pinned=pinned, fetch=fetch, loop=loop, read_ahead=self.limits.memory // 4,
                block_size=block_size or self._reading.block_size, cache_type=cache_type or self._reading.cache_type,
                cache_options=cache_options or self._reading.cache_options,
            )  # fmt: skip
        writing = self._block_on(
            self._open_for_writing, path, write_mode(mode), message, parent_commit, if_match
        )  # fmt: skip
        file = XetWriteFile(self, name, mode, writing, loop=loop, autocommit=autocommit)
        if hold:
            file.join_transaction(file)
        return file


@overload
def open(
    url: str, mode: TextMode, *, compression: str | None = None, **options: Unpack[OpenOptions]
) -> io.TextIOWrapper: ...  # fmt: skip
@overload
def open(
    url: str, mode: ReadMode = "rb", *, compression: None = None, **options: Unpack[OpenOptions]
) -> XetReadFile: ...
@overload
def open(
    url: str, mode: BinaryWriteMode, *, compression: None = None, **options: Unpack[OpenOptions]
) -> XetWriteFile: ...
@overload
def open(
    url: str, mode: ReadMode | BinaryWriteMode = "rb", *, compression: str, **options: Unpack[OpenOptions]
) -> BinaryIO: ...  # fmt: skip
@overload
def open(url: str, mode: str, *, compression: str | None = None, **options: Unpack[OpenOptions]) -> Any: ...
def open(url: str, mode: str = "rb", **kwargs: Any) -> Any:
    """Open a file by its URL.

    Parameters
    ----------
    url:
        ``xet://[endpoint:]owner/repo/branch/path``.
    mode, kwargs:
        As in `XetFS.open`.

    Returns
    -------
    XetReadFile, XetWriteFile, or a text file around one
        Depending on the mode and the compression.
    """
    return XetFS(XetFS._get_kwargs_from_urls(url).get("endpoint")).open(url, mode, **kwargs)
