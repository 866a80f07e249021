"""The real git as a stranger has it, with nothing of the configuration of whoever runs the tests."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path


@dataclass(frozen=True)
class Git:
    """git in a folder.

    Attributes
    ----------
    folder:
        Where it runs.
    user, token:
        What its credential helper says when git asks; with no token there is none, and nobody to ask.
    """

    folder: Path
    user: str = ""
    token: str = ""

    @property
    def environment(self) -> dict[str, str]:
        settings = {"init.defaultBranch": "main", "protocol.file.allow": "always", "advice.detachedHead": "false"}
        if self.token:
            settings["credential.helper"] = f"!f() {{ echo username={self.user}; echo password={self.token}; }}; f"
        found = {
            "PATH": os.environ["PATH"], "HOME": str(self.folder), "GIT_CONFIG_NOSYSTEM": "1", "GIT_TERMINAL_PROMPT": "0",
            "GIT_LFS_SKIP_SMUDGE": "1", "LC_ALL": "C.UTF-8", "GIT_CONFIG_COUNT": str(len(settings)),
            "GIT_AUTHOR_NAME": "git", "GIT_AUTHOR_EMAIL": "g@x", "GIT_COMMITTER_NAME": "git", "GIT_COMMITTER_EMAIL": "g@x",
        }  # fmt: skip
        for number, (name, value) in enumerate(settings.items()):
            found[f"GIT_CONFIG_KEY_{number}"], found[f"GIT_CONFIG_VALUE_{number}"] = name, value
        return found

    def start(self, *arguments: str | Path) -> subprocess.Popen[str]:
        """Start a command, in a session of its own."""
        return subprocess.Popen(
            ["git", *map(str, arguments)], cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip

    def run(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """A command, however it ends."""
        return subprocess.run(
            ["git", *map(str, arguments)], cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, errors="replace", check=False, timeout=170,
        )  # fmt: skip

    def __call__(self, *arguments: str | Path) -> str:
        """What a command says that succeeds."""
        done = self.run(*arguments)
        assert done.returncode == 0, (arguments, done.stdout, done.stderr)
        return done.stdout

    def fails(self, *arguments: str | Path) -> str:
        """What a command says that fails."""
        done = self.run(*arguments)
        assert done.returncode != 0, (arguments, done.stdout)
        return done.stderr

    def at(self, folder: Path) -> Git:
        """The same in another folder."""
        return replace(self, folder=folder)

    def clone(self, url: str, name: str, *options: str) -> Git:
        """Clone into a folder beside; git there."""
        self("clone", "-q", *options, url, name)
        return self.at(self.folder / name)

    def write(self, files: dict[str, str | bytes], message: str = "by git") -> str:
        """Commit files; the commit's id."""
        for path, data in files.items():
            target = self.folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data.encode() if isinstance(data, str) else data)
        self("add", "-A", "--", *files)
        self("commit", "-q", "-m", message)
        return self("rev-parse", "HEAD").strip()


def checked(bare: Path) -> None:
    """Have git look through all objects of a repository."""
    git = Git(bare)
    assert git("-c", "safe.directory=*", "fsck", "--full", "--strict", "--no-dangling") == ""


def processes_at(bare: Path) -> list[str]:
    """The numbers of processes that serve a repository: git, its children and its hooks."""
    wanted = f"GIT_PROJECT_ROOT={bare}".encode()
    found = []
    for process in Path("/proc").iterdir():
        try:
            if process.name.isdigit() and wanted in (process / "environ").read_bytes():
                found.append(process.name)
        except OSError:
            # It has just ended, or is somebody else's.
            continue
    return found
