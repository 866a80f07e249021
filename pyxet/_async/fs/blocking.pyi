"""The blocking methods of `XetFS`, for type checkers and editors. Made by `python docs/make_blocking.py`.

Each is the coroutine of the same name with an underscore, and takes ``timeout`` (seconds) as well.
"""

import os
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from datetime import datetime
from fsspec.callbacks import Callback
from pyxet._async.fs.filesystem import AsyncXetFileSystem
from pyxet._async.fs.reading import Bounds, OnError, Paths
from pyxet._async.fs.staging import StageSource
from pyxet.local_rules import LocalNames
from pyxet.protocol.hashing import Buffer
from pyxet.types import AsyncSource, BranchInfo, Commit, DuplicateInfo, FilePointer, IfMatch, Info, LfsFile, PathChange, PullRequest, PullRequestInfo, RefInfo, TagInfo, WriteMode
from typing import Any, Literal, overload

class BlockingMethods(AsyncXetFileSystem):
    def info(self, /, path: str, expand: bool=False, refresh: bool=False, *, timeout: float | None=None) -> Info:
        """Describe the file, folder, branch, repository or owner at a path.

        Parameters
        ----------
        path:
            ``owner/repo/branch/path``, or the ``xet://`` URL of that path.
        expand:
            Include ``last_modified``, which is expensive for the endpoint.
        refresh:
            Ask the endpoint for the head of the branch, even if it was requested recently.

        Returns
        -------
        dict
            ``name``, ``size`` in bytes, ``type`` (``file`` or ``directory``); for files ``blob_id``, ``commit``, and
            ``xet_hash`` and ``sha256`` if they have them; for directories ``kind`` (owner, repo, branch, directory).

        Raises
        ------
        NotFoundError
            Nothing is at the path.
        XetError
            The endpoint refuses the request, or fails after retries; see the subclasses in `pyxet.errors`.
        """

    def url(self, /, path: str, *, timeout: float | None=None) -> str:
        """The web address of a file's content, or of the page of a folder, branch, repository or owner.

        Parameters
        ----------
        path:
            A file, folder, branch, repository or owner.

        Returns
        -------
        str
            The address. If the repository is private, requests to it need the token.

        Raises
        ------
        NotFoundError
            Nothing is at the path.
        XetError
            The endpoint refuses the request, or fails after retries; see the subclasses in `pyxet.errors`.
        """

    @overload
    def ls(
        self,
        /,
        path: str,
        detail: Literal[True]=True,
        refresh: bool=False,
        expand: bool=False,
        *,
        timeout: float | None=None,
    ) -> list[Info]:
        """List the files and folders in a folder, the branches of a repository, or the repositories of an owner.

        Parameters
        ----------
        path:
            ``owner/repo/branch/path``, or the ``xet://`` URL of that path.
        detail:
            Return dictionaries like those of `info`; otherwise names.
        refresh:
            Ask the endpoint for the head of the branch, even if it was requested recently.
        expand:
            Include ``last_modified`` of files and folders, which is expensive for the endpoint.

        Returns
        -------
        list
            Dictionaries or names. Files and folders are sorted by name, others are in the endpoint's order.

        Raises
        ------
        XetError
            The endpoint refuses the request, or fails after retries; see the subclasses in `pyxet.errors`.
        """

    @overload
    def ls(
        self,
        /,
        path: str,
        detail: Literal[False],
        refresh: bool=False,
        expand: bool=False,
        *,
        timeout: float | None=None,
    ) -> list[str]: ...
    @overload
    def ls(
        self,
        /,
        path: str,
        detail: bool=True,
        refresh: bool=False,
        expand: bool=False,
        *,
        timeout: float | None=None,
    ) -> list[Info] | list[str]: ...
    @overload
    def find(
        self,
        /,
        path: str,
        maxdepth: int | None=None,
        withdirs: bool=False,
        detail: Literal[False]=False,
        expand: bool=False,
        prefix: str='',
        refresh: bool=False,
        *,
        timeout: float | None=None,
    ) -> list[str]:
        """List all files below a path, sorted by name.

        Parameters
        ----------
        path:
            ``owner/repo/branch/path``, or the ``xet://`` URL of that path.
        maxdepth:
            Number of folder levels to search.
        withdirs:
            Include folders, and the given path itself.
        detail:
            Return a dictionary of names to infos; otherwise a list of names.
        expand:
            Include ``last_modified`` of everything below the path, which is expensive for the endpoint.
        prefix:
            List only names that begin with the path, a slash and this: ``2026-11/a``. Only the folder that it names
            (``2026-11``) is searched.
        refresh:
            Ask the endpoint for the head of the branch, even if it was requested recently.

        Returns
        -------
        list or dict
            Names, or a dictionary of names to infos if ``detail`` is on.

        Raises
        ------
        XetError
            The endpoint refuses the request, or fails after retries; see the subclasses in `pyxet.errors`.
        """

    @overload
    def find(
        self,
        /,
        path: str,
        maxdepth: int | None=None,
        withdirs: bool=False,
        *,
        detail: Literal[True],
        expand: bool=False,
        prefix: str='',
        refresh: bool=False,
        timeout: float | None=None,
    ) -> dict[str, Info]: ...
    @overload
    def find(
        self,
        /,
        path: str,
        maxdepth: int | None=None,
        withdirs: bool=False,
        detail: bool=False,
        expand: bool=False,
        prefix: str='',
        refresh: bool=False,
        *,
        timeout: float | None=None,
    ) -> dict[str, Info] | list[str]: ...
    def scan(self, path: str, dates: bool=False, *, timeout: float | None=None) -> Generator[list[Info], None, None]:
        """Iterate over all files below a path of a branch, page by page. The first pages come before the listing is complete.

        All pages are of the same commit, in the order of the endpoint's listing. The scan needs less memory than `find`. If
        a request fails, the scan ends with its error.

        Parameters
        ----------
        path:
            A branch, a folder, or a file, which is then the only result.
        dates:
            Include ``last_modified``, which is expensive for the endpoint. In a branch that a transaction has changed, there
            are no dates.

        Yields
        ------
        list of dict
            Dictionaries like those of `info`.

        Raises
        ------
        NotFoundError
            Nothing is at the path.
        XetURLError
            The path is an owner or a repository.
        """

    @overload
    def walk(
        self,
        /,
        path: str,
        maxdepth: int | None=None,
        topdown: bool=True,
        on_error: str | Callable[[Exception], object]='omit',
        detail: Literal[False]=False,
        refresh: bool=False,
        *,
        timeout: float | None=None,
    ) -> Generator[tuple[str, list[str], list[str]], None, None]:
        """Walk through all folders below a path; each gives a tuple of its path, its folders and its files.

        Parameters
        ----------
        path:
            ``owner/repo/branch/path``, or the ``xet://`` URL of that path.
        maxdepth:
            How many levels of folders to descend; ``None`` for all.
        topdown:
            Yield a folder before the folders in it. Folders that the caller removes from a yielded tuple are not walked.
        on_error:
            What to do if the path does not exist: ``omit`` yields it without content, ``raise`` raises the error, a
            function is called with the error. Other errors are always raised, so that a walk is complete.
        detail:
            Yield folders and files as dictionaries of names to infos; otherwise as lists of names.
        refresh:
            Ask the endpoint for the head of the branch, even if it was requested recently.

        Returns
        -------
        AsyncIterator of tuple
            Path, folders and files: the last two as lists of names, or as dictionaries if ``detail`` is on.
        """

    @overload
    def walk(
        self,
        /,
        path: str,
        maxdepth: int | None=None,
        topdown: bool=True,
        on_error: str | Callable[[Exception], object]='omit',
        *,
        detail: Literal[True],
        refresh: bool=False,
        timeout: float | None=None,
    ) -> Generator[tuple[str, dict[str, Info], dict[str, Info]], None, None]: ...
    @overload
    def walk(
        self,
        /,
        path: str,
        maxdepth: int | None=None,
        topdown: bool=True,
        on_error: str | Callable[[Exception], object]='omit',
        detail: bool=False,
        refresh: bool=False,
        *,
        timeout: float | None=None,
    ) -> Generator[tuple[str, Any, Any], None, None]: ...
    @overload
    def glob(
        self,
        /,
        path: str,
        maxdepth: int | None=None,
        detail: Literal[False]=False,
        withdirs: bool=True,
        expand: bool=False,
        prefix: str='',
        refresh: bool=False,
        *,
        timeout: float | None=None,
    ) -> list[str]:
        """List the paths that match a pattern, sorted by name.

        Parameters
        ----------
        path:
            Pattern with ``*``, ``?``, ``[…]`` inside parts, and ``**`` for any number of parts.
        maxdepth:
            Number of folder levels that ``**`` matches.
        detail, withdirs, expand:
            As in `find`; folders are included unless ``withdirs`` is off.
        prefix:
            List only paths whose rest, from the first part with a wildcard on, begins with this.
        refresh:
            Ask the endpoint for the heads of branches, even if they were requested recently.

        Returns
        -------
        list or dict
            Names, or a dictionary of names to infos if ``detail`` is on.

        Raises
        ------
        XetError
            The endpoint refuses the request, or fails after retries; see the subclasses in `pyxet.errors`.
        """

    @overload
    def glob(
        self,
        /,
        path: str,
        maxdepth: int | None=None,
        *,
        detail: Literal[True],
        withdirs: bool=True,
        expand: bool=False,
        prefix: str='',
        refresh: bool=False,
        timeout: float | None=None,
    ) -> dict[str, Info]: ...
    @overload
    def glob(
        self,
        /,
        path: str,
        maxdepth: int | None=None,
        detail: bool=False,
        withdirs: bool=True,
        expand: bool=False,
        prefix: str='',
        refresh: bool=False,
        *,
        timeout: float | None=None,
    ) -> dict[str, Info] | list[str]: ...
    def expand_path(
        self,
        path: Any,
        recursive: bool=False,
        maxdepth: int | None=None,
        assume_literal: bool=False,
        *,
        timeout: float | None=None,
    ) -> list[str]:
        """Return the paths that a path, a pattern or a list of them stands for; if ``recursive``, also those below them.

        A name that exists is not a pattern. A name that does not exist and has no wildcards is returned as it is, unless
        ``recursive``.

        Parameters
        ----------
        path:
            ``owner/repo/branch/path``, or the ``xet://`` URL of that path.
        recursive:
            Include the content of folders.
        maxdepth:
            How many levels of folders to descend; ``None`` for all.
        assume_literal:
            Treat no path as a pattern, even if nothing has that name.

        Returns
        -------
        list of str
            Sorted, each once.

        Raises
        ------
        NotFoundError
            The list is empty, a pattern matches nothing, or, if ``recursive``, a path does not exist.
        XetError
            The endpoint refuses the request, or fails after retries; see the subclasses in `pyxet.errors`.
        """

    def exists(self, /, path: str, refresh: bool=False, *, timeout: float | None=None) -> bool:
        """Whether something is at a path. Errors other than "not found" are raised. See `info`.

        Parameters
        ----------
        path:
            ``owner/repo/branch/path``, or the ``xet://`` URL of that path.
        refresh:
            Ask the endpoint for the head of the branch, even if it was requested recently.

        Returns
        -------
        bool
            Whether something is there.

        Raises
        ------
        XetError
            The endpoint refuses the request, or fails after retries; see the subclasses in `pyxet.errors`.
        """

    def lexists(self, /, path: str, refresh: bool=False, *, timeout: float | None=None) -> bool:
        """The same as `exists`, which does not follow links.

        Parameters
        ----------
        path:
            ``owner/repo/branch/path``, or the ``xet://`` URL of that path.
        refresh:
            Ask the endpoint for the head of the branch, even if it was requested recently.

        Returns
        -------
        bool
            Whether something is there.

        Raises
        ------
        XetError
            The endpoint refuses the request, or fails after retries; see the subclasses in `pyxet.errors`.
        """

    def isfile(self, path: str, *, timeout: float | None=None) -> bool:
        """Whether a file is at a path. Errors other than "not found" are raised.

        Parameters
        ----------
        path:
            ``owner/repo/branch/path``, or the ``xet://`` URL of that path.

        Returns
        -------
        bool
            Whether the path is a file.

        Raises
        ------
        XetError
            The endpoint refuses the request, or fails after retries; see the subclasses in `pyxet.errors`.
        """

    def isdir(self, path: str, *, timeout: float | None=None) -> bool:
        """Whether a folder, branch, repository or owner is at a path. Errors other than "not found" are raised.

        Parameters
        ----------
        path:
            ``owner/repo/branch/path``, or the ``xet://`` URL of that path.

        Returns
        -------
        bool
            Whether the path is one of these.

        Raises
        ------
        XetError
            The endpoint refuses the request, or fails after retries; see the subclasses in `pyxet.errors`.
        """

    def isdir_or_branch(self, path: str, *, timeout: float | None=None) -> bool:
        """The same as `isdir`, under the name that the first pyxet used.

        Parameters
        ----------
        path:
            ``owner/repo/branch/path``, or the ``xet://`` URL of that path.

        Returns
        -------
        bool
            Whether the path is a folder, branch, repository or owner.

        Raises
        ------
        XetError
            The endpoint refuses the request, or fails after retries; see the subclasses in `pyxet.errors`.
        """

    def size(self, path: str, *, timeout: float | None=None) -> int:
        """The size of a file in bytes.

        Parameters
        ----------
        path:
            ``owner/repo/branch/path``, or the ``xet://`` URL of that path.

        Returns
        -------
        int
            Bytes; 0 for a folder.

        Raises
        ------
        XetError
            The endpoint refuses the request, or fails after retries; see the subclasses in `pyxet.errors`.
        """

    def sizes(self, /, paths: Sequence[str], *, timeout: float | None=None) -> list[int]:
        """The sizes of several files in bytes.

        Parameters
        ----------
        paths:
            A list of ``owner/repo/branch/path``.

        Returns
        -------
        list of int
            In the order of the paths.

        Raises
        ------
        XetError
            The endpoint refuses the request, or fails after retries; see the subclasses in `pyxet.errors`.
        """

    @overload
    def du(
        self,
        /,
        path: str,
        total: Literal[True]=True,
        maxdepth: int | None=None,
        withdirs: bool=False,
        refresh: bool=False,
        *,
        timeout: float | None=None,
    ) -> int:
        """The sizes of the files below a path, in bytes: their sum, or one by one. Shared content counts for each file.

        Parameters
        ----------
        path:
            ``owner/repo/branch/path``, or the ``xet://`` URL of that path.
        total:
            Return the sum; otherwise the size of each file.
        maxdepth:
            How many levels of folders to descend; ``None`` for all.
        withdirs:
            Include folders.
        refresh:
            Ask the endpoint for the head of the branch, even if it was requested recently.

        Returns
        -------
        int or dict
            The sum in bytes; a dictionary of paths to sizes in bytes if ``total`` is off.

        Raises
        ------
        XetError
            The endpoint refuses the request, or fails after retries; see the subclasses in `pyxet.errors`.
        """

    @overload
    def du(
        self,
        /,
        path: str,
        total: Literal[False],
        maxdepth: int | None=None,
        withdirs: bool=False,
        refresh: bool=False,
        *,
        timeout: float | None=None,
    ) -> dict[str, int]: ...
    @overload
    def du(
        self,
        /,
        path: str,
        total: bool=True,
        maxdepth: int | None=None,
        withdirs: bool=False,
        refresh: bool=False,
        *,
        timeout: float | None=None,
    ) -> int | dict[str, int]: ...
    def ukey(self, path: str, *, timeout: float | None=None) -> str:
        """Return a key that is different for each version of a file.

        Parameters
        ----------
        path:
            ``owner/repo/branch/path``, or the ``xet://`` URL of that path.

        Returns
        -------
        str
            Hexadecimal digits.

        Raises
        ------
        XetError
            The endpoint refuses the request, or fails after retries; see the subclasses in `pyxet.errors`.
        """

    def checksum(self, path: str, *, timeout: float | None=None) -> int:
        """Return a number that identifies the content of a file.

        Parameters
        ----------
        path:
            ``owner/repo/branch/path``, or the ``xet://`` URL of that path.

        Returns
        -------
        int
            The SHA-256 of the content, or the git object id of a file that git itself stores.

        Raises
        ------
        XetError
            The endpoint refuses the request, or fails after retries; see the subclasses in `pyxet.errors`.
        """

    def created(self, path: str, *, timeout: float | None=None) -> datetime:
        """Return when a repository was created; for other paths, the time of the oldest commit that changed it.

        Parameters
        ----------
        path:
            ``owner/repo/branch/path``, or the ``xet://`` URL of that path.

        Returns
        -------
        datetime
            In UTC. The present time if the path is only pending.

        Raises
        ------
        XetError
            The endpoint refuses the request, or fails after retries; see the subclasses in `pyxet.errors`.
        """

    def modified(self, path: str, *, timeout: float | None=None) -> datetime:
        """Return when a path last changed (now, if pending); for a branch or repository, the time of its newest commit.

        Parameters
        ----------
        path:
            ``owner/repo/branch/path``, or the ``xet://`` URL of that path.

        Returns
        -------
        datetime
            In UTC.

        Raises
        ------
        XetError
            The endpoint refuses the request, or fails after retries; see the subclasses in `pyxet.errors`.
        """

    def cat_file(
        self,
        /,
        path: str,
        start: int | None=None,
        end: int | None=None,
        *,
        timeout: float | None=None,
    ) -> bytes:
        """Return the content of a file, or its bytes ``start`` to before ``end``; negative numbers count from its end.

        Parameters
        ----------
        path:
            ``owner/repo/branch/path``, or the ``xet://`` URL of that path.
        start:
            Position of the first byte; a negative one counts from the end of the file.
        end:
            Position after the last byte; a negative one counts from the end of the file.

        Returns
        -------
        bytes
            The content.

        Raises
        ------
        NotFoundError
            There is no such file.
        IsADirectoryError
            The path is a folder.
        IntegrityError
            The bytes received are not the file's content.
        XetError
            The endpoint refuses the request, or fails after retries; see the subclasses in `pyxet.errors`.
        """

    @overload
    def cat(
        self,
        /,
        path: str | os.PathLike[str],
        recursive: Literal[False]=False,
        on_error: Literal['raise']='raise',
        start: int | None=None,
        end: int | None=None,
        assume_literal: bool=False,
        *,
        timeout: float | None=None,
    ) -> bytes:
        """Read whole files or a range of each: bytes for one path, a dictionary for a list, a pattern or a recursive read.

        Parameters
        ----------
        path:
            Paths. A path with wildcards is a pattern if it does not exist.
        recursive:
            Include the content of folders.
        on_error:
            ``raise`` the first error, ``omit`` the path, or ``return`` the error in place of the content.
        start, end:
            As in `cat_file`, for each file.
        assume_literal:
            Paths are never patterns, even if they do not exist.

        Returns
        -------
        bytes or dict
            Bytes for one path; otherwise a dictionary of paths to bytes, or to errors if ``on_error`` is ``return``.

        Raises
        ------
        XetError
            The endpoint refuses the request, or fails after retries; see the subclasses in `pyxet.errors`.
        """

    @overload
    def cat(
        self,
        /,
        path: Paths,
        recursive: bool=False,
        on_error: Literal['raise', 'omit']='raise',
        start: int | None=None,
        end: int | None=None,
        assume_literal: bool=False,
        *,
        timeout: float | None=None,
    ) -> dict[str, bytes]: ...
    @overload
    def cat(
        self,
        /,
        path: Paths,
        recursive: bool=False,
        *,
        on_error: Literal['return'],
        start: int | None=None,
        end: int | None=None,
        assume_literal: bool=False,
        timeout: float | None=None,
    ) -> dict[str, bytes | Exception]: ...
    @overload
    def cat(
        self,
        /,
        path: str | os.PathLike[str],
        *,
        recursive: Literal[True],
        on_error: Literal['raise', 'omit']='raise',
        start: int | None=None,
        end: int | None=None,
        assume_literal: bool=False,
        timeout: float | None=None,
    ) -> dict[str, bytes]: ...
    @overload
    def cat(
        self,
        /,
        path: str | os.PathLike[str] | Paths,
        recursive: bool=False,
        on_error: OnError='raise',
        start: int | None=None,
        end: int | None=None,
        assume_literal: bool=False,
        *,
        timeout: float | None=None,
    ) -> Any: ...
    @overload
    def cat_ranges(
        self,
        /,
        paths: Sequence[str],
        starts: Bounds,
        ends: Bounds,
        max_gap: int | None=None,
        batch_size: int | None=None,
        *,
        on_error: Literal['raise', 'omit'],
        timeout: float | None=None,
    ) -> list[bytes]:
        """Read byte ranges of files, in the given order.

        Parameters
        ----------
        paths, starts, ends:
            One range for each path; a single number applies to all of them.
        max_gap:
            Ranges of one file that are at most this many bytes apart are fetched as one.
        batch_size:
            Accepted for compatibility with fsspec; it has no effect, as `Limits` bound what is in flight.
        on_error:
            ``return`` puts an error in its range's place, ``omit`` leaves the range out, ``raise`` raises the first error.

        Returns
        -------
        list
            Bytes, and errors if ``on_error`` is ``return``.

        Raises
        ------
        XetError
            The endpoint refuses the request, or fails after retries; see the subclasses in `pyxet.errors`.
        """

    @overload
    def cat_ranges(
        self,
        /,
        paths: Sequence[str],
        starts: Bounds,
        ends: Bounds,
        max_gap: int | None=None,
        batch_size: int | None=None,
        on_error: OnError='return',
        *,
        timeout: float | None=None,
    ) -> list[bytes | Exception]: ...
    def stream(
        self,
        /,
        path: str,
        start: int | None=None,
        end: int | None=None,
        *,
        timeout: float | None=None,
    ) -> Generator[bytes, None, None]:
        """Read a file of any size, or its bytes ``start`` to before ``end``, in pieces, for example for an HTTP response.

        All pieces are of the version that the file has when the first one is requested. `Limits` bound how far the stream
        reads ahead; a consumer that is slow or stops does not hold up other readers.

        Parameters
        ----------
        path:
            A file.
        start, end:
            As in `cat_file`: negative numbers count from the end.

        Yields
        ------
        bytes
            One to a few MiB; the last piece may be shorter. Nothing is yielded if the file, or the range, is empty.

        Raises
        ------
        NotFoundError
            There is no such file.
        IsADirectoryError
            The path is a folder.
        IntegrityError
            The bytes received are not the file's content. The hash of a whole file is checked before the last piece is
            yielded; on an error, discard the earlier pieces. Of a range, only headers and lengths are checked.
        """

    def get_file(
        self,
        /,
        rpath: str,
        lpath: Any=None,
        callback: Callback=...,
        outfile: Any=None,
        progress: bool=False,
        names: LocalNames='refuse',
        *,
        timeout: float | None=None,
    ) -> None:
        """Download a file to a local path or into a file object. For a folder, only a local folder is made.

        The local file appears when its content is complete. If a download is cancelled or killed, the next one resumes it.

        Parameters
        ----------
        rpath:
            ``owner/repo/branch/path``, or the ``xet://`` URL of that path.
        lpath, outfile:
            The target; give one of the two. A local path, or a binary file object, which is written to from its current
            position and not closed. It may be blocking or asynchronous (anything with a ``write``); an asynchronous one
            works with the coroutine only.
        callback:
            Counts bytes.
        progress:
            Show a bar, on a terminal or in a notebook, and a line at the end.
        names:
            What to do with a name that no local file can have, see `get`.

        Raises
        ------
        NotFoundError
            Nothing is at ``rpath``.
        LocalNameError
            The local file cannot have its name on this machine.
        XetError
            The endpoint refuses the request, or fails after retries; see the subclasses in `pyxet.errors`.
        """

    def get(
        self,
        /,
        rpath: Any,
        lpath: Any,
        recursive: bool=False,
        callback: Callback=...,
        maxdepth: int | None=None,
        assume_literal: bool=False,
        progress: bool=False,
        names: LocalNames='refuse',
        *,
        timeout: float | None=None,
    ) -> None:
        """Download files and folders, with fsspec's rules for names and trailing slashes.

        Parameters
        ----------
        rpath:
            Paths. A path with wildcards is a pattern if it does not exist. Without ``recursive``, the folders that a single
            path or pattern stands for are skipped, with a warning if nothing else is left.
        lpath:
            A local file or folder, or an open file as in `get_file`; or a list with one of them for each item of the list
            ``rpath``.
        recursive:
            Include the content of folders.
        callback:
            Counts files; the callbacks that it branches for each file count bytes.
        maxdepth:
            How many levels of folders to descend; ``None`` for all.
        assume_literal:
            Paths are never patterns, even if they do not exist.
        progress:
            Show a bar, on a terminal or in a notebook, and a line at the end.
        names:
            What to do with files that cannot have their names on this machine (``aux`` and ``a:b`` on Windows, ``README``
            beside ``readme`` if the file system ignores case, names that are too long): ``refuse`` raises before anything
            is written, ``escape`` writes them under other names, in which such characters are escaped as in URLs
            (``a%3Ab``).

        Raises
        ------
        NotFoundError
            Nothing is at a path.
        LocalNameError
            A file cannot have its name here; the message names the file.
        XetURLError
            Two files would get the same name, or a file would be written outside ``lpath``.
        XetError
            The endpoint refuses the request, or fails after retries; see the subclasses in `pyxet.errors`.
        """

    def snapshot(
        self,
        /,
        path: str,
        folder: str | os.PathLike[str] | None=None,
        *,
        include: Sequence[str] | str | None=None,
        exclude: Sequence[str] | str | None=None,
        callback: Callback=...,
        names: LocalNames='refuse',
        timeout: float | None=None,
    ) -> str:
        """Download a whole revision, or a folder of it, into a local folder, for libraries that read local files.

        All files are of one commit, the one that the branch is at when the call begins. A local file is not fetched again if
        its hash is right; unchanged files are not hashed again. Fetched content is verified by its hash, and the file appears
        when it is complete. If a call is killed or cancelled, the same call resumes it, also in the middle of a large file.
        Other files in the folder are left alone.

        Parameters
        ----------
        path:
            A branch, tag or commit, or a folder in one: ``acme/model/main``. Pending changes of a transaction are not included.
        folder:
            The local folder, which is made if necessary. By default a folder in the user's cache, one for each commit, which
            later calls for the same commit use again; do not write to its files.
        include, exclude:
            Patterns that choose files, as in `put`.
        callback:
            Counts files; the callbacks that it branches for each fetched file count bytes.
        names:
            What to do with files that cannot have their names on this machine, as in `get`.

        Returns
        -------
        str
            The absolute path of the local folder.

        Raises
        ------
        NotFoundError
            There is no such repository, revision or folder.
        NotADirectoryError
            The path is that of a file.
        XetURLError
            The path contains no revision, or a file name from the endpoint leads outside the folder.
        LocalNameError
            A file cannot have its name on this machine. Nothing was written.
        IntegrityError
            The bytes received are not the content of the file. They are not kept.
        OSError
            Files cannot be written in the folder.
        XetError
            The endpoint refuses the request, or fails after retries; see the subclasses in `pyxet.errors`.
        """

    def pipe_file(
        self,
        /,
        path: str,
        value: Buffer | AsyncSource,
        mode: WriteMode='overwrite',
        message: str | None=None,
        parent_commit: str | None=None,
        if_match: IfMatch | None=None,
        pull_request: bool=False,
        *,
        timeout: float | None=None,
    ) -> None:
        """Write a file from bytes.

        Parameters
        ----------
        path:
            ``owner/repo/branch/path``, or the ``xet://`` URL of that path.
        value:
            Bytes, or any other contiguous buffer, such as a numpy array: its bytes are the content. Or an asynchronous
            file or iterator, as in `put_file`.
        mode:
            ``create`` raises if the file exists.
        message:
            Commit message; if ``None``, one that names the path. A transaction uses it only if it has no message itself.
        parent_commit:
            A full commit id. A change to the path since that commit is a conflict.
        if_match:
            The version to replace, ``info(path)["blob_id"]``. Any other version at the path is a conflict.
        pull_request:
            Open a pull request for the branch instead of committing to it.

        Raises
        ------
        AlreadyExistsError, EditConflictError
            The file exists, is not the version expected, or changed since ``parent_commit``.
        RevisionNotFoundError
            There is no such branch.
        TypeError
            The value is not a buffer but, for example, a string, a list or ``None``.
        XetError
            The endpoint refuses the request, or fails after retries; see the subclasses in `pyxet.errors`.
        """

    @overload
    def pipe(
        self,
        /,
        path: str,
        value: Buffer | AsyncSource,
        batch_size: int | None=None,
        mode: WriteMode='overwrite',
        message: str | None=None,
        parent_commit: str | None=None,
        if_match: IfMatch | None=None,
        pull_request: bool=False,
        *,
        timeout: float | None=None,
    ) -> None:
        """Write files from bytes: a path and a value, or a mapping of paths to values. See `pipe_file`.

        Parameters
        ----------
        path:
            ``owner/repo/branch/path``, or the ``xet://`` URL of that path.
        value:
            Bytes, or any other contiguous buffer, such as a numpy array.
        batch_size:
            Part of fsspec's interface, without effect: `Limits` bound memory and concurrency.
        mode:
            ``create`` raises if one of the files exists.
        message:
            Commit message; ``None`` for one that lists the paths. A transaction's own message takes precedence.
        parent_commit:
            A full commit id. If one of the paths has changed since that commit, `EditConflictError` is raised.
        if_match:
            The version to replace, or a mapping of paths to versions.
        pull_request:
            Open a pull request for the branch instead of committing to it.

        Raises
        ------
        XetURLError
            Two of the paths are the same file.
        XetError
            The endpoint refuses the request, or fails after retries; see the subclasses in `pyxet.errors`.
        """

    @overload
    def pipe(
        self,
        /,
        path: Mapping[str, Buffer | AsyncSource],
        value: None=None,
        batch_size: int | None=None,
        mode: WriteMode='overwrite',
        message: str | None=None,
        parent_commit: str | None=None,
        if_match: IfMatch | None=None,
        pull_request: bool=False,
        *,
        timeout: float | None=None,
    ) -> None: ...
    def put_file(
        self,
        /,
        lpath: Any,
        rpath: str,
        callback: Callback=...,
        mode: WriteMode='overwrite',
        message: str | None=None,
        parent_commit: str | None=None,
        if_match: IfMatch | None=None,
        pull_request: bool=False,
        progress: bool=False,
        *,
        timeout: float | None=None,
    ) -> None:
        """Upload a local file, or the content of an open one. See `pipe_file`; a folder raises `IsADirectoryError`.

        Parameters
        ----------
        lpath:
            A local path; an open binary file, blocking or asynchronous (any object whose ``read`` takes a size), which is
            read from its current position to its end; or an asynchronous iterator of bytes. Asynchronous objects need the
            coroutine, not the blocking method. Files are not closed.
        rpath:
            ``owner/repo/branch/path``, or the ``xet://`` URL of that path.
        callback:
            Counts bytes.
        mode:
            ``overwrite``, or ``create`` to raise an error if a file exists.
        message:
            Commit message; ``None`` for one that lists the paths. A transaction's own message takes precedence.
        parent_commit:
            A full commit id. If one of the paths has changed since that commit, `EditConflictError` is raised.
        if_match:
            ``info(path)["blob_id"]`` of the version to replace, or a mapping of paths to such ids. If a file has another version, `EditConflictError` is raised.
        pull_request:
            Open a pull request for the branch instead of committing to it.
        progress:
            Show a bar, on a terminal or in a notebook, and a line at the end.

        Raises
        ------
        ConflictError
            A local file changed while it was read.
        TypeError
            The file does not return bytes, or is asynchronous in a blocking call.
        XetError
            The endpoint refuses the request, or fails after retries; see the subclasses in `pyxet.errors`.
        """

    def put(
        self,
        /,
        lpath: Any,
        rpath: Any,
        recursive: bool=False,
        callback: Callback=...,
        batch_size: int | None=None,
        maxdepth: int | None=None,
        mode: WriteMode='overwrite',
        message: str | None=None,
        parent_commit: str | None=None,
        if_match: IfMatch | None=None,
        include: Sequence[str] | str | None=None,
        exclude: Sequence[str] | str | None=None,
        follow_links: bool=True,
        pull_request: bool=False,
        progress: bool=False,
        *,
        timeout: float | None=None,
    ) -> None:
        """Upload files and folders, with fsspec's rules for names and trailing slashes: one commit for each branch.

        ``.git`` in a folder is left out, with a warning.

        Parameters
        ----------
        lpath:
            Local paths, open files and asynchronous iterators, as in `put_file`. A path with wildcards is a pattern if it
            does not exist. Folders are skipped without ``recursive``, with a warning if nothing is left of a single path.
        rpath:
            A file or folder; or a list with one path for each item of the list ``lpath``.
        recursive:
            Include the content of folders.
        callback:
            Counts files; the callbacks that it branches for each file count bytes.
        batch_size:
            Part of fsspec's interface, without effect: `Limits` bound memory and concurrency.
        maxdepth:
            How many levels of folders to descend; ``None`` for all.
        mode:
            ``create`` raises if one of the files exists.
        message, parent_commit, pull_request:
            As in `pipe_file`.
        if_match:
            The version to replace, or a mapping of paths in the branch to versions.
        include, exclude:
            Patterns of the files to upload, and of those to leave out: ``*.csv`` matches names of files and folders,
            ``data/*.csv`` matches paths relative to an uploaded folder.
        follow_links:
            Whether folders that links point to are uploaded as well. Files that links point to are always uploaded.
        progress:
            Show a bar, on a terminal or in a notebook, and a line at the end.

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
        XetError
            The endpoint refuses the request, or fails after retries; see the subclasses in `pyxet.errors`.
        """

    def cp_file(
        self,
        /,
        path1: str,
        path2: str,
        mode: WriteMode='overwrite',
        message: str | None=None,
        parent_commit: str | None=None,
        if_match: IfMatch | None=None,
        pull_request: bool=False,
        *,
        timeout: float | None=None,
    ) -> None:
        """Copy a file; its content is not transferred if the endpoint can share it.

        Parameters
        ----------
        path1:
            The paths to copy or move. A pattern is expanded unless a file or folder has exactly that name.
        path2:
            The target. If it ends with a slash or is a folder, files are copied or moved into it.
        mode, message, parent_commit, if_match, pull_request:
            As in `pipe_file`, for ``path2``.

        Raises
        ------
        NotFoundError
            There is nothing at ``path1``.
        IsADirectoryError
            ``path1`` is a folder; `copy` copies folders with ``recursive``.
        XetError
            The endpoint refuses the request, or fails after retries; see the subclasses in `pyxet.errors`.
        """

    def copy(
        self,
        /,
        path1: Any,
        path2: Any,
        recursive: bool=False,
        on_error: Literal['raise', 'ignore'] | None=None,
        maxdepth: int | None=None,
        batch_size: int | None=None,
        mode: WriteMode='overwrite',
        message: str | None=None,
        parent_commit: str | None=None,
        if_match: IfMatch | None=None,
        assume_literal: bool=False,
        pull_request: bool=False,
        *,
        timeout: float | None=None,
    ) -> None:
        """Copy files and folders, with fsspec's rules for names and trailing slashes: one commit for each branch.

        Parameters
        ----------
        path1:
            Paths. A path with wildcards is a pattern if it does not exist. Folders are skipped without ``recursive``, with
            a warning if nothing is left of a single path.
        path2:
            A file or folder; or a list with one path for each item of the list ``path1``.
        recursive:
            Include the content of folders.
        on_error:
            ``ignore`` skips paths that do not exist.
        maxdepth:
            How many levels of folders to descend; ``None`` for all.
        batch_size:
            Part of fsspec's interface, without effect: `Limits` bound memory and concurrency.
        mode, message, parent_commit, if_match, pull_request:
            As in `put`, for the paths that are written.
        assume_literal:
            Paths are never patterns, even if they do not exist.

        Raises
        ------
        NotFoundError
            A path does not exist.
        IsADirectoryError
            A path in a list is a folder, and ``recursive`` is not set.
        XetURLError
            Two files would get the same name.
        AlreadyExistsError, EditConflictError
            A file exists, is not the version expected, or changed since ``parent_commit``.
        XetError
            The endpoint refuses the request, or fails after retries; see the subclasses in `pyxet.errors`.
        """

    def mv(
        self,
        /,
        path1: Any,
        path2: Any,
        recursive: bool=False,
        maxdepth: int | None=None,
        batch_size: int | None=None,
        mode: WriteMode='overwrite',
        message: str | None=None,
        parent_commit: str | None=None,
        if_match: IfMatch | None=None,
        assume_literal: bool=False,
        pull_request: bool=False,
        *,
        timeout: float | None=None,
    ) -> None:
        """Move files and folders in one commit for each branch; content is shared as in `copy`.

        Parameters
        ----------
        path1, path2, assume_literal:
            As in `copy`. If ``path2`` is an existing folder, what is moved into it keeps its name.
        recursive:
            Part of fsspec's interface, without effect: folders are moved with everything below them.
        maxdepth:
            How many levels of folders to descend; ``None`` for all.
        batch_size:
            Part of fsspec's interface, without effect: `Limits` bound memory and concurrency.
        mode, message, if_match, pull_request:
            As in `put`, for the paths that are written.
        parent_commit:
            A full commit id. Changes to sources or targets since that commit are conflicts.

        Raises
        ------
        NotFoundError
            A path does not exist.
        AlreadyExistsError, NotADirectoryError
            A folder would be moved onto an existing folder or file.
        XetURLError
            A folder would be moved into itself, or two files would get the same name.
        EditConflictError
            A file is not the version expected, or changed since ``parent_commit``.
        XetError
            The endpoint refuses the request, or fails after retries; see the subclasses in `pyxet.errors`.
        """

    def mv_file(
        self,
        /,
        path1: str,
        path2: str,
        mode: WriteMode='overwrite',
        message: str | None=None,
        parent_commit: str | None=None,
        if_match: IfMatch | None=None,
        pull_request: bool=False,
        *,
        timeout: float | None=None,
    ) -> None:
        """Move one file or folder, see `mv`; the path is never a pattern.

        Parameters
        ----------
        path1:
            The paths to copy or move. A pattern is expanded unless a file or folder has exactly that name.
        path2:
            The target. If it ends with a slash or is a folder, files are copied or moved into it.
        mode:
            ``overwrite``, or ``create`` to raise an error if a file exists.
        message:
            Commit message; ``None`` for one that lists the paths. A transaction's own message takes precedence.
        parent_commit:
            A full commit id. If one of the paths has changed since that commit, `EditConflictError` is raised.
        if_match:
            ``info(path)["blob_id"]`` of the version to replace, or a mapping of paths to such ids. If a file has another version, `EditConflictError` is raised.
        pull_request:
            Open a pull request for the branch instead of committing to it.

        Raises
        ------
        XetError
            The endpoint refuses the request, or fails after retries; see the subclasses in `pyxet.errors`.
        """

    def rm(
        self,
        /,
        path: Any,
        recursive: bool=False,
        batch_size: int | None=None,
        maxdepth: int | None=None,
        assume_literal: bool=False,
        message: str | None=None,
        parent_commit: str | None=None,
        if_match: IfMatch | None=None,
        pull_request: bool=False,
        *,
        timeout: float | None=None,
    ) -> None:
        """Delete files, and folders if ``recursive``: one commit for each branch.

        Parameters
        ----------
        path:
            Paths. A path with wildcards is a pattern if it does not exist.
        recursive:
            Include the content of folders.
        batch_size:
            Part of fsspec's interface, without effect: the commit deletes all files at once.
        maxdepth:
            How many levels of folders to descend; ``None`` for all.
        assume_literal:
            Paths are never patterns, even if they do not exist.
        message, parent_commit, pull_request:
            As in `pipe_file`.
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
        XetError
            The endpoint refuses the request, or fails after retries; see the subclasses in `pyxet.errors`.
        """

    def rm_file(
        self,
        /,
        path: str,
        message: str | None=None,
        parent_commit: str | None=None,
        if_match: IfMatch | None=None,
        pull_request: bool=False,
        *,
        timeout: float | None=None,
    ) -> None:
        """Delete one file, see `rm`; the path is never a pattern.

        Parameters
        ----------
        path:
            ``owner/repo/branch/path``, or the ``xet://`` URL of that path.
        message:
            Commit message; ``None`` for one that lists the paths. A transaction's own message takes precedence.
        parent_commit:
            A full commit id. If one of the paths has changed since that commit, `EditConflictError` is raised.
        if_match:
            ``info(path)["blob_id"]`` of the version to replace, or a mapping of paths to such ids. If a file has another version, `EditConflictError` is raised.
        pull_request:
            Open a pull request for the branch instead of committing to it.

        Raises
        ------
        XetError
            The endpoint refuses the request, or fails after retries; see the subclasses in `pyxet.errors`.
        """

    def mkdir(self, /, path: str, create_parents: bool=True, *, timeout: float | None=None) -> None:
        """Check that a folder could be made, but store nothing: git has no empty folders. The branch must exist.

        If the folder is given as a URL, `ls` of this instance lists it as an empty folder from now on: DuckDB, which passes
        URLs, makes folders and then checks that they are empty. If it is given as a path, it still does not exist, by fsspec's
        rules for file systems without empty folders.

        Parameters
        ----------
        path:
            ``owner/repo/branch/path``, or the ``xet://`` URL of that path.
        create_parents:
            Accepted for compatibility with fsspec; a folder exists as soon as a file is in it.

        Raises
        ------
        RepositoryNotFoundError, RevisionNotFoundError
            There is no such repository or branch; `make_repo` and `make_branch` make them.
        NotSupportedError
            The path is in a tag, a commit or a point in time, which cannot be written to.
        FileExistsError, NotADirectoryError
            A file is at the path, or above it.
        XetError
            The endpoint refuses the request, or fails after retries; see the subclasses in `pyxet.errors`.
        """

    def makedirs(self, path: str, exist_ok: bool=False, *, timeout: float | None=None) -> None:
        """Like `mkdir`, for a folder and those above it.

        Parameters
        ----------
        path:
            ``owner/repo/branch/path``, or the ``xet://`` URL of that path.
        exist_ok:
            Whether it may exist already.

        Raises
        ------
        FileExistsError
            A file is at the path; or a folder, and ``exist_ok`` is false.
        XetError
            The endpoint refuses the request, or fails after retries; see the subclasses in `pyxet.errors`.
        """

    def rmdir(self, path: str, *, timeout: float | None=None) -> None:
        """Remove an empty folder that `mkdir` made by URL; raise `OSError` for any other path, as git has no empty folders.

        Parameters
        ----------
        path:
            ``owner/repo/branch/path``, or the ``xet://`` URL of that path.

        Raises
        ------
        XetError
            The endpoint refuses the request, or fails after retries; see the subclasses in `pyxet.errors`.
        """

    def touch(
        self,
        /,
        path: str,
        truncate: bool=True,
        mode: WriteMode='overwrite',
        message: str | None=None,
        parent_commit: str | None=None,
        if_match: IfMatch | None=None,
        pull_request: bool=False,
        *,
        timeout: float | None=None,
    ) -> None:
        """Make an empty file, or empty an existing one unless ``truncate`` is false.

        Parameters
        ----------
        path:
            ``owner/repo/branch/path``, or the ``xet://`` URL of that path.
        truncate:
            Whether an existing file is emptied.
        mode, message, parent_commit, if_match, pull_request:
            As in `pipe_file`. ``mode`` and ``if_match`` are checked even if an existing file is not changed.

        Raises
        ------
        XetError
            The endpoint refuses the request, or fails after retries; see the subclasses in `pyxet.errors`.
        """

    def stage(
        self,
        /,
        data: StageSource,
        path: str,
        sha256: str | None=None,
        callback: Callback=...,
        pull_request: bool=False,
        progress: bool=False,
        *,
        timeout: float | None=None,
    ) -> FilePointer:
        """Store content for a later commit, which another process may make, see `commit`.

        The content is not visible before that commit, and the call is not part of a transaction. Staging the same content
        again, for example after a crash, stores nothing new.

        Parameters
        ----------
        data:
            Bytes, the path of a local file, or another source as in `put_file`: a binary file, which is read from its
            current position, or an asynchronous iterator.
        path:
            The path that the file will have: ``acme/corpus/main/up/1.bin``.
        sha256:
            SHA-256 of the content in 64 lower-case hexadecimal digits, if the caller knows it. For content above 1 MiB it is
            used without a check, which saves computing it; the endpoint may check it.
        callback:
            Counts bytes.
        pull_request:
            Whether the content is for a new pull request for the branch. The user then needs no write access to the branch.
        progress:
            Show a bar, on a terminal or in a notebook, and a line at the end.

        Returns
        -------
        FilePointer
            A reference to the content for `commit`; it can be pickled and sent to another process.

        Raises
        ------
        RevisionNotFoundError
            There is no such branch.
        IntegrityError
            The content does not have the given SHA-256.
        ConflictError
            A local file changed while it was read.
        XetError
            The endpoint refuses the request, or fails after retries; see the subclasses in `pyxet.errors`.
        """

    def stage_many(
        self,
        /,
        files: Mapping[str, StageSource],
        sha256: Mapping[str, str] | None=None,
        callback: Callback=...,
        pull_request: bool=False,
        progress: bool=False,
        *,
        timeout: float | None=None,
    ) -> list[FilePointer]:
        """Store many files of one branch for a later commit. Small files are uploaded together, unlike with `stage`.

        Parameters
        ----------
        files:
            By path, a source as in `stage`.
        sha256:
            By path, the SHA-256 of contents for which the caller knows it.
        callback:
            Counts files; the callbacks that it branches for each file count bytes.
        pull_request:
            As in `stage`.
        progress:
            Show a bar, on a terminal or in a notebook, and a line at the end.

        Returns
        -------
        list[FilePointer]
            The pointers in the order of ``files``.

        Raises
        ------
        XetURLError
            The files are not all of one branch, two paths are the same file, or ``sha256`` has a path that ``files`` lacks.
        XetError
            The endpoint refuses the request, or fails after retries; see the subclasses in `pyxet.errors`.
        """

    def commit(
        self,
        /,
        branch: str,
        pointers: Iterable[FilePointer],
        delete: Iterable[str]=...,
        message: str | None=None,
        parent_commit: str | None=None,
        mode: WriteMode='overwrite',
        if_match: IfMatch | None=None,
        pull_request: bool=False,
        *,
        timeout: float | None=None,
    ) -> Commit | None:
        """Make one commit of staged files and deletions, or add them to the open transaction.

        Files that the branch already has with the same content are left out, so repeating a commit of staged files makes no
        second one.

        Parameters
        ----------
        branch:
            Path of the branch: ``acme/corpus/main``.
        pointers:
            Results of `stage`, from this process or others. They are read a thousand at a time, so an iterator need not
            hold them all in memory.
        delete:
            Paths of files to delete, as in `rm`: ``acme/corpus/main/old.bin``.
        message:
            Commit message; if ``None``, one that names the paths. A transaction uses it only if it has no message itself.
        parent_commit:
            A full commit id. A change to one of the paths since that commit is a conflict.
        mode:
            ``create`` raises if one of the staged files exists.
        if_match:
            The version to replace or delete, or a mapping of paths to versions.
        pull_request:
            Open a pull request for the branch instead of committing to it.

        Returns
        -------
        Commit | None
            ``None`` if nothing changes, and in a transaction, which commits at its end.

        Raises
        ------
        XetURLError
            A pointer or a path to delete belongs to another endpoint, repository or branch.
        NotFoundError, IsADirectoryError
            A file to delete does not exist, or is a folder.
        AlreadyExistsError, EditConflictError
            A path exists, is not the version expected, or changed since ``parent_commit``.
        BadRequestError
            A path occurs twice, or would be both a file and a folder; the endpoint does not have the content.
        RevisionNotFoundError
            There is no such branch.
        XetError
            The endpoint refuses the request, or fails after retries; see the subclasses in `pyxet.errors`.
        """

    def make_repo(self, repo: str, private: bool=False, exist_ok: bool=False, *, timeout: float | None=None) -> None:
        """Make a repository. Its branch ``main`` contains only ``.gitattributes``.

        Parameters
        ----------
        repo:
            Path of the repository: ``acme/titanic``, ``datasets/acme/titanic``.
        private:
            Whether it is visible only to users with rights in it; ``None`` for the endpoint's default.
        exist_ok:
            Whether it may exist already.

        Raises
        ------
        AlreadyExistsError
            The repository exists, and ``exist_ok`` is not set.
        XetError
            The endpoint refuses the request, or fails after retries; see the subclasses in `pyxet.errors`.
        """

    def delete_repo(self, repo: str, *, timeout: float | None=None) -> None:
        """Delete a repository with all its branches and history.

        Parameters
        ----------
        repo:
            Path of the repository: ``acme/titanic``, ``datasets/acme/titanic``.

        Raises
        ------
        XetError
            The endpoint refuses the request, or fails after retries; see the subclasses in `pyxet.errors`.
        """

    def duplicate_repo(
        self,
        repo: str,
        destination: str,
        private: bool | None=None,
        *,
        timeout: float | None=None,
    ) -> DuplicateInfo:
        """Make a repository with all branches, tags, commits and content of another one. The content is not stored twice.

        Parameters
        ----------
        repo:
            Path of the repository: ``acme/titanic``, ``datasets/acme/titanic``.
        destination:
            Path of the new repository, which must be of the same kind.
        private:
            Whether only its owner sees it; ``None`` takes the setting of the original.

        Returns
        -------
        dict
            ``name``, and ``files_pending``: whether the endpoint is still copying large files, which may not be readable
            in the new repository until then.

        Raises
        ------
        RepositoryNotFoundError, AlreadyExistsError
            The original does not exist; the new repository does already.
        NotSupportedError
            The endpoint cannot duplicate repositories.
        XetError
            The endpoint refuses the request, or fails after retries; see the subclasses in `pyxet.errors`.
        """

    def fork_repo(self, repo: str, destination: str | None=None, *, timeout: float | None=None) -> DuplicateInfo:
        """Copy a repository into the account of the token's user, under the same name unless ``destination`` is given.

        The copy is a duplicate, see `duplicate_repo`: it has the whole history and the visibility of the original, and no
        link to it. Endpoints know no other kind of fork.

        Parameters
        ----------
        repo:
            Path of the repository: ``acme/titanic``, ``datasets/acme/titanic``.
        destination:
            Path of the new repository.

        Returns
        -------
        DuplicateInfo
            The result of `duplicate_repo`.

        Raises
        ------
        XetError
            The endpoint refuses the request, or fails after retries; see the subclasses in `pyxet.errors`.
        """

    def rename_repo(self, repo: str, destination: str, *, timeout: float | None=None) -> None:
        """Give a repository another name or owner. The endpoint redirects the old name until another repository takes it.

        Open transactions, branches, tags and commits stay as they are.

        Parameters
        ----------
        repo:
            Path of the repository: ``acme/titanic``, ``datasets/acme/titanic``.
        destination:
            Path of the new repository.

        Raises
        ------
        RepositoryNotFoundError, AlreadyExistsError
            There is no such repository; a repository with the new name exists.
        XetError
            The endpoint refuses the request, or fails after retries; see the subclasses in `pyxet.errors`.
        """

    def set_repo_attr(self, repo: str, name: str, value: Any, *, timeout: float | None=None) -> None:
        """Change a setting of a repository.

        Parameters
        ----------
        repo:
            Path of the repository: ``acme/titanic``, ``datasets/acme/titanic``.
        name, value:
            ``private``: whether only its owner sees it. ``visibility``: ``public``, ``private`` or, for spaces,
            ``protected``. ``gated``: how requests for access are granted, ``auto`` or ``manual``, or ``False``.

        Raises
        ------
        ConfigError
            There is no such setting, or it cannot have this value.
        RepositoryNotFoundError, BadRequestError
            There is no such repository; the endpoint does not know the setting.
        XetError
            The endpoint refuses the request, or fails after retries; see the subclasses in `pyxet.errors`.
        """

    @overload
    def list_repos(
        self,
        /,
        owner: str | None=None,
        detail: Literal[False]=False,
        *,
        timeout: float | None=None,
    ) -> list[str]:
        """List an owner's repositories of one kind: models for ``acme``, datasets for ``datasets/acme``.

        Parameters
        ----------
        owner:
            A user or organization; ``None`` lists the models of the token's user and of the user's organizations.
        detail:
            Return dictionaries like those of `ls`; otherwise paths.

        Returns
        -------
        list
            Dictionaries or paths, in the endpoint's order.

        Raises
        ------
        XetError
            The endpoint refuses the request, or fails after retries; see the subclasses in `pyxet.errors`.
        """

    @overload
    def list_repos(self, /, owner: str | None=None, *, detail: Literal[True], timeout: float | None=None) -> list[Info]: ...
    @overload
    def list_repos(
        self,
        /,
        owner: str | None=None,
        detail: bool=False,
        *,
        timeout: float | None=None,
    ) -> list[Info] | list[str]: ...
    def is_repo(self, path: str, *, timeout: float | None=None) -> bool:
        """Whether a path is that of an existing repository.

        Parameters
        ----------
        path:
            ``owner/repo/branch/path``, or the ``xet://`` URL of that path.

        Returns
        -------
        bool
            Whether the repository exists.

        Raises
        ------
        XetError
            The endpoint refuses the request, or fails after retries; see the subclasses in `pyxet.errors`.
        """

    def repo_info(self, repo: str, *, timeout: float | None=None) -> Info:
        """Describe a repository: ``name``, ``private``, ``created``, ``last_modified``, and ``commit`` of its main branch.

        Parameters
        ----------
        repo:
            Path of the repository: ``acme/titanic``, ``datasets/acme/titanic``.

        Returns
        -------
        Info
            A dictionary.

        Raises
        ------
        XetError
            The endpoint refuses the request, or fails after retries; see the subclasses in `pyxet.errors`.
        """

    @overload
    def list_branches(self, /, repo: str, detail: Literal[False]=False, *, timeout: float | None=None) -> list[str]:
        """List a repository's branches: names, or dictionaries with ``name`` (the path), ``branch`` and ``commit``.

        Parameters
        ----------
        repo:
            Path of the repository: ``acme/titanic``, ``datasets/acme/titanic``.
        detail:
            Return dictionaries with what is known of each entry, instead of names.

        Returns
        -------
        list
            Names or dictionaries, in the endpoint's order.

        Raises
        ------
        XetError
            The endpoint refuses the request, or fails after retries; see the subclasses in `pyxet.errors`.
        """

    @overload
    def list_branches(self, /, repo: str, detail: Literal[True], *, timeout: float | None=None) -> list[BranchInfo]: ...
    @overload
    def list_branches(
        self,
        /,
        repo: str,
        detail: bool=False,
        *,
        timeout: float | None=None,
    ) -> list[BranchInfo] | list[str]: ...
    def make_branch(self, repo: str, source: str, name: str, *, timeout: float | None=None) -> None:
        """Make a branch.

        Parameters
        ----------
        repo:
            Path of the repository: ``acme/titanic``, ``datasets/acme/titanic``.
        source:
            Branch, tag, commit or point in time at which it starts.
        name:
            Name of the new branch.

        Raises
        ------
        AlreadyExistsError, RevisionNotFoundError
            A branch of this name exists; there is no such source.
        XetError
            The endpoint refuses the request, or fails after retries; see the subclasses in `pyxet.errors`.
        """

    def delete_branch(self, repo: str, name: str, *, timeout: float | None=None) -> None:
        """Delete a branch.

        Parameters
        ----------
        repo:
            Path of the repository: ``acme/titanic``, ``datasets/acme/titanic``.
        name:
            Name of the branch or tag.

        Raises
        ------
        XetError
            The endpoint refuses the request, or fails after retries; see the subclasses in `pyxet.errors`.
        """

    def branch_exists(self, repo: str, name: str | None=None, *, timeout: float | None=None) -> bool:
        """Whether a repository has a branch.

        Parameters
        ----------
        repo:
            Path of the repository, or, without a name, of the branch: ``acme/titanic/main``.
        name:
            Name of the branch.

        Returns
        -------
        bool
            Whether the branch exists.

        Raises
        ------
        RepositoryNotFoundError
            There is no such repository, and ``name`` is given. Without ``name``, the result is ``False`` then.
        XetError
            The endpoint refuses the request, or fails after retries; see the subclasses in `pyxet.errors`.
        """

    def branch_info(self, repo: str, name: str | None=None, *, timeout: float | None=None) -> BranchInfo:
        """Describe a branch: ``name`` (the path), ``branch`` and ``commit``.

        Parameters
        ----------
        repo, name:
            As for `branch_exists`.

        Returns
        -------
        BranchInfo
            A dictionary.

        Raises
        ------
        RepositoryNotFoundError, RevisionNotFoundError
            There is no such repository; it has no such branch.
        XetError
            The endpoint refuses the request, or fails after retries; see the subclasses in `pyxet.errors`.
        """

    @overload
    def list_tags(self, /, repo: str, detail: Literal[False]=False, *, timeout: float | None=None) -> list[str]:
        """List a repository's tags: names, or dictionaries with ``name`` (the path), ``tag`` and ``commit``.

        Parameters
        ----------
        repo:
            Path of the repository: ``acme/titanic``, ``datasets/acme/titanic``.
        detail:
            Return dictionaries with what is known of each entry, instead of names.

        Returns
        -------
        list
            Names or dictionaries, in the endpoint's order.

        Raises
        ------
        XetError
            The endpoint refuses the request, or fails after retries; see the subclasses in `pyxet.errors`.
        """

    @overload
    def list_tags(self, /, repo: str, detail: Literal[True], *, timeout: float | None=None) -> list[TagInfo]: ...
    @overload
    def list_tags(self, /, repo: str, detail: bool=False, *, timeout: float | None=None) -> list[TagInfo] | list[str]: ...
    def make_tag(
        self,
        repo: str,
        name: str,
        revision: str='main',
        message: str | None=None,
        *,
        timeout: float | None=None,
    ) -> None:
        """Make a tag at a revision.

        Parameters
        ----------
        repo:
            Path of the repository: ``acme/titanic``, ``datasets/acme/titanic``.
        name:
            Name of the branch or tag.
        revision:
            A branch, tag, commit or point in time.
        message:
            Message of the tag.

        Raises
        ------
        AlreadyExistsError
            A tag of this name exists.
        RepositoryNotFoundError, RevisionNotFoundError
            There is no such repository or revision.
        XetError
            The endpoint refuses the request, or fails after retries; see the subclasses in `pyxet.errors`.
        """

    def delete_tag(self, repo: str, name: str, *, timeout: float | None=None) -> None:
        """Delete a tag.

        Parameters
        ----------
        repo:
            Path of the repository: ``acme/titanic``, ``datasets/acme/titanic``.
        name:
            Name of the branch or tag.

        Raises
        ------
        XetError
            The endpoint refuses the request, or fails after retries; see the subclasses in `pyxet.errors`.
        """

    def find_ref(self, repo: str, name: str, *, timeout: float | None=None) -> RefInfo:
        """Find the branch, tag or commit that a name stands for.

        Parameters
        ----------
        repo:
            Path of the repository: ``acme/titanic``, ``datasets/acme/titanic``.
        name:
            Branch, tag, reference (``refs/pr/1``, also without ``refs/``: ``heads/main``), commit id, or point in time.
            If a branch and a tag have this name, it stands for the branch.

        Returns
        -------
        dict
            ``commit``; ``kind``: ``branch``, ``tag``, ``ref`` or ``commit``; ``ref``: the full name (``refs/heads/main``),
            ``None`` for commits and points in time; ``name``: the path.

        Raises
        ------
        RepositoryNotFoundError, RevisionNotFoundError
            There is no such repository; nothing in it has this name.
        XetError
            The endpoint refuses the request, or fails after retries; see the subclasses in `pyxet.errors`.
        """

    def list_pull_requests(
        self,
        repo: str,
        status: Literal['open', 'closed', 'all']='open',
        author: str | None=None,
        limit: int | None=None,
        *,
        timeout: float | None=None,
    ) -> list[PullRequest]:
        """Pull requests of a repository, the newest first.

        Parameters
        ----------
        repo:
            Path of the repository: ``acme/titanic``.
        status:
            ``open`` (includes drafts), ``closed`` (includes merged ones), or ``all``.
        author:
            List only pull requests that this user opened.
        limit:
            The greatest number to return.

        Returns
        -------
        list[PullRequest]
            Without comments, conflicts and diffs, which `pull_request_info` returns.

        Raises
        ------
        RepositoryNotFoundError
            There is no such repository.
        XetError
            The endpoint refuses the request, or fails after retries; see the subclasses in `pyxet.errors`.
        """

    def make_pull_request(
        self,
        repo: str,
        title: str,
        description: str='',
        *,
        timeout: float | None=None,
    ) -> PullRequest:
        """Create an empty draft of a pull request for ``main``.

        Write its changes to its ``path``, then end the draft with `open_pull_request`. To propose changes in one step, use a
        transaction with ``pull_request=True``.

        Parameters
        ----------
        repo:
            Path of the repository.
        title:
            Its title, one line; the Hub requires 3 to 200 characters.
        description:
            Its description, in Markdown.

        Returns
        -------
        PullRequest
            The draft.

        Raises
        ------
        RepositoryNotFoundError
            There is no such repository.
        BadRequestError
            The title is too short or too long.
        XetError
            The endpoint refuses the request, or fails after retries; see the subclasses in `pyxet.errors`.
        """

    def pull_request_info(
        self,
        repo: str,
        number: int | None=None,
        diff: bool=False,
        *,
        timeout: float | None=None,
    ) -> PullRequestInfo:
        """Describe a pull request with its comments and conflicts.

        Parameters
        ----------
        repo:
            Path of the repository, or, without a number, of the pull request: ``acme/titanic/pr%2F3``.
        number:
            Number of the pull request.
        diff:
            Whether to request its changes in git's diff format.

        Returns
        -------
        PullRequestInfo
            Its status, branch, comments, conflicting files and more.

        Raises
        ------
        RepositoryNotFoundError, RevisionNotFoundError
            There is no such repository; it has no such pull request.
        XetError
            The endpoint refuses the request, or fails after retries; see the subclasses in `pyxet.errors`.
        """

    def merge_pull_request(
        self,
        repo: str,
        number: int | None=None,
        comment: str | None=None,
        *,
        timeout: float | None=None,
    ) -> PullRequestInfo:
        """Merge a pull request into its branch. A draft has to be opened first, see `open_pull_request`.

        Parameters
        ----------
        repo, number:
            As in `pull_request_info`.
        comment:
            A comment to post with the merge, in Markdown.

        Returns
        -------
        PullRequestInfo
            The pull request as it is now; ``merge_commit`` is the commit on the branch.

        Raises
        ------
        ConflictError
            The branch has other changes of the same lines, or of the same large files; the message names the files.
        AccessDeniedError
            The user may not write to the branch.
        BadRequestError
            The pull request is a draft, closed, or merged already.
        RepositoryNotFoundError, RevisionNotFoundError
            There is no such repository; it has no such pull request.
        XetError
            The endpoint refuses the request, or fails after retries; see the subclasses in `pyxet.errors`.
        """

    def close_pull_request(
        self,
        repo: str,
        number: int | None=None,
        comment: str | None=None,
        *,
        timeout: float | None=None,
    ) -> None:
        """Close a pull request without merging it.

        Parameters
        ----------
        repo, number:
            As in `pull_request_info`.
        comment:
            A comment to post with the change, in Markdown.

        Raises
        ------
        AccessDeniedError
            The user neither opened the pull request nor may write to the repository.
        BadRequestError
            The pull request is merged.
        RepositoryNotFoundError, RevisionNotFoundError
            There is no such repository; it has no such pull request.
        XetError
            The endpoint refuses the request, or fails after retries; see the subclasses in `pyxet.errors`.
        """

    def open_pull_request(
        self,
        repo: str,
        number: int | None=None,
        comment: str | None=None,
        *,
        timeout: float | None=None,
    ) -> None:
        """Open a pull request that is closed or a draft.

        Parameters
        ----------
        repo, number:
            As in `pull_request_info`.
        comment:
            A comment to post with the change, in Markdown.

        Raises
        ------
        AccessDeniedError, BadRequestError, RepositoryNotFoundError, RevisionNotFoundError
            As in `close_pull_request`.
        XetError
            The endpoint refuses the request, or fails after retries; see the subclasses in `pyxet.errors`.
        """

    def comment(self, repo: str, number: int, text: str, *, timeout: float | None=None) -> None:
        """Post a comment in a pull request.

        Parameters
        ----------
        repo, number:
            Path of the repository, and number of the pull request.
        text:
            The comment, in Markdown.

        Raises
        ------
        RepositoryNotFoundError, RevisionNotFoundError
            There is no such repository; it has no such pull request.
        BadRequestError
            The text is empty, or too long for the endpoint.
        XetError
            The endpoint refuses the request, or fails after retries; see the subclasses in `pyxet.errors`.
        """

    def log(self, path: str, limit: int | None=None, *, timeout: float | None=None) -> list[Commit]:
        """Return the commits of `iter_log` as a list.

        Parameters
        ----------
        path:
            ``owner/repo/branch/path``, or the ``xet://`` URL of that path.
        limit:
            Maximum number of commits; ``None`` for all.

        Returns
        -------
        list of Commit
            Newest first.

        Raises
        ------
        RepositoryNotFoundError, RevisionNotFoundError
            There is no such repository or revision.
        XetError
            The endpoint refuses the request, or fails after retries; see the subclasses in `pyxet.errors`.
        """

    def iter_log(self, path: str, *, timeout: float | None=None) -> Generator[Commit, None, None]:
        """Iterate over commits, newest first: all of a branch (of ``main`` for a repository), or those that changed a path.

        Parameters
        ----------
        path:
            ``owner/repo/branch/path``, or the ``xet://`` URL of that path.

        Returns
        -------
        AsyncGenerator of Commit
            Pages of commits are requested as they are needed.

        Raises
        ------
        RepositoryNotFoundError, RevisionNotFoundError
            There is no such repository or revision.
        """

    def diff(self, repo: str, old: str, new: str, *, timeout: float | None=None) -> Generator[PathChange, None, None]:
        """Iterate over the files that differ between two revisions, folder by folder. A renamed file is removed and added.

        Parameters
        ----------
        repo:
            Path of the repository: ``acme/titanic``, ``datasets/acme/titanic``.
        old, new:
            Branches, tags, commits or points in time. Pending changes of a transaction are not included.

        Returns
        -------
        AsyncIterator of PathChange
            One for each path.

        Raises
        ------
        RepositoryNotFoundError, RevisionNotFoundError
            There is no such repository or revision.
        """

    def squash(self, branch: str, message: str | None=None, *, timeout: float | None=None) -> Commit:
        """Replace the history of a branch by one commit with its present content. What only earlier commits contain is lost.

        Parameters
        ----------
        branch:
            Path of the branch: ``acme/titanic/main``.
        message:
            Message of that commit; if ``None``, one that names the branch.

        Returns
        -------
        Commit
            The new commit.

        Raises
        ------
        RepositoryNotFoundError, RevisionNotFoundError
            There is no such repository or branch.
        AccessDeniedError
            The user may not write to the repository.
        NotSupportedError
            The path names a tag, a commit or a point in time.
        XetError
            The endpoint refuses the request, or fails after retries; see the subclasses in `pyxet.errors`.
        """

    def list_lfs_files(self, repo: str, *, timeout: float | None=None) -> list[LfsFile]:
        """List the large files in the whole history of a repository, each content once, as far as the endpoint lists them.

        Parameters
        ----------
        repo:
            Path of the repository: ``acme/titanic``.

        Returns
        -------
        list[LfsFile]
            In the endpoint's order. The sum of their sizes is what they occupy before deduplication.

        Raises
        ------
        RepositoryNotFoundError
            There is no such repository.
        XetError
            The endpoint refuses the request, or fails after retries; see the subclasses in `pyxet.errors`.
        """

    def get_username(self, *, timeout: float | None=None) -> str:
        """Return the name of the token's user. Raises `AuthenticationError` if there is no valid token.

        Returns
        -------
        str
            The user name.

        Raises
        ------
        XetError
            The endpoint refuses the request, or fails after retries; see the subclasses in `pyxet.errors`.
        """

    def cp(
        self,
        /,
        path1: Any,
        path2: Any,
        recursive: bool=False,
        on_error: Literal['raise', 'ignore'] | None=None,
        maxdepth: int | None=None,
        batch_size: int | None=None,
        mode: WriteMode='overwrite',
        message: str | None=None,
        parent_commit: str | None=None,
        if_match: IfMatch | None=None,
        assume_literal: bool=False,
        pull_request: bool=False,
        *,
        timeout: float | None=None,
    ) -> None:
        """Another name of `copy`."""

    def move(
        self,
        /,
        path1: Any,
        path2: Any,
        recursive: bool=False,
        maxdepth: int | None=None,
        batch_size: int | None=None,
        mode: WriteMode='overwrite',
        message: str | None=None,
        parent_commit: str | None=None,
        if_match: IfMatch | None=None,
        assume_literal: bool=False,
        pull_request: bool=False,
        *,
        timeout: float | None=None,
    ) -> None:
        """Another name of `mv`."""

    def rename(
        self,
        /,
        path1: Any,
        path2: Any,
        recursive: bool=False,
        maxdepth: int | None=None,
        batch_size: int | None=None,
        mode: WriteMode='overwrite',
        message: str | None=None,
        parent_commit: str | None=None,
        if_match: IfMatch | None=None,
        assume_literal: bool=False,
        pull_request: bool=False,
        *,
        timeout: float | None=None,
    ) -> None:
        """Another name of `mv`."""

    def delete(
        self,
        /,
        path: Any,
        recursive: bool=False,
        batch_size: int | None=None,
        maxdepth: int | None=None,
        assume_literal: bool=False,
        message: str | None=None,
        parent_commit: str | None=None,
        if_match: IfMatch | None=None,
        pull_request: bool=False,
        *,
        timeout: float | None=None,
    ) -> None:
        """Another name of `rm`."""

    def upload(
        self,
        /,
        lpath: Any,
        rpath: Any,
        recursive: bool=False,
        callback: Callback=...,
        batch_size: int | None=None,
        maxdepth: int | None=None,
        mode: WriteMode='overwrite',
        message: str | None=None,
        parent_commit: str | None=None,
        if_match: IfMatch | None=None,
        include: Sequence[str] | str | None=None,
        exclude: Sequence[str] | str | None=None,
        follow_links: bool=True,
        pull_request: bool=False,
        progress: bool=False,
        *,
        timeout: float | None=None,
    ) -> None:
        """Another name of `put`."""

    def download(
        self,
        /,
        rpath: Any,
        lpath: Any,
        recursive: bool=False,
        callback: Callback=...,
        maxdepth: int | None=None,
        assume_literal: bool=False,
        progress: bool=False,
        names: LocalNames='refuse',
        *,
        timeout: float | None=None,
    ) -> None:
        """Another name of `get`."""

    def write_bytes(
        self,
        /,
        path: str,
        value: Buffer | AsyncSource,
        mode: WriteMode='overwrite',
        message: str | None=None,
        parent_commit: str | None=None,
        if_match: IfMatch | None=None,
        pull_request: bool=False,
        *,
        timeout: float | None=None,
    ) -> None:
        """Another name of `pipe_file`."""

    def read_bytes(
        self,
        /,
        path: str,
        start: int | None=None,
        end: int | None=None,
        *,
        timeout: float | None=None,
    ) -> bytes:
        """Another name of `cat_file`."""

    def makedir(self, /, path: str, create_parents: bool=True, *, timeout: float | None=None) -> None:
        """Another name of `mkdir`."""

    def mkdirs(self, path: str, exist_ok: bool=False, *, timeout: float | None=None) -> None:
        """Another name of `makedirs`."""

    @overload
    def listdir(
        self,
        /,
        path: str,
        detail: Literal[True]=True,
        refresh: bool=False,
        expand: bool=False,
        *,
        timeout: float | None=None,
    ) -> list[Info]:
        """Another name of `ls`."""

    @overload
    def listdir(
        self,
        /,
        path: str,
        detail: Literal[False],
        refresh: bool=False,
        expand: bool=False,
        *,
        timeout: float | None=None,
    ) -> list[str]: ...
    @overload
    def listdir(
        self,
        /,
        path: str,
        detail: bool=True,
        refresh: bool=False,
        expand: bool=False,
        *,
        timeout: float | None=None,
    ) -> list[Info] | list[str]: ...
    def stat(self, /, path: str, expand: bool=False, refresh: bool=False, *, timeout: float | None=None) -> Info:
        """Another name of `info`."""

    @overload
    def disk_usage(
        self,
        /,
        path: str,
        total: Literal[True]=True,
        maxdepth: int | None=None,
        withdirs: bool=False,
        refresh: bool=False,
        *,
        timeout: float | None=None,
    ) -> int:
        """Another name of `du`."""

    @overload
    def disk_usage(
        self,
        /,
        path: str,
        total: Literal[False],
        maxdepth: int | None=None,
        withdirs: bool=False,
        refresh: bool=False,
        *,
        timeout: float | None=None,
    ) -> dict[str, int]: ...
    @overload
    def disk_usage(
        self,
        /,
        path: str,
        total: bool=True,
        maxdepth: int | None=None,
        withdirs: bool=False,
        refresh: bool=False,
        *,
        timeout: float | None=None,
    ) -> int | dict[str, int]: ...