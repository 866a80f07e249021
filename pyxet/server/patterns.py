"""The rules of ``.gitignore`` and ``.gitattributes`` (gitignore(5), gitattributes(5)), read as git reads them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, TypeAlias

from pyxet.errors import BadRequestError
from pyxet.server.wildmatch import MAX_PATTERN, Pattern

# Larger files of rules are ignored; git has such a limit, too.
MAX_RULES: Final = 1024 * 1024
# Steps of matching that one request may cost, some seconds of a worker. Usual rules and files take a thousandth of it.
_MAX_STEPS: Final = 300_000_000
_BLANK: Final = b" \t\r\n"
_ATTRIBUTE = re.compile(rb"(?P<sign>[-!]?)(?P<name>[A-Za-z0-9_.][-A-Za-z0-9_.]*)(?:=(?P<value>.*))?\Z", re.S)
_ESCAPE = re.compile(rb"\\(?:(?P<octal>[0-3][0-7]{2})|(?P<letter>[abfnrtv\\\"]))")
_LETTERS: Final = {b"a": b"\a", b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}
# A quoted pattern. If it contains an unknown escape, its quotation marks are ordinary characters.
_QUOTED = re.compile(rb'"(?P<inside>(?:[^"\\]|\\(?:[0-3][0-7]{2}|[abfnrtv\\"]))*+)"', re.S)
_MACRO: Final = b"[attr]"

# What an attribute is set to: a value, or true, false, or unspecified (``None``).
Value: TypeAlias = bytes | bool | None
Settings: TypeAlias = list[tuple[bytes, Value]]


class Ignored:
    """The rules of a ``.gitignore``: the last pattern that matches decides, ``!`` takes a file back."""

    def __init__(self, text: bytes) -> None:
        self._work = _Work()
        self._rules: list[tuple[Pattern, bool]] = []
        self._folders: dict[bytes, bool] = {}
        for line in _lines(text):
            if line.startswith(b"#"):
                continue
            pattern = _without_trailing_spaces(line.removesuffix(b"\r"))
            negated = pattern.startswith(b"!")
            if pattern[negated:]:
                self._rules.append((Pattern(pattern[negated:]), negated))

    def __contains__(self, path: str) -> bool:
        """Whether a file is ignored; nothing below an ignored folder can be taken back."""
        if not self._rules:
            return False
        whole = _encoded(path)
        ends = [match.start() for match in re.finditer(b"/", whole)]
        return any(self._folder(whole[:end]) for end in ends) or self._decides(whole, False)

    def _folder(self, path: bytes) -> bool:
        if path not in self._folders:
            self._folders[path] = self._decides(path, True)
        return self._folders[path]

    def _decides(self, path: bytes, is_folder: bool) -> bool:
        for pattern, negated in reversed(self._rules):
            self._work.note(pattern, path)
            if (is_folder or not pattern.folders_only) and pattern.matches(path):
                return not negated
        return False


class LfsRules:
    """What a ``.gitattributes`` says of ``filter=lfs``; the last line that matches and speaks of a filter decides."""

    def __init__(self, text: bytes) -> None:
        self._work = _Work()
        self._rules: list[tuple[Pattern, Settings]] = []
        # Numbers of rules: most of them are about an extension, and no name has two.
        self._by_extension: dict[bytes, list[int]] = {}
        self._others: list[int] = []
        self._macros: dict[bytes, Settings] = {b"binary": [(b"diff", False), (b"merge", False), (b"text", False)]}
        for line in _lines(text):
            # Longer ones are ignored by git, too.
            line = line.lstrip(_BLANK)
            if not line or line.startswith(b"#") or len(line) > MAX_PATTERN:
                continue
            name, rest = _name(line)
            settings = _settings(rest)
            if settings is None:
                continue
            if name.startswith(_MACRO) and len(name) > len(_MACRO):
                self._macros[name.removeprefix(_MACRO)] = settings
            elif not name.startswith(b"!"):
                self._add(Pattern(name), settings)

    def _add(self, pattern: Pattern, settings: Settings) -> None:
        if pattern.folders_only:
            return
        number = len(self._rules)
        self._rules.append((pattern, settings))
        if pattern.extension is None:
            self._others.append(number)
        else:
            self._by_extension.setdefault(pattern.extension, []).append(number)

    def lfs(self, path: str) -> bool | None:
        """Whether a file is LFS, or ``None`` if no rule says so."""
        whole = _encoded(path)
        known: dict[bytes, Value] = {}
        name = whole[whole.rfind(b"/") + 1 :]
        extension = name[name.rfind(b".") :] if b"." in name else b""
        for number in sorted([*self._by_extension.get(extension, ()), *self._others], reverse=True):
            pattern, settings = self._rules[number]
            self._work.note(pattern, whole)
            if pattern.matches(whole):
                self._fill(known, settings)
                if b"filter" in known:
                    value = known[b"filter"]
                    return None if value is None else value == b"lfs"
        return None

    def _fill(self, known: dict[bytes, Value], settings: Settings) -> None:
        """Note what a line sets, the last word first; an attribute that is a macro brings others with it."""
        waiting = list(settings)
        while waiting:
            name, value = waiting.pop()
            if name not in known:
                known[name] = value
                if value is True:
                    waiting += self._macros.get(name, [])


class _Work:
    """A bound for what the rules of one request may cost."""

    def __init__(self) -> None:
        self._steps = 0

    def note(self, pattern: Pattern, path: bytes) -> None:
        self._steps += pattern.cost(path)
        if self._steps > _MAX_STEPS:
            raise BadRequestError(
                "the patterns of .gitattributes or .gitignore are too many for this number of long paths; ask for fewer files at once",
                status=400,
            )


def _lines(text: bytes) -> Iterator[bytes]:
    if len(text) <= MAX_RULES:
        yield from text.removeprefix(b"\xef\xbb\xbf").split(b"\n")


def _encoded(path: str) -> bytes:
    return path.encode(errors="surrogatepass")


def _without_trailing_spaces(line: bytes) -> bytes:
    """Spaces at the end do not count unless a backslash is before them."""
    stripped = line.rstrip(b" ")
    slashes = len(stripped) - len(stripped.rstrip(b"\\"))
    return stripped + b" " if slashes % 2 and len(stripped) < len(line) else stripped


def _name(line: bytes) -> tuple[bytes, bytes]:
    """The pattern of a line and what follows it. A pattern in quotes may hold blanks and escapes."""
    quoted = _QUOTED.match(line)
    if quoted:
        return _ESCAPE.sub(_unescaped, quoted["inside"]), line[quoted.end() :]
    name = re.split(rb"[ \t\r\n]", line, maxsplit=1)
    return name[0], name[1] if len(name) > 1 else b""


def _unescaped(match: re.Match[bytes]) -> bytes:
    if match["octal"]:
        return bytes([int(match["octal"], 8)])
    return _LETTERS.get(match["letter"], match["letter"])


def _settings(text: bytes) -> Settings | None:
    """What a line says of attributes; ``None`` if one of them has no valid name, which makes git ignore the line."""
    found: Settings = []
    for word in re.findall(rb"[^ \t\r\n]+", text):
        match = _ATTRIBUTE.match(word)
        if match is None:
            return None
        sign, value = match["sign"], match["value"]
        found.append((match["name"], {b"-": False, b"!": None}.get(sign, True if value is None else value)))
    return found
