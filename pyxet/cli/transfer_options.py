"""Options that several transfer commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

message = click.option(
    "-m", "--message", metavar="MSG", help="Message of the commit; one that counts the files if not given."
)
pull_request = click.option(
    "--pull-request", is_flag=True, help="Open a pull request with the changes, instead of committing them."
)  # fmt: skip
_PARALLEL = click.option(
    "-p", "--parallel", type=click.IntRange(1, 256), metavar="N", help="Files and requests at once, at the most."
)
_INCLUDE = click.option(
    "--include",
    multiple=True,
    metavar="GLOB",
    help="Only files that match, by their name or by a folder's; may be repeated.",
)
_EXCLUDE = click.option("--exclude", multiple=True, metavar="GLOB", help="No files that match; may be repeated.")
_DRY_RUN = click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
names_option = click.option(
    "--names",
    type=click.Choice(["refuse", "escape"]),
    default="refuse",
    help="Files that cannot have their names on this machine: refuse, before anything is written, or write them under "
    "escaped names, such as a%3Ab.",
)
_NO_PROGRESS = click.option("--no-progress", is_flag=True, help="Show no progress on a terminal.")


def transfer_options(function: F) -> F:
    """Add the options that ``cp`` and ``sync`` share."""
    for option in (names_option, _NO_PROGRESS, _DRY_RUN, _EXCLUDE, _INCLUDE, _PARALLEL, pull_request, message):
        function = option(function)
    return function
