"""What of a local folder is uploaded: one answer for ``put``, the command and ingest.

Links to files are the files. Links to folders are followed, unless the caller says otherwise, but not into a folder that
they lie in, which would never end. ``.git`` is left out: it is what git knows of the folder, not content of it, and no
branch can have it.
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

# Called with the path of something that is left out, and why.
LeftOut: TypeAlias = Callable[[str, str], object]

IS_GIT: Final = "it is git's own folder, which no branch can have"
IS_LOOP: Final = "it is a link to a folder that it lies in"

_KINDS: Final = (
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


@dataclass(frozen=True, slots=True)
class LocalEntry:
    """A file or folder.

    Attributes
    ----------
    path:
        Its path.
    name:
        Its path below the folder that is walked, with slashes.
    found:
        What the system tells of it, or of what a link leads to; ``None`` for a link to nothing.
    linked:
        Whether a link to a folder leads to it.
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
        """What it is, if it is no file that could be read to its end: ``a named pipe``."""
        return "a link to nothing" if self.found is None else special(self.found)


def special(found: os.stat_result) -> str | None:
    """What something is that is neither a file nor a folder; ``None`` for those."""
    if stat.S_ISREG(found.st_mode):
        return None
    return next((what for test, what in _KINDS if test(found.st_mode)), None)


def not_readable(path: str, what: str) -> OSError:
    """The error for what is no file that could be read to its end."""
    return shutil.SpecialFileError(
        f"{path!a} is {what}, and not a file to upload; leave it out with exclude=…, or open it and give the file object"
    )


def walk(
    top: str, left_out: LeftOut, *, follow_links: bool = True, maxdepth: int | None = None
) -> Iterator[LocalEntry]:  # fmt: skip
    """All below a folder, by name inside each folder, a folder before what is in it.

    Parameters
    ----------
    left_out:
        Is told of what is left out though the caller has not asked for that.
    follow_links:
        Whether folders that links lead to are walked.
    maxdepth:
        How many folders deep.

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
            # With slashes, whatever the system has between names.
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
                # Whether that matters is for those to say who want the file.
                entry = LocalEntry(path, below, None, linked)
            if not entry.is_folder:
                yield entry
            elif follow_links or not item.is_symlink():
                folders.append((below, path, through, above | {identity}, depth + 1))
        waiting += reversed(folders)
