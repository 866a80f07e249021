"""Moves the objects of one agent. Those of one repository share connections, and its uploads share a session."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from pyxet._async.download.reader import Reader
from pyxet._async.runtime.threads import in_thread
from pyxet._async.upload.session import Uploader
from pyxet.config import Limits, default_memory
from pyxet.errors import FormatError, IntegrityError
from pyxet.git.actions import Action, LogIn, Place
from pyxet.git.command import run_git
from pyxet.git.credentials import log_in
from pyxet.git.messages import Progress, Replies
from pyxet.types import RemoteFile

_MIN_MEMORY: Final = 16 * 1024 * 1024
_MIN_REQUESTS: Final = 4


class Objects:
    """Moves objects for one agent.

    Parameters
    ----------
    replies:
        Receives progress.
    agents:
        Number of agents that run at the same time. Each gets its share of the limits of one process.
    log_in:
        Finds the credential for an endpoint.
    """

    def __init__(self, replies: Replies, agents: int, log_in: LogIn = log_in) -> None:
        self._replies = replies
        self._log_in = log_in
        self._limits = Limits(
            concurrency=max(_MIN_REQUESTS, Limits().concurrency // agents),
            memory=max(_MIN_MEMORY, default_memory() // agents),
        )
        self._places: dict[tuple[str, object, str], Place] = {}
        self._uploaders: dict[Place, Uploader] = {}
        self._folder: Path | None = None

    async def aclose(self) -> None:
        """Close upload sessions and connections."""
        for uploader in self._uploaders.values():
            await uploader.aclose()
        for place in self._places.values():
            await place.aclose()

    async def upload(self, request: Mapping[str, Any]) -> None:
        """Upload the object of a request from the file that the request names.

        Raises
        ------
        FormatError, IntegrityError
            The request makes no sense; the file does not have the sha256 and size of the object.
        """
        oid, size, path = _object(request), int(request["size"]), request.get("path")
        if not isinstance(path, str):
            raise FormatError("git-lfs did not say which file it is")
        action = Action(request.get("action"))
        place = self._place(action, "upload")
        uploader = self._uploaders.get(place)
        if uploader is None:
            uploader = self._uploaders[place] = Uploader(place.cas(place.repo), self._limits)
        progress = Progress(self._replies, oid, size)
        try:
            named = _as_file(place, action, oid, size)
            stored = await uploader.add(Path(path), progress=progress.add, name=named.full_path)
            if (stored.sha256, stored.size) != (oid, size):
                raise IntegrityError(f"{path} has the sha256 {stored.sha256}: git's copy of the file is damaged")
            await uploader.flush()
        except BaseException:
            # In the same session, all later uploads would fail as well.
            del self._uploaders[place]
            await uploader.aclose()
            raise
        progress.finish()

    async def download(self, request: Mapping[str, Any]) -> str:
        """Download the object of a request, and return the path of the file, which git-lfs then moves.

        Raises
        ------
        FormatError
            The request makes no sense.
        """
        oid, size = _object(request), int(request["size"])
        action = Action(request.get("action"))
        if action.xet_hash is None:
            raise FormatError("the endpoint did not say which file of its Xet storage the object is")
        place = self._place(action, "download")
        if self._folder is None:
            self._folder = await in_thread(_scratch)
        # The name is always the same, so that an interrupted download is resumed.
        target = self._folder / f"{oid}-xet"
        progress = Progress(self._replies, oid, size)
        await Reader(place).download(_as_file(place, action, oid, size), target, progress.add)
        progress.finish()
        return str(target)

    def _place(self, action: Action, direction: str) -> Place:
        key = (action.endpoint, action.repo, direction)
        place = self._places.get(key)
        if place is None:
            place = self._places[key] = Place(action, self._log_in, self._limits)
        place.tokens.offer(action)
        return place


def _object(request: Mapping[str, Any]) -> str:
    oid = request.get("oid")
    if not isinstance(oid, str) or not isinstance(request.get("size"), int) or not oid.isalnum():
        raise FormatError("git-lfs did not say which object it is")
    return oid


def _as_file(place: Place, action: Action, oid: str, size: int) -> RemoteFile:
    """The object as a file. Its path is made up, since git-lfs does not pass the path in the repository."""
    return RemoteFile(place.repo, action.revision, f"object {oid}", size, oid, oid, action.xet_hash)


def _scratch() -> Path:
    """The folder for unfinished files of git-lfs, which is on the same file system as its objects."""
    found = run_git("lfs", "env")
    for line in found.splitlines():
        name, _, value = line.partition("=")
        if name == "TempDir":
            with suppress(OSError):
                Path(value).mkdir(parents=True, exist_ok=True)
            return Path(value).absolute()
    raise FormatError("git lfs env does not say where unfinished files are")
