"""Runs git."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from pyxet.errors import ConfigError


class GitError(ConfigError):
    """A git command failed."""


def run_git(
    *arguments: str,
    folder: Path | None = None,
    given: str | None = None,
    shown: bool = False,
    environment: Mapping[str, str] | None = None,
) -> str:
    """Run a git command.

    Parameters
    ----------
    folder:
        Working directory of the command; the present one if ``None``.
    given:
        Text for its standard input.
    shown:
        Whether the command uses the terminal, to write and to ask the user; otherwise its output is returned.
    environment:
        Environment variables in addition to those of this process.

    Returns
    -------
    str
        Its standard output; ``""`` if it was ``shown``.

    Raises
    ------
    GitError
        The command failed, or git is not installed.
    """
    program = shutil.which("git")
    if program is None:
        raise GitError("git is not installed, or not on PATH")
    kept = None if shown else subprocess.PIPE
    done = subprocess.run(
        [program, *arguments],
        cwd=folder,
        env={**os.environ, **(environment or {})},
        input=given,
        stdin=subprocess.DEVNULL if given is None and not shown else None,
        stdout=kept,
        stderr=kept,
        # File names are bytes for git, most of them UTF-8; a name that is passed back must have the same bytes.
        encoding="utf-8",
        errors="surrogateescape",
        check=False,
    )
    if done.returncode:
        said = (done.stderr or done.stdout or "").encode(errors="surrogateescape").decode(errors="replace")
        reason = "" if shown else f": {' '.join(said.split())[-500:]}"
        raise GitError(f"git {arguments[0]} failed{reason}")
    return done.stdout or ""


def configured(name: str, folder: Path | None = None, scope: str | None = None) -> str | None:
    """A value of git's configuration, as it applies in a folder or as a scope (``--global``) has it; ``None`` if not set."""
    try:
        return run_git("config", *([scope] if scope else []), "--get", name, folder=folder).rstrip("\n")
    except GitError:
        return None
