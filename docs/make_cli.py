"""Write docs/cli.md from the help of the ``xet`` command: python docs/make_cli.py."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from pyxet.cli.commands import COMMANDS
from pyxet.cli.running import app

PAGE = Path(__file__).parent / "cli.md"
_START = """\
# The `xet` command

This page is made from the commands' own help by `python docs/make_cli.py`; `xet COMMAND --help` says the same.

Paths are those of [the file system](guide/names.md): `owner/repo/branch/path`, with `xet://` in front or without it, and with
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
    top = click.Context(app, info_name="xet")
    # The group ``branch`` has only the options that every command has.
    common = {_identity(parameter) for parameter in _found(app, top, "branch").params}
    parts = [_START, "## Options of all commands\n"]
    parts += _options([parameter for parameter in app.params if _identity(parameter) in common])
    parts += ["Of `xet` itself, without a command:\n"]
    parts += _options([parameter for parameter in app.params if _identity(parameter) not in common])
    for name in COMMANDS:
        parts += _command(_found(app, top, name), top, common, depth=2)
    return "\n".join(parts)


def _identity(parameter: click.Parameter) -> str:
    return f"{parameter.opts} {getattr(parameter, 'help', '')}"


def _found(group: click.Group, context: click.Context, name: str) -> click.Command:
    command = group.get_command(context, name)
    assert command is not None
    return command


def _command(command: click.Command, above: click.Context, common: set[str], depth: int) -> Iterator[str]:
    context = click.Context(command, info_name=command.name, parent=above)
    yield f"{'#' * depth} `{context.command_path}`\n"
    for paragraph in (command.help or "").split("\n\n"):
        yield textwrap.fill(" ".join(paragraph.split()), 120, break_long_words=False, break_on_hyphens=False) + "\n"
    if examples := getattr(command, "examples", ()):
        yield from _usage(command, context, common, examples)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            yield from _command(_found(command, context, name), context, common, depth + 1)


def _usage(
    command: click.Command, context: click.Context, common: set[str], examples: Sequence[str]
) -> Iterator[str]:  # fmt: skip
    """The section of a command that is not a group."""
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    yield f"```\n{usage}\n```\n"
    yield from _options([parameter for parameter in command.params if _identity(parameter) not in common])
    yield "```\n" + "\n".join(examples) + "\n```\n"


def _options(parameters: Sequence[click.Parameter]) -> Iterator[str]:
    """A table of options. click's own formatting is not used, as it differs between its versions."""
    options = [parameter for parameter in parameters if isinstance(parameter, click.Option)]
    if not options:
        return
    yield "| option | |\n|---|---|"
    for option in options:
        names = ", ".join(sorted(option.opts, key=len))
        if option.secondary_opts:
            names += f" / {', '.join(option.secondary_opts)}"
        elif isinstance(option.type, click.Choice):
            names += f" [{'|'.join(option.type.choices)}]"
        elif not (option.is_flag or option.count):
            names += f" {option.metavar}"
        text = option.help or ""
        if option.show_default:
            text += f" [default: {option.default}]"
        names, text = names.replace("|", r"\|"), text.replace("|", r"\|")
        yield f"| `{names}` | {text} |"
    yield ""


if __name__ == "__main__":
    PAGE.write_text(page())
