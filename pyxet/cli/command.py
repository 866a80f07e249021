"""Makes commands of functions: the options that all commands have, help with examples, and groups that import them late."""

from __future__ import annotations

import importlib
import inspect
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Concatenate, Final, ParamSpec

import click

from pyxet.cli import habits
from pyxet.cli.commands import COMMANDS
from pyxet.cli.session import Session

P = ParamSpec("P")

# -h is help as well, unless a command has an option of that name.
_SETTINGS: Final = {"help_option_names": ["-h", "--help"], "token_normalize_func": habits.option}


def command(
    name: str,
    *,
    examples: Sequence[str],
    json: bool = False,
    connects: bool = True,
    token: bool = True,
    parent: click.Group | None = None,
    has_commands: bool = False,
) -> Callable[[Callable[Concatenate[Session, P], None]], click.Command]:
    """Make a command of a function whose first argument is the `Session`.

    Parameters
    ----------
    name:
        The name of the command; a row of `COMMANDS` unless there is a ``parent``.
    examples:
        Command lines, at least one, that the help shows.
    json:
        Whether the command has the option ``--json``, see `Session.json`.
    connects:
        Whether it has the options ``--endpoint`` and ``--token``.
    token:
        Whether it has the common ``--token``; false if the command defines this option itself.
    parent:
        The group that the command belongs to.
    has_commands:
        Whether the command is also a group; then its function is also called before the function of a command below it.
    """

    def make(function: Callable[Concatenate[Session, P], None]) -> click.Command:
        text = inspect.getdoc(function) or ""
        if parent is None:
            text = f"{COMMANDS[name].help}\n\n{text}".strip()
        kind = _GroupThatRuns if has_commands else _Command
        runs = {"invoke_without_command": True} if has_commands else {}
        made = click.command(name, cls=kind, help=text, context_settings=_SETTINGS, **runs)(click.pass_obj(function))
        made.params += _options(json=json, endpoint=connects, token=connects and token)
        made.examples = list(examples)
        if parent is not None:
            parent.add_command(made)
        return made

    return make


def group(name: str, parent: click.Group | None = None, help: str = "", *, connects: bool = True) -> click.Group:
    """Make a group: a row of `COMMANDS`, or a command of a parent, that only has commands of its own."""
    made = _Group(
        name, help=help or COMMANDS[name].help, context_settings=_SETTINGS,
        params=_options(endpoint=connects, token=connects),
        invoke_without_command=True, callback=_missing,
    )  # fmt: skip
    if parent is not None:
        parent.add_command(made)
    return made


def _options(*, json: bool = False, endpoint: bool = True, token: bool = True) -> list[click.Parameter]:
    """The common options, which store their values in the session. They may be given before the command or after it."""

    def option(*names: str, value: bool = False, text: str, metavar: str | None = None) -> click.Option:
        return click.Option(
            names, is_flag=not value, default=None if value else False, expose_value=False, help=text, metavar=metavar,
            callback=_note,
        )  # fmt: skip

    found = []
    if endpoint:
        found.append(
            option("--endpoint", value=True, metavar="URL", text="Endpoint: a host, host:port, URL, or local.")
        )
    if token:
        found.append(option("--token", value=True, metavar="TOKEN", text="Access token, instead of a saved one."))
    if json:
        found.append(option("--json", text="Write JSON to standard output."))
    return [
        *found,
        option("-q", "--quiet", text="Say nothing but results and errors."),
        click.Option(
            ["-v", "--verbose"],
            count=True,
            expose_value=False,
            callback=_note_verbose,
            help="Show retries and waits on standard error; -vv shows each request and transfer.",
        ),
        option("--debug", text="Show the traceback of an error."),
    ]


def _note_verbose(context: click.Context, _: click.Parameter, count: int) -> None:
    if count:
        context.ensure_object(Session).show_log(count)


def _note(context: click.Context, parameter: click.Parameter, value: str | bool | None) -> None:
    if value is not None and value is not False:
        setattr(context.ensure_object(Session), str(parameter.name), value)
        if parameter.name == "debug":
            # With this level, tracebacks keep pyxet's own frames.
            logging.getLogger("pyxet").setLevel(logging.DEBUG)


class _Command(click.Command):
    """A command whose help shows examples."""

    examples: Sequence[str] = ()

    def invoke(self, ctx: click.Context) -> Any:
        ctx.ensure_object(Session).command = ctx.command_path
        return super().invoke(ctx)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Examples"):
            for line in self.examples:
                formatter.write(f"{'':>{formatter.current_indent}}{line}\n")


class _Suggesting(click.Group):
    """A group that suggests a command if the one that was typed does not exist."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if not ctx.resilient_parsing and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            raise habits.no_such_command(ctx, args[0], self.list_commands(ctx))
        return super().resolve_command(ctx, args)


class _Group(_Suggesting):
    """A group that lists its commands in the order of their definition, with the whole first sentence of their help."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return super().get_command(ctx, habits.in_group(cmd_name, self.commands))

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*self.commands]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.get_short_help_str(1000)) for name, command in self.commands.items()])


class _GroupThatRuns(_Command, _Group):
    """A command that also has commands below it."""


def _missing() -> None:
    """Show the help of a group and fail, if no command of the group was given."""
    context = click.get_current_context()
    if context.invoked_subcommand is None:
        click.echo(context.get_help(), err=True)
        context.exit(2)


class Unhandled(Exception):  # noqa: N818  # it is no error of its own
    """Carries an exception, as its cause, through `click.Command.main`, which would handle the exception itself."""


@contextmanager
def _unhandled() -> Iterator[None]:
    try:
        yield
    except (BrokenPipeError, EOFError, KeyboardInterrupt) as error:
        raise Unhandled from error


class LateGroup(_Suggesting):
    """The top-level group, which lists the commands in `COMMANDS` and imports each only when it is used."""

    def __init__(self, name: str, help: str, params: Iterable[click.Parameter] = ()) -> None:
        super().__init__(
            name, help=help, context_settings=_SETTINGS, params=[*_options(), *params],
            invoke_without_command=True, callback=_missing,
        )  # fmt: skip

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        # The options --help and --version write their output in this call.
        with _unhandled():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        with _unhandled():
            return super().invoke(ctx)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*COMMANDS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in habits.MOVED:
            group_name, inner = habits.MOVED[cmd_name]
            group = self.get_command(ctx, group_name)
            assert isinstance(group, click.Group)
            return group.get_command(ctx, inner)
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        module, _, name = entry.where.partition(":")
        found: click.Command = getattr(importlib.import_module(module), name)
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in COMMANDS.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[Any]:
        from click.shell_completion import CompletionItem

        found = [
            CompletionItem(name, help=entry.help) for name, entry in COMMANDS.items() if name.startswith(incomplete)
        ]
        return [*found, *click.Command.shell_complete(self, ctx, incomplete)]
