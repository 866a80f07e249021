"""Which files are transferred, and to which paths, by fsspec's rules for trailing slashes and patterns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pyxet.cli.session import CommandError
from pyxet.cli.transfer_ends import End, Known, fixed_part, joined
from pyxet.patterns import has_magic, unescaped


@dataclass(frozen=True, slots=True)
class Source:
    """A file or folder to transfer.

    Attributes
    ----------
    path:
        The path in the form that its end uses.
    target:
        The target path of a file; of a folder, the target folder for its content.
    """

    end: End
    path: str
    kind: Known
    target: str


async def sources(given: Sequence[End], target: End, *, recursive: bool) -> list[Source]:
    """The files and folders to transfer for the paths on a command line, by fsspec's rules.

    A file goes into the target if the target is a folder or ends with a slash, or if there are several sources; otherwise it
    gets the target's name. A folder goes into the target under the same conditions, unless it was typed with a slash; in all
    other cases its content goes into the target. What a pattern matches goes into the target, with its path from the first
    name with wildcards on.

    Raises
    ------
    NotFoundError, FileNotFoundError
        There is nothing at one of the sources.
    CommandError
        A source is a folder, and ``recursive`` is not set.
    """
    several = len(given) > 1
    into_folder = several or target.has_slash or await target.kind_of(target.path) == "folder"
    found: list[Source] = []
    for end in given:
        kind = await end.kind_of(end.path)
        real = unescaped(end.path) if kind is None else None
        if real is not None and (kind := await end.kind_of(real)) is not None:
            end.path = real
        if kind is None and has_magic(end.path):
            found += await _matching(end, target.path, recursive=recursive)
            continue
        if kind is None:
            raise end.missing(end.path)
        named = joined(target.path, end.name)
        if kind == "file":
            found.append(Source(end, end.path, kind, named if into_folder else target.path))
            continue
        if not recursive:
            raise CommandError(f"{end.typed} is a folder", hint="with -r it is copied with all that is in it")
        content_only = end.has_slash or end.name in ("", ".", "..") or not into_folder
        found.append(Source(end, end.path, kind, target.path if content_only else named))
    return found


async def _matching(end: End, target: str, *, recursive: bool) -> list[Source]:
    top = fixed_part(end.path)
    found = []
    for path, kind in await end.glob(end.path):
        if kind == "file" or recursive:
            name = path[len(top) :].lstrip("/") if top else path
            found.append(Source(end, path, kind, joined(target, name)))
    if not found:
        raise end.missing(end.path)
    # Leave out what is below a matching folder: it is transferred with the folder.
    folders = {f"{source.path}/" for source in found if source.kind == "folder"}
    return [source for source in found if not any(source.path.startswith(folder) for folder in folders)]


def check_parts(name: str, path: str) -> None:
    """Refuse names that would lead out of the target, or that no target can have."""
    if not {"", ".", ".."}.isdisjoint(name.split("/")) or "\0" in name:
        raise CommandError(f"{path}: {name!r} cannot be the name of a copy", hint="rename it, or --exclude it")
