"""Write docs/cli.md from the help of the ``xet`` command: python docs/make_cli.py."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from pyxet.cli.commands import COMMANDS
from pyxet.cli.running import app

PAGE = Path(__file__).parent / "cli.md"
_START = """\
# The `xet` command

This page is made from the commands' own help by `python docs/make_cli.py`; `xet COMMAND --help` says the same.

Paths are those of [the file system](guide.md): `owner/repo/branch/path`, with `xet://` in front or without it, and with
an endpoint where it is not the default one: `xet://localhost:8787:acme/titanic/main`. Wherever a path is read, a tag, a
commit or a point in time may stand for the branch: `acme/titanic/main@{5.minutes.ago}/titanic.csv`. Only branches can
be written to.

Results go to standard output, everything else to standard error. Colours are left out where the output is no terminal,
and with `NO_COLOR`. An error is one or two lines that say what failed, why, and what to do.

| exit code | meaning |
|---|---|
| 0 | done |
| 1 | failed |
| 2 | the command line makes no sense |
| 3 | not found |
| 4 | not allowed: no token, or one that may not |
| 5 | conflict: it exists, or somebody else changed it |
| 130 | interrupted |
"""


def page() -> str:
    """The whole page."""
    parts = [_START]
    top = click.Context(app, info_name="xet")
    parts += ["## Options of all commands\n", *_options(app, top, set())]
    common = {option for parameter in app.params for option in parameter.opts}
    parts += ["`--json` is an option of those commands that list it.\n"]
    for name in COMMANDS:
        parts += _command(_found(app, top, name), top, common, depth=2)
    return "\n".join(parts)


def _found(group: click.Group, context: click.Context, name: str) -> click.Command:
    command = group.get_command(context, name)
    assert command is not None
    return command


def _command(command: click.Command, above: click.Context, common: set[str], depth: int) -> Iterator[str]:
    context = click.Context(command, info_name=command.name, parent=above)
    yield f"{'#' * depth} `{context.command_path}`\n"
    for paragraph in (command.help or "").split("\n\n"):
        yield " ".join(paragraph.split()) + "\n"
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            yield from _command(_found(command, context, name), context, common, depth + 1)
        return
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    yield f"```\n{usage}\n```\n"
    yield from _options(command, context, common)
    yield "```\n" + "\n".join(getattr(command, "examples", ())) + "\n```\n"


def _options(command: click.Command, context: click.Context, left_out: set[str]) -> Iterator[str]:
    records = [
        record
        for parameter in command.params
        if not left_out.issuperset(parameter.opts) and (record := parameter.get_help_record(context))
    ]
    if records:
        yield "| option | |\n|---|---|"
        for names, text in records:
            names, text = names.replace("|", r"\|"), text.replace("|", r"\|")
            yield f"| `{names}` | {text} |"
        yield ""


if __name__ == "__main__":
    PAGE.write_text(page())
