"""Files on their way to this machine: their names are looked at before the first of them is written.

Where every name that a repository has can be a local one, which is so on most file systems but those of Windows and macOS,
they are written while they are being listed.
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

# Files: the number of the source that each is from, and the path that it gets.
Page: TypeAlias = list[tuple[int, Entry, str]]

# Bytes of a listing that wait in memory; the rest does in a temporary file.
_IN_MEMORY: Final = 4 * 1024 * 1024


async def looked_through(
    pages: AsyncGenerator[Page, None], rules: LocalRules, folder: str, threads: Workers
) -> AsyncGenerator[Page, None]:  # fmt: skip
    """The same pages with paths that this machine can have; once all of them are there, where some paths it cannot have.

    Parameters
    ----------
    pages:
        What is to be written.
    folder:
        Where to, as far as it is there.

    Raises
    ------
    LocalNameError
        A file cannot have its path, or two would be one file.
    """
    if not await threads.run(restricts_names, folder):
        async with aclosing(pages):
            async for page in pages:
                paths = await threads.run(rules.targets, [(entry.path, path) for _, entry, path in page])
                yield [(number, entry, path) for (number, entry, _), path in zip(page, paths, strict=True)]
        return
    # As two of them may be one file, the paths of all are looked at together.
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
