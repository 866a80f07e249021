"""The history of a branch, for tests that count or name commits."""

from __future__ import annotations

import pyxet


def messages(fs: pyxet.XetFS, branch: str) -> list[str]:
    """Messages of the commits on a branch, oldest first, without the repository's first commit."""
    return [commit.message for commit in reversed(fs.log(branch))][1:]


def commits(fs: pyxet.XetFS, branch: str) -> int:
    """Number of commits on a branch after the repository's first one."""
    return len(fs.log(branch)) - 1


def ids(fs: pyxet.XetFS, branch: str) -> list[str]:
    """Ids of all commits of a branch, newest first."""
    return [commit.id for commit in fs.log(branch)]
