"""Names of commands and options that users know from the first pyxet, git or a shell: which are accepted, and hints."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import click

# Other names of commands in groups. The help does not list them.
_IN_GROUPS: Final = {
    "create": "make", "new": "make", "add": "make", "list": "ls", "show": "info", "stat": "info",
    "delete": "del", "rm": "del", "remove": "del", "move": "rename", "mv": "rename", "copy": "duplicate", "cp": "duplicate",
}  # fmt: skip

# The names of these commands in the groups of ``xet serve admin``, which have ``add`` and ``revoke`` instead.
_AT_HOME: Final = {"make": "add", "del": "revoke"}

# Commands that were at the top level before, and the groups and names that they have now.
MOVED: Final = {"duplicate": ("repo", "duplicate"), "fork": ("repo", "fork")}

# Options of the first pyxet, and what they are called now.
_OPTIONS: Final = {"dryrun": "dry-run", "raw": "json", "password": "token"}

# Hints for commands that other programs have and ``xet`` does not.
_HINTS: Final = {
    "add": "files are uploaded and committed at once: xet cp FILE owner/repo/branch/",
    "auth": "did you mean xet login?",
    "checkout": "paths name the branch: xet ls owner/repo/branch; a new one: xet branch make",
    "commit": "every change is a commit of its own; its message is the -m of xet cp, sync, mv and rm",
    "copy": "did you mean xet cp?",
    "create": "did you mean xet repo make, or xet branch make?",
    "delete": "did you mean xet rm, xet branch del or xet repo del?",
    "dir": "did you mean xet ls?",
    "get": "to have a file: xet cp owner/repo/branch/path FOLDER",
    "history": "did you mean xet log?",
    "list": "did you mean xet ls?",
    "merge": "branches are not merged; xet diff shows what differs, xet cp -r copies it",
    "more": "did you mean xet head, or xet cat ... | less?",
    "mount": "nothing is mounted; xet cp -r copies, and Python reads in place: pyxet.open",
    "move": "did you mean xet mv?",
    "pull": "in a clone: xet git pull; to have the files alone: xet sync owner/repo/branch FOLDER",
    "push": "to send the files: xet sync FOLDER owner/repo/branch",
    "put": "to send a file: xet cp FILE owner/repo/branch/path",
    "remove": "did you mean xet rm?",
    "rename": "did you mean xet mv, or xet repo rename?",
    "upload": "to send files: xet cp -r FOLDER owner/repo/branch/path",
}


def option(name: str) -> str:
    """The current name of an option: with hyphens for underscores, and the new name of an option of the first pyxet."""
    name = name.replace("_", "-")
    return _OPTIONS.get(name, name)


def in_group(name: str, commands: Mapping[str, object]) -> str:
    """The name of a command in a group, from this name or another one that is accepted for it."""
    if name in commands:
        return name
    found = _IN_GROUPS.get(name, name)
    return found if found in commands else _AT_HOME.get(found, found)


def no_such_command(context: click.Context, name: str, commands: Iterable[str]) -> click.UsageError:
    """The error for an unknown command, with a hint or similar names if there are any."""
    # Imported only here, since it takes several milliseconds.
    from difflib import get_close_matches

    hint = _HINTS.get(name.lower()) if context.parent is None else None
    if hint is None and (near := get_close_matches(name.lower(), commands, n=3)):
        paths = [f"{context.command_path} {found}" for found in near]
        hint = f"did you mean {' or '.join(paths)}?"
    if hint is None:
        return click.UsageError(f"there is no command {name!r}", context)
    return click.UsageError(f"there is no command {name!r}; {hint}", context)
