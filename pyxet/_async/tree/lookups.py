"""Look-ups of single paths that are asked for at the same time, in one request."""

from __future__ import annotations

from pyxet._async.endpoint.hub import Hub, TreePage
from pyxet._async.runtime.batching import Batches
from pyxet.errors import BadRequestError
from pyxet.types import RepoId


class Lookups:
    """What is at single paths of one client's repositories."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._batches: Batches[tuple[RepoId, str], str, TreePage | None] = Batches()

    async def look(self, repo: RepoId, revision: str, path: str) -> TreePage:
        """What is at a path of a revision, if anything, and the commit that the revision is, if the endpoint tells."""

        async def ask(paths: list[str]) -> TreePage | None:
            try:
                return await self._hub.paths_info(repo, revision, paths)
            except BadRequestError:
                if len(paths) == 1:
                    raise
                # One of the paths caused the error.
                return None

        page = await self._batches.run((repo, revision), path, ask)
        if page is None:
            return await self._hub.paths_info(repo, revision, [path])
        return TreePage([entry for entry in page.entries if entry.path == path], page.commit)
