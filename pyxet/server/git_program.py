"""Finds the git that is installed on this machine, and sets the environment in which it runs.

Git serves clones and pushes (`git_http`). It runs in a clean environment, without configuration, hooks or credentials of the
user or the machine, and with limits for what one process uses.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

from pyxet._platform import PASSES_FILES
from pyxet.errors import RemoteError

# Earlier versions lack `GIT_CONFIG_COUNT` or the hook `proc-receive`.
_OLDEST: Final = (2, 31)
_VERSION = re.compile(r"git version (\d+)\.(\d+)")
# The variables that a program needs to start at all.
_KEPT: Final = (
    "PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "DYLD_FALLBACK_LIBRARY_PATH", "SYSTEMROOT", "WINDIR", "TMPDIR", "TEMP", "TMP",
)  # fmt: skip
# Git stores the objects of a push as loose objects if there are fewer than this; otherwise it keeps the pack they came in.
_LOOSE: Final = 32
# The most bytes of a push.
MAX_PUSH: Final = 16 * 1024**3
# The most bytes of a fetch request: a partial clone that asks for a hundred thousand missing objects sends 5 MiB.
MAX_FETCH: Final = 16 * 1024**2
# The most bytes that git allocates at once. A small pack may contain huge objects as deltas to others.
_MAX_ALLOCATION: Final = 256 * 1024**2
_SETTINGS: Final = {
    "http.uploadpack": "true",
    "http.receivepack": "true",
    "http.getanyfile": "false",
    "http.maxrequestbuffer": str(MAX_FETCH),
    # The endpoint chooses the directory, so git need not check who owns it.
    "safe.directory": "*",
    "core.sharedrepository": "0600",
    "core.attributesfile": os.devnull,
    "core.bigfilethreshold": "16m",
    "core.packedgitlimit": "128m",
    "core.packedgitwindowsize": "16m",
    "core.deltabasecachelimit": "32m",
    "pack.threads": "1",
    "pack.windowmemory": "64m",
    "pack.deltacachesize": "32m",
    # Anyone who may read a repository may read all of it: the API also gives every commit by its id.
    "uploadpack.allowfilter": "true",
    "uploadpack.allowanysha1inwant": "true",
    "receive.unpacklimit": str(_LOOSE),
    "receive.maxinputsize": str(MAX_PUSH),
    "receive.fsckobjects": "true",
    # Old histories contain these errors, and they do no harm.
    "receive.fsck.badtimezone": "ignore",
    "receive.fsck.missingspacebeforedate": "ignore",
    "receive.fsck.zeropaddedfilemode": "ignore",
    # Git must not start background jobs that the endpoint does not know of.
    "receive.autogc": "false",
    "gc.auto": "0",
    "maintenance.auto": "false",
    # The endpoint moves all references: see `git_push`.
    "receive.procreceiverefs": "refs",
}


class NoGitError(RemoteError):
    """The endpoint cannot serve git: git is not installed here, or is not suitable."""


@dataclass(frozen=True, slots=True)
class Git:
    """A git program that can serve clones and pushes.

    Attributes
    ----------
    path:
        Path of the program.
    """

    path: str

    def environment(self, **more: str) -> dict[str, str]:
        """All environment variables for a git process, with those of ``more`` added."""
        found = {name: os.environ[name] for name in _KEPT if name in os.environ}
        found |= {
            "HOME": os.devnull,
            "LC_ALL": "C",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ALLOC_LIMIT": str(_MAX_ALLOCATION),
        }
        return found | more

    def serving(self, repository: Path, hooks: Path) -> dict[str, str]:
        """All environment variables for git's HTTP program on a bare repository, with only the hooks in a folder."""
        settings = _SETTINGS | {"core.hookspath": str(hooks)}
        named = {"GIT_CONFIG_COUNT": str(len(settings))}
        for number, (name, value) in enumerate(settings.items()):
            named[f"GIT_CONFIG_KEY_{number}"] = name
            named[f"GIT_CONFIG_VALUE_{number}"] = value
        return self.environment(GIT_PROJECT_ROOT=str(repository), GIT_HTTP_EXPORT_ALL="1", **named)


def installed_git() -> Git:
    """The git of this machine. Blocks for a moment the first time.

    Raises
    ------
    NoGitError
        Git is not installed, does not run, is too old or has no HTTP program; or the platform cannot serve pushes.
    """
    if not PASSES_FILES:
        raise _unserved("pushes need what Windows does not have")
    path = shutil.which("git")
    if path is None:
        raise _unserved("git is not installed where this endpoint runs")
    return _checked(path)


@lru_cache(maxsize=8)
def _checked(path: str) -> Git:
    git = Git(path)
    try:
        said = _said(git, "version")
        version = _VERSION.match(said)
        folder = Path(_said(git, "--exec-path").strip())
    except (OSError, subprocess.SubprocessError) as error:
        raise _unserved(f"the git at {path} does not run ({type(error).__name__})") from error
    if version is None or (int(version[1]), int(version[2])) < _OLDEST:
        raise _unserved(
            f"the git where this endpoint runs is {said.strip()}; it needs {_OLDEST[0]}.{_OLDEST[1]} or later"
        )
    if shutil.which("git-http-backend", path=str(folder)) is None:
        raise _unserved("the git where this endpoint runs has no git-http-backend (some systems package it apart)")
    return git


def _said(git: Git, argument: str) -> str:
    return subprocess.run(
        [git.path, argument], env=git.environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True,
        check=True, timeout=60,
    ).stdout  # fmt: skip


def _unserved(why: str) -> NoGitError:
    return NoGitError(f"{why}, so it serves no clones and pushes; files can be read and written with pyxet", status=501)
