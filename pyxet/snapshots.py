"""`snapshot`: download a whole revision into a local folder, for libraries that read local files."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from fsspec.callbacks import DEFAULT_CALLBACK, Callback

from pyxet._async.fs.paths import as_text
from pyxet._given import file_system_of
from pyxet.fs import XetFS
from pyxet.local_rules import LocalNames
from pyxet.options import public


@public()
def snapshot(
    url: str | os.PathLike[str],
    folder: str | os.PathLike[str] | None = None,
    *,
    include: Sequence[str] | str | None = None,
    exclude: Sequence[str] | str | None = None,
    callback: Callback = DEFAULT_CALLBACK,
    names: LocalNames = "refuse",
    filesystem: XetFS | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> str:
    """Download a whole revision, or a folder of it, into a local folder, by `XetFS.snapshot`.

    In coroutines, await ``_snapshot`` of an `AsyncXetFileSystem`.

    Parameters
    ----------
    url:
        ``xet://[endpoint:]owner/repo/branch``, a tag or a commit, or a folder in one.
    folder:
        The local folder; by default one in the user's cache, different for each commit.
    include, exclude:
        Patterns that choose files, as in `XetFS.put`.
    callback:
        Counts files; the callback that it branches off for each fetched file counts bytes.
    names:
        What to do with files whose names are not possible on this machine, as in `XetFS.get`.
    filesystem, storage_options:
        The file system to read from, or arguments of `XetFS` to make one with.

    Returns
    -------
    str
        The absolute path of the local folder.

    Raises
    ------
    XetURLError, TypeError
        The URL or ``filesystem`` cannot be read from.
    NotFoundError, NotADirectoryError, IntegrityError, OSError
        As in `XetFS.snapshot`.

    Examples
    --------
    >>> model = AutoModel.from_pretrained(pyxet.snapshot("xet://acme/model/main"))
    """
    fs = file_system_of(url, filesystem, storage_options)
    return fs.snapshot(as_text(url), folder, include=include, exclude=exclude, callback=callback, names=names)
