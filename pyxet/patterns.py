"""Patterns: recognizing them, undoing `glob.escape`, and choosing files by ``include`` and ``exclude``."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from typing import Final

MAGIC: Final = re.compile(r"[*?[]")
_ESCAPED: Final = re.compile(r"\[([*?[])\]")


def has_magic(name: str) -> bool:
    """Whether a name could be a pattern."""
    return MAGIC.search(name) is not None


def unescaped(pattern: str) -> str | None:
    """The name for which `glob.escape` returned this pattern; ``None`` if the pattern is not an escaped name."""
    if not _ESCAPED.search(pattern) or has_magic(_ESCAPED.sub("", pattern)):
        return None
    return _ESCAPED.sub(r"\1", pattern)


def chooser(include: Sequence[str] | str | None, exclude: Sequence[str] | str | None) -> Callable[[str], bool]:
    """A function that returns whether to transfer a file: ``include`` matches its name, if given, and ``exclude`` does not.

    A pattern without a slash matches any part of the name, so it may match a folder. A pattern with a slash matches the
    whole name, or the path of a folder that contains the file.
    """
    wanted, unwanted = _patterns(include), _patterns(exclude)

    def chosen(name: str) -> bool:
        return (not wanted or _matches(name, wanted)) and not _matches(name, unwanted)

    return chosen


def _patterns(given: Sequence[str] | str | None) -> Sequence[str]:
    return [given] if isinstance(given, str) else given or ()


def _matches(name: str, patterns: Sequence[str]) -> bool:
    parts = name.split("/")
    paths = ["/".join(parts[: count + 1]) for count in range(len(parts))]
    for pattern in patterns:
        wanted = pattern.strip("/")
        if any(fnmatchcase(found, wanted) for found in (paths if "/" in wanted else parts)):
            return True
    return False
