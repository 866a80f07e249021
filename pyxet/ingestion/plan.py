"""Lists the files of the source, and groups them into the batches that workers get."""

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

# Fields of a listing that change when the content of a file changes. All of those that are present count.
_SIGNS: Final = (
    "ETag", "etag", "VersionId", "version_id", "generation", "md5", "md5Hash", "content_md5", "crc32c", "sha256",
    "blob_id", "mtime", "LastModified", "last_modified", "modified", "updated", "created", "ino",
)  # fmt: skip
# Object stores, in which a name can be a file and a folder at the same time. To find that out, the file is listed, which in
# other file systems may fail, or read the whole file.
_OBJECT_STORES: Final = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oss", "obs", "tos"})


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file of the source.

    Attributes
    ----------
    name:
        Path below the folder that is copied; it is also the path below the destination.
    path:
        Path in the source's file system.
    size:
        Size in bytes, or ``None`` if the source does not report it.
    version:
        A text that changes when the file changes, as far as the listing shows that.
    """

    name: str
    path: str
    size: int | None
    version: str


@dataclass(frozen=True, slots=True)
class Batch:
    """Files that one worker copies as one task. The small ones are stored together."""

    files: tuple[SourceFile, ...]


class Source:
    """The tree that is copied.

    Parameters
    ----------
    url:
        URL of the tree, or its path if ``fs`` is given.
    options:
        Storage options for the URL.
    fs:
        The file system of the tree.
    follow_links:
        Whether local folders that links point to are copied as well.

    Raises
    ------
    ConfigError
        fsspec does not know the URL, or its file system cannot be used.
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
        # Links are followed in local file systems only, because in others, loops of links could not be detected.
        self._follow_links = follow_links and isinstance(fs, LocalFileSystem)

    @property
    def name(self) -> str:
        """The URL of the tree."""
        return str(self.fs.unstrip_protocol(self._root))

    def files(self) -> Iterator[SourceFile | IngestFailure]:
        """The files of the tree, folder by folder, and a failure for each entry that cannot be copied.

        Such entries are links to folders that are not followed, sockets, and names that a branch cannot have. ``.git`` is
        left out, with a warning.

        Raises
        ------
        OSError
            A folder cannot be listed. No folder is left out silently.
        ConfigError
            The source is a file and a folder, and its URL does not end with a slash.
        """
        # Listings that are cached in this process may be outdated.
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
                    # The object by which an object store marks a folder, or the prefix of keys like ``folder//name``.
                    if "DIRECTORY" in (entry.get("StorageClass"), entry.get("storageClass")):
                        yield IngestFailure(f"{name}//", "ValueError: keys with // in them are not paths")
                elif entry["type"] == "directory":
                    folders.append(path)
                elif path in below:
                    # An object store can have a file and a folder of the same name.
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
            # Otherwise the file system's cache would grow to the listing of the whole tree.
            self.fs.invalidate_cache(folder)
            waiting += [(path, above) for path in reversed(folders)]

    def _is_folder_as_well(self) -> bool:
        """Whether the name of the source, which is a file, is also a folder, as is possible in an object store."""
        protocol = self.fs.protocol
        if _OBJECT_STORES.isdisjoint((protocol,) if isinstance(protocol, str) else protocol):
            return False
        return any(str(entry["name"]).rstrip("/") != self._root for entry in self.fs.ls(self._root, detail=True))

    def _top(self) -> Mapping[str, Any]:
        """The entry of the source itself. Its name may be escaped, as in calls that accept patterns."""
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
        """An entry that is neither a file nor a folder. A link to a file counts as that file.

        Returns ``None`` for a link to a folder that is to be followed.
        """
        try:
            entry = self.fs.info(path)
        except FileNotFoundError:
            return IngestFailure(name, "FileNotFoundError: a broken link")
        if entry["type"] == "file":
            return _taken(name, path, entry)
        if entry["type"] == "directory" and self._follow_links:
            return None
        what = "a link to a folder, which is not followed" if entry["type"] == "directory" else "not a regular file"
        return IngestFailure(name, f"ValueError: {what}")


def _warn_left_out(path: str, why: str) -> None:
    warnings.warn(f"{path!a} is left out: {why}", PyxetWarning, stacklevel=2)


def _is_text(name: str) -> bool:
    """Whether a name can be encoded as UTF-8, and has no surrogates in place of undecodable bytes."""
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
    """Group files, in their order, into batches within both bounds. A file beyond ``most_bytes`` is a batch of its own."""
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
