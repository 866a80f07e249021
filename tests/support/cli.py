"""The ``xet`` command in a process of its own, for tests."""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

import pyxet
from pyxet.testing import LocalEndpoint
from support.capabilities import has

_SERVER = Path(__file__).with_name("cli_server.py")


@dataclass(frozen=True)
class Done:
    """The output of a command that has ended."""

    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Forked:
    """A command that `support.cli_server` has forked, with the part of the interface of `subprocess.Popen` that tests need."""

    def __init__(self, arguments: list[str], environment: dict[str, str], folder: Path, streams: list[Any]) -> None:
        self.stdin: IO[bytes] | None = None
        self.stdout: IO[bytes] | None = None
        self.stderr: IO[bytes] | None = None
        self.returncode: int | None = None
        theirs = []
        opened = []
        for number, (name, stream) in enumerate(zip(("stdin", "stdout", "stderr"), streams, strict=True)):
            if stream == subprocess.PIPE:
                reading, writing = os.pipe()
                mine, other = (writing, reading) if number == 0 else (reading, writing)
                setattr(self, name, os.fdopen(mine, "wb" if number == 0 else "rb"))
                opened.append(other)
            elif stream == subprocess.DEVNULL:
                other = os.open(os.devnull, os.O_RDWR)
                opened.append(other)
            else:
                other = stream if isinstance(stream, int) else stream.fileno()
            theirs.append(other)
        reading, writing = os.pipe()
        opened.append(writing)
        self._status = os.fdopen(reading)
        message = {"arguments": arguments, "environment": environment, "folder": str(folder)}
        socket.send_fds(_server(), [json.dumps(message).encode()], [*theirs, writing])
        for file in opened:
            os.close(file)
        self.pid = int(self._status.readline())

    def poll(self) -> int | None:
        if self.returncode is None and select.select([self._status], [], [], 0)[0]:
            self.returncode = int(self._status.readline())
            self._status.close()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None and not select.select([self._status], [], [], timeout)[0]:
            raise subprocess.TimeoutExpired("xet", timeout or 0)
        code = self.poll()
        assert code is not None
        return code

    def communicate(self, data: bytes | None = None, timeout: float | None = None) -> tuple[bytes, bytes]:
        found: dict[IO[bytes], bytes] = {}

        def read(stream: IO[bytes]) -> None:
            found[stream] = stream.read()

        readers = [threading.Thread(target=read, args=(stream,)) for stream in (self.stdout, self.stderr) if stream]
        for reader in readers:
            reader.start()
        if self.stdin:
            self.stdin.write(data or b"")
            self.stdin.close()
        try:
            self.wait(timeout)
        except BaseException:
            self.kill()
            raise
        finally:
            for reader in readers:
                reader.join()
            self._close()
        return tuple(found.get(stream, b"") if stream else b"" for stream in (self.stdout, self.stderr))  # type: ignore[return-value]  # a tuple of two

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def __enter__(self) -> Forked:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is not None:
            self.kill()
        self._close()
        self.wait(60)

    def _close(self) -> None:
        for stream in (self.stdin, self.stdout, self.stderr):
            if stream:
                stream.close()

    def __del__(self) -> None:
        self._status.close()
        self._close()


@lru_cache
def _server() -> socket.socket:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    command = [sys.executable, "-W", "error", str(_SERVER), str(theirs.fileno())]
    process = subprocess.Popen(command, pass_fds=[theirs.fileno()], start_new_session=True)
    theirs.close()

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    return ours


@dataclass
class Cli:
    """Runs commands in a folder, with the endpoint and the token in the environment.

    >>> cli("ls", "acme/titanic").lines
    >>> cli("ls", "acme/nothing", code=3).err

    Attributes
    ----------
    variables:
        Changes to the environment; an empty text removes a variable.
    fresh:
        Whether to start a new interpreter for each command instead of a fork, see `support.cli_server`.
    """

    endpoint: LocalEndpoint
    folder: Path
    variables: dict[str, str] = field(default_factory=dict)
    fresh: bool = False

    @property
    def environment(self) -> dict[str, str]:
        mine = {"XET_ENDPOINT": self.endpoint.url, "XET_USER_TOKEN": self.endpoint.token} | self.variables
        return {name: value for name, value in (os.environ | mine).items() if value != ""}

    def start(
        self,
        *arguments: str,
        stdin: Any = subprocess.DEVNULL,
        stdout: Any = subprocess.PIPE,
        stderr: Any = subprocess.PIPE,
    ) -> Forked | subprocess.Popen[bytes]:
        """Start a command; its outputs are pipes by default."""
        if not self.fresh and has("fork"):
            return Forked(list(arguments), self.environment, self.folder, [stdin, stdout, stderr])
        command = [sys.executable, "-W", "error", "-m", "pyxet", *arguments]
        return subprocess.Popen(
            command, env=self.environment, cwd=self.folder, stdin=stdin, stdout=stdout, stderr=stderr, start_new_session=True
        )  # fmt: skip

    def run(self, *arguments: str, stdin: bytes = b"", code: int = 0) -> tuple[bytes, bytes]:
        """Run a command that must end with exit code ``code``; return standard output and error as bytes."""
        with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            given.write(stdin)
            given.seek(0)
            with self.start(*arguments, stdin=given, stdout=out, stderr=err) as process:
                try:
                    ended = process.wait(timeout=120)
                finally:
                    process.kill()
            out.seek(0)
            err.seek(0)
            written, told = out.read(), err.read()
        assert ended == code, f"xet {' '.join(arguments)} ended with {ended}: {told.decode()}"
        if code and "--debug" not in arguments:
            # A failing command writes a message, without a traceback or a warning.
            assert b"Traceback" not in told
            assert b"Warning" not in told
            assert told
        return written, told

    def __call__(self, *arguments: str, stdin: bytes = b"", code: int = 0) -> Done:
        out, err = self.run(*arguments, stdin=stdin, code=code)
        return Done(out.decode(), err.decode())


def below(fs: pyxet.XetFS, path: str) -> list[str]:
    """Names of the files below a path of a repository."""
    return [name.removeprefix(f"{path}/") for name in fs.find(path)]
