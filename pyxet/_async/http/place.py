"""Where an endpoint is, and with which token: at its URL, or wherever the process listens that serves its directory."""

from __future__ import annotations

import asyncio
from typing import Final

from yarl import URL

from pyxet import local
from pyxet._async.runtime.tasks import SingleFlight
from pyxet._async.runtime.threads import in_thread
from pyxet.config import Credential

# Seconds after which a process that refuses connections, and serves its directory all the same, is not waited for.
_REFUSING: Final = 1.0


class Place:
    """The place of an endpoint that has a URL."""

    def __init__(self, credential: Credential) -> None:
        self._at = credential
        # How often it was looked at again.
        self.looks = 0

    async def here(self) -> Credential:
        """URL, user and token for the next request."""
        return self._at

    async def moved(self, left: Credential, *, gone: bool, own: bool, since: int) -> Credential | None:
        """Where the endpoint is instead, or with which token; ``None`` if there is no reason to think that it is another.

        Parameters
        ----------
        left:
            Where it was looked for.
        gone:
            Whether nobody listens there, so that it is worth to wait for another place; otherwise the token was refused.
        own:
            Whether what was refused is the place's token, and not one that the endpoint had given.
        since:
            `looks` when the request was sent first: a look after that is new enough.

        Raises
        ------
        ConfigError
            This process was to serve the directory and cannot.
        """
        return None

    def current(self, url: URL, here: Credential) -> URL:
        """A URL that the endpoint named, perhaps at a place where it was before, as it is now."""
        return url


class EmbeddedPlace(Place):
    """The place of a directory that one of several processes serves, this one or another; it moves when that one ends."""

    def __init__(self, credential: Credential) -> None:
        super().__init__(credential)
        self._endpoint = credential.endpoint
        self._here: Credential | None = None
        self._origins: set[URL] = set()
        self._looking: SingleFlight[tuple[Credential | None, bool], Credential | None] = SingleFlight()

    async def here(self) -> Credential:
        found = self._here
        if found is None:
            found = await self._looking.run((None, True), lambda: self._look(None, True))
            assert found is not None
        return found

    async def moved(self, left: Credential, *, gone: bool, own: bool, since: int) -> Credential | None:
        if self._here is not None and self._here != left:
            return self._here
        return await self._looking.run((left, gone), lambda: self._look(left, gone))

    def current(self, url: URL, here: Credential) -> URL:
        origin = url.origin()
        if origin not in self._origins or str(origin) == here.endpoint:
            return url
        return URL(f"{here.endpoint}{url.raw_path_qs}", encoded=True)

    async def _look(self, left: Credential | None, patient: bool) -> Credential | None:
        clock = asyncio.get_running_loop().time
        began = clock()
        while True:
            holder = await in_thread(local.find, self._endpoint)
            found = Credential(holder.url, holder.user, holder.token) if holder is not None else None
            if found is not None and found != left:
                self._origins.add(URL(found.endpoint))
                self._here = found
                return found
            if not patient or (found is not None and clock() - began > _REFUSING):
                return None
            if clock() - began > local.PATIENCE:
                raise local.silent(self._endpoint)
            await asyncio.sleep(local.PAUSE)
