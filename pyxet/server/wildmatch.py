"""git's patterns for paths as regular expressions that take linear time, whatever the pattern.

A pattern is split at its stars. The first place where the part between two stars matches is as good as any later one,
because everything else in a pattern has a fixed length; so each part is matched in an atomic group, which is never tried
again once it has matched. Matching takes at most the length of the path times that of the pattern. Bytes are
matched, as git does.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final

# Patterns beyond this are ignored; git does the same with lines of ``.gitattributes``.
MAX_PATTERN: Final = 2048
_SPECIAL = re.compile(rb"[*?\[\\]")
# What calling the function costs, and making a regular expression for each character, in steps of one.
_STEPS_OF_A_CALL: Final = 20
_STEPS_OF_COMPILING: Final = 1000
_NEVER: Final = rb"(?!)"
_CLASSES: Final[dict[bytes, Callable[[int], bool]]] = {
    b"alnum": lambda c: chr(c).isalnum(),
    b"alpha": lambda c: chr(c).isalpha(),
    b"blank": lambda c: c in b" \t",
    b"cntrl": lambda c: c < 32 or c == 127,
    b"digit": lambda c: chr(c).isdigit(),
    b"graph": lambda c: 32 < c < 127,
    b"lower": lambda c: chr(c).islower(),
    b"print": lambda c: 32 <= c < 127,
    b"punct": lambda c: 32 < c < 127 and not chr(c).isalnum(),
    b"space": lambda c: c in b" \t\n\v\f\r",
    b"upper": lambda c: chr(c).isupper(),
    b"xdigit": lambda c: c in b"0123456789abcdefABCDEF",
}


class Pattern:
    """A pattern of ``.gitignore`` or ``.gitattributes``, without the ``!`` before it.

    Attributes
    ----------
    folders_only:
        It ends in a slash.
    """

    __slots__ = ("_compiled", "_core", "_end", "_whole_path", "folders_only")

    def __init__(self, text: bytes) -> None:
        self.folders_only = text.endswith(b"/")
        core = text[:-1] if self.folders_only else text
        self._whole_path = b"/" in core
        self._core = core.removeprefix(b"/") if self._whole_path else core
        # Most patterns are a name, or the end of one.
        plain = core.removeprefix(b"*")
        self._end = plain if not self._whole_path and not _SPECIAL.search(plain) else None
        self._compiled: re.Pattern[bytes] | None = None

    @property
    def extension(self) -> bytes | None:
        """``.bin`` for ``*.bin``: the extension that a matching name has from its last dot on. ``None`` for other patterns."""
        end = self._end
        return end if end and self._core != end and end.startswith(b".") and end.count(b".") == 1 else None

    def matches(self, path: bytes) -> bool:
        """Whether it matches a path, or for a pattern without slashes the path's name."""
        subject = path if self._whole_path else path[path.rfind(b"/") + 1 :]
        if self._end is not None:
            return subject.endswith(self._end) if self._core != self._end else subject == self._end
        if self._compiled is None:
            self._compiled = _compiled(self._core)
        return self._compiled.match(subject) is not None

    def cost(self, path: bytes) -> int:
        """About how many steps `matches` takes at most for a path."""
        if self._end is not None:
            return _STEPS_OF_A_CALL
        compiling = _STEPS_OF_COMPILING * len(self._core) if self._compiled is None else 0
        return compiling + _STEPS_OF_A_CALL + len(path) * (len(self._core) if self._core.count(b"*") > 1 else 1)


@lru_cache(maxsize=1000)
def _compiled(pattern: bytes) -> re.Pattern[bytes]:
    return re.compile(_NEVER if len(pattern) > MAX_PATTERN else _translated(pattern), re.S)


def _translated(pattern: bytes) -> bytes:
    special = _SPECIAL.search(pattern)
    at = start = special.start() if special else len(pattern)
    out = [re.escape(pattern[:start])]
    # What is between stars, in this folder of the pattern.
    parts = [b""]
    in_group = False
    while at < len(pattern):
        found = pattern[at : at + 1]
        if found == b"*":
            stars = at
            while pattern[at : at + 1] == b"*":
                at += 1
            # git compares what is before the first special character beforehand, so a ``**`` there is always the start.
            if at - stars > 1 and (stars == start or pattern[stars - 1 : stars] == b"/"):
                if at == len(pattern):
                    out.append(rb".*")
                    break
                slash = 1 if pattern[at : at + 1] == b"/" else 2 if pattern[at : at + 2] == rb"\/" else 0
                if slash:
                    # Some folders, or none; then what follows, at the first place that fits.
                    out.append(
                        (b")" if in_group else b"") + (rb"(?>(?:[^/]*/)*?" if slash == 1 else rb"(?>(?:[^/]*/)+?")
                    )
                    in_group = True
                    at += slash
                    continue
            parts.append(b"")
        elif found == b"/" or pattern[at : at + 2] == rb"\/":
            out.append(_folder(parts, b"/"))
            parts = [b""]
            at += 1 if found == b"/" else 2
        elif found == b"\\":
            if at + 1 == len(pattern):
                return _NEVER
            parts[-1] += re.escape(pattern[at + 1 : at + 2])
            at += 2
        elif found == b"?":
            parts[-1] += rb"[^/]"
            at += 1
        elif found == b"[":
            members, at = _set(pattern, at + 1)
            if members is None:
                return _NEVER
            parts[-1] += (
                b"[" + b"".join(b"\\x%02x" % member for member in sorted(members)) + b"]" if members else _NEVER
            )
        else:
            parts[-1] += re.escape(found)
            at += 1
    else:
        out.append(_folder(parts, b""))
    return b"".join(out) + rb"\Z" + (b")" if in_group else b"")


def _folder(parts: list[bytes], end: bytes) -> bytes:
    """The name of a folder or file: its parts with stars between them. The last part stands at the end."""
    first, *others = parts
    if not others:
        return first + end
    closing = end or rb"\Z"
    return (
        b"(?>"
        + first
        + b"".join(rb"(?>[^/]*?" + part + b")" for part in others[:-1])
        + rb"[^/]*"
        + others[-1]
        + closing
        + b")"
    )


def _set(pattern: bytes, at: int) -> tuple[frozenset[int] | None, int]:
    r"""The bytes of a set that begins behind its bracket, and where it ends; ``None`` for one that does not end.

    This follows git step by step, as its sets have corners: ``[]-a]``, ``[a-]``, ``[[:digit:]-]``, ``[\]]``.
    """
    negated = pattern[at : at + 1] in (b"!", b"^")
    at += negated
    members: set[int] = set()
    before = 0
    first = True
    while first or pattern[at : at + 1] != b"]":
        first = False
        if at >= len(pattern):
            return None, at
        char = pattern[at]
        if char == ord("\\"):
            at += 1
            if at >= len(pattern):
                return None, at
            char = pattern[at]
            members.add(char)
        elif char == ord("-") and before and pattern[at + 1 : at + 2] not in (b"", b"]"):
            at += 1
            at += pattern[at] == ord("\\")
            if at >= len(pattern):
                return None, at
            members.update(range(before, pattern[at] + 1))
            char = 0
        elif char == ord("[") and pattern[at + 1 : at + 2] == b":":
            end = pattern.find(b"]", at + 2)
            if end < 0:
                return None, at
            if end > at + 2 and pattern[end - 1] == ord(":"):
                belongs = _CLASSES.get(pattern[at + 2 : end - 1])
                if belongs is None:
                    return None, at
                members.update(char for char in range(128) if belongs(char))
                at, char = end, 0
            else:
                members.add(char)
        else:
            members.add(char)
        before = char
        at += 1
    return frozenset(set(range(1, 256)) - members if negated else members) - {0, ord("/")}, at + 1
