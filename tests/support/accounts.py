"""The account of a file system, for tests that make another file system with it."""

from __future__ import annotations

from typing import Any

from pyxet import AsyncXetFileSystem


def token_of(fs: AsyncXetFileSystem) -> str:
    """The token of a file system that has one."""
    assert fs.credential.token is not None
    return fs.credential.token.reveal()


def account_of(fs: AsyncXetFileSystem) -> dict[str, Any]:
    """Endpoint, user and token, as options of a file system or of ``storage_options``."""
    return {"endpoint": fs.endpoint, "user": fs.credential.user, "token": token_of(fs)}
