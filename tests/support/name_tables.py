"""The names in the tables of pages for those who come from elsewhere: what they call, and with which options."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable
from pathlib import Path


def names(page: Path, *headings: str) -> list[str]:
    """What stands in backquotes in the columns of a page's tables that have these headings."""
    found, columns = [], list[int]()
    inside = False
    for line in page.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")] if line.startswith("|") else []
        if cells and not inside:
            columns = [at for at, cell in enumerate(cells) if cell in headings]
        elif cells:
            found += [name for at in columns for name in re.findall(r"`([^`]+)`", cells[at] if at < len(cells) else "")]
        inside = bool(cells)
    return found


def calls(told: Iterable[str]) -> set[str]:
    """Functions, methods and classes: ``a_name``, ``AName``, with or without what is given to them; no variables."""
    found = (re.match(r"(?![A-Z_]+$)([A-Za-z_]\w{3,})(?=$|\()", name) for name in told)
    return {match[1] for match in found if match}


def attributes(told: Iterable[str], owner: str) -> set[str]:
    """The ``name`` of each ``owner.name``."""
    found = (re.match(rf"{owner}\.(\w+)", name) for name in told)
    return {match[1] for match in found if match}


def options(told: Iterable[str]) -> set[str]:
    """The ``name`` of each ``name=``."""
    return {option for name in told for option in re.findall(r"(\w+)=", name)}


def parameters(*owners: Callable[..., object]) -> set[str]:
    """Those of all public methods, and of the classes or functions themselves."""
    # A class whose instances are kept has a call that tells nothing, so its constructor counts as well.
    members = [member for owner in owners for member in inspect.getmembers(owner, callable)]
    found = [*owners, *(call for name, call in members if name[0] != "_" or name == "__init__")]
    return {name for call in found for name in inspect.signature(call).parameters}
