"""`XetPath`: ``xet://`` paths with the interface of `pathlib`, based on universal_pathlib (the extra ``path``).

Each method calls `XetFS`: questions are look-ups, and changes are commits, or parts of the transaction that is open in
the thread.
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
    """Make universal_pathlib split paths by the rules of `XetFS`.

    When universal_pathlib first sees a scheme, it takes the rules from the file system that is registered for it, and caches
    them. If `XetFS` were not registered then, the rules would know nothing of endpoints, and expect a leading slash.
    """
    if SCHEME not in registry:
        register_implementation(SCHEME, XetFS)
    if WrappedFileSystemFlavour.from_protocol(SCHEME)._spec is not registry[SCHEME]:
        WrappedFileSystemFlavour.from_protocol.cache_clear()


_make_known()


def _refuse_options(name: str, options: Mapping[str, object], where: str) -> None:
    """Raise `TypeError` for options of writing that would have no effect."""
    given = [option for option in ("mode", "message", "parent_commit", "if_match") if options.get(option) is not None]
    if given:
        raise TypeError(f"{name}: {', '.join(given)} cannot be kept {where}")


class XetPath(UPath):
    """A path of a Xet repository.

    Parameters
    ----------
    args:
        A URL or path, and the parts to join to it.
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
        # The comparison raises if they differ. The given one is kept, as it also says whether http or https is used.
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
        """Size, type and time of the last change of the file or folder.

        Raises
        ------
        NotFoundError
            The path does not exist.
        """
        if not follow_symlinks:
            warnings.warn("XetPath.stat: there are no links that could be followed", UserWarning, stacklevel=2)
        return UPathStatResult.from_info(self.fs.info(self.path, expand=True))

    def iterdir(self) -> Iterator[Self]:
        """The paths in this folder, from one request.

        Raises
        ------
        NotFoundError
            The path does not exist.
        NotADirectoryError
            The path is a file.
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
            A pattern as in `XetFS.glob`. Special characters in the path of the folder itself are taken literally.
        case_sensitive, recurse_symlinks:
            Accepted for compatibility with `pathlib`; they have no effect and give a warning. Matching is always
            case-sensitive, and there are no links.
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
        """The folder and all folders below it, each with the names of its folders and files, from one version of the branch."""
        if not self.is_dir():
            error = NotFoundError(f"there is no folder {self}", status=404)
            if on_error is not None:
                on_error(error)
            return
        for folder, folders, files in self.fs.walk(self.path, topdown=top_down, on_error="raise"):
            yield self.with_segments(folder), folders, files

    def read_bytes(self) -> bytes:
        """The content of the file; its hash is verified."""
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
        """Write the file in one commit, and return the number of bytes.

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
        """Write the file from text in one commit, and return the number of characters. See `XetFS.write_text`."""
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
        """Make an empty file, unless the file exists.

        Parameters
        ----------
        mode:
            Accepted for compatibility with `pathlib`; it has no effect.
        exist_ok:
            Whether the file may exist.
        message, parent_commit, if_match:
            As in `XetFS.touch`.

        Raises
        ------
        FileExistsError
            The file exists, and ``exist_ok`` is false.
        """
        self.fs.touch(
            self.path, truncate=False, mode="overwrite" if exist_ok else "create", message=message,
            parent_commit=parent_commit, if_match=if_match,
        )  # fmt: skip

    def mkdir(self, mode: int = 0o777, parents: bool = False, exist_ok: bool = False) -> None:
        """Check that a folder can be here; nothing is made, as a folder in git exists as soon as a file is in it.

        Raises
        ------
        FileExistsError
            A file is here; or a folder is, and ``exist_ok`` is false.
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
            Whether the file may be missing.
        message, parent_commit, if_match:
            As in `XetFS.rm`.

        Raises
        ------
        NotFoundError
            The file does not exist, and ``missing_ok`` is false.
        IsADirectoryError
            The path is a folder.
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
        """Move the file or folder to another path in one commit, without transfer of content. An existing file is replaced.

        Parameters
        ----------
        target:
            A `XetPath`, a URL, or a path that begins with the owner.
        mode, message, parent_commit, if_match:
            As in `XetFS.mv`.

        Raises
        ------
        NotFoundError
            This path does not exist.
        IsADirectoryError, NotADirectoryError, OSError
            The target is a folder and this is a file; the target is a file and this is a folder; both are folders.
        """
        moved = self._as_target(target)
        if moved.path == self.path and moved.fs is self.fs:
            return moved
        kind: str = self.fs.info(self.path)["type"]
        there = moved._kind()
        if there == "directory" and kind == "file":
            raise IsADirectoryError(errno.EISDIR, "it is a folder", str(moved))
        if there == "file" and kind == "directory":
            raise NotADirectoryError(errno.ENOTDIR, "it is a file", str(moved))
        if there == "directory":
            raise OSError(errno.ENOTEMPTY, "it is a folder", str(moved))
        # Paths in lists are taken literally, even if they have characters of patterns.
        files = [self.path] if kind == "file" else self.fs.find(self.path)
        self.fs.mv(
            files, [moved.path + name.removeprefix(self.path) for name in files], mode=mode, message=message,
            parent_commit=parent_commit, if_match=if_match,
        )  # fmt: skip
        return moved

    def replace(self, target: WritablePathLike, **kwargs: Any) -> Self:
        """Same as `rename`, with the same options."""
        return self.rename(target, **kwargs)

    @public()
    def rmdir(
        self, recursive: bool = True, *, message: str | None = None, parent_commit: str | None = None
    ) -> None:  # fmt: skip
        """Delete the folder and everything in it in one commit, as universal_pathlib does.

        Parameters
        ----------
        recursive:
            If false, raise `OSError` for any folder, like `pathlib` for one that is not empty: there are no empty folders.
        message, parent_commit:
            As in `XetFS.rm`.
        """
        if not self.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, "it is not a folder", str(self))
        if recursive:
            self.fs.rm(
                self.path, recursive=True, assume_literal=True, message=message, parent_commit=parent_commit
            )  # fmt: skip
        else:
            self.fs.rmdir(self.path)

    def copy(self, target: Any, **kwargs: Any) -> Any:
        """Copy the file or folder to another path, which may be in another file system, and return the new path.

        Parameters
        ----------
        target:
            The new path.
        kwargs:
            ``follow_symlinks`` and ``on_name_collision`` of universal_pathlib. For a target in this file system also
            ``mode``, ``message``, ``parent_commit`` and ``if_match`` as in `XetFS.cp`; for one at another endpoint
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
        """Move the file or folder to another path, which may be in another file system, and return the new path.

        Parameters
        ----------
        target:
            The new path.
        mode, message, parent_commit, if_match:
            As in `XetFS.mv`. For a target in another file system only ``message`` may be given, for the deletion here.
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
        """Copy a file or folder to this path in one commit; within a repository no content is transferred."""
        guards: dict[str, Any] = {"mode": mode, "if_match": if_match}
        guards = {name: value for name, value in guards.items() if value is not None}
        if isinstance(source, XetPath) and source.fs is self.fs:
            # `info` raises if there is nothing, of which `find` knows no files.
            is_folder = self.fs.info(source.path)["type"] == "directory"
            files = self.fs.find(source.path) if is_folder else [source.path]
            self.fs.copy(
                files, [self.path + name.removeprefix(source.path) for name in files], message=message,
                parent_commit=parent_commit, **guards,
            )  # fmt: skip
            return
        _refuse_options("copy", guards, "from another file system")
        further = {"follow_symlinks": follow_symlinks, "on_name_collision": on_name_collision}
        if message is None and self.fs._open_transaction() is None:
            message = f"Copy {source} to {self.path}"
        # One commit for all files. Inside an open transaction this one is nested, so a copy that fails leaves nothing.
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
        """A target as a path, by the rule of universal_pathlib: a string without a scheme is a local path."""
        if isinstance(target, str) and target.startswith(f"{SCHEME}://"):
            return self.with_segments(target)
        return target if isinstance(target, UPath) else UPath(target)

    def _as_target(self, target: WritablePathLike) -> Self:
        """The target of a move as a path. Without a scheme it must begin with the owner, as there is no current folder."""
        if isinstance(target, type(self)):
            # This raises if the target is relative.
            return target.absolute()
        text = target.as_posix() if isinstance(target, UPath | PurePath) else str(target)
        if "://" not in text and XetURL.parse(text).level != "path":
            raise UnsupportedOperation(
                f"there is no current folder for {text!r} to be relative to; give a full path or URL"
            )
        return self.with_segments(text)
