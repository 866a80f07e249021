"""What parameters mean that many public calls share, said once; docstrings are completed with it when functions are made.

A docstring in the source tells what is special about its function. What a reader of ``help`` or of the documentation
gets also has the parameters that mean the same everywhere, in the order of the signature.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable
from typing import Any, Final

_SHARED: Final = {
    "path": "``owner/repo/branch/path``, or a URL that ends so.",
    "path1": "What to copy or move: names, or patterns where there is nothing of the name.",
    "path2": "Where to. What ends with a slash, or is a folder, is what it goes into.",
    "rpath": "``owner/repo/branch/path``, or a URL that ends so.",
    "lpath": "Path of a local file or folder, or a binary file object where it is one file.",
    "paths": "A list of ``owner/repo/branch/path``.",
    "recursive": "Also what is inside of folders.",
    "maxdepth": "How many folders deep to go; ``None`` for all.",
    "batch_size": "For fsspec's sake; it changes nothing, as `Limits` bound what is in flight.",
    "callback": "An `fsspec.callbacks.Callback` that is told how far it is.",
    "progress": "Show a bar, on a terminal or in a notebook, and a line at the end.",
    "mode": "``overwrite``, or ``create`` to raise where a file exists.",
    "message": "Commit message; one that tells the paths if ``None``. In a transaction it is used if that has none of its own.",
    "pull_request": "Open a pull request for the branch instead of committing to it.",
    "parent_commit": "A full commit id: a change to one of the paths since is a conflict.",
    "if_match": '``info(path)["blob_id"]`` of the version to replace, or a mapping of paths to those: another version is a conflict.',
    "assume_literal": "No path is a pattern, also if there is nothing of the name.",
    "start": "Position of the first byte; a negative one counts from the end of the file.",
    "end": "Position behind the last byte; a negative one counts from the end of the file.",
    "refresh": "Look at the branch again, however recently it was looked at.",
    "detail": "Give dictionaries of what is known, rather than names.",
    "expand": "Also tell ``last_modified`` of each entry, for which the endpoint has to look through the history.",
    "withdirs": "Include folders.",
    "repo": "Path of the repository: ``acme/titanic``, ``datasets/acme/titanic``.",
    "name": "Name of the branch or tag.",
    "exist_ok": "Whether it may be there already.",
    "private": "Whether only those see it who have rights in it; ``None`` for what the endpoint does by itself.",
    "destination": "Path of the other repository.",
    "compression": "Name of a codec, or ``infer`` from the path.",
    "exclude": "Patterns of local names that are left out.",
    "include": "Patterns of local names; others are left out.",
    "follow_links": "Whether what local links lead to is uploaded.",
    "on_error": "``raise``, ``omit`` the path, or ``return`` the error in its place.",
    "create_parents": "For fsspec's sake; folders are made by the files in them.",
    "value": "Bytes, or any other contiguous buffer, such as a numpy array.",
    "include_password": "Whether the token is in it.",
}
_FAILS: Final = (
    "XetError",
    "The endpoint refuses it, or fails after retries; its classes are those of `pyxet.errors`.",
)
_SECTION: Final = re.compile(r"^(?P<title>[A-Z][A-Za-z ]+)\n-{3,}$", re.MULTILINE)


def completed(function: Callable[..., Any], told: str | None = None) -> str | None:
    """A function's docstring with all of its parameters, and for coroutines with what any request can raise.

    Parameters
    ----------
    function:
        A public function or method.
    told:
        Its docstring, if not its own.

    Returns
    -------
    str or None
        The docstring without indentation; ``None`` if there is none.
    """
    text = inspect.getdoc(function) if told is None else inspect.cleandoc(told)
    if text is None:
        return None
    sections = _sections(text)
    names = [name for name in _parameters(function) if name not in ("self", "cls")]
    entries = _entries(sections.get("Parameters", ""))
    there = {name for described in entries for name in described}
    entries |= {(name,): _indented(_SHARED[name]) for name in names if name in _SHARED and name not in there}
    if entries:
        order = {name: at for at, name in enumerate(names)}
        ordered = sorted(entries.items(), key=lambda item: order.get(item[0][0], len(order)))
        parameters = "\n".join(f"{', '.join(described)}:\n{words}" for described, words in ordered)
        sections = _with(sections, "Parameters", parameters, before=("Returns", "Yields", "Raises", "Examples"))
    if inspect.iscoroutinefunction(function) and _FAILS[0] not in sections.get("Raises", ""):
        raised = sections.get("Raises", "")
        fails = f"{_FAILS[0]}\n{_indented(_FAILS[1])}"
        sections = _with(sections, "Raises", f"{raised}\n{fails}".strip("\n"), before=("Examples",))
    return "\n\n".join(f"{title}\n{'-' * len(title)}\n{body}" if title else body for title, body in sections.items())


def _parameters(function: Callable[..., Any]) -> list[str]:
    """Names as in the signature, which takes five times as long to make: this is done for each public name at import."""
    code = inspect.unwrap(function).__code__
    positional, names = code.co_argcount, list(code.co_varnames)
    keywords = positional + code.co_kwonlyargcount
    gathers = keywords + bool(code.co_flags & inspect.CO_VARARGS)
    rest = names[gathers : gathers + bool(code.co_flags & inspect.CO_VARKEYWORDS)]
    return [*names[:positional], *names[keywords:gathers], *names[positional:keywords], *rest]


def _sections(text: str) -> dict[str, str]:
    """The parts of a docstring by title; what comes before the first title has none."""
    parts = _SECTION.split(text)
    return {"": parts[0].strip("\n")} | {
        title: body.strip("\n") for title, body in zip(parts[1::2], parts[2::2], strict=True)
    }


def _entries(section: str) -> dict[tuple[str, ...], str]:
    """What a section says of names: those of each entry, and its words as they stand there."""
    found: dict[tuple[str, ...], list[str]] = {}
    words: list[str] = []
    for line in section.splitlines():
        if line and not line[0].isspace():
            words = found.setdefault(tuple(name.strip() for name in line.rstrip(": ").split(",")), [])
        else:
            words.append(line)
    return {names: "\n".join(lines).rstrip() for names, lines in found.items()}


def _with(sections: dict[str, str], title: str, body: str, before: Iterable[str]) -> dict[str, str]:
    """The sections with one more, or another one of its title, which stands before some others."""
    if title in sections:
        return sections | {title: body}
    rest = {name: text for name, text in sections.items() if name in before}
    return {name: text for name, text in sections.items() if name not in rest} | {title: body} | rest


def _indented(words: str) -> str:
    return f"    {words}"
