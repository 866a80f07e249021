"""The transfer agent, which git-lfs starts and sends requests to, and which uploads and downloads objects with Xet.

An agent handles one object at a time. If several are allowed, git-lfs starts several agents one after the other, even if
there are fewer objects. So that they start fast, `objects` is imported only for an agent's first object.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import IO, TYPE_CHECKING, Any

from pyxet.errors import FormatError
from pyxet.git.messages import Replies, Requests

if TYPE_CHECKING:
    from pyxet.git.objects import Objects


async def serve(requests: IO[bytes], replies: IO[bytes]) -> None:
    """Answer the requests of git-lfs until it sends ``terminate`` or its process has ended.

    Parameters
    ----------
    requests, replies:
        The pipe that git-lfs writes to, and the pipe that it reads from.

    Raises
    ------
    FormatError
        A line is not a request.
    """
    source, agent = Requests(requests), _Agent(Replies(replies))
    try:
        while (request := await source.next()) is not None and request["event"] != "terminate":
            working = asyncio.create_task(agent.answer(request))
            ended = asyncio.create_task(source.ended.wait())
            try:
                await asyncio.wait([working, ended], return_when=asyncio.FIRST_COMPLETED)
                if working.done():
                    working.result()
            finally:
                for task in (working, ended):
                    task.cancel()
                await asyncio.wait([working, ended])
    finally:
        await agent.aclose()


class _Agent:
    """Answers requests."""

    def __init__(self, replies: Replies) -> None:
        self._replies = replies
        self._agents = 1
        self._objects: Objects | None = None

    async def answer(self, request: Mapping[str, Any]) -> None:
        """Handle one request, and report the result."""
        event, oid = request["event"], str(request.get("oid", ""))
        if event == "init":
            self._begin(request)
        elif event in ("upload", "download"):
            path = None
            try:
                objects = self._mover()
                if event == "upload":
                    await objects.upload(request)
                else:
                    path = await objects.download(request)
            except Exception as error:  # noqa: BLE001  # reported to git-lfs, which continues with the next object
                self._replies.complete(oid, error=error)
            else:
                self._replies.complete(oid, path)
        else:
            raise FormatError(f"git-lfs sent the event {event[:40]!r}, which is unknown")

    async def aclose(self) -> None:
        """Close sessions and connections."""
        if self._objects is not None:
            await self._objects.aclose()

    def _begin(self, request: Mapping[str, Any]) -> None:
        if request.get("operation") not in ("upload", "download"):
            self._replies.refuse(FormatError(f"git-lfs asks for the operation {request.get('operation')!r}"))
            return
        number = request.get("concurrenttransfers")
        if request.get("concurrent") and isinstance(number, int):
            self._agents = max(1, number)
        self._replies.ready()

    def _mover(self) -> Objects:
        if self._objects is None:
            from pyxet.git.objects import Objects

            self._objects = Objects(self._replies, self._agents)
        return self._objects
