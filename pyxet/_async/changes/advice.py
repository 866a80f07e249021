"""Warnings about large files, full folders and large commits, given before the endpoint refuses or delays them."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable

from pyxet.errors import PyxetWarning
from pyxet.protocol.repo_limits import RepoLimits


class Advice:
    """Looks at the files that are added below a branch, and gives each kind of warning once.

    Parameters
    ----------
    branch:
        The branch, as messages name it.
    limits:
        Returns the endpoint's limits; ``None`` if they are not known.
    """

    def __init__(self, branch: str, limits: Callable[[], RepoLimits | None]) -> None:
        self._branch = branch
        self._limits = limits
        self._seen: set[str] = set()
        self._folders: Counter[str] = Counter()
        self._told: set[str] = set()

    def size(self, path: str, size: int) -> None:
        """Warn if a file that is being uploaded is too large. ``size`` is its size in bytes as far as it is known."""
        limits = self._limits()
        if limits is not None and limits.file_size is not None and size > limits.file_size:
            self._warn(
                "size",
                f"{self._branch}/{path} has {size:,} bytes; the endpoint refuses files of more than {limits.file_size:,}: "
                "cut it into several",
            )

    def added(self, path: str) -> None:
        """Count a file that is about to be added; warn if its folder or the commit has too many files."""
        limits = self._limits()
        if limits is None or path in self._seen:
            return
        self._seen.add(path)
        folder = path.rpartition("/")[0]
        self._folders[folder] += 1
        if limits.folder_entries is not None and self._folders[folder] > limits.folder_entries:
            self._warn(
                "folder",
                f"{self._branch}/{folder} gets more than {limits.folder_entries:,} files, which the endpoint refuses when they "
                "are committed: put them into more folders",
            )
        if limits.commit_files is not None and len(self._seen) > limits.commit_files:
            self._warn(
                "files",
                f"more than {limits.commit_files:,} files in one commit to {self._branch}: the endpoint advises fewer, and may "
                "end the request before the commit is made, and make it later; it is looked for then",
            )

    def _warn(self, kind: str, message: str) -> None:
        if kind not in self._told:
            self._told.add(kind)
            warnings.warn(message, PyxetWarning, stacklevel=2)
