"""Where the functions for other tools read and write: by a file system that they are given, or that a URL means."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pyxet._async.fs.paths import as_text, is_url
from pyxet.errors import XetURLError
from pyxet.fs import XetFS


def place_of(
    url: Any, filesystem: XetFS | None = None, storage_options: Mapping[str, Any] | None = None
) -> tuple[XetFS, str]:
    """The file system that a tool's function was given, or that its URL means, and the path there.

    Parameters
    ----------
    url:
        ``xet://[endpoint:]owner/repo/branch/path``; with ``filesystem`` a path without scheme will do.
    storage_options:
        Arguments of `XetFS`, where no ``filesystem`` is given.

    Raises
    ------
    XetURLError
        It is no ``xet://`` URL, or does not reach into a branch.
    TypeError
        The file system is not a blocking `XetFS`.
    """
    fs = file_system_of(url, filesystem, storage_options)
    found, _, _ = fs._parse_file(url)
    return fs, found.full_path


def file_system_of(
    url: Any, filesystem: XetFS | None = None, storage_options: Mapping[str, Any] | None = None
) -> XetFS:  # fmt: skip
    """Like `place_of`, without a look at where the URL leads."""
    if filesystem is None:
        if not is_url(url):
            raise XetURLError(f"{str(url)!r} is no URL of pyxet; expected xet://[endpoint:]owner/repo/branch/path")
        options = XetFS._get_kwargs_from_urls(as_text(url)) | dict(storage_options or {})
        filesystem = XetFS(**options)
    elif not isinstance(filesystem, XetFS) or filesystem.asynchronous:
        raise TypeError(f"filesystem={filesystem!r}: expected a pyxet.XetFS without asynchronous=True")
    elif storage_options:
        raise TypeError("give a filesystem, or storage_options to make one with")
    return filesystem
