"""JSON that is written while it is being found."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

import click

from pyxet.cli.formats import as_json


def write_array(items: Iterable[Any]) -> None:
    """Dataclasses or dictionaries as one JSON array, an item on a line, each as soon as it is there.

    Where finding them fails the array stays without its end, so that nobody takes it for all of them.
    """
    count = 0
    for item in items:
        value = item if isinstance(item, dict) else asdict(item)
        click.echo(("," if count else "[") + "\n" + as_json(value), nl=False)
        count += 1
    click.echo("\n]" if count else "[]")
