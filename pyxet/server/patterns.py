"""Patterns of ``.gitignore`` and ``.gitattributes`` (gitignore(5), gitattributes(5))."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

_PART = re.compile(
    r"\\(?P<escaped>.)|\[(?P<negated>[!^]?)(?P<set>\]?[^\]]*)\]|(?P<stars>\*+)|(?P<any>\?)|(?P<plain>.)", re.S
)
# Long patterns of stars would take a foreign regular expression for ever.
_MAX_PATTERN: Final = 500


class Ignored:
    """The rules of a ``.gitignore``: the last pattern that matches decides, ``!`` takes a file back."""

    def __init__(self, text: str) -> None:
        self._rules = []
        for line in text.splitlines():
            pattern = line.rstrip() if not line.endswith("\\ ") else line
            if pattern and not pattern.startswith("#"):
                negated = pattern.startswith("!")
                self._rules.append((_compiled(pattern[negated:], True), negated))

    def __contains__(self, path: str) -> bool:
        """Whether a file is ignored; nothing below an ignored folder can be taken back."""
        parts = path.split("/")
        return any(self._decides("/".join(parts[: end + 1]), end < len(parts) - 1) for end in range(len(parts)))

    def _decides(self, path: str, is_folder: bool) -> bool:
        subject = f"{path}/" if is_folder else path
        return next((not negated for rule, negated in reversed(self._rules) if rule.match(subject)), False)


class LfsRules:
    """What a ``.gitattributes`` says of ``filter=lfs``; the last line that matches and speaks of a filter decides."""

    def __init__(self, text: str) -> None:
        self._rules = []
        for line in text.splitlines():
            pattern, *settings = line.split()[:50] or [""]
            said = next((s for s in reversed(settings) if s.lstrip("-!").partition("=")[0] == "filter"), None)
            if pattern and not pattern.startswith("#") and said is not None:
                self._rules.append((_compiled(pattern, False), said == "filter=lfs"))

    def lfs(self, path: str) -> bool | None:
        """Whether a file is LFS, or ``None`` where nothing is said."""
        return next((lfs for rule, lfs in reversed(self._rules) if rule.match(path)), None)


@lru_cache(maxsize=1000)
def _compiled(pattern: str, folders: bool) -> re.Pattern[str]:
    """A pattern as a regular expression for whole paths; those of folders end in a slash if ``folders``."""
    if len(pattern) > _MAX_PATTERN or pattern.count("*") > 30:
        return re.compile(r"(?!)")
    only_folders = pattern.endswith("/")
    core = pattern.rstrip("/")
    anchored = "/" in core
    core = core.lstrip("/")
    text = "".join(_translated(core)) if anchored else "(?:.*/)?" + "".join(_translated(core))
    ending = "/" if only_folders else "/?"
    try:
        return re.compile(text + (ending if folders else "" if not only_folders else "(?!)") + r"\Z", re.S)
    except re.error:
        return re.compile(r"(?!)")


def _translated(pattern: str) -> Iterator[str]:
    at = 0
    while at < len(pattern):
        if pattern.startswith("**/", at) and (at == 0 or pattern[at - 1] == "/"):
            yield "(?:.*/)?"
            at += 3
            continue
        if pattern[at:] == "**" and at and pattern[at - 1] == "/":
            yield ".+"
            return
        match = _PART.match(pattern, at)
        assert match is not None, "the last alternative takes any character"
        at = match.end()
        if match["stars"]:
            yield "[^/]*"
        elif match["any"]:
            yield "[^/]"
        elif match["set"]:
            inside = match["set"].replace("\\", "\\\\").replace("[", "\\[")
            yield f"(?!/)[{'^' if match['negated'] else ''}{inside}]"
        else:
            yield re.escape(match["escaped"] or match[0])
