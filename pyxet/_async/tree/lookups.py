"""Look-ups of single paths that are asked for at the same time, in one request."""

from __future__ import annotations

from pyxet._async.endpoint.hub import Hub, TreePage
from pyxet._async.runtime.batching import Batch, Batches
from pyxet._async.runtime.tasks import SingleFlight
from pyxet.errors import BadRequestError
from pyxet.types import RepoId


class Lookups:
    """What is at single paths of one client's repositories."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._batches: Batches[tuple[RepoId, str], str] = Batches()
        self._flights: SingleFlight[Batch[str], TreePage] = SingleFlight()

    async def look(self, repo: RepoId, revision: str, path: str) -> TreePage:
        """What is at a path of a revision, if anything, and the commit that the revision is, if the endpoint tells."""
        batch = await self._batches.join((repo, revision), path)
        try:
            page = await self._flights.run(batch, lambda: self._hub.paths_info(repo, revision, list(batch.items)))
        except BadRequestError:
            if len(batch.items) == 1:
                raise
            return await self._hub.paths_info(repo, revision, [path])
        return TreePage([entry for entry in page.entries if entry.path == path], page.commit)
