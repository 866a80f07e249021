"""Removes the folders of objects that pushes leave behind when they end early.

Git collects the objects of a push in a folder of its own, the quarantine, and removes that folder when it is told to end. But a
child process of git that is still writing may create a file in it at that moment, and then the folder stays.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from pyxet._platform_files import remove_tree
from pyxet.server.git_process import finished

_NAME = re.compile(r"(?:tmp_objdir-)?incoming-[A-Za-z0-9]+\Z")
# How often the folders are removed again while some come back, and the first pause in seconds, which doubles each time.
_TRIES: Final = 8
_PAUSE: Final = 0.01


def is_quarantine(name: str) -> bool:
    """Whether a folder among a repository's objects has the name of a quarantine."""
    return _NAME.match(name) is not None


class Quarantines:
    """Knows how many pushes a repository receives, and removes all quarantines after the last of them has ended.

    All pushes come through this endpoint, so no other process needs a quarantine then.
    """

    def __init__(self) -> None:
        self._places: dict[Path, _Place] = {}

    @asynccontextmanager
    async def receiving(self, objects: Path, run: Callable[..., Any]) -> AsyncIterator[None]:
        """A block in which git receives a push.

        Parameters
        ----------
        objects:
            The folder of the repository's objects.
        run:
            Runs a function in a worker thread: ``await run(function, *arguments)``.
        """
        place = self._places.setdefault(objects, _Place())
        place.pushes += 1
        try:
            # Wait while quarantines are being removed.
            async with place.turn:
                pass
            yield
        finally:
            await finished(self._leave(objects, place, run))

    async def _leave(self, objects: Path, place: _Place, run: Callable[..., Any]) -> None:
        try:
            async with place.turn:
                if place.pushes == 1:
                    await run(_clear, objects)
        finally:
            place.pushes -= 1
            if not place.pushes:
                del self._places[objects]


class _Place:
    """The pushes to a repository, and the lock that keeps new ones waiting while quarantines are removed."""

    def __init__(self) -> None:
        self.pushes = 0
        self.turn = asyncio.Lock()


def _clear(objects: Path) -> None:
    for number in range(_TRIES):
        try:
            left = [entry.path for entry in os.scandir(objects) if is_quarantine(entry.name)]
        except OSError:
            # The repository was deleted or renamed meanwhile; the push has its answer, whatever is left here.
            return
        if not left:
            return
        for folder in left:
            remove_tree(folder, ignore_errors=True)
        time.sleep(_PAUSE * 2**number)
