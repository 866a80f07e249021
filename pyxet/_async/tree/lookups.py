"""Combines look-ups of single paths that are made at the same time into one request."""

from __future__ import annotations

from pyxet._async.endpoint.hub import Hub, TreePage
from pyxet._async.runtime.batching import Batches
from pyxet.errors import BadRequestError
from pyxet.types import RepoId


class Lookups:
    """Looks up single paths in the repositories of one client."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._batches: Batches[tuple[RepoId, str], str, TreePage | None] = Batches()

    async def look(self, repo: RepoId, revision: str, path: str) -> TreePage:
        """The entry at a path of a revision, if there is one, and the revision's commit, if the endpoint reports it."""

        async def ask(paths: list[str]) -> TreePage | None:
            try:
                return await self._hub.paths_info(repo, revision, paths)
            except BadRequestError:
                if len(paths) == 1:
                    raise
                # One of the paths caused the error. Each caller now looks up its own path alone.
                return None

        page = await self._batches.run((repo, revision), path, ask)
        if page is None:
            return await self._hub.paths_info(repo, revision, [path])
        return TreePage([entry for entry in page.entries if entry.path == path], page.commit)
