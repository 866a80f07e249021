"""JSON output whose items are written as they are found."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

import click

from pyxet.cli.formats import as_json


def write_array(items: Iterable[Any]) -> None:
    """Write dataclasses or dictionaries as one JSON array, one item on a line, each as soon as it is found.

    If the iterable raises an error, the closing bracket is missing, so that the output is not taken for a complete array.
    """
    count = 0
    for item in items:
        value = item if isinstance(item, dict) else asdict(item)
        click.echo(("," if count else "[") + "\n" + as_json(value), nl=False)
        count += 1
    click.echo("\n]" if count else "[]")
