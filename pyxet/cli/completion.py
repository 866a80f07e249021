"""``xet --install-completion``."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import click

from pyxet.cli.session import CommandError, Session
from pyxet.cli.shells import SCRIPTS


def install(session: Session, shell: str | None) -> None:
    """Write the completion script for a shell, and make the shell load it. Installing it again changes nothing.

    Parameters
    ----------
    shell:
        ``bash``, ``zsh`` or ``fish``; the user's own if ``None``.
    """
    shell = shell or Path(os.environ.get("SHELL", "")).name
    if shell not in SCRIPTS:
        raise click.UsageError(f"there is no completion for {shell or 'an unknown shell'}: name bash, zsh or fish")
    script = _folder("XDG_DATA_HOME", ".local/share") / "xet" / f"completion.{shell}"
    started_by: Path | None = None
    if shell == "fish":
        script = _folder("XDG_CONFIG_HOME", ".config") / "fish" / "completions" / "xet.fish"
    elif shell == "zsh":
        started_by = _folder("ZDOTDIR", "") / ".zshrc"
    else:
        started_by = Path.home() / ".bashrc"
    try:
        script.parent.mkdir(parents=True, exist_ok=True)
        script.write_text(SCRIPTS[shell], encoding="utf-8", newline="\n")
        if started_by is not None:
            _add_line(started_by, f"source {shlex.quote(str(script))}  # completion of xet")
    except OSError as error:
        raise CommandError(f"{error.filename or script}: {error.strerror}") from error
    session.note(f"completion for {shell} is in {script}" + (f", started by {started_by}" if started_by else ""))
    session.note("it works in shells that are started from now on")


def _folder(variable: str, below_home: str) -> Path:
    return Path(os.environ.get(variable) or Path.home() / below_home)


def _add_line(path: Path, line: str) -> None:
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    if line not in text.splitlines():
        with path.open("a", encoding="utf-8", newline="\n") as file:
            file.write(f"{'' if not text or text.endswith(chr(10)) else chr(10)}{line}\n")
