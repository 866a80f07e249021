"""Patterns: which names could be some, what `glob.escape` made of names, and which files patterns choose."""

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
    """The name that `glob.escape` made this pattern of; ``None`` if it is another pattern, or none."""
    if not _ESCAPED.search(pattern) or has_magic(_ESCAPED.sub("", pattern)):
        return None
    return _ESCAPED.sub(r"\1", pattern)


def chooser(include: Sequence[str] | str | None, exclude: Sequence[str] | str | None) -> Callable[[str], bool]:
    """Whether a name is to be transferred: one of ``include`` matches, if there are any, and none of ``exclude``.

    A pattern without a slash matches any part of a name, so that it may name a folder; one with a slash matches a whole
    name, or the path of a folder that it lies in.
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
