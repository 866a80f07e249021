"""Finds the address and token of an endpoint: a fixed URL, or the process that serves a local directory at present."""

from __future__ import annotations

import asyncio
from typing import Final

from yarl import URL

from pyxet import local
from pyxet._async.runtime.tasks import SingleFlight
from pyxet._async.runtime.threads import in_thread
from pyxet.config import Credential

# Seconds to wait for a process that is registered as serving its directory but refuses connections.
_REFUSING: Final = 1.0


class Place:
    """The address and token of an endpoint that has a fixed URL."""

    def __init__(self, credential: Credential) -> None:
        self._at = credential
        # How often the token or address was looked up again.
        self.looks = 0
        # Where it has been so far, if that may change: see `current`.
        self.origins: set[URL] = set()

    async def here(self) -> Credential:
        """URL, user and token for the next request."""
        return self._at

    async def moved(self, left: Credential, *, gone: bool, own: bool, since: int) -> Credential | None:
        """The endpoint's new address or token; ``None`` if neither seems to have changed.

        Parameters
        ----------
        left:
            The address and token with which the request failed.
        gone:
            True if nothing listens at the address, so that waiting for another one makes sense; false if the token was
            refused.
        own:
            Whether the refused token is this place's own, not one that the endpoint issued.
        since:
            Value of `looks` when the request was first sent; a look-up made after that is recent enough.

        Raises
        ------
        ConfigError
            This process had to serve the directory, and cannot.
        """
        return None

    def check_caller(self) -> None:
        """Raise `ConfigError` inside of the function that is being asked for the token: a request there would wait for itself."""

    def current(self, url: URL, here: Credential) -> URL:
        """A URL that the endpoint named, moved to its current address if it was named at an earlier one."""
        return url


class EmbeddedPlace(Place):
    """The place of a directory that this or another process serves. When that process ends, another takes over elsewhere."""

    def __init__(self, credential: Credential) -> None:
        super().__init__(credential)
        self._endpoint = credential.endpoint
        self._here: Credential | None = None
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
        if origin not in self.origins or str(origin) == here.endpoint:
            return url
        return URL(f"{here.endpoint}{url.raw_path_qs}", encoded=True)

    async def _look(self, left: Credential | None, patient: bool) -> Credential | None:
        clock = asyncio.get_running_loop().time
        began = clock()
        while True:
            holder = await in_thread(local.find, self._endpoint)
            found = Credential(holder.url, holder.user, holder.token) if holder is not None else None
            if found is not None and found != left:
                self.origins.add(URL(found.endpoint))
                self._here = found
                return found
            if not patient or (found is not None and clock() - began > _REFUSING):
                return None
            if clock() - began > local.PATIENCE:
                raise local.silent(self._endpoint)
            await asyncio.sleep(local.PAUSE)
