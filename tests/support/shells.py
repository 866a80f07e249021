"""Real shells in a pseudo-terminal, for tests of completion.

The ``xet`` that the shell finds is a script. It passes requests for completions on to the real command. When a line is
run, it does not run the command, but returns its arguments to the test.
"""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.cli import Cli

SHELLS = ["bash", "zsh", "fish"]
# Seconds to wait for a shell.
_PATIENCE = 120
_READY = "READY>"
_PROMPTS = {
    "bash": (".bashrc", f"PS1='{_READY} '\n"),
    "zsh": (".zshrc", f"PS1='{_READY} '\n"),
    "fish": (".config/fish/config.fish", f"function fish_prompt\n    echo '{_READY} '\nend\n"),
}
_COMMANDS = {"bash": ["bash", "-i"], "zsh": ["zsh", "-i"], "fish": ["fish", "--interactive"]}
# Make the pseudo-terminal the controlling terminal of the shell, which needs one for job control and for reading keys.
_IN_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execvp(sys.argv[1], sys.argv[1:])"
)


class Shell:
    """An interactive shell that waits for keys."""

    def __init__(self, terminal: int, answers: int) -> None:
        self._terminal = terminal
        self._answers = answers
        self.shown = ""

    def arguments(self, keys: str) -> list[str]:
        """Type keys and Enter; return the arguments of the resulting command. ``⇥`` is the tab key."""
        os.write(self._terminal, f"{keys}\r".replace("⇥", "\t").encode())
        answer = self._until(lambda told: told.endswith("\nEND\n"))
        return answer.split("\n")[:-2]

    def wait(self, text: str) -> None:
        """Wait until the shell has shown a text."""
        self._until(lambda _: text in self.shown)

    def _until(self, fits: Callable[[str], object]) -> str:
        told = b""
        ends = time.monotonic() + _PATIENCE
        while time.monotonic() < ends:
            for file in select.select([self._terminal, self._answers], [], [], 1)[0]:
                data = os.read(file, 65536)
                if file == self._terminal:
                    self.shown += data.decode(errors="replace")
                else:
                    told += data
            if fits(told.decode()):
                return told.decode()
        pytest.fail(f"the shell does not go on; it shows {self.shown!r}")


@contextmanager
def running(shell: str, cli: Cli) -> Iterator[Shell]:
    """Run a shell in the folder of the command, after ``xet --install-completion`` for it."""
    if shutil.which(shell) is None:
        if os.environ.get("PYXET_TEST_SHELLS") == "required":
            pytest.fail(f"{shell} is not installed")
        pytest.skip(f"{shell} is not installed")
    home = Path(cli.environment["HOME"])
    # Without the settings of the user who runs the tests.
    cli.variables |= {"XDG_DATA_HOME": "", "XDG_CONFIG_HOME": "", "ZDOTDIR": "", "TERM": "xterm", "HISTFILE": ""}
    cli("--install-completion", shell)
    name, prompt = _PROMPTS[shell]
    settings = home / name
    settings.parent.mkdir(parents=True, exist_ok=True)
    with settings.open("a") as file:
        file.write(prompt)
    tools, answers = home / "bin", home / "answers"
    tools.mkdir()
    os.mkfifo(answers)
    command = tools / "xet"
    command.write_text(
        f'#!/bin/sh\nif [ -n "$_XET_COMPLETE" ]; then exec {sys.executable} -m pyxet "$@"; fi\n'
        f"printf '%s\\n' \"$@\" END >{answers}\n"
    )
    command.chmod(0o755)
    environment = cli.environment | {"PATH": f"{tools}:{os.environ['PATH']}"}
    ours, theirs = os.openpty()
    receiving = os.open(answers, os.O_RDWR | os.O_NONBLOCK)
    process = subprocess.Popen(
        [sys.executable, "-c", _IN_TERMINAL, *_COMMANDS[shell]], env=environment, cwd=cli.folder,
        stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    try:
        found = Shell(ours, receiving)
        found.wait(_READY)
        yield found
    finally:
        process.kill()
        process.wait()
        os.close(ours)
        os.close(receiving)
