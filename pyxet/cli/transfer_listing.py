"""Checks the local paths of files before they are written.

If local files can have all names that repositories allow, as on most file systems except those of Windows and macOS, files
are written while they are listed. Otherwise all paths are checked before the first file is written.
"""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final, TypeAlias

from pyxet._workers import Workers
from pyxet.cli.transfer_ends import Entry
from pyxet.local_rules import LocalRules, restricts_names

# Files: for each the number of its source, its entry there, and its target path.
Page: TypeAlias = list[tuple[int, Entry, str]]

# The most bytes of a listing that are kept in memory; a longer one is written to a temporary file.
_IN_MEMORY: Final = 4 * 1024 * 1024


async def looked_through(
    pages: AsyncGenerator[Page, None], rules: LocalRules, folder: str, threads: Workers
) -> AsyncGenerator[Page, None]:  # fmt: skip
    """The same pages, with paths that local files can have.

    If names are restricted, the first page comes after all paths were checked.

    Parameters
    ----------
    pages:
        The files to write, with their target paths.
    folder:
        The local target, which need not exist.

    Raises
    ------
    LocalNameError
        A file cannot have its path, or two files would be the same local file.
    """
    if not await threads.run(restricts_names, folder):
        async with aclosing(pages):
            async for page in pages:
                paths = await threads.run(rules.targets, [(entry.path, path) for _, entry, path in page])
                yield [(number, entry, path) for (number, entry, _), path in zip(page, paths, strict=True)]
        return
    # Check all paths together, since two of them may be the same local file.
    together: list[tuple[str, str]] = []
    changed: dict[str, str] = {}

    def look(pairs: list[tuple[str, str]]) -> None:
        found = rules.targets(pairs)
        changed.update((old, new) for (_, old), new in zip(pairs, found, strict=True) if old != new)

    with tempfile.SpooledTemporaryFile(_IN_MEMORY) as waiting:
        async with aclosing(pages):
            async for page in pages:
                together += [(entry.path, path) for _, entry, path in page]
                await threads.run(pickle.dump, page, waiting)
        await threads.run(look, together)
        together.clear()
        end = waiting.tell()
        waiting.seek(0)
        while waiting.tell() < end:
            page = await threads.run(pickle.load, waiting)
            yield [(number, entry, changed.get(path, path)) for number, entry, path in page]
