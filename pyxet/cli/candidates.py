"""Candidates for the completion of arguments: local names, then repositories, branches and paths in them.

The functions that take a context are ``shell_complete`` callbacks of `click` arguments. No function raises an error: if the
endpoint fails, or does not answer in time, there are no candidates from it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from pyxet import Info, XetFS

Level: TypeAlias = Literal["owner", "repo", "path"]
Complete: TypeAlias = "Callable[[click.Context, click.Parameter, str], list[CompletionItem]]"

# How shells treat a candidate. FINAL: a complete name, which may need quotes. OPEN: a folder, after which the user goes on
# typing, so no blank is added. LOCAL: a placeholder for local files, which the shell lists itself if it can.
FINAL: Final = "path"
OPEN: Final = "open"
LOCAL: Final = "local"

# The time-out of each request for candidates, in seconds, as a user waits for the answer.
_PATIENCE: Final = 5.0
_DEPTHS: Final = {"root": 0, "owner": 1, "repo": 2, "branch": 3, "path": 4}
_KINDS: Final = ("datasets", "kernels", "models", "spaces")


def remote_path(context: click.Context, _: click.Parameter, text: str) -> list[CompletionItem]:
    """Complete a path in a repository."""
    return list(_remote(context, text, "path"))


def repository(context: click.Context, _: click.Parameter, text: str) -> list[CompletionItem]:
    """Complete the path of a repository."""
    return list(_remote(context, text, "repo"))


def owner(context: click.Context, _: click.Parameter, text: str) -> list[CompletionItem]:
    """Complete the owner of repositories."""
    return list(_remote(context, text, "owner"))


def local_path(_: click.Context, __: click.Parameter, text: str) -> list[CompletionItem]:
    """Complete a local path."""
    return [_item(text, LOCAL)]


def any_path(context: click.Context, parameter: click.Parameter, text: str) -> list[CompletionItem]:
    """Complete a path that may be local or in a repository: only one of these if the text shows which one."""
    if text.startswith(("xet://", "fsspec+xet://")):
        return remote_path(context, parameter, text)
    first, slash, _ = text.partition("/")
    if text.startswith(("/", "~", ".")) or (slash and os.path.lexists(first)):
        return [_item(text, LOCAL)]
    return [_item(text, LOCAL), *remote_path(context, parameter, text)]


def revision(context: click.Context, _: click.Parameter, text: str) -> list[CompletionItem]:
    """Complete a branch or tag of the repository that an earlier argument names."""
    repo = next((context.params[name] for name in ("repo", "name") if context.params.get(name)), None)
    if not isinstance(repo, str):
        return []

    def names(fs: XetFS) -> list[str]:
        return [*fs.list_branches(repo, timeout=_PATIENCE), *fs.list_tags(repo, timeout=_PATIENCE)]

    return [_item(name, FINAL) for name in dict.fromkeys(_asked(context, repo, names)) if name.startswith(text)]


def local_names(text: str) -> Iterator[CompletionItem]:
    """Local files and folders whose path begins with a text; the candidates keep ``~`` as it was typed."""
    folder, slash, begin = text.rpartition("/")
    try:
        with os.scandir(os.path.expanduser(folder + slash) or ".") as entries:
            found = sorted((entry.name, entry.is_dir()) for entry in entries)
    except (OSError, ValueError):
        return
    for name, is_folder in found:
        if name.startswith(begin) and (begin.startswith(".") or not name.startswith(".")):
            yield _item(f"{folder}{slash}{name}{'/' if is_folder else ''}", OPEN if is_folder else FINAL)


def _remote(context: click.Context, text: str, deepest: Level) -> Iterator[CompletionItem]:
    """Candidates for the last part of a path: what the endpoint lists below the other parts, down to level ``deepest``."""
    import pyxet
    from pyxet.cli.paths import beginning

    start = beginning(text)
    folder, slash, begin = text[len(start) :].rpartition("/")
    try:
        level = pyxet.XetURL.parse(start + folder).level
    except pyxet.XetError:
        return
    # The level of the listed entries: at most "branch", also in branches, so that folders there can always be continued.
    depth = min(_DEPTHS[level] + 1, _DEPTHS["branch"])
    last = _DEPTHS[deepest]
    if depth > last:
        return
    if level == "root" and begin and not folder:
        for kind in _KINDS:
            if kind.startswith(begin):
                yield _item(f"{start}{kind}/", OPEN)

    def listing(fs: XetFS) -> list[Info]:
        infos: list[Info] = [*fs.ls(start + folder, timeout=_PATIENCE)]
        if level == "repo":
            infos += fs.list_tags(start + folder, detail=True, timeout=_PATIENCE)
        return infos

    for info in _asked(context, start + folder, listing):
        name = info["name"].rpartition("/")[2]
        goes_on = info["type"] == "directory" and depth < last
        if name.startswith(begin):
            yield _item(f"{start}{folder}{slash}{name}{'/' if goes_on else ''}", OPEN if goes_on else FINAL)


def _asked(context: click.Context, path: str, question: Callable[[XetFS], list[Any]]) -> list[Any]:
    """The result of a question to the endpoint of a path; an empty list if it fails."""
    import pyxet
    from pyxet.cli.session import Session

    try:
        options = context.ensure_object(Session).options(path)
        # No retries: the user can press the key again.
        return question(pyxet.XetFS(**options, retry=pyxet.RetryPolicy(attempts=1)))
    except Exception:  # noqa: BLE001  # nobody who pressed the key wants to read why
        return []


def _item(value: str, kind: str) -> CompletionItem:
    from click.shell_completion import CompletionItem

    return CompletionItem(value, type=kind)
