"""The ``xet`` command, on the public names of `pyxet` only.

How a command is added:

1. A row in `pyxet.cli.commands.COMMANDS`: its name, where it is (``module:object``), and one line of help. That line is
   the only copy; ``xet --help``, the command's own help and ``docs/cli.md`` show it.
2. A module of its own with a function that is made a command::

       @command("head", json=True, examples=["xet head acme/titanic/main/titanic.csv -n 3"])
       @click.argument("path")
       @click.option("-n", "lines", default=10, show_default=True, help="How many lines.")
       def head(session: Session, path: str, lines: int) -> None:
           '''What is said below the one line of the table.'''

   `pyxet.cli.command.command` adds ``--endpoint``, ``--token``, ``--quiet``, ``--verbose``, ``--debug``, and ``--json`` where
   ``json=True``. A group is ``branch = group("branch")``, its commands ``@command("make", parent=branch, …)``; the
   help of those is their docstring.
3. The function gets the `Session`: ``session.fs(path)`` is the blocking file system for the paths at hand,
   ``session.afs(path)`` the asynchronous one and ``session.run(function)`` runs a coroutine; ``session.line``,
   ``session.table`` and ``session.data`` write results to standard output, ``session.note`` and ``session.warn`` say
   things on standard error, the first not with ``--quiet``.
4. Paths go through `pyxet.cli.paths`: ``remote`` for paths that can only be in a repository, ``place`` where they may
   be local as well, ``writable`` before anything is written.
5. ``python docs/make_cli.py`` writes ``docs/cli.md`` anew.

Commands raise: typed errors as they come, `click.UsageError` for options that make no sense, `CommandError` for the
rest. `pyxet.cli.running` makes messages and exit codes of them; no command catches errors to print them.

Modules here import at their top only `click`, each other and the standard library, and nothing slow of that: `pyxet`
itself is quick, and its names import what they need when they are used.
"""

from __future__ import annotations

import sys

from pyxet.cli.running import run


def main() -> None:
    """Run the command that the arguments of this process name, and end the process."""
    sys.exit(run())


def git_main() -> None:
    """The program ``git-xet``, which git runs for ``git xet``: the commands of ``xet git``."""
    sys.exit(run(["git", *sys.argv[1:]]))
