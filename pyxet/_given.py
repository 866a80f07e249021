"""The file system and path that functions for other tools use: a file system that is given, or one made for the URL."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pyxet._async.fs.paths import as_text, is_url
from pyxet.errors import XetURLError
from pyxet.fs import XetFS


def place_of(
    url: Any, filesystem: XetFS | None = None, storage_options: Mapping[str, Any] | None = None
) -> tuple[XetFS, str]:
    """The file system that is given, or one made for the URL, and the path in it.

    Parameters
    ----------
    url:
        ``xet://[endpoint:]owner/repo/branch/path``; with ``filesystem`` also a path without scheme.
    storage_options:
        Arguments of `XetFS`, if no ``filesystem`` is given.

    Raises
    ------
    XetURLError
        ``url`` is not a ``xet://`` URL, or has no path in a branch.
    TypeError
        The file system is not a blocking `XetFS`, or ``storage_options`` are given as well.
    """
    fs = file_system_of(url, filesystem, storage_options)
    found, _, _ = fs._parse_file(url)
    return fs, found.full_path


def file_system_of(
    url: Any, filesystem: XetFS | None = None, storage_options: Mapping[str, Any] | None = None
) -> XetFS:  # fmt: skip
    """The file system of `place_of`; the path in the URL is not checked."""
    if filesystem is None:
        if not is_url(url):
            raise XetURLError(f"{str(url)!r} is not a pyxet URL; expected xet://[endpoint:]owner/repo/branch/path")
        options = XetFS._get_kwargs_from_urls(as_text(url)) | dict(storage_options or {})
        filesystem = XetFS(**options)
    elif not isinstance(filesystem, XetFS) or filesystem.asynchronous:
        raise TypeError(f"filesystem={filesystem!r}: expected a pyxet.XetFS without asynchronous=True")
    elif storage_options:
        raise TypeError("give a filesystem, or storage_options to make one with")
    return filesystem
