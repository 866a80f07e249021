"""The git that is installed on this machine: where it is, and what it may see of its surroundings.

It serves clones and pushes (`git_http`). It gets a clean environment: no configuration, hooks or credentials of the user or
the machine, and bounds for what one process takes.
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

# `GIT_CONFIG_COUNT` is younger than earlier ones, and so is the hook `proc-receive`.
_OLDEST: Final = (2, 31)
_VERSION = re.compile(r"git version (\d+)\.(\d+)")
# What a program needs to be started at all.
_KEPT: Final = (
    "PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "DYLD_FALLBACK_LIBRARY_PATH", "SYSTEMROOT", "WINDIR", "TMPDIR", "TEMP", "TMP",
)  # fmt: skip
# Files in a push up to which git stores each as a file of its own; more are kept as the pack they came in.
_LOOSE: Final = 32
# The most bytes of a push.
MAX_PUSH: Final = 16 * 1024**3
# The most bytes of what a client says in a fetch: a hundred thousand objects that a partial clone lacks are 5 MiB.
MAX_FETCH: Final = 16 * 1024**2
# The most bytes that git allocates at once. A small pack may describe huge objects by differences to others.
_MAX_ALLOCATION: Final = 256 * 1024**2
_SETTINGS: Final = {
    "http.uploadpack": "true",
    "http.receivepack": "true",
    "http.getanyfile": "false",
    "http.maxrequestbuffer": str(MAX_FETCH),
    # The endpoint says which directory; who owns it is no question then.
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
    # Whoever reads a repository reads all of it: by a commit's id through the API as well.
    "uploadpack.allowfilter": "true",
    "uploadpack.allowanysha1inwant": "true",
    "receive.unpacklimit": str(_LOOSE),
    "receive.maxinputsize": str(MAX_PUSH),
    "receive.fsckobjects": "true",
    # Old histories have these, and nobody is harmed by them.
    "receive.fsck.badtimezone": "ignore",
    "receive.fsck.missingspacebeforedate": "ignore",
    "receive.fsck.zeropaddedfilemode": "ignore",
    # Nothing runs on behind the endpoint's back.
    "receive.autogc": "false",
    "gc.auto": "0",
    "maintenance.auto": "false",
    # All references are moved by the endpoint: see `git_push`.
    "receive.procreceiverefs": "refs",
}


class NoGitError(RemoteError):
    """The endpoint cannot serve git: it has no git itself, or one that will not do."""


@dataclass(frozen=True, slots=True)
class Git:
    """A git that can serve.

    Attributes
    ----------
    path:
        Where the program is.
    """

    path: str

    def environment(self, **more: str) -> dict[str, str]:
        """All the variables that a process of it gets; ``more`` comes on top."""
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
        """The variables for git's HTTP program on a bare repository, with the hooks of a folder and no others."""
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
        There is none, it is too old, or it comes without its HTTP program.
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
