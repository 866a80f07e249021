"""`XetPath`: `xet://` as paths in the manner of `pathlib`, on universal_pathlib (the extra ``path``).

What a path does is one call of `XetFS`: a look-up for a question, a commit for a change, which is part of the
transaction that its thread has open.
"""

from __future__ import annotations

import errno
import glob
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import PurePath
from typing import Any, Self

from fsspec.registry import register_implementation, registry

from pyxet import config
from pyxet.errors import NotFoundError
from pyxet.fs import XetFS
from pyxet.options import public
from pyxet.types import IfMatch, WriteMode
from pyxet.urls import SCHEME, XetURL, endpoint_name

try:
    from upath import UnsupportedOperation, UPath
    from upath._flavour import WrappedFileSystemFlavour
    from upath._stat import UPathStatResult
    from upath.types import ReadablePath, StatResultType, WritablePathLike
except ImportError as error:
    raise ImportError(
        "XetPath needs universal_pathlib, 0.3.9 or later; install it with: pip install 'pyxet[path]'"
    ) from error

__all__ = ["XetPath"]


def _make_known() -> None:
    """Let universal_pathlib take paths apart as `XetFS` does.

    It takes the rules of a scheme from the file systems that are registered when it first meets the scheme, and keeps
    them for good. Without this that would be rules that know neither endpoints nor that paths have no leading slash.
    """
    if SCHEME not in registry:
        register_implementation(SCHEME, XetFS)
    if WrappedFileSystemFlavour.from_protocol(SCHEME)._spec is not registry[SCHEME]:
        WrappedFileSystemFlavour.from_protocol.cache_clear()


_make_known()


def _refuse_options(name: str, options: Mapping[str, object], where: str) -> None:
    """Raise `TypeError` for options of writing that could not be kept."""
    given = [option for option in ("mode", "message", "parent_commit", "if_match") if options.get(option) is not None]
    if given:
        raise TypeError(f"{name}: {', '.join(given)} cannot be kept {where}")


class XetPath(UPath):
    """A path of a Xet repository.

    Parameters
    ----------
    args:
        A URL or path, and what to join to it.
    storage_options:
        Arguments of `XetFS`: ``endpoint``, ``user``, ``token`` and so on.

    Raises
    ------
    XetURLError
        The URL names another endpoint than the one given.

    Examples
    --------
    >>> data = XetPath("xet://acme/titanic/main") / "data"
    >>> [path.name for path in data.glob("*.csv")]
    ['titanic.csv']
    >>> (data / "notes.md").write_text("# Notes")
    """

    __slots__ = ()

    @classmethod
    def _parse_storage_options(
        cls, urlpath: str, protocol: str, storage_options: Mapping[str, Any]
    ) -> dict[str, Any]:  # fmt: skip
        named = XetFS._get_kwargs_from_urls(urlpath).get("endpoint")
        if named is None:
            return dict(storage_options)
        given = storage_options.get("endpoint")
        # Raises where they differ. The one that was given says more: http or https.
        if given is not None and not named != given:  # noqa: SIM202  # see _InURL
            return dict(storage_options)
        return {"endpoint": str(named), **storage_options}

    def __str__(self) -> str:
        text: str = super().__str__()
        endpoint = self.storage_options.get("endpoint")
        if self._relative_base is not None or not endpoint:
            return text
        origin = config.resolve_endpoint(endpoint)
        if origin == config.DEFAULT_ENDPOINT or config.is_embedded(origin):
            return text
        return text.replace("://", f"://{endpoint_name(origin)}:", 1)

    # -- questions -----------------------------------------------------------------------------------------------------

    def stat(self, *, follow_symlinks: bool = True) -> StatResultType:
        """Size, type and time of the last change of what is here.

        Raises
        ------
        NotFoundError
            There is nothing.
        """
        if not follow_symlinks:
            warnings.warn("XetPath.stat: there are no links that could be followed", UserWarning, stacklevel=2)
        return UPathStatResult.from_info(self.fs.info(self.path, expand=True))

    def iterdir(self) -> Iterator[Self]:
        """The paths in this folder, with one request.

        Raises
        ------
        NotFoundError
            There is nothing here.
        NotADirectoryError
            It is a file.
        """
        names: list[str] = self.fs.ls(self.path, detail=False)
        if names == [self.path] and self.path:
            raise NotADirectoryError(errno.ENOTDIR, "it is a file", str(self))
        for name in names:
            yield self.with_segments(self.path, name.rpartition("/")[2])

    def glob(
        self, pattern: str, *, case_sensitive: bool | None = None, recurse_symlinks: bool = False
    ) -> Iterator[Self]:  # fmt: skip
        """The files and folders below this folder that a pattern matches: ``*.csv``, ``**/*.csv``.

        Parameters
        ----------
        pattern:
            As `XetFS.glob` takes it; what the name of the folder has of it stands for itself.
        case_sensitive, recurse_symlinks:
            For `pathlib`'s sake; they change nothing and warn. Case always counts, and there are no links.
        """
        if case_sensitive is not None or recurse_symlinks:
            warnings.warn("XetPath.glob: case_sensitive and recurse_symlinks do nothing", UserWarning, stacklevel=2)
        here = self.absolute()
        for name in self.fs.glob(self.with_segments(glob.escape(here.path), pattern).path):
            yield here.joinpath(name.removeprefix(here.path).removeprefix("/"))

    def rglob(
        self, pattern: str, *, case_sensitive: bool | None = None, recurse_symlinks: bool = False
    ) -> Iterator[Self]:  # fmt: skip
        """Like `glob`, at any depth."""
        return self.glob(f"**/{pattern}", case_sensitive=case_sensitive, recurse_symlinks=recurse_symlinks)

    def walk(
        self,
        top_down: bool = True,
        on_error: Callable[[Exception], object] | None = None,
        follow_symlinks: bool = False,
    ) -> Iterator[tuple[Self, list[str], list[str]]]:
        """The folders from here on, each with the names of the folders and files in it: all of one version of a branch."""
        if not self.is_dir():
            error = NotFoundError(f"there is no folder {self}", status=404)
            if on_error is not None:
                on_error(error)
            return
        for folder, folders, files in self.fs.walk(self.path, topdown=top_down, on_error="raise"):
            yield self.with_segments(folder), folders, files

    def read_bytes(self) -> bytes:
        """The content of the file, verified as a whole."""
        content: bytes = self.fs.cat_file(self.path)
        return content

    # -- changes -------------------------------------------------------------------------------------------------------

    @public()
    def write_bytes(
        self,
        data: bytes | bytearray | memoryview,
        *,
        mode: WriteMode = "overwrite",
        message: str | None = None,
        parent_commit: str | None = None,
        if_match: IfMatch | None = None,
    ) -> int:
        """Write the file in one commit; the number of bytes.

        Parameters
        ----------
        data:
            Bytes, or any other contiguous buffer.
        mode, message, parent_commit, if_match:
            As in `XetFS.pipe_file`.
        """
        self.fs.pipe_file(self.path, data, mode, message, parent_commit, if_match)
        return memoryview(data).nbytes

    @public()
    def write_text(
        self,
        data: str,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
        *,
        mode: WriteMode = "overwrite",
        message: str | None = None,
        parent_commit: str | None = None,
        if_match: IfMatch | None = None,
    ) -> int:
        """Write the file from text, in one commit; the number of characters. See `XetFS.write_text`."""
        if not isinstance(data, str):
            raise TypeError(f"data must be str, not {type(data).__name__}")
        written: int = self.fs.write_text(
            self.path, data, encoding=encoding, errors=errors, newline=newline, mode=mode, message=message,
            parent_commit=parent_commit, if_match=if_match,
        )  # fmt: skip
        return written

    @public()
    def touch(
        self,
        mode: int = 0o666,
        exist_ok: bool = True,
        *,
        message: str | None = None,
        parent_commit: str | None = None,
        if_match: IfMatch | None = None,
    ) -> None:
        """Make an empty file, unless there is one.

        Parameters
        ----------
        mode:
            For `pathlib`'s sake; it changes nothing.
        exist_ok:
            Whether there may be one.
        message, parent_commit, if_match:
            As in `XetFS.touch`.

        Raises
        ------
        FileExistsError
            There is one, and ``exist_ok`` is off.
        """
        self.fs.touch(
            self.path, truncate=False, mode="overwrite" if exist_ok else "create", message=message,
            parent_commit=parent_commit, if_match=if_match,
        )  # fmt: skip

    def mkdir(self, mode: int = 0o777, parents: bool = False, exist_ok: bool = False) -> None:
        """Nothing to make, as git has no empty folders: a folder is there as soon as a file is in it.

        Raises
        ------
        FileExistsError
            A file is here; or a folder, and ``exist_ok`` is off.
        """
        self.fs.mkdir(self.path)
        if not exist_ok and self.exists():
            raise FileExistsError(errno.EEXIST, "it exists already", str(self))

    @public()
    def unlink(
        self,
        missing_ok: bool = False,
        *,
        message: str | None = None,
        parent_commit: str | None = None,
        if_match: IfMatch | None = None,
    ) -> None:
        """Delete the file.

        Parameters
        ----------
        missing_ok:
            Whether there may be none.
        message, parent_commit, if_match:
            As in `XetFS.rm`.

        Raises
        ------
        NotFoundError
            There is none, and ``missing_ok`` is off.
        IsADirectoryError
            It is a folder.
        """
        try:
            self.fs.rm_file(self.path, message=message, parent_commit=parent_commit, if_match=if_match)
        except NotFoundError:
            if not missing_ok:
                raise

    @public()
    def rename(  # type: ignore[override]  # its options have names
        self,
        target: WritablePathLike,
        *,
        mode: WriteMode = "overwrite",
        message: str | None = None,
        parent_commit: str | None = None,
        if_match: IfMatch | None = None,
    ) -> Self:
        """Move the file or folder to another path, in one commit and without moving content; a file there is replaced.

        Parameters
        ----------
        target:
            A `XetPath`, a URL, or a path from the owner on.
        mode, message, parent_commit, if_match:
            As in `XetFS.mv`.

        Raises
        ------
        NotFoundError
            There is nothing here.
        IsADirectoryError, NotADirectoryError, OSError
            There is a folder of the target's name and this is a file, or the other way round, or both are folders.
        """
        moved = self._as_target(target)
        if moved.path == self.path and moved.fs is self.fs:
            return moved
        kind: str = self.fs.info(self.path)["type"]
        there = moved._kind()
        if there == "directory" and kind == "file":
            raise IsADirectoryError(errno.EISDIR, "there is a folder", str(moved))
        if there == "file" and kind == "directory":
            raise NotADirectoryError(errno.ENOTDIR, "there is a file", str(moved))
        if there == "directory":
            raise OSError(errno.ENOTEMPTY, "there is a folder", str(moved))
        # Lists of names are taken as they are, whatever characters of patterns are in them.
        files = [self.path] if kind == "file" else self.fs.find(self.path)
        self.fs.mv(
            files, [moved.path + name.removeprefix(self.path) for name in files], mode=mode, message=message,
            parent_commit=parent_commit, if_match=if_match,
        )  # fmt: skip
        return moved

    def replace(self, target: WritablePathLike, **kwargs: Any) -> Self:
        """Like `rename`, with its options."""
        return self.rename(target, **kwargs)

    @public()
    def rmdir(
        self, recursive: bool = True, *, message: str | None = None, parent_commit: str | None = None
    ) -> None:  # fmt: skip
        """Delete the folder with all that is in it, in one commit, as paths of universal_pathlib do.

        Parameters
        ----------
        recursive:
            If off, a folder raises `OSError`, as `pathlib` does: a folder without files is not there.
        message, parent_commit:
            As in `XetFS.rm`.
        """
        if not self.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, "it is no folder", str(self))
        if recursive:
            self.fs.rm(
                self.path, recursive=True, assume_literal=True, message=message, parent_commit=parent_commit
            )  # fmt: skip
        else:
            self.fs.rmdir(self.path)

    def copy(self, target: Any, **kwargs: Any) -> Any:
        """Copy the file or folder to another path, of whatever file system; the new path.

        Parameters
        ----------
        target:
            Where to.
        kwargs:
            ``follow_symlinks`` and ``on_name_collision`` of universal_pathlib; and to a path of this file system
            ``mode``, ``message``, ``parent_commit`` and ``if_match`` as in `XetFS.cp`, to another repository's endpoint
            ``message`` and ``parent_commit``.

        Raises
        ------
        TypeError
            An option is unknown, or has no meaning for this target.
        """
        if not isinstance(self._elsewhere(target), XetPath):
            _refuse_options("copy", kwargs, "to a path of another file system")
        return super().copy(target, **kwargs)

    @public()
    def move(  # type: ignore[override]  # its options have names
        self,
        target: Any,
        *,
        mode: WriteMode | None = None,
        message: str | None = None,
        parent_commit: str | None = None,
        if_match: IfMatch | None = None,
        follow_symlinks: bool = True,
        on_name_collision: Any = None,
    ) -> Any:
        """Move the file or folder to another path, of whatever file system; the new path.

        Parameters
        ----------
        target:
            Where to.
        mode, message, parent_commit, if_match:
            As in `XetFS.mv`; to a path of another file system only the message, of the deletion, has a meaning.
        follow_symlinks, on_name_collision:
            As in `copy`.

        Raises
        ------
        TypeError
            An option is unknown, or has no meaning for this target.
        """
        moved = self._elsewhere(target)
        guards: dict[str, Any] = {"mode": mode, "parent_commit": parent_commit, "if_match": if_match}
        guards = {name: value for name, value in guards.items() if value is not None}
        if isinstance(moved, XetPath) and moved.fs is self.fs:
            return self.rename(moved, message=message, **guards)
        _refuse_options("move", guards, "to a path of another file system")
        written = {"message": message} if isinstance(moved, XetPath) else {}
        copied = self.copy(target, follow_symlinks=follow_symlinks, on_name_collision=on_name_collision, **written)
        if self.is_dir():
            self.rmdir(message=message)
        else:
            self.unlink(message=message)
        return copied

    @public()
    def _copy_from(  # type: ignore[override]  # its options have names
        self,
        source: ReadablePath,
        follow_symlinks: bool = True,
        on_name_collision: Any = None,
        mode: WriteMode | None = None,
        message: str | None = None,
        parent_commit: str | None = None,
        if_match: IfMatch | None = None,
    ) -> None:
        """Copy a file or folder to this path, in one commit; inside one repository no content moves."""
        guards: dict[str, Any] = {"mode": mode, "if_match": if_match}
        guards = {name: value for name, value in guards.items() if value is not None}
        if isinstance(source, XetPath) and source.fs is self.fs:
            files = [source.path] if source.is_file() else self.fs.find(source.path)
            self.fs.copy(
                files, [self.path + name.removeprefix(source.path) for name in files], message=message,
                parent_commit=parent_commit, **guards,
            )  # fmt: skip
            return
        _refuse_options("copy", guards, "from another file system")
        further = {"follow_symlinks": follow_symlinks, "on_name_collision": on_name_collision}
        if message is None and self.fs._open_transaction() is None:
            message = f"Copy {source} to {self.path}"
        # In an open transaction all of it, too, or nothing.
        with self.fs.transaction(message, parent_commit):
            super()._copy_from(source, **further)

    # -- details -------------------------------------------------------------------------------------------------------

    def _kind(self) -> str | None:
        try:
            kind: str = self.fs.info(self.path)["type"]
        except NotFoundError:
            return None
        return kind

    def _elsewhere(self, target: Any) -> Any:
        """A target as a path, as universal_pathlib takes it: text without a scheme is a local one."""
        if isinstance(target, str) and target.startswith(f"{SCHEME}://"):
            return self.with_segments(target)
        return target if isinstance(target, UPath) else UPath(target)

    def _as_target(self, target: WritablePathLike) -> Self:
        """Where a path is to be moved. Without a scheme it begins with the owner: there is no current folder."""
        if isinstance(target, type(self)):
            # Of a relative one this raises.
            return target.absolute()
        text = target.as_posix() if isinstance(target, UPath | PurePath) else str(target)
        if "://" not in text and XetURL.parse(text).level != "path":
            raise UnsupportedOperation(
                f"there is no current folder that {text!r} could be in; give a whole path or URL"
            )
        return self.with_segments(text)
