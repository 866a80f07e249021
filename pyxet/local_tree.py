"""The files of a local folder that are uploaded: the same rules for ``put``, the command and ingest.

Links to files are treated as the files. Links to folders are followed, unless the caller disables this, except links to
a folder that contains them, which would never end. ``.git`` is left out: it is git's own data, not content of the folder,
and no branch can have it.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

from pyxet._platform_files import reachable

# Called with each path that is left out, and the reason.
LeftOut: TypeAlias = Callable[[str, str], object]

IS_GIT: Final = "it is git's own folder, which cannot be in a branch"
IS_LOOP: Final = "it is a link to a folder that it lies in"

_KINDS: Final = (
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


@dataclass(frozen=True, slots=True)
class LocalEntry:
    """A local file or folder.

    Attributes
    ----------
    path:
        Its path.
    name:
        Its path below the folder that is walked, with slashes.
    found:
        Its status or, for a link, that of the target; ``None`` for a broken link.
    linked:
        Whether it is a link to a folder, or lies below one.
    """

    path: str
    name: str
    found: os.stat_result | None
    linked: bool = False

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder."""
        return self.found is not None and stat.S_ISDIR(self.found.st_mode)

    @property
    def special(self) -> str | None:
        """What kind of file it is, if it cannot be read to its end: ``a named pipe``; else ``None``."""
        return "a broken link" if self.found is None else special(self.found)


def special(found: os.stat_result) -> str | None:
    """The kind of something that is neither a file nor a folder, in words; ``None`` for files and folders."""
    if stat.S_ISREG(found.st_mode):
        return None
    return next((what for test, what in _KINDS if test(found.st_mode)), None)


def not_readable(path: str, what: str) -> OSError:
    """The error for something that cannot be read to its end like a file."""
    return shutil.SpecialFileError(
        f"{path!a} is {what}, and not a file to upload; leave it out with exclude=…, or open it and give the file object"
    )


def walk(
    top: str, left_out: LeftOut, *, follow_links: bool = True, maxdepth: int | None = None
) -> Iterator[LocalEntry]:  # fmt: skip
    """Yield everything below a folder, sorted by name in each folder, and each folder before its content.

    Parameters
    ----------
    left_out:
        Called for ``.git`` and for links that would never end, which are always left out.
    follow_links:
        Whether to walk folders that links lead to.
    maxdepth:
        How many levels of folders to descend.

    Raises
    ------
    OSError
        A folder cannot be listed.
    """
    waiting: list[tuple[str, str, bool, frozenset[tuple[int, int]], int]] = [("", top, False, frozenset(), 1)]
    while waiting:
        name, folder, linked, above, depth = waiting.pop()
        here = os.stat(reachable(folder))
        identity = (here.st_dev, here.st_ino)
        if identity in above:
            left_out(folder, IS_LOOP)
            continue
        if name:
            yield LocalEntry(folder, name, here, linked)
        if maxdepth is not None and depth > maxdepth:
            continue
        with os.scandir(reachable(folder)) as found:
            inside = sorted(found, key=lambda item: item.name)
        folders = []
        for item in inside:
            # With slashes, also on Windows.
            path = f"{folder.rstrip('/')}/{item.name}"
            below = f"{name}/{item.name}" if name else item.name
            if item.name.lower() == ".git":
                left_out(path, IS_GIT)
                continue
            through = linked or item.is_symlink()
            try:
                entry = LocalEntry(path, below, item.stat(), linked)
            except OSError as error:
                if error.errno not in (errno.ENOENT, errno.ELOOP):
                    raise
                # A broken link. Whether that is an error is decided by the caller, who may not want this file.
                entry = LocalEntry(path, below, None, linked)
            if not entry.is_folder:
                yield entry
            elif follow_links or not item.is_symlink():
                folders.append((below, path, through, above | {identity}, depth + 1))
        waiting += reversed(folders)
