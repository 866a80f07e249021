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
        """What is at a path.

        Parameters
        ----------
        path:
            ``owner/repo/branch/path``, or the ``xet://`` URL of that path.
        expand:
            Also tell ``last_modified``, which costs the endpoint much.
        refresh:
            Look at the branch again, however recently it was looked at.

        Returns
        -------
        dict
            ``name``, ``size`` in bytes, ``type`` (``file`` or ``directory``); for files ``blob_id``, ``commit``, and
            ``xet_hash`` and ``sha256`` where there are any; for others ``kind`` (owner, repo, branch, directory).

        Raises
        ------
        NotFoundError
            There is nothing.
        XetError
            The endpoint refuses the request, or fails after retries; see the subclasses in `pyxet.errors`.
        """

    def url(self, /, path: str, *, timeout: float | None=None) -> str:
        """The web address of what is at a path: of the content of a file, of the page of anything else.

        Parameters
        ----------
        path:
            A file, folder, branch, repository or owner.

        Returns
        -------
        str
            It needs the token where the repository is private.

        Raises
        ------
        NotFoundError
            There is nothing.
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
        """What is directly in a folder: files and folders, the branches of a repository, the repositories of an owner.

        Parameters
        ----------
        path:
            ``owner/repo/branch/path``, or the ``xet://`` URL of that path.
        detail:
            Dictionaries like `info`'s, or names.
        refresh:
            Look at the branch again, however recently it was looked at.
        expand:
            Also tell ``last_modified`` of files and folders, which costs the endpoint much.

        Returns
        -------
        list
            Dictionaries or names, sorted by name.

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
        """All files below a path, in the order of their names.

        Parameters
        ----------
        path:
            ``owner/repo/branch/path``, or the ``xet://`` URL of that path.
        maxdepth:
            How many folders deep to look.
        withdirs:
            Include folders, the first one too.
        detail:
            A dictionary of names and infos, or a list of names.
        expand:
            Also tell ``last_modified`` of what is inside of folders, which costs the endpoint much.
        prefix:
            Only what begins with this, from the path's next part on: ``2026-11/a``. Folders that cannot have any are not
            looked at.
        refresh:
            Look at the branch again, however recently it was looked at.

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
        """All files below a path of a branch, page by page: the first ones come before all are known.

        All pages are of the same commit, and in the order in which the endpoint tells them. Less stays in memory than
        `find` needs, and a failure ends the scan with its error.

        Parameters
        ----------
        path:
            A branch, a folder, or a file, which is all there is then.
        dates:
            Also tell ``last_modified``, which costs the endpoint much; not of what is pending in a transaction.

        Yields
        ------
        list of dict
            Like `info`'s.

        Raises
        ------
        NotFoundError
            There is nothing.
        XetURLError
            It is an owner or a repository.
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
        """Folders with what they hold: tuples of path, folders and files.

        Parameters
        ----------
        path:
            ``owner/repo/branch/path``, or the ``xet://`` URL of that path.
        maxdepth:
            How many levels of folders to descend; ``None`` for all.
        topdown:
            Folders before those in them; the caller may take some away, which are then left out.
        on_error:
            What to do where the path does not exist: ``omit`` yields it empty, ``raise`` raises, a function is called.
            Other errors always raise: a walk is whole.
        detail:
            Dictionaries of names and infos, or lists of names.
        refresh:
            Look at the branch again, however recently it was looked at.

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
        """Paths that match a pattern, in the order of their names.

        Parameters
        ----------
        path:
            Pattern with ``*``, ``?``, ``[…]`` inside parts, and ``**`` for any number of parts.
        maxdepth:
            How many folders deep ``**`` goes.
        detail, withdirs, expand:
            As in `find`; folders are included unless ``withdirs`` is off.
        prefix:
            Only what begins with this, from the part on that has the first magic character.
        refresh:
            Look at branches again, however recently they were looked at.

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
            Whether there is.

        Raises
        ------
        XetError
            The endpoint refuses the request, or fails after retries; see the subclasses in `pyxet.errors`.
        """

    def lexists(self, /, path: str, refresh: bool=False, *, timeout: float | None=None) -> bool:
        """Like `exists`: there are no links.

        Parameters
        ----------
        path:
            ``owner/repo/branch/path``, or the ``xet://`` URL of that path.
        refresh:
            Ask the endpoint for the head of the branch, even if it was requested recently.

        Returns
        -------
        bool
            Whether there is.

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
            Whether there is.

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
            Whether there is.

        Raises
        ------
        XetError
            The endpoint refuses the request, or fails after retries; see the subclasses in `pyxet.errors`.
        """

    def isdir_or_branch(self, path: str, *, timeout: float | None=None) -> bool:
        """The first pyxet's name of `isdir`.

        Parameters
        ----------
        path:
            ``owner/repo/branch/path``, or the ``xet://`` URL of that path.

        Returns
        -------
        bool
            Whether there is.

        Raises
        ------
        XetError
            The endpoint refuses the request, or fails after retries; see the subclasses in `pyxet.errors`.
        """

    def size(self, path: str, *, timeout: float | None=None) -> int:
        """Bytes of a file.

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
        """Bytes of several files.

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
        """Bytes of the files below a path: their sum, or each of them. Content that files share counts each time.

        Parameters
        ----------
        path:
            ``owner/repo/branch/path``, or the ``xet://`` URL of that path.
        total:
            Give the sum, or what each file has.
        maxdepth:
            How many levels of folders to descend; ``None`` for all.
        withdirs:
            Include folders.
        refresh:
            Ask the endpoint for the head of the branch, even if it was requested recently.

        Returns
        -------
        int or dict
            The sum in bytes; a dictionary of paths to bytes if ``total`` is off.

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
        """A key of the version of a file; another version has another.

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
        """A number of the content of a file; the same content has the same number.

        Parameters
        ----------
        path:
            ``owner/repo/branch/path``, or the ``xet://`` URL of that path.

        Returns
        -------
        int
            The SHA-256 of the content, or the git object id of what is small.

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
        """Content of a file, or bytes ``start`` to before ``end`` of it; negative numbers count from its end.

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
            It is a folder.
        IntegrityError
            What came is not the file's content.
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
        """Contents of files: bytes for one path, a dictionary for a list, a pattern or a recursive read.

        Parameters
        ----------
        path:
            Names, or patterns where there is nothing of the name.
        recursive:
            Include the content of folders.
        on_error:
            ``raise``, ``omit`` the path, or ``return`` the error in its place.
        start, end:
            As in `cat_file`, for each file.
        assume_literal:
            No path is a pattern, also if there is nothing of the name.

        Returns
        -------
        bytes or dict
            Bytes for one path; else a dictionary of paths to bytes, or to errors where ``on_error`` is ``return``.

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
        """Byte ranges of files, in the order in which they are asked for.

        Parameters
        ----------
        paths, starts, ends:
            One range for each path; a single number serves all of them.
        max_gap:
            Ranges of one file that are at most this many bytes apart are fetched as one.
        batch_size:
            Accepted for compatibility with fsspec; it has no effect, as `Limits` bound what is in flight.
        on_error:
            ``return`` puts an error in its range's place, ``omit`` leaves the range out, ``raise`` raises the first one.

        Returns
        -------
        list
            Bytes, and errors where ``on_error`` is ``return``.

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
        """Content of a file, or bytes ``start`` to before ``end`` of it, in pieces: for a web answer, or a file of any size.

        All pieces are of the version that was there when the first one was asked for. What is read ahead of the consumer
        is bounded by `Limits`; a consumer that is slow, or stops, keeps no other from reading.

        Parameters
        ----------
        path:
            A file.
        start, end:
            As in `cat_file`: negative numbers count from the end.

        Yields
        ------
        bytes
            One to a few MiB; the last piece may be shorter. There is none if the file, or the range, is empty.

        Raises
        ------
        NotFoundError
            There is no such file.
        IsADirectoryError
            It is a folder.
        IntegrityError
            What came is not the file's content. Of a whole file the last piece comes only if all pieces are right
            together; what was yielded before is to be thrown away then. Of a range, headers and lengths are checked.
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
        """Download a file to a local path or into a file object; a folder is made locally.

        The local name appears with all of the content or not at all; what a cancelled or killed download has got is used
        by the next one.

        Parameters
        ----------
        rpath:
            ``owner/repo/branch/path``, or the ``xet://`` URL of that path.
        lpath, outfile:
            Where to, by either name; one of them: a local path, or a binary file, which is written to from where it
            stands and not closed. It is blocking or asynchronous (whatever has a ``write``); an asynchronous one needs the
            coroutine.
        callback:
            Counts bytes.
        progress:
            Show a bar, on a terminal or in a notebook, and a line at the end.
        names:
            What becomes of a name that no local file can have here, see `get`.

        Raises
        ------
        NotFoundError
            There is nothing at ``rpath``.
        LocalNameError
            No local file can have the name.
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
            Names, or patterns where there is nothing of the name. A folder without ``recursive`` is left out, with a
            warning.
        lpath:
            A local file or folder, or an open file as in `get_file`; or a list of them, one for each of the list ``rpath``.
        recursive:
            Include the content of folders.
        callback:
            Counts files; what it branches off for each file counts bytes.
        maxdepth:
            How many levels of folders to descend; ``None`` for all.
        assume_literal:
            No path is a pattern, also if there is nothing of the name.
        progress:
            Show a bar, on a terminal or in a notebook, and a line at the end.
        names:
            What becomes of files that cannot have their names on this machine (``aux`` and ``a:b`` on Windows, ``README``
            beside ``readme`` where cases are not told apart, names that are too long): ``refuse`` raises before anything
            is written, ``escape`` writes them under other names, in which such characters stand as in URLs (``a%3Ab``).

        Raises
        ------
        NotFoundError
            There is nothing at a path.
        LocalNameError
            A file cannot have its name here; it says which one.
        XetURLError
            Two files would get one name, or one a name outside of ``lpath``.
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
        """Bring a whole revision, or a folder of it, into a local folder: what a library wants that reads local files.

        All files are of one commit, the one that the branch is at when the call begins. A file that is there and right is
        not fetched: its content is compared by its hash, or was before and the file has not been touched since. What is
        fetched is verified by its hash and appears under its name when it is whole. After a kill or a cancellation the same
        call goes on where that one was, also in the middle of a large file. Other files of the folder are left alone.

        Parameters
        ----------
        path:
            A branch, tag or commit, or a folder in one: ``acme/model/main``. What is pending in a transaction is not in it.
        folder:
            Where to; made if it is not there. By default a folder in the user's cache, one for each commit, which other
            calls for the same commit find again; its files are not to be written to.
        include, exclude:
            Patterns that choose files, as in `put`.
        callback:
            Counts files; what it branches off for each file that is fetched counts bytes.
        names:
            What becomes of files that cannot have their names on this machine, as in `get`.

        Returns
        -------
        str
            The absolute path of the local folder.

        Raises
        ------
        NotFoundError
            There is no such repository, revision or folder.
        NotADirectoryError
            The path is a file's.
        XetURLError
            It names no revision, or the endpoint names files that would be outside of the folder.
        LocalNameError
            A file cannot have its name on this machine. Nothing was written.
        IntegrityError
            What came is not the content of its file; nothing of that stays.
        OSError
            Files cannot be written there.
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
        """Store content for a commit that is made later, perhaps by another process, see `commit`.

        Nobody sees it before, and no transaction takes part. Staging the same content again, after a crash say, stores
        nothing new.

        Parameters
        ----------
        data:
            Bytes, the path of a local file, or what `put_file` reads from: a binary file, which is read from where it
            stands, or an asynchronous iterator.
        path:
            The path that the file will have: ``acme/corpus/main/up/1.bin``.
        sha256:
            SHA-256 of the content in 64 hexadecimal digits, if the caller has it. Where the content has more than a
            mebibyte it is believed here, which saves computing it; whether the endpoint checks it is its business.
        callback:
            Counts bytes.
        pull_request:
            It is for a pull request that is to be opened for the branch, which the user may not be able to write to.
        progress:
            Show a bar, on a terminal or in a notebook, and a line at the end.

        Returns
        -------
        FilePointer
            What a commit needs to name the content; it can be pickled and sent elsewhere.

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
        """Store many files of one branch for a later commit: small ones travel together, as `stage` cannot do.

        Parameters
        ----------
        files:
            Paths, and what `stage` takes as ``data``.
        sha256:
            SHA-256 by path, of those that the caller has it of.
        callback:
            Counts files; what it branches off for each file counts bytes.
        pull_request:
            As in `stage`.
        progress:
            Show a bar, on a terminal or in a notebook, and a line at the end.

        Returns
        -------
        list[FilePointer]
            In the order of ``files``.

        Raises
        ------
        XetURLError
            They are not all of one branch, or ``sha256`` names a path that is not among them.
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

        Files that the branch has just so already are left out, so a commit that is made again is none.

        Parameters
        ----------
        branch:
            ``acme/corpus/main``.
        pointers:
            What `stage` returned, here or in other processes. They are taken a thousand at a time, so an iterator need
            not have them all in memory.
        delete:
            Paths of files to delete, like those that `rm` takes: ``acme/corpus/main/old.bin``.
        message:
            Commit message; one that tells what it does if ``None``. A transaction has its own.
        parent_commit:
            A full commit id: a change to one of the paths since is a conflict.
        mode:
            ``create`` raises if one of the staged files exists.
        if_match:
            The version to replace or delete, or a mapping of paths to those.
        pull_request:
            Open a pull request for the branch instead of committing to it.

        Returns
        -------
        Commit | None
            ``None`` where nothing changes, and in a transaction, which commits at its end.

        Raises
        ------
        XetURLError
            A pointer or a deletion is of another endpoint, repository or branch.
        NotFoundError, IsADirectoryError
            A file to delete is not there, or is a folder.
        AlreadyExistsError, EditConflictError
            A path exists, is not the version expected, or changed since ``parent_commit``.
        BadRequestError
            A path is there twice, or would be a file and a folder; the endpoint does not have the content.
        RevisionNotFoundError
            There is no such branch.
        XetError
            The endpoint refuses the request, or fails after retries; see the subclasses in `pyxet.errors`.
        """

    def make_repo(self, repo: str, private: bool=False, exist_ok: bool=False, *, timeout: float | None=None) -> None:
        """Make a repository with an empty branch ``main``.

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
            It is there, and ``exist_ok`` is not set.
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
            Path of the new repository, which is of the same kind.
        private:
            Whether only its owner sees it; as with the first one if ``None``.

        Returns
        -------
        dict
            ``name``, and ``files_pending``: whether the endpoint goes on copying large files, which may not be readable
            in the new repository until it is done.

        Raises
        ------
        RepositoryNotFoundError, AlreadyExistsError
            The first repository is not there; the second one is.
        NotSupportedError
            The endpoint cannot duplicate repositories.
        XetError
            The endpoint refuses the request, or fails after retries; see the subclasses in `pyxet.errors`.
        """

    def fork_repo(self, repo: str, destination: str | None=None, *, timeout: float | None=None) -> DuplicateInfo:
        """A copy of a repository to work on: in the account of the token's user and under its own name, unless said.

        It is a duplicate, see `duplicate_repo`: it has the whole history, is seen by whom the first one is seen by, and
        nothing connects the two from then on. Endpoints know no other kind of fork.

        Parameters
        ----------
        repo:
            Path of the repository: ``acme/titanic``, ``datasets/acme/titanic``.
        destination:
            Path of the new repository.

        Returns
        -------
        DuplicateInfo
            As of `duplicate_repo`.

        Raises
        ------
        XetError
            The endpoint refuses the request, or fails after retries; see the subclasses in `pyxet.errors`.
        """

    def rename_repo(self, repo: str, destination: str, *, timeout: float | None=None) -> None:
        """Give a repository another name or owner. The old name leads to it until another repository gets that.

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
            There is no such repository; there is one of the new name.
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
            ``private`` and whether only its owner sees it; ``visibility`` and ``public``, ``private`` or, for spaces,
            ``protected``; ``gated`` and how access is granted to who asks, ``auto`` or ``manual``, or ``False``.

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
        """Repositories of an owner (``acme``, ``datasets/acme``); of the token's user and organizations without one.

        Parameters
        ----------
        owner:
            A user or organization; ``None`` for the token's user and the organizations that this belongs to.
        detail:
            Dictionaries like those of `ls`, or names.

        Returns
        -------
        list
            Of all kinds; ``datasets/``, ``spaces/``, ``kernels/`` stand before the names of those.

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
        """Whether a path is that of a repository which exists.

        Parameters
        ----------
        path:
            ``owner/repo/branch/path``, or the ``xet://`` URL of that path.

        Returns
        -------
        bool
            Whether it is one.

        Raises
        ------
        XetError
            The endpoint refuses the request, or fails after retries; see the subclasses in `pyxet.errors`.
        """

    def repo_info(self, repo: str, *, timeout: float | None=None) -> Info:
        """A repository: ``name``, ``private``, ``created``, ``last_modified``, and ``commit`` of its main branch.

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
        """Names of a repository's branches, or dictionaries with ``name`` (the path), ``branch`` and ``commit``.

        Parameters
        ----------
        repo:
            Path of the repository: ``acme/titanic``, ``datasets/acme/titanic``.
        detail:
            Return dictionaries with what is known of each entry, instead of names.

        Returns
        -------
        list
            Sorted by name.

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
            Branch, tag, commit or point in time where it starts.
        name:
            Its name.

        Raises
        ------
        AlreadyExistsError, RevisionNotFoundError
            A branch of the name exists; there is no such source.
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
            Whether it is there.

        Raises
        ------
        RepositoryNotFoundError
            There is no such repository. Where only a path is given that is an answer: no.
        XetError
            The endpoint refuses the request, or fails after retries; see the subclasses in `pyxet.errors`.
        """

    def branch_info(self, repo: str, name: str | None=None, *, timeout: float | None=None) -> BranchInfo:
        """A branch: ``name`` (the path), ``branch`` and ``commit``.

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
        """Names of a repository's tags, or dictionaries with ``name`` (the path), ``tag`` and ``commit``.

        Parameters
        ----------
        repo:
            Path of the repository: ``acme/titanic``, ``datasets/acme/titanic``.
        detail:
            Return dictionaries with what is known of each entry, instead of names.

        Returns
        -------
        list
            Sorted by name.

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
            A branch, tag or commit.
        message:
            What the tag says of itself.

        Raises
        ------
        AlreadyExistsError
            There is a tag of that name.
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
        """The branch, tag or commit that a name stands for.

        Parameters
        ----------
        repo:
            Path of the repository: ``acme/titanic``, ``datasets/acme/titanic``.
        name:
            Branch, tag, reference (``refs/pr/1``, also without ``refs/``: ``heads/main``), commit id, or point in time.
            Of a branch and a tag of the same name, the branch.

        Returns
        -------
        dict
            ``commit``; ``kind``: ``branch``, ``tag``, ``ref`` or ``commit``; ``ref``: ``refs/heads/main``, ``None`` for
            commits and points in time; ``name``, its path.

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
            ``open`` ones, drafts among them; ``closed`` ones, which merged ones are, too; or ``all``.
        author:
            Only those that this user opened.
        limit:
            How many to give at most.

        Returns
        -------
        list[PullRequest]
            What is known of each without asking for it.

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
        """Begin the draft of a pull request for ``main``, with nothing in it yet.

        Writing to its ``path`` puts something into it, and `open_pull_request` ends the draft. Changes that are at hand are
        proposed at once by a transaction with ``pull_request=True``.

        Parameters
        ----------
        repo:
            Path of the repository.
        title:
            What it is about, in a line; the Hub wants 3 to 200 characters.
        description:
            What else there is to say, in Markdown.

        Returns
        -------
        PullRequest
            It is a draft.

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
        """All that is known of a pull request.

        Parameters
        ----------
        repo:
            Path of the repository, or, without a number, of the pull request: ``acme/titanic/pr%2F3``.
        number:
            Number of the pull request.
        diff:
            Whether to ask for what it changes, as git writes it.

        Returns
        -------
        PullRequestInfo
            Among others its status, its branch, its comments, and the files in conflict.

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
            What to say about it.

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
            It is a draft, closed, or merged already.
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
            What to say about it.

        Raises
        ------
        AccessDeniedError
            The user neither opened it nor may write to the repository.
        BadRequestError
            It is merged.
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
        """Open a pull request that is closed, or a draft.

        Parameters
        ----------
        repo, number:
            As in `pull_request_info`.
        comment:
            What to say about it.

        Raises
        ------
        AccessDeniedError, BadRequestError, RepositoryNotFoundError, RevisionNotFoundError
            As in `close_pull_request`.
        XetError
            The endpoint refuses the request, or fails after retries; see the subclasses in `pyxet.errors`.
        """

    def comment(self, repo: str, number: int, text: str, *, timeout: float | None=None) -> None:
        """Say something in a pull request.

        Parameters
        ----------
        repo, number:
            Path of the repository, and number of the pull request.
        text:
            What to say, in Markdown.

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
        """The name of the token's user. `AuthenticationError` without a token that is accepted.

        Returns
        -------
        str
            Its name.

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