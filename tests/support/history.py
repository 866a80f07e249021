"""What a branch tells of its history, for tests that count and name commits."""

from __future__ import annotations

import pyxet


def messages(fs: pyxet.XetFS, branch: str) -> list[str]:
    """Messages of the commits that were made on a branch, oldest first, without that of the repository's first."""
    return [commit.message for commit in reversed(fs.log(branch))][1:]


def commits(fs: pyxet.XetFS, branch: str) -> int:
    """How many commits were made on a branch after the repository's first."""
    return len(fs.log(branch)) - 1


def ids(fs: pyxet.XetFS, branch: str) -> list[str]:
    """Ids of all commits of a branch, newest first."""
    return [commit.id for commit in fs.log(branch)]
