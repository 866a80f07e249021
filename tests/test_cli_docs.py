"""The page of the commands, which is made from their help."""

from __future__ import annotations

import runpy
from pathlib import Path

from pyxet.cli.commands import COMMANDS

DOCS = Path(__file__).parent.parent / "docs"


def test_the_page_is_what_the_commands_say() -> None:
    made = runpy.run_path(str(DOCS / "make_cli.py"))["page"]()
    assert (DOCS / "cli.md").read_text() == made, "python docs/make_cli.py makes it anew"
    for name, entry in COMMANDS.items():
        assert f"\n## `xet {name}`\n\n{entry.help}\n" in made
    assert " None" not in made
