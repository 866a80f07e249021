"""Real git and git-lfs with a home of their own and without password prompts, and repositories on the endpoint's disk."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pyxet.testing import LocalEndpoint


def needs_lfs() -> None:
    """Skip the test if git-lfs is not installed; fail if the environment requires it, as in CI."""
    if shutil.which("git-lfs") is None:
        if os.environ.get("PYXET_TEST_GIT_LFS") == "required":
            pytest.fail("git-lfs is not installed")
        pytest.skip("git-lfs is not installed")


@dataclass
class Git:
    """Runs git in a folder.

    Attributes
    ----------
    environment:
        The whole environment of the process.
    """

    folder: Path
    environment: dict[str, str] = field(repr=False)

    def run(self, *arguments: str | Path, **more: str) -> subprocess.CompletedProcess[str]:
        """Run a command, whether it succeeds or not. ``more`` are further environment variables."""
        return subprocess.run(
            ["git", *map(str, arguments)], cwd=self.folder, env=self.environment | more, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, errors="replace", timeout=170, check=False,
        )  # fmt: skip

    def __call__(self, *arguments: str | Path, **more: str) -> str:
        """Run a command that must succeed; return its standard output."""
        return self._ended(arguments, more).stdout

    def says(self, *arguments: str | Path, **more: str) -> str:
        """Run a command that must succeed; return its standard output and error."""
        done = self._ended(arguments, more)
        return f"{done.stdout}{done.stderr}"

    def fails(self, *arguments: str | Path, **more: str) -> str:
        """Run a command that must fail; return its standard output and error."""
        done = self._ended(arguments, more, fails=True)
        return f"{done.stdout}{done.stderr}"

    def start(self, *arguments: str | Path) -> subprocess.Popen[str]:
        """Start a command, in a session of its own."""
        return subprocess.Popen(
            ["git", *map(str, arguments)], cwd=self.folder, env=self.environment, text=True, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def xet(self, *arguments: str, fails: bool = False, given: str | None = None, **more: str) -> str:
        """Run the ``xet`` command; return its standard output and error."""
        done = subprocess.run(
            [sys.executable, "-m", "pyxet", *arguments], cwd=self.folder, env=self.environment | more, text=True,
            input=given or "", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=150, check=False,
        )  # fmt: skip
        assert (done.returncode != 0) == fails, f"xet {' '.join(arguments)}: {done.returncode}\n{done.stdout}"
        return done.stdout

    def at(self, folder: str | Path) -> Git:
        """Git in another folder; a relative path starts at this one."""
        return Git(self.folder / folder, self.environment)

    def clone(self, url: str, name: str, *options: str) -> Git:
        """Clone into a folder below this one; return git for the clone."""
        self("clone", "--quiet", *options, url, name)
        return self.at(name)

    def write(self, files: Mapping[str, str | bytes], message: str = "by git") -> str:
        """Write files, commit all changes, and return the commit's id."""
        for name, data in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data.encode() if isinstance(data, str) else data)
        self("add", "--all")
        self("commit", "--quiet", "--message", message)
        return self("rev-parse", "HEAD").strip()

    def check(self) -> None:
        """Fail if git or git-lfs finds anything wrong."""
        assert self("fsck", "--full", "--strict") == ""
        assert "Git LFS fsck OK" in self("lfs", "fsck")

    def _ended(
        self, arguments: Sequence[str | Path], more: dict[str, str], *, fails: bool = False
    ) -> subprocess.CompletedProcess[str]:
        done = self.run(*arguments, **more)
        told = f"{done.stdout}{done.stderr}"
        assert (done.returncode != 0) == fails, f"git {' '.join(map(str, arguments))}: {done.returncode}\n{told}"
        return done


def git_in(folder: Path, user: str = "", token: str = "") -> Git:
    """Git in a folder that is also its home. Large files stay pointers; git logs in with ``user`` and ``token``, if given."""
    settings = {"init.defaultBranch": "main", "protocol.file.allow": "always", "advice.detachedHead": "false"}
    if token:
        settings["credential.helper"] = f"!f() {{ echo username={user}; echo password={token}; }}; f"
    variables = {
        **_alone(folder), "GIT_LFS_SKIP_SMUDGE": "1", "GIT_CONFIG_COUNT": str(len(settings)),
        "GIT_AUTHOR_NAME": "git", "GIT_AUTHOR_EMAIL": "g@x", "GIT_COMMITTER_NAME": "git", "GIT_COMMITTER_EMAIL": "g@x",
    }  # fmt: skip
    for number, (name, value) in enumerate(settings.items()):
        variables[f"GIT_CONFIG_KEY_{number}"], variables[f"GIT_CONFIG_VALUE_{number}"] = name, value
    return Git(folder, variables)


def git_at_home(home: Path, **environment: str) -> Git:
    """Git with a home and configuration of its own, in which git-lfs is installed."""
    needs_lfs()
    home.mkdir(exist_ok=True)
    git = Git(home, {**_alone(home), **environment})
    for name, value in {
        "user.name": "acme",
        "user.email": "acme@example.org",
        "init.defaultBranch": "main",
        "protocol.file.allow": "always",
        # For the transfer agent, each transfer is a process that imports many modules.
        "lfs.concurrenttransfers": "2",
        # More retries would only make failing pushes of tests slower.
        "lfs.transfer.maxretries": "2",
    }.items():
        git("config", "--global", name, value)
    git("lfs", "install", "--skip-repo")
    return git


def _alone(home: Path) -> dict[str, str]:
    """An environment without this machine's git configuration and without password prompts."""
    return {
        "PATH": os.environ["PATH"], "HOME": str(home), "GIT_CONFIG_NOSYSTEM": "1", "GIT_TERMINAL_PROMPT": "0",
        "LC_ALL": "C.UTF-8",
    }  # fmt: skip


def lfs_url(endpoint: LocalEndpoint, repo: str, token: str | None = None) -> str:
    """The URL of a repository's LFS server, with the token in it."""
    token = endpoint.token if token is None else token
    who = f"{endpoint.user}:{token}@" if token else ""
    return endpoint.url.replace("http://", f"http://{who}") + f"/{repo}.git/info/lfs"


def working_copy(git: Git, name: str, url: str) -> Git:
    """A working copy that pushes to a plain bare repository, and its large files to an LFS server."""
    if not (git.folder / "plain.git").exists():
        git("init", "--quiet", "--bare", "plain.git")
    git("clone", "--quiet", "plain.git", name, GIT_LFS_SKIP_SMUDGE="1")
    copy = git.at(name)
    copy("config", "lfs.url", url)
    return copy


def git(*arguments: str | Path, folder: Path) -> str:
    """Run a git command that must succeed, in a folder that is also its home; return its standard output."""
    return git_in(folder)(*arguments)


def bare(endpoint: LocalEndpoint, repo: str) -> Path:
    """The folder of a repository on an endpoint; its kind is ``models`` unless the name begins with another kind."""
    path = repo if repo.startswith(("datasets/", "spaces/", "kernels/")) else f"models/{repo}"
    return endpoint.root / "repos" / f"{path}.git"


def checked(bare: Path) -> None:
    """Fail if git finds anything wrong with the objects of a repository."""
    git = git_in(bare)
    assert git("-c", "safe.directory=*", "fsck", "--full", "--strict", "--no-dangling") == ""


def processes_at(bare: Path) -> list[str]:
    """The ids of the processes that serve a repository: git, its children and its hooks."""
    wanted = f"GIT_PROJECT_ROOT={bare}".encode()
    found = []
    for process in Path("/proc").iterdir():
        try:
            if process.name.isdigit() and wanted in (process / "environ").read_bytes():
                found.append(process.name)
        except OSError:
            # The process has just ended, or belongs to another user.
            continue
    return found
