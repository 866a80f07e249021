"""Holds small contents of pending files until the endpoint has decided how to store each of them."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Final

from pyxet._async.changes.pending import Pending, PendingChanges
from pyxet._async.changes.spool import Spool
from pyxet._async.client import Client
from pyxet._async.http.watched import Part, Transfer, is_watched
from pyxet._async.runtime.threads import in_thread
from pyxet._async.upload.session import Uploader
from pyxet.errors import FormatError
from pyxet.protocol.messages import PreuploadFile, PreuploadMode
from pyxet.types import RepoId
from pyxet.urls import quote_revision

_SAMPLE: Final = 512
# The endpoint is asked once this many contents, or this many bytes, are waiting.
_BATCH_FILES: Final = 256
_BATCH_BYTES: Final = 8 * 1024 * 1024
# While one batch waits for its answer, another one is stored.
_BATCHES_AT_ONCE: Final = 2


class SmallContents:
    """The small contents of one branch's changes that wait for the endpoint's decision.

    If a path was written again in a nested transaction, both contents wait: undoing the transaction restores the first.

    Parameters
    ----------
    client, repo, branch:
        The branch whose endpoint is asked.
    pending:
        The changes that the contents belong to.
    uploader, spool:
        Take a content once that is decided: the uploader stores it in the CAS, the spool holds it for the commit.
    propose:
        Whether the changes are for a new pull request.
    """

    def __init__(
        self,
        client: Client,
        repo: RepoId,
        branch: str,
        pending: PendingChanges,
        uploader: Uploader,
        spool: Spool,
        *,
        propose: bool = False,
    ) -> None:
        self._client = client
        self._repo = repo
        self._branch = branch
        self._propose = propose
        self._pending = pending
        self._uploader = uploader
        self._spool = spool
        # Keyed by id(), because equal contents may come from different writes.
        self._waiting: dict[int, tuple[str, Pending]] = {}
        self._bytes = 0
        self._room = asyncio.Semaphore(_BATCHES_AT_ONCE)
        self._settling = asyncio.Lock()

    async def add(self, path: str, pending: Pending) -> None:
        """Keep the content of a pending file. Asks the endpoint once many contents are waiting."""
        self._wait(path, pending)
        if self._is_full:
            async with self._room:
                while self._is_full:
                    await self._settle()

    def release(self, released: Iterable[Pending]) -> None:
        """Drop contents that can never be seen again."""
        for pending in released:
            if self._waiting.pop(id(pending), None) is not None:
                self._bytes -= pending.size

    async def settle(self) -> None:
        """Ask how to store all waiting contents, and store them."""
        async with self._settling, AsyncExitStack() as rooms:
            # Wait for the running batches first: contents that one of them fails to store are waiting again.
            for _ in range(_BATCHES_AT_ONCE):
                await rooms.enter_async_context(self._room)
            while self._waiting:
                await self._settle()

    def clear(self) -> None:
        """Drop all waiting contents."""
        self._waiting.clear()
        self._bytes = 0

    @property
    def _is_full(self) -> bool:
        return len(self._waiting) >= _BATCH_FILES or self._bytes >= _BATCH_BYTES

    def _wait(self, path: str, pending: Pending) -> None:
        self._waiting[id(pending)] = path, pending
        self._bytes += pending.size

    async def _settle(self) -> None:
        # The endpoint is asked by path, so a second content of the same path waits for the next batch.
        batch: dict[str, Pending] = {}
        for path, pending in self._waiting.values():
            batch.setdefault(path, pending)
        self.release(batch.values())
        asked = [
            PreuploadFile(path=path, size=pending.size, sample=base64.b64encode(_bytes(pending)[:_SAMPLE]).decode())
            for path, pending in batch.items()
        ]
        try:
            modes = await self._client.trees.preupload(self._repo, self._branch, asked, propose=self._propose)
            if {mode.path for mode in modes} != batch.keys():
                raise FormatError(
                    f"{self._repo.path}/{self._branch}: the endpoint does not say how to store each of the files"
                )
            await self._store(modes, batch)
        except BaseException:
            # Only the caller that filled the batch fails or is cancelled; what other callers wrote must not be lost.
            for path, pending in batch.items():
                if self._pending.holds(path, pending):
                    self._wait(path, pending)
            raise

    async def _store(self, modes: Sequence[PreuploadMode], batch: Mapping[str, Pending]) -> None:
        """Store contents as the endpoint wants them."""
        held = {mode.path: mode for mode in modes if self._pending.holds(mode.path, batch[mode.path])}
        if is_watched():
            branch = f"{self._repo.path}/{quote_revision(self._branch)}"
            with Transfer("upload", *(Part(f"{branch}/{path}", 0, 0) for path in held)) as transfer:
                for number, path in enumerate(held):
                    transfer.came(batch[path].size, number)
                await self._store_held(held, batch)
        else:
            await self._store_held(held, batch)

    async def _store_held(self, held: Mapping[str, PreuploadMode], batch: Mapping[str, Pending]) -> None:
        own = [path for path, mode in held.items() if mode.upload_mode == "lfs" and batch[path].size]
        stored = await self._uploader.add_small([_bytes(batch[path]) for path in own])
        decided = {path: Pending(content.size, content) for path, content in zip(own, stored, strict=True)}
        inside = [path for path in held if path not in decided]
        contents = [_bytes(batch[path]) for path in inside]
        places = await in_thread(lambda: [self._spool.append(data) for data in contents])
        decided |= {
            path: Pending(batch[path].size, spooled) for path, spooled in zip(inside, places, strict=True)
        }  # fmt: skip
        for path, pending in decided.items():
            self._pending.replace(path, batch[path], pending)


def _bytes(pending: Pending) -> bytes:
    assert isinstance(pending.content, bytes)
    return pending.content
