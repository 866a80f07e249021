"""What every command gets: the common options, file systems made from them, and the two outputs."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

import pyxet
from pyxet.cli.formats import as_json, columns, printable

if TYPE_CHECKING:
    from pyxet import AsyncXetFileSystem, XetFS
    from pyxet.cli.verbose import Verbose

T = TypeVar("T")


class CommandError(Exception):
    """A command cannot do what it was asked, for a reason that has no error type of its own: exit code 1.

    Parameters
    ----------
    message:
        What failed and why, in one line.
    hint:
        What to do.
    """

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class Session:
    """One run of the ``xet`` command.

    Attributes
    ----------
    endpoint, token, quiet, json, debug, verbose:
        The common options; ``verbose`` is how often it was given.
    command:
        The command that runs, for messages: ``xet branch make``.
    interrupted:
        The line to print after "interrupted": what was done, and how to go on.
    """

    def __init__(self) -> None:
        self.endpoint: str | None = None
        self.token: str | None = None
        self.quiet = False
        self.json = False
        self.debug = False
        self.verbose = 0
        self.command = "xet"
        self.interrupted: str | None = None
        self._tells = False
        self._log: Verbose | None = None

    # -- file systems --------------------------------------------------------------------------------------------------

    def fs(self, *paths: str) -> XetFS:
        """The blocking file system for paths, which may name an endpoint.

        Raises
        ------
        click.UsageError
            The paths are at different endpoints.
        """
        return pyxet.XetFS(**self.options(*paths))

    def afs(self, *paths: str) -> AsyncXetFileSystem:
        """The asynchronous file system for paths, to be used with ``async with``. Raises as `fs` does."""
        return pyxet.AsyncXetFileSystem(**self.options(*paths), asynchronous=True)

    def options(self, *paths: str) -> dict[str, Any]:
        """The arguments of the file system's constructor for paths. Raises as `fs` does."""
        if not (self._tells or self.quiet or self.verbose) and sys.stderr.isatty():
            from pyxet.cli.waiting import tell

            self._tells = True
            tell(self.warn)
        endpoint = self.endpoint
        if endpoint is None:
            named = {url.endpoint for url in map(pyxet.XetURL.parse, paths) if url.endpoint is not None}
            if len(named) > 1:
                raise click.UsageError(f"the paths are at different endpoints: {', '.join(sorted(named))}")
            endpoint = named.pop() if named else None
        if self.endpoint is None and endpoint is not None:
            # The URL does not contain http or https. If it names the default endpoint, use the default, which does contain it.
            default: str = pyxet.XetFS(token="").endpoint
            endpoint = None if default.partition("://")[2] == endpoint.lower() else endpoint
        return {"endpoint": endpoint, "token": self.token}

    def run(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run a coroutine function to its end; Ctrl-C and SIGTERM cancel it.

        Raises
        ------
        KeyboardInterrupt
            One of these signals came.
        """
        import asyncio
        import warnings

        from pyxet._platform import ENDING_SIGNALS, signals_to

        told = False

        async def guarded() -> T | None:
            task = asyncio.current_task()
            assert task is not None

            def stop() -> None:
                nonlocal told
                told = True
                task.cancel()

            try:
                with signals_to(asyncio.get_running_loop(), stop, *ENDING_SIGNALS):
                    return await work()
            except BaseException as error:
                # A connection that is closed while it sends stays open until its buffer is sent, so asyncio may warn of it.
                warnings.simplefilter("ignore", ResourceWarning)
                if not (told and isinstance(error, asyncio.CancelledError)):
                    raise
                return None

        result = asyncio.run(guarded())
        if told:
            raise KeyboardInterrupt
        return result  # type: ignore[return-value]  # None only where it was told to end

    # -- results, on standard output -----------------------------------------------------------------------------------

    def line(self, text: str = "") -> None:
        """Write one line of a result."""
        click.echo(printable(text) if sys.stdout.isatty() else text)

    def lines(self, texts: Iterable[str]) -> None:
        """Write several lines of a result at once."""
        if found := "\n".join(printable(text) if sys.stdout.isatty() else text for text in texts):
            click.echo(found)

    def table(self, rows: Iterable[Sequence[str]], right: Iterable[int] = ()) -> None:
        """Write rows in aligned columns; the columns with the numbers ``right`` are aligned to the right."""
        self.lines(columns(rows, right))

    def data(self, value: Any) -> None:
        """Write a result as one line of JSON, with dates in ISO 8601."""
        click.echo(as_json(value))

    def styled(self, text: str, **style: Any) -> str:
        """Text in a colour (`click.style`) where standard output is a terminal and ``NO_COLOR`` is not set."""
        plain = bool(os.environ.get("NO_COLOR")) or not sys.stdout.isatty()
        return text if plain else click.style(text, **style)

    # -- the rest, on standard error -----------------------------------------------------------------------------------

    def note(self, text: str) -> None:
        """Write a message, but not with ``--quiet``."""
        if not self.quiet:
            click.echo(printable(text), err=True)

    def warn(self, text: str) -> None:
        """Write a message, also with ``--quiet``."""
        click.echo(printable(f"{self.command}: {text}"), err=True)

    def show_log(self, more: int) -> None:
        """Show the log of pyxet on standard error, in more detail by ``more`` levels: one for each ``-v``."""
        from pyxet.cli.verbose import Verbose

        self.verbose += more
        if self._log is None:
            self._log = Verbose(lambda text: click.echo(printable(text), err=True))
        self._log.show(self.verbose)

    def close(self) -> None:
        """End what `show_log` began."""
        log, self._log = self._log, None
        if log is not None:
            log.close()

    def confirm(self, question: str) -> None:
        """Ask a question, and return only if the answer is yes.

        Raises
        ------
        CommandError
            The answer is no, or standard input is no terminal.
        """
        if not sys.stdin.isatty():
            raise CommandError(f"{question} There is no terminal to ask at", hint="to go on without being asked: --yes")
        if not click.confirm(printable(question), err=True):
            raise CommandError("nothing was done")
