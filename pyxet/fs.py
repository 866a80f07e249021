"""`XetFS`: the blocking face of the file system.

Each blocking method is made from its coroutine by `_Blocking`, which keeps its signature; a test compares the two lists.
All of them take ``timeout=`` (seconds) as well.
"""

from __future__ import annotations

import functools
import io
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from types import MethodType
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar, Unpack, overload

from fsspec.compression import compr
from fsspec.core import get_compression

from pyxet._async.changes.file_write import start_on
from pyxet._async.changes.guards import Conditions
from pyxet._async.files.read import AsyncXetReadFile, XetReadFile
from pyxet._async.files.wrappers import CompressedWriter, XetTextFile, ZippedMember
from pyxet._async.files.write import AsyncXetWriteFile, XetWriteFile
from pyxet._async.fs.base import FileSystemBase
from pyxet._async.fs.filesystem import AsyncXetFileSystem
from pyxet._async.fs.mapping import XetMap
from pyxet._async.fs.opening import check_reading, write_mode
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


class _Face:
    """What is common to both kinds: a function of the class, so that ``fs.size`` is a bound method like any other.

    Bound methods can be pickled, which process pools do with what they are given.
    """

    call: Callable[..., Any]
    coroutine: str

    def __init__(self, method: Callable[..., Any]) -> None:
        self.coroutine = method.__name__
        self.call = functools.wraps(method)(self._made())
        self.__doc__ = method.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self.call.__name__, self.call.__qualname__ = name, f"{owner.__qualname__}.{name}"
        self.call.__module__ = owner.__module__

    def __get__(self, instance: FileSystemBase | None, owner: type) -> Callable[..., Any]:
        return self.call if instance is None else MethodType(self.call, instance)

    def _made(self) -> Callable[..., Any]:
        raise NotImplementedError


class _Blocking(_Face):
    """A blocking method made from a coroutine function of `AsyncXetFileSystem`."""

    def _made(self) -> Callable[..., Any]:
        # By name, so that what a subclass makes of the coroutine counts here as well.
        name = self.coroutine

        def call(fs: FileSystemBase, /, *args: Any, **kwargs: Any) -> Any:
            method: Callable[..., Coroutine[Any, Any, Any]] = getattr(fs, name)
            return fs._block_on(method, *args, **kwargs)

        return call


class _BlockingIterator(_Face):
    """A blocking generator method made from an asynchronous one; ``timeout`` is for each item."""

    def _made(self) -> Callable[..., Iterator[Any]]:
        name = self.coroutine

        def call(fs: FileSystemBase, /, *args: Any, timeout: float | None = None, **kwargs: Any) -> Iterator[Any]:
            # Wrong arguments show at once, not with the first item.
            return following(fs, getattr(fs, name)(*args, **kwargs), timeout)

        def following(fs: FileSystemBase, items: AsyncGenerator[T, None], timeout: float | None) -> Iterator[T]:
            async def one() -> T:
                return await anext(items)

            while True:
                try:
                    item = fs._block_on(one, timeout=timeout)
                except StopAsyncIteration:
                    return
                try:
                    yield item
                except BaseException:
                    # What it reads ahead would stay until somebody collects it. A generator may be closed on any thread.
                    start_on(fs.loop, items.aclose)
                    raise

        return call


class _Alias:
    """Another name of a method, as fsspec has them."""

    def __init__(self, target: str) -> None:
        self.target = target

    def __get__(self, instance: object, owner: type) -> Any:
        return getattr(owner if instance is None else instance, self.target)


class XetFS(BlockingMethods):
    """`AsyncXetFileSystem` for blocking callers, and what fsspec makes of ``xet://``.

    Its arguments are those of `AsyncXetFileSystem`. Each method takes ``timeout`` as well: seconds after which it raises
    `fsspec.exceptions.FSTimeoutError`.

    Examples
    --------
    >>> fs = pyxet.XetFS()
    >>> with fs.transaction as tr:
    ...     tr.set_commit_message("experiment 1")
    ...     df.to_csv(fs.open("acme/titanic/experiment-1/metrics/results.csv", "w"), index=False)
    """

    # Type checkers have them from the stub beside `AsyncXetFileSystem`, which docs/make_blocking.py makes of this table.
    if not TYPE_CHECKING:
        info = _Blocking(AsyncXetFileSystem._info)
        url = _Blocking(AsyncXetFileSystem._url)
        ls = _Blocking(AsyncXetFileSystem._ls)
        find = _Blocking(AsyncXetFileSystem._find)
        scan = _BlockingIterator(AsyncXetFileSystem._scan)
        walk = _BlockingIterator(AsyncXetFileSystem._walk)
        glob = _Blocking(AsyncXetFileSystem._glob)
        expand_path = _Blocking(AsyncXetFileSystem._expand_path)
        exists = _Blocking(AsyncXetFileSystem._exists)
        lexists = _Blocking(AsyncXetFileSystem._lexists)
        isfile = _Blocking(AsyncXetFileSystem._isfile)
        isdir = _Blocking(AsyncXetFileSystem._isdir)
        isdir_or_branch = _Blocking(AsyncXetFileSystem._isdir_or_branch)
        size = _Blocking(AsyncXetFileSystem._size)
        sizes = _Blocking(AsyncXetFileSystem._sizes)
        du = _Blocking(AsyncXetFileSystem._du)
        ukey = _Blocking(AsyncXetFileSystem._ukey)
        checksum = _Blocking(AsyncXetFileSystem._checksum)
        created = _Blocking(AsyncXetFileSystem._created)
        modified = _Blocking(AsyncXetFileSystem._modified)

        cat_file = _Blocking(AsyncXetFileSystem._cat_file)
        cat = _Blocking(AsyncXetFileSystem._cat)
        cat_ranges = _Blocking(AsyncXetFileSystem._cat_ranges)
        stream = _BlockingIterator(AsyncXetFileSystem._stream)
        get_file = _Blocking(AsyncXetFileSystem._get_file)
        get = _Blocking(AsyncXetFileSystem._get)

        pipe_file = _Blocking(AsyncXetFileSystem._pipe_file)
        pipe = _Blocking(AsyncXetFileSystem._pipe)
        put_file = _Blocking(AsyncXetFileSystem._put_file)
        put = _Blocking(AsyncXetFileSystem._put)
        cp_file = _Blocking(AsyncXetFileSystem._cp_file)
        copy = _Blocking(AsyncXetFileSystem._copy)
        mv = _Blocking(AsyncXetFileSystem._mv)
        mv_file = _Blocking(AsyncXetFileSystem._mv_file)
        rm = _Blocking(AsyncXetFileSystem._rm)
        rm_file = _Blocking(AsyncXetFileSystem._rm_file)
        mkdir = _Blocking(AsyncXetFileSystem._mkdir)
        makedirs = _Blocking(AsyncXetFileSystem._makedirs)
        rmdir = _Blocking(AsyncXetFileSystem._rmdir)
        touch = _Blocking(AsyncXetFileSystem._touch)

        stage = _Blocking(AsyncXetFileSystem._stage)
        stage_many = _Blocking(AsyncXetFileSystem._stage_many)
        commit = _Blocking(AsyncXetFileSystem._commit)

        make_repo = _Blocking(AsyncXetFileSystem._make_repo)
        delete_repo = _Blocking(AsyncXetFileSystem._delete_repo)
        duplicate_repo = _Blocking(AsyncXetFileSystem._duplicate_repo)
        fork_repo = _Blocking(AsyncXetFileSystem._fork_repo)
        rename_repo = _Blocking(AsyncXetFileSystem._rename_repo)
        set_repo_attr = _Blocking(AsyncXetFileSystem._set_repo_attr)
        list_repos = _Blocking(AsyncXetFileSystem._list_repos)
        is_repo = _Blocking(AsyncXetFileSystem._is_repo)
        repo_info = _Blocking(AsyncXetFileSystem._repo_info)
        list_branches = _Blocking(AsyncXetFileSystem._list_branches)
        make_branch = _Blocking(AsyncXetFileSystem._make_branch)
        delete_branch = _Blocking(AsyncXetFileSystem._delete_branch)
        branch_exists = _Blocking(AsyncXetFileSystem._branch_exists)
        branch_info = _Blocking(AsyncXetFileSystem._branch_info)
        list_tags = _Blocking(AsyncXetFileSystem._list_tags)
        make_tag = _Blocking(AsyncXetFileSystem._make_tag)
        delete_tag = _Blocking(AsyncXetFileSystem._delete_tag)
        find_ref = _Blocking(AsyncXetFileSystem._find_ref)
        list_pull_requests = _Blocking(AsyncXetFileSystem._list_pull_requests)
        make_pull_request = _Blocking(AsyncXetFileSystem._make_pull_request)
        pull_request_info = _Blocking(AsyncXetFileSystem._pull_request_info)
        merge_pull_request = _Blocking(AsyncXetFileSystem._merge_pull_request)
        close_pull_request = _Blocking(AsyncXetFileSystem._close_pull_request)
        open_pull_request = _Blocking(AsyncXetFileSystem._open_pull_request)
        comment = _Blocking(AsyncXetFileSystem._comment)
        log = _Blocking(AsyncXetFileSystem._log)
        iter_log = _BlockingIterator(AsyncXetFileSystem._iter_log)
        diff = _BlockingIterator(AsyncXetFileSystem._diff)
        get_username = _Blocking(AsyncXetFileSystem._get_username)

        cp = _Alias("copy")
        move = rename = _Alias("mv")
        delete = _Alias("rm")
        upload = _Alias("put")
        download = _Alias("get")
        write_bytes = _Alias("pipe_file")
        read_bytes = _Alias("cat_file")
        makedir = _Alias("mkdir")
        mkdirs = _Alias("makedirs")
        listdir = _Alias("ls")
        stat = _Alias("info")
        disk_usage = _Alias("du")

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
        """Write a file from text; the number of characters.

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
            Write a file and delete it, to see whether that is possible.
        create:
            Make the folder, for which git has nothing to make.
        missing_exceptions:
            Types of errors that mean that there is no such key, in place of `FileNotFoundError`, `IsADirectoryError` and
            `NotADirectoryError`.

        Returns
        -------
        XetMap
            It reads and writes when its items are.
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
    # dask names a cache in the words of s3fs when it looks at footers; others know the size of the file.
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
            For reading, one of fsspec's caches instead of reading ahead while access is sequential.
        compression:
            Name of a codec, or ``infer`` from the path.
        encoding, errors, newline:
            For text, as in `io.TextIOWrapper`.
        autocommit:
            For writing, whether ``close`` publishes the file; otherwise its ``commit`` does.
        message, parent_commit, if_match:
            For writing, as in `pipe_file`.

        Returns
        -------
        XetReadFile, XetWriteFile, or a text file around one
            By the mode and the compression.

        Raises
        ------
        TypeError
            An option is unknown, or of no meaning in this mode.
        NotFoundError, AlreadyExistsError, EditConflictError
            The file to read is not there; the file to make exists, or is another version.
        """
        if "b" in mode and (encoding, errors, newline) != (None, None, None):
            raise ValueError("encoding, errors and newline are for text; open the file without 'b' in its mode")
        text: dict[str, Any] = {"encoding": encoding, "errors": errors, "newline": newline}
        binary = mode if "b" in mode else mode.replace("t", "") + "b"
        name = get_compression(path, compression)
        # There is a codec for "none" as well, which we leave out.
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
                outermost = XetTextFile(outermost, **text)
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
        """A binary file without wrappers, see `open`."""
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
        By the mode and the compression.
    """
    return XetFS(XetFS._get_kwargs_from_urls(url).get("endpoint")).open(url, mode, **kwargs)
