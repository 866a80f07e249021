"""The page of the commands, which is made from their help."""

from __future__ import annotations

import runpy
import shlex
from pathlib import Path

import click

from pyxet.cli.commands import COMMANDS
from pyxet.cli.running import app
from pyxet.cli.session import Session

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_is_what_the_commands_say() -> None:
    made = runpy.run_path(str(DOCS / "make_cli.py"))["page"]()
    assert (DOCS / "cli.md").read_text() == made, "python docs/make_cli.py makes it anew"
    for name, entry in COMMANDS.items():
        assert f"\n## `xet {name}`\n\n{entry.help}\n" in made
    assert " None" not in made


def test_the_session_of_the_readme_is_of_commands_that_exist() -> None:
    lines = [line for line in (DOCS.parent / "README.md").read_text().splitlines() if line.startswith("$ xet ")]
    assert len(lines) > 5
    for line in lines:
        _, _, name, *words = shlex.split(line)
        command = app.get_command(click.Context(app), name)
        assert command is not None
        with command.make_context(name, words, obj=Session()):
            pass
