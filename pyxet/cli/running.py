"""Runs commands, and turns their errors into messages and exit codes.

Exit codes: 0 done; 1 failed; 2 usage; 3 not found; 4 not allowed; 5 conflict; 130 interrupted.
"""

from __future__ import annotations

import io
import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence

import click

import pyxet
from pyxet._platform import ENDING_SIGNALS, is_broken_pipe
from pyxet.cli.command import LateGroup, Unhandled
from pyxet.cli.formats import printable
from pyxet.cli.session import CommandError, Session

FAILED, USAGE, NOT_FOUND, NOT_ALLOWED, CONFLICT, INTERRUPTED = 1, 2, 3, 4, 5, 130

# The exit codes of errors; the first type that matches decides.
_CODES: tuple[tuple[type[BaseException], int], ...] = (
    (pyxet.XetURLError, USAGE),
    (pyxet.ConflictError, CONFLICT),
    (FileNotFoundError, NOT_FOUND),
    (PermissionError, NOT_ALLOWED),
    (FileExistsError, CONFLICT),
    (KeyboardInterrupt, INTERRUPTED),
)
_HINTS: tuple[tuple[type[BaseException], str], ...] = (
    (pyxet.ConnectionFailedError, "check the endpoint, which --endpoint or XET_ENDPOINT sets, and the network"),
)

_HELP = "Work with Xet repositories: xet://owner/repo/branch/path, where xet:// may be left out."


def _show_version(context: click.Context, _: click.Parameter, value: bool) -> None:
    if value and not context.resilient_parsing:
        click.echo(f"pyxet {pyxet.__version__}")
        context.exit()


def _install_completion(context: click.Context, _: click.Parameter, value: str | None) -> None:
    if value is not None and not context.resilient_parsing:
        from pyxet.cli.completion import install

        install(context.ensure_object(Session), value or None)
        context.exit()


_VERSION = click.Option(
    ["--version"], is_flag=True, expose_value=False, is_eager=True, callback=_show_version, help="Show the version."
)
_COMPLETION = click.Option(
    ["--install-completion"], is_flag=False, flag_value="", metavar="[bash|zsh|fish]", expose_value=False,
    callback=_install_completion, help="Make the shell complete commands, options and paths; your shell if none is named.",
)  # fmt: skip
app = LateGroup("xet", _HELP, [_COMPLETION, _VERSION])


def run(arguments: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit code.

    Parameters
    ----------
    arguments:
        The arguments without the name of the program; those of this process if ``None``.
    """
    session = Session()
    # Without a handler, `logging` would write warnings of retries to standard error. On a terminal, `waiting` shows them.
    logging.getLogger("pyxet.requests").addHandler(logging.NullHandler())
    if (request := os.environ.get("_XET_COMPLETE")) is not None:
        from pyxet.cli.shells import answer

        return answer(app, session, request)
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            # The process was started without this stream (``>&-``). Use up its number, or something that is opened later, such
            # as a connection, would get it. Reading from a standard input that is open for writing only raises `OSError`.
            os.dup2(nothing := os.open(os.devnull, os.O_WRONLY), number)
            if nothing != number:
                os.close(nothing)
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115  # as long as the process is
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # Escape characters that the terminal's encoding lacks, instead of failing.
            stream.reconfigure(errors="backslashreplace")
    if threading.current_thread() is threading.main_thread():
        # Raise KeyboardInterrupt, as Ctrl-C does, in commands without an event loop of their own; for others see `Session.run`.
        for ending in ENDING_SIGNALS:
            signal.signal(ending, signal.default_int_handler)
    try:
        code = app.main(arguments, prog_name="xet", standalone_mode=False, obj=session)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except (Exception, KeyboardInterrupt) as caught:  # noqa: BLE001  # each is told and has an exit code
        error = caught.__cause__ if isinstance(caught, Unhandled) and caught.__cause__ else caught
    finally:
        session.close()
    if is_broken_pipe(error):
        # The reader of our output has closed the pipe. The interpreter would fail to flush the buffer at exit: redirect it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return _told(error, session)


def _told(error: BaseException, session: Session) -> int:
    """Write to standard error what went wrong, in one or two lines, and return the exit code."""
    if session.debug and not isinstance(error, click.ClickException):
        import traceback

        traceback.print_exception(error)
    code, lines = explained(error, session)
    for line in lines:
        click.echo(printable(line), err=True)
    return code


def explained(error: BaseException, session: Session) -> tuple[int, list[str]]:
    """The exit code of an error, and the lines of its message: what failed and why, then what to do, if that is known."""
    if isinstance(error, click.UsageError):
        command = error.ctx.command_path if error.ctx else session.command
        return USAGE, [f"{command}: {error.format_message()}", f"see {command} --help"]
    if isinstance(error, click.ClickException):
        return FAILED, [f"{session.command}: {error.format_message()}"]
    if isinstance(error, click.Abort):
        # A question was not answered: Ctrl-C, or the end of the input.
        if not isinstance(error.__context__, EOFError):
            return INTERRUPTED, [f"{session.command}: interrupted"]
        return FAILED, [f"{session.command}: the input ended before the answer"]
    code = next((code for kind, code in _CODES if isinstance(error, kind)), FAILED)
    if code == INTERRUPTED:
        return code, [f"{session.command}: interrupted", *([session.interrupted] if session.interrupted else [])]
    hint = error.hint if isinstance(error, CommandError) else None
    if hint is None:
        hint = next((hint for kind, hint in _HINTS if isinstance(error, kind)), None)
    if isinstance(error, pyxet.ConnectionFailedError):
        # Without the error's own hint, which is for users of Python; `_HINTS` has the one for users of the command.
        text = error.message
    elif isinstance(error, (pyxet.XetError, CommandError)):
        text = str(error)
    elif isinstance(error, OSError):
        text = f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error)
    else:
        text = f"{type(error).__name__}: {error}"
        hint = "this should not happen; --debug shows where it did"
    return code, [f"{session.command}: {text}", *([hint] if hint else [])]
