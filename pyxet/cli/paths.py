"""The meaning of paths on the command line, where ``xet://`` may be left out."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Literal

from pyxet import XetURL, XetURLError
from pyxet.cli.session import CommandError
from pyxet.local_rules import is_local, of_file_url, with_slashes

Kind = Literal["xet", "local", "other", "standard"]

# At least two letters, since a single one is a drive.
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)(?:://|::)")


@dataclass(frozen=True, slots=True)
class Place:
    """What a path on the command line names.

    Attributes
    ----------
    kind:
        ``xet``: in a repository; ``local``: on this machine; ``other``: at another file system of fsspec's;
        ``standard``: standard input or output.
    path:
        The path as typed, for ``xet`` and ``other``; the local path without ``file://`` and with ``~`` resolved; or ``-``.
    url:
        The parsed URL, for ``xet``.
    """

    kind: Kind
    path: str
    url: XetURL | None = None

    @property
    def is_folder(self) -> bool:
        """Whether the path is written as a folder, with a slash at its end."""
        return self.path.endswith("/")


_BEGINNING = re.compile(r"(?:(?:fsspec\+)?xet://)?(?:[^/]*:)?")


def beginning(path: str) -> str:
    """The scheme and the endpoint at the beginning of a typed path, in front of the owner; empty if there are none."""
    match = _BEGINNING.match(path)
    assert match is not None
    return match[0]


def remote(path: str) -> XetURL:
    """Parse a path that can only be in a repository. Raises `XetURLError`."""
    return XetURL.parse(path)


def place(path: str) -> Place:
    """Decide what a path names, which may be local, in a repository or at another file system.

    A scheme decides this. A path without a scheme is local if it begins with ``/``, ``./``, ``../``, ``~`` or a drive
    (``C:/x``), if it or its first folder exists locally, or if it is not of the form ``owner/repo/branch`` with or without a
    path below; otherwise it is in a repository.

    Raises
    ------
    XetURLError
        It begins with ``xet://`` and does not follow the grammar.
    """
    if path == "-":
        return Place("standard", path)
    scheme = _SCHEME.match(path)
    if scheme is not None:
        if scheme[1].removeprefix("fsspec+") == "xet":
            return Place("xet", path, XetURL.parse(path))
        if scheme[1] in ("file", "local") and scheme[0].endswith("://"):
            return Place("local", with_slashes(of_file_url(path[scheme.end() :] or "/")))
        return Place("other", path)
    if is_local(path):
        return Place("local", with_slashes(os.path.expanduser(path)))
    if os.path.lexists(path) or os.path.lexists(path.partition("/")[0]):
        return Place("local", with_slashes(path))
    try:
        url = XetURL.parse(path)
    except XetURLError:
        return Place("local", with_slashes(path))
    return Place("xet", path, url) if url.level in ("branch", "path") else Place("local", with_slashes(path))


def writable(url: XetURL) -> XetURL:
    """Return the URL if its revision may be a branch.

    Raises
    ------
    CommandError
        It is a point in time. Tags and commits are refused later, as only the endpoint can tell them from branches.
    """
    if url.moment is not None:
        branch = str(url.revision).removesuffix(f"@{{{url.moment}}}")
        raise CommandError(
            f"{url.branch_path} is a point in time, which can be read but not written to",
            hint=f"write to a branch, such as {branch}, or make one there: xet branch make",
        )
    return url
