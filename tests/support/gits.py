"""Real git and git-lfs, as a person has them: with a home of their own, and nobody to ask for a password."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pyxet.testing import LocalEndpoint


def needs_lfs() -> None:
    """Skip the test where git-lfs is not installed; fail where it has to be, as in CI."""
    if shutil.which("git-lfs") is None:
        if os.environ.get("PYXET_TEST_GIT_LFS") == "required":
            pytest.fail("git-lfs is not installed")
        pytest.skip("git-lfs is not installed")


@dataclass
class Git:
    """Runs git in a folder."""

    folder: Path
    environment: dict[str, str] = field(repr=False)

    def __call__(self, *arguments: str, fails: bool = False, said: bool = False, **more: str) -> str:
        """Run a command; its standard output, or all that it ``said`` or said where it ``fails``. ``more`` is environment."""
        done = subprocess.run(
            ["git", *arguments], cwd=self.folder, env=self.environment | more, capture_output=True, text=True,
            timeout=170, check=False,
        )  # fmt: skip
        everything = f"{done.stdout}{done.stderr}"
        assert (done.returncode != 0) == fails, f"git {' '.join(arguments)}: {done.returncode}\n{everything}"
        return everything if fails or said else done.stdout

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a command, in a process group of its own."""
        return subprocess.Popen(
            ["git", *arguments], cwd=self.folder, env=self.environment, text=True, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def xet(self, *arguments: str, fails: bool = False, given: str | None = None, **more: str) -> str:
        """Run the ``xet`` command; all that it wrote."""
        done = subprocess.run(
            [sys.executable, "-m", "pyxet", *arguments], cwd=self.folder, env=self.environment | more, text=True,
            input=given or "", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=150, check=False,
        )  # fmt: skip
        assert (done.returncode != 0) == fails, f"xet {' '.join(arguments)}: {done.returncode}\n{done.stdout}"
        return done.stdout

    def at(self, folder: str | Path) -> Git:
        """Git in another folder, below this one if it is relative."""
        return Git(self.folder / folder, self.environment)

    def write(self, files: dict[str, bytes]) -> None:
        """Write files, commit them."""
        for name, data in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        self("add", "--all")
        self("commit", "--quiet", "--message", "files")

    def check(self) -> None:
        """Neither git nor git-lfs finds anything wrong."""
        assert self("fsck", "--full", "--strict") == ""
        assert "Git LFS fsck OK" in self("lfs", "fsck")


def git_at_home(home: Path, **environment: str) -> Git:
    """Git with a configuration of its own, and with git-lfs installed for its user."""
    needs_lfs()
    home.mkdir(exist_ok=True)
    variables = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "LC_ALL": "C.UTF-8",
        **environment,
    }
    git = Git(home, variables)
    for name, value in {
        "user.name": "acme",
        "user.email": "acme@example.org",
        "init.defaultBranch": "main",
        "protocol.file.allow": "always",
        # Each is a process that imports a lot, for the transfer agent.
        "lfs.concurrenttransfers": "2",
        # For the pushes of tests, not worth a wait.
        "lfs.transfer.maxretries": "2",
    }.items():
        git("config", "--global", name, value)
    git("lfs", "install", "--skip-repo")
    return git


def lfs_url(endpoint: LocalEndpoint, repo: str, token: str | None = None) -> str:
    """The LFS server of a repository, with the token in its URL."""
    token = endpoint.token if token is None else token
    who = f"{endpoint.user}:{token}@" if token else ""
    return endpoint.url.replace("http://", f"http://{who}") + f"/{repo}.git/info/lfs"


def working_copy(git: Git, name: str, url: str) -> Git:
    """One that pushes to a plain folder, and its large files to an LFS server."""
    if not (git.folder / "plain.git").exists():
        git("init", "--quiet", "--bare", "plain.git")
    git("clone", "--quiet", "plain.git", name, GIT_LFS_SKIP_SMUDGE="1")
    copy = git.at(name)
    copy("config", "lfs.url", url)
    return copy
