"""The ``xet`` command as a process of its own, for tests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pyxet.testing import LocalEndpoint


@dataclass(frozen=True)
class Done:
    """What a command wrote."""

    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass
class Cli:
    """Runs commands in a folder, with the endpoint and the token in the environment.

    >>> cli("ls", "acme/titanic").lines
    >>> cli("ls", "acme/nothing", code=3).err
    """

    endpoint: LocalEndpoint
    folder: Path
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        mine = {"XET_ENDPOINT": self.endpoint.url, "XET_USER_TOKEN": self.endpoint.token} | self.variables
        return {name: value for name, value in (os.environ | mine).items() if value != ""}

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[bytes]:
        """A command that goes on; its outputs are pipes unless told otherwise."""
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
        command = [sys.executable, "-W", "error", "-m", "pyxet", *arguments]
        return subprocess.Popen(command, env=self.environment, cwd=self.folder, **pipes)

    def run(self, *arguments: str, stdin: bytes = b"", code: int = 0) -> tuple[bytes, bytes]:
        """The two outputs, as bytes, of a command that ends with an exit code."""
        process = self.start(*arguments, stdin=subprocess.PIPE)
        try:
            out, err = process.communicate(stdin, timeout=120)
        finally:
            process.kill()
        told = err.decode()
        assert process.returncode == code, f"xet {' '.join(arguments)} ended with {process.returncode}: {told}"
        if code and "--debug" not in arguments:
            # One or two plain lines, and nothing that looks like a result.
            assert "Traceback" not in told
            assert "Warning" not in told
            assert told
        return out, err

    def __call__(self, *arguments: str, stdin: bytes = b"", code: int = 0) -> Done:
        out, err = self.run(*arguments, stdin=stdin, code=code)
        return Done(out.decode(), err.decode())
