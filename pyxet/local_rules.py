"""Rules for names of local files: which ones a platform refuses, which of them are the same file, and how they are escaped.

Repositories allow more: a branch may have ``aux``, ``a:b`` and ``notes.``, which are a device, a stream and the file
``notes`` on Windows, and both ``README`` and ``readme``, which are one file where a file system ignores case.
"""

from __future__ import annotations

import hashlib
import ntpath
import os
import re
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import PurePosixPath, PureWindowsPath
from typing import Final, Literal, TypeAlias

from pyxet._platform import GUARDED, longest_names
from pyxet.errors import LocalNameError

# For files whose names are not possible locally: raise an error before anything is written, or write an escaped name.
LocalNames: TypeAlias = Literal["refuse", "escape"]

# The platform whose rules apply, as named by `sys.platform`.
PLATFORM = sys.platform
_FORBIDDEN: Final = re.compile(r'[<>:"|?*\\\x00-\x1f]')
# Names of devices, also with blanks and with an extension behind them. Windows takes superscripts for digits, too.
_DEVICE: Final = re.compile(r"(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9¹²³]) *(?:\.|\Z)", re.IGNORECASE)
# A percent sign that looks like the beginning of an escape.
_LIKE_ESCAPED: Final = re.compile(r"%(?=[0-9A-Fa-f]{2})")
# A drive of Windows. It cannot be taken for an endpoint, which is never followed by a colon and a slash.
_DRIVE: Final = re.compile(r"[A-Za-z]:[/\\]")
# Hex digits of the digest that replaces the cut-off part of a long name.
_DIGEST: Final = 16


class LocalRules:
    """The rules for names in local folders.

    Parameters
    ----------
    names:
        What to do about impossible names: see `LocalNames`.
    hint:
        For messages: the option that asks for escaped names.
    way:
        For messages: another way to handle such a name; ``None`` for the option in ``hint``.

    Raises
    ------
    ValueError
        ``names`` is not one of these values.
    """

    def __init__(self, names: LocalNames = "refuse", *, hint: str = 'names="escape"', way: str | None = None) -> None:
        if names not in ("refuse", "escape"):
            raise ValueError(f"names={names!r}: expected 'refuse' or 'escape'")
        self._escapes = names == "escape"
        self._way = way or f"use {hint} to write it under another name"
        self._folders: dict[str, bool] = {}
        self._limits: dict[str, tuple[int, int]] = {}

    def targets(self, pairs: Sequence[tuple[str, str]]) -> list[str]:
        """The local paths to which files are written.

        Parameters
        ----------
        pairs:
            For each file, its name at the source and the local path that it should get, with slashes between its parts.
            Names of existing folders are not checked.

        Raises
        ------
        LocalNameError
            A path is impossible for a file or folder, or two paths would be the same file. With ``escape`` only if a whole
            path is too long.
        """
        places = [self._split(target) for _, target in pairs]
        result = [
            (there, self._possible(source, target, there, names))
            for (source, target), (there, names) in zip(pairs, places, strict=True)
        ]
        alike = _Alike(result)
        if alike.clashes:
            for at, ((source, target), (there, names)) in enumerate(zip(pairs, result, strict=True)):
                other = alike.other(there, names)
                if other is None:
                    continue
                if not self._escapes:
                    raise self._refused(source, target, f"{other} is the same file here, where case is ignored")
                result[at] = there, alike.escaped(there, names)
        return [_joined(there, names) for there, names in result]

    def _split(self, target: str) -> tuple[str, list[str]]:
        """The innermost existing folder above a path, and the names below it."""
        names: list[str] = []
        there = target
        while not _is_root(there) and not (names and self._is_folder(there)):
            above, slash, name = there.rpartition("/")
            if name:
                names.insert(0, name)
            if not slash:
                return "", names
            there = above or "/"
        return there, names

    def _is_folder(self, path: str) -> bool:
        known = self._folders.get(path)
        if known is None:
            known = self._folders[path] = os.path.isdir(path)
        return known

    def _possible(self, source: str, target: str, there: str, names: list[str]) -> list[str]:
        limits = self._limits.get(there)
        if limits is None:
            limits = self._limits[there] = longest_names(there or ".")
        longest, whole = limits
        found = []
        for name in names:
            why = problem(name, longest)
            if why is not None and not self._escapes:
                raise self._refused(source, target, why)
            found.append(escaped(name, longest) if self._escapes else name)
        if _size(there) + sum(_size(name) + 1 for name in found) >= whole:
            raise LocalNameError(f"{source} cannot be written to {target!a}: the path is too long here")
        return found

    def _refused(self, source: str, target: str, why: str) -> LocalNameError:
        return LocalNameError(
            f"{source} cannot be written to {target!a}: {why}; nothing was written. Rename it or leave it out, or "
            f"{self._way}"
        )


def problem(name: str, longest: int = 255) -> str | None:
    """The reason why a local file or folder cannot have a name; ``None`` if it can.

    Parameters
    ----------
    longest:
        Maximum length of a name in its folder, in the units of the platform.
    """
    if name in (".", ".."):
        return None
    if PLATFORM == "win32":
        if (found := _FORBIDDEN.search(name)) is not None:
            return f"Windows does not allow {found[0]!a} in names"
        if name.endswith((".", " ")):
            return "names cannot end with a dot or a space on Windows"
        if _DEVICE.match(name):
            return f"{name.partition('.')[0].rstrip()!a} is the name of a device on Windows"
    return "a name in it is too long here" if _size(name) > longest else None


def escaped(name: str, longest: int = 255) -> str:
    """A possible name in place of an impossible one: forbidden characters are percent-encoded as in URLs (``a%3Ab``).

    `urllib.parse.unquote` returns the original name, so two names never become one. In the middle of a name that is too
    long, a digest replaces what is cut off; the beginning and the extension stay.
    """
    name = _LIKE_ESCAPED.sub("%25", name)
    if PLATFORM == "win32":
        name = _FORBIDDEN.sub(lambda found: _quoted(found[0]), name)
        if name.endswith((".", " ")):
            name = name[:-1] + _quoted(name[-1])
        if _DEVICE.match(name):
            name = _quoted(name[0]) + name[1:]
    if _size(name) <= longest:
        return name
    end = os.path.splitext(name)[1]
    end = end if _size(end) <= longest // 4 else ""
    digest = f"~{hashlib.sha256(name.encode(errors='surrogatepass')).hexdigest()[:_DIGEST]}"
    start = name.removesuffix(end)
    while _size(start) + _size(digest) + _size(end) > longest:
        start = start[:-1]
    return start + digest + end


def is_local(path: str) -> bool:
    """Whether a path is certainly a local one: it begins with a drive, or like an absolute or relative path."""
    if _DRIVE.match(path) or path in ("", ".", "..") or path.startswith(("/", "~", "./", "../")):
        return True
    # On Windows a relative path may have a drive as well.
    return PLATFORM == "win32" and (path[1:2] == ":" or path.startswith(("\\", ".\\", "..\\")))


def of_file_url(path: str) -> str:
    """The local path from the part of a URL after ``file://``.

    On Windows there are several forms: ``/C:/x`` is ``C:/x``, with slashes or backslashes, and ``server/share`` is
    ``//server/share``.
    """
    if path.startswith("localhost/"):
        path = path.removeprefix("localhost")
    if PLATFORM != "win32":
        return path
    path = path.replace("\\", "/")
    if _DRIVE.match(path[1:]) and path[0] == "/":
        return path[1:]
    return path if path.startswith("/") or path[1:2] == ":" or not path else f"//{path}"


def file_url(path: str) -> str:
    """The URL of an absolute local path."""
    return (PureWindowsPath(path) if PLATFORM == "win32" and _has_drive(path) else PurePosixPath(path)).as_uri()


def is_absolute(path: str) -> bool:
    """Whether a local path does not depend on the current folder; on Windows, ``/x`` may still depend on the current drive."""
    return path.startswith("/") or (PLATFORM == "win32" and _has_drive(path))


def _has_drive(path: str) -> bool:
    """Whether a path is absolute on Windows and names its drive or share."""
    return PureWindowsPath(path).is_absolute()


def with_slashes(path: str) -> str:
    """A local path with slashes between its parts, in place of the backslashes of Windows.

    On Windows, a path that is relative to the current folder of a drive (``C:x``) becomes absolute.
    """
    if PLATFORM != "win32":
        return path
    if path[1:2] == ":" and path[2:3] not in ("/", "\\"):
        path = ntpath.abspath(path)
    return path.replace("\\", "/")


def case_rules(folder: str) -> tuple[bool, bool]:
    """Whether a folder's file system ignores case in names, and whether it ignores the Unicode normal form.

    This is tested with an empty file. If none can be made, the rules of the platform's usual file system are assumed.
    """
    name = f".xet-{os.urandom(8).hex()}-A\N{LATIN SMALL LETTER E WITH ACUTE}"
    path = os.path.join(folder or ".", name)
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | GUARDED, 0o600))
    except (OSError, UnicodeError):
        return PLATFORM in ("win32", "darwin"), PLATFORM == "darwin"
    try:
        others = (name.replace("-A", "-a"), unicodedata.normalize("NFD", name))
        case, form = (os.path.lexists(os.path.join(folder, other)) for other in others)
        return case, form
    finally:
        with suppress(OSError):
            os.unlink(path)


def restricts_names(folder: str) -> bool:
    """Whether some names in repositories are impossible in a folder, which need not exist yet."""
    if PLATFORM == "win32":
        return True
    there = os.path.abspath(folder)
    while not os.path.isdir(there) and os.path.dirname(there) != there:
        there = os.path.dirname(there)
    return any(case_rules(there))


class _Alike:
    """The paths among some that the file system would take for the same file or folder.

    Attributes
    ----------
    clashes:
        The different spellings of such paths, and of the folders above them, by their `_folded` form.
    """

    def __init__(self, places: Iterable[tuple[str, list[str]]]) -> None:
        self._case = self._form = True
        places = list(places)
        self.clashes = self._found(places)
        if self.clashes:
            # So far these are possible clashes. Check the rules of this file system: they differ even on one machine.
            self._case, self._form = case_rules(places[0][0])
            self.clashes = self._found(places) if self._case or self._form else {}

    def other(self, there: str, names: Sequence[str]) -> str | None:
        """A path that this path, or a folder above it, would be the same as; ``None`` if there is none."""
        for path in _paths(there, names):
            for spelling in self.clashes.get(self._folded(path), ()):
                if spelling != path:
                    return spelling
        return None

    def escaped(self, there: str, names: Sequence[str]) -> list[str]:
        """The names, with capital and non-ASCII letters percent-encoded where a path clashes."""
        paths = _paths(there, names)
        return [
            "".join(_quoted(letter) if letter != letter.lower() or not letter.isascii() else letter for letter in name)
            if self._folded(path) in self.clashes
            else name
            for path, name in zip(paths, names, strict=True)
        ]

    def _found(self, places: Iterable[tuple[str, list[str]]]) -> dict[str, set[str]]:
        # The first spelling of each folded path.
        seen: dict[str, str] = {}
        clashes: dict[str, set[str]] = {}
        for there, names in places:
            for path in _paths(there, names):
                key = self._folded(path)
                if (first := seen.setdefault(key, path)) != path:
                    clashes.setdefault(key, {first}).add(path)
        return clashes

    def _folded(self, path: str) -> str:
        if self._form and not path.isascii():
            path = unicodedata.normalize("NFC", path)
        return path.casefold() if self._case else path


def _joined(there: str, names: Sequence[str]) -> str:
    return "/".join((there.rstrip("/"), *names)) if there and names else there or "/".join(names)


def _paths(there: str, names: Sequence[str]) -> list[str]:
    return [_joined(there, names[: count + 1]) for count in range(len(names))]


def _quoted(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode(errors="surrogatepass"))


def _size(name: str) -> int:
    """Length of a name in the units of the platform's limits: UTF-16 units on Windows, else bytes."""
    if PLATFORM == "win32":
        return len(name.encode("utf-16-le", errors="surrogatepass")) // 2
    return len(name) if name.isascii() else len(os.fsencode(name))


def _is_root(path: str) -> bool:
    """Whether a path is a root: ``/`` or, on Windows, a drive or a share."""
    return path == "/" or (PLATFORM == "win32" and re.match(r"(?:[A-Za-z]:|//[^/]*(?:/[^/]*)?)\Z", path) is not None)
