"""Registers pyxet with git: as transfer agent of git-lfs, and as credential helper of endpoints."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pyxet.errors import ConfigError
from pyxet.git.command import GitError, configured, run_git

# The custom transfers and which way they go. The first is that of the Hub, whose downloads are plain; the endpoint
# offers the second only to those who say that they know it.
TRANSFERS: Final = {"xet": "upload", "xet-download": "download"}


def install(
    *, local: bool, concurrency: int | None = None, skip_smudge: bool = False, folder: Path | None = None
) -> None:
    """Register the transfer agent with git-lfs, and git-lfs with git.

    Parameters
    ----------
    local:
        For the repository at ``folder`` only; for the user otherwise.
    concurrency:
        Objects that are moved at the same time; as git-lfs does it otherwise (``lfs.concurrenttransfers``, 8).
    skip_smudge:
        Leave pointers in the place of large files when they are checked out.

    Raises
    ------
    GitError
        git or git-lfs is not installed, or there is no repository.
    """
    scope = "--local" if local else "--global"
    if shutil.which("git-lfs") is None:
        raise GitError("git-lfs is not installed, or not on PATH: https://git-lfs.com")
    if concurrency is not None and concurrency < 1:
        raise ConfigError("at least one object is moved at a time")
    lazily = ["--skip-smudge"] if skip_smudge else []
    run_git("lfs", "install", *(["--local"] if local else ["--skip-repo"]), *lazily, folder=folder)
    for name, direction in TRANSFERS.items():
        for key, value in {
            "path": sys.executable,
            "args": "-m pyxet git transfer",
            "concurrent": "false" if concurrency == 1 else "true",
            "direction": direction,
        }.items():
            run_git("config", scope, f"lfs.customtransfer.{name}.{key}", value, folder=folder)
    if concurrency is not None and concurrency > 1:
        run_git("config", scope, "lfs.concurrenttransfers", str(concurrency), folder=folder)


def uninstall(*, local: bool, folder: Path | None = None) -> bool:
    """Take back what `install` and `register_helper` did, but for git-lfs itself; whether there was anything."""
    scope = "--local" if local else "--global"
    found = False
    for name in TRANSFERS:
        found |= _unset("--remove-section", f"lfs.customtransfer.{name}", scope, folder)
    try:
        lines = run_git("config", scope, "--get-regexp", r"^credential\..*\.helper$", folder=folder).splitlines()
    except GitError:
        lines = []
    for line in lines:
        key, _, value = line.partition(" ")
        if value == helper():
            found |= _unset("--unset-all", key, scope, folder, helper())
    return found


def register_helper(endpoint: str, *, local: bool = False, folder: Path | None = None) -> None:
    """Let git ask pyxet for the user and token of an endpoint; the token stays where ``xet login`` keeps it."""
    scope = "--local" if local else "--global"
    key = f"credential.{endpoint}.helper"
    if configured(key, folder) != helper():
        run_git("config", scope, key, helper(), folder=folder)


def helper() -> str:
    """The credential helper as git runs it."""
    return f"!{shlex.quote(sys.executable)} -m pyxet git credential"


def other_programs() -> Iterator[Path]:
    """Programs on PATH that are called git-xet and are not pyxet's: those of other clients."""
    own = Path(sys.executable).parent.resolve()
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        found = shutil.which("git-xet", path=folder) if folder else None
        if found is not None and Path(found).parent.resolve() != own and not _is_ours(Path(found)):
            yield Path(found)


def _is_ours(program: Path) -> bool:
    """Whether it is the script of this, or another, installation of pyxet."""
    try:
        with program.open("rb") as file:
            return b"pyxet" in file.read(2048)
    except OSError:
        return False


def _unset(how: str, key: str, scope: str, folder: Path | None, *values: str) -> bool:
    try:
        run_git("config", scope, *(["--fixed-value"] if values else []), how, key, *values, folder=folder)
    except GitError:
        return False
    return True
