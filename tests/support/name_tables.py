"""The names in tables of pages for users of other libraries: functions, and their options."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable
from pathlib import Path


def names(page: Path, *headings: str) -> list[str]:
    """The texts in backquotes in columns with these headings, in all tables of a page."""
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
    """The functions, methods and classes among the texts: ``a_name``, ``AName``, with or without arguments; no variables."""
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
    """The parameters of classes or functions, and of all their public methods."""
    # The signature of a class that caches its instances has no parameters, so that of the constructor is added.
    members = [member for owner in owners for member in inspect.getmembers(owner, callable)]
    found = [*owners, *(call for name, call in members if name[0] != "_" or name == "__init__")]
    return {name for call in found for name in inspect.signature(call).parameters}
