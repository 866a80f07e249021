"""Descriptions of the parameters that many public calls share. They are added to docstrings when functions are defined.

A docstring in the source describes only what is special about its function. In ``help`` and in the documentation it
also has the parameters that mean the same everywhere, in the order of the signature.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable
from typing import Any, Final

_SHARED: Final = {
    "path": "``owner/repo/branch/path``, or the ``xet://`` URL of that path.",
    "path1": "The paths to copy or move. A pattern is expanded unless a file or folder has exactly that name.",
    "path2": "The target. If it ends with a slash or is a folder, files are copied or moved into it.",
    "rpath": "``owner/repo/branch/path``, or the ``xet://`` URL of that path.",
    "lpath": "Path of a local file or folder, or a binary file object for a single file.",
    "paths": "A list of ``owner/repo/branch/path``.",
    "recursive": "Include the content of folders.",
    "maxdepth": "How many levels of folders to descend; ``None`` for all.",
    "batch_size": "Accepted for compatibility with fsspec; it has no effect, as `Limits` bound what is in flight.",
    "callback": "An `fsspec.callbacks.Callback` that receives the progress.",
    "progress": "Show a bar, on a terminal or in a notebook, and a line at the end.",
    "mode": "``overwrite``, or ``create`` to raise an error if a file exists.",
    "message": "Commit message; ``None`` for one that lists the paths. A transaction's own message takes precedence.",
    "pull_request": "Open a pull request for the branch instead of committing to it.",
    "parent_commit": "A full commit id. If one of the paths has changed since that commit, `EditConflictError` is raised.",
    "if_match": '``info(path)["blob_id"]`` of the version to replace, or a mapping of paths to such ids. If a file has another '
    "version, `EditConflictError` is raised.",
    "assume_literal": "Treat no path as a pattern, even if nothing has that name.",
    "start": "Position of the first byte; a negative one counts from the end of the file.",
    "end": "Position after the last byte; a negative one counts from the end of the file.",
    "refresh": "Ask the endpoint for the head of the branch, even if it was requested recently.",
    "detail": "Return dictionaries with what is known of each entry, instead of names.",
    "expand": "Include ``last_modified`` of each entry, for which the endpoint has to search the history.",
    "withdirs": "Include folders.",
    "repo": "Path of the repository: ``acme/titanic``, ``datasets/acme/titanic``.",
    "name": "Name of the branch or tag.",
    "exist_ok": "Whether it may exist already.",
    "private": "Whether it is visible only to users with rights in it; ``None`` for the endpoint's default.",
    "destination": "Path of the new repository.",
    "compression": "Name of a codec, or ``infer`` from the path.",
    "exclude": "Patterns of the local names to leave out.",
    "include": "Patterns of the local names to upload; all others are left out.",
    "follow_links": "Whether to upload the content of folders that local links lead to.",
    "on_error": "``raise`` the error, ``omit`` the path, or ``return`` the error in its place.",
    "create_parents": "Accepted for compatibility with fsspec; a folder exists as soon as a file is in it.",
    "value": "Bytes, or any other contiguous buffer, such as a numpy array.",
    "include_password": "Whether to include the token.",
}
_FAILS: Final = (
    "XetError",
    "The endpoint refuses the request, or fails after retries; see the subclasses in `pyxet.errors`.",
)
_SECTION: Final = re.compile(r"^(?P<title>[A-Z][A-Za-z ]+)\n-{3,}$", re.MULTILINE)


def completed(function: Callable[..., Any], told: str | None = None) -> str | None:
    """A function's docstring with all of its parameters, and for coroutines with the error that any request can raise.

    Parameters
    ----------
    function:
        A public function or method.
    told:
        A docstring to use instead of the function's own.

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
    """Parameter names in the order of the signature, for each public name at import; `inspect.signature` is 5 times slower."""
    code = inspect.unwrap(function).__code__
    positional, names = code.co_argcount, list(code.co_varnames)
    keywords = positional + code.co_kwonlyargcount
    gathers = keywords + bool(code.co_flags & inspect.CO_VARARGS)
    rest = names[gathers : gathers + bool(code.co_flags & inspect.CO_VARKEYWORDS)]
    return [*names[:positional], *names[keywords:gathers], *names[positional:keywords], *rest]


def _sections(text: str) -> dict[str, str]:
    """The sections of a docstring by title; the text before the first title has the title ``""``."""
    parts = _SECTION.split(text)
    return {"": parts[0].strip("\n")} | {
        title: body.strip("\n") for title, body in zip(parts[1::2], parts[2::2], strict=True)
    }


def _entries(section: str) -> dict[tuple[str, ...], str]:
    """The entries of a section: the names that each one describes, and its text, unchanged."""
    found: dict[tuple[str, ...], list[str]] = {}
    words: list[str] = []
    for line in section.splitlines():
        if line and not line[0].isspace():
            words = found.setdefault(tuple(name.strip() for name in line.rstrip(": ").split(",")), [])
        else:
            words.append(line)
    return {names: "\n".join(lines).rstrip() for names, lines in found.items()}


def _with(sections: dict[str, str], title: str, body: str, before: Iterable[str]) -> dict[str, str]:
    """The sections with one replaced, or with a new one inserted in front of those titled ``before``."""
    if title in sections:
        return sections | {title: body}
    rest = {name: text for name, text in sections.items() if name in before}
    return {name: text for name, text in sections.items() if name not in rest} | {title: body} | rest


def _indented(words: str) -> str:
    return f"    {words}"
