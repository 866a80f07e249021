"""Look-ups of single paths that are made at the same time, as one request.

Tools that read many objects at once ask for each on its own: zarr for ten chunks at a time, whether they are there or not.
What is asked for within one turn of the event loop goes together. Nothing waits for it longer than that turn.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Final

from pyxet._async.fanout import SingleFlight
from pyxet._async.hub import Hub, TreePage
from pyxet.errors import BadRequestError
from pyxet.urls import RepoId

# As many as the endpoint takes in one request.
_MAX_PATHS: Final = 500

_Place = tuple[asyncio.AbstractEventLoop, RepoId, str]


@dataclass(slots=True, eq=False)
class _Batch:
    """Paths that are about to be asked for."""

    paths: dict[str, None] = field(default_factory=dict)


class Lookups:
    """What is at single paths of one client's repositories."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._gathering: dict[_Place, _Batch] = {}
        self._flights: SingleFlight[_Batch, TreePage] = SingleFlight()

    async def look(self, repo: RepoId, revision: str, path: str) -> TreePage:
        """What is at a path of a revision, if anything, and the commit that the revision is, if the endpoint tells."""
        place = (asyncio.get_running_loop(), repo, revision)
        batch = self._gathering.get(place)
        if batch is None or len(batch.paths) >= _MAX_PATHS:
            batch = self._gathering[place] = _Batch()
        batch.paths[path] = None
        try:
            page = await self._flights.run(batch, lambda: self._ask(place, batch))
        except BadRequestError:
            if len(batch.paths) == 1:
                raise
            # What is wrong with one path is not the others' error.
            return await self._hub.paths_info(repo, revision, [path])
        finally:
            self._no_more(place, batch)
        return TreePage([entry for entry in page.entries if entry.path == path], page.commit)

    async def _ask(self, place: _Place, batch: _Batch) -> TreePage:
        _, repo, revision = place
        try:
            # Whoever else runs in this turn joins.
            await asyncio.sleep(0)
        finally:
            self._no_more(place, batch)
        return await self._hub.paths_info(repo, revision, list(batch.paths))

    def _no_more(self, place: _Place, batch: _Batch) -> None:
        # A place refers to its loop, so it must not outlive its batch.
        if self._gathering.get(place) is batch:
            del self._gathering[place]
