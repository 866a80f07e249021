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
    is_pending:
        Tells whether a file is still to be written: it is not if its write failed or was undone, or if it was deleted again.
    """

    def __init__(self, branch: str, limits: Callable[[], RepoLimits | None], is_pending: Callable[[str], bool]) -> None:
        self._branch = branch
        self._limits = limits
        self._is_pending = is_pending
        self._seen: set[str] = set()
        self._folders: Counter[str] = Counter()
        self._told: set[str] = set()

    def size(self, path: str, size: int) -> None:
        """Warn if a file that is being uploaded is too large. ``size`` is its size in bytes as far as it is known."""
        limits = self._limits()
        if limits is not None:
            self._check_size(path, size, limits)

    def added(self, path: str, size: int) -> None:
        """Count a file that is about to be added; warn if it is too large, or if its folder or the commit has too many files."""
        limits = self._limits()
        if limits is None:
            return
        self._check_size(path, size, limits)
        if path in self._seen:
            return
        self._seen.add(path)
        folder = _folder_of(path)
        self._folders[folder] += 1
        if self._is_too_many(folder, limits):
            self._forget_undone(path)
        if limits.folder_entries is not None and self._folders[folder] > limits.folder_entries:
            self._warn(
                "folder",
                f"{self._branch}/{folder} would have more than {limits.folder_entries:,} files, and the endpoint will refuse "
                "the commit: spread them over several folders",
            )
        if limits.commit_files is not None and len(self._seen) > limits.commit_files:
            self._warn(
                "files",
                f"more than {limits.commit_files:,} files in one commit to {self._branch}: the endpoint advises fewer, as its "
                "answer may time out; pyxet then waits for the commit to appear on the branch",
            )

    def _check_size(self, path: str, size: int, limits: RepoLimits) -> None:
        if limits.file_size is not None and size > limits.file_size:
            self._warn(
                "size",
                f"{self._branch}/{path} has {size:,} bytes; the endpoint refuses files of more than {limits.file_size:,}: "
                "split it into several files",
            )

    def _is_too_many(self, folder: str, limits: RepoLimits) -> bool:
        """Whether a limit is exceeded for which no warning was given yet."""
        full = limits.folder_entries is not None and self._folders[folder] > limits.folder_entries
        large = limits.commit_files is not None and len(self._seen) > limits.commit_files
        return (full and "folder" not in self._told) or (large and "files" not in self._told)

    def _forget_undone(self, added: str) -> None:
        """Count again, only files that are pending. A file that is still being uploaded is counted once it is pending."""
        self._seen = {path for path in self._seen if path == added or self._is_pending(path)}
        self._folders = Counter(map(_folder_of, self._seen))

    def _warn(self, kind: str, message: str) -> None:
        if kind not in self._told:
            self._told.add(kind)
            warnings.warn(message, PyxetWarning, stacklevel=2)


def _folder_of(path: str) -> str:
    return path.rpartition("/")[0]
