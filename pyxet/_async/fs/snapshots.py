"""The part of the file system that downloads a whole revision into a local folder, except files that are there already."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import stat
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import platformdirs
from fsspec.callbacks import DEFAULT_CALLBACK, Callback
from fsspec.utils import stringify_path

from pyxet._async.changes.view import Entry, View
from pyxet._async.fs.local_targets import check_inside, possible
from pyxet._async.fs.lookup import Lookup
from pyxet._async.runtime.tasks import run_all
from pyxet._async.runtime.threads import in_thread, surely
from pyxet.content_ids import hash_like
from pyxet.errors import XetURLError
from pyxet.local_rules import LocalNames, LocalRules, restricts_names, with_slashes
from pyxet.options import public
from pyxet.patterns import chooser
from pyxet.private_files import replace_private, version_of
from pyxet.types import RemoteFile

if TYPE_CHECKING:
    from pyxet._async.download.batches import Placed

# Files that are hashed at the same time. With few cores and one disk, more would not be faster.
_CHECKED_AT_ONCE: Final = 4
_READ: Final = 1024 * 1024
# Files that are checked and fetched together, if all names were checked first (see `_placed`).
_BATCH: Final = 1000
_UNUSUAL: Final = re.compile(r"[^A-Za-z0-9.-]+")

# The hash of a file's content, with size, time and inode number of the file when the hash was computed.
_Known = tuple[str, tuple[int, ...]]


class Snapshots(Lookup):
    """See `AsyncXetFileSystem`."""

    @public()
    async def _snapshot(
        self,
        /,
        path: str,
        folder: str | os.PathLike[str] | None = None,
        *,
        include: Sequence[str] | str | None = None,
        exclude: Sequence[str] | str | None = None,
        callback: Callback = DEFAULT_CALLBACK,
        names: LocalNames = "refuse",
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
            Patterns that choose files, as in `_put`.
        callback:
            Counts files; the callbacks that it branches for each fetched file count bytes.
        names:
            What to do with files that cannot have their names on this machine, as in `_get`.

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
        """
        callback = Callback.as_callback(callback)
        chosen, rules = chooser(include, exclude), LocalRules(names)
        url = self._parse(path)
        repo, revision = url.repo_id, url.revision
        if repo is None or revision is None:
            raise XetURLError(f"{path!r} names no revision; expected owner/repo/branch, or a folder in one")
        client = await self._connect()
        view = View(client.trees, repo, await client.trees.resolve(repo, revision, 0.0), revision=revision)
        found = await view.lookup(url.path)
        if found is None:
            raise view.missing(url.path)
        if not found.is_folder:
            raise NotADirectoryError(errno.ENOTDIR, "a snapshot needs a folder; get one file with get_file", path)
        if folder is None:
            # The endpoint's name without characters that are unusual in folder names. Commit ids keep the folders distinct.
            host = _UNUSUAL.sub("-", self.endpoint.partition("://")[2]).strip("-.")
            folder = _cache("snapshots", host, repo.path, view.commit, url.path)
        target = _absolute(folder)
        known = await in_thread(_Record, target)
        seen = 0

        def count(item: Placed) -> None:
            with callback.branched(item.source, item.target) as child:
                child.set_size(item.file.size)
                child.relative_update(item.file.size)
            callback.relative_update(1)

        async def alone(item: Placed) -> None:
            with callback.branched(item.source, item.target) as child:
                child.set_size(item.file.size)
                await client.reader.download(item.file, Path(item.target), child.relative_update)
            callback.relative_update(1)

        async def is_missing(item: Placed) -> bool:
            if not await in_thread(known.is_right, item):
                return True
            callback.relative_update(1)
            return False

        try:
            async with (
                aclosing(_pages(view, url.path)) as pages,
                aclosing(_placed(pages, url.path, target, chosen, rules)) as batches,
            ):
                async for items in batches:
                    seen += len(items)
                    callback.set_size(seen)
                    missing = await run_all(is_missing, items, limit=_CHECKED_AT_ONCE)
                    wanted = [item for item, is_wanted in zip(items, missing, strict=True) if is_wanted]
                    await client.reader.download_all(wanted, alone, count)
                    await in_thread(known.came, wanted)
            await in_thread(lambda: target.mkdir(parents=True, exist_ok=True))
        finally:
            # Saved after an error too: an incomplete record is harmless, as files that it lacks are just hashed again.
            await surely(known.save)
        return str(target)


def _absolute(folder: str | os.PathLike[str]) -> Path:
    return Path(os.path.abspath(stringify_path(folder)))


def _cache(*parts: str) -> Path:
    """A folder in the user's cache."""
    return Path(platformdirs.user_cache_dir("xet", appauthor=False), *parts)


async def _pages(view: View, path: str) -> AsyncGenerator[list[RemoteFile], None]:
    """The stored files below a folder, page by page."""

    def files(batch: list[Entry]) -> list[RemoteFile]:
        return [item.content for item in batch if isinstance(item.content, RemoteFile)]

    async with aclosing(view.below(path)) as batches:
        async for batch in batches:
            yield files(batch)


async def _placed(
    pages: AsyncIterator[list[RemoteFile]], top: str, target: Path, chosen: Callable[[str], bool], rules: LocalRules
) -> AsyncGenerator[list[Placed], None]:
    """The chosen files with their local paths, in batches.

    If the local file system forbids some names, or takes different names for the same file, all names are checked before the
    first batch, so that nothing is written if one is refused.
    """
    from pyxet._async.download.batches import Placed

    together = await in_thread(restricts_names, str(target))
    waiting: list[Placed] = []
    async for page in pages:
        for file in page:
            name = file.path.removeprefix(f"{top}/") if top else file.path
            if chosen(name):
                waiting.append(Placed(file, file.full_path, f"{with_slashes(str(target))}/{name}"))
        if not together:
            yield await in_thread(_possible, waiting, target, rules)
            waiting = []
    if together:
        waiting = await in_thread(_possible, waiting, target, rules)
        for at in range(0, len(waiting), _BATCH):
            yield waiting[at : at + _BATCH]


def _possible(items: list[Placed], target: Path, rules: LocalRules) -> list[Placed]:
    check_inside(target, [item.target for item in items])
    paths = possible(rules, [(item.source, item.target) for item in items])
    return [replace(item, target=path) for item, (_, path) in zip(items, paths, strict=True)]


class _Record:
    """The record of files in a local folder that have the right content, so that they need not be hashed each time.

    It is stored in the user's cache, so that the folder contains only files of the revision.
    """

    def __init__(self, folder: Path) -> None:
        name = hashlib.sha256(os.fsencode(os.path.realpath(folder))).hexdigest()[:32]
        self._path = _cache("checked", f"{name}.json")
        self._known: dict[str, _Known] = {}
        self._changed = False
        with suppress(OSError, ValueError, TypeError, RecursionError):
            self._known = {
                str(path): (str(identity), tuple(version))
                for path, (identity, version) in json.loads(self._path.read_bytes()).items()
            }

    def is_right(self, item: Placed) -> bool:
        """Whether a local file has the right content."""
        path = Path(item.target)
        try:
            found = path.lstat()
        except OSError:
            return False
        if not stat.S_ISREG(found.st_mode) or found.st_size != item.file.size:
            return False
        version = version_of(path)
        if version is None:
            return False
        identity = item.file.sha256 or item.file.blob_id
        if self._known.get(item.target) == (identity, version):
            return True
        try:
            right = _identity(path, item.file) == identity
        except OSError:
            return False
        if right and version_of(path) == version:
            self._note(item.target, identity, version)
        return right

    def came(self, items: Sequence[Placed]) -> None:
        """Add files that were just fetched, and verified on arrival."""
        for item in items:
            version = version_of(Path(item.target))
            if version is not None:
                self._note(item.target, item.file.sha256 or item.file.blob_id, version)

    def save(self) -> None:
        """Write the record if possible. If that fails, files are only hashed again."""
        if self._changed:
            with suppress(OSError):
                replace_private(self._path, json.dumps(self._known))

    def _note(self, path: str, identity: str, version: tuple[int, ...]) -> None:
        self._known[path] = identity, version
        self._changed = True


def _identity(path: Path, file: RemoteFile) -> str:
    """The SHA-256 of a local file's content, or its git blob id if the repository has no SHA-256 of the file."""
    digest = hash_like(file.sha256, file.size)
    with path.open("rb", buffering=0) as local:
        while data := local.read(_READ):
            digest.update(data)
    return digest.hexdigest()
