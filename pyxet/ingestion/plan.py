"""What there is to copy: the files of the source, as they are listed, and the batches that workers get."""

from __future__ import annotations

import os
import posixpath
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from fsspec import AbstractFileSystem
from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from pyxet.errors import ConfigError, PyxetWarning
from pyxet.local_tree import IS_GIT, IS_LOOP
from pyxet.patterns import unescaped
from pyxet.reports import IngestFailure

# What file systems say of a file that changes when its content does. All that are there count.
_SIGNS: Final = (
    "ETag", "etag", "VersionId", "version_id", "generation", "md5", "md5Hash", "content_md5", "crc32c", "sha256",
    "blob_id", "mtime", "LastModified", "last_modified", "modified", "updated", "created", "ino",
)  # fmt: skip
# Where a name may be both a file's and the beginning of others'. Elsewhere listing a file may fail, or read all of it.
_OBJECT_STORES: Final = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oss", "obs", "tos"})


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file of the source.

    Attributes
    ----------
    name:
        Its path below the folder that is copied, which it has below the destination, too.
    path:
        Its path in the source's file system.
    size:
        Bytes, or ``None`` where the source does not tell.
    version:
        Another text once the file has changed, as far as the listing shows it.
    """

    name: str
    path: str
    size: int | None
    version: str


@dataclass(frozen=True, slots=True)
class Batch:
    """Files that one worker copies in one go; what is small in it is stored together."""

    files: tuple[SourceFile, ...]


class Source:
    """The tree that is copied.

    Parameters
    ----------
    url:
        Its URL, or its path if ``fs`` is given.
    options:
        Storage options for the URL.
    fs:
        The file system that it is in.
    follow_links:
        Whether local folders that links lead to are copied as well.

    Raises
    ------
    ConfigError
        The URL is none that fsspec knows.
    """

    def __init__(
        self, url: str, options: Mapping[str, Any], fs: AbstractFileSystem | None, *, follow_links: bool = True
    ) -> None:  # fmt: skip
        if fs is not None and options:
            raise ConfigError("give source_options or source_fs, not both")
        if fs is None:
            try:
                fs, root = url_to_fs(url, **options)
            except (ValueError, ImportError) as error:
                raise ConfigError(f"the source {url!r}: {error}") from error
        else:
            root = fs._strip_protocol(url)
        if getattr(fs, "asynchronous", False):
            raise ConfigError("the source's file system is asynchronous; ingest reads it with blocking calls")
        self.fs: AbstractFileSystem = fs
        self._root: str = root.rstrip("/")
        self._is_written_as_folder = url.endswith("/")
        # Elsewhere nothing tells whether a link leads back to where it is.
        self._follow_links = follow_links and isinstance(fs, LocalFileSystem)

    @property
    def name(self) -> str:
        """The URL of the tree."""
        return str(self.fs.unstrip_protocol(self._root))

    def files(self) -> Iterator[SourceFile | IngestFailure]:
        """Its files, a folder at a time, and what is there but cannot be copied.

        That is: links to folders that are not followed, sockets, names that a branch cannot have. ``.git`` is left out,
        with a warning.

        Raises
        ------
        OSError
            A folder cannot be listed. There never is a part of the files instead of all.
        ConfigError
            The source is a file and a folder, and is not written as a folder.
        """
        # What was listed earlier in this process may have changed.
        self.fs.invalidate_cache()
        top = self._top()
        if top["type"] != "directory":
            if not self._is_folder_as_well():
                yield _taken(posixpath.basename(self._root), self._root, top)
                return
            if not self._is_written_as_folder:
                raise ConfigError(
                    f"{self.name} is a file and a folder; with a slash at its end, {self.name}/, it is the folder"
                )
        waiting: list[tuple[str, frozenset[str]]] = [(self._root, frozenset())]
        while waiting:
            folder, above = waiting.pop()
            if self._follow_links:
                real = os.path.realpath(folder)
                if real in above:
                    _warn_left_out(folder, IS_LOOP)
                    continue
                above |= {real}
            folders = []
            entries = [(str(entry["name"]).rstrip("/"), entry) for entry in self.fs.ls(folder, detail=True)]
            below = {path for path, entry in entries if entry["type"] == "directory"}
            for path, entry in entries:
                name = path[len(self._root) :].lstrip("/")
                if name.rpartition("/")[2].lower() == ".git":
                    _warn_left_out(path, IS_GIT)
                elif path == folder:
                    # An object store's mark that there is a folder, unless it is one of keys like ``folder//name``.
                    if "DIRECTORY" in (entry.get("StorageClass"), entry.get("storageClass")):
                        yield IngestFailure(f"{name}//", "ValueError: keys with // in them are no paths")
                elif entry["type"] == "directory":
                    folders.append(path)
                elif path in below:
                    # To an object store names are only names.
                    yield IngestFailure(name, "ValueError: a folder has the same name, and a branch cannot have both")
                elif not _is_text(name):
                    shown = name.encode(errors="backslashreplace").decode()
                    yield IngestFailure(shown, "ValueError: its name is not in UTF-8")
                elif entry["type"] == "file":
                    yield _taken(name, path, entry)
                elif (special := self._special(name, path)) is not None:
                    yield special
                else:
                    folders.append(path)
            # Caches of listings would end up with all of the tree.
            self.fs.invalidate_cache(folder)
            waiting += [(path, above) for path in reversed(folders)]

    def _is_folder_as_well(self) -> bool:
        """Whether there is anything below the name of a file, as there may be in an object store."""
        protocol = self.fs.protocol
        if _OBJECT_STORES.isdisjoint((protocol,) if isinstance(protocol, str) else protocol):
            return False
        return any(str(entry["name"]).rstrip("/") != self._root for entry in self.fs.ls(self._root, detail=True))

    def _top(self) -> Mapping[str, Any]:
        """What the source itself is. Its name may be escaped, as for calls that take patterns."""
        try:
            return dict(self.fs.info(self._root))
        except FileNotFoundError:
            real = unescaped(self._root)
            if real is None:
                raise
            top = dict(self.fs.info(real))
            self._root = real
            return top

    def _special(self, name: str, path: str) -> SourceFile | IngestFailure | None:
        """What is neither a file nor a folder; a link to a file is that file, one to a folder to be followed ``None``."""
        try:
            entry = self.fs.info(path)
        except FileNotFoundError:
            return IngestFailure(name, "FileNotFoundError: a link to nothing")
        if entry["type"] == "file":
            return _taken(name, path, entry)
        if entry["type"] == "directory" and self._follow_links:
            return None
        what = "a link to a folder, which is not followed" if entry["type"] == "directory" else "not a regular file"
        return IngestFailure(name, f"ValueError: {what}")


def _warn_left_out(path: str, why: str) -> None:
    warnings.warn(f"{path!a} is left out: {why}", PyxetWarning, stacklevel=2)


def _is_text(name: str) -> bool:
    """Whether a name has characters only, and no bytes that stand for none."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _taken(name: str, path: str, entry: Mapping[str, Any]) -> SourceFile:
    size = entry.get("size")
    signs = [f"{key}={entry[key]}" for key in _SIGNS if entry.get(key) is not None]
    return SourceFile(name, path, size, ";".join([f"size={size}", *signs]))


def batches(files: Iterable[SourceFile], *, most_files: int, most_bytes: int) -> Iterator[Batch]:
    """Files in the order they come, in batches within both bounds; a file beyond ``most_bytes`` is a batch of its own."""
    waiting: list[SourceFile] = []
    size = 0
    for file in files:
        if waiting and (len(waiting) >= most_files or size + (file.size or 0) > most_bytes):
            yield Batch(tuple(waiting))
            waiting, size = [], 0
        waiting.append(file)
        size += file.size or 0
    if waiting:
        yield Batch(tuple(waiting))
