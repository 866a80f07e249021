"""Registers pyxet with git: as transfer agent of git-lfs, and as credential helper of endpoints."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from pyxet.errors import ConfigError
from pyxet.git.command import GitError, configured, run_git

# A setting of git-lfs that may also be set by the user, and the section of git's configuration in which we remember the
# value that we have set and the one before it.
_CONCURRENCY: Final = "lfs.concurrenttransfers"
_KEPT: Final = "xet-concurrenttransfers"

# The custom transfers and their directions. The Hub has only the first one, and its downloads are plain HTTP. An endpoint
# offers the second one only to clients that announce it.
TRANSFERS: Final = {"xet": "upload", "xet-download": "download"}


def install(
    *, local: bool, concurrency: int | None = None, skip_smudge: bool = False, folder: Path | None = None
) -> None:
    """Register the transfer agent with git-lfs, and git-lfs with git.

    Parameters
    ----------
    local:
        Whether to register for the repository at ``folder`` only; otherwise for the user.
    concurrency:
        Objects that are moved at the same time; as configured for git-lfs if ``None`` (``lfs.concurrenttransfers``, 8).
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
    _restore_concurrency(scope, folder)
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
        if (before := configured(_CONCURRENCY, folder, scope)) is not None:
            run_git("config", scope, f"{_KEPT}.before", before, folder=folder)
        run_git("config", scope, f"{_KEPT}.value", str(concurrency), folder=folder)
        run_git("config", scope, _CONCURRENCY, str(concurrency), folder=folder)


def uninstall(*, local: bool, folder: Path | None = None) -> bool:
    """Undo `install` and `register_helper`, but leave git-lfs itself installed. Returns whether anything was registered."""
    scope = "--local" if local else "--global"
    found = _restore_concurrency(scope, folder)
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
            if _has_path(endpoint := key.removeprefix("credential.").removesuffix(".helper")):
                _unset("--unset-all", f"credential.{endpoint}.useHttpPath", scope, folder, "true")
    return found


def register_helper(endpoint: str, *, local: bool = False, folder: Path | None = None) -> None:
    """Let git ask pyxet for the user and token of an endpoint; git's configuration does not contain the token."""
    scope = "--local" if local else "--global"
    for key, value in helper_settings(endpoint).items():
        if configured(key, folder) != value:
            run_git("config", scope, key, value, folder=folder)


def helper_settings(endpoint: str) -> dict[str, str]:
    """The settings of git with which it asks pyxet for the user and token of an endpoint."""
    settings = {f"credential.{endpoint}.helper": helper()}
    if _has_path(endpoint):
        # Otherwise git passes only the host, which other endpoints may share.
        settings[f"credential.{endpoint}.useHttpPath"] = "true"
    return settings


def _has_path(endpoint: str) -> bool:
    return bool(urlsplit(endpoint).path.strip("/"))


def _restore_concurrency(scope: str, folder: Path | None) -> bool:
    """Undo what an earlier `install` set for concurrent transfers, unless it has been changed since."""
    ours = configured(f"{_KEPT}.value", folder, scope)
    before = configured(f"{_KEPT}.before", folder, scope)
    if ours is not None and configured(_CONCURRENCY, folder, scope) == ours:
        if before is None:
            _unset("--unset-all", _CONCURRENCY, scope, folder)
        else:
            run_git("config", scope, _CONCURRENCY, before, folder=folder)
    return _unset("--remove-section", _KEPT, scope, folder)


def helper() -> str:
    """The command by which git runs the credential helper."""
    return f"!{shlex.quote(sys.executable)} -m pyxet git credential"


def other_programs() -> Iterator[Path]:
    """Programs on PATH that are called git-xet and belong to other clients."""
    own = Path(sys.executable).parent.resolve()
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        found = shutil.which("git-xet", path=folder) if folder else None
        if found is not None and Path(found).parent.resolve() != own and not _is_ours(Path(found)):
            yield Path(found)


def _is_ours(program: Path) -> bool:
    """Whether a program is the script of this or of another installation of pyxet."""
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
