"""The ``xet`` command, on the public names of `pyxet` only.

How a command is added:

1. Add a row to `pyxet.cli.commands.COMMANDS`: its name, where it is (``module:object``), and one line of help. ``xet --help``,
   the command's own help and ``docs/cli.md`` all show this line, so it is written only there.
2. Write a module of its own with a function, and decorate the function::

       @command("head", json=True, examples=["xet head acme/titanic/main/titanic.csv -n 3"])
       @click.argument("path")
       @click.option("-n", "lines", default=10, show_default=True, help="How many lines.")
       def head(session: Session, path: str, lines: int) -> None:
           '''Help text that follows the one line of the table.'''

   `pyxet.cli.command.command` adds ``--endpoint``, ``--token``, ``--quiet``, ``--verbose``, ``--debug``, and with
   ``json=True`` also ``--json``. A group is ``branch = group("branch")``, its commands are
   ``@command("make", parent=branch, …)``; the docstring of such a command is its whole help text.
3. The function gets the `Session`: ``session.fs(path)`` is the blocking file system for the given paths,
   ``session.afs(path)`` the asynchronous one and ``session.run(function)`` runs a coroutine function; ``session.line``,
   ``session.table`` and ``session.data`` write results to standard output; ``session.note`` and ``session.warn`` write
   messages to standard error, and ``--quiet`` suppresses the notes.
4. Parse paths with `pyxet.cli.paths`: ``remote`` for paths that can only be in a repository, ``place`` for paths that may
   also be local; call ``writable`` before anything is written.
5. Run ``python docs/make_cli.py``, which generates ``docs/cli.md``.

Commands let typed errors pass, and raise `click.UsageError` for options that make no sense and `CommandError` for everything
else. `pyxet.cli.running` turns errors into messages and exit codes; no command catches an error in order to print it.

At their top, modules here import only `click`, `pyxet`, each other and quick modules of the standard library. Importing
`pyxet` is quick, since its names import what they need when they are used.
"""

from __future__ import annotations

import sys

from pyxet.cli.running import run


def main() -> None:
    """Run the command in the arguments of this process, and exit with its exit code."""
    sys.exit(run())


def git_main() -> None:
    """Run the program ``git-xet``, which git starts for ``git xet``: the same commands as ``xet git``."""
    sys.exit(run(["git", *sys.argv[1:]]))
